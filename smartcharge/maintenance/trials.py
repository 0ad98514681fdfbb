"""Regular self-tests: that stations answer, that meters are plausible, that a car follows a lower limit.

What drivers notice is done only with those who agreed: the id tokens in the site file.  A limit is only ever
lowered, by an order as a person gives one, so everything else stays as safe as it is.  Results are facts; a failed
one raises a work order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final

from smartcharge.clock import now_s
from smartcharge.control.evse import OVER_LIMIT, EvseState, drawn_a
from smartcharge.errors import Refused, StationError
from smartcharge.events import Charging, Metered, OperatorOrder, SelfTest, SelfTested
from smartcharge.maintenance.plausibility import Verdict, judged
from smartcharge.model import EvseId, StationId, Timing
from smartcharge.orders import Message
from smartcharge.ports import Chronicle, Emit, Kept, Orderly, Snapshot

DAY_S: Final = 86400.0
FIRST_S: Final = 300.0
"""After a start, before anything is tried [s]: stations are just coming back."""
ROUND_S: Final = 60.0
"""How often it looks whether something is due and possible [s]."""
STEP_A: Final = 3.0
"""A car must draw this much above the lower limit for anything to be seen [A]."""
READINGS: Final = 4
"""Periods of meter values that a step is watched for."""
LEAST_READINGS: Final = 2
"""Of fewer while the limit is low nothing is to be seen: a station owes one each period."""
AUTHOR: Final = "self-test"
"""Who orders the lower limit."""
_QUESTION: Final = Message(action="TriggerMessage", payload={"requestedMessage": "Heartbeat"})
"""Has the same words in every version of OCPP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """How often tests are due, and who agreed to those that are felt."""

    every_s: float
    tokens: frozenset[str] = frozenset()
    """Id tokens (OCPP 1.6 idTag)."""


@dataclass(slots=True, kw_only=True)
class Trials:
    """A `ports.Source` of `SelfTested`, and a `ports.Observer`: what it sees of the site is what everybody sees."""

    agreed: Agreed
    chronicle: Chronicle
    stations: Mapping[StationId, Orderly]
    """Those that can be asked."""
    name: str = "self-tests"
    trouble: str | None = None
    _now: Snapshot | None = None
    _watched: EvseId | None = None
    _readings: list[Metered] = field(default_factory=list)
    _was_over: bool = False
    """Whether the controller caught it above all that it was told meanwhile."""
    _last_s: dict[tuple[str, SelfTest], float] = field(default_factory=dict)

    def observe(self, snapshot: Snapshot) -> None:
        """Take note of the site, and of each reading of the EVSE that is under test."""
        self._now = snapshot
        if self._watched is None:
            return
        evse = snapshot.state.evses[self._watched]
        reading, self._was_over = evse.reading, self._was_over or OVER_LIMIT in evse.faults
        if reading is not None and (not self._readings or self._readings[-1] != reading):
            self._readings.append(reading)

    async def run(self, emit: Emit) -> None:
        """Test what is due, one after the other, until cancelled."""
        await self._recall(emit)
        await asyncio.sleep(FIRST_S)
        while True:
            for station in [name for name in self.stations if self._is_online(name)]:
                if self._is_due(f"station {station}", SelfTest.CONNECTION):
                    await self._ask(station, emit)
            evse = next((name for name in self._candidates() if self._is_due(f"evse {name}", SelfTest.SETPOINT)), None)
            if evse is not None:
                await self._lower(evse, emit)
            await asyncio.sleep(ROUND_S)

    async def _recall(self, emit: Emit) -> None:
        """Take up what was tested when; a lower limit that a crash left behind is lifted."""
        cap: dict[EvseId, OperatorOrder] = {}
        for _, event in await self.chronicle.facts():
            if isinstance(event, SelfTested):
                self._last_s[event.subject, event.test] = event.at_s
            elif isinstance(event, OperatorOrder):
                cap[event.evse] = event
        for evse, order in cap.items():
            if order.author == AUTHOR and order.limit_a is not None:
                await emit(_cap(evse, None, "the test was cut short"))

    def _is_due(self, subject: str, test: SelfTest) -> bool:
        return now_s() - self._last_s.get((subject, test), -inf) >= self.agreed.every_s

    async def _tell(self, subject: str, test: SelfTest, verdict: Verdict, emit: Emit) -> None:
        self._last_s[subject, test] = now_s()
        await emit(SelfTested(at_s=now_s(), subject=subject, test=test, passed=verdict.passed, detail=verdict.detail))

    # -- connection

    def _is_online(self, station: StationId) -> bool:
        return self._now is not None and self._now.state.stations[station].online

    async def _ask(self, station: StationId, emit: Emit) -> None:
        """Ask something harmless; a refusal is an answer, too.  One that is away has its own work order."""
        asked_s = now_s()
        try:
            await self.stations[station].ask(station, _QUESTION)
            verdict = Verdict(passed=True, detail=f"answered after {now_s() - asked_s:.1f} s")
        except Refused as error:
            verdict = Verdict(passed=True, detail=f"answered after {now_s() - asked_s:.1f} s: {error}")
        except StationError as error:
            if not self._is_online(station):
                return
            verdict = Verdict(passed=False, detail=str(error))
        await self._tell(f"station {station}", SelfTest.CONNECTION, verdict, emit)

    # -- setpoint and meter

    def _candidates(self) -> Iterator[EvseId]:
        """Yield the EVSEs at which somebody charges who agreed, with enough current to see a difference."""
        for name, evse in ({} if self._now is None else self._now.state.evses).items():
            session = evse.session
            is_agreed = session is not None and session.id_token in self.agreed.tokens
            if (
                is_agreed
                and evse.order is None
                and not evse.health.deratings
                and _drawn_a(evse) >= _low_a(evse) + STEP_A
            ):
                yield name

    async def _lower(self, name: EvseId, emit: Emit) -> None:
        """Lower one EVSE's limit for a while, lift it again, and judge what was measured meanwhile."""
        before = self._evse(name)
        low_a = _low_a(before)
        self._watched, self._readings, self._was_over = name, [], False
        try:
            await emit(_cap(name, low_a, f"follows {low_a:.1f} A?"))
            await self._wait()
            lowered, count = self._evse(name), len(self._readings)
            if lowered.order is None or lowered.order.author != AUTHOR:
                return  # a person has given an order meanwhile: that one stays
            await emit(_cap(name, None, "done"))
            await self._wait()
            after = self._evse(name)
            if self._was_over:  # then it may have been stopped altogether
                verdict = Verdict(passed=False, detail=f"drew more than the {low_a:.1f} A that it was told")
                await self._tell(f"evse {name}", SelfTest.SETPOINT, verdict, emit)
            elif _transaction(after) == _transaction(before) and lowered.charging is not Charging.SUSPENDED_EV:
                verdict = _followed(low_a, (before, lowered, after), readings=count)
                await self._tell(f"evse {name}", SelfTest.SETPOINT, verdict, emit)
                if (plausible := judged(before.evse, self._readings)) is not None:
                    await self._tell(f"evse {name}", SelfTest.METER, plausible, emit)
        finally:
            self._watched = None

    async def _wait(self) -> None:
        assert self._now is not None
        timing: Timing = self._now.site.timing
        await asyncio.sleep(timing.command_s + timing.settle_s + READINGS * timing.meter_interval_s)

    def _evse(self, name: EvseId) -> EvseState:
        assert self._now is not None
        return self._now.state.evses[name]


def _cap(evse: EvseId, limit_a: float | None, reason: str) -> OperatorOrder:
    return OperatorOrder(at_s=now_s(), evse=evse, limit_a=limit_a, author=AUTHOR, reason=reason)


def _transaction(evse: EvseState) -> str | None:
    return None if evse.session is None else evse.session.transaction_id


def _drawn_a(evse: EvseState) -> float:
    return drawn_a(evse.evse, evse.reading) or 0.0


def _low_a(evse: EvseState) -> float:
    """Return the limit that a car is to follow [A]: two thirds of what it draws, and never a stop."""
    return max(evse.evse.min_a, _drawn_a(evse) * 2.0 / 3.0)


def _followed(low_a: float, seen: tuple[EvseState, EvseState, EvseState], readings: int) -> Verdict:
    """Return whether a car followed: above 1.1 x (limit + 0.5 A) it did not (EVerest's soft overcurrent)."""
    had_a, has_a, back_a = map(_drawn_a, seen)
    if readings < LEAST_READINGS:
        return Verdict(passed=False, detail=f"told {low_a:.1f} A: no reading came")
    words = f"{had_a:.1f} A, told {low_a:.1f} A: {has_a:.1f} A, let go: {back_a:.1f} A"
    return Verdict(passed=has_a <= 1.1 * (low_a + 0.5), detail=words)


def newest(facts: Iterable[Kept]) -> dict[tuple[str, SelfTest], SelfTested]:
    """Return the last result of each test of each subject."""
    return {(e.subject, e.test): e for _, e in facts if isinstance(e, SelfTested)}
