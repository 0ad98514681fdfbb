"""What each session asks of a plan: how much, by when, and how fast it may."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from smartcharge.control.evse import EvseState
from smartcharge.control.limits import Limits
from smartcharge.control.prediction import History, Quantity, is_regular, quantile
from smartcharge.control.reach import is_reliable
from smartcharge.control.sessions import visitor
from smartcharge.control.state import State
from smartcharge.events import Charging
from smartcharge.model import EvseId, Session

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


def taken_share(evse: EvseState) -> float:
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
