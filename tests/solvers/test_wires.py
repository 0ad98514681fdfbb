"""What is left on rows for whoever comes later: two ways of counting it, one answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers.rows import shared_rows
from solvers.wires import Wires, _in_passes, _is_ray
from tests.solvers.problems import simple


class TestRay:
    @pytest.mark.parametrize(
        ("coupling", "is_ray"),
        [
            ([1.0, 2.0, 0.0], True),
            ([1j, 3j, 0.0], True),
            ([1.0, -1.0, 0.0], False),
            ([1.0, np.exp(1e-3j), 0.0], False),
            ([0.0, 1.0, -0.5], False),
        ],
    )
    def test_all_phasors_point_the_same_way(self, coupling: list[complex], is_ray: bool) -> None:
        row = np.array([coupling], dtype=np.complex128)
        assert _is_ray(row, np.abs(row)).tolist() == [is_ray]

    def test_of_no_rows(self) -> None:
        nothing = np.zeros((0, 0), dtype=np.complex128)
        assert _is_ray(nothing, np.abs(nothing)).shape == (0,)


class TestInTurn:
    @given(
        seed=st.integers(0, 2**32 - 1), evs=st.integers(1, 30), rows=st.integers(1, 6), least_a=st.sampled_from([0, 6])
    )
    @settings(max_examples=200, deadline=None)
    def test_counting_down_and_walking_the_path_agree(self, seed: int, evs: int, rows: int, least_a: float) -> None:
        rng = np.random.default_rng(seed)
        coupling = rng.uniform(0.2, 1.5, (rows, evs)) * (rng.random((rows, evs)) < 0.6)
        limit_a = coupling.sum(axis=1) * 32.0 * rng.uniform(0.1, 1.0, rows)
        problem = simple(coupling=coupling, limit_a=limit_a, demand_wh=1e3)
        order, want_a, least = rng.permutation(evs), rng.uniform(6.0, 32.0, evs), np.full(evs, max(least_a, 1e-3))
        given_a = Wires(problem).serve_in_turn(0, order, want_a, least)
        shared = shared_rows(problem)
        walked_a = _in_passes(problem.coupling[np.ix_(shared, order)], limit_a[shared], want_a, least)
        assert given_a == pytest.approx(walked_a, abs=1e-6)

    def test_who_is_stopped_by_one_row_leaves_the_others_alone(self) -> None:
        problem = simple(coupling=[[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]], limit_a=[8.0, 30.0], demand_wh=100.0)
        # The first row touches one EV only, so it is that EV's cap and none of the rows shared.
        shared = Wires(problem).serve_in_turn(0, np.arange(3), np.array([8.0, 20.0, 20.0]), np.full(3, 6.0))
        assert shared == pytest.approx([8.0, 20.0, 0.0])
        free = Wires(problem).serve_in_turn(0, np.arange(3), np.array([8.0, 20.0, 20.0]), np.full(3, 1e-3))
        assert free == pytest.approx([8.0, 20.0, 2.0])
