"""Proof or refutation of a schedule, from the Problem's raw numbers alone.

Shares nothing with the solvers, not even the objective: what is wrong there must not be wrong here
in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from solvers.problem import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from solvers.problem import Floats, Problem, Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How much rounding is forgiven; far below anything that a meter could see."""

    current_a: float = 1e-6
    """Of every current and row current [A]."""
    energy_wh: float = 1e-3
    """Of every EV's energy [Wh]."""
    money: float = 1e-6
    """Of the objective, as a share of the sum of its terms' sizes [money/money]."""


DEFAULT = Tolerance()


def refute(problem: Problem, schedule: Schedule, tolerance: Tolerance = DEFAULT) -> tuple[str, ...]:
    """Return in words all that is wrong with a schedule; empty means that it is proven.

    Proven means inside every limit and truthful about itself, not that nothing better exists.
    """
    if schedule.outcome in (Outcome.FAILED, Outcome.TIMED_OUT):
        return (f"carries no schedule: {schedule.outcome.value}",)
    slots, evs = len(problem.slot_s), len(problem.demand_wh)
    if schedule.current_a.shape != (slots, evs) or schedule.shortfall_wh.shape != (evs,):
        shapes = f"{schedule.current_a.shape} and {schedule.shortfall_wh.shape}"
        return (f"current_a and shortfall_wh have shapes {shapes}, expected {(slots, evs)} and {(evs,)}",)
    if not (np.isfinite(schedule.current_a).all() and np.isfinite(schedule.shortfall_wh).all()):
        return ("current_a or shortfall_wh is not finite",)
    return (
        *_current_faults(problem, schedule.current_a, tolerance.current_a),
        *_minimum_faults(problem, schedule.current_a, tolerance.current_a),
        *_row_faults(problem, schedule.current_a, tolerance.current_a),
        *_energy_faults(problem, schedule, tolerance.energy_wh),
        *_money_faults(problem, schedule, tolerance.money),
    )


def _current_faults(problem: Problem, current_a: Floats, tolerance_a: float) -> Iterator[str]:
    for slot, ev in np.argwhere(~(current_a >= -tolerance_a)):
        yield f"slot {slot}, EV {ev}: {current_a[slot, ev]} A is negative"
    for slot, ev in np.argwhere(~(current_a <= problem.max_a + tolerance_a)):
        yield f"slot {slot}, EV {ev}: {current_a[slot, ev]} A exceeds its maximum of {problem.max_a[slot, ev]} A"


def _minimum_faults(problem: Problem, current_a: Floats, tolerance_a: float) -> Iterator[str]:
    leading = current_a[: problem.binary_slots]
    for slot, ev in np.argwhere((leading > tolerance_a) & (leading < problem.min_a - tolerance_a)):
        yield f"slot {slot}, EV {ev}: {leading[slot, ev]} A is neither 0 nor its minimum of {problem.min_a[ev]} A"


def _row_faults(problem: Problem, current_a: Floats, tolerance_a: float) -> Iterator[str]:
    east_a = current_a @ problem.coupling.real.T
    north_a = current_a @ problem.coupling.imag.T
    row_a = np.hypot(east_a, north_a)
    for slot, row in np.argwhere(~(row_a <= problem.limit_a + tolerance_a)):
        yield f"slot {slot}, row {row}: {row_a[slot, row]} A exceeds the limit of {problem.limit_a[slot, row]} A"


def _energy_faults(problem: Problem, schedule: Schedule, tolerance_wh: float) -> Iterator[str]:
    power_w = schedule.current_a * problem.watts_per_amp
    delivered_wh = problem.slot_s @ power_w / 3600.0
    for ev in np.flatnonzero(~(delivered_wh <= problem.demand_wh + tolerance_wh)):
        yield f"EV {ev}: {delivered_wh[ev]} Wh exceed its demand of {problem.demand_wh[ev]} Wh"
    missing_wh = np.clip(problem.demand_wh - delivered_wh, 0.0, None)
    for ev in np.flatnonzero(~(abs(schedule.shortfall_wh - missing_wh) <= tolerance_wh)):
        yield f"EV {ev}: states a shortfall of {schedule.shortfall_wh[ev]} Wh, it is {missing_wh[ev]} Wh"


def _money_faults(problem: Problem, schedule: Schedule, tolerance: float) -> Iterator[str]:
    power_w = schedule.current_a * problem.watts_per_amp
    total_w = power_w.sum(axis=1)
    hours = problem.slot_s / 3600.0
    start_h = np.concatenate([[0.0], np.cumsum(hours)[:-1]])
    energy = float((total_w * hours * problem.price).sum())
    waiting = float((start_h + hours / 2.0) * hours @ power_w @ problem.early_price)
    missing_wh = np.clip(problem.demand_wh - hours @ power_w, 0.0, None)
    shortfall = float((missing_wh * problem.shortfall_price).sum())
    peak = problem.peak_price * max(0.0, float(total_w.max(initial=0.0)) - problem.peak_w)
    change = problem.change_price * float(sum(abs(schedule.current_a[0] - problem.present_a)))
    truth = energy + waiting + shortfall + peak + change
    size = abs(energy) + abs(waiting) + shortfall + peak + change
    if not abs(schedule.objective - truth) <= tolerance * max(size, 1.0):
        yield f"states an objective of {schedule.objective}, it is {truth}"
