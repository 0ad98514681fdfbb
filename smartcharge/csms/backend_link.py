"""A station's connection to the operator's back-end, made by us in the station's name."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.typing import Subprotocol

from smartcharge.csms.caller import Reply
from smartcharge.csms.frames import (
    CallReceived,
    ErrorCode,
    ErrorReceived,
    Garbled,
    Malformed,
    Received,
    ResultReceived,
    SendReceived,
    clip,
)
from smartcharge.csms.rpc import Session
from smartcharge.csms.schemas import Payload, Version
from smartcharge.model import StationId

logger = logging.getLogger(__name__)

CONNECT_S: Final = 20.0
"""How long a connection may take to be made."""

Handled: TypeAlias = Callable[[CallReceived], Awaitable[Reply]]
"""Answers what the back-end calls; None if the station does not."""
Talk: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
"""What is to be said while the connection stands; its end ends nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Where the operator's back-end is, and how to log in there."""

    url: str
    """Without the station's id, e.g. ``wss://csms.example.com/ocpp``."""
    password: str | None = field(default=None, repr=False)


class BackendLink:
    """Speaks to the back-end as one station."""

    def __init__(self, station: StationId, backend: Backend, handled: Handled) -> None:
        self._station = station
        self._backend = backend
        self._handled = handled
        self._ws: ClientConnection | None = None
        self._session: Session | None = None
        self._reply: asyncio.Future[Reply] | None = None
        self._calling = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_up(self) -> bool:
        """Tell whether the back-end is there."""
        return self._ws is not None

    async def connect(self, version: Version, handles: frozenset[str], talk: Talk) -> bool:
        """Connect, let ``talk`` speak, and return when the connection ended: whether there was one.

        Args:
            version: of the station.
            handles: the actions that the back-end may call.
            talk: runs beside the reader, and is cancelled at the end.
        """
        headers = {} if self._backend.password is None else {"Authorization": self._basic()}
        was_connected = False
        try:
            async with connect(
                f"{self._backend.url.rstrip('/')}/{quote(self._station, safe='')}",
                subprotocols=[Subprotocol(version.value)],
                additional_headers=headers,
                compression=None,
                open_timeout=CONNECT_S,
                ping_interval=None,
                proxy=None,
            ) as ws:
                was_connected = True
                await self._listen(ws, Session(version, handles=handles), talk)
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI, ConnectionClosed) as error:
            logger.warning("%s: the back-end is away: %s", self._station, clip(str(error), 200))
        return was_connected

    async def call(self, action: str, payload: Payload, timeout_s: float) -> Reply:
        """Call the back-end when no other call is outstanding; None if it is away or does not answer."""
        async with self._calling:
            ws, session = self._ws, self._session
            if ws is None or session is None:
                return None
            self._reply = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(timeout_s):
                    await ws.send(session.call(action, payload))
                    return await self._reply
            except (ConnectionClosed, TimeoutError):
                return None
            finally:
                session.give_up()
                self._reply = None

    async def tell(self, action: str, payload: Payload) -> None:
        """Pass on a SEND (2.1); one that cannot be sent is lost, as the standard has it."""
        if self._ws is not None and self._session is not None:
            with suppress(ConnectionClosed):
                await self._ws.send(self._session.send(action, payload))

    async def close(self) -> None:
        """End the connection, if there is one."""
        if self._ws is not None:
            await self._ws.close()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside reading."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _basic(self) -> str:
        return "Basic " + base64.b64encode(f"{self._station}:{self._backend.password}".encode()).decode()

    async def _listen(self, ws: ClientConnection, session: Session, talk: Talk) -> None:
        self._ws, self._session = ws, session
        logger.info("%s: connected to the back-end", self._station)
        talking = asyncio.create_task(talk(), name=f"back-end {self._station}")
        try:
            async for frame in ws:
                await self._receive(ws, session.receive(frame))
        finally:
            self._ws = self._session = None
            self._settle(None)
            talking.cancel()
            with suppress(asyncio.CancelledError):
                await talking

    async def _receive(self, ws: ClientConnection, received: Received) -> None:
        match received:
            case CallReceived() as call:
                self.spawn(self._answer(call))
            case ResultReceived() | ErrorReceived() | Garbled() as reply:
                self._settle(reply)
            case SendReceived():
                pass  # none is a server's to send
            case Malformed(reason=reason, reply=reply):
                logger.warning("%s: the back-end sent %s", self._station, clip(reason, 200))
                if reply is not None:
                    await ws.send(reply)

    def _settle(self, reply: Reply) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(reply)

    async def _answer(self, call: CallReceived) -> None:
        ws, session = self._ws, self._session
        reply = await self._handled(call)
        if ws is None or session is None or session is not self._session:
            return
        match reply:
            case ResultReceived(payload=payload):
                frame = session.answer(call, payload)
            case ErrorReceived(code=code, description=description):
                frame = session.refuse(call, _code(code), description)
            case _:
                frame = session.refuse(call, ErrorCode.GENERIC, "the station does not answer")
        with suppress(ConnectionClosed):
            await ws.send(frame)


def _code(text: str) -> ErrorCode:
    return next((code for code in ErrorCode if code.value == text), ErrorCode.GENERIC)
