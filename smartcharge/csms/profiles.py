"""Charging profiles as a station understands them: one schedule each, and when which period of it applies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from math import floor, inf
from typing import Self, TypeVar

from smartcharge.csms.schemas import Payload, parse_time_s

T = TypeVar("T")


class Purpose(Enum):
    """What a profile is for, by the names of OCPP 2.0.1."""

    EXTERNAL = "ChargingStationExternalConstraints"
    MAX = "ChargingStationMaxProfile"
    TX_DEFAULT = "TxDefaultProfile"
    TX = "TxProfile"


class Kind(Enum):
    """What the times of a schedule count from."""

    ABSOLUTE = "Absolute"
    RECURRING = "Recurring"
    RELATIVE = "Relative"
    DYNAMIC = "Dynamic"
    """One period, whose limit is changed by UpdateDynamicSchedule (2.1 K28)."""


class Unit(Enum):
    """What a limit is given in: amperes per phase, or watts in all."""

    AMPS = "A"
    WATTS = "W"


_RECURS_S = {"Daily": 86_400.0, "Weekly": 7 * 86_400.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A limit from `start_s` after the start of its schedule on."""

    start_s: float
    limit: float
    phases: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A charging profile with its one schedule; times are POSIX seconds."""

    id: int
    stack_level: int
    purpose: Purpose
    kind: Kind
    unit: Unit
    periods: tuple[Period, ...]
    start_s: float | None = None
    duration_s: float | None = None
    recurs_s: float | None = None
    transaction_id: str | None = None
    valid_from_s: float = -inf
    valid_to_s: float = inf
    max_offline_s: float | None = None
    """How long it stays valid while the station is offline (2.1 maxOfflineDuration); None is for ever."""

    @classmethod
    def read(cls, profile: Payload, schedule: Payload, *, id_: int) -> Self:
        """Return a profile from its JSON, already checked against its schema."""
        transaction_id = profile.get("transactionId")
        return cls(
            id=id_,
            stack_level=profile["stackLevel"],
            purpose=Purpose(profile["chargingProfilePurpose"]),
            kind=Kind(profile["chargingProfileKind"]),
            unit=Unit(schedule["chargingRateUnit"]),
            periods=tuple(
                Period(start_s=p["startPeriod"], limit=_limit(p), phases=p.get("numberPhases"))
                for p in schedule["chargingSchedulePeriod"]
            ),
            start_s=_time_s(schedule, "startSchedule"),
            duration_s=schedule.get("duration"),
            recurs_s=_RECURS_S.get(profile.get("recurrencyKind", "")),
            transaction_id=None if transaction_id is None else str(transaction_id),
            valid_from_s=either(_time_s(profile, "validFrom"), -inf),
            valid_to_s=either(_time_s(profile, "validTo"), inf),
            max_offline_s=profile.get("maxOfflineDuration"),
        )

    def updated(self, update: Payload) -> Self:
        """Return a Dynamic profile with the limit of a scheduleUpdate; raises KeyError if it has none."""
        return replace(self, periods=(replace(self.periods[0], limit=_limit(update)),))

    def period_at(self, at_s: float, started_s: float | None) -> Period | None:
        """Return the period that applies, if any, in a transaction that began at `started_s`."""
        begin_s = self._begin_s(at_s, started_s)
        if begin_s is None or not self.valid_from_s <= at_s < self.valid_to_s or at_s >= self._end_s(begin_s):
            return None
        return next((p for p in reversed(self.periods) if begin_s + p.start_s <= at_s), None)

    def changes_s(self, at_s: float, started_s: float | None) -> Iterator[float]:
        """Yield times, some of them past, among them the next at which another period may apply."""
        yield from (self.valid_from_s, self.valid_to_s)
        begin_s = either(self._begin_s(at_s, started_s), self._first_s(started_s))
        if begin_s is None:
            return
        yield from (begin_s, self._end_s(begin_s))
        yield from (begin_s + period.start_s for period in self.periods)
        if self.recurs_s is not None and self.start_s is not None:
            yield self.start_s + (self._runs_before(begin_s) + 1) * self.recurs_s

    def is_over(self, at_s: float) -> bool:
        """Return whether it can never apply again."""
        ends_s = (
            self._end_s(self.start_s)
            if self.kind in (Kind.ABSOLUTE, Kind.DYNAMIC) and self.start_s is not None
            else inf
        )
        return min(ends_s, self.valid_to_s) <= at_s

    def _end_s(self, begin_s: float) -> float:
        return inf if self.duration_s is None else begin_s + self.duration_s

    def _begin_s(self, at_s: float, started_s: float | None) -> float | None:
        """Return when the run of the schedule began that `at_s` lies in, None before the first."""
        begin_s = self._first_s(started_s)
        if begin_s is None or begin_s > at_s:
            return None
        return begin_s if self.recurs_s is None else begin_s + self._runs_before(at_s) * self.recurs_s

    def _first_s(self, started_s: float | None) -> float | None:
        return started_s if self.kind is Kind.RELATIVE else self.start_s

    def _runs_before(self, at_s: float) -> int:
        """Count the runs completed at a time."""
        assert self.start_s is not None
        assert self.recurs_s is not None
        return floor((at_s - self.start_s) / self.recurs_s)


def _limit(period: Payload) -> float:
    """Return the limit of a period: of all its phases the lowest (2.1 ``limit_L2``), of a set-point what it draws.

    Raises KeyError if the period says neither.
    """
    words = ("limit", "limit_L2", "limit_L3", "setpoint", "setpoint_L2", "setpoint_L3")
    given = [max(0.0, float(period[word])) for word in words if word in period]
    if not given:
        raise KeyError("limit")
    return min(given)


def _time_s(payload: Payload, key: str) -> float | None:
    return parse_time_s(payload[key]) if key in payload else None


def either(value: T | None, otherwise: T) -> T:
    """Return a value, or another where it is missing; unlike ``or`` it keeps 0."""
    return otherwise if value is None else value
