"""What may be written into the logbook: each function takes what is written and returns what to add.

They hold no state and write nothing, so that whoever holds the logbook can read, decide and write in one
transaction: two people who act at once do so one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from smartcharge.errors import MaintenanceError
from smartcharge.events import (
    Derated,
    FaultCleared,
    FaultRaised,
    Restored,
    SelfTested,
    SiteFaultCleared,
    SiteFaultRaised,
)
from smartcharge.faults import DeratingStage, Priority
from smartcharge.maintenance.meaning import COMMON, Meaning, vendors
from smartcharge.maintenance.sessions import Outcome, charges
from smartcharge.maintenance.triage import Call, asset_of, cause_of_test
from smartcharge.maintenance.work_orders import (
    Assigned,
    Category,
    Completed,
    Line,
    Noted,
    Placed,
    Raised,
    Recurred,
    Reopened,
    Repaired,
    Status,
    StatusSet,
    WorkOrder,
    after,
    orders,
)
from smartcharge.ports import Kept

ITSELF: Final = "smartcharge"
"""The author of what nobody wrote."""
REOPEN_S: Final = 7 * 86400.0
"""A fault that is back so soon after its repair was not repaired [s]."""
DUE_S: Final[Mapping[Priority, float]] = {
    Priority.P1: 24 * 3600.0,
    Priority.P2: 72 * 3600.0,
    Priority.P3: 14 * 86400.0,
}
"""How soon each priority is due [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What somebody wants done."""

    title: str
    asset: str
    location: str
    priority: Priority = Priority.P3
    category: Category = Category.REQUESTED
    due_s: float | None = None
    """When [s since 1970]; by its priority if not said."""
    estimated_s: float = 3600.0
    cause: str | None = None
    fact: int | None = None
    request: str | None = None
    plan: str | None = None
    checklist: tuple[str, ...] = ()


def raised(lines: Sequence[Line], draft: Draft, author: str, at_s: float) -> Raised:
    """Return a new work order with the next number."""
    return _raised(draft, 1 + max((line.order for line in lines), default=0), author, at_s)


def _raised(draft: Draft, number: int, author: str, at_s: float) -> Raised:
    return Raised(
        at_s=at_s,
        order=number,
        author=author,
        title=draft.title,
        asset=draft.asset,
        location=draft.location,
        priority=draft.priority,
        category=draft.category,
        due_s=at_s + DUE_S[draft.priority] if draft.due_s is None else draft.due_s,
        estimated_s=draft.estimated_s,
        cause=draft.cause,
        fact=draft.fact,
        request=draft.request,
        plan=draft.plan,
        checklist=draft.checklist,
    )


def called(lines: Sequence[Line], calls: Iterable[Call], location: str) -> list[Line]:
    """Return what faults add: one work order at a time for each asset and cause, reopened if it is back too soon.

    A call that was answered already, by the number of its fact, adds nothing.
    """
    last = {(o.raised.asset, o.raised.cause): o for o in orders(lines).values()}
    number = max((line.order for line in lines), default=0)
    added: list[Line] = []
    for call in calls:
        order = last.get((call.asset, call.cause))
        answer = _answer(order, call, number + 1, location)
        if answer is not None:
            number = max(number, answer.order)
            last[call.asset, call.cause] = after(order, answer)
            added.append(answer)
    return added


def _answer(last: WorkOrder | None, call: Call, number: int, location: str) -> Line | None:
    """Return what a call adds, given the last work order for its asset and cause."""
    if last is None or _is_past(last, call):
        draft = Draft(
            title=call.task,
            asset=call.asset,
            location=location,
            priority=call.priority,
            category=Category.REACTIVE,
            cause=call.cause,
            fact=call.fact,
        )
        return _raised(draft, number, ITSELF, call.at_s)
    if call.fact <= last.last_fault:
        return None
    if last.is_open:
        return Recurred(at_s=call.at_s, order=last.number, author=ITSELF, fact=call.fact, priority=call.priority)
    return Reopened(at_s=call.at_s, order=last.number, author=ITSELF, fact=call.fact, reason=f"{call.cause} is back")


def _is_past(order: WorkOrder, call: Call) -> bool:
    """Tell whether a work order has nothing to do with a call any more."""
    done = order.completed
    return done is not None and call.fact > order.last_fault and call.at_s - done.at_s > REOPEN_S


def checked(lines: Sequence[Line], line: Assigned | StatusSet | Reopened | Noted | Placed) -> Line:
    """Return a line as it may be added; raises MaintenanceError where the work order does not allow it."""
    order = _known(lines, line.order)
    match line:
        case Noted():
            return line
        case Reopened() if order.is_open:
            raise MaintenanceError(f"work order {line.order} is not complete")
        case StatusSet(status=Status.COMPLETE):
            raise MaintenanceError(f"work order {line.order}: completing it takes a signature and evidence")
        case Assigned() | StatusSet() | Placed() if not order.is_open:
            raise MaintenanceError(f"work order {line.order} is complete: open it again first")
        case _:
            return line


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What somebody says who has done it."""

    author: str
    signature: str
    feedback: str = ""
    done: tuple[str, ...] = ()


def completed(  # noqa: PLR0913 - what is written, what is said, what is known
    lines: Sequence[Line],
    number: int,
    report: Report,
    facts: Sequence[Kept],
    at_s: float,
    *,
    meaning: Meaning = COMMON,
) -> Completed:
    """Return that it is done; raises MaintenanceError where its evidence or a point of its checklist is missing."""
    order = _known(lines, number)
    if not order.is_open:
        raise MaintenanceError(f"work order {number} is complete already")
    if not report.signature.strip():
        raise MaintenanceError(f"work order {number}: nobody has signed")
    if missing := [point for point in order.raised.checklist if point not in report.done]:
        raise MaintenanceError(f"work order {number}: not done of its checklist: {'; '.join(missing)}")
    evidence: tuple[int, ...] = ()
    if order.raised.category is Category.REACTIVE:
        evidence = tuple(_evidence(order, facts, meaning))
    return Completed(
        at_s=at_s,
        order=number,
        author=report.author,
        signature=report.signature,
        feedback=report.feedback,
        evidence=evidence,
        done=report.done,
    )


def repaired(lines: Sequence[Line], line: Repaired, facts: Sequence[Kept], *, meaning: Meaning = COMMON) -> Repaired:
    """Return that a fault is mended and may be tried; raises MaintenanceError while it is still there."""
    order = _known(lines, line.order)
    if not order.is_open or order.raised.category is not Category.REACTIVE:
        raise MaintenanceError(f"work order {line.order} is no open one of a fault")
    story = _story(order, facts, meaning)
    if story.gone is None and story.held is None:
        raise MaintenanceError(f"work order {line.order}: {order.raised.cause} at {order.raised.asset} still stands")
    if story.present:
        there = ", ".join(sorted(story.present))
        raise MaintenanceError(f"work order {line.order}: {order.raised.asset} still says {there}: clear it first")
    return line


def _evidence(order: WorkOrder, facts: Sequence[Kept], meaning: Meaning) -> Iterator[int]:
    """Yield the facts that show that a fault is gone and, at an EVSE, that a car charged and nothing holds it down."""
    story, name, asset = _story(order, facts, meaning), f"work order {order.number}", order.raised.asset
    if story.held is DeratingStage.LATCHED:
        raise MaintenanceError(f"{name}: {asset} is latched: once it is mended, say `smartcharge work repaired`")
    if story.gone is None:
        raise MaintenanceError(f"{name}: {order.raised.cause} at {asset} still stands")
    yield story.gone.seq
    if isinstance(story.gone.event, FaultCleared | Restored):
        worked = [c for c in charges(facts) if c.seq > story.gone.seq and c.started.evse == asset]
        proof = next((c for c in worked if c.outcome is Outcome.SUCCESS and c.has_begun_to_charge), None)
        if proof is None:
            raise MaintenanceError(f"{name}: no car has charged at {asset} since the fault went: try one")
        yield proof.seq
    if story.held is not None:
        raise MaintenanceError(f"{name}: {asset} is still derated ({story.held.value})")
    if story.restored is not None and story.restored != story.gone:
        yield story.restored.seq


class _Story(NamedTuple):
    """What facts tell of the fault of a work order."""

    gone: Kept | None
    """The fact with which nothing of it was left; None while it stands or nothing says that it went."""
    present: frozenset[str]
    """The codes by which the station says that it is there."""
    held: DeratingStage | None
    """How far the derate for it has come; None where there is none any more."""
    restored: Kept | None
    """The fact that ended the derate."""


def _story(order: WorkOrder, facts: Sequence[Kept], meaning: Meaning) -> _Story:
    asset, cause = order.raised.asset, order.raised.cause
    of_test, known_vendors = (asset, cause), vendors(facts)
    present: set[str] = set()
    held: DeratingStage | None = None
    gone, restored = None, None
    for fact in facts:
        match fact.event:
            case FaultRaised(evse=evse, code=code) if (evse, meaning.cause(fact.event, known_vendors)) == of_test:
                present.add(code)
                gone = None
            case FaultCleared(evse=evse, code=code) if evse == asset and code in present:
                present.discard(code)
                gone = None if present else fact
            case Derated(evse=evse, cause=of, stage=stage) if (evse, of.value) == (asset, cause):
                held, restored = stage, None
            case Restored(evse=evse, cause=of) if (evse, of.value) == (asset, cause) and not present:
                gone, held, restored = gone or fact, None, fact
            case SelfTested(subject=subject, passed=passed) if (
                asset_of(subject),
                cause_of_test(fact.event),
            ) == of_test:
                gone = fact if passed else None
            case SiteFaultRaised(subject=subject, cause=of) if (asset_of(subject), of.value) == (asset, cause):
                gone = None
            case SiteFaultCleared(subject=subject, cause=of) if (asset_of(subject), of.value) == (asset, cause):
                gone = fact
            case _:
                pass
    is_past = gone is not None and gone.seq <= order.last_fault
    return _Story(gone=None if is_past else gone, present=frozenset(present), held=held, restored=restored)


def _known(lines: Sequence[Line], number: int) -> WorkOrder:
    found = orders(lines).get(number)
    if found is None:
        raise MaintenanceError(f"there is no work order {number}")
    return found
