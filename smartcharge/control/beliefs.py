"""How the set of believed limits grows and collapses: one function for each word between us and a station.

`Commanded` adds to the set, `Accepted` collapses it, `Rejected` takes the refused one back, silence
leaves it as it is, expiry and reboot bring the default profile in.
"""

from __future__ import annotations

from dataclasses import replace

from smartcharge.control.evse import Belief, EvseState, believed_a
from smartcharge.events import Accepted, Commanded, ProfileKind, Rejected, Unanswered
from smartcharge.model import Control, Evse, Station, Timing


def unheard(evse: Evse, station: Station) -> tuple[Belief, ...]:
    """Return the default profiles that a station may have before it confirmed one.

    An OCPP station may do whatever its hardware allows.  A station commanded over MQTT keeps its
    default by its own configuration, as the site file declares.
    """
    limit_a = evse.default_a if station.control is Control.MQTT else evse.max_a
    return (Belief(limit_a=limit_a, until_s=None),)


def rebooted(evse: EvseState, station: Station) -> EvseState:
    """Return the EVSE after its station rebooted: some firmware forgets its profiles (go-e #155), some does not."""
    return replace(
        evse,
        defaults=(*evse.defaults, *unheard(evse.evse, station)),
        setpoints=tuple(replace(b, sure_until_s=None) for b in evse.setpoints),
        commanded=None,
        default_commanded_s=None,
        occupied=None,
    )


def cut_off(evse: EvseState, now_s: float) -> EvseState:
    """Return the EVSE without a link: a command that is not confirmed by now must be given again."""
    told = evse.commanded
    is_confirmed = told is not None and any(
        b.command_id == told.command_id and b.is_sure(now_s) for b in evse.setpoints
    )
    return replace(evse, commanded=told if is_confirmed else None, default_commanded_s=None)


def commanded(evse: EvseState, event: Commanded, timing: Timing) -> EvseState:
    """Return the EVSE with one more limit that it may be following."""
    until_s = None if event.expires_s is None else event.expires_s + timing.margin_s
    belief = Belief(limit_a=event.limit_a, until_s=until_s, command_id=event.command_id)
    if event.kind is ProfileKind.DEFAULT:
        return replace(evse, defaults=(*evse.defaults, belief), default_commanded_s=event.at_s)
    alive = (b for b in evse.setpoints if b.is_alive(event.at_s))
    return replace(evse, setpoints=(*alive, belief), commanded=event)


def accepted(evse: EvseState, event: Accepted, timing: Timing) -> EvseState:
    """Return the EVSE with the set collapsed to what was confirmed; what was before fades while the car follows."""
    confirmed = next((b for b in evse.setpoints if b.command_id == event.command_id), None)
    evse = replace(evse, deaf_at_s=None)
    if confirmed is None:
        kept = tuple(b for b in evse.defaults if b.command_id >= event.command_id)
        return replace(evse, defaults=kept or evse.defaults, default_commanded_s=None)
    older = tuple(b for b in evse.setpoints if b.command_id < event.command_id)
    newer = tuple(b for b in evse.setpoints if b.command_id > event.command_id)
    fading = tuple(
        Belief(limit_a=limit_a, until_s=event.at_s + timing.settle_s)
        for limit_a in set(believed_a(replace(evse, setpoints=older), event.at_s))
        if limit_a > confirmed.limit_a
    )
    # until_s lies a margin after the expiry, so the last moment to be sure lies two before it.
    sure_until_s = float("inf") if confirmed.until_s is None else confirmed.until_s - 2 * timing.margin_s
    return replace(evse, setpoints=(*fading, replace(confirmed, sure_until_s=sure_until_s), *newer))


def rejected(evse: EvseState, event: Rejected) -> EvseState:
    """Return the EVSE without the refused limit: the station goes on as before."""
    without = replace(
        evse,
        setpoints=tuple(b for b in evse.setpoints if b.command_id != event.command_id),
        defaults=tuple(b for b in evse.defaults if b.command_id != event.command_id),
    )
    return _deaf(without, event)


def unanswered(evse: EvseState, event: Unanswered) -> EvseState:
    """Return the EVSE with the set as it was, free to be told again."""
    return _deaf(evse, event)


def _deaf(evse: EvseState, event: Rejected | Unanswered) -> EvseState:
    told = evse.commanded
    is_newest = told is not None and told.command_id == event.command_id
    return replace(
        evse,
        commanded=None if is_newest else told,
        default_commanded_s=None,
        deaf_at_s=event.at_s,
        deaf_to_a=told.limit_a if told is not None and is_newest else evse.evse.default_a,
    )
