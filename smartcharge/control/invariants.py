"""What always holds after a cycle, checked from the outside: by property tests and by every simulated day."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from smartcharge.control.limits import Limits
from smartcharge.control.plan import Decision
from smartcharge.control.reach import is_reliable
from smartcharge.control.state import State
from smartcharge.model import EvseId
from solvers.problem import Floats

_SLACK_A = 1e-3


def broken(state: State, limits: Limits, decision: Decision, now_s: float) -> tuple[str, ...]:
    """Return what a decision breaks, in words; nothing if it keeps I1 to I3."""
    return (*_reserved_fits(state, limits, decision, now_s), *_raises_fit(state, limits, decision, now_s),
            *_commands_expire(state, now_s))  # fmt: skip


def _reserved_fits(state: State, limits: Limits, decision: Decision, now_s: float) -> Iterator[str]:
    """I1: everybody's worst fits each row, or what they are told does, or the reliable below have nothing."""
    names = state.topology.evses
    worst_a = _array(state.reserved_a(name, now_s) for name in names)
    told_a = _array(_told_a(state, decision, n, w) for n, w in zip(names, worst_a, strict=True))
    is_reducible = np.array([is_reliable(state, name) for name in names], dtype=bool) & (told_a > 0.0)
    over = (state.topology.loads(worst_a) > limits.available_a + _SLACK_A) & (
        state.topology.loads(told_a) > limits.available_a + _SLACK_A
    )
    for row in np.flatnonzero(over):
        below = is_reducible & (np.abs(state.topology.coupling[row]) > 0.0)
        if below.any():
            yield f"I1: {limits.source[row]} is over although {names[int(np.argmax(below))]} could be told less"


def _told_a(state: State, decision: Decision, name: EvseId, worst_a: float) -> float:
    return decision.setpoints[name].limit_a if is_reliable(state, name) else worst_a


def _raises_fit(state: State, limits: Limits, decision: Decision, now_s: float) -> Iterator[str]:
    """I2: whoever is raised finds the room free while everybody else does its worst."""
    names = state.topology.evses
    worst_a = _array(state.reserved_a(name, now_s) for name in names)
    given_a = _array(
        max(w, decision.setpoints[n].limit_a) if is_reliable(state, n) else w
        for n, w in zip(names, worst_a, strict=True)
    )
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


def _array(values: Iterator[float]) -> Floats:
    return np.array(list(values), dtype=np.float64)
