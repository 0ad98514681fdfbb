"""What the tests of the MQTT room talk to: brokers of both kinds, an integrator, and a recorder of facts."""

from __future__ import annotations

import asyncio
import getpass
import json
import logging
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import aiomqtt
import pytest

from smartcharge.events import Event
from smartcharge.model import (
    Circuit,
    CircuitId,
    Control,
    Evse,
    EvseId,
    Meter,
    Phases,
    Rotation,
    Site,
    Staleness,
    Station,
    StationId,
    Timing,
    Wiring,
)
from smartcharge.mqtt.broker import embedded_broker
from smartcharge.mqtt.room import MqttRoom
from smartcharge.mqtt.settings import MqttSettings

E = TypeVar("E", bound=Event)

PATIENCE_S = 20.0
"""Real time after which a test gives up."""
WALL = EvseId("wall/1")
"""The EVSE of the station that is commanded over MQTT; the slash is part of its name."""
YARD = EvseId("yard/1")
"""The EVSE of a station that speaks OCPP."""
MAIN = CircuitId("main")
ROOT = "smartcharge/yard%20site"


def make_site(**timing: float) -> Site:
    def station(name: str, control: Control) -> Station:
        evse = Evse(
            id=EvseId(f"{name}/1"),
            station=StationId(name),
            number=1,
            wiring=Wiring.THREE_PHASE,
            rotation=Rotation.RST,
            voltage_v=230.0,
            min_a=6.0,
            max_a=32.0,
            default_a=6.0,
        )
        return Station(id=StationId(name), circuit=MAIN, evses=(evse,), control=control)

    main = Circuit(
        id=MAIN,
        parent=None,
        rating_a=Phases.all(63.0),
        failsafe_a=Phases.all(20.0),
        voltage_v=230.0,
        meter=Meter(id="M1", staleness=Staleness(age_s=30.0, hold_s=30.0)),
    )
    shed = Circuit(
        id=CircuitId("shed"), parent=MAIN, rating_a=Phases.all(20.0), failsafe_a=Phases.all(20.0), voltage_v=230.0
    )
    return Site(
        id="yard site",
        name="Yard",
        timezone="Europe/Berlin",
        circuits=(main, shed),
        stations=(station("wall", Control.MQTT), station("yard", Control.OCPP)),
        timing=Timing(**timing),  # type: ignore[arg-type]
    )


@dataclass(frozen=True, kw_only=True)
class Serving:
    """How a broker is to serve."""

    port: int = 0
    passwords: Mapping[str, str] = field(default_factory=dict)
    certificate: Path | None = None
    key: Path | None = None


Broker = Callable[[Serving], Any]


@asynccontextmanager
async def embedded(serving: Serving) -> AsyncIterator[int]:
    tls = None
    if serving.certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(serving.certificate, serving.key)
    async with embedded_broker(port=serving.port, passwords=serving.passwords, tls=tls) as port:
        yield port


def mosquitto_of(directory: Path) -> Broker:
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        if "CI" in os.environ:
            pytest.fail("mosquitto must be installed in CI")
        pytest.skip("mosquitto is not installed")

    @asynccontextmanager
    async def mosquitto(serving: Serving) -> AsyncIterator[int]:
        port = serving.port or free_port()
        config = directory / f"mosquitto-{port}.conf"
        config.write_text("\n".join(_mosquitto_lines(directory, serving, port)))
        process = await asyncio.create_subprocess_exec(program, "-c", config, stderr=asyncio.subprocess.PIPE)
        try:
            assert process.stderr is not None
            async with asyncio.timeout(PATIENCE_S):
                while b" running" not in (line := await process.stderr.readline()):
                    assert line, "mosquitto ended before it ran"
            drain = asyncio.create_task(process.stderr.read())
            yield port
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
        await drain

    return mosquitto


def _mosquitto_lines(directory: Path, serving: Serving, port: int) -> list[str]:
    lines = [
        f"user {getpass.getuser()}",
        "log_dest stderr",
        "log_type all",
        "persistence false",
        f"listener {port} 127.0.0.1",
        f"allow_anonymous {'false' if serving.passwords else 'true'}",
    ]
    if serving.passwords:
        file = directory / "passwords"
        file.write_text("".join(f"{name}:{password}\n" for name, password in serving.passwords.items()))
        subprocess.run(["mosquitto_passwd", "-U", file], check=True)
        lines.append(f"password_file {file}")
    if serving.certificate is not None:
        lines += [f"certfile {serving.certificate}", f"keyfile {serving.key}"]
    return [*lines, ""]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Facts:
    """What the room emitted, and a way to wait for more."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = asyncio.Condition()

    async def emit(self, event: Event) -> None:
        async with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    async def first(self, kind: type[E], count: int = 1) -> E:
        """Return the newest fact of a kind once there are as many."""
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: len(self.of(kind)) >= count)
        return self.of(kind)[count - 1]


class Integrator:
    """Somebody else on the broker: hears everything of the site and says what a test wants."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client
        self._heard: list[aiomqtt.Message] = []
        self._changed = asyncio.Condition()

    @classmethod
    @asynccontextmanager
    async def at(cls, port: int, **options: Any) -> AsyncIterator[Self]:
        nodelay = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
        async with aiomqtt.Client("127.0.0.1", port, keepalive=0, socket_options=nodelay, **options) as client:
            self = cls(client)
            await client.subscribe(f"{ROOT}/#", qos=1)
            listening = asyncio.create_task(self._listen())
            try:
                yield self
            finally:
                listening.cancel()
                with suppress(asyncio.CancelledError, aiomqtt.MqttError):
                    await listening

    async def say(self, topic: str, payload: object, *, retain: bool = False) -> None:
        text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        await self._client.publish(f"{ROOT}/{topic}", text, qos=1, retain=retain)

    def heard(self, topic: str) -> list[bytes]:
        return [bytes(m.payload) for m in self._heard if m.topic.value == f"{ROOT}/{topic}"]

    def stored(self, topic: str) -> list[bytes]:
        """Return what the broker had kept for those who come later."""
        return [bytes(m.payload) for m in self._heard if m.retain and m.topic.value == f"{ROOT}/{topic}"]

    async def hears(self, topic: str, count: int = 1) -> Any:
        """Return the newest payload on a topic once there were as many."""
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: len(self.heard(topic)) >= count)
        text = self.heard(topic)[count - 1]
        return text.decode() if topic.endswith("availability") else json.loads(text)

    async def _listen(self) -> None:
        async for message in self._client.messages:
            async with self._changed:
                self._heard.append(message)
                self._changed.notify_all()


@asynccontextmanager
async def running(room: MqttRoom, facts: Facts) -> AsyncIterator[None]:
    task = asyncio.create_task(room.run(facts.emit))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def logged(text: str) -> None:
    """Return once the room has logged something."""
    seen = asyncio.Event()

    class Watch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if text in record.getMessage():
                seen.set()

    logger, watch = logging.getLogger("smartcharge.mqtt"), Watch()
    logger.addHandler(watch)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await seen.wait()
    finally:
        logger.removeHandler(watch)


@dataclass(kw_only=True)
class Scene:
    """A broker with a room and an integrator on it."""

    room: MqttRoom
    facts: Facts
    peer: Integrator
    port: int

    @asynccontextmanager
    async def second(self) -> AsyncIterator[Facts]:
        """Run another room on the same broker."""
        facts = Facts()
        room = MqttRoom(make_site(), MqttSettings(host="127.0.0.1", port=self.port, client_id="second"))
        async with running(room, facts):
            yield facts


@asynccontextmanager
async def scene(broker: Broker, site: Site | None = None, **settings: Any) -> AsyncIterator[Scene]:
    """Yield once the room has said that it is online."""
    async with broker(Serving()) as port, Integrator.at(port) as peer:
        chosen = MqttSettings(host="127.0.0.1", port=port, **{"publish_s": 0.01, **settings})
        room, facts = MqttRoom(site or make_site(), chosen), Facts()
        async with running(room, facts):
            assert await peer.hears("availability") == "online"
            yield Scene(room=room, facts=facts, peer=peer, port=port)


class Cable:
    """A wire to the broker that a test can pull: a relay on a port of its own."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._writers: list[asyncio.StreamWriter] = []
        self.port = 0
        self.joined = 0

    @classmethod
    @asynccontextmanager
    async def to(cls, target: int) -> AsyncIterator[Self]:
        self = cls(target)
        server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self
            self.pull()

    def pull(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.joined += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers += [writer, far_writer]
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
