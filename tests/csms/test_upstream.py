"""The operator's back-end behind the site: a second CSMS of other make, in a process of its own, over real sockets."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeAlias

import pytest

from smartcharge.csms.authority import TokenPolicy
from smartcharge.csms.backend_profiles import BackendProfiles
from smartcharge.csms.schemas import Version
from smartcharge.csms.server import Options
from smartcharge.csms.upstream import OWNED, Backend
from smartcharge.events import BackendLimited, TransactionEnded, TransactionStarted
from smartcharge.ports import Outbox
from smartcharge.store import open_store
from tests.csms.ocpp_peers import AC, STATION, V16, V21, V201, Answers, Peer, World, evse, served, station, variables

SCRIPT = Path(__file__).with_name("independent_csms.py")
ALONE = station(evse(AC, 1))
AT = "2023-11-14T22:13:20Z"


def options(behind: Backend, outbox: Outbox, policy: TokenPolicy | None = None) -> Options:
    tokens = policy or TokenPolicy()
    return Options(ping_interval_s=None, backends={STATION: behind}, outbox=outbox, tokens=tokens)


YES: Answers = {
    "RequestStartTransaction": lambda _: {"status": "Accepted"},
    "RequestStopTransaction": lambda _: {"status": "Accepted"},
    "RemoteStopTransaction": lambda _: {"status": "Accepted"},
    "RemoteStartTransaction": lambda _: {"status": "Accepted"},
    "Reset": lambda _: {"status": "Accepted"},
}


class Csms2:
    """The other back-end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.port = 0
        self.heard: list[list[Any]] = []

    @classmethod
    async def start(cls, port: int = 0) -> Self:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(SCRIPT), str(port), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        one = cls(process)
        one.port = (await one.next("port"))[1]
        return one

    async def next(self, kind: str) -> list[Any]:
        """Return the next line of a kind; keep the others."""
        for line in self.heard:
            if line[0] == kind:
                self.heard.remove(line)
                return line
        assert self._process.stdout is not None
        async with asyncio.timeout(20.0):
            while True:
                line = json.loads(await self._process.stdout.readline())
                if line[0] == kind:
                    return list(line)
                self.heard.append(line)

    async def order(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Let it call the station; return the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([action, payload]).encode() + b"\n")
        answer: dict[str, Any] = (await self.next("answer"))[2]
        return answer

    async def stop(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


class Scene(NamedTuple):
    """A controller with a station, and the back-end if it is there."""

    world: World
    peer: Peer
    other: Csms2 | None

    @property
    def backend(self) -> Csms2:
        assert self.other is not None
        return self.other


Phase: TypeAlias = Callable[[Scene], Coroutine[Any, Any, None]]


@asynccontextmanager
async def backend() -> AsyncIterator[Csms2]:
    one = await Csms2.start()
    try:
        yield one
    finally:
        await one.stop()


def beside(test: Callable[[World, Csms2], Coroutine[Any, Any, None]]) -> None:
    """Run a test with a server that has a back-end behind it."""

    async def main() -> None:
        async with backend() as other, open_store("sqlite://") as store:
            behind = Backend(url=f"ws://127.0.0.1:{other.port}/ocpp/", password="hush")
            options = Options(ping_interval_s=None, backends={STATION: behind}, outbox=store.outbox)

            async def run(world: World) -> None:
                await test(world, other)

            await served(run, ALONE, options)

    asyncio.run(main())


def start(tag: str = "GOOD", at: str = AT) -> dict[str, Any]:
    return {"connectorId": 1, "idTag": tag, "meterStart": 5, "timestamp": at}


class TestWhileItIsThere:
    def test_the_station_has_a_twin_that_logs_in_and_boots(self) -> None:
        async def test(world: World, other: Csms2) -> None:
            async with world.peer(V16) as peer:
                await peer.boot()
                connected = await other.next("connected")
                assert connected[1] == "CP%201"
                assert connected[2].startswith("Basic ")
                assert (await other.next("BootNotification"))[1]["charge_point_vendor"] == "V"
                assert (await peer.boot())[2]["interval"] == 77, "its heartbeat interval is honoured"

        beside(test)

    def test_authorisation_is_its_own(self) -> None:
        async def test(world: World, other: Csms2) -> None:
            async with world.peer(V16) as peer:
                await peer.boot()
                await other.next("BootNotification")
                assert (await peer.say("Authorize", {"idTag": "GOOD"}))[2]["idTagInfo"]["status"] == "Accepted"
                assert (await peer.say("Authorize", {"idTag": "BAD"}))[2]["idTagInfo"]["status"] == "Blocked"

        beside(test)

    def test_transactions_are_told_with_its_own_number(self) -> None:
        async def test(world: World, other: Csms2) -> None:
            async with world.peer(V16, YES) as peer:
                await peer.boot()
                await other.next("BootNotification")
                ours = (await peer.say("StartTransaction", start()))[2]["transactionId"]
                theirs = (await other.next("StartTransaction"))[2]
                assert ours != theirs
                values = {"connectorId": 1, "transactionId": ours, "meterValue": meter_value(10)}
                await peer.say("MeterValues", values)
                assert (await other.next("MeterValues"))[1]["transaction_id"] == theirs
                assert (await other.order("RemoteStopTransaction", {"transactionId": theirs}))["status"] == "Accepted"
                assert peer.calls("RemoteStopTransaction") == [{"transactionId": ours}]
                await peer.say("StopTransaction", {"transactionId": ours, "meterStop": 20, "timestamp": AT})
                assert (await other.next("StopTransaction"))[1]["transaction_id"] == theirs
                assert [e.transaction_id for e in world.ear.of(TransactionEnded)] == [str(ours)]

        beside(test)

    def test_what_it_orders_reaches_the_station_and_the_answer_goes_back(self) -> None:
        async def test(world: World, other: Csms2) -> None:
            async with world.peer(V16, YES) as peer:
                await peer.boot()
                await other.next("BootNotification")
                assert (await other.order("Reset", {"type": "Soft"}))["status"] == "Accepted"
                assert peer.calls("Reset") == [{"type": "Soft"}]

        beside(test)

    def test_settings_that_the_site_owns_stay_as_they_are(self) -> None:
        async def test(world: World, other: Csms2) -> None:
            async with world.peer(V16, YES) as peer:
                await peer.boot()
                await other.next("BootNotification")
                for key in sorted(key for key in OWNED if "." not in key):
                    order = {"key": key, "value": "1"}
                    assert (await other.order("ChangeConfiguration", order))["status"] == "Rejected"
                    assert order not in peer.calls("ChangeConfiguration")
                order = {"key": "LocalPreAuthorize", "value": "true"}
                assert (await other.order("ChangeConfiguration", order))["status"] == "Accepted"
                assert order in peer.calls("ChangeConfiguration")

        beside(test)

    def test_its_charging_profile_is_one_more_limit_and_never_reaches_the_station(self) -> None:
        schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 9.0}]}
        profile = {
            "chargingProfileId": 77,
            "stackLevel": 0,
            "chargingProfilePurpose": "TxDefaultProfile",
            "chargingProfileKind": "Absolute",
            "chargingSchedule": {**schedule, "startSchedule": AT},
        }

        async def test(world: World, other: Csms2) -> None:
            async with world.peer(V16, YES) as peer:
                await peer.boot()
                await other.next("BootNotification")
                order = {"connectorId": 1, "csChargingProfiles": profile}
                assert (await other.order("SetChargingProfile", order))["status"] == "Accepted"
                limited = await world.ear.hear(BackendLimited, 2)
                assert (limited.evse, limited.limit_a) == (AC, 9.0)
                composite = await other.order("GetCompositeSchedule", {"connectorId": 1, "duration": 60})
                assert composite["charging_schedule"]["charging_schedule_period"][0]["limit"] == 9.0
                assert (await other.order("ClearChargingProfile", {"id": 77}))["status"] == "Accepted"
                assert (await world.ear.hear(BackendLimited, 3)).limit_a is None
                sent = [p["csChargingProfiles"]["chargingProfileId"] for p in peer.calls("SetChargingProfile")]
                assert 77 not in sent

        beside(test)


@pytest.mark.parametrize("version", [V201, V21])
class TestVersions2:
    """The same behind stations of 2.0.1 and 2.1."""

    def test_the_station_has_a_twin_that_boots_and_tells_how_it_is(self, version: str) -> None:
        status = {"timestamp": AT, "connectorStatus": "Available", "evseId": 1, "connectorId": 1}

        async def test(world: World, other: Csms2) -> None:
            async with world.peer(version, YES) as peer:
                await peer.boot()
                assert (await other.next("BootNotification"))[1]["charging_station"]["vendor_name"] == "V"
                assert (await peer.boot())[2]["interval"] == 77
                assert (await peer.say("StatusNotification", status))[0] == 3
                assert (await other.next("StatusNotification"))[1]["evse_id"] == 1

        beside(test)

    def test_authorisation_is_its_own(self, version: str) -> None:
        async def test(world: World, other: Csms2) -> None:
            async with world.peer(version) as peer:
                await peer.boot()
                await other.next("BootNotification")
                for token, status in (("GOOD", "Accepted"), ("BAD", "Blocked")):
                    asked = {"idToken": {"idToken": token, "type": "ISO14443"}}
                    assert (await peer.say("Authorize", asked))[2]["idTokenInfo"]["status"] == status
                    answer = await peer.say("TransactionEvent", {**event(0, transaction=f"T{token}"), **asked})
                    assert answer[2]["idTokenInfo"]["status"] == status

        beside(test)

    def test_transactions_keep_their_name_and_order(self, version: str) -> None:
        async def test(world: World, other: Csms2) -> None:
            async with world.peer(version, YES) as peer:
                await peer.boot()
                await other.next("BootNotification")
                for seq_no, kind in enumerate(("Started", "Updated", "Ended")):
                    assert (await peer.say("TransactionEvent", event(seq_no, kind)))[0] == 3
                heard = [(await other.next("TransactionEvent"))[1] for _ in range(3)]
                assert [(h["event_type"], h["seq_no"]) for h in heard] == [("Started", 0), ("Updated", 1), ("Ended", 2)]
                assert {h["transaction_info"]["transaction_id"] for h in heard} == {"T1"}
                stop = {"transactionId": "T1"}
                assert (await other.order("RequestStopTransaction", stop))["status"] == "Accepted"
                assert peer.calls("RequestStopTransaction") == [stop]

        beside(test)

    def test_what_it_orders_reaches_the_station_and_the_answer_goes_back(self, version: str) -> None:
        async def test(world: World, other: Csms2) -> None:
            async with world.peer(version, {**YES, "GetVariables": variables({"A.B": "7"})}) as peer:
                await peer.boot()
                await other.next("BootNotification")
                assert (await other.order("Reset", {"type": "OnIdle"}))["status"] == "Accepted"
                assert peer.calls("Reset") == [{"type": "OnIdle"}]
                asked = {"getVariableData": [{"component": {"name": "A"}, "variable": {"name": "B"}}]}
                answer = await other.order("GetVariables", asked)
                assert answer["get_variable_result"][0]["attribute_value"] == "7"

        beside(test)

    def test_vendors_messages_pass_both_ways(self, version: str) -> None:
        async def test(world: World, other: Csms2) -> None:
            answers: Answers = {"DataTransfer": lambda _: {"status": "Accepted", "data": "ours"}}
            async with world.peer(version, answers) as peer:
                await peer.boot()
                await other.next("BootNotification")
                assert (await peer.say("DataTransfer", {"vendorId": "V", "data": "x"}))[2]["data"] == "theirs"
                assert (await other.order("DataTransfer", {"vendorId": "V"}))["data"] == "ours"

        beside(test)

    def test_settings_that_the_site_owns_stay_as_they_are(self, version: str) -> None:
        async def test(world: World, other: Csms2) -> None:
            async with world.peer(version, YES) as peer:
                await peer.provisioned()
                await other.next("BootNotification")
                for key in sorted(key for key in OWNED if "." in key):
                    before = len(peer.calls("SetVariables"))
                    answer = await other.order("SetVariables", {"setVariableData": [written(key)]})
                    assert answer["set_variable_result"][0]["attribute_status"] == "Rejected"
                    assert len(peer.calls("SetVariables")) == before
                answer = await other.order("SetVariables", {"setVariableData": [written("AuthCtrlr.Enabled")]})
                assert answer["set_variable_result"][0]["attribute_status"] == "Accepted"

        beside(test)

    def test_its_charging_profile_is_one_more_limit_and_reported_as_a_station_would(self, version: str) -> None:
        async def test(world: World, other: Csms2) -> None:
            async with world.peer(version, YES) as peer:
                await peer.boot()
                await other.next("BootNotification")
                order = {"evseId": 1, "chargingProfile": profile_2(9.0)}
                assert (await other.order("SetChargingProfile", order))["status"] == "Accepted"
                assert (await world.ear.hear(BackendLimited, 2)).limit_a == 9.0
                asked = {"requestId": 5, "chargingProfile": {"chargingProfilePurpose": "TxDefaultProfile"}}
                assert (await other.order("GetChargingProfiles", asked))["status"] == "Accepted"
                report = (await other.next("ReportChargingProfiles"))[1]
                assert (report["request_id"], report["evse_id"]) == (5, 1)
                assert report["charging_profile"][0]["id"] == 77
                none = {"requestId": 6, "chargingProfile": {"stackLevel": 5}}
                assert (await other.order("GetChargingProfiles", none))["status"] == "NoProfiles"
                composite = await other.order("GetCompositeSchedule", {"evseId": 1, "duration": 60})
                assert composite["schedule"]["charging_schedule_period"][0]["limit"] == 9.0
                assert (await other.order("ClearChargingProfile", {"chargingProfileId": 77}))["status"] == "Accepted"
                assert (await world.ear.hear(BackendLimited, 3)).limit_a is None
                ids = [p["chargingProfile"]["id"] for p in peer.calls("SetChargingProfile")]
                assert 77 not in ids

        beside(test)

    def test_a_profile_inside_its_start_counts_from_the_start_on(self, version: str) -> None:
        """F01.FR.08: TxProfile without a transaction; the station is started without it, the limit is ours to keep."""
        profile = {**profile_2(8.0), "chargingProfilePurpose": "TxProfile"}
        start_1 = {"evseId": 1, "remoteStartId": 3, "idToken": {"idToken": "GOOD", "type": "Central"}}

        async def test(world: World, other: Csms2) -> None:
            async with world.peer(version, YES) as peer:
                await peer.boot()
                await other.next("BootNotification")
                answer = await other.order("RequestStartTransaction", {**start_1, "chargingProfile": profile})
                assert answer["status"] == "Accepted"
                assert peer.calls("RequestStartTransaction") == [start_1]
                await peer.say("TransactionEvent", event(0))
                assert (await world.ear.hear(BackendLimited, 2)).limit_a == 8.0
                await peer.say("TransactionEvent", event(1, "Ended"))
                assert (await world.ear.hear(BackendLimited, 3)).limit_a is None
                wrong = {**start_1, "chargingProfile": profile_2(8.0)}
                assert (await other.order("RequestStartTransaction", wrong))["status"] == "Rejected"
                assert len(peer.calls("RequestStartTransaction")) == 1

        beside(test)

    def test_while_it_is_away_everything_waits_in_order(self, version: str) -> None:
        async def main() -> None:
            first = await Csms2.start()
            async with open_store("sqlite://") as store:
                behind = Backend(url=f"ws://127.0.0.1:{first.port}/ocpp")

                async def test(world: World) -> None:
                    async with world.peer(version, YES) as peer:
                        await peer.boot()
                        await first.next("BootNotification")
                        await first.stop()
                        for seq_no, kind in enumerate(("Started", "Updated", "Updated", "Ended")):
                            assert (await peer.say("TransactionEvent", event(seq_no, kind)))[0] == 3
                        second = await Csms2.start(first.port)
                        try:
                            heard = [(await second.next("TransactionEvent"))[1]["seq_no"] for _ in range(4)]
                            assert heard == [0, 1, 2, 3]
                        finally:
                            await second.stop()

                await served(test, ALONE, options(behind, store.outbox))

        asyncio.run(main())


class TestK28BackendsDynamicProfiles:
    """2.1 K28: the back-end changes the limit of a Dynamic profile, by itself or because it is asked."""

    @staticmethod
    def dynamic(interval: int = 0, **period: float) -> dict[str, Any]:
        profile = {**profile_2(9.0), "chargingProfileKind": "Dynamic", "dynUpdateInterval": interval}
        schedule = dict(profile["chargingSchedule"][0])
        del schedule["startSchedule"]
        schedule["chargingSchedulePeriod"] = [{"startPeriod": 0, **(period or {"limit": 9.0})}]
        return {"evseId": 1, "chargingProfile": {**profile, "chargingSchedule": [schedule]}}

    def test_an_update_is_a_new_limit(self) -> None:
        async def test(world: World, other: Csms2) -> None:
            async with world.peer(V21, YES) as peer:
                await peer.boot()
                await other.next("BootNotification")
                assert (await other.order("SetChargingProfile", self.dynamic()))["status"] == "Accepted"
                assert (await world.ear.hear(BackendLimited, 2)).limit_a == 9.0
                update = {"chargingProfileId": 77, "scheduleUpdate": {"limit": 12.0}}
                assert (await other.order("UpdateDynamicSchedule", update))["status"] == "Accepted"
                assert (await world.ear.hear(BackendLimited, 3)).limit_a == 12.0
                unknown = {"chargingProfileId": 78, "scheduleUpdate": {"limit": 12.0}}
                assert (await other.order("UpdateDynamicSchedule", unknown))["status"] == "Rejected"
                assert peer.calls("UpdateDynamicSchedule") == []

        beside(test)

    def test_it_is_asked_for_updates_as_often_as_it_wants(self) -> None:
        async def test(world: World, other: Csms2) -> None:
            async with world.peer(V21, YES) as peer:
                await peer.boot()
                await other.next("BootNotification")
                await other.order("SetChargingProfile", self.dynamic(interval=1))
                assert (await other.next("PullDynamicScheduleUpdate"))[1] == 77
                assert (await world.ear.hear(BackendLimited, 3)).limit_a == 7.0

        beside(test)

    def test_a_kind_that_2_0_1_does_not_have_is_refused(self) -> None:
        profiles = BackendProfiles(ALONE, Version.V201)
        assert profiles.set(self.dynamic(), 0.0)["status"] == "Rejected"

    @pytest.mark.parametrize(
        ("period", "limit_a"),
        [
            ({"limit": 16.0, "limit_L2": 10.0, "limit_L3": 12.0}, 10.0),
            ({"setpoint": 11.0}, 11.0),
            ({"setpoint": -5.0}, 0.0),
            ({"limit": 8.0, "setpoint": 11.0}, 8.0),
        ],
    )
    def test_of_limits_by_phase_the_lowest_counts_and_a_set_point_is_a_limit(
        self, period: dict[str, float], limit_a: float
    ) -> None:
        profiles = BackendProfiles(ALONE, Version.V21)
        assert profiles.set(self.dynamic(0, **period), 0.0)["status"] == "Accepted"
        assert profiles.limits_a(1.0) == {AC: limit_a}


class TestOverARestart:
    """What the back-end said holds on: its profiles, and what it said of tokens."""

    @staticmethod
    def twice(first: Phase, second: Phase, version: str, path: Path, policy: TokenPolicy | None = None) -> None:
        """Run two controllers one after the other on one database; the second one's back-end is away."""

        async def one(phase: Phase, other: Csms2 | None) -> None:
            async with open_store(f"sqlite:///{path}") as store:
                behind = Backend(url=f"ws://127.0.0.1:{1 if other is None else other.port}/ocpp")

                async def test(world: World) -> None:
                    async with world.peer(version, YES) as peer:
                        await peer.boot()
                        if other is not None:
                            await other.next("BootNotification")
                        await phase(Scene(world, peer, other))

                await served(test, ALONE, options(behind, store.outbox, policy))

        async def main() -> None:
            async with backend() as other:
                await one(first, other)
            await one(second, None)

        asyncio.run(main())

    @pytest.mark.parametrize("version", [V16, V21])
    def test_its_profiles_still_limit(self, version: str, tmp_path: Path) -> None:
        sixteen = {"connectorId": 1, "csChargingProfiles": profile_16(9.0)}
        order = sixteen if version == V16 else {"evseId": 1, "chargingProfile": profile_2(9.0)}

        async def first(scene: Scene) -> None:
            assert (await scene.backend.order("SetChargingProfile", order))["status"] == "Accepted"

        async def second(scene: Scene) -> None:
            assert (await scene.world.ear.hear(BackendLimited)).limit_a == 9.0

        self.twice(first, second, version, tmp_path / "site.db")

    def test_those_that_were_cleared_do_not(self, tmp_path: Path) -> None:
        async def first(scene: Scene) -> None:
            await scene.backend.order("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": profile_16(9.0)})
            assert (await scene.backend.order("ClearChargingProfile", {"id": 77}))["status"] == "Accepted"

        async def second(scene: Scene) -> None:
            assert (await scene.world.ear.hear(BackendLimited)).limit_a is None

        self.twice(first, second, V16, tmp_path / "site.db")

    def test_what_it_said_of_tokens_counts_while_it_is_away(self, tmp_path: Path) -> None:
        async def first(scene: Scene) -> None:
            await scene.peer.say("Authorize", {"idTag": "GOOD"})
            await scene.peer.say("Authorize", {"idTag": "BAD"})

        async def second(scene: Scene) -> None:
            for tag, status in (("GOOD", "Accepted"), ("BAD", "Blocked"), ("WHO", "Invalid")):
                assert (await scene.peer.say("Authorize", {"idTag": tag}))[2]["idTagInfo"]["status"] == status

        self.twice(first, second, V16, tmp_path / "site.db", TokenPolicy(away="known"))


class TestProfileInAStartOf16:
    def test_counts_from_the_start_on(self) -> None:
        profile = {**profile_16(8.0), "chargingProfilePurpose": "TxProfile"}

        async def test(world: World, other: Csms2) -> None:
            async with world.peer(V16, YES) as peer:
                await peer.boot()
                await other.next("BootNotification")
                order = {"idTag": "GOOD", "connectorId": 1, "chargingProfile": profile}
                assert (await other.order("RemoteStartTransaction", order))["status"] == "Accepted"
                assert peer.calls("RemoteStartTransaction") == [{"idTag": "GOOD", "connectorId": 1}]
                await peer.say("StartTransaction", start())
                assert (await world.ear.hear(BackendLimited, 2)).limit_a == 8.0

        beside(test)

    def test_of_a_start_that_the_station_refuses_counts_nothing(self) -> None:
        profile = {**profile_16(8.0), "chargingProfilePurpose": "TxProfile"}
        no: Answers = {"RemoteStartTransaction": lambda _: {"status": "Rejected"}}

        async def test(world: World, other: Csms2) -> None:
            async with world.peer(V16, no) as peer:
                await peer.boot()
                await other.next("BootNotification")
                order = {"idTag": "GOOD", "connectorId": 1, "chargingProfile": profile}
                assert (await other.order("RemoteStartTransaction", order))["status"] == "Rejected"
                await peer.say("StartTransaction", start())
                await peer.say("Heartbeat", {})
                assert [e.limit_a for e in world.ear.of(BackendLimited)] == [None]

        beside(test)


def event(seq_no: int, kind: str = "Started", transaction: str = "T1") -> dict[str, Any]:
    return {
        "eventType": kind,
        "timestamp": AT,
        "triggerReason": "Authorized",
        "seqNo": seq_no,
        "transactionInfo": {"transactionId": transaction},
        "evse": {"id": 1},
    }


def written(key: str) -> dict[str, Any]:
    component, _, variable = key.partition(".")
    return {"component": {"name": component}, "variable": {"name": variable}, "attributeValue": "1"}


def profile_2(limit_a: float) -> dict[str, Any]:
    periods = [{"startPeriod": 0, "limit": limit_a}]
    schedule = {"id": 1, "chargingRateUnit": "A", "startSchedule": AT, "chargingSchedulePeriod": periods}
    return {
        "id": 77,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Absolute",
        "chargingSchedule": [schedule],
    }


def profile_16(limit_a: float) -> dict[str, Any]:
    periods = [{"startPeriod": 0, "limit": limit_a}]
    return {
        "chargingProfileId": 77,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Absolute",
        "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": periods, "startSchedule": AT},
    }


class TestWhileItIsAway:
    def test_the_site_answers_and_everything_arrives_later_in_order_none_doubled(self, tmp_path: Path) -> None:
        async def main() -> None:
            first = await Csms2.start()
            store = open_store(f"sqlite:///{tmp_path / 'site.db'}")
            behind = Backend(url=f"ws://127.0.0.1:{first.port}/ocpp")

            async def test(world: World) -> None:
                async with world.peer(V16, YES) as peer:
                    await peer.boot()
                    await first.next("BootNotification")
                    await first.stop()
                    ours = (await peer.say("StartTransaction", start()))[2]["transactionId"]
                    assert (await peer.say("Authorize", {"idTag": "BAD"}))[2]["idTagInfo"]["status"] == "Accepted"
                    for energy in (10, 20, 30):
                        values = {"connectorId": 1, "transactionId": ours, "meterValue": meter_value(energy)}
                        assert (await peer.say("MeterValues", values))[0] == 3
                    await peer.say("StopTransaction", {"transactionId": ours, "meterStop": 40, "timestamp": AT})
                    assert len(await store.outbox.waiting(STATION)) == 5
                    assert len(world.ear.of(TransactionStarted)) == 1
                    second = await Csms2.start(first.port)
                    try:
                        theirs = (await second.next("StartTransaction"))[2]
                        stop = await second.next("StopTransaction")
                        assert stop[1]["transaction_id"] == theirs
                        metered = [line[1] for line in second.heard if line[0] == "MeterValues"]
                        assert [m["transaction_id"] for m in metered] == [theirs] * 3
                        assert [m["meter_value"][0]["sampled_value"][0]["value"] for m in metered] == ["10", "20", "30"]
                        kinds = {line[0] for line in second.heard}
                        assert not kinds & {"StartTransaction", "StopTransaction"}, "none is doubled"
                        for _ in range(200):  # its answer is on its way, and a worker writes it down
                            if not await store.outbox.waiting(STATION):
                                break
                            await asyncio.sleep(0.05)
                        assert await store.outbox.waiting(STATION) == []
                    finally:
                        await second.stop()

            options = Options(ping_interval_s=None, backends={STATION: behind}, outbox=store.outbox)
            try:
                await served(test, ALONE, options)
            finally:
                await first.stop()
                await store.close()

        asyncio.run(main())


def meter_value(energy_wh: int) -> list[dict[str, Any]]:
    return [{"timestamp": AT, "sampledValue": [{"value": str(energy_wh)}]}]


@pytest.mark.parametrize("key", sorted(OWNED))
def test_the_settings_that_the_site_owns_are_listed_for_the_operator(key: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "ocpp.md").read_text(encoding="utf-8")
    assert f"`{key}`" in page
