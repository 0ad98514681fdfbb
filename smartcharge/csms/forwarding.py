"""What must reach the operator's back-end: stored first, then sent in order, each until it is answered.

Transaction numbers of 1.6 are kept apart: the station knows ours, the back-end its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from smartcharge.csms.backend_link import BackendLink
from smartcharge.csms.frames import ErrorReceived, Garbled, ResultReceived, clip
from smartcharge.csms.schemas import Payload
from smartcharge.model import StationId
from smartcharge.ports import Outbox

logger = logging.getLogger(__name__)

ANSWER_S: Final = 5.0
"""How long a station waits for the back-end's answer; then it is given ours."""
ATTEMPTS: Final = 3
"""So often a message is sent that the back-end refuses (1.6 TransactionMessageAttempts)."""
RETRY_S: Final = 10.0
BILLED: Final = frozenset({"StartTransaction", "StopTransaction", "TransactionEvent"})
"""Messages that must arrive; MeterValues of a transaction too."""

OnAnswer: TypeAlias = Callable[[str, Payload, Payload], Awaitable[None]]
"""Takes note of action, payload and answer of a message that has arrived."""


def must_arrive(action: str, payload: Payload) -> bool:
    """Tell whether a message is one that is billed."""
    return action in BILLED or (action == "MeterValues" and "transactionId" in payload)


class Forwarding:
    """The outbox of one station."""

    def __init__(self, station: StationId, outbox: Outbox, link: BackendLink, on_answer: OnAnswer) -> None:
        self._station = station
        self._on_answer = on_answer
        self._outbox = outbox
        self._link = link
        self._answers: dict[int, asyncio.Future[Payload]] = {}
        self._work = asyncio.Event()
        self._is_ending = False

    async def deliver(self, action: str, payload: Payload, ours: Payload) -> Payload | None:
        """Put a message into the outbox, and return its answer if it comes in time; raises StoreError."""
        body = json.dumps({"payload": payload, "ours": ours.get("transactionId")})
        number = await self._outbox.put(self._station, action, body)
        if not self._link.is_up:
            return None
        answer: asyncio.Future[Payload] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        self._work.set()
        try:
            async with asyncio.timeout(ANSWER_S):
                return await answer
        except TimeoutError:
            return None
        finally:
            self._answers.pop(number, None)

    def attach(self) -> None:
        """Note that the station is here: more will come."""
        self._is_ending = False

    def detach(self) -> None:
        """Note that the station is gone: `run` ends once nothing waits any more."""
        self._is_ending = True
        self._work.set()

    async def run(self) -> None:
        """Send what waits, in order, for as long as the connection is of use; then close it."""
        while True:
            self._work.clear()
            for number, action, body in await self._outbox.waiting(self._station):
                if not await self._send(number, action, json.loads(body)):
                    await self._link.close()
                    return
            if self._is_ending:
                await self._link.close()
                return
            await self._work.wait()

    async def _send(self, number: int, action: str, body: dict[str, Any]) -> bool:
        """Send one message until it is answered; return False if the connection is of no use any more."""
        payload = await self.theirs(body["payload"])
        for _ in range(ATTEMPTS):
            match await self._link.call(action, payload, 2.0 * ANSWER_S):
                case ResultReceived(payload=answer):
                    await self._answered(number, action, body, answer)
                    return True
                case ErrorReceived() | Garbled() as refused:
                    logger.warning("%s: the back-end refuses %s: %s", self._station, action, clip(refused, 200))
                    await asyncio.sleep(RETRY_S)
                case None:
                    return False
        logger.error("%s: %s was refused %d times and is given up", self._station, action, ATTEMPTS)
        await self._outbox.done(number)
        return True

    async def _answered(self, number: int, action: str, body: dict[str, Any], answer: Payload) -> None:
        if action == "StartTransaction" and body["ours"] is not None:
            await self._outbox.pair(self._station, int(body["ours"]), int(answer["transactionId"]))
        await self._on_answer(action, body["payload"], answer)
        await self._outbox.done(number)
        waiting = self._answers.pop(number, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    async def theirs(self, payload: Payload) -> Payload:
        """Return a payload with the back-end's number of its transaction (1.6)."""
        ours = payload.get("transactionId")
        if not isinstance(ours, int):
            return payload
        theirs = await self._outbox.theirs(self._station, ours)
        return payload if theirs is None else {**payload, "transactionId": theirs}

    async def ours(self, payload: Payload) -> Payload:
        """Return a payload with our number of its transaction (1.6)."""
        theirs = payload.get("transactionId")
        if not isinstance(theirs, int):
            return payload
        ours = await self._outbox.ours(self._station, theirs)
        return payload if ours is None else {**payload, "transactionId": ours}
