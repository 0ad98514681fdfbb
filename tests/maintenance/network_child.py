"""Three sites in simulated time, in a process that may be killed: `python -m tests.maintenance.network_child PLAN`.

Everything but cars and hardware is the product: controllers, stores, foremen, updaters, mirrors.  Started again, it
goes on with the day after the last fact.  What it prints is on disk: ``promise SITE FACT LINES`` each evening.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from smartcharge import controller as controller_module
from smartcharge.clock import now_s
from smartcharge.control import schedule
from smartcharge.control.health.rules import RULES
from smartcharge.controller import Controller
from smartcharge.errors import MaintenanceError
from smartcharge.events import FirmwareReported, StationBooted
from smartcharge.maintenance import foreman, updater
from smartcharge.maintenance.clerk import Clerk
from smartcharge.maintenance.firmware import CampaignStarted, Image, Rules, campaigns, entries, firmware
from smartcharge.maintenance.foreman import Foreman
from smartcharge.maintenance.meaning import Meaning
from smartcharge.maintenance.plans import PlanKeys
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.updater import Updater
from smartcharge.maintenance.work_orders import Category, WorkOrder, orders
from smartcharge.model import EvseId, Site, StationId, Timing
from smartcharge.orders import Order, UpdateFirmware
from smartcharge.ports import Emit, Source, WorkKind, WorkWord
from smartcharge.sim import loop
from smartcharge.sim.ailments import AILMENTS, CAUSES, SIMULATED_CODES, SOUND
from smartcharge.sim.cars import Car
from smartcharge.sim.direct import DirectStations
from smartcharge.sim.field import field_faults
from smartcharge.sim.scenario import FaultKind
from smartcharge.sim.world import LoopDriver, World
from smartcharge.store import Store, open_store
from smartcharge.store import network as network_module
from tests.builders import row_of

DAY_S, HOUR_S = 86_400.0, 3600.0
YEAR_DAYS = 365
EVSES = 3
TOLD = frozenset({
    FaultKind.GROUND_FAULT, FaultKind.EMERGENCY_STOP, FaultKind.CABLE_CUT, FaultKind.CONNECTOR_LOCK, FaultKind.WATER,
    FaultKind.LATCH_BROKEN, FaultKind.OVERCURRENT_TRIP, FaultKind.CONTACTOR_WELDED, FaultKind.CABLE_OVERHEATED,
    FaultKind.READER, FaultKind.EV_COMMUNICATION, FaultKind.STATION_DEAD,
})  # fmt: skip
"""What a station tells of by itself, whether a car is there or not: what becomes of each is certain."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is played."""

    sites: Mapping[str, str]
    """Database URL of each."""
    network: str
    begin_s: float
    days: int
    bad: tuple[str, ...]
    """Sites whose stations will not take the new firmware."""
    fault_years: int
    """So many years' faults of the field are planted."""

    @classmethod
    def read(cls, path: Path) -> Plan:
        values: dict[str, Any] = json.loads(path.read_text())
        return cls(**{**values, "bad": tuple(values["bad"])})

    @property
    def pace(self) -> float:
        """How much faster than in a year things come."""
        return YEAR_DAYS / self.days

    @property
    def end_s(self) -> float:
        return self.begin_s + self.days * DAY_S

    @property
    def campaign_s(self) -> float:
        return self.begin_s + round(0.3 * self.days) * DAY_S

    def is_calm(self, since_s: float, until_s: float) -> bool:
        """Tell whether a fault may come then: one while new firmware soaks would stop the campaign, and rightly so."""
        ends_s = self.campaign_s + (2 * 5.0 / self.pace + 2.0) * DAY_S
        return until_s < self.campaign_s or since_s > ends_s

    def plans(self) -> tuple[PlanKeys, ...]:
        days, lead = max(90.0 / self.pace, 4.0), max(30.0 / self.pace, 3.0)
        return (
            PlanKeys(id="cleaning", title="clean", every_days=days, lead_days=lead, checklist=["clean"]),
            PlanKeys(id="contacts", title="measure", every_cycles=max(60.0 / self.pace, 2.0), lead_days=lead,
                     checklist=["measured"]),
        )  # fmt: skip


class Injected(NamedTuple):
    """A fault that is planted."""

    kind: FaultKind
    station: str
    since_s: float
    until_s: float

    @property
    def calls(self) -> tuple[str, str] | None:
        """The asset and the cause of the work order that it must raise; None if somebody need not come."""
        if self.kind is FaultKind.STATION_DEAD:
            return self.station, "offline"
        cause = CAUSES[self.kind]
        return (f"{self.station}/1", cause.value) if RULES[cause].priority is not None else None


def site_of(name: str) -> Site:
    timing = Timing(meter_interval_s=1800, slow_s=7200.0, fast_s=60.0, profile_s=7200.0)
    return replace(row_of(EVSES), id=name, solver="edf", timing=timing, vendor_codes=SIMULATED_CODES)


def faults(plan: Plan, name: str) -> list[Injected]:
    """Return the faults of a site, as they come in the field in so many years, in the time that is played."""
    found: list[Injected] = []
    busy_s: dict[str, float] = {}
    days = YEAR_DAYS * plan.fault_years
    for fault in field_faults(site_of(name), days, seed=random.Random(name).randrange(1000)):
        since_s = plan.begin_s + HOUR_S + fault.after_s * plan.days / days
        lasts_s = min(max(fault.duration_s, 600.0), 0.8 * DAY_S)
        lasts_s = max(lasts_s, 2.0 * HOUR_S) if fault.kind is FaultKind.STATION_DEAD else lasts_s
        assert fault.target is not None
        is_free = since_s > busy_s.get(fault.target, -inf) + HOUR_S
        is_free = is_free and plan.is_calm(since_s - HOUR_S, since_s + lasts_s)
        if fault.kind in TOLD and is_free and since_s + lasts_s < plan.end_s - 3 * DAY_S:
            busy_s[fault.target] = since_s + lasts_s
            found.append(Injected(fault.kind, fault.target, since_s, since_s + lasts_s))
    return found


class Stations(DirectStations):
    """The simulated stations of a site that also take firmware; some say that it is forged."""

    def __init__(self, site: Site, world: World, runs: Mapping[StationId, str], *, refuses: bool) -> None:
        super().__init__(site, world)
        self.runs = {station.id: runs.get(station.id, "1") for station in site.stations}
        self._refuses = refuses

    async def run(self, emit: Emit) -> None:
        async def named(event: Any) -> None:
            if isinstance(event, StationBooted):
                event = replace(event, vendor="V", model="M", firmware=self.runs[event.station])
            await emit(event)

        for station in self.runs:
            await named(StationBooted(at_s=now_s(), station=station))
        await super().run(named)

    async def ask(self, station: StationId, request: Order) -> Mapping[str, Any]:
        assert isinstance(request, UpdateFirmware)
        asyncio.get_running_loop().call_later(900.0, self._installed, station, request)
        return {"status": "Accepted"}

    def _installed(self, station: StationId, request: UpdateFirmware) -> None:
        status = "InvalidSignature" if self._refuses else "Installed"
        self._events.put_nowait(
            FirmwareReported(at_s=now_s(), station=station, status=status, request_id=request.request_id)
        )
        if not self._refuses:
            self.runs[station] = request.location.rpartition("/")[2]
            self._events.put_nowait(StationBooted(at_s=now_s(), station=station))


class SiteLife:
    """One site from a moment on to the end."""

    def __init__(self, plan: Plan, name: str, store: Store) -> None:
        self.plan, self.name, self.store = plan, name, store
        self.site = site_of(name)
        self.place = Place.of(self.site)
        self.meaning = Meaning.of(self.site)
        self.clerk = Clerk(store.chronicle, store.logbook, store.journal, self.meaning)
        self.mirror = store.mirror(name, self.place.written(), plan.network)

    async def run(self, last_s: float) -> None:
        world = World(self.site, start_s=now_s())
        driver = LoopDriver(world)
        kept = await self.store.chronicle.facts()
        runs = {station: boot.firmware or "1" for station, boot in firmware(kept).items()}
        fleet = Stations(self.site, world, runs, refuses=self.name in self.plan.bad)
        store, place = self.store, self.place
        sources: list[Source] = [
            Foreman(
                place,
                store.chronicle,
                store.logbook,
                journal=store.journal,
                plans=self.plan.plans(),
                meaning=self.meaning,
            ),
            Updater(place, store.chronicle, store.logbook, fleet),
            self.mirror,
        ]
        controller = Controller(self.site, journal=store.journal, sources=sources, chargers=[fleet])
        working = [
            asyncio.create_task(work)
            for work in (
                controller.run(), self.watch(), self.begin_campaign(),
                *(self.drivers(fleet, EvseId(evse.id)) for evse in self.site.evses),
                *(self.suffer(fleet, one) for one in faults(self.plan, self.name) if one.until_s > last_s),
            )
        ]  # fmt: skip
        while now_s() < self.plan.end_s:
            await asyncio.sleep(DAY_S / 4.0)
            broken = [task for task in working if task.done() and task.exception() is not None]
            for task in broken:
                task.result()
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        await store.journal.flush()
        await self.mirror.deliver()
        driver.close()

    async def drivers(self, fleet: Stations, evse: EvseId) -> None:
        """A car every morning."""
        while True:
            day_s = self.plan.begin_s + DAY_S * ((now_s() - self.plan.begin_s) // DAY_S + 1.0)
            await asyncio.sleep(day_s + 8.0 * HOUR_S + random.Random(f"{evse} {day_s}").uniform(0.0, HOUR_S) - now_s())
            fleet.plug(evse, Car.ideal(energy_wh=8000.0, max_w=7000.0), f"{evse} {day_s % 5}")
            await asyncio.sleep(3.0 * HOUR_S)
            fleet.unplug(evse)

    async def suffer(self, fleet: Stations, fault: Injected) -> None:
        """Plant a fault for as long as it lasts; what a kill cut short lasts on."""
        await asyncio.sleep(max(fault.since_s - now_s(), HOUR_S))
        station, evse = StationId(fault.station), EvseId(f"{fault.station}/1")
        is_power = fault.kind is FaultKind.STATION_DEAD
        fleet.set_dead(station, on=True) if is_power else fleet.set_ailment(evse, AILMENTS[fault.kind])
        await asyncio.sleep(max(fault.until_s - now_s(), 2.0 * HOUR_S))
        fleet.set_dead(station, on=False) if is_power else fleet.set_ailment(evse, SOUND)

    async def begin_campaign(self) -> None:
        """Begin the campaign when it is time, unless it has begun."""
        await asyncio.sleep(max(self.plan.campaign_s - now_s(), HOUR_S))
        if not campaigns(entries(await self.store.logbook.lines())):
            rules = Rules(soak_s=5 * DAY_S / self.plan.pace, patience_s=2 * DAY_S, least_available=0.0)
            begun = CampaignStarted(
                at_s=now_s(), campaign="to-2", author="kim", image=Image(version="2", location="https://fw.example/2"),
                rings=((StationId("a"),), (StationId("b"), StationId("c"))), rules=rules,
            )  # fmt: skip
            await updater.write(self.store.logbook, lambda _: [begun])

    async def watch(self) -> None:
        """At noon the technician does what can be done; in the evening it is told what is on disk."""
        while True:
            day_s = self.plan.begin_s + DAY_S * ((now_s() - self.plan.begin_s) // DAY_S + 1.0)
            for hour, act in ((6.5, self.repair), (13.0, self.complete), (23.0, self.promise)):
                await asyncio.sleep(day_s + hour * HOUR_S - now_s())
                await act()

    async def open(self, categories: frozenset[Category]) -> list[WorkOrder]:
        known = orders(await foreman.read(self.store.logbook)).values()
        return [order for order in known if order.is_open and order.raised.category in categories]

    async def repair(self) -> None:
        for order in await self.open(frozenset({Category.REACTIVE})):
            if order.repaired is None:
                await self.say(WorkWord(order=order.number, kind=WorkKind.REPAIRED, author="bo", text="mended"))

    async def complete(self) -> None:
        for order in await self.open(frozenset(Category)):
            await self.say(
                WorkWord(order=order.number, kind=WorkKind.COMPLETE, author="bo", signature="B. Vos",
                         done=order.raised.checklist)
            )  # fmt: skip

    async def say(self, word: WorkWord) -> None:
        with suppress(MaintenanceError):
            await self.clerk.take(word)

    async def promise(self) -> None:
        await self.store.journal.flush()
        facts = await self.store.chronicle.facts(now_s() - DAY_S)
        lines = await self.store.logbook.lines()
        sys.stdout.write(f"promise {self.name} {facts[-1].seq} {len(lines)}\n")
        sys.stdout.flush()


async def last_fact_s(plan: Plan) -> float:
    newest = plan.begin_s - DAY_S
    for url in plan.sites.values():
        async with open_store(url) as store:
            newest = max([newest, *(fact.event.at_s for fact in await store.chronicle.facts())])
    return newest


def seldom() -> None:
    """Look less often than in the field: a year passes faster."""
    foreman.ROUND_S, foreman.PLANS_S = 6 * HOUR_S, DAY_S  # type: ignore[misc]
    controller_module.WATCH_S = 2 * HOUR_S  # type: ignore[misc]
    schedule.IDLE_S = 1200.0
    updater.ROUND_S, network_module.ROUND_S = 2 * HOUR_S, 12 * HOUR_S  # type: ignore[misc]


def main() -> None:
    plan = Plan.read(Path(sys.argv[1]))
    seldom()
    last_s = asyncio.run(last_fact_s(plan))
    resume_s = plan.begin_s + DAY_S * ((last_s - plan.begin_s) // DAY_S + 1.0)

    async def all_sites() -> None:
        stores = {name: open_store(url) for name, url in plan.sites.items()}
        lives: list[Awaitable[None]] = [SiteLife(plan, name, store).run(last_s) for name, store in stores.items()]
        async with asyncio.TaskGroup() as group:
            for life in lives:
                group.create_task(life)  # type: ignore[arg-type]
        for store in stores.values():
            await store.close()

    loop.run(all_sites(), epoch_s=resume_s)
    sys.stdout.write("end\n")


if __name__ == "__main__":
    main()
