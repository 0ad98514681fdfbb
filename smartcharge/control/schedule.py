"""When time alone changes what should be done: the fast loop sleeps until then, or until something happens."""

from __future__ import annotations

from collections.abc import Iterator

from smartcharge.control.limits import expiries_s
from smartcharge.control.plan import Decision, Plan
from smartcharge.control.profiles import RETRY_S
from smartcharge.control.state import State

IDLE_S = 60.0
"""The longest the fast loop sleeps [s]: what was overlooked here costs a minute, not a day."""


def next_due_s(state: State, decision: Decision, plan: Plan | None, now_s: float) -> float:
    """Return the next time [s since 1970] at which a cycle could decide otherwise although nothing happened."""
    times = (t for t in _times(state, decision, plan) if t > now_s)
    return min(times, default=now_s + IDLE_S)


def _times(state: State, decision: Decision, plan: Plan | None) -> Iterator[float]:
    yield decision.at_s + IDLE_S
    yield from expiries_s(state)
    if plan is not None:
        yield from plan.edges_s
    for circuit in state.site.circuits:
        meter = state.meters.get(circuit.id)
        if circuit.meter is not None and meter is not None:
            yield meter.reading.at_s + circuit.meter.staleness.expires_s
    for evse in state.evses.values():
        for belief in evse.setpoints:
            yield from (t for t in (belief.until_s, belief.sure_until_s) if t is not None)
        if evse.commanded is not None and evse.commanded.expires_s is not None:
            yield evse.commanded.expires_s - state.site.timing.profile_s / 2.0
        if evse.deaf_at_s is not None:
            yield evse.deaf_at_s + RETRY_S
