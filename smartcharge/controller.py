"""The shell around the pure core: one TaskGroup, a fast loop and a slow loop.

It is the only writer of the state.  Adapters hand it facts through `emit`; it applies and journals
them, decides, writes down what it is about to say, and says it.  No loop waits for a station.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Final

import solvers
from smartcharge.clock import month_s, now_s
from smartcharge.control.allocation import allocate
from smartcharge.control.compliance import derived
from smartcharge.control.health.upkeep import UPKEEP
from smartcharge.control.limits import effective_limits
from smartcharge.control.plan import Decision, Plan
from smartcharge.control.planning import Question, plan_of, question
from smartcharge.control.profiles import changes
from smartcharge.control.schedule import calls_for_plan, matters, next_due_s
from smartcharge.control.sharing import leases
from smartcharge.control.state import State, apply
from smartcharge.errors import Refused, StationError
from smartcharge.events import (
    Accepted,
    BillingPeriodBegan,
    CircuitMetered,
    ClockStepped,
    Commanded,
    ControllerStarted,
    Event,
    FaultOrder,
    LimitFollowed,
    LimitLifted,
    LimitSet,
    LimitsReplaced,
    Metered,
    OperatorOrder,
    ResetOrdered,
    ShareLeased,
    SourceHeard,
    StationLearnt,
    StationOffline,
    TransactionEnded,
    TransactionStarted,
    Watched,
)
from smartcharge.model import Site, StationId
from smartcharge.orders import Reset
from smartcharge.ports import Charger, Journal, Observer, Orderly, Snapshot, Source
from solvers.problem import Schedule

_ACKNOWLEDGED: Final = (
    TransactionStarted, TransactionEnded, LimitSet, LimitLifted, LimitsReplaced, OperatorOrder, FaultOrder,
)  # fmt: skip
"""Facts whose sender is told that they were received: whatever happens then, they are written down."""
_CALM: Final = (
    Metered, CircuitMetered, LimitFollowed, LimitSet, LimitsReplaced, SourceHeard, StationLearnt, Accepted, Commanded,
    ShareLeased, Watched,
)  # fmt: skip
"""Facts that may wait for the next turn of the fast loop."""
STEP_S: Final = 1.0
"""A clock that jumps by more was set; less is its own way of running [s]."""
RESTART_S: Final = (1.0, 60.0)
"""First and longest pause before a failed source is started again [s]."""
WATCH_S: Final = 900.0
"""How often it is written down that the controller is at work [s]; California's records are of 15 minutes."""

log = logging.getLogger(__name__)


class Controller:
    """One site's controller; `run` it until it is cancelled."""

    def __init__(
        self,
        site: Site,
        *,
        journal: Journal,
        sources: Sequence[Source] = (),
        chargers: Sequence[Charger] = (),
        observers: Sequence[Observer] = (),
    ) -> None:
        self.state = replay(journal.resume(site), journal.load())
        """What is known: the fold of the journal (I5)."""
        self._site = site
        self._journal = journal
        self._sources = (*sources, *chargers)
        self._charger_of = {station: charger for charger in chargers for station in charger.stations()}
        self._observers = observers
        self._plan: Plan | None = None
        self._answers = solvers.Answers(site.solver)
        self._failed: dict[str, str] = {}
        self._ahead_s: float | None = None
        """How far the clock is ahead of the loop's, which is never set."""
        self._changed = asyncio.Event()
        self._urgent = asyncio.Event()
        self._replan = asyncio.Event()
        self._resets: asyncio.Queue[ResetOrdered] = asyncio.Queue()

    async def run(self) -> None:
        """Take in facts, plan and command until cancelled."""
        since_s = now_s()
        self._take(Watched(at_s=since_s, since_s=since_s))
        await self._forget_connections()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fast_loop(), name="fast loop")
            group.create_task(self._slow_loop(), name="slow loop")
            group.create_task(self._restart_stations(), name="restarts")
            group.create_task(self._watch(since_s), name="watch")
            for source in self._sources:
                group.create_task(self._supervise(source), name=source.name)

    async def emit(self, event: Event) -> None:
        """Apply and journal a fact; return when it survives a crash if it is billed (I8) or acknowledged."""
        self._take(event)
        if isinstance(event, _ACKNOWLEDGED) or (isinstance(event, Metered) and event.energy_wh is not None):
            await self._journal.flush()

    def _take(self, event: Event) -> None:
        before, after = self.state, apply(self.state, event)
        self._journal.append(event)  # only what can be folded: a start folds it again
        self.state = after
        if self._journal.is_snapshot_due:
            self._journal.snapshot(self.state)
        if matters(before, self.state, event):
            self._changed.set()
        is_news = calls_for_plan(before, self.state, event)
        if is_news:
            self._replan.set()
        if is_news or not isinstance(event, _CALM):
            self._urgent.set()

    async def _forget_connections(self) -> None:
        """Write down that nobody is connected: a controller that starts has spoken to no one."""
        await self.emit(ControllerStarted(at_s=now_s()))
        for name, station in self.state.stations.items():
            if station.online:
                await self.emit(StationOffline(at_s=now_s(), station=name, reason="controller started"))

    async def _watch(self, since_s: float) -> None:
        """Write down now and then that facts would have been heard: a quiet night is not a controller that was off."""
        while True:
            await self._journal.flush()
            await asyncio.sleep(WATCH_S)
            self._take(Watched(at_s=now_s(), since_s=since_s))

    async def _fast_loop(self) -> None:
        """Decide at once on urgent facts, within `fast_s` on others, and when something expires."""
        while True:
            decision = await self._cycle()
            due_s = next_due_s(self.state, decision, self._plan, now_s())
            await self._wait_for_work(due_s)

    async def _restart_stations(self) -> None:
        """Restart stations one after the other; one that cannot be, or says no, goes on as it is."""
        while True:
            order = await self._resets.get()
            charger: object = self._charger_of.get(order.station)
            try:
                if not isinstance(charger, Orderly):
                    raise Refused("it takes no orders beside limits")
                await charger.ask(order.station, Reset())
            except StationError as error:
                log.warning("%s is not restarted: %s", order.station, error)

    async def _wait_for_work(self, due_s: float) -> None:
        fast_s = self._site.timing.fast_s
        try:
            async with asyncio.timeout(max(due_s - now_s(), 0.0)):
                await self._changed.wait()
        except TimeoutError:
            return
        try:
            async with asyncio.timeout(fast_s):
                await self._urgent.wait()
        except TimeoutError:
            pass

    async def _cycle(self) -> Decision:
        """Take one control cycle: derive faults, find the limits, allocate, write down, command, show."""
        self._changed.clear()
        self._urgent.clear()
        at_s = now_s()
        self._check_clock(at_s)
        for upkeep in UPKEEP:
            for fact in upkeep(self.state, at_s):
                log.warning("%s", fact)
                self._take(fact)
                if isinstance(fact, ResetOrdered):
                    self._resets.put_nowait(fact)
        for fact in tuple(derived(self.state, at_s)):
            self._take(fact)
        limits = effective_limits(self.state, at_s)
        decision = allocate(self.state, limits, self._plan, at_s)
        commands = [c for c in changes(self.state, decision, at_s) if self._station(c) in self._charger_of]
        shares = tuple(leases(self.state, at_s))
        said: tuple[Commanded | ShareLeased, ...] = (*commands, *shares)
        for word in said:
            self._take(word)
        # Facts that come in while this is written down belong to the next cycle.
        snapshot = Snapshot(
            at_s=at_s, site=self._site, state=self.state, limits=limits,
            plan=self._plan, decision=decision, troubles=self._troubles(),
        )  # fmt: skip
        if said:
            # What is about to be said is written down: after a crash it must still be believed.
            await self._journal.flush()
        self._send(commands)
        for observer in self._observers:
            observer.observe(snapshot)
        return decision

    def _check_clock(self, at_s: float) -> None:
        """Write down that the clock was set, by comparing it with one that only runs."""
        ahead_s = at_s - asyncio.get_running_loop().time()
        step_s = 0.0 if self._ahead_s is None else ahead_s - self._ahead_s
        self._ahead_s = ahead_s
        if abs(step_s) > STEP_S:
            log.warning("the clock was set by %+.1f s", step_s)
            self._take(ClockStepped(at_s=at_s, step_s=step_s))

    def _troubles(self) -> dict[str, str]:
        """Return what does not work now, by source: its own word, or how it failed."""
        return {s.name: s.trouble for s in self._sources if s.trouble is not None} | self._failed

    def _send(self, commands: Sequence[Commanded]) -> None:
        for command in commands:
            self._charger_of[self._station(command)].wish(command)

    def _station(self, command: Commanded) -> StationId:
        return self.state.evses[command.evse].evse.station

    async def _slow_loop(self) -> None:
        while True:
            self._replan.clear()
            self._bill()
            limits = effective_limits(self.state, now_s())
            asked = question(self.state, limits, now_s())
            self._plan = None if asked is None else plan_of(asked, await self._solve(asked))
            self._changed.set()
            self._urgent.set()
            await self._wait_for_news(None if asked is None else self._site.timing.slow_s)

    def _bill(self) -> None:
        """Write down that a month began, if one did since the last time."""
        at_s, since_s = now_s(), self.state.demand.since_s
        if self._site.money.peak_per_kw > 0.0 and (since_s is None or since_s < month_s(at_s, self._site.timezone)):
            self._take(BillingPeriodBegan(at_s=at_s))

    async def _wait_for_news(self, timeout_s: float | None) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._replan.wait()
        except TimeoutError:
            pass

    async def _solve(self, asked: Question) -> Schedule:
        """Return a verified schedule; a solver that does not come back is left behind."""
        solve_s = self._site.timing.solve_s
        work = asyncio.to_thread(self._answers, asked.problem, solve_s)
        try:
            async with asyncio.timeout(3.0 * solve_s):
                return await work
        except TimeoutError:
            log.exception("solver %s hangs: greedy answers", self._site.solver)
            self._answers = solvers.Answers(self._site.solver)
            return solvers.answer(asked.problem, solve_s, "greedy")

    async def _supervise(self, source: Source) -> None:
        """Run a source for ever: when it fails, say so, wait, start it again."""
        first_s, longest_s = RESTART_S
        pause_s = first_s
        while True:
            started_s = now_s()
            try:
                await source.run(self.emit)
                trouble = "ended"
            except Exception as error:  # the one place that keeps the site running whatever an adapter does
                log.exception("%s failed", source.name)
                trouble = f"{type(error).__name__}: {error}"
            self._failed[source.name] = trouble
            self._changed.set()
            pause_s = first_s if now_s() - started_s > longest_s else min(2.0 * pause_s, longest_s)
            await asyncio.sleep(pause_s)
            del self._failed[source.name]


def replay(state: State, events: Iterable[Event]) -> State:
    """Return the state that events lead to from another (I5)."""
    for event in events:
        state = apply(state, event)
    return state
