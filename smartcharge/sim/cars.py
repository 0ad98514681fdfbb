"""Cars: what a battery takes when it is offered a current.  Pure physics, no time of day, no I/O.

A car's battery accepts a power that never rises with its state of charge, given by corners joined by
straight lines.  Between two corners the power it takes therefore decays exponentially in time or is
constant, so an interval of constant offer is integrated in closed form, corner by corner:

    dE/dt = min(cap, P(E)),  P(E) = P0 - k (E - E0)  =>  P(t) = P0 exp(-k t)
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import accumulate, pairwise
from math import expm1, inf, isclose, log1p
from operator import itemgetter
from typing import TYPE_CHECKING, Self

from smartcharge.model import Evse, Wiring

if TYPE_CHECKING:
    from collections.abc import Callable

    from smartcharge.sim.recordings import Visit

TAPER_SOC = 0.8
"""State of charge from which a two-stage battery takes ever less."""
TAPER_END = 0.05
"""Share of its highest power that a two-stage battery still takes when it is full."""
MIN_A = 6.0
"""Lowest current a control pilot can offer (IEC 61851-1 table A.8); below it a car pauses."""
CAPACITY_WH = 52_000.0
"""Battery of a car of which nothing is known [Wh]: the median of 197 battery-electric cars in open-ev-data (2021)."""
CAPACITIES_WH = (8e3, 24e3, 40e3, 60e3, 85e3, 100e3)
"""Batteries that a tight fit chooses from [Wh]: those of acnportal's `batt_cap_fn`."""
SNAP_S = 1e-6
"""A corner nearer than this counts as reached: below it lies the rounding of POSIX seconds."""


class Battery(Enum):
    """What is made of a recorded energy where the recording does not tell the power."""

    TWO_STAGE = "two-stage"
    """Full power to `TAPER_SOC`, then ever less; a common size, and full in the end where the stay allows."""
    TIGHT = "tight"
    """Full power to `TAPER_SOC`, then linearly to nothing; the smallest that takes the energy in the stay, from the
    highest state of charge from which it does (Linear2StageBattery and `batt_cap_fn` of acnportal)."""
    IDEAL = "ideal"
    """Full power to the last watt-hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of charging under one law: the power decays exponentially, or is constant."""

    power_w: float
    """Power at its start [W]."""
    decay_per_s: float
    """Rate at which the power falls [1/s]; 0 where it is constant."""
    end_wh: float
    """Energy taken at its end [Wh]."""

    def energy_wh(self, seconds: float) -> float:
        """Return the energy taken in the first `seconds` of it [Wh]."""
        if self.decay_per_s == 0.0:
            return self.power_w * seconds / 3600.0
        return -self.power_w * expm1(-self.decay_per_s * seconds) / self.decay_per_s / 3600.0

    def seconds(self, energy_wh: float) -> float:
        """Return how long it takes to take `energy_wh` [s]; infinite where it never will."""
        if self.power_w <= 0.0:
            return inf
        if self.decay_per_s == 0.0:
            return energy_wh * 3600.0 / self.power_w
        share = self.decay_per_s * energy_wh * 3600.0 / self.power_w
        return -log1p(-share) / self.decay_per_s if share < 1.0 else inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Car:
    """A car as an EVSE sees it: a battery behind a charger, with its habits.

    Power and energy are counted where the car is billed: AC at an AC EVSE, DC at a DC one.
    """

    energy_wh: float
    """What it wants [Wh]; it stops there."""
    capacity_wh: float
    start_soc: float
    """State of charge when it is plugged in, 0 to 1."""
    acceptance: tuple[tuple[float, float], ...]
    """Corners (state of charge, highest power [W]), soc rising from 0 to 1, power never rising, above 0."""
    phases: int = 3
    """Phases its on-board charger uses where the EVSE offers them: 1, 2 or 3."""
    max_a: float = inf
    """Most its on-board charger draws on each phase [A]."""
    min_a: float = MIN_A
    """Below this offer it pauses [A]."""
    start_delay_s: float = 0.0
    """From plug to the first draw [s]."""
    response_s: float = 0.0
    """From a new offer to following it [s]; IEC 61851-1 allows 5 s."""
    sleeps: bool = False
    """Whether it takes no more once it was paused, until it is plugged in again."""
    corners: tuple[tuple[float, float], ...] = field(init=False, repr=False, compare=False)
    """The acceptance over energy taken since plugged in: (Wh, W)."""

    def __post_init__(self) -> None:
        """Refuse what is not physics; raises ValueError."""
        socs = [soc for soc, _ in self.acceptance]
        powers = [power for _, power in self.acceptance]
        if socs[:1] != [0.0] or socs[-1:] != [1.0] or any(b <= a for a, b in pairwise(socs)):
            raise ValueError(f"acceptance must rise in state of charge from 0 to 1: {self.acceptance}")
        if powers[-1] <= 0.0 or any(b > a for a, b in pairwise(powers)):
            raise ValueError(f"acceptance must fall in power and stay above 0: {self.acceptance}")
        room_wh = self.capacity_wh * (1.0 - self.start_soc)
        if not (self.energy_wh <= room_wh or isclose(self.energy_wh, room_wh)):
            raise ValueError(f"{self.energy_wh} Wh do not fit into {room_wh} Wh")
        if not 1 <= self.phases <= 3:
            raise ValueError(f"a car uses 1, 2 or 3 phases, not {self.phases}")
        corners = tuple(((soc - self.start_soc) * self.capacity_wh, power) for soc, power in self.acceptance)
        object.__setattr__(self, "corners", corners)

    @classmethod
    def ideal(cls, *, energy_wh: float, max_w: float, phases: int = 3) -> Self:
        """Return a car that takes `max_w` [W] to the last watt-hour."""
        return cls(
            energy_wh=energy_wh,
            capacity_wh=max(energy_wh, 1.0),
            start_soc=0.0,
            acceptance=((0.0, max_w), (1.0, max_w)),
            phases=phases,
        )

    @classmethod
    def two_stage(
        cls, *, energy_wh: float, max_w: float, capacity_wh: float = CAPACITY_WH, end_soc: float = 1.0, phases: int = 3
    ) -> Self:
        """Return a car that takes `max_w` [W] up to `TAPER_SOC`, then ever less, and wants to reach `end_soc`."""
        capacity_wh = max(capacity_wh, energy_wh / end_soc)
        return cls(
            energy_wh=energy_wh,
            capacity_wh=capacity_wh,
            start_soc=max(0.0, end_soc - energy_wh / capacity_wh),
            acceptance=((0.0, max_w), (TAPER_SOC, max_w), (1.0, TAPER_END * max_w)),
            phases=phases,
        )

    @property
    def tail(self) -> tuple[float, float]:
        """Energy since plugged in at which it would take nothing [Wh], and the time constant of its way there [s].

        Infinite and 0 where the power does not fall in one straight line over the energy.
        """
        (from_wh, from_w), (to_wh, to_w) = self.corners[-2:]
        if len(self.corners) != 3 or to_w >= from_w:
            return inf, 0.0
        tail_h = (to_wh - from_wh) / (from_w - to_w)
        return from_wh + tail_h * from_w, tail_h * 3600.0

    def phases_at(self, evse: Evse) -> int:
        """Return how many phases of an EVSE it loads; a rectifier loads three whatever hangs on it."""
        return min(self.phases, 3) if evse.wiring is Wiring.THREE_PHASE else evse.phase_count

    def watts_per_amp(self, evse: Evse) -> float:
        """Return the power it is billed for each ampere per phase on the AC side [W/A]."""
        efficiency = evse.efficiency if evse.wiring is Wiring.DC else 1.0
        return self.phases_at(evse) * evse.voltage_v * efficiency

    def cap_w(self, evse: Evse, offered_a: float) -> float:
        """Return the power an offer [A per phase] allows [W]; 0 below the least current it charges at."""
        if offered_a < self.min_a - 1e-9:
            return 0.0
        return min(offered_a, self.max_a) * self.watts_per_amp(evse)

    def current_a(self, evse: Evse, offered_a: float, taken_wh: float = 0.0) -> float:
        """Return what it draws now [A per phase], never more than is offered."""
        power_w = self.piece(self.cap_w(evse, offered_a), taken_wh).power_w
        return min(offered_a, power_w / self.watts_per_amp(evse))

    def soc(self, taken_wh: float) -> float:
        """Return the state of charge after `taken_wh`, 0 to 1."""
        return min(1.0, self.start_soc + taken_wh / self.capacity_wh)

    def piece(self, cap_w: float, taken_wh: float) -> Piece:
        """Return the law under which it charges from here on while the cap [W] stays."""
        if taken_wh >= self.energy_wh or cap_w <= 0.0:
            return Piece(power_w=0.0, decay_per_s=0.0, end_wh=inf)
        last = len(self.corners) - 2
        at = min(max(bisect_right(self.corners, taken_wh, key=itemgetter(0)) - 1, 0), last)
        (from_wh, from_w), (to_wh, to_w) = self.corners[at : at + 2]
        slope = (from_w - to_w) / (to_wh - from_wh)
        end_wh = min(to_wh, self.energy_wh) if at < last else self.energy_wh
        capped_until_wh = from_wh + (from_w - cap_w) / slope if slope > 0.0 else (inf if cap_w <= from_w else -inf)
        if capped_until_wh > taken_wh:
            return Piece(power_w=cap_w, decay_per_s=0.0, end_wh=min(end_wh, capped_until_wh))
        power_w = min(cap_w, max(from_w - slope * (taken_wh - from_wh), self.corners[-1][1]))
        return Piece(power_w=power_w, decay_per_s=slope / 3600.0, end_wh=end_wh)

    def charge(self, cap_w: float, taken_wh: float, seconds: float) -> float:
        """Return the energy taken [Wh] after `seconds` more under a cap [W], exactly."""
        while taken_wh < self.energy_wh:
            piece = self.piece(cap_w, taken_wh)
            lasts_s = piece.seconds(piece.end_wh - taken_wh)
            if lasts_s > seconds + SNAP_S:
                return taken_wh + piece.energy_wh(seconds)
            taken_wh = piece.end_wh
            seconds = max(0.0, seconds - lasts_s)
        return taken_wh

    def seconds_to_full(self, cap_w: float, taken_wh: float = 0.0) -> float:
        """Return how long it takes under a cap [W] until it has what it wants [s]; infinite if never."""
        total_s = 0.0
        while taken_wh < self.energy_wh and total_s < inf:
            piece = self.piece(cap_w, taken_wh)
            total_s += piece.seconds(piece.end_wh - taken_wh)
            taken_wh = piece.end_wh
        return total_s


def recorded(visit: Visit, evse: Evse, *, battery: Battery = Battery.TWO_STAGE) -> Car:
    """Return a car that would have taken what was recorded, at this EVSE, within its stay.

    A recording tells the energy but not the battery.  A power series is followed, unless the battery is to be
    ideal; without one the battery is what `battery` makes of the energy and the stay.
    """
    min_a = 0.0 if evse.wiring is Wiring.DC else MIN_A
    return replace(_of_battery(visit, evse, battery), phases=visit.phases or 3, min_a=min_a)


def _of_battery(visit: Visit, evse: Evse, battery: Battery) -> Car:
    if visit.power_series is not None and battery is not Battery.IDEAL:
        return _following(visit.power_series, visit.energy_wh)
    phases = visit.phases or 3
    ideal = Car.ideal(energy_wh=visit.energy_wh, max_w=visit.max_w or inf, phases=phases)
    max_w = min(visit.max_w or inf, evse.max_a * ideal.watts_per_amp(evse))
    match battery:
        case Battery.IDEAL:
            return Car.ideal(energy_wh=visit.energy_wh, max_w=max_w)
        case Battery.TWO_STAGE:
            return _two_stage(visit, max_w)
        case Battery.TIGHT:
            return _tight(visit, max_w)


def _two_stage(visit: Visit, max_w: float) -> Car:
    """Return a car that ends full, unless its taper would not have let it take the energy within the stay.

    Then it left before it was full, and its state of charge at departure is lowered until it fits.
    """

    def ending_at(soc: float) -> Car:
        return Car.two_stage(energy_wh=visit.energy_wh, max_w=max_w, end_soc=soc)

    return ending_at(_highest(lambda soc: _fits(ending_at(soc), max_w, visit), TAPER_SOC, 1.0))


def _tight(visit: Visit, max_w: float) -> Car:
    """Return the car with the smallest battery that fits, begun as full as it may; the largest, empty, if none does."""

    def starting_at(soc: float, capacity_wh: float) -> Car:
        return Car(
            energy_wh=visit.energy_wh, capacity_wh=capacity_wh, start_soc=soc,
            acceptance=((0.0, max_w), (TAPER_SOC, max_w), (1.0, 1e-6 * max_w)),
        )  # fmt: skip

    largest_wh = max(CAPACITIES_WH[-1], visit.energy_wh)
    sizes_wh = (*(size_wh for size_wh in CAPACITIES_WH if size_wh >= visit.energy_wh), largest_wh)
    smallest_wh = next((wh for wh in sizes_wh if _fits(starting_at(0.0, wh), max_w, visit)), largest_wh)
    fullest = 1.0 - visit.energy_wh / smallest_wh
    return starting_at(
        _highest(lambda soc: _fits(starting_at(soc, smallest_wh), max_w, visit), 0.0, fullest), smallest_wh
    )


def _fits(car: Car, max_w: float, visit: Visit) -> bool:
    return car.seconds_to_full(max_w) <= visit.depart_s - visit.arrive_s


def _highest(fits: Callable[[float], bool], low: float, high: float) -> float:
    """Return the highest state of charge between two that fits, to a millionth; the lower one if none does."""
    if fits(high):
        return high
    while high - low > 1e-6:
        middle = (low + high) / 2.0
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _following(series: tuple[tuple[float, float], ...], energy_wh: float) -> Car:
    """Return a car whose acceptance is the recorded power over the energy taken, made never to rise.

    The recorded car may have been throttled; what it took later, it would have taken before.
    """
    points, taken_wh = [], 0.0
    for (at_s, power_w), (next_s, _) in pairwise(series):
        if power_w > 0.0 and next_s > at_s:
            points.append((taken_wh, power_w))
            taken_wh += power_w * (next_s - at_s) / 3600.0
    if not points:
        raise ValueError("a power series without any power")
    envelope = list(accumulate((power_w for _, power_w in reversed(points)), max))[::-1]
    corners = [(wh / taken_wh, power_w) for (wh, _), power_w in zip(points, envelope, strict=True)]
    return Car(
        energy_wh=energy_wh,
        capacity_wh=max(energy_wh, 1.0),
        start_soc=0.0,
        acceptance=(*corners, (1.0, envelope[-1])),
    )
