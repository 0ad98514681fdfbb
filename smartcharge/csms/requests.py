"""What we ask of a station, in words that all OCPP versions share."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import TypeAlias

from smartcharge.csms.schemas import Payload, format_time
from smartcharge.events import ProfileKind
from smartcharge.model import Evse, Form, ScheduleKind, Way, Wiring
from smartcharge.orders import Order, SetPoint

DAY_S = 86_400.0
YES = frozenset({None, "Accepted", "AcceptedCanceled", "RebootRequired", "Scheduled", "Unlocked", "EmptyResultSet"})
"""Statuses that are no refusal; an empty result (2.x GenericDeviceModelStatusEnumType) is a result."""
_PLAIN = Form()


@dataclass(frozen=True, slots=True, kw_only=True)
class SetProfile:
    """SetChargingProfile with one limit; the same EVSE and kind replaces what was set before."""

    evse: Evse
    kind: ProfileKind
    limit_a: float
    expires_s: float | None = None
    """None never ends."""
    transaction_id: str | None = None
    form: Form = _PLAIN
    set_point: SetPoint | None = None
    """What a car that can give shall draw inside the limit (2.1)."""
    watts_phases: int | None = None
    """Phases to multiply by where the station takes watts; None is all that the EVSE has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateProfile:
    """UpdateDynamicSchedule (2.1): another limit in the Dynamic profile that a `SetProfile` has installed."""

    profile: SetProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearProfiles:
    """ClearChargingProfile of one purpose on one EVSE, or of everything on it."""

    evse: Evse
    kind: ProfileKind | None = None


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
    SetProfile
    | UpdateProfile
    | ClearProfiles
    | GetSchedule
    | Trigger
    | ReadSettings
    | WriteSetting
    | RemoteStart
    | RemoteStop
    | Order
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A limit in the unit that a station takes."""

    unit: str
    limit: float
    """Rounded down to the tenth that OCPP allows."""


def rate(evse: Evse, limit_a: float, unit: str, phases: int) -> Rate:
    """Return an AC-side limit [A per phase] as the station takes it; DC always in watts at its outlet."""
    if evse.wiring is Wiring.DC:
        return Rate(unit="W", limit=_floor_to_tenth(limit_a * evse.watts_per_amp * evse.efficiency))
    if unit == "W":
        return Rate(unit="W", limit=_floor_to_tenth(limit_a * phases * evse.voltage_v))
    return Rate(unit="A", limit=_floor_to_tenth(limit_a))


def _floor_to_tenth(value: float) -> float:
    return floor(value * 10.0 + 1e-6) / 10.0


def schedule(request: SetProfile, *, now_s: float, margin_s: float) -> Payload:
    """Return the chargingSchedule of a profile sent now; a DC EVSE has no phases.

    It starts a while before now, so that a station whose clock is behind has no gap before it;
    a profile that never ends starts a day before, since nothing else would fill its gap.  A setpoint ends by
    its duration, or, where it takes the place of the default profile, by a second period with the default.
    A Relative one has neither: stations disagree on when it begins.  Nor has a Dynamic one, which is updated.
    """
    starts_s = floor(now_s - (DAY_S if request.expires_s is None else margin_s))
    form, expires_s = request.form, request.expires_s
    periods = [_period(request, 0, request.limit_a)]
    whole: Payload = {"chargingRateUnit": _unit(request), "chargingSchedulePeriod": periods}
    if form.kind in (ScheduleKind.RELATIVE, ScheduleKind.DYNAMIC):
        return whole
    whole["startSchedule"] = format_time(starts_s)
    if expires_s is not None and form.way is Way.TRANSACTION:
        whole["duration"] = floor(expires_s) - starts_s
    elif expires_s is not None:
        periods.append(_period(request, floor(expires_s) - starts_s, request.evse.default_a))
    return whole


def update(request: SetProfile) -> Payload:
    """Return the scheduleUpdate of 2.1 that makes a Dynamic profile say the limit of a request."""
    period = _period(request, 0, request.limit_a)
    return {name: period[name] for name in ("limit", "setpoint", "dischargeLimit") if name in period}


def _period(request: SetProfile, start_s: int, limit_a: float) -> Payload:
    evse = request.evse
    phases = request.watts_phases or evse.phase_count
    period: Payload = {"startPeriod": start_s, "limit": rate(evse, limit_a, request.form.unit, phases).limit}
    if evse.wiring is not Wiring.DC:
        period["numberPhases"] = phases if request.form.unit == "W" else evse.phase_count
    if request.set_point is not None:
        period |= _aim(request, request.set_point, phases)
    return period


def _aim(request: SetProfile, aim: SetPoint, phases: int) -> Payload:
    """Return the set-point of a period (2.1 Q01): what is given is negative, and never draws more than the limit."""
    lowest_w = -aim.discharge_limit_w if aim.discharge_limit_w is not None else min(aim.power_w, 0.0)
    wanted = _of_power(request, max(aim.power_w, lowest_w), phases)
    most = rate(request.evse, request.limit_a, request.form.unit, phases).limit
    return {
        "operationMode": "CentralSetpoint",
        "setpoint": min(wanted, most),
        "dischargeLimit": _of_power(request, lowest_w, phases),
    }


def _of_power(request: SetProfile, power_w: float, phases: int) -> float:
    """Return watts at the outlet in the unit that the station takes."""
    return round(power_w if _unit(request) == "W" else power_w / (phases * request.evse.voltage_v), 1)


def _unit(request: SetProfile) -> str:
    return "W" if request.evse.wiring is Wiring.DC else request.form.unit


def purpose(request: SetProfile, maximum: str) -> str:
    """Return the chargingProfilePurpose of a request; ``maximum`` is the version's word for `Way.MAXIMUM`."""
    if request.kind is ProfileKind.DEFAULT:
        return ProfileKind.DEFAULT.value
    return maximum if request.form.way is Way.MAXIMUM else request.form.way.value


def profile_id(request: SetProfile) -> int:
    """Return the chargingProfileId: always the same for an EVSE and purpose, so that a new one replaces the old."""
    last = {Way.TRANSACTION: 2, Way.MAXIMUM: 3}.get(request.form.way, 1)
    return 10 * request.evse.number + (1 if request.kind is ProfileKind.DEFAULT else last)


def place(request: SetProfile) -> int:
    """Return the connector or EVSE on which a profile is set."""
    return 0 if request.form.is_on_station else request.evse.number


def valid_to(request: SetProfile) -> Payload:
    """Return the end of a Relative setpoint, which has no other; some firmware ignores it."""
    is_open = request.form.kind is ScheduleKind.RELATIVE and request.expires_s is not None
    return {"validTo": format_time(request.expires_s)} if is_open and request.expires_s is not None else {}


def refusal(answer: Payload) -> str | None:
    """Return why a station's answer is a no, or None if it is a yes."""
    result = answer["setVariableResult"][0] if answer.get("setVariableResult") else answer
    status = result.get("attributeStatus", result.get("status"))
    if status in YES:
        return None
    info = result.get("attributeStatusInfo", result.get("statusInfo"))
    return f"{status}: {info['reasonCode']}" if info else str(status)


def rate_unit(text: str | None) -> str | None:
    """Return "A" or "W" from what a station says it takes, such as ``Current,Power``, ``power`` or ``W``."""
    words = {word.strip().lower() for word in (text or "").split(",")}
    if words & {"a", "current"}:
        return "A"
    return "W" if words & {"w", "power"} else None
