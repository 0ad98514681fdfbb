"""Commands to stations that speak MQTT: say it, wait for the answer, tell the outcome."""

from __future__ import annotations

import asyncio

from smartcharge.clock import now_s
from smartcharge.events import Accepted, Commanded, ProfileKind, Rejected, Unanswered
from smartcharge.model import EvseId
from smartcharge.mqtt.outbox import Outbox
from smartcharge.mqtt.payloads import Command, CommandAnswer
from smartcharge.mqtt.topics import Topics
from smartcharge.ports import Emit
from smartcharge.words.base import utc


class Commands:
    """Commands on their way; a newer one to the same EVSE does not wait for the answer to an older one."""

    def __init__(self, topics: Topics, outbox: Outbox, command_s: float) -> None:
        self._topics = topics
        self._outbox = outbox
        self._command_s = command_s
        self._wishes: dict[EvseId, Commanded] = {}
        self._has_wish = asyncio.Event()
        self._answers: dict[tuple[EvseId, int], asyncio.Future[CommandAnswer]] = {}

    def wish(self, command: Commanded) -> None:
        """Replace what an EVSE should be told; returns at once."""
        self._wishes[command.evse] = command
        self._has_wish.set()

    def answered(self, evse: EvseId, answer: CommandAnswer) -> bool:
        """Take a station's answer; returns False if nobody waits for it (late, twice, or never asked)."""
        waiting = self._answers.get((evse, answer.command_id))
        if waiting is None or waiting.done():
            return False
        waiting.set_result(answer)
        return True

    async def run(self, emit: Emit) -> None:
        """Send what is wished and emit the outcome of every command until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._has_wish.wait()
                self._has_wish.clear()
                wishes, self._wishes = self._wishes, {}
                for command in wishes.values():
                    group.create_task(self._carry(command, emit), name=f"mqtt command {command.command_id}")

    async def _carry(self, command: Commanded, emit: Emit) -> None:
        answer = await self._answer(command)
        number, evse = command.command_id, command.evse
        if answer is None:
            await emit(Unanswered(at_s=now_s(), command_id=number, evse=evse))
        elif answer.accepted:
            await emit(Accepted(at_s=now_s(), command_id=number, evse=evse))
        else:
            reason = answer.reason or "no reason given"
            await emit(Rejected(at_s=now_s(), command_id=number, evse=evse, reason=reason))

    async def _answer(self, command: Commanded) -> CommandAnswer | None:
        key = (command.evse, command.command_id)
        self._answers[key] = asyncio.get_running_loop().create_future()
        word = self._outbox.say(self._topics.written("command", evse=command.evse), _text(command))
        try:
            async with asyncio.timeout(command.at_s + self._command_s - now_s()):
                return await self._answers[key]
        except TimeoutError:
            return None
        finally:
            del self._answers[key]
            # What could not be sent in time must not be sent late.
            self._outbox.withdraw(word)


def _text(command: Commanded) -> str:
    return Command(
        command_id=command.command_id,
        kind="default" if command.kind is ProfileKind.DEFAULT else "transaction",
        limit_a=command.limit_a,
        issued_at=utc(command.at_s),
        expires_at=None if command.expires_s is None else utc(command.expires_s),
        transaction_id=command.transaction_id,
    ).model_dump_json()
