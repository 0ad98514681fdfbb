"""The only reader of wall time.

No clock travels through the code: the event loop is the clock.  `now_s` is the loop's time plus the
epoch it was started at, so that a simulated loop that jumps takes the whole controller with it.
"""

from __future__ import annotations

import asyncio
import time


def now_s() -> float:
    """Return the time [s since 1970, UTC]: wall time, or simulated time inside a loop that has an epoch."""
    loop = asyncio.get_running_loop()
    epoch_s = getattr(loop, "epoch_s", None)
    return time.time() if epoch_s is None else float(epoch_s) + loop.time()
