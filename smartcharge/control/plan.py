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
    outcome: Outcome
    solver: str
    solve_s: float

    def setpoint_a(self, evse: EvseId, now_s: float) -> float | None:
        """Return what the plan gives an EVSE now [A], or None if it says nothing of it."""
        currents = self.current_a.get(evse)
        if currents is None or not self.edges_s[0] <= now_s < self.edges_s[-1]:
            return None
        return currents[bisect_right(self.edges_s, now_s) - 1]


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
