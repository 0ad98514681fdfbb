"""What a user would pick instead: the same Problem, built and solved anew each time by a modelling language."""

from __future__ import annotations

from collections.abc import Callable

import cvxpy as cp
import numpy as np

from solvers import pyomo_model
from solvers.problem import Floats, Problem

PATIENCE_S = 120.0
"""How long Pyomo may take [s]; a time as long as this is what it had taken when it was cut short."""


def cones(problem: Problem) -> Floats:
    """Return currents [A], shape (T, E), by cvxpy and Clarabel: cones where phasors turn, plain sums elsewhere."""
    current_a = _currents(problem)
    is_ray = np.array([pyomo_model.is_ray(phasors) for phasors in problem.coupling])
    limits = [current_a @ abs(problem.coupling[is_ray]).T <= problem.limit_a[:, is_ray]] if is_ray.any() else []
    for row in np.flatnonzero(~is_ray):
        phasor = cp.vstack([current_a @ problem.coupling[row].real, current_a @ problem.coupling[row].imag])
        limits.append(cp.norm(phasor, 2, axis=0) <= problem.limit_a[:, row])
    return _solved(problem, current_a, limits, solver=cp.CLARABEL)


def linear(problem: Problem) -> Floats:
    """Return currents [A], shape (T, E), by cvxpy and HiGHS: every row as the sum of the currents' lengths."""
    current_a = _currents(problem)
    limits = [current_a @ abs(problem.coupling).T <= problem.limit_a]
    # One thread, as everywhere in this process: HiGHS keeps one scheduler.
    return _solved(problem, current_a, limits, solver=cp.HIGHS, threads=1)


def pyomo(problem: Problem) -> Floats:
    """Return currents [A], shape (T, E), by Pyomo and HiGHS; round limits by tangents."""
    return pyomo_model.solve(problem, PATIENCE_S).current_a


CONES = "cvxpy-clarabel-cones"
"""The peer that knows every row as it is: the energy that it places is what others are measured by."""
PEERS: dict[str, Callable[[Problem], Floats]] = {
    CONES: cones,
    "cvxpy-highs-linear": linear,
    "pyomo-highs": pyomo,
}


def _currents(problem: Problem) -> cp.Variable:
    return cp.Variable(problem.max_a.shape, bounds=[0.0, problem.max_a])


def _solved(problem: Problem, current_a: cp.Variable, limits: list[cp.Constraint], **options: object) -> Floats:
    per_amp = problem.wh_per_amp * (problem.price_per_wh - problem.shortfall_price)
    money = cp.sum(cp.multiply(per_amp, current_a))
    if problem.change_price > 0.0:
        money += problem.change_price * cp.sum(cp.abs(current_a[0] - problem.present_a))
    if problem.peak_price > 0.0:
        money += problem.peak_price * cp.pos(cp.max(current_a @ problem.watts_per_amp) - problem.peak_w)
    demand = cp.sum(cp.multiply(problem.wh_per_amp, current_a), axis=0) <= problem.demand_wh
    cp.Problem(cp.Minimize(money), [demand, *limits]).solve(**options)
    return np.asarray(current_a.value, dtype=np.float64)
