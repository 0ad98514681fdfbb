"""What somebody who knew everything beforehand could have done with the same hardware, and what not knowing cost.

The whole recording becomes one `solvers.Problem`: every visit a column, the true wires its rows.  Nobody can do better:
the wires' limits are convex, so the mean currents of whatever really happens in a slot keep them too, and minimum
currents, steps and seconds of reaction are left out, and tapers where only energy counts.  Uncontrolled load counts by
its length, as if it were in phase with the cars; planted faults do not happen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np

from smartcharge.control.tariff import course
from smartcharge.sim.recordings import Visit
from smartcharge.sim.result import Result
from smartcharge.sim.runner import UNCONTROLLED, Run, grid_limits, loads_of
from smartcharge.sim.wires import Complexes, Floats, Wires
from solvers import SOLVERS
from solvers.problem import Outcome, Problem

SLOT_S = 300.0
QUARTER_S = 900.0
"""Slots where it matters to the bill when energy flows [s]: a demand charge counts quarters of an hour anyway."""
DEADLINE_S = 120.0
"""How long the optimum of one stretch may take to prove [s]."""
LONGEST_S = 31 * 86_400.0
"""The longest stretch that is one problem [s]: beyond a month of demand charge it would not fit a small computer."""
FIRST = 10.0
"""How many times dearer than it could ever be to deliver it a missing watt-hour counts: energy goes before money."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimum:
    """The most energy that could have been delivered, and the least that this much costs."""

    energy_wh: float
    cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Regret:
    """What a policy lost by not knowing."""

    energy_wh: float
    """What could have been delivered besides [Wh]."""
    cost: float
    """What it paid above the least at which every visit could have had the same energy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hindsight:
    """A campaign seen by one who knew everything."""

    optimum: Optimum
    regrets: Mapping[str, Regret]
    """By policy; none without a controller, who keeps no limit."""


def hindsight(run: Run, results: Iterable[Result]) -> Hindsight | None:
    """Return what could have been; None if that could not be proven in time."""
    best = optimum(run)
    if best is None:
        return None
    regrets = {}
    for result in results:
        if result.policy == UNCONTROLLED:
            continue
        least = _least_cost(run, result)
        if least is None:
            return None
        regrets[result.policy] = Regret(energy_wh=best.energy_wh - result.energy_delivered_wh, cost=result.cost - least)
    return Hindsight(optimum=best, regrets=regrets)


def optimum(run: Run, wanted_wh: Mapping[str, float] | None = None) -> Optimum | None:
    """Return the optimum of a run; `wanted_wh` by session [Wh], unless said what was recorded; None if unproven."""
    wanted_wh = wanted_wh or {visit.session_id: visit.energy_wh for visit in run.visits}
    energy_wh, cost, peak_w = 0.0, 0.0, 0.0
    for visits in _stretches(run):
        if visits[-1].arrive_s - visits[0].arrive_s > LONGEST_S:
            return None
        problem, base_w = _problem(run, visits, wanted_wh)
        schedule = SOLVERS["optimal"](problem, DEADLINE_S)
        if schedule.outcome is not Outcome.OPTIMAL:
            return None
        power_w = schedule.current_a @ problem.watts_per_amp
        energy_wh += float((problem.demand_wh - schedule.shortfall_wh) @ _efficiencies(run, visits))
        cost += float(problem.price @ (power_w * problem.slot_s)) / 3600.0
        peak_w = max(peak_w, float((power_w + base_w).max()))
    return Optimum(energy_wh=energy_wh, cost=cost + peak_w / 1000.0 * run.settings.site.money.peak_per_kw)


def _least_cost(run: Run, result: Result) -> float | None:
    """Return the least at which every visit could have had what it got under a policy; None if unproven."""
    money = run.settings.site.money
    if not _is_timed(run):
        drawn_wh = [result.session_wh[v.session_id] for v in run.visits] / _efficiencies(run, run.visits)
        return float(drawn_wh.sum()) / 1000.0 * money.energy_per_kwh
    best = optimum(run, result.session_wh)
    return None if best is None else best.cost


def _is_timed(run: Run) -> bool:
    """Tell whether the bill hangs on when energy flows."""
    money = run.settings.site.money
    return money.peak_per_kw > 0.0 or bool(money.tariff) or run.prices is not None


def _slot_s(run: Run) -> float:
    return QUARTER_S if _is_timed(run) else SLOT_S


def _efficiencies(run: Run, visits: Sequence[Visit]) -> Floats:
    """Return what reaches each car of what its EVSE draws [Wh/Wh], shape (E,)."""
    efficiency = {evse.id: evse.efficiency for evse in run.settings.site.evses}
    return np.array([efficiency[visit.evse] for visit in visits])


def _stretches(run: Run) -> Iterator[list[Visit]]:
    """Yield the visits between two moments in which the site is empty; all of them where a demand charge binds them."""
    together: list[Visit] = []
    until_s = run.start_s
    is_bound = run.settings.site.money.peak_per_kw > 0.0
    for visit in sorted(run.visits, key=lambda visit: visit.arrive_s):
        if not run.start_s <= visit.arrive_s < run.end_s:
            continue
        if together and not is_bound and floor(visit.arrive_s / _slot_s(run)) * _slot_s(run) >= until_s:
            yield together
            together = []
        together.append(visit)
        until_s = max(until_s, _on_grid(visit.depart_s, _slot_s(run)))
    if together:
        yield together


def _on_grid(at_s: float, slot_s: float) -> float:
    return ceil(at_s / slot_s) * slot_s


def _problem(run: Run, visits: Sequence[Visit], wanted_wh: Mapping[str, float]) -> tuple[Problem, Floats]:
    """Return a stretch as a problem, and the uncontrolled load through the grid connection [W], shape (T,)."""
    money = run.settings.site.money
    slot_s = _slot_s(run)
    first_s = floor(min(v.arrive_s for v in visits) / slot_s) * slot_s
    last_s = _on_grid(min(max(v.depart_s for v in visits), run.end_s), slot_s)
    edges_s = np.arange(first_s, last_s + slot_s / 2.0, slot_s)
    coupling, watts_per_amp, highest_a = _columns(run, visits)
    limit_a, base_w = _limits(run, edges_s)
    battery_wh, taper_s = _tails(run, visits)
    stays = np.array([(v.arrive_s, min(v.depart_s, run.end_s)) for v in visits])
    evs = np.ones(len(visits))
    price = course(run.settings.site, run.prices, *edges_s[[0, -1]]).means(edges_s) / 1000.0
    peak_price = money.peak_per_kw / 1000.0
    problem = Problem(
        slot_s=np.diff(edges_s),
        coupling=coupling,
        limit_a=limit_a,
        watts_per_amp=watts_per_amp,
        min_a=0.0 * evs,
        max_a=highest_a * _presence(edges_s, stays),
        demand_wh=np.array([wanted_wh[visit.session_id] for visit in visits]) / _efficiencies(run, visits),
        shortfall_price=FIRST
        * (float(np.abs(price).max()) + peak_price * 3600.0 / slot_s)
        * _efficiencies(run, visits),
        price=price,
        early_price=0.0 * evs,
        peak_price=peak_price,
        peak_w=0.0,
        present_a=0.0 * evs,
        change_price=0.0,
        binary_slots=0,
        base_w=base_w,
        battery_wh=battery_wh / _efficiencies(run, visits),
        taper_s=taper_s,
    )
    return problem, base_w


def _presence(edges_s: Floats, stays_s: Floats) -> Floats:
    """Return the share of every slot in which each car is there, shape (T, E)."""
    from_s = np.maximum(edges_s[:-1, None], stays_s[None, :, 0])
    to_s = np.minimum(edges_s[1:, None], stays_s[None, :, 1])
    share: Floats = np.clip(to_s - from_s, 0.0, None) / np.diff(edges_s)[:, None]
    return share


def _columns(run: Run, visits: Sequence[Visit]) -> tuple[Complexes, Floats, Floats]:
    """Return phasors per ampere of each visit (3 N, E), AC watts per ampere (E,) and the highest current [A], (E,)."""
    site = run.settings.site
    wires = Wires(site)
    place = {evse.id: i for i, evse in enumerate(site.evses)}
    phasors, watts, highest = [], [], []
    for visit in visits:
        evse = site.evses[place[visit.evse]]
        car = run.assumptions.car(visit, evse)
        phasors.append(wires.per_amp[car.phases_at(evse)][:, place[visit.evse]])
        watts.append(car.watts_per_amp(evse) / evse.efficiency)
        highest.append(min(evse.max_a, car.max_a, car.acceptance[0][1] / car.watts_per_amp(evse)))
    return np.column_stack(phasors), np.array(watts), np.array(highest)


def _tails(run: Run, visits: Sequence[Visit]) -> tuple[Floats, Floats]:
    """Return the energy at which each battery would take nothing [Wh] and the time constant of its end [s], (E,).

    A car that follows a recorded power, or takes what it is offered to the end, has none.  They are left out where only
    energy counts: there they cost minutes for a per cent.
    """
    if not _is_timed(run):
        return np.full(len(visits), np.inf), np.zeros(len(visits))
    places = {evse.id: evse for evse in run.settings.site.evses}
    tails = [run.assumptions.car(visit, places[visit.evse]).tail for visit in visits]
    return np.array([full_wh for full_wh, _ in tails]), np.array([tail_s for _, tail_s in tails])


def _limits(run: Run, edges_s: Floats) -> tuple[Floats, Floats]:
    """Return what uncontrolled loads leave on every line [A], shape (T, 3 N), and their power [W], shape (T,)."""
    site = run.settings.site
    wires = Wires(site)
    loads = loads_of(run)
    middles_s = (edges_s[:-1] + edges_s[1:]) / 2.0
    load_a = np.zeros((len(middles_s), 3 * len(wires.circuits)))
    for i, circuit in enumerate(wires.circuits):
        if circuit in loads:
            load_a[:, 3 * i : 3 * i + 3] = [loads[circuit].current_a(at_s) for at_s in middles_s]
    limit_a = np.tile(wires.rating_a.reshape(-1), (len(middles_s), 1))
    for from_s, to_s, circuit, amps in grid_limits(run):
        lines = slice(3 * wires.circuits.index(circuit), 3 * wires.circuits.index(circuit) + 3)
        share = _presence(edges_s, np.array([(from_s, to_s)]))
        lower = np.minimum(limit_a[:, lines], np.array(amps))
        limit_a[:, lines] += share * (lower - limit_a[:, lines])
    limit_a -= np.abs(load_a @ wires.load_per_amp.T)
    return np.maximum(limit_a, 0.0), load_a @ wires.load_volts[0]
