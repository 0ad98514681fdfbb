"""How often somebody may fail to authenticate, by address and by identity.  Pure.

A pair of address and identity that succeeded before is judged by its own failures only: guessing at a
station's password, or from a station's network, must not lock the station out.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TypeAlias

FAILURES = 10
"""So many failures within WINDOW_S are too many."""
WINDOW_S = 60.0
_REMEMBERED = 4096
"""Keys that are kept; the oldest are forgotten first."""

_Key: TypeAlias = tuple[str, str]


class Attempts:
    """The failures of the last minute."""

    def __init__(self) -> None:
        self._failures: OrderedDict[_Key, deque[float]] = OrderedDict()
        self._proven: OrderedDict[_Key, None] = OrderedDict()

    def are_too_many(self, address: str, identity: str, now_s: float) -> bool:
        """Tell whether an attempt must be refused unheard."""
        pair = (address, identity)
        keys = [pair] if pair in self._proven else [(address, ""), ("", identity)]
        return any(self._count(key, now_s) >= FAILURES for key in keys)

    def failed(self, address: str, identity: str, now_s: float) -> None:
        """Note a failure."""
        for key in ((address, identity), (address, ""), ("", identity)):
            times = self._failures.setdefault(key, deque(maxlen=FAILURES))
            times.append(now_s)
            self._failures.move_to_end(key)
            if len(self._failures) > _REMEMBERED:
                self._failures.popitem(last=False)

    def succeeded(self, address: str, identity: str) -> None:
        """Note a success: this identity is at home at this address."""
        self._proven[address, identity] = None
        self._proven.move_to_end((address, identity))
        if len(self._proven) > _REMEMBERED:
            self._proven.popitem(last=False)

    def _count(self, key: _Key, now_s: float) -> int:
        return sum(now_s - at_s < WINDOW_S for at_s in self._failures.get(key, ()))
