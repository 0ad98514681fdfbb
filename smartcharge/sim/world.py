"""The truth: what every EVSE offers, every car draws and every wire carries, whoever believes what.

Between two changes currents only fall (a battery tapers); they rise at changes only.  Observers are
therefore asked once for every instant at which something changed, after all changes of that instant,
and at whatever other instant they asked for.
"""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass, field
from enum import IntEnum
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from smartcharge.clock import now_s as loop_now_s
from smartcharge.model import CircuitId, Evse, EvseId, Phases, Site, Wiring
from smartcharge.sim.cars import SNAP_S, Car
from smartcharge.sim.wires import Floats, Wires

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from smartcharge.sim.loads import Load


class _Due(IntEnum):
    """What happens by itself at some time."""

    BAY = 0
    LOAD = 1
    LOOK = 2


@dataclass(slots=True, kw_only=True)
class _Bay:
    """An EVSE and the car at it."""

    evse: Evse
    index: int
    car: Car | None = None
    offered_a: float = 0.0
    ordered_a: float = 0.0
    followed_a: float = 0.0
    """The offer that the car follows; it lags behind."""
    follow_at_s: float = inf
    """When the car will follow the present offer; infinite while it does."""
    dead_phase: int | None = None
    """Own phase without voltage."""
    taken_wh: float = 0.0
    settled_s: float = 0.0
    register_wh: float = 0.0
    due_s: float = inf
    is_asleep: bool = False
    """Whether its car was paused and will not wake."""
    listeners: list[Callable[[], None]] = field(default_factory=list)

    @property
    def cap_w(self) -> float:
        if self.car is None or self.is_asleep:
            return 0.0
        return self.car.cap_w(self.evse, self.followed_a) * self.live_share

    @property
    def live_phases(self) -> int:
        """How many phases the car draws from."""
        phases = 0 if self.car is None else self.car.phases_at(self.evse)
        return phases - (self.dead_phase is not None and self.dead_phase < phases)

    @property
    def live_share(self) -> float:
        """Share of the car's phases that have a voltage."""
        return 0.0 if self.car is None else self.live_phases / self.car.phases_at(self.evse)

    @property
    def is_full(self) -> bool:
        return self.car is not None and self.taken_wh >= self.car.energy_wh


class World:
    """A site with cars and loads on it, moved by `advance`.

    Every method speaks of the instant `now_s`; whoever changes something advances the world first.
    Energy and the meter's register of a DC EVSE count DC, its power and currents AC.

    Args:
        site: what stands there.
        start_s: first instant [s since 1970, UTC].
        loads: the uncontrolled load on circuits; none where none is given.
    """

    def __init__(self, site: Site, *, start_s: float, loads: Mapping[CircuitId, Load] | None = None) -> None:
        self.site = site
        self.now_s = start_s
        self.wires = Wires(site)
        self.on_due: Callable[[float], None] | None = None
        """Told whenever something will happen by itself earlier than known before."""
        self.pauses = 0
        """How often a car that charged and wanted more was offered too little to go on."""
        self._bays = {evse.id: _Bay(evse=evse, index=i, settled_s=start_s) for i, evse in enumerate(site.evses)}
        self._order = tuple(self._bays.values())
        self._loads = {self.wires.circuits.index(circuit): load for circuit, load in (loads or {}).items()}
        count = len(self._order)
        self._per_amp = self.wires.per_amp[3].copy()
        self._start_a = np.zeros(count)
        self._decay_per_s = np.zeros(count)
        self._since_s = np.full(count, start_s)
        self._ac_watts_per_amp = np.zeros(count)
        self.load_a: Floats = np.zeros(3 * len(self.wires.circuits))
        """Uncontrolled load on every line [A], shape (3 C,)."""
        self._due: list[tuple[float, _Due, int]] = []
        self._looks: list[Callable[[], None]] = []
        self._is_changed = True
        for circuit in self._loads:
            self._change_load(circuit)

    # -- changing it

    def plug(self, evse: EvseId, car: Car) -> None:
        """Connect a car; it begins to draw after its start delay."""
        bay = self._bays[evse]
        if bay.car is not None:
            raise ValueError(f"{evse} is taken")
        bay.car, bay.taken_wh, bay.settled_s, bay.is_asleep = car, 0.0, self.now_s, False
        self._wire(bay)
        bay.followed_a, bay.follow_at_s = 0.0, self.now_s + car.start_delay_s
        self._follow(bay)
        self._tell(bay)

    def lose_phase(self, evse: EvseId, phase: int | None) -> None:
        """Take the voltage from one own phase (0, 1, 2) of a three-phase EVSE, or give it back with None."""
        bay = self._bays[evse]
        self._settle(bay)
        bay.dead_phase = phase if bay.evse.wiring is Wiring.THREE_PHASE else None
        if bay.car is not None:
            self._wire(bay)
        self._redraw(bay)

    def _wire(self, bay: _Bay) -> None:
        """Work out what one ampere of the car there puts on each line."""
        assert bay.car is not None
        phases = bay.car.phases_at(bay.evse)
        per_amp = self.wires.per_amp
        column = per_amp[phases][:, bay.index].copy()
        if bay.dead_phase is not None and bay.dead_phase < phases:
            below = per_amp[bay.dead_phase][:, bay.index] if bay.dead_phase > 0 else 0.0
            column -= per_amp[bay.dead_phase + 1][:, bay.index] - below
        self._per_amp[:, bay.index] = column
        self._ac_watts_per_amp[bay.index] = bay.live_phases * bay.evse.voltage_v

    def unplug(self, evse: EvseId) -> float:
        """Disconnect the car and return the energy it took [Wh]."""
        bay = self._bays[evse]
        if bay.car is None:
            raise ValueError(f"{evse} has no car")
        self._settle(bay)
        bay.car, bay.followed_a, bay.follow_at_s = None, 0.0, inf
        self._redraw(bay)
        self._tell(bay)
        return bay.taken_wh

    def offer(self, evse: EvseId, amps: float, *, ordered_a: float | None = None) -> None:
        """Set what a station really offers [A per phase]; `ordered_a`, if it obeyed its orders instead."""
        bay = self._bays[evse]
        ordered_a = amps if ordered_a is None else ordered_a
        if (amps, ordered_a) == (bay.offered_a, bay.ordered_a):
            return
        bay.ordered_a = ordered_a
        bay.offered_a = amps
        if bay.car is not None and bay.follow_at_s == inf:
            bay.follow_at_s = self.now_s + bay.car.response_s
        self._follow(bay)

    def advance(self, to_s: float) -> None:
        """Let time pass up to `to_s` [s since 1970], with all that happens by itself until then."""
        if to_s <= self.now_s:
            if to_s < self.now_s - 1e-3:
                raise ValueError(f"time does not go back from {self.now_s} to {to_s}")
            return
        while True:
            self._look()
            if not self._due or self._due[0][0] > to_s:
                break
            self.now_s = max(self.now_s, self._due[0][0])
            while self._due and self._due[0][0] <= self.now_s:
                self._happen(*heapq.heappop(self._due))
        self.now_s = max(self.now_s, to_s)  # a listener may have advanced it already

    def subscribe(self, evse: EvseId, listener: Callable[[], None]) -> None:
        """Tell `listener` when the car at an EVSE comes, goes, follows another offer or is full."""
        self._bays[evse].listeners.append(listener)

    def observe(self, look: Callable[[], None]) -> None:
        """Let `look` look at every instant at which something changed, before time goes on."""
        self._looks.append(look)

    def look_at(self, at_s: float) -> None:
        """Let the observers look at this instant too [s since 1970], even if nothing changes; now at the earliest."""
        if at_s <= self.now_s:
            self._is_changed = True
        else:
            self._push(at_s, _Due.LOOK, 0)

    # -- looking at it

    @property
    def next_s(self) -> float:
        """When something happens by itself next [s since 1970]; may be too early, never too late."""
        return self._due[0][0] if self._due else inf

    def drawn_a(self) -> Floats:
        """Return what every EVSE's car draws [A per phase, AC], shape (E,)."""
        return self._start_a * np.exp(-self._decay_per_s * (self.now_s - self._since_s))

    def ordered_a(self) -> Floats:
        """Return what every station would offer if it obeyed [A per phase], shape (E,)."""
        return np.array([bay.ordered_a for bay in self._order])

    def offered_a(self, evse: EvseId) -> float:
        """Return what the station offers [A per phase]."""
        return self._bays[evse].offered_a

    def ordered_by(self, evse: EvseId) -> float:
        """Return what the station would offer if it obeyed [A per phase]."""
        return self._bays[evse].ordered_a

    def line_currents(self, drawn_a: Floats, load_a: Floats) -> Floats:
        """Return the current on every line [A], shape (N, 3), if cars and loads drew this."""
        lines: Floats = np.abs(self._per_amp @ drawn_a + self.wires.load_per_amp @ load_a)
        return lines.reshape(-1, 3)

    def line_powers(self, drawn_a: Floats, load_a: Floats) -> Floats:
        """Return the power through every circuit [W], shape (C,), if cars and loads drew this."""
        powers: Floats = self.wires.is_below @ (drawn_a * self._ac_watts_per_amp) + self.wires.load_volts @ load_a
        return powers

    def circuit_currents(self) -> dict[CircuitId, Phases]:
        """Return the current through every circuit [A]."""
        lines = self.line_currents(self.drawn_a(), self.load_a)[: len(self.wires.circuits)]
        return {circuit: Phases(*map(float, line)) for circuit, line in zip(self.wires.circuits, lines, strict=True)}

    def circuit_powers_w(self) -> dict[CircuitId, float]:
        """Return the power through every circuit [W]."""
        powers = self.line_powers(self.drawn_a(), self.load_a)
        return {circuit: float(power) for circuit, power in zip(self.wires.circuits, powers, strict=True)}

    def evse_currents(self, evse: EvseId) -> Phases:
        """Return the current on the EVSE's own L1, L2 and L3 [A]; line to line it counts on L1."""
        bay = self._bays[evse]
        amps = self._drawn_by(bay)
        used = 0 if bay.car is None else bay.car.phases_at(bay.evse)
        return Phases(*(amps if phase < used and phase != bay.dead_phase else 0.0 for phase in range(3)))

    def power_w(self, evse: EvseId) -> float:
        """Return the AC power an EVSE draws [W]."""
        bay = self._bays[evse]
        return self._drawn_by(bay) * float(self._ac_watts_per_amp[bay.index])

    def register_wh(self, evse: EvseId) -> float:
        """Return the register of the EVSE's meter [Wh]."""
        bay = self._bays[evse]
        self._settle(bay)
        return bay.register_wh

    def taken_wh(self, evse: EvseId) -> float:
        """Return what the present car has taken, or the last one took [Wh]."""
        bay = self._bays[evse]
        self._settle(bay)
        return bay.taken_wh

    def car(self, evse: EvseId) -> Car | None:
        """Return the car at an EVSE, None if it is free."""
        return self._bays[evse].car

    def is_full(self, evse: EvseId) -> bool:
        """Return whether the car there has all it wants."""
        self._settle(self._bays[evse])
        return self._bays[evse].is_full

    # -- what happens by itself

    def _happen(self, at_s: float, due: _Due, index: int) -> None:
        match due:
            case _Due.BAY:
                bay = self._order[index]
                if bay.due_s == at_s:
                    bay.due_s = inf
                    self._turn(bay)
            case _Due.LOAD:
                self._change_load(index)
            case _Due.LOOK:
                self._is_changed = True

    def _turn(self, bay: _Bay) -> None:
        """The car follows, is full, or begins to take less: go on with what it takes now."""
        self._settle(bay)
        is_following = bay.follow_at_s <= self.now_s
        self._follow(bay)
        if is_following or bay.is_full:
            self._tell(bay)

    def _follow(self, bay: _Bay) -> None:
        """Let the car follow the present offer if it is time to."""
        self._settle(bay)
        if bay.follow_at_s <= self.now_s:
            did_charge = bay.cap_w > 0.0 and bay.taken_wh > 0.0 and not bay.is_full
            bay.followed_a, bay.follow_at_s = bay.offered_a, inf
            if did_charge and bay.cap_w <= 0.0:
                self._pause(bay)
        self._redraw(bay)

    def _pause(self, bay: _Bay) -> None:
        assert bay.car is not None
        self.pauses += 1
        bay.is_asleep = bay.car.sleeps

    def _settle(self, bay: _Bay) -> None:
        """Count the energy taken up to now."""
        if bay.car is not None and bay.settled_s < self.now_s:
            taken_wh = bay.car.charge(bay.cap_w, bay.taken_wh, self.now_s - bay.settled_s)
            bay.register_wh += taken_wh - bay.taken_wh
            bay.taken_wh = taken_wh
        bay.settled_s = self.now_s

    def _redraw(self, bay: _Bay) -> None:
        """Work out what the car draws from now on and until when that holds."""
        i, self._is_changed = bay.index, True
        self._since_s[i] = self.now_s
        self._start_a[i] = self._decay_per_s[i] = 0.0
        bay.due_s = bay.follow_at_s
        if bay.car is not None and (cap_w := bay.cap_w) > 0.0:
            piece = bay.car.piece(cap_w, bay.taken_wh)
            self._start_a[i] = min(bay.followed_a, piece.power_w / bay.car.watts_per_amp(bay.evse) / bay.live_share)
            self._decay_per_s[i] = piece.decay_per_s
            lasts_s = max(SNAP_S, piece.seconds(piece.end_wh - bay.taken_wh))
            bay.due_s = min(bay.due_s, self.now_s + lasts_s)
        if bay.due_s < inf:
            self._push(bay.due_s, _Due.BAY, i)

    def _change_load(self, index: int) -> None:
        load = self._loads[index]
        self.load_a[3 * index : 3 * index + 3] = load.current_a(self.now_s)
        self._is_changed = True
        next_s = load.next_change_s(self.now_s)
        if next_s < inf:
            self._push(next_s, _Due.LOAD, index)

    def _look(self) -> None:
        """Show the instant that ends here to the observers."""
        if not self._is_changed:
            return
        self._is_changed = False
        for look in self._looks:
            look()

    def _push(self, at_s: float, due: _Due, index: int) -> None:
        is_earliest = at_s < self.next_s
        heapq.heappush(self._due, (at_s, due, index))
        if is_earliest and self.on_due is not None:
            self.on_due(at_s)

    def _tell(self, bay: _Bay) -> None:
        for listener in tuple(bay.listeners):
            listener()

    def _drawn_by(self, bay: _Bay) -> float:
        i = bay.index
        return float(self._start_a[i] * np.exp(-self._decay_per_s[i] * (self.now_s - self._since_s[i])))


class LoopDriver:
    """Lets the running event loop move a world whenever something happens in it by itself."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = inf
        world.on_due = self._arrange
        self._arrange(world.next_s)

    def _arrange(self, at_s: float) -> None:
        if at_s >= self._timer_s:
            return
        self.close()
        self._timer_s = at_s
        self._timer = self._loop.call_later(max(0.0, at_s - loop_now_s()), self._wake)

    def _wake(self) -> None:
        at_s, self._timer_s = self._timer_s, inf
        self._world.advance(max(loop_now_s(), at_s))
        self._arrange(self._world.next_s)

    def close(self) -> None:
        """Stop moving the world."""
        self._timer_s = inf
        if self._timer is not None:
            self._timer.cancel()
