"""The slow loop's question and its answer: State and Limits -> Problem; Schedule -> Plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

import numpy as np

from smartcharge.control.demand import periods
from smartcharge.control.evse import EvseState
from smartcharge.control.limits import Limits, changes_s, effective_limits
from smartcharge.control.plan import Plan
from smartcharge.control.reach import is_reliable
from smartcharge.control.requests import Request, requests_of, taken_share
from smartcharge.control.state import State
from smartcharge.control.tariff import course
from smartcharge.control.weights import (
    CALM_WH_H_PER_A,
    FAIR_SHARE,
    FIRST_SLOT_S,
    carbon_price,
    early_price,
    late_price,
    pause_price,
    shortfall_price,
    soundness,
)
from smartcharge.model import Evse
from solvers.problem import Floats, Problem, Schedule

GRID_S: tuple[tuple[float, float], ...] = ((FIRST_SLOT_S, 2 * 3600.0), (900.0, 6 * 3600.0), (3600.0, 1e9))
"""Slot length up to an age of the plan [s]: fine now, coarse later, where the future is unsure anyway."""
COARSE_GRID_S: tuple[tuple[float, float], ...] = ((FIRST_SLOT_S, 1800.0), (1800.0, 2 * 3600.0), (3600.0, 1e9))
"""The same for a site with so many cars that a finer plan would be late."""
MANY_CARS = 400
"""From so many cars on the coarse grid is used."""
MOST_CHANGES = 100
"""Changes of grid limits that a plan follows one by one; of more it looks at the start of each slot, which
keeps a plan quick.  The fast loop follows every one."""
GAP_SHARE = 0.0005
"""A plan may be as far from the best as this share of what is wanted is worth: proving the rest takes most time."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """A Problem and what its columns and slots stand for."""

    problem: Problem
    requests: tuple[Request, ...]
    edges_s: Floats
    """Slot boundaries [s since 1970], shape (T + 1,)."""


def question(state: State, limits: Limits, now_s: float) -> Question | None:
    """Return what to ask a solver, or None when no car wants anything."""
    requests = tuple(requests_of(state, limits, now_s))
    if not requests:
        return None
    edges_s = now_s + edges_of(len(requests), state.site.timing.horizon_s)
    return Question(problem=_problem(state, requests, edges_s), requests=requests, edges_s=edges_s)


def plan_of(question: Question, schedule: Schedule) -> Plan:
    """Return the plan that a verified schedule makes."""
    evses = [request.evse for request in question.requests]
    missing = schedule.shortfall_wh / question.problem.demand_wh
    return Plan(
        made_at_s=float(question.edges_s[0]),
        edges_s=tuple(map(float, question.edges_s)),
        current_a={evse: tuple(map(float, schedule.current_a[:, e])) for e, evse in enumerate(evses)},
        shortfall_wh={r.evse: float(missing[e]) * r.need_wh for e, r in enumerate(question.requests)},
        per_kwh=tuple(map(float, question.problem.price * 1000.0)),
        peak_w=_peak_w(question.problem, schedule),
        outcome=schedule.outcome,
        solver=schedule.solver,
        solve_s=schedule.solve_s,
    )


def _peak_w(problem: Problem, schedule: Schedule) -> float:
    """Return the highest mean power of a metering period so far and in a schedule [W]; infinite if it is free."""
    if problem.peak_price == 0.0:
        return inf
    power_w = problem.base_w + schedule.current_a @ problem.watts_per_amp
    means_w = power_w if problem.peak_share is None else problem.peak_share @ power_w + problem.peak_base_w
    return max(problem.peak_w, float(means_w.max()))


def edges_of(cars: int, horizon_s: float) -> Floats:
    """Return the boundaries of the slots of a plan for so many cars [s from now], shape (T + 1,)."""
    edges = [0.0]
    for slot_s, until_s in GRID_S if cars < MANY_CARS else COARSE_GRID_S:
        while edges[-1] < min(until_s, horizon_s):
            edges.append(edges[-1] + slot_s)
    return np.array(edges)


def _problem(state: State, requests: Sequence[Request], edges_s: Floats) -> Problem:
    columns = [state.topology.evses.index(request.evse) for request in requests]
    evses = [state.evses[request.evse].evse for request in requests]
    taken = np.array([taken_share(state.evses[request.evse]) for request in requests])
    money = state.site.money
    slot_s = np.diff(edges_s)
    watts_per_amp = state.topology.watts_per_amp[columns] * taken
    demand_wh = _demand_wh(requests, evses, watts_per_amp * float(slot_s[0]) / 3600.0)
    now_s = float(edges_s[0])
    share, past_w = periods(state.demand, edges_s, money.peak_period_s)
    return Problem(
        names=tuple(request.evse for request in requests),
        slot_s=slot_s,
        coupling=state.topology.coupling[:, columns],
        limit_a=_limit_a(state, requests, edges_s),
        watts_per_amp=watts_per_amp,
        min_a=np.array([evse.min_a for evse in evses]),
        max_a=_max_a(requests, edges_s),
        demand_wh=demand_wh,
        steps_a=_steps_a(evses),
        pause_price=pause_price(state, requests, demand_wh, now_s),
        fair_price=FAIR_SHARE * shortfall_price(money, 0),
        # A need that was rounded up, or costs a rectifier its losses, is worth no more than before.
        shortfall_price=np.array([shortfall_price(money, r.priority) * r.need_wh for r in requests]) / demand_wh,
        price=course(state.site, state.prices, *edges_s[[0, -1]]).means(edges_s) / 1000.0
        + carbon_price(state, edges_s),
        early_price=early_price(state, requests, now_s) * soundness(state, requests),
        late_price=late_price(state, requests, edges_s),
        peak_price=money.peak_per_kw / 1000.0,
        peak_w=state.demand.highest_w,
        peak_share=share,
        peak_base_w=past_w,
        base_w=np.full(1, beside_w(state)),
        present_a=np.array([_present_a(state.evses[request.evse]) for request in requests]),
        change_price=money.early_per_kwh_h / 1000.0 * CALM_WH_H_PER_A,
        gap=GAP_SHARE * shortfall_price(money, 0) * sum(request.need_wh for request in requests),
        binary_slots=1,
    )


def beside_w(state: State) -> float:
    """Return the load beside the cars that flows through the grid connection [W]; 0 where it has no meter."""
    root = state.site.circuits[0]
    meter = state.meters.get(root.id)
    return 0.0 if meter is None else root.voltage_v * sum(meter.peak_beside_a)


def _demand_wh(requests: Sequence[Request], evses: Sequence[Evse], wh_per_amp: Floats) -> Floats:
    """Return what each request draws for what it wants [Wh], shape (E,): at least the lowest current in the first slot.

    A smaller rest could never be planned there, and would be put off from plan to plan; the car stops by itself.
    """
    lowest_a = np.array([min((step for step in evse.steps_a if step > 0.0), default=evse.min_a) for evse in evses])
    need_wh = np.array([request.need_wh / evse.efficiency for request, evse in zip(requests, evses, strict=True)])
    return np.asarray(np.maximum(need_wh, lowest_a * wh_per_amp), dtype=np.float64)


def _steps_a(evses: Sequence[Evse]) -> Floats:
    """Return the steps above 0 of each EVSE [A], shape (E, K), padded with ``inf``."""
    steps = [[step for step in evse.steps_a if step > 0.0] for evse in evses]
    most = max(map(len, steps))
    return np.array([own + [np.inf] * (most - len(own)) for own in steps], dtype=np.float64).reshape(len(evses), most)


def _present_a(evse: EvseState) -> float:
    return 0.0 if evse.commanded is None else evse.commanded.limit_a


def _max_a(requests: Sequence[Request], edges_s: Floats) -> Floats:
    """Return the highest current of each request in each slot [A], shape (T, E); less in the slot it departs in."""
    depart_s = np.array([request.depart_at_s for request in requests])
    highest_a = np.array([request.max_a for request in requests])
    share = (depart_s[None, :] - edges_s[:-1, None]) / np.diff(edges_s)[:, None]
    return np.asarray(highest_a * np.clip(share, 0.0, 1.0), dtype=np.float64)


def _limit_a(state: State, requests: Sequence[Request], edges_s: Floats) -> Floats:
    """Return what is left on each row in each slot [A], shape (T, R), after what cannot be commanded."""
    now_s = float(edges_s[0])
    asked = {request.evse for request in requests}
    fixed_a = np.array([
        0.0 if name in asked or is_reliable(state, name) else state.reserved_a(name, now_s)
        for name in state.topology.evses
    ])  # fmt: skip
    taken_a = state.topology.loads(fixed_a)
    limit_a = np.full((len(edges_s) - 1, len(state.topology.rows)), np.inf)
    changes = changes_s(state, now_s, float(edges_s[-1]))
    looks_s = (now_s, *changes) if len(changes) <= MOST_CHANGES else tuple(map(float, edges_s[:-1]))
    for from_s, until_s in pairwise((*looks_s, np.inf)):
        # A limit changes within a slot: the lowest of the slot counts.
        holds = (edges_s[:-1] < until_s) & (edges_s[1:] > from_s)
        available_a = effective_limits(state, now_s, ahead_s=from_s - now_s).available_a
        limit_a[holds] = np.minimum(limit_a[holds], available_a)
    return np.maximum(limit_a - taken_a, 0.0)
