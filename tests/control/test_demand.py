"""The demand charge: mean power of metering periods, by hand and against a minute-by-minute sum."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcharge.control.demand import Demand, billed, measured, periods

QUARTER_S = 900.0


def drawn(*samples: tuple[float, float]) -> Demand:
    """Return the demand after (time, power) samples."""
    demand = Demand()
    for at_s, power_w in samples:
        demand = measured(demand, power_w, at_s, QUARTER_S)
    return demand


class TestMeasured:
    def test_a_short_burst_counts_by_its_share_of_the_quarter_hour(self) -> None:
        demand = drawn((900.0, 0.0), (1000.0, 9000.0), (1090.0, 0.0), (1800.0, 0.0))
        assert demand.highest_w == pytest.approx(900.0)

    def test_the_running_quarter_hour_does_not_count_yet(self) -> None:
        demand = drawn((900.0, 5000.0), (1799.0, 5000.0))
        assert demand.highest_w == 0.0
        assert demand.energy_wh == pytest.approx(5000.0 * 899.0 / 3600.0)

    def test_silence_goes_on_as_it_was(self) -> None:
        demand = drawn((900.0, 0.0), (1350.0, 4000.0), (9000.0, 0.0))
        assert demand.highest_w == 4000.0

    def test_time_does_not_run_backwards(self) -> None:
        assert drawn((900.0, 100.0), (800.0, 300.0)).energy_wh == 0.0

    def test_a_new_billing_period_owes_nothing(self) -> None:
        demand = billed(drawn((0.0, 4000.0), (1000.0, 2000.0)), 1000.0)
        assert (demand.highest_w, demand.since_s, demand.power_w) == (0.0, 1000.0, 2000.0)

    @given(st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 10_000)), min_size=2, max_size=30))
    def test_is_the_highest_mean_of_all_whole_quarter_hours(self, steps: list[tuple[int, int]]) -> None:
        times = np.cumsum([gap for gap, _ in steps]).tolist()
        samples = [(float(t), float(power)) for t, (_, power) in zip(times, steps, strict=True)]
        by_second = np.zeros(times[-1])
        for (from_s, power_w), (until_s, _) in pairwise(samples):
            by_second[int(from_s) : int(until_s)] = power_w
        whole = len(by_second) // 900
        means = by_second[: whole * 900].reshape(whole, 900).mean(axis=1)
        assert drawn(*samples).highest_w == pytest.approx(means.max(initial=0.0))


class TestPeriods:
    def test_fine_slots_share_the_quarter_hours_of_the_clock(self) -> None:
        edges_s = 900.0 + 600.0 + np.array([0.0, 300.0, 600.0, 900.0])
        share, past_w = periods(Demand(), edges_s, QUARTER_S)
        assert share * 3.0 == pytest.approx(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]))
        assert past_w == pytest.approx([0.0, 0.0])

    def test_a_long_slot_is_a_period_of_its_own(self) -> None:
        share, _ = periods(Demand(), np.array([0.0, 300.0, 4000.0]), QUARTER_S)
        assert share == pytest.approx(np.array([[1.0 / 3.0, 0.0], [0.0, 1.0]]))

    def test_what_was_drawn_in_this_quarter_hour_counts(self) -> None:
        demand = drawn((0.0, 0.0), (900.0, 6000.0), (1200.0, 3000.0))
        _, past_w = periods(demand, np.array([1500.0, 1800.0]), QUARTER_S)
        assert past_w == pytest.approx([(6000.0 * 300.0 + 3000.0 * 300.0) / 900.0])

    def test_what_was_drawn_in_the_last_one_does_not(self) -> None:
        _, past_w = periods(drawn((0.0, 0.0), (100.0, 6000.0)), np.array([1500.0, 1800.0]), QUARTER_S)
        assert past_w == pytest.approx([0.0])
