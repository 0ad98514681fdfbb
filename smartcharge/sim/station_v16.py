"""OCPP 1.6J, seen from a station: translation only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from smartcharge.clock import now_s
from smartcharge.csms.frames import CallReceived
from smartcharge.csms.profile_store import STATION, Filter
from smartcharge.csms.profiles import Profile, Purpose, Unit
from smartcharge.csms.schemas import Payload, format_time, parse_time_s
from smartcharge.sim.ailments import Ailment
from smartcharge.sim.station_firmware import FirmwareOrder
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
from smartcharge.sim.station_parts import (
    Bay,
    Sample,
    StartRequest,
    Status,
    Transaction,
    readings,
)

if TYPE_CHECKING:
    from smartcharge.sim.station import SimulatedStation

Handler: TypeAlias = Callable[[Payload], Payload]

MAX_ID_TAG = 20
"""Characters of an IdToken."""
_ACCEPTED = {"status": "Accepted"}
_REJECTED = {"status": "Rejected"}
_MAX = "ChargePointMaxProfile"
_UNIT_NAMES = {Unit.AMPS: "Current", Unit.WATTS: "Power"}


class Station16:
    """Speaks OCPP 1.6J for a station."""

    def __init__(self, station: SimulatedStation) -> None:
        self._station = station
        self._handlers: Mapping[str, Handler] = {
            "ChangeAvailability": self._change_availability,
            "ChangeConfiguration": self._change_configuration,
            "ClearChargingProfile": self._clear_charging_profile,
            "GetCompositeSchedule": self._get_composite_schedule,
            "GetConfiguration": self._get_configuration,
            "RemoteStartTransaction": self._remote_start,
            "RemoteStopTransaction": self._remote_stop,
            "Reset": self._reset,
            "SetChargingProfile": self._set_charging_profile,
            "SignedUpdateFirmware": self._signed_update,
            "TriggerMessage": self._trigger_message,
            "UpdateFirmware": self._update,
        }
        self.handles = frozenset(self._handlers)

    # -- what the station says

    def boot(self, reason: str) -> Message:
        """Return a BootNotification."""
        options = self._station.options
        payload = {
            "chargePointVendor": options.vendor,
            "chargePointModel": options.model,
            "firmwareVersion": self._station.firmware.version,
        }
        return Message(action="BootNotification", payload=payload, is_boot=True)

    def firmware_status(self, status: str, request_id: int | None) -> Message:
        """Return how far an update is: with a number in the words of the security extension."""
        if request_id is None:
            return Message(action="FirmwareStatusNotification", payload={"status": status})
        payload = {"status": status, "requestId": request_id}
        return Message(action="SignedFirmwareStatusNotification", payload=payload)

    def heartbeat(self) -> Message:
        """Return a Heartbeat."""
        return Message(action="Heartbeat", payload={})

    def authorize(self, id_token: str) -> Message:
        """Return the question whether somebody may charge."""
        return Message(action="Authorize", payload={"idTag": id_token[:MAX_ID_TAG]})

    def may_charge(self, answer: Payload) -> bool:
        """Return the answer to that question."""
        return bool(answer["idTagInfo"]["status"] == "Accepted")

    def transaction_id(self, own_id: str) -> str | None:
        """Return None: the server will tell."""
        return None

    def statuses(self, whose: list[Bay]) -> list[Message]:
        """Return the StatusNotification of every connector, as it is now."""
        return [_status(bay) for bay in whose]

    def status_changed(self, bay: Bay, before: Status) -> list[Message]:
        """Return the new status."""
        return [_status(bay)]

    def ailing(self, bay: Bay, ailment: Ailment, *, is_there: bool) -> list[Message]:
        """Return the status, which carries the error: it replaces the last, and NoError ends it."""
        if ailment.code is None:
            return []
        bay.status = self._station.supply.status(bay)
        return [_status(bay)]

    def started(self, bay: Bay, transaction: Transaction, sample: Sample) -> Message:
        """Return a StartTransaction; its answer brings the number for all that follows."""
        payload = {
            "connectorId": bay.number,
            "idTag": transaction.id_token[:MAX_ID_TAG],
            "meterStart": round(sample.energy_wh),
            "timestamp": format_time(sample.at_s),
        }
        on_result = partial(self._numbered, bay, transaction)
        return Message(action="StartTransaction", payload=payload, is_kept=True, on_result=on_result)

    def metered(self, bay: Bay, sample: Sample, *, is_triggered: bool) -> Message:
        """Return MeterValues."""
        context = {"context": "Trigger"} if is_triggered else {}
        by_phase = self._station.options.measures_phases
        sampled = [
            {
                "value": f"{reading.value:.1f}",
                "measurand": reading.measurand,
                "unit": reading.unit,
                **({} if reading.phase is None else {"phase": reading.phase}),
                **({} if reading.location is None else {"location": reading.location}),
                **context,
            }
            for reading in readings(bay.evse, sample, self._station.measurands, by_phase=by_phase)
        ]
        meter_value = [{"timestamp": format_time(sample.at_s), "sampledValue": sampled}]
        payload: Payload = {"connectorId": bay.number, "meterValue": meter_value}
        if bay.transaction is not None:
            _number(payload, bay.transaction)
        is_kept = bay.transaction is not None and not is_triggered
        return Message(action="MeterValues", payload=payload, is_kept=is_kept)

    def warmth(self, bay: Bay, sample: Sample) -> list[Message]:
        """Return nothing: 1.6 has a measurand for it."""
        return []

    def ended(self, bay: Bay, transaction: Transaction, sample: Sample, reason: str) -> Message:
        """Return a StopTransaction."""
        payload = {
            "meterStop": round(sample.energy_wh),
            "timestamp": format_time(sample.at_s),
            "reason": reason,
            "idTag": transaction.id_token[:MAX_ID_TAG],
        }
        _number(payload, transaction)
        return Message(action="StopTransaction", payload=payload, is_kept=True)

    def _numbered(self, bay: Bay, transaction: Transaction, answer: Payload) -> None:
        for payload in transaction.unnumbered:
            payload["transactionId"] = answer["transactionId"]
        transaction.unnumbered.clear()
        self._station.transaction_named(bay, transaction, str(answer["transactionId"]))
        if answer["idTagInfo"]["status"] != "Accepted":
            self._station.deauthorized(bay, transaction)

    # -- what the server says

    def answer(self, call: CallReceived) -> Payload:
        """Act on a call of the server and return the answer."""
        return self._handlers[call.action](call.payload)

    def _set_charging_profile(self, payload: Payload) -> Payload:
        profile = _profile(payload["csChargingProfiles"])
        return _REJECTED if self._station.supply.install(payload["connectorId"], profile) else _ACCEPTED

    def _clear_charging_profile(self, payload: Payload) -> Payload:
        purpose = payload.get("chargingProfilePurpose")
        by_place = Filter(
            evse=payload.get("connectorId"),
            purpose=None if purpose is None else Purpose.MAX if purpose == _MAX else Purpose(purpose),
            stack_level=payload.get("stackLevel"),
        )
        is_cleared = self._station.supply.clear(Filter(id=payload["id"]) if "id" in payload else by_place)
        return {"status": "Accepted" if is_cleared else "Unknown"}

    def _get_composite_schedule(self, payload: Payload) -> Payload:
        number, unit = payload["connectorId"], unit_asked(self._station, payload)
        if unit is None or not bays(self._station, number):
            return _REJECTED
        start = format_time(now_s())
        schedule = {
            "duration": payload["duration"],
            "startSchedule": start,
            "chargingRateUnit": unit.value,
            "chargingSchedulePeriod": periods(self._station, number, payload["duration"], unit),
        }
        return {**_ACCEPTED, "connectorId": number, "scheduleStart": start, "chargingSchedule": schedule}

    def _update(self, payload: Payload) -> Payload:
        at_s = parse_time_s(payload["retrieveDate"]) or now_s()
        self._station.firmware.take(FirmwareOrder(location=payload["location"], retrieve_at_s=at_s))
        return {}

    def _signed_update(self, payload: Payload) -> Payload:
        self._station.firmware.take(firmware_order(payload))
        return _ACCEPTED

    def _trigger_message(self, payload: Payload) -> Payload:
        whose = bays(self._station, payload.get("connectorId", STATION))
        return {"status": trigger(self._station, payload["requestedMessage"], whose)} if whose else _REJECTED

    def _get_configuration(self, payload: Payload) -> Payload:
        settings = self._settings()
        wanted = payload.get("key") or list(settings)
        known = [
            {"key": key, "readonly": key not in _WRITABLE, "value": settings[key]} for key in wanted if key in settings
        ]
        unknown = [key for key in wanted if key not in settings]
        return {"configurationKey": known, **({"unknownKey": unknown} if unknown else {})}

    def _settings(self) -> dict[str, str]:
        station, abilities = self._station, self._station.options.abilities
        return {
            "ChargeProfileMaxStackLevel": str(abilities.max_stack_level),
            "ChargingScheduleAllowedChargingRateUnit": ",".join(_UNIT_NAMES[unit] for unit in abilities.units),
            "ChargingScheduleMaxPeriods": str(abilities.max_periods),
            "HeartbeatInterval": f"{station.heartbeat_s:.0f}",
            "MaxChargingProfilesInstalled": str(abilities.max_profiles),
            "MeterValueSampleInterval": f"{station.meter_interval_s:.0f}",
            "MeterValuesSampledData": ",".join(station.measurands),
            "NumberOfConnectors": str(len(station.bays)),
            "SupportedFeatureProfiles": "Core,SmartCharging,RemoteTrigger",
        }

    def _change_configuration(self, payload: Payload) -> Payload:
        key = payload["key"]
        if key not in self._settings():
            return {"status": "NotSupported"}
        return _ACCEPTED if key in _WRITABLE and _WRITABLE[key](self._station, payload["value"]) else _REJECTED

    def _remote_start(self, payload: Payload) -> Payload:
        profile = _profile(payload["chargingProfile"]) if "chargingProfile" in payload else None
        if profile is not None and profile.purpose is not Purpose.TX:
            return _REJECTED
        request = StartRequest(id_token=payload["idTag"], profile=profile)
        return _ACCEPTED if self._station.request_start(payload.get("connectorId"), request) else _REJECTED

    def _remote_stop(self, payload: Payload) -> Payload:
        return _ACCEPTED if self._station.request_stop(str(payload["transactionId"])) else _REJECTED

    def _reset(self, payload: Payload) -> Payload:
        self._station.request_reset(f"{payload['type']}Reset", when_idle=False)
        return _ACCEPTED

    def _change_availability(self, payload: Payload) -> Payload:
        changed = bays(self._station, payload["connectorId"])
        if not changed:
            return _REJECTED
        is_done = self._station.set_operative(changed, is_operative=payload["type"] == "Operative")
        return _ACCEPTED if is_done else {"status": "Scheduled"}


_WRITABLE: Mapping[str, Callable[[SimulatedStation, str], bool]] = {
    "HeartbeatInterval": set_heartbeat,
    "MeterValueSampleInterval": set_meter_interval,
    "MeterValuesSampledData": set_measurands,
}


def _status(bay: Bay) -> Message:
    ailment = bay.ailment
    said = {"vendorId": ailment.vendor, "vendorErrorCode": ailment.vendor_code}
    payload = {
        "connectorId": bay.number,
        "errorCode": ailment.code or "NoError",
        "status": bay.status.value,
        "timestamp": format_time(now_s()),
        **{key: word for key, word in said.items() if word is not None and ailment.code is not None},
    }
    return Message(action="StatusNotification", payload=payload)


def _number(payload: Payload, transaction: Transaction) -> None:
    """Put the transaction's number into a message, now or as soon as the server tells it."""
    if transaction.id is None:
        transaction.unnumbered.append(payload)
    else:
        payload["transactionId"] = int(transaction.id)


def _profile(payload: dict[str, Any]) -> Profile:
    if payload["chargingProfilePurpose"] == _MAX:
        payload = {**payload, "chargingProfilePurpose": Purpose.MAX.value}
    return Profile.read(payload, payload["chargingSchedule"], id_=payload["chargingProfileId"])
