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

    Takes in ``max_a``, the demand, the rows that touch one EV only, and in binary slots ``min_a``:
    an EV that cannot reach it there is capped at 0.
    """
    cap = np.minimum(problem.max_a, problem.demand_wh / problem.wh_per_amp)
    touched = problem.coupling != 0
    for row in np.flatnonzero(touched.sum(axis=1) == 1):
        ev = touched[row].argmax()
        bound = problem.limit_a[:, row] / abs(problem.coupling[row, ev])
        np.minimum(cap[:, ev], bound, out=cap[:, ev])
    leading = cap[: problem.binary_slots]
    leading[:] = np.where(leading < problem.min_a - ROUNDING_A, 0.0, np.maximum(leading, problem.min_a))
    return cap * (problem.demand_wh > 0.0)


def shared_rows(problem: Problem) -> Indices:
    """Return the rows that couple two EVs or more, shape (K,); all others are in ``caps_a``."""
    return np.flatnonzero((problem.coupling != 0).sum(axis=1) >= 2)
