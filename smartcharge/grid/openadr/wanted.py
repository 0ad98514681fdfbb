"""What a server wants to be told about an event: which energy, of which times (OpenADR 3.1.0, reportDescriptors)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Final

from smartcharge.grid.openadr.intervals import Span
from smartcharge.grid.openadr.messages import Event

QUARTER_S: Final = 900.0
"""Where an interval never ends, the energy of each quarter of an hour is told [s]."""
UNITS: Final = {
    "USAGE": {None: 1e-3, "KWH": 1e-3, "WH": 1.0, "MWH": 1e-6},
    "DEMAND": {None: 1e-3, "KW": 1e-3, "W": 1.0, "MW": 1e-6},
}
"""Factor from watt-hours (usage) and watts (demand, the mean), by type and unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One report that a server wants."""

    event_id: str
    program_id: str
    kind: str
    """USAGE or DEMAND."""
    factor: float
    frequency: int
    """Intervals in each report; -1 is all of them in one."""
    spans: tuple[Span, ...]


def wanted_of(event: Event, near: Sequence[Span]) -> Iterator[Wanted]:
    """Yield what an event wants reported and we can tell; a forecast or another type is left alone."""
    for descriptor in event.report_descriptors or ():
        factor = UNITS.get(descriptor.payload_type, {}).get(descriptor.units)
        if factor is not None and descriptor.historical and near:
            yield Wanted(
                event_id=event.id, program_id=event.program_id, kind=descriptor.payload_type, factor=factor,
                frequency=descriptor.frequency, spans=tuple(near),
            )  # fmt: skip


def due(wanted: Wanted, told_until_s: float, now_s: float) -> Sequence[Span]:
    """Return the intervals that the next report is about, after those told before; none while one has not ended."""
    spans = [span for span in _told_apart(wanted.spans, told_until_s, now_s) if span.start_s >= told_until_s]
    is_endless = any(span.end_s == inf for span in wanted.spans)
    every = 1 if is_endless else len(spans)
    batch = spans[: wanted.frequency if wanted.frequency > 0 else every]
    is_whole = not is_endless or len(batch) >= wanted.frequency
    return batch if batch and is_whole and batch[-1].end_s <= now_s else ()


def _told_apart(spans: Sequence[Span], since_s: float, now_s: float) -> Iterator[Span]:
    """Yield the intervals in order, one that never ends as the quarters of an hour that have passed since."""
    for span in sorted(spans, key=lambda span: span.start_s):
        if span.end_s < inf:
            yield span
            continue
        told = max(int((since_s - span.start_s) // QUARTER_S), 0)
        for n in range(told, max(int((now_s - span.start_s) // QUARTER_S), 0)):
            start_s = span.start_s + n * QUARTER_S
            yield replace(span, start_s=start_s, end_s=start_s + QUARTER_S)
