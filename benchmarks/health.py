"""How soon hardware that gets worse is found, and how often sound hardware is blamed: degradations with known truth.

One site after the other, a year of sessions at each, fact by fact through the state and its upkeep.  Half of its EVSEs
get worse from a random day on, the others stay sound.  Cars are regulars of all sizes, tapered now and then, some of
them with trouble of their own wherever they charge: whoever blames an EVSE for them is wrong.  What is found is
repaired at once.  The score counts as a warning once an EVSE has less than `WARNED` of the best one's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import cos, pi
from statistics import median
from typing import Final

import numpy as np

from benchmarks.figures import Row
from smartcharge.control.health.detect import OURS
from smartcharge.control.health.score import scores
from smartcharge.control.health.upkeep import UPKEEP
from smartcharge.control.health.vocabulary import cause_of
from smartcharge.control.state import State, apply
from smartcharge.events import (
    Accepted,
    Commanded,
    Event,
    FaultOrder,
    FaultRaised,
    Metered,
    Plugged,
    ProfileKind,
    StationOnline,
    TransactionEnded,
    TransactionStarted,
    Unplugged,
)
from smartcharge.faults import Cause, OrderKind
from smartcharge.model import (
    Circuit,
    CircuitId,
    Evse,
    EvseId,
    Phases,
    Rotation,
    Site,
    Station,
    StationId,
    Timing,
    Wiring,
)

DAY_S: Final = 86_400.0
READ_S: Final = 300
NOMINAL_V: Final = 230.0
MAX_A: Final = 32.0
WARNED: Final = 0.8
"""Share of the best EVSE's score from which one counts as likely to fail."""
SIZES_A: Final = (10.0, 16.0, 16.0, 16.0, 20.0, 25.0, 32.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Degradation:
    """Something that gets worse: nothing on its first day, all after so many days."""

    name: str
    cause: Cause
    days: float


DEGRADATIONS: Final = (
    Degradation(name="delivers less and less, half in the end", cause=Cause.DRAWS_UNDER, days=30.0),
    Degradation(name="more and more sessions fail, seven in ten in the end", cause=Cause.SESSIONS_FAIL, days=30.0),
    Degradation(name="contacts wear, four times as warm in the end", cause=Cause.CONNECTOR_HOT, days=60.0),
    Degradation(name="supply voltage sags, 15 % in the end", cause=Cause.VOLTAGE_OUT, days=60.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is tried."""

    evses: int = 12
    days: int = 365
    sessions_per_day: float = 1.0
    """At one EVSE."""
    cars: int = 60


@dataclass(slots=True, kw_only=True)
class _Found:
    """What came of one site."""

    delays_s: list[float] = field(default_factory=list)
    leads_s: list[float] = field(default_factory=list)
    """How long before the fault the score warned."""
    missed: int = 0
    false_alarms: int = 0
    false_warnings: int = 0
    sound_s: float = 0.0
    """Time of all EVSEs while they were sound."""


def measure(size: Size = Size(), degradations: Iterable[Degradation] = DEGRADATIONS, seed: int = 7) -> list[Row]:
    """Return a row for each degradation."""
    return [_row(one, size, _Year(one, size, seed + number).play()) for number, one in enumerate(degradations)]


def _row(one: Degradation, size: Size, found: _Found) -> Row:
    years = found.sound_s / (365.0 * DAY_S)

    def days(times_s: list[float], pick: Callable[[list[float]], float]) -> float | None:
        return round(pick(times_s) / DAY_S, 1) if times_s else None

    return {
        "benchmark": "health", "degradation": one.name, "evses": size.evses, "days": size.days,
        "degraded": len(found.delays_s) + found.missed, "detected": len(found.delays_s), "missed": found.missed,
        "delay_days_median": days(found.delays_s, median), "delay_days_max": days(found.delays_s, max),
        "days_to_the_worst": one.days,
        "warned_before": len(found.leads_s), "warned_days_before_median": days(found.leads_s, median),
        "sound_evse_years": round(years, 2),
        "false_alarms_per_evse_year": round(found.false_alarms / years, 3),
        "false_warnings_per_evse_year": round(found.false_warnings / years, 3),
    }  # fmt: skip


class _Year:
    """One site, one session after the other."""

    def __init__(self, one: Degradation, size: Size, seed: int) -> None:
        self._one, self._size = one, size
        self._random = np.random.default_rng(seed)
        self._found = _Found()
        self._now_s = 1_735_689_600.0
        self._end_s = self._now_s + size.days * DAY_S
        self._register_wh = 0.0
        self._commands = 0
        self._cars_a = [SIZES_A[int(i)] for i in self._random.integers(0, len(SIZES_A), size.cars)]
        self._trouble = [0.4 if i % 20 == 0 else 0.02 for i in range(size.cars)]
        site = _site(size.evses)
        self._state = State.initial(site)
        self._names = [evse.id for evse in site.evses]
        onsets = self._now_s + DAY_S * self._random.uniform(0.15, 0.65, size.evses) * size.days
        self._onset_s = {name: float(at_s) for name, at_s in zip(self._names[::2], onsets[::2], strict=True)}
        self._warned_s: dict[EvseId, float] = {}
        self._repaired: set[EvseId] = set()
        """Those of which nobody has said so yet."""
        self._warmth = {name: float(self._random.uniform(0.5, 0.7)) for name in self._names}

    def play(self) -> _Found:
        """Return what was found of what was wrong."""
        for name in self._names:
            self._take(StationOnline(at_s=self._now_s, station=StationId(name)), *self._told(name, 6.0, None))
        pause_s = DAY_S / (self._size.evses * self._size.sessions_per_day)
        while self._now_s < self._end_s:
            next_s = self._now_s + pause_s
            name = self._names[int(self._random.integers(len(self._names)))]
            self._release(name)
            self._session(name, int(self._random.integers(len(self._cars_a))))
            self._judge(name, pause_s)
            self._now_s = max(self._now_s, next_s)
        self._found.missed = sum(onset_s < self._end_s for onset_s in self._onset_s.values())
        return self._found

    def _release(self, name: EvseId) -> None:
        """Let whoever repaired it say so, once the fault is gone."""
        if name in self._repaired and not self._state.evses[name].faults:
            self._repaired.remove(name)
            self._take(FaultOrder(at_s=self._now_s, evse=name, cause=self._one.cause, kind=OrderKind.RELEASE,
                                  author="technician", reason="repaired"))  # fmt: skip

    def _worse(self, name: EvseId) -> float:
        """Return how far an EVSE has got worse, 0 to 1."""
        onset_s = self._onset_s.get(name)
        return 0.0 if onset_s is None else min(max((self._now_s - onset_s) / DAY_S / self._one.days, 0.0), 1.0)

    def _is(self, cause: Cause) -> bool:
        return self._one.cause is cause

    def _session(self, name: EvseId, car: int) -> None:
        """One visit of a car, from plug to unplug; a blocked EVSE is not tried."""
        derates = self._state.evses[name].health.deratings.values()
        limit_a = min((known.said.limit_a for known in derates), default=MAX_A)
        if limit_a < 6.0:
            return
        token, fails = f"car-{car}", self._trouble[car]
        if self._is(Cause.SESSIONS_FAIL):
            fails = max(fails, 0.7 * self._worse(name))
        transaction = f"{name}-{self._now_s:.0f}"
        self._take(Plugged(at_s=self._now_s, evse=name), *self._told(name, limit_a, transaction))
        started = TransactionStarted(at_s=self._now_s, evse=name, transaction_id=transaction, id_token=token,
                                     meter_wh=self._register_wh)  # fmt: skip
        self._take(started, *self._told(name, limit_a, transaction))
        is_failing = self._random.random() < fails
        if is_failing:
            self._now_s += 40.0
        else:
            self._charge(name, min(limit_a, self._cars_a[car]))
        reason = "Other" if is_failing else "EVDisconnected"
        ended = TransactionEnded(at_s=self._now_s, evse=name, transaction_id=transaction, reason=reason,
                                 meter_wh=self._register_wh)  # fmt: skip
        self._take(ended, Unplugged(at_s=self._now_s + 1.0, evse=name))

    def _charge(self, name: EvseId, most_a: float) -> None:
        """Three quarters of an hour; one car in seven comes almost full or cold and takes less than it could."""
        share = float(self._random.uniform(0.3, 0.95)) if self._random.random() < 0.15 else 1.0
        able_a = MAX_A * (1.0 - 0.5 * self._worse(name)) if self._is(Cause.DRAWS_UNDER) else MAX_A
        for step in range(9):
            self._now_s += READ_S
            taper = 1.0 if step < 6 else 0.7
            amps = max(min(share * most_a, able_a) * taper * float(self._random.normal(0.985, 0.01)), 0.0)
            self._take(self._reading(name, amps))

    def _reading(self, name: EvseId, amps: float) -> Metered:
        worse = self._worse(name)
        volts = float(self._random.normal(NOMINAL_V - 0.1 * amps, 2.0))
        if self._is(Cause.VOLTAGE_OUT):
            volts *= 1.0 - 0.15 * worse
        warmth = self._warmth[name] * (1.0 + 3.0 * worse * self._is(Cause.CONNECTOR_HOT))
        season = 2.0 * pi * (self._now_s % (365.0 * DAY_S)) / (365.0 * DAY_S)
        ambient_c = 12.0 - 10.0 * cos(season) + float(self._random.normal(0.0, 3.0))
        self._register_wh += 3.0 * amps * volts * READ_S / 3600.0
        return Metered(
            at_s=self._now_s, evse=name, current_a=Phases.all(amps), power_w=3.0 * amps * volts,
            energy_wh=self._register_wh, voltage_v=Phases.all(volts), outlet_c=ambient_c + warmth * amps,
        )  # fmt: skip

    def _told(self, name: EvseId, limit_a: float, transaction: str | None) -> tuple[Event, Event]:
        """A limit that was sent and accepted at once; without a transaction, the default."""
        self._commands += 1
        kind = ProfileKind.DEFAULT if transaction is None else ProfileKind.TRANSACTION
        command = Commanded(
            at_s=self._now_s, evse=name, command_id=self._commands, kind=kind, limit_a=limit_a,
            transaction_id=transaction, expires_s=None if transaction is None else self._now_s + DAY_S,
        )  # fmt: skip
        return command, Accepted(at_s=self._now_s, evse=name, command_id=self._commands)

    def _take(self, *events: Event) -> None:
        for event in events:
            self._state = apply(self._state, event)
            for upkeep in UPKEEP:
                for fact in upkeep(self._state, event.at_s):
                    self._state = apply(self._state, fact)
                    if isinstance(fact, FaultRaised) and fact.code in OURS:
                        self._heard(fact)

    def _heard(self, fact: FaultRaised) -> None:
        """Count a fault that was found; a degradation that it speaks of is repaired."""
        is_true = self._worse(fact.evse) > 0.0 and cause_of(fact, {}, None) is self._one.cause
        if not is_true:
            self._found.false_alarms += 1
            return
        onset_s = self._onset_s.pop(fact.evse)
        self._repaired.add(fact.evse)
        self._found.delays_s.append(fact.at_s - onset_s)
        if fact.evse in self._warned_s:
            self._found.leads_s.append(fact.at_s - self._warned_s.pop(fact.evse))

    def _judge(self, name: EvseId, pause_s: float) -> None:
        """Hold the scores against the truth, and count the time of what is sound."""
        self._found.sound_s += pause_s * sum(self._worse(other) == 0.0 for other in self._names)
        health = scores(self._state)
        is_warned = health[name] < WARNED * max(health.values())
        if not is_warned:
            self._warned_s.pop(name, None)
        elif name not in self._warned_s:
            self._warned_s[name] = self._now_s
            self._found.false_warnings += self._worse(name) == 0.0 and name not in self._repaired


def _site(count: int) -> Site:
    most = Phases.all(count * MAX_A)
    main = Circuit(id=CircuitId("main"), parent=None, rating_a=most, failsafe_a=most, voltage_v=NOMINAL_V)
    stations = tuple(_station(f"s{number}") for number in range(count))
    return Site(id="health", name="Health", timezone="UTC", circuits=(main,), stations=stations,
                timing=Timing(meter_interval_s=READ_S))  # fmt: skip


def _station(name: str) -> Station:
    evse = Evse(
        id=EvseId(name), station=StationId(name), number=1, wiring=Wiring.THREE_PHASE, rotation=Rotation.RST,
        voltage_v=NOMINAL_V, min_a=6.0, max_a=MAX_A, default_a=6.0,
    )  # fmt: skip
    return Station(id=StationId(name), circuit=CircuitId("main"), evses=(evse,))
