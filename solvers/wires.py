"""How far currents can rise before a row is full: exact on round limits, without optimisation.

Phasors more than 90 degrees apart lessen one another, so a row's current may fall while an EV
rises.  Every step here starts and ends inside all limits; limits are convex, so the way between
is inside too, and no step relies on a later one.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from solvers.rows import shared_rows

if TYPE_CHECKING:
    from solvers.problem import Complexes, Floats, Problem
    from solvers.rows import Indices

Bools: TypeAlias = NDArray[np.bool_]
Phasors: TypeAlias = NDArray[np.inexact[Any]]
"""Complex, or real where no row turns a current: that is twice as fast."""
SAFE = 1.0 - 1e-12
"""Steps are shortened by this factor so that rounding cannot end them outside."""
STRAIGHT = 1e-12
"""Phasors are of one direction if the cosine between them is less than this below 1."""
NEARLY = 1.0 - 1e-9
"""A row counts as full from this share of its squared limit."""


class Wires:
    """The rows that EVs share, slot by slot."""

    def __init__(self, problem: Problem) -> None:
        """Take the limits of a problem that two EVs or more have in common."""
        rows = shared_rows(problem)
        self._coupling = problem.coupling[rows]
        self._length: Floats = np.abs(self._coupling).astype(np.float64)
        self._limit_a = problem.limit_a[:, rows]
        self._is_ray = _is_ray(self._coupling, self._length)
        self._touched = _touched(self._length)
        self._is_touched: Bools = self._length > 0.0

    def serve_in_turn(self, slot: int, evs: Indices, want_a: Floats, least_a: Floats) -> Floats:
        """Return a current [A] for each of ``evs``, each the most that those before it leave.

        Gives 0 where that is less than ``least_a``.
        """
        rows = self._tight(slot, evs, want_a)
        if not self._is_ray[rows].all():
            return _in_passes(self._phasors(rows, evs), self._limit_a[slot, rows], want_a, least_a)
        room_a = np.full(len(self._length), np.inf)
        room_a[rows] = self._limit_a[slot, rows]
        waiting = np.flatnonzero(np.any(self._is_touched[rows], axis=0)[evs])
        given = want_a.copy()
        given[waiting] = self._one_by_one(room_a.tolist(), evs[waiting], want_a[waiting], least_a[waiting])
        return given

    def _one_by_one(self, room_a: list[float], evs: Indices, want_a: Floats, least_a: Floats) -> list[float]:
        """Return what each EV gets [A] of rows in which currents only add up, and lessen ``room_a`` by it.

        Plain numbers on purpose: an EV touches few rows, and arrays of few cost more than they save.
        """
        given = []
        for ev, want, least in zip(evs.tolist(), want_a.tolist(), least_a.tolist(), strict=True):
            current = want
            for row, length in self._touched[ev]:
                if current * length > room_a[row]:
                    current = room_a[row] / length * SAFE
                    if current < least:
                        current = 0.0
                        break
            if current:
                for row, length in self._touched[ev]:
                    room_a[row] -= current * length
            given.append(current)
        return given

    def serve_together(self, slot: int, evs: Indices, want_a: Floats, least_a: Floats) -> Floats:
        """Return a current [A] for each of ``evs``, the same for all whom no row and no want stops.

        ``evs`` are first admitted at ``least_a`` in their order; who finds no room for that gets 0.
        """
        given = self.serve_in_turn(slot, evs, least_a, least_a)
        rows = self._tight(slot, evs, want_a)
        coupling, limit = self._phasors(rows, evs), self._limit_a[slot, rows]
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

    def _phasors(self, rows: Indices, evs: Indices) -> Phasors:
        """Return what an ampere of each of ``evs`` adds to each of ``rows`` [A/A], turned real if it can be."""
        coupling = self._length if self._is_ray[rows].all() else self._coupling
        return coupling[np.ix_(rows, evs)]

    def _tight(self, slot: int, evs: Indices, want_a: Floats) -> Indices:
        """Return the rows that could be exceeded if all of ``evs`` got what they want."""
        wants_a = np.zeros(self._length.shape[1])
        wants_a[evs] = want_a
        return np.flatnonzero(self._length @ wants_a > self._limit_a[slot])


def _is_ray(coupling: Complexes, length: Floats) -> Bools:
    """Return in which rows all phasors point the same way, so that the length of a sum is the sum of lengths."""
    if not length.size:
        return np.ones(len(length), dtype=np.bool_)
    lead = np.take_along_axis(coupling, length.argmax(axis=1, keepdims=True), axis=1)
    along = (coupling * lead.conj()).real
    return np.asarray((along >= length * abs(lead) * (1.0 - STRAIGHT)).all(axis=1))


def _touched(length: Floats) -> list[list[tuple[int, float]]]:
    """Return for each EV the rows that it touches, and by how much [A/A]."""
    ev, row = np.nonzero(length.T)
    pairs = list(zip(row.tolist(), length[row, ev].tolist(), strict=True))
    starts = np.searchsorted(ev, np.arange(length.shape[1] + 1)).tolist()
    return [pairs[start:end] for start, end in itertools.pairwise(starts)]


def _in_passes(coupling: Phasors, limit_a: Floats, want_a: Floats, least_a: Floats) -> Floats:
    """Return what each EV gets [A] where phasors may lessen one another.

    One pass serves everyone up to the first whom a row stops, and drops all whom that row now
    stops too: passes are about as many as rows.
    """
    given = np.zeros(len(want_a))
    phasor = np.zeros(len(limit_a), dtype=coupling.dtype)
    waiting = np.arange(len(want_a))
    while len(waiting):
        path = phasor[:, None] + np.cumsum(coupling[:, waiting] * want_a[waiting], axis=1)
        served = _count_inside(path, limit_a)
        given[waiting[:served]] = want_a[waiting[:served]]
        phasor = path[:, served - 1] if served else phasor
        waiting = waiting[served:]
        room = _room(phasor, coupling[:, waiting], limit_a)
        if len(waiting) and room[0] >= least_a[waiting[0]]:
            given[waiting[0]] = min(room[0], want_a[waiting[0]])
            phasor = phasor + coupling[:, waiting[0]] * given[waiting[0]]
            room = _room(phasor, coupling[:, waiting], limit_a)
        waiting = waiting[1:][room[1:] >= least_a[waiting[1:]]]
    return given


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
