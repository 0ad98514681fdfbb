"""One plan for a full garage: our solver beside Pyomo's, on the very problem that the controller would ask.

Every EVSE has a car with an energy and a departure, the grid connection is short, and the plan looks 12 hours ahead.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.figures import Row
from benchmarks.limit_cut import site_of
from smartcharge.config import load, with_capacity
from smartcharge.control.limits import effective_limits
from smartcharge.control.planning import question
from smartcharge.control.state import State, apply
from smartcharge.events import Event, NeedStated, Plugged, StationOnline, TransactionStarted
from smartcharge.model import Site
from solvers import SOLVERS
from solvers.problem import Problem, Schedule, shortfall_wh
from solvers.verify import refute

SITES = Path(__file__).resolve().parent.parent / "sites"
NOON_S = 1_700_000_000.0 // 3600.0 * 3600.0
DEADLINE_S = 60.0
PEER = "pyomo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A garage to plan for."""

    name: str
    site: Site
    repeats: int
    with_peer: bool = True
    """Whether Pyomo solves it too, which may take long."""


def cases() -> Iterator[Case]:
    """Yield the garages: Caltech's 54 EVSEs at half of what they want, a depot, and a large tree."""
    caltech = load(SITES / "caltech.toml").site
    yield Case(name="caltech delta 60 kW", site=with_capacity(caltech, 60_000.0), repeats=5)
    yield Case(name="depot", site=load(SITES / "depot.toml").site, repeats=5)
    yield Case(name="tree of 200", site=with_capacity(site_of(200), 1_200_000.0), repeats=3)


def full(site: Site, seed: int = 2019) -> Problem:
    """Return what to plan when every EVSE of a site has a car."""
    state = State.initial(site)
    for event in _arrivals(site, np.random.default_rng(seed)):
        state = apply(state, event)
    asked = question(state, effective_limits(state, NOON_S), NOON_S)
    assert asked is not None
    return asked.problem


def _arrivals(site: Site, rng: np.random.Generator) -> Iterator[Event]:
    for station in site.stations:
        yield StationOnline(at_s=NOON_S - 60.0, station=station.id)
        for evse in station.evses:
            at_s = NOON_S - float(rng.uniform(10.0, 50.0))
            depart_at_s = NOON_S + float(rng.uniform(1.0, 12.0)) * 3600.0
            energy_wh = float(rng.uniform(3_000.0, 30_000.0))
            yield Plugged(at_s=at_s, evse=evse.id)
            yield TransactionStarted(at_s=at_s, evse=evse.id, transaction_id=f"of {evse.id}", meter_wh=0.0)
            yield NeedStated(at_s=at_s, evse=evse.id, energy_wh=energy_wh, depart_at_s=depart_at_s)


def measure(garages: Iterator[Case] | None = None) -> list[Row]:
    """Return a row for each garage; times are medians [s]."""
    return [_row(case) for case in (cases() if garages is None else garages)]


def _row(case: Case) -> Row:
    problem = full(case.site)
    cold_s, ours = _timed(problem, "optimal", case.repeats)
    greedy_s, greedy = _timed(problem, "greedy", case.repeats)
    row: Row = {
        "benchmark": "solve", "problem": case.name, "evses": problem.evs, "slots": problem.slots,
        "rows": len(problem.coupling), "outcome": ours.outcome.value, "cold_s": cold_s, "greedy_s": greedy_s,
        "greedy_objective_ratio": round(greedy.objective / ours.objective, 4), "peers": {},
        "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0),
    }  # fmt: skip
    if case.with_peer:
        peer_s, peer = _timed(problem, PEER, 1)
        row["peers"] = {"pyomo-highs": peer_s}
        row["speed_ratio_to_pyomo"] = round(peer_s / cold_s, 1)
        row["energy_ratio_to_pyomo"] = round(_delivered_wh(problem, ours) / _delivered_wh(problem, peer), 5)
    return row


def _timed(problem: Problem, solver: str, repeats: int) -> tuple[float, Schedule]:
    """Return the median time of a solver [s] and its schedule, which must stand up to verification."""
    times_s = []
    for _ in range(repeats):
        started_s = time.perf_counter()
        schedule = SOLVERS[solver](problem, DEADLINE_S)
        times_s.append(time.perf_counter() - started_s)
    assert refute(problem, schedule) == ()
    return round(float(np.median(times_s)), 4), schedule


def _delivered_wh(problem: Problem, schedule: Schedule) -> float:
    return float(problem.demand_wh.sum() - shortfall_wh(problem, schedule.current_a).sum())


if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["solve", *sys.argv[1:]])
