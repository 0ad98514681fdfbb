"""Where maintenance windows lie and what they put at risk: computed by hand, and by an oracle that plans nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartcharge.control.state import State, apply
from smartcharge.errors import MaintenanceError
from smartcharge.events import Event, LimitSet, Plugged, TransactionEnded, TransactionStarted, Unplugged
from smartcharge.faults import Priority
from smartcharge.maintenance import desk
from smartcharge.maintenance.desk import Draft
from smartcharge.maintenance.forecast import WEEKS, Visit, days, visits
from smartcharge.maintenance.spans import Span
from smartcharge.maintenance.windows import Hours, Planner
from smartcharge.maintenance.work_orders import Line, WorkOrder, orders
from smartcharge.model import CircuitId, EvseId, Phases, Site
from smartcharge.ports import Kept
from tests.builders import row_of
from tests.maintenance.month import at

SITE = row_of(3, 200.0)
A, B = SITE.evses[0], SITE.evses[1]
NOW_S = at(11)
"""Wednesday, 11 November 2026, midnight."""
FULL_W = A.max_a * A.voltage_v
H = 3600.0


def daily(evse: str, begin_h: float, hours: float, charged_h: float, weeks: int = 5) -> list[Visit]:
    """The same car every day of the last weeks: it needs full power for ``charged_h``."""
    found = []
    for day in range(1, 7 * weeks + 1):
        since_s = NOW_S - day * 86400.0 + begin_h * H
        energy_wh = FULL_W * charged_h
        found.append(Visit(evse=EvseId(evse), span=Span(since_s, since_s + hours * H), energy_wh=energy_wh))
    return found


def work(*assets: str, hours: float = 1.0, due_s: float | None = None) -> list[WorkOrder]:
    lines: list[Line] = []
    for number, asset in enumerate(assets):
        draft = Draft(
            title="clean", asset=asset, location="row", priority=list(Priority)[min(number, 2)],
            estimated_s=hours * H, due_s=due_s,
        )  # fmt: skip
        lines.append(desk.raised(lines, draft, "kim", NOW_S))
    return list(orders(lines).values())


def planner(known: Sequence[Visit], state: State | None = None, site: Site = SITE, since_s: float = 0.0) -> Planner:
    return Planner(state=state or State.initial(site), visits=known, since_s=since_s, now_s=NOW_S)


def hours(begin_h: int, end_h: int, count: int = 1) -> Hours:
    return Hours(begin=time(begin_h), end=time(end_h), days=count)


class TestByHand:
    """A car at a/1 from 9 to 12 every day, which needs two hours of its three."""

    KNOWN = daily("a/1", 9.0, 3.0, 2.0)

    def test_it_lies_where_nobody_charges_and_as_early_as_that(self) -> None:
        (found,) = planner(self.KNOWN).place(work("a"), hours(8, 18))
        assert found.span == Span(NOW_S + 86400.0 + 8 * H, NOW_S + 86400.0 + 9 * H)
        assert (found.risk_wh, found.load_w) == (0.0, 0.0)
        assert found.evses == {A.id}

    def test_an_hour_of_the_three_is_made_up_for(self) -> None:
        (found,) = planner(self.KNOWN).place(work("a/1"), hours(9, 10))
        assert found.risk_wh == pytest.approx(0.0, abs=1.0)
        assert found.load_w == pytest.approx(FULL_W, rel=1e-3)

    def test_two_hours_of_the_three_cost_one(self) -> None:
        (found,) = planner(self.KNOWN).place(work("a/1", hours=2.0), hours(9, 11))
        assert found.risk_wh == pytest.approx(FULL_W, rel=1e-3)
        assert found.worst_wh == pytest.approx(FULL_W, rel=1e-3)

    def test_work_elsewhere_costs_nothing(self) -> None:
        (found,) = planner(self.KNOWN).place(work("b", hours=3.0), hours(9, 12))
        assert found.risk_wh == 0.0

    def test_energy_at_risk_counts_before_the_load(self) -> None:
        known = [*daily("a/1", 8.0, 2.0, 2.0), *daily("b/1", 10.0, 1.0, 1.0), *daily("c/1", 10.0, 1.0, 1.0)]
        (found,) = planner(known).place(work("a"), hours(8, 11))
        assert found.span.since_s == NOW_S + 86400.0 + 10 * H
        assert found.risk_wh == 0.0
        assert found.load_w == pytest.approx(2.0 * FULL_W, rel=1e-3)

    def test_one_week_in_four_counts_a_quarter(self) -> None:
        tomorrow_s = NOW_S + 86400.0 - 7 * 86400.0
        one = [v for v in self.KNOWN if v.span.since_s >= tomorrow_s and v.span.since_s < tomorrow_s + 86400.0]
        (found,) = planner(one).place(work("a/1", hours=3.0), hours(9, 12))
        assert found.risk_wh == pytest.approx(2.0 * FULL_W / WEEKS, rel=1e-3)
        assert found.worst_wh == pytest.approx(2.0 * FULL_W, rel=1e-3)


class TestTheGridLimit:
    def test_leaves_room_only_in_the_morning_so_the_work_is_done_in_the_afternoon(self) -> None:
        known = daily("a/1", 8.0, 8.0, 4.0)
        cut = LimitSet(
            at_s=NOW_S, source="dso", circuit=CircuitId("main"), current_a=Phases.all(0.0),
            start_s=NOW_S + 86400.0 + 12 * H, valid_until_s=NOW_S + 86400.0 + 16 * H,
        )  # fmt: skip
        state = apply(State.initial(SITE), cut)
        (found,) = planner(known, state).place(work("a"), hours(8, 16))
        assert found.span.since_s >= NOW_S + 86400.0 + 12 * H
        assert (found.risk_wh, found.room_w) == (0.0, 0.0)
        (forced,) = planner(known, state).place(work("a"), hours(8, 9))
        assert forced.risk_wh == pytest.approx(FULL_W, rel=1e-3), "without the cut the afternoon would make up for it"
        (free,) = planner(known).place(work("a"), hours(8, 9))
        assert free.risk_wh == pytest.approx(0.0, abs=1.0)

    def test_a_neighbour_takes_what_is_left_free_and_gives_it_back(self) -> None:
        """Two cars share one car's worth of power for three hours: an hour of one is the other's."""
        site = row_of(2, A.max_a)
        known = [*daily("a/1", 9.0, 3.0, 1.5), *daily("b/1", 9.0, 3.0, 1.5)]
        (found,) = planner(known, site=site).place(work("a"), hours(9, 10))
        assert found.risk_wh == pytest.approx(0.0, abs=5.0)
        assert found.room_w == pytest.approx(0.0, abs=1.0)
        (both,) = planner(known, site=site).place(work("site"), hours(9, 10))
        assert both.risk_wh == pytest.approx(FULL_W, rel=1e-3)


class TestSeveral:
    def test_one_at_a_time_the_most_urgent_first(self) -> None:
        found = planner([]).place(work("c", "a", "b"), hours(8, 12))
        assert [one.asset for one in found] == ["c", "a", "b"]
        for i, one in enumerate(found):
            assert one.span.since_s == NOW_S + 86400.0 + (8 + i) * H

    def test_what_does_not_fit_is_said(self) -> None:
        with pytest.raises(MaintenanceError, match="work order 1 fits into no day"):
            planner([]).place(work("a", hours=5.0), hours(8, 12))

    def test_before_it_is_due_if_that_can_be(self) -> None:
        known = [*daily("a/1", 8.0, 10.0, 10.0)[:1], *daily("a/1", 8.0, 10.0, 10.0)]
        late = [v for v in known if (v.span.since_s // 86400.0) % 7 != ((NOW_S // 86400.0) + 3) % 7]
        (any_day,) = planner(late).place(work("a", due_s=NOW_S + 30 * 86400.0), hours(8, 18, 5))
        (soon,) = planner(late).place(work("a", due_s=NOW_S + 2 * 86400.0), hours(8, 18, 5))
        assert any_day.span.since_s > soon.span.until_s
        assert any_day.risk_wh == 0.0
        assert soon.risk_wh > 0.0
        assert soon.span.until_s <= NOW_S + 2 * 86400.0


class TestTheOracle:
    """Where the grid does not bind, each visit stands for itself: what it lacks is plain arithmetic."""

    @given(
        st.lists(st.tuples(st.integers(14, 40), st.integers(2, 10), st.integers(1, 10)), min_size=1, max_size=3),
        st.integers(16, 30), st.integers(1, 6),
    )  # fmt: skip
    @settings(max_examples=15, deadline=None)
    def test_energy_at_risk(self, cars: list[tuple[int, int, int]], begin: int, length: int) -> None:
        known, expected_wh, since = [], 0.0, 0
        for begun, stay, wanted in sorted(cars):
            came = max(begun, since)
            since = came + stay
            known += daily("a/1", came / 2.0, stay / 2.0, min(wanted, stay) / 2.0)
            out = max(min(begin + length, came + stay) - max(begin, came), 0)
            expected_wh += max(min(wanted, stay) - (stay - out), 0) / 2.0 * FULL_W
        window = Hours(begin=time(begin // 2, 30 * (begin % 2)), end=time(23), days=1)
        site_planner = planner(known)
        (order,) = work("a", hours=length / 2.0)
        span = next(site_planner._starts(order, window, []))
        found = site_planner._window(order, frozenset({A.id}), span, [])
        assert found.risk_wh == pytest.approx(expected_wh, abs=0.002 * FULL_W)


class TestForecast:
    def test_visits_come_from_facts_and_what_no_meter_told_from_what_was_learnt(self) -> None:
        events: list[Event] = []
        for day in range(1, 29):
            begun_s, name = NOW_S - day * 86400.0 + 9 * H, f"t{day}"
            ended_wh = None if day == 1 else 12_000.0
            events += [
                Plugged(at_s=begun_s, evse=A.id),
                TransactionStarted(at_s=begun_s, evse=A.id, transaction_id=name, meter_wh=0.0),
                TransactionEnded(at_s=begun_s + 2 * H, evse=A.id, transaction_id=name, meter_wh=ended_wh),
                Unplugged(at_s=begun_s + 3 * H, evse=A.id),
            ]
        events.sort(key=lambda event: event.at_s)
        found = visits([Kept(i, event) for i, event in enumerate(events, 1)])
        assert len(found) == 28
        assert found[0] == Visit(evse=A.id, span=Span(events[0].at_s, events[0].at_s + 3 * H), energy_wh=12_000.0)
        assert found[-1].energy_wh == pytest.approx(12_000.0, rel=0.25), "the others tell"

    def test_a_site_of_yesterday_has_no_forecast(self) -> None:
        span = Span(NOW_S + 86400.0, NOW_S + 2 * 86400.0)
        with pytest.raises(MaintenanceError, match="facts of a week at least"):
            days([], span, NOW_S - 86400.0, NOW_S)

    def test_the_same_weekday_of_the_last_weeks(self) -> None:
        span = Span(NOW_S + 86400.0, NOW_S + 2 * 86400.0)
        found = days(daily("a/1", 9.0, 3.0, 2.0), span, 0.0, NOW_S)
        assert len(found) == WEEKS
        assert all([visit.span.since_s for visit in day] == [span.since_s + 9 * H] for day in found)

    def test_no_later_fact_is_needed_for_a_day_far_ahead(self) -> None:
        span = Span(NOW_S + 10 * 86400.0, NOW_S + 11.5 * 86400.0)
        found = days(daily("a/1", 9.0, 3.0, 2.0), span, 0.0, NOW_S)
        assert len(found) == WEEKS
        assert all(len(day) == 2 for day in found), "the next morning belongs to it"


class TestWritten:
    def test_a_window_stands_in_its_work_order(self) -> None:
        (order,) = work("a")
        from smartcharge.maintenance.work_orders import Placed, said

        placed = Placed(at_s=NOW_S, order=1, author="kim", since_s=NOW_S + H, until_s=NOW_S + 2 * H, risk_wh=50.0)
        lines: list[Line] = [order.raised, desk.checked([order.raised], placed)]
        found = said(orders(lines)[1])
        assert (found["planned_since_s"], found["risk_wh"]) == (NOW_S + H, 50.0)
        moved = replace(placed, since_s=NOW_S + 3 * H)
        assert said(orders([*lines, moved])[1])["planned_since_s"] == NOW_S + 3 * H
