"""The question that a solver is asked, and what its answer means."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartcharge.control.demand import Demand
from smartcharge.control.evse import EvseState
from smartcharge.control.health.memory import History as Record
from smartcharge.control.limits import Limits, effective_limits
from smartcharge.control.plan import Plan
from smartcharge.control.planning import MANY_CARS, Question, edges_of, plan_of, question
from smartcharge.control.prediction import History
from smartcharge.control.state import State
from smartcharge.control.weights import FIRST_SLOT_S
from smartcharge.events import (
    Charging,
    ChargingChanged,
    Event,
    IntensitySet,
    LimitSet,
    LimitsReplaced,
    Metered,
    NeedStated,
    OperatorOrder,
    Plugged,
    PricesSet,
    SourceHeard,
    StationOffline,
    TransactionEnded,
    TransactionStarted,
    Unplugged,
)
from smartcharge.model import EvseId, GridLimit, GridSource, Phases, StationId, Vehicle
from solvers import SOLVERS
from solvers.greedy import greedy
from solvers.problem import Problem
from tests.builders import MAIN, NOON_S, charging, circuit, evse, fold, plan, ready, row_of, site, station, told

A, B = EvseId("a/1"), EvseId("b/1")


def cars(count: int, *events: NeedStated | LimitSet | PricesSet | OperatorOrder) -> State:
    one = row_of(count)
    state = fold(one, ready(one))
    for e in one.evses:
        state = fold(state, charging(e.id, NOON_S - 600.0))
    return fold(state, *events)


def asked(state: State, now_s: float = NOON_S) -> Question:
    found = question(state, effective_limits(state, now_s), now_s)
    assert found is not None
    return found


def first_a(state: State, now_s: float = NOON_S) -> dict[EvseId, float]:
    """Return what the optimal plan gives everybody in its first slot [A]."""
    found = asked(state, now_s)
    current_a = SOLVERS["optimal"](found.problem, 60.0).current_a[0]
    return {request.evse: float(a) for request, a in zip(found.requests, current_a, strict=True)}


def problem(state: State, now_s: float = NOON_S) -> Problem:
    return asked(state, now_s).problem


def shown(state: State) -> State:
    """Return the state once the car at B took all that its EVSE has."""
    full = Metered(at_s=NOON_S - 1.0, evse=B, current_a=Phases(32.0, 0.0, 0.0), power_w=7360.0)
    return fold(state, told(B, 32.0, NOON_S - 10.0, command_id=99), full)


class TestWhoAsks:
    def test_nobody(self) -> None:
        state = fold(row_of(2), ready(row_of(2)), Plugged(at_s=NOON_S, evse=A))
        assert question(state, effective_limits(state, NOON_S), NOON_S) is None

    def test_whoever_can_be_relied_on_and_wants_something(self) -> None:
        state = cars(4)
        state = fold(
            state,
            NeedStated(at_s=NOON_S, evse=A, energy_wh=0.0),
            StationOffline(at_s=NOON_S, station=StationId("b")),
            OperatorOrder(at_s=NOON_S, evse=EvseId("c/1"), limit_a=5.0, author="eve", reason="hot"),
        )
        assert [r.evse for r in asked(state).requests] == ["d/1"]

    def test_the_others_worst_is_taken_off(self) -> None:
        state = fold(cars(2), told("b/1", 10.0, NOON_S - 30.0, command_id=50))
        away = fold(state, StationOffline(at_s=NOON_S, station=StationId("b")))
        assert problem(state).limit_a[0, 0] == 32.0
        assert problem(away).limit_a[0, 0] == 22.0


class TestTime:
    def test_slots_are_fine_now_and_coarse_later(self) -> None:
        slots = problem(cars(1)).slot_s
        assert (slots[0], slots[-1]) == (300.0, 3600.0)
        assert slots.sum() == pytest.approx(12 * 3600.0)

    def test_a_stay_that_nobody_stated_is_three_hours_from_plugging_in(self) -> None:
        assert asked(cars(1)).requests[0].depart_at_s == NOON_S - 600.0 + 3 * 3600.0

    def test_a_car_that_outstays_its_word_is_taken_to_stay_a_while(self) -> None:
        state = cars(1, NeedStated(at_s=NOON_S, evse=A, depart_at_s=NOON_S - 60.0))
        assert asked(state).requests[0].depart_at_s == NOON_S + 1800.0

    def test_a_car_takes_less_in_the_slot_in_which_it_leaves_and_nothing_later(self) -> None:
        state = cars(1, NeedStated(at_s=NOON_S, evse=A, depart_at_s=NOON_S + 2100.0 + 150.0))
        assert problem(state).max_a[6:9, 0] == pytest.approx([32.0, 16.0, 0.0])

    def test_the_word_of_a_car_that_is_about_to_leave_is_kept(self) -> None:
        state = cars(1, NeedStated(at_s=NOON_S, evse=A, depart_at_s=NOON_S + 120.0))
        assert asked(state).requests[0].depart_at_s == NOON_S + 120.0

    def test_very_many_cars_are_planned_on_fewer_slots(self) -> None:
        few, many = edges_of(MANY_CARS - 1, 12 * 3600.0), edges_of(MANY_CARS, 12 * 3600.0)
        assert few[1] == many[1] == 300.0
        assert few[-1] == many[-1] == 12 * 3600.0
        assert 2 * len(many) < len(few)


class TestWhatACarTakes:
    def test_steps_are_those_of_the_evse(self) -> None:
        stepped = replace(evse("a/1"), steps_a=(0.0, 8.0, 16.0), max_a=16.0)
        one = site(circuit(rating_a=64.0), station(stepped), station(evse("b/1")))
        state = fold(one, ready(one), charging("a/1", NOON_S - 600.0), charging("b/1", NOON_S - 600.0))
        assert problem(state).steps_a.tolist() == [[8.0, 16.0], [np.inf, np.inf]]

    def test_a_rest_too_small_for_a_slot_is_asked_for_whole_at_the_worth_of_the_rest(self) -> None:
        whole, rest = (problem(cars(1, NeedStated(at_s=NOON_S, evse=A, energy_wh=wh))) for wh in (5000.0, 10.0))
        assert rest.demand_wh[0] == pytest.approx(6.0 * rest.wh_per_amp[0, 0])
        assert rest.shortfall_price[0] * rest.demand_wh[0] == pytest.approx(whole.shortfall_price[0] * 10.0)
        assert first_a(cars(1, NeedStated(at_s=NOON_S, evse=A, energy_wh=10.0)))[A] == pytest.approx(6.0)

    def test_a_car_that_takes_half_of_what_it_is_offered_brings_half(self) -> None:
        state = cars(1)
        tail = replace(state, evses={A: with_draw(state.evses[A], 5.0)})
        assert problem(tail).max_a[0, 0] == pytest.approx(7.0)
        assert problem(tail).watts_per_amp[0] == pytest.approx(problem(state).watts_per_amp[0] * 5.0 / 7.0)

    def test_in_steps_it_is_offered_the_one_above(self) -> None:
        stepped = replace(evse("a/1"), steps_a=(0.0, 8.0, 16.0), max_a=16.0)
        one = site(circuit(rating_a=64.0), station(stepped))
        state = fold(one, ready(one), charging("a/1", NOON_S - 600.0))
        tail = replace(state, evses={A: with_draw(state.evses[A], 7.0)})
        assert problem(tail).max_a[0, 0] == 16.0


def with_draw(known: EvseState, draw_a: float) -> EvseState:
    """Return an EVSE whose car was seen to take so much and no more [A]."""
    assert known.session is not None
    return replace(known, session=replace(known.session, vehicle=Vehicle(draw_a=draw_a)))


class TestLimits:
    def test_a_grid_limit_holds_until_it_expires_and_then_the_failsafe(self) -> None:
        one = site(replace(circuit(rating_a=32.0), failsafe_a=Phases.all(12.0)), station(evse("a/1")))
        limit = LimitSet(
            at_s=NOON_S, source="dso", circuit=MAIN, current_a=Phases.all(20.0), valid_until_s=NOON_S + 450.0
        )
        state = fold(one, ready(one), charging("a/1"), limit)
        assert problem(state).limit_a[:3, 0] == pytest.approx([20.0, 12.0, 12.0])
        assert problem(state, NOON_S + 500.0).limit_a[0, 0] == 12.0

    def scheduled(self, count: int, every_s: float) -> State:
        """A car, and limits that follow each other: 10 A, 11 A, ..."""
        dso = GridSource(id="dso", circuit=MAIN, heartbeat_s=1e6)
        one = replace(row_of(1), grid=(dso,))
        limits = tuple(
            GridLimit(
                source="dso", circuit=MAIN, received_at_s=NOON_S, current_a=Phases.all(10.0 + n % 10),
                start_s=NOON_S + n * every_s, end_s=NOON_S + (n + 1) * every_s,
            )
            for n in range(count)
        )  # fmt: skip
        heard = SourceHeard(at_s=NOON_S, source="dso")
        told = LimitsReplaced(at_s=NOON_S, source="dso", limits=limits)
        return fold(one, ready(one), charging("a/1"), heard, told)

    def test_the_lowest_of_a_slot_counts(self) -> None:
        state = self.scheduled(20, 200.0)
        # The first slot sees 10 and 11 A, the next 11 A (up to 400 s) and 12 A.
        assert problem(state).limit_a[:3, 0] == pytest.approx([10.0, 11.0, 13.0])

    def test_of_very_many_changes_it_looks_at_the_start_of_each_slot(self, monkeypatch: pytest.MonkeyPatch) -> None:
        state = self.scheduled(5000, 30.0)
        looked: list[float] = []

        def effective(*args: Any, ahead_s: float = 0.0) -> Limits:
            looked.append(ahead_s)
            return effective_limits(*args, ahead_s=ahead_s)

        monkeypatch.setattr("smartcharge.control.planning.effective_limits", effective)
        found = problem(state)
        assert len(looked) == len(found.slot_s)
        assert found.limit_a[:3, 0] == pytest.approx([10.0, 10.0, 10.0])
        assert found.limit_a[:, 0].max() <= 19.0


class TestPrices:
    def test_flat_where_none_is_known(self) -> None:
        assert (problem(cars(1)).price == 0.25 / 1000.0).all()

    def test_follow_the_tariff_and_are_flat_before_and_after_it(self) -> None:
        prices = PricesSet(at_s=NOON_S, start_s=NOON_S + 300.0, step_s=600.0, per_kwh=(0.1, 0.4))
        assert problem(cars(1, prices)).price[:6] * 1000.0 == pytest.approx([0.25, 0.1, 0.1, 0.4, 0.4, 0.25])

    def test_co2_has_a_price_where_somebody_tells_the_intensity_of_the_grid(self) -> None:
        state = cars(1)
        grams = IntensitySet(at_s=NOON_S, start_s=NOON_S + 300.0, step_s=600.0, g_per_kwh=(100.0, 400.0))
        assert (problem(fold(state, grams)).price == problem(state).price).all()
        priced = replace(state, site=replace(state.site, money=replace(state.site.money, co2_per_kg=0.5)))
        found = problem(fold(priced, grams)).price[:6] * 1000.0
        assert found == pytest.approx([0.375, 0.3, 0.3, 0.45, 0.45, 0.375]), "where nothing is known, the mean counts"

    @pytest.mark.parametrize(("priority", "price"), [(-99, 0.0), (-10, 0.0), (0, 10.0), (5, 15.0), (99, 20.0)])
    def test_priority_scales_the_worth_of_energy(self, priority: int, price: float) -> None:
        state = cars(1, NeedStated(at_s=NOON_S, evse=A, priority=priority))
        assert problem(state).shortfall_price[0] * 1000.0 == pytest.approx(price)


class TestUrgency:
    @pytest.mark.parametrize(
        ("stay_s", "times"), [(24 * 3600.0, 1.0), (8 * 3600.0, 1.0), (4 * 3600.0, 2.0), (1800.0, 16.0), (60.0, 40.0)]
    )
    def test_waiting_is_dearer_for_a_car_that_leaves_soon(self, stay_s: float, times: float) -> None:
        state = cars(2, NeedStated(at_s=NOON_S, evse=B, depart_at_s=NOON_S + stay_s))
        assert problem(shown(state)).early_price[1] * 1e5 == pytest.approx(times)

    def test_a_car_that_has_not_shown_what_it_takes_is_in_a_hurry(self) -> None:
        need = NeedStated(at_s=NOON_S, evse=B, depart_at_s=NOON_S + 9 * 3600.0)
        waiting = cars(2, need)
        assert problem(waiting).early_price[1] * 1e5 == pytest.approx(10.0)
        assert problem(waiting, NOON_S + 900.0).early_price[1] * 1e5 == pytest.approx(1.0)
        assert problem(shown(waiting)).early_price * 1e5 == pytest.approx([10.0, 1.0])

    def test_it_is_served_first(self) -> None:
        for soon, late in ((A, B), (B, A)):
            state = cars(
                2,
                NeedStated(at_s=NOON_S, evse=soon, depart_at_s=NOON_S + 2 * 3600.0, energy_wh=2000.0),
                NeedStated(at_s=NOON_S, evse=late, depart_at_s=NOON_S + 3 * 3600.0, energy_wh=2000.0),
            )
            assert first_a(state)[soon] > 30.0 > first_a(state)[late]


class TestCalm:
    @pytest.mark.parametrize("running", [A, B])
    def test_of_equals_the_one_that_charges_goes_on(self, running: EvseId) -> None:
        state = fold(cars(2), told(running, 20.0, NOON_S - 30.0, command_id=50))
        assert sum(problem(state).present_a) == 20.0
        assert first_a(state)[running] >= 20.0

    def test_a_car_is_not_put_off_for_it(self) -> None:
        asks_little = NeedStated(at_s=NOON_S, evse=A, depart_at_s=NOON_S + 12 * 3600.0, energy_wh=700.0)
        assert first_a(cars(1, asks_little))[A] == 32.0

    @pytest.mark.parametrize("priority", [-9, 0, 10])
    def test_it_is_nothing_against_promised_energy(self, priority: int) -> None:
        found = problem(cars(1, NeedStated(at_s=NOON_S, evse=A, priority=priority)))
        least_wh = found.wh_per_amp.min()
        assert 1000.0 * found.change_price < found.shortfall_price[0] * least_wh


class TestHealth:
    """All else equal, the plan goes by the EVSE that is less likely to fail."""

    @staticmethod
    def ill(state: State, name: EvseId) -> State:
        sick = state.evses[name]
        failing = replace(sick, health=replace(sick.health, history=Record(sessions=50.0, failures=40.0)))
        return replace(state, evses={**state.evses, name: failing})

    @pytest.mark.parametrize(("sick", "sound"), [(A, B), (B, A)])
    def test_of_equals_the_healthier_goes_first(self, sick: EvseId, sound: EvseId) -> None:
        given = first_a(self.ill(cars(2), sick))
        assert given[sound] >= 20.0 > given[sick]

    def test_a_site_whose_evses_are_alike_is_planned_as_ever(self) -> None:
        early = problem(cars(2)).early_price
        assert early[0] == early[1] == problem(cars(1)).early_price[0]

    def test_it_breaks_ties_and_nothing_else(self) -> None:
        leaves = NeedStated(at_s=NOON_S, evse=A, depart_at_s=NOON_S + 2 * 3600.0, energy_wh=2000.0)
        stays = NeedStated(at_s=NOON_S, evse=B, depart_at_s=NOON_S + 3 * 3600.0, energy_wh=2000.0)
        assert first_a(self.ill(cars(2, leaves, stays), A))[A] > 30.0
        early = problem(self.ill(cars(2), A)).early_price
        assert 0.99 <= early[0] / early[1] < 1.0


class TestFirstShare:
    def test_who_waited_too_long_is_served_though_nobody_would_pay_for_it(self) -> None:
        unwanted = EvseId("f/1")
        state = cars(6, NeedStated(at_s=NOON_S, evse=unwanted, priority=-10))
        served = {name: known if name == unwanted else with_energy(known, 10.0) for name, known in state.evses.items()}
        state = replace(state, evses=served)
        assert first_a(state)[unwanted] == 0.0
        assert first_a(state, NOON_S + 1200.0)[unwanted] >= 6.0

    def test_who_had_something_waits_its_turn(self) -> None:
        state = cars(2)
        served = {name: with_energy(known, 10.0) for name, known in state.evses.items()}
        assert problem(replace(state, evses=served), NOON_S + 9000.0).pause_price.tolist() == [0.0, 0.0]


class TestTiers:
    """No lower tier outweighs a higher one: energy before money, money before fairness and calm."""

    @given(
        per_kwh=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12),
        peak_per_kw=st.floats(0.0, 50.0),
        needs_wh=st.lists(st.floats(500.0, 40_000.0), min_size=3, max_size=3),
        stays_h=st.lists(st.floats(0.3, 10.0), min_size=3, max_size=3),
    )
    @settings(max_examples=25, deadline=None)
    def test_promised_energy_is_delivered_whatever_it_costs(
        self, per_kwh: list[float], peak_per_kw: float, needs_wh: list[float], stays_h: list[float]
    ) -> None:
        names = [EvseId(f"{letter}/1") for letter in "abc"]
        needs = [
            NeedStated(at_s=NOON_S, evse=name, energy_wh=wh, depart_at_s=NOON_S + 3600.0 * h)
            for name, wh, h in zip(names, needs_wh, stays_h, strict=True)
        ]
        state = cars(3, *needs, PricesSet(at_s=NOON_S, start_s=NOON_S, step_s=3600.0, per_kwh=tuple(per_kwh)))
        dear = replace(state, site=replace(state.site, money=replace(state.site.money, peak_per_kw=peak_per_kw)))
        priced = problem(dear)
        free = replace(
            priced, price=0.0 * priced.price, early_price=0.0 * priced.early_price, peak_price=0.0,
            change_price=0.0, fair_price=0.0,
        )  # fmt: skip
        missing_wh = [SOLVERS["optimal"](asked_for, 60.0).shortfall_wh.sum() for asked_for in (priced, free)]
        peak_per_wh = priced.peak_price * 3600.0 / FIRST_SLOT_S
        worth = float((priced.shortfall_price - priced.price_per_wh.max() - peak_per_wh).min())
        assert worth > 0.0
        assert missing_wh[0] <= missing_wh[1] + 2.0 * priced.gap / worth + 1.0

    def test_unfairness_and_change_are_far_below_energy(self) -> None:
        found = problem(cars(3))
        assert 100.0 * found.fair_price <= found.shortfall_price.min()


def with_energy(known: EvseState, delivered_wh: float) -> EvseState:
    """Return an EVSE whose car got so much already [Wh]."""
    assert known.session is not None
    return replace(known, session=replace(known.session, delivered_wh=delivered_wh))


class TestDemandCharge:
    def test_what_is_paid_for_is_free_and_the_running_quarter_hour_counts(self) -> None:
        state = cars(1)
        demand = Demand(highest_w=4000.0, at_s=NOON_S - 100.0, power_w=3600.0, energy_wh=50.0)
        found = problem(replace(state, demand=demand))
        assert found.peak_w == 4000.0
        assert found.peak_share is not None
        assert found.peak_share[:, 0].sum() == pytest.approx(1.0 / 3.0)
        drawn_wh = 50.0 + 3600.0 * 100.0 / 3600.0
        is_running = NOON_S - 100.0 >= NOON_S // 900.0 * 900.0
        assert found.peak_base_w[0] == pytest.approx(drawn_wh * 4.0 if is_running else 0.0)


class TestPlan:
    def test_says_what_the_schedule_says(self) -> None:
        found = asked(cars(2))
        schedule = greedy(found.problem, 0.0)
        made = plan_of(found, schedule)
        assert made.setpoint_a(B, NOON_S + 301.0) == schedule.current_a[1, 1]
        assert np.array(list(made.shortfall_wh.values())) == pytest.approx(schedule.shortfall_wh)
        assert (made.made_at_s, made.solver, made.outcome) == (NOON_S, schedule.solver, schedule.outcome)

    @pytest.mark.parametrize(("name", "at_s"), [("a/1", -0.1), ("a/1", 3600.0), ("x/1", 0.0)])
    def test_says_nothing_of_others_and_of_other_times(self, name: str, at_s: float) -> None:
        made: Plan = plan(a=9.0)
        assert made.setpoint_a(EvseId(name), NOON_S + at_s) is None
        assert made.setpoint_a(A, NOON_S + 3599.9) == 9.0


class TestThePast:
    """A driver's word is a promise; the past speaks where he says nothing, and of hurry."""

    @staticmethod
    def with_regular(stay_h: float, *said: NeedStated) -> State:
        """Return one car of a regular who came ten times before and took 12 kWh each time."""
        one = row_of(1)
        state = fold(one, ready(one))
        for n in range(10, 0, -1):
            came_s = NOON_S - n * 7 * 24 * 3600.0
            state = fold(state, *visit(came_s, came_s + stay_h * 3600.0))
        return fold(state, *visit(NOON_S - 60.0, None), *said)

    def test_a_regular_is_expected_to_do_as_always(self) -> None:
        request = asked(self.with_regular(2.0)).requests[0]
        assert request.depart_at_s - NOON_S == pytest.approx(2 * 3600.0, rel=0.2)
        assert request.need_wh == pytest.approx(12_000.0, rel=0.3)

    def test_his_word_is_kept_to_the_watt_hour_and_to_the_minute(self) -> None:
        said = NeedStated(at_s=NOON_S, evse=A, energy_wh=40_000.0, depart_at_s=NOON_S + 9 * 3600.0)
        request = asked(self.with_regular(2.0, said)).requests[0]
        assert (request.need_wh, request.depart_at_s) == (40_000.0, NOON_S + 9 * 3600.0)

    def test_who_leaves_before_his_word_is_in_a_hurry(self) -> None:
        said = NeedStated(at_s=NOON_S, evse=A, depart_at_s=NOON_S + 9 * 3600.0)
        early, late = (asked(self.with_regular(stay_h, said)).requests[0] for stay_h in (2.0, 12.0))
        assert early.hurry_s - NOON_S < 2.5 * 3600.0
        assert late.hurry_s == late.depart_at_s

    def test_the_past_of_others_says_nothing_of_hurry(self) -> None:
        said = NeedStated(at_s=NOON_S, evse=A, depart_at_s=NOON_S + 9 * 3600.0)
        request = asked(cars(1, said)).requests[0]
        assert request.hurry_s == request.depart_at_s

    def test_a_car_that_never_charged_teaches_nothing(self) -> None:
        state = fold(cars(1), Unplugged(at_s=NOON_S, evse=A))
        assert state.history == History()

    def test_what_ended_teaches_once(self) -> None:
        state = fold(self.with_regular(2.0), Metered(at_s=NOON_S, evse=A, energy_wh=9_000.0))
        gone = fold(state, Unplugged(at_s=NOON_S + 60.0, evse=A))
        assert sum(state.history.cells["site"].stay) == pytest.approx(10.0, rel=0.05)
        assert sum(gone.history.cells["site"].stay) == pytest.approx(11.0, rel=0.05)
        assert fold(gone, Unplugged(at_s=NOON_S + 90.0, evse=A)).history == gone.history


def visit(came_s: float, left_s: float | None) -> list[Event]:
    """Return the facts of a car at A that took 12 kWh and then no more, or that is still there and took nothing."""
    events: list[Event] = [
        Plugged(at_s=came_s, evse=A),
        TransactionStarted(at_s=came_s, evse=A, transaction_id=f"t{came_s}", id_token="regular", meter_wh=0.0),
    ]
    if left_s is not None:
        events += [
            Metered(at_s=left_s - 600.0, evse=A, energy_wh=12_000.0),
            ChargingChanged(at_s=left_s - 600.0, evse=A, state=Charging.SUSPENDED_EV),
            TransactionEnded(at_s=left_s, evse=A, transaction_id=f"t{came_s}", meter_wh=12_000.0),
            Unplugged(at_s=left_s, evse=A),
        ]
    return events
