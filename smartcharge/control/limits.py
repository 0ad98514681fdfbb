"""What is allowed: for every line of the site the lowest limit in force, and the source that set it.

A limit that expires gives way to the failsafe limit or stays, whichever is lower: silence never
loosens (I4).  What the site draws beside the cars is measured where a meter is fresh, held for a
declared time, and then taken as the worst that the site file declares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from smartcharge.control import health
from smartcharge.control.evse import EvseState
from smartcharge.control.state import State
from smartcharge.control.topology import Row, node_uncontrolled_a
from smartcharge.events import LimitSet
from smartcharge.model import Circuit, CircuitId, EvseId, Phases, Site, Station
from solvers.problem import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """A limit on one EVSE that is not the network's: hardware, derating or an operator's order."""

    limit_a: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Limits:
    """What the cars may draw, row by row of the topology, each number with its source."""

    at_s: float
    rows: tuple[Row, ...]
    limit_a: Floats
    """Limit on everything that flows [A], shape (R,)."""
    source: tuple[str, ...]
    """What set each limit, e.g. ``"main L2 rating"`` or ``"main L1 grid limit of dso"``, length R."""
    other_a: Floats
    """Load beside the cars [A], shape (R,)."""
    caps: Mapping[EvseId, Cap]
    lost_meters: frozenset[CircuitId]
    """Circuits whose meter is quiet, stuck or was never heard, so that the declared worst is taken."""

    @property
    def available_a(self) -> Floats:
        """Return what is left for the cars [A], shape (R,), never below zero."""
        return np.maximum(self.limit_a - self.other_a, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bound:
    """One limit on the lines and the total power of a circuit; None where it does not bind."""

    source: str
    lines_a: Phases | None
    total_a: float | None = None
    """Total power as balanced amperes [A]."""

    def on(self, row: Row) -> float:
        """Return what it allows on a row [A]; infinite where it does not bind."""
        if row.phase is None:
            return np.inf if self.total_a is None else self.total_a
        return np.inf if self.lines_a is None else self.lines_a[row.phase]


def effective_limits(state: State, now_s: float, *, ahead_s: float = 0.0) -> Limits:
    """Return the limits in force at ``now_s + ahead_s`` as far as they are known at ``now_s``.

    Looking ahead, grid limits expire and nothing else changes.
    """
    rows = state.topology.rows
    bounds = {circuit.id: _bounds(state, circuit, now_s + ahead_s) for circuit in state.site.circuits}
    ratings = {s.id: _rating(s) for s in state.site.stations if s.rating_a is not None}
    others = other_a(state, now_s)
    lowest = [_lowest(row, [ratings[row.station]] if row.station else bounds[row.circuit]) for row in rows]
    return Limits(
        at_s=now_s,
        rows=rows,
        limit_a=np.array([amps for amps, _ in lowest]),
        source=tuple(source for _, source in lowest),
        other_a=np.array([_other_on(row, others) for row in rows]),
        caps={name: _cap(evse) for name, evse in state.evses.items()},
        lost_meters=frozenset(c.id for c in state.site.circuits if is_lost(state, c, now_s)),
    )


def expiries_s(state: State) -> tuple[float, ...]:
    """Return when the grid limits in force will expire [s since 1970], ascending."""
    return tuple(sorted({expires_s(state.site, limit) for limit in state.grid_limits.values()}))


def expires_s(site: Site, limit: LimitSet) -> float:
    """Return when a grid limit expires: at its own end, or by the site's staleness policy."""
    return limit.at_s + site.grid_limit.expires_s if limit.valid_until_s is None else limit.valid_until_s


def _lowest(row: Row, bounds: Sequence[_Bound]) -> tuple[float, str]:
    bound = min(bounds, key=lambda bound: bound.on(row))
    return bound.on(row), f"{row.label} {bound.source}"


def _rating(station: Station) -> _Bound:
    assert station.rating_a is not None
    return _Bound(source="rating", lines_a=Phases.all(station.rating_a))


def _bounds(state: State, circuit: Circuit, at_s: float) -> list[_Bound]:
    bounds = [_Bound(source="rating", lines_a=circuit.rating_a)]
    for (name, where), limit in state.grid_limits.items():
        if where != circuit.id:
            continue
        total_a = None if limit.power_w is None else limit.power_w / (3.0 * circuit.voltage_v)
        lines_a, source = limit.current_a, f"grid limit of {name}"
        if expires_s(state.site, limit) <= at_s:
            lines_a = circuit.failsafe_a if lines_a is None else lines_a.min(circuit.failsafe_a)
            source = f"failsafe, {name} is silent"
        bounds.append(_Bound(source=source, lines_a=lines_a, total_a=total_a))
    return bounds


def _other_on(row: Row, others: Mapping[CircuitId, Phases]) -> float:
    if row.station is not None:
        return 0.0
    other = others[row.circuit]
    return sum(other) / 3.0 if row.phase is None else other[row.phase]


def other_a(state: State, now_s: float) -> dict[CircuitId, Phases]:
    """Return the load [A] beside the cars on and below every circuit: measured, or else the declared worst."""
    found: dict[CircuitId, Phases] = {}
    for circuit in reversed(state.site.circuits):
        below = [found[child.id] for child in state.site.circuits if child.parent == circuit.id]
        known = node_uncontrolled_a(circuit, below)
        meter = state.meters.get(circuit.id)
        if circuit.meter is not None and meter is not None:
            peak = meter.peak_beside_a
            known = known.max(peak) if is_lost(state, circuit, now_s) else peak
        found[circuit.id] = known
    return found


def is_lost(state: State, circuit: Circuit, now_s: float) -> bool:
    """Tell whether a circuit's meter went quiet, or repeats itself as no real one does while cars draw."""
    meter = state.meters.get(circuit.id)
    if circuit.meter is None or meter is None:
        return circuit.meter is not None
    is_frozen = meter.cars_draw and meter.reading.at_s - meter.same_since_s > circuit.meter.frozen_s
    return is_frozen or now_s - meter.reading.at_s > circuit.meter.staleness.expires_s


def _cap(evse: EvseState) -> Cap:
    """Return the lowest cap on an EVSE: its hardware, its derating, an operator's order."""
    caps = [Cap(limit_a=evse.evse.max_a, source="its own maximum")]
    caps += [Cap(limit_a=d.limit_a, source=d.reason) for d in health.deratings(evse)]
    if evse.order is not None and evse.order.limit_a is not None:
        caps.append(Cap(limit_a=evse.order.limit_a, source=f"order of {evse.order.author}: {evse.order.reason}"))
    return min(caps, key=lambda cap: cap.limit_a)
