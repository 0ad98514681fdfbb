"""What only some sites have, each part against figures worked out by hand, in both exact solvers and in greedy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers import SOLVERS, highs, pyomo_model
from solvers.objective import terms
from solvers.problem import Outcome, Problem, Storage
from solvers.verify import refute
from tests.solvers.problems import contended, equipped, priced, random_problem, simple

if TYPE_CHECKING:
    from solvers.problem import Schedule, Solver

LONG_S = 60.0
EXACT = {"optimal": highs.solve, "pyomo": pyomo_model.solve}
POLICIES = ("greedy", "equal", "edf", "llf", "round-robin")


@pytest.fixture(params=list(EXACT))
def solve(request: pytest.FixtureRequest) -> Solver:
    return EXACT[request.param]


def proven(solve: Solver, problem: Problem) -> Schedule:
    schedule = solve(problem, LONG_S)
    assert schedule.outcome == Outcome.OPTIMAL
    assert refute(problem, schedule) == ()
    return schedule


def battery(slots: int, **changed: object) -> Storage:
    """Return a lossless battery of 10 Wh, empty, that can do 10 W and wears for nothing."""
    plain = {
        "charge_w": np.full((slots, 1), 10.0),
        "discharge_w": np.full((slots, 1), 10.0),
        "level_wh": np.zeros(1),
        "reserve_wh": np.zeros(1),
        "capacity_wh": np.full(1, 10.0),
        "efficiency": np.ones(1),
        "wear_price": np.zeros(1),
        "worth": np.zeros(1),
        "target_wh": np.zeros(1),
        "due_slot": np.zeros(1, dtype=np.intp),
        "target_price": np.zeros(1),
        "coupling": np.zeros((1, 1), dtype=np.complex128),
    }
    return Storage(**(plain | changed))  # type: ignore[arg-type]


class TestAllTogether:
    @given(seed=st.integers(0, 2**32 - 1))
    @settings(max_examples=25, deadline=None)
    def test_back_ends_agree(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        shape = {"slots": int(rng.integers(1, 6)), "evs": int(rng.integers(0, 6)), "rows": int(rng.integers(0, 5))}
        plain = random_problem(seed=seed, binary_slots=int(rng.integers(0, 3)), **shape)
        problem = equipped(plain, seed=seed)
        fast, oracle = proven(highs.solve, problem), proven(pyomo_model.solve, problem)
        assert fast.objective == pytest.approx(oracle.objective, rel=1e-6, abs=1e-6)

    @given(seed=st.integers(0, 2**32 - 1), policy=st.sampled_from(POLICIES))
    @settings(max_examples=60, deadline=None)
    def test_every_policy_is_proven(self, seed: int, policy: str) -> None:
        problem = equipped(random_problem(seed=seed, slots=5, evs=8, rows=4, binary_slots=2), seed=seed)
        assert refute(problem, SOLVERS[policy](problem, 0.0)) == ()


class TestSteps:
    @pytest.mark.parametrize(("limit_a", "current_a"), [(25.0, 24.0), (24.0, 24.0), (23.9, 16.0), (7.9, 0.0)])
    def test_the_highest_that_fits(self, solve: Solver, limit_a: float, current_a: float) -> None:
        problem = simple(coupling=[[1.0]], limit_a=[limit_a], demand_wh=30.0, binary_slots=1)
        problem = replace(problem, steps_a=np.array([[8.0, 16.0, 24.0]]))
        assert proven(solve, problem).current_a[0, 0] == pytest.approx(current_a, abs=1e-9)

    def test_two_share_in_steps(self, solve: Solver) -> None:
        problem = simple(coupling=[[1.0, 1.0]], limit_a=[27.0], demand_wh=30.0, binary_slots=1)
        problem = replace(problem, steps_a=np.array([[8.0, 16.0], [10.0, np.inf]]))
        assert proven(solve, problem).current_a[0] == pytest.approx([16.0, 10.0])

    def test_later_slots_are_free(self, solve: Solver) -> None:
        problem = simple(coupling=[[1.0]], limit_a=[30.0], demand_wh=29.0, slots=2, binary_slots=1)
        problem = replace(problem, steps_a=np.array([[8.0, 16.0, 24.0]]))
        assert proven(solve, problem).current_a.sum() == pytest.approx(29.0)

    @pytest.mark.parametrize("policy", POLICIES)
    def test_policies_keep_them(self, policy: str) -> None:
        problem = simple(coupling=[[1.0, 1.0, 1.0]], limit_a=[43.0], demand_wh=30.0, binary_slots=1)
        problem = replace(problem, steps_a=np.array([[8.0, 16.0, 24.0]]))
        assert set(SOLVERS[policy](problem, 0.0).current_a[0]) <= {0.0, 8.0, 16.0, 24.0}


class TestPause:
    @pytest.mark.parametrize(("price", "is_on"), [(5.3, False), (5.5, True)])
    def test_is_weighed_against_what_it_saves(self, solve: Solver, price: float, is_on: bool) -> None:
        # Six watt-hours at the minimum cost 0.9 each now and nothing later: 5.4 altogether.
        problem = priced(
            simple(coupling=[[1.0]], limit_a=[32.0], demand_wh=20.0, slots=2, binary_slots=1), price=[0.9, 0.0]
        )
        problem = replace(problem, pause_price=np.array([price]))
        assert (proven(solve, problem).current_a[0, 0] > 0.0) == is_on

    def test_of_an_ev_without_minimum_is_free(self, solve: Solver) -> None:
        problem = simple(coupling=[[1.0]], limit_a=[32.0], demand_wh=20.0, binary_slots=1)
        problem = replace(problem, min_a=np.zeros(1), pause_price=np.ones(1), max_a=np.zeros((1, 1)))
        assert proven(solve, problem).objective == pytest.approx(20.0)


class TestTail:
    def test_takes_a_share_of_what_is_missing(self, solve: Solver) -> None:
        # An hour at a time constant of an hour: 1 - 1/e of what is missing, slot after slot.
        problem = simple(coupling=[[1.0]], limit_a=[32.0], demand_wh=20.0, slots=3)
        problem = replace(problem, battery_wh=np.array([20.0]), taper_s=np.array([3600.0]))
        share = 1.0 - np.exp(-1.0)
        left = 20.0 * (1.0 - share) ** np.arange(3)
        schedule = proven(solve, problem)
        assert schedule.current_a[:, 0] == pytest.approx(share * left, abs=1e-4)

    def test_makes_an_early_start_worth_its_price(self, solve: Solver) -> None:
        problem = priced(
            simple(coupling=[[1.0]], limit_a=[32.0], demand_wh=20.0, slots=2), price=[0.3, 0.0], shortfall_price=10.0
        )
        assert proven(solve, problem).current_a[0, 0] == pytest.approx(0.0, abs=1e-6)
        tapering = replace(problem, battery_wh=np.array([20.0]), taper_s=np.array([3600.0]))
        assert proven(solve, tapering).current_a[0, 0] > 12.0

    def test_far_from_full_does_not_matter(self, solve: Solver) -> None:
        problem = simple(coupling=[[1.0]], limit_a=[32.0], demand_wh=20.0)
        problem = replace(problem, battery_wh=np.array([200.0]), taper_s=np.array([3600.0]))
        assert proven(solve, problem).current_a[0, 0] == pytest.approx(20.0)


class TestLateness:
    @pytest.mark.parametrize(("late_price", "late_a"), [(0.9, 10.0), (1.1, 0.0)])
    def test_late_energy_is_worth_its_price_or_not(self, solve: Solver, late_price: float, late_a: float) -> None:
        problem = simple(coupling=[[1.0]], limit_a=[10.0], demand_wh=20.0, slots=2)
        problem = replace(problem, late_price=np.array([[0.0], [late_price]]))
        assert proven(solve, problem).current_a[1, 0] == pytest.approx(late_a, abs=1e-6)


class TestFairness:
    def test_what_is_missing_is_shared(self, solve: Solver) -> None:
        problem = replace(contended(), fair_price=0.01)
        assert proven(solve, problem).shortfall_wh == pytest.approx([10.0, 10.0], abs=1e-4)

    def test_in_proportion_to_what_was_asked(self, solve: Solver) -> None:
        problem = simple(coupling=[[1.0, 1.0]], limit_a=[16.0], demand_wh=[8.0, 24.0])
        schedule = proven(solve, replace(problem, fair_price=0.01))
        assert schedule.shortfall_wh / problem.demand_wh == pytest.approx([0.5, 0.5], abs=1e-5)

    def test_never_costs_promised_energy(self, solve: Solver) -> None:
        # Fair shares would cost energy: whoever is served by the short wire wastes the other's room.
        problem = simple(coupling=[[1.0, 3.0]], limit_a=[30.0], demand_wh=30.0)
        schedule = proven(solve, replace(problem, fair_price=0.1))
        assert schedule.shortfall_wh == pytest.approx([0.0, 30.0], abs=1e-5)

    def test_price_of_the_last_quarter_is_the_stated_one(self) -> None:
        problem = replace(contended(), fair_price=0.7)
        nothing = np.zeros((2, 2))
        assert terms(problem, nothing).unfairness == pytest.approx(2 * 5.0 * (0.1 + 0.3 + 0.5 + 0.7))


class TestGridMeter:
    def test_surplus_is_used_before_it_is_sold(self, solve: Solver) -> None:
        problem = priced(simple(coupling=[[1.0]], limit_a=[32.0], demand_wh=10.0, slots=2), price=[0.3, 0.3])
        problem = replace(problem, base_w=np.array([0.0, -15.0]), export_price=np.array([0.1, 0.1]))
        schedule = proven(solve, problem)
        assert schedule.current_a[:, 0] == pytest.approx([0.0, 10.0], abs=1e-6)
        assert schedule.objective == pytest.approx(-0.5)

    def test_without_a_price_of_its_own_surplus_earns_what_energy_costs(self, solve: Solver) -> None:
        problem = priced(simple(coupling=[[1.0]], limit_a=[32.0], demand_wh=10.0, slots=2), price=[0.2, 0.3])
        problem = replace(problem, base_w=np.array([0.0, -15.0]))
        assert proven(solve, problem).current_a[:, 0] == pytest.approx([10.0, 0.0], abs=1e-6)

    def test_other_load_counts_towards_the_peak(self, solve: Solver) -> None:
        problem = simple(coupling=[[1.0]], limit_a=[32.0], demand_wh=20.0, slots=2)
        problem = replace(problem, peak_price=0.5, base_w=np.array([10.0, 0.0]))
        assert proven(solve, problem).current_a[:, 0] == pytest.approx([5.0, 15.0])

    def test_peak_is_the_mean_of_a_metering_period(self, solve: Solver) -> None:
        # Two slots make a period: all at once costs no more than half by half.
        problem = simple(coupling=[[1.0]], limit_a=[32.0], demand_wh=20.0, slots=2)
        problem = replace(problem, peak_price=0.5, early_price=np.array([0.01]), peak_share=np.array([[0.5, 0.5]]))
        schedule = proven(solve, problem)
        assert schedule.current_a[:, 0] == pytest.approx([20.0, 0.0], abs=1e-6)
        assert terms(problem, schedule.current_a).peak == pytest.approx(5.0)

    def test_what_was_drawn_in_this_period_already_counts(self, solve: Solver) -> None:
        problem = simple(coupling=[[1.0]], limit_a=[32.0], demand_wh=20.0, slots=2)
        problem = replace(problem, peak_price=0.5, peak_base_w=np.array([6.0, 0.0]))
        assert proven(solve, problem).current_a[:, 0] == pytest.approx([7.0, 13.0])


class TestBattery:
    def test_is_filled_when_cheap_and_emptied_when_dear(self, solve: Solver) -> None:
        problem = priced(simple(coupling=[[0.0]], limit_a=[32.0], demand_wh=0.0, slots=2), price=[0.1, 0.3])
        schedule = proven(solve, replace(problem, storage=battery(2)))
        assert schedule.storage_w[:, 0] == pytest.approx([10.0, -10.0])
        assert schedule.objective == pytest.approx(-2.0)

    @pytest.mark.parametrize(("efficiency", "wear_price"), [(0.55, 0.0), (1.0, 0.21)])
    def test_is_left_alone_where_losses_or_wear_cost_more(
        self, solve: Solver, efficiency: float, wear_price: float
    ) -> None:
        problem = priced(simple(coupling=[[0.0]], limit_a=[32.0], demand_wh=0.0, slots=2), price=[0.1, 0.3])
        storage = battery(2, efficiency=np.array([efficiency]), wear_price=np.array([wear_price]))
        assert proven(solve, replace(problem, storage=storage)).storage_w == pytest.approx(0.0, abs=1e-5)

    def test_carries_what_the_grid_connection_cannot(self, solve: Solver) -> None:
        problem = simple(coupling=[[1.0]], limit_a=[10.0], demand_wh=18.0)
        storage = battery(1, level_wh=np.array([9.0]), reserve_wh=np.array([2.0]), coupling=np.ones((1, 1)) + 0j)
        schedule = proven(solve, replace(problem, storage=storage))
        assert schedule.shortfall_wh[0] == pytest.approx(1.0)
        assert schedule.storage_w[0, 0] == pytest.approx(-7.0)

    def test_what_it_is_worth_in_the_end_is_kept(self, solve: Solver) -> None:
        problem = priced(simple(coupling=[[0.0]], limit_a=[32.0], demand_wh=0.0), price=[0.3])
        for worth, power_w in ((0.29, -5.0), (0.31, 5.0)):
            storage = battery(1, level_wh=np.array([5.0]), worth=np.array([worth]))
            assert proven(solve, replace(problem, storage=storage)).storage_w[0, 0] == pytest.approx(power_w)

    def test_does_not_charge_and_discharge_at_once_to_waste_what_is_paid_for(self, solve: Solver) -> None:
        problem = priced(simple(coupling=[[0.0]], limit_a=[32.0], demand_wh=0.0), price=[-0.3])
        storage = battery(1, efficiency=np.array([0.8]), capacity_wh=np.array([4.0]))
        assert proven(solve, replace(problem, storage=storage)).storage_w[0, 0] == pytest.approx(5.0)


class TestCarThatGives:
    """V2G: a car is a battery that is there for a while and must be full when it leaves."""

    def test_gives_at_the_dear_hour_and_leaves_full(self, solve: Solver) -> None:
        problem = priced(simple(coupling=[[0.0]], limit_a=[32.0], demand_wh=0.0, slots=3), price=[0.3, 0.1, 0.1])
        car = battery(
            3, level_wh=np.array([6.0]), target_wh=np.array([10.0]), due_slot=np.array([1]), target_price=np.ones(1),
            charge_w=np.array([[10.0], [10.0], [0.0]]), discharge_w=np.array([[10.0], [10.0], [0.0]]),
        )  # fmt: skip
        assert proven(solve, replace(problem, storage=car)).storage_w[:, 0] == pytest.approx([-6.0, 10.0, 0.0])

    def test_what_is_missing_when_it_leaves_is_priced(self, solve: Solver) -> None:
        problem = priced(simple(coupling=[[0.0]], limit_a=[32.0], demand_wh=0.0), price=[0.3])
        car = battery(
            1, charge_w=np.full((1, 1), 4.0), target_wh=np.array([10.0]), target_price=np.ones(1),
        )  # fmt: skip
        assert proven(solve, replace(problem, storage=car)).objective == pytest.approx(4.0 * 0.3 + 6.0)


class TestRefused:
    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"steps_a": np.array([[5.0, 8.0]])}, "below min_a"),
            ({"steps_a": np.array([[16.0, 8.0]])}, "ascend"),
            ({"battery_wh": np.array([1.0])}, "battery_wh is below"),
            ({"taper_s": np.array([-1.0])}, "taper_s holds a negative"),
            ({"late_price": np.zeros((3, 1))}, "late_price has shape"),
            ({"export_price": np.array([9.0, 9.0])}, "export_price is above"),
            ({"peak_share": np.array([[-1.0, 0.0]])}, "peak_share holds a negative"),
            ({"names": ("a",)}, "names"),
            ({"fair_price": np.nan}, "fair_price must be finite"),
            ({"storage": battery(2, efficiency=np.array([1.1]))}, "efficiency"),
            ({"storage": battery(2, level_wh=np.array([11.0]))}, "between"),
            ({"storage": battery(2, due_slot=np.array([2]))}, "due_slot"),
            ({"storage": battery(3)}, "charge_w has shape"),
        ],
    )
    def test_what_has_no_meaning(self, changed: dict[str, object], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            replace(contended(), **changed)  # type: ignore[arg-type]
