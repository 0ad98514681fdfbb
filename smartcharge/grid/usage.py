"""The energy that a site drew, from measured power: what operators are told of times that have passed."""

from __future__ import annotations

from collections import deque
from typing import Final

GAP_S: Final = 180.0
"""A power is held for so long at most; where nothing newer came, nobody knows what was drawn [s]."""
KEPT_S: Final = 2.0 * 86400.0
"""How far back energies are known [s]."""


class Usage:
    """The integral of a power that is measured now and then; each measurement counts until the next."""

    def __init__(self) -> None:
        self._known: deque[tuple[float, float, float]] = deque()
        """Times, each with the power from then on [W] and the energy until then [Wh]."""
        self._whole_since_s = 0.0
        """Since when no measurement was missing."""

    def measured(self, power_w: float, seen_s: float) -> None:
        """Take a measurement; one that is not newer than the last is none."""
        if not self._known:
            self._known.append((seen_s, power_w, 0.0))
            self._whole_since_s = seen_s
            return
        last_s, last_w, energy_wh = self._known[-1]
        if seen_s <= last_s:
            return
        if seen_s - last_s > GAP_S:
            self._whole_since_s = seen_s
        self._known.append((seen_s, power_w, energy_wh + last_w * (seen_s - last_s) / 3600.0))
        while self._known[0][0] < seen_s - KEPT_S:
            self._known.popleft()

    def energy_wh(self, start_s: float, end_s: float) -> float | None:
        """Return the energy from a time to another [Wh]; None unless all of it was measured."""
        if not self._known or start_s < max(self._known[0][0], self._whole_since_s):
            return None
        if end_s > self._known[-1][0] + GAP_S:
            return None
        return self._until_wh(end_s) - self._until_wh(start_s)

    def _until_wh(self, at_s: float) -> float:
        seen_s, power_w, energy_wh = next(known for known in reversed(self._known) if known[0] <= at_s)
        return energy_wh + power_w * (at_s - seen_s) / 3600.0
