"""A connection to a broker that comes back: what is heard on it, and what is still to be said."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from aiomqtt import Client, Message, MqttError, Will

from smartcharge.mqtt.outbox import Outbox, Word
from smartcharge.mqtt.quiet import QuietClient
from smartcharge.mqtt.settings import MqttSettings

_log = logging.getLogger(__name__)

SHORTEST_WAIT_S = 1.0
"""Before the first new attempt to reach the broker; doubled each time."""
LONGEST_WAIT_S = 30.0
AT_ONCE = 10
"""Messages that are on their way to the broker at the same time."""
GOODBYE_S = 2.0
"""How long the last word may take when we leave on purpose."""

Hear = Callable[[Message], Awaitable[None]]
Lost = Callable[[], Awaitable[None]]


class Connection:
    """One client: it listens to some topics, says what waits in an outbox, and tells whether it is there."""

    def __init__(
        self, settings: MqttSettings, client_id: str, topics: Sequence[str], availability: str | None, outbox: Outbox
    ) -> None:
        """Take where to go, what to listen to, and the topic that says ``online`` or ``offline``, if one does."""
        self._settings = settings
        self._tls = settings.tls_context()
        self._client_id = client_id
        self._topics = topics
        self._availability = availability
        self._outbox = outbox
        self.trouble: str | None = "not connected yet"
        """Why there is no connection to the broker; None while there is one."""
        # Seeded, so that a simulated day can be repeated; it only keeps many sites from returning at once.
        self._jitter = random.Random(client_id)  # noqa: S311 - no secret

    async def run(self, hear: Hear, lost: Lost) -> None:
        """Stay connected until cancelled: hand over what is heard, and tell each time when the broker is gone."""
        failures = 0
        client = self._client()
        while True:
            connection = asyncio.create_task(self._connect(client, hear), name="mqtt connected")
            try:
                await asyncio.wait({connection})
            finally:
                # Asked once, it might not end: `asyncio.wait_for` (up to Python 3.11, in aiomqtt) and a TaskGroup
                # whose child fails at that moment (up to 3.12) swallow a cancellation.
                while not connection.done():
                    connection.cancel()
                    await asyncio.wait({connection}, timeout=2.0 * GOODBYE_S)
            stood, reason = connection.result()
            self.trouble = f"no connection to the broker: {reason}"
            _log.warning("mqtt: no connection to %s:%s: %s", self._settings.host, self._settings.port, reason)
            if stood:
                failures = 0
                # A client that had a connection would send what it held back before anything newer.
                client = self._client()
            await lost()
            await asyncio.sleep(self._wait_s(failures))
            failures += 1

    async def _connect(self, client: Client, hear: Hear) -> tuple[bool, str]:
        """Serve one connection to its end; return whether it stood at all, and why it ended."""
        stood, reason = False, ""
        try:
            async with client:
                stood = True
                await self._serve(client, hear)
        except* MqttError as group:
            reason = str(_first(group))
        return stood, reason

    def _wait_s(self, failures: int) -> float:
        longest_s = min(LONGEST_WAIT_S, SHORTEST_WAIT_S * 2.0 ** min(failures, 10))
        return longest_s * self._jitter.uniform(0.5, 1.0)

    def _client(self) -> Client:
        kind = Client if self._settings.keepalive_s else QuietClient
        return kind(
            self._settings.host,
            self._settings.port,
            username=self._settings.username,
            password=self._settings.password,
            identifier=self._client_id,
            clean_session=not self._settings.persistent_session,
            keepalive=self._settings.keepalive_s,
            tls_context=self._tls,
            will=None if self._availability is None else Will(self._availability, "offline", qos=1, retain=True),
            # Held back by the kernel (Nagle), small messages take 40 ms more, and for ever in simulated time.
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )

    async def _serve(self, client: Client, hear: Hear) -> None:
        try:
            await client.subscribe([(topic, 1) for topic in self._topics])
            if self._availability is not None:
                await client.publish(self._availability, "online", qos=1, retain=True)
            self.trouble = None
            _log.info("mqtt: connected to %s:%s", self._settings.host, self._settings.port)
            self._outbox.restate()
            async with asyncio.TaskGroup() as group:
                group.create_task(_listen(client, hear), name="mqtt in")
                group.create_task(self._speak(client), name="mqtt out")
        except asyncio.CancelledError:
            if self._availability is not None:
                with suppress(MqttError):
                    await client.publish(self._availability, "offline", qos=1, retain=True, timeout=GOODBYE_S)
            raise

    async def _speak(self, client: Client) -> None:
        while True:
            words = await self._outbox.newest(AT_ONCE)
            async with asyncio.TaskGroup() as group:
                for word in words:
                    group.create_task(self._publish(client, word))

    async def _publish(self, client: Client, word: Word) -> None:
        await client.publish(word.topic, word.payload, qos=1, retain=word.is_retained)
        self._outbox.withdraw(word)


async def _listen(client: Client, hear: Hear) -> None:
    async for message in client.messages:
        await hear(message)


def _first(group: BaseExceptionGroup[MqttError]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
