"""What is known of one EVSE, and the set of limits that it may be following.

`believed` is the idea that matters.  A station that was told something may be following it, or may
not have heard; so each EVSE carries the *set* of limits that it may be following right now, and
whoever hands out current must reserve the highest of the set (`worst_a`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from smartcharge.control.health.memory import Health
from smartcharge.events import Charging, Commanded, FaultRaised, Metered, NeedStated, OperatorOrder
from smartcharge.faults import Cause
from smartcharge.model import Evse, Session

OVER_LIMIT = "over-limit"
"""Fault: it draws more than everything that it may be following."""
METER_FROZEN = "meter-frozen"
"""Fault: its energy register stands still although it reports a current."""
METER_STALE = "meter-stale"
"""Fault: it says nothing more although a car charges."""
METER_IMPLAUSIBLE = "meter-implausible"
"""Fault: its current and power contradict each other."""


DRAWS_A = 1.0
"""Below this [A] on every phase a car does not charge, whatever its meter's noise."""
SETTLED_S = 20.0
"""How long after a command a car surely draws what it wants of the new offer [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """A limit that a station may be following."""

    limit_a: float
    until_s: float | None
    """Last moment at which it may still be followed, clock margin included; None is for ever."""
    sure_until_s: float | None = None
    """Until then the station surely has this profile, so it cannot be on its default; None if unconfirmed."""
    command_id: int = 0

    def is_alive(self, now_s: float) -> bool:
        """Tell whether the station may still be following it."""
        return self.until_s is None or self.until_s > now_s

    def is_sure(self, now_s: float) -> bool:
        """Tell whether the station surely has it, so that its default does not apply."""
        return self.sure_until_s is not None and self.sure_until_s > now_s


@dataclass(frozen=True, slots=True, kw_only=True)
class EvseState:
    """What is known of one EVSE."""

    evse: Evse
    defaults: tuple[Belief, ...]
    """Default profiles that the station may have; its own maximum until ours is confirmed."""
    setpoints: tuple[Belief, ...] = ()
    """Transaction profiles that it may be following."""
    commanded: Commanded | None = None
    """The newest transaction profile that was sent and not refused or left unanswered."""
    told_s: float | None = None
    """When it was last told another limit than before; renewals do not count."""
    floor_a: float = 0.0
    """The lowest limit [A] of those between which it went over then."""
    deaf_at_s: float | None = None
    """When it last refused a command or left one unanswered; None once it accepted one."""
    deaf_to_a: float = 0.0
    """The limit that it did not follow then [A]."""
    default_commanded_s: float | None = None
    """When a default profile was sent that is not confirmed."""
    occupied: bool | None = None
    """Whether a car is connected; None while unknown, counted as True."""
    session: Session | None = None
    need: NeedStated | None = None
    """A need stated before the car was plugged in."""
    charging: Charging | None = None
    reading: Metered | None = None
    offered_a: float | None = None
    """What the car had surely been offered at that reading [A]; None without a reading."""
    over_a: float | None = None
    """Measured current [A] above everything that it may be following; None while it obeys."""
    over_since_s: float | None = None
    obeys_since_s: float | None = None
    frozen_since_s: float | None = None
    """Since when its energy register stands still although it reports a current."""
    faults: Mapping[str, FaultRaised] = field(default_factory=dict)
    order: OperatorOrder | None = None
    health: Health = field(default_factory=Health)
    backend_a: float | None = None
    """What the operator's back-end allows [A]; None while it says nothing."""

    @property
    def has_our_default(self) -> bool:
        """Tell whether the station surely keeps the default profile of the site file, or a lower one."""
        return all(b.limit_a <= self.evse.default_a for b in self.defaults)

    @property
    def is_meter_trusted(self) -> bool:
        """Tell whether what its meter shows may be relied on."""
        return self.frozen_since_s is None and Cause.METER_FAILED not in self.health.deratings


def believed(evse: EvseState, now_s: float) -> tuple[Belief, ...]:
    """Return every limit that the station may be following on this EVSE right now; never empty."""
    if not evse.setpoints:
        return evse.defaults
    setpoints = tuple([b for b in evse.setpoints if b.is_alive(now_s)])
    for b in setpoints:
        if b.is_sure(now_s):
            return setpoints
    return (*setpoints, *evse.defaults)


def believed_a(evse: EvseState, now_s: float) -> tuple[float, ...]:
    """Return the limits [A] that the station may be following on this EVSE right now; never empty."""
    return tuple([b.limit_a for b in believed(evse, now_s)])


def offered_a(evse: EvseState, now_s: float) -> float:
    """Return the current [A] that a car has surely been offered for long enough to take it."""
    least_a = min(believed_a(evse, now_s))
    is_new = evse.told_s is not None and now_s - evse.told_s < SETTLED_S
    return min(least_a, evse.floor_a) if is_new else least_a


def leaves_some(drawn_a: float, offered_a: float) -> bool:
    """Tell whether a car takes clearly less than it is offered [A]."""
    return drawn_a < min(0.9 * offered_a, offered_a - DRAWS_A)


def worst_a(evse: EvseState, now_s: float) -> float:
    """Return the highest current [A] that the EVSE may draw right now, with a car or not known to be without.

    A station that was caught ignoring its profile may draw what its hardware allows.
    """
    hardware_a = evse.evse.max_a if OVER_LIMIT in evse.faults else 0.0
    return max(*believed_a(evse, now_s), evse.over_a or 0.0, hardware_a, _unswitched_a(evse))


def _unswitched_a(evse: EvseState) -> float:
    """Return what flows through a welded contactor [A]: a block does not switch it off; unmeasured, all it can be."""
    if Cause.CONTACTOR_WELDED not in evse.health.deratings or evse.occupied is False:
        return 0.0
    measured_a = drawn_a(evse.evse, evse.reading)
    return evse.evse.max_a if measured_a is None else measured_a


def drawn_a(evse: Evse, reading: Metered | None) -> float | None:
    """Return the current [A] drawn on the busiest phase, or None when nothing tells."""
    if reading is None:
        return None
    if reading.current_a is not None:
        return max(reading.current_a)
    return None if reading.power_w is None else reading.power_w / evse.watts_per_amp
