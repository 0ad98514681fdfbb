"""Recorded charging sessions from files, as visits of cars to the EVSEs of a site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smartcharge.model import EvseId


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A car at an EVSE from plug to unplug: what it really took, and what its driver said."""

    evse: EvseId
    session_id: str
    arrive_s: float
    """Plugged in [s since 1970, UTC]."""
    depart_s: float
    energy_wh: float
    """Energy it took in reality [Wh], so what it wants."""
    stated_energy_wh: float | None = None
    """Energy its driver asked for [Wh]; None while nobody said."""
    stated_depart_s: float | None = None
    max_w: float | None = None
    """Highest power the car takes [W]; None: as much as the EVSE gives."""
    phases: int | None = None
    """Phases the car loads; None: all that the EVSE has."""
    power_series: tuple[tuple[float, float], ...] | None = None
    """Recorded power: (seconds since arrival, W), each holding until the next."""
