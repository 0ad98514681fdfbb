"""Who is likely to fail: a score for each EVSE from its own history and that of the others.

Few sessions lie, so the failure rate is an empirical-Bayes estimate: a Beta prior is fitted to all EVSEs of the site
by moments, and each EVSE moves away from it only as far as its own sessions carry it (Casella 1985).  The warmth of a
connector for each ampere tells of its contacts before anything fails; it is shrunk towards the usual in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from smartcharge.control.health.memory import History, Slope
from smartcharge.control.state import State
from smartcharge.model import EvseId

WEAKEST: Final = (0.5, 9.5)
"""Failures and successes of the prior while a site has too few sessions to tell [sessions]: 5 % of ten."""
HALF_C_PER_A: Final = 2.0
"""Warmth at which half of the score is lost [C/A]; a sound connector has 0.5 to 0.8."""
SOUND_C_PER_A: Final = 0.8
USUAL_C_PER_A: Final = 0.65
"""What few readings are taken to come from [C/A]."""
DOUBT_A2: Final = 700.0
"""How much spread of currents the prior of the warmth is worth [A^2]: weather of 4 C over connectors that differ by
0.15 C/A, both squared."""
LEAST_READINGS: Final = 10.0
"""Readings that a line of warmth over current needs."""
_SPREAD_A2: Final = 4.0
"""Variance of the currents that it needs [A^2]: one point makes no line."""


def prior(histories: Mapping[EvseId, History]) -> tuple[float, float]:
    """Return the Beta prior of the failure rate over a site, as (failures, successes)."""
    seen = [h for h in histories.values() if h.sessions >= 1.0]
    total = sum(h.sessions for h in seen)
    if len(seen) < 2 or total < 10.0 * len(seen):
        return WEAKEST
    # A site where nothing failed yet, or everything did, tells nothing of how its EVSEs differ.
    mean = min(max(sum(h.failures for h in seen) / total, 1e-3), 1.0 - 1e-3)
    spread = sum(h.sessions * (h.failures / h.sessions - mean) ** 2 for h in seen) / total
    # Of the spread between EVSEs, part is the chance of few sessions; what is left is true difference.
    chance = mean * (1.0 - mean) * len(seen) / total
    between = max(spread - chance, 0.05 * mean * (1.0 - mean))
    strength = max(mean * (1.0 - mean) / between - 1.0, 1.0)
    return mean * strength, (1.0 - mean) * strength


def failure_rate(history: History, prior: tuple[float, float]) -> float:
    """Return how likely the next session fails, 0 to 1."""
    failures, successes = prior
    return (history.failures + failures) / (history.sessions + failures + successes)


def warmth_c_per_a(heat: Slope) -> float | None:
    """Return how much warmer the connector gets for each ampere [C/A]; None while too little was measured."""
    if heat.count < LEAST_READINGS:
        return None
    variance = heat.xx / heat.count - (heat.x / heat.count) ** 2
    if variance < _SPREAD_A2:
        return None
    return (heat.xy / heat.count - heat.x * heat.y / heat.count**2) / variance


def scores(state: State) -> dict[EvseId, float]:
    """Return the health of each EVSE, 1 for sound down to 0."""
    histories = {name: evse.health.history for name, evse in state.evses.items()}
    site_prior = prior(histories)
    return {name: (1.0 - failure_rate(h, site_prior)) * _cool(h.heat) for name, h in histories.items()}


def _cool(heat: Slope) -> float:
    """Return the share of the score that warm contacts leave."""
    measured = warmth_c_per_a(heat)
    if measured is None:
        return 1.0
    spread_a2 = heat.xx - heat.x**2 / heat.count
    warmth = USUAL_C_PER_A + (measured - USUAL_C_PER_A) * spread_a2 / (spread_a2 + DOUBT_A2)
    if warmth <= SOUND_C_PER_A:
        return 1.0
    return 1.0 / (1.0 + (warmth - SOUND_C_PER_A) / (HALF_C_PER_A - SOUND_C_PER_A))
