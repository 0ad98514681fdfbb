"""The small Protocols that adapters implement; adapters never see one another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from smartcharge.codec import Encoded
from smartcharge.control.limits import Limits
from smartcharge.control.plan import Decision, Plan
from smartcharge.control.state import State
from smartcharge.events import Commanded, Event
from smartcharge.model import Site, StationId
from smartcharge.orders import Order

Emit: TypeAlias = Callable[[Event], Awaitable[None]]
"""Hand a fact to the controller; returns when it is applied and, if it is billed, durably stored (I8)."""


class Source(Protocol):
    """Anything that yields facts; the controller supervises it and restarts it with back-off."""

    @property
    def name(self) -> str:
        """Name it in logs and faults, e.g. ``"mqtt"``."""

    @property
    def trouble(self) -> str | None:
        """Return what keeps it from working now, in words; None if nothing does."""

    async def run(self, emit: Emit) -> None:
        """Yield facts until cancelled."""


class Charger(Source, Protocol):
    """A way to command stations; the outcome of every command comes back as an event."""

    def wish(self, command: Commanded) -> None:
        """Replace what the station should be told; returns at once, only the newest wish is kept."""

    def stations(self) -> frozenset[StationId]:
        """Return the stations that this way reaches."""


class Waiting(NamedTuple):
    """A message that waits for the operator's back-end."""

    number: int
    action: str
    body: str
    """JSON."""


class Outbox(Protocol):
    """What waits for the operator's back-end, in order; durable when a call returns.  All raise StoreError."""

    async def put(self, station: StationId, action: str, body: str) -> int:
        """Add a message at the end and return its number."""

    async def waiting(self, station: StationId) -> list[Waiting]:
        """Return what waits, oldest first."""

    async def done(self, number: int) -> None:
        """Forget a message that was answered."""

    async def pair(self, station: StationId, ours: int, theirs: int) -> None:
        """Note what the back-end calls a transaction (1.6, whose server numbers them)."""

    async def theirs(self, station: StationId, ours: int) -> int | None:
        """Return what the back-end calls a transaction of ours; None if it has not said."""

    async def ours(self, station: StationId, theirs: int) -> int | None:
        """Return what we call a transaction of the back-end's; None if we do not know it."""

    async def keep(self, owner: str, name: str, body: str) -> None:
        """Write down what a back-end said, in place of what it said before under the same name."""

    async def drop(self, owner: str, name: str) -> None:
        """Forget what a back-end said under a name."""

    async def kept(self, owner: str) -> dict[str, str]:
        """Return what back-ends said and what was not dropped, by name: a station's, or of no station in particular."""


@runtime_checkable
class Orderly(Protocol):
    """A way to give stations orders beside charging (OCPP)."""

    async def ask(self, station: StationId, request: Order) -> Mapping[str, Any]:
        """Return the station's answer; raises Unreachable, or Refused with the reason."""


class Journal(Protocol):
    """Where facts are written down before anything is answered."""

    def append(self, event: Event) -> None:
        """Queue a fact to be written; keeps order."""

    async def flush(self) -> None:
        """Return when every fact queued so far survives kill -9; raises StoreError."""

    @property
    def is_snapshot_due(self) -> bool:
        """Tell whether so many facts were written that a start should not have to fold them all."""

    def snapshot(self, state: State) -> None:
        """Queue the state that all facts appended so far have led to; a start may go on from it."""

    def resume(self, site: Site) -> State:
        """Return the state to go on from: the newest snapshot's, or what is known of nothing."""

    def load(self) -> Iterator[Event]:
        """Yield all facts written since the state that `resume` returns, oldest first."""


class Kept(NamedTuple):
    """A fact of the chronicle, with its number in the journal: what a figure can be traced to."""

    seq: int
    event: Event


class Chronicle(Protocol):
    """The facts that are kept for good: connections, faults, orders, transactions, and who watched."""

    async def facts(self, since_s: float = ...) -> list[Kept]:
        """Return what happened since a time [s since 1970], in the order in which it became known."""


class Written(NamedTuple):
    """A line of the logbook as it is stored."""

    number: int
    """From 1, without a gap."""
    at_s: float
    kind: str
    body: str


class Logbook(Protocol):
    """What maintenance wrote down; several processes may write."""

    async def lines(self, after: int = ...) -> list[Written]:
        """Return what was written after a number, oldest first."""

    async def write(self, decide: Callable[[Sequence[Written]], Sequence[tuple[float, Encoded]]]) -> list[Written]:
        """Add what ``decide`` makes of all that is written, while nobody else writes; return what was added."""

    async def told(self, listener: str) -> int:
        """Return up to which number a listener was told."""

    async def tell(self, listener: str, number: int) -> None:
        """Write down that a listener was told up to a number."""


class WorkKind(Enum):
    """What somebody may say of a work order from afar."""

    TAKE = "take"
    """I do it."""
    START = "start"
    HOLD = "hold"
    NOTE = "note"
    REPAIRED = "repaired"
    """It is mended and may be tried: what latched goes on probation."""
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkWord:
    """What somebody says of a work order."""

    order: int
    """Its number."""
    kind: WorkKind
    author: str
    text: str = ""
    parts: tuple[str, ...] = ()
    signature: str = ""
    done: tuple[str, ...] = ()
    """The points of the checklist that were done."""


class WorkDesk(Protocol):
    """Where it is written down."""

    async def take(self, word: WorkWord) -> None:
        """Write down what somebody said, durable when it returns; raises MaintenanceError, StoreError."""


class Ledger(Protocol):
    """Gives out transaction numbers for protocols whose server must (OCPP 1.6)."""

    async def transaction_number(self, station: StationId, connector: int, started_at_s: float, id_token: str) -> int:
        """Return a number, durable; the same one for a repeated message about the same start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All there is to show after a cycle."""

    at_s: float
    site: Site
    state: State
    limits: Limits
    plan: Plan | None
    decision: Decision
    troubles: Mapping[str, str]
    """Sources that do not work now, by name, with the reason."""


class Observer(Protocol):
    """Somebody who wants to see every cycle (MQTT telemetry, the demo's screen)."""

    def observe(self, snapshot: Snapshot) -> None:
        """Take note; must return at once."""
