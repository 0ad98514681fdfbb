"""The fallback budget (I3): what is drawn when every station has dropped to its default profile.

A controller that dies leaves each station with the low default profile that it keeps for itself.
Those, and the most that anything else on the site may draw, must fit the failsafe limit of every
circuit on every phase.  It is proven before the controller starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeAlias

import numpy as np

from smartcharge.control.topology import Topology, uncontrolled_a
from smartcharge.model import CircuitId, GridSource, Scope, Site, Station, StationId
from solvers.problem import Floats

_ROUNDING_A = 1e-6
_ROUNDING_W = 1e-3

_Lines: TypeAlias = dict[tuple[CircuitId, StationId | None, int], float]
"""Current [A] by circuit, station or None, and phase."""


class Rule(Enum):
    """What the fallback budget demands, in the words of its breach."""

    DEFAULTS = "default profiles and uncontrolled load exceed the failsafe limit"
    FAILSAFE = "the failsafe limit exceeds the rating"
    SUPPLY = "default profiles exceed the rating of the shared supply"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """One rule on one line; where its load exceeds its limit, the fallback budget does not hold."""

    rule: Rule
    circuit: CircuitId
    station: StationId | None
    """Set where it is the station's own supply; None for the circuit itself."""
    phase: int
    """0, 1, 2 for L1, L2, L3."""
    load_a: float
    limit_a: float

    def __str__(self) -> str:
        """Return one line for people, naming where, by how much and against which rule."""
        node = f"circuit {self.circuit}" if self.station is None else f"station {self.station}"
        return f"{node} L{self.phase + 1}: {self.rule.value}: {self.load_a:.1f} A > {self.limit_a:.1f} A"


def broken(site: Site, topology: Topology) -> tuple[Breach, ...]:
    """Return every line on which the fallback budget breaks, in the order of the site file; none proves it."""
    return tuple(line for line in checked(site, topology) if line.load_a > line.limit_a + _ROUNDING_A)


def broken_shares(site: Site, topology: Topology) -> Iterator[str]:
    """Yield why safe shares of a group's limit cannot be kept: by a group all together, by a site alone."""
    if site.group is not None:
        shares_w = sum(member.safe_w for member in site.group.members)
        limits_w = {"its limit": site.group.limit_w}
        limits_w |= {f"failsafe_w of {o.id}": o.failsafe_w for o in site.grid if o.failsafe_w is not None}
        for name, limit_w in limits_w.items():
            if shares_w > limit_w:
                yield f"the safe shares are {shares_w:.0f} W together, {name} is {limit_w:.0f} W"
        return
    for source in site.grid:
        if source.id.startswith("group ") and source.failsafe_w is not None:
            fallback_w = _fallback_w(site, topology, source)
            if fallback_w > source.failsafe_w + _ROUNDING_W:
                yield f"default profiles may draw {fallback_w:.0f} W, its safe share is {source.failsafe_w:.0f} W"


def _fallback_w(site: Site, topology: Topology, source: GridSource) -> float:
    """Return the power [W] of all default profiles below a source's circuit, and of what else it counts there."""
    default_a = np.array([evse.default_a for evse in site.evses], dtype=np.float64)
    loads_a = topology.loads(default_a)
    circuit = next(circuit for circuit in site.circuits if circuit.id == source.circuit)
    totals_a = (loads_a[row] for row in topology.of_circuit[circuit.id] if topology.rows[row].phase is None)
    other_a = sum(uncontrolled_a(site)[circuit.id]) if source.scope is Scope.SITE else 0.0
    return circuit.voltage_v * (3.0 * float(sum(totals_a)) + other_a)


def checked(site: Site, topology: Topology) -> Iterator[Breach]:
    """Yield every rule on every line, held or broken: what the proof consists of."""
    default_a = np.array([evse.default_a for evse in site.evses], dtype=np.float64)
    lines_a = _highest(topology, default_a)
    others_a = uncontrolled_a(site)
    for circuit in site.circuits:
        for phase in range(3):
            line = Breach(
                rule=Rule.DEFAULTS,
                circuit=circuit.id,
                station=None,
                phase=phase,
                load_a=lines_a.get((circuit.id, None, phase), 0.0) + others_a[circuit.id][phase],
                limit_a=circuit.failsafe_a[phase],
            )
            yield replace(line, rule=Rule.FAILSAFE, load_a=circuit.failsafe_a[phase], limit_a=circuit.rating_a[phase])
            yield line
    for station in site.stations:
        if station.rating_a is not None:
            yield from _supply(station, station.rating_a, lines_a)


def _supply(station: Station, rating_a: float, lines_a: _Lines) -> Iterator[Breach]:
    for phase in range(3):
        yield Breach(
            rule=Rule.SUPPLY,
            circuit=station.circuit,
            station=station.id,
            phase=phase,
            load_a=lines_a.get((station.circuit, station.id, phase), 0.0),
            limit_a=rating_a,
        )


def _highest(topology: Topology, default_a: Floats) -> _Lines:
    """Return the highest current [A] of every line over the rows that bound it."""
    found: _Lines = {}
    for row, load_a in zip(topology.rows, topology.loads(default_a), strict=True):
        if row.phase is not None:
            line = (row.circuit, row.station, row.phase)
            found[line] = max(found.get(line, 0.0), float(load_a))
    return found
