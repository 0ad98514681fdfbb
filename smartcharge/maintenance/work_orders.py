"""Work orders: the fold of a logbook that is only ever added to, so that it is its own audit.

The fields are those that maintenance systems share (Atlas CMMS): title, priority, due date, estimated
duration, category, location, asset, team, assignees, parent request, parent preventive plan,
completed on and by, signature, feedback.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final, TypeAlias, assert_never

from smartcharge.codec import Codec, plain
from smartcharge.faults import Priority
from smartcharge.ports import Written


class Status(Enum):
    """Where a work order stands."""

    OPEN = "OPEN"
    IN_PROGRESS = "IN_PROGRESS"
    ON_HOLD = "ON_HOLD"
    COMPLETE = "COMPLETE"


class Category(Enum):
    """What made somebody raise it."""

    REACTIVE = "reactive"
    """A fault: it is closed by evidence that the fault is gone, and by nothing else."""
    PREVENTIVE = "preventive"
    """A plan."""
    REQUESTED = "requested"
    """A person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What every line of the logbook has."""

    at_s: float
    """When it was written [s since 1970]."""
    order: int
    """Number of the work order."""
    author: str
    """Who wrote it; ``smartcharge`` where nobody did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised(Entry):
    """Somebody has to come."""

    title: str
    asset: str
    """An EVSE, a station, or ``site``."""
    location: str
    """Id of the site."""
    priority: Priority
    category: Category
    due_s: float
    """When it must be done [s since 1970]."""
    estimated_s: float
    """How long it may take [s]."""
    cause: str | None = None
    """What the fault is called; one work order at a time for each asset and cause."""
    fact: int | None = None
    """Number in the journal of the fact that called for it."""
    request: str | None = None
    """The request that it answers, as whoever made it names it."""
    plan: str | None = None
    """The preventive plan that it belongs to."""
    checklist: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurred(Entry):
    """The fault came again while its work order was open."""

    fact: int
    priority: Priority | None = None
    """How urgent it is by now; None where that did not change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopened(Entry):
    """The fault came back after its work order was complete."""

    fact: int | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned(Entry):
    """Who is to do it."""

    team: str | None
    assignees: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusSet(Entry):
    """Work began, waits, or is open again; ``COMPLETE`` is said by `Completed` alone."""

    status: Status
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted(Entry):
    """What a technician found or did, and the parts that it took."""

    text: str
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed(Entry):
    """When it is to be done, and what that costs drivers."""

    since_s: float
    until_s: float
    risk_wh: float
    """Energy at risk [Wh]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired(Entry):
    """A technician says that the fault is mended and a car may try it: what latched goes on probation by this alone."""

    text: str
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed(Entry):
    """It is done."""

    signature: str
    feedback: str
    evidence: tuple[int, ...]
    """Numbers in the journal of the facts that show it; of a reactive work order never empty."""
    done: tuple[str, ...] = ()
    """The points of the checklist that were done."""


Line: TypeAlias = Raised | Recurred | Reopened | Assigned | StatusSet | Noted | Placed | Repaired | Completed
LINES: Final[Codec[Line]] = Codec(Line, "a line of the logbook")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOrder:
    """A work order as it stands, with all that was written about it."""

    raised: Raised
    lines: tuple[Line, ...]
    status: Status = Status.OPEN
    team: str | None = None
    assignees: tuple[str, ...] = ()
    completed: Completed | None = None

    @property
    def number(self) -> int:
        """Return its number."""
        return self.raised.order

    @property
    def is_open(self) -> bool:
        """Tell whether it is still to be done."""
        return self.status is not Status.COMPLETE

    @property
    def last_fault(self) -> int:
        """Return the number of the last fact that called for it; 0 for none."""
        return max((line.fact or 0 for line in self.lines if isinstance(line, Raised | Recurred | Reopened)), default=0)

    @property
    def repaired(self) -> Repaired | None:
        """Return what the technician said last; None if nothing, or if the fault came again since."""
        told = [line for line in self.lines if isinstance(line, Raised | Recurred | Reopened | Repaired)]
        return told[-1] if isinstance(told[-1], Repaired) else None

    @property
    def placed(self) -> Placed | None:
        """Return when it is to be done, as it was said last."""
        return next((line for line in reversed(self.lines) if isinstance(line, Placed)), None)

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the parts that it took so far."""
        return tuple(part for line in self.lines if isinstance(line, Noted | Repaired) for part in line.parts)

    @property
    def priority(self) -> Priority:
        """Return the highest priority that it was called with."""
        later = (line.priority for line in self.lines if isinstance(line, Recurred) and line.priority is not None)
        return min((self.raised.priority, *later), key=lambda priority: priority.value)

    @property
    def recurrences(self) -> int:
        """Return how often its fault came again."""
        return sum(isinstance(line, Recurred | Reopened) for line in self.lines)

    @property
    def is_compliant(self) -> bool | None:
        """Tell whether it was done before it was due; None while it is open."""
        return None if self.completed is None else self.completed.at_s <= self.raised.due_s

    def is_overdue(self, now_s: float) -> bool:
        """Tell whether it should have been done by now."""
        return self.is_open and now_s > self.raised.due_s


def lines_of(written: Iterable[Written]) -> list[Line]:
    """Return what a logbook says of work orders; raises StoreError."""
    return [LINES.decode(line.kind, line.body) for line in written if LINES.knows(line.kind)]


def orders(lines: Iterable[Line]) -> Mapping[int, WorkOrder]:
    """Return all work orders by number, in the order in which they were raised."""
    known: dict[int, WorkOrder] = {}
    for line in lines:
        known[line.order] = after(known.get(line.order), line)
    return known


def after(order: WorkOrder | None, line: Line) -> WorkOrder:
    """Return a work order with one line more; ``Raised`` begins one."""
    if isinstance(line, Raised):
        return WorkOrder(raised=line, lines=(line,))
    assert order is not None
    order = replace(order, lines=(*order.lines, line))
    match line:
        case Recurred() | Noted() | Placed() | Repaired():
            return order
        case Reopened():
            return replace(order, status=Status.OPEN, completed=None)
        case Assigned():
            return replace(order, team=line.team, assignees=line.assignees)
        case StatusSet():
            return replace(order, status=line.status)
        case Completed():
            return replace(order, status=Status.COMPLETE, completed=line)
        case _:
            assert_never(line)


def said(order: WorkOrder) -> dict[str, Any]:
    """Return a work order as names and plain values, with everything that was written about it."""
    raised, done = order.raised, order.completed
    return {
        "number": order.number,
        "status": order.status.value,
        "title": raised.title,
        "priority": order.priority.value,
        "category": raised.category.value,
        "location": raised.location,
        "asset": raised.asset,
        "cause": raised.cause,
        "raised_s": raised.at_s,
        "due_s": raised.due_s,
        "estimated_s": raised.estimated_s,
        "team": order.team,
        "assignees": list(order.assignees),
        "parent_request": raised.request,
        "parent_plan": raised.plan,
        "recurrences": order.recurrences,
        "planned_since_s": None if order.placed is None else order.placed.since_s,
        "planned_until_s": None if order.placed is None else order.placed.until_s,
        "risk_wh": None if order.placed is None else order.placed.risk_wh,
        "checklist": list(raised.checklist),
        "parts": list(order.parts),
        "repaired_s": None if order.repaired is None else order.repaired.at_s,
        "completed_s": None if done is None else done.at_s,
        "completed_by": None if done is None else done.author,
        "signature": None if done is None else done.signature,
        "feedback": None if done is None else done.feedback,
        "evidence": [] if done is None else list(done.evidence),
        "compliant": order.is_compliant,
        "audit": [{"what": type(line).__name__, **_fields(line)} for line in order.lines],
    }


def _fields(line: object) -> dict[str, Any]:
    values = plain(line)
    assert isinstance(values, dict)
    return values
