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

from solvers.objective import schedule_of
from solvers.problem import Floats, Problem, Schedule
from solvers.rows import Indices, caps_a, floored_a, has_taper, taper_share
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
        slots: The slots in the order in which they are served; the first to the last where batteries have tails.
        is_shared: Whether all EVs rise together rather than one after the other.
    """
    wires = Wires(problem)
    wh_per_amp = problem.wh_per_amp
    left_wh = problem.demand_wh.copy()
    reach_wh = (wh_per_amp * cap_a).sum(axis=0)
    power_w = problem.watts_per_amp * problem.max_a.max(axis=0)
    current_a = np.zeros_like(cap_a)
    tails = has_taper(problem)
    for slot in slots:
        is_binary = slot < problem.binary_slots
        want_a = np.minimum(cap_a[slot], left_wh / wh_per_amp[slot])
        if tails[slot].any():
            lacks_wh = problem.battery_wh - (problem.demand_wh - left_wh)
            tail_a = taper_share(problem)[slot] * lacks_wh / wh_per_amp[slot]
            want_a = np.where(tails[slot], np.minimum(want_a, tail_a), want_a)
        want_a = floored_a(problem, want_a) * (cap_a[slot] > 0.0) if is_binary else want_a
        least_a = np.maximum(_lowest_a(problem) if is_binary else 0.0, np.full(problem.evs, CRUMB_A))
        evs = order(Queue(problem=problem, slot=int(slot), left_wh=left_wh, reach_wh=reach_wh, power_w=power_w))
        evs = evs[want_a[evs] > CRUMB_A]
        serve = wires.serve_together if is_shared else wires.serve_in_turn
        given_a = np.zeros(problem.evs)
        given_a[evs] = serve(int(slot), evs, want_a[evs], least_a[evs])
        if is_binary and problem.is_stepped.any():
            given_a = _stepped(problem, wires, int(slot), evs, given_a)
        current_a[slot] = given_a
        left_wh = np.maximum(left_wh - wh_per_amp[slot] * given_a, 0.0)
        reach_wh -= wh_per_amp[slot] * cap_a[slot]
    return current_a


def _lowest_a(problem: Problem) -> Floats:
    """Return the lowest current above 0 that EV e may have in a binary slot [A], shape (E,)."""
    return np.where(problem.is_stepped, problem.steps_a.min(axis=1, initial=np.inf), problem.min_a)


def _stepped(problem: Problem, wires: Wires, slot: int, evs: Indices, given_a: Floats) -> Floats:
    """Return currents [A], shape (E,), that are steps: each the step below what was given, or nothing.

    To draw less can load a row more, so everybody is served once more: the step or nothing.
    """
    floored = floored_a(problem, given_a)
    served = np.zeros_like(given_a)
    served[evs] = wires.serve_in_turn(slot, evs, floored[evs], np.maximum(floored[evs], CRUMB_A))
    return served


def greedy(problem: Problem, deadline_s: float) -> Schedule:
    """Return the fallback: cheap slots first, dear shortfalls first, no energy at more than it is worth."""
    del deadline_s  # it takes milliseconds
    started_s = time.perf_counter()
    per_wh = problem.price_per_wh
    cap_a = caps_a(problem) * (per_wh < problem.shortfall_price)
    has_tails = bool(has_taper(problem).any())
    slots = np.arange(problem.slots) if has_tails else np.argsort(per_wh.sum(axis=1), kind="stable")
    current_a = fill(problem, by_value, cap_a=cap_a, slots=slots)
    return schedule_of(problem, current_a, solver="greedy", started_s=started_s)


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
    rounded_a = np.where(wish_a < _lowest_a(problem) / 2.0, 0.0, np.maximum(wish_a, _lowest_a(problem)))
    nearest_a = floored_a(problem, rounded_a + np.where(problem.is_stepped, _half_step_a(problem), 0.0))
    cap_a = np.minimum(np.where(is_binary, nearest_a, wish_a), caps_a(problem))

    def by_wish(queue: Queue) -> Indices:
        return np.argsort(-wish_a[queue.slot], kind="stable")

    return fill(problem, by_wish, cap_a=cap_a, slots=slots)


def _half_step_a(problem: Problem) -> Floats:
    """Return half the smallest distance between steps of each EV [A], shape (E,); 0 where there is none."""
    steps_a = np.where(np.isfinite(problem.steps_a), problem.steps_a, np.nan)
    if steps_a.shape[1] < 2:
        return np.zeros(problem.evs)
    rise_a = np.nan_to_num(np.diff(steps_a, axis=1), nan=np.inf).min(axis=1)
    half_a = np.where(np.isfinite(rise_a), rise_a / 2.0, 0.0)
    return np.asarray(np.broadcast_to(half_a, (problem.evs,)))


def _quick(problem: Problem, order: Order, name: str, *, is_shared: bool = False) -> Schedule:
    started_s = time.perf_counter()
    slots = np.arange(problem.slots)
    current_a = fill(problem, order, cap_a=caps_a(problem), slots=slots, is_shared=is_shared)
    return schedule_of(problem, current_a, solver=name, started_s=started_s)
