"""Prices: files of them, and what the cars' energy costs by them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from smartcharge.control.prediction import Ended, History, Visitor, after
from smartcharge.errors import ConfigError
from smartcharge.events import PricesSet
from smartcharge.model import Money, Rate, Site
from smartcharge.sim.clairvoyant import optimum
from smartcharge.sim.prices import read_prices
from smartcharge.sim.runner import UNCONTROLLED, simulate
from tests.builders import row_of
from tests.sim.campaigns import START_S
from tests.sim.test_clairvoyant import HOUR_S, run_of, visit

DEAR_MORNING = Money(energy_per_kwh=0.1, tariff=(Rate(per_kwh=0.5, starts_s=0, ends_s=6 * 3600),))


def site_with(money: Money) -> Site:
    return replace(row_of(3), timezone="UTC", money=money)


def past(tail_s: float) -> History:
    """Return what thirty sessions taught whose cars took ever less with this time constant."""
    history = History()
    for n in range(30):
        visitor = Visitor(evse=row_of(3).evses[0].id, plugged_at_s=START_S - n * 86_400.0)
        ended = Ended(at_s=visitor.plugged_at_s + HOUR_S, energy_wh=9_000.0, is_full=True, tail_s=tail_s)
        history = after(history, visitor, ended)
    return history


class TestFile:
    def written(self, folder: Path, *rows: str) -> Path:
        path = folder / "prices.csv"
        path.write_text("start_at,per_kwh\n" + "".join(f"{row}\n" for row in rows))
        return path

    def test_is_read_by_the_clock_of_the_site(self, tmp_path: Path) -> None:
        path = self.written(tmp_path, "2025-01-06 00:00,0.2", "2025-01-06T00:00:00Z,-0.1", "2025-01-06 02:00,0.3")
        read = read_prices(path, "Europe/Amsterdam")
        assert (read.start_s, read.step_s, read.per_kwh) == (1736118000.0, 3600.0, (0.2, -0.1, 0.3))

    @pytest.mark.parametrize(
        ("rows", "error"),
        [
            (["2025-01-06 00:00,0.2"], "needs two prices"),
            (["2025-01-06 00:00,0.2", "2025-01-06 01:00,cheap"], "row 3: per_kwh: 'cheap' is no number"),
            (["2025-01-06 00:00,0.2", "2025-01-06 01:00,nan"], "row 3: per_kwh: 'nan' is no number"),
            (["2025-01-06 00:00,0.2", "soon,0.2"], "row 3: start_at: 'soon' is no time"),
            (["2025-01-06 00:00,0.2", "2025-01-06 01:00"], "row 3: has 1 fields, not 2"),
            (["2025-01-06 00:00,0", "2025-01-06 01:00,0", "2025-01-06 03:00,0"], "row 4: start_at: must be 3600 s"),
            (["2025-01-06 01:00,0", "2025-01-06 00:00,0"], "row 3: start_at: must be"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_said_with_row_and_field(self, tmp_path: Path, rows: list[str], error: str) -> None:
        path = self.written(tmp_path, *rows)
        with pytest.raises(ConfigError, match=re.escape(error)) as caught:
            read_prices(path, "UTC")
        assert str(path) in str(caught.value)

    def test_another_header_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "prices.csv"
        path.write_text("time,price\n")
        with pytest.raises(ConfigError, match="row 1: the header must be start_at,per_kwh"):
            read_prices(path, "UTC")


class TestBill:
    def test_energy_costs_what_it_costs_when_it_flows(self) -> None:
        """Uncontrolled at 7.36 kW from 5:00: an hour dear, an hour cheap."""
        run = run_of(visit("a", 5.0, 9.0, 14_720.0), site=site_with(DEAR_MORNING), policy=UNCONTROLLED)
        assert simulate(run).cost == pytest.approx(7.36 * (0.5 + 0.1), rel=2e-3)

    def test_prices_that_were_sent_go_before_the_tariff(self) -> None:
        sent = PricesSet(at_s=START_S, start_s=START_S + 6 * HOUR_S, step_s=1800.0, per_kwh=(1.0, -1.0))
        usual = run_of(visit("a", 5.0, 9.0, 14_720.0), site=site_with(DEAR_MORNING), policy=UNCONTROLLED)
        assert simulate(replace(usual, prices=sent)).cost == pytest.approx(7.36 * 0.5, rel=5e-3)

    def test_figures_are_plain_numbers_whatever_prices_are_kept_in(self) -> None:
        """What is slept by becomes the simulated time, and with it all that is counted by time."""
        sent = PricesSet(at_s=START_S, start_s=START_S, step_s=900.0, per_kwh=(0.1, 0.2) * 48)
        usual = run_of(visit("a", 5.0, 9.0, 14_720.0), site=site_with(DEAR_MORNING), policy="equal")
        found = simulate(replace(usual, prices=sent))
        assert [type(each) for each in (*found.session_wh.values(), found.sessions_met, found.cost)] == [
            float,
            int,
            float,
        ]

    def test_the_losses_of_a_rectifier_are_paid(self) -> None:
        site = site_with(Money(energy_per_kwh=0.5))
        lossy = replace(
            site, stations=tuple(replace(s, evses=(replace(s.evses[0], efficiency=0.8),)) for s in site.stations)
        )
        run = run_of(visit("a", 0.0, 9.0, 4_000.0), site=lossy, policy=UNCONTROLLED)
        assert simulate(run).cost == pytest.approx(2.5, rel=1e-3)

    def test_the_optimum_waits_for_the_cheap_hours_and_so_does_a_plan_that_knows_the_cars(self) -> None:
        run = run_of(visit("a", 3.0, 9.0, 14_720.0), site=site_with(DEAR_MORNING), history=past(tail_s=0.0))
        best = optimum(run)
        assert best is not None
        assert best.cost == pytest.approx(1.472)
        tried = (0.5 - 0.1) * 7.36 / 12  # for five minutes it shows what it takes
        assert simulate(run).cost == pytest.approx(1.472 + tried, rel=0.02)

    def test_where_cars_take_ever_less_in_the_end_a_plan_does_not_wait_for_money(self) -> None:
        """An hour before it leaves it must be nearly full: energy goes first."""
        run = run_of(visit("a", 3.0, 9.0, 14_720.0), site=site_with(DEAR_MORNING), history=past(tail_s=2 * HOUR_S))
        assert simulate(run).cost > 5.0

    def test_the_optimum_takes_what_is_dear_only_when_it_must(self) -> None:
        run = run_of(visit("a", 5.0, 7.0, 14_720.0), site=site_with(DEAR_MORNING))
        best = optimum(run)
        assert best is not None
        assert best.energy_wh == pytest.approx(14_720.0)
        assert best.cost == pytest.approx(7.36 * 0.6)
