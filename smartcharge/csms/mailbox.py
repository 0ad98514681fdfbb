"""The commands that wait for one station: the newest for each EVSE and kind.

One that was superseded before it was sent was never sent, and no event tells of it.
"""

from __future__ import annotations

from collections.abc import Callable

from smartcharge.events import Commanded, ProfileKind
from smartcharge.model import EvseId


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
