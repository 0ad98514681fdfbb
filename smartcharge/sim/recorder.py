"""What is noted down during a run: the course of the site, every plan, every broken invariant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from smartcharge.clock import now_s
from smartcharge.control.demand import Demand, measured
from smartcharge.control.invariants import broken
from smartcharge.control.plan import Plan
from smartcharge.model import CircuitId, Phases
from smartcharge.ports import Snapshot
from smartcharge.sim.recordings import Visit
from smartcharge.sim.result import Series
from smartcharge.sim.watcher import Watcher
from smartcharge.sim.world import World

_MILLIAMP = 1e-3


@dataclass(slots=True, kw_only=True)
class Served:
    """What became of a visit."""

    visit: Visit
    delivered_wh: float = 0.0


@dataclass(slots=True, kw_only=True)
class _Cut:
    circuit: CircuitId
    limit_a: Phases
    at_s: float


@dataclass(slots=True, kw_only=True)
class Recorder:
    """Notes everything; an `ports.Observer` of the controller and an observer of the world."""

    world: World
    watcher: Watcher
    sample_s: float
    on_sample: Callable[[float], None]
    is_checking: bool = True
    """Whether every decision is held against the invariants."""
    served: list[Served] = field(default_factory=list)
    solve_s: list[float] = field(default_factory=list)
    compliance_s: list[float] = field(default_factory=list)
    seen: dict[str, float] = field(default_factory=dict)
    """When [s since 1970] the controller last began to show a trouble: a source, ``failsafe``, or a lost meter."""
    peak_w: float = 0.0
    demand: Demand = field(default_factory=Demand)
    """What is billed as demand: the highest true mean power of a metering period."""
    snapshot: Snapshot | None = None
    _plan: Plan | None = None
    _troubled: set[str] = field(default_factory=set)
    _cuts: list[_Cut] = field(default_factory=list)
    _samples: list[tuple[float, float, float, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Look at the world whenever something changes in it."""
        self.world.observe(self._look)

    def observe(self, snapshot: Snapshot) -> None:
        """Note a cycle of the controller."""
        self.snapshot = snapshot
        troubles = set(self._troubles(snapshot))
        self.seen |= dict.fromkeys(troubles - self._troubled, snapshot.at_s)
        self._troubled = troubles
        if snapshot.plan is not None and snapshot.plan is not self._plan:
            self._plan = snapshot.plan
            self.solve_s.append(snapshot.plan.solve_s)
        if not self.is_checking:
            return
        for words in broken(snapshot.state, snapshot.limits, snapshot.decision, snapshot.at_s):
            invariant, _, detail = words.partition(": ")
            self.watcher.note(invariant, detail)

    @staticmethod
    def _troubles(snapshot: Snapshot) -> Iterator[str]:
        yield from snapshot.troubles
        yield from snapshot.limits.lost_meters
        if any("failsafe" in source for source in snapshot.limits.source):
            yield "failsafe"

    def cut(self, circuit: CircuitId, limit_a: Phases) -> None:
        """Measure from now on how long the circuit stays above a new limit."""
        self._cuts.append(_Cut(circuit=circuit, limit_a=limit_a, at_s=now_s()))
        self._look()

    def _look(self) -> None:
        power_w = self.power_w()
        self.peak_w = max(self.peak_w, power_w)
        self.demand = measured(self.demand, power_w, self.world.now_s, self.world.site.money.peak_period_s)
        for cut in tuple(self._cuts):
            current_a = self.world.circuit_currents()[cut.circuit]
            if all(a <= limit + _MILLIAMP for a, limit in zip(current_a, cut.limit_a, strict=True)):
                self.compliance_s.append(max(0.0, self.world.now_s - cut.at_s))
                self._cuts.remove(cut)

    def power_w(self) -> float:
        """Return the true power through the grid connection [W]."""
        return self.world.circuit_powers_w()[self.world.site.circuits[0].id]

    async def run(self) -> None:
        """Take a sample of the course of things every `sample_s` until cancelled."""
        while True:
            self.world.advance(now_s())
            drawn_a = self.world.drawn_a()
            cars = sum(1 for evse in self.world.site.evses if self.world.car(evse.id) is not None)
            self._samples.append((now_s(), self.power_w(), self._limit_w(), cars, int((drawn_a > 0.5).sum())))
            self.on_sample(now_s())
            await asyncio.sleep(self.sample_s)

    def _limit_w(self) -> float:
        root = self.world.site.circuits[0]
        limit_a = min(root.rating_a)
        if self.snapshot is not None:
            rows = self.snapshot.state.topology.of_circuit[root.id]
            limit_a = min((float(self.snapshot.limits.limit_a[row]) for row in rows), default=limit_a)
        return 3.0 * root.voltage_v * limit_a

    def series(self) -> Series:
        """Return the course of the run."""
        at_s, power_w, limit_w, cars, charging = zip(*self._samples, strict=True) if self._samples else ((),) * 5
        return Series(at_s=at_s, power_w=power_w, limit_w=limit_w, cars=cars, charging=charging)
