"""The readable exact back-end: the Problem in Pyomo, for any of its solvers; the oracle for ``highs.py``.

Written for the eye and the debugger, variable by variable as in ``solvers/README.md``.  Of the
other modules it uses ``problem.py`` only.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyomo.environ as pyo
from pyomo.opt import TerminationCondition

from solvers.problem import Outcome, Schedule, objective, shortfall_wh

if TYPE_CHECKING:
    from collections.abc import Iterator

    from solvers.problem import Complexes, Floats, Problem

Model: TypeAlias = Any
"""A ``pyomo.environ.ConcreteModel``; Pyomo is untyped."""
Foreign: TypeAlias = Any
"""Another object of Pyomo's."""
NAME = "pyomo"
EXCESS = 1e-8
"""Share of a limit by which a phasor may leave its circle before the schedule is scaled back."""
STRAIGHT = 1e-12
"""Directions and weights closer than this are equal."""
HIGHS_OPTIONS = {
    "threads": 1,  # as in highs.py: HiGHS keeps one scheduler per process
    "primal_feasibility_tolerance": 1e-9,
    "dual_feasibility_tolerance": 1e-9,
    "mip_feasibility_tolerance": 1e-9,
    "mip_rel_gap": 1e-8,
}


def solve(problem: Problem, deadline_s: float) -> Schedule:
    """Return an optimal schedule by way of Pyomo and HiGHS."""
    return solve_with("appsi_highs", problem, deadline_s)


def solve_with(solver_name: str, problem: Problem, deadline_s: float) -> Schedule:
    """Return an optimal schedule by any mixed-integer linear solver that Pyomo knows by this name."""
    started_s = time.perf_counter()
    model = build(problem)
    solver = pyo.SolverFactory(solver_name)
    options = HIGHS_OPTIONS if "highs" in solver_name else {}
    outcome, current_a = Outcome.TIMED_OUT, np.zeros((problem.slots, problem.evs))
    is_inside = False
    while not is_inside and (remaining_s := started_s + deadline_s - time.perf_counter()) > 0.0:
        result = solver.solve(model, timelimit=remaining_s, options=options, load_solutions=False)
        match result.solver.termination_condition:
            case TerminationCondition.optimal:
                load(solver, model, result)
            case TerminationCondition.maxTimeLimit:
                break
            case _:
                outcome = Outcome.FAILED
                break
        current_a = currents(problem, model)
        is_inside = not add_tangents(problem, model, current_a)
        outcome = Outcome.OPTIMAL if is_inside else Outcome.FEASIBLE
    current_a = scaled_back(problem, current_a)
    return Schedule(
        outcome=outcome,
        current_a=current_a,
        shortfall_wh=shortfall_wh(problem, current_a),
        objective=objective(problem, current_a),
        solver=NAME,
        solve_s=time.perf_counter() - started_s,
    )


def build(problem: Problem) -> Model:
    """Return the model without tangents: every row whose phasors cannot turn, nothing yet of the others."""
    model = pyo.ConcreteModel()
    model.slots = pyo.RangeSet(0, problem.slots - 1)
    model.evs = pyo.RangeSet(0, problem.evs - 1)
    model.current_a = pyo.Var(model.slots, model.evs, bounds=lambda _, t, e: (0.0, _most_a(problem, t, e)))
    model.shortfall_kwh = pyo.Var(model.evs, within=pyo.NonNegativeReals)
    model.above_peak_kw = pyo.Var(within=pyo.NonNegativeReals)
    model.change_a = pyo.Var(model.evs, within=pyo.NonNegativeReals)
    _add_energy(problem, model)
    _add_peak(problem, model)
    _add_change(problem, model)
    _add_minimum(problem, model)
    _add_straight_rows(problem, model)
    model.tangents = pyo.ConstraintList()
    return model


def _most_a(problem: Problem, slot: int, ev: int) -> float:
    most_a = float(problem.max_a[slot, ev])
    is_out_of_reach = slot < problem.binary_slots and most_a < problem.min_a[ev]
    return 0.0 if is_out_of_reach else most_a


def _add_energy(problem: Problem, model: Model) -> None:
    """Deliver what is wanted or pay for it; and state what everything costs [kWh, money]."""
    kw_per_a = [float(w) / 1000.0 for w in problem.watts_per_amp]
    hours = [float(s) / 3600.0 for s in problem.slot_s]
    middle_h = [sum(hours[:t]) + hours[t] / 2.0 for t in model.slots]
    model.energy_kwh = pyo.Expression(
        model.slots, model.evs, rule=lambda m, t, e: hours[t] * kw_per_a[e] * m.current_a[t, e]
    )
    model.demand = pyo.Constraint(
        model.evs,
        rule=lambda m, e: (
            sum(m.energy_kwh[t, e] for t in m.slots) + m.shortfall_kwh[e] == float(problem.demand_wh[e]) / 1000.0
        ),
    )
    model.money = pyo.Objective(
        sense=pyo.minimize,
        expr=1000.0
        * (
            sum(
                (float(problem.price[t]) + float(problem.early_price[e]) * middle_h[t]) * model.energy_kwh[t, e]
                for t in model.slots
                for e in model.evs
            )
            + sum(float(problem.shortfall_price[e]) * model.shortfall_kwh[e] for e in model.evs)
            + problem.peak_price * model.above_peak_kw
        )
        + problem.change_price * sum(model.change_a[e] for e in model.evs),
    )


def _add_peak(problem: Problem, model: Model) -> None:
    """Let the peak be no lower than any slot's power [kW]."""
    model.peak = pyo.Constraint(
        model.slots,
        rule=lambda m, t: (
            sum(float(problem.watts_per_amp[e]) / 1000.0 * m.current_a[t, e] for e in m.evs) - m.above_peak_kw
            <= problem.peak_w / 1000.0
        ),
    )


def _add_change(problem: Problem, model: Model) -> None:
    """Let the change be no less than the difference between slot 0 and the present, either way [A]."""
    present_a = [float(a) for a in problem.present_a]
    model.raised = pyo.Constraint(model.evs, rule=lambda m, e: m.change_a[e] >= m.current_a[0, e] - present_a[e])
    model.lowered = pyo.Constraint(model.evs, rule=lambda m, e: m.change_a[e] >= present_a[e] - m.current_a[0, e])


def _add_minimum(problem: Problem, model: Model) -> None:
    """Let a current in a binary slot be 0 or at least its minimum [A]."""
    pairs = [
        (t, e)
        for t in range(min(problem.binary_slots, problem.slots))
        for e in range(problem.evs)
        if 0.0 < problem.min_a[e] <= problem.max_a[t, e]
    ]
    model.switched = pyo.Set(initialize=pairs, dimen=2)
    model.is_on = pyo.Var(model.switched, within=pyo.Binary)
    model.at_most = pyo.Constraint(
        model.switched, rule=lambda m, t, e: m.current_a[t, e] <= float(problem.max_a[t, e]) * m.is_on[t, e]
    )
    model.at_least = pyo.Constraint(
        model.switched, rule=lambda m, t, e: m.current_a[t, e] >= float(problem.min_a[e]) * m.is_on[t, e]
    )


def _add_straight_rows(problem: Problem, model: Model) -> None:
    """Add the rows whose phasors all point the same way: there the length of the sum is the sum of the lengths."""
    model.straight = pyo.ConstraintList()
    for row in np.flatnonzero([is_ray(phasors) for phasors in problem.coupling]):
        length = abs(problem.coupling[row])
        for slot in np.flatnonzero(np.isfinite(problem.limit_a[:, row])):
            terms = [float(length[e]) * model.current_a[int(slot), int(e)] for e in np.flatnonzero(length)]
            model.straight.add(sum(terms) <= float(problem.limit_a[slot, row]))


def is_ray(phasors: Complexes) -> bool:
    """Return whether all nonzero phasors have one and the same direction, of which there is at least one."""
    lengths = abs(phasors)
    units = phasors[lengths > 0.0] / lengths[lengths > 0.0]
    return len(units) > 0 and bool((abs(units - units[0]) < STRAIGHT).all())


def load(solver: Foreign, model: Model, result: Foreign) -> None:
    """Write the solution's values into the model's variables."""
    if hasattr(solver, "load_vars"):
        solver.load_vars()
    else:
        model.solutions.load_from(result)


def currents(problem: Problem, model: Model) -> Floats:
    """Return the model's currents [A], shape (T, E), without the solver's rounding below 0 and above the maximum."""
    values = [[pyo.value(model.current_a[t, e]) for e in model.evs] for t in model.slots]
    return np.clip(np.array(values, dtype=np.float64).reshape(problem.max_a.shape), 0.0, problem.max_a)


def add_tangents(problem: Problem, model: Model, current_a: Floats) -> bool:
    """Cut off every phasor that lies outside its circle; return whether there was any."""
    count = len(model.tangents)
    for slot, row, phasor in _outside(problem, current_a):
        east, north = phasor.real / abs(phasor), phasor.imag / abs(phasor)
        along = problem.coupling[row].real * east + problem.coupling[row].imag * north
        terms = [float(along[e]) * model.current_a[slot, int(e)] for e in np.flatnonzero(abs(along) > STRAIGHT)]
        model.tangents.add(sum(terms) <= float(problem.limit_a[slot, row]))
    return len(model.tangents) > count


def _outside(problem: Problem, current_a: Floats) -> Iterator[tuple[int, int, complex]]:
    phasors = current_a @ problem.coupling.T
    for slot, row in np.argwhere(abs(phasors) > problem.limit_a * (1.0 + EXCESS) + EXCESS):
        if not is_ray(problem.coupling[row]):
            yield int(slot), int(row), complex(phasors[slot, row])


def scaled_back(problem: Problem, current_a: Floats) -> Floats:
    """Return currents inside every limit: a slot that is a little outside is made a little smaller as a whole."""
    length = abs(current_a @ problem.coupling.T)
    share = np.ones_like(length)
    np.divide(problem.limit_a, length, out=share, where=length > np.maximum(problem.limit_a, EXCESS))
    scaled: Floats = current_a * share.min(axis=1, initial=1.0, keepdims=True)
    return scaled
