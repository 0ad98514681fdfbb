"""What currents amount to: what they leave undelivered, what they cost term by term, the schedule they make."""

from __future__ import annotations

import time
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import numpy as np

from solvers.problem import FAIR_PARTS, Outcome, Schedule

if TYPE_CHECKING:
    from solvers.problem import Floats, Problem

_KNOTS = np.linspace(0.0, 1.0, FAIR_PARTS + 1)
"""Shares of a demand between which the price of unfairness is constant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The objective in its parts [money]; the order is that of ``solvers/README.md``."""

    energy: float
    delay: float
    shortfall: float
    unfairness: float
    peak: float
    pause: float
    change: float
    storage: float

    @property
    def total(self) -> float:
        """The objective [money]."""
        return float(sum(astuple(self)))


def shortfall_wh(problem: Problem, current_a: Floats) -> Floats:
    """Return the energy that ``current_a`` (T, E) leaves undelivered [Wh], shape (E,)."""
    delivered: Floats = (problem.wh_per_amp * current_a).sum(axis=0)
    return np.maximum(problem.demand_wh - delivered, 0.0)


def schedule_of(  # noqa: PLR0913  (what a schedule says of itself)
    problem: Problem,
    current_a: Floats,
    *,
    solver: str,
    started_s: float,
    outcome: Outcome = Outcome.FEASIBLE,
    storage_w: Floats | None = None,
) -> Schedule:
    """Return the schedule that currents (T, E) and battery powers (T, S) make; none given means batteries rest."""
    store_w = np.zeros((problem.slots, problem.storage.count)) if storage_w is None else storage_w
    return Schedule(
        outcome=outcome,
        current_a=current_a,
        storage_w=store_w,
        shortfall_wh=shortfall_wh(problem, current_a),
        objective=objective(problem, current_a, store_w),
        solver=solver,
        solve_s=time.perf_counter() - started_s,
    )


def objective(problem: Problem, current_a: Floats, storage_w: Floats | None = None) -> float:
    """Return what a schedule costs [money]; ``storage_w`` (T, S) is nothing where not given."""
    return terms(problem, current_a, storage_w).total


def terms(problem: Problem, current_a: Floats, storage_w: Floats | None = None) -> Terms:
    """Return what a schedule costs by term; ``storage_w`` (T, S) is nothing where not given."""
    store_w = np.zeros((problem.slots, problem.storage.count)) if storage_w is None else storage_w
    missing_wh = shortfall_wh(problem, current_a)
    ours_w = current_a @ problem.watts_per_amp + store_w.sum(axis=1)
    return Terms(
        energy=_energy(problem, ours_w),
        delay=float((problem.wh_per_amp * current_a * problem.delay_price).sum()),
        shortfall=float(missing_wh @ problem.shortfall_price),
        unfairness=_unfairness(problem, missing_wh),
        peak=_peak(problem, ours_w),
        pause=_pause(problem, current_a),
        change=problem.change_price * float(abs(current_a[0] - problem.present_a).sum()),
        storage=_storage(problem, store_w),
    )


def _energy(problem: Problem, ours_w: Floats) -> float:
    """Return what flows through the grid meter costs, or earns."""
    net_wh = problem.slot_s / 3600.0 * (ours_w + problem.base_w)
    export_price = problem.price if problem.export_price is None else problem.export_price
    return float((np.where(net_wh > 0.0, problem.price, export_price) * net_wh).sum())


def _unfairness(problem: Problem, missing_wh: Floats) -> float:
    """Return the price of unequal shortfall: convex in the share of each demand that is missing."""
    share = np.divide(missing_wh, problem.demand_wh, out=np.zeros(problem.evs), where=problem.demand_wh > 0.0)
    # The mean price of the last part is ``fair_price``; parts are priced 1, 3, 5, ... times that of the first.
    unit = problem.fair_price * FAIR_PARTS / (2.0 * FAIR_PARTS - 1.0)
    return unit * float(problem.demand_wh @ np.interp(share, _KNOTS, _KNOTS**2))


def _peak(problem: Problem, ours_w: Floats) -> float:
    power_w = ours_w + problem.base_w
    means_w = (power_w if problem.peak_share is None else problem.peak_share @ power_w) + problem.peak_base_w
    return problem.peak_price * (float(means_w.max(initial=problem.peak_w)) - problem.peak_w)


def _pause(problem: Problem, current_a: Floats) -> float:
    is_paused = (current_a[: problem.binary_slots] < problem.min_a / 2.0) | (current_a[: problem.binary_slots] <= 0.0)
    return float((is_paused * (problem.pause_price * problem.is_pausable)).sum())


def _storage(problem: Problem, store_w: Floats) -> float:
    """Return wear and what is missing when a car leaves, less what is in store in the end beyond the start."""
    store = problem.storage
    if not store.count:
        return 0.0
    out_wh = problem.slot_s / 3600.0 @ np.maximum(-store_w, 0.0)
    levels_wh = store.levels_wh(problem.slot_s, store_w)
    missing_wh = np.maximum(store.target_wh - levels_wh[store.due_slot, np.arange(store.count)], 0.0)
    gained_wh = levels_wh[-1] - store.level_wh
    return float(out_wh @ store.wear_price + missing_wh @ store.target_price - gained_wh @ store.worth)
