"""Faults that nobody reports: found in what the hardware does, one detector a fault.

Each yields a fault once measurements prove it and takes it back once they disprove it, with room in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from smartcharge.control.evse import METER_FROZEN, METER_IMPLAUSIBLE, METER_STALE, OVER_LIMIT, EvseState
from smartcharge.control.health.rules import RULES
from smartcharge.control.health.watch import COOL_C, is_hot, temperature_c
from smartcharge.control.state import State
from smartcharge.events import FaultCleared, FaultRaised
from smartcharge.faults import Cause, DeratingStage

OVER_S: Final = 7.0
"""How long a car may draw over its limit before its station is at fault [s] (EVerest soft overcurrent)."""
OBEYS_S: Final = 600.0
"""How long a station must be seen to obey before the fault is taken back [s]."""
FROZEN_S: Final = 300.0
"""How long an energy register may stand still under current [s]."""
WELDED_S: Final = 7.0
"""How long a current may flow unasked before a contactor counts as welded [s]: a car takes 5 s to stop."""
VOLTAGE_S: Final = 2.0
"""How long a voltage must be out of its band, or in it again [s]."""
STALE_INTERVALS: Final = 3.0
"""Meter intervals without a reading after which the meter of an EVSE that charges is lost."""
GOOD_SAMPLES: Final = 3
"""Good readings in a row that clear a meter; as many bad ones condemn it."""
SHORT_SIGMA: Final = 5.0
SHORT_CARS: Final = 4
"""A fault when the CUSUM is over SHORT_SIGMA and so many different cars fell short."""
FAILED_SESSIONS: Final = 3
"""Failed sessions in a row, of so many different cars, that are the EVSE's fault."""
REFUSALS: Final = 5
"""Commands refused in a row that are a fault."""
OURS: Final = frozenset({cause.value for cause in Cause} | {METER_FROZEN, METER_STALE, METER_IMPLAUSIBLE})
"""Codes that the controller finds itself; a station must not be able to clear them."""

Found: TypeAlias = Iterator[FaultRaised | FaultCleared]


def derived_faults(state: State, now_s: float) -> Found:
    """Yield the faults that measurements prove or disprove by now and that the state does not know yet."""
    stale_s = STALE_INTERVALS * state.site.timing.meter_interval_s
    for name, evse in state.evses.items():
        if evse.reading is not None or evse.faults or evse.session is not None or evse.health.history.refusals:
            if evse.faults or _shows_something(evse):
                for detect in _DETECTORS:
                    yield from detect(evse, now_s)
            came_s = max(state.stations[evse.evse.station].came_s, default=0.0)
            at_s = _stale_at_s(evse, came_s, stale_s) if state.is_online(name) else None
            yield from _stale(evse, now_s, stale_s, at_s)


def _shows_something(evse: EvseState) -> bool:
    """Tell whether any detector could find something new; of an EVSE without faults there is nothing to take back."""
    watch, history = evse.health.watch, evse.health.history
    return (
        evse.over_since_s is not None
        or evse.frozen_since_s is not None
        or watch.is_uneasy
        or is_hot(watch, Cause.ENCLOSURE_HOT)
        or is_hot(watch, Cause.CONNECTOR_HOT)
        or history.short > 0.0
        or bool(history.failed)
        or history.refusals > 0
    )


def _stale_at_s(evse: EvseState, came_s: float, stale_s: float) -> float | None:
    """Return when a meter that says nothing more counts as lost [s since 1970]; None where nothing is awaited."""
    session = evse.session
    if session is None or session.transaction_id is None:
        return None
    visit, reading = evse.health.history.visit, evse.reading
    began_s = came_s if visit is None else visit.began_s
    read_s = came_s if reading is None else reading.at_s
    return max(session.plugged_at_s, came_s, began_s, read_s) + stale_s


def _over_limit(evse: EvseState, now_s: float) -> Found:
    # A welded contactor follows nobody; that is its own fault.
    is_welded = evse.health.watch.welded_since_s is not None or Cause.CONTACTOR_WELDED in evse.health.deratings
    is_over = evse.over_since_s is not None and _span_s(evse, evse.over_since_s) >= OVER_S
    is_proven = is_over and not is_welded
    obeys = is_welded or (evse.obeys_since_s is not None and _span_s(evse, evse.obeys_since_s) >= OBEYS_S)
    detail = f"draws {evse.over_a or 0.0:.1f} A, more than anything it may be following"
    yield from _found(evse, OVER_LIMIT, now_s, detail, _verdict(is_proven, obeys))


def _frozen(evse: EvseState, now_s: float) -> Found:
    is_proven = evse.frozen_since_s is not None and _span_s(evse, evse.frozen_since_s) >= FROZEN_S
    is_gone = evse.frozen_since_s is None and evse.reading is not None
    yield from _found(evse, METER_FROZEN, now_s, "energy register stands still", _verdict(is_proven, is_gone))


def _stale(evse: EvseState, now_s: float, stale_s: float, at_s: float | None) -> Found:
    """A meter that falls silent while its station does not; without a transaction nothing is awaited."""
    is_there = at_s is not None and now_s >= at_s
    is_gone = at_s is None or (evse.health.watch.good >= GOOD_SAMPLES and now_s < at_s)
    yield from _found(evse, METER_STALE, now_s, f"no reading for {stale_s:.0f} s", _verdict(is_there, is_gone))


def _implausible(evse: EvseState, now_s: float) -> Found:
    watch = evse.health.watch
    detail = "current and power contradict each other"
    is_there, is_gone = watch.implausible >= GOOD_SAMPLES, watch.good >= GOOD_SAMPLES
    yield from _found(evse, METER_IMPLAUSIBLE, now_s, detail, _verdict(is_there, is_gone))


def _hot(evse: EvseState, now_s: float) -> Found:
    watch = evse.health.watch
    for cause in (Cause.ENCLOSURE_HOT, Cause.CONNECTOR_HOT):
        measured_c = temperature_c(watch, cause)
        if measured_c is not None:
            is_cool = measured_c < COOL_C[cause]
            yield from _found(evse, cause.value, now_s, f"{measured_c:.0f} C", _verdict(is_hot(watch, cause), is_cool))


def _welded(evse: EvseState, now_s: float) -> Found:
    since_s = evse.health.watch.welded_since_s
    is_there = since_s is not None and _span_s(evse, since_s) >= WELDED_S
    detail = "a current flows although it is told 0 A and says that it is paused"
    is_gone = since_s is None and (evse.reading is not None or evse.occupied is False)
    yield from _found(evse, Cause.CONTACTOR_WELDED.value, now_s, detail, _verdict(is_there, is_gone))


def _voltage(evse: EvseState, now_s: float) -> Found:
    watch = evse.health.watch
    is_there = watch.volts_out_since_s is not None
    is_gone = watch.volts_in_since_s is not None and now_s - watch.volts_in_since_s >= VOLTAGE_S
    volts = evse.reading.voltage_v if evse.reading is not None else None
    detail = "" if volts is None else " / ".join(f"{v:.0f}" for v in volts) + " V"
    yield from _found(evse, Cause.VOLTAGE_OUT.value, now_s, detail, _verdict(is_there, is_gone))


def _phases(evse: EvseState, now_s: float) -> Found:
    watch = evse.health.watch
    is_there = watch.dead_since_s is not None and _span_s(evse, watch.dead_since_s) >= WELDED_S
    names = ", ".join(f"L{i + 1}" for i, is_dead in enumerate(watch.dead) if is_dead)
    is_gone = watch.dead_since_s is None
    yield from _found(evse, Cause.PHASE_LOST.value, now_s, f"{names} is dead", _verdict(is_there, is_gone))


def _short(evse: EvseState, now_s: float) -> Found:
    history = evse.health.history
    is_there = history.short >= SHORT_SIGMA and len(history.short_cars) >= SHORT_CARS
    detail = f"{len(history.short_cars)} cars got at most {history.short_peak_a:.1f} A"
    yield from _found(evse, Cause.DRAWS_UNDER.value, now_s, detail, _verdict(is_there, history.short == 0.0))


def _failing(evse: EvseState, now_s: float) -> Found:
    """Three different cars condemn it, one does in its probation; what it did is then behind it: the derate waits."""
    failed, known = evse.health.history.failed, evse.health.deratings.get(Cause.SESSIONS_FAIL)
    needed = FAILED_SESSIONS if known is None else 1
    is_there = len(set(failed)) >= needed and (known is None or known.said.stage is DeratingStage.PROBATION)
    detail = f"{len(failed)} sessions failed in a row"
    is_gone = known is not None
    yield from _found(evse, Cause.SESSIONS_FAIL.value, now_s, detail, _verdict(is_there, is_gone))


def _refusing(evse: EvseState, now_s: float) -> Found:
    refusals = evse.health.history.refusals
    detail = f"{refusals} commands refused in a row"
    is_there = refusals >= REFUSALS
    yield from _found(evse, Cause.REFUSES.value, now_s, detail, _verdict(is_there, refusals == 0))


_DETECTORS: Final[tuple[Callable[[EvseState, float], Found], ...]] = (
    _over_limit, _frozen, _implausible, _hot, _welded, _voltage, _phases, _short, _failing, _refusing,
)  # fmt: skip


def _found(evse: EvseState, code: str, now_s: float, detail: str, is_there: bool | None) -> Found:
    """Yield a fault that is proven and new, or the end of one that is disproven; None is neither."""
    if is_there is True and code not in evse.faults:
        yield FaultRaised(at_s=now_s, evse=evse.evse.id, code=code, detail=detail)
    elif is_there is False and code in evse.faults:
        yield FaultCleared(at_s=now_s, evse=evse.evse.id, code=code)


def _verdict(is_proven: bool, is_gone: bool) -> bool | None:
    return True if is_proven else False if is_gone else None


def _span_s(evse: EvseState, since_s: float) -> float:
    """Return how long readings have shown it [s]: one sample taken too early must not condemn a station."""
    return 0.0 if evse.reading is None else evse.reading.at_s - since_s


assert set(RULES) == set(Cause), "every cause has its row"
