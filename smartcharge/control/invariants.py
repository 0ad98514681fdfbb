"""What always holds after a cycle, checked from the outside: by property tests and by every simulated day."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import numpy as np

from smartcharge.control.limits import Limits
from smartcharge.control.plan import Decision
from smartcharge.control.reach import is_reliable
from smartcharge.control.state import State
from smartcharge.control.topology import Booleans
from solvers.problem import Floats

_SLACK_A = 1e-3


def broken(state: State, limits: Limits, decision: Decision, now_s: float) -> tuple[str, ...]:
    """Return what a decision breaks, in words; nothing if it keeps I1 to I3 and I6."""
    names = state.topology.evses
    worst_a = _array(state.reserved_a(name, now_s) for name in names)
    is_reliable_at = np.array([is_reliable(state, name) for name in names], dtype=bool)
    told_a = np.where(is_reliable_at, _array(decision.setpoints[name].limit_a for name in names), worst_a)
    return (
        *_reserved_fits(state, limits, worst_a, told_a, is_reliable_at),
        *_raises_fit(state, limits, worst_a, told_a),
        *_commands_expire(state, now_s),
        *_derates_bind(state, decision, is_reliable_at),
    )


def _reserved_fits(
    state: State, limits: Limits, worst_a: Floats, told_a: Floats, is_reliable_at: Booleans
) -> Iterator[str]:
    """I1: everybody's worst fits each row, or what they are told does, or the reliable below have nothing."""
    highest_a = limits.available_a + _SLACK_A
    over = state.topology.loads(worst_a) > highest_a
    if not over.any():
        return
    is_reducible = is_reliable_at & (told_a > 0.0)
    for row in np.flatnonzero(over & (state.topology.loads(told_a) > highest_a)):
        below = is_reducible & (np.abs(state.topology.coupling[row]) > 0.0)
        if below.any():
            name = state.topology.evses[int(np.argmax(below))]
            yield f"I1: {limits.source[row]} is over although {name} could be told less"


def _raises_fit(state: State, limits: Limits, worst_a: Floats, told_a: Floats) -> Iterator[str]:
    """I2: whoever is raised finds the room free while everybody else does its worst."""
    given_a = np.maximum(worst_a, told_a)
    if (given_a <= worst_a).all():
        return
    before_a, after_a = state.topology.loads(worst_a), state.topology.loads(given_a)
    for row in np.flatnonzero((after_a > before_a + _SLACK_A) & (after_a > limits.available_a + _SLACK_A)):
        yield f"I2: a raise overfills {limits.source[row]}: {after_a[row]:.2f} of {limits.available_a[row]:.2f} A"


def _commands_expire(state: State, now_s: float) -> Iterator[str]:
    """I3: every transaction profile ends by itself, within the time that the site declares."""
    timing = state.site.timing
    longest_s = timing.profile_s + timing.margin_s + timing.settle_s
    for name, evse in state.evses.items():
        for belief in evse.setpoints:
            if belief.until_s is None or belief.until_s - now_s > longest_s:
                yield f"I3: a setpoint of {name} outlives its declared {longest_s:.0f} s"


def _derates_bind(state: State, decision: Decision, is_reliable_at: Booleans) -> Iterator[str]:
    """I6: nobody who hears is told more than the lowest of its derates."""
    for name, is_heard in zip(state.topology.evses, is_reliable_at, strict=True):
        health = state.evses[name].health
        lowest_a = min((known.said.limit_a for known in health.deratings.values()), default=inf)
        if is_heard and decision.setpoints[name].limit_a > lowest_a + _SLACK_A:
            yield f"I6: {name} is told {decision.setpoints[name].limit_a:.1f} A of the {lowest_a:.1f} A it may have"


def _array(values: Iterator[float]) -> Floats:
    return np.array(list(values), dtype=np.float64)
