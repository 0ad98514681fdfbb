from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcharge.errors import MaintenanceError
from smartcharge.events import (
    Derated,
    Event,
    FaultCleared,
    FaultRaised,
    Restored,
    SiteFaultCleared,
    SiteFaultRaised,
    StationBooted,
)
from smartcharge.faults import Cause as FaultCause
from smartcharge.faults import DeratingStage, Priority
from smartcharge.maintenance import desk, foreman
from smartcharge.maintenance.desk import Draft, Report
from smartcharge.maintenance.meaning import Meaning
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.triage import calls
from smartcharge.maintenance.work_orders import (
    LINES,
    Assigned,
    Category,
    Completed,
    Line,
    Noted,
    Recurred,
    Reopened,
    Status,
    StatusSet,
    WorkOrder,
    orders,
)
from smartcharge.model import StationId
from smartcharge.ports import Kept
from smartcharge.sim.loop import run
from smartcharge.store import open_store
from tests.builders import NOON_S
from tests.maintenance.month import BASE, SITE, A, B, at, charge, fault, needed, told

H = 3600.0
REPORT = Report(author="kim", signature="K. Jansen", feedback="new contactor")


def answered(facts: Sequence[Kept], lines: Sequence[Line] = ()) -> list[Line]:
    return [*lines, *desk.called(lines, calls(facts), "row")]


def one(lines: Sequence[Line]) -> WorkOrder:
    (order,) = orders(lines).values()
    return order


def numbered(events: Sequence[Event], first: int = 1) -> list[Kept]:
    return [Kept(seq, event) for seq, event in enumerate(events, first)]


GROUND, WELDED, AWAY = FaultCause.GROUND_FAULT, FaultCause.CONTACTOR_WELDED, FaultCause.OFFLINE


def away(since_s: float, until_s: float) -> list[Event]:
    """A station that was away, that somebody was called for, and that is back."""
    subject = "station a"
    return [
        SiteFaultRaised(at_s=since_s, subject=subject, cause=AWAY, detail="away for an hour"),
        needed(AWAY, since_s, subject),
        SiteFaultCleared(at_s=until_s, subject=subject, cause=AWAY),
    ]


class TestRaisedByFaults:
    def test_one_for_each_asset_and_cause(self) -> None:
        facts = told([needed(GROUND, at(1), priority=Priority.P1), needed(WELDED, at(1), "evse b/1")])
        found = list(orders(answered(facts)).values())
        assert [(o.raised.asset, o.raised.cause, o.priority) for o in found] == [
            (A, "ground-fault", Priority.P1),
            (B, "contactor-welded", Priority.P2),
        ]
        assert all(o.raised.category is Category.REACTIVE and o.raised.plan is None for o in found)
        assert found[0].raised.due_s == at(2)

    def test_the_same_again_while_it_is_open_is_the_same_and_may_be_more_urgent(self) -> None:
        order = one(answered(told([needed(GROUND, at(1)), needed(GROUND, at(2), priority=Priority.P1)])))
        assert order.recurrences == 1
        assert isinstance(order.lines[1], Recurred)
        assert order.priority is Priority.P1

    def test_a_fault_that_needs_nobody_calls_nobody(self) -> None:
        assert answered(told(fault("EVCommunicationError", at(1), at(2)))) == []

    @given(
        st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from((GROUND, WELDED)), st.integers(1, 9))),
        st.integers(0, 30),
    )
    def test_whenever_one_looks_the_same_is_written(self, story: list[tuple[str, FaultCause, int]], cut: int) -> None:
        events: list[Event] = []
        at_s = at(1)
        for evse, cause, hours in story:
            events.append(needed(cause, at_s, f"evse {evse}/1"))
            at_s += 2 * hours * H
        facts = numbered(events)
        at_once = answered(facts)
        in_steps = answered(facts, answered(facts[:cut]))
        assert in_steps == at_once
        assert answered(facts, at_once) == at_once, "nothing is doubled"


class TestClosedByEvidenceOnly:
    RAISED, CLEARED = fault("PowerSwitchFailure", at(1), at(2))
    FAULT = (RAISED, needed(WELDED, at(1)), CLEARED)

    def complete(self, facts: Sequence[Kept], report: Report = REPORT) -> Completed:
        return desk.completed(answered(facts), 1, report, facts, at(5))

    def test_not_while_the_fault_stands(self) -> None:
        with pytest.raises(MaintenanceError, match=f"contactor-welded at {A} still stands"):
            self.complete(numbered(self.FAULT[:2]))
        with pytest.raises(MaintenanceError, match="still stands"):
            self.complete(numbered([*self.FAULT, self.RAISED]))

    def test_not_before_a_car_has_charged_there(self) -> None:
        with pytest.raises(MaintenanceError, match="no car has charged"):
            self.complete(numbered([*self.FAULT, *charge("t", at(3), 10.0, 2000.0, "Local")]))

    @pytest.mark.parametrize("wh", [0.0, None])
    def test_not_by_a_charge_that_proves_nothing(self, wh: float | None) -> None:
        with pytest.raises(MaintenanceError, match="no car has charged"):
            self.complete(numbered([*self.FAULT, *charge("t", at(3), 10.0, wh, "Local", evse=A)]))

    def test_with_both_it_names_the_facts(self) -> None:
        done = self.complete(numbered([*self.FAULT, *charge("t", at(3), 10.0, 2000.0, "Local", evse=A)]))
        assert done.evidence == (3, 4)
        assert not orders([*answered(numbered(self.FAULT)), done])[1].is_open

    def test_a_code_of_a_vendor_is_read_as_the_site_reads_it(self) -> None:
        """By itself nobody knows what K7 means: it would be gone although it stands."""
        boot = StationBooted(at_s=at(1), station=StationId("a"), vendor="Acme")
        raised = FaultRaised(at_s=at(1, 1), evse=A, code="OtherError", vendor_code="K7")
        gone = [Restored(at_s=at(2), evse=A, cause=WELDED), *charge("t", at(3), 10.0, 2000.0, "Local", evse=A)]
        facts = numbered([boot, raised, needed(WELDED, at(1, 1)), *gone])
        meaning = replace(Meaning.of(SITE), codes={("Acme", "K7"): WELDED})
        lines = answered(facts)
        with pytest.raises(MaintenanceError, match="still stands"):
            desk.completed(lines, 1, REPORT, facts, at(5), meaning=meaning)
        cleared = FaultCleared(at_s=at(2), evse=A, code="OtherError")
        facts = numbered([boot, raised, needed(WELDED, at(1, 1)), cleared, *gone])
        assert desk.completed(lines, 1, REPORT, facts, at(5), meaning=meaning).evidence == (4, 6, 5)

    def test_not_while_a_derate_for_it_holds(self) -> None:
        """One that ignored its limit has to prove itself three times: one charge is not enough."""
        over = FaultCause.OVER_LIMIT
        facts = numbered([
            FaultRaised(at_s=at(1), evse=A, code="over-limit"),
            needed(over, at(1)),
            Derated(at_s=at(1), evse=A, cause=over, stage=DeratingStage.ACTIVE, limit_a=0.0, reason="stopped"),
            FaultCleared(at_s=at(2), evse=A, code="over-limit"),
            Derated(at_s=at(2), evse=A, cause=over, stage=DeratingStage.PROBATION, limit_a=16.0, reason="on probation"),
            *charge("t", at(3), 10.0, 2000.0, "Local", evse=A),
        ])  # fmt: skip
        with pytest.raises(MaintenanceError, match=r"is still derated \(probation\)"):
            self.complete(facts)
        over_now = Kept(len(facts) + 1, Restored(at_s=at(4), evse=A, cause=over))
        assert self.complete([*facts, over_now]).evidence == (4, 6, 8)

    def test_a_derate_of_ours_is_over_when_it_says_so(self) -> None:
        facts = numbered([needed(WELDED, at(1)), Restored(at_s=at(2), evse=A, cause=WELDED)])
        charged = [Kept(n, e) for n, e in enumerate(charge("t", at(3), 10.0, 2000.0, "Local", evse=A), 3)]
        assert self.complete([*facts, *charged]).evidence == (2, 3)

    def test_a_station_that_was_away_is_back(self) -> None:
        facts = numbered(away(at(1), at(2)))
        assert self.complete(facts).evidence == (3,)
        with pytest.raises(MaintenanceError, match="still stands"):
            self.complete(facts[:2])

    def test_nobody_closes_it_unsigned(self) -> None:
        with pytest.raises(MaintenanceError, match="nobody has signed"):
            self.complete(numbered(away(at(1), at(2))), replace(REPORT, signature=" "))

    def test_that_of_a_person_needs_its_checklist(self) -> None:
        draft = Draft(title="clean", asset="site", location="row", checklist=("filter", "cable"))
        lines = [desk.raised([], draft, "kim", at(1))]
        with pytest.raises(MaintenanceError, match="not done of its checklist: cable"):
            desk.completed(lines, 1, replace(REPORT, done=("filter",)), [], at(2))
        done = desk.completed(lines, 1, replace(REPORT, done=("cable", "filter")), [], at(2))
        assert orders([*lines, done])[1].is_compliant


class TestReopened:
    def lines(self, again_s: float) -> tuple[list[Line], list[Kept]]:
        facts = numbered(away(at(1), at(2)))
        lines = answered(facts)
        lines.append(desk.completed(lines, 1, REPORT, facts, at(3)))
        return lines, [*facts, Kept(4, needed(AWAY, again_s, "station a"))]

    def test_if_it_is_back_within_a_week(self) -> None:
        lines, facts = self.lines(at(9))
        order = one(answered(facts, lines))
        assert order.status is Status.OPEN
        assert isinstance(order.lines[-1], Reopened)

    def test_later_it_is_another_one(self) -> None:
        lines, facts = self.lines(at(11))
        first, second = orders(answered(facts, lines)).values()
        assert (first.status, second.status) == (Status.COMPLETE, Status.OPEN)
        assert answered(facts, answered(facts, lines)) == answered(facts, lines)


class TestWhatMayBeWritten:
    def test_assigning_status_and_notes_are_kept_as_they_were_said(self) -> None:
        lines: list[Line] = answered(told([needed(GROUND, at(1))]))
        for line in (
            Assigned(at_s=at(2), order=1, author="kim", team="north", assignees=("bo",)),
            StatusSet(at_s=at(2, 1), order=1, author="bo", status=Status.ON_HOLD, reason="part ordered"),
            Noted(at_s=at(2, 2), order=1, author="bo", text="seal leaks", parts=("seal 7",)),
        ):
            lines.append(desk.checked(lines, line))
        order = one(lines)
        assert (order.status, order.team, order.assignees) == (Status.ON_HOLD, "north", ("bo",))
        assert len(order.lines) == 4

    def test_what_does_not_fit_is_refused(self) -> None:
        lines = answered(numbered(away(at(1), at(2))))
        complete = StatusSet(at_s=at(2), order=1, author="kim", status=Status.COMPLETE, reason="")
        nobody = Noted(at_s=at(2), order=7, author="kim", text="x")
        reopened = Reopened(at_s=at(2), order=1, author="kim", fact=None, reason="")
        for line, says in ((complete, "signature"), (nobody, "no work order 7"), (reopened, "not complete")):
            with pytest.raises(MaintenanceError, match=says):
                desk.checked(lines, line)
        lines.append(desk.completed(lines, 1, REPORT, numbered(away(at(1), at(2))), at(3)))
        with pytest.raises(MaintenanceError, match="open it again first"):
            desk.checked(lines, Assigned(at_s=at(4), order=1, author="kim", team=None, assignees=()))


class Ear:
    """A listener that fails now and then."""

    name = "ear"

    def __init__(self, fails: set[int]) -> None:
        self.heard: list[tuple[int, int, str]] = []
        self.fails = fails
        self.asked = 0

    async def hear(self, number: int, order: WorkOrder) -> None:
        self.asked += 1
        if self.asked in self.fails:
            raise OSError("busy")
        self.heard.append((number, order.number, order.status.value))


class TestForeman:
    def test_it_answers_faults_and_tells_everything_once_over_restarts(self) -> None:
        async def scenario() -> None:
            async with open_store("sqlite://") as store:
                for event in (*BASE, needed(GROUND, at(10)), needed(WELDED, at(10), "evse b/1")):
                    store.journal.append(event)
                await store.journal.flush()
                place, ear = Place.of(SITE), Ear({2})
                assert len(await foreman.answer_faults(place, store.chronicle, store.logbook, at(12))) == 2
                assert await foreman.answer_faults(place, store.chronicle, store.logbook, at(12)) == []
                for _ in range(3):
                    chief = foreman.Foreman(
                        place, store.chronicle, store.logbook, journal=store.journal, listeners=[ear]
                    )
                    await chief._tell(ear)
                    assert (chief.trouble is None) == (ear.asked != 2)
                assert ear.heard == [(1, 1, "OPEN"), (2, 2, "OPEN")]
                assert [LINES.decode(w.kind, w.body) for w in await store.logbook.lines()] == await foreman.read(
                    store.logbook
                )

        asyncio.run(scenario())

    def test_a_fact_that_waits_to_be_written_is_written(self) -> None:
        async def nothing(_: object) -> None:
            raise AssertionError("it has no facts of its own")

        async def scenario() -> int:
            async with open_store("sqlite://") as store:
                store.journal.append(needed(GROUND, NOON_S))
                chief = foreman.Foreman(Place.of(SITE), store.chronicle, store.logbook, journal=store.journal)
                task = asyncio.create_task(chief.run(nothing))
                await asyncio.sleep(1.0)
                task.cancel()
                return len(await store.logbook.lines())

        assert run(scenario(), epoch_s=NOON_S) == 1
