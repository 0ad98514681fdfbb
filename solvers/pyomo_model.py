"""The readable exact back-end: the Problem in Pyomo, for any of its solvers; the oracle for ``highs.py``.

Written for the eye and the debugger, variable by variable as in ``solvers/README.md``.  Of the
other modules it uses ``problem.py`` and ``objective.py`` only; what only some sites have is in
``pyomo_site.py``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyomo.environ as pyo
from pyomo.opt import TerminationCondition

from solvers.objective import schedule_of
from solvers.problem import FAIR_PARTS, Outcome
from solvers.pyomo_site import add_site, add_tails, storage_w

if TYPE_CHECKING:
    from collections.abc import Iterator

    from solvers.problem import Complexes, Floats, Problem, Schedule

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
    store_w = np.zeros((problem.slots, problem.storage.count))
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
        current_a, store_w = currents(problem, model), storage_w(problem, model)
        is_inside = not add_tangents(problem, model, current_a, store_w)
        outcome = Outcome.OPTIMAL if is_inside else Outcome.FEASIBLE
    current_a, store_w = scaled_back(problem, current_a, store_w)
    return schedule_of(problem, current_a, storage_w=store_w, outcome=outcome, solver=NAME, started_s=started_s)


def build(problem: Problem) -> Model:
    """Return the model without tangents: every row whose phasors cannot turn, nothing yet of the others."""
    model = pyo.ConcreteModel()
    model.slots = pyo.RangeSet(0, problem.slots - 1)
    model.evs = pyo.RangeSet(0, problem.evs - 1)
    model.current_a = pyo.Var(model.slots, model.evs, bounds=lambda _, t, e: (0.0, _most_a(problem, t, e)))
    model.shortfall_kwh = pyo.Var(model.evs, within=pyo.NonNegativeReals)
    model.change_a = pyo.Var(model.evs, within=pyo.NonNegativeReals)
    _add_energy(problem, model)
    _add_change(problem, model)
    _add_minimum(problem, model)
    _add_steps(problem, model)
    add_tails(problem, model)
    add_site(problem, model)
    _add_straight_rows(problem, model)
    _add_money(problem, model)
    model.tangents = pyo.ConstraintList()
    return model


def _most_a(problem: Problem, slot: int, ev: int) -> float:
    most_a = float(problem.max_a[slot, ev])
    is_out_of_reach = slot < problem.binary_slots and most_a < problem.min_a[ev]
    return 0.0 if is_out_of_reach else most_a


def _add_energy(problem: Problem, model: Model) -> None:
    """Deliver what is wanted or pay for it [kWh]."""
    kw_per_a = [float(w) / 1000.0 for w in problem.watts_per_amp]
    hours = [float(s) / 3600.0 for s in problem.slot_s]
    demand_kwh = [float(d) / 1000.0 for d in problem.demand_wh]
    model.energy_kwh = pyo.Expression(
        model.slots, model.evs, rule=lambda m, t, e: hours[t] * kw_per_a[e] * m.current_a[t, e]
    )
    model.demand = pyo.Constraint(
        model.evs, rule=lambda m, e: sum(m.energy_kwh[t, e] for t in m.slots) + m.shortfall_kwh[e] == demand_kwh[e]
    )
    model.parts = pyo.RangeSet(0, FAIR_PARTS - 1)
    model.missing_kwh = pyo.Var(model.evs, model.parts, bounds=lambda _, e, __: (0.0, demand_kwh[e] / FAIR_PARTS))
    model.missing = pyo.Constraint(
        model.evs, rule=lambda m, e: sum(m.missing_kwh[e, k] for k in m.parts) == m.shortfall_kwh[e]
    )


def _add_money(problem: Problem, model: Model) -> None:
    """State what everything costs [money]."""
    hours = [float(s) / 3600.0 for s in problem.slot_s]
    middle_h = [sum(hours[:t]) + hours[t] / 2.0 for t in model.slots]
    late_price = np.broadcast_to(problem.late_price, (problem.slots, problem.evs))
    pause_price = np.broadcast_to(problem.pause_price, (problem.evs,))
    unit = problem.fair_price / (2 * FAIR_PARTS - 1)
    per_kwh = (
        sum(
            (float(problem.early_price[e]) * middle_h[t] + float(late_price[t, e])) * model.energy_kwh[t, e]
            for t in model.slots
            for e in model.evs
        )
        + sum(float(problem.shortfall_price[e]) * model.shortfall_kwh[e] for e in model.evs)
        + sum(unit * (2 * k + 1) * model.missing_kwh[e, k] for e in model.evs for k in model.parts)
    )
    never_on = len(model.leading) * float((pause_price * problem.is_pausable).sum())
    model.money = pyo.Objective(
        sense=pyo.minimize,
        expr=1000.0 * per_kwh
        + model.site_money
        + problem.change_price * sum(model.change_a[e] for e in model.evs)
        + never_on
        - sum(float(pause_price[e]) * model.is_on[t, e] for t, e in model.switched)
        - sum(float(pause_price[e]) * model.has_step[t, e, k] for t, e, k in model.stepped if k == 0),
    )


def _add_change(problem: Problem, model: Model) -> None:
    """Let the change be no less than the difference between slot 0 and the present, either way [A]."""
    present_a = [float(a) for a in problem.present_a]
    model.raised = pyo.Constraint(model.evs, rule=lambda m, e: m.change_a[e] >= m.current_a[0, e] - present_a[e])
    model.lowered = pyo.Constraint(model.evs, rule=lambda m, e: m.change_a[e] >= present_a[e] - m.current_a[0, e])


def _add_minimum(problem: Problem, model: Model) -> None:
    """Let a current in a binary slot be 0 or at least its minimum [A]."""
    model.leading = pyo.RangeSet(0, min(problem.binary_slots, problem.slots) - 1)
    pairs = [
        (t, e)
        for t in model.leading
        for e in range(problem.evs)
        if 0.0 < problem.min_a[e] <= problem.max_a[t, e] and not problem.is_stepped[e]
    ]
    model.switched = pyo.Set(initialize=pairs, dimen=2)
    model.is_on = pyo.Var(model.switched, within=pyo.Binary)
    model.at_most = pyo.Constraint(
        model.switched, rule=lambda m, t, e: m.current_a[t, e] <= float(problem.max_a[t, e]) * m.is_on[t, e]
    )
    model.at_least = pyo.Constraint(
        model.switched, rule=lambda m, t, e: m.current_a[t, e] >= float(problem.min_a[e]) * m.is_on[t, e]
    )


def _add_steps(problem: Problem, model: Model) -> None:
    """Let a current in a binary slot be one of the steps: the sum of the rises of all steps taken [A]."""
    steps_a = np.broadcast_to(problem.steps_a, (problem.evs, problem.steps_a.shape[1]))
    stepped = [(t, e) for t in model.leading for e in model.evs if problem.is_stepped[e]]
    taken = [(t, e, int(k)) for t, e in stepped for k in np.flatnonzero(np.isfinite(steps_a[e]))]
    rise_a = {(e, k): float(steps_a[e, k] - (steps_a[e, k - 1] if k else 0.0)) for _, e, k in taken}
    model.stepped = pyo.Set(initialize=taken, dimen=3)
    model.has_step = pyo.Var(model.stepped, within=pyo.Binary)
    model.at_step = pyo.ConstraintList()
    for t, e in stepped:
        of_ev = [k for slot, ev, k in taken if (slot, ev) == (t, e)]
        model.at_step.add(model.current_a[t, e] == sum(rise_a[e, k] * model.has_step[t, e, k] for k in of_ev))
        for k in of_ev[1:]:
            model.at_step.add(model.has_step[t, e, k] <= model.has_step[t, e, k - 1])


def _add_straight_rows(problem: Problem, model: Model) -> None:
    """Add the rows whose phasors all point the same way: there the length of the sum is the sum of the lengths."""
    model.straight = pyo.ConstraintList()
    for row in np.flatnonzero([is_ray(phasors) for phasors in problem.coupling]):
        length = abs(problem.coupling[row])
        for slot in np.flatnonzero(np.isfinite(problem.limit_a[:, row])):
            if not problem.storage.count or not problem.storage.coupling[row].any():
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


def add_tangents(problem: Problem, model: Model, current_a: Floats, store_w: Floats) -> bool:
    """Cut off every phasor that lies outside its circle; return whether there was any."""
    count = len(model.tangents)
    for slot, row, phasor in _outside(problem, current_a, store_w):
        east, north = phasor.real / abs(phasor), phasor.imag / abs(phasor)
        along = problem.coupling[row].real * east + problem.coupling[row].imag * north
        terms = [float(along[e]) * model.current_a[slot, int(e)] for e in np.flatnonzero(abs(along) > STRAIGHT)]
        for s in range(problem.storage.count):
            of_watt = problem.storage.coupling[row, s]
            per_kw = 1000.0 * float(of_watt.real * east + of_watt.imag * north)
            if abs(per_kw) > STRAIGHT:
                terms.append(per_kw * (model.charge_kw[slot, s] - model.discharge_kw[slot, s]))
        model.tangents.add(sum(terms) <= float(problem.limit_a[slot, row]))
    return len(model.tangents) > count


def _phasors(problem: Problem, current_a: Floats, store_w: Floats) -> Complexes:
    phasors = current_a @ problem.coupling.T
    return phasors + store_w @ problem.storage.coupling.T if problem.storage.count else phasors


def _outside(problem: Problem, current_a: Floats, store_w: Floats) -> Iterator[tuple[int, int, complex]]:
    phasors = _phasors(problem, current_a, store_w)
    for slot, row in np.argwhere(abs(phasors) > problem.limit_a * (1.0 + EXCESS) + EXCESS):
        if problem.storage.count or not is_ray(problem.coupling[row]):
            yield int(slot), int(row), complex(phasors[slot, row])


def scaled_back(problem: Problem, current_a: Floats, store_w: Floats) -> tuple[Floats, Floats]:
    """Return an answer inside every limit: a slot that is a little outside is made a little smaller as a whole."""
    length = abs(_phasors(problem, current_a, store_w))
    share = np.ones_like(length)
    np.divide(problem.limit_a, length, out=share, where=length > np.maximum(problem.limit_a, EXCESS))
    least = share.min(axis=1, initial=1.0, keepdims=True)
    return current_a * least, store_w * least
