"""A broker that a scenario can stop and start again on the same port."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from smartcharge.mqtt.broker import embedded_broker


@dataclass(slots=True, kw_only=True)
class Broker:
    """The embedded broker with a switch."""

    port: int = 0
    """The port; 0 until it was started once."""
    _running: AsyncExitStack | None = None

    async def start(self) -> None:
        """Serve on the port of the last time, or on a free one."""
        self._running = AsyncExitStack()
        self.port = await self._running.enter_async_context(embedded_broker(port=self.port))

    async def stop(self) -> None:
        """Stop serving, if it does."""
        if self._running is not None:
            await self._running.aclose()
            self._running = None
