"""Phasors on the true wires: what one ampere of each load puts on every line of every circuit.

Nothing here is shared with the controller's arithmetic, so that an error in one shows against the other.
Every load has unity power factor.  A load between line p and neutral draws in phase with V_p; a load
between lines p and q draws in phase with V_p - V_q, out of p and into q.  A Dy transformer with
N = secondary line-to-neutral / primary line-to-line voltage carries I_A = N (a - c), I_B = N (b - a),
I_C = N (c - b) for secondary currents a, b, c; its secondary voltages lead the primary ones by
30 degrees, which counts where other loads share the primary.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from smartcharge.model import CircuitId, Evse, Phases, Site, Transformer, Wiring

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Floats: TypeAlias = NDArray[np.float64]
Complexes: TypeAlias = NDArray[np.complex128]

VOLTS: Complexes = np.exp(1j * np.radians([0.0, -120.0, 120.0]))
"""Direction of the line-to-neutral voltages of L1, L2, L3."""
THIRTY_DEGREES = np.exp(1j * np.radians(30.0))


class Wires:
    """The site's tree as matrices: phasor on every line per ampere of every load.

    A node is a circuit, or a station whose EVSEs share a rated supply.  Lines count node by node, three
    each, the C circuits first in the order of the site file: N nodes, 3 N lines.
    """

    def __init__(self, site: Site) -> None:
        self.circuits: tuple[CircuitId, ...] = tuple(circuit.id for circuit in site.circuits)
        rated = {station.id: Phases.all(station.rating_a) for station in site.stations if station.rating_a is not None}
        self.nodes: tuple[str, ...] = (*self.circuits, *(f"station {name}" for name in rated))
        self.rating_a: Floats = np.array([*(circuit.rating_a for circuit in site.circuits), *rated.values()], float)
        """Continuous rating of every line [A], shape (N, 3)."""
        self._by_id = {circuit.id: circuit for circuit in site.circuits}
        hangs_on = {evse.id: station.circuit for station in site.stations for evse in station.evses}
        evses = site.evses
        self.per_amp: dict[int, Complexes] = {
            phases: np.column_stack([self._of_evse(evse, hangs_on[evse.id], phases) for evse in evses])
            for phases in (1, 2, 3)
        }
        """By phases used: phasor per ampere of EVSE e [A/A], shape (3 N, E)."""
        self.load_per_amp: Complexes = np.column_stack(
            [self._of_load(circuit.id, phase) for circuit in site.circuits for phase in range(3)]
        )
        """Phasor per ampere of the uncontrolled load on a line [A/A], shape (3 N, 3 C)."""
        self.is_below: Floats = np.array(
            [[float(circuit.id in self._up(hangs_on[evse.id])) for evse in evses] for circuit in site.circuits]
        )
        """1 where EVSE e draws through circuit c, shape (C, E)."""
        self.load_volts: Floats = np.array(
            [
                [other.voltage_v * (circuit.id in self._up(other.id)) for other in site.circuits for _ in range(3)]
                for circuit in site.circuits
            ]
        )
        """Power through circuit c per ampere of the uncontrolled load on a line [W/A], shape (C, 3 C)."""

    def _up(self, start: CircuitId) -> list[CircuitId]:
        """Return a circuit and everything above it, up to the grid connection."""
        path, at = [], self._by_id[start]
        path.append(at.id)
        while at.parent is not None:
            at = self._by_id[at.parent]
            path.append(at.id)
        return path

    def _of_evse(self, evse: Evse, circuit: CircuitId, phases: int) -> Complexes:
        """Return the phasors on all lines of one ampere drawn by an EVSE, shape (3 N,)."""
        current = _drawn(evse, phases)
        own = f"station {evse.station}"
        shared = [(own, current)] if own in self.nodes else []
        return self._spread([*shared, *self._carried(current, self._up(circuit))])

    def _of_load(self, circuit: CircuitId, phase: int) -> Complexes:
        """Return the phasors of one ampere drawn on a circuit itself, on the grid's side of its transformer."""
        current = np.zeros(3, complex)
        current[phase] = VOLTS[phase]
        return self._spread([(circuit, current), *self._carried(current, self._up(circuit)[1:])])

    def _carried(self, current: Complexes, path: list[CircuitId]) -> Iterator[tuple[str, Complexes]]:
        """Carry a current from below up a path, through every transformer on it."""
        for circuit in path:
            transformer = self._by_id[circuit].transformer
            current = current if transformer is None else _through(transformer, current)
            yield circuit, current

    def _spread(self, carried: Iterable[tuple[str, Complexes]]) -> Complexes:
        lines = np.zeros((len(self.nodes), 3), complex)
        for node, current in carried:
            lines[self.nodes.index(node)] += current
        return lines.reshape(-1)


def _drawn(evse: Evse, phases: int) -> Complexes:
    """Return the line currents of one ampere drawn by an EVSE, shape (3,)."""
    first, second, _ = evse.rotation.grid_phases
    current = np.zeros(3, complex)
    if evse.wiring is Wiring.LINE_TO_LINE:
        across = VOLTS[first] - VOLTS[second]
        current[first] = across / abs(across)
        current[second] = -current[first]
    else:
        used = list(evse.rotation.grid_phases[: 1 if evse.wiring is Wiring.ONE_PHASE else phases])
        current[used] = VOLTS[used]
    return current


def _through(transformer: Transformer, secondary: Complexes) -> Complexes:
    """Return the primary line currents of a Dy transformer, in the primary's own frame, shape (3,)."""
    ratio = transformer.secondary_v / sqrt(3.0) / transformer.primary_v
    a, b, c = secondary
    primary: Complexes = np.array([a - c, b - a, c - b]) * ratio * THIRTY_DEGREES
    return primary
