"""From an event to windows of time with values: the whole of interval resolution (OpenADR 3.1.0, 8.3 to 8.5).

An interval's own period overrides the event's, field by field; without a start it follows the one before.
The event's ``duration`` repeats or cuts the list; several values of one type divide their interval evenly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from math import ceil, inf, isfinite

from smartcharge.grid.openadr.durations import FOREVER, Duration
from smartcharge.grid.openadr.messages import NOW, Event, Interval, Period

BACK_S = 86400.0
"""Windows that ended longer ago than this are of no interest [s]."""
AHEAD_S = 35 * 86400.0
"""Repetitions that begin later than this from now are of no interest yet [s]: a site may be offline for weeks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Values of one type from a time to another [s since 1970]."""

    interval_id: int
    start_s: float
    end_s: float
    type: str
    values: tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One interval of an event from a time to another [s since 1970]."""

    interval: Interval
    start_s: float
    end_s: float
    randomize_s: float = 0.0
    """By how much its start may be off, either way [s]."""


def windows(
    event: Event, now_s: float, *, seen_s: float | None = None, seed: str = "", is_zero_endless: bool = False
) -> tuple[Window, ...]:
    """Return the windows of an event around now, in the order of its intervals; see `spans`."""
    near = spans(event, now_s, seen_s=seen_s, seed=seed, is_zero_endless=is_zero_endless)
    return tuple(window for span in near for window in divided(span))


def spans(
    event: Event, now_s: float, *, seen_s: float | None = None, seed: str = "", is_zero_endless: bool = False
) -> Iterator[Span]:
    """Yield when the intervals of an event are around now, in their order.

    ``seen_s`` is when the event was seen first, if not now.  ``seed`` tells sites apart in what is random.
    ``is_zero_endless`` reads PT0S as 3.0.1 has it; in 3.1.0 it is no time at all, which cancels.
    """
    came_s = event.came_s(now_s if seen_s is None else seen_s)
    for span in _repeated(tuple(_spans(event, came_s, is_zero_endless=is_zero_endless)), event, now_s):
        if span.end_s > max(span.start_s, now_s - BACK_S) and span.start_s < now_s + AHEAD_S:
            yield _shifted(span, event.id, seed)


def _spans(event: Event, came_s: float, *, is_zero_endless: bool) -> Iterator[Span]:
    """Yield when each interval is, if the list were run through once."""
    shared = event.interval_period or Period()
    next_s = _start_s(shared.start, came_s)
    for interval in event.intervals:
        own = interval.interval_period or Period()
        start_s = next_s if own.start is None else _start_s(own.start, came_s)
        duration = own.duration or shared.duration or FOREVER
        if duration.is_zero and is_zero_endless:
            duration = FOREVER
        randomize = own.randomize_start or shared.randomize_start
        end_s = _after(duration, start_s)
        yield Span(
            interval=interval,
            start_s=start_s,
            end_s=end_s,
            randomize_s=0.0 if randomize is None else _after(randomize, 0.0),
        )
        next_s = end_s


def _start_s(start: float | None, came_s: float) -> float:
    return came_s if start is None or start == NOW else start


def _after(duration: Duration, start_s: float) -> float:
    return inf if duration.months == inf else duration.after(start_s)


def _repeated(spans: Sequence[Span], event: Event, now_s: float) -> Iterator[Span]:
    """Yield the spans as often as the event's own duration asks for, the last one cut (3.1.0)."""
    if event.duration is None or not spans:
        yield from spans
        return
    first_s, last_s = min(span.start_s for span in spans), max(span.end_s for span in spans)
    length_s, until_s = last_s - first_s, _after(event.duration, first_s)
    if length_s <= 0.0:
        return
    if not isfinite(length_s):
        yield from _cut(spans, until_s)
        return
    turn = max(0, int((now_s - BACK_S - first_s) // length_s))
    turns = ceil((min(until_s, now_s + AHEAD_S) - first_s) / length_s)
    for n in range(turn, turns):
        moved = (replace(s, start_s=s.start_s + n * length_s, end_s=s.end_s + n * length_s) for s in spans)
        yield from _cut(tuple(moved), until_s)


def _cut(spans: Sequence[Span], until_s: float) -> Iterator[Span]:
    return (replace(span, end_s=min(span.end_s, until_s)) for span in spans if span.start_s < until_s)


def _shifted(span: Span, event_id: str, seed: str) -> Span:
    """Return a span moved at random; only so that it holds longer, since a reduction is never delayed."""
    if span.randomize_s <= 0.0:
        return span
    digest = sha256(f"{seed}\0{event_id}".encode(errors="surrogatepass")).digest()
    offset_s = span.randomize_s * (int.from_bytes(digest[:8]) / 2**63 - 1.0)
    return replace(span, start_s=span.start_s + min(offset_s, 0.0), end_s=span.end_s + max(offset_s, 0.0))


def divided(span: Span) -> Iterator[Window]:
    """Yield the windows of one interval: one for each of several values, if it has an end to divide."""
    for payload in span.interval.payloads:
        count = len(payload.values)
        is_divided = count > 1 and isfinite(span.end_s)
        length_s = (span.end_s - span.start_s) / count if is_divided else span.end_s - span.start_s
        parts = payload.values if is_divided else [payload.values]
        for n, part in enumerate(parts):
            yield Window(
                interval_id=span.interval.id,
                start_s=span.start_s + n * length_s if n else span.start_s,
                end_s=span.start_s + (n + 1) * length_s if isfinite(length_s) else inf,
                type=payload.type,
                values=(part,) if is_divided else tuple(part),
            )
