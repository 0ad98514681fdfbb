"""What energy costs when: what somebody sent, else the tariff of the site by its clock, else the flat price.

The calendar is arithmetic: what time it is at the site at a moment that the caller names.  Nothing here reads a clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from smartcharge.events import PricesSet
from smartcharge.model import Money, Rate, Site
from solvers.problem import Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Course:
    """A price that holds from one moment to the next."""

    edges_s: Floats
    """When it changes, with both ends [s since 1970], shape (K + 1,)."""
    per_kwh: Floats
    """Price between two of them [money/kWh], shape (K,)."""

    def means(self, edges_s: Floats) -> Floats:
        """Return the mean price of each slot between edges [s since 1970], shape (T + 1,), within this course.

        A slot with one price has that very price: no rounding tells slots apart that cost the same.
        """
        first = np.searchsorted(self.edges_s, edges_s[:-1], side="right") - 1
        last = np.searchsorted(self.edges_s, edges_s[1:], side="left") - 1
        paid = np.concatenate([np.zeros(1), np.cumsum(self.per_kwh * np.diff(self.edges_s))])
        mixed = np.diff(np.interp(edges_s, self.edges_s, paid)) / np.diff(edges_s)
        return np.where(first == last, self.per_kwh[first], mixed)


def course(site: Site, prices: PricesSet | None, from_s: float, until_s: float) -> Course:
    """Return what a kilowatt-hour costs from one moment to another [s since 1970]."""
    zone = ZoneInfo(site.timezone)
    changes = {*_changes_of_prices(prices, from_s, until_s), *_changes_of_tariff(site.money, zone, from_s, until_s)}
    edges_s = np.array([from_s, *sorted(at_s for at_s in changes if from_s < at_s < until_s), until_s])
    middles_s = (edges_s[:-1] + edges_s[1:]) / 2.0
    return Course(edges_s=edges_s, per_kwh=np.array([_per_kwh(site.money, zone, prices, at_s) for at_s in middles_s]))


def _changes_of_prices(prices: PricesSet | None, from_s: float, until_s: float) -> Iterator[float]:
    for i in range(len(prices.per_kwh) + 1 if prices is not None else 0):
        assert prices is not None
        if from_s < (at_s := prices.start_s + i * prices.step_s) < until_s:
            yield at_s


def _changes_of_tariff(money: Money, zone: ZoneInfo, from_s: float, until_s: float) -> Iterator[float]:
    """Yield every moment at which a rate may begin or end: its times on every day, and midnights."""
    if not money.tariff:
        return
    edges_s = {0, *(edge_s for rate in money.tariff for edge_s in (rate.starts_s, rate.ends_s))}
    times = [time(edge_s // 3600, edge_s // 60 % 60, edge_s % 60) for edge_s in edges_s]
    day, last = (datetime.fromtimestamp(at_s, zone).date() for at_s in (from_s, until_s))
    while day <= last:
        yield from (datetime.combine(day, edge, zone).timestamp() for edge in times)
        day += timedelta(days=1)


def _per_kwh(money: Money, zone: ZoneInfo, prices: PricesSet | None, at_s: float) -> float:
    if prices is not None:
        index = (at_s - prices.start_s) // prices.step_s
        if 0 <= index < len(prices.per_kwh):
            return prices.per_kwh[int(index)]
    if not money.tariff:
        return money.energy_per_kwh
    at = datetime.fromtimestamp(at_s, zone)
    return next((rate.per_kwh for rate in money.tariff if _holds(rate, at)), money.energy_per_kwh)


def _holds(rate: Rate, at: datetime) -> bool:
    """Tell whether a rate holds at a local time; one that ends before it starts holds over midnight."""
    of_day_s = (at.hour * 60 + at.minute) * 60 + at.second
    is_late, is_early = of_day_s >= rate.starts_s, of_day_s < rate.ends_s
    is_now = is_late and is_early if rate.starts_s < rate.ends_s else is_late or is_early
    return is_now and at.weekday() in rate.weekdays and at.month in rate.months
