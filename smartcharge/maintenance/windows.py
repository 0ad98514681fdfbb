"""When work costs drivers least: the optimiser is asked with the equipment in service and without.

The energy at risk of a window is what drivers of a day like that would not get because of it: the shortfall of the best
schedule without the equipment, less that of the best schedule with it.  Where the grid limit leaves room, cars
catch up before and after, and nothing is at risk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from smartcharge.control.limits import effective_limits
from smartcharge.control.state import State
from smartcharge.errors import MaintenanceError
from smartcharge.maintenance.forecast import DAY_S, Visit, days
from smartcharge.maintenance.scene import SLOT_S, Scene
from smartcharge.maintenance.spans import Span
from smartcharge.maintenance.work_orders import WorkOrder
from smartcharge.model import EvseId

AFTER_S: Final = 12 * 3600.0
"""How long after a day cars may still catch up [s]: those that stay over night."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """When somebody can come."""

    begin: time = time(7)
    end: time = time(18)
    """By when he must be done."""
    days: int = 7
    """How many days from tomorrow on are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A time for a work order, and what it costs."""

    order: int
    asset: str
    span: Span
    evses: frozenset[EvseId]
    """Out of service meanwhile."""
    risk_wh: float
    """Energy at risk [Wh]: the mean of the days that stand for it."""
    worst_wh: float
    """The most of them [Wh]."""
    load_w: float
    """What cars are expected to draw then, with everything in service [W]."""
    room_w: float
    """What the grid limit leaves beside that at its tightest [W]."""


@dataclass(slots=True, kw_only=True)
class Planner:
    """What windows are worked out from."""

    state: State
    """The site as it is known, with the grid limits to come."""
    visits: Sequence[Visit]
    since_s: float
    """When the site was first watched [s since 1970]."""
    now_s: float
    _scenes: dict[Span, tuple[Scene, ...]] = field(default_factory=dict)

    def place(self, orders: Iterable[WorkOrder], hours: Hours) -> list[Window]:
        """Return a window for each work order that is to be done, the most urgent first, one at a time.

        Raises MaintenanceError where too little is known, or a work order does not fit into the hours.
        """
        placed: list[Window] = []
        for order in sorted(orders, key=lambda order: (order.priority.value, order.raised.due_s)):
            if evses := self._evses(order.raised.asset):
                found = [self._window(order, evses, span, placed) for span in self._starts(order, hours, placed)]
                if not found:
                    raise MaintenanceError(f"work order {order.number} fits into no day of these hours")
                in_time = [one for one in found if one.span.until_s <= order.raised.due_s]
                placed.append(min(in_time or found, key=_cost))
        return placed

    def _evses(self, asset: str) -> frozenset[EvseId]:
        if asset == "site":
            return frozenset(self.state.evses)
        return frozenset(evse.id for evse in self.state.site.evses if asset in (evse.id, evse.station))

    def _starts(self, order: WorkOrder, hours: Hours, placed: Sequence[Window]) -> Iterator[Span]:
        """Yield when it could be done: at every half hour, and never while another is."""
        for day in _days(self.now_s, self.state.site.timezone, hours.days):
            begin_s, end_s = _at(day, hours.begin), _at(day, hours.end)
            while begin_s + order.raised.estimated_s <= end_s:
                span = Span(begin_s, begin_s + order.raised.estimated_s)
                if not any(_overlap(span, one.span) for one in placed):
                    yield span
                begin_s += SLOT_S

    def _window(self, order: WorkOrder, evses: frozenset[EvseId], span: Span, placed: Sequence[Window]) -> Window:
        midnight_s = _midnight(span.since_s, self.state.site.timezone).timestamp()
        scenes = self._of_day(Span(midnight_s, midnight_s + DAY_S + AFTER_S))
        others = {one.span: one.evses for one in placed if _overlap(one.span, scenes[0].span)}
        risks = [scene.risk_wh({**others, span: evses | others.get(span, frozenset())}, others) for scene in scenes]
        return Window(
            order=order.number,
            asset=order.raised.asset,
            span=span,
            evses=evses,
            risk_wh=sum(risks) / len(risks),
            worst_wh=max(risks),
            load_w=sum(scene.load_w(span) for scene in scenes) / len(scenes),
            room_w=min(scene.room_w(span) for scene in scenes),
        )

    def _of_day(self, span: Span) -> tuple[Scene, ...]:
        if span not in self._scenes:
            edges_s = np.arange(span.since_s, span.until_s + 1.0, SLOT_S)
            limit_a = np.array([
                effective_limits(self.state, self.now_s, ahead_s=float(edge) - self.now_s).available_a
                for edge in edges_s[:-1]
            ])  # fmt: skip
            found = days(self.visits, span, self.since_s, self.now_s)
            self._scenes[span] = tuple(Scene.of(self.state, edges_s, limit_a, there) for there in found)
        return self._scenes[span]


def _cost(window: Window) -> tuple[float, float, float]:
    """Order windows: by the energy at risk, to a tenth of a kWh, then by the load, then by time."""
    return round(window.risk_wh / 100.0), round(window.load_w), window.span.since_s


def _overlap(one: Span, other: Span) -> bool:
    return one.since_s < other.until_s and other.since_s < one.until_s


def _days(now_s: float, timezone: str, count: int) -> Iterator[datetime]:
    today = _midnight(now_s, timezone)
    yield from (today + timedelta(days=n) for n in range(1, count + 1))


def _midnight(at_s: float, timezone: str) -> datetime:
    """Return when the day began that it is at a time [s since 1970], where the site is."""
    return datetime.fromtimestamp(at_s, ZoneInfo(timezone)).replace(hour=0, minute=0, second=0, microsecond=0)


def _at(day: datetime, clock: time) -> float:
    return day.replace(hour=clock.hour, minute=clock.minute).timestamp()
