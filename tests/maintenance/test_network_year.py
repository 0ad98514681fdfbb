"""A year of a network of three sites, simulated: one on SQLite, two on PostgreSQL, all copied into one database there.

Their hardware fails as in the field; a technician comes once a day.  In the middle everything is killed: the
process with the controllers, and the database.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest

from smartcharge.maintenance.availability import Definition
from smartcharge.maintenance.firmware import Campaign, campaigns, entries, firmware
from smartcharge.maintenance.plans import standings
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.report import Evidence, Month, lines, network, outages
from smartcharge.maintenance.work_orders import Category, Completed, WorkOrder, lines_of, orders
from smartcharge.ports import Kept, Written
from smartcharge.store import Network, open_store
from tests.maintenance.month import at
from tests.maintenance.network_child import DAY_S, EVSES, Plan, faults, site_of
from tests.postgres import Database, database

ROOT = Path(__file__).resolve().parents[2]


class Known(NamedTuple):
    """What a site's own database has in the end."""

    facts: Sequence[Kept]
    written: Sequence[Written]

    @property
    def orders(self) -> list[WorkOrder]:
        return list(orders(lines_of(self.written)).values())


def leg(plan_file: Path, promises: int | None) -> dict[str, tuple[int, int]]:
    """Let the sites live until so many promises are made, then kill them; None lets them come to their end."""
    command = [sys.executable, "-m", "tests.maintenance.network_child", str(plan_file)]
    heard: list[str] = []
    log = plan_file.with_suffix(".log")
    with (
        log.open("w") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=ROOT) as child,
    ):
        assert child.stdout is not None
        for line in child.stdout:
            heard.append(line)
            if len(heard) == promises:
                child.kill()
    assert child.returncode == (0 if promises is None else -9), log.read_text()[-2000:]
    words = [line.split() for line in heard if line.endswith("\n") and line.startswith("promise ")]
    return {site: (int(fact), int(count)) for _, site, fact, count in words}


def lived(folder: Path, server: Database, days: int, kills: int) -> Plan:
    """Play the whole time, with everything killed so many times on the way."""
    urls = {"north": f"sqlite:///{folder / 'north.db'}", "south": server.url(), "west": server.url()}
    plan = Plan(sites=urls, network=server.url(), begin_s=at(1, month=1), days=days, bad=("south",), fault_years=6)
    plan_file = folder / "plan.json"
    plan_file.write_text(json.dumps(asdict(plan)))
    dice = random.Random(days)
    for _ in range(kills):
        each = days // (kills + 1)
        promised = leg(plan_file, dice.randint(3 * each - 4, 3 * each))
        server.kill()
        server.start()
        found = asyncio.run(known(plan))
        for site, (fact, count) in promised.items():
            assert found[site].facts[-1].seq >= fact, "a fact that was on disk is there"
            assert len(found[site].written) >= count, "a line that was on disk is there"
    leg(plan_file, None)
    return plan


async def known(plan: Plan) -> dict[str, Known]:
    found = {}
    for name, url in plan.sites.items():
        async with open_store(url) as store:
            found[name] = Known(await store.chronicle.facts(), await store.logbook.lines())
    return found


class Year:
    """What must be true in the end."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.sites = asyncio.run(known(plan))

    def check(self) -> None:
        assert sum(len(faults(self.plan, name)) for name in self.sites) >= 10, "there is something to see"
        for name, site in self.sites.items():
            self.check_work(name, site)
            self.check_plans(name, site)
            self.check_campaign(name, site)
        asyncio.run(self.check_network())

    def check_work(self, name: str, site: Known) -> None:
        """Each fault that calls for somebody has its work order, and no work order is without its fault."""
        reactive = [order for order in site.orders if order.raised.category is Category.REACTIVE]
        planted = {fault.calls for fault in faults(self.plan, name) if fault.calls is not None}
        assert {(order.raised.asset, order.raised.cause) for order in reactive} == planted
        assert [order for order in site.orders if order.is_open and order.raised.category is Category.REACTIVE] == []
        seqs = {fact.seq for fact in site.facts}
        for order in reactive:
            done = [line for line in order.lines if isinstance(line, Completed)]
            assert all(line.evidence and seqs.issuperset(line.evidence) for line in done), "closed by facts"

    def check_plans(self, name: str, site: Known) -> None:
        place = Place.of(site_of(name))
        found = list(standings(self.plan.plans(), place, site.facts, lines_of(site.written)))
        assert len(found) == 2 * EVSES
        for one in found:
            assert one.done == one.in_time
            assert not one.is_overdue(self.plan.end_s)
            assert one.done >= 3

    def check_campaign(self, name: str, site: Known) -> None:
        found: Campaign = campaigns(entries(site.written))["to-2"]
        runs = {boot.firmware for boot in firmware(site.facts).values()}
        if name in self.plan.bad:
            assert found.stopped is not None
            assert found.stopped.reason == "1 of 1 failed: a: InvalidSignature"
            assert runs == {"1"}, "nobody else got it"
        else:
            assert (found.stopped, found.finished is not None) == (None, True)
            assert runs == {"2"}

    async def check_network(self) -> None:
        async with Network(self.plan.network) as sites:
            assert set(await sites.sites()) == set(self.plan.sites)
            for name, site in self.sites.items():
                assert await sites.facts(name) == site.facts, "nothing lost, nothing doubled"
                assert await sites.lines(name) == site.written
        self.check_figures({name: site.facts for name, site in self.sites.items()})

    def check_figures(self, facts: Mapping[str, Sequence[Kept]]) -> None:
        """Every minute of outage is traced to facts; when nobody watched because of a kill is said, not guessed."""
        evidence = [Evidence.of(Place.of(site_of(name)), known, ()) for name, known in facts.items()]
        months = [Month(year=2026, number=number) for number in range(1, 1 + max(self.plan.days // 31, 1))]
        totals = [network((line for one in evidence for line in lines(one, month)), month) for month in months]
        assert {total.subject for total in totals} == {"3 sites"}
        measured = [total.measured[Definition.NEVI] for total in totals]
        assert any(one.unknown_s > 0.0 for one in measured), "the sites were killed"
        for one in measured:
            assert (one.available is None) == (one.unknown_s > 0.0)
        assert all(total.reliability.failures > 0 for total in totals)
        assert all(total.success.session_share is not None for total in totals)
        for one_site in evidence:
            for outage in outages(one_site, months[0].span(ZoneInfo("UTC"))):
                assert outage.facts
                assert outage.causes


@pytest.mark.timeout(280)
class TestAYear:
    def test_in_twelve_days_killed_once(self, tmp_path: Path) -> None:
        with database() as server:
            Year(lived(tmp_path, server, days=12, kills=1)).check()


@pytest.mark.campaign
@pytest.mark.timeout(2400)
class TestAWholeYear:
    def test_killed_six_times(self, tmp_path: Path) -> None:
        with database() as server:
            plan = lived(tmp_path, server, days=365, kills=6)
            Year(plan).check()
            assert plan.end_s == plan.begin_s + 365 * DAY_S
