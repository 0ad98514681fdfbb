"""What section 14a EnWG guarantees to controllable loads behind one energy manager (BNetzA BK6-22-300, 4.5.2)."""

from __future__ import annotations

from typing import Final

DEVICE_W: Final = 4200.0
"""Floor of a single device, and the power from which on one counts as a controllable load [W]."""
_SIMULTANEITY: Final = (0.80, 0.75, 0.70, 0.65, 0.60, 0.55, 0.50, 0.45)
"""Factor GZF for 2, 3, ... 9 and more devices."""


def pmin_w(devices: int) -> float:
    """Return the least power that a grid operator may order for so many devices together [W]."""
    if devices <= 0:
        return 0.0
    factor = _SIMULTANEITY[min(max(devices - 2, 0), len(_SIMULTANEITY) - 1)]
    return DEVICE_W + (devices - 1) * factor * DEVICE_W
