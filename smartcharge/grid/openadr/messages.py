"""The messages of OpenADR 3 that we read, forgiving where servers differ and strict where a limit depends on it.

OpenADR 3.1.0 Definition, chapter 8, and 3.0.1.  What we do not know is left alone: servers add keys.
"""

from __future__ import annotations

from datetime import UTC, datetime
from math import inf
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo
from pydantic.alias_generators import to_camel

from smartcharge.grid.openadr.durations import Duration, duration_of

NOW: Final = -inf
"""A start in the year 1: when the event came to be (3.1.0, 8.4)."""
NAIVE_IS_UTC: Final = {"naive_is_utc": True}
"""Context of validation for a server whose times without an offset are known to be UTC."""


def _start(value: object, info: ValidationInfo) -> object:
    """Return a start as seconds since 1970, or NOW; a time without an offset is malformed unless known to be UTC."""
    if value is None or value == "":
        return None
    text = str(value).strip()
    if text.startswith("0001-01-01"):
        return NOW
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        if not info.context:
            raise ValueError(f"{text!r} has no offset")
        at = at.replace(tzinfo=UTC)
    return at.timestamp()


def _duration(value: object) -> object:
    return None if value is None else duration_of(str(value))


Start: TypeAlias = Annotated[float | None, BeforeValidator(_start)]
Span: TypeAlias = Annotated[Duration | None, BeforeValidator(_duration)]


class Message(BaseModel):
    """What every message has in common: keys in camel case, unknown ones ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, arbitrary_types_allowed=True)


class Period(Message):
    """When something is, as far as it says."""

    start: Start = None
    duration: Span = None
    randomize_start: Span = None


class Values(Message):
    """Values of one type."""

    type: str
    values: list[Any]


class Interval(Message):
    """One interval of an event."""

    id: int
    interval_period: Period | None = None
    payloads: list[Values]


class Descriptor(Message):
    """The unit of a type."""

    payload_type: str
    units: str | None = None


class ReportDescriptor(Message):
    """What is to be reported on an event."""

    payload_type: str
    units: str | None = None
    frequency: int = -1
    """Intervals from one report to the next; -1 reports when the last one has ended."""
    historical: bool = True
    """Whether it asks for what was, and not for a forecast."""


class Event(Message):
    """An event of a program."""

    id: str
    program_id: str = Field(alias="programID")
    event_name: str | None = None
    created_date_time: Start = None
    modification_date_time: Start = None
    duration: Span = None
    priority: Annotated[int, Field(ge=0)] | None = None
    targets: list[Any] | None = None
    payload_descriptors: list[Descriptor] | None = None
    report_descriptors: list[ReportDescriptor] | None = None
    interval_period: Period | None = None
    intervals: list[Interval]

    def came_s(self, seen_s: float) -> float:
        """Return when it came to be [s since 1970], what its start ``now`` means: by its server, or when seen first."""
        times = (self.modification_date_time, self.created_date_time)
        return next((at for at in times if at is not None and at <= seen_s), seen_s)

    def targeted(self) -> frozenset[str]:
        """Return whom it is for, in either version; empty means everybody."""
        found: set[str] = set()
        for target in self.targets or ():
            found |= {str(value) for value in target.get("values", ())} if isinstance(target, dict) else {str(target)}
        return frozenset(found)
