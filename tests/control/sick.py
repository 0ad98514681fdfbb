"""A small site whose hardware fails on demand: facts in, upkeep after each, the clock by hand."""

from __future__ import annotations

from dataclasses import replace

from smartcharge.control.health.upkeep import UPKEEP
from smartcharge.control.limits import effective_limits
from smartcharge.control.state import State
from smartcharge.events import (
    Derated,
    Event,
    FaultCleared,
    FaultOrder,
    FaultRaised,
    Metered,
    Plugged,
    ServiceNeeded,
    TransactionEnded,
    TransactionStarted,
)
from smartcharge.faults import Cause, DeratingStage, Effect, OrderKind
from smartcharge.model import EvseId, Phases, Site, Timing
from tests.builders import NOON_S, charging, fold, ready, row_of, told

A, B = EvseId("a/1"), EvseId("b/1")
UNMETERED = Timing(meter_interval_s=10**6)
"""Stations that owe no readings: their meters are never stale."""
FOUR = replace(row_of(4, 200.0), timing=UNMETERED)


class Sick:
    """The state of a site, one fact after the other, with every fact that followed by itself."""

    def __init__(self, site: Site = FOUR) -> None:
        self.now_s = NOON_S
        self.followed: list[Event] = []
        self.state: State = fold(site, ready(site))
        for number, evse in enumerate(site.evses):
            name = evse.id
            self.state = fold(self.state, charging(name, NOON_S - 50.0, transaction=f"t{number}"))
            self.state = fold(self.state, told(name, evse.max_a, NOON_S - 40.0, command_id=50 + number))

    def take(self, *events: Event) -> None:
        self.state = fold(self.state, *events)
        for upkeep in UPKEEP:
            facts = list(upkeep(self.state, self.now_s))
            self.followed += facts
            self.state = fold(self.state, facts)

    def wait(self, seconds: float, step_s: float = 1.0) -> None:
        """Let time pass; the controller looks every step."""
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.now_s = min(until_s, self.now_s + step_s)
            self.take()

    def raised(self, code: str, evse: EvseId = A, effect: Effect | None = None, **said: str) -> None:
        self.take(FaultRaised(at_s=self.now_s, evse=evse, code=code, effect=effect, **said))

    def cleared(self, code: str, evse: EvseId = A) -> None:
        self.take(FaultCleared(at_s=self.now_s, evse=evse, code=code))

    def reading(self, amps: float = 16.0, evse: EvseId = A, **measured: object) -> None:
        """A plausible reading of a one-phase or three-phase car, unless told otherwise."""
        known = self.state.evses[evse]
        count = known.evse.phase_count
        register = known.reading.energy_wh if known.reading is not None and known.reading.energy_wh is not None else 0.0
        usual = Metered(
            at_s=self.now_s, evse=evse, current_a=Phases(*(amps if i < count else 0.0 for i in range(3))),
            power_w=amps * count * known.evse.voltage_v, energy_wh=register + 1.0 + amps * 4.0,
        )  # fmt: skip
        self.take(replace(usual, **measured))  # type: ignore[arg-type]

    def session(self, seconds: float, evse: EvseId = A, *, token: str = "t", reason: str = "Local", amps: float = 16.0,
                offered_a: float | None = None) -> None:  # fmt: skip
        """One transaction from its start to its end, read once."""
        known = self.state.evses[evse].session
        if known is not None and known.transaction_id is not None:
            self.end(evse, known.transaction_id)
        name = f"{token}-{self.now_s}"
        self.take(Plugged(at_s=self.now_s, evse=evse))
        self.take(
            TransactionStarted(
                at_s=self.now_s, evse=evse, transaction_id=name, id_token=token, meter_wh=self.register(evse)
            )
        )
        for part_s in (max(0.0, seconds - 200.0), min(seconds, 200.0)):
            limit_a = amps if offered_a is None else offered_a
            self.take(*told(evse, limit_a, self.now_s, command_id=self.state.last_command_id + 1))
            self.wait(part_s, 200.0)
        self.reading(amps, evse, energy_wh=(self.register(evse) + amps * 230.0 * seconds / 3600.0))
        self.end(evse, name, reason)
        self.wait(1.0)

    def register(self, evse: EvseId) -> float:
        reading = self.state.evses[evse].reading
        return 0.0 if reading is None or reading.energy_wh is None else reading.energy_wh

    def end(self, evse: EvseId, transaction: str, reason: str = "Local") -> None:
        register = self.register(evse)
        ended = TransactionEnded(
            at_s=self.now_s, evse=evse, transaction_id=transaction, reason=reason, meter_wh=register
        )
        self.take(ended)

    def order(self, kind: OrderKind, cause: Cause, evse: EvseId = A, limit_a: float | None = None, *,
              work_order: int | None = None) -> None:  # fmt: skip
        self.take(FaultOrder(at_s=self.now_s, evse=evse, cause=cause, kind=kind, author="Ada", reason="seen",
                             limit_a=limit_a, work_order=work_order))  # fmt: skip

    def cap_a(self, evse: EvseId = A) -> float:
        """What limits say the EVSE may have, with the floor of 6 A."""
        cap_a = effective_limits(self.state, self.now_s).caps[evse].limit_a
        return cap_a if cap_a >= self.state.evses[evse].evse.min_a else 0.0

    def stage(self, cause: Cause, evse: EvseId = A) -> DeratingStage | None:
        known = self.state.evses[evse].health.deratings.get(cause)
        return None if known is None else known.said.stage

    def steps(self, evse: EvseId = A) -> list[float]:
        return [e.limit_a for e in self.followed if isinstance(e, Derated) and e.evse == evse]

    def services(self) -> list[tuple[str, Cause, str]]:
        return [(e.subject, e.cause, e.priority.value) for e in self.followed if isinstance(e, ServiceNeeded)]
