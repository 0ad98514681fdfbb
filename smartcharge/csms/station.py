"""One connected station: its messages answered in order, our commands sent one at a time.

Two tasks share a connection.  The *reader* answers what the station says; it never waits for the
station.  The *commander* sends what the controller wishes, and what every station is asked after it
came; it waits for one answer at a time.  A `Mailbox` between the controller and the commander keeps
only the newest wish for each EVSE and kind: one that was superseded before it was sent was never
sent, and no event tells of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, assert_never

from websockets.exceptions import ConnectionClosed

from smartcharge.clock import now_s
from smartcharge.csms.delivery import Delivery
from smartcharge.csms.dialect import CannotHandle
from smartcharge.csms.pace import Pace
from smartcharge.csms.proof import Proof
from smartcharge.csms.requests import ReadSettings, Request, SetProfile, Trigger, refusal
from smartcharge.csms.rpc import (
    CallReceived,
    ErrorCode,
    ErrorReceived,
    Garbled,
    Malformed,
    ResultReceived,
    SendReceived,
    Session,
    clip,
)
from smartcharge.csms.schemas import actions, check_call
from smartcharge.errors import Refused, StoreError, Unreachable
from smartcharge.events import (
    Accepted,
    Commanded,
    ProfileKind,
    Rejected,
    StationBooted,
    StationOffline,
    StationOnline,
    Unanswered,
)
from smartcharge.orders import Message

if TYPE_CHECKING:
    from typing import TypeAlias

    from websockets.asyncio.server import ServerConnection

    from smartcharge.csms.dialect import Call, Dialect, Memory
    from smartcharge.csms.schemas import Payload
    from smartcharge.csms.upstream import Upstream
    from smartcharge.model import Evse, EvseId
    from smartcharge.ports import Emit

    Reply: TypeAlias = ResultReceived | ErrorReceived | Garbled | None

logger = logging.getLogger(__name__)

SILENT_HEARTBEATS = 2.5
"""A station that says nothing for this many heartbeat intervals is gone."""
COMPLAIN_S = 1.0
"""A station that sends rubbish fills one line of the log in this time, not one for each message."""
PING_S = 3.0
"""How long a connection may take to prove that it lives when the same station connects anew."""


class Mailbox:
    """The commands that wait to be sent: the newest for each EVSE and kind, in the order they were wished."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[EvseId, ProfileKind], Commanded] = {}

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing waits."""
        return not self._waiting

    def has(self, evse: EvseId, kind: ProfileKind) -> bool:
        """Tell whether a command of a kind waits for an EVSE."""
        return (evse, kind) in self._waiting

    def put(self, command: Commanded) -> None:
        """Add a command at the end; an older one for the same EVSE and kind is forgotten."""
        self._waiting.pop((command.evse, command.kind), None)
        self._waiting[command.evse, command.kind] = command

    def take(self, wait_s: Callable[[Commanded], float] = lambda _: 0.0) -> Commanded | float:
        """Remove and return the command that was wished first of those that need not wait, else the time till then [s].

        Raises ValueError if nothing waits.
        """
        waits_s = {key: wait_s(command) for key, command in self._waiting.items()}
        first = next((key for key, s in waits_s.items() if s <= 0.0), None)
        return min(waits_s.values()) if first is None else self._waiting.pop(first)


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
        self._mailbox = Mailbox()
        self._to_ask: deque[Request] = deque(dialect.provisioning())
        self._defaults: dict[EvseId, float] = {}
        """Default profiles [A] that the station confirmed since it came or rebooted."""
        self._upstream = upstream
        self._relays: set[asyncio.Task[None]] = set()
        self._delivery = Delivery(memory, dialect, self._ask)
        self._proof = Proof(memory.station, self._delivery, self._ask, emit)
        self._told: dict[EvseId, tuple[float, float]] = {}
        """The limit [A] that each EVSE accepted last, and when."""
        self._work = asyncio.Event()
        self._spoke = asyncio.Event()
        self._calling = asyncio.Lock()
        self._reply: asyncio.Future[Reply] | None = None
        self._pace = Pace(now_s())
        self._complained_s = -COMPLAIN_S
        self._unsaid = 0
        self._is_online = False
        self._is_closed = False
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
        if self._is_closed:
            return False
        self._mailbox.put(command)
        self._work.set()
        return True

    async def ask(self, request: Request) -> Payload:
        """Send a request and return the station's answer.

        Raises:
            Unreachable: No answer in time, none that can be read, or the connection ended.
            Refused: The station answered no, or its version has no such message.
        """
        self._require_sound(self._dialect.call(request, now_s()))
        return await self._ask(request)

    async def _ask(self, request: Request) -> Payload:
        match await self._call(request):
            case ResultReceived(payload=payload):
                if (reason := refusal(payload)) is not None:
                    raise Refused(reason)
                return payload
            case ErrorReceived() as error:
                raise Refused(f"{error.code}: {error.description}")
            case Garbled(reason=reason):
                raise Unreachable(f"unreadable answer: {reason}")
            case None:
                raise Unreachable(f"{self.station.id} does not answer")

    def _require_sound(self, call: Call) -> None:
        """Raise Refused for what this station's version does not have, or not in this form."""
        version = self._dialect.version
        if call.action not in actions(version):
            raise Refused(f"{version.value} has no {call.action}")
        if (violation := check_call(version, call.action, call.payload)) is not None:
            raise Refused(f"{call.action}: {violation.message}")

    async def pass_on(self, action: str, payload: Payload) -> Reply:
        """Send a call of the operator's back-end word for word; None if no answer came."""
        return await self._call(Message(action=action, payload=payload))

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
            case ResultReceived() | ErrorReceived() | Garbled() as reply:
                if isinstance(reply, Garbled) and reply.reply is not None:
                    await self._send(reply.reply)
                if self._reply is not None and not self._reply.done():
                    self._reply.set_result(reply)
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
            self._defaults.clear()
        try:
            await self._go_online()
            answer = await self._dialect.translate(call, now_s())
            for event in answer.events:
                if isinstance(event, StationBooted):
                    self._memory.booted(event)
                await self._emit(event)
                await self._proof.judge(event)
                if self._upstream is not None:
                    await self._upstream.heard(event)
        except CannotHandle as error:
            self._complain(f"{call.action}: {error}")
            frame = self._session.refuse(call, error.code, str(error))
        except StoreError as error:
            logger.error("%s: %s is not acknowledged: %s", self.station.id, call.action, error)  # noqa: TRY400 - no traceback
            frame = self._session.refuse(call, ErrorCode.INTERNAL, "it could not be stored, send it again")
        else:
            self._to_ask.extend(answer.follow_up)
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
            self._to_ask = deque(self._dialect.provisioning())
        self._work.set()

    async def _go_online(self) -> None:
        """Tell that the station came, before anything that it says: its occupancy was unknown till then."""
        if not self._is_online:
            self._is_online = True
            await self._emit(StationOnline(at_s=now_s(), station=self.station.id))

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
        """Send what waits until the connection ends; then tell of every command that will not be sent."""
        await self._wait_for_first_word()
        while not self._is_closed:
            if self._to_ask and (isinstance(self._to_ask[0], ReadSettings) or self._mailbox.is_empty):
                await self._provide(self._to_ask.popleft())
            elif self._proof.is_due:
                await self._proof.act()
            elif self._mailbox.is_empty:
                await self._wait_for_work(None)
            elif isinstance(due := self._mailbox.take(self._wait_s), Commanded):
                await self._deliver(due)
            else:
                await self._wait_for_work(due)
        while not self._mailbox.is_empty:
            command = self._mailbox.take()
            assert isinstance(command, Commanded)
            await self._emit(Unanswered(at_s=now_s(), command_id=command.command_id, evse=command.evse))

    async def _wait_for_work(self, timeout_s: float | None) -> None:
        self._work.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._work.wait()

    async def _wait_for_first_word(self) -> None:
        """Let a station that boots say so first; one that reconnects without a word is asked (evcc #28540)."""
        try:
            async with asyncio.timeout(self._memory.timing.command_s):
                await self._spoke.wait()
        except TimeoutError:
            await self._go_online()
        if self._memory.make is None:
            self._to_ask.append(Trigger(message="BootNotification"))

    async def _provide(self, request: Request) -> None:
        """Ask a station what it can do, or set it up; a no is logged, and the station serves as it is."""
        if isinstance(request, SetProfile) and self._is_ours_already(request):
            return
        try:
            if isinstance(request, SetProfile):
                await self._install(request)
                return
            answer = await self._ask(request)
        except (Refused, Unreachable) as error:
            logger.warning("%s: no to %s: %s", self.station.id, type(request).__name__, clip(str(error), 200))
        else:
            if isinstance(request, ReadSettings):
                self._memory.learnt = self._dialect.learnt(answer, now_s())
                await self._emit(self._delivery.learnt(now_s()))

    async def _install(self, request: SetProfile) -> None:
        """Make the station follow a limit, and tell what was learnt of it on the way; raises as `ask`."""
        if await self._delivery.install(request):
            await self._emit(self._delivery.learnt(now_s()))
        if request.kind is ProfileKind.DEFAULT:
            self._defaults[request.evse.id] = request.limit_a

    def _is_ours_already(self, request: SetProfile) -> bool:
        """Tell whether the controller's own wish for the same default was sent, or is next."""
        return request.evse.id in self._defaults or self._mailbox.has(request.evse.id, request.kind)

    async def _deliver(self, command: Commanded) -> None:
        """Send a command and tell what became of it."""
        evse = next(evse for evse in self.station.evses if evse.id == command.evse)
        outcome: Accepted | Rejected | Unanswered = Accepted(
            at_s=now_s(), command_id=command.command_id, evse=command.evse
        )
        if (reason := self._obstacle(command)) is not None:
            outcome = _rejected(command, reason)
        elif not self._has_default(command):
            try:
                await self._install(_profile(evse, command))
                outcome = replace(outcome, at_s=now_s())
                self._told[command.evse] = (command.limit_a, now_s())
                self._proof.accepted(_profile(evse, command))
            except Refused as error:
                outcome = _rejected(command, str(error))
            except Unreachable:
                outcome = Unanswered(at_s=now_s(), command_id=command.command_id, evse=command.evse)
        await self._emit(outcome)

    def _wait_s(self, command: Commanded) -> float:
        """Return how long a command must wait for the station's flash [s]; lowering never waits."""
        limit_a, told_s = self._told.get(command.evse, (inf, -inf))
        is_raise = command.limit_a > limit_a
        return max(0.0, told_s + self.station.charging.interval_s - now_s()) if is_raise else 0.0

    def _obstacle(self, command: Commanded) -> str | None:
        """Return why a command is not even sent, or None if it can be."""
        if command.expires_s is not None and command.expires_s - now_s() < 1.0:
            return "expired before it could be sent"
        if command.kind is ProfileKind.DEFAULT:
            return None
        transaction_id = command.transaction_id
        if not self._dialect.has_transaction_id(transaction_id) or self._memory.is_over(transaction_id or ""):
            return "no transaction"
        return None

    def _has_default(self, command: Commanded) -> bool:
        """Tell whether the station confirmed this very default already: every profile wears its flash."""
        is_default = command.kind is ProfileKind.DEFAULT and command.expires_s is None
        return is_default and self._defaults.get(command.evse) == command.limit_a

    async def _call(self, request: Request) -> Reply:
        """Send a request when no other is outstanding; return its answer, or None if none came."""
        async with self._calling:
            if self._is_closed:
                return None
            call = self._dialect.call(request, now_s())
            self._reply = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(self._memory.timing.command_s):
                    await self._ws.send(self._session.call(call.action, call.payload))
                    return await self._reply
            except (ConnectionClosed, TimeoutError):
                return None
            finally:
                self._session.give_up()
                self._reply = None

    def _close(self) -> None:
        """End what waits for the station, which will not speak again."""
        self._is_closed = True
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(None)
        self._spoke.set()
        self._work.set()


def _profile(evse: Evse, command: Commanded) -> SetProfile:
    return SetProfile(
        evse=evse,
        kind=command.kind,
        limit_a=command.limit_a,
        expires_s=command.expires_s,
        transaction_id=command.transaction_id if command.kind is ProfileKind.TRANSACTION else None,
    )


def _rejected(command: Commanded, reason: str) -> Rejected:
    return Rejected(at_s=now_s(), command_id=command.command_id, evse=command.evse, reason=reason)
