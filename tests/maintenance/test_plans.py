from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from smartcharge.errors import ConfigError, MaintenanceError
from smartcharge.events import Event, Plugged, StationOnline, Unplugged
from smartcharge.maintenance import desk
from smartcharge.maintenance.desk import Report
from smartcharge.maintenance.plans import PlanKeys, Special, happened, planned, read_plans, standings
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.work_orders import Category, Line, orders
from smartcharge.model import EvseId, StationId, Wiring
from tests.builders import evse, row_of, site, station
from tests.maintenance.month import A, B, at, charge, told

ROOT = Path(__file__).resolve().parent.parent.parent
PLACE = Place.of(row_of(2))
DAY_S = 86400.0
YEARLY = PlanKeys(id="yearly", title="inspect", every_days=365.0, lead_days=14.0, checklist=["look"])
HEARD: list[Event] = [StationOnline(at_s=at(1, year=2025), station=StationId(s)) for s in "ab"]


def due(
    plan: PlanKeys, events: Sequence[Event], now_s: float, lines: Sequence[Line] = (), place: Place = PLACE
) -> list[tuple[str, float]]:
    raised = planned([plan], place, told([*HEARD, *events]), lines, now_s)
    return [(one.asset, one.due_s) for one in raised]


def did(lines: list[Line], number: int, at_s: float) -> None:
    report = Report(author="bo", signature="B. Vos", done=("look",))
    lines.append(desk.completed(lines, number, report, [], at_s))


class TestByTime:
    def test_raised_before_it_is_due_and_not_earlier(self) -> None:
        due_s = at(1, year=2025) + 365 * DAY_S
        assert due(YEARLY, [], due_s - 14 * DAY_S - 1.0) == []
        assert due(YEARLY, [], due_s - 14 * DAY_S) == [("a", due_s), ("b", due_s)]

    def test_one_at_a_time_and_again_a_year_after_it_was_done(self) -> None:
        now_s = at(1)
        lines: list[Line] = [*planned([YEARLY], PLACE, told(HEARD), [], now_s)]
        assert [one.raised.category for one in orders(lines).values()] == [Category.PREVENTIVE] * 2
        assert due(YEARLY, [], now_s + 99 * DAY_S, lines) == []
        did(lines, 1, now_s + DAY_S)
        assert due(YEARLY, [], now_s + 351 * DAY_S, lines) == []
        assert due(YEARLY, [], now_s + 352 * DAY_S, lines) == [("a", now_s + 366 * DAY_S)]

    def test_a_station_that_was_never_heard_of_is_not_there_yet(self) -> None:
        assert planned([YEARLY], PLACE, told(HEARD[:1]), [], at(1, year=2030))[0].asset == "a"
        assert len(planned([YEARLY], PLACE, told(HEARD[:1]), [], at(1, year=2030))) == 1


class TestByUse:
    def test_energy_since_it_was_done_last(self) -> None:
        plan = PlanKeys(id="filter", title="filter", every_kwh=5.0, lead_days=3.0, checklist=["look"])
        first = [*charge("1", at(1), 60.0, 3000.0, "Local", evse=A), *charge("2", at(2), 60.0, 1999.0, "Local", evse=A)]
        assert due(plan, first, at(3)) == []
        third = charge("3", at(3), 60.0, 1.0, "Local", evse=A)
        assert due(plan, [*first, *third], at(4)) == [("a", at(7))]
        lines: list[Line] = [*planned([plan], PLACE, told([*HEARD, *first, *third]), [], at(4))]
        did(lines, 1, at(5))
        assert due(plan, [*first, *third], at(9), lines) == []

    def test_mating_cycles_of_the_busiest_plug_however_often_it_is_said(self) -> None:
        plan = PlanKeys(id="contacts", title="contacts", every_cycles=3.0, checklist=["look"])

        def visits(count: int, name: EvseId) -> list[Event]:
            return [
                event
                for n in range(count)
                for event in (
                    Plugged(at_s=at(1, n), evse=name),
                    Plugged(at_s=at(1, n, 1), evse=name),
                    Unplugged(at_s=at(1, n, 30), evse=name),
                )
            ]

        assert due(plan, visits(2, A), at(2)) == []
        assert [asset for asset, _ in due(plan, [*visits(3, B), *visits(2, A)], at(2))] == ["b"]


class TestWhichStations:
    def test_by_equipment_and_by_name(self) -> None:
        fast = replace(evse("b/1"), wiring=Wiring.DC)
        place = Place.of(site(row_of(1).circuits, row_of(1).stations[0], station(fast)))
        for words, found in (({"equipment": "dc"}, ["b"]), ({"equipment": "ac"}, ["a"]), ({"stations": ["b"]}, ["b"])):
            plan = YEARLY.model_copy(update=words)
            assert [asset for asset, _ in due(plan, [], at(1), place=place)] == found


class TestSpecialEvents:
    PLAN = PlanKeys(id="special", title="inspect", after=["lightning"], lead_days=3.0, checklist=["look"])

    def test_call_for_every_plan_that_has_them(self) -> None:
        raised = happened([self.PLAN, YEARLY], PLACE, [], Special(name="lightning", author="kim", at_s=at(1)))
        assert [(one.order, one.asset, one.due_s, one.request) for one in raised] == [
            (1, "a", at(4), "lightning"),
            (2, "b", at(4), "lightning"),
        ]

    def test_at_some_stations_only(self) -> None:
        crash = Special(name="lightning", author="kim", at_s=at(1), stations=("b",))
        assert [one.asset for one in happened([self.PLAN], PLACE, [], crash)] == ["b"]
        with pytest.raises(MaintenanceError, match="no station x"):
            happened([self.PLAN], PLACE, [], replace(crash, stations=("x",)))

    def test_one_that_no_plan_has_is_refused(self) -> None:
        with pytest.raises(MaintenanceError, match="no plan has 'ufo': they have lightning"):
            happened([self.PLAN], PLACE, [], Special(name="ufo", author="kim", at_s=at(1)))


class TestFigures:
    def test_overdue_and_done_in_time(self) -> None:
        lines: list[Line] = [*planned([YEARLY], PLACE, told(HEARD), [], at(1))]
        did(lines, 1, at(1) + 1.0)  # a second late
        first, second = standings([YEARLY], PLACE, told(HEARD), lines)
        assert (first.done, first.in_time, first.order) == (1, 0, None)
        assert second.order is not None
        assert second.is_overdue(second.order.raised.due_s + 1.0)
        assert not second.is_overdue(second.order.raised.due_s)


class TestPlanFile:
    def test_the_one_to_start_from_is_sound(self) -> None:
        plans = read_plans(ROOT / "docs" / "maintenance" / "plans.toml", PLACE)
        assert {"yearly", "cleaning", "special"} <= {plan.id for plan in plans}

    def test_every_error_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "plans.toml"
        path.write_text('[[plans]]\nid = "x"\ntitle = "t"\nchecklist = []\nevery_day = 3\n')
        with pytest.raises(ConfigError) as caught:
            read_plans(path, PLACE)
        assert f"{path}: plans.0.checklist" in str(caught.value)
        assert f"{path}: plans.0.every_day" in str(caught.value)
        plan = '[[plans]]\nid = "x"\ntitle = "t"\nchecklist = ["look"]\n'
        path.write_text(f'{plan}{plan}stations = ["z"]\nafter = ["flood"]\n')
        with pytest.raises(ConfigError) as caught:
            read_plans(path, PLACE)
        for words in ("plans.0: says neither", "plans.1.id: 'x' is taken", "no station 'z'"):
            assert words in str(caught.value)
