"""How cars behave, seen from what the controller sees anyway: a fact about each transaction that ends."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from smartcharge.clock import now_s
from smartcharge.control.evse import DRAWS_A, EvseState
from smartcharge.events import CarMeasured, Charging, Metered
from smartcharge.model import EvseId
from smartcharge.ports import Emit, Snapshot

WAKES_S: Final = 180.0
"""A car that draws nothing so long after a pause of ours is over has not woken [s]."""
NEAR: Final = 0.8
"""A car that takes this share of an offer is held by it."""


@dataclass(slots=True, kw_only=True)
class _Watch:
    """What was seen of one transaction so far."""

    transaction_id: str
    id_token: str | None
    of_phases: int
    phases: int | None = None
    best_a: float = 0.0
    kept_at_a: float | None = None
    lost_at_a: float | None = None
    woke_s: float | None = None
    slept: bool = False
    charging: Charging | None = None
    told_a: float = 0.0
    """What it was told when it was last looked at [A]."""
    reading: Metered | None = None
    offered_a: float = 0.0
    """At the last reading [A]."""
    drew: bool = False
    """Whether it drew then."""
    is_paused: bool = False
    """Whether it drew, was then offered too little to charge, and has not drawn since."""
    resumed_s: float | None = None
    """Since when it is offered enough again [s since 1970]."""

    def see(self, evse: EvseState) -> None:
        """Learn from the car's own pause, and from a reading, if it is a new one whose offer is sure."""
        pauses = evse.charging is Charging.SUSPENDED_EV and self.charging is not Charging.SUSPENDED_EV
        if pauses and evse.evse.min_a <= self.told_a < self.offered_a:
            self.lost_at_a = max(self.lost_at_a or 0.0, self.told_a)
        self.charging = evse.charging
        self.told_a = 0.0 if evse.commanded is None else evse.commanded.limit_a  # one that pauses is told less at once
        reading, offered_a = evse.reading, evse.offered_a
        if reading is None or reading.current_a is None or offered_a is None or reading is self.reading:
            return
        drawn_a = max(reading.current_a)
        draws = drawn_a >= DRAWS_A
        if evse.session is not None and evse.session.vehicle.phases_used is not None:
            self.phases = evse.session.vehicle.phases_used
        self.best_a = max(self.best_a, drawn_a)
        enough = offered_a >= evse.evse.min_a
        if draws and enough and drawn_a >= NEAR * offered_a:
            self.kept_at_a = offered_a if self.kept_at_a is None else min(self.kept_at_a, offered_a)
        self._pause(reading.at_s, draws=draws, enough=enough)
        self.reading, self.offered_a, self.drew = reading, offered_a, draws

    def _pause(self, at_s: float, *, draws: bool, enough: bool) -> None:
        """Follow a pause of ours, and how the car comes out of it."""
        if self.drew and not draws and not enough:
            self.is_paused, self.resumed_s = True, None
        elif self.is_paused and draws:
            waited_s = 0.0 if self.resumed_s is None else at_s - self.resumed_s
            self.woke_s = max(self.woke_s or 0.0, waited_s)
            self.is_paused = False
        elif self.is_paused and enough:
            self.resumed_s = at_s if self.resumed_s is None else self.resumed_s
            if at_s - self.resumed_s >= WAKES_S:
                self.slept, self.is_paused = True, False
        elif self.is_paused:
            self.resumed_s = None

    def said(self, evse: EvseId) -> CarMeasured:
        """Return what came of it."""
        return CarMeasured(
            at_s=now_s(), evse=evse, transaction_id=self.transaction_id, id_token=self.id_token, phases=self.phases,
            of_phases=self.of_phases, best_a=self.best_a, kept_at_a=self.kept_at_a, lost_at_a=self.lost_at_a,
            woke_s=self.woke_s, slept=self.slept,
        )  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Observation:
    """A `ports.Observer` of every cycle, and a `ports.Source` of `CarMeasured`."""

    name: str = "cars"
    trouble: str | None = None
    _watches: dict[EvseId, _Watch] = field(default_factory=dict)
    _ended: asyncio.Queue[CarMeasured] = field(default_factory=asyncio.Queue)

    def observe(self, snapshot: Snapshot) -> None:
        """Look at every car that charges; say what came of a transaction that is over."""
        for name, evse in snapshot.state.evses.items():
            session, known = evse.session, self._watches.get(name)
            running = None if session is None else session.transaction_id
            if known is not None and known.transaction_id != running:
                del self._watches[name]
                if known.best_a >= DRAWS_A:
                    self._ended.put_nowait(known.said(name))
            if session is not None and running is not None:
                known = self._watches.setdefault(
                    name, _Watch(transaction_id=running, id_token=session.id_token, of_phases=evse.evse.phase_count)
                )
                known.see(evse)

    async def run(self, emit: Emit) -> None:
        """Hand on what was seen until cancelled."""
        while True:
            await emit(await self._ended.get())
