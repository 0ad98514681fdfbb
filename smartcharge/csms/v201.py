"""OCPP 2.0.1, translation only: what stations say becomes events, what we ask becomes payloads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from ocpp.v201.enums import (
    ConnectorStatusEnumType,
    RegistrationStatusEnumType,
    TransactionEventEnumType,
)

from smartcharge.csms import orders2
from smartcharge.csms.dialect import Answer, Call, Memory, time_or_now_s, whole
from smartcharge.csms.metering import CURRENT, ENERGY, LARGEST_C, POWER, SOC, VOLTAGE, Sample, finite, sampled
from smartcharge.csms.requests import (
    ClearProfiles,
    GetSchedule,
    ReadSettings,
    RemoteStart,
    RemoteStop,
    Request,
    SetProfile,
    Trigger,
    WriteSetting,
    place,
    profile_id,
    purpose,
    rate_unit,
    schedule,
    valid_to,
)
from smartcharge.csms.rpc import CallReceived, SendReceived
from smartcharge.csms.schemas import Payload, Version, format_time, parse_time_s
from smartcharge.events import (
    Charging,
    ChargingChanged,
    Event,
    FaultCleared,
    FaultRaised,
    Metered,
    NeedStated,
    Plugged,
    ProfileKind,
    StationBooted,
    StationLearnt,
    TransactionEnded,
    TransactionStarted,
    Unplugged,
)
from smartcharge.faults import Effect
from smartcharge.model import Evse, EvseId, Wiring

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
    "DataTransfer": {"status": "UnknownVendorId"},
    "Get15118EVCertificate": {"status": "Failed", "exiResponse": ""},
    "GetCertificateStatus": {"status": "Failed"},
    "NotifyChargingLimit": {},
    "NotifyCustomerInformation": {},
    "NotifyDisplayMessages": {},
    "NotifyEVChargingSchedule": {"status": "Accepted"},
    "NotifyMonitoringReport": {},
    "NotifyReport": {},
    "PublishFirmwareStatusNotification": {},
    "ReportChargingProfiles": {},
    "ReservationStatusUpdate": {},
    "SignCertificate": {"status": "Rejected"},
}
"""Calls with nothing in them for the controller."""

_PROBLEMS = frozenset({"Problem", "Active", "Fault", "Overload", "Tripped"})
"""Variables of a component that are true while something is wrong with it (appendix 3)."""
_FREE = frozenset({ConnectorStatusEnumType.available.value, ConnectorStatusEnumType.reserved.value})


class Dialect201:
    """OCPP 2.0.1, seen from the server."""

    version = Version.V201
    max_token = 36

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._connectors: dict[EvseId, dict[int, str]] = {}
        self._problems: dict[tuple[EvseId, str], str] = {}
        self._handlers: dict[str, Handler] = {
            "Authorize": lambda p, now_s: Answer(reply={"idTokenInfo": self._token_info(p["idToken"], now_s)}),
            "BootNotification": self._boot,
            "FirmwareStatusNotification": self._firmware_status,
            "Heartbeat": lambda _, now_s: Answer(reply={"currentTime": format_time(now_s)}),
            "LogStatusNotification": self._log_status,
            "MeterValues": self._meter_values,
            "NotifyEVChargingNeeds": self._needs,
            "NotifyEvent": self._notify_event,
            "SecurityEventNotification": self._security_event,
            "StatusNotification": self._status,
            "TransactionEvent": self._transaction_event,
        }
        self._static: Mapping[str, Payload] = _STATIC

    @property
    def acknowledges(self) -> frozenset[str]:
        """Return the actions that are answered and have nothing in them for the controller."""
        return frozenset(self._static)

    @property
    def handles(self) -> frozenset[str]:
        """Return the actions of stations that are understood."""
        return frozenset(self._handlers) | self.acknowledges

    async def translate(self, call: CallReceived | SendReceived, now_s: float) -> Answer:
        """Return what a station's call comes to."""
        handler = self._handlers.get(call.action)
        return Answer(reply=self._static[call.action]) if handler is None else handler(call.payload, now_s)

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

    def _needs(self, payload: Payload, now_s: float) -> Answer:
        """Take what an ISO 15118 car asks for; a schedule follows with the controller's next cycle (K15)."""
        evse = self._memory.needed_evse(int(payload["evseId"]))
        needs = payload["chargingNeeds"]
        asked = needs.get("acChargingParameters") or needs.get("dcChargingParameters") or {}
        departure = needs.get("departureTime")
        stated = NeedStated(
            at_s=now_s,
            evse=evse.id,
            energy_wh=finite(asked.get("energyAmount")),
            depart_at_s=None if departure is None else parse_time_s(departure),
        )
        return Answer(reply={"status": "Accepted"}, events=(stated,))

    def _notify_event(self, payload: Payload, now_s: float) -> Answer:
        events: list[Event] = []
        for data in payload["eventData"]:
            component = data["component"]
            if component["name"] == "TemperatureSensor" and data["variable"]["name"] == "Temperature":
                events += self._temperature(component, data, now_s)
            elif data["variable"]["name"] in _PROBLEMS:
                number = int(component["evse"]["id"]) if "evse" in component else 0
                evse = self._memory.evse(number)
                # What belongs to no EVSE is the whole station's, and so every EVSE's.
                whose = self._memory.station.evses if number == 0 else () if evse is None else (evse,)
                events += [self._problem(one, _component(data), data, now_s) for one in whose]
        return Answer(reply={}, events=tuple(events))

    def _temperature(self, component: dict[str, Any], data: dict[str, Any], now_s: float) -> Iterator[Event]:
        """Yield a temperature [C]; 2.x has no such measurand.  A sensor at a connector is the outlet's."""
        measured_c = finite(data["actualValue"])
        evse = self._memory.evse(int(component["evse"]["id"])) if "evse" in component else None
        if evse is None or measured_c is None or abs(measured_c) > LARGEST_C:
            return
        is_outlet = "connectorId" in component["evse"]
        yield Metered(
            at_s=now_s,
            evse=evse.id,
            outlet_c=measured_c if is_outlet else None,
            body_c=None if is_outlet else measured_c,
        )

    def _problem(self, evse: Evse, component: str, data: dict[str, Any], now_s: float) -> Event:
        """Return the fault of a component; its end may come without the code of its beginning."""
        known = self._problems.get((evse.id, component))
        if data.get("cleared", False) or data["actualValue"].lower() != "true":
            self._problems.pop((evse.id, component), None)
            return FaultCleared(at_s=now_s, evse=evse.id, code=known or data.get("techCode") or component)
        _, hash_, instance = component.partition("#")
        code = f"{data['techCode']}{hash_}{instance}" if data.get("techCode") else component
        self._problems[evse.id, component] = code
        detail = ": ".join([component, *([data["techInfo"]] if "techInfo" in data else [])])
        return FaultRaised(at_s=now_s, evse=evse.id, code=code, detail=detail)

    def call(self, request: Request, now_s: float) -> Call:  # noqa: PLR0911 - one return a request
        """Return a request as 2.0.1 words it when sent now."""
        match request:
            case SetProfile():
                return Call(action="SetChargingProfile", payload=self._profile(request, now_s))
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
            "chargingSchedule": [{"id": id_, **schedule(request, now_s=now_s, margin_s=margin_s)}],
        }
        if request.transaction_id is not None:
            profile["transactionId"] = request.transaction_id
        return {"evseId": place(request), "chargingProfile": profile}

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


def _component(data: dict[str, Any]) -> str:
    """Return the name of what is wrong: the component, its variable where that is not Problem, its instance."""
    component, variable = data["component"], data["variable"]["name"]
    name = component["name"] if variable == "Problem" else f"{component['name']}.{variable}"
    return f"{name}#{component['instance']}" if "instance" in component else str(name)
