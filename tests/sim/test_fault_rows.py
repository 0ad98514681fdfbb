"""Every row of the table of faults, played through real OCPP 1.6 and 2.0.1 in simulated time: base and patch."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, time
from itertools import groupby
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from smartcharge.config import OcppSettings, Settings, StoreSettings
from smartcharge.control.health.rules import TABLE
from smartcharge.control.health.vocabulary import cause_of
from smartcharge.events import Derated, FaultRaised, ResetOrdered, Restored, ServiceNeeded, SiteFaultRaised
from smartcharge.faults import Cause, OrderKind
from smartcharge.model import (
    Circuit,
    CircuitId,
    Evse,
    EvseId,
    Meter,
    Phases,
    Rotation,
    Site,
    Staleness,
    Station,
    StationId,
    Wiring,
)
from smartcharge.ports import Snapshot
from smartcharge.sim.ailments import SIMULATED_CODES, VENDOR
from smartcharge.sim.recordings import Visit
from smartcharge.sim.result import Result
from smartcharge.sim.runner import Run, Transport, simulate
from smartcharge.sim.scenario import Fault, FaultKind, OrderStep, Scenario

FOLDER = Path(__file__).parent / "scenarios" / "faults"
BASE: dict[str, Any] = tomllib.loads((FOLDER / "base.toml").read_text())
ROWS: list[dict[str, Any]] = [BASE | patch for patch in tomllib.loads((FOLDER / "rows.toml").read_text())["row"]]
DAY_S = datetime(2025, 3, 3, tzinfo=UTC).timestamp()
VERSIONS = ("1.6", "2.0.1")


class Case(NamedTuple):
    """A row at the stations of one OCPP version."""

    row: dict[str, Any]
    version: str

    @property
    def name(self) -> str:
        return f"{self.row['kind']}.{self.row['cause']}.{'together.' if 'together' in self.row else ''}{self.version}"

    @property
    def stations(self) -> list[StationId]:
        return [StationId(f"{self.name}.{i}") for i in range(self.row.get("together", 1))]


CASES = [Case(row, version) for row in ROWS for version in VERSIONS if "target" not in row or version == "1.6"]


def at_s(local: time) -> float:
    return DAY_S + local.hour * 3600.0 + local.minute * 60.0 + local.second


def place() -> Site:
    """One EVSE for each row and version; station versions alternate, so the rows do too."""
    meter = Meter(id="m", staleness=Staleness(age_s=15.0, hold_s=15.0))
    main = Circuit(id=CircuitId("main"), parent=None, rating_a=Phases.all(4000.0), failsafe_a=Phases.all(3000.0),
                   voltage_v=230.0, meter=meter)  # fmt: skip
    pairs = [[s for case in CASES if case.version == version for s in case.stations] for version in VERSIONS]
    wirings = {s: case.row["wiring"] for case in CASES for s in case.stations}
    pairs[1].append(StationId("known"))
    wirings[StationId("known")] = "3-phase"
    for _ in range(len(pairs[0]) - len(pairs[1])):
        pairs[1].append(StationId(f"spare-{len(pairs[1])}"))
    names = [name for pair in zip(*pairs, strict=True) for name in pair]
    return Site(id="rows", name="Rows", timezone="UTC", circuits=(main,),
                stations=tuple(_station(name, wirings.get(name, "3-phase")) for name in names))  # fmt: skip


def _station(name: StationId, wiring: str) -> Station:
    evse = Evse(
        id=EvseId(name), station=name, number=1, wiring=Wiring(wiring), rotation=Rotation.RST, voltage_v=230.0,
        min_a=6.0, max_a=32.0, default_a=6.0, modules=4 if wiring == "dc" else None,
    )  # fmt: skip
    return Station(id=name, circuit=CircuitId("main"), evses=(evse,))


def _session(case: Case, station: StationId, number: int) -> str:
    return f"{CASES.index(case)}:{station[-1]}:{number}"  # idTags are short


def visits() -> Iterator[Visit]:
    for case in CASES:
        if "target" in case.row:
            continue
        for station in case.stations:
            for number, (begin, end) in enumerate(case.row["visits"]):
                car = f"car-{number}" if case.row.get("knows") else None
                yield Visit(evse=EvseId(station), session_id=_session(case, station, number), arrive_s=at_s(begin),
                            depart_s=at_s(end), energy_wh=150_000.0, phases=3, car=car)  # fmt: skip
    for number in range(5):  # where five cars showed this morning what they can take
        yield Visit(evse=EvseId("known"), session_id=f"known:{number}", arrive_s=DAY_S + 39_600.0 + 600.0 * number,
                    depart_s=DAY_S + 40_100.0 + 600.0 * number, energy_wh=50_000.0, phases=3,
                    car=f"car-{number}")  # fmt: skip


def scenario() -> Scenario:
    faults, orders = [], []
    for case in CASES:
        row = case.row
        for target in [row["target"]] if "target" in row else case.stations:
            faults.append(Fault(kind=FaultKind(row["kind"]), target=target, at=row["at"],
                                duration_s=row["duration_s"], released=row["released"]))  # fmt: skip
            if "order_a" in row:
                cause = Cause(row["cause"])
                orders.append(OrderStep(at=row["order_at"], evse=target, kind=OrderKind.FORCE, cause=cause,
                                        limit_a=row["order_a"]))  # fmt: skip
    return Scenario(faults=tuple(faults), orders=tuple(orders))


@pytest.fixture(scope="module")
def played() -> Result:
    settings = Settings(site=place(), mqtt=None, ocpp=OcppSettings(), store=StoreSettings())
    run = Run(
        settings=settings, policy="greedy", visits=tuple(sorted(visits(), key=lambda v: v.arrive_s)),
        start_s=DAY_S + 38_400.0, end_s=DAY_S + 59_400.0, scenario=scenario(), transport=Transport.OCPP,
    )  # fmt: skip
    return simulate(run, observers=(RESERVED,))


class Reserved:
    """What was reserved for stations whose current goes on although they are blocked [A], and what may be drawn."""

    def __init__(self) -> None:
        self.least_a: dict[str, float] = {}

    def observe(self, snapshot: Snapshot) -> None:
        for case in CASES:
            name = EvseId(case.name + ".0")
            repaired_s = at_s(case.row["at"]) + case.row["duration_s"]
            if not case.row["still_drawn"] or snapshot.at_s >= repaired_s:
                continue
            evse = snapshot.state.evses[name]
            if Cause.CONTACTOR_WELDED in evse.health.deratings:
                reserved_a = snapshot.state.reserved_a(name, snapshot.at_s)
                self.least_a[name] = min(self.least_a.get(name, inf), reserved_a)


RESERVED = Reserved()


def of(case: Case) -> set[str]:
    return {*case.stations}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
class TestRow:
    def test_it_is_found_in_time_and_not_before(self, case: Case, played: Result) -> None:
        subject = case.row.get("subject")
        if subject is None:
            found = [f.at_s for f in played.facts if isinstance(f, FaultRaised) and f.evse in of(case)
                     and f.code != "Faulted"
                     and cause_of(f, SIMULATED_CODES, VENDOR).value == case.row["cause"]]  # fmt: skip
        else:
            cause = Cause(case.row["cause"])
            found = [f.at_s for f in played.facts if isinstance(f, SiteFaultRaised) and f.cause is cause
                     and f.subject.startswith(subject) and f.at_s >= at_s(case.row["at"])]  # fmt: skip
        assert found, "nothing was found"
        assert -1.0 <= min(found) - at_s(case.row["at"]) <= case.row["within_s"]

    def test_it_costs_what_the_row_says_step_by_step(self, case: Case, played: Result) -> None:
        if "target" in case.row:
            return
        for station in case.stations:
            said = [f for f in played.facts if isinstance(f, Derated) and f.evse == EvseId(station)]
            assert {f.cause.value for f in said} <= {case.row["cause"]}
            limits = [limit_a for limit_a, _ in groupby(f.limit_a for f in said)]
            assert limits[: len(case.row["steps"])] == case.row["steps"]
            assert bool(limits) == bool(case.row["steps"])
            if case.row["stages"]:
                assert [f.stage.value for f in said][: len(case.row["stages"])] == case.row["stages"]
            if said:
                assert said[0].reason.startswith(case.row["reason"])
                assert said[0].at_s >= at_s(case.row["at"]) + case.row["least_s"]

    def test_it_comes_back_by_itself_where_it_may(self, case: Case, played: Result) -> None:
        for station in case.stations:
            down = {f.cause for f in played.facts if isinstance(f, Derated) and f.evse == EvseId(station)}
            back = {f.cause for f in played.facts if isinstance(f, Restored) and f.evse == EvseId(station)}
            assert (down <= back) is case.row["restored"]

    def test_maintenance_hears_of_it(self, case: Case, played: Result) -> None:
        cause, subject = Cause(case.row["cause"]), case.row.get("subject", "evse")
        names = (
            {"site"}
            if subject == "site"
            else {f"{subject} {n}" for n in ({"main"} if "target" in case.row else of(case))}
        )
        told = [f.priority.value for f in played.facts if isinstance(f, ServiceNeeded) and f.cause is cause
                and f.subject in names]  # fmt: skip
        assert told == ([case.row["service"]] if case.row["service"] else [])


class TestAllRows:
    def test_no_cause_without_a_scenario(self) -> None:
        assert {Cause(row["cause"]) for row in ROWS} == {rule.cause for rule in TABLE}

    def test_nothing_is_broken_on_the_way(self, played: Result) -> None:
        assert played.violations == ()

    def test_a_block_frees_nothing_that_is_still_drawn(self, played: Result) -> None:
        """Welded contactors: until they are repaired all that flows stays in the budget."""
        assert played.violations == ()
        assert set(RESERVED.least_a) == {f"{case.name}.0" for case in CASES if case.row["still_drawn"]}
        for name, least_a in RESERVED.least_a.items():
            assert least_a >= 31.0, name

    def test_nobody_else_is_blamed(self, played: Result) -> None:
        """Every fault that was found is one that was planted there."""
        planted = {(EvseId(station), case.row["cause"]) for case in CASES for station in case.stations}
        found = {
            (f.evse, cause_of(f, SIMULATED_CODES, VENDOR).value)
            for f in played.facts
            if isinstance(f, FaultRaised) and f.code != "Faulted"
        }
        assert found <= planted

    def test_stations_whose_sessions_fail_are_restarted(self, played: Result) -> None:
        restarted = {f.station for f in played.facts if isinstance(f, ResetOrdered)}
        assert restarted == {s for c in CASES if c.row["cause"] == "sessions-fail" for s in c.stations}
