"""What authorities ask for, in their own stretches of time: California every half year, NEVI every quarter.

California: uptime of each port with the outages that count and those that do not, each with its evidence.  NEVI (23 CFR
680.112(a)): sessions with start, end, energy and error codes, and for each port uptime, outage, excluded outage
[min] over the last twelve months.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from smartcharge.events import FaultRaised
from smartcharge.maintenance.availability import Definition, Measured, measure
from smartcharge.maintenance.report import YEAR_S, Evidence, outages
from smartcharge.maintenance.sessions import Charge
from smartcharge.maintenance.spans import Span
from smartcharge.ports import Kept

LEAST_UPTIME: Final = 0.97
"""What both ask of a port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a calendar year in a site's own time: ``2026-H1`` or ``2026-Q3``."""

    year: int
    kind: str
    """``H`` or ``Q``."""
    number: int

    @classmethod
    def parse(cls, words: str, kind: str) -> Part:
        """Return the part of e.g. ``"2026-H1"``; raises ValueError."""
        year, _, part = words.partition("-")
        most = {"H": 2, "Q": 4}[kind]
        if not (year.isdecimal() and len(year) == 4 and part[:1] == kind and part[1:].isdecimal()):
            raise ValueError(words)
        if not 1 <= int(part[1:]) <= most:
            raise ValueError(words)
        return cls(year=int(year), kind=kind, number=int(part[1:]))

    def span(self, zone: ZoneInfo) -> Span:
        """Return when it is."""
        months = {"H": 6, "Q": 3}[self.kind]
        first, after = months * (self.number - 1), months * self.number
        begin, end = (datetime(self.year + m // 12, m % 12 + 1, 1, tzinfo=zone) for m in (first, after))
        return Span(begin.timestamp(), end.timestamp())

    def __str__(self) -> str:
        """Return it as it is read."""
        return f"{self.year:04}-{self.kind}{self.number}"


def california(evidence: Evidence, half: Part) -> Iterator[dict[str, Any]]:
    """Yield a row for each port: its uptime in a half year by California's definition, and whether that is enough."""
    zone = ZoneInfo(evidence.place.timezone)
    span = half.span(zone)
    excuses = _excuses(evidence, span)
    for timeline in evidence.timelines:
        port = timeline.port
        measured = measure(Definition.CALIFORNIA, timeline, evidence.exclusions, span, zone)
        yield {
            "site": evidence.place.id,
            "port": port.evse,
            "station": port.station,
            "current": "DC" if port.is_dc else "AC",
            "half_year": str(half),
            **_figures(measured),
            "meets_97_pct": None if measured.available is None else measured.available >= LEAST_UPTIME,
            "outages": excuses[port.evse][0],
            "evidence": "; ".join(excuses[port.evse][1]),
        }


def nevi_ports(evidence: Evidence, quarter: Part) -> Iterator[dict[str, Any]]:
    """Yield a row for each port: uptime over the 525 600 minutes that end with a quarter (680.112(a)(3))."""
    zone = ZoneInfo(evidence.place.timezone)
    end_s = quarter.span(zone).until_s
    year = Span(end_s - YEAR_S, end_s)
    excuses = _excuses(evidence, year)
    for timeline in evidence.timelines:
        measured = measure(Definition.NEVI, timeline, evidence.exclusions, year, zone)
        yield {
            "site": evidence.place.id,
            "port": timeline.port.evse,
            "quarter": str(quarter),
            **_figures(measured),
            "outages": excuses[timeline.port.evse][0],
            "evidence": "; ".join(excuses[timeline.port.evse][1]),
        }


def nevi_sessions(evidence: Evidence, facts: Sequence[Kept], quarter: Part) -> Iterator[dict[str, Any]]:
    """Yield a row for each session of a quarter: when, how much, and what went wrong (680.112(a)(1) and (2))."""
    span = quarter.span(ZoneInfo(evidence.place.timezone))
    for charge in evidence.charges:
        if span.since_s <= charge.started.at_s < span.until_s:
            yield {
                "site": evidence.place.id,
                "port": charge.started.evse,
                "session": charge.started.transaction_id,
                "started_s": charge.started.at_s,
                "ended_s": None if charge.ended is None else charge.ended.at_s,
                "energy_kwh": None if charge.energy_wh is None else round(charge.energy_wh / 1000.0, 3),
                "outcome": charge.outcome.value,
                "reason": None if charge.ended is None else charge.ended.reason,
                "error_codes": " ".join(_codes(charge, facts)),
            }


def _codes(charge: Charge, facts: Sequence[Kept]) -> Iterator[str]:
    """Yield the error codes that the station said at the EVSE from the start of a charge to its end, each once."""
    begin_s = charge.started.at_s
    end_s = begin_s if charge.ended is None else charge.ended.at_s
    known: set[str] = set()
    for _, event in facts:
        if isinstance(event, FaultRaised) and event.evse == charge.started.evse and begin_s <= event.at_s <= end_s:
            code = event.vendor_code or event.code
            if code not in known:
                known.add(code)
                yield code


def _figures(measured: Measured) -> dict[str, Any]:
    return {
        "total_min": round(measured.total_s / 60.0, 2),
        "outage_min": round(measured.outage_s / 60.0, 2),
        "excluded_min": round(measured.excluded_s / 60.0, 2),
        "unknown_min": round(measured.unknown_s / 60.0, 2),
        "uptime_pct": _percent(measured.available),
        "least_pct": _percent(measured.least),
        "most_pct": _percent(measured.most),
    }


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100.0 * share, 4)


def _excuses(evidence: Evidence, span: Span) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Return for each port the number of its outages in a stretch, and what is said for those that are excused."""
    found: dict[str, tuple[int, tuple[str, ...]]] = {t.port.evse: (0, ()) for t in evidence.timelines}
    for outage in outages(evidence, span):
        count, words = found[outage.port]
        found[outage.port] = count + 1, tuple(dict.fromkeys((*words, *outage.evidence)))
    return found
