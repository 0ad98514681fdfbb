"""What one connected station is told: what it is asked after it came, and what the controller wishes.

A `Mailbox` between the controller and this keeps only the newest wish for each EVSE and kind.  One answer is
waited for at a time.  Watchers see every event of the station and may have something to do about it, such as
`Proof`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Protocol

from smartcharge.clock import now_s
from smartcharge.csms.delivery import Delivery
from smartcharge.csms.frames import clip
from smartcharge.csms.mailbox import Mailbox
from smartcharge.csms.polling import Polling
from smartcharge.csms.proof import Proof
from smartcharge.csms.requests import ReadSettings, Request, SetProfile
from smartcharge.csms.schemas import Version
from smartcharge.csms.waking import Waking
from smartcharge.errors import Refused, Unreachable
from smartcharge.events import Accepted, Commanded, Event, ProfileKind, ProfilesCleared, Rejected, Unanswered
from smartcharge.orders import GetLocalListVersion, SetPoint

if TYPE_CHECKING:
    from collections.abc import Iterable

    from smartcharge.csms.caller import Caller
    from smartcharge.csms.dialect import Dialect, Memory
    from smartcharge.csms.schemas import Payload
    from smartcharge.model import Evse, EvseId
    from smartcharge.ports import Emit

NO_LIST = -1
"""Version of the local list of a station that keeps none (1.6 5.10)."""

logger = logging.getLogger(__name__)


class Watcher(Protocol):
    """Somebody who watches a station and may have to do something about it."""

    @property
    def due_s(self) -> float | None:
        """Return when `act` has something to do [s since 1970]; None if never."""

    def accepted(self, setpoint: SetProfile) -> None:
        """Note a profile that the station accepted."""

    async def judge(self, event: Event) -> None:
        """Take note of what the station said."""

    async def act(self) -> None:
        """Do what is due."""


class Commander:
    """Tells one station what to do, for as long as its connection lasts."""

    def __init__(self, memory: Memory, dialect: Dialect, caller: Caller, emit: Emit) -> None:
        self._memory = memory
        self._dialect = dialect
        self._caller = caller
        self._emit = emit
        self._mailbox = Mailbox()
        self._to_ask: deque[Request] = deque(dialect.provisioning())
        self._defaults: dict[EvseId, float] = {}
        """Default profiles [A] that the station confirmed since it came or rebooted."""
        self._told: dict[EvseId, tuple[float, float]] = {}
        """The limit [A] that each EVSE accepted last, and when."""
        self._last: dict[EvseId, SetProfile] = {}
        """The setpoint that each EVSE accepted last."""
        self._delivery = Delivery(memory, dialect, caller.ask, self._forget)
        self._proof = Proof(memory.station, self._delivery, caller.ask, emit)
        self._watchers: tuple[Watcher, ...] = (
            self._proof,
            Waking(memory.station, self._delivery, emit),
            Polling(memory.station, memory.timing, caller.ask),
        )
        self._work = asyncio.Event()
        self._is_closed = False

    def wish(self, command: Commanded) -> bool:
        """Take a command to be sent; False if the connection has ended and nothing can be sent."""
        if self._is_closed:
            return False
        self._mailbox.put(command)
        self._work.set()
        return True

    def ask_later(self, requests: Iterable[Request]) -> None:
        """Ask the station something when there is time."""
        self._to_ask.extend(requests)
        self._work.set()

    def rebooted(self) -> None:
        """Take it that the station may have forgotten its default profiles."""
        self._defaults.clear()
        self._delivery.rebooted()

    def provide(self) -> None:
        """Ask the station all over what it can do, and set it up."""
        self._to_ask = deque(self._dialect.provisioning())
        self._work.set()

    async def judge(self, event: Event) -> None:
        """Take note of what the station said."""
        for watcher in self._watchers:
            await watcher.judge(event)
        self._work.set()

    async def aim(self, order: SetPoint) -> None:
        """Give a car a set-point inside the limit that it has.

        Raises:
            Refused: The version or the station has none, or no limit runs; then the limit stands as it was.
            Unreachable: The station does not answer.
        """
        last = self._last.get(order.evse)
        if self._dialect.version is not Version.V21:
            raise Refused(f"{self._dialect.version.value} has no SetPoint")
        if last is None or (last.expires_s or 0.0) <= now_s() or self._memory.is_over(last.transaction_id or ""):
            raise Refused(f"{order.evse} has no transaction with a limit")
        self._memory.set_points[order.evse] = order
        try:
            await self._delivery.set_again(last)
        except Refused:
            self._memory.set_points.pop(order.evse, None)
            await self._delivery.set_again(last)
            raise

    def close(self) -> None:
        """End: the station will not be told anything any more."""
        self._is_closed = True
        self._work.set()

    async def run(self) -> None:
        """Send what waits until the connection ends; then tell of every command that will not be sent."""
        while not self._is_closed:
            due_s, watcher = self._due()
            if self._to_ask and (isinstance(self._to_ask[0], ReadSettings) or self._mailbox.is_empty):
                await self._provide(self._to_ask.popleft())
            elif due_s <= now_s():
                await watcher.act()
            elif isinstance(waiting := self._next(), Commanded):
                await self._deliver(waiting)
            else:
                await self._wait_for_work(min(waiting, due_s - now_s()))
        while not self._mailbox.is_empty:
            command = self._mailbox.take()
            assert isinstance(command, Commanded)
            await self._emit(Unanswered(at_s=now_s(), command_id=command.command_id, evse=command.evse))

    def _due(self) -> tuple[float, Watcher]:
        """Return when somebody has something to do first [s since 1970], and who."""
        dues = [(inf if watcher.due_s is None else watcher.due_s, watcher) for watcher in self._watchers]
        return min(dues, key=lambda due: due[0])

    def _next(self) -> Commanded | float:
        """Return the command that may be sent now, or how long none may [s]."""
        return inf if self._mailbox.is_empty else self._mailbox.take(self._wait_s)

    async def _wait_for_work(self, timeout_s: float) -> None:
        self._work.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(None if timeout_s == inf else timeout_s):
                await self._work.wait()

    async def _provide(self, request: Request) -> None:
        """Ask a station what it can do, or set it up; a no is logged, and the station serves as it is."""
        if isinstance(request, SetProfile) and self._is_ours_already(request):
            return
        try:
            if isinstance(request, SetProfile):
                await self._install(request)
                return
            answer = await self._caller.ask(request)
        except (Refused, Unreachable) as error:
            name = self._memory.station.id
            logger.warning("%s: no to %s: %s", name, type(request).__name__, clip(str(error), 200))
        else:
            await self._told_back(request, answer)

    async def _told_back(self, request: Request, answer: Payload) -> None:
        """Go on with what a station answered."""
        match request:
            case ReadSettings():
                self._memory.learnt = self._dialect.learnt(answer, now_s())
                await self._emit(self._delivery.learnt(now_s()))
            case GetLocalListVersion():
                has = answer.get("listVersion", answer.get("versionNumber"))
                if has not in (self._memory.authority.version, NO_LIST):
                    self.ask_later(self._memory.local_list(max_token=self._dialect.max_token))
            case _:
                pass

    async def _install(self, request: SetProfile) -> None:
        """Make the station follow a limit, and tell what was learnt of it on the way; raises as `Caller.ask`."""
        if await self._delivery.install(request):
            await self._emit(self._delivery.learnt(now_s()))
        if request.kind is ProfileKind.DEFAULT:
            self._defaults[request.evse.id] = request.limit_a

    async def _forget(self, evse: EvseId) -> None:
        """Take it that an EVSE has none of the profiles that it confirmed, before it is told to clear them."""
        for known in (self._defaults, self._told, self._last):
            known.pop(evse, None)
        await self._emit(ProfilesCleared(at_s=now_s(), evse=evse))

    def _is_ours_already(self, request: SetProfile) -> bool:
        """Tell whether the controller's own wish for the same default was sent, or is next."""
        return request.evse.id in self._defaults or self._mailbox.has(request.evse.id, request.kind)

    async def _deliver(self, command: Commanded) -> None:
        """Send a command and tell what became of it."""
        evse = next(evse for evse in self._memory.station.evses if evse.id == command.evse)
        outcome: Accepted | Rejected | Unanswered = Accepted(
            at_s=now_s(), command_id=command.command_id, evse=command.evse
        )
        if (reason := self._obstacle(command)) is not None:
            outcome = _rejected(command, reason)
        elif not self._has_default(command):
            try:
                await self._install(_profile(evse, command))
                outcome = replace(outcome, at_s=now_s())
                self._note(evse, command)
            except Refused as error:
                outcome = _rejected(command, str(error))
            except Unreachable:
                outcome = Unanswered(at_s=now_s(), command_id=command.command_id, evse=command.evse)
        await self._emit(outcome)

    def _note(self, evse: Evse, command: Commanded) -> None:
        self._told[command.evse] = (command.limit_a, now_s())
        if command.kind is ProfileKind.TRANSACTION:
            self._memory.limits_a[command.evse] = command.limit_a
            self._last[command.evse] = _profile(evse, command)
        for watcher in self._watchers:
            watcher.accepted(_profile(evse, command))

    def _wait_s(self, command: Commanded) -> float:
        """Return how long a command must wait for the station's flash, or its spikes [s]; lowering never waits."""
        limit_a, told_s = self._told.get(command.evse, (inf, -inf))
        rest_s = max(self._memory.station.charging.interval_s, self._proof.rest_s(command.evse))
        return max(0.0, told_s + rest_s - now_s()) if command.limit_a > limit_a else 0.0

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
