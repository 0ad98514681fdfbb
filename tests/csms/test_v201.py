"""OCPP 2.0.1: each class is a functional block or message; every payload we send passes the official schema."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from smartcharge.csms.dialect import Answer, CannotHandle, Memory
from smartcharge.csms.frames import CallReceived
from smartcharge.csms.requests import (
    ClearProfiles,
    GetSchedule,
    RemoteStart,
    RemoteStop,
    Request,
    SetProfile,
    Trigger,
)
from smartcharge.csms.schemas import Version, check_call, check_result, format_time
from smartcharge.csms.v201 import Dialect201
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
    TransactionEnded,
    TransactionStarted,
    Unplugged,
)
from smartcharge.model import Connector
from tests.csms.ocpp_peers import AC, AC2, EPOCH_S, evse, memory, variables

NOW = format_time(EPOCH_S)


def dialect(of: Memory | None = None) -> Dialect201:
    return Dialect201(of or memory())


def hear(end: Dialect201, action: str, payload: dict[str, Any]) -> Answer:
    assert check_call(Version.V201, action, payload) is None
    answer = asyncio.run(end.translate(CallReceived(id="1", action=action, payload=payload), EPOCH_S))
    assert check_result(Version.V201, action, answer.reply) is None
    return answer


def events(end: Dialect201, action: str, payload: dict[str, Any]) -> tuple[Event, ...]:
    return hear(end, action, payload).events


def status(state: str, number: int = 1, connector: int = 1) -> dict[str, Any]:
    return {"timestamp": NOW, "connectorStatus": state, "evseId": number, "connectorId": connector}


def transaction(kind: str, info: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    itself = {"transactionId": "tx-1", **(info or {})}
    return {
        "eventType": kind,
        "timestamp": NOW,
        "triggerReason": "CablePluggedIn",
        "seqNo": 0,
        "transactionInfo": itself,
        **more,
    }


def energy(wh: float, at: str = NOW) -> dict[str, Any]:
    return {"timestamp": at, "sampledValue": [{"value": wh, "measurand": "Energy.Active.Import.Register"}]}


class TestEveryAction:
    def test_what_stations_may_send_is_answered_by_the_schema(self) -> None:
        end = dialect()
        minimal: dict[str, dict[str, Any]] = {
            "Authorize": {"idToken": {"idToken": "T", "type": "Central"}},
            "ClearedChargingLimit": {"chargingLimitSource": "EMS"},
            "DataTransfer": {"vendorId": "v"},
            "Get15118EVCertificate": {"iso15118SchemaVersion": "s", "action": "Install", "exiRequest": "e"},
            "Heartbeat": {},
            "NotifyCustomerInformation": {"data": "d", "seqNo": 0, "generatedAt": NOW, "requestId": 1},
            "NotifyDisplayMessages": {"requestId": 1},
            "NotifyMonitoringReport": {"requestId": 1, "seqNo": 0, "generatedAt": NOW},
            "NotifyReport": {"requestId": 1, "seqNo": 0, "generatedAt": NOW},
            "PublishFirmwareStatusNotification": {"status": "Idle"},
            "SignCertificate": {"csr": "c"},
        }
        for action, payload in minimal.items():
            assert events(end, action, payload) == ()

    def test_the_constant_answers_pass_their_schemas(self) -> None:
        for action in dialect().acknowledges:
            answer = dialect()._handlers.get(action)
            if answer is None:
                from smartcharge.csms.v201 import _STATIC

                assert check_result(Version.V201, action, _STATIC[action]) is None


class TestB01Provisioning:
    def test_boot_tells_what_the_station_is(self) -> None:
        itself = {"model": "M", "vendorName": "V", "serialNumber": "S"}
        (booted,) = events(dialect(), "BootNotification", {"reason": "PowerUp", "chargingStation": itself})
        assert booted == StationBooted(at_s=EPOCH_S, station=memory().station.id, vendor="V", model="M", serial="S")

    def test_what_it_can_do(self) -> None:
        settings = {"SmartChargingCtrlr.RateUnit": "W", "SmartChargingCtrlr.PeriodsPerSchedule": "24"}
        names = {"SmartChargingCtrlr.RateUnit", "SmartChargingCtrlr.PeriodsPerSchedule", "ChargingStation.SupplyPhases"}
        asked = [dict(zip(("component", "variable"), ({"name": p} for p in n.split(".")), strict=True)) for n in names]
        learnt = dialect().learnt(variables(settings)({"getVariableData": asked}), EPOCH_S)
        assert (learnt.rate_unit, learnt.max_periods, learnt.phases) == ("W", 24, None)


class TestG01StatusNotification:
    def test_occupancy(self) -> None:
        end = dialect()
        assert [type(e) for e in events(end, "StatusNotification", status("Occupied"))] == [Plugged]
        assert [type(e) for e in events(end, "StatusNotification", status("Available"))] == [Unplugged]
        assert events(end, "StatusNotification", status("Unavailable")) == ()

    def test_faulted_until_it_is_not(self) -> None:
        end = dialect()
        (raised,) = events(end, "StatusNotification", status("Faulted"))
        assert isinstance(raised, FaultRaised)
        assert FaultCleared(at_s=EPOCH_S, evse=AC, code=raised.code) in events(
            end, "StatusNotification", status("Available")
        )

    def test_an_evse_is_free_once_all_its_connectors_are(self) -> None:
        both = (Connector(id=1, type="cCCS2"), Connector(id=2, type="cG105"))
        end = dialect(memory(evse(AC, 1, connectors=both)))
        assert events(end, "StatusNotification", status("Available", connector=1)) == ()
        assert [type(e) for e in events(end, "StatusNotification", status("Occupied", connector=2))] == [Plugged]
        assert [type(e) for e in events(end, "StatusNotification", status("Available", connector=1))] == [Plugged]
        assert [type(e) for e in events(end, "StatusNotification", status("Available", connector=2))] == [Unplugged]


class TestE01TransactionEvent:
    """Functional block E."""

    def test_started_updated_ended(self) -> None:
        end = dialect()
        token = {"idToken": "T", "type": "Central"}
        first = transaction(
            "Started", {"chargingState": "EVConnected"}, evse={"id": 2}, idToken=token, meterValue=[energy(1000)]
        )
        answer = hear(end, "TransactionEvent", first)
        assert answer.reply == {"idTokenInfo": {"status": "Accepted"}}
        assert answer.events == (
            TransactionStarted(at_s=EPOCH_S, evse=AC2, transaction_id="tx-1", id_token="T", meter_wh=1000.0),
            ChargingChanged(at_s=EPOCH_S, evse=AC2, state=Charging.EV_CONNECTED),
            Metered(at_s=EPOCH_S, evse=AC2, energy_wh=1000.0),
        )
        second = transaction("Updated", {"chargingState": "Charging"})
        assert events(end, "TransactionEvent", second) == (
            ChargingChanged(at_s=EPOCH_S, evse=AC2, state=Charging.CHARGING),
        )
        last = transaction("Ended", {"stoppedReason": "EVDisconnected"}, meterValue=[energy(1500)])
        assert events(end, "TransactionEvent", last) == (
            Metered(at_s=EPOCH_S, evse=AC2, energy_wh=1500.0),
            TransactionEnded(at_s=EPOCH_S, evse=AC2, transaction_id="tx-1", meter_wh=1500.0, reason="EVDisconnected"),
        )

    def test_a_start_before_an_evse_is_chosen_is_told_once_it_is(self) -> None:
        end = dialect()
        assert events(end, "TransactionEvent", transaction("Started")) == ()
        (started,) = events(end, "TransactionEvent", transaction("Updated", evse={"id": 1}))
        assert isinstance(started, TransactionStarted)

    def test_one_that_began_unheard_is_told_when_first_heard_of(self) -> None:
        found = events(
            dialect(), "TransactionEvent", transaction("Updated", {"chargingState": "Charging"}, evse={"id": 1})
        )
        assert [type(e) for e in found] == [TransactionStarted, ChargingChanged]

    def test_what_was_queued_offline_tells_no_present_state(self) -> None:
        sample = {"value": 10, "measurand": "Current.Import"}
        meter = {"timestamp": NOW, "sampledValue": [sample, *energy(1000)["sampledValue"]]}
        payload = transaction(
            "Started", {"chargingState": "Charging"}, evse={"id": 1}, offline=True, meterValue=[meter]
        )
        answer = hear(dialect(), "TransactionEvent", payload)
        assert [type(e) for e in answer.events] == [TransactionStarted, Metered]
        assert answer.events[1] == Metered(at_s=EPOCH_S, evse=AC, energy_wh=1000.0)
        assert answer.follow_up == (Trigger(message="StatusNotification", evse=memory().station.evses[0]),)

    def test_idle_is_no_car(self) -> None:
        found = events(dialect(), "TransactionEvent", transaction("Started", {"chargingState": "Idle"}, evse={"id": 1}))
        assert [type(e) for e in found] == [TransactionStarted]

    def test_an_evse_that_the_site_does_not_have_is_refused(self) -> None:
        with pytest.raises(CannotHandle):
            hear(dialect(), "TransactionEvent", transaction("Started", evse={"id": 9}))


class TestJ01MeterValues:
    def test_multiplier_and_unit(self) -> None:
        sample = {"value": 7, "measurand": "Power.Active.Import", "unitOfMeasure": {"unit": "W", "multiplier": 3}}
        payload = {"evseId": 1, "meterValue": [{"timestamp": NOW, "sampledValue": [sample]}]}
        assert events(dialect(), "MeterValues", payload) == (Metered(at_s=EPOCH_S, evse=AC, power_w=7000.0),)

    @pytest.mark.parametrize("multiplier", [400, -400, 10**30])
    def test_an_absurd_multiplier_is_no_value(self, multiplier: int) -> None:
        sample = {"value": 7, "unitOfMeasure": {"multiplier": multiplier}}
        payload = {"evseId": 1, "meterValue": [{"timestamp": NOW, "sampledValue": [sample]}]}
        assert events(dialect(), "MeterValues", payload) == ()


class TestK15NotifyEVChargingNeeds:
    """Use case K15."""

    def test_is_a_need(self) -> None:
        asked = {"energyAmount": 20_000, "evMinCurrent": 6, "evMaxCurrent": 32, "evMaxVoltage": 230}
        needs = {
            "requestedEnergyTransfer": "AC_three_phase",
            "departureTime": format_time(EPOCH_S + 3600),
            "acChargingParameters": asked,
        }
        assert events(dialect(), "NotifyEVChargingNeeds", {"evseId": 1, "chargingNeeds": needs}) == (
            NeedStated(at_s=EPOCH_S, evse=AC, energy_wh=20_000.0, depart_at_s=EPOCH_S + 3600, max_a=32.0),
        )


class TestN07NotifyEvent:
    """Functional block N: component and variable Problem."""

    def problem(self, value: str, **more: Any) -> dict[str, Any]:
        data = {
            "eventId": 1,
            "timestamp": NOW,
            "trigger": "Alerting",
            "actualValue": value,
            "eventNotificationType": "HardWiredNotification",
            "component": {"name": "Connector", "evse": {"id": 1}},
            "variable": {"name": "Problem"},
            **more,
        }
        return {"generatedAt": NOW, "seqNo": 0, "eventData": [data]}

    def test_a_problem_is_a_fault_under_its_tech_code_until_cleared(self) -> None:
        end = dialect()
        (raised,) = events(end, "NotifyEvent", self.problem("true", techCode="CX017"))
        assert isinstance(raised, FaultRaised)
        assert (raised.evse, raised.code) == (AC, "CX017")
        cleared = events(end, "NotifyEvent", self.problem("true", cleared=True))
        assert cleared == (FaultCleared(at_s=EPOCH_S, evse=AC, code="CX017"),)

    def test_other_variables_say_nothing_to_us(self) -> None:
        assert events(dialect(), "NotifyEvent", self.problem("21.5", variable={"name": "Temperature"})) == ()


def sent(request: Request) -> dict[str, Any]:
    call = dialect().call(request, EPOCH_S)
    assert check_call(Version.V201, call.action, call.payload) is None
    return call.payload


class TestF06Requests:
    def test_a_setpoint_is_a_short_tx_profile(self) -> None:
        payload = sent(
            SetProfile(
                evse=evse(AC, 1),
                kind=ProfileKind.TRANSACTION,
                limit_a=13.37,
                expires_s=EPOCH_S + 300.0,
                transaction_id="tx-1",
            )
        )
        profile = payload["chargingProfile"]
        assert (payload["evseId"], profile["transactionId"]) == (1, "tx-1")
        (schedule,) = profile["chargingSchedule"]
        assert schedule["duration"] == 305
        assert schedule["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 13.3, "numberPhases": 3}]

    def test_every_request_passes_its_schema(self) -> None:
        of = evse(AC, 1)
        criteria = sent(ClearProfiles(evse=of, kind=ProfileKind.TRANSACTION))["chargingProfileCriteria"]
        assert criteria == {"evseId": 1, "chargingProfilePurpose": "TxProfile"}
        assert sent(GetSchedule(evse=of, duration_s=60)) == {"evseId": 1, "duration": 60}
        assert sent(Trigger(message="StatusNotification", evse=of))["evse"] == {"id": 1, "connectorId": 1}
        assert sent(RemoteStart(evse=of, id_token="T", number=3))["remoteStartId"] == 3
        assert sent(RemoteStop(transaction_id="tx-1")) == {"transactionId": "tx-1"}
        for request in dialect().provisioning():
            sent(request)

    @pytest.mark.parametrize(("text", "is_one"), [("tx-1", True), ("x" * 37, False), ("", False), (None, False)])
    def test_transaction_ids(self, text: str | None, is_one: bool) -> None:
        assert dialect().has_transaction_id(text) is is_one
