from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import solvers
from solvers import SOLVERS, answer
from solvers.problem import Outcome, Problem, Schedule
from solvers.verify import refute
from tests.solvers.problems import contended, problems, random_problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from solvers.problem import Solver

LONG_S = 60.0
EDGED = random_problem(seed=5, slots=6, evs=6, rows=3, binary_slots=2)


def crashing(_problem: Problem, _deadline_s: float) -> Schedule:
    raise RuntimeError("HiGHS fell over")


def lying(problem: Problem, deadline_s: float) -> Schedule:
    return replace(SOLVERS["greedy"](problem, deadline_s), current_a=problem.max_a)


def giving_up(problem: Problem, deadline_s: float) -> Schedule:
    return replace(SOLVERS["greedy"](problem, deadline_s), outcome=Outcome.FAILED)


def talking_nonsense(_problem: Problem, _deadline_s: float) -> Schedule:
    return "a schedule"  # type: ignore[return-value]


@pytest.fixture
def hanging() -> Iterator[Solver]:
    release = threading.Event()

    def wait(problem: Problem, deadline_s: float) -> Schedule:
        release.wait()
        return SOLVERS["greedy"](problem, deadline_s)

    yield wait
    release.set()
    for thread in tuple(solvers._late):
        thread.join()


class TestNamedSolverAnswers:
    @pytest.mark.parametrize("name", list(SOLVERS))
    def test_under_its_own_name(self, name: str) -> None:
        schedule = answer(EDGED, LONG_S, name)
        assert schedule.solver == name
        assert refute(EDGED, schedule) == ()

    def test_unknown_name(self) -> None:
        with pytest.raises(KeyError):
            answer(contended(), LONG_S, "best")


class TestFallback:
    @pytest.mark.parametrize("broken", [crashing, lying, giving_up, talking_nonsense])
    def test_relaxed_and_rounded_answers_for_it(
        self, broken: Solver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setitem(SOLVERS, "broken", broken)
        schedule = answer(EDGED, LONG_S, "broken")
        assert schedule.solver in ("rounded", "greedy")
        assert refute(EDGED, schedule) == ()
        assert schedule.objective <= SOLVERS["greedy"](EDGED, LONG_S).objective
        assert "solver broken" in caplog.text

    def test_hanging_solver_is_left_behind(
        self, hanging: Solver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setitem(SOLVERS, "hanging", hanging)
        schedule = answer(contended(), 0.5, "hanging")
        assert refute(contended(), schedule) == ()
        assert "solver hanging was late" in caplog.text

    def test_greedy_answers_when_highs_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(solvers.highs, "solve", crashing)
        monkeypatch.setitem(SOLVERS, "optimal", crashing)
        assert answer(EDGED, LONG_S, "optimal").solver == "greedy"

    def test_nobody_charges_when_all_else_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(solvers.highs, "solve", crashing)
        monkeypatch.setitem(SOLVERS, "optimal", crashing)
        monkeypatch.setattr(solvers.greedy, "greedy", crashing)
        schedule = answer(EDGED, LONG_S, "optimal")
        assert (schedule.solver, schedule.current_a.max()) == ("idle", 0.0)
        assert refute(EDGED, schedule) == ()

    def test_no_time_at_all(self) -> None:
        schedule = answer(EDGED, 0.0, "optimal")
        assert refute(EDGED, schedule) == ()

    @given(
        problem=problems(),
        name=st.sampled_from(["optimal", "greedy", "equal"]),
        deadline_s=st.sampled_from([0.0, 0.002, 5.0]),
    )
    @settings(max_examples=60, deadline=None)
    def test_never_without_a_proven_answer(self, problem: Problem, name: str, deadline_s: float) -> None:
        assert refute(problem, answer(problem, deadline_s, name)) == ()


class TestLateSolver:
    def test_ends_before_the_process_is_torn_down(self) -> None:
        program = """
import time
from tests.solvers.problems import contended
from solvers import SOLVERS, answer

def late(problem, deadline_s):
    time.sleep(0.5)
    print("finished", flush=True)
    return SOLVERS["greedy"](problem, deadline_s)

SOLVERS["late"] = late
print(answer(contended(), 0.1, "late").solver != "late", flush=True)
"""
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert done.stdout.split() == ["True", "finished"]


class TestRounded:
    def test_keeps_minimum_currents(self) -> None:
        for seed in range(20):
            problem = random_problem(seed=seed, slots=4, evs=6, rows=3, binary_slots=2)
            schedule = solvers.rounded(problem, LONG_S)
            assert refute(problem, schedule) == ()
            assert schedule.objective <= SOLVERS["greedy"](problem, 0.0).objective

    def test_no_time_is_timed_out(self) -> None:
        schedule = solvers.rounded(contended(), 0.0)
        assert (schedule.outcome, schedule.solver) == (Outcome.TIMED_OUT, "rounded")
        assert not np.any(schedule.current_a)
