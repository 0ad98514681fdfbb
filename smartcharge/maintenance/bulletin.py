"""Work orders to whoever can say them on: each change, as names and plain values."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from smartcharge.maintenance.work_orders import WorkOrder, said

Say: TypeAlias = Callable[[int, Mapping[str, Any]], Awaitable[None]]
"""Say the work order of a number; raises OSError to be asked again later."""


class Bulletin:
    """A `foreman.Listener` in front of an adapter that knows nothing of work orders, such as the MQTT room."""

    def __init__(self, name: str, say: Say) -> None:
        self.name = name
        self._say = say

    async def hear(self, number: int, order: WorkOrder) -> None:
        """Have a work order said; raises OSError where it cannot be now."""
        await self._say(order.number, {"line": number, **said(order)})
