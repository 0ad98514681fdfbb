"""From the windows of events to grid limits, failsafe values and prices; what cannot be understood is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isfinite

from smartcharge.errors import SourceError
from smartcharge.grid.openadr.intervals import Window, windows
from smartcharge.grid.openadr.messages import Event
from smartcharge.model import CircuitId, Direction, GridLimit, Scope

IMPORT, EXPORT, SUBSCRIPTION = "IMPORT_CAPACITY_LIMIT", "EXPORT_CAPACITY_LIMIT", "IMPORT_CAPACITY_SUBSCRIPTION"
SETPOINT, PRICE, SIMPLE = "DISPATCH_SETPOINT", "PRICE", "SIMPLE"
LIMITS = {IMPORT: Direction.IMPORT, EXPORT: Direction.EXPORT, SETPOINT: Direction.IMPORT, SIMPLE: Direction.IMPORT}
"""Types that limit us."""
_WATTS = {"KW": 1e3, "W": 1.0, "MW": 1e6}


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
    subscriptions: tuple[tuple[float, float, float], ...] = ()
    """Start, end [s since 1970] and contracted power [W]."""
    prices: tuple[tuple[float, float, float], ...] = ()
    """Start, end [s since 1970] and price per kWh."""


def understood(event: Event, reading: Reading, now_s: float, seen_s: float | None = None) -> Understood:
    """Return what an event, first seen at ``seen_s``, asks for; raises SourceError naming it and why it is refused."""
    if reading.is_gac:
        _check_gac(event)
    found = windows(event, now_s, seen_s=seen_s, seed=reading.seed, is_zero_endless=reading.is_zero_endless)
    units = {descriptor.payload_type: descriptor.units for descriptor in event.payload_descriptors or ()}
    return Understood(
        limits=tuple(_limit(event, w, units, reading, now_s) for w in found if w.type in _followed(reading)),
        subscriptions=tuple((w.start_s, w.end_s, _watts(event, w, units)) for w in found if w.type == SUBSCRIPTION),
        prices=tuple((w.start_s, w.end_s, _number(event, w)) for w in found if w.type == PRICE),
    )


def price_steps(prices: Sequence[tuple[float, float, float]]) -> tuple[float, float, tuple[float, ...]] | None:
    """Return start, step [s] and prices if they follow each other evenly, as a tariff does; else None."""
    ordered = sorted(prices)
    if not ordered:
        return None
    first_s, end_s, _ = ordered[0]
    step_s = end_s - first_s
    is_even = all(after[0] == before[1] and after[1] - after[0] == step_s for before, after in pairwise(ordered))
    return (first_s, step_s, tuple(price for _, _, price in ordered)) if is_even and isfinite(step_s) else None


def _followed(reading: Reading) -> frozenset[str]:
    return frozenset(LIMITS) if reading.simple_w else frozenset(LIMITS) - {SIMPLE}


def _limit(event: Event, window: Window, units: dict[str, str | None], reading: Reading, now_s: float) -> GridLimit:
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


def _watts(event: Event, window: Window, units: dict[str, str | None]) -> float:
    unit = units.get(window.type) or "KW"
    if unit not in _WATTS:
        raise SourceError(f"event {event.id}: {window.type} in {unit} is not understood")
    watts = _number(event, window) * _WATTS[unit]
    if watts < 0.0:
        raise SourceError(f"event {event.id}: {window.type} of {watts:g} W is negative")
    return watts


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
    if any(after.id <= before.id for before, after in pairwise(event.intervals)):
        yield "ids must strictly increase"
    own = [interval.interval_period is not None for interval in event.intervals]
    if any(own) if event.interval_period is not None else not all(own):
        yield "the period stands on the event or on every interval"
