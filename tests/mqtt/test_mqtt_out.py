"""What we say: retained state, setpoints and plan, availability with a last will, and nothing lost with the broker."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from subprocess import run

import pytest

from smartcharge.control.limits import effective_limits
from smartcharge.control.plan import Decision, Plan, Setpoint
from smartcharge.control.state import State, apply
from smartcharge.errors import ConfigError
from smartcharge.events import CircuitMetered, Metered, Plugged
from smartcharge.model import Phases, Site
from smartcharge.mqtt.payloads import PAYLOADS
from smartcharge.mqtt.room import MqttRoom
from smartcharge.mqtt.settings import MqttSettings
from smartcharge.ports import Snapshot
from solvers.problem import Outcome
from tests.mqtt.peers import (
    WALL,
    YARD,
    Broker,
    Cable,
    Facts,
    Integrator,
    Serving,
    free_port,
    logged,
    make_site,
    running,
    scene,
)
from tests.mqtt.test_mqtt_in import AMPS, iso

SETPOINT = "evse/yard%2F1/setpoint"


def make_snapshot(site: Site, *, limit_a: float = 16.0, made_at_s: float = 1000.0) -> Snapshot:
    state = State.initial(site)
    for event in (
        Plugged(at_s=990.0, evse=YARD),
        Metered(at_s=995.0, evse=YARD, current_a=Phases(9.0, 9.5, 0.0), power_w=4000.0),
    ):
        state = apply(state, event)
    plan = Plan(
        made_at_s=made_at_s,
        edges_s=(1000.0, 1060.0, 1120.0),
        current_a={YARD: (16.0, 8.0)},
        shortfall_wh={YARD: 0.0},
        per_kwh=(0.25, 0.25),
        peak_w=20_000.0,
        outcome=Outcome.OPTIMAL,
        solver="highs",
        solve_s=0.01,
    )
    setpoints = {
        YARD: Setpoint(limit_a=limit_a, reason="main L2 rating"),
        WALL: Setpoint(limit_a=6.0, reason="no car"),
    }
    return Snapshot(
        at_s=1000.0,
        site=site,
        state=state,
        limits=effective_limits(state, 1000.0),
        plan=plan,
        decision=Decision(at_s=1000.0, setpoints=setpoints),
        troubles={"prices": "no answer"},
    )


class TestTelemetry:
    def test_who_comes_late_finds_state_setpoints_and_plan(self, broker: Broker) -> None:
        async def main() -> None:
            site = make_site()
            async with scene(broker, site) as s:
                s.room.observe(make_snapshot(site))
                for topic in ("state", "plan", SETPOINT):
                    await s.peer.hears(topic)
                async with Integrator.at(s.port) as late:
                    setpoint, plan, state = [await late.hears(t) for t in (SETPOINT, "plan", "state")]
                    assert await late.hears("availability") == "online"
                    for topic in (SETPOINT, "plan", "state", "availability"):
                        assert len(late.stored(topic)) == 1
            assert setpoint == {"at": "1970-01-01T00:16:40Z", "limit_a": 16.0, "reason": "main L2 rating"}
            assert plan["current_a"] == {"yard/1": [16.0, 8.0]}
            assert plan["edges"] == ["1970-01-01T00:16:40Z", "1970-01-01T00:17:40Z", "1970-01-01T00:18:40Z"]
            assert plan["outcome"] == "optimal"
            lines = {line["line"]: line for line in state["lines"]}
            assert lines["main L2"]["limit_a"] == 20.0
            assert lines["main L2"]["source"] == "main L2 failsafe, its meter is lost"
            assert state["evses"]["yard/1"]["is_occupied"] is True
            assert state["evses"]["yard/1"]["current_a"] == {"l1": 9.0, "l2": 9.5, "l3": 0.0}
            assert state["troubles"] == {"prices": "no answer"}
            assert state["evses"]["wall/1"]["is_occupied"] is None
            for kind, said in (("setpoint", setpoint), ("plan", plan), ("state", state)):
                PAYLOADS[kind].model_validate_json(json.dumps(said))

        asyncio.run(main())

    def test_only_what_changed_is_said(self, broker: Broker) -> None:
        async def main() -> None:
            site = make_site()
            async with scene(broker, site) as s:
                for cycle, limit_a in enumerate((16.0, 16.0, 10.0)):
                    s.room.observe(replace(make_snapshot(site, limit_a=limit_a), at_s=1000.0 + cycle))
                    assert (await s.peer.hears(SETPOINT, 2 if limit_a == 10.0 else 1))["limit_a"] == limit_a
                    await s.peer.hears("state")
                s.room.observe(replace(make_snapshot(site), troubles={}))
                assert (await s.peer.hears("state", 2))["troubles"] == {}
                assert len(s.peer.heard("evse/wall%2F1/setpoint")) == 1
                assert len(s.peer.heard("state")) == 2

        asyncio.run(main())

    def test_the_whole_state_waits_for_its_turn_and_then_is_the_newest(self, broker: Broker) -> None:
        async def main() -> None:
            site = make_site()
            async with scene(broker, site, publish_s=0.3) as s:
                snapshot = make_snapshot(site)
                for soc in (None, 0.1, 0.2, 0.3):
                    known = snapshot.state.evses[YARD]
                    reading = Metered(at_s=995.0, evse=YARD, soc=soc)
                    state = replace(
                        snapshot.state, evses={**snapshot.state.evses, YARD: replace(known, reading=reading)}
                    )
                    s.room.observe(replace(snapshot, state=state))
                    await asyncio.sleep(0)
                socs = [(await s.peer.hears("state", n))["evses"]["yard/1"]["soc"] for n in (1, 2)]
                assert socs[1] == 0.3
                assert len(s.peer.heard("state")) == 2

        asyncio.run(main())


class TestAvailability:
    def test_offline_is_our_last_word(self, broker: Broker) -> None:
        async def main() -> None:
            async with broker(Serving()) as port, Integrator.at(port) as peer:
                async with running(MqttRoom(make_site(), MqttSettings(host="127.0.0.1", port=port)), Facts()):
                    assert await peer.hears("availability") == "online"
                assert await peer.hears("availability", 2) == "offline"
                async with Integrator.at(port) as late:
                    assert await late.hears("availability") == "offline"

        asyncio.run(main())

    def test_last_will_when_the_connection_breaks(self, broker: Broker) -> None:
        async def main() -> None:
            async with broker(Serving()) as port, Integrator.at(port) as peer, Cable.to(port) as cable:
                room = MqttRoom(make_site(), MqttSettings(host="127.0.0.1", port=cable.port))
                async with running(room, Facts()):
                    await peer.hears("availability")
                    cable.pull()
                    assert await peer.hears("availability", 2) == "offline"
                    assert await peer.hears("availability", 3) == "online"

        asyncio.run(main())


class TestReconnect:
    def test_the_newest_is_said_to_a_broker_that_forgot_everything(self, broker: Broker) -> None:
        async def main() -> None:
            site, port, facts = make_site(), free_port(), Facts()
            room = MqttRoom(site, MqttSettings(host="127.0.0.1", port=port, publish_s=0.01))
            room.observe(make_snapshot(site, limit_a=16.0))
            async with running(room, facts):
                async with broker(Serving(port=port)), Integrator.at(port) as peer:
                    assert (await peer.hears(SETPOINT))["limit_a"] == 16.0
                    await peer.hears("plan")
                # The broker is gone: nobody waits for it, and what is old by its return is not said.
                for limit_a in (15.0, 14.0, 13.0):
                    room.observe(make_snapshot(site, limit_a=limit_a))
                async with broker(Serving(port=port)), Integrator.at(port) as peer:
                    assert (await peer.hears(SETPOINT))["limit_a"] == 13.0
                    assert (await peer.hears("evse/wall%2F1/setpoint"))["limit_a"] == 6.0
                    assert (await peer.hears("plan"))["solver"] == "highs"
                    assert await peer.hears("availability") == "online"
                    assert len(peer.heard(SETPOINT)) == 1
                    await peer.say("circuit/main/meter", {"measured_at": iso(), "current_a": AMPS})
                    await facts.first(CircuitMetered)

        asyncio.run(main())

    def test_back_off_doubles_and_is_capped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        waits: list[float] = []
        real_sleep = asyncio.sleep

        async def sleep(delay_s: float) -> None:
            if asyncio.current_task().get_name() == "mqtt connection":  # type: ignore[union-attr]
                waits.append(delay_s)
            await real_sleep(0)

        monkeypatch.setattr("smartcharge.mqtt.connection.SHORTEST_WAIT_S", 1.0)
        monkeypatch.setattr("smartcharge.mqtt.connection.LONGEST_WAIT_S", 30.0)
        monkeypatch.setattr("smartcharge.mqtt.connection.asyncio.sleep", sleep)

        async def main() -> None:
            async with running(MqttRoom(make_site(), MqttSettings(host="127.0.0.1", port=free_port())), Facts()):
                while len(waits) < 10:
                    await real_sleep(0.001)

        asyncio.run(main())
        longest = [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0, 30.0]
        assert all(0.5 * most <= wait <= most for wait, most in zip(waits, longest, strict=False))
        assert len(set(waits)) == len(waits), "jitter keeps many sites from returning at once"


class TestSecurity:
    def test_password(self, broker: Broker) -> None:
        async def main() -> None:
            serving = Serving(passwords={"smartcharge": "right", "peer": "other"})
            async with broker(serving) as port, Integrator.at(port, username="peer", password="other") as peer:
                wrong = MqttSettings(host="127.0.0.1", port=port, username="smartcharge", password="wrong")
                async with running(MqttRoom(make_site(), wrong), Facts()):
                    await logged("no connection")
                assert not peer.heard("availability")
                assert "wrong" not in repr(wrong)
                right = replace(wrong, password="right")
                async with running(MqttRoom(make_site(), right), Facts()):
                    assert await peer.hears("availability") == "online"

        asyncio.run(main())

    # paho leaves the socket of a failed handshake to the garbage collector.
    @pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning")
    def test_tls(self, broker: Broker, tmp_path: Path) -> None:
        authority, certificate, key = make_certificates(tmp_path)

        async def main() -> None:
            async with broker(Serving(certificate=certificate, key=key)) as port:
                unknown = MqttSettings(host="localhost", port=port, tls=True)
                async with running(MqttRoom(make_site(), unknown), Facts()):
                    await logged("certificate verify failed")
                room, facts = MqttRoom(make_site(), replace(unknown, tls_ca=authority)), Facts()
                trust = replace(unknown, tls_ca=authority).tls_context()
                async with running(room, facts), Integrator.at(port, tls_context=trust) as peer:
                    assert await peer.hears("availability") == "online"
                    await peer.say("circuit/main/meter", {"measured_at": iso(), "current_a": AMPS})
                    await facts.first(CircuitMetered)

        asyncio.run(main())

    def test_a_file_that_is_no_certificate_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"absent\.pem"):
            MqttSettings(tls=True, tls_ca=tmp_path / "absent.pem").tls_context()


def make_certificates(directory: Path) -> tuple[Path, Path, Path]:
    """Return an authority's certificate, and a broker's certificate and key, made by openssl."""
    if shutil.which("openssl") is None:
        if "CI" in os.environ:
            pytest.fail("openssl must be installed in CI")
        pytest.skip("openssl is not installed")
    ca, ca_key = directory / "ca.pem", directory / "ca.key"
    certificate, key = directory / "broker.pem", directory / "broker.key"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    new: list[str | Path] = ["openssl", "req", "-x509", *curve]
    usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    run([*new, *usage, "-subj", "/CN=test authority", "-keyout", ca_key, "-out", ca], check=True, capture_output=True)
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
    signed: list[str | Path] = [
        "-CA",
        ca,
        "-CAkey",
        ca_key,
        "-subj",
        "/CN=localhost",
        "-keyout",
        key,
        "-out",
        certificate,
    ]
    run([*new, *names, *signed], check=True, capture_output=True)
    return ca, certificate, key


def test_observing_never_waits_and_never_grows(recwarn: pytest.WarningsRecorder) -> None:
    """Without any broker: a thousand cycles leave one word for each topic."""

    async def main() -> int:
        site = make_site()
        room = MqttRoom(site, MqttSettings(port=1))
        for number in range(1000):
            room.observe(make_snapshot(site, limit_a=number, made_at_s=number))
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                return len(await room._outbox.newest(1000))
        return 0

    assert asyncio.run(main()) == 3
    assert not recwarn.list
