"""What a server can ask of a simulated station, word by word, in both versions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest

from smartcharge.csms.profile_store import Abilities
from smartcharge.csms.profiles import Unit
from smartcharge.csms.schemas import Payload, Version, format_time
from smartcharge.sim.station_parts import StationOptions
from tests.sim.station_peers import EPOCH_S, FIRST, SECOND, Stage, car, play
from tests.sim.test_station import BOTH, billed, metered, statuses
from tests.sim.test_station_faults import charging

Act: TypeAlias = Callable[[Stage], Awaitable[None]]
ACCEPTED = {"status": "Accepted"}


def by_version(version: Version, of_16: Any, of_201: Any) -> Any:
    return of_16 if version is Version.V16 else of_201


def status_of(answer: Payload | str | None) -> str:
    assert isinstance(answer, dict), answer
    return str(answer["status"])


def start_request(version: Version, number: int | None = 1, profile: Payload | None = None) -> tuple[str, Payload]:
    if version is Version.V16:
        payload: Payload = {"idTag": "remote"}
        key, action = "connectorId", "RemoteStartTransaction"
    else:
        payload = {"idToken": {"idToken": "remote", "type": "Central"}, "remoteStartId": 5}
        key, action = "evseId", "RequestStartTransaction"
    payload |= {} if number is None else {key: number}
    return action, payload | ({} if profile is None else {"chargingProfile": profile})


def tx_profile(version: Version, limit_a: float, purpose: str = "TxProfile") -> Payload:
    schedule: Payload = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit_a}]}
    common = {"stackLevel": 0, "chargingProfilePurpose": purpose, "chargingProfileKind": "Relative"}
    if version is Version.V16:
        return {**common, "chargingProfileId": 7, "chargingSchedule": schedule}
    return {**common, "id": 7, "chargingSchedule": [{"id": 1, **schedule}]}


@BOTH
class TestUnknown:
    def test_an_action_it_does_not_have_gets_an_error(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            assert await stage.server.call("Levitate", {}) == "NotImplemented"
            assert await stage.server.call("ClearCache", {}) == "NotSupported"

        play(version, act)


@BOTH
class TestTriggerMessage:
    @pytest.mark.parametrize("message", ["BootNotification", "Heartbeat", "StatusNotification", "MeterValues"])
    def test_it_answers_first_and_then_says_it(self, version: Version, message: str) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(20.0)
            before = len(stage.server.heard)
            assert await stage.server.call("TriggerMessage", {"requestedMessage": message}) == ACCEPTED
            await stage.until(21.0)
            assert stage.server.answered_after == before
            count = 2 if message in ("StatusNotification", "MeterValues") else 1
            assert stage.server.actions(since_s=20.0)[:count] == [message] * count

        play(version, act)

    def test_of_one_evse(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await charging(stage)
            where = by_version(version, {"connectorId": 1}, {"evse": {"id": 1, "connectorId": 1}})
            asked = {"requestedMessage": "MeterValues", **where}
            assert await stage.server.call("TriggerMessage", asked) == ACCEPTED
            await stage.until(21.0)
            assert metered(stage, "Current.Import") == [(20.0, [8.0] * 3)]
            nowhere = by_version(version, {"connectorId": 9}, {"evse": {"id": 9}})
            assert status_of(await stage.server.call("TriggerMessage", {**asked, **nowhere})) == "Rejected"

        play(version, act)

    def test_what_it_cannot_say(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            asked = {"requestedMessage": "FirmwareStatusNotification"}
            assert await stage.server.call("TriggerMessage", asked) == {"status": "NotImplemented"}

        play(version, act)


class TestConfiguration16:
    """OCPP 1.6 sections 5.3 and 5.8."""

    def test_read(self) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            wanted = ["ChargingScheduleAllowedChargingRateUnit", "MeterValueSampleInterval", "Colour"]
            assert await stage.server.call("GetConfiguration", {"key": wanted}) == {
                "configurationKey": [
                    {"key": wanted[0], "readonly": True, "value": "Power"},
                    {"key": wanted[1], "readonly": False, "value": "60"},
                ],
                "unknownKey": ["Colour"],
            }
            everything = await stage.server.call("GetConfiguration", {})
            assert isinstance(everything, dict)
            assert len(everything["configurationKey"]) >= 8

        options = StationOptions(abilities=Abilities(units=(Unit.WATTS,)))
        play(Version.V16, act, options=options)

    @pytest.mark.parametrize(
        ("key", "value", "status"),
        [
            ("HeartbeatInterval", "20", "Accepted"),
            ("HeartbeatInterval", "0", "Rejected"),
            ("MeterValueSampleInterval", "-1", "Rejected"),
            ("MeterValuesSampledData", "Current.Import,Power.Active.Import", "Accepted"),
            ("MeterValuesSampledData", "Frequency", "Rejected"),
            ("NumberOfConnectors", "7", "Rejected"),
            ("Colour", "red", "NotSupported"),
        ],
    )
    def test_write(self, key: str, value: str, status: str) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            assert await stage.server.call("ChangeConfiguration", {"key": key, "value": value}) == {"status": status}

        play(Version.V16, act)


class TestVariables201:
    """OCPP 2.0.1 B05 and B06."""

    def test_read_and_write(self) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)

            async def get(component: str, variable: str) -> tuple[str, str | None]:
                data = {"component": {"name": component}, "variable": {"name": variable}}
                answer = await stage.server.call("GetVariables", {"getVariableData": [data]})
                assert isinstance(answer, dict)
                [result] = answer["getVariableResult"]
                return result["attributeStatus"], result.get("attributeValue")

            async def put(component: str, variable: str, value: str) -> str:
                data = {"component": {"name": component}, "variable": {"name": variable}, "attributeValue": value}
                answer = await stage.server.call("SetVariables", {"setVariableData": [data]})
                assert isinstance(answer, dict)
                return str(answer["setVariableResult"][0]["attributeStatus"])

            assert await get("SmartChargingCtrlr", "RateUnit") == ("Accepted", "A,W")
            assert await get("SmartChargingCtrlr", "Colour") == ("UnknownVariable", None)
            assert await get("Paint", "Colour") == ("UnknownComponent", None)
            assert await put("SampledDataCtrlr", "TxUpdatedInterval", "20") == "Accepted"
            assert await get("SampledDataCtrlr", "TxUpdatedInterval") == ("Accepted", "20")
            assert await put("SampledDataCtrlr", "TxUpdatedInterval", "soon") == "Rejected"
            assert await put("SampledDataCtrlr", "TxEndedMeasurands", "Energy.Active.Import.Register") == "Accepted"
            assert await put("SampledDataCtrlr", "TxEndedMeasurands", "Voltage") == "Rejected"
            assert await put("Paint", "Colour", "red") == "UnknownComponent"

        play(Version.V201, act)


@BOTH
class TestIntervals:
    async def _set(self, stage: Stage, of_16: str, of_201: str, value: str) -> None:
        if stage.version is Version.V16:
            await stage.server.call("ChangeConfiguration", {"key": of_16, "value": value})
        else:
            component, variable = of_201.split(".")
            data = {"component": {"name": component}, "variable": {"name": variable}, "attributeValue": value}
            await stage.server.call("SetVariables", {"setVariableData": [data]})

    def test_meter_values_follow_at_once(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await charging(stage)
            await self._set(stage, "MeterValueSampleInterval", "SampledDataCtrlr.TxUpdatedInterval", "30")
            await stage.until(120.0)
            assert [at_s for at_s, _ in metered(stage, "Current.Import")] == [50.0, 80.0, 110.0]
            await self._set(stage, "MeterValueSampleInterval", "SampledDataCtrlr.TxUpdatedInterval", "0")
            await stage.until(1000.0)
            assert len(metered(stage, "Current.Import")) == 3

        play(version, act)

    def test_heartbeats_follow_at_once(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(20.0)
            await self._set(stage, "HeartbeatInterval", "OCPPCommCtrlr.HeartbeatInterval", "100")
            await stage.until(330.0)
            assert [h.after_s for h in stage.server.heard if h.action == "Heartbeat"] == [120.0, 220.0, 320.0]

        play(version, act)


@BOTH
class TestRemoteStart:
    """OCPP 1.6 section 5.11, OCPP 2.0.1 F01, F02 and K05."""

    @pytest.mark.parametrize("number", [1, None])
    def test_it_starts_for_a_car_without_a_card_on_the_profile_given(
        self, version: Version, number: int | None
    ) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            stage.station.plug(FIRST, car(), None)
            await stage.until(100.0)
            assert billed(stage) == []
            answer = await stage.server.call(*start_request(version, number, tx_profile(version, 11.0)))
            assert answer == ACCEPTED
            assert stage.offered_a() == 11.0
            await stage.until(101.0)
            assert billed(stage) == [("Start", 100.0)]
            if version is Version.V201:
                [started] = [p for p in stage.server.said("TransactionEvent") if p["eventType"] == "Started"]
                assert started["transactionInfo"]["remoteStartId"] == 5
                assert started["triggerReason"] == "RemoteStart"

        play(version, act)

    def test_refused(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await charging(stage)
            calls = [
                start_request(version, 1),
                start_request(version, 2),
                start_request(version, 9),
                start_request(version, 2, tx_profile(version, 11.0, "TxDefaultProfile")),
            ]
            for call in calls:
                assert status_of(await stage.server.call(*call)) == "Rejected"

        play(version, act)

    def test_with_a_profile_that_makes_no_sense(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            stage.station.plug(FIRST, car(), None)
            wrong = {**tx_profile(version, 11.0), "stackLevel": 99}
            assert status_of(await stage.server.call(*start_request(version, 1, wrong))) == "Rejected"

        play(version, act)


@BOTH
class TestRemoteStop:
    def test_it_stops_and_the_car_stays(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await charging(stage)
            action = by_version(version, "RemoteStopTransaction", "RequestStopTransaction")
            transaction_id = stage.transaction_id()
            assert status_of(await stage.server.call(action, {"transactionId": transaction_id})) == "Accepted"
            assert stage.offered_a() == 0.0
            await stage.until(40.0)
            assert [name for name, _ in billed(stage)] == ["Start", "Stop"]
            assert statuses(stage)[-1] == by_version(version, "Finishing", "Occupied")
            assert status_of(await stage.server.call(action, {"transactionId": transaction_id})) == "Rejected"

        play(version, act)


@BOTH
class TestReset:
    def test_it_ends_what_runs_reboots_and_goes_on(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await charging(stage)
            assert await stage.server.call("Reset", {"type": by_version(version, "Soft", "Immediate")}) == ACCEPTED
            await stage.until(100.0)
            assert billed(stage) == [("Start", 9.0), ("Stop", 21.0), ("Start", 29.0)]
            boots = stage.server.said("BootNotification")
            assert len(boots) == 2
            assert boots[1].get("reason") == by_version(version, None, "RemoteReset")

        play(version, act)


class TestResetOnIdle201:
    def test_b12_it_waits_for_the_last_transaction(self) -> None:
        async def act(stage: Stage) -> None:
            await charging(stage)
            assert await stage.server.call("Reset", {"type": "OnIdle"}) == {"status": "Scheduled"}
            await stage.until(100.0)
            stage.station.unplug(FIRST)
            await stage.until(130.0)
            boots = [heard.after_s for heard in stage.server.heard if heard.action == "BootNotification"]
            assert boots == [5.0, 106.0]
            assert await stage.server.call("Reset", {"type": "OnIdle"}) == ACCEPTED

        play(Version.V201, act)


@BOTH
class TestChangeAvailability:
    def _payload(self, version: Version, number: int, kind: str) -> Payload:
        evse: Payload = {} if number == 0 else {"evse": {"id": number}}
        return {"connectorId": number, "type": kind} if version is Version.V16 else {"operationalStatus": kind, **evse}

    def test_out_of_service_and_back(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            assert await stage.server.call("ChangeAvailability", self._payload(version, 0, "Inoperative")) == ACCEPTED
            stage.station.plug(FIRST, car(), "abc")
            await stage.until(60.0)
            assert billed(stage) == []
            assert statuses(stage, 1)[-1] == statuses(stage, 2)[-1] == "Unavailable"
            assert await stage.server.call("ChangeAvailability", self._payload(version, 0, "Operative")) == ACCEPTED
            await stage.until(70.0)
            assert billed(stage) == [("Start", 63.0)]

        play(version, act)

    def test_a_transaction_is_not_interrupted(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await charging(stage)
            out = self._payload(version, 1, "Inoperative")
            assert await stage.server.call("ChangeAvailability", out) == {"status": "Scheduled"}
            assert stage.offered_a() == 8.0
            stage.station.unplug(FIRST)
            await stage.until(30.0)
            assert statuses(stage)[-1] == "Unavailable"
            nowhere = self._payload(version, 9, "Inoperative")
            assert status_of(await stage.server.call("ChangeAvailability", nowhere)) == "Rejected"

        play(version, act)


@BOTH
class TestProfiles:
    def test_composite_schedule(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await charging(stage)
            await stage.set_profile(16.0, duration=100)
            key = by_version(version, "connectorId", "evseId")
            asked = {key: 1, "duration": 600, "chargingRateUnit": "W"}
            answer = await stage.server.call("GetCompositeSchedule", asked)
            assert isinstance(answer, dict)
            schedule = answer[by_version(version, "chargingSchedule", "schedule")]
            periods = [(p["startPeriod"], p["limit"]) for p in schedule["chargingSchedulePeriod"]]
            assert periods == [(0, 11_040.0), (100, 5520.0)]
            start = schedule[by_version(version, "startSchedule", "scheduleStart")]
            assert start == format_time(EPOCH_S + 20.001)
            assert status_of(await stage.server.call("GetCompositeSchedule", {**asked, key: 9})) == "Rejected"

        play(version, act)

    def test_composite_schedule_in_a_unit_it_does_not_have(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            asked = {by_version(version, "connectorId", "evseId"): 1, "duration": 600, "chargingRateUnit": "W"}
            assert status_of(await stage.server.call("GetCompositeSchedule", asked)) == "Rejected"

        play(version, act, options=StationOptions(abilities=Abilities(units=(Unit.AMPS,))))

    def test_cleared_by_id_or_criteria(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await charging(stage)
            await stage.set_profile(16.0)
            by_id = by_version(version, {"id": 2}, {"chargingProfileId": 2})
            assert await stage.server.call("ClearChargingProfile", by_id) == ACCEPTED
            await stage.until(30.0)
            assert stage.offered_a() == 8.0
            criteria = {"chargingProfilePurpose": "TxDefaultProfile", "stackLevel": 0}
            where = by_version(
                version,
                {**criteria, "connectorId": 0},
                {"chargingProfileCriteria": {**criteria, "evseId": 0}},
            )
            assert await stage.server.call("ClearChargingProfile", where) == ACCEPTED
            assert await stage.server.call("ClearChargingProfile", where) == {"status": "Unknown"}
            await stage.until(40.0)
            assert stage.offered_a() == 32.0

        play(version, act)

    def test_a_maximum_of_the_station(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await charging(stage)
            await stage.set_profile(32.0)
            stage.station.plug(SECOND, car(), "def")
            await stage.until(30.0)
            purpose = by_version(version, "ChargePointMaxProfile", "ChargingStationMaxProfile")
            assert await stage.set_profile(20.0, number=0, purpose=purpose, id_=3) == ACCEPTED
            await stage.until(40.0)
            assert (stage.offered_a(FIRST), stage.offered_a(SECOND)) == (12.0, 8.0)

        play(version, act)


class TestProfiles201:
    def test_k01_fr_22_external_constraints_are_not_the_servers(self) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            answer = await stage.set_profile(9.0, number=0, purpose="ChargingStationExternalConstraints")
            assert answer == {"status": "Rejected", "statusInfo": {"reasonCode": "InvalidProfile"}}

        play(Version.V201, act)

    def test_more_than_one_schedule_is_for_iso_15118(self) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            profile = tx_profile(Version.V201, 9.0, "TxDefaultProfile")
            profile["chargingSchedule"] *= 2
            answer = await stage.server.call("SetChargingProfile", {"evseId": 1, "chargingProfile": profile})
            assert answer == {"status": "Rejected", "statusInfo": {"reasonCode": "InvalidSchedule"}}

        play(Version.V201, act)
