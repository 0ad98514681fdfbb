"""The server over real sockets: provisioning, commands, garbage, storage, reconnection, admission."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from smartcharge.clock import now_s
from smartcharge.control.state import State, apply
from smartcharge.csms.mailbox import Mailbox
from smartcharge.csms.requests import GetSchedule, RemoteStop
from smartcharge.csms.server import Options
from smartcharge.errors import Refused, Unreachable
from smartcharge.events import (
    Accepted,
    Commanded,
    FaultCleared,
    FaultRaised,
    ProfileKind,
    Rejected,
    StationBooted,
    StationLearnt,
    StationOffline,
    StationOnline,
    TransactionEnded,
    TransactionStarted,
    Unanswered,
    Unplugged,
)
from smartcharge.model import EvseId
from tests.csms.ocpp_peers import AC, AC2, EPOCH_S, STATION, V16, V21, V201, World, in_world, served, site, station

BOTH = pytest.mark.parametrize("version", [V16, V201, V21])
HUGE = json.dumps([2, "x", "DataTransfer", {"vendorId": "v", "data": "x" * 500_000}])
METERING = {"connectorId": 1, "idTag": "T", "meterStart": 5, "timestamp": "2023-11-14T22:13:20Z"}


def limit(profile: dict[str, Any]) -> float:
    schedule = profile["chargingSchedule"]
    first = schedule[0] if isinstance(schedule, list) else schedule
    return float(first["chargingSchedulePeriod"][0]["limit"])


class TestB01Boot:
    @BOTH
    def test_is_accepted_and_the_default_profile_is_installed_and_the_station_learnt(self, version: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                reply = await peer.boot()
                assert reply[2]["status"] == "Accepted"
                assert reply[2]["interval"] == 300
                await peer.asked_for("TriggerMessage", 2)
                defaults = peer.calls("SetChargingProfile")
                assert [d.get("connectorId", d.get("evseId")) for d in defaults] == [1, 2]
                profile = defaults[0].get("csChargingProfiles") or defaults[0]["chargingProfile"]
                assert (profile["chargingProfilePurpose"], profile["stackLevel"]) == ("TxDefaultProfile", 0)
                assert limit(profile) == 6.0
                schedule = profile["chargingSchedule"]
                assert "duration" not in (schedule if version == V16 else schedule[0])
                learnt = await world.ear.hear(StationLearnt)
                assert learnt.rate_unit == "A"
                assert learnt.max_stack_level == (10 if version == V16 else 8)

        in_world(test)

    @BOTH
    def test_tells_booted_and_online_before_it_is_acknowledged(self, version: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                await peer.boot()
                assert {type(event) for event in world.ear.events} >= {StationBooted, StationOnline}
                assert world.ear.of(StationBooted)[0].vendor == "V"

        in_world(test)

    @BOTH
    def test_again_on_the_same_connection_installs_the_default_again(self, version: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                await peer.provisioned()
                first = len(peer.calls("SetChargingProfile"))
                await peer.boot()
                await peer.asked_for("SetChargingProfile", first + 2)
                assert len(world.ear.of(StationOnline)) == 1

        in_world(test)

    def test_a_station_that_refuses_everything_stays_connected_and_is_served(self) -> None:
        refusing: dict[str, Any] = {
            "GetConfiguration": lambda _: "NotImplemented",
            "SetChargingProfile": lambda _: {"status": "NotSupported"},
            "TriggerMessage": lambda _: {"status": "NotImplemented"},
            "ChangeConfiguration": lambda _: {"status": "Rejected"},
        }

        async def test(world: World) -> None:
            async with world.peer(V16, refusing) as peer:
                await peer.provisioned()
                assert (await peer.say("Heartbeat", {}))[0] == 3

        in_world(test)

    @BOTH
    def test_a_reconnect_without_boot_is_asked_for_its_occupancy(self, version: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                await peer.say("Heartbeat", {})
                trigger = await peer.asked_for("TriggerMessage")
                assert trigger["requestedMessage"] == "StatusNotification"
                assert isinstance(world.ear.events[0], StationOnline)

        in_world(test)

    def test_a_station_that_says_nothing_at_all_is_asked_too(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.asked_for("TriggerMessage")
                assert world.ear.of(StationOnline)

        in_world(test)


class TestK01Commands:
    @BOTH
    def test_accepted(self, version: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                await peer.provisioned()
                command = world.command(16.0)
                accepted = await world.ear.hear(Accepted)
                assert (accepted.command_id, accepted.evse) == (command.command_id, AC)
                profile = await peer.setpoint()
                assert limit(profile) == 16.0
                assert profile["transactionId"] == (7 if version == V16 else "7")

        in_world(test)

    @pytest.mark.parametrize("answer", ["NotSupported", {"status": "Rejected"}])
    @BOTH
    def test_rejected(self, version: str, answer: Any) -> None:
        async def test(world: World) -> None:
            async with world.peer(version, {"SetChargingProfile": lambda _: answer}) as peer:
                await peer.provisioned()
                world.command(16.0)
                assert (await world.ear.hear(Rejected)).reason[:12] in ("Rejected", "NotSupported")

        in_world(test)

    @pytest.mark.parametrize("answer", [None, {"status": "Maybe"}])
    @BOTH
    def test_unanswered_when_no_answer_comes_or_none_that_can_be_read(self, version: str, answer: Any) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                await peer.provisioned()
                peer.answers["SetChargingProfile"] = lambda _: answer
                world.command(16.0)
                await world.ear.hear(Unanswered)
                assert (await peer.say("Heartbeat", {}))[0] == 3

        in_world(test)

    def test_unanswered_when_the_link_breaks_sent_or_waiting(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.provisioned()
                peer.answers["SetChargingProfile"] = lambda _: None
                world.command(16.0)
                await peer.setpoint()
                world.command(10.0, name=AC2, transaction_id="8")
                peer.ws.transport.abort()
                await world.ear.hear(Unanswered, 2)
                assert [u.command_id for u in world.ear.of(Unanswered)] == [1, 2]
                assert now_s() - world.ear.of(StationLearnt)[0].at_s < 1.0  # at once, not when its time is up
                await world.ear.hear(StationOffline)

        in_world(test)

    def test_unanswered_when_the_station_is_not_connected(self) -> None:
        async def test(world: World) -> None:
            world.command(16.0)
            assert (await world.ear.hear(Unanswered)).command_id == 1

        in_world(test)

    def test_only_the_newest_wish_waits_and_one_call_is_outstanding(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.provisioned()
                peer.answers["SetChargingProfile"] = lambda _: None
                world.command(16.0)
                await peer.setpoint()
                for newer in (14.0, 12.0, 10.0):
                    world.command(newer)
                world.command(9.0, name=AC2, transaction_id="8")
                assert len(peer.setpoints()) == 1
                peer.answers["SetChargingProfile"] = lambda _: {"status": "Accepted"}
                await world.ear.hear(Accepted, 2)
                assert [limit(profile) for profile in peer.setpoints()] == [16.0, 10.0, 9.0]
                assert [a.command_id for a in world.ear.of(Accepted)] == [4, 5]

        in_world(test)

    def test_the_duration_counts_from_the_moment_of_sending(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.provisioned()
                peer.answers["SetChargingProfile"] = lambda _: None
                world.command(16.0)
                await peer.setpoint()
                peer.answers["SetChargingProfile"] = lambda _: {"status": "Accepted"}
                late = world.command(10.0)  # sent 10 s later, when the first is given up
                await world.ear.hear(Accepted)
                first, second = (profile["chargingSchedule"] for profile in peer.setpoints())
                assert second["duration"] == first["duration"] - 10
                assert late.expires_s is not None

        in_world(test)

    @pytest.mark.parametrize("changes", [{"transaction_id": None}, {"transaction_id": "x"}, {"life_s": 0.5}])
    def test_what_makes_no_sense_is_rejected_unsent(self, changes: dict[str, Any]) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.provisioned()
                world.command(16.0, **changes)
                reason = (await world.ear.hear(Rejected)).reason
                assert reason == ("expired before it could be sent" if "life_s" in changes else "no transaction")
                assert peer.setpoints() == []

        in_world(test)

    def test_a_profile_for_a_transaction_that_ended_is_rejected_unsent(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.provisioned()
                id_ = (await peer.say("StartTransaction", METERING))[2]["transactionId"]
                await peer.say(
                    "StopTransaction", {"transactionId": id_, "meterStop": 9, "timestamp": "2023-11-14T22:13:20Z"}
                )
                world.command(16.0, transaction_id=str(id_))
                assert (await world.ear.hear(Rejected)).reason == "no transaction"

        in_world(test)

    def test_a_default_that_the_station_just_confirmed_is_not_written_again(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.provisioned()
                before = len(peer.calls("SetChargingProfile"))
                world.command(6.0, kind=ProfileKind.DEFAULT, life_s=None, transaction_id=None)
                await world.ear.hear(Accepted)
                assert len(peer.calls("SetChargingProfile")) == before
                world.command(8.0, kind=ProfileKind.DEFAULT, life_s=None, transaction_id=None)
                await world.ear.hear(Accepted, 2)
                assert len(peer.calls("SetChargingProfile")) == before + 1

        in_world(test)

    def test_a_default_that_the_controller_wished_is_not_overwritten(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                world.command(8.0, kind=ProfileKind.DEFAULT, life_s=None, transaction_id=None)
                await peer.provisioned()
                mine = [p for p in peer.calls("SetChargingProfile") if p["connectorId"] == 1]
                assert [limit(p["csChargingProfiles"]) for p in mine] == [8.0]

        in_world(test)

    def test_after_a_reboot_the_default_is_written_again(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.provisioned()
                peer.answers["SetChargingProfile"] = lambda _: None
                await peer.boot()
                world.command(6.0, kind=ProfileKind.DEFAULT, life_s=None, transaction_id=None)
                await world.ear.hear(Unanswered)
                assert world.ear.of(Accepted) == []

        in_world(test)

    def test_a_newer_wish_goes_to_the_end_of_the_line(self) -> None:
        mailbox = Mailbox()
        wishes = [wish(1, AC), wish(2, AC2), wish(3, AC)]
        for one in wishes:
            mailbox.put(one)
        assert [mailbox.take(), mailbox.take()] == wishes[1:]
        assert mailbox.is_empty

    def test_messages_are_answered_while_a_command_waits(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.provisioned()
                peer.answers["SetChargingProfile"] = lambda _: None
                world.command(16.0)
                await peer.setpoint()
                assert (await peer.say("Heartbeat", {}))[0] == 3
                assert world.ear.of(Unanswered) == []

        in_world(test)


class TestF06Requests:
    def test_an_operator_may_ask_and_is_told_no(self) -> None:
        answers: dict[str, Any] = {
            "GetCompositeSchedule": lambda _: {"status": "Accepted", "connectorId": 1},
            "RemoteStopTransaction": lambda _: {"status": "Rejected"},
        }

        async def test(world: World) -> None:
            evse = station().evses[0]
            with pytest.raises(Unreachable):
                await world.csms.ask(STATION, GetSchedule(evse=evse, duration_s=60))
            async with world.peer(V16, answers) as peer:
                await peer.provisioned()
                assert (await world.csms.ask(STATION, GetSchedule(evse=evse, duration_s=60)))["connectorId"] == 1
                with pytest.raises(Refused, match="Rejected"):
                    await world.csms.ask(STATION, RemoteStop(transaction_id="7"))

        in_world(test)


class TestPart4Garbage:
    """Unknown action, malformed frame, huge frame, wrong type: answered, still connected, nothing lost."""

    @pytest.mark.parametrize(
        ("frame", "code_16", "code_201"),
        [
            ("this is no json", "FormationViolation", "RpcFrameworkError"),
            ('[2,"x","Levitate",{}]', "NotImplemented", "NotImplemented"),
            ('[2,"x","SetChargingProfile",{}]', "NotSupported", "NotSupported"),
            ('[2,"x","Heartbeat",7]', "FormationViolation", "FormatViolation"),
            ('[2,"x","StatusNotification",{}]', "OccurenceConstraintViolation", "OccurenceConstraintViolation"),
            (
                json.dumps([2, "x", "DataTransfer", {"vendorId": "v", "data": "x" * 500000}]),
                "FormationViolation",
                "RpcFrameworkError",
            ),
            ("[" * 60_000, "FormationViolation", "RpcFrameworkError"),
            (b"\x00\xff", "FormationViolation", "RpcFrameworkError"),
        ],
        ids=["text", "unknown", "unsupported", "payload", "missing", "huge", "deep", "binary"],
    )
    @BOTH
    def test_is_answered_and_the_station_stays(
        self, version: str, frame: str | bytes, code_16: str, code_201: str
    ) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                await peer.provisioned()
                error = await peer.send_raw(frame)
                assert error[0] == 4
                assert error[2] == (code_16 if version == V16 else code_201)
                assert (await peer.say("Heartbeat", {}))[0] == 3
                world.command(16.0)
                await world.ear.hear(Accepted)
                assert world.ear.of(StationOffline) == []

        in_world(test)

    def test_an_unasked_answer_does_not_settle_a_command(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.provisioned()
                peer.answers["SetChargingProfile"] = lambda _: None
                world.command(16.0)
                await peer.setpoint()
                await peer.ws.send('[3,"999",{"status":"Accepted"}]')
                await world.ear.hear(Unanswered)
                assert world.ear.of(Accepted) == []

        in_world(test)


class TestE04NothingBilledIsLost:
    """I8: a transaction is acknowledged only once it is stored."""

    def test_no_acknowledgement_before_emit_returns(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.provisioned()
                world.ear.may_store.clear()
                acknowledged = peer.start("StartTransaction", METERING)
                done, _ = await asyncio.wait({acknowledged}, timeout=5.0)
                assert not done
                world.ear.may_store.set()
                assert (await acknowledged)[2]["transactionId"] == 100
                assert world.ear.of(TransactionStarted)[0].transaction_id == "100"

        in_world(test)

    def test_what_cannot_be_stored_is_refused_and_a_retry_is_taken(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.provisioned()
                world.ear.is_broken = True
                assert (await peer.say("StartTransaction", METERING))[2] == "InternalError"
                world.ear.is_broken = False
                assert (await peer.say("StartTransaction", METERING))[2]["transactionId"] == 100
                assert len(world.ear.of(TransactionStarted)) == 1

        in_world(test)

    def test_a_stop_of_a_transaction_nobody_knows_is_refused_not_dropped(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.provisioned()
                stop = {"transactionId": 55, "meterStop": 9, "timestamp": "2023-11-14T22:13:20Z"}
                assert (await peer.say("StopTransaction", stop))[2] == "InternalError"

        in_world(test)

    def test_after_a_restart_the_state_on_disk_tells_where_a_transaction_runs(self) -> None:
        started = TransactionStarted(at_s=EPOCH_S, evse=AC2, transaction_id="55")
        fault = FaultRaised(at_s=EPOCH_S, evse=AC, code="GroundFailure")
        derived = FaultRaised(at_s=EPOCH_S, evse=AC, code="over-limit")

        async def test(world: World) -> None:
            state = State.initial(site())
            for event in (started, fault, derived):
                state = apply(state, event)
            world.csms.resume(state)
            async with world.peer(V16) as peer:
                stop = {"transactionId": 55, "meterStop": 9, "timestamp": "2023-11-14T22:13:20Z"}
                assert (await peer.say("StopTransaction", stop))[0] == 3
                assert world.ear.of(TransactionEnded)[0].evse == AC2
                await peer.say("StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": "Available"})
                assert [f.code for f in world.ear.of(FaultCleared)] == ["GroundFailure"]

        in_world(test)


class TestPart4Connections:
    def test_the_end_of_the_server_is_the_end_of_its_links(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.provisioned()
                world.task.cancel()
                await asyncio.wait({world.task})
                assert world.ear.of(StationOffline)
                assert peer.ws.close_code == 1001

        in_world(test)

    def test_in_real_time_too(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.provisioned()
                world.command(16.0)
                await world.ear.hear(Accepted)

        asyncio.run(served(test))

    def test_an_abrupt_end_is_told_and_the_station_gets_in_again(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.provisioned()
                peer.ws.transport.abort()
            async with world.peer(V16) as peer:
                await peer.provisioned()
                kinds = [type(e).__name__ for e in world.ear.events if isinstance(e, StationOnline | StationOffline)]
                assert kinds == ["StationOnline", "StationOffline", "StationOnline"]

        in_world(test)

    def test_silence_for_two_and_a_half_heartbeats_is_the_end(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.provisioned()
                spoke_s = world.ear.events[-1].at_s
                offline = await world.ear.hear(StationOffline)
                assert "silent" in offline.reason
                assert offline.at_s - spoke_s >= 750.0

        in_world(test)

    def test_a_second_connection_of_a_living_station_is_refused(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.provisioned()
                with pytest.raises(InvalidStatus, match="409"):
                    await world.connection(V16)
                assert (await peer.say("Heartbeat", {}))[0] == 3

        in_world(test)

    def test_a_second_connection_replaces_one_that_does_not_answer_a_ping(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as dead:
                await dead.provisioned()
                dead.ws.transport.pause_reading()
                async with world.peer(V16) as peer:
                    await peer.provisioned()
                    assert world.ear.of(StationOffline)
                dead.ws.transport.abort()

        in_world(test)

    def test_both_versions_are_served_on_one_port(self) -> None:
        async def test(world: World) -> None:
            async with world.connection(V16, V201) as ws:
                assert ws.subprotocol == V201
            async with world.connection(V16) as ws:
                assert ws.subprotocol == V16

        in_world(test)

    def test_a_frame_beyond_the_transport_bound_ends_the_connection(self) -> None:
        async def test(world: World) -> None:
            async with world.connection(V16) as ws:
                await ws.send("x" * 3_000_000)
                with pytest.raises(ConnectionClosed):
                    await ws.recv()
                assert ws.close_code == 1009

        in_world(test)


class TestA00Admission:
    @pytest.mark.parametrize("versions", [(), ("ocpp1.5",), ("soap", "mqtt")])
    def test_a_wrong_or_missing_subprotocol_is_refused(self, versions: tuple[str, ...]) -> None:
        async def test(world: World) -> None:
            with pytest.raises(InvalidStatus) as refused:
                await world.connection(*versions)
            assert refused.value.response.status_code == 400
            assert b"ocpp2.0.1" in refused.value.response.body

        in_world(test)

    @pytest.mark.parametrize("path", ["/ocpp/CP2", "/", "/ocpp/", "/CP%201/ocpp", "/x/%ff", "/x/CP%0a1?CP%201"])
    def test_an_unknown_station_is_refused(self, path: str) -> None:
        async def test(world: World) -> None:
            with pytest.raises(InvalidStatus, match="404"):
                await world.connection(V16, path=path)

        in_world(test)

    @pytest.mark.parametrize("credentials", [None, "CP 1:wrong", "CP 2:secret", "secret", "CP 1:", "\xff"])
    def test_a_wrong_password_is_refused(self, credentials: str | None) -> None:
        async def test(world: World) -> None:
            with pytest.raises(InvalidStatus, match="401"):
                await world.connection(V16, additional_headers=basic(credentials))

        in_world(test, station(password="secret"))

    def test_the_right_password_is_admitted(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16, additional_headers=basic("CP 1:secret")) as peer:
                assert (await peer.boot())[0] == 3

        in_world(test, station(password="secret"))

    def test_no_password_is_ever_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16, additional_headers=basic("CP 1:secret")) as peer:
                await peer.boot()

        with caplog.at_level("DEBUG", logger="smartcharge"):
            in_world(test, station(password="secret"), Options(ping_interval_s=None))
        assert "connected" in caplog.text
        assert "secret" not in caplog.text
        assert base64.b64encode(b"CP 1:secret").decode() not in caplog.text


def wish(number: int, name: EvseId) -> Commanded:
    return Commanded(
        at_s=EPOCH_S,
        command_id=number,
        evse=name,
        kind=ProfileKind.TRANSACTION,
        limit_a=6.0,
        expires_s=EPOCH_S + 300.0,
    )


def basic(credentials: str | None) -> dict[str, str]:
    if credentials is None:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(credentials.encode("latin-1")).decode()}


class TestG01Occupancy:
    @BOTH
    def test_what_a_station_says_follows_its_coming(self, version: str) -> None:
        free = {"connectorId": 1, "errorCode": "NoError", "status": "Available"}
        if version != V16:
            free = {"connectorId": 1, "evseId": 1, "connectorStatus": "Available", "timestamp": "2023-11-14T22:13:20Z"}

        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                await peer.say("StatusNotification", free)
                kinds = [type(event) for event in world.ear.events]
                assert kinds.index(StationOnline) < kinds.index(Unplugged)

        in_world(test)
