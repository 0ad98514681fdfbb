"""The proof that a limit was kept: what became of each one, from its arrival to its end.

A limit is *received*, then *binds* (understood, and its time has come), is *applied* (the worst that
every station may do fits: the last one has confirmed), and is *measured* (the meters agree).  Each
step is a fact in the journal, so that the record stands for whoever asks later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from smartcharge.control import liveness, sharing
from smartcharge.control.evse import drawn_a
from smartcharge.control.limits import Bound, bound_of, is_lost, other_on, power_w
from smartcharge.control.limits import other_a as others_a
from smartcharge.control.records import Key, Record, key_of
from smartcharge.control.shares import worst_w
from smartcharge.control.state import State
from smartcharge.events import LimitFollowed, Stage
from smartcharge.model import Circuit, CircuitId, Direction, GridLimit, Scope
from solvers.problem import Floats

TOLERANCE = 0.01
"""Share of a limit by which a measurement may be above it: meters of class 1 are no better."""
_ROUNDING_A = 1e-3


def derived(state: State, now_s: float) -> Iterator[LimitFollowed]:
    """Yield what became of limits since it was looked at last."""
    now = {key_of(limit): limit for limit in _binding(state, now_s)}
    for key in now.keys() - state.records.keys():
        yield _fact(key, Stage.BINDS, now_s)
    for key, record in state.records.items():
        if record.ended_s is None and key not in now:
            yield _fact(key, Stage.ENDED, now_s)
        elif record.ended_s is None:
            yield from _progress(state, key, record, now_s)


def due_s(state: State) -> Iterator[float]:
    """Yield when it must be said of a limit that it cannot be met, unless it was applied by then."""
    for record in state.records.values():
        if record.ended_s is None and record.applied_s is None and record.unmet is None:
            yield record.due_s + state.site.timing.reaction_s


def power_of(state: State, circuit: CircuitId, scope: Scope, now_s: float) -> tuple[float, float] | None:
    """Return the power that is drawn from a circuit [W], or by the stations below it, and when it was seen.

    By its meter, or else by the stations' own; None where either says too little, and of a circuit without a meter
    that other load is declared on.
    """
    if state.members:
        return sharing.measured_w(state)
    flow = _drawn(state, circuit, scope, now_s)
    if flow is None:
        return None
    rows = {state.topology.rows[n].phase: n for n in state.topology.of_circuit[circuit]}
    if None not in rows:
        return None
    place = _circuit(state, circuit)
    beside_a = other_on(state.topology.rows[rows[None]], others_a(state, now_s))
    if scope is Scope.SITE and place.meter is None and beside_a > 0.0:
        return None
    ours_a = beside_a if scope is Scope.LOADS else 0.0
    return 3.0 * place.voltage_v * (float(flow.current_a[rows[None]]) - ours_a), flow.seen_s


def is_waiting(state: State) -> bool:
    """Tell whether the next measurement could prove something."""
    return any(r.ended_s is None and (r.measured_s is None or r.over_w > 0.0) for r in state.records.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flow:
    """Everything that flows, or may flow, on the rows of a circuit."""

    current_a: Floats
    """Shape (R,)."""
    seen_s: float


def _binding(state: State, now_s: float) -> Iterator[GridLimit]:
    for known in state.sources.values():
        yield from liveness.in_force(liveness.at(known, now_s), now_s)


def _progress(state: State, key: Key, record: Record, now_s: float) -> Iterator[LimitFollowed]:
    if record.applied_s is None:
        excess_w = _worst_excess_w(state, record.limit, now_s)
        if excess_w is not None and excess_w <= 0.0:
            yield _fact(key, Stage.APPLIED, now_s, max(record.due_s, record.accepted_s or record.due_s))
        elif record.unmet is None and now_s >= record.due_s + state.site.timing.reaction_s:
            unmet = _fact(key, Stage.UNMET, now_s)
            yield replace(unmet, over_w=excess_w or 0.0, reason=_holding(state, record.limit, now_s))
    seen = _seen(state, record.limit, now_s)
    if seen is None or seen.at_s <= (record.seen_s or record.due_s):
        return
    if seen.over_w > 0.0:
        yield replace(_fact(key, Stage.EXCEEDED, now_s, seen.at_s), over_w=seen.over_w)
    elif record.measured_s is None or record.over_w > 0.0:
        yield _fact(key, Stage.MEASURED, now_s, seen.at_s)


class _Seen(NamedTuple):
    """How far a measurement was over a limit [W], and when it was taken."""

    over_w: float
    at_s: float


def _worst_excess_w(state: State, limit: GridLimit, now_s: float) -> float | None:
    """Return by how much the worst that everybody may do is over a limit [W]; None if nobody knows."""
    if state.members and limit.direction is Direction.IMPORT:
        return sharing.believed_w(state) - _shared_w(state, limit)
    worst = _worst(state, limit, now_s)
    return None if worst is None else _excess_w(state, limit, worst, now_s)


def _seen(state: State, limit: GridLimit, now_s: float) -> _Seen | None:
    """Return what the meters tell of a limit; None where they say too little."""
    if state.members and limit.direction is Direction.IMPORT:
        measured = sharing.measured_w(state)
        allowed_w = _shared_w(state, limit) * (1.0 + TOLERANCE)
        return None if measured is None else _Seen(measured[0] - allowed_w, measured[1])
    flow = _measured(state, limit, now_s)
    return None if flow is None else _Seen(_excess_w(state, limit, flow, now_s, tolerance=TOLERANCE), flow.seen_s)


def _shared_w(state: State, limit: GridLimit) -> float:
    """Return what a limit allows all sites of a group together [W]."""
    circuit = _circuit(state, limit.circuit)
    return power_w(circuit, bound_of(circuit, limit, ""))


def _fact(key: Key, stage: Stage, at_s: float, seen_s: float | None = None) -> LimitFollowed:
    source, circuit, version, since_s = key
    return LimitFollowed(
        at_s=at_s,
        source=source,
        circuit=circuit,
        version=version,
        since_s=since_s,
        stage=stage,
        seen_s=at_s if seen_s is None else seen_s,
    )


def _excess_w(state: State, limit: GridLimit, flow: _Flow, now_s: float, *, tolerance: float = 0.0) -> float:
    """Return by how much a flow is over a limit [W]: on its total, or on all of its lines together."""
    circuit = _circuit(state, limit.circuit)
    others = others_a(state, now_s)
    bound = bound_of(circuit, limit, "")
    lines: dict[int | None, float] = {}
    for row in state.topology.of_circuit[limit.circuit]:
        where = state.topology.rows[row]
        allowed_a = _allowed_a(bound, where.phase, tolerance)
        beside_a = other_on(where, others) if limit.scope is Scope.LOADS else 0.0
        over_a = float(flow.current_a[row]) - beside_a - allowed_a - _ROUNDING_A
        lines[where.phase] = max(lines.get(where.phase, 0.0), over_a)
    total_w = 3.0 * circuit.voltage_v * lines.pop(None, 0.0)
    return max(total_w, circuit.voltage_v * sum(lines.values()))


def _allowed_a(bound: Bound, phase: int | None, tolerance: float) -> float:
    if phase is None:
        return np.inf if bound.total_a is None else bound.total_a * (1.0 + tolerance)
    return np.inf if bound.lines_a is None else bound.lines_a[phase] * (1.0 + tolerance)


def _worst(state: State, limit: GridLimit, now_s: float) -> _Flow | None:
    """Return the worst that everybody may do in the direction of a limit; None if nobody knows.

    Nothing that we command feeds the grid.  Whether something else does behind a circuit is seen by its meter alone.
    """
    if limit.direction is Direction.IMPORT:
        return _believed(state, now_s)
    if limit.scope is Scope.SITE and _circuit(state, limit.circuit).meter is not None:
        return _measured(state, limit, now_s)
    return _Flow(current_a=np.zeros(len(state.topology.rows)), seen_s=now_s)


def _believed(state: State, now_s: float) -> _Flow:
    """Return the worst that everybody may draw."""
    worst_a = np.array([state.reserved_a(name, now_s) for name in state.topology.evses])
    return _Flow(current_a=_with_others(state, worst_a, now_s), seen_s=now_s)


def _measured(state: State, limit: GridLimit, now_s: float) -> _Flow | None:
    """Return what flows in the direction of a limit: by the circuit's meter, or else by the stations' own.

    None where either says too little.
    """
    if limit.direction is Direction.IMPORT:
        return _drawn(state, limit.circuit, limit.scope, now_s)
    is_seen = limit.scope is Scope.LOADS or _circuit(state, limit.circuit).meter is not None
    drawn = _drawn(state, limit.circuit, limit.scope, now_s) if is_seen else None
    return None if drawn is None else replace(drawn, current_a=-drawn.current_a)


def _drawn(state: State, name: CircuitId, scope: Scope, now_s: float) -> _Flow | None:
    circuit = _circuit(state, name)
    meter = state.meters.get(circuit.id)
    if scope is Scope.SITE and circuit.meter is not None:
        if meter is None or is_lost(state, circuit, now_s):
            return None
        amps = meter.reading.current_a
        rows = [sum(amps) / 3.0 if row.phase is None else amps[row.phase] for row in state.topology.rows]
        return _Flow(current_a=np.array(rows), seen_s=meter.reading.at_s)
    return _summed(state, name, now_s)


def _summed(state: State, circuit: CircuitId, now_s: float) -> _Flow | None:
    """Return the sum of what the stations measured; nothing if one that may draw did not say so lately."""
    oldest_s = now_s - 2.0 * state.site.timing.meter_interval_s
    rows = list(state.topology.of_circuit[circuit])
    below = np.abs(state.topology.coupling[rows]).max(axis=0, initial=0.0) > 0.0
    current_a = np.zeros(len(state.topology.evses))
    seen_s = -np.inf
    for e, name in enumerate(state.topology.evses):
        evse = state.evses[name]
        if not below[e] or (evse.occupied is False and state.is_online(name)):
            continue
        amps = drawn_a(evse.evse, evse.reading)
        if evse.reading is None or amps is None or evse.reading.at_s < oldest_s:
            return None
        current_a[e], seen_s = amps, max(seen_s, evse.reading.at_s)
    is_idle = seen_s == -np.inf
    return _Flow(current_a=_with_others(state, current_a, now_s), seen_s=now_s if is_idle else float(seen_s))


def _with_others(state: State, current_a: Floats, now_s: float) -> Floats:
    others = others_a(state, now_s)
    beside_a = np.array([other_on(row, others) for row in state.topology.rows])
    return np.asarray(state.topology.loads(current_a) + beside_a, dtype=np.float64)


def _holding(state: State, limit: GridLimit, now_s: float) -> str:
    """Return who keeps a limit from being met, in words: those below that may draw and do not obey now."""
    if limit.direction is Direction.EXPORT:
        is_seen = _measured(state, limit, now_s) is not None
        return "what feeds the grid here is not ours to limit" if is_seen else "the meter of its circuit is lost"
    if state.members:
        return f"{_listed(sorted(state.members, key=lambda name: -worst_w(state.members[name])))} may still draw"
    rows = list(state.topology.of_circuit[limit.circuit])
    below = np.abs(state.topology.coupling[rows]).max(axis=0, initial=0.0) > 0.0
    held = [n for e, n in enumerate(state.topology.evses) if below[e] and state.reserved_a(n, now_s) > 0.0]
    offline = [n for n in held if not state.is_online(n) or state.evses[n].deaf_at_s is not None]
    if offline:
        return f"{_listed(offline)} may still draw and cannot be told"
    return f"{_listed(held)} may still draw" if held else "the load that is not ours is above it"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - 5
    return ", ".join(names[:5]) + (f" and {more} more" if more > 0 else "")


def _circuit(state: State, name: CircuitId) -> Circuit:
    return next(circuit for circuit in state.site.circuits if circuit.id == name)
