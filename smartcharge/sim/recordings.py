"""Recorded charging sessions from files, as visits of cars to the EVSEs of a site.

The formats are told apart by what is in the file; docs/recordings.md describes them.  What is wrong is
reported at once with file, row, field and reason: nothing is dropped in silence.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

from smartcharge.control.prediction import Ended, History, Visitor, after
from smartcharge.errors import ConfigError
from smartcharge.sim import formats

if TYPE_CHECKING:
    from collections.abc import Iterable

    from smartcharge.model import Evse, EvseId, Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A car at an EVSE from plug to unplug: what it really took, and what its driver said."""

    evse: EvseId
    session_id: str
    arrive_s: float
    """Plugged in [s since 1970, UTC]."""
    depart_s: float
    energy_wh: float
    """Energy it took in reality [Wh], so what it wants."""
    stated_energy_wh: float | None = None
    """Energy its driver asked for [Wh]; None while nobody said."""
    stated_depart_s: float | None = None
    max_w: float | None = None
    """Highest power the car takes [W]; None: as much as the EVSE gives."""
    phases: int | None = None
    """Phases the car loads; None: all that the EVSE has."""
    car: str | None = None
    """Who it is, where the same car comes again; None: nobody knows."""
    power_series: tuple[tuple[float, float], ...] | None = None
    """Recorded power: (seconds since arrival, W), each holding until the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What a file holds for a site."""

    visits: tuple[Visit, ...]
    """In order of arrival; never two at one EVSE at a time."""
    notes: tuple[str, ...]
    """What was changed or left out, to be shown to whoever asked for it."""


def read(
    path: Path, site: Site, *, unknown: Literal["error", "skip", "seat"] = "error", epoch_s: float | None = None
) -> Recording:
    """Read a recording for a site.

    Args:
        path: a file in one of the formats, gzipped or not.
        site: where the visits take place; a visit may name an EVSE or a station that has only one.
        unknown: whether visits to EVSEs that the site does not have are errors, left out with a note, or
            seated at the first EVSE of the site that is free when they arrive.
        epoch_s: start of period 0 [s since 1970] of a numeric recording; by default the midnight (Los
            Angeles) that begins the month in the file's name.

    Raises:
        ConfigError: listing everything that is wrong with the file.
    """
    rows, problems = formats.parse(path.name, _text(path), epoch_s)
    places = _places(site)
    visits, strangers = [], Counter[str]()
    usher = _Usher(site)
    for row in sorted(rows, key=lambda row: (row.arrive_s, row.number)):
        place = next((places[name] for name in row.places if name in places), None)
        if place is None and unknown == "seat":
            place = usher.seat(row)
        if place is not None:
            visits.append((row.number, _visit(row, place)))
        elif unknown != "error":
            strangers[row.places[0]] += 1
        else:
            problems.append(row.problem(f"{site.name} has no EVSE of this name: {row.places[0]}"))
    ordered, notes, taken = _one_at_a_time(visits)
    problems += [f"row {number}: {reason}" for number, reason in taken]
    if problems:
        listed = "\n".join(f"{path}: {problem}" for problem in problems)
        raise ConfigError(f"{len(problems)} problem(s) in {path}:\n{listed}")
    if strangers:
        names = ", ".join(f"{name} ({count})" for name, count in sorted(strangers.items()))
        why = f", and {site.name} has none free" if unknown == "seat" else f", at EVSEs that {site.name} does not have"
        notes.append(f"{strangers.total()} visit(s) left out{why}: {names}")
    return Recording(visits=ordered, notes=tuple(notes))


def window(visits: Iterable[Visit], *, start: date, days: int, timezone: str) -> tuple[Visit, ...]:
    """Return the visits that begin on `days` local days from `start` on; their stays may end later."""
    zone = ZoneInfo(timezone)
    from_s, to_s = (datetime.combine(day, time(), zone).timestamp() for day in (start, start + timedelta(days=days)))
    return tuple(visit for visit in visits if from_s <= visit.arrive_s < to_s)


def history(visits: Iterable[Visit], *, before_s: float) -> History:
    """Return what a site has learnt of the visits that ended before a time [s since 1970]; everybody left full."""
    known = History()
    for visit in sorted((v for v in visits if v.depart_s < before_s and v.energy_wh > 0.0), key=lambda v: v.depart_s):
        visitor = Visitor(evse=visit.evse, plugged_at_s=visit.arrive_s)
        known = after(known, visitor, Ended(at_s=visit.depart_s, energy_wh=visit.energy_wh, is_full=True))
    return known


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error


def _places(site: Site) -> dict[str, Evse]:
    """Return the EVSEs by every name a recording may give them."""
    alone = {str(station.id): station.evses[0] for station in site.stations if len(station.evses) == 1}
    return alone | {str(evse.id): evse for evse in site.evses}


class _Usher:
    """Finds places for cars of another site."""

    def __init__(self, site: Site) -> None:
        self._free_s = dict.fromkeys(site.evses, 0.0)

    def seat(self, row: formats.Row) -> Evse | None:
        """Return the first EVSE that is free when a car arrives, and take it; None if all are taken."""
        evse = next((evse for evse, free_s in self._free_s.items() if free_s <= row.arrive_s), None)
        if evse is not None:
            self._free_s[evse] = row.depart_s
        return evse


def _visit(row: formats.Row, evse: Evse) -> Visit:
    series = row.power_series
    if row.current_series is not None:
        series = tuple((at_s, amps * evse.watts_per_amp) for at_s, amps in row.current_series)
    return Visit(
        evse=evse.id,
        session_id=row.session_id,
        arrive_s=row.arrive_s,
        depart_s=row.depart_s,
        energy_wh=row.energy_wh,
        stated_energy_wh=row.stated_energy_wh,
        stated_depart_s=row.stated_depart_s,
        max_w=row.max_w,
        phases=row.phases,
        power_series=series,
    )


def _one_at_a_time(
    visits: list[tuple[int, Visit]],
) -> tuple[tuple[Visit, ...], list[str], list[tuple[int, str]]]:
    """Let whoever comes to a taken EVSE wait for it; return visits, notes and those who waited in vain.

    Recordings overlap by rounding: the next car is plugged in the period in which the last one left.
    """
    free_s: dict[EvseId, float] = {}
    ordered, in_vain, waited_s = [], [], []
    for number, visit in sorted(visits, key=lambda numbered: (numbered[1].arrive_s, numbered[0])):
        start_s = max(visit.arrive_s, free_s.get(visit.evse, visit.arrive_s))
        if start_s >= visit.depart_s:
            in_vain.append((number, f"departure: {visit.evse} is taken by others for the whole stay"))
            continue
        if start_s > visit.arrive_s:
            waited_s.append(start_s - visit.arrive_s)
        free_s[visit.evse] = visit.depart_s
        ordered.append(replace(visit, arrive_s=start_s))
    notes = []
    if waited_s:
        notes.append(f"{len(waited_s)} visit(s) wait for a taken EVSE, {max(waited_s) / 60.0:.0f} min at most")
    return tuple(sorted(ordered, key=lambda visit: (visit.arrive_s, visit.evse))), notes, in_vain
