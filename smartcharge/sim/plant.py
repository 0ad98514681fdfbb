"""A controller with its adapters, on a simulated site: started, killed without a word, started again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from smartcharge.config.settings import Settings
from smartcharge.control.prediction import History
from smartcharge.control.state import State
from smartcharge.controller import Controller, replay
from smartcharge.csms.server import Csms, Options
from smartcharge.events import (
    Derated,
    Event,
    FaultRaised,
    Rejected,
    ResetOrdered,
    Restored,
    ServiceNeeded,
    SiteFaultCleared,
    SiteFaultRaised,
    StationOffline,
    Unanswered,
)
from smartcharge.model import Site
from smartcharge.mqtt.room import MqttRoom
from smartcharge.ports import Charger, Journal, Ledger, Observer, Source

Evidence = FaultRaised | Rejected | StationOffline | Unanswered
"""Facts that tell of something wrong."""
Outcome = Derated | Restored | SiteFaultRaised | SiteFaultCleared | ServiceNeeded | ResetOrdered
"""Facts that tell what was done about it."""


class ListJournal:
    """A `ports.Journal` that lives as long as the run, for runs in which the store is not the question."""

    KEPT = 200_000
    """Facts from which they give way to the state that they lead to: a simulated year has ten million."""

    def __init__(self, history: History | None = None) -> None:
        """Begin with what earlier sessions have taught, or with nothing."""
        self._history = History() if history is None else history
        self._events: list[Event] = []
        self._base: State | None = None
        self.has_led = True
        """Whether all facts so far led to the states that were given for them (I5)."""

    def append(self, event: Event) -> None:
        """Keep a fact."""
        self._events.append(event)

    async def flush(self) -> None:
        """Return at once."""

    @property
    def is_snapshot_due(self) -> bool:
        """Tell whether enough facts are kept."""
        return len(self._events) >= self.KEPT

    def snapshot(self, state: State) -> None:
        """Begin anew with a state, once the facts were folded again to see that they lead to it."""
        assert self._base is not None
        self.has_led = self.has_led and replay(self._base, self._events) == state
        self._base, self._events = state, []

    def resume(self, site: Site) -> State:
        """Return what is known before the first fact that is kept."""
        if self._base is None:
            self._base = replace(State.initial(site), history=self._history)
        return self._base

    def load(self) -> Iterator[Event]:
        """Yield all facts, oldest first."""
        return iter(tuple(self._events))


@dataclass(slots=True, kw_only=True)
class _Witness:
    """A journal that remembers the facts that tell of something wrong."""

    journal: Journal
    evidence: list[Evidence]
    outcomes: list[Outcome]

    def append(self, event: Event) -> None:
        self.journal.append(event)
        if isinstance(event, Evidence):
            self.evidence.append(event)
        elif isinstance(event, Outcome):
            self.outcomes.append(event)

    async def flush(self) -> None:
        await self.journal.flush()

    @property
    def is_snapshot_due(self) -> bool:
        return self.journal.is_snapshot_due

    def snapshot(self, state: State) -> None:
        self.journal.snapshot(state)

    def resume(self, site: Site) -> State:
        return self.journal.resume(site)

    def load(self) -> Iterator[Event]:
        return self.journal.load()


@dataclass(slots=True, kw_only=True)
class Plant:
    """Everything that runs on the site's own box, with the store that outlives it."""

    settings: Settings
    journal: Journal
    ledger: Ledger | None = None
    """What numbers OCPP transactions; None where stations are not reached over OCPP."""
    chargers: Sequence[Charger] = ()
    """Stations that are not reached over a socket."""
    sources: Sequence[Source] = ()
    observers: Sequence[Observer] = ()
    ocpp_port: int = 0
    evidence: list[Evidence] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    starts: int = 0
    controller: Controller | None = None
    _task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the controller from what the store has; return once stations can connect."""
        self.starts += 1
        chargers, sources, observers = [*self.chargers], [*self.sources], [*self.observers]
        csms = None
        if self.ledger is not None:
            options = Options(ping_interval_s=None)
            csms = Csms(self.settings.site, self.ledger, port=self.ocpp_port, options=options)
            chargers.append(csms)
        if self.settings.mqtt is not None:
            room = MqttRoom(self.settings.site, self.settings.mqtt)
            chargers.append(room)
            observers.append(room)
        journal = _Witness(journal=self.journal, evidence=self.evidence, outcomes=self.outcomes)
        self.controller = Controller(
            self.settings.site, journal=journal, sources=sources, chargers=chargers, observers=observers
        )
        if csms is not None:
            csms.resume(self.controller.state)
        self._task = asyncio.create_task(self.controller.run(), name="controller")
        if csms is not None:
            self.ocpp_port = await csms.ready()

    async def kill(self) -> None:
        """Stop the controller without a word to anybody; what it knows must come back from the store."""
        if self._task is None:
            return
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._task = None

    async def check_alive(self) -> None:
        """Raise what ended the controller, if anything did."""
        if self._task is not None and self._task.done():
            await self._task

    async def replays(self) -> bool:
        """Tell whether the journal leads to the very state the controller has (I5)."""
        assert self.controller is not None
        known = None
        while known is not self.controller.state:  # a fact that came in meanwhile may not be written yet
            known = self.controller.state
            await self.journal.flush()
        has_led = not isinstance(self.journal, ListJournal) or self.journal.has_led
        return has_led and replay(self.journal.resume(self.settings.site), self.journal.load()) == known
