"""What the slow loop proposes and the fast loop disposes: Plan, Setpoint, Decision."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from smartcharge.model import EvseId
from solvers.problem import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A verified schedule: the current [A] that each session should have, slot by slot."""

    made_at_s: float
    edges_s: tuple[float, ...]
    """Slot boundaries [s since 1970], one more than there are slots."""
    current_a: Mapping[EvseId, tuple[float, ...]]
    shortfall_wh: Mapping[EvseId, float]
    per_kwh: tuple[float, ...]
    """Price of energy in each slot [money/kWh]."""
    peak_w: float
    """Power through the grid connection that is paid for anyway [W]; infinite where nobody asks for it."""
    outcome: Outcome
    solver: str
    solve_s: float

    def setpoint_a(self, evse: EvseId, now_s: float) -> float | None:
        """Return what the plan gives an EVSE now [A], or None if it says nothing of it."""
        currents, slot = self.current_a.get(evse), self._slot(now_s)
        return None if currents is None or slot is None else currents[slot]

    def is_cheaper_later(self, evse: EvseId, now_s: float) -> bool:
        """Tell whether what an EVSE draws now costs more than all that the plan gives it later."""
        currents, slot = self.current_a.get(evse), self._slot(now_s)
        if currents is None or slot is None:
            return False
        later = [
            price for price, amps in zip(self.per_kwh[slot + 1 :], currents[slot + 1 :], strict=True) if amps > 0.0
        ]
        return bool(later) and self.per_kwh[slot] > max(later)

    def _slot(self, now_s: float) -> int | None:
        return bisect_right(self.edges_s, now_s) - 1 if self.edges_s[0] <= now_s < self.edges_s[-1] else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setpoint:
    """What an EVSE may draw, and why it is not more."""

    limit_a: float
    reason: str
    """In words, naming the source that binds, e.g. ``"fuse main L2"`` or ``"plan: cheaper later"``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer of one fast cycle: a setpoint for every EVSE of the site."""

    at_s: float
    setpoints: Mapping[EvseId, Setpoint]
