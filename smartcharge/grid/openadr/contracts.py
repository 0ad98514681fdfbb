"""What holds when the line to an OpenADR 3 server is lost (User Guide 8.10.1): capacity that was contracted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf

from smartcharge.events import FailsafeStep
from smartcharge.model import Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """So much capacity from a time to another [s since 1970]."""

    start_s: float
    end_s: float
    """Infinite: for ever."""
    power_w: float
    direction: Direction
    is_more: bool
    """Whether it is a reservation, which comes on top of a subscription."""


def failsafe_steps(contracts: Iterable[Contract], now_s: float) -> tuple[FailsafeStep, ...]:
    """Return what is contracted from now on: the strictest subscription, and the strictest reservation on top.

    A reservation without a subscription says nothing: nobody knows what it adds to.
    """
    known = [contract for contract in contracts if contract.end_s > now_s]
    return tuple(
        step
        for direction in Direction
        for step in _joined(_steps([c for c in known if c.direction is direction], direction))
    )


def _steps(contracts: Sequence[Contract], direction: Direction) -> Iterator[FailsafeStep]:
    waiting = sorted(contracts, key=lambda contract: contract.start_s, reverse=True)
    edges = sorted({time for contract in contracts for time in (contract.start_s, contract.end_s)})
    now: list[Contract] = []
    for start_s, end_s in pairwise(edges):
        while waiting and waiting[-1].start_s <= start_s:
            now.append(waiting.pop())
        now = [contract for contract in now if contract.end_s > start_s]
        base_w = min((c.power_w for c in now if not c.is_more), default=None)
        more_w = min((c.power_w for c in now if c.is_more), default=0.0)
        if base_w is not None:
            yield FailsafeStep(
                start_s=start_s, end_s=None if end_s == inf else end_s, power_w=base_w + more_w, direction=direction
            )


def _joined(steps: Iterator[FailsafeStep]) -> list[FailsafeStep]:
    found: list[FailsafeStep] = []
    for step in steps:
        if found and found[-1].end_s == step.start_s and found[-1].power_w == step.power_w:
            found[-1] = replace(found[-1], end_s=step.end_s)
        else:
            found.append(step)
    return found
