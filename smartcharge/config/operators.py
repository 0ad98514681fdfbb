"""From the keys of a grid operator to what the site knows of it."""

from __future__ import annotations

from collections.abc import Sequence

from smartcharge.config.keys import GridKeys
from smartcharge.control.section14a import DEVICE_W, pmin_w
from smartcharge.model import Circuit, CircuitId, GridSource, Release, Scope, Station

_LOADS = frozenset({"lpc", "relay"})
"""Protocols that limit controllable loads unless the file says otherwise."""
_SCHEDULED = frozenset({"openadr", "openadr2b", "oscp"})
"""Protocols that tell what is to come, which stays good while the line is down."""
_DELAY_S = {"at-once": 0.0, "uk-2021": 600.0}
"""Longest random delay by rules: the default of the UK regulations (S.I. 2021/1467, regulation 11)."""


def operators(
    grid: Sequence[GridKeys], seed: str, circuits: Sequence[Circuit], stations: Sequence[Station]
) -> tuple[GridSource, ...]:
    """Return every grid operator that a site waits for; ``seed`` is its id."""
    return tuple(_operator(keys, seed, circuits, stations) for keys in grid)


def _operator(keys: GridKeys, seed: str, circuits: Sequence[Circuit], stations: Sequence[Station]) -> GridSource:
    name = circuits[0].id if keys.circuit is None else CircuitId(keys.circuit)
    circuit = next(circuit for circuit in circuits if circuit.id == name)
    scope = Scope(keys.scope or ("loads" if keys.protocol in _LOADS else "site"))
    floor_w = pmin_w(_devices(name, circuits, stations)) if scope is Scope.LOADS else None
    delay_s = _DELAY_S[keys.release] if keys.release_delay_s is None else keys.release_delay_s
    return GridSource(
        id=f"{keys.protocol} {keys.id}",
        circuit=name,
        scope=scope,
        failsafe_a=None if scope is Scope.LOADS or keys.protocol == "group" else circuit.failsafe_a,
        failsafe_w=floor_w if keys.failsafe_w is None else keys.failsafe_w,
        heartbeat_s=keys.heartbeat_s,
        grace_s=keys.grace_s,
        failsafe_s=keys.failsafe_s,
        floor_w=floor_w,
        holds_floor=keys.below_floor == "hold",
        keeps_schedule=keys.protocol in _SCHEDULED,
        may_go_autonomous=keys.autonomous,
        release=Release(delay_s=delay_s, ramp_s=keys.release_ramp_s, seed=seed),
    )


def _devices(circuit: CircuitId, circuits: Sequence[Circuit], stations: Sequence[Station]) -> int:
    """Return how many EVSEs below a circuit are controllable loads in the sense of section 14a."""
    below = {circuit}
    for each in circuits:  # parents come before children
        if each.parent in below:
            below.add(each.id)
    return sum(e.max_w > DEVICE_W for station in stations if station.circuit in below for e in station.evses)
