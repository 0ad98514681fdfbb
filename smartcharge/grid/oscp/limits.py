"""From blocks of capacity to grid limits and what holds when the line is lost."""

from __future__ import annotations

from smartcharge.events import FailsafeStep
from smartcharge.grid.oscp.messages import Block, Forecast
from smartcharge.model import Circuit, Direction, GridLimit, GridSource, Phases

_PHASE = {"ONE": 0, "TWO": 1, "THREE": 2}
LIMITS = {"CONSUMPTION": Direction.IMPORT, "GENERATION": Direction.EXPORT}
FALLBACKS = {"FALLBACK_CONSUMPTION": Direction.IMPORT, "FALLBACK_GENERATION": Direction.EXPORT}
"""Types of forecasts, and the direction of each; OPTIMUM is a wish, and limits nothing."""


def limits_of(forecast: Forecast, source: GridSource, circuit: Circuit, now_s: float) -> tuple[GridLimit, ...]:
    """Return what a forecast of consumption or generation allows from now on."""
    return tuple(
        _limit(block, forecast, source, circuit, now_s)
        for block in forecast.forecasted_blocks
        if block.end_time.timestamp() > now_s
    )


def steps_of(forecast: Forecast, circuit: Circuit, now_s: float) -> tuple[FailsafeStep, ...]:
    """Return what a fallback forecast says of the time when the line is lost."""
    return tuple(
        FailsafeStep(
            start_s=block.start_time.timestamp(), end_s=block.end_time.timestamp(), power_w=_power_w(block, circuit),
            direction=FALLBACKS[forecast.type],
        )
        for block in forecast.forecasted_blocks
        if block.end_time.timestamp() > now_s
    )  # fmt: skip


def _limit(block: Block, forecast: Forecast, source: GridSource, circuit: Circuit, now_s: float) -> GridLimit:
    is_total = block.unit != "A" and block.phase not in _PHASE
    return GridLimit(
        source=source.id,
        circuit=circuit.id,
        received_at_s=now_s,
        current_a=None if is_total else _current_a(block, circuit),
        power_w=_watts(block) if is_total else None,
        scope=source.scope,
        direction=LIMITS[forecast.type],
        start_s=block.start_time.timestamp(),
        end_s=block.end_time.timestamp(),
        version=f"{forecast.group_id} {block.phase}" if block.phase in _PHASE else forecast.group_id,
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
