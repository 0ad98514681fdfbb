"""The course of one policy as a picture: power against limit, cars below, and what went wrong on top (SVG)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from itertools import pairwise
from math import ceil, floor, log10
from typing import Final
from zoneinfo import ZoneInfo

from smartcharge.sim.result import Detection, Result, Series
from smartcharge.sim.runner import UNCONTROLLED
from smartcharge.sim.watcher import Violation

_WIDTH: Final = 1040.0
_LEFT: Final = 52.0
_RIGHT: Final = 12.0
_MARKS: Final = (4.0, 18.0)
"""Top and bottom of the strip in which violations and faults stand."""
_POWER: Final = (26.0, 226.0)
_CARS: Final = (246.0, 306.0)
_HEIGHT: Final = 330.0
_COLUMNS: Final = 900
"""Points that a line has at most; of the samples behind one, the worst is drawn."""
_TICKS: Final = 5
_LABEL_ROWS: Final = 4
"""Faults that follow one another write their names below one another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What the pictures of a campaign have in common, so that they can be compared."""

    start_s: float
    end_s: float
    top_w: float
    """Highest power of any of them [W]."""
    top_cars: int
    zone: ZoneInfo

    def x(self, at_s: float) -> float:
        """Return where a time [s since 1970] stands."""
        share = (min(max(at_s, self.start_s), self.end_s) - self.start_s) / (self.end_s - self.start_s)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def power_y(self, power_w: float) -> float:
        """Return where a power [W] stands."""
        top, bottom = _POWER
        return bottom - (bottom - top) * max(0.0, power_w) / self.top_w

    def cars_y(self, count: float) -> float:
        """Return where a number of cars stands."""
        top, bottom = _CARS
        return bottom - (bottom - top) * count / self.top_cars


def scale_of(results: Iterable[Result], start_s: float, end_s: float, zone: ZoneInfo) -> Scale:
    """Return a scale on which all results have room."""
    courses = [result.series for result in results]
    highest_w = max((max((*c.power_w, *c.limit_w), default=0.0) for c in courses), default=0.0)
    most_cars = max((max(c.cars, default=0) for c in courses), default=0)
    return Scale(
        start_s=start_s, end_s=end_s, top_w=_round_up(1.04 * highest_w / 1000.0) * 1000.0, top_cars=max(1, most_cars),
        zone=zone,
    )  # fmt: skip


def picture(result: Result, scale: Scale) -> str:
    """Return the course of a result as an SVG element; its colours come from the page's style sheet."""
    course = _thinned(result.series)
    power = [(scale.x(t), scale.power_y(p)) for t, p in zip(course.at_s, course.power_w, strict=True)]
    limit = [(scale.x(t), scale.power_y(p)) for t, p in zip(course.at_s, course.limit_w, strict=True)]
    plugged = [(scale.x(t), scale.cars_y(n)) for t, n in zip(course.at_s, course.cars, strict=True)]
    charging = [(scale.x(t), scale.cars_y(n)) for t, n in zip(course.at_s, course.charging, strict=True)]
    faults = () if result.policy == UNCONTROLLED else sorted(result.detections, key=lambda fault: fault.planted_s)
    parts = [
        *_axes(scale),
        *(_fault(fault, scale, row % _LABEL_ROWS) for row, fault in enumerate(faults)),
        f'<path class="power-area" d="{_area(power, _POWER[1], _line)}"/>',
        f'<path class="power" d="{_line(power)}"/>',
        f'<path class="limit" d="{_steps(limit)}"/>',
        f'<path class="plugged" d="{_area(plugged, _CARS[1], _steps)}"/>',
        f'<path class="charging" d="{_area(charging, _CARS[1], _steps)}"/>',
        *_marks(result.misbehaviour, "misbehaviour", scale),
        *_marks(result.violations, "violation", scale),
    ]
    title = f"<title>{escape(result.policy)}: power, limit and cars over time</title>"
    return f'<svg viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img">{title}{"".join(parts)}</svg>'


def _thinned(course: Series) -> Series:
    """Return a course with few enough samples to draw; the worst of those that share a column is kept."""
    size = max(1, ceil(len(course.at_s) / _COLUMNS))
    starts = range(0, len(course.at_s), size)
    return Series(
        at_s=tuple(course.at_s[i] for i in starts),
        power_w=tuple(max(course.power_w[i : i + size]) for i in starts),
        limit_w=tuple(min(course.limit_w[i : i + size]) for i in starts),
        cars=tuple(max(course.cars[i : i + size]) for i in starts),
        charging=tuple(max(course.charging[i : i + size]) for i in starts),
    )


_Points = Sequence[tuple[float, float]]


def _line(points: _Points) -> str:
    return "M" + " ".join(f"{x:.1f},{y:.1f}" for x, y in points) if points else ""


def _steps(points: _Points) -> str:
    """Return a path on which each value holds until the next; only its corners are written."""
    if not points:
        return ""
    corners = "".join(f"H{x:.1f}V{y:.1f}" for (_, before), (x, y) in pairwise(points) if y != before)
    return f"M{points[0][0]:.1f},{points[0][1]:.1f}{corners}H{points[-1][0]:.1f}"


def _area(points: _Points, bottom: float, outline: Callable[[_Points], str]) -> str:
    return f"{outline(points)}L{points[-1][0]:.1f},{bottom}L{points[0][0]:.1f},{bottom}Z" if points else ""


def _axes(scale: Scale) -> Iterator[str]:
    right = _WIDTH - _RIGHT
    for number in range(_TICKS + 1):
        power_w = scale.top_w * number / _TICKS
        y = scale.power_y(power_w)
        yield f'<path class="grid" d="M{_LEFT},{y:.1f}H{right}"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{power_w / 1000.0:g}</text>'
    yield f'<text x="{_LEFT - 6}" y="{_MARKS[1]}" text-anchor="end">kW</text>'
    for count in (0, scale.top_cars):
        yield f'<text x="{_LEFT - 6}" y="{scale.cars_y(count) + 4:.1f}" text-anchor="end">{count}</text>'
    yield f'<path class="grid" d="M{_LEFT},{_CARS[1]}H{right}"/>'
    for at_s, words in _times(scale):
        x = scale.x(at_s)
        yield f'<path class="grid" d="M{x:.1f},{_POWER[0]}V{_CARS[1]}"/>'
        anchor = "end" if x > right - 18.0 else "middle"
        yield f'<text x="{x:.1f}" y="{_HEIGHT - 8}" text-anchor="{anchor}">{words}</text>'


def _times(scale: Scale) -> Iterator[tuple[float, str]]:
    """Yield the times to write below: every few hours of one or two days, else noons with their day's name."""
    hours = (scale.end_s - scale.start_s) / 3600.0
    is_short = hours <= 49.0
    every_h = (2 if hours <= 25.0 else 4) if is_short else 24
    at = datetime.fromtimestamp(scale.start_s, scale.zone).replace(tzinfo=None, minute=0, second=0, microsecond=0)
    at = at.replace(hour=at.hour - at.hour % every_h if is_short else 12)
    step = timedelta(hours=every_h * (1 if is_short else ceil(hours / 24.0 / 14.0)))
    while (at_s := at.replace(tzinfo=scale.zone).timestamp()) <= scale.end_s:
        is_real = datetime.fromtimestamp(at_s, scale.zone).hour == at.hour  # not left out when summer time begins
        if at_s >= scale.start_s and is_real:
            yield at_s, f"{at:%H:%M}" if is_short else f"{at:%a %d}"
        at += step


def _marks(found: Iterable[Violation], kind: str, scale: Scale) -> Iterator[str]:
    """Yield one mark for each pixel that has any, with the first of them in words."""
    at: dict[int, list[Violation]] = {}
    for one in found:
        at.setdefault(round(scale.x(one.at_s)), []).append(one)
    top, bottom = _MARKS
    for x, ones in at.items():
        width = max(2.0, max(scale.x(one.until_s) for one in ones) - x)
        first = f"{ones[0].circuit or ''} {ones[0].phase or ''} {ones[0].cause}, {ones[0].amount_a:.1f} A above"
        more = f" and {len(ones) - 1} more" if len(ones) > 1 else ""
        yield (
            f'<rect class="{kind}" x="{x}" y="{top}" width="{width:.1f}" height="{bottom - top}">'
            f"<title>{escape(first.strip())}{more}</title></rect>"
        )


def _fault(fault: Detection, scale: Scale, row: int) -> str:
    """Return a line where a fault was planted and a band until it was noticed."""
    x = scale.x(fault.planted_s)
    until = x if fault.detected_s is None else scale.x(fault.detected_s)
    noticed = "not noticed" if fault.detected_s is None else f"noticed: {fault.evidence}"
    words = f"{fault.kind} {fault.target}, {noticed}"
    y = _POWER[0] + 10.0 + 14.0 * row
    return (
        f'<g class="fault"><rect x="{x:.1f}" y="{_MARKS[1]}" width="{max(1.5, until - x):.1f}"'
        f' height="{_CARS[1] - _MARKS[1]}"/><text x="{x + 4:.1f}" y="{y}">{escape(fault.kind)}</text>'
        f"<title>{escape(words)}</title></g>"
    )


def _round_up(value: float) -> float:
    """Return the next number that five ticks divide into round ones."""
    if value <= 0.0:
        return 1.0
    unit = 10.0 ** floor(log10(value))
    return next(unit * step for step in (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0) if unit * step >= value)
