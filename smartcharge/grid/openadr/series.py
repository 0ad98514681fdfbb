"""From windows with one number each to a series of even steps, as tariffs have it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import gcd, isfinite
from typing import Final

MOST_STEPS: Final = 10_000
"""A series of more steps is none: windows whose lengths have nothing in common."""
ENDLESS_S: Final = 10.0 * 365.0 * 86400.0
"""How long a value holds that holds for ever [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One number from a time to another [s since 1970]."""

    start_s: float
    end_s: float
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Numbers at even steps from a time on."""

    start_s: float
    step_s: float
    values: tuple[float, ...]


def series_of(steps: Sequence[Step], now_s: float) -> Series | None:
    """Return the first steps that follow each other without a gap and have not all ended; None if there are none.

    They may be of different lengths, on whole seconds.  Steps that overlap contradict each other: that is no series.
    """
    for run in _runs(sorted(steps, key=lambda step: step.start_s)):
        if run[-1].end_s > now_s:
            return _even(run)
    return None


def _runs(ordered: Sequence[Step]) -> Iterator[Sequence[Step]]:
    """Yield the parts of a list between its gaps."""
    while ordered:
        ends_s = [ordered[0].start_s, *(step.end_s for step in ordered)]
        count = sum(1 for _ in takewhile(lambda pair: pair[0].start_s <= pair[1], zip(ordered, ends_s, strict=False)))
        yield ordered[:count]
        ordered = ordered[count:]


def _even(run: Sequence[Step]) -> Series | None:
    ends_s = [step.end_s if isfinite(step.end_s) else step.start_s + ENDLESS_S for step in run]
    if any(after.start_s != end_s for after, end_s in zip(run[1:], ends_s, strict=False)):
        return None
    if len(run) == 1:
        return Series(start_s=run[0].start_s, step_s=ends_s[0] - run[0].start_s, values=(run[0].value,))
    lengths_s = [end_s - step.start_s for step, end_s in zip(run, ends_s, strict=True)]
    step_s = gcd(*(round(length_s) for length_s in lengths_s))
    counts = [round(length_s) // max(step_s, 1) for length_s in lengths_s]
    if any(abs(s - round(s)) > 1e-3 for s in lengths_s) or step_s == 0:
        return None
    if not isfinite(run[-1].end_s):
        counts[-1] = min(counts[-1], max(MOST_STEPS - sum(counts[:-1]), 1))
    if sum(counts) > MOST_STEPS:
        return None
    values = tuple(step.value for step, count in zip(run, counts, strict=True) for _ in range(count))
    return Series(start_s=run[0].start_s, step_s=float(step_s), values=values)
