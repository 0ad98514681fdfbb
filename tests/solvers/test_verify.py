from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from solvers import SOLVERS
from solvers.objective import schedule_of
from solvers.problem import Floats, Outcome, Problem, Schedule
from solvers.verify import refute
from tests.solvers.problems import contended, problems, simple


def claimed(problem: Problem, current_a: Floats) -> Schedule:
    """Return a schedule that is truthful about its currents, whatever they are."""
    return schedule_of(problem, current_a, solver="planted", started_s=0.0)


def only_fault(problem: Problem, schedule: Schedule) -> str:
    faults = refute(problem, schedule)
    assert len(faults) == 1, faults
    return faults[0]


class TestProven:
    @given(problem=problems())
    @settings(max_examples=100, deadline=None)
    def test_nobody_charging_is_always_proven(self, problem: Problem) -> None:
        assert refute(problem, claimed(problem, np.zeros_like(problem.max_a))) == ()

    def test_just_inside_and_just_outside(self) -> None:
        problem = contended()
        assert refute(problem, claimed(problem, np.full((2, 2), 5.0))) == ()
        assert refute(problem, claimed(problem, np.full((2, 2), 5.0 + 1e-6))) != ()


class TestRefuted:
    def test_negative_current(self) -> None:
        problem = contended()
        assert "negative" in only_fault(problem, claimed(problem, np.array([[-1.0, 5.0], [5.0, 5.0]])))

    def test_current_above_its_maximum(self) -> None:
        problem = contended()
        problem.max_a[1, 0] = 4.0
        assert "slot 1, EV 0: 5.0 A exceeds its maximum" in only_fault(problem, claimed(problem, np.full((2, 2), 5.0)))

    def test_current_between_zero_and_minimum(self) -> None:
        problem = replace(contended(), binary_slots=1)
        fault = only_fault(problem, claimed(problem, np.array([[5.0, 0.0], [5.0, 5.0]])))
        assert fault.startswith("slot 0, EV 0: 5.0 A is neither 0 nor")

    def test_row_above_its_limit(self) -> None:
        problem = contended()
        fault = only_fault(problem, claimed(problem, np.array([[5.0, 5.0], [5.0, 5.1]])))
        assert fault.startswith("slot 1, row 0: 10.1 A exceeds the limit")

    def test_round_row_that_grows_as_one_ev_falls(self) -> None:
        problem = simple(coupling=[[1.0, -1.0]], limit_a=[2.0], demand_wh=20.0)
        assert refute(problem, claimed(problem, np.array([[10.0, 10.0]]))) == ()
        assert "row 0: 10.0 A" in only_fault(problem, claimed(problem, np.array([[10.0, 0.0]])))

    @pytest.mark.parametrize("current_a", [[3.0, 4.1], [3.1, 4.0]])
    def test_round_row_in_both_directions(self, current_a: list[float]) -> None:
        problem = simple(coupling=[[1.0, 1.0j]], limit_a=[5.0], demand_wh=20.0)
        assert refute(problem, claimed(problem, np.array([[3.0, 4.0]]))) == ()
        assert "exceeds the limit" in only_fault(problem, claimed(problem, np.array([current_a])))

    def test_row_without_any_room(self) -> None:
        problem = simple(coupling=[[1.0]], limit_a=[0.0], demand_wh=20.0)
        assert "exceeds the limit of 0.0 A" in only_fault(problem, claimed(problem, np.array([[0.1]])))

    def test_energy_above_demand(self) -> None:
        problem = contended()
        problem.demand_wh[0] = 9.0
        assert "10.0 Wh exceed its demand" in only_fault(problem, claimed(problem, np.full((2, 2), 5.0)))

    def test_untrue_shortfall(self) -> None:
        problem = contended()
        schedule = claimed(problem, np.full((2, 2), 5.0))
        assert "states a shortfall" in only_fault(problem, replace(schedule, shortfall_wh=np.array([0.0, 10.0])))

    @pytest.mark.parametrize("stated", [19.99, float("nan"), float("inf")])
    def test_untrue_objective(self, stated: float) -> None:
        problem = contended()
        schedule = claimed(problem, np.full((2, 2), 5.0))
        assert "states an objective" in only_fault(problem, replace(schedule, objective=stated))

    def test_every_term_of_the_objective_is_recomputed(self) -> None:
        problem = replace(
            contended(),
            price=np.array([0.1, 0.2]),
            early_price=np.array([0.01, 0.03]),
            peak_price=0.5,
            peak_w=4.0,
            slot_s=np.full(2, 1800.0),
            present_a=np.array([6.0, 2.0]),
            change_price=0.25,
        )
        schedule = claimed(problem, np.full((2, 2), 5.0))
        # 5 Wh a slot: price 0.5 + 1.0, waiting 2.5 * 0.04 * (0.25 + 0.75), shortfall 30, peak 0.5 * 6, change 0.25 * 4.
        assert schedule.objective == pytest.approx(35.6)
        assert refute(problem, schedule) == ()
        assert only_fault(problem, replace(schedule, objective=35.59)).startswith("states an objective")

    @pytest.mark.parametrize("shape", [(1, 2), (2, 1), (2,), (3, 2)])
    def test_wrong_shape(self, shape: tuple[int, ...]) -> None:
        schedule = claimed(contended(), np.zeros((2, 2)))
        assert "shapes" in only_fault(contended(), replace(schedule, current_a=np.zeros(shape)))

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_not_finite(self, value: float) -> None:
        schedule = claimed(contended(), np.zeros((2, 2)))
        assert "finite" in only_fault(contended(), replace(schedule, current_a=np.full((2, 2), value)))

    @pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.TIMED_OUT])
    def test_outcome_without_schedule(self, outcome: Outcome) -> None:
        schedule = SOLVERS["greedy"](contended(), 0.0)
        assert "carries no schedule" in only_fault(contended(), replace(schedule, outcome=outcome))
