"""How fast a station may talk: a bucket of messages that fills with time.  Pure.

What comes faster is not lost: it is read later, and the connection's own flow control holds the sender.
"""

from __future__ import annotations

BURST = 200
"""Messages at once: what a station queued while it was offline."""
RATE_PER_S = 20.0


class Pace:
    """The bucket of one connection."""

    def __init__(self, now_s: float) -> None:
        self._left = float(BURST)
        self._at_s = now_s

    def wait_s(self, now_s: float) -> float:
        """Take one message out and return how long to wait before the next is read [s]."""
        self._left = min(BURST, self._left + (now_s - self._at_s) * RATE_PER_S) - 1.0
        self._at_s = now_s
        return max(0.0, -self._left / RATE_PER_S)
