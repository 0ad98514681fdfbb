"""Whether what a station measures fits together: pure checks on its readings, for self-tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from smartcharge.events import Metered
from smartcharge.model import Evse, Wiring

LEAST_READINGS: Final = 4
"""Of fewer nothing is said."""
SHARE: Final = 0.15
"""How far two figures for the same thing may be apart: meters of class 2 and the ripple of a car's current."""
LEAST_W: Final = 150.0
LEAST_WH: Final = 50.0
"""Differences below these prove nothing: registers count in tens of watt-hours."""


class Verdict(NamedTuple):
    """How a test went."""

    passed: bool
    detail: str


def judged(evse: Evse, readings: Sequence[Metered]) -> Verdict | None:
    """Return whether readings of one EVSE while a car charges fit together; None where too little was told."""
    comparisons = [*_powers(evse, readings), *_registers(readings)]
    if len(readings) < LEAST_READINGS or not comparisons:
        return None
    worst = max(comparisons, key=lambda one: one.off / one.allowed)
    return Verdict(passed=worst.off <= worst.allowed, detail=worst.words)


class _Comparison(NamedTuple):
    off: float
    allowed: float
    words: str


def _powers(evse: Evse, readings: Sequence[Metered]) -> Iterator[_Comparison]:
    """Compare power with current times voltage; DC and line-to-line supplies tell too little."""
    if evse.wiring is Wiring.DC:
        return
    for one in readings:
        if one.current_a is not None and one.power_w is not None:
            product_w = sum(one.current_a) * evse.watts_per_amp / evse.phase_count
            words = f"power {one.power_w:.0f} W, by its currents {product_w:.0f} W"
            yield _Comparison(abs(one.power_w - product_w), max(SHARE * product_w, LEAST_W), words)


def _registers(readings: Sequence[Metered]) -> Iterator[_Comparison]:
    """Compare what the register gained with the power over the time."""
    told = [(one.at_s, one.power_w, one.energy_wh) for one in readings]
    whole = [(at_s, power_w, wh) for at_s, power_w, wh in told if power_w is not None and wh is not None]
    if len(whole) < LEAST_READINGS:
        return
    gained_wh = whole[-1][2] - whole[0][2]
    sum_wh = sum(0.5 * (a[1] + b[1]) * (b[0] - a[0]) / 3600.0 for a, b in pairwise(whole))
    words = f"the register gained {gained_wh:.0f} Wh, its power came to {sum_wh:.0f} Wh"
    yield _Comparison(abs(gained_wh - sum_wh), max(SHARE * sum_wh, LEAST_WH), words)
