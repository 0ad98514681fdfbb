"""Days of cars for any site, from a seed; the same seed gives the same days.

Each day draws a number of arrivals (Poisson), for each an hour, then a stay given the hour, an energy
given the stay, a car, and a free EVSE; whoever finds none free drives on.  The tables of habits and
where they come from are in `smartcharge.sim.habits`; docs/generator.md shows how well they fit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import Enum
from math import exp, log
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from smartcharge.model import Evse, EvseId, Site, Wiring
from smartcharge.sim.habits import (
    AC_CHARGERS,
    DC_CHARGERS,
    DEPOT,
    HOME,
    HUB,
    LEVELS,
    PUBLIC,
    SPLIT_PHASE_CHARGERS,
    WORKPLACE,
    Charger,
    DayHabits,
    Habits,
    Row,
)
from smartcharge.sim.recordings import Visit

if TYPE_CHECKING:
    from collections.abc import Sequence

SHORTEST_H = 0.1
"""Nobody stays, or says they will stay, for less [h]."""
FILL = 0.95
"""Most of what its charger could give in its stay that a car takes [Wh/Wh]."""


class Kind(Enum):
    """What kind of site it is: whose habits its AC EVSEs see."""

    WORKPLACE = "workplace"
    PUBLIC = "public"
    DEPOT = "depot"
    HOME = "home"


HABITS = {Kind.WORKPLACE: WORKPLACE, Kind.PUBLIC: PUBLIC, Kind.DEPOT: DEPOT, Kind.HOME: HOME}


def generate(site: Site, *, start: date, days: int, seed: int, kind: Kind) -> tuple[Visit, ...]:
    """Return the visits that begin on `days` local days from `start` on, in order of arrival.

    DC EVSEs see the habits of a charging hub at any kind of site.
    """
    pools = (
        _Pool([evse for evse in site.evses if evse.wiring is not Wiring.DC], HABITS[kind]),
        _Pool([evse for evse in site.evses if evse.wiring is Wiring.DC], HUB),
    )
    zone = ZoneInfo(site.timezone)
    visits: list[Visit] = []
    for day in (start + timedelta(days=number) for number in range(days)):
        midnight = datetime.combine(day, time(), zone)
        for number, pool in enumerate(pools):
            visits += pool.day(midnight, np.random.default_rng((seed, day.toordinal(), number)))
    return tuple(sorted(visits, key=lambda visit: (visit.arrive_s, visit.evse)))


@dataclass(slots=True)
class _Pool:
    """EVSEs that the same drivers come to."""

    evses: Sequence[Evse]
    habits: Habits
    free_s: dict[EvseId, float] = field(default_factory=dict)

    def day(self, midnight: datetime, rng: np.random.Generator) -> list[Visit]:
        """Return the visits of one day; each takes an EVSE that is free when it arrives."""
        habits = self.habits.weekday if midnight.weekday() < 5 else self.habits.weekend
        count = rng.poisson(habits.sessions_per_evse * len(self.evses))
        visits = []
        for share in sorted(rng.uniform(size=count)):
            hour = _at(habits.arrival_h, share)
            arrive_s = (midnight + timedelta(hours=hour)).timestamp()
            stay_h = _stay_h(habits, share, rng.uniform())
            free = [evse for evse in self.evses if self.free_s.get(evse.id, arrive_s) <= arrive_s]
            if free:
                evse = free[rng.integers(len(free))]
                energies_kwh = habits.energy_kwh[int(np.digitize(stay_h, habits.stay_edges_h))]
                visit = self._visit(evse, arrive_s, stay_h, energies_kwh, rng)
                self.free_s[evse.id] = visit.depart_s
                visits.append(visit)
        return visits

    def _visit(self, evse: Evse, arrive_s: float, stay_h: float, energies_kwh: Row, rng: np.random.Generator) -> Visit:
        charger = _charger(evse, rng.uniform())
        phases = min(charger.phases, evse.phase_count)
        max_w = min(charger.max_w, evse.max_w * phases / evse.phase_count)
        energy_wh = min(1000.0 * _log_at(energies_kwh, rng.uniform()), FILL * max_w * stay_h)
        stated = self.habits.stated
        says, ratio, late_h = rng.uniform() < stated.share, rng.uniform(), rng.uniform()
        stated_stay_h = max(SHORTEST_H, stay_h + _at(stated.late_h, late_h))
        return Visit(
            evse=evse.id,
            session_id=f"{evse.id} {arrive_s:.0f}",
            arrive_s=arrive_s,
            depart_s=arrive_s + 3600.0 * stay_h,
            energy_wh=energy_wh,
            stated_energy_wh=energy_wh * _at(stated.energy_ratio, ratio) if says else None,
            stated_depart_s=arrive_s + 3600.0 * stated_stay_h if says else None,
            max_w=max_w,
            phases=phases,
        )


def _stay_h(habits: DayHabits, arrival_share: float, share: float) -> float:
    """Return a stay [h] of somebody who comes at this share of the day's arrivals."""
    row = habits.stay_h[min(int(arrival_share * len(habits.stay_h)), len(habits.stay_h) - 1)]
    return max(SHORTEST_H, _log_at(row, share))


def _charger(evse: Evse, share: float) -> Charger:
    """Return the charger of a car at an EVSE."""
    match evse.wiring:
        case Wiring.DC:
            chargers = DC_CHARGERS
        case Wiring.LINE_TO_LINE:
            chargers = SPLIT_PHASE_CHARGERS
        case _:
            chargers = AC_CHARGERS
    for charger in chargers:
        share -= charger.share
        if share < 0.0:
            return charger
    return chargers[-1]


def _at(row: Row, share: float) -> float:
    """Return the value at a share, on straight lines between the quantiles."""
    return float(np.interp(share, LEVELS[len(row)], row))


def _log_at(row: Row, share: float) -> float:
    """Return the value at a share, on straight lines between the quantiles' logarithms: tails are long."""
    return exp(float(np.interp(share, LEVELS[len(row)], [log(value) for value in row])))
