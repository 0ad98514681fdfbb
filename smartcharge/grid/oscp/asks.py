"""What we ask of a capacity provider: blocks that cannot be met, and capacity that cars would need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from smartcharge.control.plan import Plan
from smartcharge.model import Circuit, CircuitId, Direction, GridLimit, Phases
from smartcharge.ports import Snapshot
from smartcharge.words.base import utc

LEAST_SHORT_WH: Final = 1000.0
"""Energy that cars will go without, from which on more capacity is asked for [Wh]."""
_PHASES: Final = ("ONE", "TWO", "THREE")
ROUND_W: Final = 1000.0
"""To what it is rounded what cars want, so that each small change is not asked for [W]."""


def blocks_of(limit: GridLimit, circuit: Circuit) -> list[dict[str, Any]]:
    """Return a limit as the blocks that it came in."""
    lines = limit.current_a
    if lines is None:
        return [_block(limit, limit.power_w or 0.0, "ALL", "W")]
    if lines == Phases.all(lines.l1):
        return [_block(limit, lines.l1, "ALL", "A")]
    pairs = zip(_PHASES, lines, circuit.rating_a, strict=True)
    return [_block(limit, amps, phase, "A") for phase, amps, rating_a in pairs if amps != rating_a]


def open_blocks(snapshot: Snapshot, source: str, circuit: Circuit) -> list[dict[str, Any]]:
    """Return the blocks that a source gave and that have not ended."""
    return [block for limit in _limits(snapshot, source, circuit.id) for block in blocks_of(limit, circuit)]


def wanted_blocks(snapshot: Snapshot, source: str, circuit: Circuit) -> list[dict[str, Any]]:
    """Return what limits of a source should be, as blocks, for all cars to get what they want; none if they do."""
    plan = snapshot.plan
    if plan is None or sum(plan.shortfall_wh.values()) < LEAST_SHORT_WH:
        return []
    wanted_w = _wanted_w(snapshot, plan, circuit)
    return [
        _block(limit, wanted_w, "ALL", "W")
        for limit in _limits(snapshot, source, circuit.id)
        if (limit.start_s or 0.0) < plan.edges_s[-1] and _allowed_w(limit, circuit) < wanted_w
    ]


def _wanted_w(snapshot: Snapshot, plan: Plan, circuit: Circuit) -> float:
    """Return what the cars that want energy could draw, beside the other load and within the rating [W]."""
    state, limits = snapshot.state, snapshot.limits
    cars_w = sum(state.evses[name].evse.max_w for name in plan.current_a)
    (total,) = (n for n in state.topology.of_circuit[circuit.id] if limits.rows[n].phase is None)
    other_w = 3.0 * circuit.voltage_v * float(limits.other_a[total])
    rating_w = circuit.voltage_v * sum(circuit.rating_a)
    return min(ROUND_W * round((cars_w + other_w) / ROUND_W), rating_w)


def _limits(snapshot: Snapshot, source: str, circuit: CircuitId) -> Iterator[GridLimit]:
    known = snapshot.state.sources.get(source)
    for limit in () if known is None else known.limits:
        is_open = limit.end_s is not None and limit.end_s > snapshot.at_s
        if is_open and limit.direction is Direction.IMPORT and limit.circuit == circuit:
            yield limit


def _allowed_w(limit: GridLimit, circuit: Circuit) -> float:
    return (limit.power_w or 0.0) if limit.current_a is None else circuit.voltage_v * sum(limit.current_a)


def _block(limit: GridLimit, capacity: float, phase: str, unit: str) -> dict[str, Any]:
    assert limit.start_s is not None, "every block has one"
    assert limit.end_s is not None, "every block has one"
    return {
        "capacity": round(capacity, 3), "phase": phase, "unit": unit,
        "start_time": utc(limit.start_s).isoformat(), "end_time": utc(limit.end_s).isoformat(),
    }  # fmt: skip
