"""The fast exact back-end: arrays straight to HiGHS, round limits by tangents, switches by branch and bound.

Why tangents end inside the limit, and why the result is optimal, is in ``solvers/README.md``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import highspy
import numpy as np
from highspy import HighsModelStatus

from solvers.draft import Bools
from solvers.greedy import fitted, greedy
from solvers.highs_model import Program
from solvers.memory import Memory, Tangents
from solvers.objective import objective, schedule_of
from solvers.problem import Complexes, Floats, Outcome, Problem, Schedule
from solvers.quiet import GAP, Quiet
from solvers.rows import ROUNDING_A, Indices, floored_a, taper_room_wh

NAME = "optimal"
INSIDE_A = 1e-7
"""A phasor counts as inside its limit up to this [A]: ten times HiGHS's own tolerance."""
INSIDE_WH = 1e-4
"""A tail counts as kept up to this [Wh]."""
_ROWWISE = 2
_MINIMIZE = 1


def solve(problem: Problem, deadline_s: float) -> Schedule:
    """Return an optimal schedule, or the best that was found by the deadline [s]."""
    return Warm()(problem, deadline_s)


class Warm:
    """The same solver with a memory: what it learnt from one problem shortens its work on the next.

    The memory is a start, never a constraint: whatever the last problem was, the answer is as exact.
    """

    def __init__(self) -> None:
        self._memory: Memory | None = None

    def __call__(self, problem: Problem, deadline_s: float) -> Schedule:
        """Return an optimal schedule, or the best that was found by the deadline [s]."""
        started_s = time.perf_counter()
        search = _Search(Program(problem), started_s + deadline_s)
        search.start_from(self._memory)
        self._memory = None  # a search that breaks leaves nothing behind
        outcome, answer = search.run()
        self._memory = search.memory()
        schedule = schedule_of(
            problem, answer.current_a, storage_w=answer.storage_w, outcome=outcome, solver=NAME, started_s=started_s
        )
        # A loop cut short may lie behind what needs no optimisation.
        return schedule if outcome != Outcome.FEASIBLE else min(schedule, greedy(problem, 0.0), key=_objective)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Answer:
    """The part of a solution that leaves the solver."""

    current_a: Floats
    storage_w: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Point:
    """Where the loop that adds rows ended."""

    status: HighsModelStatus
    """Of its last run; only kOptimal means that all limits hold and nothing is better, but for the gap."""
    values: Floats | None
    """Of the last run that was optimal; outside the limits if the status is not kOptimal."""
    cost: float
    """Objective of the answer that those values make, in scaled money."""
    bound: float
    """Lower bound of the objective, in scaled money."""


class _Search:
    """One Problem on its way to an answer: a linear program that only ever gains rows."""

    def __init__(self, program: Program, ends_s: float) -> None:
        self.program = program
        self.ends_s = ends_s
        self.model = Quiet(ends_s)
        self._tangents = Tangents.none()
        draft, rows = program.draft, program.draft.rows()
        switches = (program.switch, program.site.direction)
        self.switches = np.concatenate([numbers[numbers >= 0] for numbers in switches])
        self._floor_a = _floors(program)
        self.model.passModel(
            draft.columns,
            len(rows.upper),
            len(rows.column),
            _ROWWISE,
            _MINIMIZE,
            program.offset,
            draft.cost() / program.scale,
            draft.lower(),
            draft.upper(),
            rows.lower,
            rows.upper,
            rows.start.astype(np.int32),
            rows.column.astype(np.int32),
            rows.value,
            np.zeros(draft.columns, dtype=np.int32),
        )

    def start_from(self, memory: Memory | None) -> None:
        """Begin where an earlier search ended, or with the limits that are likely to bind."""
        if memory is None:
            self._add(*self.program.likely_limits())
            return
        self._tangents, status, rows = memory.tangents_for(self.program)
        first = self.model.getNumRow()
        if len(rows.upper):
            self.model.append(rows)
        self._tangents = replace(self._tangents, number=first + np.arange(len(rows.upper)))
        self.model.setBasis(memory.basis_for(self.program, status))

    def memory(self) -> Memory | None:
        """Return what the next search may begin with."""
        return Memory.of(self.model, self.program, self._tangents)

    def run(self) -> tuple[Outcome, _Answer]:
        """Return how it ended, and the answer: zeros if there is none."""
        if not self.program.draft.columns:
            return Outcome.OPTIMAL, self._nothing()
        relaxed = self._tighten()
        if relaxed.values is None:
            return _without_answer(relaxed.status), self._nothing()
        if relaxed.status != HighsModelStatus.kOptimal:
            return Outcome.FEASIBLE, self._fallen_back(relaxed.values)
        if self._is_switched(relaxed.values):
            return Outcome.OPTIMAL, self._settled(relaxed.values)
        return self._branch(relaxed)

    def _nothing(self) -> _Answer:
        problem = self.program.problem
        return _Answer(
            current_a=np.zeros_like(self.program.cap_a), storage_w=np.zeros((problem.slots, problem.storage.count))
        )

    def _fallen_back(self, values: Floats) -> _Answer:
        problem = self.program.problem
        current_a = fitted(problem, self.program.currents(values), np.arange(problem.slots))
        return _Answer(current_a=current_a, storage_w=self._nothing().storage_w)

    def _tighten(self) -> _Point:
        """Add tangents and tails where the optimum leaves them, until it leaves none or is near enough."""
        values, cost, bound = None, np.inf, -np.inf
        while (status := self.model.solve_in_time()) == HighsModelStatus.kOptimal:
            values = self.model.values()
            cost = bound = self.model.getInfo().objective_function_value
            scaled = self._cost_if_scaled(values)
            if scaled - bound <= self.program.gap / 2.0:
                cost = scaled
                break
            if not self._cut(values):
                break
        return _Point(status=status, values=values, cost=cost, bound=bound)

    def _cost_if_scaled(self, values: Floats) -> float:
        """Return what the answer costs if it is scaled into the circles, in scaled money; inf if it stays outside."""
        program = self.program
        if program.gap <= 0.0 or program.problem.storage.count:
            return np.inf
        answer = self._settled(values)
        if self._outside(answer).any() or self._broken_tails(answer.current_a).any():
            return np.inf
        return objective(program.problem, answer.current_a) / program.scale

    def _outside(self, answer: _Answer) -> Bools:
        """Return which phasors lie outside their circle, shape (T, K)."""
        program = self.program
        length = abs(program.phasors(answer.current_a, answer.storage_w))
        outside: Bools = program.is_binding & ~program.is_added & (length > program.limit_a + INSIDE_A)
        return outside

    def _broken_tails(self, current_a: Floats) -> Bools:
        """Return which EVs are given more than their tail takes, shape (T, E)."""
        keeps = self.program.keeps_tails
        return keeps & (taper_room_wh(self.program.problem, current_a) < -INSIDE_WH) if keeps.any() else keeps

    def _cut(self, values: Floats) -> bool:
        """Add a row for every circle and every tail that is left; return whether there was any."""
        program, answer = self.program, self._answer(values)
        slot, row = np.nonzero(self._outside(answer))
        phasor = program.phasors(answer.current_a, answer.storage_w)[slot, row]
        self._add(slot, row, phasor / abs(phasor))
        late, ev = np.nonzero(self._broken_tails(answer.current_a))
        if len(late):
            self.model.append(program.tails(late, ev))
        return len(slot) + len(late) > 0

    def _add(self, slot: Indices, row: Indices, direction: Complexes) -> None:
        """Add a tangent for each (slot, row, direction)."""
        if len(slot):
            first = self.model.getNumRow()
            self._tangents = self._tangents.and_these(first, slot, self.program.rows[row], direction)
            self.model.append(self.program.tangents(slot, row, direction))

    def _answer(self, values: Floats) -> _Answer:
        """Return currents and battery powers as they are in the solution."""
        charge, discharge = self.program.site.flows_kw(values)
        return _Answer(current_a=self.program.currents(values), storage_w=1000.0 * (charge - discharge))

    def _is_switched(self, values: Floats) -> bool:
        """Return whether every current under a switch is 0, or at least its minimum, or one of its steps."""
        program = self.program
        current_a = program.currents(values)[: len(program.switch)]
        is_between = abs(current_a - floored_a(program.problem, current_a)) > ROUNDING_A
        charge, discharge = program.site.flows_kw(values)
        is_both = (program.site.direction >= 0) & (np.minimum(charge, discharge) > ROUNDING_A)
        return not bool((is_between & (program.switch[:, :, 0] >= 0)).any() or is_both.any())

    def _branch(self, relaxed: _Point) -> tuple[Outcome, _Answer]:
        """Alternate between choosing the switches and tightening the circles until both agree.

        The choice is made outside the circles, so its bound holds; the tightened schedule is a
        candidate.  Every round either proves the best candidate or adds tangents.  The first
        choice is the relaxed schedule rounded: with many EVs it is often proven at once.
        """
        assert relaxed.values is not None
        bound = relaxed.bound
        best = self._tightened(self._rounded(relaxed.values))
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
            return Outcome.FEASIBLE, self._fallen_back(relaxed.values)
        return Outcome.OPTIMAL if self._is_proven(best, bound) else Outcome.FEASIBLE, self._settled(best.values)

    def _is_proven(self, best: _Point, bound: float) -> bool:
        """Return whether nothing can be better than the best candidate by more than the gap."""
        allowed = GAP * abs(best.cost) + self.program.gap
        return best.status == HighsModelStatus.kOptimal and best.cost - bound <= allowed

    def _rounded(self, relaxed: Floats) -> Floats:
        """Return switches for which there is a schedule, near the relaxed one."""
        program = self.program
        problem, site = program.problem, program.site
        leading = np.arange(len(program.switch))
        chosen_a = fitted(problem, program.currents(relaxed), leading)[leading]
        lowest_a = np.broadcast_to(problem.steps_a, (problem.evs, problem.steps_a.shape[1]))
        lowest_a = lowest_a if lowest_a.shape[1] else np.zeros((problem.evs, 1))
        lowest_a = np.where(problem.is_stepped[:, None], lowest_a, 0.0)
        is_on = (chosen_a[:, :, None] >= lowest_a - ROUNDING_A) & (chosen_a[:, :, None] > 0.0)
        charge, discharge = site.flows_kw(relaxed)
        is_charging = (charge >= discharge)[site.direction >= 0]
        return np.concatenate([is_on[program.switch >= 0], is_charging]).astype(np.float64)

    def _chooser(self) -> Quiet:
        """Return the program with all its tangents and with whole switches.

        It is not started at the best point: HiGHS 1.16 then may return that point with the
        objective of a better one.
        """
        chooser = Quiet(self.ends_s)
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

    def _settled(self, values: Floats) -> _Answer:
        """Return the answer with the solver's rounding on the safe side.

        Scaling a slot scales all its phasors alike; where no current can lessen the load of a row, it is enough to
        scale whoever touches that row.  Slots with switches keep their exact minimum
        currents and steps instead; there the tangents' margin is the room for rounding.
        """
        program, answer = self.program, self._answer(values)
        current_a = np.where(answer.current_a > self._floor_a / 2.0, np.maximum(answer.current_a, self._floor_a), 0.0)
        leading = len(program.switch)
        stepped_a = floored_a(program.problem, current_a[:leading] + INSIDE_A)
        current_a[:leading] = np.where(program.problem.is_stepped, stepped_a, current_a[:leading])
        length = abs(program.phasors(current_a, answer.storage_w))
        share: Floats = np.ones(length.shape)
        np.divide(program.limit_a, length, out=share, where=length > np.maximum(program.limit_a, INSIDE_A))
        share[:leading][(program.switch >= 0).any(axis=(1, 2))] = 1.0
        if program.has_rays_only:
            return _Answer(current_a=current_a * program.shares(share), storage_w=answer.storage_w)
        least = share.min(axis=1, initial=1.0, keepdims=True)
        return _Answer(current_a=current_a * least, storage_w=answer.storage_w * least)


def _floors(program: Program) -> Floats:
    """Return the least current above 0 of every cell [A], shape (T, E): 0 where there is no switch."""
    floor_a = np.zeros(program.cap_a.shape)
    floor_a[: len(program.switch)] = np.where(program.switch[:, :, 0] >= 0, program.problem.min_a, 0.0)
    return floor_a


def _objective(schedule: Schedule) -> float:
    return schedule.objective


def _without_answer(status: HighsModelStatus) -> Outcome:
    return Outcome.TIMED_OUT if status == HighsModelStatus.kTimeLimit else Outcome.FAILED
