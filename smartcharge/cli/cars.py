"""Which cars a simulation has: a stretch of a recording, or generated days; what was not said is chosen and told."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Final, Literal
from zoneinfo import ZoneInfo

from smartcharge.control.prediction import History
from smartcharge.errors import ConfigError
from smartcharge.model import Site
from smartcharge.sim import recordings
from smartcharge.sim.generator import Kind, generate
from smartcharge.sim.recordings import Visit

LONGEST_DAYS: Final = 7
"""How many days are taken at most when nobody says."""
GENERATED_START: Final = date(2025, 1, 6)
"""First generated day when nobody says: a Monday."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cars:
    """The cars of a simulation, and the days in which they come."""

    source: str
    """Where they come from, in words or as a file name."""
    visits: tuple[Visit, ...]
    start: date
    days: int
    timezone: str
    history: History = field(default_factory=History)
    """What the recording teaches of the time before the first day."""
    notes: tuple[str, ...]
    """What was chosen or left out."""

    @property
    def start_s(self) -> float:
        """Return the first midnight by the site's clock [s since 1970]."""
        return _midnight_s(self.start, self.timezone)

    @property
    def end_s(self) -> float:
        """Return the midnight after the last day [s since 1970]."""
        return _midnight_s(self.start + timedelta(days=self.days), self.timezone)


def recorded_cars(
    path: Path, site: Site, *, start: date | None, days: int | None, unknown: Literal["error", "skip"]
) -> Cars:
    """Return the cars of a recording.

    Unless told, the days begin with the first that has a visit and are as many as the recording goes on for, at
    most LONGEST_DAYS.  Raises ConfigError for all that is wrong with the file, and where no visit is left.
    """
    recording = recordings.read(path, site, unknown=unknown)
    if not recording.visits:
        raise ConfigError(f"{path}: there is no visit to {site.name} in it")
    zone = ZoneInfo(site.timezone)
    first, last = (datetime.fromtimestamp(recording.visits[end].arrive_s, zone).date() for end in (0, -1))
    notes = list(recording.notes)
    if start is None:
        start = first
        notes.append(f"start: {start}, the first day with a visit; the last is {last}")
    if days is None:
        days = max(1, min(LONGEST_DAYS, (last - start).days + 1))
        notes.append(f"days: {days}")
    visits = recordings.window(recording.visits, start=start, days=days, timezone=site.timezone)
    if not visits:
        raise ConfigError(f"{path}: no visit begins in the {days} day(s) from {start}: it has {first} to {last}")
    return Cars(
        source=str(path), visits=visits, start=start, days=days, timezone=site.timezone, notes=tuple(notes),
        history=recordings.history(recording.visits, before_s=_midnight_s(start, site.timezone)),
    )  # fmt: skip


def generated_cars(kind: Kind, site: Site, *, start: date | None, days: int | None, seed: int) -> Cars:
    """Return the cars of days made from a seed."""
    start, days = start or GENERATED_START, days or 1
    visits = generate(site, start=start, days=days, seed=seed, kind=kind)
    return Cars(
        source=f"generated {kind.value}, seed {seed}", visits=visits, start=start, days=days,
        timezone=site.timezone, notes=(f"start: {start}, days: {days}",),
    )  # fmt: skip


def _midnight_s(day: date, timezone: str) -> float:
    return datetime.combine(day, time(), ZoneInfo(timezone)).timestamp()
