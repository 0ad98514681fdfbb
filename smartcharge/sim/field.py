"""Faults as often as they come in the field: so many of each kind in a year of one EVSE.

The sum is our own inference from public figures: of 657 public DC EVSEs 22.7 % did not work when visited (Rempel et al.
2022), which repairs of about a month explain at two to three faults a year; a depot is looked after daily, so a fault
here is repaired within hours.  How the kinds share it is inference too.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import time
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np

from smartcharge.model import Site, Wiring
from smartcharge.sim.scenario import Fault, FaultKind

DAY_S: Final = 86_400.0


class Rate(NamedTuple):
    """How often a kind of fault comes and how long it stays."""

    per_year: float
    """Of one EVSE."""
    hours: float
    """Median time until it is repaired or goes away [h]."""
    is_dc: bool | None = None
    """Whether only rectifiers have it, or only AC; None is any."""


RATES: Final[Mapping[FaultKind, Rate]] = MappingProxyType({
    FaultKind.STATION_SILENT: Rate(0.30, 0.5),
    FaultKind.STATION_DEAD: Rate(0.20, 2.0),
    FaultKind.READER: Rate(0.25, 24.0),
    FaultKind.EV_COMMUNICATION: Rate(0.40, 0.2),
    FaultKind.SESSIONS_FAIL: Rate(0.10, 48.0),
    FaultKind.CONNECTOR_LOCK: Rate(0.15, 4.0),
    FaultKind.LATCH_BROKEN: Rate(0.03, 24.0),
    FaultKind.CABLE_CUT: Rate(0.03, 24.0),
    FaultKind.EMERGENCY_STOP: Rate(0.05, 1.0),
    FaultKind.GROUND_FAULT: Rate(0.10, 2.0),
    FaultKind.OVERCURRENT_TRIP: Rate(0.05, 4.0),
    FaultKind.FILTER_CLOGGED: Rate(0.15, 24.0),
    FaultKind.ENCLOSURE_HOT: Rate(0.05, 4.0),
    FaultKind.CONNECTOR_HOT: Rate(0.10, 24.0),
    FaultKind.CABLE_OVERHEATED: Rate(0.03, 2.0),
    FaultKind.CONTACTOR_WELDED: Rate(0.02, 12.0),
    FaultKind.CONTACTOR_STUCK: Rate(0.02, 12.0),
    FaultKind.WATER: Rate(0.02, 12.0),
    FaultKind.OVER_VOLTAGE: Rate(0.05, 0.5, is_dc=False),
    FaultKind.UNDER_VOLTAGE: Rate(0.10, 0.5, is_dc=False),
    FaultKind.PHASE_LOST: Rate(0.05, 6.0, is_dc=False),
    FaultKind.METER_FAILED: Rate(0.03, 24.0),
    FaultKind.METER_SILENT: Rate(0.05, 6.0),
    FaultKind.METER_FROZEN: Rate(0.03, 12.0),
    FaultKind.STATION_IGNORES_PROFILE: Rate(0.05, 2.0),
    FaultKind.DRAWS_UNDER: Rate(0.10, 72.0),
    FaultKind.FAN: Rate(0.20, 24.0, is_dc=True),
    FaultKind.MODULES_LOST: Rate(0.30, 24.0, is_dc=True),
    FaultKind.DC_SUPPLY: Rate(0.10, 6.0, is_dc=True),
})  # fmt: skip
SPREAD: Final = 0.5
"""Standard deviation of the logarithm of a fault's duration."""


def field_faults(site: Site, days: int, seed: int, *, rate_factor: float = 1.0) -> tuple[Fault, ...]:
    """Return the faults of so many days at a site, in order of time; never two at one station at a time.

    They come ``rate_factor`` times as often as in the field.
    """
    random = np.random.default_rng([seed, 0xFA017])
    planted: list[tuple[float, Fault]] = []
    for station in site.stations:
        is_dc = station.evses[0].wiring is Wiring.DC
        found: list[tuple[float, Fault]] = []
        for kind, rate in RATES.items():
            if rate.is_dc is None or rate.is_dc == is_dc:
                times = random.uniform(0.0, days * DAY_S, random.poisson(rate_factor * rate.per_year * days / 365.0))
                found += [(float(t), _fault(kind, rate, station.id, float(t), random)) for t in times]
        found.sort(key=lambda pair: pair[0])
        busy_until_s = -DAY_S
        for at_s, fault in found:
            if at_s > busy_until_s and at_s + fault.duration_s < days * DAY_S - 3600.0:
                planted.append((at_s, fault))
                busy_until_s = at_s + fault.duration_s + 3600.0
    return tuple(fault for _, fault in sorted(planted, key=lambda pair: pair[0]))


def _fault(kind: FaultKind, rate: Rate, station: str, at_s: float, random: np.random.Generator) -> Fault:
    lasts_s = 3600.0 * rate.hours * float(np.exp(SPREAD * random.standard_normal()))
    day, within_s = divmod(int(at_s), int(DAY_S))
    at = time(within_s // 3600, within_s % 3600 // 60, within_s % 60)
    return Fault(kind=kind, target=station, day=day + 1, at=at, duration_s=lasts_s)
