"""A broker inside this process, for the demo and for sites without one: MQTT 3.1.1 at QoS 0 and 1.

It lives on the running event loop and sets no timers but keepalive, so it works in simulated time.
Why it is our own: ``docs/decisions/0003-embedded-broker.md``.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from hmac import compare_digest
from itertools import count
from typing import assert_never

from smartcharge.mqtt import packets
from smartcharge.mqtt.packets import (
    Connect,
    Disconnect,
    MalformedError,
    Packet,
    Ping,
    Puback,
    Publish,
    Refusal,
    Subscribe,
    Unsubscribe,
)

_log = logging.getLogger(__name__)

MOST_UNCONFIRMED = 1000
"""Messages of QoS 1 kept for one client until it confirms them; beyond, it is dropped with all of them."""
MOST_UNSENT = 16 * 1024 * 1024
"""Bytes that wait for a client that does not read [bytes]; beyond, its connection is cut."""
HELLO_S = 10.0
"""How long a client may take to say hello."""


@asynccontextmanager
async def embedded_broker(
    *, port: int = 0, passwords: Mapping[str, str] | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Serve on the loopback interface and yield the port, a free one if ``port`` is 0.

    ``passwords`` by user name lets in only who knows one.  Nothing outlives it: retained messages
    and sessions are gone when it ends.  In simulated time clients must disable keepalive and
    Nagle's algorithm, because what the kernel holds back comes too late.
    """
    broker = _Broker(passwords or {})
    server = await asyncio.start_server(broker.serve, "127.0.0.1", port, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await broker.close()
        await server.wait_closed()


@dataclass(slots=True, kw_only=True, eq=False)
class _Client:
    """What the broker knows of a client, connected or (if it asked for that) not."""

    name: str
    is_clean: bool
    filters: dict[str, int] = field(default_factory=dict)
    unconfirmed: dict[int, Publish] = field(default_factory=dict)
    next_number: int = 1
    writer: asyncio.StreamWriter | None = None

    def granted(self, topic: str) -> int | None:
        """Return the highest QoS of its filters that match, or None."""
        return max((qos for wanted, qos in self.filters.items() if packets.matches(wanted, topic)), default=None)

    def send(self, data: bytes) -> None:
        if self.writer is None or self.writer.is_closing():
            return
        self.writer.write(data)
        if self.writer.transport.get_write_buffer_size() > MOST_UNSENT:
            _log.warning("mqtt broker: %s does not read; cut off", self.name)
            self.writer.transport.abort()

    def deliver(self, message: Publish) -> None:
        if message.qos:
            if len(self.unconfirmed) >= MOST_UNCONFIRMED:
                _log.warning("mqtt broker: %s confirms nothing; dropped %d messages", self.name, MOST_UNCONFIRMED)
                self.unconfirmed.clear()
            while self.next_number in self.unconfirmed:
                self.next_number = self.next_number % 0xFFFF + 1
            message = replace(message, number=self.next_number)
            self.next_number = self.next_number % 0xFFFF + 1
            self.unconfirmed[message.number] = message
        self.send(packets.publish(message))


class _Broker:
    def __init__(self, passwords: Mapping[str, str]) -> None:
        self._passwords = passwords
        self._clients: dict[str, _Client] = {}
        self._retained: dict[str, Publish] = {}
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._unnamed = count(1)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        task = asyncio.current_task()
        assert task is not None
        self._serving[task] = writer
        try:
            await self._converse(reader, writer)
        except (MalformedError, TimeoutError) as error:
            _log.warning("mqtt broker: cut a connection off: %s", str(error) or "silent for too long")
        except (asyncio.IncompleteReadError, ConnectionError):
            _log.debug("mqtt broker: a connection is gone")
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()
            del self._serving[task]

    async def close(self) -> None:
        """Cut all connections and wait until they have ended."""
        for writer in self._serving.values():
            writer.transport.abort()
        await asyncio.gather(*self._serving)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(HELLO_S):
            hello = await packets.read(reader)
        if not isinstance(hello, Connect):
            raise MalformedError("a client must say hello first")
        refusal = self._refusal(hello)
        if refusal is not None:
            writer.write(packets.connack(refusal, has_session=False))
            await writer.drain()
            return
        client = self._welcome(hello, writer)
        will = hello.will
        try:
            while True:
                # 1.5 times keepalive: MQTT 3.1.1, 3.1.2.10.
                async with asyncio.timeout(hello.keepalive_s * 1.5 or None):
                    packet = await packets.read(reader)
                if isinstance(packet, Disconnect):
                    will = None
                    return
                self._handle(client, packet)
                await writer.drain()
        finally:
            self._farewell(client, writer, will)

    def _refusal(self, hello: Connect) -> Refusal | None:
        if hello.level != 4:
            return Refusal.PROTOCOL
        if not hello.client and not hello.is_clean:
            return Refusal.IDENTIFIER
        password = self._passwords.get(hello.username or "")
        is_known = password is not None and compare_digest(password.encode(), (hello.password or "").encode())
        return None if is_known or not self._passwords else Refusal.CREDENTIALS

    def _welcome(self, hello: Connect, writer: asyncio.StreamWriter) -> _Client:
        name = hello.client or f"unnamed {next(self._unnamed)}"
        old = self._clients.get(name)
        if old is not None and old.writer is not None:
            # The newer connection of one client ends the older (3.1.4); its will is said, as for any loss.
            old.writer.transport.abort()
        is_kept = old is not None and not hello.is_clean and not old.is_clean
        client = old if old is not None and is_kept else _Client(name=name, is_clean=hello.is_clean)
        client.writer = writer
        self._clients[name] = client
        client.send(packets.connack(None, has_session=is_kept))
        for message in client.unconfirmed.values():
            client.send(packets.publish(replace(message, is_repeated=True)))
        return client

    def _farewell(self, client: _Client, writer: asyncio.StreamWriter, will: Publish | None) -> None:
        if client.writer is writer:
            client.writer = None
            if client.is_clean and self._clients[client.name] is client:
                del self._clients[client.name]
        if will is not None:
            self._publish(will)

    def _handle(self, client: _Client, packet: Packet) -> None:
        match packet:
            case Publish():
                self._publish(packet)
                if packet.qos:
                    client.send(packets.puback(packet.number))
            case Puback():
                client.unconfirmed.pop(packet.number, None)
            case Subscribe():
                self._subscribe(client, packet)
            case Unsubscribe():
                for wanted in packet.filters:
                    client.filters.pop(wanted, None)
                client.send(packets.unsuback(packet.number))
            case Ping():
                client.send(packets.pingresp())
            case Connect() | Disconnect():
                raise MalformedError("a second hello")
            case _:
                assert_never(packet)

    def _subscribe(self, client: _Client, packet: Subscribe) -> None:
        granted = [min(qos, 1) for _, qos in packet.filters]
        client.send(packets.suback(packet.number, granted))
        for (wanted, _), qos in zip(packet.filters, granted, strict=True):
            client.filters[wanted] = qos
            for message in self._retained.values():
                if packets.matches(wanted, message.topic):
                    client.deliver(replace(message, qos=min(message.qos, qos), is_retained=True))

    def _publish(self, message: Publish) -> None:
        if message.is_retained and message.payload:
            self._retained[message.topic] = message
        elif message.is_retained:
            self._retained.pop(message.topic, None)
        for client in list(self._clients.values()):
            granted = client.granted(message.topic)
            if granted is not None and (client.writer is not None or min(message.qos, granted)):
                client.deliver(Publish(topic=message.topic, payload=message.payload, qos=min(message.qos, granted)))
