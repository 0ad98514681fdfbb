"""From what events ask for to facts: only what is new since it was said last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from smartcharge.events import (
    AlertsSet,
    Event,
    FailsafeSet,
    FailsafeStep,
    GridAlert,
    IntensitySet,
    LimitsReplaced,
    PricesSet,
)
from smartcharge.frozen import replace
from smartcharge.grid.openadr.contracts import failsafe_steps
from smartcharge.grid.openadr.limits import Understood
from smartcharge.grid.openadr.series import Series, series_of
from smartcharge.model import GridLimit


class Said:
    """What was said of one server since its line stood; what only ended since is no news."""

    def __init__(self) -> None:
        self._limits: frozenset[GridLimit] | None = None
        self._steps: tuple[FailsafeStep, ...] | None = None
        self._alerts: frozenset[GridAlert] | None = None
        self._prices: Series | None = None
        self._intensity: Series | None = None

    def news(self, found: Sequence[Understood], source: str, at_s: float) -> Iterator[Event]:
        """Yield the facts in all that a server's events ask for now."""
        timeless = frozenset(replace(limit, received_at_s=0.0) for one in found for limit in one.limits)
        if self._limits is None or not _is_rest(timeless, self._limits, at_s):
            limits = tuple(replace(limit, received_at_s=at_s) for one in found for limit in one.limits)
            yield LimitsReplaced(at_s=at_s, source=source, limits=limits)
        self._limits = timeless
        steps = failsafe_steps((contract for one in found for contract in one.contracts), at_s)
        if self._steps is None or steps != tuple(step for step in self._steps if _is_open(step.end_s, at_s)):
            yield FailsafeSet(at_s=at_s, source=source, steps=steps)
        self._steps = steps
        yield from self._notices(found, source, at_s)

    def _notices(self, found: Sequence[Understood], source: str, at_s: float) -> Iterator[Event]:
        alerts = tuple(alert for one in found for alert in one.alerts if _is_open(alert.end_s, at_s))
        before = None if self._alerts is None else frozenset(a for a in self._alerts if _is_open(a.end_s, at_s))
        if frozenset(alerts) != before:
            yield AlertsSet(at_s=at_s, source=source, alerts=alerts)
        self._alerts = frozenset(alerts)
        prices = series_of([step for one in found for step in one.prices], at_s)
        if prices is not None and prices != self._prices:
            yield PricesSet(at_s=at_s, start_s=prices.start_s, step_s=prices.step_s, per_kwh=prices.values)
            self._prices = prices
        intensity = series_of([step for one in found for step in one.intensities], at_s)
        if intensity is not None and intensity != self._intensity:
            yield IntensitySet(
                at_s=at_s, start_s=intensity.start_s, step_s=intensity.step_s, g_per_kwh=intensity.values
            )
            self._intensity = intensity


def _is_rest(now: frozenset[GridLimit], before: frozenset[GridLimit], at_s: float) -> bool:
    """Tell whether nothing has changed but that some limits ended."""
    return now <= before and all(limit.end_s is not None and limit.end_s <= at_s for limit in before - now)


def _is_open(end_s: float | None, at_s: float) -> bool:
    return end_s is None or end_s > at_s
