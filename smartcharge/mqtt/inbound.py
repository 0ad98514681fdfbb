"""From a topic and the bytes on it to facts, or to the reason why they are not believed.  No I/O."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from pydantic import ValidationError

from smartcharge.control.health.detect import OURS
from smartcharge.events import (
    CircuitMetered,
    Event,
    FaultOrder,
    Metered,
    NeedStated,
    OperatorOrder,
    PricesSet,
    ShareWanted,
    StationBooted,
)
from smartcharge.faults import Cause, OrderKind
from smartcharge.model import Circuit, CircuitId, Control, EvseId, Site, Station, StationId
from smartcharge.mqtt.payloads import (
    PAYLOADS,
    Boot,
    CarNeed,
    CircuitReading,
    EvseReading,
    EvseStatus,
    FaultDecision,
    Order,
    Prices,
)
from smartcharge.mqtt.stations import Stations
from smartcharge.mqtt.topics import Address
from smartcharge.words.base import Payload, PayloadError
from smartcharge.words.limits import GridFailsafe, GridHeartbeat, GridLimit, LpcLimit, RelayContact
from smartcharge.words.operators import Operators
from smartcharge.words.shares import ShareNeed

MOST_BYTES = 256 * 1024
"""Longest payload that is looked at [bytes]."""
MOMENTARY = frozenset({"need", "order", "fault order", "work", "boot", "ack", "grid heartbeat", "relay", "share need"})
"""Kinds that mean a moment: stored by the broker (retained), they would be said again to the wrong car."""


class Inbound:
    """What others say, checked against the schema and the site."""

    def __init__(self, site: Site, stations: Stations, operators: Operators) -> None:
        self._site = site
        self._operators = operators
        self._stations = stations
        self._circuits: dict[str, Circuit] = {circuit.id: circuit for circuit in site.circuits}
        self._members = frozenset(m.id for m in site.group.members) if site.group is not None else frozenset()
        self._owners: dict[str, Station] = {e.id: station for station in site.stations for e in station.evses}

    def parse(self, address: Address, text: bytes, *, is_stored: bool) -> Payload:
        """Return the payload; raises PayloadError naming each wrong field.

        ``is_stored`` tells that the broker kept it (retained) and it was not said just now.
        """
        self._check_names(address)
        if is_stored and address.kind in MOMENTARY:
            raise PayloadError(("", "means a moment and must not be retained"))
        if len(text) > MOST_BYTES:
            raise PayloadError(("", f"is longer than {MOST_BYTES} bytes"))
        if not text:
            raise PayloadError(("", "is empty, which says nothing"))
        try:
            return PAYLOADS[address.kind].model_validate_json(text)
        except ValidationError as error:
            faults = (
                (".".join(map(str, e["loc"])), e["msg"].removeprefix("Value error, "))
                for e in error.errors(include_url=False)
            )
            raise PayloadError(*faults) from error

    def events(  # noqa: C901, PLR0911 - one line a fact
        self, address: Address, payload: Payload, now_s: float, *, is_stored: bool
    ) -> tuple[Event, ...]:
        """Return the facts in a payload; raises PayloadError if they cannot be of this site and moment."""
        names = address.names
        match payload:
            case GridLimit():
                circuit = CircuitId(names["circuit"])
                return (self._operators.limit(names["source"], circuit, payload, now_s, is_stored=is_stored),)
            case GridHeartbeat() | GridFailsafe() | LpcLimit() | RelayContact():
                return self._operators.events(names["operator"], payload, now_s, is_stored=is_stored)
            case CircuitReading():
                return (self._circuit_reading(CircuitId(names["circuit"]), payload, now_s),)
            case CarNeed():
                return (_need(EvseId(names["evse"]), payload, now_s),)
            case Order():
                order = payload.model_dump()
                return (OperatorOrder(at_s=now_s, evse=EvseId(names["evse"]), **order),)
            case FaultDecision():
                return (_decision(EvseId(names["evse"]), payload, now_s),)
            case Prices(start_at=start_at, step_s=step_s, per_kwh=per_kwh):
                return (PricesSet(at_s=now_s, start_s=start_at.timestamp(), step_s=step_s, per_kwh=tuple(per_kwh)),)
            case Boot():
                return (StationBooted(at_s=now_s, station=StationId(names["station"]), **payload.model_dump()),)
            case ShareNeed():
                return (ShareWanted(at_s=now_s, member=names["member"], **payload.model_dump()),)
            case EvseStatus():
                return self._status(EvseId(names["evse"]), payload, now_s)
            case EvseReading():
                return (self._evse_reading(EvseId(names["evse"]), payload, now_s),)
            case _:
                raise AssertionError(f"no facts in {address.kind}")

    def availability(self, address: Address, text: bytes, now_s: float) -> tuple[Event, ...]:
        """Return the facts in a station's availability, a plain word; raises PayloadError for any other."""
        self._check_names(address)
        if text not in (b"online", b"offline"):
            raise PayloadError(("", "must be the word online or offline"))
        station = StationId(address.names["station"])
        if text == b"online":
            return self._stations.online(station, now_s)
        return self._stations.offline(station, "says that it is offline", now_s)

    def _check_names(self, address: Address) -> None:
        _known(address, "circuit", self._circuits.__contains__)
        _known(address, "evse", self._owners.__contains__)
        _known(address, "member", self._members.__contains__)
        _known(address, "station", lambda name: name in self._stations.ids)
        if "operator" in address.names:
            self._operators.check(address.kind, address.names["operator"])
        if address.kind in ("status", "evse meter", "ack"):
            station = self._owners[address.names["evse"]]
            if station.control is not Control.MQTT:
                raise PayloadError(("", f"station {station.id} is not commanded over MQTT"))

    def _circuit_reading(self, circuit: CircuitId, reading: CircuitReading, now_s: float) -> CircuitMetered:
        meter = self._circuits[circuit].meter
        if meter is None:
            raise PayloadError(("", f"circuit {circuit} has no meter in the site file"))
        _check_fresh(reading.measured_at, now_s, meter.staleness.age_s)
        return CircuitMetered(at_s=now_s, circuit=circuit, current_a=reading.current_a.phases())

    def _evse_reading(self, evse: EvseId, reading: EvseReading, now_s: float) -> Metered:
        _check_fresh(reading.measured_at, now_s, 2.0 * self._site.timing.meter_interval_s)
        return Metered(
            at_s=now_s,
            evse=evse,
            current_a=reading.current_a.phases() if reading.current_a else None,
            power_w=reading.power_w,
            energy_wh=reading.energy_wh,
            soc=reading.soc,
        )

    def _status(self, evse: EvseId, status: EvseStatus, now_s: float) -> tuple[Event, ...]:
        ours = OURS.intersection(status.faults)
        if ours:
            raise PayloadError(("faults", f"{', '.join(sorted(ours))} is the controller's own word"))
        return self._stations.status(evse, status, now_s)


def _known(address: Address, role: str, is_known: Callable[[str], bool]) -> None:
    name = address.names.get(role)
    if name is not None and not is_known(name):
        of_what = {"station": "is commanded over MQTT", "member": "is in the group file"}.get(
            role, "is in the site file"
        )
        raise PayloadError(("", f"no {role} {name!r} {of_what}"))


def _need(evse: EvseId, need: CarNeed, now_s: float) -> NeedStated:
    depart_at_s = None if need.depart_at is None else need.depart_at.timestamp()
    if depart_at_s is not None and depart_at_s <= now_s:
        raise PayloadError(("depart_at", "has passed"))
    return NeedStated(at_s=now_s, evse=evse, energy_wh=need.energy_wh, depart_at_s=depart_at_s, priority=need.priority)


def _decision(evse: EvseId, said: FaultDecision, now_s: float) -> FaultOrder:
    until_s = None if said.until is None else said.until.timestamp()
    if until_s is not None and until_s <= now_s:
        raise PayloadError(("until", "has passed"))
    return FaultOrder(
        at_s=now_s, evse=evse, cause=Cause(said.cause), kind=OrderKind(said.kind), author=said.author,
        reason=said.reason, limit_a=said.limit_a, until_s=until_s,
    )  # fmt: skip


def _check_fresh(measured_at: datetime, now_s: float, age_s: float) -> None:
    """Refuse a reading that is not of this moment: an old one that the broker kept must not count as new (I4)."""
    off_s = now_s - measured_at.timestamp()
    if abs(off_s) > age_s:
        now = datetime.fromtimestamp(now_s, UTC).isoformat()
        raise PayloadError(
            ("measured_at", f"is more than {age_s:g} s {'before' if off_s > 0 else 'after'} now ({now})")
        )
