"""Full garages to plan for: networks, cars, and the same cars five minutes later."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from smartcharge.config import load
from smartcharge.control.planning import GAP_SHARE, edges_of
from smartcharge.control.topology import Topology
from smartcharge.model import Site
from solvers.problem import Complexes, Floats, Problem

SITES = Path(__file__).resolve().parent.parent / "sites"
HORIZON_S = 12 * 3600.0
STEP_S = 300.0
"""Time between two plans of one garage [s]."""
MIN_A, MAX_A = 6.0, 32.0
STEPS_A: Floats = np.array([8.0, 16.0, 24.0, 32.0])
NO_STEPS: Floats = np.full((1, 1), np.inf)
SHORTFALL = 1e-2
"""Price of energy not delivered [money/Wh]; the others are as in ``smartcharge.model.Money``."""
ENERGY, EARLY, CHANGE = 2.5e-4, 1e-5, 5e-6
PATIENT_S = 8 * 3600.0
_PHASORS: Complexes = np.exp(1j * np.radians([0.0, -120.0, 120.0]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Garage:
    """A network with a car at every EVSE.  R rows, E cars."""

    name: str
    coupling: Complexes
    """Phasor of each row per ampere of each EVSE [A/A], shape (R, E)."""
    limit_a: Floats
    """Rating of each row [A], shape (R,)."""
    watts_per_amp: Floats
    depart_s: Floats
    """When each car leaves [s from now], shape (E,)."""
    demand_wh: Floats
    present_a: Floats
    names: tuple[str, ...] = ()
    """Of the cars, so that a solver with a memory knows who was there before."""

    @property
    def evses(self) -> int:
        """Number of EVSEs E."""
        return len(self.depart_s)

    def problem(self, slot_s: Floats, *, binary_slots: int = 0) -> Problem:
        """Return what to plan on a time grid; in the slot in which it leaves a car takes less."""
        starts_s = np.cumsum(slot_s) - slot_s
        share = (self.depart_s[None, :] - starts_s[:, None]) / slot_s[:, None]
        urgency = np.clip(PATIENT_S / np.maximum(self.depart_s, 1.0), 1.0, 40.0)
        evs = len(self.depart_s)
        return Problem(
            slot_s=slot_s,
            coupling=self.coupling,
            limit_a=np.tile(self.limit_a, (len(slot_s), 1)),
            watts_per_amp=self.watts_per_amp,
            min_a=np.full(evs, MIN_A),
            max_a=MAX_A * np.clip(share, 0.0, 1.0),
            demand_wh=self.demand_wh,
            shortfall_price=np.full(evs, SHORTFALL),
            price=np.full(len(slot_s), ENERGY),
            early_price=EARLY * urgency,
            peak_price=0.0,
            peak_w=0.0,
            present_a=self.present_a,
            change_price=CHANGE,
            gap=GAP_SHARE * SHORTFALL * float(self.demand_wh.sum()),
            binary_slots=binary_slots,
            steps_a=_steps_a(evs) if binary_slots else NO_STEPS,
            names=self.names,
        )

    def later(self, current_a: Floats, rng: np.random.Generator) -> Garage:
        """Return the garage after one step at these currents [A], shape (E,); one car in fifty was replaced."""
        got_wh = current_a * self.watts_per_amp * STEP_S / 3600.0
        stayed = replace(
            self,
            depart_s=np.maximum(self.depart_s - STEP_S, 0.0),
            demand_wh=np.maximum(self.demand_wh - got_wh, 0.0),
            present_a=current_a,
        )
        evs = len(self.depart_s)
        return stayed.with_cars(rng.permutation(evs)[: max(evs // 50, 1)], rng)

    def with_cars(self, places: np.ndarray[tuple[int], np.dtype[np.int64]], rng: np.random.Generator) -> Garage:
        """Return the garage with a car that has just come at each of ``places``."""
        depart_s, demand_wh, present_a = self.depart_s.copy(), self.demand_wh.copy(), self.present_a.copy()
        new = {int(place): f"car {rng.integers(2**63)}" for place in places}
        depart_s[places] = rng.uniform(0.1, 1.0, len(places)) * HORIZON_S
        demand_wh[places] = rng.uniform(3000.0, 15000.0, len(places)) * self.watts_per_amp[places] / 208.0
        present_a[places] = 0.0
        names = tuple(new.get(place, name) for place, name in enumerate(self.names))
        return replace(self, depart_s=depart_s, demand_wh=demand_wh, present_a=present_a, names=names)


def _steps_a(evs: int) -> Floats:
    """Return coarse pilots for every other EVSE, and any current for the rest [A], shape (E, 4)."""
    return np.where(np.arange(evs)[:, None] % 2 == 0, STEPS_A, np.inf)


def even_grid(slots: int) -> Floats:
    """Return slots of one length over the horizon [s], shape (T,)."""
    return np.full(slots, HORIZON_S / slots)


def own_grid(cars: int) -> Floats:
    """Return the controller's slots for so many cars, fine now and coarse later [s], shape (T,)."""
    return np.diff(edges_of(cars, HORIZON_S))


def caltech(copies: int = 1, *, capacity: float = 0.4, seed: int = 2019) -> Garage:
    """Return Caltech's garage (208 V delta), congested; ``copies`` times the EVSEs and the limits."""
    site = load(SITES / "caltech.toml").site
    coupling, limit_a = true_lines(site)
    volts = np.array([evse.voltage_v for evse in site.evses])
    return _filled(
        f"caltech delta x {copies}" if copies > 1 else "caltech delta",
        np.tile(coupling, (1, copies)), capacity * copies * limit_a, np.tile(volts, copies), seed,
    )  # fmt: skip


def true_lines(site: Site) -> tuple[Complexes, Floats]:
    """Return every line of a site once, as it is: phasors [A/A], shape (R, E), and ratings [A], shape (R,).

    A controller adds rows for cars that draw less (docs/decisions/0005); the network itself has none of them.
    """
    topology, ratings = Topology.of(site), {circuit.id: circuit.rating_a for circuit in site.circuits}
    lines: dict[bytes, tuple[Complexes, float]] = {}
    for circuit, phase in dict.fromkeys((row.circuit, row.phase) for row in topology.rows if row.phase is not None):
        parts = [i for i, row in enumerate(topology.rows) if (row.circuit, row.phase) == (circuit, phase)]
        longest = abs(topology.coupling[parts]).argmax(axis=0)
        line = topology.coupling[parts][longest, np.arange(len(longest))]
        rating_a = ratings[circuit][phase]
        lead = line[abs(line).argmax()]
        # Turned alike: the two ends of a line-to-line circuit carry one current.
        lines.setdefault((np.round(line / lead * abs(lead), 9) + 0.0).tobytes(), (line, rating_a))
    coupling = np.array([line for line, _ in lines.values()], dtype=np.complex128)
    return coupling, np.array([rating_a for _, rating_a in lines.values()])


def tree(evses: int, *, panels: int = 10, feeders: int = 4, capacity: float = 0.3, seed: int = 1) -> Garage:
    """Return a tree of three levels and three phases: main, panels, feeders; a quarter of the EVSEs three-phase."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 4, evses)
    panel, feeder = np.arange(evses) * panels // evses, np.arange(evses) * panels * feeders // evses
    is_on = [(kind == phase) | (kind == 3) for phase in range(3)]
    nodes = [(np.full(evses, fill_value=True), 1.0)]
    nodes += [(panel == n, 1.15) for n in range(panels)]
    nodes += [(feeder == n, 1.4) for n in range(panels * feeders)]
    rows = [(below & is_on[phase], _PHASORS[phase], spare) for below, spare in nodes for phase in range(3)]
    coupling = np.array([mask * phasor for mask, phasor, _ in rows], dtype=np.complex128)
    limit_a = np.array([capacity * spare * MAX_A * mask.sum() for mask, _, spare in rows])
    return _filled(f"tree of {evses}", coupling, limit_a, np.where(kind == 3, 690.0, 230.0), seed)


def yard(evses: int, *, groups: int = 4, capacity: float = 0.3, seed: int = 1) -> Garage:
    """Return three-phase EVSEs in groups behind one connection: rows without a phase, as most peers see a site."""
    group = np.arange(evses) * groups // evses
    masks = [np.full(evses, fill_value=True), *(group == n for n in range(groups))]
    coupling = np.array(masks, dtype=np.complex128)
    limit_a = capacity * MAX_A * np.array([evses, *(1.3 * mask.sum() for mask in masks[1:])])
    return _filled(f"yard of {evses}", coupling, limit_a, np.full(evses, 690.0), seed)


def _filled(name: str, coupling: Complexes, limit_a: Floats, watts_per_amp: Floats, seed: int) -> Garage:
    evs, rng = len(watts_per_amp), np.random.default_rng(seed)
    nothing = np.zeros(evs)
    empty = Garage(
        name=name, coupling=coupling, limit_a=limit_a, watts_per_amp=watts_per_amp,
        depart_s=nothing, demand_wh=nothing, present_a=nothing, names=("",) * evs,
    )  # fmt: skip
    return empty.with_cars(np.arange(evs), rng)
