"""How the set of believed limits grows and collapses: one function for each word between us and a station.

`Commanded` adds to the set, `Accepted` collapses it, `Rejected` takes the refused one back, silence
leaves it as it is, expiry and reboot bring the default profile in.
"""

from __future__ import annotations

from collections.abc import Iterable

from smartcharge.control.evse import Belief, EvseState, offered_a
from smartcharge.events import Accepted, Commanded, ProfileKind, Rejected, Unanswered
from smartcharge.frozen import replace
from smartcharge.model import Control, Evse, Station, Timing, Vehicle


def unheard(evse: Evse, station: Station) -> tuple[Belief, ...]:
    """Return the default profiles that a station may have before it confirmed one.

    An OCPP station may do whatever its hardware allows.  A station commanded over MQTT keeps its
    default by its own configuration, as the site file declares.
    """
    limit_a = evse.default_a if station.control is Control.MQTT else evse.max_a
    return (Belief(limit_a=limit_a, until_s=None),)


def rebooted(evse: EvseState, station: Station) -> EvseState:
    """Return the EVSE after its station rebooted: some firmware forgets its profiles (go-e #155), some does not."""
    return replace(cleared(_unseen(evse), station), occupied=None)


def cleared(evse: EvseState, station: Station) -> EvseState:
    """Return the EVSE that may have forgotten every profile, its default too, or may not."""
    return replace(
        unsure(evse),
        defaults=_distinct(replace(b, command_id=0) for b in (*evse.defaults, *unheard(evse.evse, station))),
        default_commanded_s=None,
    )


def unsure(evse: EvseState) -> EvseState:
    """Return the EVSE on which every setpoint may linger, or its default apply; answers on the way come too late."""
    lingering = tuple(replace(b, sure_until_s=None, command_id=0) for b in evse.setpoints)
    return replace(evse, setpoints=lingering, commanded=None)


def cut_off(evse: EvseState) -> EvseState:
    """Return the EVSE without a link: its transaction may end unheard, and with it what it was told."""
    return replace(unsure(_unseen(evse)), default_commanded_s=None)


def commanded(evse: EvseState, event: Commanded, timing: Timing, *, ends: bool = True) -> EvseState:
    """Return the EVSE with one more limit that it may be following, for ever unless its station ends it by itself."""
    # It may end a margin late, and the car takes its time to follow.
    is_endless = event.expires_s is None or not ends
    until_s = None if event.expires_s is None or is_endless else event.expires_s + timing.margin_s + timing.settle_s
    belief = Belief(limit_a=event.limit_a, until_s=until_s, command_id=event.command_id)
    if event.kind is ProfileKind.DEFAULT:
        return replace(evse, defaults=_distinct((*evse.defaults, belief)), default_commanded_s=event.at_s)
    alive = (b for b in evse.setpoints if b.is_alive(event.at_s))
    after = replace(evse, setpoints=(*alive, belief), commanded=event)
    if evse.commanded is not None and evse.commanded.limit_a == event.limit_a:
        return after
    return replace(after, told_s=event.at_s, floor_a=min(offered_a(evse, event.at_s), event.limit_a))


def accepted(evse: EvseState, event: Accepted, timing: Timing, *, ends: bool = True) -> EvseState:
    """Return the EVSE with the set collapsed to what was confirmed; what was before fades while the car follows.

    An answer to a command that is not in the set any more confirms nothing, but the station hears.
    """
    evse = replace(evse, deaf_at_s=None)
    setpoint = next((b for b in evse.setpoints if b.command_id == event.command_id), None)
    if setpoint is not None:
        return _with_setpoint(evse, setpoint if ends else replace(setpoint, until_s=None), event.at_s, timing)
    default = next((b for b in evse.defaults if b.command_id == event.command_id), None)
    return evse if default is None else _with_default(evse, default, event.at_s, timing)


def _with_setpoint(evse: EvseState, confirmed: Belief, now_s: float, timing: Timing) -> EvseState:
    older = tuple(b for b in evse.setpoints if b.command_id < confirmed.command_id)
    newer = tuple(b for b in evse.setpoints if b.command_id > confirmed.command_id)
    before = older if any(b.is_sure(now_s) for b in older) else (*older, *evse.defaults)
    fading = _fading(before, confirmed, now_s, timing)
    # It may end a margin early; until_s lies a margin and the car's time to follow after the expiry.
    # One that does not end by itself is relied on for as long as it would be renewed.
    until_s = now_s + timing.profile_s if confirmed.until_s is None else confirmed.until_s
    sure_until_s = until_s - timing.settle_s - 2.0 * timing.margin_s
    return replace(evse, setpoints=(*fading, replace(confirmed, sure_until_s=sure_until_s), *newer))


def _with_default(evse: EvseState, confirmed: Belief, now_s: float, timing: Timing) -> EvseState:
    is_overridden = any(b.is_sure(now_s) for b in evse.setpoints)
    fading = () if is_overridden else _fading(evse.defaults, confirmed, now_s, timing)
    kept = tuple(b for b in evse.defaults if b.command_id >= confirmed.command_id)
    return replace(evse, defaults=kept, setpoints=(*fading, *evse.setpoints), default_commanded_s=None)


def _fading(before: Iterable[Belief], confirmed: Belief, now_s: float, timing: Timing) -> tuple[Belief, ...]:
    """Return what a car may still draw for a moment although its station follows a lower limit by now."""
    settled_s = now_s + timing.settle_s
    return tuple(
        Belief(limit_a=b.limit_a, until_s=settled_s if b.until_s is None else min(b.until_s, settled_s))
        for b in before
        if b.limit_a > confirmed.limit_a and b.is_alive(now_s)
    )


def _distinct(believed: Iterable[Belief]) -> tuple[Belief, ...]:
    """Return one belief for each limit, the newest: a station asked again and again is believed no more for it."""
    return tuple({b.limit_a: b for b in believed}.values())


def _unseen(evse: EvseState) -> EvseState:
    """Return the EVSE out of sight: another car may come to it, so what was learnt of this one counts no more."""
    return evse if evse.session is None else replace(evse, session=replace(evse.session, vehicle=Vehicle()))


def rejected(evse: EvseState, event: Rejected) -> EvseState:
    """Return the EVSE without the refused limit: the station goes on as before."""
    without = replace(
        evse,
        setpoints=tuple(b for b in evse.setpoints if b.command_id != event.command_id),
        defaults=tuple(b for b in evse.defaults if b.command_id != event.command_id),
    )
    return unanswered(without, event)


def unanswered(evse: EvseState, event: Rejected | Unanswered) -> EvseState:
    """Return the EVSE with the set as it was, not to be relied on; it may be told again after a rest.

    A default profile that was refused costs no trust: setpoints are another purpose, and some stations
    take only those.
    """
    if evse.commanded is None or evse.commanded.command_id != event.command_id:
        return evse
    return replace(evse, commanded=None, deaf_at_s=event.at_s, deaf_to_a=evse.commanded.limit_a)
