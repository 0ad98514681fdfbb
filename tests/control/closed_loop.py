"""The controller's cycle against reference stations, without I/O: what is believed is held against what is true."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from itertools import count
from typing import TypeAlias

import numpy as np

from smartcharge.control import invariants
from smartcharge.control.allocation import allocate
from smartcharge.control.evse import OVER_LIMIT
from smartcharge.control.health.upkeep import UPKEEP
from smartcharge.control.limits import Limits, effective_limits
from smartcharge.control.plan import Decision, Plan
from smartcharge.control.planning import plan_of, question
from smartcharge.control.profiles import changes
from smartcharge.control.reach import is_commandable
from smartcharge.control.schedule import matters, next_due_s
from smartcharge.control.state import State, apply
from smartcharge.control.topology import Row
from smartcharge.events import (
    Accepted,
    Commanded,
    Event,
    Rejected,
    Unanswered,
)
from smartcharge.model import EvseId, Site
from solvers.greedy import greedy
from solvers.problem import Floats
from tests.builders import NOON_S, accepted, line_currents, rejected, unanswered
from tests.control.reference_stations import NEVER, Bay, Mood, Peer

SLACK_A = 1e-3
MakePlan: TypeAlias = Callable[[State, float], Plan | None]


def greedy_plan(state: State, now_s: float) -> Plan | None:
    asked = question(state, effective_limits(state, now_s), now_s)
    return None if asked is None else plan_of(asked, greedy(asked.problem, 0.0))


class World:
    """A site's true stations, and the controller's cycle over what it hears of them."""

    def __init__(self, site: Site, make_plan: MakePlan = greedy_plan) -> None:
        self.site, self.timing, self.make_plan = site, site.timing, make_plan
        self.now_s = NOON_S
        self.start = self.state = State.initial(site)
        self.events: list[Event] = []
        margin_s = site.timing.margin_s
        self.peers = [Peer.of(s, (-margin_s, 0.0, margin_s)[i % 3]) for i, s in enumerate(site.stations)]
        self.peer_of = {bay.evse.id: peer for peer in self.peers for bay in peer.bays}
        self.bays = {bay.evse.id: bay for peer in self.peers for bay in peer.bays}
        self.is_controlled = True
        self.plan: Plan | None = None
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count(1)
        self._cycle_due_s = NOON_S

    # -- time

    def advance(self, wait_s: float) -> None:
        """Let time pass: answers come, profiles end, cycles run when they are due."""
        end_s = self.now_s + wait_s
        while (next_s := min(self._due[0][0] if self._due else NEVER, self._cycle_due_s)) <= end_s:
            self.now_s = max(self.now_s, next_s)
            if self._due and self._due[0][0] <= self.now_s:
                heapq.heappop(self._due)[2]()
            else:
                self.cycle()
            self.check_truth()
        self.now_s = end_s
        self.check_truth()

    def cycle(self) -> None:
        """One turn of the fast loop, as the controller takes it."""
        if not self.is_controlled:
            self._cycle_due_s = NEVER
            return
        if self.plan is not None and self.now_s - self.plan.made_at_s > self.timing.slow_s:
            self.plan = self.make_plan(self.state, self.now_s)
        for upkeep in UPKEEP:
            for fact in list(upkeep(self.state, self.now_s)):
                self.emit(fact)
        limits = effective_limits(self.state, self.now_s)
        decision = allocate(self.state, limits, self.plan, self.now_s)
        self.check_decision(limits, decision)
        commands = changes(self.state, decision, self.now_s)
        for command in commands:
            self.emit(command)
        self.check_decision(limits, decision)
        for command in commands:
            self._wish(command)
        self._cycle_due_s = next_due_s(self.state, decision, self.plan, self.now_s)

    def emit(self, event: Event) -> None:
        before, self.state = self.state, apply(self.state, event)
        self.events.append(event)
        if matters(before, self.state, event):
            self._cycle_due_s = min(self._cycle_due_s, self.now_s + self.timing.fast_s)

    def _later(self, at_s: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._due, (at_s, next(self._number), call))

    # -- what must hold

    def check_truth(self) -> None:
        """What is believed contains the truth, on every EVSE and on every line; nobody who obeys is accused."""
        reserved_a = {name: self.state.reserved_a(name, self.now_s) for name in self.bays}
        for name, bay in self.bays.items():
            true_a = self.worst_a(bay)
            assert true_a <= reserved_a[name] + SLACK_A, f"{name} may draw {true_a} A, not {reserved_a[name]} A"
            assert OVER_LIMIT not in self.state.evses[name].faults
        bounds = self.state.topology.loads(np.array([reserved_a[name] for name in self.state.topology.evses]))
        lines = self.lines(worst=False)
        for row, bound_a in _highest(self.state.topology.rows, bounds).items():
            assert lines[_key(row)] <= bound_a + SLACK_A, (
                f"{row.label}: {lines[_key(row)]} A flow, {bound_a} A are reserved"
            )

    def check_decision(self, limits: Limits, decision: Decision) -> None:
        """The invariants hold; what is said is what the hardware can do, and within every cap."""
        assert invariants.broken(self.state, limits, decision, self.now_s) == ()
        for name, setpoint in decision.setpoints.items():
            assert setpoint.reason
            if is_commandable(self.state, name):
                evse, amps = self.state.evses[name].evse, setpoint.limit_a
                assert amps == 0.0 or evse.min_a - SLACK_A <= amps <= limits.caps[name].limit_a + SLACK_A
                assert not evse.steps_a or amps in evse.steps_a

    def lines_over(self) -> Iterator[tuple[str, list[EvseId]]]:
        """Lines over what is allowed if every car draws all it may, and the EVSEs on each that may be told less."""
        limits, lines = effective_limits(self.state, self.now_s), self.lines(worst=True)
        for r, row in enumerate(limits.rows):
            if row.phase is not None and lines[_key(row)] > limits.available_a[r] + SLACK_A:
                names = [name for e, name in enumerate(self.bays) if self.state.topology.coupling[r, e]]
                told = [n for n in names if is_commandable(self.state, n) and self.worst_a(self.bays[n]) > 0.0]
                yield f"{row.label}: {lines[_key(row)]:.2f} of {limits.available_a[r]:.2f} A", told

    def lines(self, *, worst: bool) -> dict[tuple[str, int], float]:
        bays = self.bays.values()
        own_a = [bay.own_a(self.worst_a(bay) * (1.0 if worst else bay.share)) for bay in bays]
        return line_currents(self.site, np.array(own_a))

    def worst_a(self, bay: Bay) -> float:
        amps = bay.worst_a(self.now_s, self.timing.settle_s)
        return amps if self.peer_of[bay.evse.id].is_on else 0.0

    # -- commands

    def _wish(self, command: Commanded) -> None:
        peer = self.peer_of[command.evse]
        peer.mailbox.pop((command.evse, command.kind), None)
        peer.mailbox[command.evse, command.kind] = command
        self._send(peer)

    def _send(self, peer: Peer) -> None:
        """Send the next command, one at a time; what becomes of it is the station's mood."""
        if peer.outstanding is not None or not peer.mailbox or not peer.is_online:
            return
        command = peer.outstanding = peer.mailbox.pop(next(iter(peer.mailbox)))
        given_up_s = self.now_s + self.timing.command_s
        match peer.mood:
            case Mood.REFUSES:
                self._answer(peer, rejected(command, self.now_s + 1.0))
            case Mood.HEARS_NOTHING:
                self._answer(peer, unanswered(command, given_up_s))
            case Mood.OBEYS | Mood.SLOW | Mood.LOSES_ANSWER as mood:
                taken_s = max(peer.busy_until_s, given_up_s + 2.0 if mood is Mood.SLOW else self.now_s + 0.5)
                peer.busy_until_s = taken_s
                is_heard = mood is Mood.OBEYS and taken_s + 0.5 < given_up_s
                self.through(peer, taken_s, lambda: self._taken(peer, command, is_heard=is_heard))
                if not is_heard:
                    self._answer(peer, unanswered(command, given_up_s))

    def _taken(self, peer: Peer, command: Commanded, *, is_heard: bool) -> None:
        is_taken = self.bays[command.evse].obey(command, peer.clock_off_s, self.now_s)
        if is_heard and is_taken:
            self._answer(peer, accepted(command, self.now_s + 0.5))
        elif is_heard:
            self._answer(peer, rejected(command, self.now_s + 0.5, "no such transaction"))

    def _answer(self, peer: Peer, event: Accepted | Rejected | Unanswered) -> None:
        def come() -> None:
            peer.outstanding = None
            self.emit(event)
            self._send(peer)

        self.through(peer, event.at_s, come)

    def through(self, peer: Peer, at_s: float, call: Callable[[], None]) -> None:
        """Let something happen if the connection still stands by then."""
        connection = peer.connection
        self._later(at_s, lambda: call() if peer.connection == connection else None)


def _key(row: Row) -> tuple[str, int]:
    assert row.phase is not None
    return (row.circuit if row.station is None else f"station {row.station}", row.phase)


def _highest(rows: tuple[Row, ...], loads: Floats) -> dict[Row, float]:
    """The highest current [A] of every line over the rows that bound it."""
    found: dict[Row, float] = {}
    for row, load in zip(rows, loads, strict=True):
        if row.phase is not None:
            found[row] = max(found.get(row, 0.0), float(load))
    return found
