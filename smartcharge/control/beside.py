"""The load beside the cars: what a circuit's meter shows, less what the cars below it are taken to draw.

The meter speaks every few seconds, the cars' own meters once a minute.  In between, a car is taken
to draw what it was last told, as far as it is known to take it.  That may be too much (a car that
stopped unheard), and the load beside the cars then too little; so the *highest* estimate of the last
two meter intervals counts: the one before the car stopped tells.  A car that nothing is known of is
taken to draw nothing, so that its draw counts twice: once reserved, once beside the cars.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from smartcharge.control.evse import SETTLED_S, EvseState, believed_a, leaves_some, worst_a
from smartcharge.control.topology import Topology
from smartcharge.events import Charging, CircuitMetered
from smartcharge.model import Phases, Session

AT_REST = frozenset({Charging.SUSPENDED_EV, Charging.SUSPENDED_EVSE, Charging.IDLE, Charging.EV_CONNECTED})
"""States in which a connected car draws nothing."""
_FALLS = 0.03
"""Share by which a tapering car may have fallen since it was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterState:
    """What the meter of a circuit said."""

    reading: CircuitMetered
    same_since_s: float
    """Since when it repeats the very same figures [s since 1970]."""
    cars_draw: bool
    """Whether cars below it draw, as far as is known, since it began to repeat itself."""
    beside_a: tuple[tuple[float, Phases], ...]
    """Time and load beside the cars [A] at each reading of the last two meter intervals, oldest first."""

    @property
    def peak_beside_a(self) -> Phases:
        """Return the highest recent load beside the cars [A]."""
        peak = Phases.all(0.0)
        for _, beside in self.beside_a:
            peak = peak.max(beside)
        return peak


def metered(last: MeterState | None, event: CircuitMetered, cars_a: Phases, window_s: float) -> MeterState:
    """Return what is known of a circuit's meter after it spoke, given what the cars below it draw [A]."""
    is_same = last is not None and last.reading.current_a == event.current_a
    recent = tuple(b for b in (last.beside_a if last else ()) if b[0] > event.at_s - window_s)
    return MeterState(
        reading=event,
        same_since_s=last.same_since_s if last is not None and is_same else event.at_s,
        cars_draw=max(cars_a) > 0.0 or (last is not None and is_same and last.cars_draw),
        beside_a=(*recent, (event.at_s, _less(event.current_a, cars_a))),
    )


def again(known: MeterState, cars_a: Phases) -> MeterState:
    """Return the same with its newest reading seen in another light: more is known of the cars by now."""
    reading = known.reading
    return MeterState(
        reading=reading,
        same_since_s=known.same_since_s,
        cars_draw=known.cars_draw,
        beside_a=(*known.beside_a, (reading.at_s, _less(reading.current_a, cars_a))),
    )


def _less(total_a: Phases, cars_a: Phases) -> Phases:
    return Phases(*(max(0.0, total - cars) for total, cars in zip(total_a, cars_a, strict=True)))


def cars_a(evses: Iterable[EvseState], topology: Topology, event: CircuitMetered, stale_s: float) -> Phases:
    """Return what the cars below a circuit are taken to draw on each line at a reading of its meter [A]."""
    drawn_a = np.array([taken_a(evse, event.at_s, stale_s) for evse in evses], dtype=np.float64)
    loads_a = topology.loads(drawn_a)
    rows = topology.of_circuit[event.circuit]
    lines = [[loads_a[r] for r in rows if topology.rows[r].phase == phase] for phase in range(3)]
    return Phases(*(float(min(line, default=0.0)) for line in lines))


def taken_a(evse: EvseState, now_s: float, stale_s: float) -> float:
    """Return what the car at an EVSE is taken to draw on each phase that it uses [A].

    Never more than what is reserved for it: then load beside the cars that is hidden here is room that
    is not given away there, and reserve and load together are never less than what the meter shows.
    """
    if evse.session is None or evse.charging in AT_REST or not evse.is_meter_trusted:
        return 0.0
    return min(_expected_a(evse, evse.session, now_s, stale_s), worst_a(evse, now_s))


def _expected_a(evse: EvseState, session: Session, now_s: float, stale_s: float) -> float:
    measured_a, limit_a = _measured_a(evse, now_s, stale_s), min(believed_a(evse, now_s))
    told_s = session.plugged_at_s if evse.told_s is None else evse.told_s
    if measured_a is None:
        return limit_a if now_s - told_s < stale_s else 0.0
    if leaves_some(measured_a, evse.offered_a or 0.0):
        return min(measured_a, limit_a) * (1.0 - _FALLS)  # what it took then does not hang on what it is offered
    if now_s - told_s < SETTLED_S:
        return max(measured_a, limit_a)  # on its way from one to the other
    was_measured = evse.reading is not None and evse.reading.at_s >= told_s + SETTLED_S
    return (measured_a if was_measured else limit_a) * (1.0 - _FALLS)


def _measured_a(evse: EvseState, now_s: float, stale_s: float) -> float | None:
    """Return the least that a fresh reading shows on any phase in use [A]; None without one."""
    reading = evse.reading
    if reading is None or reading.current_a is None or now_s - reading.at_s >= stale_s or evse.session is None:
        return None
    used = evse.session.vehicle.phases_used or evse.evse.phase_count
    return min(reading.current_a[:used])
