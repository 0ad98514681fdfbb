"""Problems to solve: small ones by hand, random ones of every kind that a site can pose."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

from solvers.problem import Problem, Storage

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from solvers.problem import Complexes, Floats

HOUR_S = 3600.0
DELTA = np.exp(1j * np.deg2rad([30.0, -90.0, 150.0]))
"""Directions of the line-to-line currents AB, BC and CA."""


def simple(
    *,
    coupling: ArrayLike,
    limit_a: ArrayLike,
    demand_wh: ArrayLike,
    slots: int = 1,
    binary_slots: int = 0,
    max_a: float = 32.0,
) -> Problem:
    """Return hours of 1 W/A, at no price but that of a shortfall: 1 money/Wh."""
    phasors = np.atleast_2d(np.asarray(coupling, dtype=np.complex128))
    evs = phasors.shape[1]
    return Problem(
        slot_s=np.full(slots, HOUR_S),
        coupling=phasors,
        limit_a=np.broadcast_to(np.asarray(limit_a, dtype=np.float64), (slots, len(phasors))).copy(),
        watts_per_amp=np.ones(evs),
        min_a=np.full(evs, 6.0),
        max_a=np.full((slots, evs), max_a),
        demand_wh=np.broadcast_to(np.asarray(demand_wh, dtype=np.float64), (evs,)).copy(),
        shortfall_price=np.ones(evs),
        price=np.zeros(slots),
        early_price=np.zeros(evs),
        peak_price=0.0,
        peak_w=0.0,
        present_a=np.zeros(evs),
        change_price=0.0,
        binary_slots=binary_slots,
    )


def contended() -> Problem:
    """Return two EVs that share 10 A for two hours, each wanting 20 Wh of 1 W/A."""
    return simple(coupling=[[1.0, 1.0]], limit_a=[10.0], demand_wh=20.0, slots=2)


def priced(problem: Problem, *, price: ArrayLike, shortfall_price: float = 1.0) -> Problem:
    """Return the problem with these prices of energy and of shortfall [money/Wh]."""
    return replace(
        problem,
        price=np.asarray(price, dtype=np.float64),
        shortfall_price=np.full(problem.evs, shortfall_price),
    )


def _row(rng: np.random.Generator, evs: int) -> Complexes:
    """Return a row of a kind that occurs: a sum, a delta line, any phasors, one line both ways, one EV."""
    present = rng.random(evs) < 0.8
    match rng.integers(5):
        case 0:
            phasors = np.ones(evs, dtype=np.complex128)
        case 1:
            phasors = DELTA[rng.integers(3, size=evs)] * rng.choice([-1.0, 1.0], size=evs) / np.sqrt(3.0)
        case 2:
            phasors = rng.uniform(0.2, 1.5, evs) * np.exp(1j * rng.uniform(0.0, 2.0 * np.pi, evs))
        case 3:
            phasors = np.exp(1j * rng.uniform(0.0, 6.0)) * rng.choice([-1.0, 1.0], size=evs)
        case _:
            present = np.arange(evs) == rng.integers(max(evs, 1))
            phasors = np.full(evs, np.exp(0.7j))
    return phasors * present


def random_problem(*, seed: int, slots: int, evs: int, rows: int, binary_slots: int) -> Problem:
    """Return a problem with non-uniform slots, windows, limits that vary, vanish and are absent."""
    rng = np.random.default_rng(seed)
    coupling = np.array([_row(rng, evs) for _ in range(rows)], dtype=np.complex128).reshape(rows, evs)
    max_a = rng.uniform(3.0, 40.0, evs) * (rng.random((slots, evs)) < 0.85)
    reach_a = (abs(coupling) @ max_a.T).T
    limit_a = rng.uniform(0.05, 1.1, (slots, rows)) * np.maximum(reach_a, 1.0)
    kind = rng.random((slots, rows))
    limit_a = np.where(kind < 0.05, 0.0, np.where(kind > 0.9, np.inf, limit_a))
    slot_s = rng.choice([300.0, 900.0, 3600.0], slots)
    watts_per_amp = rng.choice([208.0, 230.0, 690.0], evs)
    return Problem(
        slot_s=slot_s,
        coupling=coupling,
        limit_a=limit_a,
        watts_per_amp=watts_per_amp,
        min_a=rng.choice([0.0, 6.0, 8.0], evs),
        max_a=max_a,
        demand_wh=_demands(rng, (max_a * np.outer(slot_s / HOUR_S, watts_per_amp)).sum(axis=0)),
        shortfall_price=rng.uniform(2e-4, 2e-2, evs),
        price=rng.uniform(-5e-5, 4e-4, slots),
        early_price=rng.choice([0.0, 1e-5]) * rng.uniform(1.0, 40.0, evs),
        peak_price=float(rng.choice([0.0, 1e-4, 1e-2])),
        peak_w=float(rng.uniform(0.0, 5000.0)),
        present_a=rng.uniform(6.0, 40.0, evs) * (rng.random(evs) < 0.7),
        change_price=float(rng.choice([0.0, 1e-5, 1e-2])),
        binary_slots=binary_slots,
    )


def equipped(problem: Problem, *, seed: int) -> Problem:
    """Return the problem with some of what only some sites have: steps, tails, batteries, a grid meter that sells."""
    rng = np.random.default_rng(seed)
    slots, evs, rows = problem.slots, problem.evs, len(problem.coupling)
    steps_a = np.where(rng.random((evs, 1)) < 0.5, np.array([8.0, 16.0, 24.0]), np.inf)
    is_full = rng.random(evs) < 0.5
    battery_wh = np.where(is_full, problem.demand_wh, problem.demand_wh * rng.uniform(1.0, 2.0, evs))
    periods: Floats = np.kron(np.eye((slots + 1) // 2), np.ones((1, 2)) / 2.0)[:, :slots].astype(np.float64)
    return replace(
        problem,
        steps_a=steps_a if rng.random() < 0.5 else np.zeros((1, 0)),
        pause_price=rng.uniform(0.0, 2.0, evs) if rng.random() < 0.5 else np.zeros(1),
        battery_wh=battery_wh,
        taper_s=rng.choice([0.0, 600.0, 3600.0], evs),
        late_price=rng.choice([0.0, 1e-4]) * rng.random((slots, evs)),
        fair_price=float(rng.choice([0.0, 1e-4, 5e-3])),
        base_w=rng.uniform(-8000.0, 8000.0, slots),
        export_price=problem.price - rng.uniform(0.0, 3e-4, slots) if rng.random() < 0.6 else None,
        peak_share=periods if rng.random() < 0.5 else None,
        peak_base_w=rng.uniform(0.0, 2000.0, 1),
        storage=_storage(rng, slots, rows) if rng.random() < 0.6 else Storage(),
    )


def _storage(rng: np.random.Generator, slots: int, rows: int) -> Storage:
    count = int(rng.integers(1, 3))
    capacity_wh = rng.uniform(2000.0, 20000.0, count)
    reserve_wh = 0.2 * capacity_wh * rng.random(count)
    return Storage(
        charge_w=rng.uniform(0.0, 8000.0, (slots, count)) * (rng.random((slots, count)) < 0.8),
        discharge_w=rng.uniform(0.0, 8000.0, (slots, count)) * (rng.random((slots, count)) < 0.8),
        level_wh=reserve_wh + rng.random(count) * (capacity_wh - reserve_wh),
        reserve_wh=reserve_wh,
        capacity_wh=capacity_wh,
        efficiency=rng.uniform(0.85, 1.0, count),
        wear_price=rng.uniform(0.0, 1e-4, count),
        worth=rng.uniform(0.0, 4e-4, count),
        target_wh=capacity_wh * rng.random(count),
        due_slot=rng.integers(0, slots, count),
        target_price=rng.choice([0.0, 5e-3], count),
        coupling=(rng.choice([0.0, 1.0], (rows, count)) / 230.0).astype(np.complex128),
    )


def _demands(rng: np.random.Generator, reach_wh: Floats) -> Floats:
    is_empty = rng.random(len(reach_wh)) < 0.1
    return np.where(is_empty, 0.0, rng.uniform(0.1, 1.3, len(reach_wh)) * reach_wh)


@st.composite
def problems(draw: st.DrawFn, *, max_slots: int = 6, max_evs: int = 6) -> Problem:
    """Draw a random problem; simpler ones have fewer of everything."""
    plain = random_problem(
        seed=draw(st.integers(0, 2**32 - 1)),
        slots=draw(st.integers(1, max_slots)),
        evs=draw(st.integers(0, max_evs)),
        rows=draw(st.integers(0, 4)),
        binary_slots=draw(st.integers(0, 2)),
    )
    return equipped(plain, seed=draw(st.integers(0, 2**32 - 1))) if draw(st.booleans()) else plain
