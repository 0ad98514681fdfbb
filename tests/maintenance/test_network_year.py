"""A year of a network of three sites: one on SQLite, two on PostgreSQL, all copied into one database there."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from smartcharge.clock import now_s
from smartcharge.control.health.vocabulary import cause_of
from smartcharge.errors import MaintenanceError
from smartcharge.events import (
    Event,
    FaultCleared,
    FaultRaised,
    Plugged,
    SiteFaultCleared,
    SiteFaultRaised,
    StationOffline,
    StationOnline,
    TransactionEnded,
    TransactionStarted,
    Unplugged,
    Watched,
)
from smartcharge.faults import Cause
from smartcharge.maintenance import desk, foreman, updater
from smartcharge.maintenance.availability import Definition
from smartcharge.maintenance.desk import Report
from smartcharge.maintenance.firmware import Campaign, CampaignStarted, Image, Rules, campaigns, entries
from smartcharge.maintenance.foreman import Foreman
from smartcharge.maintenance.plans import PlanKeys, standings
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.report import Evidence, Month, lines, network
from smartcharge.maintenance.updater import Updater
from smartcharge.maintenance.work_orders import Category, Line, WorkOrder, lines_of, orders
from smartcharge.model import EvseId, StationId
from smartcharge.ports import Kept
from smartcharge.sim.loop import run
from smartcharge.store import Mirror, Network, Store, open_store
from smartcharge.store import network as network_module
from tests.builders import row_of
from tests.maintenance.fleet import Fleet
from tests.maintenance.month import at, needed

DAY_S = 86400.0
BEGIN_S = at(1, month=1)
DAYS = 365
PLANS = (
    PlanKeys(id="cleaning", title="clean", every_days=90.0, lead_days=14.0, checklist=["clean"]),
    PlanKeys(id="contacts", title="contacts", every_cycles=60.0, lead_days=14.0, checklist=["measured"]),
)
CODES = ("GroundFailure", "OverVoltage", "PowerSwitchFailure", "ReaderFailure", "WeakSignal", "EVCommunicationError")
CALLS = frozenset(CODES[:4])
"""Those that somebody must come for."""
RINGS = (("a",), ("b", "c"))


@dataclass
class Site:
    """One site with its store, and what happened there."""

    id: str
    store: Store
    rng: random.Random
    moods: dict[str, str] = field(default_factory=dict)
    injected: set[tuple[str, str]] = field(default_factory=set)
    visits: int = 0

    def __post_init__(self) -> None:
        self.place = replace(Place.of(row_of(3)), id=self.id)
        self.fleet = Fleet(self.store, self.place, self.moods)

    def charged(self, evse: EvseId, begun_s: float) -> list[Event]:
        """A car comes, charges an hour, and goes."""
        self.visits += 1
        name, end_s = str(self.visits), begun_s + 3600.0
        return [
            Plugged(at_s=begun_s, evse=evse),
            TransactionStarted(at_s=begun_s, evse=evse, transaction_id=name, meter_wh=0.0),
            TransactionEnded(at_s=end_s, evse=evse, transaction_id=name, meter_wh=9000.0, reason="Local"),
            Unplugged(at_s=end_s, evse=evse),
        ]

    async def day(self, since_s: float) -> None:
        """A day: cars, now and then a fault; it is told in the evening."""
        at_s = now_s()
        events = [event for port in self.place.ports for event in self.charged(port.evse, at_s)]
        port, fault_s = self.rng.choice(self.place.ports), at_s + 4000.0
        if self.rng.random() < 0.05:
            code = self.rng.choice(CODES)
            cause = cause_of(FaultRaised(at_s=0.0, evse=port.evse, code=code), {}, None)
            if code in CALLS:
                self.injected.add((port.evse, cause.value))
                events.append(needed(cause, fault_s + 1.0, f"evse {port.evse}"))
            events.append(FaultRaised(at_s=fault_s, evse=port.evse, code=code))
            events.append(FaultCleared(at_s=fault_s + 7200.0, evse=port.evse, code=code))
        elif self.rng.random() < 0.02:
            self.injected.add((port.station, "offline"))
            back_s, subject = fault_s + 3 * 3600.0, f"station {port.station}"
            events += [
                StationOffline(at_s=fault_s, station=port.station),
                SiteFaultRaised(at_s=fault_s + 3600.0, subject=subject, cause=Cause.OFFLINE, detail="away"),
                needed(Cause.OFFLINE, fault_s + 3601.0, subject),
                StationOnline(at_s=back_s, station=port.station),
                SiteFaultCleared(at_s=back_s, subject=subject, cause=Cause.OFFLINE),
            ]
        await asyncio.sleep(6 * 3600.0)
        await self.fleet.tell(*sorted(events, key=lambda event: event.at_s), Watched(at_s=now_s(), since_s=since_s))

    async def technician(self) -> None:
        """Do what is a day old, as far as the evidence allows."""
        known = orders(lines_of(await self.store.logbook.lines())).values()
        due = [order for order in known if order.is_open and now_s() - order.raised.at_s > DAY_S]
        facts = await self.store.chronicle.facts(now_s() - 60 * DAY_S) if due else []
        for order in due:
            await self.try_to_complete(order, facts)

    async def try_to_complete(self, order: WorkOrder, facts: Sequence[Kept]) -> None:
        report, at_s = Report(author="bo", signature="B. Vos", done=order.raised.checklist), now_s()

        def decide(lines: Sequence[Line]) -> list[Line]:
            return [desk.completed(lines, order.number, report, facts, at_s)]

        with suppress(MaintenanceError):
            await foreman.write(self.store.logbook, decide)


def campaign(version: str, at_s: float) -> CampaignStarted:
    return CampaignStarted(
        at_s=at_s, campaign=f"to-{version}", author="kim", image=Image(version=version, location=f"https://x/{version}"),
        rings=tuple(tuple(StationId(s) for s in ring) for ring in RINGS),
        rules=Rules(soak_s=5 * DAY_S, patience_s=2 * DAY_S, least_available=0.0),
    )  # fmt: skip


async def year(site: Site, mirror: Mirror, *, away: range = range(0)) -> None:
    """A year at a site; while it is ``away`` (days) it cannot deliver."""

    async def nothing(_: object) -> None:
        raise AssertionError("it has no facts of its own")

    store, since_s = site.store, now_s()
    await site.fleet.tell(Watched(at_s=since_s, since_s=since_s))
    for station in "abc":
        await site.fleet.boot(station, "1")
    chief = Foreman(site.place, store.chronicle, store.logbook, journal=store.journal, plans=PLANS)
    works = Updater(site.place, store.chronicle, store.logbook, site.fleet)
    tasks = [asyncio.create_task(source.run(nothing)) for source in (chief, works)]
    for number in range(DAYS):
        await asyncio.sleep(max(BEGIN_S + number * DAY_S + 6 * 3600.0 - now_s(), 0.0))
        if number == 100:
            begun = campaign("2", now_s())
            await updater.write(store.logbook, lambda _, begun=begun: [begun])  # type: ignore[misc]
        await site.day(since_s)
        if number % 3 == 0:
            await site.technician()
        if number % 7 == 0 and number not in away:
            await mirror.deliver()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await site.fleet.tell(Watched(at_s=BEGIN_S + (DAYS + 1) * DAY_S, since_s=since_s))
    await mirror.deliver()


@pytest.mark.timeout(300)
class TestAYear:
    def test_ends_with_everything_where_it_belongs(
        self, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
    ) -> None:
        for module, name, seconds in (
            (foreman, "ROUND_S", 2 * DAY_S), (foreman, "PLANS_S", 8 * DAY_S), (updater, "ROUND_S", DAY_S),
        ):  # fmt: skip
            monkeypatch.setattr(module, name, seconds)
        monkeypatch.setattr(network_module, "BATCH_ROWS", 200)
        database = request.getfixturevalue("postgres")
        urls = {"north": f"sqlite:///{tmp_path / 'north.db'}", "south": database.url(), "west": database.url()}

        async def all_sites() -> None:
            stores = {name: open_store(url) for name, url in urls.items()}
            moods = {"north": {}, "south": {"b": "breaks", "c": "breaks"}, "west": {"a": "bad signature"}}
            sites = [Site(n, s, random.Random(n), dict(moods[n])) for n, s in stores.items()]
            away = {"south": range(120, 170)}
            await asyncio.gather(
                *(
                    year(
                        site,
                        site.store.mirror(site.id, site.place.written(), postgres_url),
                        away=away.get(site.id, range(0)),
                    )
                    for site in sites
                )
            )
            for site in sites:
                await self.check(site, postgres_url)
            await self.check_network(postgres_url)
            for site in sites:
                await site.store.close()

        run(all_sites(), epoch_s=BEGIN_S)

    async def check(self, site: Site, url: str) -> None:
        """What was injected, planned and begun at a site is what its logbook and the network have."""
        written = await site.store.logbook.lines()
        facts = await site.store.chronicle.facts()
        async with Network(url) as sites:
            assert await sites.facts(site.id) == facts, "nothing lost, nothing doubled"
            assert await sites.lines(site.id) == written
        known = list(orders(lines_of(written)).values())
        reactive = [order for order in known if order.raised.category is Category.REACTIVE]
        expected = set(site.injected)
        assert {(order.raised.asset, order.raised.cause) for order in reactive} == expected
        assert len(expected) >= 5
        assert not [o for o in reactive if o.is_open and now_s() - o.raised.at_s > 7 * DAY_S]
        self.check_plans(site, facts, lines_of(written))
        self.check_campaign(site, campaigns(entries(written))["to-2"])

    def check_plans(self, site: Site, facts: Sequence[Kept], written: Sequence[Line]) -> None:
        for standing in standings(PLANS, site.place, facts, written):
            assert standing.done == standing.in_time, "all in time"
            assert not standing.is_overdue(now_s())
            assert standing.done >= (4 if standing.plan.id == "cleaning" else 5)

    def check_campaign(self, site: Site, found: Campaign) -> None:
        runs = set(site.fleet.runs.values())
        if site.id == "north":
            assert found.finished is not None
            assert found.stopped is None
            assert runs == {"2"}
        else:
            assert found.stopped is not None
            why = {"south": "2 of 3 failed", "west": "1 of 1 failed: a: InvalidSignature"}[site.id]
            assert found.stopped.reason.startswith(why)
            assert site.id == "south" or runs == {"1"}, "nobody else got it"

    async def check_network(self, url: str) -> None:
        december = Month(year=2026, number=12)
        async with Network(url) as sites:
            places = [Place.read(body) for body in (await sites.sites()).values()]
            every = [
                line
                for place in places
                for line in lines(Evidence.of(place, await sites.facts(place.id), ()), december)
            ]
        total = network(every, december)
        assert total.subject == "3 sites"
        assert total.success.starts == 3 * 3 * 31
        assert total.success.session_share == 1.0
        available = total.measured[Definition.NEVI].available
        assert available is not None, "a whole month that was watched"
        assert 0.97 < available <= 1.0
