"""OCPP 1.6 edition 2: each class is a clause; every payload we send passes the official schema."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from smartcharge.csms.dialect import Answer, CannotHandle, Memory
from smartcharge.csms.frames import CallReceived
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
)
from smartcharge.csms.schemas import Version, check_call, check_result, format_time
from smartcharge.csms.v16 import Dialect16
from smartcharge.events import (
    Charging,
    ChargingChanged,
    Event,
    FaultCleared,
    FaultRaised,
    Metered,
    Plugged,
    ProfileKind,
    StationBooted,
    StationLearnt,
    TransactionEnded,
    TransactionStarted,
    Unplugged,
)
from smartcharge.faults import Effect
from smartcharge.model import Form, Wiring
from tests.csms.ocpp_peers import AC, AC2, DC, EPOCH_S, Numbers, configuration, evse, memory

NOW = format_time(EPOCH_S)


def dialect(of: Memory | None = None) -> Dialect16:
    return Dialect16(of or memory(), Numbers())


def hear(end: Dialect16, action: str, payload: dict[str, Any]) -> Answer:
    assert check_call(Version.V16, action, payload) is None
    answer = asyncio.run(end.translate(CallReceived(id="1", action=action, payload=payload), EPOCH_S))
    assert check_result(Version.V16, action, answer.reply) is None
    return answer


def events(end: Dialect16, action: str, payload: dict[str, Any]) -> tuple[Event, ...]:
    return hear(end, action, payload).events


def status(state: str, error: str = "NoError", connector: int = 1, **more: str) -> dict[str, Any]:
    return {"connectorId": connector, "status": state, "errorCode": error, **more}


def start(timestamp: str = NOW, connector: int = 1) -> dict[str, Any]:
    return {"connectorId": connector, "idTag": "TAG", "meterStart": 1000, "timestamp": timestamp}


class TestEveryAction:
    def test_what_stations_may_send_is_answered_by_the_schema(self) -> None:
        end = dialect()
        minimal: dict[str, dict[str, Any]] = {
            "Authorize": {"idTag": "T"},
            "DataTransfer": {"vendorId": "v"},
            "Heartbeat": {},
            "SignCertificate": {"csr": "c"},
        }
        for action, payload in minimal.items():
            assert events(end, action, payload) == ()
        assert set(minimal) | set(end._handlers) == end.handles


class TestB01BootNotification:
    def test_tells_what_the_station_is(self) -> None:
        boot = {"chargePointVendor": "V", "chargePointModel": "M", "firmwareVersion": "1.2"}
        answer = hear(dialect(), "BootNotification", boot)
        assert answer.events == (
            StationBooted(at_s=EPOCH_S, station=memory().station.id, vendor="V", model="M", firmware="1.2"),
        )
        assert answer.reply == {"currentTime": NOW, "interval": 300, "status": "Accepted"}


class TestG01StatusNotification:
    @pytest.mark.parametrize(
        ("state", "expected"),
        [
            ("Available", [Unplugged]),
            ("Reserved", [Unplugged]),
            ("Preparing", [Plugged]),
            ("Finishing", [Plugged]),
            ("Unavailable", []),
        ],
    )
    def test_occupancy(self, state: str, expected: list[type[Event]]) -> None:
        assert [type(event) for event in events(dialect(), "StatusNotification", status(state))] == expected

    @pytest.mark.parametrize("state", ["Charging", "SuspendedEV", "SuspendedEVSE"])
    def test_charging_implies_a_car(self, state: str) -> None:
        assert events(dialect(), "StatusNotification", status(state)) == (
            Plugged(at_s=EPOCH_S, evse=AC),
            ChargingChanged(at_s=EPOCH_S, evse=AC, state=Charging(state)),
        )

    def test_a_fault_is_raised_replaced_and_cleared(self) -> None:
        end = dialect()
        raised = FaultRaised(
            at_s=EPOCH_S, evse=AC, code="GroundFailure", detail="wet", vendor="x", vendor_code="17",
            effect=Effect.FAULTED,
        )  # fmt: skip
        assert events(
            end,
            "StatusNotification",
            status("Faulted", "GroundFailure", info="wet", vendorId="x", vendorErrorCode="17"),
        ) == (raised,)
        second = events(end, "StatusNotification", status("Faulted", "OverVoltage"))
        assert [type(e) for e in second] == [FaultCleared, FaultRaised]
        cleared = events(end, "StatusNotification", status("Available"))
        assert cleared[-1] == FaultCleared(at_s=EPOCH_S, evse=AC, code="OverVoltage")

    def test_an_error_code_without_faulted_is_a_warning(self) -> None:
        found = events(dialect(), "StatusNotification", status("Charging", "HighTemperature"))
        assert found[-1] == FaultRaised(at_s=EPOCH_S, evse=AC, code="HighTemperature", effect=Effect.WARNING)

    def test_faulted_without_a_code_is_a_fault_all_the_same(self) -> None:
        (fault,) = events(dialect(), "StatusNotification", status("Faulted"))
        assert isinstance(fault, FaultRaised)
        assert fault.code == "OtherError"

    def test_connector_0_is_every_evse_and_no_occupancy(self) -> None:
        assert events(dialect(), "StatusNotification", status("Available", connector=0)) == ()
        faults = events(dialect(), "StatusNotification", status("Faulted", "InternalError", connector=0))
        assert [e.evse for e in faults if isinstance(e, FaultRaised)] == [AC, AC2]

    def test_a_connector_that_the_site_does_not_have_is_ignored(self) -> None:
        assert events(dialect(), "StatusNotification", status("Charging", connector=9)) == ()


class TestE01Transactions:
    def test_start_and_stop(self) -> None:
        end = dialect()
        answer = hear(end, "StartTransaction", start())
        assert answer.reply["transactionId"] == 100
        assert answer.events == (
            TransactionStarted(at_s=EPOCH_S, evse=AC, transaction_id="100", id_token="TAG", meter_wh=1000.0),
        )
        stop = {"transactionId": 100, "meterStop": 6000, "timestamp": NOW, "reason": "EVDisconnected"}
        assert events(end, "StopTransaction", stop) == (
            TransactionEnded(at_s=EPOCH_S, evse=AC, transaction_id="100", meter_wh=6000.0, reason="EVDisconnected"),
        )

    def test_a_repeated_start_gets_the_same_id(self) -> None:
        end = dialect()
        first, again, other = (hear(end, "StartTransaction", start(t)) for t in (NOW, NOW, format_time(EPOCH_S + 1)))
        assert first.reply == again.reply != other.reply

    def test_a_repeated_stop_says_the_same(self) -> None:
        end = dialect()
        hear(end, "StartTransaction", start())
        stop = {"transactionId": 100, "meterStop": 6000, "timestamp": NOW}
        assert hear(end, "StopTransaction", stop) == hear(end, "StopTransaction", stop)

    def test_a_start_on_an_unknown_connector_is_refused(self) -> None:
        with pytest.raises(CannotHandle, match="connector"):
            hear(dialect(), "StartTransaction", start(connector=9))

    def test_after_a_restart_a_station_with_one_evse_leaves_no_doubt(self) -> None:
        (ended,) = events(
            dialect(memory(evse(AC, 1))), "StopTransaction", {"transactionId": 4, "meterStop": 1, "timestamp": NOW}
        )
        assert isinstance(ended, TransactionEnded)
        assert ended.evse == AC

    def test_one_from_long_ago_asks_whether_a_car_is_there_now(self) -> None:
        answer = hear(dialect(), "StartTransaction", start(format_time(EPOCH_S - 3600)))
        assert answer.follow_up == (Trigger(message="StatusNotification", evse=memory().station.evses[0]),)
        assert hear(dialect(), "StartTransaction", start()).follow_up == ()

    def test_an_absurd_register_is_no_register(self) -> None:
        (started,) = events(dialect(), "StartTransaction", {**start(), "meterStart": 10**400})
        assert isinstance(started, TransactionStarted)
        assert started.meter_wh is None


class TestJ01MeterValues:
    def values(self, *samples: dict[str, str], at: str = NOW, connector: int = 1) -> dict[str, Any]:
        return {"connectorId": connector, "meterValue": [{"timestamp": at, "sampledValue": list(samples)}]}

    def test_measurands_units_and_the_default(self) -> None:
        found = events(
            dialect(),
            "MeterValues",
            self.values(
                {"value": "5000"},
                {"value": "7.2", "measurand": "Power.Active.Import", "unit": "kW"},
                {"value": "10", "measurand": "Current.Import", "phase": "L1"},
                {"value": "11", "measurand": "Current.Import", "phase": "L2"},
                {"value": "12", "measurand": "Current.Import", "phase": "L3"},
                {"value": "40", "measurand": "SoC", "unit": "Percent", "location": "EV"},
            ),
        )
        assert found == (
            Metered(at_s=EPOCH_S, evse=AC, current_a=(10.0, 11.0, 12.0), power_w=7200.0, energy_wh=5000.0, soc=0.4),  # type: ignore[arg-type]
        )

    def test_empty_values_and_connector_0_say_nothing(self) -> None:
        assert events(dialect(), "MeterValues", self.values({"value": ""})) == ()
        assert events(dialect(), "MeterValues", self.values({"value": "5"}, connector=0)) == ()

    def test_old_samples_tell_no_current(self) -> None:
        sample = {"value": "10", "measurand": "Current.Import"}
        old = self.values(sample, {"value": "5000"}, at=format_time(EPOCH_S - 3600))
        assert events(dialect(), "MeterValues", old) == (Metered(at_s=EPOCH_S, evse=AC, energy_wh=5000.0),)


def sent(end: Dialect16, request: Request) -> dict[str, Any]:
    call = end.call(request, EPOCH_S + 0.9)
    assert check_call(Version.V16, call.action, call.payload) is None
    return call.payload


def setpoint(limit_a: float, **changes: Any) -> SetProfile:
    values: dict[str, Any] = {"evse": evse(AC, 1), "kind": ProfileKind.TRANSACTION, "expires_s": EPOCH_S + 300.0}
    return SetProfile(**{**values, "limit_a": limit_a, "transaction_id": "7", **changes})


class TestK01SetChargingProfile:
    def test_a_setpoint_is_a_short_tx_profile(self) -> None:
        payload = sent(dialect(), setpoint(13.37))
        profile = payload["csChargingProfiles"]
        schedule = profile["chargingSchedule"]
        assert (payload["connectorId"], profile["transactionId"], profile["stackLevel"]) == (1, 7, 0)
        assert (profile["chargingProfilePurpose"], profile["chargingProfileKind"]) == ("TxProfile", "Absolute")
        assert schedule["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 13.3, "numberPhases": 3}]
        # It began one clock margin ago and ends when the command does.
        assert schedule["startSchedule"] == format_time(EPOCH_S - 5)
        assert schedule["duration"] == 305

    def test_the_default_never_ends_and_has_no_transaction(self) -> None:
        default = SetProfile(evse=evse(AC, 1), kind=ProfileKind.DEFAULT, limit_a=6.0)
        profile = sent(dialect(), default)["csChargingProfiles"]
        assert "transactionId" not in profile
        assert "duration" not in profile["chargingSchedule"]
        assert profile["chargingSchedule"]["startSchedule"] < format_time(EPOCH_S - 3600)

    def test_the_same_evse_and_kind_reuse_their_id(self) -> None:
        end = dialect()
        ids = [
            sent(end, request)["csChargingProfiles"]["chargingProfileId"]
            for request in (
                setpoint(10.0),
                setpoint(12.0),
                setpoint(12.0, evse=evse(AC2, 2)),
                SetProfile(evse=evse(AC, 1), kind=ProfileKind.DEFAULT, limit_a=6.0),
            )
        ]
        assert ids[0] == ids[1]
        assert len(set(ids)) == 3

    def test_watts_for_a_station_that_takes_only_watts(self) -> None:
        known = memory()
        known.learnt = StationLearnt(at_s=0.0, station=known.station.id, rate_unit="W")
        schedule = sent(dialect(known), setpoint(10.0, form=Form(unit="W")))["csChargingProfiles"]["chargingSchedule"]
        assert schedule["chargingRateUnit"] == "W"
        assert schedule["chargingSchedulePeriod"][0]["limit"] == 6900.0

    def test_dc_takes_watts_at_its_outlet_and_no_phases(self) -> None:
        rectifier = evse(DC, 3, Wiring.DC, efficiency=0.95)
        schedule = sent(dialect(memory(rectifier)), setpoint(10.0, evse=rectifier))["csChargingProfiles"][
            "chargingSchedule"
        ]
        assert schedule["chargingRateUnit"] == "W"
        assert schedule["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 6555.0}]

    @pytest.mark.parametrize(("limit_a", "expected"), [(6.25, 6.2), (8.3, 8.3), (0.0, 0.0), (5.99999999999, 6.0)])
    def test_limits_are_rounded_down_to_a_tenth(self, limit_a: float, expected: float) -> None:
        periods = sent(dialect(), setpoint(limit_a))["csChargingProfiles"]["chargingSchedule"]["chargingSchedulePeriod"]
        assert periods[0]["limit"] == expected


class TestF06Requests:
    def test_every_request_passes_its_schema(self) -> None:
        end, of = dialect(), evse(AC, 1)
        assert sent(end, ClearProfiles(evse=of, kind=ProfileKind.TRANSACTION))["chargingProfilePurpose"] == "TxProfile"
        assert sent(end, GetSchedule(evse=of, duration_s=60)) == {"connectorId": 1, "duration": 60}
        assert sent(end, Trigger(message="Heartbeat")) == {"requestedMessage": "Heartbeat"}
        assert sent(end, ReadSettings(names=())) == {}
        assert sent(end, WriteSetting(name="k", value="v")) == {"key": "k", "value": "v"}
        assert sent(end, RemoteStart(evse=of, id_token="T", number=1)) == {"connectorId": 1, "idTag": "T"}
        assert sent(end, RemoteStop(transaction_id="7")) == {"transactionId": 7}
        for request in end.provisioning():
            sent(end, request)


class TestB06Configuration:
    @pytest.mark.parametrize(
        ("value", "unit"),
        [("Current", "A"), ("Power", "W"), ("Current,Power", "A"), ("power", "W"), ("W", "W"), ("A", "A"), ("", None)],
    )
    def test_the_unit_as_stations_spell_it(self, value: str, unit: str | None) -> None:
        answer = configuration({"ChargingScheduleAllowedChargingRateUnit": value, "ChargingScheduleMaxPeriods": "5"})
        learnt = dialect().learnt(answer, EPOCH_S)
        assert (learnt.rate_unit, learnt.max_periods, learnt.max_stack_level) == (unit, 5, None)

    def test_missing_keys_are_unknown(self) -> None:
        assert dialect().learnt({"unknownKey": ["ChargeProfileMaxStackLevel"]}, EPOCH_S).rate_unit is None
