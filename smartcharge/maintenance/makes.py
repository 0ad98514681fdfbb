"""How charging goes at each make of station: measured, so that a bad firmware shows before its release notes do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from smartcharge.events import FaultRaised, StationBooted, TransactionStarted
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.sessions import Charge, Success, charges, success
from smartcharge.maintenance.spans import Span
from smartcharge.model import StationId
from smartcharge.ports import Kept

EV_ERROR = "EVCommunicationError"


class Make(NamedTuple):
    """A model of station and the version that it runs; empty where it did not say."""

    vendor: str
    model: str
    firmware: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """How charging went at the stations of a make while they ran a version."""

    stations: int
    success: Success
    ev_errors: int
    """How often a station said that it could not talk with the car."""


def makes(place: Place, facts: Sequence[Kept]) -> Mapping[Make, Record]:
    """Return the record of each make, in the order in which they were first heard of."""
    station_of = {port.evse: port.station for port in place.ports}
    by_start = {charge.seq: charge for charge in charges(facts)}
    runs: dict[StationId, Make] = {}
    seen: dict[Make, set[StationId]] = {}
    charged: dict[Make, list[Charge]] = {}
    errors: dict[Make, int] = {}
    for seq, event in facts:
        match event:
            case StationBooted(station=station):
                runs[station] = Make(event.vendor or "", event.model or "", event.firmware or "")
                seen.setdefault(runs[station], set()).add(station)
            case TransactionStarted(evse=evse) if seq in by_start and station_of.get(evse) in runs:
                charged.setdefault(runs[station_of[evse]], []).append(by_start[seq])
            case FaultRaised(evse=evse, code=code) if code == EV_ERROR and station_of.get(evse) in runs:
                make = runs[station_of[evse]]
                errors[make] = errors.get(make, 0) + 1
            case _:
                pass
    return {
        make: Record(
            stations=len(stations),
            success=success(charged.get(make, ()), Span(-inf, inf)),
            ev_errors=errors.get(make, 0),
        )
        for make, stations in seen.items()
    }
