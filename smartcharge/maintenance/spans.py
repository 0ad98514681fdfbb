"""Stretches of time as sorted tuples without overlap: the arithmetic of outages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias


class Span(NamedTuple):
    """From ``since_s`` up to, not including, ``until_s`` [s since 1970]."""

    since_s: float
    until_s: float

    @property
    def length_s(self) -> float:
        """Return how long it is [s]."""
        return self.until_s - self.since_s


Spans: TypeAlias = tuple[Span, ...]
"""Ascending, none empty, none touching the next."""


def union(spans: Iterable[Span]) -> Spans:
    """Return the time that any of some stretches covers."""
    merged: list[Span] = []
    for span in sorted(spans):
        if span.until_s <= span.since_s:
            continue
        if merged and span.since_s <= merged[-1].until_s:
            merged[-1] = Span(merged[-1].since_s, max(merged[-1].until_s, span.until_s))
        else:
            merged.append(span)
    return tuple(merged)


def common(first: Spans, second: Spans) -> Spans:
    """Return the time that both cover."""
    return union(Span(max(a.since_s, b.since_s), min(a.until_s, b.until_s)) for a in first for b in second)


def less(first: Spans, second: Spans) -> Spans:
    """Return the time that only the first covers."""
    return union(piece for span in first for piece in _pieces(span, second))


def _pieces(span: Span, holes: Spans) -> Iterator[Span]:
    since_s = span.since_s
    for hole in holes:
        yield Span(since_s, min(hole.since_s, span.until_s))
        since_s = max(since_s, hole.until_s)
    yield Span(since_s, span.until_s)


def total_s(spans: Spans) -> float:
    """Return how long they are together [s]."""
    return sum(span.length_s for span in spans)


def first_s(spans: Spans, most_s: float) -> Spans:
    """Return the beginning of some stretches, no longer than ``most_s`` [s] together."""
    kept: list[Span] = []
    for span in spans:
        length_s = min(span.length_s, most_s)
        kept.append(Span(span.since_s, span.since_s + length_s))
        most_s -= length_s
    return union(kept)
