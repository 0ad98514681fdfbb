"""Recorded prices of energy from a CSV file, as a tariff that was sent."""

from __future__ import annotations

import csv
from datetime import datetime
from itertools import pairwise
from math import isfinite
from pathlib import Path
from zoneinfo import ZoneInfo

from smartcharge.errors import ConfigError
from smartcharge.events import PricesSet

HEADER = ("start_at", "per_kwh")


def read_prices(path: Path, timezone: str) -> PricesSet:
    """Read prices, one a row from ``start_at`` on (ISO 8601; by the clock of ``timezone`` without an offset).

    Raises ConfigError that names file, row, field and reason; the steps must be even.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if not rows or tuple(map(str.strip, rows[0])) != HEADER:
        raise ConfigError(f"{path}: row 1: the header must be {','.join(HEADER)}")
    read = [_row(f"{path}: row {number}", row, ZoneInfo(timezone)) for number, row in enumerate(rows[1:], 2)]
    if len(read) < 2:
        raise ConfigError(f"{path}: needs two prices or more, so that the time between them is known")
    step_s = read[1][0] - read[0][0]
    for number, ((before_s, _), (at_s, _)) in enumerate(pairwise(read), 3):
        if step_s <= 0.0 or abs(at_s - before_s - step_s) > 1e-6:
            raise ConfigError(f"{path}: row {number}: start_at: must be {step_s:g} s after the row before")
    start_s = read[0][0]
    return PricesSet(at_s=start_s, start_s=start_s, step_s=step_s, per_kwh=tuple(per_kwh for _, per_kwh in read))


def _row(where: str, row: list[str], zone: ZoneInfo) -> tuple[float, float]:
    if len(row) != len(HEADER):
        raise ConfigError(f"{where}: has {len(row)} fields, not {len(HEADER)}")
    try:
        at = datetime.fromisoformat(row[0].strip())
    except ValueError as error:
        raise ConfigError(f"{where}: start_at: {row[0]!r} is no time of ISO 8601") from error
    try:
        per_kwh = float(row[1])
    except ValueError:
        per_kwh = float("nan")
    if not isfinite(per_kwh):
        raise ConfigError(f"{where}: per_kwh: {row[1]!r} is no number")
    return (at if at.tzinfo is not None else at.replace(tzinfo=zone)).timestamp(), per_kwh
