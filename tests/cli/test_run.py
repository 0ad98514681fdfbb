from __future__ import annotations

import asyncio
import json
import signal
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiomqtt import Client

from smartcharge.events import LimitSet
from smartcharge.sim.broker import Broker
from smartcharge.store import open_store
from tests.cli.command_line import Typed
from tests.cli.live_site import BOOT, running, station


async def next_of(client: Client, topic: str) -> bytes:
    """Return the next that is said on a topic of the site."""
    async for message in client.messages:
        if message.topic.matches(f"smartcharge/yard/{topic}"):
            return bytes(message.payload)
    raise AssertionError("the broker left")


def use_broker(site_file: Path, port: int) -> None:
    site_file.write_text(f'{site_file.read_text()}\n[mqtt]\nhost = "127.0.0.1"\nport = {port}\n')


class TestARunningSite:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_serves_until_it_is_told_to_stop_and_its_journal_tells_the_same_story(
        self, typed: Typed, site_file: Path, number: signal.Signals
    ) -> None:
        async def visit() -> None:
            async with station(site, "s-1") as one:
                assert (await one.call("BootNotification", BOOT))["status"] == "Accepted"
                start = {"connectorId": 1, "idTag": "me", "meterStart": 1000, "timestamp": "2024-05-06T08:00:00Z"}
                assert (await one.call("StartTransaction", start))["transactionId"] == 1
                profile = await one.profile_of(1)
                assert profile["chargingProfilePurpose"] == "TxProfile"
                site.process.send_signal(number)
                await one.ws.wait_closed()

        with running(site_file) as site:
            assert f"ocpp: ws://127.0.0.1:{site.port}/<station id>\n" in site.words
            asyncio.run(visit())
            assert site.process.stdout is not None
            assert site.process.stdout.read() == "stopped\n"
            assert site.process.wait() == 0
        log = site_file.with_suffix(".log").read_text()
        assert "Traceback" not in log
        assert "s-1: connected" in log
        assert all(" INFO " in line or " WARNING " in line for line in log.splitlines())

        state = site_file.with_suffix(".json")
        said = typed("replay", site_file.with_name("yard.db"), site_file, "--json", state)
        assert said.code == 0, said.err
        assert "s-1" in said.out
        known = json.loads(state.read_text())
        assert known["evses"]["s-1"]["session"]["transaction_id"] == "1"
        assert known["digest"] in said.out

    def test_is_online_at_the_broker_takes_a_grid_limit_and_leaves_with_a_word(self, site_file: Path) -> None:
        async def listen() -> None:
            broker = Broker()
            await broker.start()
            use_broker(site_file, broker.port)
            with running(site_file) as site:
                async with Client("127.0.0.1", broker.port) as client:
                    await client.subscribe("smartcharge/yard/#")
                    assert await next_of(client, "availability") == b"online"
                    limit = {"id": "7", "issued_at": datetime.now(UTC).isoformat(), "power_w": 5000.0}
                    await client.publish("smartcharge/yard/limit/main/dso/set", json.dumps(limit), qos=1)
                    assert json.loads(await next_of(client, "limit/main/dso/received"))["id"] == "7"
                    site.process.send_signal(signal.SIGTERM)
                    assert await next_of(client, "availability") == b"offline"
                assert await asyncio.to_thread(site.process.wait) == 0
            await broker.stop()

        asyncio.run(listen())

    def test_a_limit_that_it_acknowledged_outlives_its_kill(self, site_file: Path) -> None:
        async def limit() -> list[float | None]:
            broker = Broker()
            await broker.start()
            use_broker(site_file, broker.port)
            with running(site_file) as site:
                async with Client("127.0.0.1", broker.port) as client:
                    await client.subscribe("smartcharge/yard/#")
                    await next_of(client, "availability")
                    said = {"id": "8", "issued_at": datetime.now(UTC).isoformat(), "power_w": 4000.0}
                    await client.publish("smartcharge/yard/limit/main/dso/set", json.dumps(said), qos=1)
                    await next_of(client, "limit/main/dso/received")
                    site.process.kill()
            await broker.stop()
            async with open_store(f"sqlite:///{site_file.with_name('yard.db')}") as store:
                return [fact.power_w for fact in store.journal.load() if isinstance(fact, LimitSet)]

        assert asyncio.run(limit()) == [4000.0]


class TestRefusals:
    def test_a_broken_budget(self, typed: Typed, site_file: Path) -> None:
        site_file.write_text(site_file.read_text().replace("default_a = 6", "default_a = 9"))
        said = typed("run", site_file)
        assert said.code == 2
        assert "circuit main L3" in said.err
        assert not site_file.with_name("yard.db").exists()

    def test_a_port_that_is_taken(self, site_file: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("smartcharge.cli.run.log_to_stderr", lambda _: None)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            said = typed("run", site_file, "--port", str(port))
        assert said.code == 2
        assert str(port) in said.err
        assert len(said.err.splitlines()) == 1

    def test_a_store_that_is_none(self, site_file: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("smartcharge.cli.run.log_to_stderr", lambda _: None)
        site_file.with_name("yard.db").write_text("not a database, but long enough to be looked at")
        said = typed("run", site_file, "--port", "0")
        assert said.code == 2
        assert said.err.endswith("yard.db is not a database\n")

    def test_a_missing_site_file(self, typed: Typed, tmp_path: Path) -> None:
        said = typed("run", tmp_path / "none.toml")
        assert said.code == 2
        assert len(said.err.splitlines()) == 1
