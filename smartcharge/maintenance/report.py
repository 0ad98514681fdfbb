"""Figures by month: for each port, for each station, for the site, and for several sites together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from smartcharge.maintenance.availability import (
    Definition,
    Measured,
    Reliability,
    measure,
    reliability,
)
from smartcharge.maintenance.exclusions import Exclusion
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.sessions import Charge, Success, charges, success
from smartcharge.maintenance.spans import Span, common, less, total_s, union
from smartcharge.maintenance.timeline import Timeline, timelines
from smartcharge.ports import Kept

T = TypeVar("T", Measured, Reliability, Success)
YEAR_S: Final = 525_600 * 60.0
"""The year of NEVI's formula [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """A calendar month in a site's own time."""

    year: int
    number: int

    @classmethod
    def parse(cls, words: str) -> Month:
        """Return the month of e.g. ``"2026-10"``; raises ValueError."""
        at = datetime.strptime(words, "%Y-%m")  # noqa: DTZ007 - a month of no zone yet
        return cls(year=at.year, number=at.month)

    @classmethod
    def before(cls, at_s: float, zone: ZoneInfo) -> Month:
        """Return the last month that was over at a time [s since 1970]."""
        at = datetime.fromtimestamp(at_s, zone).replace(day=1) - timedelta(days=1)
        return cls(year=at.year, number=at.month)

    def earlier(self, months: int) -> Month:
        """Return the month so many months before."""
        index = 12 * self.year + self.number - 1 - months
        return Month(year=index // 12, number=index % 12 + 1)

    def span(self, zone: ZoneInfo) -> Span:
        """Return when it is; a month with a change of the clocks is an hour shorter or longer."""
        after = self.earlier(-1)
        begin, end = (datetime(m.year, m.number, 1, tzinfo=zone).timestamp() for m in (self, after))
        return Span(begin, end)

    def __str__(self) -> str:
        """Return it as ISO 8601 has it."""
        return f"{self.year:04}-{self.number:02}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that figures of a site are made of."""

    place: Place
    timelines: Sequence[Timeline]
    charges: Sequence[Charge]
    exclusions: Sequence[Exclusion]

    @classmethod
    def of(cls, place: Place, facts: Sequence[Kept], exclusions: Sequence[Exclusion]) -> Evidence:
        """Return what facts tell of a place."""
        known = timelines(place.ports, facts)
        return cls(place=place, timelines=tuple(known.values()), charges=charges(facts), exclusions=exclusions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What there is to say of a port, a station, a site or all sites in one month."""

    site: str
    kind: str
    """``port``, ``station``, ``site`` or ``network``."""
    subject: str
    month: str
    measured: dict[Definition, Measured]
    year: Measured
    """By NEVI, over the 525 600 minutes that end with the month."""
    reliability: Reliability
    success: Success


def lines(evidence: Evidence, month: Month) -> Iterator[Line]:
    """Yield the lines of a site's month: its ports, its stations, the site."""
    place = evidence.place
    for timeline in evidence.timelines:
        yield _line(evidence, month, "port", timeline.port.evse, [timeline])
    for station in dict.fromkeys(port.station for port in place.ports):
        mine = [timeline for timeline in evidence.timelines if timeline.port.station == station]
        if len(mine) > 1:
            yield _line(evidence, month, "station", station, mine)
    yield _line(evidence, month, "site", place.id, evidence.timelines)


def _line(evidence: Evidence, month: Month, kind: str, subject: str, of: Sequence[Timeline]) -> Line:
    zone = ZoneInfo(evidence.place.timezone)
    span = month.span(zone)
    year = Span(span.until_s - YEAR_S, span.until_s)
    evses = {timeline.port.evse for timeline in of}

    def measured(definition: Definition, within: Span) -> Measured:
        return together(Measured, [measure(definition, t, evidence.exclusions, within, zone) for t in of])

    return Line(
        site=evidence.place.id,
        kind=kind,
        subject=subject,
        month=str(month),
        measured={definition: measured(definition, span) for definition in Definition},
        year=measured(Definition.NEVI, year),
        reliability=together(Reliability, [reliability(t, evidence.exclusions, span) for t in of]),
        success=success((c for c in evidence.charges if c.started.evse in evses), span),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A stretch in which a port was out of service, with everything that shows it."""

    site: str
    port: str
    span: Span
    excluded_s: float
    """How much of it NEVI does not count [s]."""
    causes: tuple[str, ...]
    facts: tuple[int, ...]
    """Numbers in the journal of the facts that began and ended it."""
    evidence: tuple[str, ...]
    """What is said for the exclusions."""


def outages(evidence: Evidence, span: Span) -> Iterator[Outage]:
    """Yield every outage of a stretch of time, port by port: together they are all the minutes that count."""
    for timeline in evidence.timelines:
        mine = [e for e in evidence.exclusions if e.covers(timeline.port)]
        for found in common(timeline.outages, (span,)):
            holds = timeline.holds_in(found)
            excuses = [e for e in mine if common((e.span,), (found,))]
            numbers = {n for hold in holds for n in (hold.began, hold.ended) if n is not None}
            yield Outage(
                site=evidence.place.id,
                port=timeline.port.evse,
                span=found,
                excluded_s=total_s(common((found,), union(e.span for e in excuses))),
                causes=tuple(dict.fromkeys(hold.cause for hold in holds)),
                facts=tuple(sorted(numbers)),
                evidence=tuple(f"{e.cause.value}: {e.evidence}" for e in excuses),
            )


def quarter_hours(evidence: Evidence, span: Span) -> Iterator[tuple[str, float, float, float]]:
    """Yield the records that California asks for: port, begin [s since 1970], seconds out of service, and unknown."""
    for timeline in evidence.timelines:
        begin_s = span.since_s
        while begin_s < span.until_s:
            record = Span(begin_s, min(begin_s + 900.0, span.until_s))
            out_s = total_s(common(timeline.outages, (record,)))
            yield timeline.port.evse, begin_s, out_s, record.length_s - total_s(less((record,), timeline.unknown))
            begin_s = record.until_s


def cells(line: Line) -> dict[str, Any]:
    """Return a line as names and plain values; None is what is not known."""
    found: dict[str, Any] = {
        "site": line.site,
        "kind": line.kind,
        "subject": line.subject,
        "month": line.month,
        "unknown_min": _minutes(line.measured[Definition.NEVI].unknown_s),
    }
    for definition, measured in line.measured.items():
        name = definition.value
        found[f"{name}_outage_min"] = _minutes(measured.outage_s)
        found[f"{name}_excluded_min"] = _minutes(measured.excluded_s)
        found[f"{name}_pct"] = _percent(measured.available)
    return found | {
        "nevi_month_least_pct": _percent(line.measured[Definition.NEVI].least),
        "nevi_month_most_pct": _percent(line.measured[Definition.NEVI].most),
        "nevi_year_unknown_min": _minutes(line.year.unknown_s),
        "nevi_year_pct": _percent(line.year.available),
        "nevi_year_least_pct": _percent(line.year.least),
        "nevi_year_most_pct": _percent(line.year.most),
        "failures": line.reliability.failures,
        "mtbf_h": _hours(line.reliability.mtbf_s),
        "mttr_h": _hours(line.reliability.mttr_s),
        "starts": line.success.starts,
        "session_success_pct": _percent(line.success.session_share),
        "start_success_pct": _percent(line.success.start_share),
    }


def _minutes(seconds: float) -> float:
    return round(seconds / 60.0, 2)


def _hours(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds / 3600.0, 2)


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100.0 * share, 4)


def network(of: Iterable[Line], month: Month) -> Line:
    """Return what the lines of several sites come to."""
    sites = [line for line in of if line.kind == "site" and line.month == str(month)]
    return Line(
        site="network",
        kind="network",
        subject=f"{len(sites)} sites",
        month=str(month),
        measured={d: together(Measured, [line.measured[d] for line in sites]) for d in Definition},
        year=together(Measured, [line.year for line in sites]),
        reliability=together(Reliability, [line.reliability for line in sites]),
        success=together(Success, [line.success for line in sites]),
    )


def together(cls: type[T], each: Sequence[T]) -> T:
    """Return the sum of counts and times, field by field: every minute of every port weighs the same."""
    return cls(**{field.name: sum(getattr(one, field.name) for one in each) for field in fields(cls)})
