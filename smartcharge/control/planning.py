"""The slow loop's question and its answer: State and Limits -> Problem; Schedule -> Plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

import numpy as np

from smartcharge.control.demand import periods
from smartcharge.control.evse import EvseState
from smartcharge.control.health.score import scores
from smartcharge.control.limits import Limits, changes_s, effective_limits
from smartcharge.control.plan import Plan
from smartcharge.control.prediction import History, Quantity, is_regular, quantile
from smartcharge.control.reach import is_reliable
from smartcharge.control.sessions import visitor
from smartcharge.control.state import State
from smartcharge.control.tariff import course
from smartcharge.events import Charging
from smartcharge.model import Evse, EvseId, Money, Session, Wiring
from solvers.problem import Floats, Problem, Schedule

GRID_S: tuple[tuple[float, float], ...] = ((300.0, 2 * 3600.0), (900.0, 6 * 3600.0), (3600.0, 1e9))
"""Slot length up to an age of the plan [s]: fine now, coarse later, where the future is unsure anyway."""
COARSE_GRID_S: tuple[tuple[float, float], ...] = ((300.0, 1800.0), (1800.0, 2 * 3600.0), (3600.0, 1e9))
"""The same for a site with so many cars that a finer plan would be late."""
MANY_CARS = 400
"""From so many cars on the coarse grid is used."""
MOST_CHANGES = 100
"""Changes of grid limits that a plan follows one by one; of more it looks at the start of each slot, which
keeps a plan quick.  The fast loop follows every one."""
GAP_SHARE = 0.0005
"""A plan may be as far from the best as this share of what is wanted is worth: proving the rest takes most time."""
FAIR_SHARE = 0.005
"""What unfairness costs at most, as a share of what a shortfall costs: it never outweighs energy."""
LEAST_STAY_S = 1800.0
"""How long a car is taken to stay from now on when nobody said, or when it outstayed what was said [s]."""
LEAST_NEED_WH = 5_000.0
"""What a car is taken to want still, at least, while it draws and nobody said [Wh]."""
LIKELY_STAY = 0.5
"""Where nobody said, a plan goes by a stay that is as likely to be too long as too short."""
LIKELY_NEED = 0.9
"""Where nobody said, a plan goes by a need above that of nine cars in ten: who is full says so, who is not may not."""
EARLY = 0.25
"""A regular who leaves before his word at least this often is served as if he would: earlier, at nobody's cost."""
RAMP_A = 2.0
"""How much more than it draws a car is offered, so that it can show that it takes more [A]."""
LEAST_TAKEN = 0.1
"""Least share of what it is offered that a plan counts a car to take."""
LIKELY_TAIL = 0.9
"""A plan goes by a tail of charging longer than those of nine cars in ten: energy goes before money."""
TRIAL_S = 900.0
"""How long a car has to show what it takes [s]."""
NEARLY = 0.9
"""From this share of what its EVSE has on it takes all of it."""
PRIORITY_RANGE = 10
"""Priorities from -PRIORITY_RANGE to PRIORITY_RANGE scale the price of a shortfall from 0 to twice."""
PATIENT_STAY_S = 8 * 3600.0
"""Waiting has the site's price for a car that stays this long or longer [s]; it is dearer for one that stays less."""
MOST_URGENT = 40.0
"""How many times the site's price waiting costs at most: that of a car that leaves in twelve minutes."""
PREFERS_SOUND = 0.01
"""How much less waiting costs at an EVSE that is sure to fail than at a sound one, as a share: it breaks ties."""
CALM_WH_H_PER_A = 0.5
"""A setpoint is moved by an ampere only for more than this much earlier delivery [Wh h/A].

It breaks ties, nothing else.  An ampere of the weakest supply (120 V) brings 10 Wh in the first slot; left to the
next slot they come 5 min later, which is 0.8 Wh h: so no car is put off for calm's sake.  Against promised energy it
is nothing: at the shipped prices 5e-6 money/A, while 10 Wh not delivered cost 0.1 money.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What one session asks of the plan."""

    evse: EvseId
    need_wh: float
    depart_at_s: float
    min_a: float
    max_a: float
    priority: int
    hurry_s: float
    """By when it had better be served [s since 1970]: its departure, or earlier where its past says so."""


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


def requests_of(state: State, limits: Limits, now_s: float) -> list[Request]:
    """Return what every session whose station can be relied on still wants."""
    found = []
    for name, evse in state.evses.items():
        if evse.session is None or not is_reliable(state, name):
            continue
        need_wh = remaining_wh(evse, state.history)
        max_a = min(limits.caps[name].limit_a, offer_cap_a(evse))
        if need_wh > 0.0 and max_a >= evse.evse.min_a:
            depart_at_s = _depart_at_s(evse.session, state.history, now_s)
            found.append(
                Request(
                    evse=name, need_wh=need_wh, depart_at_s=depart_at_s,
                    min_a=evse.evse.min_a, max_a=max_a, priority=evse.session.priority,
                    hurry_s=min(depart_at_s, _hurry_s(evse.session, state.history, now_s)),
                )
            )  # fmt: skip
    return found


def wants_more(evse: EvseState) -> bool:
    """Tell whether a session still wants energy, as far as anybody knows."""
    session = evse.session
    if session is None or (evse.charging is Charging.SUSPENDED_EV and session.delivered_wh > 0.0):
        return False
    return session.energy_wh is None or session.energy_wh > session.delivered_wh


def remaining_wh(evse: EvseState, history: History) -> float:
    """Return the energy that a session still wants [Wh]; what the past says where nobody did."""
    session = evse.session
    if session is None or not wants_more(evse):
        return 0.0
    if session.energy_wh is not None:
        return session.energy_wh - session.delivered_wh
    taken_wh = session.delivered_wh
    likely_wh = quantile(history, visitor(session), Quantity.ENERGY, LIKELY_NEED, beyond=taken_wh)
    return max(likely_wh - taken_wh, LEAST_NEED_WH)


def offer_cap_a(evse: EvseState) -> float:
    """Return the most that is worth offering a car [A]: what it says it can take, or was seen to, and a little more.

    In steps it is the one above: the one below would throttle it.
    """
    session = evse.session
    draw_a = session.vehicle.draw_a if session is not None else None
    stated_a = session.max_a if session is not None else None
    known = [a for a in (None if draw_a is None else draw_a + RAMP_A, stated_a) if a is not None]
    if not known:
        return evse.evse.max_a
    enough_a = max(min(known), evse.evse.min_a)
    return min([step for step in evse.evse.steps_a if step >= enough_a] or [enough_a, evse.evse.max_a])


def _taken_share(evse: EvseState) -> float:
    """Return how much of what it is offered at most a car takes: 1 until it is seen to take less."""
    draw_a = evse.session.vehicle.draw_a if evse.session is not None else None
    return 1.0 if draw_a is None else min(max(draw_a / offer_cap_a(evse), LEAST_TAKEN), 1.0)


def _depart_at_s(session: Session, history: History, now_s: float) -> float:
    stated_s = session.depart_at_s
    if stated_s is not None and stated_s > now_s:
        return stated_s
    likely_s = _likely_gone_s(session, history, now_s, LIKELY_STAY) if stated_s is None else now_s
    return max(likely_s, now_s + LEAST_STAY_S)


def _hurry_s(session: Session, history: History, now_s: float) -> float:
    """Return by when a session had better be served [s since 1970]; infinite for a stranger."""
    if not is_regular(history, visitor(session)):
        return inf
    return max(_likely_gone_s(session, history, now_s, EARLY), now_s + LEAST_STAY_S)


def _likely_gone_s(session: Session, history: History, now_s: float, share: float) -> float:
    stayed_s = max(now_s - session.plugged_at_s, 0.0)
    return session.plugged_at_s + quantile(history, visitor(session), Quantity.STAY, share, beyond=stayed_s)


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
    taken = np.array([_taken_share(state.evses[request.evse]) for request in requests])
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
        pause_price=_pause_price(state, requests, demand_wh, now_s),
        fair_price=FAIR_SHARE * _shortfall_price(money, 0),
        # A need that was rounded up, or costs a rectifier its losses, is worth no more than before.
        shortfall_price=np.array([_shortfall_price(money, r.priority) * r.need_wh for r in requests]) / demand_wh,
        price=course(state.site, state.prices, *edges_s[[0, -1]]).means(edges_s) / 1000.0
        + _carbon_price(state, edges_s),
        early_price=_early_price(state, requests, now_s) * _soundness(state, requests),
        late_price=_late_price(state, requests, edges_s),
        peak_price=money.peak_per_kw / 1000.0,
        peak_w=state.demand.highest_w,
        peak_share=share,
        peak_base_w=past_w,
        base_w=np.full(1, beside_w(state)),
        present_a=np.array([_present_a(state.evses[request.evse]) for request in requests]),
        change_price=money.early_per_kwh_h / 1000.0 * CALM_WH_H_PER_A,
        gap=GAP_SHARE * _shortfall_price(money, 0) * sum(request.need_wh for request in requests),
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


def _pause_price(state: State, requests: Sequence[Request], demand_wh: Floats, now_s: float) -> Floats:
    """Return the price of giving a request nothing now [money], shape (E,): more than any other could gain by it."""
    most_wh = float(demand_wh.max()) * _shortfall_price(state.site.money, PRIORITY_RANGE)
    sessions = [state.evses[request.evse].session for request in requests]
    is_waiting = [s is not None and _waits_too_long(s, now_s, state.site.timing.first_share_s) for s in sessions]
    return np.where(is_waiting, most_wh, 0.0)


def _waits_too_long(session: Session, now_s: float, first_share_s: float) -> bool:
    return session.delivered_wh <= 0.0 and now_s - session.plugged_at_s >= first_share_s


def _steps_a(evses: Sequence[Evse]) -> Floats:
    """Return the steps above 0 of each EVSE [A], shape (E, K), padded with ``inf``."""
    steps = [[step for step in evse.steps_a if step > 0.0] for evse in evses]
    most = max(map(len, steps))
    return np.array([own + [np.inf] * (most - len(own)) for own in steps], dtype=np.float64).reshape(len(evses), most)


def _shortfall_price(money: Money, priority: int) -> float:
    clipped = max(-PRIORITY_RANGE, min(priority, PRIORITY_RANGE))
    # A kilowatt-hour within one slot raises the peak by so many kilowatts: promised energy must be worth them all.
    slots_per_h = 3600.0 / GRID_S[0][0]
    per_kwh = money.shortfall_per_kwh + slots_per_h * money.peak_per_kw
    return per_kwh / 1000.0 * (1.0 + clipped / PRIORITY_RANGE)


def _early_price(state: State, requests: Sequence[Request], now_s: float) -> Floats:
    """Return what an hour of waiting costs each request [money/(Wh h)], shape (E,): the more, the greater its hurry.

    A car that has not shown yet what it takes is in a hurry: it may take a third of what its EVSE could give.
    """
    stay_s = np.array([request.hurry_s - now_s for request in requests])
    urgency = np.clip(PATIENT_STAY_S / np.maximum(stay_s, 1.0), 1.0, MOST_URGENT)
    is_known = np.array([_has_shown(state.evses[request.evse], now_s) for request in requests])
    per_wh_h = state.site.money.early_per_kwh_h / 1000.0
    return np.asarray(per_wh_h * np.where(is_known, urgency, MOST_URGENT), dtype=np.float64)


def _has_shown(evse: EvseState, now_s: float) -> bool:
    """Tell whether a car was seen to take all that its EVSE has, or less than it was offered, or was given its time."""
    session = evse.session
    if session is None or now_s - session.plugged_at_s > TRIAL_S or session.vehicle.draw_a is not None:
        return True
    is_phased = evse.evse.wiring is not Wiring.THREE_PHASE or session.vehicle.phases_used is not None
    return is_phased and session.vehicle.most_a >= NEARLY * evse.evse.max_a


def _late_price(state: State, requests: Sequence[Request], edges_s: Floats) -> Floats:
    """Return what it is likely to cost in the end to deliver something as late as that [money/Wh], shape (T, E).

    A car that would be full a time x before it leaves, but takes ever less in the end with a time constant tau, lacks
    ``P tau exp(-1 - x / tau)`` when it leaves: each second later costs ``P exp(-1 - x / tau)``.  Counted from now: of
    those who compete for now nobody waits because he leaves soon.
    """
    depart_s = np.array([request.depart_at_s for request in requests])
    tail_s = np.array([_tail_s(state, request.evse) for request in requests])
    middles_s = (edges_s[:-1] + edges_s[1:]) / 2.0
    lost = np.exp(-1.0 - np.maximum(depart_s - middles_s[:, None], 0.0) / tail_s)
    return np.asarray(_shortfall_price(state.site.money, 0) * (lost - lost[0]), dtype=np.float64)


def _tail_s(state: State, evse: EvseId) -> float:
    session = state.evses[evse].session
    assert session is not None
    return quantile(state.history, visitor(session), Quantity.TAIL, LIKELY_TAIL)


def _soundness(state: State, requests: Sequence[Request]) -> Floats:
    """Return what waiting costs at each EVSE as a share of what it does at the healthiest, shape (E,)."""
    health = scores(state)
    found = np.array([health[request.evse] for request in requests])
    return np.asarray(1.0 - PREFERS_SOUND * (found.max() - found), dtype=np.float64)


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


def _carbon_price(state: State, edges_s: Floats) -> Floats:
    """Return what the CO2 of a watt-hour is worth at the start of each slot [money/Wh], shape (T,)."""
    money, intensity = state.site.money, state.intensity
    slots = len(edges_s) - 1
    if intensity is None or money.co2_per_kg == 0.0:
        return np.zeros(slots)
    mean_g = np.mean(intensity.g_per_kwh)  # nothing is saved by waiting for what nobody knows
    index = np.floor((edges_s[:-1] - intensity.start_s) / intensity.step_s).astype(int)
    is_known = (index >= 0) & (index < len(intensity.g_per_kwh))
    grams = np.where(is_known, np.array(intensity.g_per_kwh)[np.where(is_known, index, 0)], mean_g)
    return np.asarray(money.co2_per_kg * grams / 1e6, dtype=np.float64)
