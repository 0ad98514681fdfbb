"""Simulated stations against a scripted server, in both versions: boot, charging, offline behaviour."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from smartcharge.csms.schemas import Payload, Version, parse_time_s
from smartcharge.model import Wiring
from smartcharge.sim.station_parts import StationOptions, Status
from tests.sim.station_peers import EPOCH_S, FIRST, SECOND, Ignore, Refuse, Stage, car, evse, play, site

BOTH = pytest.mark.parametrize("version", list(Version), ids=lambda version: version.value)
ENERGY = "Energy.Active.Import.Register"


def statuses(stage: Stage, number: int = 1, since_s: float = 0.0) -> list[str]:
    """Return the statuses told of a connector, without repetitions."""
    key, name = ("connectorId", "status") if stage.version is Version.V16 else ("evseId", "connectorStatus")
    told = [p[name] for p in stage.server.said("StatusNotification", since_s=since_s) if p[key] == number]
    return [status for before, status in zip([None, *told], told, strict=False) if status != before]


def billed(stage: Stage) -> list[tuple[str, float]]:
    """Return what was told of transactions, with the time [s since the beginning] that it names."""
    found = []
    for heard in stage.server.heard:
        match heard.action:
            case "StartTransaction" | "StopTransaction":
                found.append((heard.action.removesuffix("Transaction"), _after_s(heard.payload)))
            case "TransactionEvent" if heard.payload["eventType"] != "Updated":
                name = {"Started": "Start", "Ended": "Stop"}[heard.payload["eventType"]]
                found.append((name, _after_s(heard.payload)))
    return found


def metered(stage: Stage, measurand: str) -> list[tuple[float, list[float]]]:
    """Return the values told of a measurand, by the time of their sample [s since the beginning]."""
    found = []
    for payload in stage.server.said("MeterValues", "TransactionEvent"):
        for moment in payload.get("meterValue", []):
            values = [float(v["value"]) for v in moment["sampledValue"] if v["measurand"] == measurand]
            found.append((_after_s(moment), values))
    return [entry for entry in found if entry[1]]


def _after_s(payload: Payload) -> float:
    at_s = parse_time_s(payload["timestamp"])
    assert at_s is not None
    return round(at_s - EPOCH_S, 1)


@BOTH
class TestBoot:
    """OCPP 1.6 section 4.2, OCPP 2.0.1 B01 to B03."""

    def test_it_says_who_it_is_then_how_it_is_then_only_that_it_lives(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(3600.0)
            assert stage.server.actions()[:3] == ["BootNotification", "StatusNotification", "StatusNotification"]
            assert set(stage.server.actions()[3:]) == {"Heartbeat"}
            beats = [heard.after_s for heard in stage.server.heard if heard.action == "Heartbeat"]
            assert beats == [5.0 + 300.0 * i for i in range(1, 12)]

        play(version, act)

    @pytest.mark.parametrize("status", ["Pending", "Rejected"])
    def test_until_it_is_accepted_it_says_nothing_else(self, version: Version, status: str) -> None:
        async def act(stage: Stage) -> None:
            boot = stage.server.script["BootNotification"]
            stage.server.script["BootNotification"] = {**boot, "status": status, "interval": 40}
            await stage.until(10.0)
            stage.station.plug(FIRST, car(), "abc")
            await stage.until(80.0)
            assert stage.server.actions() == ["BootNotification"] * 2
            stage.server.script["BootNotification"] = boot
            await stage.until(90.0)
            assert stage.server.actions()[2] == "BootNotification"
            assert stage.server.heard[2].after_s == 85.0
            assert billed(stage) == [("Start", 13.0)]

        play(version, act)

    def test_an_unanswered_boot_is_repeated(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(100.0)
            assert [heard.after_s for heard in stage.server.heard] == [5.0, 95.0]

        play(version, act, script={"BootNotification": Ignore})

    def test_its_identity_and_password_are_in_the_handshake(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            request = stage.server.requests[0]
            assert request.path == "/ocpp/S%2F1"
            assert request.headers["Sec-WebSocket-Protocol"] == version.value
            credentials = request.headers["Authorization"].removeprefix("Basic ")
            assert base64.b64decode(credentials) == b"S/1:secret"

        play(version, act, options=StationOptions(password="secret"))


@BOTH
class TestCharging:
    def test_from_plug_to_unplug(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            await stage.set_default(8.0)
            await stage.until(10.0)
            stage.station.plug(FIRST, car(), "abc")
            await stage.until(12.9)
            assert stage.offered_a() == 0.0
            await stage.until(13.1)
            assert stage.offered_a() == 8.0
            await stage.until(100.0)
            assert stage.station.unplug(FIRST) == pytest.approx(8.0 * 690.0 * 87.0 / 3600.0, rel=1e-3)
            assert stage.offered_a() == 0.0
            await stage.until(101.0)
            assert billed(stage) == [("Start", 13.0), ("Stop", 100.0)]
            assert [at_s for at_s, _ in metered(stage, "Current.Import")] == [73.0]
            expected = ["Available", "Preparing", "Charging", "Finishing", "Available"]
            assert statuses(stage) == (expected if version is Version.V16 else ["Available", "Occupied", "Available"])
            assert statuses(stage, 2) == ["Available"]

        play(version, act)

    def test_what_the_meter_shows(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(10.0)
            stage.station.plug(FIRST, car(phases=2), "abc")
            await stage.until(200.0)
            assert metered(stage, "Current.Import")[0] == (73.0, [32.0, 32.0, 0.0])
            assert metered(stage, "Voltage")[0] == (73.0, [230.0] * 3)
            assert metered(stage, "Power.Active.Import")[0] == (73.0, [14_720.0])
            first, second = (wh for at_s, [wh] in metered(stage, ENERGY) if at_s in (73.0, 133.0))
            assert second - first == pytest.approx(14_720.0 / 60.0, abs=0.2)

        play(version, act)

    def test_a_new_limit_is_offered_a_second_later_and_until_it_expires(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            await stage.set_default(8.0)
            stage.station.plug(FIRST, car(), "abc")
            await stage.until(20.0)
            assert await stage.set_profile(16.0) == {"status": "Accepted"}
            seen = []
            for after_s in (20.9, 21.1, 319.9, 320.1):
                await stage.until(after_s)
                seen.append(stage.offered_a())
            assert seen == [8.0, 16.0, 16.0, 8.0]

        play(version, act)

    def test_before_its_transaction_a_profile_is_refused(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            stage.station.plug(FIRST, car(), "abc")
            await stage.until(20.0)
            later = stage.set_profile(16.0, number=2)
            answer = await later
            assert isinstance(answer, dict)
            assert answer["status"] == "Rejected"

        play(version, act)

    def test_who_pauses(self, version: Version) -> None:
        """The EVSE below the least current, the car when it is full."""

        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            stage.station.plug(FIRST, car(energy_wh=1000.0), "abc")
            await stage.until(20.0)
            await stage.set_profile(5.9)
            await stage.until(30.0)
            seen = [stage.station.bays[1].status]
            await stage.until(1000.0)
            assert [*seen, stage.station.bays[1].status] == [Status.SUSPENDED_EVSE, Status.SUSPENDED_EV]
            told = ["Charging", "SuspendedEVSE", "Charging", "SuspendedEV"]
            if version is Version.V16:
                assert statuses(stage)[2:] == told
            else:
                events = stage.server.said("TransactionEvent")
                changes = [e for e in events if e["triggerReason"] == "ChargingStateChanged"]
                assert [e["transactionInfo"]["chargingState"] for e in changes] == told

        play(version, act)

    def test_somebody_who_may_not_charge_does_not(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            stage.station.plug(FIRST, car(), "abc")
            await stage.until(60.0)
            assert billed(stage) == []
            assert stage.offered_a() == 0.0

        info = "idTagInfo" if version is Version.V16 else "idTokenInfo"
        play(version, act, script={"Authorize": {info: {"status": "Blocked"}}})

    def test_an_answer_that_comes_too_late_starts_nothing_for_the_next_car(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            stage.station.plug(FIRST, car(), "abc")
            await stage.until(12.0)
            stage.station.unplug(FIRST)
            stage.station.plug(FIRST, car(), None)
            await stage.until(60.0)
            assert billed(stage) == []

        play(version, act, script={"Authorize": Ignore})

    def test_somebody_who_may_not_charge_after_all_is_stopped(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            stage.station.plug(FIRST, car(), "abc")
            await stage.until(60.0)
            assert [name for name, _ in billed(stage)] == ["Start", "Stop"]
            assert stage.offered_a() == 0.0

        script: dict[str, Any] = {"TransactionEvent": {"idTokenInfo": {"status": "Invalid"}}}
        if version is Version.V16:
            script = {"StartTransaction": {"idTagInfo": {"status": "Invalid"}, "transactionId": 41}}
        play(version, act, script=script)

    def test_a_limit_of_the_station_is_shared(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            stage.station.plug(FIRST, car(), "abc")
            await stage.until(20.0)
            assert stage.offered_a() == 32.0
            stage.station.plug(SECOND, car(), "def")
            await stage.until(30.0)
            assert (stage.offered_a(FIRST), stage.offered_a(SECOND)) == (20.0, 20.0)
            stage.station.unplug(FIRST)
            assert stage.offered_a(SECOND) == 32.0

        play(version, act, at=site(rating_a=40.0))


@BOTH
class TestOffline:
    """OCPP 1.6 sections 3.13.6 and 4.8, OCPP 2.0.1 E04 and E12."""

    def test_it_goes_on_by_its_profiles(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            await stage.set_default(8.0)
            stage.station.plug(FIRST, car(), "abc")
            await stage.until(20.0)
            await stage.set_profile(16.0)
            stage.server.is_away = True
            await stage.server.hang_up()
            await stage.until(319.0)
            assert stage.offered_a() == 16.0
            await stage.until(321.0)
            assert stage.offered_a() == 8.0

        play(version, act)

    def test_nothing_billed_is_lost_or_out_of_order(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            await stage.set_default(8.0)
            stage.station.plug(FIRST, car(), "abc")
            await stage.until(20.0)
            stage.server.is_away = True
            await stage.server.hang_up()
            await stage.until(100.0)
            stage.station.unplug(FIRST)
            await stage.until(200.0)
            stage.station.plug(FIRST, car(), "def")
            await stage.until(210.0)
            assert stage.offered_a() == 8.0
            await stage.until(300.0)
            stage.server.is_away = False
            await stage.until(500.0)
            assert billed(stage) == [("Start", 9.0), ("Stop", 100.0), ("Start", 203.0)]
            times = [at_s for at_s, _ in metered(stage, "Current.Import")]
            assert times == sorted(times)
            assert times[:3] == [69.0, 263.0, 323.0]
            assert stage.server.actions().count("BootNotification") == 1
            assert stage.station.link.waiting == 0

        play(version, act)

    @pytest.mark.parametrize("answer", [Ignore, Refuse])
    def test_what_is_not_acknowledged_is_sent_again_as_it_was(self, version: Version, answer: type) -> None:
        start = "StartTransaction" if version is Version.V16 else "TransactionEvent"

        async def act(stage: Stage) -> None:
            agreed = stage.server.script[start]
            stage.server.script[start] = answer
            await stage.until(10.0)
            stage.station.plug(FIRST, car(), "abc")
            await stage.until(110.0)
            stage.server.script[start] = agreed
            await stage.until(300.0)
            told = [p for p in stage.server.said(start) if p.get("eventType", "Started") == "Started"]
            assert len(told) >= 2
            assert all(payload == told[0] for payload in told)
            assert stage.station.link.waiting == 0
            if version is Version.V16:
                numbers = {payload.get("transactionId") for payload in stage.server.said("MeterValues")}
                assert numbers == {41}
            else:
                assert [p["seqNo"] for p in stage.server.said(start)][-1] >= 3

        play(version, act)

    def test_a_refused_message_holds_up_only_what_is_billed(self, version: Version) -> None:
        stop = "StopTransaction" if version is Version.V16 else "TransactionEvent"

        async def act(stage: Stage) -> None:
            await stage.until(10.0)
            stage.station.plug(FIRST, car(), "abc")
            await stage.until(20.0)
            stage.server.script[stop] = Refuse
            stage.station.unplug(FIRST)
            await stage.until(21.0)
            assert statuses(stage)[-1] == "Available"
            await stage.until(1000.0)
            assert stage.server.actions(since_s=900.0).count("Heartbeat") == 1

        play(version, act)

    def test_it_connects_again_ever_more_slowly(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            stage.server.is_away = True
            await stage.server.hang_up()
            await stage.until(1000.0)
            tries = len(stage.server.requests)
            assert 10 <= tries <= 14
            stage.server.is_away = False
            await stage.until(1200.0)
            assert statuses(stage, since_s=1000.0) == ["Available"]

        play(version, act)


class TestMeters:
    def test_a_dc_evse_tells_what_leaves_its_outlet(self) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(10.0)
            stage.station.measurands = ("Current.Import", "Power.Active.Import", "SoC")
            stage.station.plug(FIRST, replace(car(), min_a=0.0), "abc")
            await stage.until(100.0)
            (_, [power_w]) = metered(stage, "Power.Active.Import")[0]
            assert power_w == pytest.approx(22_080.0, abs=0.1)
            assert metered(stage, "Current.Import")[0][1] == [pytest.approx(power_w / 400.0, abs=0.1)]
            assert metered(stage, "SoC")[0][1][0] > 0.0

        dc = evse(1, wiring=Wiring.DC, max_a=100.0, min_a=0.0, efficiency=0.95)
        play(Version.V201, act, at=site(dc))

    def test_a_line_to_line_evse_tells_one_current(self) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(10.0)
            stage.station.plug(FIRST, car(), "abc")
            await stage.until(100.0)
            [sampled] = stage.server.said("MeterValues")[0]["meterValue"]
            phases = {value["measurand"]: value.get("phase") for value in sampled["sampledValue"]}
            assert phases["Current.Import"] == "L1"
            assert phases["Voltage"] == "L1-L2"

        play(Version.V16, act, at=site(evse(1, wiring=Wiring.LINE_TO_LINE, voltage_v=208.0)))

    def test_one_that_does_not_tell_phases_tells_the_highest(self) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(10.0)
            stage.station.plug(FIRST, car(phases=1), "abc")
            await stage.until(100.0)
            assert metered(stage, "Current.Import")[0][1] == [32.0]

        play(Version.V16, act, options=StationOptions(measures_phases=False))
