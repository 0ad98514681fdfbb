"""Prices by the clock, against tariffs worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcharge.control.tariff import course
from smartcharge.events import PricesSet
from smartcharge.model import Money, Rate, Site
from tests.builders import row_of

ZONE = ZoneInfo("Europe/Amsterdam")
EVENING = Rate(per_kwh=0.4, starts_s=17 * 3600, ends_s=21 * 3600, weekdays=frozenset(range(5)))
NIGHT = Rate(per_kwh=0.1, starts_s=23 * 3600, ends_s=7 * 3600)


def at_s(*clock: int) -> float:
    year, month, day, hour, minute = clock
    return datetime(year, month, day, hour, minute, tzinfo=ZONE).timestamp()


def site_with(*rates: Rate) -> Site:
    return replace(row_of(1), timezone="Europe/Amsterdam", money=Money(energy_per_kwh=0.25, tariff=rates))


def price(site: Site, when_s: float, prices: PricesSet | None = None) -> float:
    return float(course(site, prices, when_s, when_s + 1.0).per_kwh[0])


class TestRates:
    @pytest.mark.parametrize(
        ("clock", "per_kwh"),
        [
            ((2025, 1, 7, 16, 59), 0.25), ((2025, 1, 7, 17, 0), 0.4), ((2025, 1, 7, 20, 59), 0.4),
            ((2025, 1, 7, 21, 0), 0.25), ((2025, 1, 11, 18, 0), 0.25),
            ((2025, 1, 7, 22, 59), 0.25), ((2025, 1, 7, 23, 0), 0.1), ((2025, 1, 8, 6, 59), 0.1),
            ((2025, 1, 8, 7, 0), 0.25),
        ],
    )  # fmt: skip
    def test_hold_at_their_hours_on_their_days(self, clock: tuple[int, ...], per_kwh: float) -> None:
        assert price(site_with(EVENING, NIGHT), at_s(*clock)) == per_kwh

    def test_the_first_that_holds_counts(self) -> None:
        whole_day = Rate(per_kwh=0.3)
        assert price(site_with(EVENING, whole_day), at_s(2025, 1, 7, 18, 0)) == 0.4
        assert price(site_with(whole_day, EVENING), at_s(2025, 1, 7, 18, 0)) == 0.3

    def test_hold_in_their_months(self) -> None:
        summer = Rate(per_kwh=0.15, months=frozenset({6, 7, 8}))
        assert price(site_with(summer), at_s(2025, 5, 31, 23, 59)) == 0.25
        assert price(site_with(summer), at_s(2025, 6, 1, 0, 0)) == 0.15

    def test_keep_to_the_clock_when_it_is_turned(self) -> None:
        """On 30 March 2025 the hour from 2 to 3 is left out: seven in the morning comes an hour sooner."""
        night = course(site_with(NIGHT), None, at_s(2025, 3, 29, 22, 0), at_s(2025, 3, 30, 8, 0))
        kept = np.flatnonzero(np.diff(night.per_kwh)) + 1
        assert night.edges_s[kept] == pytest.approx([at_s(2025, 3, 29, 23, 0), at_s(2025, 3, 30, 7, 0)])
        assert night.edges_s[kept[1]] - night.edges_s[kept[0]] == 7 * 3600.0


class TestPricesThatWereSent:
    def test_go_before_the_tariff_while_they_last(self) -> None:
        sent = PricesSet(at_s=0.0, start_s=at_s(2025, 1, 7, 18, 0), step_s=900.0, per_kwh=(-0.05, 0.02))
        found = course(site_with(EVENING), sent, at_s(2025, 1, 7, 17, 45), at_s(2025, 1, 7, 18, 45))
        assert found.per_kwh == pytest.approx([0.4, -0.05, 0.02, 0.4])


class TestMeans:
    def test_of_a_slot_weigh_each_price_by_its_time(self) -> None:
        site, from_s = site_with(EVENING), at_s(2025, 1, 7, 16, 30)
        edges_s = from_s + np.array([0.0, 1800.0, 3600.0, 5 * 3600.0])
        assert course(site, None, *edges_s[[0, -1]]).means(edges_s) == pytest.approx(
            [0.25, 0.4, (3.5 * 0.4 + 0.5 * 0.25) / 4.0]
        )

    def test_slots_of_one_price_cost_exactly_that(self) -> None:
        """Else plans would choose among equals by rounding."""
        edges_s = at_s(2025, 1, 7, 0, 0) + 0.3 + 300.0 * np.arange(289, dtype=np.float64)
        found = course(site_with(EVENING), None, *edges_s[[0, -1]]).means(edges_s)
        assert sum(mean in {0.25, 0.4} for mean in found) == 288 - 2

    @given(
        starts_s=st.integers(0, 86_399), ends_s=st.integers(0, 86_399), days=st.frozensets(st.integers(0, 6)),
        lasts_s=st.floats(60.0, 9e5),
        from_s=st.floats(1.6e9, 1.8e9),
    )  # fmt: skip
    def test_are_those_of_every_instant(
        self, starts_s: int, ends_s: int, days: frozenset[int], lasts_s: float, from_s: float
    ) -> None:
        """Against the plain definition: each second by itself."""
        rate = Rate(per_kwh=1.0, starts_s=starts_s, ends_s=ends_s, weekdays=days)
        site = replace(site_with(rate), money=Money(energy_per_kwh=0.0, tariff=(rate,)))
        edges_s = np.array([from_s, from_s + lasts_s])
        looks = from_s + lasts_s * (np.arange(4000) + 0.5) / 4000
        holds = [holds_plainly(rate, datetime.fromtimestamp(look, ZONE)) for look in looks]
        assert course(site, None, *edges_s).means(edges_s)[0] == pytest.approx(np.mean(holds), abs=0.02)


def holds_plainly(rate: Rate, at: datetime) -> bool:
    second, first, last = at.hour * 3600 + at.minute * 60 + at.second, rate.starts_s, rate.ends_s
    is_now = first <= second < last if first < last else not last <= second < first
    return at.weekday() in rate.weekdays and is_now
