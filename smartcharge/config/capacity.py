"""A site as if its grid connection were smaller."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from smartcharge.control.allocation import floor_to_step
from smartcharge.control.budget import broken
from smartcharge.control.topology import Topology
from smartcharge.errors import ConfigError
from smartcharge.model import Circuit, CircuitId, Evse, Phases, Site


def with_capacity(site: Site, capacity_w: float) -> Site:
    """Return the site with its trunk limited to a total power [W], shared equally by the phases.

    The trunk is the grid connection and what follows it without branching.  Default profiles are
    lowered together, to allowed values, until the fallback budget holds again.  Raises ConfigError
    if it does not even with all of them at 0 A.
    """
    trunk = frozenset(_trunk(site))
    circuits = tuple(_limited(c, capacity_w) if c.id in trunk else c for c in site.circuits)
    smaller = replace(site, circuits=circuits)
    topology = Topology.of(smaller)
    for default_a in _defaults(site):
        lowered = _with_defaults(smaller, default_a)
        if not broken(lowered, topology):
            return lowered
    faults = "; ".join(map(str, broken(_with_defaults(smaller, 0.0), topology)))
    raise ConfigError(f"{site.id} cannot be run with {capacity_w:.0f} W: {faults}")


def _trunk(site: Site) -> Iterator[CircuitId]:
    node = site.circuits[0].id
    while True:
        yield node
        children = [circuit.id for circuit in site.circuits if circuit.parent == node]
        if len(children) != 1:
            return
        node = children[0]


def _limited(circuit: Circuit, capacity_w: float) -> Circuit:
    limit_a = Phases.all(capacity_w / (3.0 * circuit.voltage_v))
    return replace(circuit, rating_a=circuit.rating_a.min(limit_a), failsafe_a=circuit.failsafe_a.min(limit_a))


def _defaults(site: Site) -> list[float]:
    """Return the highest defaults to try [A], descending to 0: those of the site, and whole amperes below."""
    given = {evse.default_a for evse in site.evses}
    return sorted({0.0, *given, *map(float, range(int(max(given, default=0.0)) + 1))}, reverse=True)


def _with_defaults(site: Site, default_a: float) -> Site:
    def lowered(evse: Evse) -> Evse:
        return replace(evse, default_a=floor_to_step(evse, min(evse.default_a, default_a)))

    stations = (replace(s, evses=tuple(lowered(evse) for evse in s.evses)) for s in site.stations)
    return replace(site, stations=tuple(stations))
