"""What a fault's code means at a site: the common vocabularies, and the mapping files of its vendors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from smartcharge.control.health.vocabulary import VendorCodes, cause_of
from smartcharge.events import FaultRaised, StationBooted
from smartcharge.model import EvseId, Site, StationId
from smartcharge.ports import Kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """How codes are read."""

    codes: VendorCodes = field(default_factory=dict)
    station_of: Mapping[EvseId, StationId] = field(default_factory=dict)
    """Where an EVSE is, so that its station's vendor is known."""

    @classmethod
    def of(cls, site: Site) -> Meaning:
        """Return how a site reads codes."""
        return cls(codes=site.vendor_codes, station_of={evse.id: evse.station for evse in site.evses})

    def cause(self, fault: FaultRaised, vendors: Mapping[StationId, str | None]) -> str:
        """Return the cause of a fault, by the vendor that each station named at boot."""
        station = self.station_of.get(fault.evse)
        return cause_of(fault, self.codes, None if station is None else vendors.get(station)).value


COMMON: Final = Meaning()
"""By the common vocabularies alone."""


def vendors(facts: Iterable[Kept]) -> dict[StationId, str | None]:
    """Return the vendor that each station named at its last boot."""
    return {event.station: event.vendor for _, event in facts if isinstance(event, StationBooted)}
