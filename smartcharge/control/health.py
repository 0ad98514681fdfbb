"""Faults that are derived from what the hardware does, and what faults cost an EVSE.

Down at once, up slowly (I6): a fault derates from the next cycle on; release wants proof over time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from smartcharge.control.evse import METER_FROZEN, OVER_LIMIT, EvseState
from smartcharge.control.state import State
from smartcharge.events import FaultCleared, FaultRaised

OVER_S = 7.0
"""How long a car may draw over its limit before its station is at fault [s] (EVerest soft overcurrent)."""
OBEYS_S = 600.0
"""How long a station must be seen to obey before the fault is taken back [s]."""
FROZEN_S = 300.0
"""How long an energy register may stand still under current [s]."""

WARNINGS = frozenset({OVER_LIMIT, METER_FROZEN, "NoError", "WeakSignal", "LocalListConflict", "ReaderFailure"})
"""Codes that do not stop an EVSE: over-limit reserves its worst, a frozen meter is not believed, the others
concern no power."""
HOT = frozenset({"HighTemperature"})
"""Codes that halve an EVSE while they last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Derating:
    """A cap that a fault puts on an EVSE."""

    limit_a: float
    reason: str


def deratings(evse: EvseState) -> tuple[Derating, ...]:
    """Return what the faults of an EVSE cap it to [A]; they combine by minimum."""
    return tuple(_derating(evse, fault) for code, fault in evse.faults.items() if code not in WARNINGS)


def _derating(evse: EvseState, fault: FaultRaised) -> Derating:
    if fault.code in HOT and evse.evse.max_a / 2 >= evse.evse.min_a:
        return Derating(limit_a=evse.evse.max_a / 2, reason=f"derated to half: {fault.code}")
    return Derating(limit_a=0.0, reason=f"stopped: {fault.code}")


def derived_faults(state: State, now_s: float) -> Iterator[FaultRaised | FaultCleared]:
    """Yield the faults that measurements prove or disprove by now and that the state does not know yet."""
    for evse in state.evses.values():
        yield from _over_limit(evse, now_s)
        yield from _frozen(evse, now_s)


def _over_limit(evse: EvseState, now_s: float) -> Iterator[FaultRaised | FaultCleared]:
    name = evse.evse.id
    if OVER_LIMIT not in evse.faults:
        if evse.over_since_s is not None and _span_s(evse, evse.over_since_s) >= OVER_S:
            detail = f"draws {evse.over_a:.1f} A, more than anything it may be following"
            yield FaultRaised(at_s=now_s, evse=name, code=OVER_LIMIT, detail=detail)
    elif evse.obeys_since_s is not None and _span_s(evse, evse.obeys_since_s) >= OBEYS_S:
        yield FaultCleared(at_s=now_s, evse=name, code=OVER_LIMIT)


def _frozen(evse: EvseState, now_s: float) -> Iterator[FaultRaised | FaultCleared]:
    name = evse.evse.id
    if METER_FROZEN not in evse.faults:
        if evse.frozen_since_s is not None and _span_s(evse, evse.frozen_since_s) >= FROZEN_S:
            yield FaultRaised(at_s=now_s, evse=name, code=METER_FROZEN, detail="energy register stands still")
    elif evse.frozen_since_s is None and evse.reading is not None:
        yield FaultCleared(at_s=now_s, evse=name, code=METER_FROZEN)


def _span_s(evse: EvseState, since_s: float) -> float:
    """Return how long readings have shown it [s]: one sample taken too early must not condemn a station."""
    return 0.0 if evse.reading is None else evse.reading.at_s - since_s
