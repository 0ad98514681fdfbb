"""Every limit gets a record: received, understood, applied, measured, and the energy over it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smartcharge.control.compliance import derived, is_waiting
from smartcharge.control.plan import Decision
from smartcharge.control.records import MOST_ENDED, Record
from smartcharge.control.schedule import matters, next_due_s
from smartcharge.control.state import State
from smartcharge.events import (
    CircuitMetered,
    Event,
    LimitFollowed,
    LimitLifted,
    LimitSet,
    Metered,
    Stage,
    StationOffline,
)
from smartcharge.model import Direction, EvseId, GridSource, Phases, Scope, Site, StationId
from tests.builders import MAIN, NOON_S, accepted, charging, circuit, commanded, evse, fold, meter, ready, site, station

A, B = EvseId("a/1"), EvseId("b/1")
YARD = site(circuit(rating_a=64.0), station(evse("a/1")), station(evse("b/1")))
METERED = replace(
    YARD, circuits=(replace(circuit(rating_a=64.0), meter=meter(age_s=100.0), uncontrolled_a=Phases.all(4.0)),)
)


def limit(watts: float, s: float = 0.0, **more: object) -> LimitSet:
    return replace(LimitSet(at_s=NOON_S + s, source="dso", circuit=MAIN, power_w=watts, version="L1"), **more)  # type: ignore[arg-type]


def command(name: str, amps: float, s: float, number: int) -> list[Event]:
    told = commanded(name, amps, NOON_S + s, command_id=number)
    return [told, accepted(told, NOON_S + s + 1.0)]


def metered(name: EvseId, amps: float, s: float) -> Metered:
    return Metered(at_s=NOON_S + s, evse=name, current_a=Phases.all(amps))


def busy(one: Site = YARD) -> State:
    """Two cars that charge with 20 A each: 27.6 kW."""
    cars = [*charging("a/1", NOON_S - 50.0), *charging("b/1", NOON_S - 50.0, transaction="t2")]
    return fold(one, ready(one), cars, command("a/1", 20.0, -40.0, 10), command("b/1", 20.0, -40.0, 11))


def looked(state: State, s: float) -> State:
    """The state after the controller looked at what became of limits."""
    return fold(state, *derived(state, NOON_S + s))


def record(state: State) -> Record:
    (found,) = state.records.values()
    return found


class TestRecord:
    def test_is_understood_applied_and_measured_with_the_seconds_for_each(self) -> None:
        state = looked(fold(busy(), limit(13_800.0)), 0.1)
        assert (record(state).due_s, record(state).applied_s) == (NOON_S, None)
        state = looked(fold(state, command("a/1", 10.0, 0.2, 12), command("b/1", 10.0, 0.2, 13)), 1.3)
        assert record(state).applied_s is None, "the cars still settle"
        state = looked(state, 4.3)
        assert record(state).applied_s == NOON_S + 1.2, "the moment of the last confirmation"
        state = looked(fold(state, metered(A, 10.0, 5.0), metered(B, 10.0, 9.0)), 9.5)
        assert record(state).measured_s == NOON_S + 9.0
        assert record(state).over_wh == 0.0
        assert not is_waiting(state)

    def test_of_a_limit_that_changes_nothing_is_applied_at_once(self) -> None:
        state = looked(looked(fold(busy(), limit(40_000.0)), 0.1), 0.1)
        assert record(state).applied_s == NOON_S

    def test_begins_when_the_limit_binds_and_not_before(self) -> None:
        state = fold(busy(), limit(13_800.0, valid_until_s=NOON_S + 900.0, start_s=NOON_S + 100.0))
        assert looked(state, 99.0).records == {}
        assert record(looked(state, 100.5)).due_s == NOON_S + 100.0

    def test_ends_with_the_limit(self) -> None:
        state = looked(fold(busy(), limit(13_800.0)), 0.1)
        state = looked(fold(state, LimitLifted(at_s=NOON_S + 50.0, source="dso", circuit=MAIN)), 51.0)
        assert record(state).ended_s == NOON_S + 51.0
        assert looked(state, 60.0) == state

    def test_is_one_for_a_limit_that_is_renewed(self) -> None:
        state = looked(fold(busy(), limit(13_800.0)), 0.1)
        again = looked(fold(state, limit(13_800.0, 600.0)), 601.0)
        assert len(again.records) == 1
        other = looked(fold(again, limit(9000.0, 700.0)), 701.0)
        assert len(other.records) == 2

    def test_of_those_that_ended_the_newest_are_at_hand(self) -> None:
        state = busy()
        for n in range(MOST_ENDED + 5):
            state = looked(fold(state, limit(13_800.0, 10.0 * n, version=f"L{n}")), 10.0 * n + 1.0)
        assert len(state.records) == MOST_ENDED + 1
        assert ("dso", MAIN, "L0", NOON_S) not in state.records

    def test_a_fact_about_a_limit_that_nobody_knows_changes_nothing(self) -> None:
        fact = LimitFollowed(
            at_s=NOON_S, source="x", circuit=MAIN, version="", since_s=0.0, stage=Stage.BINDS, seen_s=NOON_S
        )
        assert fold(busy(), fact).records == {}


class TestCannotComply:
    def test_after_the_declared_time_it_is_said_and_by_whom(self) -> None:
        offline = StationOffline(at_s=NOON_S - 1.0, station=StationId("b"))
        state = looked(fold(busy(), offline, limit(5000.0), command("a/1", 0.0, 0.2, 12)), 0.3)
        assert record(looked(state, 14.9)).unmet is None
        assert record(looked(state, 15.1)).unmet == "b/1 may still draw and cannot be told"

    def test_it_is_said_in_time(self) -> None:
        state = looked(fold(busy(), limit(13_800.0)), 0.1)
        idle = Decision(at_s=NOON_S + 10.0, setpoints={})
        assert next_due_s(state, idle, None, NOON_S + 10.0) == NOON_S + 15.0
        assert record(looked(state, 15.0)).unmet is not None
        assert next_due_s(looked(state, 15.0), replace(idle, at_s=NOON_S + 15.0), None, NOON_S + 15.0) > NOON_S + 20.0

    def test_it_may_be_applied_later(self) -> None:
        state = looked(looked(fold(busy(), limit(13_800.0)), 0.1), 20.0)
        assert record(state).unmet == "a/1, b/1 may still draw"
        state = looked(fold(state, command("a/1", 10.0, 21.0, 12), command("b/1", 10.0, 21.0, 13)), 26.0)
        assert record(state).applied_s == NOON_S + 22.0

    def test_the_load_that_is_not_ours_may_be_the_reason(self) -> None:
        empty = replace(METERED, stations=(station(evse("a/1")),))
        state = fold(empty, ready(empty), limit(1000.0))
        state = looked(looked(state, 0.1), 16.0)
        assert record(state).unmet is not None


class TestMeasured:
    def test_energy_over_the_limit_is_counted_at_the_higher_of_two_readings(self) -> None:
        state = looked(fold(busy(METERED), limit(13_800.0)), 0.1)
        for s, amps in ((10.0, 30.0), (20.0, 25.0), (30.0, 19.0)):
            reading = CircuitMetered(at_s=NOON_S + s, circuit=MAIN, current_a=Phases.all(amps))
            state = looked(fold(state, reading), s + 0.1)
        over_w = [(amps - 20.0 * 1.01) * 690.0 for amps in (30.0, 25.0)]
        # Up to the first reading it is counted at that; between two at the higher one.
        expected_wh = (over_w[0] * 10.0 + over_w[0] * 10.0 + over_w[1] * 10.0) / 3600.0
        assert record(state).over_wh == pytest.approx(expected_wh, abs=0.01)
        assert record(state).measured_s == NOON_S + 30.0
        assert record(state).over_w == 0.0

    def test_nothing_is_proven_by_a_reading_from_before(self) -> None:
        before = CircuitMetered(at_s=NOON_S - 1.0, circuit=MAIN, current_a=Phases.all(1.0))
        state = looked(looked(fold(busy(METERED), before, limit(13_800.0)), 0.1), 1.0)
        assert record(state).measured_s is None

    def test_nothing_is_proven_while_a_car_is_not_measured(self) -> None:
        state = looked(fold(busy(), limit(40_000.0), metered(A, 10.0, 5.0)), 5.1)
        assert record(looked(state, 6.0)).measured_s is None

    def test_controllable_loads_are_measured_without_the_household(self) -> None:
        loads = limit(13_800.0, scope=Scope.LOADS)
        home = CircuitMetered(at_s=NOON_S + 9.0, circuit=MAIN, current_a=Phases.all(60.0))
        state = fold(busy(METERED), loads, metered(A, 10.0, 8.0), metered(B, 9.0, 9.0), home)
        assert record(looked(looked(state, 9.1), 9.1)).measured_s == NOON_S + 9.0

    def test_while_proof_is_missing_each_reading_calls_for_a_cycle(self) -> None:
        state = looked(fold(busy(), limit(13_800.0)), 0.1)
        reading = metered(A, 20.0, 5.0)
        assert matters(state, fold(state, reading), reading)
        assert not matters(busy(), fold(busy(), reading), reading)


class TestExport:
    """A limit on what is fed into the grid has a record of its own: nothing that we command feeds, its meter sees."""

    def test_without_a_meter_it_is_applied_at_once_and_never_measured(self) -> None:
        state = looked(looked(fold(busy(), limit(0.0, direction=Direction.EXPORT)), 1.0), 2.0)
        assert record(state).applied_s == NOON_S
        assert record(state).measured_s is None

    def test_it_is_apart_from_the_import_limit_of_the_same_name(self) -> None:
        both = fold(busy(), limit(50_000.0), limit(3000.0, direction=Direction.EXPORT))
        state = looked(looked(both, 1.0), 2.0)
        assert sorted(r.limit.power_w or 0.0 for r in state.records.values() if r.applied_s is not None) == [3e3, 5e4]

    def feeding(self, amps: float, watts: float) -> State:
        """A panel that feeds in, of which nothing is ours, and a limit on that."""
        seen = CircuitMetered(at_s=NOON_S + 1.0, circuit=MAIN, current_a=Phases.all(-amps))
        return looked(looked(fold(busy(METERED), limit(watts, direction=Direction.EXPORT), seen), 2.0), 3.0)

    def test_the_meter_proves_that_it_is_kept(self) -> None:
        kept = record(self.feeding(4.0, 3000.0))
        assert (kept.applied_s, kept.measured_s) == (NOON_S, NOON_S + 1.0)

    def test_what_is_not_ours_cannot_be_limited_and_that_is_said(self) -> None:
        over = record(looked(self.feeding(10.0, 3000.0), 20.0))
        assert over.applied_s is None
        assert over.unmet == "what feeds the grid here is not ours to limit"
        assert over.over_w == pytest.approx(6900.0 - 3030.0, abs=1.0)

    def test_while_its_meter_is_lost_nobody_says_that_it_is_kept(self) -> None:
        unseen = looked(looked(fold(busy(METERED), limit(0.0, direction=Direction.EXPORT)), 1.0), 20.0)
        assert (record(unseen).applied_s, record(unseen).unmet) == (None, "the meter of its circuit is lost")


class TestSection14a:
    SOURCE = GridSource(id="dso", circuit=MAIN, scope=Scope.LOADS, failsafe_w=7560.0, floor_w=7560.0, heartbeat_s=None)

    def test_a_limit_below_the_floor_is_flagged_and_followed(self) -> None:
        state = looked(fold(replace(YARD, grid=(self.SOURCE,)), limit(4000.0, scope=Scope.LOADS)), 0.1)
        assert record(state).is_below_floor
        assert record(state).limit.power_w == 4000.0

    def test_the_floor_is_held_where_the_site_insists(self) -> None:
        firm = replace(YARD, grid=(replace(self.SOURCE, holds_floor=True),))
        state = looked(fold(firm, limit(4000.0, scope=Scope.LOADS)), 0.1)
        assert record(state).limit.power_w == 7560.0
