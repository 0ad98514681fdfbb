"""The only reader of wall time.

No clock travels through the code: the event loop is the clock.  `now_s` is the loop's time plus the
epoch it was started at, so that a simulated loop that jumps takes the whole controller with it.
"""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from zoneinfo import ZoneInfo


def now_s() -> float:
    """Return the time [s since 1970, UTC]: wall time, or simulated time inside a loop that has an epoch."""
    loop = asyncio.get_running_loop()
    epoch_s = getattr(loop, "epoch_s", None)
    return time.time() if epoch_s is None else float(epoch_s) + loop.time()


def month_s(at_s: float, timezone: str) -> float:
    """Return when the month began that it is at a time [s since 1970] in a time zone (IANA name)."""
    local = datetime.fromtimestamp(at_s, ZoneInfo(timezone))
    return local.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
