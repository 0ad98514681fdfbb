"""What came of a simulated stretch of time under one policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from smartcharge.events import FaultRaised
from smartcharge.sim.plant import Outcome
from smartcharge.sim.watcher import Violation

FAIRNESS = (
    "Jain's index of the shares of their requests that the cars got: 1 when all got the same share, 1/n when one of n"
    " got everything. Shares, not energy, because who asks for little is not treated worse by getting little; and this"
    " index because it hangs on neither the number of cars nor the size of their requests."
)
"""The measure of fairness, and why this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The course of the run, one value a sample."""

    at_s: tuple[float, ...]
    power_w: tuple[float, ...]
    """True power through the grid connection [W]."""
    limit_w: tuple[float, ...]
    """Limit in force there [W]: the lowest phase, as balanced power."""
    cars: tuple[int, ...]
    """Cars plugged in."""
    charging: tuple[int, ...]
    """Cars that draw."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """A planted fault, and how the controller came to know of it."""

    kind: str
    target: str
    planted_s: float
    until_s: float
    """When it was repaired [s since 1970]."""
    detected_s: float | None
    """When [s since 1970]; None if nothing was noticed."""
    evidence: str
    """The fact that tells of it, or why there could be none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Toll:
    """What a fault of an EVSE's hardware cost the sessions there."""

    kind: str
    target: str
    planted_s: float
    lost_wh: float
    """Energy not delivered [Wh] against the same days without a fault."""
    if_blocked_wh: float
    """The same, had its EVSE been blocked from when the fault was found until it was repaired."""
    if_ignored_wh: float
    """The same, had nobody done anything; hardware that bears too much then switches itself off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The figures of one policy."""

    policy: str
    energy_requested_wh: float
    energy_delivered_wh: float
    sessions: int
    sessions_met: int
    """Sessions that got at least 99.9 % of what they asked."""
    cost: float
    """Energy at the site's prices and the demand charge on the highest quarter of an hour."""
    peak_w: float
    """Highest true power through the grid connection [W]."""
    fairness: float
    """Jain's index of the delivered shares: 1 when every session got the same share of its request."""
    session_wh: Mapping[str, float] = field(repr=False)
    """What each session got [Wh], counted up to what it asked."""
    pauses: int
    """How often a car that charged and wanted more was offered too little to go on."""
    worst_loading: float
    """Highest true current on any line as a share of its rating [A/A]."""
    violations: tuple[Violation, ...]
    misbehaviour: tuple[Violation, ...]
    """Overloads by a station's own misbehaviour, or within the reaction time to a rise of other load."""
    detections: tuple[Detection, ...]
    limit_drop_to_compliance_s: tuple[float, ...]
    """For every cut of the grid limit, how long the true load stayed above it [s]."""
    solve_s: tuple[float, ...]
    """Real time of every plan [s]."""
    wall_s: float
    series: Series = field(repr=False)
    tolls: tuple[Toll, ...] = ()
    """What faults cost, where that was asked for."""
    facts: tuple[FaultRaised | Outcome, ...] = field(default=(), repr=False)
    """What the controller wrote down of faults and of what it did about them."""


def fairness(shares: list[float]) -> float:
    """Return Jain's index of shares, between 1/n and 1 (Jain, Chiu, Hawe 1984); 1 for none."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares > 0.0 else 1.0
