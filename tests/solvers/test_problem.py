from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from solvers.objective import objective, shortfall_wh
from tests.solvers.problems import contended


class TestRefusesWhatHasNoMeaning:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("limit_a", np.full((2, 2), 10.0)),
            ("limit_a", np.full((2, 1), np.nan)),
            ("limit_a", np.full((2, 1), -1.0)),
            ("max_a", np.full((1, 2), 32.0)),
            ("max_a", np.full((2, 2), np.inf)),
            ("demand_wh", np.array([1.0, -1.0])),
            ("coupling", np.full((1, 2), complex("nan"))),
            ("slot_s", np.array([3600.0, 0.0])),
            ("watts_per_amp", np.array([1.0, 0.0])),
            ("price", np.zeros(3)),
            ("early_price", np.full(2, np.nan)),
            ("early_price", np.zeros(1)),
            ("present_a", np.zeros(1)),
            ("present_a", np.array([0.0, -1.0])),
            ("change_price", float("nan")),
            ("change_price", -1.0),
            ("peak_price", -1.0),
            ("binary_slots", -1),
        ],
    )
    def test_with_the_name_of_the_field(self, field: str, value: object) -> None:
        with pytest.raises(ValueError, match=field):
            replace(contended(), **{field: value})  # type: ignore[arg-type]

    def test_infinite_limit_is_allowed(self) -> None:
        assert np.isinf(replace(contended(), limit_a=np.full((2, 1), np.inf)).limit_a).all()


class TestObjective:
    def test_of_each_term(self) -> None:
        problem = replace(
            contended(),
            price=np.array([0.1, 0.2]),
            early_price=np.array([0.01, 0.02]),
            peak_price=0.5,
            peak_w=4.0,
            present_a=np.array([3.0, 5.0]),
            change_price=0.25,
        )
        current_a = np.array([[4.0, 2.0], [0.0, 1.0]])
        assert shortfall_wh(problem, current_a) == pytest.approx([16.0, 17.0])
        energy, waiting, shortfall, peak = 0.6 + 0.2, 4.0 * 0.005 + 2.0 * 0.01 + 1.0 * 0.03, 33.0, 0.5 * 2.0
        change = 0.25 * (1.0 + 3.0)
        assert objective(problem, current_a) == pytest.approx(energy + waiting + shortfall + peak + change)
