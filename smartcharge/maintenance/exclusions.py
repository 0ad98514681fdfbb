"""Outages that a definition does not count, each with its evidence: read from a CSV file that people keep.

Columns: ``subject`` (an EVSE, a station, or ``site``), ``since`` and ``until`` (ISO 8601, local unless it
says), ``cause``, ``evidence`` (who can show it and where: never empty).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from zoneinfo import ZoneInfo

from smartcharge.errors import ConfigError
from smartcharge.maintenance.ports import Place, Port
from smartcharge.maintenance.spans import Span

COLUMNS = ("subject", "since", "until", "cause", "evidence")


class Cause(Enum):
    """Why an outage may not count (23 CFR 680.116(b)(3); California's list is shorter and capped)."""

    GRID_LOSS = "grid-loss"
    PLANNED_MAINTENANCE = "planned-maintenance"
    VANDALISM = "vandalism"
    NATURAL_DISASTER = "natural-disaster"
    VEHICLE = "vehicle"
    """The car was at fault."""
    CLOSED = "closed"
    """Outside the opening hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """A stretch of time in which outages of a port, a station or the site have a cause that excuses them."""

    subject: str
    span: Span
    cause: Cause
    evidence: str

    def covers(self, port: Port) -> bool:
        """Tell whether it is about a port."""
        return self.subject in (port.evse, port.station, "site")


def read_exclusions(path: Path, place: Place) -> tuple[Exclusion, ...]:
    """Return the exclusions in a file; raises ConfigError with one line ``file:line: reason`` for every error."""
    found: list[Exclusion] = []
    errors: list[str] = []
    for line, row in _rows(path):
        try:
            found.append(_exclusion(row, place))
        except ValueError as error:
            errors.append(f"{path}:{line}: {error}")
    if errors:
        raise ConfigError("\n".join(errors))
    return tuple(found)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise ConfigError(f"{path}:1: the columns must be {','.join(COLUMNS)}")
            for row in reader:
                yield reader.line_num, {name: row[name] or "" for name in COLUMNS}
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: is not CSV in UTF-8: {error}") from error


def _exclusion(row: dict[str, str], place: Place) -> Exclusion:
    known = {"site", *(port.evse for port in place.ports), *(port.station for port in place.ports)}
    if row["subject"] not in known:
        raise ValueError(f"subject: the site has no EVSE or station {row['subject']!r}")
    if row["cause"] not in (causes := [cause.value for cause in Cause]):
        raise ValueError(f"cause: {row['cause']!r} is none of {', '.join(causes)}")
    if not row["evidence"].strip():
        raise ValueError("evidence: is missing: what is not shown counts as an outage")
    span = Span(_time_s("since", row["since"], place), _time_s("until", row["until"], place))
    if span.until_s <= span.since_s:
        raise ValueError("until: is not after since")
    return Exclusion(subject=row["subject"], span=span, cause=Cause(row["cause"]), evidence=row["evidence"])


def _time_s(name: str, words: str, place: Place) -> float:
    try:
        at = datetime.fromisoformat(words)
    except ValueError as error:
        raise ValueError(f"{name}: {words!r} is not a time such as 2026-10-05T14:30") from error
    return (at if at.tzinfo is not None else at.replace(tzinfo=ZoneInfo(place.timezone))).timestamp()
