"""The network of a site as rows: which line current each ampere of setpoint causes, and where.

Voltages are taken at 0, -120 and +120 degrees on L1, L2 and L3 of each circuit, loads at unity power
factor.  A row is one line of one circuit; its current is the length of a phasor,
``abs(coupling[r] @ current_a)``.

Cars may draw anything between nothing and their setpoint, and a three-phase car may use fewer
phases.  Where the loads of a line are more than 90 degrees apart (the primary of a delta-wye
transformer), a car that draws *less* can *raise* the line current.  The length of a sum of phasors is
convex, so the worst case switches every load fully on or off, and it switches on exactly those that
point into one half-plane.  A line is therefore expanded into one row for each such half-plane; if
the setpoints fit all of them, so does every way of drawing less.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from smartcharge.model import Circuit, CircuitId, Evse, EvseId, Phases, Site, Station, StationId, Transformer, Wiring
from solvers.problem import Complexes, Floats

Booleans: TypeAlias = NDArray[np.bool_]

_PHASORS: Complexes = np.exp(1j * np.radians([0.0, -120.0, 120.0]))
"""Line-to-neutral voltages of L1, L2, L3, in units of their length."""
_TINY = 1e-9
"""Rounding below which two angles, or a current and nothing, are the same."""
_PARTS = 3
"""Loads that one EVSE can switch independently: a three-phase car may use any of its phases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line current of a circuit, or of the supply that the EVSEs of a station share."""

    circuit: CircuitId
    """The circuit whose limit holds, or that the station hangs on."""
    station: StationId | None
    """Set where it is the station's own supply that must not be overloaded."""
    phase: int | None
    """0, 1, 2 for L1, L2, L3; None for the total power, as balanced amperes [A] of the circuit's voltage."""

    @property
    def label(self) -> str:
        """Return a name for people, e.g. ``"main L2"``, ``"main total"`` or ``"station hub-01 L1"``."""
        node = self.circuit if self.station is None else f"station {self.station}"
        return f"{node} total" if self.phase is None else f"{node} L{self.phase + 1}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Topology:
    """The rows of a site; several rows may bound the same line, and lines without an EVSE have none."""

    evses: tuple[EvseId, ...]
    """Order of the columns: that of the site file."""
    rows: tuple[Row, ...]
    coupling: Complexes
    """Phasor of a row per ampere of an EVSE's setpoint [A/A], shape (R, E)."""
    watts_per_amp: Floats
    """Power of each EVSE per ampere of setpoint on the phases in use [W/A], shape (E,)."""
    is_above: Booleans
    """Whether a row carries current of an EVSE, shape (R, E)."""
    of_circuit: Mapping[CircuitId, tuple[int, ...]]
    """Rows of each circuit itself: its lines and its total, without those of stations on it."""

    @classmethod
    def of(
        cls, site: Site, phases_used: Mapping[EvseId, int] | None = None, live: Mapping[EvseId, int] | None = None
    ) -> Self:
        """Return the rows of a site; costly enough to be kept by the caller.

        ``phases_used`` tells of how many phases (1 to 3) a car at a three-phase EVSE draws, counted from the
        EVSE's own L1; where it says nothing the car may use any of them.  ``live`` tells how many phases (1 to 3) an
        EVSE has left: fewer bring less power, but free nothing on a line, for a phase may be back before it is seen.
        """
        column = {evse.id: number for number, evse in enumerate(site.evses)}
        network = _Network(site=site, phases_used=phases_used or {}, column=column)
        deliverable = _Network(site=site, phases_used={**(phases_used or {}), **(live or {})}, column=column)
        pairs = tuple(network.rows())
        rows = tuple(row for row, _ in pairs)
        coupling = np.array([coefficients for _, coefficients in pairs], dtype=np.complex128)
        coupling = coupling.reshape(len(rows), len(column))
        return cls(
            evses=tuple(column),
            rows=rows,
            coupling=coupling,
            is_above=np.abs(coupling) > 0.0,
            watts_per_amp=deliverable.watts_per_amp(),
            of_circuit={circuit.id: _rows_of(circuit.id, rows) for circuit in site.circuits},
        )

    def loads(self, current_a: Floats) -> Floats:
        """Return the current of every row [A], shape (R,), for setpoints [A], shape (E,).

        Uncontrolled load is not in it: add its magnitude, which is never less than the phasor sum.
        """
        return np.abs(self.coupling @ current_a)


def uncontrolled_a(site: Site) -> dict[CircuitId, Phases]:
    """Return the largest uncontrolled load [A] on and below each circuit, counted at that circuit."""
    found: dict[CircuitId, Phases] = {}
    for circuit in reversed(site.circuits):
        below = [found[child.id] for child in site.circuits if child.parent == circuit.id]
        found[circuit.id] = node_uncontrolled_a(circuit, below)
    return found


def node_uncontrolled_a(circuit: Circuit, below: Iterable[Phases]) -> Phases:
    """Return the uncontrolled load [A] at a circuit, given that of each circuit directly below it [A].

    Its power factor is unknown, so magnitudes add up, through transformers too.
    """
    total_a = [sum(lines) for lines in zip(Phases.all(0.0), *below, strict=True)]
    if circuit.transformer:
        turns = _turns(circuit.transformer)
        total_a = [turns * (total_a[line] + total_a[line - 1]) for line in range(3)]
    return Phases(*(total + own for total, own in zip(total_a, circuit.uncontrolled_a, strict=True)))


def _rows_of(circuit: CircuitId, rows: tuple[Row, ...]) -> tuple[int, ...]:
    return tuple(i for i, row in enumerate(rows) if row.circuit == circuit and row.station is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Network:
    """What the rows are worked out from."""

    site: Site
    phases_used: Mapping[EvseId, int]
    column: Mapping[EvseId, int]
    """Place of each EVSE in the site file."""

    def rows(self) -> Iterator[tuple[Row, Complexes]]:
        """Yield the rows of every circuit, parents first, then of every station with a shared supply."""
        lines, watts_per_amp = self._line_currents(), self.watts_per_amp()
        for circuit in self.site.circuits:
            yield from _line_rows(circuit.id, None, lines[circuit.id])
            yield from _total_row(circuit, lines[circuit.id], watts_per_amp)
        for station in self.site.stations:
            if station.rating_a is not None:
                yield from _line_rows(station.circuit, station.id, self._station_lines(station))

    def watts_per_amp(self) -> Floats:
        """Return the power of each EVSE per ampere of setpoint [W/A], shape (E,)."""
        return np.array([evse.voltage_v * self._phase_count(evse) for evse in self.site.evses], dtype=np.float64)

    def _line_currents(self) -> dict[CircuitId, Complexes]:
        """Return the line currents of each circuit per ampere and part of each EVSE, shape (3, E, parts)."""
        lines = {circuit.id: self._no_lines() for circuit in self.site.circuits}
        for station in self.site.stations:
            self._load(lines[station.circuit], station)
        for circuit in reversed(self.site.circuits):
            if circuit.transformer:
                lines[circuit.id] = _to_primary(circuit.transformer, lines[circuit.id])
            if circuit.parent is not None:
                lines[circuit.parent] += lines[circuit.id]
        return lines

    def _station_lines(self, station: Station) -> Complexes:
        lines = self._no_lines()
        self._load(lines, station)
        return lines

    def _load(self, lines: Complexes, station: Station) -> None:
        """Put what one ampere of each EVSE of a station causes on lines (3, E, parts)."""
        for evse in station.evses:
            for line, part, phasor in self._loads(evse):
                lines[line, self.column[evse.id], part] = phasor

    def _no_lines(self) -> Complexes:
        return np.zeros((3, len(self.column), _PARTS), dtype=np.complex128)

    def _loads(self, evse: Evse) -> Iterable[tuple[int, int, complex]]:
        """Return (line, part, phasor of its current) for each line that an EVSE loads with one ampere."""
        first, second, third = evse.rotation.grid_phases
        match evse.wiring:
            case Wiring.ONE_PHASE:
                return [(first, 0, _PHASORS[first])]
            case Wiring.THREE_PHASE:
                used = (first, second, third)[: self._phase_count(evse)]
                return [(line, part, _PHASORS[line]) for part, line in enumerate(used)]
            case Wiring.LINE_TO_LINE:
                current = (_PHASORS[first] - _PHASORS[second]) / sqrt(3.0)
                return [(first, 0, current), (second, 0, -current)]
            case Wiring.DC:
                return [(line, 0, _PHASORS[line]) for line in range(3)]

    def _phase_count(self, evse: Evse) -> int:
        if evse.wiring is not Wiring.THREE_PHASE:
            return evse.phase_count
        return min(self.phases_used.get(evse.id, evse.phase_count), evse.phase_count)


def _line_rows(circuit: CircuitId, station: StationId | None, lines: Complexes) -> Iterator[tuple[Row, Complexes]]:
    for phase in range(3):
        for coefficients in _worst_cases(lines[phase]):
            yield Row(circuit=circuit, station=station, phase=phase), coefficients


def _total_row(circuit: Circuit, lines: Complexes, watts_per_amp: Floats) -> Iterator[tuple[Row, Complexes]]:
    is_below = np.abs(lines).max(axis=(0, 2), initial=0.0) > _TINY
    if is_below.any():
        coefficients = np.where(is_below, watts_per_amp / (3.0 * circuit.voltage_v), 0.0)
        yield Row(circuit=circuit.id, station=None, phase=None), coefficients.astype(np.complex128)


def _turns(transformer: Transformer) -> float:
    """Return the current in a delta winding per ampere of the wye winding on the same leg."""
    return transformer.secondary_v / sqrt(3.0) / transformer.primary_v


def _to_primary(transformer: Transformer, lines: Complexes) -> Complexes:
    """Return the primary line currents of secondary ones, referred to the primary's own L1 voltage.

    The winding between primary L1 and L2 feeds secondary L1, and so on round: secondary voltages
    lead the primary's by 30 degrees, which is turned back so that loads on both sides add up.
    """
    turned = complex(_turns(transformer) * np.exp(1j * np.radians(30.0)))
    return turned * (lines - np.roll(lines, 1, axis=0))


def _worst_cases(line: Complexes) -> Iterator[Complexes]:
    """Yield coefficients (E,) that bound every way of drawing less on a line of parts (E, parts)."""
    is_loaded = np.abs(line) > _TINY
    angles = np.round(np.angle(line, deg=True), 6) % 360.0
    directions = np.unique(angles[is_loaded])
    half_planes = _half_planes(directions)
    for chosen in half_planes:
        if not any(_is_dominated(chosen, other, directions) for other in half_planes):
            yield np.where(is_loaded & np.isin(angles, directions[list(chosen)]), line, 0.0).sum(axis=1)


def _half_planes(directions: Floats) -> set[tuple[int, ...]]:
    """Return every set of directions [degrees] that some open half-plane holds, as indices."""
    borders = np.unique(np.round(np.concatenate([directions - 90.0, directions + 90.0]) % 360.0, 6))
    middles = (borders + np.append(borders[1:], borders[:1] + 360.0)) / 2.0
    return {tuple(map(int, np.flatnonzero(np.cos(np.radians(directions - middle)) > _TINY))) for middle in middles}


def _is_dominated(chosen: tuple[int, ...], other: tuple[int, ...], directions: Floats) -> bool:
    """Tell whether `other` is never less than `chosen`: what it adds pulls against nothing that it has."""
    added = sorted(set(other) - set(chosen))
    if not added or not set(chosen) < set(other):
        return False
    apart = np.radians(directions[added][:, None] - directions[list(other)][None, :])
    return bool((np.cos(apart) >= -_TINY).all())
