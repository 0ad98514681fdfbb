"""From the windows of events to limits, failsafe values, prices and alerts; what cannot be understood is refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isfinite

from smartcharge.errors import SourceError
from smartcharge.events import GridAlert
from smartcharge.grid.openadr.contracts import Contract
from smartcharge.grid.openadr.intervals import Window, divided, spans
from smartcharge.grid.openadr.messages import Event
from smartcharge.grid.openadr.series import Step
from smartcharge.grid.openadr.wanted import Wanted, wanted_of
from smartcharge.model import CircuitId, Direction, GridLimit, Scope

IMPORT, EXPORT = "IMPORT_CAPACITY_LIMIT", "EXPORT_CAPACITY_LIMIT"
SETPOINT, SIMPLE, PRICE, INTENSITY, ALERT = "DISPATCH_SETPOINT", "SIMPLE", "PRICE", "GHG", "ALERT_"
LIMITS = {IMPORT: Direction.IMPORT, EXPORT: Direction.EXPORT, SETPOINT: Direction.IMPORT, SIMPLE: Direction.IMPORT}
"""Types that limit us."""
CONTRACTS = {
    "IMPORT_CAPACITY_SUBSCRIPTION": (Direction.IMPORT, False),
    "IMPORT_CAPACITY_RESERVATION": (Direction.IMPORT, True),
    "EXPORT_CAPACITY_SUBSCRIPTION": (Direction.EXPORT, False),
    "EXPORT_CAPACITY_RESERVATION": (Direction.EXPORT, True),
}
"""Types that tell what holds when the line is lost: their direction, and whether they come on top of another."""
SAFE_MODE = "safemode"
"""The name of the event that holds when the line is lost in the GAC profile, without case and punctuation."""
_WATTS = {"KW": 1e3, "W": 1.0, "MW": 1e6}
_PER_KWH = {"KWH": 1.0, "MWH": 1e-3, "WH": 1e3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How events are to be read for one source."""

    source: str
    circuit: CircuitId
    scope: Scope
    seed: str
    simple_w: tuple[float, ...] = ()
    """Limit [W] at the levels of SIMPLE from 0 on; none leaves SIMPLE alone."""
    is_zero_endless: bool = False
    """Whether PT0S means for ever (3.0.1)."""
    is_gac: bool = False
    """Whether events must keep the rules of the Dutch GAC profile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """What one event asks for."""

    limits: tuple[GridLimit, ...] = ()
    contracts: tuple[Contract, ...] = ()
    """What holds when the line is lost."""
    prices: tuple[Step, ...] = ()
    """Price per kWh."""
    intensities: tuple[Step, ...] = ()
    """Carbon intensity [g/kWh]."""
    alerts: tuple[GridAlert, ...] = ()
    wanted: tuple[Wanted, ...] = ()
    """Reports on what was drawn."""
    is_safe_mode: bool = False
    """Whether it is the event that the GAC profile asks for."""


def understood(event: Event, reading: Reading, now_s: float, seen_s: float | None = None) -> Understood:
    """Return what an event, first seen at ``seen_s``, asks for; raises SourceError naming it and why it is refused."""
    if reading.is_gac:
        _check_gac(event)
    near = tuple(spans(event, now_s, seen_s=seen_s, seed=reading.seed, is_zero_endless=reading.is_zero_endless))
    found = [window for span in near for window in divided(span)]
    units = {descriptor.payload_type: descriptor.units for descriptor in event.payload_descriptors or ()}
    if reading.is_gac and _is_safe_mode(event):
        safe = tuple(_contract(event, w, units, Direction.IMPORT, is_more=False) for w in found)
        return Understood(contracts=safe, is_safe_mode=True)
    kinds: dict[str, list[Window]] = {}
    for window in found:
        kinds.setdefault(window.type, []).append(window)
    followed = LIMITS if reading.simple_w else LIMITS.keys() - {SIMPLE}
    return Understood(
        limits=_strictest(_limit(event, w, units, reading, now_s) for kind in followed for w in kinds.get(kind, ())),
        contracts=tuple(
            _contract(event, w, units, direction, is_more=is_more)
            for kind, (direction, is_more) in CONTRACTS.items()
            for w in kinds.get(kind, ())
        ),
        prices=tuple(_step(w, _number(event, w) * _factor(event, w, units)) for w in kinds.get(PRICE, ())),
        intensities=tuple(_step(w, _number(event, w)) for w in kinds.get(INTENSITY, ())),
        alerts=tuple(_alert(w) for kind in kinds if kind.startswith(ALERT) for w in kinds[kind]),
        wanted=tuple(wanted_of(event, near)),
    )


def _is_safe_mode(event: Event) -> bool:
    return "".join(filter(str.isalpha, event.event_name or "")).lower() == SAFE_MODE


def _strictest(limits: Iterable[GridLimit]) -> tuple[GridLimit, ...]:
    """Return one limit for each direction and time: an event that says two things at once means the stricter."""
    found: dict[tuple[Direction, float | None, float | None], GridLimit] = {}
    for limit in limits:
        key = (limit.direction, limit.start_s, limit.end_s)
        other = found.get(key)
        if other is None or (limit.power_w or 0.0) < (other.power_w or 0.0):
            found[key] = limit
    return tuple(found.values())


def _contract(
    event: Event, window: Window, units: Mapping[str, str | None], direction: Direction, *, is_more: bool
) -> Contract:
    return Contract(
        start_s=window.start_s, end_s=window.end_s, power_w=_watts(event, window, units), direction=direction,
        is_more=is_more,
    )  # fmt: skip


def _step(window: Window, value: float) -> Step:
    return Step(start_s=window.start_s, end_s=window.end_s, value=value)


def _alert(window: Window) -> GridAlert:
    text = ", ".join(str(value) for value in window.values)
    end_s = None if window.end_s == inf else window.end_s
    return GridAlert(kind=window.type, text=text, start_s=window.start_s, end_s=end_s)


def _limit(event: Event, window: Window, units: Mapping[str, str | None], reading: Reading, now_s: float) -> GridLimit:
    power_w = _level_w(event, window, reading) if window.type == SIMPLE else _watts(event, window, units)
    return GridLimit(
        source=reading.source,
        circuit=reading.circuit,
        received_at_s=now_s,
        power_w=power_w,
        scope=reading.scope,
        direction=LIMITS[window.type],
        start_s=window.start_s,
        end_s=None if window.end_s == inf else window.end_s,
        priority=event.priority,
        version=_version(event),
    )


def _version(event: Event) -> str:
    changed = event.modification_date_time
    return event.id if changed is None else f"{event.id}@{changed:.0f}"


def _level_w(event: Event, window: Window, reading: Reading) -> float:
    level = _number(event, window)
    if level != int(level) or level >= len(reading.simple_w):
        raise SourceError(f"event {event.id}: SIMPLE level {level:g} is not among those of the site file")
    return reading.simple_w[int(level)]


def _watts(event: Event, window: Window, units: Mapping[str, str | None]) -> float:
    unit = units.get(window.type) or "KW"
    if unit not in _WATTS:
        raise SourceError(f"event {event.id}: {window.type} in {unit} is not understood")
    watts = _number(event, window) * _WATTS[unit]
    if watts < 0.0:
        raise SourceError(f"event {event.id}: {window.type} of {watts:g} W is negative")
    return watts


def _factor(event: Event, window: Window, units: Mapping[str, str | None]) -> float:
    unit = units.get(window.type) or "KWH"
    if unit not in _PER_KWH:
        raise SourceError(f"event {event.id}: {window.type} per {unit} is not understood")
    return _PER_KWH[unit]


def _number(event: Event, window: Window) -> float:
    """Return the value of a window; of several in one that never ends the lowest, since it cannot be divided."""
    numbers = [v for v in window.values if isinstance(v, int | float) and not isinstance(v, bool) and isfinite(v)]
    if not numbers or len(numbers) != len(window.values):
        raise SourceError(f"event {event.id}: {window.type} has no finite number but {list(window.values)}")
    return float(min(numbers))


def _check_gac(event: Event) -> None:
    """Raise SourceError unless an event keeps the rules of DSO_CPO_INTERFACE-2.1.1 (ElaadNL)."""
    for broken in _broken_gac(event):
        raise SourceError(f"event {event.id}: breaks the GAC profile: {broken}")


def _broken_gac(event: Event) -> Iterator[str]:
    kinds = [(descriptor.payload_type, descriptor.units) for descriptor in event.payload_descriptors or ()]
    if kinds != [(IMPORT, "KW")]:
        yield "one descriptor, IMPORT_CAPACITY_LIMIT in KW, is required"
    if event.priority is not None:
        yield "a priority is not allowed"
    if any(len(i.payloads) != 1 or len(i.payloads[0].values) != 1 for i in event.intervals):
        yield "one payload with one value is required in each interval"
    elif any(i.payloads[0].type != IMPORT for i in event.intervals):
        yield "every payload must be an IMPORT_CAPACITY_LIMIT"
    if any(after.id <= before.id for before, after in pairwise(event.intervals)):
        yield "ids must strictly increase"
    own = [interval.interval_period is not None for interval in event.intervals]
    if any(own) if event.interval_period is not None else not all(own):
        yield "the period stands on the event or on every interval"
