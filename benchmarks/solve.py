"""One plan for a full garage: our solver beside what a user would pick instead, in one process on the same problem.

Peers plan on even slots, as their users do; we on the controller's own grid, and once more on the peers' slots, so that
like can be compared with like.  Every plan of ours is verified on the network's true lines.  What it places on coarse
slots is one figure; what would come of it on the peers' fine ones if nobody ever planned again is another.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.figures import Row
from benchmarks.garages import MAX_A, Garage, caltech, even_grid, own_grid, tree, yard
from benchmarks.memory import memory_mb
from benchmarks.peers import CONES, PEERS
from smartcharge.control.planning import GAP_SHARE
from solvers import SOLVERS
from solvers.greedy import fitted
from solvers.highs import Warm
from solvers.objective import shortfall_wh
from solvers.problem import Floats, Problem, Schedule
from solvers.verify import refute

DEADLINE_S = 120.0
REPEATS = 5
REPLANS = 5
TINY = 1e-9
ENOUGH_S = 10.0
"""What took this long altogether is not repeated again [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A garage to plan for."""

    garage: Garage
    peer_slots: int
    binary_slots: int = 2
    """Slots with minimum currents and steps, in the row that has them."""
    repeats: int = REPEATS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """What one way of planning came to."""

    median_s: float
    current_a: Floats
    outcome: str = ""


def cases() -> Iterator[Case]:
    """Yield the garages: Caltech's and four of it, a large tree, and groups without phases."""
    yield Case(garage=caltech(capacity=0.33), peer_slots=144)
    yield Case(garage=caltech(4, capacity=0.33), peer_slots=144)
    yield Case(garage=tree(1000), peer_slots=48)
    yield Case(garage=yard(200), peer_slots=96)


def measure(chosen: Iterator[Case] | None = None) -> list[Row]:
    """Return rows for each garage: on our slots, on the peers', with integers, and by greedy; all times are medians."""
    return [row for case in (cases() if chosen is None else chosen) for row in _rows(case)]


def _rows(case: Case) -> Iterator[Row]:
    garage, load = case.garage, round(os.getloadavg()[0], 2)
    fine = garage.problem(even_grid(case.peer_slots))
    switched = garage.problem(own_grid(garage.evses), binary_slots=case.binary_slots)
    asked = {
        garage.name: ("optimal", garage.problem(own_grid(garage.evses))),
        f"{garage.name}, peers' slots": ("optimal", fine),
        f"{garage.name}, minimum currents and steps": ("optimal", switched),
        f"{garage.name}, greedy": ("greedy", switched),
    }
    replanned = {name: _replanned(garage, problem) for name, (_, problem) in asked.items()}
    ways: dict[str, Callable[[], Floats | Schedule]] = {name: partial(peer, fine) for name, peer in PEERS.items()}
    ways |= {name: partial(SOLVERS[solver], problem, DEADLINE_S) for name, (solver, problem) in asked.items()}
    runs = _side_by_side(ways, case.repeats)
    best_wh = _delivered_wh(fine, runs[CONES].current_a)
    peers_s = {name: runs[name].median_s for name in PEERS}
    for name, (solver, problem) in asked.items():
        has_peers = solver == "optimal" and problem.binary_slots == 0
        yield {
            "benchmark": "solve", "problem": name, "evses": problem.evs, "slots": problem.slots,
            "rows": len(problem.coupling), "binary_slots": problem.binary_slots,
            "gap_share": GAP_SHARE if problem.gap > 0.0 else 0.0, "solver": solver,
            "outcome": runs[name].outcome, "cold_s": runs[name].median_s,
            "warm_s": replanned[name] if solver == "optimal" else None,
            "memory_mb": memory_mb(problem, solver),
            "energy_ratio_to_cones": round(_delivered_wh(problem, runs[name].current_a) / best_wh, 5),
            "energy_ratio_never_replanned": round(_carried_out_wh(fine, problem, runs[name].current_a) / best_wh, 5),
            "peers": peers_s if has_peers else {}, "peer_slots": case.peer_slots, "load": load,
            "times_faster": {peer: _ratios(s, runs[name], replanned[name]) for peer, s in peers_s.items() if has_peers},
        }  # fmt: skip


def _ratios(peer_s: float, run: Run, warm_s: float) -> Row:
    return {"cold": round(peer_s / run.median_s, 1), "warm": round(peer_s / warm_s, 1)}


def _replanned(garage: Garage, problem: Problem) -> float:
    """Return how long plans take that are five minutes apart [s], each made with what the last one left."""
    warm, rng, times_s = Warm(), np.random.default_rng(0), []
    for _ in range(REPLANS + 1):
        started_s = time.perf_counter()
        schedule = warm(problem, DEADLINE_S)
        times_s.append(time.perf_counter() - started_s)
        assert refute(problem, schedule) == ()
        garage = garage.later(schedule.current_a[0], rng)
        problem = garage.problem(problem.slot_s, binary_slots=problem.binary_slots)
    return round(float(np.median(times_s[1:])), 5)


def _side_by_side(ways: Mapping[str, Callable[[], Floats | Schedule]], repeats: int) -> dict[str, Run]:
    """Run all ways in turn, again and again, so that a busy machine is equally busy for each."""
    times_s: dict[str, list[float]] = {name: [] for name in ways}
    last: dict[str, Floats | Schedule] = {}
    for _ in range(repeats):
        for name, way in ways.items():
            if sum(times_s[name]) < ENOUGH_S:
                started_s = time.perf_counter()
                last[name] = way()
                times_s[name].append(time.perf_counter() - started_s)
                print(f"  {name}: {times_s[name][-1]:.3f} s", file=sys.stderr, flush=True)
    return {name: _run(times_s[name], last[name]) for name in ways}


def _run(times_s: Sequence[float], answer: Floats | Schedule) -> Run:
    median_s = round(float(np.median(times_s)), 5)
    if isinstance(answer, Schedule):
        return Run(median_s=median_s, current_a=answer.current_a, outcome=answer.outcome.value)
    return Run(median_s=median_s, current_a=answer)


def _carried_out_wh(fine: Problem, problem: Problem, current_a: Floats) -> float:
    """Return the energy [Wh] that a plan brings on the peers' slots if each of them holds what the plan says then."""
    plan_ends_s, ends_s = np.cumsum(problem.slot_s), np.cumsum(fine.slot_s)
    slot = np.minimum(np.searchsorted(plan_ends_s, ends_s - fine.slot_s / 2.0), problem.slots - 1)
    # A car that leaves within a long slot takes its share of it while it is there.
    present = np.maximum(problem.max_a[slot] / MAX_A, TINY)
    wish_a = np.minimum(current_a[slot] / present, fine.max_a)
    return _delivered_wh(fine, fitted(fine, wish_a, np.arange(fine.slots)))


def _delivered_wh(problem: Problem, current_a: Floats) -> float:
    return float(problem.demand_wh.sum() - shortfall_wh(problem, current_a).sum())


if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["solve", *sys.argv[1:]])
