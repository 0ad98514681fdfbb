"""Whoever breaks things on purpose: grid limits that come and go, faults by the scenario."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from smartcharge.clock import now_s
from smartcharge.control.health.vocabulary import cause_of
from smartcharge.events import FaultOrder, FaultRaised, StationOffline
from smartcharge.model import Circuit, CircuitId, EvseId, Phases, Site, StationId
from smartcharge.sim import hardware
from smartcharge.sim.ailments import AILMENTS, CAUSES, VENDOR
from smartcharge.sim.broker import Broker
from smartcharge.sim.devices import OPERATOR, GridOperator, Meters, Wire
from smartcharge.sim.fleet import Fleet
from smartcharge.sim.plant import Evidence, Plant
from smartcharge.sim.recorder import Recorder
from smartcharge.sim.recordings import Visit
from smartcharge.sim.result import Detection
from smartcharge.sim.scenario import Fault, FaultKind, GridStep, OrderStep, Scenario
from smartcharge.sim.watcher import Watcher
from smartcharge.sim.world import World

DROPS_S = 300.0
"""How often an unsteady link is lost [s]."""
BROKER_BACK_S = 60.0
"""How long MQTT clients may take to come back to a broker [s]: the longest back-off, twice."""


@dataclass(slots=True, kw_only=True)
class LimitBook:
    """What limit is in force in truth, for the watcher: declared by the operator, held, expired or out of reach.

    A limit binds within the reaction time once a controller can hear it.  While no controller lives,
    the site owes the failsafe limit and no less; once the operator is silent beyond the validity of its
    last word, the failsafe limit joins the last one.
    """

    site: Site
    watcher: Watcher
    recorder: Recorder
    limit: tuple[Circuit, Phases] | None = None
    is_alive: bool = True
    is_expired: bool = False
    hindered_until_s: float = 0.0
    """Until then something keeps commands from stations or facts from the controller."""

    def tell(self) -> None:
        """Tell the watcher what holds now."""
        if self.limit is None:
            for circuit in self.site.circuits:
                self.watcher.lift(OPERATOR, circuit.id)
            return
        circuit, limit_a = self.limit
        in_force = limit_a
        if not self.is_alive:
            in_force = limit_a.max(circuit.failsafe_a)
        elif self.is_expired:
            in_force = limit_a.min(circuit.failsafe_a)
        reaction_s = self.site.timing.reaction_s + max(0.0, self.hindered_until_s - now_s())
        self.watcher.limit(OPERATOR, circuit.id, in_force, reaction_s=reaction_s)


@dataclass(slots=True, kw_only=True)
class Stage:
    """Everything that a scenario can touch."""

    site: Site
    midnight_s: float
    """Begin of the scenario's first day [s since 1970]."""
    world: World
    watcher: Watcher
    recorder: Recorder
    fleet: Fleet
    plant: Plant
    meters: Meters
    operator: GridOperator
    book: LimitBook
    broker: Broker
    wire: Wire
    visits: Sequence[Visit]
    detections: list[Detection] = field(default_factory=list)


async def play(scenario: Scenario, stage: Stage) -> None:
    """Do to the site all that the scenario says, each thing at its time; returns when all is done."""
    async with asyncio.TaskGroup() as group:
        for step in scenario.limits:
            group.create_task(_limit(step, stage), name="limit")
        for fault in scenario.faults:
            group.create_task(_fault(fault, stage), name=fault.kind.value)
        for order in scenario.orders:
            group.create_task(_order(order, stage), name=order.kind.value)


async def _until(stage: Stage, after_s: float) -> None:
    await asyncio.sleep(max(0.0, stage.midnight_s + after_s - now_s()))


async def _limit(step: GridStep, stage: Stage) -> None:
    circuits = {circuit.id: circuit for circuit in stage.site.circuits}
    circuit = stage.site.circuits[0] if step.circuit is None else circuits[CircuitId(step.circuit)]
    await _until(stage, step.after_s)
    limit_a = step.limit_a(circuit)
    stage.world.advance(now_s())
    stage.operator.limit(circuit.id, current_a=limit_a, power_w=None)
    stage.book.limit = (circuit, limit_a)
    stage.book.tell()
    stage.recorder.cut(circuit.id, limit_a)
    if step.duration_s is not None:
        await asyncio.sleep(step.duration_s)
        stage.world.advance(now_s())
        stage.operator.lift()
        stage.book.limit = None
        stage.book.tell()


async def _order(step: OrderStep, stage: Stage) -> None:
    await _until(stage, step.after_s)
    order = FaultOrder(
        at_s=now_s(), evse=EvseId(step.evse), cause=step.cause, kind=step.kind, author="scenario",
        reason="as written", limit_a=step.limit_a,
    )  # fmt: skip
    stage.wire.say(order)


async def _fault(fault: Fault, stage: Stage) -> None:
    await _until(stage, fault.after_s)
    stage.world.advance(now_s())
    if fault.kind in AILMENTS and not _is_circuit(fault.target, stage):
        await _hardware(fault, stage)
        return
    target = _target(fault, stage)
    planted_s, seen = now_s(), len(stage.plant.evidence)
    stage.book.hindered_until_s = max(stage.book.hindered_until_s, planted_s + _hinders_s(fault, stage.site))
    await _switch(fault.kind, target, stage, on=True)
    await _last(fault, StationId(target), stage)
    stage.world.advance(now_s())
    await _switch(fault.kind, target, stage, on=False)
    await asyncio.sleep(4 * stage.site.timing.meter_interval_s)
    stage.detections.append(_detection(fault, target, planted_s, stage, stage.plant.evidence[seen:]))


async def _last(fault: Fault, station: StationId, stage: Stage) -> None:
    """Let a fault last; an unsteady link is lost again and again meanwhile."""
    until_s = now_s() + fault.duration_s
    while fault.kind is FaultKind.LINK_UNSTEADY and now_s() < until_s - DROPS_S:
        stage.fleet.drop(station)
        await asyncio.sleep(DROPS_S)
    await asyncio.sleep(max(0.0, until_s - now_s()))


def _is_circuit(target: str | None, stage: Stage) -> bool:
    return any(circuit.id == target for circuit in stage.site.circuits)


async def _hardware(fault: Fault, stage: Stage) -> None:
    evses = hardware.targets(fault, stage)
    target, planted_s, seen = ", ".join(evses), now_s(), len(stage.plant.evidence)
    await hardware.suffer(fault, evses, stage)
    await asyncio.sleep(4 * stage.site.timing.meter_interval_s)
    fact = hardware.found(fault.kind, evses, stage.plant.evidence[seen:], stage)
    words = _words(fact) if fact is not None else hardware.why_missed(fault, evses, planted_s, stage)
    stage.detections.append(
        Detection(
            kind=fault.kind.value, target=target, planted_s=planted_s, until_s=planted_s + fault.duration_s,
            detected_s=None if fact is None else fact.at_s, evidence=words,
        )
    )  # fmt: skip
    if fault.released:
        await hardware.release(CAUSES[fault.kind], evses, stage)


def _target(fault: Fault, stage: Stage) -> str:
    """Return what is to fail: what the scenario names, or a station whose car draws the most right now."""
    if fault.target is not None:
        return fault.target
    if fault.kind in (FaultKind.BROKER_DOWN, FaultKind.CONTROLLER_KILLED, FaultKind.LIMIT_STALE):
        return {FaultKind.BROKER_DOWN: "broker", FaultKind.LIMIT_STALE: OPERATOR}.get(fault.kind, "controller")
    return max(stage.site.evses, key=lambda evse: stage.world.power_w(evse.id)).station


def _hinders_s(fault: Fault, site: Site) -> float:
    """Return how long from its start a fault keeps the site from following a new limit in full [s]."""
    timing = site.timing
    match fault.kind:
        case FaultKind.BROKER_DOWN:
            return fault.duration_s + BROKER_BACK_S
        case FaultKind.CONTROLLER_KILLED:
            return fault.duration_s + timing.command_s + timing.profile_s
        case (
            FaultKind.STATION_SILENT | FaultKind.ANSWER_LOST | FaultKind.STATION_DEAD
            | FaultKind.STATION_REFUSES | FaultKind.LINK_UNSTEADY
        ):  # fmt: skip
            # A station that hears or takes nothing keeps its profile until it ends.
            return fault.duration_s + timing.profile_s + timing.margin_s
        case _:
            return 0.0


async def _switch(kind: FaultKind, target: str, stage: Stage, *, on: bool) -> None:
    station, fleet = StationId(target), stage.fleet
    plainly = {
        FaultKind.STATION_SILENT: fleet.set_silent, FaultKind.STATION_DEAD: fleet.set_dead,
        FaultKind.ANSWER_LOST: fleet.set_losing_answers, FaultKind.STATION_REFUSES: fleet.set_refusing,
    }  # fmt: skip
    match kind:
        case _ if kind in plainly:
            plainly[kind](station, on=on)
        case FaultKind.LINK_UNSTEADY:
            pass  # lost now and then, while it lasts
        case FaultKind.STATION_IGNORES_PROFILE:
            stage.fleet.set_ignoring(station, on=on)
            _tell_watcher(station, stage, on=on)
        case FaultKind.METER_FROZEN:
            _freeze(target, stage, on=on)
        case FaultKind.BROKER_DOWN:
            await (stage.broker.stop() if on else stage.broker.start())
        case FaultKind.CONTROLLER_KILLED:
            await (stage.plant.kill() if on else stage.plant.start())
            stage.book.is_alive = not on
            stage.book.tell()
        case FaultKind.METER_SILENT:
            (stage.meters.silent.add if on else stage.meters.silent.discard)(CircuitId(target))
        case FaultKind.LIMIT_STALE:
            stage.operator.is_silent = on
            await _let_expire(stage, on=on)
        case _:
            raise AssertionError(f"{kind.value} is an EVSE's hardware")


async def _let_expire(stage: Stage, *, on: bool) -> None:
    if on:
        await asyncio.sleep(max(0.0, stage.operator.valid_until_s - now_s()))
        stage.world.advance(now_s())
    stage.book.is_expired = on
    stage.book.tell()


def _tell_watcher(station: StationId, stage: Stage, *, on: bool) -> None:
    for evse in stage.site.evses:
        if evse.station == station:
            (stage.watcher.misbehaves if on else stage.watcher.behaves)(evse.id)


def _freeze(target: str, stage: Stage, *, on: bool) -> None:
    if any(circuit.id == target for circuit in stage.site.circuits):
        circuit = CircuitId(target)
        (stage.meters.frozen.add if on else stage.meters.frozen.discard)(circuit)
    else:
        stage.fleet.set_frozen(StationId(target), on=on)


def _detection(fault: Fault, target: str, planted_s: float, stage: Stage, evidence: list[Evidence]) -> Detection:
    """Return how the controller came to know of a fault: the first fact that speaks of its target."""
    found: tuple[float, str] | None = None
    match fault.kind:
        case FaultKind.BROKER_DOWN:
            found = _shown("mqtt", planted_s, stage)
        case FaultKind.CONTROLLER_KILLED:
            found = (planted_s, "started again from its journal") if stage.plant.starts > 1 else None
        case FaultKind.LIMIT_STALE:
            found = _shown("failsafe", planted_s, stage)
        case FaultKind.METER_FROZEN | FaultKind.METER_SILENT if target in stage.recorder.seen:
            found = _shown(target, planted_s, stage)
        case _:
            first = next((one for one in evidence if _tells(fault.kind, target, one, stage.site)), None)
            found = None if first is None else (first.at_s, _words(first))
    here = [evse.id for evse in stage.site.evses if evse.station == target]
    why = hardware.why_missed(fault, here, planted_s, stage) if here else "nothing noticed"
    detected_s, words = found if found is not None else (None, why)
    return Detection(
        kind=fault.kind.value, target=target, planted_s=planted_s, until_s=planted_s + fault.duration_s,
        detected_s=detected_s, evidence=words,
    )  # fmt: skip


def _tells(kind: FaultKind, target: str, evidence: Evidence, site: Site) -> bool:
    """Tell whether a fact speaks of what was planted at a station: of its cause, or of nobody answering."""
    if isinstance(evidence, StationOffline):
        return kind not in CAUSES and evidence.station == target
    is_there = any(evse.id == evidence.evse and evse.station == target for evse in site.evses)
    if isinstance(evidence, FaultRaised):
        return is_there and CAUSES.get(kind) is cause_of(evidence, site.vendor_codes, VENDOR)
    return is_there and kind not in CAUSES


def _words(evidence: Evidence) -> str:
    return f"{evidence.code}: {evidence.detail}" if isinstance(evidence, FaultRaised) else type(evidence).__name__


def _shown(name: str, planted_s: float, stage: Stage) -> tuple[float, str] | None:
    at_s = stage.recorder.seen.get(name)
    return None if at_s is None or at_s < planted_s else (at_s, f"shown: {name}")
