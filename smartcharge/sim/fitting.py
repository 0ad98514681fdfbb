"""Fits the habits of drivers on recorded visits: conditional quantile tables, nothing else.

`smartcharge.sim.habits` holds what this made of the shared recordings; a test makes it again.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from smartcharge.sim.habits import LEVELS, DayHabits, Row, Stated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smartcharge.sim.recordings import Visit
    from smartcharge.sim.wires import Floats

FINE = LEVELS[15]


def features(visits: Sequence[Visit], timezone: str) -> Floats:
    """Return local arrival [h], stay [h] and energy [kWh] of every visit, shape (V, 3)."""
    zone = ZoneInfo(timezone)
    rows = []
    for visit in visits:
        local = datetime.fromtimestamp(visit.arrive_s, zone)
        hour = local.hour + local.minute / 60.0 + local.second / 3600.0
        rows.append((hour, (visit.depart_s - visit.arrive_s) / 3600.0, visit.energy_wh / 1000.0))
    return np.array(rows, float).reshape(-1, 3)


def fit_day(visits: Sequence[Visit], *, timezone: str, evse_days: float, parts: int) -> DayHabits:
    """Return the habits of one kind of day.

    Args:
        visits: all visits of such days.
        timezone: where they took place.
        evse_days: EVSEs times days on which they could have come.
        parts: into how many equal parts arrivals and stays are cut to show how one depends on the other.
    """
    hours, stays_h, energies_kwh = features(visits, timezone).T
    arrival_edges = np.quantile(hours, np.linspace(0.0, 1.0, parts + 1)[1:-1])
    stay_edges = np.quantile(stays_h, np.linspace(0.0, 1.0, parts + 1)[1:-1])
    arrival_part, stay_part = np.digitize(hours, arrival_edges), np.digitize(stays_h, stay_edges)
    return DayHabits(
        sessions_per_evse=round(len(visits) / evse_days, 3),
        arrival_h=_quantiles(hours),
        stay_h=tuple(_quantiles(stays_h[arrival_part == part]) for part in range(parts)),
        stay_edges_h=tuple(round(float(edge), 2) for edge in stay_edges),
        energy_kwh=tuple(_quantiles(energies_kwh[stay_part == part]) for part in range(parts)),
    )


def fit_stated(visits: Sequence[Visit]) -> Stated:
    """Return how far from the truth drivers are who say something."""
    said = [v for v in visits if v.stated_energy_wh is not None and v.stated_depart_s is not None]
    return Stated(
        share=round(len(said) / len(visits), 3),
        energy_ratio=_quantiles(np.array([(v.stated_energy_wh or 0.0) / v.energy_wh for v in said])),
        late_h=_quantiles(np.array([((v.stated_depart_s or 0.0) - v.depart_s) / 3600.0 for v in said])),
    )


def _quantiles(values: Floats) -> Row:
    return tuple(round(float(value), 2) for value in np.quantile(values, FINE))


def ks_distance(one: Floats, other: Floats) -> float:
    """Return the Kolmogorov-Smirnov distance of two samples, 0 to 1."""
    one, other = np.sort(one), np.sort(other)
    at = np.concatenate([one, other])
    below_one = np.searchsorted(one, at, "right") / len(one)
    below_other = np.searchsorted(other, at, "right") / len(other)
    return float(np.abs(below_one - below_other).max())
