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
    if not np.isfinite(schedule.storage_w).all() or schedule.storage_w.shape[1] != len(problem.storage.level_wh):
        return ("storage_w is not finite, or not one column for each battery",)
    return (
        *_current_faults(problem, schedule.current_a, tolerance.current_a),
        *_minimum_faults(problem, schedule.current_a, tolerance.current_a),
        *_step_faults(problem, schedule.current_a, tolerance.current_a),
        *_row_faults(problem, schedule, tolerance.current_a),
        *_tail_faults(problem, schedule.current_a, tolerance.energy_wh),
        *_storage_faults(problem, schedule.storage_w, tolerance),
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


def _step_faults(problem: Problem, current_a: Floats, tolerance_a: float) -> Iterator[str]:
    for ev, steps in enumerate(np.broadcast_to(problem.steps_a, (len(problem.demand_wh), problem.steps_a.shape[1]))):
        allowed = [0.0, *steps[np.isfinite(steps)]]
        for slot in range(min(problem.binary_slots, len(current_a)) if len(allowed) > 1 else 0):
            if not min(abs(current_a[slot, ev] - step) for step in allowed) <= tolerance_a:
                yield f"slot {slot}, EV {ev}: {current_a[slot, ev]} A is none of its steps {allowed} A"


def _row_faults(problem: Problem, schedule: Schedule, tolerance_a: float) -> Iterator[str]:
    current_a, coupling = schedule.current_a, problem.coupling
    east_a, north_a = current_a @ coupling.real.T, current_a @ coupling.imag.T
    if len(problem.storage.level_wh):
        per_watt = problem.storage.coupling
        east_a = east_a + schedule.storage_w @ per_watt.real.T
        north_a = north_a + schedule.storage_w @ per_watt.imag.T
    row_a = np.hypot(east_a, north_a)
    for slot, row in np.argwhere(~(row_a <= problem.limit_a + tolerance_a)):
        yield f"slot {slot}, row {row}: {row_a[slot, row]} A exceeds the limit of {problem.limit_a[slot, row]} A"


def _tail_faults(problem: Problem, current_a: Floats, tolerance_wh: float) -> Iterator[str]:
    shape = (len(problem.demand_wh),)
    tau_s, full_wh = np.broadcast_to(problem.taper_s, shape), np.broadcast_to(problem.battery_wh, shape)
    for ev in np.flatnonzero((tau_s > 0.0) & (full_wh < np.inf)):
        lacks_wh = float(full_wh[ev])
        for slot, slot_s in enumerate(problem.slot_s):
            given_wh = float(current_a[slot, ev] * problem.watts_per_amp[ev] * slot_s / 3600.0)
            taken_wh = lacks_wh * (1.0 - np.exp(-slot_s / tau_s[ev]))
            if slot >= problem.binary_slots and not given_wh <= taken_wh + tolerance_wh:
                yield f"slot {slot}, EV {ev}: {given_wh} Wh exceed the {taken_wh} Wh that its battery takes then"
            lacks_wh = max(lacks_wh - given_wh, 0.0)


def _storage_faults(problem: Problem, storage_w: Floats, tolerance: Tolerance) -> Iterator[str]:
    store = problem.storage
    for unit in range(len(store.level_wh)):
        level_wh = float(store.level_wh[unit])
        charge_w = np.broadcast_to(store.charge_w, storage_w.shape)[:, unit]
        discharge_w = np.broadcast_to(store.discharge_w, storage_w.shape)[:, unit]
        for slot, power_w in enumerate(storage_w[:, unit]):
            if not -discharge_w[slot] - tolerance.energy_wh <= power_w <= charge_w[slot] + tolerance.energy_wh:
                yield f"slot {slot}, battery {unit}: {power_w} W is more than it can"
            hours, efficiency = problem.slot_s[slot] / 3600.0, store.efficiency[unit]
            level_wh += hours * (power_w * efficiency if power_w > 0.0 else power_w / efficiency)
            if (
                not store.reserve_wh[unit] - tolerance.energy_wh
                <= level_wh
                <= store.capacity_wh[unit] + tolerance.energy_wh
            ):
                yield f"slot {slot}, battery {unit}: {level_wh} Wh lie outside its reserve and capacity"


def _energy_faults(problem: Problem, schedule: Schedule, tolerance_wh: float) -> Iterator[str]:
    power_w = schedule.current_a * problem.watts_per_amp
    delivered_wh = problem.slot_s @ power_w / 3600.0
    for ev in np.flatnonzero(~(delivered_wh <= problem.demand_wh + tolerance_wh)):
        yield f"EV {ev}: {delivered_wh[ev]} Wh exceed its demand of {problem.demand_wh[ev]} Wh"
    missing_wh = np.clip(problem.demand_wh - delivered_wh, 0.0, None)
    for ev in np.flatnonzero(~(abs(schedule.shortfall_wh - missing_wh) <= tolerance_wh)):
        yield f"EV {ev}: states a shortfall of {schedule.shortfall_wh[ev]} Wh, it is {missing_wh[ev]} Wh"


def _money_faults(problem: Problem, schedule: Schedule, tolerance: float) -> Iterator[str]:
    parts = tuple(_money(problem, schedule))
    truth, size = sum(parts), sum(map(abs, parts))
    if not abs(schedule.objective - truth) <= tolerance * max(size, 1.0):
        yield f"states an objective of {schedule.objective}, it is {truth}"


def _money(problem: Problem, schedule: Schedule) -> Iterator[float]:
    power_w = schedule.current_a * problem.watts_per_amp
    hours = problem.slot_s / 3600.0
    start_h = np.concatenate([[0.0], np.cumsum(hours)[:-1]])
    total_w = power_w.sum(axis=1) + problem.base_w + schedule.storage_w.sum(axis=1)
    sold_at = problem.price if problem.export_price is None else problem.export_price
    yield from hours * (np.clip(total_w, 0.0, None) * problem.price + np.clip(total_w, None, 0.0) * sold_at)
    yield float((start_h + hours / 2.0) * hours @ power_w @ problem.early_price)
    yield float((hours[:, None] * power_w * problem.late_price).sum())
    missing_wh = np.clip(problem.demand_wh - hours @ power_w, 0.0, None)
    yield float((missing_wh * problem.shortfall_price).sum())
    yield from (_unfair(problem.fair_price, *pair) for pair in zip(missing_wh, problem.demand_wh, strict=True))
    means_w = (total_w if problem.peak_share is None else problem.peak_share @ total_w) + problem.peak_base_w
    yield problem.peak_price * max(0.0, float(means_w.max(initial=0.0)) - problem.peak_w)
    yield problem.change_price * float(sum(abs(schedule.current_a[0] - problem.present_a)))
    has_floor = (problem.min_a > 0.0) | np.isfinite(problem.steps_a).any(axis=1)
    for slot in range(min(problem.binary_slots, len(hours))):
        is_off = schedule.current_a[slot] <= problem.min_a / 2.0
        yield float((is_off * has_floor * problem.pause_price).sum())
    yield from _storage_money(problem, schedule.storage_w)


def _unfair(price: float, missing_wh: float, demand_wh: float) -> float:
    """Return the price of unfairness for one EV: quarters of its demand at 1, 3, 5 and 7 sevenths of the price."""
    quarter_wh = demand_wh / 4.0
    return sum(
        price * odd / 7.0 * min(max(missing_wh - k * quarter_wh, 0.0), quarter_wh) for k, odd in enumerate((1, 3, 5, 7))
    )


def _storage_money(problem: Problem, storage_w: Floats) -> Iterator[float]:
    store, hours = problem.storage, problem.slot_s / 3600.0
    for unit in range(len(store.level_wh)):
        flow_w, efficiency = storage_w[:, unit], store.efficiency[unit]
        change_wh = hours * np.where(flow_w > 0.0, flow_w * efficiency, flow_w / efficiency)
        level_wh = store.level_wh[unit] + np.cumsum(change_wh)
        yield float(store.wear_price[unit] * (hours @ np.clip(-flow_w, 0.0, None)))
        yield float(store.target_price[unit] * max(store.target_wh[unit] - level_wh[store.due_slot[unit]], 0.0))
        yield -float(store.worth[unit] * change_wh.sum())
