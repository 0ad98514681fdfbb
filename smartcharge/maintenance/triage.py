"""Which facts call for somebody to come: what the controller found that needs service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from smartcharge.events import SelfTest, SelfTested, ServiceNeeded
from smartcharge.faults import Priority
from smartcharge.ports import Kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A fact that somebody must come for."""

    at_s: float
    asset: str
    """An EVSE, a station, ``circuit ID`` or ``site``."""
    cause: str
    """A word of `faults.Cause`, or ``self-test`` and which."""
    priority: Priority
    task: str
    fact: int


def calls(facts: Iterable[Kept]) -> Iterator[Call]:
    """Yield what calls for somebody, in the order of the facts."""
    for seq, event in facts:
        if isinstance(event, ServiceNeeded):
            yield Call(
                at_s=event.at_s,
                asset=asset_of(event.subject),
                cause=event.cause.value,
                priority=event.priority,
                task=event.task,
                fact=seq,
            )
        elif isinstance(event, SelfTested) and not event.passed:
            yield Call(
                at_s=event.at_s,
                asset=asset_of(event.subject),
                cause=cause_of_test(event),
                priority=_URGENCY[event.test],
                task=f"{_TASKS[event.test]}: {event.detail}",
                fact=seq,
            )


def cause_of_test(event: SelfTested) -> str:
    """Return what work orders call the cause of a self-test that failed."""
    return f"self-test {event.test.value}"


_URGENCY: Final = {SelfTest.CONNECTION: Priority.P3, SelfTest.METER: Priority.P2, SelfTest.SETPOINT: Priority.P1}
"""One that does not follow its limits takes what others have been promised."""
_TASKS: Final = {
    SelfTest.CONNECTION: "find out why it does not answer",
    SelfTest.METER: "check the meter",
    SelfTest.SETPOINT: "find out why it does not follow its limit",
}


def asset_of(subject: str) -> str:
    """Return the asset of what a fault is about, e.g. ``"yard-07"`` of ``"station yard-07"``."""
    return subject.removeprefix("evse ").removeprefix("station ")
