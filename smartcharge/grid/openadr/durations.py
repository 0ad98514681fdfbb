"""Durations of ISO 8601, with the calendar's months and years."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from math import inf
from typing import Final

_WRITTEN = re.compile(
    r"P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(?P<hours>\d+(?:\.\d+)?)H)?(?:(?P<minutes>\d+(?:\.\d+)?)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)
_LAST_YEAR: Final = 9999


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """So many months of the calendar and so many seconds; both may be infinite."""

    months: float = 0.0
    seconds: float = 0.0

    def after(self, start_s: float) -> float:
        """Return the time [s since 1970] this long after another, in UTC; infinite past the calendar's end."""
        if self.months == 0.0 or start_s == inf:
            return start_s + self.seconds
        start = datetime.fromtimestamp(start_s, UTC)
        month = start.month - 1 + self.months
        year = start.year + month // 12
        if year > _LAST_YEAR:
            return inf
        month = int(month % 12) + 1
        day = min(start.day, monthrange(int(year), month)[1])
        return start.replace(year=int(year), month=month, day=day).timestamp() + self.seconds

    @property
    def is_zero(self) -> bool:
        """Tell whether it is no time at all."""
        return self.months == 0.0 and self.seconds == 0.0


FOREVER: Final = Duration(months=inf)
"""P9999Y, and whatever is as long (OpenADR 3.1.0)."""


@lru_cache(maxsize=1000)
def duration_of(text: str) -> Duration:
    """Return a duration written as ISO 8601 has it; raises ValueError for anything else, negative ones too."""
    found = _WRITTEN.fullmatch(text.strip())
    if found is None or not any(found.groupdict().values()):
        raise ValueError(f"{text!r} is no duration of ISO 8601")
    part = {name: float(value or 0.0) for name, value in found.groupdict().items()}
    if part["years"] >= _LAST_YEAR:
        return FOREVER
    days = 7.0 * part["weeks"] + part["days"]
    seconds = 86400.0 * days + 3600.0 * part["hours"] + 60.0 * part["minutes"] + part["seconds"]
    return Duration(months=12.0 * part["years"] + part["months"], seconds=seconds)
