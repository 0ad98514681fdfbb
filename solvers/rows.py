"""What the rows say before a solver starts: the cap of each EV alone, and which rows EVs share."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from solvers.problem import Floats, Problem

Indices: TypeAlias = NDArray[np.intp]

ROUNDING_A = 1e-9
"""Currents closer than this [A] are the same current."""


def caps_a(problem: Problem) -> Floats:
    """Return the highest current that EV e could have in slot t, were it alone [A], shape (T, E).

    Takes in ``max_a``, the demand, the rows that touch one EV only, and in binary slots ``min_a`` and
    ``steps_a``: an EV that cannot reach the lowest of them there is capped at 0.
    """
    cap = np.minimum(problem.max_a, problem.demand_wh / problem.wh_per_amp)
    touched = problem.coupling != 0
    if problem.storage.count:
        touched = touched & ~(problem.storage.coupling != 0).any(axis=1, keepdims=True)
    for row in np.flatnonzero(touched.sum(axis=1) == 1):
        ev = touched[row].argmax()
        bound = problem.limit_a[:, row] / abs(problem.coupling[row, ev])
        np.minimum(cap[:, ev], bound, out=cap[:, ev])
    leading = cap[: problem.binary_slots]
    leading[:] = floored_a(problem, leading)
    return cap * (problem.demand_wh > 0.0)


def floored_a(problem: Problem, current_a: Floats) -> Floats:
    """Return the highest currents allowed in a binary slot and not above the given ones [A], shape (..., E)."""
    above_min = np.where(current_a < problem.min_a - ROUNDING_A, 0.0, np.maximum(current_a, problem.min_a))
    if not problem.steps_a.shape[1]:
        return above_min
    is_reached = problem.steps_a <= current_a[..., None] + ROUNDING_A
    stepped = np.where(is_reached, problem.steps_a, 0.0).max(axis=-1)
    return np.where(problem.is_stepped, stepped, above_min)


def taper_room_wh(problem: Problem, current_a: Floats) -> Floats:
    """Return how much more each battery would take in each slot than a schedule gives it [Wh], shape (T, E).

    Negative where the tail of charging is overestimated; infinite where there is no tail to keep to.
    """
    room_wh = np.full(current_a.shape, np.inf)
    given_wh = problem.wh_per_amp * current_a
    before_wh = np.cumsum(given_wh, axis=0) - given_wh
    taken_wh = taper_share(problem) * (problem.battery_wh - np.minimum(before_wh, problem.battery_wh))
    np.subtract(taken_wh, given_wh, out=room_wh, where=has_taper(problem))
    return room_wh


def has_taper(problem: Problem) -> NDArray[np.bool_]:
    """Return where the tail of charging must be kept to: after the binary slots, shape (T, E)."""
    tapers = (problem.taper_s > 0.0) & np.isfinite(problem.battery_wh)
    is_later = np.arange(problem.slots) >= problem.binary_slots
    return is_later[:, None] & np.broadcast_to(tapers, (problem.evs,))[None, :]


def taper_share(problem: Problem) -> Floats:
    """Return the share of what a battery lacks that it takes within slot t at most, shape (T, E)."""
    share: Floats = -np.expm1(-problem.slot_s[:, None] / np.maximum(problem.taper_s, 1e-9))
    return np.broadcast_to(share, (problem.slots, problem.evs))


def shared_rows(problem: Problem) -> Indices:
    """Return the rows that couple two EVs, or an EV and a battery, or two batteries, or only a battery, shape (K,).

    All others are in ``caps_a``.
    """
    evs = (problem.coupling != 0).sum(axis=1)
    if not problem.storage.count:
        return np.flatnonzero(evs >= 2)
    return np.flatnonzero((evs >= 2) | (problem.storage.coupling != 0).any(axis=1))
