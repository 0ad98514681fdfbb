from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pyomo.environ
import pytest
from highspy import HighsModelStatus, HighsStatus
from hypothesis import given, settings
from pyomo.opt import TerminationCondition

from solvers import SOLVERS, highs, pyomo_model
from solvers.problem import Outcome, Problem
from solvers.quiet import Quiet
from solvers.verify import refute
from tests.solvers.problems import DELTA, contended, priced, problems, random_problem, simple

if TYPE_CHECKING:
    from solvers.problem import Solver

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
            early_price=np.array([0.01]),
        )
        schedule = solve(problem, LONG_S)
        assert schedule.current_a[:, 0] == pytest.approx([10.0, 2.5])
        assert schedule.objective == pytest.approx(10.0 * 0.005 + 5.0 * 0.02)

    def test_urgent_waiting_breaks_a_tie(self, solve: Solver) -> None:
        # Both get their 10 Wh in two hours; 10 A serve one of them first.
        problem = simple(coupling=[[1.0, 1.0]], limit_a=[10.0], demand_wh=10.0, slots=2)
        for urgent, early_price in enumerate(([0.02, 0.01], [0.01, 0.02])):
            schedule = solve(replace(problem, early_price=np.array(early_price)), LONG_S)
            assert schedule.current_a[:, urgent] == pytest.approx([10.0, 0.0], abs=1e-6)
            assert schedule.objective == pytest.approx(10.0 * 0.5 * 0.02 + 10.0 * 1.5 * 0.01)

    @pytest.mark.parametrize("present_a", [[10.0, 0.0], [0.0, 10.0], [3.0, 7.0], [7.0, 3.0]])
    def test_who_charges_already_breaks_a_tie(self, solve: Solver, present_a: list[float]) -> None:
        problem = replace(contended(), present_a=np.array(present_a), change_price=0.01)
        schedule = solve(problem, LONG_S)
        assert schedule.current_a[0] == pytest.approx(present_a, abs=1e-6)
        assert schedule.objective == pytest.approx(20.0)

    @pytest.mark.parametrize(("change_price", "first_a"), [(0.0049, [0.0, 10.0]), (0.0051, [10.0, 0.0])])
    def test_change_is_weighed_against_waiting(self, solve: Solver, change_price: float, first_a: list[float]) -> None:
        # To exchange the two an hour earlier saves 0.01 for each ampere that both of them change by.
        problem = simple(coupling=[[1.0, 1.0]], limit_a=[10.0], demand_wh=10.0, slots=2)
        problem = replace(problem, early_price=np.array([0.01, 0.02]), present_a=np.array([10.0, 0.0]))
        schedule = solve(replace(problem, change_price=change_price), LONG_S)
        assert schedule.current_a[0] == pytest.approx(first_a, abs=1e-6)

    def test_change_that_cannot_be_helped_is_counted(self, solve: Solver) -> None:
        problem = simple(coupling=[[1.0, 1.0]], limit_a=[10.0], demand_wh=[4.0, 0.0], max_a=8.0)
        problem = replace(problem, present_a=np.array([20.0, 12.0]), change_price=0.01)
        assert solve(problem, LONG_S).objective == pytest.approx(0.01 * (16.0 + 12.0))

    def test_peak_above_the_free_part_is_flattened(self, solve: Solver) -> None:
        problem = replace(simple(coupling=[[1.0]], limit_a=[30.0], demand_wh=20.0, slots=2), peak_price=0.5, peak_w=4.0)
        schedule = solve(problem, LONG_S)
        assert schedule.current_a[:, 0] == pytest.approx([10.0, 10.0])
        assert schedule.objective == pytest.approx(3.0)

    @pytest.mark.parametrize(("peak_price", "current_a"), [(0.199, [20.0, 0.0]), (0.201, [10.0, 10.0])])
    def test_peak_is_weighed_against_price(self, solve: Solver, peak_price: float, current_a: list[float]) -> None:
        # Moving 1 Wh to the dear slot costs 0.2 and lowers the peak by 1 W, until both slots are level.
        problem = simple(coupling=[[1.0]], limit_a=[30.0], demand_wh=20.0, slots=2)
        problem = replace(priced(problem, price=[0.1, 0.3]), peak_price=peak_price)
        assert solve(problem, LONG_S).current_a[:, 0] == pytest.approx(current_a)

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


class TestCalm:
    @given(problem=problems(max_slots=5, max_evs=5))
    @settings(max_examples=60, deadline=None)
    def test_the_same_plan_again_changes_nothing(self, problem: Problem) -> None:
        # Whatever would be better now would have been better before: moving there by way of here costs no less.
        problem = replace(problem, change_price=1e-2)
        first = highs.solve(problem, LONG_S)
        again = replace(problem, present_a=first.current_a[0])
        # Where circles bind, the optimum is known to the corner between two tangents: milliamperes.
        assert highs.solve(again, LONG_S).current_a[0] == pytest.approx(first.current_a[0], abs=1e-2)


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
        allow_runs(2, monkeypatch)
        schedule = highs.solve(problem, LONG_S)
        assert schedule.outcome == Outcome.FEASIBLE
        assert refute(problem, schedule) == ()
        assert schedule.current_a.sum() > 9.9

    @pytest.mark.parametrize("runs", range(1, 12))
    def test_cut_short_anywhere_is_proven_and_never_worse_than_greedy(
        self, runs: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        problem = random_problem(seed=3, slots=12, evs=8, rows=4, binary_slots=1)
        allow_runs(runs, monkeypatch)
        schedule = highs.solve(problem, LONG_S)
        assert refute(problem, schedule) == ()
        assert schedule.objective <= SOLVERS["greedy"](problem, LONG_S).objective

    @pytest.mark.parametrize("runs", [1, 2])
    def test_choosing_cut_short_keeps_the_rounded_choice(self, runs: int, monkeypatch: pytest.MonkeyPatch) -> None:
        problem = simple(coupling=[[1.0, 1.0]], limit_a=[11.0], demand_wh=[8.0, 7.0], binary_slots=1)
        allow_runs(runs, monkeypatch)
        schedule = highs.solve(problem, LONG_S)
        assert schedule.outcome == Outcome.FEASIBLE
        assert refute(problem, schedule) == ()
        assert schedule.objective < 15.0

    def test_oracle_scales_back_what_is_outside(self) -> None:
        problem = simple(coupling=[[1.0, 1.0j]], limit_a=[10.0], demand_wh=20.0)
        current_a, _ = pyomo_model.scaled_back(problem, np.array([[20.0, 20.0]]), np.zeros((1, 0)))
        assert current_a[0] == pytest.approx([50.0**0.5, 50.0**0.5])

    @pytest.mark.parametrize(
        ("condition", "outcome"),
        [
            (TerminationCondition.maxTimeLimit, Outcome.TIMED_OUT),
            (TerminationCondition.error, Outcome.FAILED),
        ],
    )
    def test_oracle_without_an_answer(
        self, condition: TerminationCondition, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        result = SimpleNamespace(solver=SimpleNamespace(termination_condition=condition))
        stub = SimpleNamespace(solve=lambda *_, **__: result)
        monkeypatch.setattr(pyomo.environ, "SolverFactory", lambda _: stub)
        assert pyomo_model.solve(contended(), LONG_S).outcome == outcome


class TestChoosing:
    def test_finds_a_better_choice_than_the_rounded_one(self) -> None:
        # HiGHS 1.16, told of the rounded choice, reports a better objective but returns the rounded choice.
        line = -1j / np.sqrt(3.0)
        problem = Problem(
            slot_s=np.array([900.0, 300.0, 3600.0, 300.0]),
            coupling=np.array(
                [[0.0, line, 0.0, line, -0.5 + line / 2.0], [0.0, 0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0]]
            ),
            limit_a=np.array([[24.25, np.inf, np.inf], [4.42, 21.74, 13.15], [42.8, 7.31, 9.53], [np.inf, 23.0, 10.7]]),
            watts_per_amp=np.array([230.0, 230.0, 208.0, 230.0, 230.0]),
            min_a=np.array([0.0, 0.0, 8.0, 8.0, 6.0]),
            max_a=np.array(
                [
                    [7.94, 21.4, 21.3, 21.5, 0.0],
                    [7.94, 21.4, 0.0, 21.5, 38.5],
                    [7.94, 21.4, 21.3, 21.5, 38.5],
                    [7.94, 21.4, 21.3, 21.5, 0.0],
                ]
            ),
            demand_wh=np.array([1300.0, 0.0, 4611.0, 5891.0, 1687.0]),
            shortfall_price=np.array([0.0047, 0.0016, 0.0078, 0.0097, 0.0024]),
            price=np.array([0.00025, 0.00017, 0.000175, 0.00022]),
            early_price=np.full(5, 1e-5),
            peak_price=0.0,
            peak_w=0.0,
            present_a=np.zeros(5),
            change_price=0.0,
            binary_slots=2,
        )
        fast, oracle = highs.solve(problem, LONG_S), pyomo_model.solve(problem, LONG_S)
        assert (fast.outcome, fast.solver) == (Outcome.OPTIMAL, "optimal")
        assert fast.objective == pytest.approx(oracle.objective, rel=1e-6)

    @pytest.mark.parametrize("start", [0.0, 1.0])
    def test_finds_the_optimum_from_a_poor_start(self, start: float, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(highs._Search, "_rounded", lambda search, _: np.full(len(search.switches), start))
        for seed in range(15):
            problem = random_problem(seed=seed, slots=3, evs=5, rows=3, binary_slots=2)
            fast, oracle = highs.solve(problem, LONG_S), pyomo_model.solve(problem, LONG_S)
            assert fast.outcome == Outcome.OPTIMAL
            assert refute(problem, fast) == ()
            assert fast.objective == pytest.approx(oracle.objective, rel=1e-6, abs=1e-6)


def allow_runs(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let HiGHS run so many times; then the deadline has come."""
    run, runs = Quiet.solve_in_time, iter(range(count))

    def run_out_of_time(model: Quiet) -> HighsModelStatus:
        return HighsModelStatus.kTimeLimit if next(runs, None) is None else run(model)

    monkeypatch.setattr(Quiet, "solve_in_time", run_out_of_time)


class TestTroubleInHighs:
    def test_run_gone_astray_is_repeated_from_scratch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        run, astray = Quiet._run, iter([HighsModelStatus.kUnknown])
        monkeypatch.setattr(Quiet, "_run", lambda model: next(astray, run(model)))
        assert highs.solve(contended(), LONG_S).outcome == Outcome.OPTIMAL
        assert next(astray, None) is None

    def test_refused_tangent_raises(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Quiet, "addRows", lambda *_: HighsStatus.kError)
        problem = simple(coupling=[[1.0, 1.0j]], limit_a=[10.0], demand_wh=20.0)
        with pytest.raises(RuntimeError, match="tangent"):
            highs.solve(problem, LONG_S)

    def test_any_other_end_is_failed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Quiet, "solve_in_time", lambda _: HighsModelStatus.kSolveError)
        assert highs.solve(contended(), LONG_S).outcome == Outcome.FAILED


class TestOtherSolversOfPyomo:
    def test_by_name(self) -> None:
        problem = random_problem(seed=3, slots=6, evs=5, rows=3, binary_slots=1)
        schedule = pyomo_model.solve_with("highs", problem, LONG_S)
        assert schedule.objective == pytest.approx(highs.solve(problem, LONG_S).objective, rel=1e-6)


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


class TestGap:
    """An answer may be dearer than the best by what the problem allows, and by no more."""

    @given(problems())
    @settings(max_examples=25)
    def test_it_is_kept(self, problem: Problem) -> None:
        best = highs.solve(problem, LONG_S)
        loose = highs.solve(replace(problem, gap=0.5), LONG_S)
        assert refute(problem, loose) == ()
        assert loose.objective <= best.objective + 0.5 + 1e-6 * abs(best.objective)
