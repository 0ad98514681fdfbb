"""November 2026 at two ports, computed by hand: 43 200 minutes each, the year before it without an outage."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from smartcharge.events import (
    Derated,
    Event,
    FaultCleared,
    FaultRaised,
    OperatorOrder,
    Restored,
    ServiceNeeded,
    StationOffline,
    StationOnline,
    TransactionEnded,
    TransactionStarted,
    Watched,
)
from smartcharge.faults import Cause as FaultCause
from smartcharge.faults import DeratingStage, Effect, Priority
from smartcharge.maintenance.exclusions import Cause, Exclusion
from smartcharge.maintenance.spans import Span
from smartcharge.model import EvseId, StationId
from smartcharge.ports import Kept
from tests.builders import row_of

SITE = row_of(2)
A, B = EvseId("a/1"), EvseId("b/1")


def at(day: int, hour: int = 0, minute: int = 0, month: int = 11, year: int = 2026) -> float:
    return datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()


BEGAN_S = at(1, month=10, year=2025)
END_S = at(4, month=12)


def fault(code: str, since_s: float, until_s: float, evse: EvseId = A) -> list[Event]:
    effect = Effect.WARNING if code == "HighTemperature" else Effect.FAULTED
    raised = FaultRaised(at_s=since_s, evse=evse, code=code, effect=effect)
    return [raised, FaultCleared(at_s=until_s, evse=evse, code=code)]


def offline(since_s: float, until_s: float, station: str = "a") -> list[Event]:
    name = StationId(station)
    return [StationOffline(at_s=since_s, station=name), StationOnline(at_s=until_s, station=name)]


def needed(cause: FaultCause, at_s: float, subject: str = "evse a/1", priority: Priority = Priority.P2) -> Event:
    return ServiceNeeded(at_s=at_s, subject=subject, cause=cause, priority=priority, task=f"repair {cause.value}")


def stopped(since_s: float, until_s: float) -> list[Event]:
    """A cable that is cut: stopped at once, on probation before it is over."""
    stages = ((since_s, 0.0, DeratingStage.ACTIVE), (until_s, 16.0, DeratingStage.PROBATION))
    steps: list[Event] = [
        Derated(at_s=at_s, evse=A, cause=FaultCause.CABLE_CUT, stage=stage, limit_a=limit_a, reason="cable cut")
        for at_s, limit_a, stage in stages
    ]
    return [*steps, Restored(at_s=until_s + 3600.0, evse=A, cause=FaultCause.CABLE_CUT)]


def ordered(since_s: float, until_s: float) -> list[Event]:
    order = OperatorOrder(at_s=since_s, evse=A, limit_a=0.0, author="kim", reason="new contactor")
    return [order, OperatorOrder(at_s=until_s, evse=A, limit_a=None, author="kim", reason="done")]


def charge(
    name: str, since_s: float, minutes: float, wh: float | None, reason: str | None, *, evse: EvseId = B
) -> list[Event]:
    started = TransactionStarted(at_s=since_s, evse=evse, transaction_id=name, meter_wh=1000.0)
    end_wh = None if wh is None else 1000.0 + wh
    ended = TransactionEnded(
        at_s=since_s + 60.0 * minutes, evse=evse, transaction_id=name, meter_wh=end_wh, reason=reason
    )
    return [started, ended]


def told(events: Iterable[Event]) -> list[Kept]:
    return [Kept(seq, event) for seq, event in enumerate(sorted(events, key=lambda event: event.at_s), 1)]


BASE: list[Event] = [
    Watched(at_s=BEGAN_S, since_s=BEGAN_S),
    *(StationOnline(at_s=BEGAN_S, station=station.id) for station in SITE.stations),
    Watched(at_s=END_S, since_s=BEGAN_S),
]
OUTAGES: list[Event] = [
    *fault("GroundFailure", at(3, 10), at(3, 12, 30)),  # 150 min
    *offline(at(5), at(6, 12)),  # 2160 min; AFIREV: the 720 after the first 24 h
    *ordered(at(10, 8), at(14, 8)),  # 5760 min of planned maintenance
    *fault("HighTemperature", at(15), at(15, 1)),  # charges on
    *fault("OverVoltage", at(16, 6), at(16, 10)),  # with the next 300 min, the first 180 of them grid loss
    *offline(at(16, 8), at(16, 11)),
    *stopped(at(19), at(3, month=12)),  # 17280 min in November, vandalism
]
CHARGES: list[Event] = [
    *charge("1", at(2, 8), 10.0, 2000.0, "EVDisconnected"),  # success
    *charge("2", at(2, 9), 1.0, 100.0, "Other"),  # failure: too short
    *charge("3", at(2, 10), 0.5, 0.0, None),  # the customer's doing; no energy flowed
    *charge("4", at(2, 11), 1.0, 0.0, None)[:1],  # nobody heard it end
    *charge("5", at(2, 12), 5.0, None, "PowerLoss"),  # no meter tells
    *charge("6", at(2, 13), 10.0, 400.0, "EmergencyStop"),  # failure: too little
    *charge("7", at(2, 14, month=12), 10.0, 400.0, "EmergencyStop"),  # in December
]
EXCLUSIONS = (
    Exclusion(subject="a/1", span=Span(at(10, 8), at(14, 8)), cause=Cause.PLANNED_MAINTENANCE, evidence="W-1"),
    Exclusion(subject="site", span=Span(at(16, 6), at(16, 9)), cause=Cause.GRID_LOSS, evidence="notice of the DSO"),
    Exclusion(subject="a", span=Span(at(18), at(3, month=12)), cause=Cause.VANDALISM, evidence="police 77"),
)
