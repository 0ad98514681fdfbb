"""What facts about health do to what is remembered of an EVSE: faults, derates, orders, visits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from smartcharge.control.evse import EvseState
from smartcharge.control.health.memory import Derating, History, Slope
from smartcharge.control.health.rules import RULES, WINDOW_S
from smartcharge.events import Derated, FaultCleared, FaultOrder, FaultRaised, Restored, ServiceNeeded
from smartcharge.faults import Cause, DeratingStage, OrderKind
from smartcharge.frozen import replace

_K = TypeVar("_K")
_V = TypeVar("_V")


def raised(evse: EvseState, event: FaultRaised, cause: Cause, *, is_new: bool) -> EvseState:
    """Return the EVSE with a fault; one that was not there counts as another time of its cause."""
    history = evse.health.history
    if is_new:
        recent = tuple(at_s for at_s in history.raised_s.get(cause, ()) if at_s > event.at_s - WINDOW_S)
        history = replace(history, raised_s={**history.raised_s, cause: (*recent, event.at_s)})
    if cause is Cause.SESSIONS_FAIL:
        history = replace(history, failed=())  # they are accounted for
    since_s = event.at_s if is_new else evse.faults[event.code].at_s
    faults = {**evse.faults, event.code: replace(event, at_s=since_s)}
    known = evse.health.deratings.get(cause)
    evse = replace(evse, faults=faults, health=replace(evse.health, history=history))
    return evse if known is None else _with(evse, cause, replace(known, released=None))


def cleared(evse: EvseState, event: FaultCleared, cause: Cause | None) -> EvseState:
    """Return the EVSE without a fault; what is not derated for it either is over, and may be told anew."""
    after = replace(evse, faults=_without(evse.faults, event.code))
    if cause is None or cause in evse.health.deratings:
        return after
    return replace(after, health=replace(after.health, reported=_without(after.health.reported, cause)))


def derated(evse: EvseState, event: Derated) -> EvseState:
    """Return the EVSE with the newest step of a derate."""
    known = evse.health.deratings.get(event.cause)
    derating = Derating(said=event) if known is None else replace(known, said=event, proofs=0, released=None)
    return _with(evse, event.cause, derating)


def restored(evse: EvseState, event: Restored) -> EvseState:
    """Return the EVSE without a derate."""
    health = replace(
        evse.health,
        deratings=_without(evse.health.deratings, event.cause),
        reported=_without(evse.health.reported, event.cause),
    )
    return replace(evse, health=health)


def reported(evse: EvseState, event: ServiceNeeded) -> EvseState:
    """Return the EVSE of which maintenance was told."""
    told = {**evse.health.reported, event.cause: event.priority}
    return replace(evse, health=replace(evse.health, reported=told))


def ordered(evse: EvseState, event: FaultOrder, *, is_there: bool) -> EvseState:
    """Return the EVSE after a person's decision; ``is_there`` tells whether the fault still is."""
    health, cause = evse.health, event.cause
    match event.kind:
        case OrderKind.FORCE:
            return replace(evse, health=replace(health, forced={**health.forced, cause: event}))
        case OrderKind.MUTE:
            if RULES[cause].is_safety:
                return evse  # not for anybody to say
            until_s = event.at_s + WINDOW_S if event.until_s is None else event.until_s
            return replace(evse, health=replace(health, muted={**health.muted, cause: until_s}))
        case OrderKind.ACKNOWLEDGE:
            known = health.deratings.get(cause)
            return evse if known is None else _with(evse, cause, replace(known, acknowledged_by=event.author))
        case OrderKind.RELEASE:
            return _released(evse, event, is_there=is_there)


def _released(evse: EvseState, event: FaultOrder, *, is_there: bool) -> EvseState:
    """Return the EVSE that is let go: what concerns safety has to prove itself first, a latch takes a work order.

    What is still wrong stays as it is: nobody's word makes hardware sound.
    """
    health, cause = evse.health, event.cause
    health = replace(health, forced=_without(health.forced, cause), muted=_without(health.muted, cause))
    known = health.deratings.get(cause)
    is_latched = known is not None and known.said.stage is DeratingStage.LATCHED
    if is_there or (is_latched and event.work_order is None):
        return replace(evse, health=health)
    history = _anew(health.history, cause)
    health = replace(health, history=history)
    if known is not None and RULES[cause].is_safety:
        deratings = {**health.deratings, cause: replace(known, released=event)}
    else:
        deratings = _without(health.deratings, cause)
        health = replace(health, reported=_without(health.reported, cause))
    return replace(evse, health=replace(health, deratings=deratings))


def _anew(history: History, cause: Cause) -> History:
    """Return the history of an EVSE that was repaired: what told of the fault says nothing of it any more."""
    history = replace(history, raised_s=_without(history.raised_s, cause))
    match cause:
        case Cause.CONNECTOR_HOT | Cause.CABLE_OVERHEATED:
            return replace(history, heat=Slope())
        case Cause.SESSIONS_FAIL:
            return replace(history, sessions=0.0, failures=0.0, failed=())
        case _:
            return history


def _with(evse: EvseState, cause: Cause, derating: Derating) -> EvseState:
    return replace(evse, health=replace(evse.health, deratings={**evse.health.deratings, cause: derating}))


def _without(known: Mapping[_K, _V], key: _K) -> dict[_K, _V]:
    return {k: value for k, value in known.items() if k != key}
