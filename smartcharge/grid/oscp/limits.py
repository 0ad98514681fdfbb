"""From blocks of capacity to grid limits and the fallback in force."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from smartcharge.grid.oscp.messages import Block, Forecast
from smartcharge.model import Circuit, Direction, GridLimit, GridSource, Phases

_PHASE = {"ONE": 0, "TWO": 1, "THREE": 2}
_DIRECTION = {"CONSUMPTION": Direction.IMPORT, "GENERATION": Direction.EXPORT}


def limits_of(
    forecasts: Iterable[Forecast], source: GridSource, circuit: Circuit, now_s: float
) -> tuple[GridLimit, ...]:
    """Return what forecasts allow from now on; fallback and optimum limit nothing."""
    return tuple(
        _limit(block, forecast, source, circuit, now_s)
        for forecast in forecasts
        if forecast.type in _DIRECTION
        for block in forecast.forecasted_blocks
        if block.end_time.timestamp() > now_s
    )


def fallback_w(forecast: Forecast | None, circuit: Circuit, now_s: float) -> float | None:
    """Return the power [W] of the fallback now, the strictest of blocks that overlap; None where none says."""
    blocks = [] if forecast is None else forecast.forecasted_blocks
    now = [b for b in blocks if b.start_time.timestamp() <= now_s < b.end_time.timestamp()]
    return min((_power_w(block, circuit) for block in now), default=None)


def next_edge_s(forecast: Forecast | None, now_s: float) -> float | None:
    """Return when a block of a forecast begins or ends next; None if none does."""
    blocks: Sequence[Block] = [] if forecast is None else forecast.forecasted_blocks
    edges = [t.timestamp() for block in blocks for t in (block.start_time, block.end_time)]
    return min((edge for edge in edges if edge > now_s), default=None)


def _limit(block: Block, forecast: Forecast, source: GridSource, circuit: Circuit, now_s: float) -> GridLimit:
    is_total = block.unit != "A" and block.phase not in _PHASE
    return GridLimit(
        source=source.id,
        circuit=circuit.id,
        received_at_s=now_s,
        current_a=None if is_total else _current_a(block, circuit),
        power_w=_watts(block) if is_total else None,
        scope=source.scope,
        direction=_DIRECTION[forecast.type],
        start_s=block.start_time.timestamp(),
        end_s=block.end_time.timestamp(),
        version=forecast.group_id,
    )


def _current_a(block: Block, circuit: Circuit) -> Phases:
    """Return the current on each phase [A]; a block on one phase leaves the others at the rating."""
    amps = block.capacity if block.unit == "A" else _watts(block) / circuit.voltage_v
    if block.phase not in _PHASE:
        return Phases.all(amps)
    lines = list(circuit.rating_a)
    lines[_PHASE[block.phase]] = amps
    return Phases(*lines)


def _power_w(block: Block, circuit: Circuit) -> float:
    """Return a block as power on all phases [W]; of one phase three times that, since the fallback is one number."""
    if block.unit == "A":
        return 3.0 * block.capacity * circuit.voltage_v
    return _watts(block) * (3.0 if block.phase in _PHASE else 1.0)


def _watts(block: Block) -> float:
    return block.capacity * (1000.0 if block.unit == "KW" else 1.0)
