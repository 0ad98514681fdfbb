"""Which facts call for somebody to come, how soon, and to do what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from smartcharge.events import FaultRaised, StationOffline, StationOnline
from smartcharge.maintenance.work_orders import Priority
from smartcharge.model import StationId
from smartcharge.ports import Kept

OFFLINE_S: Final = 3600.0
"""How long a station may be away before somebody looks [s]."""


class _Task(NamedTuple):
    priority: Priority
    words: str


_TASKS: Final[Mapping[str, _Task]] = {
    "ConnectorLockFailure": _Task(Priority.P2, "repair the connector lock"),
    "Faulted": _Task(Priority.P2, "find the fault"),
    "GroundFailure": _Task(Priority.P1, "find the insulation fault"),
    "HighTemperature": _Task(Priority.P3, "clean filter and fan"),
    "InternalError": _Task(Priority.P2, "find the fault"),
    "OtherError": _Task(Priority.P2, "find the fault"),
    "OverCurrentFailure": _Task(Priority.P1, "find the overcurrent"),
    "OverVoltage": _Task(Priority.P2, "measure the supply"),
    "PowerMeterFailure": _Task(Priority.P2, "repair the meter"),
    "PowerSwitchFailure": _Task(Priority.P1, "replace the contactor"),
    "ReaderFailure": _Task(Priority.P3, "repair the card reader"),
    "ResetFailure": _Task(Priority.P2, "restart it by hand"),
    "UnderVoltage": _Task(Priority.P2, "measure the supply"),
    "meter-frozen": _Task(Priority.P2, "repair the meter"),
    "over-limit": _Task(Priority.P1, "take it out of service, ask its maker"),
}
_UNKNOWN: Final = _Task(Priority.P2, "find the fault")
_NOBODY: Final = frozenset({"NoError", "EVCommunicationError", "LocalListConflict", "WeakSignal"})
"""Codes for which nobody comes: they are the car's, or pass by themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A fact that somebody must come for."""

    at_s: float
    asset: str
    cause: str
    priority: Priority
    task: str
    fact: int


def calls(facts: Iterable[Kept], now_s: float) -> Iterator[Call]:
    """Yield what calls for somebody, in the order of the facts, and then the stations that are away for too long."""
    away: dict[StationId, Kept] = {}
    for fact in facts:
        match fact.event:
            case FaultRaised(evse=evse, code=code) if code not in _NOBODY:
                task = _TASKS.get(code, _UNKNOWN)
                yield Call(
                    at_s=fact.event.at_s, asset=evse, cause=code, priority=task.priority, task=task.words, fact=fact.seq
                )
            case StationOffline(station=station):
                away.setdefault(station, fact)
            case StationOnline(station=station):
                yield from _missed(station, away.pop(station, None), fact.event.at_s)
            case _:
                pass
    for station, fact in away.items():
        yield from _missed(station, fact, now_s)


def _missed(station: StationId, left: Kept | None, until_s: float) -> Iterator[Call]:
    if left is not None and until_s - left.event.at_s > OFFLINE_S:
        yield Call(
            at_s=left.event.at_s + OFFLINE_S,
            asset=station,
            cause="offline",
            priority=Priority.P2,
            task="look at its power and network",
            fact=left.seq,
        )
