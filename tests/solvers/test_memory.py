"""A solver that remembers: faster, never different."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import solvers
from solvers import SOLVERS, Answers, highs
from solvers.problem import Outcome, Problem, Schedule
from solvers.quiet import Quiet
from solvers.verify import refute
from tests.solvers.problems import contended, equipped, random_problem

LONG_S = 60.0


def five_minutes_later(problem: Problem, schedule: Schedule, rng: np.random.Generator) -> Problem:
    """Return what is left to do after slot 0, with somebody gone and somebody new."""
    left_wh = np.maximum(problem.demand_wh - problem.wh_per_amp[0] * schedule.current_a[0], 0.0)
    stays = rng.random(problem.evs) < 0.8
    names = tuple(name if stay else f"after {name}" for name, stay in zip(problem.names, stays, strict=True))
    order = rng.permutation(problem.evs)
    demand_wh = np.where(stays, left_wh, problem.demand_wh)[order]
    return replace(
        problem,
        coupling=problem.coupling[:, order],
        watts_per_amp=problem.watts_per_amp[order],
        min_a=problem.min_a[order],
        max_a=problem.max_a[:, order],
        demand_wh=demand_wh,
        shortfall_price=problem.shortfall_price[order],
        early_price=problem.early_price[order],
        present_a=schedule.current_a[0][order],
        limit_a=problem.limit_a * rng.uniform(0.7, 1.2),
        names=tuple(names[e] for e in order),
    )


class TestWarm:
    @given(seed=st.integers(0, 2**32 - 1))
    @settings(max_examples=30, deadline=None)
    def test_answers_as_well_as_from_scratch(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        problem = random_problem(seed=seed, slots=6, evs=7, rows=4, binary_slots=1)
        problem = replace(problem, names=tuple(f"car {e}" for e in range(7)))
        warm = highs.Warm()
        for _ in range(4):
            remembered, fresh = warm(problem, LONG_S), highs.solve(problem, LONG_S)
            assert remembered.outcome == Outcome.OPTIMAL
            assert refute(problem, remembered) == ()
            assert remembered.objective == pytest.approx(fresh.objective, rel=1e-6, abs=1e-6)
            problem = five_minutes_later(problem, remembered, rng)

    @given(seed=st.integers(0, 2**32 - 1))
    @settings(max_examples=20, deadline=None)
    def test_whatever_came_before(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        warm = highs.Warm()
        for _ in range(4):
            shape = {"slots": int(rng.integers(1, 6)), "evs": int(rng.integers(0, 6)), "rows": int(rng.integers(0, 5))}
            problem = equipped(random_problem(seed=seed, binary_slots=1, **shape), seed=seed)
            seed = (seed * 7 + 1) % 2**32
            remembered, fresh = warm(problem, LONG_S), highs.solve(problem, LONG_S)
            assert refute(problem, remembered) == ()
            assert remembered.objective == pytest.approx(fresh.objective, rel=1e-6, abs=1e-6)

    def test_the_same_again_costs_no_iteration(self, monkeypatch: pytest.MonkeyPatch) -> None:
        problem = random_problem(seed=3, slots=12, evs=12, rows=4, binary_slots=0)
        warm, runs = highs.Warm(), []
        first = warm(problem, LONG_S)
        run = Quiet._run

        def counted(model: Quiet) -> object:
            status = run(model)
            runs.append(model.getInfo().simplex_iteration_count)
            return status

        monkeypatch.setattr(Quiet, "_run", counted)
        assert warm(problem, LONG_S).current_a == pytest.approx(first.current_a, abs=1e-6)
        assert runs == [0]

    def test_a_search_that_broke_is_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        problem = random_problem(seed=3, slots=6, evs=6, rows=3, binary_slots=0)
        warm = highs.Warm()
        warm(problem, LONG_S)
        with monkeypatch.context() as broken:
            broken.setattr(highs._Search, "run", lambda _: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                warm(problem, LONG_S)
        assert warm._memory is None
        assert refute(problem, warm(problem, LONG_S)) == ()


class TestLimitsLeftOut:
    """With very many linear limits only those that are likely to bind are in the program from the start."""

    def test_none_is_broken_in_the_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("solvers.highs_model.MANY_ROWS", 0)
        for seed in range(25):
            problem = random_problem(seed=seed, slots=5, evs=6, rows=4, binary_slots=1)
            left_out = highs.solve(problem, LONG_S)
            with monkeypatch.context() as all_in:
                all_in.setattr("solvers.highs_model.MANY_ROWS", 10**6)
                complete = highs.solve(problem, LONG_S)
            assert refute(problem, left_out) == ()
            assert left_out.objective == pytest.approx(complete.objective, rel=1e-6, abs=1e-6)


class TestAnswers:
    def test_unknown_name(self) -> None:
        with pytest.raises(KeyError):
            Answers("best")

    def test_a_broken_memory_is_replaced_in_the_same_cycle(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answers = Answers("optimal")
        assert answers(contended(), LONG_S).solver == "optimal"
        spoilt = answers._solver
        with monkeypatch.context() as broken:
            broken.setattr(highs._Search, "run", lambda _: 1 / 0)
            broken.setattr(solvers.highs, "solve", SOLVERS["greedy"])
            schedule = answers(contended(), LONG_S)
            assert refute(contended(), schedule) == ()
            assert schedule.solver != "optimal"
        assert answers._solver is not spoilt

    @pytest.mark.parametrize("name", list(SOLVERS))
    def test_under_its_own_name(self, name: str) -> None:
        assert Answers(name)(contended(), LONG_S).solver == name
