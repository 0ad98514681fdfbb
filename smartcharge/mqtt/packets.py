"""The packets of MQTT 3.1.1 that the embedded broker speaks, as bytes to and from dataclasses.  No I/O.

Source: OASIS MQTT Version 3.1.1, whose sections the docstrings name.  QoS 2 is left out.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from smartcharge.errors import SourceError

LONGEST = 1024 * 1024
"""Longest packet that is read [bytes]."""


class Kind(IntEnum):
    """Control packet types (2.2.1)."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


class Refusal(IntEnum):
    """Why a connection is refused (3.2.2.3)."""

    PROTOCOL = 1
    IDENTIFIER = 2
    CREDENTIALS = 4


class MalformedError(SourceError):
    """What a client sent is not MQTT 3.1.1, or not of the part that is spoken here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """An application message (3.3)."""

    topic: str
    payload: bytes
    qos: int = 0
    is_retained: bool = False
    is_repeated: bool = False
    number: int = 0
    """Packet identifier; 0 at QoS 0, which has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """A client says hello (3.1)."""

    client: str
    is_clean: bool
    keepalive_s: int
    will: Publish | None
    username: str | None
    password: str | None
    level: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe:
    """A client wants what matches the filters, each with its highest QoS (3.8)."""

    number: int
    filters: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribe:
    """A client no longer wants what matches the filters (3.10)."""

    number: int
    filters: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Puback:
    """A client has a message of QoS 1 (3.4)."""

    number: int


@dataclass(frozen=True, slots=True)
class Ping:
    """A client is still there (3.12)."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """A client leaves on purpose, so its will is not wanted (3.14)."""


Packet: TypeAlias = Connect | Publish | Puback | Subscribe | Unsubscribe | Ping | Disconnect


class _Body:
    """The bytes of a packet, read from front to back."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def rest(self) -> bytes:
        taken, self._at = self._data[self._at :], len(self._data)
        return taken

    def has_more(self) -> bool:
        return self._at < len(self._data)

    def byte(self) -> int:
        return self._take(1)[0]

    def number(self) -> int:
        return int.from_bytes(self._take(2), "big")

    def binary(self) -> bytes:
        return self._take(self.number())

    def text(self) -> str:
        try:
            return self.binary().decode()
        except UnicodeDecodeError as error:
            raise MalformedError("text is not UTF-8") from error

    def _take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) < count:
            raise MalformedError("packet is too short")
        self._at += count
        return taken


async def read(reader: asyncio.StreamReader) -> Packet:
    """Return the next packet of a client; raises MalformedError, or IncompleteReadError at the end."""
    head = (await reader.readexactly(1))[0]
    length = await _read_length(reader)
    return _packet_of(head, _Body(await reader.readexactly(length)))


def _packet_of(head: int, body: _Body) -> Packet:  # noqa: PLR0911 - one line a packet
    match head >> 4:
        case Kind.CONNECT:
            return _connect(body)
        case Kind.PUBLISH:
            return _publish(head & 0x0F, body)
        case Kind.PUBACK:
            return Puback(number=body.number())
        case Kind.SUBSCRIBE:
            return _subscribe(body)
        case Kind.UNSUBSCRIBE:
            return _unsubscribe(body)
        case Kind.PINGREQ:
            return Ping()
        case Kind.DISCONNECT:
            return Disconnect()
        case kind:
            raise MalformedError(f"packet type {kind} is not spoken here")


async def _read_length(reader: asyncio.StreamReader) -> int:
    """Return the remaining length, seven bits a byte, lowest first (2.2.3)."""
    length = 0
    for shift in (0, 7, 14, 21):
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            if length > LONGEST:
                raise MalformedError(f"packet of {length} bytes is too long")
            return length
    raise MalformedError("length has more than four bytes")


def _connect(body: _Body) -> Connect:
    name, level, flags, keepalive_s = body.text(), body.byte(), body.byte(), body.number()
    if name not in ("MQTT", "MQIsdp"):
        raise MalformedError(f"protocol {name!r} is not MQTT")
    if level != 4:
        # What follows in other versions need not be understood to refuse them.
        return Connect(client="", is_clean=True, keepalive_s=0, will=None, username=None, password=None, level=level)
    client = body.text()
    will = None
    if flags & 0x04:
        will = Publish(
            topic=body.text(), payload=body.binary(), qos=_qos(flags >> 3 & 3), is_retained=bool(flags & 0x20)
        )
    return Connect(
        client=client,
        is_clean=bool(flags & 0x02),
        keepalive_s=keepalive_s,
        will=will,
        username=body.text() if flags & 0x80 else None,
        password=body.text() if flags & 0x40 else None,
    )


def _publish(flags: int, body: _Body) -> Publish:
    topic, qos = body.text(), _qos(flags >> 1 & 3)
    if not topic or "+" in topic or "#" in topic:
        raise MalformedError(f"{topic!r} is not a topic to publish on")
    number = body.number() if qos else 0
    return Publish(
        topic=topic,
        payload=body.rest(),
        qos=qos,
        is_retained=bool(flags & 0x01),
        is_repeated=bool(flags & 0x08),
        number=number,
    )


def _subscribe(body: _Body) -> Subscribe:
    number = body.number()
    filters = []
    while body.has_more():
        filters.append((_filter(body.text()), body.byte()))
    return Subscribe(number=number, filters=tuple(filters))


def _unsubscribe(body: _Body) -> Unsubscribe:
    number = body.number()
    filters = []
    while body.has_more():
        filters.append(_filter(body.text()))
    return Unsubscribe(number=number, filters=tuple(filters))


def _filter(text: str) -> str:
    levels = text.split("/")
    if not text or "#" in levels[:-1] or any(len(level) > 1 and {"+", "#"} & set(level) for level in levels):
        raise MalformedError(f"{text!r} is not a topic filter")
    return text


def _qos(qos: int) -> int:
    if qos > 1:
        raise MalformedError(f"QoS {qos} is not spoken here")
    return qos


def matches(wanted: str, topic: str) -> bool:
    """Tell whether a topic matches a filter (4.7)."""
    if topic.startswith("$") and wanted[0] in "+#":
        return False
    levels, names = wanted.split("/"), topic.split("/")
    for index, level in enumerate(levels):
        if level == "#":
            return True
        if index >= len(names) or level not in ("+", names[index]):
            return False
    return len(levels) == len(names)


def publish(message: Publish) -> bytes:
    """Return a message as a packet."""
    flags = message.is_repeated << 3 | message.qos << 1 | message.is_retained
    topic = message.topic.encode()
    number = struct.pack("!H", message.number) if message.qos else b""
    return _packet(Kind.PUBLISH, struct.pack("!H", len(topic)) + topic + number + message.payload, flags)


def connack(refusal: Refusal | None, *, has_session: bool) -> bytes:
    """Return the answer to a hello."""
    return _packet(Kind.CONNACK, bytes([has_session and refusal is None, refusal or 0]))


def puback(number: int) -> bytes:
    """Return the answer to a message of QoS 1."""
    return _packet(Kind.PUBACK, struct.pack("!H", number))


def suback(number: int, granted: list[int]) -> bytes:
    """Return the answer to a subscription: the QoS granted for each filter."""
    return _packet(Kind.SUBACK, struct.pack("!H", number) + bytes(granted))


def unsuback(number: int) -> bytes:
    """Return the answer to the end of a subscription."""
    return _packet(Kind.UNSUBACK, struct.pack("!H", number))


def pingresp() -> bytes:
    """Return the answer to a ping."""
    return _packet(Kind.PINGRESP, b"")


def _packet(kind: Kind, body: bytes, flags: int = 0) -> bytes:
    length = len(body)
    head = bytearray([kind << 4 | flags])
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + body
