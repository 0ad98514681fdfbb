from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from highspy import HighsModelStatus
from hypothesis import given, settings
from problems import DELTA, contended, priced, problems, random_problem, simple

from solvers import SOLVERS, highs, pyomo_model
from solvers.problem import Outcome
from solvers.verify import refute

if TYPE_CHECKING:
    from solvers.problem import Problem, Solver

LONG_S = 60.0
EXACT = {"optimal": highs.solve, "pyomo": pyomo_model.solve}


@pytest.fixture(params=list(EXACT))
def solve(request: pytest.FixtureRequest) -> Solver:
    return EXACT[request.param]


class TestBackEndsAgree:
    @given(problem=problems(max_slots=5, max_evs=5))
    @settings(max_examples=120, deadline=None)
    def test_on_random_problems(self, problem: Problem) -> None:
        fast, oracle = highs.solve(problem, LONG_S), pyomo_model.solve(problem, LONG_S)
        assert (fast.outcome, oracle.outcome) == (Outcome.OPTIMAL, Outcome.OPTIMAL)
        assert refute(problem, fast) == ()
        assert refute(problem, oracle) == ()
        assert fast.objective == pytest.approx(oracle.objective, rel=1e-6, abs=1e-6)

    def test_on_a_larger_problem(self) -> None:
        problem = random_problem(seed=7, slots=24, evs=12, rows=4, binary_slots=1)
        fast, oracle = highs.solve(problem, LONG_S), pyomo_model.solve(problem, LONG_S)
        assert fast.outcome == oracle.outcome == Outcome.OPTIMAL
        assert fast.objective == pytest.approx(oracle.objective, rel=1e-6)


class TestHandComputed:
    def test_shortfall_is_what_the_row_does_not_carry(self, solve: Solver) -> None:
        schedule = solve(contended(), LONG_S)
        assert schedule.shortfall_wh.sum() == pytest.approx(20.0)
        assert schedule.objective == pytest.approx(20.0)

    def test_dear_shortfall_is_served_first(self, solve: Solver) -> None:
        problem = replace(contended(), shortfall_price=np.array([1.0, 2.0]))
        assert solve(problem, LONG_S).shortfall_wh == pytest.approx([20.0, 0.0], abs=1e-5)

    def test_cheap_slot_is_used_first(self, solve: Solver) -> None:
        problem = simple(coupling=[[1.0]], limit_a=[10.0], demand_wh=15.0, slots=2)
        schedule = solve(priced(problem, price=[0.3, 0.1]), LONG_S)
        assert schedule.current_a[:, 0] == pytest.approx([5.0, 10.0])
        assert schedule.objective == pytest.approx(2.5)

    def test_energy_that_costs_more_than_its_shortfall_is_not_delivered(self, solve: Solver) -> None:
        problem = simple(coupling=[[1.0]], limit_a=[10.0], demand_wh=15.0, slots=2)
        schedule = solve(priced(problem, price=[1.1, 0.9]), LONG_S)
        assert schedule.current_a[:, 0] == pytest.approx([0.0, 10.0], abs=1e-6)

    def test_waiting_is_counted_in_hours_to_mid_slot(self, solve: Solver) -> None:
        problem = replace(
            simple(coupling=[[1.0]], limit_a=[10.0], demand_wh=15.0, slots=2),
            slot_s=np.array([3600.0, 7200.0]),
            early_price=0.01,
        )
        schedule = solve(problem, LONG_S)
        assert schedule.current_a[:, 0] == pytest.approx([10.0, 2.5])
        assert schedule.objective == pytest.approx(10.0 * 0.005 + 5.0 * 0.02)

    def test_peak_above_the_free_part_is_flattened(self, solve: Solver) -> None:
        problem = replace(simple(coupling=[[1.0]], limit_a=[30.0], demand_wh=20.0, slots=2), peak_price=0.5, peak_w=4.0)
        schedule = solve(problem, LONG_S)
        assert schedule.current_a[:, 0] == pytest.approx([10.0, 10.0])
        assert schedule.objective == pytest.approx(3.0)

    def test_phasors_at_right_angles_carry_the_root_of_two(self, solve: Solver) -> None:
        problem = simple(coupling=[[1.0, 1.0j]], limit_a=[10.0], demand_wh=20.0)
        schedule = solve(problem, LONG_S)
        assert schedule.current_a[0] == pytest.approx([50.0**0.5, 50.0**0.5], abs=0.01)
        assert schedule.objective == pytest.approx(40.0 - 200.0**0.5, rel=1e-6)

    def test_delta_phasors_60_degrees_apart(self, solve: Solver) -> None:
        # A line current of a delta is I_ab - I_ca: equal currents I give sqrt(3) I.
        problem = simple(coupling=[[DELTA[0], -DELTA[2]]], limit_a=[3.0**0.5 * 10.0], demand_wh=30.0)
        assert solve(problem, LONG_S).objective == pytest.approx(60.0 - 20.0, rel=1e-6)

    def test_opposite_phasors_cancel(self, solve: Solver) -> None:
        problem = simple(coupling=[[1.0, -1.0]], limit_a=[2.0], demand_wh=20.0)
        assert solve(problem, LONG_S).shortfall_wh == pytest.approx([0.0, 0.0], abs=1e-5)

    def test_balanced_phasors_pass_a_row_of_no_current(self, solve: Solver) -> None:
        problem = simple(coupling=[DELTA], limit_a=[0.0], demand_wh=20.0)
        schedule = solve(problem, LONG_S)
        assert refute(problem, schedule) == ()
        assert schedule.shortfall_wh == pytest.approx([0.0, 0.0, 0.0], abs=1e-4)

    def test_infinite_limit_is_no_limit(self, solve: Solver) -> None:
        problem = simple(coupling=[[1.0, 1.0j]], limit_a=[np.inf], demand_wh=20.0)
        assert solve(problem, LONG_S).shortfall_wh == pytest.approx([0.0, 0.0], abs=1e-5)

    def test_zero_limit_stops_everyone(self, solve: Solver) -> None:
        problem = simple(coupling=[[1.0, 0.5]], limit_a=[0.0], demand_wh=20.0)
        assert solve(problem, LONG_S).current_a.max() == 0.0


class TestMinimumCurrent:
    def test_room_for_one_minimum_serves_one(self, solve: Solver) -> None:
        problem = simple(coupling=[[1.0, 1.0]], limit_a=[11.0], demand_wh=20.0, binary_slots=1)
        assert sorted(solve(problem, LONG_S).current_a[0]) == pytest.approx([0.0, 11.0])

    def test_minimum_is_exact(self) -> None:
        # A controller that finds a hair less than the minimum would pause the car.
        problem = simple(coupling=[[1.0, 1.0]], limit_a=[12.0], demand_wh=6.0, binary_slots=1)
        assert highs.solve(problem, LONG_S).current_a[0].tolist() == [6.0, 6.0]

    def test_maximum_below_minimum_gives_nothing(self, solve: Solver) -> None:
        problem = simple(coupling=[[1.0]], limit_a=[20.0], demand_wh=9.0, slots=2, binary_slots=1, max_a=5.0)
        assert solve(problem, LONG_S).current_a[:, 0] == pytest.approx([0.0, 5.0])

    def test_small_remainder_waits_for_a_slot_without_switch(self, solve: Solver) -> None:
        problem = simple(coupling=[[1.0]], limit_a=[20.0], demand_wh=4.0, slots=2, binary_slots=1)
        assert solve(problem, LONG_S).current_a[:, 0] == pytest.approx([0.0, 4.0])

    def test_choice_that_only_the_circle_forbids(self, solve: Solver) -> None:
        # All three at 6 A fit the first polygon but not the circle: |6 + 6j + 6 exp(j pi/4)| = 14.5 A.
        coupling = [[1.0, 1.0j, np.exp(0.25j * np.pi)]]
        problem = simple(coupling=coupling, limit_a=[14.0], demand_wh=6.0, binary_slots=1)
        schedule = solve(problem, LONG_S)
        assert refute(problem, schedule) == ()
        assert schedule.objective == pytest.approx(6.0)


class TestDeadline:
    def test_no_time_is_timed_out(self, solve: Solver) -> None:
        schedule = solve(contended(), 0.0)
        assert schedule.outcome == Outcome.TIMED_OUT
        assert schedule.current_a.max() == 0.0
        assert schedule.shortfall_wh == pytest.approx([20.0, 20.0])

    def test_loop_cut_short_is_feasible(self, monkeypatch: pytest.MonkeyPatch) -> None:
        problem = simple(coupling=[[1.0, 1.0j]], limit_a=[10.0], demand_wh=20.0)
        run, runs = highs._Quiet.solve_in_time, iter([True, True])

        def run_out_of_time(model: highs._Quiet) -> HighsModelStatus:
            return run(model) if next(runs, False) else HighsModelStatus.kTimeLimit

        monkeypatch.setattr(highs._Quiet, "solve_in_time", run_out_of_time)
        schedule = highs.solve(problem, LONG_S)
        assert schedule.outcome == Outcome.FEASIBLE
        assert refute(problem, schedule) == ()
        assert schedule.current_a.sum() > 9.9

    def test_loop_cut_short_is_never_worse_than_greedy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        problem = random_problem(seed=3, slots=12, evs=8, rows=4, binary_slots=1)
        run, runs = highs._Quiet.solve_in_time, iter([True])

        def run_out_of_time(model: highs._Quiet) -> HighsModelStatus:
            return run(model) if next(runs, False) else HighsModelStatus.kTimeLimit

        monkeypatch.setattr(highs._Quiet, "solve_in_time", run_out_of_time)
        schedule = highs.solve(problem, LONG_S)
        assert refute(problem, schedule) == ()
        assert schedule.objective <= SOLVERS["greedy"](problem, LONG_S).objective


class TestShape:
    def test_no_evs(self, solve: Solver) -> None:
        problem = simple(coupling=np.zeros((1, 0)), limit_a=[10.0], demand_wh=0.0)
        schedule = solve(problem, LONG_S)
        assert schedule.current_a.shape == (1, 0)
        assert schedule.objective == 0.0

    def test_nobody_can_charge(self, solve: Solver) -> None:
        schedule = solve(simple(coupling=[[1.0]], limit_a=[10.0], demand_wh=5.0, max_a=0.0), LONG_S)
        assert schedule.outcome == Outcome.OPTIMAL
        assert schedule.objective == pytest.approx(5.0)

    def test_row_that_touches_nobody(self, solve: Solver) -> None:
        problem = simple(coupling=[[0.0, 0.0]], limit_a=[0.0], demand_wh=5.0)
        assert solve(problem, LONG_S).objective == pytest.approx(0.0, abs=1e-6)


class TestDeterminism:
    def test_same_problem_same_schedule(self) -> None:
        problem = random_problem(seed=11, slots=12, evs=10, rows=4, binary_slots=2)
        first, second = highs.solve(problem, LONG_S), highs.solve(problem, LONG_S)
        assert np.array_equal(first.current_a, second.current_a)

    def test_silence(self, capfd: pytest.CaptureFixture[str]) -> None:
        highs.solve(contended(), LONG_S)
        assert capfd.readouterr() == ("", "")
