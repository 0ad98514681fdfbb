"""When time alone changes what should be done: the fast loop sleeps until then, or until something happens."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from smartcharge.control import compliance, liveness
from smartcharge.control.beside import MeterState
from smartcharge.control.evse import DRAWS_A, EvseState, believed, drawn_a
from smartcharge.control.health import derating, site
from smartcharge.control.health.watch import HOT_C, is_hot
from smartcharge.control.limits import changes_s
from smartcharge.control.plan import Decision, Plan
from smartcharge.control.profiles import RETRY_S
from smartcharge.control.state import State
from smartcharge.events import (
    Accepted,
    AlertsSet,
    CircuitMetered,
    Commanded,
    ControllerStarted,
    Derated,
    Event,
    FailsafeSet,
    FaultCleared,
    FaultOrder,
    FaultRaised,
    IntensitySet,
    LimitFollowed,
    LimitLifted,
    LimitSet,
    LimitsReplaced,
    Metered,
    NeedStated,
    OperatorOrder,
    PricesSet,
    ResetOrdered,
    Restored,
    ServiceNeeded,
    ShareLeased,
    SourceHeard,
    TransactionEnded,
    TransactionStarted,
    Unplugged,
)

IDLE_S = 60.0
"""The longest the fast loop sleeps [s]: what was overlooked here costs a minute, not a day."""

FALLS_A = 1.0
"""Fall of the load beside the cars that is worth giving to them [A]; less waits for the next cycle."""
QUIET_S = 15.0
"""A meter that speaks again after so long may have been counted as lost [s]."""
MOMENT_S = 0.1
"""A meter is lost after its time, not at it: it is looked at a moment later [s]."""
BATCH_S = 30.0
"""Renewals due within so many seconds are sent together."""


def next_due_s(state: State, decision: Decision, plan: Plan | None, now_s: float) -> float:
    """Return the next time [s since 1970] at which a cycle could decide otherwise although nothing happened."""
    times = (t for t in _times(state, decision, plan) if t > now_s)
    return min(times, default=now_s + IDLE_S)


def calls_for_plan(before: State, after: State, event: Event) -> bool:
    """Tell whether a fact could make another plan better than the one in force."""
    match event:
        case LimitSet() | LimitLifted() | LimitsReplaced() | SourceHeard() | FailsafeSet() | ControllerStarted():
            return _grid(before, event.at_s) != _grid(after, event.at_s)
        case NeedStated() | TransactionStarted() | TransactionEnded() | Unplugged():
            return True
        case PricesSet() | IntensitySet() | FaultRaised() | FaultCleared() | OperatorOrder():
            return True
        case Derated() | Restored() | FaultOrder():
            return True
        case _:
            return False


def matters(before: State, after: State, event: Event) -> bool:
    """Tell whether a fact could change a decision: most readings and answers only confirm what is known."""
    match event:
        case Commanded() | LimitFollowed() | ServiceNeeded() | ResetOrdered() | AlertsSet() | ShareLeased():
            return False  # the cycle that gave it knows, or it is for people
        case Metered() | CircuitMetered() if compliance.is_waiting(after):
            return True
        case Metered() | Accepted() if event.evse in before.evses:
            return _weight(before.evses[event.evse], event.at_s) != _weight(after.evses[event.evse], event.at_s)
        case CircuitMetered() if event.circuit in before.meters and event.circuit in after.meters:
            return _moves(before.meters[event.circuit], after.meters[event.circuit])
        case SourceHeard():
            return _grid(before, event.at_s) != _grid(after, event.at_s)
        case _:
            return True


def _grid(state: State, at_s: float) -> dict[str, object]:
    """Return what grid operators ask for, equal as long as nothing but arrivals and renewals changed."""
    return {name: liveness.without_times(liveness.at(known, at_s)) for name, known in state.sources.items()}


def _moves(before: MeterState, after: MeterState) -> bool:
    """Tell whether the load beside the cars rose, or fell by enough to be worth another decision."""
    was_quiet = after.reading.at_s - before.reading.at_s > QUIET_S
    pairs = zip(before.peak_beside_a, after.peak_beside_a, strict=True)
    return was_quiet or any(new > old or new < old - FALLS_A for old, new in pairs)


def _weight(evse: EvseState, now_s: float) -> tuple[object, ...]:
    """Return all of an EVSE that decisions depend on, of what readings and answers can change."""
    vehicle = evse.session.vehicle if evse.session is not None else None
    takes = None if vehicle is None else (vehicle.phases_used, vehicle.draw_a)
    is_drawing = evse.session is None and (drawn_a(evse.evse, evse.reading) or 0.0) >= DRAWS_A
    # Of one that is at fault or draws too much every reading counts: they add up to a proof.
    is_watched = evse.health.watch.is_uneasy or any(is_hot(evse.health.watch, cause) for cause in HOT_C)
    is_suspect = evse.over_a is not None or bool(evse.faults) or is_watched
    seen_s = evse.reading.at_s if evse.reading is not None and is_suspect else None
    until_s = {b.limit_a: b.until_s for b in believed(evse, now_s)}
    return takes, evse.deaf_at_s, evse.has_our_default, until_s, evse.frozen_since_s is None, is_drawing, seen_s


def _times(state: State, decision: Decision, plan: Plan | None) -> Iterator[float]:
    yield decision.at_s + IDLE_S
    yield from changes_s(state, decision.at_s, decision.at_s + IDLE_S)
    yield from compliance.due_s(state)
    if any(True for known in state.sources.values() for _ in liveness.letting_go(known, decision.at_s)):
        yield decision.at_s + state.site.timing.fast_s
    if plan is not None:
        yield from plan.edges_s
    for circuit in state.site.circuits:
        meter = state.meters.get(circuit.id)
        if circuit.meter is not None and meter is not None:
            yield meter.reading.at_s + circuit.meter.staleness.expires_s + MOMENT_S
    for evse in state.evses.values():
        yield from _times_of(evse, state.site.timing.profile_s)
        if evse.faults or evse.health.deratings:
            yield from derating.next_s(evse)
    yield from site.next_s(state)


def _times_of(evse: EvseState, profile_s: float) -> Iterator[float]:
    for belief in evse.setpoints:
        if belief.until_s is not None:
            yield belief.until_s
        if belief.sure_until_s is not None:
            yield belief.sure_until_s
    if evse.commanded is not None and evse.commanded.expires_s is not None:
        yield _batched(evse.commanded.expires_s - profile_s / 2.0)
    if evse.deaf_at_s is not None:
        yield evse.deaf_at_s + RETRY_S
    if evse.default_commanded_s is not None:
        yield evse.default_commanded_s + RETRY_S


def _batched(due_s: float) -> float:
    """Return when a renewal is sent: with the others of its half minute, in one cycle and one commit."""
    return ceil(due_s / BATCH_S) * BATCH_S
