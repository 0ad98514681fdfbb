"""What a simulated station does with its cables: offer what its profiles allow, and measure what flows."""

from __future__ import annotations

from collections.abc import Mapping

from smartcharge.clock import now_s
from smartcharge.csms.profile_store import Filter, ProfileStore
from smartcharge.csms.profiles import Profile
from smartcharge.csms.schemas import Payload
from smartcharge.model import Evse, Phases, Wiring
from smartcharge.sim.ailments import SOUND, Ailment
from smartcharge.sim.station_parts import Bay, Sample, StationOptions, Status
from smartcharge.sim.station_timers import Timers
from smartcharge.sim.world import World

DRAWS_W = 1.0
"""A car that takes less than this is not charging [W]."""
DEAD_V = 3.0
"""What a meter shows on a phase without voltage [V]."""


class Supply:
    """Offers the cars of one station what its profiles allow; without a transaction, nothing."""

    def __init__(
        self, world: World, bays: Mapping[int, Bay], profiles: ProfileStore, timers: Timers, options: StationOptions
    ) -> None:
        self.profiles = profiles
        self.is_powered = True
        self.ignores_profile = False
        """Whether it offers its maximum whatever its profiles say."""
        self.refuses_profile = False
        """Whether it takes no more profiles and gives none up."""
        self._world = world
        self._bays = bays
        self._timers = timers
        self._obey_s = options.obey_s

    def install(self, number: int, profile: Profile) -> str | None:
        """Install a charging profile, or return why not; it is followed a moment later."""
        if self.refuses_profile:
            return "InternalError"
        objection = self.profiles.install(number, profile, now_s())
        if objection is None:
            self._obey()
        return objection

    def update(self, id_: int, update: Payload) -> bool:
        """Change the limit of a Dynamic profile; return whether there is such a one."""
        is_there = self.profiles.update(id_, update)
        if is_there:
            self._obey()
        return is_there

    def clear(self, which: Filter) -> bool:
        """Remove charging profiles; return whether there were any."""
        if self.refuses_profile:
            return False
        found = self.profiles.clear(which)
        if found:
            self._obey()
        return found

    def apply(self) -> None:
        """Offer what the profiles allow now, and come back when that changes by itself."""
        at_s = now_s()
        self._world.advance(at_s)
        for bay in self._bays.values():
            is_on = self.is_powered and bay.transaction is not None
            ordered_a = self.profiles.limit_a(bay.number, at_s) if is_on else 0.0
            offered_a = bay.evse.max_a if is_on and self.ignores_profile else ordered_a
            if bay.ailment is not SOUND and self.is_powered:
                offered_a = bay.ailment.offered_a(bay.evse, offered_a, self._world.offered_a(bay.evse.id))
            self._world.offer(bay.evse.id, offered_a, ordered_a=ordered_a)
            bay.on_change()
        self._timers.disarm("obey")
        self._timers.disarm("profile")
        next_s = self.profiles.next_change_s(at_s)
        if next_s is not None and self.is_powered:
            self._timers.arm("profile", next_s - at_s, self.apply)

    def status(self, bay: Bay) -> Status:
        """Return what an EVSE is doing."""
        if bay.ailment.is_faulted:
            return Status.FAULTED
        if bay.transaction is None:
            if not bay.is_operative:
                return Status.UNAVAILABLE
            if not self.has_car(bay):
                return Status.AVAILABLE
            return Status.FINISHING if bay.has_finished else Status.PREPARING
        # A station with a welded contactor believes that it switched off.
        offered_a = (self._world.ordered_by if bay.ailment.is_welded else self._world.offered_a)(bay.evse.id)
        if offered_a <= 0.0 or offered_a < bay.evse.min_a:
            return Status.SUSPENDED_EVSE
        return Status.CHARGING if self._world.power_w(bay.evse.id) > DRAWS_W else Status.SUSPENDED_EV

    def has_car(self, bay: Bay) -> bool:
        """Return whether a car is plugged."""
        return self._world.car(bay.evse.id) is not None

    def _obey(self) -> None:
        if not self._timers.is_armed("obey"):
            self._timers.arm("obey", self._obey_s, self.apply)


def measure(world: World, evse: Evse, ailment: Ailment = SOUND) -> Sample:
    """Return what the meter of an EVSE shows now."""
    at_s = now_s()
    world.advance(at_s)
    car = world.car(evse.id)
    return Sample(
        at_s=at_s,
        current_a=world.evse_currents(evse.id),
        power_w=world.power_w(evse.id) * (evse.efficiency if evse.wiring is Wiring.DC else 1.0),
        energy_wh=world.register_wh(evse.id),
        soc=None if car is None else car.soc(world.taken_wh(evse.id)),
        voltage_v=voltages(evse, ailment),
        outlet_c=ailment.outlet_c(evse, max(world.evse_currents(evse.id))),
    )


def voltages(evse: Evse, ailment: Ailment) -> Phases:
    """Return the voltages on an EVSE's own lines [V]."""
    volts = ailment.volts * evse.voltage_v
    return Phases(*(DEAD_V if phase == ailment.dead_phase else volts for phase in range(3)))
