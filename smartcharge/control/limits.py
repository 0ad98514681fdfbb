"""What is allowed: for every line of the site the lowest limit in force, and the source that set it.

A grid operator that is lost gives way to the failsafe limit, and what it asked for stays where that is
lower: silence never loosens (I4).  What the site draws beside the cars is measured where a meter is fresh, held for a
declared time, and then taken as the worst that the site file declares.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from smartcharge.control import liveness
from smartcharge.control.evse import EvseState
from smartcharge.control.liveness import UNSURE, Liveness, SourceState
from smartcharge.control.state import State
from smartcharge.control.topology import Row, node_uncontrolled_a
from smartcharge.model import Circuit, CircuitId, Direction, EvseId, GridLimit, Phases, Scope, Station
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
    export_w: Mapping[CircuitId, float]
    """What each circuit may feed into the grid at most [W]; one that nobody limits is not in it."""
    lost_meters: frozenset[CircuitId]
    """Circuits whose meter is quiet, stuck or was never heard, so that the declared worst is taken."""

    @property
    def available_a(self) -> Floats:
        """Return what is left for the cars [A], shape (R,), never below zero."""
        return np.maximum(self.limit_a - self.other_a, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One limit on the lines and the total power of a circuit; None where it does not bind."""

    source: str
    lines_a: Phases | None
    total_a: float | None = None
    """Total power as balanced amperes [A]."""
    scope: Scope = Scope.SITE

    def on(self, row: Row, other_a: float) -> float:
        """Return what it allows on a row beside the load that is not ours [A]; infinite where it does not bind."""
        if row.phase is None:
            limit_a = np.inf if self.total_a is None else self.total_a
        else:
            limit_a = np.inf if self.lines_a is None else self.lines_a[row.phase]
        return limit_a + other_a if self.scope is Scope.LOADS else limit_a


def effective_limits(state: State, now_s: float, *, ahead_s: float = 0.0) -> Limits:
    """Return the limits in force at ``now_s + ahead_s`` as far as they are known at ``now_s``.

    Looking ahead, grid limits begin and end, and who is heard now goes on being heard; nothing else changes.
    """
    rows = state.topology.rows
    bounds = {circuit.id: _own(state, circuit, now_s) for circuit in state.site.circuits}
    for where, bound in grid_bounds(state, now_s, ahead_s):
        bounds[where].append(bound)
    ratings = {s.id: _rating(s) for s in state.site.stations if s.rating_a is not None}
    others = other_a(state, now_s)
    beside_a = [other_on(row, others) for row in rows]
    lowest = [
        _lowest(row, [ratings[row.station]] if row.station else bounds[row.circuit], amps)
        for row, amps in zip(rows, beside_a, strict=True)
    ]
    return Limits(
        at_s=now_s,
        rows=rows,
        limit_a=np.array([amps for amps, _ in lowest]),
        source=tuple(source for _, source in lowest),
        other_a=np.array(beside_a),
        caps={name: _cap(evse) for name, evse in state.evses.items()},
        export_w=_lowest_export_w(state, now_s + ahead_s),
        lost_meters=frozenset(c.id for c in state.site.circuits if is_lost(state, c, now_s)),
    )


def changes_s(state: State, now_s: float, until_s: float) -> tuple[float, ...]:
    """Return when time alone will change a grid limit, after ``now_s`` and up to ``until_s``, ascending."""
    return tuple(sorted({t for known in state.sources.values() for t in liveness.changes_s(known, now_s, until_s)}))


def _lowest(row: Row, bounds: Sequence[Bound], other_a: float) -> tuple[float, str]:
    amps, first = min((bound.on(row, other_a), i) for i, bound in enumerate(bounds))
    return amps, f"{row.label} {bounds[first].source}"


def _rating(station: Station) -> Bound:
    assert station.rating_a is not None
    return Bound(source="rating", lines_a=Phases.all(station.rating_a))


def _own(state: State, circuit: Circuit, now_s: float) -> list[Bound]:
    """Return what a circuit allows by itself: its rating, and less while nobody measures what else flows."""
    rating = Bound(source="rating", lines_a=circuit.rating_a)
    if circuit.meter is None or not is_lost(state, circuit, now_s):
        return [rating]
    return [Bound(source="failsafe, its meter is lost", lines_a=circuit.failsafe_a), rating]


def grid_bounds(state: State, now_s: float, ahead_s: float = 0.0) -> Iterator[tuple[CircuitId, Bound]]:
    """Yield what grid operators allow at ``now_s + ahead_s``, each with its circuit."""
    at_s = now_s + ahead_s
    circuits = {circuit.id: circuit for circuit in state.site.circuits}
    for then in state.sources.values():
        known = liveness.foreseen(then, now_s, at_s)
        name = known.source.id
        for limit in _imports(liveness.in_force(known, at_s)):
            yield limit.circuit, bound_of(circuits[limit.circuit], limit, f"grid limit of {name}")
        for limit in _imports(liveness.expired(known, at_s)):
            circuit = circuits[limit.circuit]
            stays = bound_of(circuit, limit, f"failsafe, {name} is silent")
            yield circuit.id, stays if limit.scope is Scope.LOADS else _with_lines(stays, circuit.failsafe_a)
        for limit, risen in liveness.letting_go(known, at_s):
            if limit.direction is Direction.IMPORT:
                circuit = circuits[limit.circuit]
                yield circuit.id, _rising(circuit, bound_of(circuit, limit, f"{name} lets go slowly"), risen)
        if known.liveness in UNSURE and known.source.heartbeat_s is not None:
            yield _failsafe(circuits[known.source.circuit], known, at_s)


def _lowest_export_w(state: State, at_s: float) -> dict[CircuitId, float]:
    found: dict[CircuitId, float] = {}
    for circuit, watts in _exports_w(state, at_s):
        found[circuit] = min(found.get(circuit, np.inf), watts)
    return found


def _exports_w(state: State, at_s: float) -> Iterator[tuple[CircuitId, float]]:
    """Yield what grid operators allow each circuit to feed in [W]; one that lets go slowly holds until the end."""
    volts = {circuit.id: circuit.voltage_v for circuit in state.site.circuits}
    for then in state.sources.values():
        known = liveness.at(then, at_s)
        tails = (limit for limit, _ in liveness.letting_go(known, at_s))
        for limit in (*liveness.in_force(known, at_s), *liveness.expired(known, at_s), *tails):
            if limit.direction is Direction.EXPORT:
                lines_w = np.inf if limit.current_a is None else volts[limit.circuit] * 3.0 * min(limit.current_a)
                yield limit.circuit, min(lines_w, np.inf if limit.power_w is None else limit.power_w)
        failsafe_w = liveness.failsafe_export_w(known, at_s)
        if known.liveness in UNSURE and failsafe_w is not None:
            yield known.source.circuit, failsafe_w


def _imports(limits: Iterable[GridLimit]) -> Iterator[GridLimit]:
    return (limit for limit in limits if limit.direction is Direction.IMPORT)


def bound_of(circuit: Circuit, limit: GridLimit, source: str) -> Bound:
    """Return what a grid limit allows on its circuit; ``source`` says why, in words."""
    total_a = None if limit.power_w is None else limit.power_w / (3.0 * circuit.voltage_v)
    return Bound(source=source, lines_a=limit.current_a, total_a=total_a, scope=limit.scope)


def power_w(circuit: Circuit, bound: Bound) -> float:
    """Return what a bound allows in watts; of amperes those of one phase, for sites may draw all from one."""
    total_w = np.inf if bound.total_a is None else bound.total_a * 3.0 * circuit.voltage_v
    lines_w = np.inf if bound.lines_a is None else min(bound.lines_a) * circuit.voltage_v
    return min(total_w, lines_w)


def _failsafe(circuit: Circuit, known: SourceState, at_s: float) -> tuple[CircuitId, Bound]:
    """Return what holds while a source is not heard."""
    failsafe_w = liveness.failsafe_w(known, at_s)
    why = "is silent" if known.liveness is Liveness.FAILSAFE else "was not heard yet"
    bound = Bound(
        source=f"failsafe, {known.source.id} {why}",
        lines_a=known.source.failsafe_a,
        total_a=None if failsafe_w is None else failsafe_w / (3.0 * circuit.voltage_v),
        scope=known.source.scope,
    )
    return circuit.id, bound


def _with_lines(bound: Bound, lines_a: Phases) -> Bound:
    return replace(bound, lines_a=lines_a if bound.lines_a is None else bound.lines_a.min(lines_a))


def _rising(circuit: Circuit, bound: Bound, risen: float) -> Bound:
    """Return a bound on its way up to the rating of its circuit."""
    rating_a = circuit.rating_a

    def up(amps: float, to_a: float) -> float:
        return amps + (max(to_a, amps) - amps) * risen

    lines_a = None if bound.lines_a is None else Phases(*map(up, bound.lines_a, rating_a))
    total_a = None if bound.total_a is None else up(bound.total_a, sum(rating_a) / 3.0)
    return replace(bound, lines_a=lines_a, total_a=total_a)


def other_on(row: Row, others: Mapping[CircuitId, Phases]) -> float:
    """Return the load beside the cars on a row [A], given that of each circuit."""
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
    own = Cap(limit_a=evse.evse.max_a, source="its own maximum")
    if not evse.health.deratings and not evse.health.forced and evse.order is None and evse.backend_a is None:
        return own
    caps = [own]
    caps += [Cap(limit_a=d.said.limit_a, source=d.said.reason) for d in evse.health.deratings.values()]
    for order in evse.health.forced.values():
        caps.append(Cap(limit_a=order.limit_a or 0.0, source=f"forced by {order.author}: {order.reason}"))
    if evse.order is not None and evse.order.limit_a is not None:
        caps.append(Cap(limit_a=evse.order.limit_a, source=f"order of {evse.order.author}: {evse.order.reason}"))
    if evse.backend_a is not None:
        caps.append(Cap(limit_a=evse.backend_a, source="the operator's back-end"))
    return min(caps, key=lambda cap: cap.limit_a)
