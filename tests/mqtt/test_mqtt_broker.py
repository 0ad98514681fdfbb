"""The embedded broker, by sections of MQTT 3.1.1, and in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import aiomqtt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartcharge.events import CircuitMetered, StationOnline
from smartcharge.mqtt import packets
from smartcharge.mqtt.broker import embedded_broker
from smartcharge.mqtt.packets import MalformedError, Publish, matches
from smartcharge.mqtt.room import MqttRoom
from smartcharge.mqtt.settings import MqttSettings
from smartcharge.sim.loop import SimulatedLoop
from tests.mqtt.peers import Facts, Integrator, make_site, running

HELLO = bytes.fromhex("100d 0004 4d515454 04 02 0000 0001 61")
"""CONNECT of client ``a``, clean session, no keepalive."""


async def talk(port: int, *sent: bytes) -> bytes:
    """Return everything that the broker answers until it hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for data in sent:
            writer.write(data)
        async with asyncio.timeout(100):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def answers(*sent: bytes) -> bytes:
    async def main() -> bytes:
        async with embedded_broker() as port:
            return await talk(port, *sent)

    return asyncio.run(main())


class TestConnection31:
    def test_hello_and_goodbye(self) -> None:
        assert answers(HELLO, b"\xe0\x00") == b"\x20\x02\x00\x00"

    def test_unknown_version_is_refused(self) -> None:
        assert answers(HELLO.replace(b"\x04\x02", b"\x05\x02")) == b"\x20\x02\x00\x01"

    def test_a_session_to_be_kept_needs_a_name(self) -> None:
        assert answers(bytes.fromhex("100c 0004 4d515454 04 00 0000 0000")) == b"\x20\x02\x00\x02"

    @pytest.mark.parametrize(
        "bad",
        [
            pytest.param(b"\xe0\x00", id="no hello"),
            pytest.param(HELLO.replace(b"MQTT", b"HTTP"), id="another protocol"),
            pytest.param(HELLO + HELLO, id="two hellos"),
            pytest.param(HELLO + b"\x30\x03\x00\x09a", id="too short"),
            pytest.param(HELLO + b"\x30\x03\x00\x01#", id="wildcard in a topic"),
            pytest.param(HELLO + b"\x34\x05\x00\x01a\x00\x01", id="QoS 2"),
            pytest.param(HELLO + b"\x30\xff\xff\xff\x7f", id="too long"),
            pytest.param(HELLO + b"\x30\xff\xff\xff\xff\xff", id="endless length"),
            pytest.param(HELLO + b"\x82\x06\x00\x01\x00\x01\xff\x00", id="not UTF-8"),
            pytest.param(HELLO + b"\x82\x08\x00\x01\x00\x03a#b\x00", id="not a filter"),
            pytest.param(HELLO + b"\xf0\x00", id="unknown packet"),
        ],
    )
    def test_what_is_not_mqtt_ends_the_connection_and_nothing_else(self, bad: bytes) -> None:
        async def main() -> None:
            async with embedded_broker() as port, aiomqtt.Client("127.0.0.1", port) as other:
                await talk(port, bad)
                await other.subscribe("t", qos=1)
                await other.publish("t", b"still here", qos=1)
                assert (await anext(other.messages)).payload == b"still here"

        asyncio.run(main())

    def test_the_newer_connection_of_a_client_ends_the_older(self) -> None:
        async def main() -> None:
            async with embedded_broker() as port:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(HELLO)
                assert await reader.readexactly(4) == b"\x20\x02\x00\x00"
                async with aiomqtt.Client("127.0.0.1", port, identifier="a") as newer:
                    assert await reader.read() == b""
                    await newer.subscribe("t", qos=1)
                    await newer.publish("t", b"x", qos=1)
                    await anext(newer.messages)
                writer.close()

        asyncio.run(main())

    def test_silence_beyond_keepalive_ends_the_connection(self) -> None:
        async def main() -> float:
            async with embedded_broker() as port:
                # Keepalive of 10 s, and a will on topic w.
                await talk(port, bytes.fromhex("1013 0004 4d515454 04 06 000a 0001 61 0001 77 0001 78"))
                return asyncio.get_running_loop().time()

        assert simulate(main()) == pytest.approx(15.0, abs=0.1)

    @pytest.mark.parametrize(("goodbye", "heard"), [(b"", [b"x", b"end"]), (b"\xe0\x00", [b"end"])])
    def test_a_will_is_said_unless_the_client_leaves_on_purpose(self, goodbye: bytes, heard: list[bytes]) -> None:
        async def main() -> None:
            async with embedded_broker() as port, aiomqtt.Client("127.0.0.1", port) as other:
                await other.subscribe("w", qos=1)
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(bytes.fromhex("1013 0004 4d515454 04 06 0000 0001 61 0001 77 0001 78") + goodbye)
                writer.write_eof()
                assert await reader.read() == b"\x20\x02\x00\x00"
                writer.close()
                await other.publish("w", b"end", qos=1)
                assert [(await anext(other.messages)).payload for _ in heard] == heard

        asyncio.run(main())


class TestSubscriptions38:
    def test_persistent_session_gets_what_it_missed(self) -> None:
        async def main() -> None:
            async with embedded_broker() as port:
                options: dict[str, Any] = {"identifier": "keeper", "clean_session": False}
                async with aiomqtt.Client("127.0.0.1", port, **options) as keeper:
                    await keeper.subscribe("t", qos=1)
                async with aiomqtt.Client("127.0.0.1", port) as other:
                    await other.publish("t", b"missed", qos=1)
                    await other.publish("t", b"lost", qos=0)
                async with aiomqtt.Client("127.0.0.1", port, **options) as keeper:
                    assert (await anext(keeper.messages)).payload == b"missed"
                    await keeper.unsubscribe("t")
                    await keeper.publish("t", b"unheard", qos=1)
                    assert len(keeper.messages) == 0

        asyncio.run(main())

    def test_empty_retained_message_forgets(self) -> None:
        async def main() -> None:
            async with embedded_broker() as port, aiomqtt.Client("127.0.0.1", port) as client:
                await client.publish("kept/a", b"1", qos=1, retain=True)
                await client.publish("kept/b", b"2", qos=1, retain=True)
                await client.publish("kept/a", b"", qos=1, retain=True)
                await client.subscribe("kept/+", qos=0)
                message = await anext(client.messages)
                assert (message.payload, message.retain, message.qos) == (b"2", True, 0)
                assert len(client.messages) == 0

        asyncio.run(main())

    @pytest.mark.parametrize(
        ("wanted", "topic", "is_match"),
        [
            ("a/b", "a/b", True),
            ("a/+", "a/b", True),
            ("a/+", "a", False),
            ("a/+", "a/b/c", False),
            ("+/+", "/b", True),
            ("#", "a/b", True),
            ("a/#", "a", True),
            ("a/#", "a/b/c", True),
            ("a/#", "ab", False),
            ("#", "$SYS/x", False),
            ("+/x", "$SYS/x", False),
            ("$SYS/#", "$SYS/x", True),
        ],
    )
    def test_filters_4_7(self, wanted: str, topic: str, is_match: bool) -> None:
        assert matches(wanted, topic) is is_match


class TestPackets:
    @settings(deadline=None)
    @given(
        topic=st.text(min_size=1, max_size=300).filter(lambda t: "+" not in t and "#" not in t),
        payload=st.binary(max_size=20_000),
        qos=st.integers(0, 1),
        is_retained=st.booleans(),
    )
    def test_a_message_comes_back_as_it_was(self, topic: str, payload: bytes, qos: int, is_retained: bool) -> None:
        message = Publish(topic=topic, payload=payload, qos=qos, is_retained=is_retained, number=7 if qos else 0)

        async def main() -> packets.Packet:
            reader = asyncio.StreamReader()
            reader.feed_data(packets.publish(message))
            return await packets.read(reader)

        assert asyncio.run(main()) == message

    @settings(deadline=None)
    @given(st.binary(max_size=200))
    def test_any_bytes_are_a_packet_or_malformed_or_cut_short(self, data: bytes) -> None:
        async def main() -> None:
            reader = asyncio.StreamReader()
            reader.feed_data(data)
            reader.feed_eof()
            await packets.read(reader)

        with suppress(MalformedError, asyncio.IncompleteReadError):
            asyncio.run(main())


def simulate(main: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(epoch_s=1_700_000_000.0)) as runner:
        return runner.run(main)


class TestSimulatedTime:
    def test_a_day_of_messages_loses_none_and_waits_for_none(self) -> None:
        async def main() -> tuple[int, float]:
            loop = asyncio.get_running_loop()
            facts = Facts()
            async with embedded_broker() as port, Integrator.at(port) as peer:
                room = MqttRoom(make_site(), MqttSettings(host="127.0.0.1", port=port, keepalive_s=0))
                async with running(room, facts):
                    await peer.hears("availability")
                    await peer.say("station/wall/availability", b"online")
                    await facts.first(StationOnline)
                    started_s = loop.time()
                    for minute in range(1440):
                        at = f"2023-11-{14 + (minute + 1333) // 1440:02}T{(22 + (13 + minute) // 60) % 24:02}"
                        reading = {
                            "measured_at": f"{at}:{(13 + minute) % 60:02}:20Z",
                            "current_a": {"l1": minute, "l2": 0, "l3": 0},
                        }
                        await peer.say("circuit/main/meter", reading)
                        await facts.first(CircuitMetered, minute + 1)
                        await asyncio.sleep(60)
                    return len(facts.of(CircuitMetered)), loop.time() - started_s

        assert simulate(main()) == (1440, pytest.approx(86400.0, abs=1.0))

    def test_a_burst_takes_no_time(self) -> None:
        """Held back by the kernel, small packets would come after the loop has jumped over the room's patience."""

        async def main() -> float:
            async with embedded_broker() as port, Integrator.at(port) as peer:
                room = MqttRoom(make_site(), MqttSettings(host="127.0.0.1", port=port, keepalive_s=0))
                async with running(room, Facts()):
                    await peer.hears("availability")
                    started_s = asyncio.get_running_loop().time()
                    for number in range(100):
                        limit = {"id": str(number), "issued_at": "2023-11-14T22:13:20Z", "power_w": 1}
                        await peer.say(f"limit/main/source-{number}/set", limit)
                        await peer.say("evse/nowhere/need", {})
                    await peer.hears("limit/main/source-99/received")
                    await peer.hears("errors", 100)
                    return asyncio.get_running_loop().time() - started_s

        assert simulate(main()) == 0.0
