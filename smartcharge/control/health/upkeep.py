"""What follows from the state by itself, in the order in which one thing leads to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from smartcharge.control.health.derating import due
from smartcharge.control.health.detect import derived_faults
from smartcharge.control.health.site import resets, services, site_faults
from smartcharge.control.state import State
from smartcharge.events import Event

UPKEEP: Final[tuple[Callable[[State, float], Iterator[Event]], ...]] = (
    derived_faults, site_faults, due, services, resets,
)  # fmt: skip
"""Each yields facts that the state does not know yet; they are applied before the next is asked."""
