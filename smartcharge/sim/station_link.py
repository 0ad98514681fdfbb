"""A simulated station's connection: an OCPP-J client that lasts, and can be made to fail.

What must not be lost waits in order until it is answered, over any number of connections; the rest
is dropped when it cannot be sent.  While nothing goes wrong this needs two tasks, and timers only for
what is outstanding.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from smartcharge.csms.frames import CallReceived, ErrorReceived, Garbled, Malformed, ResultReceived, SendReceived
from smartcharge.csms.rpc import Session
from smartcharge.csms.schemas import Payload, Version
from smartcharge.sim.station_timers import Timers

_OVERDUE, _RETRY = "overdue", "retry"
_WHOLE = 1.0 - 1e-9
"""A share of lost answers adds up to a lost answer here, whatever its rounding."""


@dataclass(slots=True, kw_only=True, eq=False)
class Message:
    """A CALL to be made."""

    action: str
    payload: Payload
    is_kept: bool = False
    """Billed: sent again, as it is, until it is answered."""
    is_boot: bool = False
    """Sent even before the station is registered."""
    on_result: Callable[[Payload], None] | None = None
    on_failure: Callable[[], None] | None = None
    """Called when one that is not kept was refused, not answered or not sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a station waits for what."""

    call_s: float = 30.0
    """For the answer to a CALL."""
    retry_s: float = 60.0
    """Before it sends a billed message again (1.6 TransactionMessageRetryInterval)."""
    reconnect_s: float = 5.0
    """Before it connects again; doubled with every failure."""
    reconnect_max_s: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where and as whom a station connects."""

    url: str
    """Without the station's id, e.g. ``ws://127.0.0.1:9000/ocpp``."""
    station: str
    version: Version
    password: str | None = None


class Link:
    """The connection of one station, from power-up on.

    Args:
        endpoint: where to connect.
        patience: how long to wait for what.
        handles: the actions of the server that are answered.
        on_open: called whenever the station can speak: connected, or no longer silent.
        on_close: called when a connection ended.
        on_call: answers a call of the server.
    """

    def __init__(  # noqa: PLR0913 - what a connection is made of
        self,
        endpoint: Endpoint,
        patience: Patience,
        handles: frozenset[str],
        *,
        on_open: Callable[[], None],
        on_close: Callable[[], None],
        on_call: Callable[[CallReceived], Payload],
    ) -> None:
        self.is_registered = False
        """Whether the server accepted the BootNotification; until then nothing else is sent."""
        self.loses_answers = 0.0
        """Share of the server's calls, 0 to 1, that are acted on but not answered."""
        self._endpoint = endpoint
        self._patience = patience
        self._handles = handles
        self._on_open = on_open
        self._on_close = on_close
        self._on_call = on_call
        self._is_silent = False
        self._is_held = True
        self._may_connect = asyncio.Event()
        self._socket: ClientConnection | None = None
        self._session: Session | None = None
        self._frames: asyncio.Queue[str] = asyncio.Queue()
        self._outbox: deque[Message] = deque()
        self._sent: Message | None = None
        self._is_answering = False
        self._losses = 0.0
        self._timers = Timers()

    @property
    def is_online(self) -> bool:
        """Return whether the station can report: connected, registered and not silent."""
        return self._session is not None and self.is_registered and not self._is_silent

    @property
    def is_silent(self) -> bool:
        """Return whether nothing is sent and nothing heard although the connection stands."""
        return self._is_silent

    @is_silent.setter
    def is_silent(self, value: bool) -> None:
        was_silent, self._is_silent = self._is_silent, value
        self._permit()
        if was_silent and not value and self._session is not None:
            self._on_open()
            self._pump()

    @property
    def waiting(self) -> int:
        """Return how many billed messages have not been answered yet."""
        return sum(message.is_kept for message in self._outbox) + (self._sent is not None and self._sent.is_kept)

    def resume(self) -> None:
        """Connect, and stay connected."""
        self._is_held = False
        self._permit()

    def cut(self) -> None:
        """Drop the connection without a word and stay away until `resume`."""
        self._is_held = True
        self._permit()
        self.drop()

    def drop(self) -> None:
        """Drop the connection without a word; it is made again after a while."""
        if self._socket is not None:
            self._socket.transport.abort()
            self._forget_connection()

    def post(self, message: Message) -> None:
        """Send a message when its turn comes; what is neither kept nor possible now is dropped."""
        is_possible = self.is_online or (message.is_boot and self._session is not None)
        if not (message.is_kept or is_possible):
            if message.on_failure is not None:
                message.on_failure()
            return
        self._outbox.append(message)
        self._pump()

    async def run(self) -> None:
        """Connect whenever allowed, until cancelled."""
        pause_s = self._patience.reconnect_s
        try:
            while True:
                await self._may_connect.wait()
                if await self._connect():
                    pause_s = self._patience.reconnect_s
                if self._may_connect.is_set():
                    await asyncio.sleep(pause_s)
                    pause_s = min(2.0 * pause_s, self._patience.reconnect_max_s)
        finally:
            self._forget_connection()

    async def _connect(self) -> bool:
        """Connect and talk until the connection ends; return whether there was one."""
        was_connected = False
        headers = {} if self._endpoint.password is None else {"Authorization": _basic(self._endpoint)}
        with contextlib.suppress(OSError, InvalidHandshake, ConnectionClosed):
            async with connect(
                f"{self._endpoint.url}/{quote(self._endpoint.station, safe='')}",
                subprotocols=[Subprotocol(self._endpoint.version.value)],
                additional_headers=headers,
                compression=None,
                ping_interval=None,  # simulated time jumps
                proxy=None,
            ) as socket:
                was_connected = True
                await self._talk(socket)
        return was_connected

    async def _talk(self, socket: ClientConnection) -> None:
        self._socket, self._frames = socket, asyncio.Queue()
        self._session = Session(self._endpoint.version, handles=self._handles)
        writer = asyncio.create_task(self._write(socket, self._frames), name=f"writer {self._endpoint.station}")
        try:
            if not self._is_silent:
                self._on_open()
                self._pump()
            async for frame in socket:
                if not self._is_silent and self._session is not None:
                    self._hear(self._session, frame)
        finally:
            self._forget_connection()
            self._on_close()
            writer.cancel()
            await asyncio.wait([writer])

    @staticmethod
    async def _write(socket: ClientConnection, frames: asyncio.Queue[str]) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.send(await frames.get())

    def _hear(self, session: Session, frame: str | bytes) -> None:
        match session.receive(frame):
            case CallReceived() as call:
                self._answer(session, call)
            case ResultReceived(payload=payload):
                self._conclude(payload)
            case ErrorReceived() | Garbled():
                self._conclude(None)
            case SendReceived():
                pass  # a server sends none
            case Malformed(reply=reply):
                if reply is not None:
                    self._frames.put_nowait(reply)
            case unexpected:
                assert_never(unexpected)

    def _answer(self, session: Session, call: CallReceived) -> None:
        """Answer first, then send what follows from it."""
        self._is_answering = True
        try:
            payload = self._on_call(call)
        finally:
            self._is_answering = False
        self._losses += self.loses_answers
        if self._losses >= _WHOLE:
            self._losses -= 1.0
        else:
            self._frames.put_nowait(session.answer(call, payload))
        self._pump()

    def _pump(self) -> None:
        """Send the next message unless one is outstanding."""
        session = self._session
        if session is None or session.outstanding is not None or self._is_silent or self._is_answering:
            return
        message = next((m for m in self._outbox if self._may_send(m)), None)
        if message is None:
            return
        self._outbox.remove(message)
        self._sent = message
        self._frames.put_nowait(session.call(message.action, message.payload))
        self._timers.arm(_OVERDUE, self._patience.call_s, self._give_up)

    def _may_send(self, message: Message) -> bool:
        if not self.is_registered:
            return message.is_boot
        return not (message.is_kept and self._timers.is_armed(_RETRY))

    def _give_up(self) -> None:
        if self._session is not None:
            self._session.give_up()
        self._conclude(None)

    def _conclude(self, payload: Payload | None) -> None:
        """Act on the answer to the message that was sent last; None is no answer, or a refusal."""
        message, self._sent = self._sent, None
        self._timers.disarm(_OVERDUE)
        assert message is not None
        if payload is not None:
            if message.on_result is not None:
                message.on_result(payload)
        elif message.is_kept:
            self._outbox.appendleft(message)
            self._timers.arm(_RETRY, self._patience.retry_s, self._pump)
        elif message.on_failure is not None:
            message.on_failure()
        self._pump()

    def _forget_connection(self) -> None:
        """Keep what must not be lost for the next connection, and fail the rest."""
        self._socket = self._session = None
        self._timers.disarm_all()
        unsent = [*([] if self._sent is None else [self._sent]), *self._outbox]
        self._sent = None
        self._outbox = deque(message for message in unsent if message.is_kept)
        for message in unsent:
            if not message.is_kept and message.on_failure is not None:
                message.on_failure()

    def _permit(self) -> None:
        if self._is_held or self._is_silent:
            self._may_connect.clear()
        else:
            self._may_connect.set()


def _basic(endpoint: Endpoint) -> str:
    """Return the credentials of OCPP security profile 1."""
    return "Basic " + base64.b64encode(f"{endpoint.station}:{endpoint.password}".encode()).decode()
