"""Schedules without optimisation: always an answer, in milliseconds, inside every limit by construction.

One engine, ``fill``, serves slot after slot; the policies differ in whom they serve first.  They are
the controller's fallback and the baselines that an optimiser has to beat.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from solvers.problem import Floats, Outcome, Problem, Schedule, objective, shortfall_wh
from solvers.rows import ROUNDING_A, Indices, caps_a
from solvers.wires import Wires

CRUMB_A = 1e-3
"""Less than this [A] is not handed out: it would only cost time."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Queue:
    """Who waits at the start of a slot."""

    problem: Problem
    slot: int
    left_wh: Floats
    """Energy that EV e still wants [Wh], shape (E,)."""
    reach_wh: Floats
    """Energy that EV e could still get alone, in this and all slots not yet served [Wh], shape (E,)."""
    power_w: Floats
    """Highest power of EV e [W], shape (E,)."""

    @property
    def laxity_h(self) -> Floats:
        """Hours that EV e could still pause and be full in time [h], shape (E,)."""
        laxity_h: Floats = (self.reach_wh - self.left_wh) / np.maximum(self.power_w, 1.0)
        return laxity_h


Order: TypeAlias = Callable[[Queue], Indices]
"""Return all EVs, the first to be served first, shape (E,)."""


def by_value(queue: Queue) -> Indices:
    """Serve dear shortfalls first, among equals the least laxity, then whoever has most already."""
    return np.lexsort((-queue.problem.present_a, queue.laxity_h, -queue.problem.shortfall_price))


def by_laxity(queue: Queue) -> Indices:
    """Serve first whoever can afford the least pause."""
    return np.argsort(queue.laxity_h, kind="stable")


def by_departure(queue: Queue) -> Indices:
    """Serve first whoever has the earliest last slot."""
    can_charge = queue.problem.max_a > 0.0
    last_slot = queue.problem.slots - can_charge[::-1].argmax(axis=0)
    return np.argsort(last_slot, kind="stable")


def by_turn(queue: Queue) -> Indices:
    """Begin each slot with the next EV.

    A Problem knows no clock, so the energy still wanted says whose turn it is in slot 0: between
    two calls it falls by what was charged, and the turn moves on.
    """
    problem = queue.problem
    turn_wh = float(problem.wh_per_amp[0] @ problem.max_a.max(axis=0)) / max(problem.evs, 1)
    turn = int(problem.demand_wh.sum() / max(turn_wh, 1.0)) - queue.slot
    return np.roll(np.arange(problem.evs), turn)


def fill(problem: Problem, order: Order, *, cap_a: Floats, slots: Indices, is_shared: bool = False) -> Floats:
    """Return currents [A], shape (T, E), that keep every limit and demand.

    Args:
        problem: What may be handed out.
        order: Whom to serve first.
        cap_a: Highest current of EV e in slot t [A], shape (T, E); at most ``caps_a(problem)``.
        slots: The slots in the order in which they are served.
        is_shared: Whether all EVs rise together rather than one after the other.
    """
    wires = Wires(problem)
    wh_per_amp = problem.wh_per_amp
    left_wh = problem.demand_wh.copy()
    reach_wh = (wh_per_amp * cap_a).sum(axis=0)
    power_w = problem.watts_per_amp * problem.max_a.max(axis=0)
    current_a = np.zeros_like(cap_a)
    for slot in slots:
        least_a = problem.min_a if slot < problem.binary_slots else np.zeros(problem.evs)
        want_a = np.minimum(cap_a[slot], left_wh / wh_per_amp[slot])
        want_a = np.where(want_a < least_a - ROUNDING_A, 0.0, np.maximum(want_a, least_a) * (cap_a[slot] > 0.0))
        evs = order(Queue(problem=problem, slot=int(slot), left_wh=left_wh, reach_wh=reach_wh, power_w=power_w))
        evs = evs[want_a[evs] > CRUMB_A]
        serve = wires.serve_together if is_shared else wires.serve_in_turn
        current_a[slot, evs] = serve(int(slot), evs, want_a[evs], np.maximum(least_a[evs], CRUMB_A))
        left_wh = np.maximum(left_wh - wh_per_amp[slot] * current_a[slot], 0.0)
        reach_wh -= wh_per_amp[slot] * cap_a[slot]
    return current_a


def greedy(problem: Problem, deadline_s: float) -> Schedule:
    """Return the fallback: cheap slots first, dear shortfalls first, no energy at more than it is worth."""
    del deadline_s  # it takes milliseconds
    started_s = time.perf_counter()
    per_wh = problem.price_per_wh
    cap_a = caps_a(problem) * (per_wh < problem.shortfall_price)
    slots = np.argsort(per_wh.sum(axis=1), kind="stable")
    return _schedule(problem, fill(problem, by_value, cap_a=cap_a, slots=slots), "greedy", started_s)


def edf(problem: Problem, deadline_s: float) -> Schedule:
    """Return earliest deadline first, as early as possible."""
    del deadline_s
    return _quick(problem, by_departure, "edf")


def llf(problem: Problem, deadline_s: float) -> Schedule:
    """Return least laxity first, as early as possible."""
    del deadline_s
    return _quick(problem, by_laxity, "llf")


def equal(problem: Problem, deadline_s: float) -> Schedule:
    """Return equal currents for all, as far as rows and wants allow, as early as possible."""
    del deadline_s
    return _quick(problem, by_laxity, "equal", is_shared=True)


def round_robin(problem: Problem, deadline_s: float) -> Schedule:
    """Return full currents by turns, as early as possible."""
    del deadline_s
    return _quick(problem, by_turn, "round-robin")


def fitted(problem: Problem, wish_a: Floats, slots: Indices) -> Floats:
    """Return currents [A], shape (T, E), near a wish that may break minimum currents; 0 outside ``slots``."""
    is_binary = (np.arange(problem.slots) < problem.binary_slots)[:, None]
    rounded_a = np.where(wish_a < problem.min_a / 2.0, 0.0, np.maximum(wish_a, problem.min_a))
    cap_a = np.minimum(np.where(is_binary, rounded_a, wish_a), caps_a(problem))

    def by_wish(queue: Queue) -> Indices:
        return np.argsort(-wish_a[queue.slot], kind="stable")

    return fill(problem, by_wish, cap_a=cap_a, slots=slots)


def _quick(problem: Problem, order: Order, name: str, *, is_shared: bool = False) -> Schedule:
    started_s = time.perf_counter()
    slots = np.arange(problem.slots)
    return _schedule(
        problem, fill(problem, order, cap_a=caps_a(problem), slots=slots, is_shared=is_shared), name, started_s
    )


def _schedule(problem: Problem, current_a: Floats, name: str, started_s: float) -> Schedule:
    return Schedule(
        outcome=Outcome.FEASIBLE,
        current_a=current_a,
        shortfall_wh=shortfall_wh(problem, current_a),
        objective=objective(problem, current_a),
        solver=name,
        solve_s=time.perf_counter() - started_s,
    )
