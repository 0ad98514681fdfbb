"""What plugging, transactions and meter values do to the session at an EVSE."""

from __future__ import annotations

from math import ceil

from smartcharge.control.beliefs import unsure
from smartcharge.control.evse import DRAWS_A, EvseState, believed_a, drawn_a, leaves_some, offered_a
from smartcharge.control.health import sessions as conduct
from smartcharge.control.health.watch import warmed, warmer, watched
from smartcharge.control.prediction import Ended, History, Visitor, after
from smartcharge.events import (
    Charging,
    ChargingChanged,
    Metered,
    NeedStated,
    Plugged,
    TransactionEnded,
    TransactionStarted,
)
from smartcharge.frozen import replace
from smartcharge.model import Phases, Session, Tail, Vehicle, Wiring

OVER_A = 0.5
OVER_RATIO = 1.10
"""A car is over its limit when it draws more than OVER_RATIO x (limit + OVER_A) (EVerest soft overcurrent)."""
MORE_A = 0.5
"""By so much more than before it must draw to show that it takes more [A]."""
NEARLY = 0.9
"""A car's tail begins when it last took this share of the most that it took of itself."""
SEEN = 0.4
"""A tail counts as seen once it fell by this share."""
NEED_HOLDS_S = 1800.0
"""How long a need stated before the car was plugged in waits for it [s]."""


def plugged(evse: EvseState, event: Plugged | ChargingChanged | TransactionStarted) -> EvseState:
    """Return the EVSE with a car connected and a session open."""
    if evse.session is not None:
        return evse if evse.occupied else replace(evse, occupied=True)
    session = Session(evse=evse.evse.id, plugged_at_s=event.at_s)
    evse = replace(evse, occupied=True, session=session)
    is_early = evse.need is not None and event.at_s - evse.need.at_s <= NEED_HOLDS_S
    return need_stated(evse, evse.need) if evse.need is not None and is_early else evse


def unplugged(evse: EvseState) -> EvseState:
    """Return the EVSE free: whatever profile remains, nobody can draw on it."""
    watch = replace(evse.health.watch, welded_since_s=None, used_all=False)
    return replace(
        unsure(evse), occupied=False, session=None, need=None, charging=None, reading=None, told_s=None,
        over_a=None, over_since_s=None, obeys_since_s=None, frozen_since_s=None,
        health=replace(evse.health, watch=watch),
    )  # fmt: skip


def transaction_started(evse: EvseState, event: TransactionStarted) -> EvseState:
    """Return the EVSE with a transaction: profiles of an earlier one no longer apply."""
    evse = plugged(evse, event)
    assert evse.session is not None
    if evse.session.transaction_id == event.transaction_id:
        return evse
    start_wh = None if event.meter_wh is None else event.meter_wh - evse.session.delivered_wh
    session = replace(
        evse.session, transaction_id=event.transaction_id, meter_start_wh=start_wh,
        id_token=evse.session.id_token if event.id_token is None else event.id_token,
    )  # fmt: skip
    health = replace(evse.health, history=conduct.started(evse.health.history, event))
    return replace(unsure(evse), session=session, told_s=event.at_s, health=health)


def transaction_ended(evse: EvseState, event: TransactionEnded) -> EvseState:
    """Return the EVSE on its default profile; the car may still be there."""
    if evse.session is None or evse.session.transaction_id != event.transaction_id:
        return evse
    stopped = replace(evse.session, transaction_id=None, was_full=is_full(evse))
    session = _with_energy(stopped, event.meter_wh, None)
    return replace(unsure(evse), session=session, charging=None, told_s=event.at_s)


def is_full(evse: EvseState) -> bool:
    """Tell whether the car of a session wants no more: it said so, or took nothing of what it was offered."""
    session = evse.session
    if session is None or evse.charging is Charging.SUSPENDED_EV:
        return session is not None
    draw_a = session.vehicle.draw_a
    return session.was_full or (draw_a is not None and draw_a <= DRAWS_A)


def taught(history: History, evse: EvseState, at_s: float) -> History:
    """Return the history with the session of an EVSE whose car leaves; one that never charged teaches nothing."""
    session = evse.session
    if session is None or session.delivered_wh <= 0.0:
        return history
    ended = Ended(
        at_s=at_s, energy_wh=session.delivered_wh, is_full=is_full(evse), tail_s=_tail_s(session, is_full=is_full(evse))
    )
    return after(history, visitor(session), ended)


def _tail_s(session: Session, *, is_full: bool) -> float | None:
    """Return the time constant of the end of a session [s]; None where too little of it was seen.

    Near the end a battery takes power in proportion to the energy that it still lacks: the constant is the ratio.
    """
    tail = session.vehicle.tail
    if tail is None:
        return None
    if tail.highest_w <= 0.0:  # it took all that it was offered, then nothing
        return 0.0 if is_full else None
    fell_w = NEARLY * tail.highest_w - (0.0 if is_full else tail.power_w)
    return (session.delivered_wh - tail.since_wh) / fell_w * 3600.0 if fell_w >= SEEN * tail.highest_w else None


def visitor(session: Session) -> Visitor:
    """Return what predictions of a session go by."""
    return Visitor(evse=session.evse, plugged_at_s=session.plugged_at_s, id_token=session.id_token)


def need_stated(evse: EvseState, event: NeedStated) -> EvseState:
    """Return the EVSE with what the driver asked for; fields not stated keep what was known."""
    if evse.session is None:
        return replace(evse, need=event)
    session = replace(
        evse.session,
        energy_wh=evse.session.energy_wh if event.energy_wh is None else event.energy_wh,
        depart_at_s=evse.session.depart_at_s if event.depart_at_s is None else event.depart_at_s,
        priority=evse.session.priority if event.priority is None else event.priority,
        max_a=evse.session.max_a if event.max_a is None else event.max_a,
    )
    return replace(evse, session=session, need=None)


def metered(evse: EvseState, event: Metered) -> EvseState:
    """Return the EVSE after a meter reading: what it draws, whether it obeys, what its car can do."""
    if (event.current_a, event.power_w, event.energy_wh, event.soc, event.voltage_v) == (None,) * 5:
        return replace(evse, health=replace(evse.health, watch=warmer(evse.health.watch, event)))
    limits_a, offered = believed_a(evse, event.at_s), offered_a(evse, event.at_s)
    drawn = drawn_a(evse.evse, event)
    is_frozen = _is_frozen(evse, event, drawn)
    session = evse.session
    if session is not None:
        session = _with_energy(session, event.energy_wh, _integrated_wh(evse.reading, event))
        is_trusted = not is_frozen and evse.is_meter_trusted
        learnt = _learnt(session, evse, event, offered) if is_trusted else Vehicle()
        session = replace(session, vehicle=learnt)
    frozen_since_s = _since(evse.frozen_since_s, event.at_s) if is_frozen else None
    history = conduct.metered(evse.health.history, event, offered)
    heat = warmed(history.heat, event)
    health = replace(
        evse.health,
        watch=watched(evse, event, max(limits_a), is_frozen=is_frozen),
        history=history if heat is history.heat else replace(history, heat=heat),
    )
    after = replace(
        evse, session=session, reading=event, offered_a=offered, frozen_since_s=frozen_since_s, health=health
    )
    return after if drawn is None else _judged(after, drawn, max(limits_a))


def _judged(evse: EvseState, drawn: float, limit_a: float) -> EvseState:
    """Return the EVSE with what its current says of its obedience; with no car it proves none."""
    assert evse.reading is not None
    at_s = evse.reading.at_s
    if drawn > OVER_RATIO * (limit_a + OVER_A):
        return replace(evse, over_a=drawn, over_since_s=_since(evse.over_since_s, at_s), obeys_since_s=None)
    obeys_since_s = None if evse.session is None else _since(evse.obeys_since_s, at_s)
    return replace(evse, over_a=None, over_since_s=None, obeys_since_s=obeys_since_s)


def _since(since_s: float | None, now_s: float) -> float:
    return now_s if since_s is None else since_s


def _is_frozen(evse: EvseState, event: Metered, drawn: float | None) -> bool:
    last = evse.reading
    if last is None or drawn is None or drawn < DRAWS_A or event.energy_wh is None:
        return False
    return event.at_s > last.at_s and event.energy_wh == last.energy_wh


def _integrated_wh(last: Metered | None, event: Metered) -> float | None:
    """Return the energy [Wh] between two readings from their powers, for meters without a register."""
    if last is None or last.power_w is None or event.power_w is None:
        return None
    return (last.power_w + event.power_w) / 2 * (event.at_s - last.at_s) / 3600.0


def _with_energy(session: Session, register_wh: float | None, integrated_wh: float | None) -> Session:
    if register_wh is None:
        return replace(session, delivered_wh=session.delivered_wh + (integrated_wh or 0.0))
    start_wh = session.meter_start_wh
    if start_wh is None or register_wh - start_wh < session.delivered_wh:
        # A register that runs backwards was replaced or reset: what was delivered stays, and it counts on from there.
        return replace(session, meter_start_wh=register_wh - session.delivered_wh)
    return replace(session, delivered_wh=register_wh - start_wh)


def _learnt(session: Session, evse: EvseState, event: Metered, offered: float) -> Vehicle:
    vehicle, current_a = session.vehicle, event.current_a
    if current_a is None:
        return vehicle
    # A car that pauses tells nothing of its phases, one that is offered nothing not what it could take.
    phases_used = _phases_used(vehicle, evse, current_a) if max(current_a) >= DRAWS_A else vehicle.phases_used
    could_draw = offered >= evse.evse.min_a
    draw_a = _draw_a(vehicle, evse, max(current_a), offered) if could_draw else vehicle.draw_a
    is_free = leaves_some(max(current_a), offered)
    tail = _tail(session, event, is_free=is_free) if could_draw else vehicle.tail
    return Vehicle(phases_used=phases_used, draw_a=draw_a, most_a=max(vehicle.most_a, *current_a), tail=tail)


def _tail(session: Session, event: Metered, *, is_free: bool) -> Tail | None:
    """Return what is known of a car's tail; nothing while it takes all that it is offered, whatever it could take."""
    known, power_w = session.vehicle.tail, event.power_w
    if power_w is None:
        return known
    if not is_free:
        return None
    highest_w = power_w if known is None else max(known.highest_w, power_w)
    since_wh = session.delivered_wh if known is None or power_w >= NEARLY * highest_w else known.since_wh
    return Tail(highest_w=highest_w, since_wh=since_wh, power_w=power_w)


def _phases_used(vehicle: Vehicle, evse: EvseState, current_a: Phases) -> int | None:
    """Return the phases in use once two readings in a row agree; any surprise counts as all phases again."""
    if evse.evse.wiring is not Wiring.THREE_PHASE:
        return None
    now = _leading(current_a)
    before = _leading(evse.reading.current_a) if evse.reading is not None and evse.reading.current_a else None
    return now if now is not None and now in (before, vehicle.phases_used) else None


def _leading(current_a: Phases) -> int | None:
    """Return n if exactly the first n phases draw, else None."""
    draws = [a >= DRAWS_A for a in current_a]
    count = sum(draws)
    return count if count and all(draws[:count]) else None


def _draw_a(vehicle: Vehicle, evse: EvseState, drawn: float, offered: float) -> float | None:
    """Return what the car takes [A, rounded up] if it left some of the offer on the table, twice in a row.

    That holds until it takes more: an offer that is hardly above it, or below, shows nothing new.
    """
    last = drawn_a(evse.evse, evse.reading)
    if not leaves_some(drawn, offered):
        return vehicle.draw_a if vehicle.draw_a is not None and drawn <= vehicle.draw_a + MORE_A else None
    if last is None or evse.offered_a is None or not leaves_some(last, evse.offered_a):
        return vehicle.draw_a
    return float(ceil(drawn))
