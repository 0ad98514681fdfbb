from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smartcharge.config import load
from smartcharge.control.topology import Topology
from smartcharge.model import Circuit, CircuitId, Site
from tests.shared_data import NETWORKS, needs_shared

ROOT = Path(__file__).parents[2]

pytestmark = needs_shared

CALTECH = {"CC Pod": ("cc-pod", 0), "AV Pod": ("av-pod", 0)}
JPL = {
    "First Floor SP1 I_": "first-sp1",
    "First Floor SP2 I_": "first-sp2",
    "Third Floor Panel I_": "third-panel",
    "Fourth Floor Panel I_": "fourth-panel",
    "First Floor Transformer Secondary ": "first-secondary",
    "First Floor Transformer Primary ": "first-transformer",
    "Third/Fourth Floor Transformer Secondary ": "upper-secondary",
    "Third/Fourth Floor Transformer Primary ": "upper-transformer",
}
PLAIN = {"Secondary ": "secondary", "Primary ": "transformer"}


def lines(prefixes: dict[str, str]) -> dict[str, tuple[str, int]]:
    return {
        f"{prefix}{letter}": (circuit, phase)
        for prefix, circuit in prefixes.items()
        for phase, pair in enumerate(("Aa", "Bb", "Cc"))
        for letter in pair
    }


EXPECTED = {
    "caltech": CALTECH | lines(PLAIN),
    "jpl": lines(JPL),
    "office001": lines(PLAIN),
}
"""Our line for each of the network's constraints."""


def network(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((NETWORKS / f"{name}.json").read_text())
    return found


def site(name: str) -> Site:
    return load(ROOT / "sites" / f"{name}.toml").site


def full_rows(topology: Topology) -> dict[tuple[CircuitId, int], int]:
    """The row of each line that counts every EVSE which loads it: all draw their setpoint."""
    found: dict[tuple[CircuitId, int], int] = {}
    for i, row in enumerate(topology.rows):
        if row.phase is not None and row.station is None:
            line = (row.circuit, row.phase)
            counted = np.count_nonzero(topology.coupling[i])
            if line not in found or counted > np.count_nonzero(topology.coupling[found[line]]):
                found[line] = i
    return found


def circuit(one: Site, name: str) -> Circuit:
    return next(circuit for circuit in one.circuits if circuit.id == name)


@pytest.mark.parametrize("name", sorted(EXPECTED))
class TestAcnNetworks:
    """The shipped sites are the networks of acnportal, row by row."""

    def test_stations_and_pilots(self, name: str) -> None:
        known = network(name)
        evses = {evse.id: evse for evse in site(name).evses}
        assert set(evses) == set(known["station_ids"])
        for station, pilots_a, phase_deg in zip(
            known["station_ids"], known["allowable_pilots_A"], known["phase_deg"], strict=True
        ):
            assert evses[station].steps_a == tuple(pilots_a)
            first, second, _ = evses[station].rotation.grid_phases
            assert {(0, 1): 30.0, (1, 2): -90.0, (2, 0): 150.0}[first, second] == phase_deg

    def test_row_currents(self, name: str) -> None:
        known, one = network(name), site(name)
        topology = Topology.of(one)
        rows = full_rows(topology)
        column = {evse: i for i, evse in enumerate(topology.evses)}
        order = [column[station] for station in known["station_ids"]]
        theirs = np.array(known["constraint_matrix"]) * np.exp(1j * np.radians(known["phase_deg"]))
        assert set(EXPECTED[name]) >= set(known["constraint_ids"])
        ours = np.array([rows[CircuitId(c), p] for c, p in (EXPECTED[name][k] for k in known["constraint_ids"])])
        random = np.random.default_rng(1)
        for _ in range(100):
            current_a = random.uniform(0.0, 32.0, len(order))
            mine = np.zeros(len(order))
            mine[order] = current_a
            assert topology.loads(mine)[ours] == pytest.approx(np.abs(theirs @ current_a), abs=1e-9)

    def test_limits(self, name: str) -> None:
        """Where they differ, theirs divides the VA by the voltage of the wrong side: see sites/jpl.toml."""
        known, one = network(name), site(name)
        for constraint, limit_a in zip(known["constraint_ids"], known["limits_A"], strict=True):
            where, phase = EXPECTED[name][constraint]
            expected_a = limit_a
            if name == "jpl" and "Primary" in constraint:
                expected_a = limit_a * 3.0**0.5 * 120.0 / (3.0 * 277.0)
            assert circuit(one, where).rating_a[phase] == pytest.approx(expected_a, abs=1e-9), constraint

    def test_rows_of_ours_say_nothing_more(self, name: str) -> None:
        """Every line that theirs does not have is one that no setpoints can overload before another."""
        known, one = network(name), site(name)
        named = {EXPECTED[name][constraint] for constraint in known["constraint_ids"]}
        extra = {line for line in full_rows(Topology.of(one)) if line not in named}
        assert (
            extra
            == {
                "caltech": {("cc-pod", 1), ("av-pod", 1)},
                "jpl": {("service", 0), ("service", 1), ("service", 2)},
                "office001": set(),
            }[name]
        )
