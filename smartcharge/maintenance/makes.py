"""How charging goes at each make of station: measured, so that a bad firmware shows before its release notes do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from smartcharge.events import (
    Event,
    FaultRaised,
    SelfTested,
    StationBooted,
    StationOffline,
    StationOnline,
    TransactionStarted,
)
from smartcharge.faults import Effect
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.sessions import Charge, Success, charges, success
from smartcharge.maintenance.spans import Span
from smartcharge.maintenance.triage import asset_of
from smartcharge.model import EvseId, StationId
from smartcharge.ports import Kept

EV_ERROR = "EVCommunicationError"


class Make(NamedTuple):
    """A model of station and the version that it runs; empty where it did not say."""

    vendor: str
    model: str
    firmware: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a make has and speaks, and how charging went at its stations while they ran a version."""

    stations: int
    connectors: tuple[str, ...]
    """OCPP 2.0.1 ConnectorEnumType."""
    standards: tuple[str, ...]
    """The versions of OCPP that they spoke."""
    success: Success
    ev_errors: int
    """How often a station said that it could not talk with the car."""
    faults: int
    """How often one said Faulted."""
    offline: int
    """How often one lost its connection."""
    failed_tests: int
    """Self-tests that failed."""


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What was seen of a make so far."""

    stations: set[StationId] = field(default_factory=set)
    standards: set[str] = field(default_factory=set)
    charged: list[Charge] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def makes(place: Place, facts: Sequence[Kept]) -> Mapping[Make, Record]:
    """Return the record of each make, in the order in which they were first heard of."""
    station_of = {port.evse: port.station for port in place.ports}
    by_start = {charge.seq: charge for charge in charges(facts)}
    runs: dict[StationId, Make] = {}
    speaks: dict[StationId, str] = {}
    seen: dict[Make, _Seen] = {}
    for seq, event in facts:
        if isinstance(event, StationOnline) and event.standard is not None:
            speaks[event.station] = event.standard
        if isinstance(event, StationBooted):
            runs[event.station] = Make(event.vendor or "", event.model or "", event.firmware or "")
            seen.setdefault(runs[event.station], _Seen()).stations.add(event.station)
        station = _station(event, station_of)
        if station is None or station not in runs:
            continue
        known = seen[runs[station]]
        if station in speaks:
            known.standards.add(speaks[station])
        match event:
            case TransactionStarted() if seq in by_start:
                known.charged.append(by_start[seq])
            case FaultRaised(code=code, effect=effect):
                known.counts["ev errors"] += code == EV_ERROR
                known.counts["faults"] += effect is Effect.FAULTED
            case StationOffline():
                known.counts["offline"] += 1
            case SelfTested(passed=False):
                known.counts["failed tests"] += 1
            case _:
                pass
    return {make: _record(one, place) for make, one in seen.items()}


def _record(seen: _Seen, place: Place) -> Record:
    mine = [port for port in place.ports if port.station in seen.stations]
    return Record(
        stations=len(seen.stations),
        connectors=tuple(sorted({kind for port in mine for kind in port.connectors})),
        standards=tuple(sorted(seen.standards)),
        success=success(seen.charged, Span(-inf, inf)),
        ev_errors=seen.counts["ev errors"],
        faults=seen.counts["faults"],
        offline=seen.counts["offline"],
        failed_tests=seen.counts["failed tests"],
    )


def _station(event: Event, station_of: Mapping[EvseId, StationId]) -> StationId | None:
    """Return the station that a fact is about, if it is about one."""
    if isinstance(event, SelfTested):
        name = asset_of(event.subject)
        return station_of.get(EvseId(name), StationId(name))
    station: StationId | None = getattr(event, "station", None)
    return station or station_of.get(getattr(event, "evse", EvseId("")))
