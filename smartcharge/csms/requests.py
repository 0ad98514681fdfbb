"""What we ask of a station, in words that all OCPP versions share."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import TypeAlias

from smartcharge.csms.schemas import Payload, format_time
from smartcharge.events import ProfileKind
from smartcharge.model import Evse, Wiring
from smartcharge.orders import Order

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SetProfile:
    """SetChargingProfile with one limit; the same EVSE and kind replaces what was set before."""

    evse: Evse
    kind: ProfileKind
    limit_a: float
    expires_s: float | None = None
    """None never ends."""
    transaction_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearProfiles:
    """ClearChargingProfile of one purpose on one EVSE."""

    evse: Evse
    kind: ProfileKind


@dataclass(frozen=True, slots=True, kw_only=True)
class GetSchedule:
    """GetCompositeSchedule: what the station makes of all its profiles."""

    evse: Evse
    duration_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """TriggerMessage: ask for a StatusNotification, MeterValues, Heartbeat or BootNotification."""

    message: str
    evse: Evse | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSettings:
    """GetConfiguration of 1.6 keys, GetVariables of 2.0.1 ``Component.Variable`` names."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteSetting:
    """ChangeConfiguration of a 1.6 key, SetVariables of a 2.0.1 ``Component.Variable`` name."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteStart:
    """RemoteStartTransaction or RequestStartTransaction."""

    evse: Evse
    id_token: str
    number: int
    """2.0.1 remoteStartId, by which the station's TransactionEvent refers to this request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteStop:
    """RemoteStopTransaction or RequestStopTransaction."""

    transaction_id: str


Request: TypeAlias = (
    SetProfile | ClearProfiles | GetSchedule | Trigger | ReadSettings | WriteSetting | RemoteStart | RemoteStop | Order
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A limit in the unit that a station takes."""

    unit: str
    limit: float
    """Rounded down to the tenth that OCPP allows."""


def rate(evse: Evse, limit_a: float, unit: str | None) -> Rate:
    """Return an AC-side limit [A per phase] as the station takes it; DC always in watts at its outlet."""
    if evse.wiring is Wiring.DC:
        return Rate(unit="W", limit=_floor_to_tenth(limit_a * evse.watts_per_amp * evse.efficiency))
    if unit == "W":
        return Rate(unit="W", limit=_floor_to_tenth(limit_a * evse.watts_per_amp))
    return Rate(unit="A", limit=_floor_to_tenth(limit_a))


def _floor_to_tenth(value: float) -> float:
    return floor(value * 10.0 + 1e-6) / 10.0


def schedule(request: SetProfile, unit: str | None, *, now_s: float, margin_s: float) -> Payload:
    """Return the chargingSchedule of a profile sent now, with its one period; a DC EVSE has no phases.

    It starts a while before now, so that a station whose clock is behind has no gap before it;
    a profile that never ends starts a day before, since nothing else would fill its gap.
    """
    starts_s = floor(now_s - (DAY_S if request.expires_s is None else margin_s))
    evse = request.evse
    limit = rate(evse, request.limit_a, unit)
    period: Payload = {"startPeriod": 0, "limit": limit.limit}
    if evse.wiring is not Wiring.DC:
        period["numberPhases"] = evse.phase_count
    whole: Payload = {
        "startSchedule": format_time(starts_s),
        "chargingRateUnit": limit.unit,
        "chargingSchedulePeriod": [period],
    }
    return whole if request.expires_s is None else {"duration": floor(request.expires_s) - starts_s, **whole}


def profile_id(evse: Evse, kind: ProfileKind) -> int:
    """Return the chargingProfileId: always the same for an EVSE and kind, so that a new one replaces the old."""
    return 10 * evse.number + (1 if kind is ProfileKind.DEFAULT else 2)


def refusal(answer: Payload) -> str | None:
    """Return why a station's answer is a no, or None if it is a yes."""
    result = answer["setVariableResult"][0] if answer.get("setVariableResult") else answer
    status = result.get("attributeStatus", result.get("status"))
    if status in (None, "Accepted", "AcceptedCanceled", "RebootRequired", "Scheduled", "Unlocked"):
        return None
    info = result.get("attributeStatusInfo", result.get("statusInfo"))
    return f"{status}: {info['reasonCode']}" if info else str(status)


def rate_unit(text: str | None) -> str | None:
    """Return "A" or "W" from what a station says it takes, such as ``Current,Power``, ``power`` or ``W``."""
    words = {word.strip().lower() for word in (text or "").split(",")}
    if words & {"a", "current"}:
        return "A"
    return "W" if words & {"w", "power"} else None
