"""A state taken up again on the site as its file describes it now."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from smartcharge.control import beliefs, liveness
from smartcharge.control.evse import EvseState
from smartcharge.control.liveness import SourceState
from smartcharge.control.shares import MemberState
from smartcharge.control.state import State, topology_of
from smartcharge.frozen import replace
from smartcharge.model import CircuitId, EvseId, GridLimit, StationId


def resumed(learnt: State, changed: AbstractSet[StationId]) -> State:
    """Return what was learnt, for the circuits, stations and EVSEs that the site has now.

    ``changed`` are the stations that the site file describes otherwise than when it was learnt: what
    they were told was told to other hardware, so they count as after a reboot (I4).
    """
    fresh = State.initial(learnt.site)
    evses = {name: _evse(learnt, fresh, name, changed) for name in fresh.evses}
    circuits = {circuit.id for circuit in learnt.site.circuits}
    return replace(
        learnt,
        evses=evses,
        stations={**fresh.stations, **{n: s for n, s in learnt.stations.items() if n in fresh.stations}},
        sources=_sources(learnt, fresh, circuits),
        meters={name: meter for name, meter in learnt.meters.items() if name in circuits},
        members={name: _member(learnt, member) for name, member in fresh.members.items()},
        topology=topology_of(learnt.site, evses),
    )


def _member(learnt: State, fresh: MemberState) -> MemberState:
    known = learnt.members.get(fresh.member.id)
    return fresh if known is None else replace(known, member=fresh.member)


def _sources(learnt: State, fresh: State, circuits: AbstractSet[CircuitId]) -> dict[str, SourceState]:
    """Return the grid operators as the site file has them now, each with the limits on circuits that are left."""
    found = dict(fresh.sources)
    for name, known in learnt.sources.items():
        kept = replace(known, limits=_on(known.limits, circuits), released=_on(known.released, circuits))
        if name in fresh.sources:
            found[name] = liveness.redeclared(kept, fresh.sources[name].source)
        elif kept.limits and known.source.heartbeat_s is None:
            found[name] = kept
    return found


def _on(limits: tuple[GridLimit, ...], circuits: AbstractSet[CircuitId]) -> tuple[GridLimit, ...]:
    return tuple(limit for limit in limits if limit.circuit in circuits)


def _evse(learnt: State, fresh: State, name: EvseId, changed: AbstractSet[StationId]) -> EvseState:
    unheard = fresh.evses[name]
    known = learnt.evses.get(name)
    if known is None:
        return unheard
    if unheard.evse.station not in changed:
        return replace(known, evse=unheard.evse)
    return beliefs.rebooted(replace(known, evse=unheard.evse), learnt.station_of[name])
