"""Which facts call for somebody to come: what the controller found that needs service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from smartcharge.events import ServiceNeeded
from smartcharge.faults import Priority
from smartcharge.ports import Kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A fact that somebody must come for."""

    at_s: float
    asset: str
    """An EVSE, a station, ``circuit ID`` or ``site``."""
    cause: str
    """A word of `faults.Cause`."""
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


def asset_of(subject: str) -> str:
    """Return the asset of what a fault is about, e.g. ``"yard-07"`` of ``"station yard-07"``."""
    return subject.removeprefix("evse ").removeprefix("station ")
