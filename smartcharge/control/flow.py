"""Currents on their way up the tree: who may have how much more before a row is full."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smartcharge.control.topology import Topology
from solvers.problem import Complexes, Floats

_SLACK_A = 1e-6
"""Rounding below which a row counts as within its limit [A]."""


class Flow:
    """Setpoints, the phasors they add up to on each row, and the room on it; the only mutable thing in control.

    It lives within one call and keeps the sums, so that changing one EVSE costs the rows, not the site.
    """

    def __init__(self, *, topology: Topology, available_a: Floats, current_a: Floats) -> None:
        self.current_a = current_a.copy()
        """Setpoints [A], shape (E,)."""
        self._coupling = topology.coupling
        self._is_above = topology.is_above
        self._available_a = available_a + _SLACK_A
        self._inner_a = available_a + _SLACK_A / 2.0  # so that what was filled to the brim still fits when checked
        self._phasors = self._coupling @ self.current_a

    def fits_with(self, e: int, amps: float) -> bool:
        """Tell whether the rows above EVSE e hold when it alone changes; rows elsewhere may be full."""
        phasors = self._phasors + self._coupling[:, e] * (amps - self.current_a[e])
        return not np.count_nonzero(self._is_above[:, e] & (np.abs(phasors) > self._available_a))

    def fits_all(self, current_a: Floats, changed: Sequence[int]) -> bool:
        """Tell whether the rows above the changed EVSEs hold at setpoints (E,)."""
        over = np.flatnonzero(np.abs(self._coupling @ current_a) > self._available_a)
        return not len(over) or not np.count_nonzero(self._is_above[over][:, list(changed)])

    def crowded(self) -> frozenset[int]:
        """Return the EVSEs under rows that do not hold as it is."""
        is_over = np.abs(self._phasors) > self._available_a
        if not np.count_nonzero(is_over):
            return frozenset()
        return frozenset(map(int, np.flatnonzero(self._is_above[is_over].any(axis=0))))

    def set(self, e: int, amps: float) -> None:
        """Give EVSE e a setpoint."""
        self._phasors = self._phasors + self._coupling[:, e] * (amps - self.current_a[e])
        self.current_a[e] = amps

    def set_all(self, current_a: Floats) -> None:
        """Give every EVSE a setpoint (E,)."""
        self.current_a = current_a.copy()
        self._phasors = self._coupling @ self.current_a

    def highest(self, e: int, wish_a: float) -> float:
        """Return the highest setpoint of EVSE e from what it has up to its wish that its rows hold [A]."""
        has_a = float(self.current_a[e])
        if wish_a <= has_a:
            return wish_a
        above = self._is_above[:, e]
        room_a = _reach(self._phasors[above], self._coupling[above, e], self._inner_a[above])
        return min(wish_a, has_a + room_a)

    def towards(self, wished_a: Floats, served: Sequence[int]) -> Floats:
        """Return setpoints (E,) moved the same share of the way to their wishes, as far as the rows hold."""
        way = np.zeros_like(self.current_a)
        way[list(served)] = wished_a[list(served)] - self.current_a[list(served)]
        above = self._is_above[:, list(served)].any(axis=1)
        share = _reach(self._phasors[above], self._coupling[above] @ way, self._inner_a[above])
        return np.asarray(self.current_a + way * min(share, 1.0), dtype=np.float64)

    def tightest(self, e: int) -> int:
        """Return the row above EVSE e that has the least room left."""
        above = np.flatnonzero(self._is_above[:, e])
        room = self._available_a[above] - np.abs(self._phasors[above])
        return int(above[np.argmin(room)])


def _reach(phasors: Complexes, steps: Complexes, available_a: Floats) -> float:
    """Return how many steps the phasors (R,) can take, all together, before the first leaves its circle.

    Each circle is left at the larger root of ``|phasor + t step|^2 = available^2``; none where a
    phasor is outside already, infinitely many where nothing binds.
    """
    square = np.abs(steps) ** 2
    inward = np.abs(phasors) ** 2 - available_a**2
    if (inward > 0.0).any():
        return 0.0
    moves = (square > 0.0) & np.isfinite(inward)
    along = (np.conj(steps[moves]) * phasors[moves]).real
    roots = (np.sqrt(along**2 - square[moves] * inward[moves]) - along) / square[moves]
    return float(roots.min(initial=np.inf))
