"""What is remembered of an EVSE's health: its derates, what its readings add up to, how its sessions went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from smartcharge.events import Derated, FaultOrder
from smartcharge.faults import Cause, Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class Derating:
    """A derate as it stands."""

    said: Derated
    proofs: int = 0
    """Clean sessions since probation began."""
    acknowledged_by: str | None = None
    released: FaultOrder | None = None
    """By which it goes on probation in the next cycle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What the readings of one EVSE add up to; a None time says that it is not so now."""

    volts_out_since_s: float | None = None
    """Since when its voltage is out of its band."""
    volts_in_since_s: float | None = None
    dead: tuple[bool, bool, bool] = (False, False, False)
    """Own phases without voltage, or without current although the car uses them."""
    dead_since_s: float | None = None
    live_since_s: float | None = None
    used_all: bool = False
    """Whether this car was seen to draw from all three phases."""
    body_c: float | None = None
    outlet_c: float | None = None
    welded_since_s: float | None = None
    """Since when a current flows although it is told 0 A and says that it is paused."""
    implausible: int = 0
    """Readings in a row whose current and power contradict each other."""
    good: int = 0
    """Readings in a row that are fresh, whole and plausible."""

    @property
    def is_uneasy(self) -> bool:
        """Tell whether another reading may prove or disprove something."""
        since = (self.volts_out_since_s, self.dead_since_s, self.welded_since_s)
        return self.implausible > 0 or any(since_s is not None for since_s in since)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What is seen of the transaction that runs."""

    began_s: float
    token: str | None
    peak_a: float = 0.0
    """The most that it drew [A]."""
    offer_a: float = 0.0
    """The most that it was surely offered for long enough to take it [A]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """Sums of a straight line through readings: temperature [C] over current [A] by least squares."""

    count: float = 0.0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """How an EVSE did so far."""

    visit: Visit | None = None
    sessions: float = 0.0
    """Sessions judged; older ones count less."""
    failures: float = 0.0
    failed: tuple[str | None, ...] = ()
    """Tokens of the failed sessions in a row."""
    short: float = 0.0
    """CUSUM of how far cars fell short of what they take elsewhere, in standard deviations."""
    short_cars: tuple[str, ...] = ()
    """Tokens of the different cars that fell short."""
    short_peak_a: float = 0.0
    """The most that any of them drew here [A]: who draws more disproves it."""
    raised_s: Mapping[Cause, tuple[float, ...]] = field(default_factory=dict)
    """When each cause came, the last day's."""
    refusals: int = 0
    """Commands refused in a row."""
    heat: Slope = field(default_factory=Slope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """All that is remembered."""

    deratings: Mapping[Cause, Derating] = field(default_factory=dict)
    watch: Watch = field(default_factory=Watch)
    history: History = field(default_factory=History)
    reported: Mapping[Cause, Priority] = field(default_factory=dict)
    """Causes that maintenance knows of, with the priority that it was told."""
    muted: Mapping[Cause, float] = field(default_factory=dict)
    """Causes that are muted, with the end [s since 1970]."""
    forced: Mapping[Cause, FaultOrder] = field(default_factory=dict)
    """Derates that a person ordered."""
