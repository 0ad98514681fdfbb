"""The network of Caltech's garage: 54 EVSEs line to line at 208 V, limits on both sides of a Dy transformer."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from solvers import SOLVERS
from solvers.problem import Outcome, Problem
from solvers.verify import refute
from tests.shared_data import NETWORKS, needs_shared

NETWORK = NETWORKS / "caltech.json"
LONG_S = 60.0

pytestmark = needs_shared


def garage(*, slot_s: list[float], capacity: float, binary_slots: int = 0) -> Problem:
    """Return the full garage, every car there from the start, most of them gone before the end.

    Args:
        slot_s: Lengths of the slots [s].
        capacity: Share of every limit that is available.
        binary_slots: As in Problem.
    """
    network = json.loads(NETWORK.read_text())
    coupling = np.array(network["constraint_matrix"]) * np.exp(1j * np.deg2rad(network["phase_deg"]))
    evs, rng = coupling.shape[1], np.random.default_rng(2019)
    end_s = np.cumsum(slot_s)
    departure_s = rng.uniform(0.1, 1.0, evs) * end_s[-1]
    return Problem(
        slot_s=np.array(slot_s),
        coupling=coupling,
        limit_a=np.tile(capacity * np.array(network["limits_A"]), (len(slot_s), 1)),
        watts_per_amp=np.array(network["voltages_V"]),
        min_a=np.full(evs, 6.0),
        max_a=np.where(end_s[:, None] <= departure_s, 32.0, 0.0),
        demand_wh=rng.uniform(3000.0, 15000.0, evs),
        shortfall_price=np.full(evs, 1e-2),
        price=np.where(end_s % 43200 > 21600, 3e-4, 1.5e-4),
        early_price=np.clip(28800.0 / departure_s, 1.0, 40.0) * 1e-5,
        peak_price=0.0,
        peak_w=0.0,
        present_a=np.where(rng.random(evs) < 0.5, 16.0, 0.0),
        change_price=5e-6,
        binary_slots=binary_slots,
    )


GRIDS = {
    "144 slots of 5 minutes": [300.0] * 144,
    "46 slots of 5, 15 and 60 minutes": [300.0] * 24 + [900.0] * 16 + [3600.0] * 6,
}


@pytest.mark.parametrize("grid", list(GRIDS))
@pytest.mark.parametrize("binary_slots", [0, 1])
class TestCongestedGarage:
    def test_optimum_is_proven_and_worth_more_than_any_policy(self, grid: str, binary_slots: int) -> None:
        problem = garage(slot_s=GRIDS[grid], capacity=0.4, binary_slots=binary_slots)
        best = SOLVERS["optimal"](problem, LONG_S)
        assert best.outcome == Outcome.OPTIMAL
        assert refute(problem, best) == ()
        for policy in ("greedy", "equal", "edf", "llf", "round-robin"):
            schedule = SOLVERS[policy](problem, LONG_S)
            assert refute(problem, schedule) == ()
            assert schedule.objective > best.objective


class TestAgainstTheOracle:
    def test_same_objective(self) -> None:
        problem = garage(slot_s=[900.0] * 12, capacity=0.4)
        best, oracle = SOLVERS["optimal"](problem, LONG_S), SOLVERS["pyomo"](problem, LONG_S)
        assert best.outcome == oracle.outcome == Outcome.OPTIMAL
        assert best.objective == pytest.approx(oracle.objective, rel=1e-6)

    def test_round_limits_carry_more_than_the_sum_of_currents(self) -> None:
        problem = garage(slot_s=[900.0] * 12, capacity=0.4)
        summed = replace(problem, coupling=abs(problem.coupling).astype(np.complex128))
        best, cautious = SOLVERS["optimal"](problem, LONG_S), SOLVERS["optimal"](summed, LONG_S)
        assert refute(problem, cautious) == ()
        assert best.shortfall_wh.sum() < 0.95 * cautious.shortfall_wh.sum()
