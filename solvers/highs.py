"""The fast exact back-end: arrays straight to HiGHS, round limits by tangents, switches by branch and bound.

Why tangents end inside the limit, and why the result is optimal, is in ``solvers/README.md``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import highspy
import numpy as np
from highspy import HighsModelStatus, HighsStatus

from solvers.greedy import fitted, greedy
from solvers.highs_model import Program, Rows
from solvers.problem import Floats, Outcome, Problem, Schedule, objective, shortfall_wh
from solvers.rows import ROUNDING_A

NAME = "optimal"
GAP = 2e-7
"""Share of the objective within which a schedule counts as optimal even if the problem allows no gap."""
INSIDE_A = 1e-7
"""A phasor counts as inside its limit up to this [A]: ten times HiGHS's own tolerance."""
OPTIONS: dict[str, bool | int | float | str] = {
    # HiGHS keeps one scheduler per process: every use in it must ask for the same number of threads.
    "threads": 1,
    "primal_feasibility_tolerance": 1e-8,
    "dual_feasibility_tolerance": 1e-8,
    "mip_feasibility_tolerance": 1e-8,
    "mip_rel_gap": GAP / 2.0,
}
_ROWWISE = 2
_MINIMIZE = 1


def solve(problem: Problem, deadline_s: float) -> Schedule:
    """Return an optimal schedule, or the best that was found by the deadline [s]."""
    started_s = time.perf_counter()
    program = Program(problem)
    search = _Search(program, started_s + deadline_s)
    outcome, current_a = search.run() if program.layout.columns else (Outcome.OPTIMAL, program.layout.cap_a)
    schedule = Schedule(
        outcome=outcome,
        current_a=current_a,
        shortfall_wh=shortfall_wh(problem, current_a),
        objective=objective(problem, current_a),
        solver=NAME,
        solve_s=time.perf_counter() - started_s,
    )
    # A loop cut short may lie behind what needs no optimisation.
    return schedule if outcome != Outcome.FEASIBLE else min(schedule, greedy(problem, 0.0), key=_objective)


class _Quiet(highspy.Highs):
    """HiGHS without a word on standard output."""

    def __init__(self, ends_s: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ends_s = ends_s
        for name, value in OPTIONS.items():
            self.setOptionValue(name, value)

    def enableCallbacks(self) -> None:  # noqa: N802
        """Silence HiGHS instead: the constructor calls this first, and hooking callbacks in prints a banner."""
        self.silent()

    def solve_in_time(self) -> HighsModelStatus:
        """Run until done or until the deadline; after it, not at all, though HiGHS could do small ones in no time."""
        if time.perf_counter() >= self._ends_s:
            return HighsModelStatus.kTimeLimit
        if self._run() == HighsModelStatus.kUnknown:  # an old basis can lead dual simplex astray; a fresh one does not
            self.clearSolver()
            self._run()
        return self.getModelStatus()

    def _run(self) -> HighsModelStatus:
        # HiGHS counts its time over all runs of one model.
        self.setOptionValue("time_limit", max(self.getRunTime() + self._ends_s - time.perf_counter(), 0.0))
        self.run()
        return self.getModelStatus()

    def append(self, rows: Rows) -> None:
        """Add rows; the basis stays.  Raises RuntimeError if HiGHS takes them not: the loop would never end."""
        start, column = rows.start.astype(np.int32), rows.column.astype(np.int32)
        status = self.addRows(len(rows.upper), rows.lower, rows.upper, len(column), start, column, rows.value)
        if status == HighsStatus.kError:
            raise RuntimeError("HiGHS refuses a tangent")

    def values(self) -> Floats:
        """Return the value of every column."""
        return np.asarray(self.getSolution().col_value, dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Point:
    """Where the tangent loop ended."""

    status: HighsModelStatus
    """Of its last run; only kOptimal means that all limits hold and nothing is better."""
    values: Floats | None
    """Of the last run that was optimal; outside the limits if the status is not kOptimal."""
    cost: float
    """Objective of those values in scaled money."""


class _Search:
    """One Problem on its way to an answer: a linear program that only ever gains rows."""

    def __init__(self, program: Program, ends_s: float) -> None:
        self.program = program
        self.ends_s = ends_s
        self.model = _Quiet(ends_s)
        self.switches = program.layout.switch[program.layout.switch >= 0]
        rows, upper = program.base_rows(), program.upper
        count = len(upper)
        self.model.passModel(
            count,
            len(rows.upper),
            len(rows.column),
            _ROWWISE,
            _MINIMIZE,
            program.offset,
            program.cost,
            np.zeros(count),
            upper,
            rows.lower,
            rows.upper,
            rows.start.astype(np.int32),
            rows.column.astype(np.int32),
            rows.value,
            np.zeros(count, dtype=np.int32),
        )

    def run(self) -> tuple[Outcome, Floats]:
        """Return how it ended and the currents [A], shape (T, E); zeros if there is no answer."""
        relaxed = self._tighten()
        if relaxed.values is None:
            return _without_answer(relaxed.status), np.zeros_like(self.program.layout.cap_a)
        if relaxed.status != HighsModelStatus.kOptimal:
            every = np.arange(self.program.problem.slots)
            return Outcome.FEASIBLE, fitted(self.program.problem, self.program.currents(relaxed.values), every)
        if self._is_switched(relaxed.values):
            return Outcome.OPTIMAL, self._settled(relaxed.values)
        return self._branch(relaxed.values, relaxed.cost)

    def _tighten(self) -> _Point:
        """Add tangents where the optimum leaves a circle, until it leaves none."""
        values, cost = None, np.inf
        while (status := self.model.solve_in_time()) == HighsModelStatus.kOptimal:
            values, cost = self.model.values(), self.model.getInfo().objective_function_value
            if not self._cut(values):
                break
        return _Point(status=status, values=values, cost=cost)

    def _cut(self, values: Floats) -> bool:
        """Add a tangent at every phasor outside its circle; return whether there was any."""
        program = self.program
        phasor = program.phasors(program.currents(values))
        slot, row = np.nonzero(program.is_round & (abs(phasor) > program.limit_a + INSIDE_A))
        outside = phasor[slot, row]
        if len(outside):
            self.model.append(program.tangents(slot, row, outside / abs(outside)))
        return len(outside) > 0

    def _is_switched(self, values: Floats) -> bool:
        """Return whether every current under a switch is 0 or at least its minimum."""
        program = self.program
        current_a = program.currents(values)
        is_between = (current_a > ROUNDING_A) & (current_a < program.problem.min_a - ROUNDING_A)
        return not bool((is_between & (program.layout.switch >= 0)).any())

    def _branch(self, relaxed: Floats, bound: float) -> tuple[Outcome, Floats]:
        """Alternate between choosing the switches and tightening the circles until both agree.

        The choice is made outside the circles, so its bound holds; the tightened schedule is a
        candidate.  Every round either proves the best candidate or adds tangents.  The first
        choice is the relaxed schedule rounded: with many EVs it is often proven at once.
        """
        best = self._tightened(self._rounded(relaxed))
        status = best.status
        while not self._is_proven(best, bound):
            rows = self.model.getNumRow()
            chooser = self._chooser()
            status = chooser.solve_in_time()
            info = chooser.getInfo()
            bound = max(bound, info.mip_dual_bound) if status == HighsModelStatus.kOptimal else bound
            if info.primal_solution_status == highspy.kSolutionStatusFeasible:
                candidate = self._tightened(np.round(chooser.values()[self.switches]))
                is_better = best.status != HighsModelStatus.kOptimal or candidate.cost < best.cost
                best = candidate if candidate.status == HighsModelStatus.kOptimal and is_better else best
            if status != HighsModelStatus.kOptimal or self.model.getNumRow() == rows:
                break
        if best.status != HighsModelStatus.kOptimal or best.values is None:
            every = np.arange(self.program.problem.slots)
            return Outcome.FEASIBLE, fitted(self.program.problem, self.program.currents(relaxed), every)
        return Outcome.OPTIMAL if self._is_proven(best, bound) else Outcome.FEASIBLE, self._settled(best.values)

    def _is_proven(self, best: _Point, bound: float) -> bool:
        """Return whether nothing can be better than the best candidate by more than the gap."""
        allowed = GAP * abs(best.cost) + self.program.gap
        return best.status == HighsModelStatus.kOptimal and best.cost - bound <= allowed

    def _rounded(self, relaxed: Floats) -> Floats:
        """Return switches for which there is a schedule, near the relaxed one."""
        problem, switch = self.program.problem, self.program.layout.switch
        leading = np.arange(min(problem.binary_slots, problem.slots))
        is_on = fitted(problem, self.program.currents(relaxed), leading) > 0.0
        return is_on[switch >= 0].astype(np.float64)

    def _chooser(self) -> _Quiet:
        """Return the program with all its tangents and with whole switches.

        It is not started at the best point: HiGHS 1.16 then may return that point with the
        objective of a better one.
        """
        chooser = _Quiet(self.ends_s)
        chooser.passModel(self.model.getLp())
        chooser.setOptionValue("mip_abs_gap", max(self.program.gap / 2.0, 1e-9))
        columns = self.switches.astype(np.int32)
        chooser.changeColsIntegrality(len(columns), columns, np.ones(len(columns), dtype=np.uint8))
        return chooser

    def _tightened(self, chosen: Floats) -> _Point:
        """Return the optimum inside the circles for switches that are ``chosen`` (0 or 1)."""
        columns = self.switches.astype(np.int32)
        self.model.changeColsBounds(len(columns), columns, chosen, chosen)
        point = self._tighten()
        self.model.changeColsBounds(len(columns), columns, np.zeros(len(columns)), np.ones(len(columns)))
        return point

    def _settled(self, values: Floats) -> Floats:
        """Return currents [A] with the solver's rounding on the safe side.

        Scaling a slot scales all its phasors alike.  Slots with switches keep their exact minimum
        currents instead; there the tangents' margin is the room for rounding.
        """
        program = self.program
        is_switched = program.layout.switch >= 0
        floor_a = np.where(is_switched, program.problem.min_a, 0.0)
        current_a = program.currents(values)
        current_a = np.where(current_a > floor_a / 2.0, np.maximum(current_a, floor_a), 0.0)
        length = abs(program.phasors(current_a))
        share = np.ones_like(length)
        np.divide(program.limit_a, length, out=share, where=length > np.maximum(program.limit_a, INSIDE_A))
        share[is_switched.any(axis=1)] = 1.0
        settled: Floats = current_a * share.min(axis=1, initial=1.0, keepdims=True)
        return settled


def _objective(schedule: Schedule) -> float:
    return schedule.objective


def _without_answer(status: HighsModelStatus) -> Outcome:
    return Outcome.TIMED_OUT if status == HighsModelStatus.kTimeLimit else Outcome.FAILED
