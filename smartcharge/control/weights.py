"""What a plan weighs: prices of shortfall, pauses, waiting, lateness and CO2; no lower tier outweighs a higher."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smartcharge.control.evse import EvseState
from smartcharge.control.health.score import scores
from smartcharge.control.prediction import Quantity, quantile
from smartcharge.control.requests import Request
from smartcharge.control.sessions import visitor
from smartcharge.control.state import State
from smartcharge.model import EvseId, Money, Session, Wiring
from solvers.problem import Floats

FIRST_SLOT_S = 300.0
"""Length of the first slots of a plan [s]."""
FAIR_SHARE = 0.005
"""What unfairness costs at most, as a share of what a shortfall costs: it never outweighs energy."""
LIKELY_TAIL = 0.9
"""A plan goes by a tail of charging longer than those of nine cars in ten: energy goes before money."""
UNTRIED = 10.0
"""How many times the site's price waiting costs for a car that has not shown what it takes."""
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


def shortfall_price(money: Money, priority: int) -> float:
    """Return what a promised watt-hour that is not delivered costs [money/Wh]."""
    clipped = max(-PRIORITY_RANGE, min(priority, PRIORITY_RANGE))
    # A kilowatt-hour within one slot raises the peak by so many kilowatts: promised energy must be worth them all.
    slots_per_h = 3600.0 / FIRST_SLOT_S
    per_kwh = money.shortfall_per_kwh + slots_per_h * money.peak_per_kw
    return per_kwh / 1000.0 * (1.0 + clipped / PRIORITY_RANGE)


def pause_price(state: State, requests: Sequence[Request], demand_wh: Floats, now_s: float) -> Floats:
    """Return the price of giving a request nothing now [money], shape (E,): more than any other could gain by it."""
    most_wh = float(demand_wh.max()) * shortfall_price(state.site.money, PRIORITY_RANGE)
    sessions = [state.evses[request.evse].session for request in requests]
    is_waiting = [s is not None and _waits_too_long(s, now_s, state.site.timing.first_share_s) for s in sessions]
    return np.where(is_waiting, most_wh, 0.0)


def _waits_too_long(session: Session, now_s: float, first_share_s: float) -> bool:
    return session.delivered_wh <= 0.0 and now_s - session.plugged_at_s >= first_share_s


def early_price(state: State, requests: Sequence[Request], now_s: float) -> Floats:
    """Return what an hour of waiting costs each request [money/(Wh h)], shape (E,): the more, the greater its hurry.

    A car that has not shown yet what it takes is in a hurry: it may take a third of what its EVSE could give.
    """
    stay_s = np.array([request.hurry_s - now_s for request in requests])
    urgency = np.clip(PATIENT_STAY_S / np.maximum(stay_s, 1.0), 1.0, MOST_URGENT)
    is_known = np.array([_has_shown(state.evses[request.evse], now_s) for request in requests])
    per_wh_h = state.site.money.early_per_kwh_h / 1000.0
    return np.asarray(per_wh_h * np.where(is_known, urgency, np.maximum(urgency, UNTRIED)), dtype=np.float64)


def _has_shown(evse: EvseState, now_s: float) -> bool:
    """Tell whether a car was seen to take all that its EVSE has, or less than it was offered, or was given its time."""
    session = evse.session
    if session is None or now_s - session.plugged_at_s > TRIAL_S or session.vehicle.draw_a is not None:
        return True
    is_phased = evse.evse.wiring is not Wiring.THREE_PHASE or session.vehicle.phases_used is not None
    return is_phased and session.vehicle.most_a >= NEARLY * evse.evse.max_a


def late_price(state: State, requests: Sequence[Request], edges_s: Floats) -> Floats:
    """Return what it is likely to cost in the end to deliver something as late as that [money/Wh], shape (T, E).

    A car that would be full a time x before it leaves, but takes ever less in the end with a time constant tau, lacks
    ``P tau exp(-1 - x / tau)`` when it leaves: each second later costs ``P exp(-1 - x / tau)``.  Counted from now: of
    those who compete for now nobody waits because he leaves soon.
    """
    depart_s = np.array([request.depart_at_s for request in requests])
    tail_s = np.array([_tail_s(state, request.evse) for request in requests])
    middles_s = (edges_s[:-1] + edges_s[1:]) / 2.0
    lost = np.exp(-1.0 - np.maximum(depart_s - middles_s[:, None], 0.0) / tail_s)
    return np.asarray(state.site.money.shortfall_per_kwh / 1000.0 * (lost - lost[0]), dtype=np.float64)


def _tail_s(state: State, evse: EvseId) -> float:
    session = state.evses[evse].session
    assert session is not None
    return quantile(state.history, visitor(session), Quantity.TAIL, LIKELY_TAIL)


def soundness(state: State, requests: Sequence[Request]) -> Floats:
    """Return what waiting costs at each EVSE as a share of what it does at the healthiest, shape (E,)."""
    health = scores(state)
    found = np.array([health[request.evse] for request in requests])
    return np.asarray(1.0 - PREFERS_SOUND * (found.max() - found), dtype=np.float64)


def carbon_price(state: State, edges_s: Floats) -> Floats:
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
