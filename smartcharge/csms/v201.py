"""OCPP 2.0.1, translation only: what stations say becomes events, what we ask becomes payloads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ocpp.v201.enums import (
    ConnectorStatusEnumType,
    RegistrationStatusEnumType,
    TransactionEventEnumType,
)

from smartcharge.csms import orders2
from smartcharge.csms.dialect import Answer, Call, Memory, time_or_now_s, whole
from smartcharge.csms.frames import CallReceived, SendReceived
from smartcharge.csms.metering import CURRENT, ENERGY, POWER, SOC, VOLTAGE, Sample, finite, sampled
from smartcharge.csms.needs import needed, scheduled
from smartcharge.csms.reporting import Reporting
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
from smartcharge.csms.transfers import transferred
from smartcharge.errors import Refused
from smartcharge.events import (
    Charging,
    ChargingChanged,
    Event,
    FaultRaised,
    Metered,
    Plugged,
    ProfileKind,
    ReservationUpdated,
    StationBooted,
    StationLearnt,
    TransactionEnded,
    TransactionStarted,
    Unplugged,
)
from smartcharge.faults import Effect
from smartcharge.model import Evse, EvseId, ScheduleKind, Wiring

Handler: TypeAlias = Callable[[Payload, float], Answer]

RATE_UNIT = "SmartChargingCtrlr.RateUnit"
STACK_LEVEL = "SmartChargingCtrlr.ProfileStackLevel"
MAX_PERIODS = "SmartChargingCtrlr.PeriodsPerSchedule"
PHASES = "ChargingStation.SupplyPhases"
LIST_CHUNK = "LocalAuthListCtrlr.ItemsPerMessage"
FAULTED = "Faulted"
"""Code of a connector that is Faulted; 2.x tells what it is in NotifyEvent, if at all."""
MAX_MULTIPLIER = 9

_STATIC: Mapping[str, Payload] = {
    "ClearedChargingLimit": {},
    "Get15118EVCertificate": {"status": "Failed", "exiResponse": ""},
    "GetCertificateStatus": {"status": "Failed"},
    "NotifyChargingLimit": {},
    "NotifyCustomerInformation": {},
    "PublishFirmwareStatusNotification": {},
    "ReportChargingProfiles": {},
}
"""Calls with nothing in them for the controller."""

_FREE = frozenset({ConnectorStatusEnumType.available.value, ConnectorStatusEnumType.reserved.value})


class Dialect201:
    """OCPP 2.0.1, seen from the server."""

    version = Version.V201
    max_token = 36

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._connectors: dict[EvseId, dict[int, str]] = {}
        self._reporting = Reporting(memory)
        self._handlers: dict[str, Handler] = {
            "Authorize": lambda p, now_s: Answer(reply={"idTokenInfo": self._token_info(p["idToken"], now_s)}),
            "BootNotification": self._boot,
            "FirmwareStatusNotification": self._firmware_status,
            "Heartbeat": lambda _, now_s: Answer(reply={"currentTime": format_time(now_s)}),
            "LogStatusNotification": self._log_status,
            "MeterValues": self._meter_values,
            "NotifyEVChargingNeeds": lambda p, now_s: needed(memory, p, now_s),
            "NotifyEVChargingSchedule": lambda p, _: scheduled(memory, p),
            "ReservationStatusUpdate": self._reservation,
            "SecurityEventNotification": self._security_event,
            "SignCertificate": memory.signed,
            "StatusNotification": self._status,
            "TransactionEvent": self._transaction_event,
            **self._reporting.handlers,
        }
        self._static: Mapping[str, Payload] = _STATIC

    @property
    def acknowledges(self) -> frozenset[str]:
        """Return the actions that are answered and have nothing in them for the controller."""
        return frozenset(self._static)

    @property
    def handles(self) -> frozenset[str]:
        """Return the actions of stations that are understood."""
        return frozenset(self._handlers) | self.acknowledges | {"DataTransfer"}

    async def translate(self, call: CallReceived | SendReceived, now_s: float) -> Answer:
        """Return what a station's call comes to."""
        return await self.handled(call.action, call.payload, now_s)

    async def handled(self, action: str, payload: Payload, now_s: float) -> Answer:
        """Return what an action with a sound payload comes to."""
        if action == "DataTransfer":
            return await self._transferred(payload, now_s)
        handler = self._handlers.get(action)
        return Answer(reply=self._static[action]) if handler is None else handler(payload, now_s)

    def _boot(self, payload: Payload, now_s: float) -> Answer:
        itself = payload["chargingStation"]
        booted = StationBooted(
            at_s=now_s,
            station=self._memory.station.id,
            vendor=itself["vendorName"],
            model=itself["model"],
            firmware=itself.get("firmwareVersion"),
            serial=itself.get("serialNumber"),
        )
        reply = {
            "currentTime": format_time(now_s),
            "interval": self._memory.timing.heartbeat_s,
            "status": RegistrationStatusEnumType.accepted.value,
        }
        return Answer(reply=reply, events=(booted,))

    def _token_info(self, token: Payload, now_s: float) -> Payload:
        verdict = self._memory.judged(token["idToken"], now_s, token["type"])
        info: Payload = {"status": verdict.status}
        if verdict.expires_s is not None:
            info["cacheExpiryDateTime"] = format_time(verdict.expires_s)
        if verdict.group is not None:
            info["groupIdToken"] = {"idToken": verdict.group, "type": token["type"]}
        return info

    def _firmware_status(self, payload: Payload, now_s: float) -> Answer:
        return Answer(reply={}, events=(self._memory.firmware_reported(payload, now_s),))

    def _log_status(self, payload: Payload, now_s: float) -> Answer:
        return Answer(reply={}, events=(self._memory.log_reported(payload, now_s),))

    def _security_event(self, payload: Payload, now_s: float) -> Answer:
        return Answer(reply={}, events=(self._memory.security_reported(payload, now_s),))

    def _status(self, payload: Payload, now_s: float) -> Answer:
        evse = self._memory.evse(int(payload["evseId"]))
        if evse is None:
            return Answer(reply={})
        connectors = self._connectors.setdefault(evse.id, {})
        connectors[int(payload["connectorId"])] = payload["connectorStatus"]
        statuses = set(connectors.values())
        events: list[Event] = []
        if ConnectorStatusEnumType.occupied.value in statuses:
            events.append(Plugged(at_s=now_s, evse=evse.id))
        elif statuses <= _FREE and len(connectors) >= len(evse.connectors):
            events.append(Unplugged(at_s=now_s, evse=evse.id))
        is_faulted = ConnectorStatusEnumType.faulted.value in statuses
        fault = FaultRaised(at_s=now_s, evse=evse.id, code=FAULTED, effect=Effect.FAULTED) if is_faulted else None
        return Answer(reply={}, events=(*events, *self._memory.faults_now(evse.id, fault, now_s)))

    def _transaction_event(self, payload: Payload, now_s: float) -> Answer:
        transaction_id = payload["transactionInfo"]["transactionId"]
        number = int(payload["evse"]["id"]) if "evse" in payload else None
        name = self._memory.evse_of(transaction_id) if number is None else self._memory.needed_evse(number).id
        reply: Payload = {"idTokenInfo": self._token_info(payload["idToken"], now_s)} if "idToken" in payload else {}
        if name is None:  # authorised before an EVSE was chosen; a later message names it
            return Answer(reply=reply)
        evse = next(e for e in self._memory.station.evses if e.id == name)
        taken_s = time_or_now_s(payload["timestamp"], now_s)
        is_late = payload.get("offline", False) or not self._memory.is_live(taken_s, now_s)
        readings = self._readings(evse, payload, now_s, is_late=is_late)
        events: list[Event] = [*self._started(evse, payload, readings, now_s)]
        state = payload["transactionInfo"].get("chargingState")
        self._memory.note_seq_no(transaction_id, int(payload["seqNo"]))
        is_live = not is_late and not self._memory.is_over(transaction_id)
        if state not in (None, Charging.IDLE.value) and is_live:
            events.append(ChargingChanged(at_s=now_s, evse=name, state=Charging(state)))
        events += readings
        events += self._ended(evse, payload, readings, now_s)
        follow_up = (Trigger(message="StatusNotification", evse=evse),) if is_late else ()
        return Answer(reply=reply, events=tuple(events), follow_up=follow_up)

    def _started(self, evse: Evse, payload: Payload, readings: tuple[Metered, ...], now_s: float) -> list[Event]:
        """Return the start of a transaction, also if we first hear of it later than at its start."""
        transaction_id = payload["transactionInfo"]["transactionId"]
        is_start = payload["eventType"] == TransactionEventEnumType.started
        is_known = transaction_id in self._memory.transactions
        # One whose end was heard does not begin again: its start came late.
        if is_known and (not is_start or self._memory.is_over(transaction_id)):
            return []
        self._memory.begin(transaction_id, evse.id)
        started = TransactionStarted(
            at_s=now_s,
            evse=evse.id,
            transaction_id=transaction_id,
            id_token=payload["idToken"]["idToken"] if "idToken" in payload else None,
            meter_wh=readings[0].energy_wh if readings else None,
        )
        return [started]

    def _ended(self, evse: Evse, payload: Payload, readings: tuple[Metered, ...], now_s: float) -> list[Event]:
        if payload["eventType"] != TransactionEventEnumType.ended:
            return []
        transaction = payload["transactionInfo"]
        self._memory.remember(transaction["transactionId"], evse.id, is_over=True)
        ended = TransactionEnded(
            at_s=now_s,
            evse=evse.id,
            transaction_id=transaction["transactionId"],
            meter_wh=readings[-1].energy_wh if readings else None,
            reason=transaction.get("stoppedReason"),
        )
        return [ended]

    def _meter_values(self, payload: Payload, now_s: float) -> Answer:
        evse = self._memory.evse(int(payload["evseId"]))
        return Answer(reply={}, events=() if evse is None else self._readings(evse, payload, now_s, is_late=False))

    def _readings(self, evse: Evse, payload: Payload, now_s: float, *, is_late: bool) -> tuple[Metered, ...]:
        moments = [
            (time_or_now_s(m["timestamp"], now_s), _samples(m["sampledValue"])) for m in payload.get("meterValue", [])
        ]
        return self._memory.readings(evse, moments, now_s, is_offline=is_late)

    async def _transferred(self, payload: Payload, now_s: float) -> Answer:
        read = await transferred(self._memory.transfers, self._memory, payload, now_s)
        data = {} if read.data is None else {"data": read.data}
        return Answer(reply={"status": read.status, **data}, events=read.events, follow_up=read.follow_up)

    def _reservation(self, payload: Payload, now_s: float) -> Answer:
        updated = ReservationUpdated(
            at_s=now_s,
            station=self._memory.station.id,
            reservation_id=payload["reservationId"],
            status=payload["reservationUpdateStatus"],
        )
        return Answer(reply={}, events=(updated,))

    def call(self, request: Request, now_s: float) -> Call:  # noqa: PLR0911 - one return a request
        """Return a request as 2.0.1 words it when sent now."""
        match request:
            case SetProfile():
                return Call(action="SetChargingProfile", payload=self._profile(request, now_s))
            case UpdateProfile():
                raise Refused("2.0.1 has no UpdateDynamicSchedule")
            case ClearProfiles():
                of_kind = {} if request.kind is None else {"chargingProfilePurpose": request.kind.value}
                criteria = {"evseId": request.evse.number, **of_kind}
                return Call(action="ClearChargingProfile", payload={"chargingProfileCriteria": criteria})
            case GetSchedule():
                payload: Payload = {"evseId": request.evse.number, "duration": request.duration_s}
                return Call(action="GetCompositeSchedule", payload=payload)
            case Trigger():
                of_evse = {} if request.evse is None else {"evse": _connector_of(request.evse)}
                return Call(action="TriggerMessage", payload={"requestedMessage": request.message, **of_evse})
            case ReadSettings():
                return Call(action="GetVariables", payload={"getVariableData": [_variable(n) for n in request.names]})
            case WriteSetting():
                data = {**_variable(request.name), "attributeValue": request.value}
                return Call(action="SetVariables", payload={"setVariableData": [data]})
            case RemoteStart():
                id_token = {"idToken": request.id_token, "type": "Central"}
                payload = {"evseId": request.evse.number, "remoteStartId": request.number, "idToken": id_token}
                return Call(action="RequestStartTransaction", payload=payload)
            case RemoteStop():
                return Call(action="RequestStopTransaction", payload={"transactionId": request.transaction_id})
            case _:
                return orders2.call(request, self._memory.number_of)

    def _profile(self, request: SetProfile, now_s: float) -> Payload:
        id_, margin_s = profile_id(request), self._memory.timing.margin_s
        profile: Payload = {
            "id": id_,
            "stackLevel": request.form.stack_level,
            "chargingProfilePurpose": purpose(request, "ChargingStationMaxProfile"),
            "chargingProfileKind": request.form.kind.value,
            **valid_to(request),
            **self._offline_end(request),
            "chargingSchedule": [{"id": id_, **schedule(request, now_s=now_s, margin_s=margin_s)}],
        }
        if request.transaction_id is not None:
            profile["transactionId"] = request.transaction_id
        return {"evseId": place(request), "chargingProfile": profile}

    def _offline_end(self, request: SetProfile) -> Payload:
        """Return the end of a Dynamic profile (2.1 K28): it does not outlive the connection by much."""
        if request.form.kind is not ScheduleKind.DYNAMIC:
            return {}
        life_s = round(self._memory.timing.profile_s)
        return {"maxOfflineDuration": life_s, "invalidAfterOfflineDuration": True, "dynUpdateInterval": life_s}

    def has_transaction_id(self, transaction_id: str | None) -> bool:
        """Tell whether it fits the 36 characters of a 2.0.1 transactionId."""
        return transaction_id is not None and 0 < len(transaction_id) <= 36

    def provisioning(self) -> tuple[Request, ...]:
        """Return what every station is asked after it came."""
        station, timing = self._memory.station, self._memory.timing
        has_dc = any(evse.wiring is Wiring.DC for evse in station.evses)
        measurands = [CURRENT, POWER, ENERGY, *([SOC] if has_dc else [])]
        return (
            ReadSettings(names=(RATE_UNIT, STACK_LEVEL, MAX_PERIODS, PHASES, LIST_CHUNK)),
            *(SetProfile(evse=e, kind=ProfileKind.DEFAULT, limit_a=e.default_a) for e in station.evses),
            *(Trigger(message="StatusNotification", evse=evse) for evse in station.evses),
            WriteSetting(name="SampledDataCtrlr.TxUpdatedInterval", value=str(timing.meter_interval_s)),
            *(
                WriteSetting(name="SampledDataCtrlr.TxUpdatedMeasurands", value=names)
                for names in sampled(measurands, VOLTAGE)
            ),
            WriteSetting(name="SampledDataCtrlr.TxStartedMeasurands", value=ENERGY),
            WriteSetting(name="SampledDataCtrlr.TxEndedMeasurands", value=ENERGY),
            WriteSetting(name="OCPPCommCtrlr.HeartbeatInterval", value=str(timing.heartbeat_s)),
            *self._memory.list_requests("LocalAuthListCtrlr.Enabled"),
            *self._memory.report_requests(),
        )

    def learnt(self, answer: Payload, now_s: float) -> StationLearnt:
        """Return what a station told of itself in answer to GetVariables."""
        values = {
            f"{result['component']['name']}.{result['variable']['name']}": result.get("attributeValue")
            for result in answer["getVariableResult"]
            if result["attributeStatus"] == "Accepted"
        }
        self._memory.list_chunk = whole(values.get(LIST_CHUNK))
        return StationLearnt(
            at_s=now_s,
            station=self._memory.station.id,
            rate_unit=rate_unit(values.get(RATE_UNIT)),
            max_stack_level=whole(values.get(STACK_LEVEL)),
            max_periods=whole(values.get(MAX_PERIODS)),
            phases=whole(values.get(PHASES)),
        )


def _variable(name: str) -> Payload:
    component, _, variable = name.partition(".")
    return {"component": {"name": component}, "variable": {"name": variable}}


def _connector_of(evse: Evse) -> Payload:
    """Return the EVSE with a connector, which a triggered StatusNotification must name (F06.FR.12)."""
    return {"id": evse.number, "connectorId": evse.connectors[0].id if evse.connectors else 1}


def _samples(sampled_values: list[dict[str, Any]]) -> list[Sample]:
    samples = []
    for value in sampled_values:
        unit = value.get("unitOfMeasure", {})
        multiplier = int(unit.get("multiplier", 0))
        number = finite(value["value"])
        is_sane = abs(multiplier) <= MAX_MULTIPLIER
        sample = Sample(
            measurand=value.get("measurand", ENERGY),
            value=None if number is None or not is_sane else number * 10.0**multiplier,
            unit=unit.get("unit"),
            phase=value.get("phase"),
            location=value.get("location"),
            is_triggered=value.get("context") == "Trigger",
        )
        samples.append(sample)
    return samples
