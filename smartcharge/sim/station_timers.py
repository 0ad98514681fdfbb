"""What a simulated station will do later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Timers:
    """What a station will do later, by name and EVSE number (0: the station)."""

    def __init__(self) -> None:
        self._handles: dict[tuple[str, int], asyncio.TimerHandle] = {}

    def arm(self, name: str, delay_s: float, act: Callable[[], None], number: int = 0) -> None:
        """Do something after a while, instead of what was to be done under this name."""
        self.disarm(name, number)
        loop = asyncio.get_running_loop()
        self._handles[name, number] = loop.call_later(delay_s, self._ring, (name, number), act)

    def disarm(self, name: str, number: int = 0) -> None:
        """Do not do it after all."""
        handle = self._handles.pop((name, number), None)
        if handle is not None:
            handle.cancel()

    def disarm_all(self) -> None:
        """Do nothing of all that."""
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()

    def is_armed(self, name: str) -> bool:
        """Return whether the station will do it."""
        return (name, 0) in self._handles

    def _ring(self, key: tuple[str, int], act: Callable[[], None]) -> None:
        del self._handles[key]
        act()
