"""How far currents can rise before a row is full: exact on round limits, without optimisation.

Phasors more than 90 degrees apart lessen one another, so a row's current may fall while an EV
rises.  Every step here starts and ends inside all limits; limits are convex, so the way between
is inside too, and no step relies on a later one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from solvers.rows import shared_rows

if TYPE_CHECKING:
    from solvers.problem import Floats, Problem
    from solvers.rows import Indices

Phasors: TypeAlias = NDArray[np.inexact[Any]]
"""Complex, or real where no row turns a current: that is twice as fast."""
SAFE = 1.0 - 1e-12
"""Steps are shortened by this factor so that rounding cannot end them outside."""


NEARLY = 1.0 - 1e-9
"""A row counts as full from this share of its squared limit."""


class Wires:
    """The rows that EVs share, slot by slot."""

    def __init__(self, problem: Problem, cap_a: Floats) -> None:
        """Keep only the rows that ``cap_a`` (T, E) could exceed at all."""
        rows = shared_rows(problem)
        coupling = problem.coupling[rows]
        self._coupling = coupling if coupling.imag.any() else coupling.real.astype(np.float64)
        self._limit_a = problem.limit_a[:, rows]
        self._binding = cap_a @ abs(coupling).T > self._limit_a

    def serve_in_turn(self, slot: int, evs: Indices, want_a: Floats, least_a: Floats) -> Floats:
        """Return a current [A] for each of ``evs``, each the most that those before it leave.

        Gives 0 where that is less than ``least_a``.  One pass serves everyone up to the first whom
        a row stops, and drops all whom that row now stops too: passes are about as many as rows.
        """
        coupling, limit = self._rows(slot, evs)
        given = np.zeros(len(evs))
        phasor = np.zeros(len(limit), dtype=coupling.dtype)
        waiting = np.arange(len(evs))
        while len(waiting):
            path = phasor[:, None] + np.cumsum(coupling[:, waiting] * want_a[waiting], axis=1)
            served = _count_inside(path, limit)
            given[waiting[:served]] = want_a[waiting[:served]]
            phasor = path[:, served - 1] if served else phasor
            waiting = waiting[served:]
            room = _room(phasor, coupling[:, waiting], limit)
            if len(waiting) and room[0] >= least_a[waiting[0]]:
                given[waiting[0]] = min(room[0], want_a[waiting[0]])
                phasor = phasor + coupling[:, waiting[0]] * given[waiting[0]]
                room = _room(phasor, coupling[:, waiting], limit)
            waiting = waiting[1:][room[1:] >= least_a[waiting[1:]]]
        return given

    def serve_together(self, slot: int, evs: Indices, want_a: Floats, least_a: Floats) -> Floats:
        """Return a current [A] for each of ``evs``, the same for all whom no row and no want stops.

        ``evs`` are first admitted at ``least_a`` in their order; who finds no room for that gets 0.
        """
        given = self.serve_in_turn(slot, evs, least_a, least_a)
        coupling, limit = self._rows(slot, evs)
        rising = np.flatnonzero(given > 0.0)
        while len(rising):
            lowest, highest = given[rising], want_a[rising]
            levels = np.unique(np.concatenate([lowest, highest]))
            steps = np.clip(levels[None, :], lowest[:, None], highest[:, None])
            path = (coupling @ given - coupling[:, rising] @ lowest)[:, None] + coupling[:, rising] @ steps
            reached = max(_count_inside(path, limit), 1) - 1
            given[rising] = steps[:, reached]
            if reached == len(levels) - 1:
                break
            step = steps[:, reached + 1] - steps[:, reached]
            share = _room(path[:, reached], (coupling[:, rising] @ step)[:, None], limit)
            given[rising] += np.clip(share, 0.0, 1.0) * step
            is_full = _squared(coupling @ given) >= limit**2 * NEARLY
            is_free = ~(coupling[is_full] != 0).any(axis=0) if is_full.any() else np.zeros(len(evs), dtype=np.bool_)
            rising = rising[is_free[rising] & (given[rising] < want_a[rising])]
        return given

    def _rows(self, slot: int, evs: Indices) -> tuple[Phasors, Floats]:
        rows = np.flatnonzero(self._binding[slot])
        return self._coupling[np.ix_(rows, evs)], self._limit_a[slot, rows]


def _count_inside(path: Phasors, limit_a: Floats) -> int:
    """Return how many leading columns of ``path`` (K, n) lie inside the limits [A], shape (K,)."""
    is_outside = np.any(_squared(path) > (limit_a**2)[:, None], axis=0)
    return int(is_outside.argmax()) if is_outside.any() else path.shape[1]


def _room(phasor: Phasors, direction: Phasors, limit_a: Floats) -> Floats:
    """Return how far one may go from ``phasor`` (K,) along each ``direction`` (K, n), shape (n,).

    The larger root of ``|phasor + x * direction| = limit``, the least over all rows, in the form
    that does not cancel.
    """
    a = _squared(direction)
    b = (direction.conj() * phasor[:, None]).real
    gap = np.maximum(limit_a**2 - _squared(phasor), 0.0)[:, None]
    root = np.sqrt(b**2 + a * gap)
    room = np.full(a.shape, np.inf)
    np.divide(gap, b + root, out=room, where=(a > 0.0) & (b > 0.0))
    np.divide(root - b, a, out=room, where=(a > 0.0) & (b <= 0.0))
    return np.asarray(room.min(axis=0, initial=np.inf)) * SAFE


def _squared(phasor: Phasors) -> Floats:
    squared: Floats = phasor.real**2 + phasor.imag**2
    return squared
