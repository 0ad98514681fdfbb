"""Loads that are not ours to control: constant, or a building's day with noise, from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from math import cos, floor, inf, pi
from typing import Protocol
from zoneinfo import ZoneInfo

import numpy as np

from smartcharge.model import Phases


class Load(Protocol):
    """A load on a circuit, constant between its changes."""

    def current_a(self, at_s: float) -> Phases:
        """Return what it draws on each phase at a POSIX time [A]."""

    def next_change_s(self, at_s: float) -> float:
        """Return when it changes next [s since 1970], later than `at_s`; infinite if never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantLoad:
    """A load that never changes."""

    amps: Phases

    def current_a(self, at_s: float) -> Phases:
        """Return what it always draws [A]."""
        return self.amps

    def next_change_s(self, at_s: float) -> float:
        """Return infinity."""
        return inf


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildingLoad:
    """A building that wakes in the morning and sleeps at night, a new noisy value every step.

    The day is a raised cosine from 06:00 to 22:00 local time between `base` and 0.85 of the peak, with
    noise of `noise` (standard deviation, share of the peak), never above the peak.  An assumption, not a
    fit: it stands for any load that moves while cars charge.
    """

    peak_a: Phases
    """Highest current it ever draws [A]."""
    timezone: str
    seed: int
    base: float = 0.3
    """Share of the peak drawn at night."""
    noise: float = 0.05
    step_s: float = 300.0

    def current_a(self, at_s: float) -> Phases:
        """Return what it draws on each phase in the step around `at_s` [A]."""
        shares = _shares(self, floor(at_s / self.step_s))
        return Phases(*(peak * share for peak, share in zip(self.peak_a, shares, strict=True)))

    def next_change_s(self, at_s: float) -> float:
        """Return the start of the next step [s since 1970]."""
        return (floor(at_s / self.step_s) + 1) * self.step_s


@lru_cache(maxsize=4)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _shares(load: BuildingLoad, step: int) -> tuple[float, ...]:
    """Return the share of the peak on each phase in a step, the same whenever it is asked."""
    local = datetime.fromtimestamp(step * load.step_s, _zone(load.timezone))
    hour = local.hour + local.minute / 60.0
    day = (1.0 - cos(2.0 * pi * (hour - 6.0) / 16.0)) / 2.0 if 6.0 <= hour < 22.0 else 0.0
    noise = np.random.default_rng((load.seed, step)).normal(0.0, load.noise, 3)
    return tuple(float(share) for share in np.clip(load.base + (0.85 - load.base) * day + noise, 0.0, 1.0))
