"""How available a port was, by three definitions; what nobody saw is said, not guessed.

=============  ==============================================================================================
NEVI           23 CFR 680.116(b): up is online, able to serve or serving.  Grid loss, the car's fault, planned
               maintenance, vandalism, natural disaster and closing hours are excluded.
California     The same outages; excluded: grid loss and natural disaster, vandalism up to 10 days an
               incident, planned maintenance up to 72 h a calendar year.
AFIREV         Available time over opening time; out of order counts at once, unheard of only once it has
               lasted for 24 h.  Nothing is excluded.
=============  ==============================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final
from zoneinfo import ZoneInfo

from smartcharge.maintenance.exclusions import Cause, Exclusion
from smartcharge.maintenance.spans import Span, Spans, common, first_s, less, total_s, union
from smartcharge.maintenance.timeline import Timeline

DAY_S: Final = 86400.0
PLANNED_S: Final = 72 * 3600.0
"""Planned maintenance that California excludes in a calendar year [s]."""
VANDALISM_S: Final = 10 * DAY_S
"""How long California excludes one incident of vandalism [s]."""
UNHEARD_S: Final = DAY_S
"""How long AFIREV takes a silent point for available [s]."""
_NEVI: Final = frozenset(Cause)
_CALIFORNIA: Final = frozenset({Cause.GRID_LOSS, Cause.NATURAL_DISASTER})


class Definition(Enum):
    """By whose words availability is measured."""

    NEVI = "nevi"
    CALIFORNIA = "california"
    AFIREV = "afirev"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What became of a stretch of time, at one port or summed over several [s]."""

    total_s: float
    outage_s: float
    excluded_s: float
    unknown_s: float

    @property
    def least(self) -> float | None:
        """Return the share of time available if it was down whenever nobody watched; None for no time at all."""
        return self._share(self.outage_s + self.unknown_s)

    @property
    def most(self) -> float | None:
        """Return the share of time available if it was up whenever nobody watched; None for no time at all."""
        return self._share(self.outage_s)

    @property
    def available(self) -> float | None:
        """Return the share of time available; None where facts are missing."""
        return self.most if self.unknown_s == 0.0 else None

    def _share(self, outage_s: float) -> float | None:
        return (self.total_s - (outage_s - self.excluded_s)) / self.total_s if self.total_s > 0.0 else None


def measure(
    definition: Definition, timeline: Timeline, exclusions: Sequence[Exclusion], span: Span, zone: ZoneInfo
) -> Measured:
    """Return what a definition makes of a port's time in a stretch; ``zone`` says when a year begins."""
    mine = [exclusion for exclusion in exclusions if exclusion.covers(timeline.port)]
    if definition is Definition.AFIREV:
        return _afirev(timeline, mine, span)
    outages = timeline.outages
    excused = common(outages, _excused(definition, outages, mine, zone))
    return Measured(
        total_s=span.length_s,
        outage_s=total_s(common(outages, (span,))),
        excluded_s=total_s(common(excused, (span,))),
        unknown_s=total_s(common(timeline.unknown, (span,))),
    )


def _excused(definition: Definition, outages: Spans, mine: Sequence[Exclusion], zone: ZoneInfo) -> Spans:
    """Return the time that a definition excuses: of the capped causes no more than the beginning."""
    if definition is Definition.NEVI:
        return union(e.span for e in mine if e.cause in _NEVI)
    found = [e.span for e in mine if e.cause in _CALIFORNIA]
    for exclusion in mine:
        if exclusion.cause is Cause.VANDALISM:
            found += first_s(common(outages, (exclusion.span,)), VANDALISM_S)
    planned = common(outages, union(e.span for e in mine if e.cause is Cause.PLANNED_MAINTENANCE))
    for year in _years(planned, zone):
        found += first_s(common(planned, (year,)), PLANNED_S)
    return union(found)


def _years(spans: Spans, zone: ZoneInfo) -> Iterator[Span]:
    """Yield the calendar years that some stretches touch."""
    if not spans:
        return
    first, last = (datetime.fromtimestamp(s, zone).year for s in (spans[0].since_s, spans[-1].until_s))
    for year in range(first, last + 1):
        begin, end = (datetime(y, 1, 1, tzinfo=zone).timestamp() for y in (year, year + 1))
        yield Span(begin, end)


def _afirev(timeline: Timeline, mine: Sequence[Exclusion], span: Span) -> Measured:
    opening = less((span,), union(e.span for e in mine if e.cause is Cause.CLOSED))
    unheard = union([*(h.span for h in timeline.holds if h.is_offline), *timeline.unknown])
    too_long = union(Span(s.since_s + UNHEARD_S, s.until_s) for s in unheard)
    out_of_order = union(h.span for h in timeline.holds if not h.is_offline)
    unavailable = less(union([*too_long, *out_of_order]), timeline.unknown)
    return Measured(
        total_s=total_s(opening),
        outage_s=total_s(common(unavailable, opening)),
        excluded_s=0.0,
        unknown_s=total_s(common(timeline.unknown, opening)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """How often ports fail and how long repairs take; outages that NEVI excludes are no failures."""

    failures: int
    """Failures that began."""
    repairs: int
    """How many of them ended."""
    repair_s: float
    """How long these lasted, together [s]."""
    up_s: float
    """Time known to be in service [s]."""

    @property
    def mtbf_s(self) -> float | None:
        """Return the mean time in service between failures [s]; None without a failure."""
        return self.up_s / self.failures if self.failures else None

    @property
    def mttr_s(self) -> float | None:
        """Return the mean time to repair [s]; None without a repair."""
        return self.repair_s / self.repairs if self.repairs else None


def reliability(timeline: Timeline, exclusions: Sequence[Exclusion], span: Span) -> Reliability:
    """Return how reliable a port was: the failures that began in a stretch of time, and their repairs in it."""
    excused = union(e.span for e in exclusions if e.covers(timeline.port))
    failures = [f for f in less(timeline.outages, excused) if span.since_s <= f.since_s < span.until_s]
    repaired = [f for f in failures if f.until_s <= span.until_s]
    return Reliability(
        failures=len(failures),
        repairs=len(repaired),
        repair_s=sum(f.length_s for f in repaired),
        up_s=total_s(less((span,), union([*timeline.unknown, *timeline.outages]))),
    )
