"""OCPP 2.0.1, seen from a station: translation only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from smartcharge.clock import now_s
from smartcharge.csms.frames import CallReceived
from smartcharge.csms.profile_store import STATION, Filter
from smartcharge.csms.profiles import Profile, Purpose
from smartcharge.csms.schemas import Payload, format_time
from smartcharge.sim.ailments import AMBIENT_C, SOUND, Ailment
from smartcharge.sim.station_link import Message
from smartcharge.sim.station_orders import (
    bays,
    firmware_order,
    periods,
    set_heartbeat,
    set_measurands,
    set_meter_interval,
    trigger,
    unit_asked,
)
from smartcharge.sim.station_parts import ENERGY, TEMPERATURE, Bay, Sample, StartRequest, Status, Transaction, readings

if TYPE_CHECKING:
    from smartcharge.sim.station import SimulatedStation

Handler: TypeAlias = Callable[[Payload], Payload]

DELTA_C = 5.0
"""Change of a temperature that is told [C]."""
MAX_ID_TOKEN = 36
"""Characters of an idToken."""
_ACCEPTED = {"status": "Accepted"}
_REJECTED = {"status": "Rejected"}
_CHARGING_STATES = {
    Status.CHARGING: "Charging",
    Status.SUSPENDED_EV: "SuspendedEV",
    Status.SUSPENDED_EVSE: "SuspendedEVSE",
}
_END_TRIGGERS = {
    "DeAuthorized": "Deauthorized",
    "Other": "AbnormalCondition",
    "EVDisconnected": "EVDeparted",
    "ImmediateReset": "ResetCommand",
    "PowerLoss": "AbnormalCondition",
    "Remote": "RemoteStop",
}


class Station201:
    """Speaks OCPP 2.0.1 for a station."""

    def __init__(self, station: SimulatedStation) -> None:
        self._station = station
        self._handlers: Mapping[str, Handler] = {
            "ChangeAvailability": self._change_availability,
            "ClearChargingProfile": self._clear_charging_profile,
            "GetBaseReport": self._get_base_report,
            "GetCompositeSchedule": self._get_composite_schedule,
            "GetMonitoringReport": lambda _: {"status": "EmptyResultSet"},
            "GetVariables": self._get_variables,
            "RequestStartTransaction": self._request_start,
            "RequestStopTransaction": self._request_stop,
            "Reset": self._reset,
            "SetChargingProfile": self._set_charging_profile,
            "SetVariables": self._set_variables,
            "TriggerMessage": self._trigger_message,
            "UpdateDynamicSchedule": self._update_dynamic_schedule,
            "UpdateFirmware": self._update,
        }
        self.handles = frozenset(self._handlers)

    # -- what the station says

    def boot(self, reason: str) -> Message:
        """Return a BootNotification."""
        options = self._station.options
        version = self._station.firmware.version
        itself = {"vendorName": options.vendor, "model": options.model, "firmwareVersion": version}
        return Message(action="BootNotification", payload={"reason": reason, "chargingStation": itself}, is_boot=True)

    def firmware_status(self, status: str, request_id: int | None) -> Message:
        """Return how far an update is."""
        number = {} if request_id is None else {"requestId": request_id}
        return Message(action="FirmwareStatusNotification", payload={"status": status, **number})

    def heartbeat(self) -> Message:
        """Return a Heartbeat."""
        return Message(action="Heartbeat", payload={})

    def authorize(self, id_token: str) -> Message:
        """Return the question whether somebody may charge."""
        return Message(action="Authorize", payload={"idToken": _id_token(id_token)})

    def may_charge(self, answer: Payload) -> bool:
        """Return the answer to that question."""
        return bool(answer["idTokenInfo"]["status"] == "Accepted")

    def transaction_id(self, own_id: str) -> str | None:
        """Return the id itself: a 2.0.1 station names its transactions."""
        return own_id

    def statuses(self, whose: list[Bay]) -> list[Message]:
        """Return the StatusNotification of every connector, as it is now."""
        return [_status(bay) for bay in whose]

    def status_changed(self, bay: Bay, before: Status) -> list[Message]:
        """Return the connector's new status, and the transaction's new charging state, where they changed."""
        messages = [_status(bay)] if _occupancy(bay.status) != _occupancy(before) else []
        if bay.transaction is not None and bay.status in _CHARGING_STATES:
            messages.append(self._event("Updated", "ChargingStateChanged", bay, bay.transaction, at_s=now_s()))
        return messages

    def ailing(self, bay: Bay, ailment: Ailment, *, is_there: bool) -> list[Message]:
        """Return the NotifyEvent of the component, and the connector's status where that changed."""
        if ailment.code is None:
            return []
        more: Payload = {} if is_there else {"cleared": True}
        if ailment.vendor_code is not None:
            more["techCode"] = ailment.vendor_code
        message = self._notify(bay, ailment.component, ailment.variable, "true" if is_there else "false", **more)
        if ailment.instance is not None:
            message.payload["eventData"][0]["component"]["instance"] = ailment.instance
        return [message]

    def started(self, bay: Bay, transaction: Transaction, sample: Sample) -> Message:
        """Return the TransactionEvent that starts a transaction."""
        trigger = "Authorized" if transaction.remote_start_id is None else "RemoteStart"
        started = self._event("Started", trigger, bay, transaction, at_s=sample.at_s)
        started.payload["idToken"] = _id_token(transaction.id_token)
        started.payload["meterValue"] = [self._meter_value(bay, sample, "Transaction.Begin", (ENERGY,))]
        if transaction.remote_start_id is not None:
            started.payload["transactionInfo"]["remoteStartId"] = transaction.remote_start_id
        started.on_result = partial(self._judged, bay, transaction)
        return started

    def metered(self, bay: Bay, sample: Sample, *, is_triggered: bool) -> Message:
        """Return the meter values of a transaction; triggered or without one, in a message of their own."""
        context = "Trigger" if is_triggered else "Sample.Periodic"
        values = [self._meter_value(bay, sample, context, self._station.measurands)]
        if bay.transaction is None or is_triggered:
            return Message(action="MeterValues", payload={"evseId": bay.number, "meterValue": values})
        message = self._event("Updated", "MeterValuePeriodic", bay, bay.transaction, at_s=sample.at_s)
        message.payload["meterValue"] = values
        return message

    def warmth(self, bay: Bay, sample: Sample) -> list[Message]:
        """Return a NotifyEvent once a connector that has a sensor is a few degrees warmer or colder (Delta monitor).

        In the simulation those have one that were ill once.
        """
        is_usual = bay.ailment is SOUND and bay.told_c == AMBIENT_C
        if is_usual or sample.outlet_c is None or abs(sample.outlet_c - bay.told_c) < DELTA_C:
            return []
        bay.told_c = sample.outlet_c
        return [self._notify(bay, "TemperatureSensor", "Temperature", f"{sample.outlet_c:.1f}")]

    def _notify(self, bay: Bay, component: str, variable: str, value: str, **more: object) -> Message:
        event: Payload = {
            "eventId": round(now_s()) % 10**6,
            "timestamp": format_time(now_s()),
            "trigger": "Delta" if variable == "Temperature" else "Alerting",
            "eventNotificationType": "HardWiredNotification",
            "component": {"name": component, "evse": {"id": bay.number, "connectorId": bay.connector}},
            "variable": {"name": variable},
            "actualValue": value,
            **more,
        }
        payload: Payload = {"generatedAt": format_time(now_s()), "seqNo": 0, "eventData": [event]}
        return Message(action="NotifyEvent", payload=payload)

    def ended(self, bay: Bay, transaction: Transaction, sample: Sample, reason: str) -> Message:
        """Return the TransactionEvent that ends a transaction."""
        ended = self._event("Ended", _END_TRIGGERS[reason], bay, transaction, at_s=sample.at_s)
        ended.payload["transactionInfo"]["stoppedReason"] = reason
        ended.payload["meterValue"] = [self._meter_value(bay, sample, "Transaction.End", (ENERGY,))]
        return ended

    def _event(self, kind: str, trigger: str, bay: Bay, transaction: Transaction, *, at_s: float) -> Message:
        info: Payload = {"transactionId": transaction.id}
        if kind != "Ended":
            info["chargingState"] = _CHARGING_STATES.get(bay.status, "EVConnected")
        payload: Payload = {
            "eventType": kind,
            "timestamp": format_time(at_s),
            "triggerReason": trigger,
            "seqNo": transaction.sequence,
            "transactionInfo": info,
            "evse": {"id": bay.number, "connectorId": bay.connector},
        }
        if not self._station.link.is_online:
            payload["offline"] = True
        transaction.sequence += 1
        return Message(action="TransactionEvent", payload=payload, is_kept=True)

    def _meter_value(self, bay: Bay, sample: Sample, context: str, measurands: tuple[str, ...]) -> Payload:
        by_phase = self._station.options.measures_phases
        sampled = [
            {
                "value": round(reading.value, 2),
                "context": context,
                "measurand": reading.measurand,
                "unitOfMeasure": {"unit": reading.unit},
                **({} if reading.phase is None else {"phase": reading.phase}),
                **({} if reading.location is None else {"location": reading.location}),
            }
            for reading in readings(bay.evse, sample, measurands, by_phase=by_phase)
        ]
        return {"timestamp": format_time(sample.at_s), "sampledValue": sampled}

    def _judged(self, bay: Bay, transaction: Transaction, answer: Payload) -> None:
        if answer.get("idTokenInfo", _ACCEPTED)["status"] != "Accepted":
            self._station.deauthorized(bay, transaction)

    # -- what the server says

    def answer(self, call: CallReceived) -> Payload:
        """Act on a call of the server and return the answer."""
        return self._handlers[call.action](call.payload)

    def _set_charging_profile(self, payload: Payload) -> Payload:
        profile = payload["chargingProfile"]
        if profile["chargingProfilePurpose"] == Purpose.EXTERNAL.value:  # not the server's to set (K01.FR.22)
            return _rejected("InvalidProfile")
        if len(profile["chargingSchedule"]) > 1:  # a choice of schedules is for ISO 15118 cars
            return _rejected("InvalidSchedule")
        objection = self._station.supply.install(payload["evseId"], _profile(profile))
        return _ACCEPTED if objection is None else _rejected(objection)

    def _update_dynamic_schedule(self, payload: Payload) -> Payload:
        is_there = self._station.supply.update(payload["chargingProfileId"], payload["scheduleUpdate"])
        return _ACCEPTED if is_there else _rejected("UnknownProfile")

    def _clear_charging_profile(self, payload: Payload) -> Payload:
        criteria = payload.get("chargingProfileCriteria", {})
        purpose = criteria.get("chargingProfilePurpose")
        which = Filter(
            id=payload.get("chargingProfileId"),
            evse=criteria.get("evseId"),
            purpose=None if purpose is None else Purpose(purpose),
            stack_level=criteria.get("stackLevel"),
        )
        return {"status": "Accepted" if self._station.supply.clear(which) else "Unknown"}

    def _get_composite_schedule(self, payload: Payload) -> Payload:
        number, unit = payload["evseId"], unit_asked(self._station, payload)
        if unit is None or not bays(self._station, number):
            return _rejected("UnsupportedRateUnit" if unit is None else "UnknownEvse")
        schedule = {
            "evseId": number,
            "duration": payload["duration"],
            "scheduleStart": format_time(now_s()),
            "chargingRateUnit": unit.value,
            "chargingSchedulePeriod": periods(self._station, number, payload["duration"], unit),
        }
        return {**_ACCEPTED, "schedule": schedule}

    def _update(self, payload: Payload) -> Payload:
        self._station.firmware.take(firmware_order(payload))
        return _ACCEPTED

    def _trigger_message(self, payload: Payload) -> Payload:
        whose = bays(self._station, payload.get("evse", {}).get("id", STATION))
        if not whose:
            return _rejected("UnknownEvse")
        return {"status": trigger(self._station, payload["requestedMessage"], whose)}

    def _variables(self) -> dict[str, str]:
        station, abilities = self._station, self._station.options.abilities
        phases = max(bay.evse.phase_count for bay in station.bays.values())
        return {
            "ChargingStation.SupplyPhases": str(phases),
            "OCPPCommCtrlr.HeartbeatInterval": f"{station.heartbeat_s:.0f}",
            "SampledDataCtrlr.TxEndedMeasurands": ENERGY,
            "SampledDataCtrlr.TxStartedMeasurands": ENERGY,
            "SampledDataCtrlr.TxUpdatedInterval": f"{station.meter_interval_s:.0f}",
            "SampledDataCtrlr.TxUpdatedMeasurands": ",".join(station.measurands),
            "SmartChargingCtrlr.Available": "true",
            "SmartChargingCtrlr.Enabled": "true",
            "SmartChargingCtrlr.PeriodsPerSchedule": str(abilities.max_periods),
            "SmartChargingCtrlr.ProfileStackLevel": str(abilities.max_stack_level),
            "SmartChargingCtrlr.RateUnit": ",".join(unit.value for unit in abilities.units),
        }

    def _get_base_report(self, payload: Payload) -> Payload:
        reported = []
        for name, value in self._variables().items():
            component, _, variable = name.partition(".")
            attribute = {"value": value, "mutability": "ReadWrite" if name in _WRITABLE else "ReadOnly"}
            named = {"component": {"name": component}, "variable": {"name": variable}}
            reported.append({**named, "variableAttribute": [attribute]})
        report: Payload = {
            "requestId": payload["requestId"],
            "generatedAt": format_time(now_s()),
            "seqNo": 0,
            "reportData": reported,
        }
        self._station.link.post(Message(action="NotifyReport", payload=report))
        return _ACCEPTED

    def _get_variables(self, payload: Payload) -> Payload:
        variables = self._variables()
        results = []
        for wanted in payload["getVariableData"]:
            value = variables.get(_name(wanted))
            found = {"attributeStatus": _missing(wanted, variables)} if value is None else _value(value)
            results.append({"component": wanted["component"], "variable": wanted["variable"], **found})
        return {"getVariableResult": results}

    def _set_variables(self, payload: Payload) -> Payload:
        variables = self._variables()
        results = []
        for wanted in payload["setVariableData"]:
            name, value = _name(wanted), wanted["attributeValue"]
            if name not in variables:
                status = _missing(wanted, variables)
            elif name in _WRITABLE:
                status = "Accepted" if _WRITABLE[name](self._station, value) else "Rejected"
            else:
                status = "Accepted" if value == variables[name] else "Rejected"
            results.append(
                {"attributeStatus": status, "component": wanted["component"], "variable": wanted["variable"]}
            )
        return {"setVariableResult": results}

    def _request_start(self, payload: Payload) -> Payload:
        profile = _profile(payload["chargingProfile"]) if "chargingProfile" in payload else None
        if profile is not None and (profile.purpose is not Purpose.TX or profile.transaction_id is not None):
            return _rejected("InvalidProfile")
        request = StartRequest(
            id_token=payload["idToken"]["idToken"], remote_start_id=payload["remoteStartId"], profile=profile
        )
        return _ACCEPTED if self._station.request_start(payload.get("evseId"), request) else _REJECTED

    def _request_stop(self, payload: Payload) -> Payload:
        return _ACCEPTED if self._station.request_stop(payload["transactionId"]) else _rejected("TxNotFound")

    def _reset(self, payload: Payload) -> Payload:
        is_now = self._station.request_reset("ImmediateReset", when_idle=payload["type"] == "OnIdle")
        return _ACCEPTED if is_now else {"status": "Scheduled"}

    def _change_availability(self, payload: Payload) -> Payload:
        changed = bays(self._station, payload.get("evse", {}).get("id", STATION))
        if not changed:
            return _rejected("UnknownEvse")
        is_done = self._station.set_operative(changed, is_operative=payload["operationalStatus"] == "Operative")
        return _ACCEPTED if is_done else {"status": "Scheduled"}


_WRITABLE: Mapping[str, Callable[[SimulatedStation, str], bool]] = {
    "OCPPCommCtrlr.HeartbeatInterval": set_heartbeat,
    "SampledDataCtrlr.TxUpdatedInterval": set_meter_interval,
    "SampledDataCtrlr.TxUpdatedMeasurands": lambda station, value: (
        TEMPERATURE not in value and set_measurands(station, value)  # 2.x has no such measurand
    ),
}


def _rejected(reason_code: str) -> Payload:
    return {"status": "Rejected", "statusInfo": {"reasonCode": reason_code}}


def _name(wanted: Payload) -> str:
    return f"{wanted['component']['name']}.{wanted['variable']['name']}"


def _missing(wanted: Payload, variables: Mapping[str, str]) -> str:
    component = wanted["component"]["name"]
    is_known = any(name.startswith(f"{component}.") for name in variables)
    return "UnknownVariable" if is_known else "UnknownComponent"


def _value(value: str) -> Payload:
    return {"attributeStatus": "Accepted", "attributeValue": value}


def _occupancy(status: Status) -> str:
    return status.value if status in (Status.AVAILABLE, Status.UNAVAILABLE, Status.FAULTED) else "Occupied"


def _status(bay: Bay) -> Message:
    payload = {
        "timestamp": format_time(now_s()),
        "connectorStatus": _occupancy(bay.status),
        "evseId": bay.number,
        "connectorId": bay.connector,
    }
    return Message(action="StatusNotification", payload=payload)


def _id_token(text: str) -> Payload:
    return {"idToken": text[:MAX_ID_TOKEN], "type": "Central"}


def _profile(payload: Payload) -> Profile:
    return Profile.read(payload, payload["chargingSchedule"][0], id_=payload["id"])
