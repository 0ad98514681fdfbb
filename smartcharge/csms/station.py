"""One connected station: what it says is answered in order; what it is told is the `Commander`'s business.

Two tasks share a connection.  The *reader* answers what the station says; it never waits for the
station.  The *commander* sends what the controller wishes, and what every station is asked after it
came; it waits for one answer at a time.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, assert_never

from websockets.exceptions import ConnectionClosed

from smartcharge.clock import now_s
from smartcharge.csms.caller import Caller
from smartcharge.csms.commander import Commander
from smartcharge.csms.dialect import CannotHandle
from smartcharge.csms.frames import (
    CallReceived,
    ErrorCode,
    ErrorReceived,
    Garbled,
    Malformed,
    ResultReceived,
    SendReceived,
    clip,
)
from smartcharge.csms.pace import Pace
from smartcharge.csms.requests import Trigger
from smartcharge.csms.rpc import Session
from smartcharge.errors import StoreError
from smartcharge.events import StationBooted, StationOffline, StationOnline
from smartcharge.orders import Message, SetPoint

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

    from smartcharge.csms.caller import Reply
    from smartcharge.csms.dialect import Dialect, Memory
    from smartcharge.csms.requests import Request
    from smartcharge.csms.schemas import Payload
    from smartcharge.csms.upstream import Upstream
    from smartcharge.events import Commanded
    from smartcharge.ports import Emit

logger = logging.getLogger(__name__)

SILENT_HEARTBEATS = 2.5
"""A station that says nothing for this many heartbeat intervals is gone."""
COMPLAIN_S = 1.0
"""A station that sends rubbish fills one line of the log in this time, not one for each message."""
PING_S = 3.0
"""How long a connection may take to prove that it lives when the same station connects anew."""


class Link:
    """One connection of one station, from its handshake to its end."""

    def __init__(  # noqa: PLR0913 - what a connection is made of
        self,
        ws: ServerConnection,
        memory: Memory,
        dialect: Dialect,
        emit: Emit,
        *,
        max_frame: int,
        upstream: Upstream | None = None,
    ) -> None:
        self.station = memory.station
        self.ended = asyncio.Event()
        self._ws = ws
        self._memory = memory
        self._dialect = dialect
        self._emit = emit
        self._session = Session(dialect.version, handles=dialect.handles, max_frame=max_frame)
        self._caller = Caller(dialect, self._session, ws.send, memory.timing.command_s)
        self._commander = Commander(memory, dialect, self._caller, emit)
        self._upstream = upstream
        self._relays: set[asyncio.Task[None]] = set()
        self._spoke = asyncio.Event()
        self._pace = Pace(now_s())
        self._complained_s = -COMPLAIN_S
        self._unsaid = 0
        self._is_online = False
        self._is_gone = False

    async def run(self) -> None:
        """Serve the station until its connection ends or it has been silent too long."""
        reason = "internal error"
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._command(), name=f"commander {self.station.id}")
                reason = await self._listen()
                self._close()
        finally:
            self._close()
            await self._go_offline(reason)

    def wish(self, command: Commanded) -> bool:
        """Take a command to be sent; False if the connection has ended and nothing can be sent."""
        return self._commander.wish(command)

    async def ask(self, request: Request) -> Payload:
        """Send a request and return the station's answer.

        Raises:
            Unreachable: No answer in time, none that can be read, or the connection ended.
            Refused: The station answered no, or its version has no such message.
        """
        if isinstance(request, SetPoint):
            await self._commander.aim(request)
            return {"status": "Accepted"}
        self._caller.require_sound(request)
        return await self._caller.ask(request)

    async def pass_on(self, action: str, payload: Payload) -> Reply:
        """Send a call of the operator's back-end word for word; None if no answer came."""
        return await self._caller.call(Message(action=action, payload=payload))

    async def is_alive(self) -> bool:
        """Tell whether the other end still answers a ping."""
        try:
            async with asyncio.timeout(PING_S):
                pong = await self._ws.ping()
                await asyncio.shield(pong)
        except (ConnectionClosed, TimeoutError):
            return False
        return True

    async def drop(self) -> None:
        """Cut a dead connection and return when everything about its end has been told."""
        self._is_gone = True
        self._ws.transport.abort()
        await self.ended.wait()

    async def _listen(self) -> str:
        """Handle what the station sends until nothing comes any more; return why."""
        silence_s = SILENT_HEARTBEATS * self._memory.timing.heartbeat_s
        while True:
            try:
                async with asyncio.timeout(silence_s):
                    frame = await self._ws.recv()
            except TimeoutError:
                return f"silent for {silence_s:g} s"
            except ConnectionClosed:
                return f"connection closed ({self._ws.close_code})"
            await self._receive(frame)
            if (wait_s := self._pace.wait_s(now_s())) > 0.0:
                await self._hold_back(wait_s)
            if self._is_gone:
                return f"connection closed ({self._ws.close_code})"

    async def _receive(self, frame: str | bytes) -> None:
        match self._session.receive(frame):
            case CallReceived() as call:
                await self._answer(call)
            case SendReceived() as told:
                for event in (await self._dialect.translate(told, now_s())).events:
                    await self._emit(event)
                if self._upstream is not None:
                    await self._upstream.tell(told.action, told.payload)
            case ResultReceived() | ErrorReceived() | Garbled() as reply:
                if isinstance(reply, Garbled) and reply.reply is not None:
                    await self._send(reply.reply)
                self._caller.settle(reply)
            case Malformed(reason=reason, reply=answer):
                self._complain(reason)
                if answer is not None:
                    await self._send(answer)
            case unexpected:
                assert_never(unexpected)
        self._spoke.set()

    async def _hold_back(self, wait_s: float) -> None:
        """Let a station that talks too fast wait, unless it is gone: then it will say again what was not answered."""
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._ws.wait_closed()
                self._is_gone = True

    def _complain(self, reason: str) -> None:
        """Log what is wrong with a message, unless much is wrong at once."""
        if now_s() - self._complained_s < COMPLAIN_S:
            self._unsaid += 1
            return
        before = f" (and {self._unsaid} more before it)" if self._unsaid else ""
        logger.warning("%s: %s%s", self.station.id, clip(reason, 200), before)
        self._complained_s, self._unsaid = now_s(), 0

    async def _answer(self, call: CallReceived) -> None:
        """Handle a call; what is billed is stored before it is acknowledged (I8)."""
        is_boot = call.action == "BootNotification"
        if call.dropped:
            self._complain(f"{call.action}: {call.dropped} sampled values break the schema and were dropped")
        if is_boot:
            self._commander.rebooted()
        try:
            await self._go_online()
            answer = await self._dialect.translate(call, now_s())
            for event in answer.events:
                if isinstance(event, StationBooted):
                    self._memory.booted(event)
                await self._emit(event)
                await self._commander.judge(event)
                if self._upstream is not None:
                    await self._upstream.heard(event)
        except CannotHandle as error:
            self._complain(f"{call.action}: {error}")
            frame = self._session.refuse(call, error.code, str(error))
        except StoreError as error:
            logger.error("%s: %s is not acknowledged: %s", self.station.id, call.action, error)  # noqa: TRY400 - no traceback
            frame = self._session.refuse(call, ErrorCode.INTERNAL, "it could not be stored, send it again")
        else:
            self._commander.ask_later(answer.follow_up)
            if self._upstream is not None:
                self._relay(self._upstream, call, answer.reply)
                self._after(is_boot=is_boot)
                return
            frame = self._session.answer(call, answer.reply)
        await self._send(frame)
        self._after(is_boot=is_boot)

    def _relay(self, upstream: Upstream, call: CallReceived, ours: Payload) -> None:
        """Answer with what the back-end says; meanwhile the station is heard on, for its answers to our commands."""
        task = asyncio.create_task(self._relayed(upstream, call, ours), name=f"relay {self.station.id}")
        self._relays.add(task)
        task.add_done_callback(self._relays.discard)

    async def _relayed(self, upstream: Upstream, call: CallReceived, ours: Payload) -> None:
        try:
            frame = self._session.answer(call, await upstream.relay(call.action, call.payload, ours))
        except StoreError as error:
            logger.error("%s: %s is not acknowledged: %s", self.station.id, call.action, error)  # noqa: TRY400 - no traceback
            frame = self._session.refuse(call, ErrorCode.INTERNAL, "it could not be stored, send it again")
        await self._send(frame)

    def _after(self, *, is_boot: bool) -> None:
        """Go on with what a call makes due."""
        if is_boot:
            self._commander.provide()

    async def _go_online(self) -> None:
        """Tell that the station came, before anything that it says: its occupancy was unknown till then."""
        if not self._is_online:
            self._is_online = True
            standard = self._dialect.version.value
            await self._emit(StationOnline(at_s=now_s(), station=self.station.id, standard=standard))

    async def _go_offline(self, reason: str) -> None:
        logger.info("%s: gone: %s", self.station.id, reason)
        try:
            if self._is_online:
                await self._emit(StationOffline(at_s=now_s(), station=self.station.id, reason=reason))
        finally:
            self.ended.set()

    async def _send(self, frame: str) -> None:
        try:
            await self._ws.send(frame)
        except ConnectionClosed:
            logger.info("%s: connection ended before an answer could be sent", self.station.id)

    async def _command(self) -> None:
        """Let a station that boots say so first; one that reconnects without a word is asked (evcc #28540)."""
        try:
            async with asyncio.timeout(self._memory.timing.command_s):
                await self._spoke.wait()
        except TimeoutError:
            await self._go_online()
        if self._memory.make is None:
            self._commander.ask_later([Trigger(message="BootNotification")])
        await self._commander.run()

    def _close(self) -> None:
        """End what waits for the station, which will not speak again."""
        self._caller.close()
        self._commander.close()
        self._spoke.set()
