"""The operator's back-end behind the site: a second CSMS of other make, in a process of its own, over real sockets."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from smartcharge.csms.server import Options
from smartcharge.csms.upstream import OWNED, Backend
from smartcharge.events import BackendLimited, TransactionEnded, TransactionStarted
from smartcharge.store import open_store
from tests.csms.ocpp_peers import AC, STATION, V16, V201, Answers, World, evse, served, station

SCRIPT = Path(__file__).with_name("independent_csms.py")
ALONE = station(evse(AC, 1))
AT = "2023-11-14T22:13:20Z"
YES: Answers = {
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
                limited = await world.ear.hear(BackendLimited)
                assert (limited.evse, limited.limit_a) == (AC, 9.0)
                composite = await other.order("GetCompositeSchedule", {"connectorId": 1, "duration": 60})
                assert composite["charging_schedule"]["charging_schedule_period"][0]["limit"] == 9.0
                assert (await other.order("ClearChargingProfile", {"id": 77}))["status"] == "Accepted"
                assert (await world.ear.hear(BackendLimited, 2)).limit_a is None
                sent = [p["csChargingProfiles"]["chargingProfileId"] for p in peer.calls("SetChargingProfile")]
                assert 77 not in sent

        beside(test)

    def test_a_station_of_2_0_1_too(self) -> None:
        event = {
            "eventType": "Started",
            "timestamp": AT,
            "triggerReason": "Authorized",
            "seqNo": 0,
            "transactionInfo": {"transactionId": "T1"},
            "evse": {"id": 1},
        }

        async def test(world: World, other: Csms2) -> None:
            async with world.peer(V201) as peer:
                await peer.boot()
                await other.next("BootNotification")
                assert (await peer.say("TransactionEvent", event))[0] == 3
                assert (await other.next("TransactionEvent"))[1]["transaction_info"]["transaction_id"] == "T1"

        beside(test)


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
