"""What a site tells the coordinator of its group: what it would draw, and the most that it may be drawing."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from smartcharge.control import liveness
from smartcharge.control.allocation import floor_to_step
from smartcharge.control.compliance import power_of
from smartcharge.control.flow import Flow
from smartcharge.control.limits import effective_limits, other_a
from smartcharge.control.liveness import UNSURE, SourceState
from smartcharge.control.reach import is_reliable
from smartcharge.control.requests import offer_cap_a, wants_more
from smartcharge.control.state import State
from smartcharge.frozen import replace
from smartcharge.model import EvseId, GridSource, Scope
from solvers.problem import Floats

STEP_W = 500.0
"""What is wanted is said in steps [W]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A site's word about itself, in whole watts; the fields are those of `events.ShareWanted`."""

    wanted_w: float
    reserved_w: float
    measured_w: float | None
    limit_w: float
    number: int
    is_lapsed: bool


def need(state: State, source: GridSource, now_s: float) -> Need:
    """Return what a site needs of the group that a source stands for, and what it holds itself to."""
    worst_a = np.array([state.reserved_a(name, now_s) for name in state.topology.evses], dtype=np.float64)
    measured = power_of(state, source.circuit, source.scope, now_s)
    limit_w, number, is_lapsed = held(state.sources[source.id], now_s)
    return Need(
        wanted_w=in_steps(_power_w(state, source, _wanted_a(state, source, now_s), now_s)),
        reserved_w=float(round(_power_w(state, source, worst_a, now_s))),
        measured_w=None if measured is None else float(round(measured[0])),
        limit_w=limit_w,
        number=number,
        is_lapsed=is_lapsed,
    )


def in_steps(power_w: float) -> float:
    """Return a power [W] rounded up to steps that the noise of a meter does not cross."""
    return STEP_W * ceil(power_w / STEP_W)


def held(known: SourceState, now_s: float) -> tuple[float, int, bool]:
    """Return what a site holds itself to [W], the number of the share that it took, and whether that is over."""
    known = liveness.at(known, now_s)
    is_lapsed = known.liveness in UNSURE
    limits_w = [limit.power_w for limit in liveness.in_force(known, now_s) if limit.power_w is not None]
    if is_lapsed:
        assert known.source.failsafe_w is not None
        limits_w.append(known.source.failsafe_w)
    return min(limits_w), max((int(limit.version) for limit in known.limits), default=0), is_lapsed


def _wanted_a(state: State, source: GridSource, now_s: float) -> Floats:
    """Return what each EVSE would draw [A] if every car that could charge did, as far as all but the group allows."""
    alone = replace(state, sources={name: known for name, known in state.sources.items() if name != source.id})
    limits = effective_limits(alone, now_s)
    names = state.topology.evses
    takers = [e for e, name in enumerate(names) if is_reliable(state, name)]
    current_a = np.array([state.reserved_a(name, now_s) for name in names], dtype=np.float64)
    current_a[takers] = 0.0
    flow = Flow(topology=state.topology, available_a=limits.available_a, current_a=current_a)
    for e in takers:
        flow.set(e, flow.highest(e, min(_offer_a(state, names[e]), limits.caps[names[e]].limit_a)))
    return flow.current_a


def _offer_a(state: State, name: EvseId) -> float:
    """Return what is worth offering a car [A]: one that has enough may go on at the least."""
    evse = state.evses[name]
    return floor_to_step(evse.evse, offer_cap_a(evse) if wants_more(evse) else evse.evse.min_a)


def _power_w(state: State, source: GridSource, current_a: Floats, now_s: float) -> float:
    """Return the power of currents [A], shape (E,), on the circuit of a source [W], with what else its scope counts."""
    circuit = next(circuit for circuit in state.site.circuits if circuit.id == source.circuit)
    loads_a = state.topology.loads(current_a)
    cars_a = sum(float(loads_a[n]) for n in state.topology.of_circuit[circuit.id] if _is_total(state, n))
    beside_a = sum(other_a(state, now_s)[circuit.id]) if source.scope is Scope.SITE else 0.0
    return circuit.voltage_v * max(3.0 * cars_a + beside_a, 0.0)


def _is_total(state: State, row: int) -> bool:
    return state.topology.rows[row].phase is None
