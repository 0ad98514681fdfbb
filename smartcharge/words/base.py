"""What every JSON payload has in common.

Units are in the names, a missing value is null or absent and never 0, an unknown key is refused, and
every time carries its offset (RFC 3339); what we write is in UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from smartcharge.errors import SourceError
from smartcharge.model import Phases

_WRITTEN_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def _read_time(value: object) -> object:
    # Left alone, pydantic would read "1748736000" as a time.
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _WRITTEN_TIME.fullmatch(value):
        raise ValueError("must be an ISO 8601 time with its offset, e.g. 2025-06-01T12:00:00Z")
    return datetime.fromisoformat(value)


Time = Annotated[AwareDatetime, BeforeValidator(_read_time)]
Amps = Annotated[float, Field(ge=0.0)]


class PayloadError(SourceError):
    """What was said is not believed; nothing changes because of it."""

    def __init__(self, *faults: tuple[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {reason}" if field else reason for field, reason in faults))
        self.faults = faults
        """Field (dotted path, or empty for the whole) and reason of each fault."""


class Payload(BaseModel):
    """What every payload has in common: strict types, no unknown keys, finite numbers."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class PhaseCurrents(Payload):
    """One current for each phase [A]."""

    l1: Amps
    l2: Amps
    l3: Amps

    def phases(self) -> Phases:
        """Return the same as the model's own type."""
        return Phases(self.l1, self.l2, self.l3)


def utc(at_s: float) -> datetime:
    """Return a time for people and payloads; to the millisecond, which is all that a payload needs."""
    return datetime.fromtimestamp(round(at_s, 3), UTC)
