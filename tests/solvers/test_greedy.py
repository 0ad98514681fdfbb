from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers import SOLVERS, greedy, highs
from solvers.objective import schedule_of
from solvers.problem import Outcome, Problem
from solvers.rows import caps_a
from solvers.verify import refute
from tests.solvers.problems import contended, priced, problems, random_problem, simple

POLICIES = ("greedy", "equal", "edf", "llf", "round-robin")


class TestAlwaysFeasible:
    @given(problem=problems(max_slots=8, max_evs=12), policy=st.sampled_from(POLICIES))
    @settings(max_examples=400, deadline=None)
    def test_every_policy_is_proven(self, problem: Problem, policy: str) -> None:
        schedule = SOLVERS[policy](problem, 0.0)
        assert refute(problem, schedule) == ()
        assert (schedule.solver, schedule.outcome) == (policy, Outcome.FEASIBLE)

    @given(problem=problems(max_slots=6, max_evs=10))
    @settings(max_examples=150, deadline=None)
    def test_fitted_wish_is_inside(self, problem: Problem) -> None:
        rng = np.random.default_rng(0)
        wish_a = problem.max_a * rng.random(problem.max_a.shape)
        current_a = greedy.fitted(problem, wish_a, np.arange(problem.slots))
        schedule = schedule_of(problem, current_a, solver="fitted", started_s=0.0)
        assert refute(problem, schedule) == ()

    @given(problem=problems(max_slots=4, max_evs=5))
    @settings(max_examples=60, deadline=None)
    def test_no_policy_beats_the_optimum(self, problem: Problem) -> None:
        best = highs.solve(problem, 60.0)
        for policy in POLICIES:
            assert best.objective <= SOLVERS[policy](problem, 0.0).objective * (1.0 + 1e-6) + 1e-6

    def test_a_thousand_evs(self) -> None:
        problem = random_problem(seed=1, slots=12, evs=1000, rows=6, binary_slots=2)
        for policy in POLICIES:
            assert refute(problem, SOLVERS[policy](problem, 0.0)) == ()


class TestOrders:
    def test_edf_serves_the_next_to_leave(self) -> None:
        problem = contended()
        problem.max_a[1, 1] = 0.0
        assert SOLVERS["edf"](problem, 0.0).current_a == pytest.approx(np.array([[0.0, 10.0], [10.0, 0.0]]))

    def test_llf_serves_whoever_has_least_time_to_spare(self) -> None:
        problem = simple(coupling=[[1.0, 1.0]], limit_a=[32.0], demand_wh=[10.0, 60.0], slots=2)
        assert SOLVERS["llf"](problem, 0.0).current_a[0] == pytest.approx([0.0, 32.0])

    def test_equal_shares_a_row(self) -> None:
        assert SOLVERS["equal"](contended(), 0.0).current_a == pytest.approx(np.full((2, 2), 5.0))

    def test_equal_leaves_what_one_does_not_want_to_the_others(self) -> None:
        problem = simple(coupling=[[1.0, 1.0, 1.0]], limit_a=[12.0], demand_wh=[2.0, 30.0, 30.0])
        assert SOLVERS["equal"](problem, 0.0).current_a[0] == pytest.approx([2.0, 5.0, 5.0])

    def test_equal_goes_on_where_another_row_is_full(self) -> None:
        problem = simple(coupling=[[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], limit_a=[8.0, 20.0], demand_wh=30.0)
        assert SOLVERS["equal"](problem, 0.0).current_a[0] == pytest.approx([4.0, 4.0, 20.0])

    def test_equal_with_minimum_serves_as_many_as_fit(self) -> None:
        problem = simple(coupling=[[1.0, 1.0, 1.0]], limit_a=[13.0], demand_wh=30.0, binary_slots=1)
        assert sorted(SOLVERS["equal"](problem, 0.0).current_a[0]) == pytest.approx([0.0, 6.5, 6.5])

    def test_round_robin_takes_turns(self) -> None:
        problem = simple(coupling=[[1.0, 1.0, 1.0]], limit_a=[10.0], demand_wh=100.0, slots=6)
        current_a = SOLVERS["round-robin"](problem, 0.0).current_a
        assert current_a.sum(axis=0) == pytest.approx([20.0, 20.0, 20.0])
        assert [int(row.argmax()) for row in current_a] == [int(current_a[0].argmax() + t) % 3 for t in range(6)]

    def test_greedy_serves_dear_shortfalls_in_cheap_slots(self) -> None:
        problem = priced(contended(), price=[0.3, 0.1])
        problem.shortfall_price[1] = 2.0
        current_a = SOLVERS["greedy"](problem, 0.0).current_a
        assert current_a == pytest.approx(np.array([[0.0, 10.0], [0.0, 10.0]]))

    def test_greedy_buys_no_energy_above_its_worth(self) -> None:
        problem = priced(contended(), price=[1.5, 0.1])
        assert SOLVERS["greedy"](problem, 0.0).current_a[0].max() == 0.0


class TestCaps:
    def test_row_of_one_ev_is_its_cap(self) -> None:
        problem = simple(coupling=[[0.0, 2.0j]], limit_a=[10.0], demand_wh=20.0)
        assert caps_a(problem)[0] == pytest.approx([20.0, 5.0])

    def test_cap_below_minimum_is_none_in_a_binary_slot(self) -> None:
        problem = simple(coupling=[[1.0]], limit_a=[5.0], demand_wh=20.0, slots=2, binary_slots=1)
        assert caps_a(problem)[:, 0] == pytest.approx([0.0, 5.0])

    def test_cap_a_hair_below_minimum_is_the_minimum(self) -> None:
        problem = simple(coupling=[[1.0]], limit_a=[6.0 - 1e-12], demand_wh=20.0, binary_slots=1)
        assert caps_a(problem)[0, 0] == 6.0


class TestRoundLimits:
    def test_step_ends_on_the_circle(self) -> None:
        problem = simple(coupling=[[1.0, 1.0j]], limit_a=[10.0], demand_wh=[6.0, 20.0])
        problem.shortfall_price[0] = 2.0
        assert SOLVERS["greedy"](problem, 0.0).current_a[0] == pytest.approx([6.0, 8.0])

    def test_opposite_phasor_makes_room(self) -> None:
        problem = simple(coupling=[[1.0, -1.0]], limit_a=[10.0], demand_wh=20.0)
        assert SOLVERS["equal"](problem, 0.0).current_a[0] == pytest.approx([20.0, 20.0])
