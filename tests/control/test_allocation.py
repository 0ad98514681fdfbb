"""The safety gate, case by case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from smartcharge.control.allocation import allocate, floor_to_step
from smartcharge.control.health.memory import History
from smartcharge.control.limits import effective_limits
from smartcharge.control.plan import Plan, Setpoint
from smartcharge.control.state import State
from smartcharge.events import (
    Charging,
    ChargingChanged,
    LimitSet,
    Metered,
    NeedStated,
    OperatorOrder,
    Plugged,
    StationOffline,
    Unplugged,
)
from smartcharge.model import EvseId, Phases, Rotation, Site, StationId, Wiring
from tests.builders import (
    MAIN,
    NOON_S,
    STEPS_A,
    charging,
    circuit,
    commanded,
    evse,
    fold,
    plan,
    ready,
    row_of,
    site,
    station,
    told,
    tree,
    unanswered,
)

A, B, C = EvseId("a/1"), EvseId("b/1"), EvseId("c/1")


def decide(state: State, wishes: Plan | None, now_s: float = NOON_S) -> Mapping[EvseId, Setpoint]:
    return allocate(state, effective_limits(state, now_s), wishes, now_s).setpoints


def amps(state: State, wishes: Plan | None, now_s: float = NOON_S) -> dict[str, float]:
    return {name.split("/")[0]: round(s.limit_a, 3) for name, s in decide(state, wishes, now_s).items()}


def cars(one: Site, **told_a: float) -> State:
    """A car at every EVSE named, each told a current half a minute ago."""
    state = fold(one, ready(one))
    for number, (name, limit_a) in enumerate(told_a.items(), start=50):
        state = fold(state, charging(f"{name}/1", NOON_S - 40.0 + number / 100))
        state = fold(state, told(f"{name}/1", limit_a, NOON_S - 30.0, command_id=number))
    return state


class TestFit:
    def test_everybody_has_its_wish_where_all_fit(self) -> None:
        assert amps(cars(row_of(2, 40.0), a=20.0, b=10.0), plan(a=20.0, b=20.0)) == {"a": 20.0, "b": 20.0}

    def test_wishes_give_way_by_the_same_share(self) -> None:
        assert amps(cars(row_of(2, 32.0), a=6.0, b=6.0), plan(a=26.0, b=16.0)) == {"a": 19.333, "b": 12.667}

    def test_floors_go_by_priority_where_not_all_fit(self) -> None:
        state = cars(row_of(3, 13.0), a=0.0, b=0.0, c=0.0)
        assert amps(state, plan(a=16.0, b=16.0, c=16.0)) == {"a": 6.5, "b": 6.5, "c": 0.0}
        first = fold(state, NeedStated(at_s=NOON_S, evse=C, priority=1))
        assert amps(first, plan(a=16.0, b=16.0, c=16.0)) == {"a": 6.5, "b": 0.0, "c": 6.5}

    def test_a_panel_below_its_rating_may_use_what_a_full_one_cannot(self) -> None:
        one = tree()
        wide = replace(one, circuits=(replace(one.circuits[0], rating_a=Phases.all(100.0)), *one.circuits[1:]))
        state = cars(wide, n0=6.0, n1=6.0, n2=6.0, s0=6.0)
        found = amps(state, plan(n0=30.0, n1=30.0, n2=6.0, s0=30.0))
        assert found == {"n0": 17.0, "n1": 17.0, "n2": 6.0, "s0": 26.0, "s1": 6.0}

    def test_the_binding_line_is_named(self) -> None:
        setpoint = decide(cars(row_of(2, 32.0), a=16.0, b=16.0), plan(a=26.0, b=26.0))[A]
        assert setpoint.limit_a == pytest.approx(16.0)
        assert setpoint.reason == "main L1 rating"

    def test_a_grid_limit_lowers_at_once(self) -> None:
        limit = LimitSet(at_s=NOON_S, source="dso", circuit=MAIN, current_a=Phases.all(14.0))
        setpoints = decide(fold(cars(row_of(2), a=16.0, b=16.0), limit), plan(a=16.0, b=16.0))
        assert [round(s.limit_a, 3) for s in setpoints.values()] == [7.0, 7.0]
        assert setpoints[A].reason == "main L1 grid limit of dso"

    def test_where_even_the_floors_do_not_fit_nobody_has_anything(self) -> None:
        limit = LimitSet(at_s=NOON_S, source="dso", circuit=MAIN, current_a=Phases.all(5.9))
        assert amps(fold(cars(row_of(2), a=16.0, b=16.0), limit), plan(a=16.0, b=16.0)) == {"a": 0.0, "b": 0.0}


class TestPhases:
    def test_a_one_phase_car_at_a_three_phase_evse_frees_the_other_phases(self) -> None:
        on_l2 = replace(evse("b/1", Wiring.ONE_PHASE), rotation=Rotation.STR)
        state = cars(site(circuit(rating_a=32.0), station(evse("a/1")), station(on_l2)), a=6.0, b=6.0)
        assert amps(state, plan(a=26.0, b=26.0)) == {"a": 16.0, "b": 16.0}
        readings = [Metered(at_s=NOON_S - n, evse=A, current_a=Phases(5.8, 0.0, 0.0)) for n in (2, 1)]
        assert amps(fold(state, readings), plan(a=26.0, b=26.0)) == {"a": 26.0, "b": 26.0}


class TestFloor:
    @pytest.mark.parametrize(("wished_a", "given_a"), [(5.9, 0.0), (6.0, 6.0), (7.3, 7.3), (40.0, 32.0)])
    def test_nothing_between_zero_and_the_minimum(self, wished_a: float, given_a: float) -> None:
        assert floor_to_step(row_of(1).evses[0], wished_a) == given_a

    @pytest.mark.parametrize(("wished_a", "given_a"), [(7.9, 0.0), (8.0, 8.0), (15.9999999, 16.0), (40.0, 32.0)])
    def test_steps(self, wished_a: float, given_a: float) -> None:
        assert floor_to_step(replace(row_of(1).evses[0], min_a=8.0, steps_a=STEPS_A), wished_a) == given_a

    def test_a_station_that_may_do_anything_is_told_a_setpoint_that_it_has(self) -> None:
        stepped = replace(evse("a/1", Wiring.ONE_PHASE), steps_a=STEPS_A, min_a=8.0, max_a=30.0)
        state = fold(site(circuit(), station(stepped)), ready(row_of(1)), charging("a/1"))
        assert decide(state, plan(a=29.0))[A].limit_a == 24.0


class TestWish:
    @pytest.mark.parametrize(
        ("planned_a", "given_a", "reason"),
        [(20.0, 20.0, "the plan"), (3.0, 6.0, "the plan: not now"), (32.0, 32.0, "its own maximum")],
    )
    def test_is_the_plan(self, planned_a: float, given_a: float, reason: str) -> None:
        assert decide(cars(row_of(1), a=16.0), plan(a=planned_a))[A] == Setpoint(limit_a=given_a, reason=reason)

    def test_a_car_that_does_not_charge_is_not_switched_on_for_comfort(self) -> None:
        assert amps(cars(row_of(1), a=0.0), plan(a=0.0)) == {"a": 0.0}

    def test_comfort_yields_to_need(self) -> None:
        setpoints = decide(cars(row_of(2, 32.0), a=6.0, b=26.0), plan(a=0.0, b=30.0))
        assert [s.limit_a for s in setpoints.values()] == [0.0, 26.0]
        assert setpoints[B].reason == "waiting for room: main L1 rating"

    @pytest.mark.parametrize(("dear", "cheap", "given_a"), [(0.30, 0.20, 0.0), (0.20, 0.20, 6.0), (0.10, 0.20, 6.0)])
    def test_comfort_yields_to_money(self, dear: float, cheap: float, given_a: float) -> None:
        """The plan charges in the second hour; what flows in the first then would cost more."""
        two_hours = replace(
            plan(a=0.0), edges_s=(NOON_S, NOON_S + 3600.0, NOON_S + 7200.0), current_a={A: (0.0, 20.0)},
            per_kwh=(dear, cheap),
        )  # fmt: skip
        assert decide(cars(row_of(1), a=16.0), two_hours)[A].limit_a == given_a

    def test_comfort_raises_no_peak(self) -> None:
        """Two cars pause at 20 A x 230 V of a third: 2 x 6 A fit below a peak of 32 A, one of them below 26 A."""
        state = cars(row_of(3), a=6.0, b=6.0, c=20.0)
        for paid_a, kept in ((32.0, 2), (26.0, 1), (20.0, 0)):
            wishes = replace(plan(a=0.0, b=0.0, c=20.0), peak_w=paid_a * 230.0)
            given = decide(state, wishes)
            assert [given[e].limit_a for e in (A, B)].count(6.0) == kept

    @pytest.mark.parametrize("wishes", [None, plan(NOON_S - 7200.0, a=20.0)])
    def test_without_a_plan_is_the_minimum(self, wishes: Plan | None) -> None:
        assert decide(cars(row_of(1), a=0.0), wishes)[A] == Setpoint(limit_a=6.0, reason="waiting for the plan")

    def test_a_car_that_has_its_energy_keeps_the_minimum(self) -> None:
        state = fold(cars(row_of(1), a=20.0), NeedStated(at_s=NOON_S, evse=A, energy_wh=0.0))
        assert decide(state, plan(a=20.0))[A] == Setpoint(limit_a=6.0, reason="has what it asked for")

    def test_an_order_below_the_minimum_stops(self) -> None:
        order = OperatorOrder(at_s=NOON_S, evse=A, limit_a=5.0, author="eve", reason="hot")
        setpoint = decide(fold(cars(row_of(1), a=20.0), order), plan(a=20.0))[A]
        assert setpoint == Setpoint(limit_a=0.0, reason="order of eve: hot")

    def test_a_tapering_car_frees_room_and_gets_it_back(self) -> None:
        def reading(own_a: float, at_s: float) -> Metered:
            return Metered(at_s=at_s, evse=A, current_a=Phases(own_a, 0.0, 0.0))

        state = fold(cars(row_of(2, 40.0), a=16.0, b=16.0), reading(8.0, NOON_S - 2.0), reading(8.0, NOON_S - 1.0))
        setpoints = decide(state, plan(a=16.0, b=30.0))
        assert setpoints[A] == Setpoint(limit_a=10.0, reason="the car takes no more")
        assert setpoints[B].limit_a == pytest.approx(24.0)
        assert setpoints[B].reason == "waiting for room: main L1 rating"
        state = fold(state, told("a/1", 10.0, NOON_S, command_id=90))
        assert amps(state, plan(a=16.0, b=30.0), NOON_S + 5.0) == {"a": 10.0, "b": 30.0}
        takes_all = fold(state, reading(9.9, NOON_S + 60.0))
        assert amps(takes_all, plan(a=16.0, b=16.0), NOON_S + 60.0) == {"a": 16.0, "b": 16.0}

    def test_a_pausing_car_is_offered_the_minimum(self) -> None:
        paused = [Metered(at_s=NOON_S - n, evse=A, current_a=Phases.all(0.0)) for n in (2, 1)]
        assert amps(fold(cars(row_of(1), a=16.0), paused), plan(a=16.0)) == {"a": 6.0}

    def test_a_car_that_suspended_after_charging_keeps_its_place(self) -> None:
        measured = Metered(at_s=NOON_S, evse=A, energy_wh=900.0)
        suspended = ChargingChanged(at_s=NOON_S, evse=A, state=Charging.SUSPENDED_EV)
        assert amps(fold(cars(row_of(1), a=16.0), measured, suspended), plan(a=16.0)) == {"a": 6.0}


class TestDeadband:
    @pytest.mark.parametrize(
        ("planned_a", "given_a"), [(16.4, 16.0), (16.5, 16.5), (15.6, 16.0), (15.5, 15.5), (16.0, 16.0)]
    )
    def test_small_changes_are_not_worth_a_profile(self, planned_a: float, given_a: float) -> None:
        assert amps(cars(row_of(1), a=16.0), plan(a=planned_a)) == {"a": given_a}

    def test_does_not_keep_a_line_over_its_limit(self) -> None:
        limit = LimitSet(at_s=NOON_S, source="dso", circuit=MAIN, current_a=Phases.all(15.8))
        assert amps(fold(cars(row_of(1), a=16.0), limit), plan(a=16.0)) == {"a": 15.8}

    def test_does_not_keep_a_car_above_its_cap(self) -> None:
        order = OperatorOrder(at_s=NOON_S, evse=A, limit_a=15.8, author="eve", reason="hot")
        assert amps(fold(cars(row_of(1), a=16.0), order), plan(a=16.0)) == {"a": 15.8}

    def test_does_not_keep_a_car_from_starting(self) -> None:
        near = replace(row_of(1), deadband_a=7.0)
        assert amps(cars(near, a=0.0), plan(a=6.0)) == {"a": 6.0}


class TestUnreliable:
    def test_a_deaf_station_keeps_its_reserve_and_is_told_no_more_than_before(self) -> None:
        command = commanded("a/1", 26.0, NOON_S - 15.0, command_id=90)
        state = fold(cars(row_of(2, 32.0), a=16.0, b=6.0), command, unanswered(command, NOON_S - 5.0))
        setpoints = decide(state, plan(a=30.0, b=16.0))
        assert setpoints[A] == Setpoint(limit_a=26.0, reason="the station does not follow commands")
        assert setpoints[B].limit_a == 6.0, "26 A may be drawn by the other"

    def test_a_deaf_station_is_not_raised_although_there_is_room(self) -> None:
        command = commanded("a/1", 20.0, NOON_S - 15.0, command_id=90)
        state = fold(cars(row_of(1, 32.0), a=16.0), command, unanswered(command, NOON_S - 5.0))
        assert amps(state, plan(a=30.0)) == {"a": 20.0}

    def test_where_its_worst_is_too_much_it_is_told_to_stop(self) -> None:
        command = commanded("a/1", 26.0, NOON_S - 15.0, command_id=90)
        limit = LimitSet(at_s=NOON_S, source="dso", circuit=MAIN, current_a=Phases.all(20.0))
        state = fold(cars(row_of(2, 32.0), a=16.0, b=6.0), command, unanswered(command, NOON_S - 5.0), limit)
        assert amps(state, plan(a=30.0, b=16.0)) == {"a": 0.0, "b": 0.0}

    def test_what_cannot_be_commanded_is_reserved(self) -> None:
        state = fold(row_of(3), ready(row_of(3)), Plugged(at_s=NOON_S, evse=A), Unplugged(at_s=NOON_S, evse=B))
        setpoints = decide(fold(state, StationOffline(at_s=NOON_S, station=StationId("c"))), None)
        assert setpoints == {
            A: Setpoint(limit_a=6.0, reason="no transaction: its default profile is reserved"),
            B: Setpoint(limit_a=0.0, reason="no car"),
            C: Setpoint(limit_a=6.0, reason="station offline: its last limit, then its default, is reserved"),
        }


class TestHealth:
    def test_all_else_equal_the_healthier_goes_first(self) -> None:
        """Two cars that came at the same time, and room for one: it is not the one whose EVSE often fails."""
        one = row_of(2, 10.0)
        state = fold(one, ready(one), charging("a/1"), charging("b/1"))
        at_s = NOON_S + 60.0

        def given_a(state: State) -> list[float]:
            limits = effective_limits(state, at_s)
            return [s.limit_a for s in allocate(state, limits, plan(at_s, a=32.0, b=32.0), at_s).setpoints.values()]

        state = fold(state, told("a/1", 0.0, NOON_S, command_id=8), told("b/1", 0.0, NOON_S, command_id=9))
        first, second = given_a(state)
        assert first > second
        evse = state.evses[EvseId("a/1")]
        ill = replace(evse, health=replace(evse.health, history=History(sessions=50.0, failures=40.0)))
        first, second = given_a(replace(state, evses={**state.evses, EvseId("a/1"): ill}))
        assert first < second
