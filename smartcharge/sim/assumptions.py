"""What a simulation takes for granted beside the recording: what is known when, and what the hardware can do.

Published figures rest on assumptions like these; with the same ones a run can be set beside them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from math import inf

from smartcharge.events import NeedStated
from smartcharge.model import Evse, Site
from smartcharge.sim.cars import Battery, Car, recorded
from smartcharge.sim.recordings import Visit


class Needs(Enum):
    """What a driver tells when the car is plugged in."""

    RECORDED = "recorded"
    """His own words where the recording has them, else what really happened."""
    KNOWN = "known"
    """What really happened: the true departure and the true energy."""
    STATED = "stated"
    """His own words; nothing where the recording has none."""
    UNSTATED = "unstated"
    """Nothing: departure and energy must be predicted."""


class Pilots(Enum):
    """Which currents a station can offer."""

    SITE = "site"
    """What the site file says: minimum, maximum and steps."""
    CONTINUOUS = "continuous"
    """Every current from 0 to the maximum, and cars take the smallest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """One choice of each; the defaults are the most lifelike."""

    needs: Needs = Needs.RECORDED
    battery: Battery = Battery.TWO_STAGE
    pilots: Pilots = Pilots.SITE
    longest_stay_s: float = inf
    """Nobody stays longer [s]: who would, leaves earlier."""
    is_uninterrupted: bool = False
    """Whether a car that is paused once sleeps and takes no more until it is plugged in again."""

    def site(self, site: Site) -> Site:
        """Return the site with the currents that its stations can offer."""
        if self.pilots is Pilots.SITE:
            return site
        stations = (replace(s, evses=tuple(replace(e, min_a=0.0, steps_a=()) for e in s.evses)) for s in site.stations)
        return replace(site, stations=tuple(stations))

    def visits(self, visits: tuple[Visit, ...]) -> tuple[Visit, ...]:
        """Return the visits with stays that are not too long."""
        return tuple(replace(v, depart_s=min(v.depart_s, v.arrive_s + self.longest_stay_s)) for v in visits)

    def car(self, visit: Visit, evse: Evse) -> Car:
        """Return the car of a visit to an EVSE."""
        car = recorded(visit, evse, battery=self.battery)
        min_a = 0.0 if self.pilots is Pilots.CONTINUOUS else car.min_a
        return replace(car, min_a=min_a, sleeps=self.is_uninterrupted)

    def need(self, visit: Visit, at_s: float) -> NeedStated | None:
        """Return what a driver says at a time [s since 1970]; None if nothing."""
        energy_wh, depart_s = visit.stated_energy_wh, visit.stated_depart_s
        match self.needs:
            case Needs.UNSTATED:
                return None
            case Needs.KNOWN:
                energy_wh, depart_s = visit.energy_wh, visit.depart_s
            case Needs.RECORDED:
                energy_wh = visit.energy_wh if energy_wh is None else energy_wh
                depart_s = visit.depart_s if depart_s is None else depart_s
            case Needs.STATED:
                if energy_wh is None and depart_s is None:
                    return None
        return NeedStated(at_s=at_s, evse=visit.evse, energy_wh=energy_wh, depart_at_s=depart_s)
