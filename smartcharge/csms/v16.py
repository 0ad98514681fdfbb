"""OCPP 1.6J, translation only: what stations say becomes events, what we ask becomes payloads."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from ocpp.v16.enums import ChargePointErrorCode, ChargePointStatus, RegistrationStatus

from smartcharge.csms import orders16
from smartcharge.csms.dialect import Answer, Call, CannotHandle, Memory, time_or_now_s, whole
from smartcharge.csms.frames import CallReceived, ErrorCode, SendReceived
from smartcharge.csms.metering import (
    CURRENT,
    ENERGY,
    MAX_REGISTER_WH,
    POWER,
    SOC,
    TEMPERATURE,
    VOLTAGE,
    Sample,
    finite,
    sampled,
)
from smartcharge.csms.requests import (
    ClearProfiles,
    GetSchedule,
    ReadSettings,
    RemoteStart,
    RemoteStop,
    Request,
    SetProfile,
    Trigger,
    UpdateProfile,
    WriteSetting,
    place,
    profile_id,
    purpose,
    rate_unit,
    schedule,
    valid_to,
)
from smartcharge.csms.schemas import Payload, Version, format_time
from smartcharge.csms.transfers import COST, PNC, cost_message, plug_and_charge, transferred
from smartcharge.csms.v201 import Dialect201
from smartcharge.errors import Refused
from smartcharge.events import (
    Charging,
    ChargingChanged,
    Event,
    FaultRaised,
    Plugged,
    ProfileKind,
    StationBooted,
    StationLearnt,
    TransactionEnded,
    TransactionStarted,
    Unplugged,
)
from smartcharge.faults import Effect
from smartcharge.model import Evse, Wiring

if TYPE_CHECKING:
    from smartcharge.ports import Ledger

logger = logging.getLogger(__name__)

Handler: TypeAlias = Callable[[Payload, float], Awaitable[Answer]]

RATE_UNIT = "ChargingScheduleAllowedChargingRateUnit"
STACK_LEVEL = "ChargeProfileMaxStackLevel"
MAX_PERIODS = "ChargingScheduleMaxPeriods"
MAX_PROFILES = "MaxChargingProfilesInstalled"
LIST_CHUNK = "SendLocalListMaxLength"

_OCCUPIED: Mapping[str, Charging | None] = {
    ChargePointStatus.preparing.value: None,
    ChargePointStatus.charging.value: Charging.CHARGING,
    ChargePointStatus.suspended_ev.value: Charging.SUSPENDED_EV,
    ChargePointStatus.suspended_evse.value: Charging.SUSPENDED_EVSE,
    ChargePointStatus.finishing.value: None,
}
STATION_FAULTS = frozenset(code.value for code in ChargePointErrorCode)
"""The codes that a station raises and clears; others in the state were derived by the controller."""
_FREE = frozenset({ChargePointStatus.available.value, ChargePointStatus.reserved.value})


class Dialect16:
    """OCPP 1.6J, seen from the server."""

    version = Version.V16
    max_token = 20

    def __init__(self, memory: Memory, ledger: Ledger) -> None:
        self._memory = memory
        self._ledger = ledger
        inner = Dialect201(memory)
        self._transfers = {PNC: plug_and_charge(inner.handled), COST: cost_message, **memory.transfers}
        self._handlers: dict[str, Handler] = {
            "Authorize": self._authorize,
            "BootNotification": self._boot,
            "DataTransfer": self._transferred,
            "DiagnosticsStatusNotification": self._log_status,
            "FirmwareStatusNotification": self._firmware_status,
            "Heartbeat": self._heartbeat,
            "LogStatusNotification": self._log_status,
            "MeterValues": self._meter_values,
            "SecurityEventNotification": self._security_event,
            "SignCertificate": self._signed,
            "SignedFirmwareStatusNotification": self._firmware_status,
            "StartTransaction": self._start_transaction,
            "StatusNotification": self._status,
            "StopTransaction": self._stop_transaction,
        }

    @property
    def acknowledges(self) -> frozenset[str]:
        """Return nothing: in every message of 1.6 there is something for the controller."""
        return frozenset()

    @property
    def handles(self) -> frozenset[str]:
        """Return the actions of stations that are understood."""
        return frozenset(self._handlers)

    async def translate(self, call: CallReceived | SendReceived, now_s: float) -> Answer:
        """Return what a station's call comes to."""
        return await self._handlers[call.action](call.payload, now_s)

    async def _boot(self, payload: Payload, now_s: float) -> Answer:
        booted = StationBooted(
            at_s=now_s,
            station=self._memory.station.id,
            vendor=payload["chargePointVendor"],
            model=payload["chargePointModel"],
            firmware=payload.get("firmwareVersion"),
            serial=payload.get("chargePointSerialNumber"),
        )
        reply = {
            "currentTime": format_time(now_s),
            "interval": self._memory.timing.heartbeat_s,
            "status": RegistrationStatus.accepted.value,
        }
        return Answer(reply=reply, events=(booted,))

    async def _heartbeat(self, _: Payload, now_s: float) -> Answer:
        return Answer(reply={"currentTime": format_time(now_s)})

    async def _firmware_status(self, payload: Payload, now_s: float) -> Answer:
        return Answer(reply={}, events=(self._memory.firmware_reported(payload, now_s),))

    async def _log_status(self, payload: Payload, now_s: float) -> Answer:
        return Answer(reply={}, events=(self._memory.log_reported(payload, now_s),))

    async def _transferred(self, payload: Payload, now_s: float) -> Answer:
        read = await transferred(self._transfers, self._memory, payload, now_s)
        data = {} if read.data is None else {"data": read.data}
        return Answer(reply={"status": read.status, **data}, events=read.events, follow_up=read.follow_up)

    async def _signed(self, payload: Payload, now_s: float) -> Answer:
        return self._memory.signed(payload, now_s)

    async def _security_event(self, payload: Payload, now_s: float) -> Answer:
        return Answer(reply={}, events=(self._memory.security_reported(payload, now_s),))

    async def _authorize(self, payload: Payload, now_s: float) -> Answer:
        return Answer(reply={"idTagInfo": self._tag_info(payload["idTag"], now_s)})

    def _tag_info(self, tag: str, now_s: float) -> Payload:
        verdict = self._memory.judged(tag, now_s)
        expires = None if verdict.expires_s is None else format_time(verdict.expires_s)
        info = {"status": verdict.status, "expiryDate": expires, "parentIdTag": verdict.group}
        return {name: value for name, value in info.items() if value is not None}

    async def _status(self, payload: Payload, now_s: float) -> Answer:
        number = int(payload["connectorId"])
        evse = self._memory.evse(number)
        if number != 0:
            return Answer(reply={}, events=() if evse is None else tuple(self._evse_status(evse, payload, now_s)))
        # Connector 0 is the whole station: its faults are those of every EVSE, its occupancy is nobody's.
        faults = [e for evse in self._memory.station.evses for e in self._faults(evse, payload, now_s)]
        return Answer(reply={}, events=tuple(faults))

    def _evse_status(self, evse: Evse, payload: Payload, now_s: float) -> list[Event]:
        status = payload["status"]
        events: list[Event] = []
        if status in _FREE:
            events.append(Unplugged(at_s=now_s, evse=evse.id))
        elif status in _OCCUPIED:
            events.append(Plugged(at_s=now_s, evse=evse.id))
            if (charging := _OCCUPIED[status]) is not None:
                events.append(ChargingChanged(at_s=now_s, evse=evse.id, state=charging))
        return events + self._faults(evse, payload, now_s)

    def _faults(self, evse: Evse, payload: Payload, now_s: float) -> list[Event]:
        code, is_faulted = payload["errorCode"], payload["status"] == ChargePointStatus.faulted
        if code == ChargePointErrorCode.no_error:
            code = ChargePointErrorCode.other_error.value if is_faulted else None
        if code is None:
            return list(self._memory.faults_now(evse.id, None, now_s))
        fault = FaultRaised(
            at_s=now_s,
            evse=evse.id,
            code=code,
            detail=payload.get("info", ""),
            vendor=payload.get("vendorId"),
            vendor_code=payload.get("vendorErrorCode") or None,
            effect=Effect.FAULTED if is_faulted else Effect.WARNING,
        )
        return list(self._memory.faults_now(evse.id, fault, now_s))

    async def _start_transaction(self, payload: Payload, now_s: float) -> Answer:
        evse = self._memory.needed_evse(int(payload["connectorId"]))
        started_s = time_or_now_s(payload["timestamp"], now_s)
        number = await self._ledger.transaction_number(
            self._memory.station.id, evse.number, started_s, payload["idTag"]
        )
        reply = {"transactionId": number, "idTagInfo": self._tag_info(payload["idTag"], now_s)}
        if self._memory.is_over(str(number)):  # repeated, and its end was heard already
            return Answer(reply=reply)
        self._memory.begin(str(number), evse.id)
        started = TransactionStarted(
            at_s=now_s,
            evse=evse.id,
            transaction_id=str(number),
            id_token=payload["idTag"],
            meter_wh=_register_wh(payload["meterStart"]),
        )
        return Answer(reply=reply, events=(started,), follow_up=self._recheck(evse, started_s, now_s))

    async def _stop_transaction(self, payload: Payload, now_s: float) -> Answer:
        transaction_id = self._memory.named(str(int(payload["transactionId"])))
        name = self._memory.evse_of(transaction_id)
        if name is None:
            # Refused, not dropped: the station keeps it and tries again.
            raise CannotHandle(ErrorCode.INTERNAL, f"transaction {transaction_id} is not known here")
        evse = next(e for e in self._memory.station.evses if e.id == name)
        self._memory.remember(transaction_id, name, is_over=True)
        ended = TransactionEnded(
            at_s=now_s,
            evse=name,
            transaction_id=transaction_id,
            meter_wh=_register_wh(payload["meterStop"]),
            reason=payload.get("reason"),
        )
        readings = self._memory.readings(
            evse, _moments(payload.get("transactionData", []), now_s), now_s, is_offline=True
        )
        reply: Payload = {"idTagInfo": self._tag_info(payload["idTag"], now_s)} if "idTag" in payload else {}
        ended_s = time_or_now_s(payload["timestamp"], now_s)
        return Answer(reply=reply, events=(*readings, ended), follow_up=self._recheck(evse, ended_s, now_s))

    def _recheck(self, evse: Evse, happened_s: float, now_s: float) -> tuple[Request, ...]:
        """Return the question whether a car is there now, if what is told happened long ago."""
        return () if self._memory.is_live(happened_s, now_s) else (Trigger(message="StatusNotification", evse=evse),)

    async def _meter_values(self, payload: Payload, now_s: float) -> Answer:
        evse = self._memory.evse(int(payload["connectorId"]))
        if evse is None:
            return Answer(reply={})
        return Answer(reply={}, events=self._memory.readings(evse, _moments(payload["meterValue"], now_s), now_s))

    def call(self, request: Request, now_s: float) -> Call:  # noqa: PLR0911 - one return a request
        """Return a request as 1.6 words it when sent now."""
        match request:
            case SetProfile():
                return Call(action="SetChargingProfile", payload=self._profile(request, now_s))
            case UpdateProfile():
                raise Refused("1.6 has no UpdateDynamicSchedule")
            case ClearProfiles():
                of_kind = {} if request.kind is None else {"chargingProfilePurpose": request.kind.value}
                payload = {"connectorId": request.evse.number, **of_kind}
                return Call(action="ClearChargingProfile", payload=payload)
            case GetSchedule():
                payload = {"connectorId": request.evse.number, "duration": request.duration_s}
                return Call(action="GetCompositeSchedule", payload=payload)
            case Trigger():
                of_evse = {} if request.evse is None else {"connectorId": request.evse.number}
                return Call(action="TriggerMessage", payload={"requestedMessage": request.message, **of_evse})
            case ReadSettings():
                return Call(action="GetConfiguration", payload={"key": list(request.names)} if request.names else {})
            case WriteSetting():
                return Call(action="ChangeConfiguration", payload={"key": request.name, "value": request.value})
            case RemoteStart():
                payload = {"connectorId": request.evse.number, "idTag": request.id_token}
                return Call(action="RemoteStartTransaction", payload=payload)
            case RemoteStop():
                payload = {"transactionId": int(request.transaction_id)}
                return Call(action="RemoteStopTransaction", payload=payload)
            case _:
                return orders16.call(request, self._memory.number_of)

    def _profile(self, request: SetProfile, now_s: float) -> Payload:
        profile: Payload = {
            "chargingProfileId": profile_id(request),
            "stackLevel": request.form.stack_level,
            "chargingProfilePurpose": purpose(request, "ChargePointMaxProfile"),
            "chargingProfileKind": request.form.kind.value,
            **valid_to(request),
            "chargingSchedule": schedule(request, now_s=now_s, margin_s=self._memory.timing.margin_s),
        }
        if request.transaction_id is not None:
            profile["transactionId"] = int(request.transaction_id)
        return {"connectorId": place(request), "csChargingProfiles": profile}

    def has_transaction_id(self, transaction_id: str | None) -> bool:
        """Tell whether it is a number, as 1.6 transactions are."""
        return transaction_id is not None and transaction_id.isascii() and transaction_id.isdecimal()

    def provisioning(self) -> tuple[Request, ...]:
        """Return what every station is asked after it came."""
        station, timing = self._memory.station, self._memory.timing
        has_dc = any(evse.wiring is Wiring.DC for evse in station.evses)
        measurands = [CURRENT, POWER, ENERGY, *([SOC] if has_dc else [])]
        return (
            ReadSettings(names=(RATE_UNIT, STACK_LEVEL, MAX_PERIODS, MAX_PROFILES, LIST_CHUNK)),
            *(SetProfile(evse=e, kind=ProfileKind.DEFAULT, limit_a=e.default_a) for e in station.evses),
            *(Trigger(message="StatusNotification", evse=evse) for evse in station.evses),
            WriteSetting(name="MeterValueSampleInterval", value=str(timing.meter_interval_s)),
            *(
                WriteSetting(name="MeterValuesSampledData", value=names)
                for names in sampled(measurands, VOLTAGE, TEMPERATURE)
            ),
            WriteSetting(name="HeartbeatInterval", value=str(timing.heartbeat_s)),
            *self._memory.list_requests("LocalAuthListEnabled"),
        )

    def learnt(self, answer: Payload, now_s: float) -> StationLearnt:
        """Return what a station told of itself in answer to GetConfiguration."""
        values = {item["key"]: item.get("value") for item in answer.get("configurationKey", [])}
        self._memory.list_chunk = whole(values.get(LIST_CHUNK))
        return StationLearnt(
            at_s=now_s,
            station=self._memory.station.id,
            rate_unit=rate_unit(values.get(RATE_UNIT)),
            max_stack_level=whole(values.get(STACK_LEVEL)),
            max_periods=whole(values.get(MAX_PERIODS)),
            max_profiles=whole(values.get(MAX_PROFILES)),
        )


def _moments(meter_values: list[dict[str, Any]], now_s: float) -> list[tuple[float, list[Sample]]]:
    return [(time_or_now_s(value["timestamp"], now_s), _samples(value["sampledValue"])) for value in meter_values]


def _samples(sampled_values: list[dict[str, Any]]) -> list[Sample]:
    return [
        Sample(
            measurand=value.get("measurand", ENERGY),
            value=finite(value["value"]),
            unit=value.get("unit"),
            phase=value.get("phase"),
            location=value.get("location"),
            is_triggered=value.get("context") == "Trigger",
        )
        for value in sampled_values
        if value.get("format") != "SignedData"
    ]


def _register_wh(value: float) -> float | None:
    energy_wh = finite(value, MAX_REGISTER_WH)
    return None if energy_wh is None or energy_wh < 0.0 else energy_wh
