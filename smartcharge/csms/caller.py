"""Our calls to one station: one at a time, each answered, refused or given up in time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

from websockets.exceptions import ConnectionClosed

from smartcharge.clock import now_s
from smartcharge.csms.frames import ErrorReceived, Garbled, ResultReceived
from smartcharge.csms.requests import Request, refusal
from smartcharge.csms.rpc import Session
from smartcharge.csms.schemas import actions, check_call
from smartcharge.errors import Refused, Unreachable

if TYPE_CHECKING:
    from smartcharge.csms.dialect import Call, Dialect
    from smartcharge.csms.schemas import Payload

Reply: TypeAlias = ResultReceived | ErrorReceived | Garbled | None
"""What a call came to; None if no answer came."""


class Caller:
    """Calls one station over one connection.

    Args:
        dialect: puts requests into the station's version.
        session: of the connection.
        send: brings a frame to the station; may raise ConnectionClosed.
        patience_s: how long a station may take to answer [s].
    """

    def __init__(
        self, dialect: Dialect, session: Session, send: Callable[[str], Awaitable[None]], patience_s: float
    ) -> None:
        self._dialect = dialect
        self._session = session
        self._send = send
        self._patience_s = patience_s
        self._calling = asyncio.Lock()
        self._reply: asyncio.Future[Reply] | None = None
        self._is_closed = False

    async def ask(self, request: Request) -> Payload:
        """Send a request and return the station's answer.

        Raises:
            Unreachable: No answer in time, none that can be read, or the connection ended.
            Refused: The station answered no, or its version has no such message.
        """
        match await self.call(request):
            case ResultReceived(payload=payload):
                if (reason := refusal(payload)) is not None:
                    raise Refused(reason)
                return payload
            case ErrorReceived() as error:
                raise Refused(f"{error.code}: {error.description}")
            case Garbled(reason=reason):
                raise Unreachable(f"unreadable answer: {reason}")
            case None:
                raise Unreachable("it does not answer")

    def require_sound(self, request: Request) -> None:
        """Raise Refused for what this station's version does not have, or not in this form."""
        call, version = self._dialect.call(request, now_s()), self._dialect.version
        if call.action not in actions(version):
            raise Refused(f"{version.value} has no {call.action}")
        if (violation := check_call(version, call.action, call.payload)) is not None:
            raise Refused(f"{call.action}: {violation.message}")

    async def call(self, request: Request) -> Reply:
        """Send a request when no other is outstanding; return its answer, or None if none came."""
        async with self._calling:
            return None if self._is_closed else await self._sent(self._dialect.call(request, now_s()))

    async def _sent(self, call: Call) -> Reply:
        self._reply = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._patience_s):
                await self._send(self._session.call(call.action, call.payload))
                return await self._reply
        except (ConnectionClosed, TimeoutError):
            return None
        finally:
            self._session.give_up()
            self._reply = None

    def settle(self, reply: Reply) -> None:
        """Take the answer to the call that is outstanding."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(reply)

    def close(self) -> None:
        """Give up what waits for the station, which will not speak again."""
        self._is_closed = True
        self.settle(None)
