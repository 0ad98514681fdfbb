"""Stations without sockets: the same behaviour and faults, a function call away.

For long simulations in which the protocol is not the question.  Each EVSE keeps its default profile
and its transaction profile as a real station does, obeys a second after it was told, and falls back
to the default when the profile expires.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from math import inf

from smartcharge.clock import now_s
from smartcharge.events import (
    Accepted,
    Charging,
    ChargingChanged,
    Commanded,
    Event,
    FaultCleared,
    Metered,
    Plugged,
    ProfileKind,
    Rejected,
    StationBooted,
    StationOffline,
    StationOnline,
    TransactionEnded,
    TransactionStarted,
    Unanswered,
    Unplugged,
)
from smartcharge.frozen import replace
from smartcharge.model import Evse, EvseId, Site, Station, StationId, Wiring
from smartcharge.ports import Emit
from smartcharge.sim.ailments import SOUND, Ailment
from smartcharge.sim.cars import Car
from smartcharge.sim.station_supply import voltages
from smartcharge.sim.world import World

OBEY_S = 1.0
"""From accepting a profile to offering it [s]."""
MOST_TIMERS = 32
"""So many are kept before those that have rung are thrown away."""
RECONNECT_S = 5.0
"""From losing the connection to having it again [s]."""
START_S = 3.0
"""From plug to the start of the transaction [s]."""


@dataclass(slots=True, kw_only=True)
class _Broken:
    """What is wrong with a station."""

    silent: bool = False
    ignoring: bool = False
    refusing: bool = False
    losing_answers: bool = False
    frozen: bool = False
    dead: bool = False
    unsaid: list[Event] = field(default_factory=list)
    """What the station could not say, in order."""

    @property
    def is_mute(self) -> bool:
        return self.silent or self.dead


@dataclass(slots=True, kw_only=True)
class _Outlet:
    """One EVSE as its station sees it."""

    evse: Evse
    broken: _Broken
    default_a: float
    limit_a: float = 0.0
    expires_s: float = -inf
    transaction_id: str | None = None
    charging: Charging | None = None
    reading: Metered | None = None
    ailment: Ailment = SOUND
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    def ordered_a(self, at_s: float) -> float:
        """Return what its profiles allow now [A]."""
        if self.transaction_id is None or self.broken.dead:
            return 0.0
        return self.limit_a if at_s < self.expires_s else self.default_a


class DirectStations:
    """All stations of a site: a `ports.Charger` towards the controller, a `Fleet` towards the simulator."""

    name = "direct"

    def __init__(self, site: Site, world: World) -> None:
        self._site = site
        self._world = world
        self._broken = {station.id: _Broken() for station in site.stations}
        self._outlets = {
            evse.id: _Outlet(evse=evse, broken=self._broken[evse.station], default_a=evse.max_a) for evse in site.evses
        }
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._transactions = count(1)

    # -- towards the controller

    def stations(self) -> frozenset[StationId]:
        """Return every station of the site."""
        return frozenset(station.id for station in self._site.stations)

    def wish(self, command: Commanded) -> None:
        """Tell a station its new limit; the answer comes as an event."""
        outlet = self._outlets[command.evse]
        if outlet.broken.refusing and not outlet.broken.is_mute:
            self._say(Rejected(at_s=now_s(), command_id=command.command_id, evse=command.evse, reason="refuses"))
            return
        if not outlet.broken.is_mute:
            self._obey(outlet, command)
        if outlet.broken.is_mute or outlet.broken.losing_answers:
            late = Unanswered(
                at_s=now_s() + self._site.timing.command_s, command_id=command.command_id, evse=command.evse
            )
            asyncio.get_running_loop().call_later(self._site.timing.command_s, self._say, late)
        else:
            self._say(Accepted(at_s=now_s(), command_id=command.command_id, evse=command.evse))

    @property
    def trouble(self) -> str | None:
        """Return None: function calls do not fail."""
        return None

    async def run(self, emit: Emit) -> None:
        """Hand every fact to the controller until cancelled."""
        for station in self._site.stations:
            if not self._broken[station.id].dead:
                await emit(StationOnline(at_s=now_s(), station=station.id))
                await self._tell_occupancy(station, emit)
        while True:
            await emit(await self._events.get())

    async def _tell_occupancy(self, station: Station, emit: Emit) -> None:
        for evse in station.evses:
            is_free = self._world.car(evse.id) is None
            await emit((Unplugged if is_free else Plugged)(at_s=now_s(), evse=evse.id))

    # -- towards the simulator

    def plug(self, evse: EvseId, car: Car, id_token: str) -> None:
        """Connect a car; its transaction starts when the driver has shown a card."""
        outlet = self._outlets[evse]
        self._world.plug(evse, car)
        self._say_of(outlet, Plugged(at_s=now_s(), evse=evse))
        self._later(outlet, START_S, lambda: self._start(outlet, id_token))

    def unplug(self, evse: EvseId) -> float:
        """Disconnect the car and return the energy it took [Wh]."""
        outlet = self._outlets[evse]
        for timer in outlet.timers:
            timer.cancel()
        outlet.timers.clear()
        taken_wh = self._world.unplug(evse)
        if outlet.transaction_id is not None:
            self._end(outlet)
        self._offer(outlet)
        self._say_of(outlet, Unplugged(at_s=now_s(), evse=evse))
        return taken_wh

    def set_silent(self, station: StationId, *, on: bool) -> None:
        """Let a station neither send nor answer, or speak again."""
        self._broken[station].silent = on
        self._catch_up(station)

    def set_ignoring(self, station: StationId, *, on: bool) -> None:
        """Let a station accept every profile and offer its maximum, or obey again."""
        self._broken[station].ignoring = on
        self._offer_all(station)

    def set_refusing(self, station: StationId, *, on: bool) -> None:
        """Let a station refuse every profile, or take them again."""
        self._broken[station].refusing = on

    def drop(self, station: StationId) -> None:
        """Let a station lose its connection; it makes it again by itself."""
        self._say(StationOffline(at_s=now_s(), station=station, reason="connection lost"))
        asyncio.get_running_loop().call_later(RECONNECT_S, self._back, station)

    def _back(self, station: StationId) -> None:
        if not self._broken[station].is_mute:
            self._come_online(station)

    def _come_online(self, station: StationId) -> None:
        self._say(StationOnline(at_s=now_s(), station=station))
        for outlet in self._of(station):
            is_free = self._world.car(outlet.evse.id) is None
            self._say((Unplugged if is_free else Plugged)(at_s=now_s(), evse=outlet.evse.id))

    def set_losing_answers(self, station: StationId, *, on: bool) -> None:
        """Let a station's answers get lost, or arrive again."""
        self._broken[station].losing_answers = on

    def set_frozen(self, station: StationId, *, on: bool) -> None:
        """Let a station's meter repeat its last figures, or measure again."""
        self._broken[station].frozen = on

    def set_ailment(self, evse: EvseId, ailment: Ailment) -> None:
        """Let something be wrong with the hardware of an EVSE, or with `SOUND` nothing; it says what it notices."""
        outlet = self._outlets[evse]
        self._world.advance(now_s())
        before, outlet.ailment = outlet.ailment, ailment
        self._world.lose_phase(evse, ailment.dead_phase)
        self._offer(outlet)
        said = ailment.event(evse, now_s())
        if before.code is not None and before.code != ailment.code:
            self._say_of(outlet, FaultCleared(at_s=now_s(), evse=evse, code=before.code))
        if said is not None:
            self._say_of(outlet, said)
        self._arm_failure(outlet)

    def set_dead(self, station: StationId, *, on: bool) -> None:
        """Take a station's power away, or give it back."""
        self._broken[station].dead = on
        if on:
            self._events.put_nowait(StationOffline(at_s=now_s(), station=station, reason="no power"))
        else:
            self._events.put_nowait(StationBooted(at_s=now_s(), station=station))
            self._come_online(station)
            self._catch_up(station)
        self._offer_all(station)

    # -- within

    def _start(self, outlet: _Outlet, id_token: str) -> None:
        if outlet.broken.dead:
            self._later(outlet, START_S, lambda: self._start(outlet, id_token))
            return
        outlet.transaction_id = f"direct-{next(self._transactions)}"
        outlet.expires_s = -inf
        self._say_of(
            outlet,
            TransactionStarted(
                at_s=now_s(),
                evse=outlet.evse.id,
                transaction_id=outlet.transaction_id,
                id_token=id_token,
                meter_wh=self._world.register_wh(outlet.evse.id),
            ),
        )
        self._offer(outlet)
        self._measure(outlet)
        self._arm_failure(outlet)

    def _arm_failure(self, outlet: _Outlet) -> None:
        lasts_s = outlet.ailment.ends_sessions_s
        if lasts_s is not None and outlet.transaction_id is not None:
            self._later(outlet, lasts_s, lambda: self._fail(outlet))

    def _fail(self, outlet: _Outlet) -> None:
        """End a session by an error, if what makes it fail is still there."""
        if outlet.transaction_id is not None and outlet.ailment.ends_sessions_s is not None:
            self._end(outlet, "Other")
            self._offer(outlet)

    def _end(self, outlet: _Outlet, reason: str = "EVDisconnected") -> None:
        assert outlet.transaction_id is not None
        self._say_of(
            outlet,
            TransactionEnded(
                at_s=now_s(),
                evse=outlet.evse.id,
                transaction_id=outlet.transaction_id,
                meter_wh=self._world.register_wh(outlet.evse.id),
                reason=reason,
            ),
        )
        outlet.transaction_id, outlet.reading, outlet.charging = None, None, None

    def _obey(self, outlet: _Outlet, command: Commanded) -> None:
        if command.kind is ProfileKind.DEFAULT:
            outlet.default_a = command.limit_a
        elif command.transaction_id == outlet.transaction_id:
            assert command.expires_s is not None
            outlet.limit_a, outlet.expires_s = command.limit_a, command.expires_s
            self._later(outlet, command.expires_s - now_s(), lambda: self._offer(outlet))
        self._later(outlet, OBEY_S, lambda: self._offer(outlet))

    def _offer(self, outlet: _Outlet) -> None:
        """Offer what the profiles allow, or what the fault makes of it."""
        at_s = now_s()
        self._world.advance(at_s)
        ordered_a = outlet.ordered_a(at_s)
        ignores = outlet.broken.ignoring and outlet.transaction_id is not None and not outlet.broken.dead
        offered_a = outlet.evse.max_a if ignores else ordered_a
        if outlet.ailment is not SOUND and not outlet.broken.dead:
            offered_a = outlet.ailment.offered_a(outlet.evse, offered_a, self._world.offered_a(outlet.evse.id))
        self._world.offer(outlet.evse.id, offered_a, ordered_a=ordered_a)
        self._tell_pause(outlet, ordered_a)

    def _tell_pause(self, outlet: _Outlet, ordered_a: float) -> None:
        """Say whether the station itself pauses the car, when that changed."""
        state = Charging.SUSPENDED_EVSE if ordered_a < outlet.evse.min_a else Charging.CHARGING
        if outlet.transaction_id is not None and state is not outlet.charging:
            outlet.charging = state
            self._say_of(outlet, ChargingChanged(at_s=now_s(), evse=outlet.evse.id, state=state))

    def _offer_all(self, station: StationId) -> None:
        for outlet in self._of(station):
            self._offer(outlet)

    def _measure(self, outlet: _Outlet) -> None:
        """Send a reading now and every interval while the transaction lasts."""
        if outlet.transaction_id is None:
            return
        at_s, name, ailment = now_s(), outlet.evse.id, outlet.ailment
        self._world.advance(at_s)
        if outlet.reading is not None and outlet.broken.frozen:
            outlet.reading = replace(outlet.reading, at_s=at_s)
        else:
            outlet.reading = Metered(
                at_s=at_s,
                evse=name,
                current_a=self._world.evse_currents(name),
                power_w=self._world.power_w(name),
                energy_wh=self._world.register_wh(name),
                voltage_v=None if outlet.evse.wiring is Wiring.DC else voltages(outlet.evse, ailment),
                outlet_c=ailment.outlet_c(outlet.evse, max(self._world.evse_currents(name))),
            )
        if not ailment.is_meter_silent:
            self._say_of(outlet, outlet.reading)
        self._later(outlet, self._site.timing.meter_interval_s, lambda: self._measure(outlet))

    def _of(self, station: StationId) -> list[_Outlet]:
        return [outlet for outlet in self._outlets.values() if outlet.evse.station == station]

    def _say_of(self, outlet: _Outlet, event: Event) -> None:
        """Say something as a station; what it cannot say now, except readings, it says when it can, in order."""
        if not outlet.broken.is_mute:
            self._say(event)
        elif not isinstance(event, Metered):
            outlet.broken.unsaid.append(event)

    def _catch_up(self, station: StationId) -> None:
        broken = self._broken[station]
        while broken.unsaid and not broken.is_mute:
            self._say(replace(broken.unsaid.pop(0), at_s=now_s()))

    def _say(self, event: Event) -> None:
        self._events.put_nowait(event)

    @staticmethod
    def _later(outlet: _Outlet, delay_s: float, act: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        if len(outlet.timers) >= MOST_TIMERS:
            outlet.timers = [timer for timer in outlet.timers if timer.when() > loop.time()]
        outlet.timers.append(loop.call_later(delay_s, act))
