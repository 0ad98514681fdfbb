"""Numbers in, numbers out: the optimisation behind a plan.  Knows no OCPP, no MQTT, no clock.

``SOLVERS`` names every way to make a schedule; ``answer`` runs one of them and never comes back
without a schedule that ``verify`` has proven.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from concurrent.futures import Future, wait
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakSet

import numpy as np

from solvers import greedy, highs
from solvers.objective import schedule_of
from solvers.problem import Outcome, Problem, Schedule
from solvers.verify import refute

if TYPE_CHECKING:
    from solvers.problem import Solver

__all__ = ["SOLVERS", "Answers", "answer"]

_log = logging.getLogger(__name__)

NAMED_SHARE = 0.7
"""Share of the deadline that the named solver gets; it is told a little less."""
ROUNDED_SHARE = 0.2
"""Share of the deadline for the relaxed program and its rounding."""
GREEDY_S = 0.5
"""What the greedy fallback is given at least [s]; it takes milliseconds."""
TOLD_SHARE = 0.9
"""Share of its time that a solver is told, so that it can end by itself."""
LATE_S = 5.0
"""How long a late solver may hold up the end of the process [s]."""
_late: WeakSet[threading.Thread] = WeakSet()


def _pyomo(problem: Problem, deadline_s: float) -> Schedule:
    from solvers import pyomo_model  # noqa: PLC0415  (importing Pyomo takes longer than most solves)

    return pyomo_model.solve(problem, deadline_s)


def rounded(problem: Problem, deadline_s: float) -> Schedule:
    """Return the optimum without minimum currents, rounded to keep them: the first fallback."""
    started_s = time.perf_counter()
    relaxed = highs.solve(replace(problem, binary_slots=0), deadline_s)
    if relaxed.outcome in (Outcome.FAILED, Outcome.TIMED_OUT):
        return replace(relaxed, solver="rounded")
    current_a = greedy.fitted(problem, relaxed.current_a, np.arange(problem.slots))
    fitted = schedule_of(problem, current_a, solver="rounded", started_s=started_s)
    return min(fitted, greedy.greedy(problem, 0.0), key=lambda schedule: schedule.objective)


def idle(problem: Problem, deadline_s: float) -> Schedule:
    """Return the schedule in which nobody charges: the last fallback, inside any limit."""
    del deadline_s
    return schedule_of(problem, np.zeros_like(problem.max_a), solver="idle", started_s=time.perf_counter())


SOLVERS: dict[str, Solver] = {
    "optimal": highs.solve,
    "pyomo": _pyomo,
    "greedy": greedy.greedy,
    "equal": greedy.equal,
    "edf": greedy.edf,
    "llf": greedy.llf,
    "round-robin": greedy.round_robin,
}
"""Every solver by the name that site files and the command line use."""


class Answers:
    """The problems of one site, one after the other: as ``answer``, but each begins where the last one ended."""

    def __init__(self, solver_name: str) -> None:
        """Take the name of a solver; raises KeyError if there is none of that name."""
        self._name = solver_name
        self._solver = self._new()

    def __call__(self, problem: Problem, deadline_s: float) -> Schedule:
        """Return a proven schedule by the named solver or, if it fails, is late or is refuted, by a simpler one."""
        schedule = _first_proven(self._name, self._solver, problem, deadline_s)
        if schedule.solver != self._name:
            self._solver = self._new()  # the old one may still be running, or be the reason
        return schedule

    def _new(self) -> Solver:
        return highs.Warm() if SOLVERS[self._name] is highs.solve else SOLVERS[self._name]


def answer(problem: Problem, deadline_s: float, solver_name: str) -> Schedule:
    """Return a proven schedule by the named solver or, if it fails, is late or is refuted, by a simpler one.

    The schedule's ``solver`` says whose it is; why another was passed over is logged.  Raises
    KeyError for an unknown name, nothing else: a solver that hangs is left behind in its thread.
    """
    return _first_proven(solver_name, SOLVERS[solver_name], problem, deadline_s)


def _first_proven(name: str, solver: Solver, problem: Problem, deadline_s: float) -> Schedule:
    return (
        _attempt(name, solver, problem, NAMED_SHARE * deadline_s)
        or _attempt("rounded", rounded, problem, ROUNDED_SHARE * deadline_s)
        or _attempt("greedy", greedy.greedy, problem, max(deadline_s, GREEDY_S))
        or idle(problem, 0.0)
    )


def _attempt(name: str, solver: Solver, problem: Problem, patience_s: float) -> Schedule | None:
    """Return a solver's schedule if it comes in time, in one piece and proven."""
    future: Future[tuple[Schedule, tuple[str, ...]]] = Future()
    told_s = patience_s * TOLD_SHARE
    thread = threading.Thread(target=_run, args=(solver, problem, told_s, future), name=name, daemon=True)
    thread.start()
    wait([future], timeout=patience_s)
    if not future.done():
        _late.add(thread)
        _log.warning("solver %s was late: no schedule after %.3f s", name, patience_s)
    elif (error := future.exception()) is not None:
        _log.warning("solver %s crashed: %r", name, error)
    else:
        schedule, faults = future.result()
        if not faults:
            return schedule
        _log.warning("solver %s was refuted: %s", name, "; ".join(faults[:3]))
    return None


@atexit.register
def _wait_for_late() -> None:
    """Let late solvers finish: HiGHS coming back into a Python that is being torn down aborts the process."""
    for thread in tuple(_late):
        thread.join(LATE_S)


def _run(solver: Solver, problem: Problem, deadline_s: float, future: Future[tuple[Schedule, tuple[str, ...]]]) -> None:
    try:
        schedule = solver(problem, deadline_s)
        future.set_result((schedule, refute(problem, schedule)))
    except BaseException as error:  # noqa: BLE001  (any solver may break in any way; who waits must hear of it)
        future.set_exception(error)
