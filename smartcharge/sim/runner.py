"""One policy, one stretch of time, one site: the very controller, in simulated time, watched."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from zoneinfo import ZoneInfo

from smartcharge.clock import now_s
from smartcharge.config.settings import Settings
from smartcharge.control.prediction import History
from smartcharge.control.state import State
from smartcharge.control.tariff import course
from smartcharge.events import FaultRaised, PricesSet
from smartcharge.model import NOTHING, CircuitId, Phases
from smartcharge.mqtt.settings import MqttSettings
from smartcharge.ports import Observer
from smartcharge.sim import loop
from smartcharge.sim.ailments import SIMULATED_CODES
from smartcharge.sim.assumptions import Assumptions
from smartcharge.sim.bill import Bill
from smartcharge.sim.broker import Broker
from smartcharge.sim.devices import METER_S, DirectWire, GridOperator, Meters, MqttWire, Wire
from smartcharge.sim.direct import DirectStations
from smartcharge.sim.faults import LimitBook, Stage, play
from smartcharge.sim.fleet import Fleet
from smartcharge.sim.loads import BuildingLoad, Load
from smartcharge.sim.ocpp_fleet import OcppStations
from smartcharge.sim.plant import ListJournal, Plant
from smartcharge.sim.recorder import Recorder, Served
from smartcharge.sim.recordings import Visit
from smartcharge.sim.result import Result, fairness
from smartcharge.sim.scenario import FaultKind, Scenario
from smartcharge.sim.watcher import Record, Watcher
from smartcharge.sim.world import LoopDriver, World
from smartcharge.store import open_store

UNCONTROLLED = "uncontrolled"
"""The policy without a controller: every car takes what its EVSE can give."""
MET = 0.999
"""Share of the requested energy from which a session counts as met."""


class Transport(Enum):
    """How the controller and the stations talk."""

    OCPP = "ocpp"
    """OCPP over WebSockets and MQTT over TCP, on loopback."""
    DIRECT = "direct"
    """Function calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What to simulate."""

    settings: Settings
    policy: str
    visits: tuple[Visit, ...]
    start_s: float
    """Begin [s since 1970]; its local date is the scenario's first day."""
    end_s: float
    scenario: Scenario = field(default_factory=Scenario)
    transport: Transport = Transport.DIRECT
    assumptions: Assumptions = field(default_factory=Assumptions)
    """What cars are like and what their drivers say; sites and visits are taken as they are given."""
    prices: PricesSet | None = None
    """Prices of energy that the controller is sent at the start; None leaves it with those of the site."""
    history: History = field(default_factory=History)
    """What the site has learnt before the first day."""
    seed: int = 0
    pace: float | None = None
    """Simulated seconds per real second at most; None is as fast as possible."""
    sample_s: float = 60.0
    weighs_faults: bool = False
    """Whether the same days are played again to tell what each fault cost."""
    is_checked: bool = True
    """Whether every decision and the journal are checked; not where only the energy is asked for."""


def simulate(
    run: Run, *, observers: Sequence[Observer] = (), on_sample: Callable[[float], None] = lambda _: None
) -> Result:
    """Return what comes of a run; `on_sample` hears the simulated time [s since 1970] as it passes."""
    began_s = time.perf_counter()
    played = loop.run(_play(run, observers, on_sample), epoch_s=run.start_s, pace=run.pace)
    return _result(run, played, time.perf_counter() - began_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Played:
    """What a run left behind."""

    stage: Stage
    served: list[Served]
    record: Record
    energy_cost: float
    """What the energy of the cars cost [money]."""


async def _play(run: Run, observers: Sequence[Observer], on_sample: Callable[[float], None]) -> _Played:
    world = World(run.settings.site, start_s=run.start_s, loads=loads_of(run))
    driver = LoopDriver(world)
    look_s = 1.0 if run.policy != UNCONTROLLED and run.is_checked else 60.0
    watcher = Watcher(world, load_reaction_s=_load_reaction_s(run), look_s=look_s)
    recorder = Recorder(
        world=world, watcher=watcher, sample_s=run.sample_s, on_sample=on_sample, is_checking=run.is_checked
    )
    bill = Bill(world=world, prices=course(run.settings.site, run.prices, run.start_s, run.end_s))
    async with _surroundings(run, world, watcher, recorder, observers) as (stage, wire):
        async with asyncio.TaskGroup() as group:
            background = [
                group.create_task(work, name=name)
                for name, work in (
                    ("recorder", recorder.run()), ("meters", stage.meters.run()), ("operator", stage.operator.run()),
                    ("scenario", play(run.scenario, stage)), ("alive", _stay_alive(stage.plant)), ("bill", bill.run()),
                )
            ]  # fmt: skip
            if run.prices is not None:
                wire.say(run.prices)
            served = await _traffic(run, stage.fleet, wire, world)
            for task in background:
                task.cancel()
        if run.policy != UNCONTROLLED and run.is_checked:
            await _check_afterwards(stage, watcher)
        await stage.plant.kill()
    driver.close()
    return _Played(stage=stage, served=served, record=watcher.finish(), energy_cost=bill.cost)


def loads_of(run: Run) -> dict[CircuitId, Load]:
    """Return the uncontrolled load on every circuit that has one."""
    site = run.settings.site
    return {
        circuit.id: BuildingLoad(peak_a=circuit.uncontrolled_a, timezone=site.timezone, seed=run.seed + i)
        for i, circuit in enumerate(site.circuits)
        if circuit.uncontrolled_a != NOTHING
    }


def grid_limits(run: Run) -> Iterator[tuple[float, float, CircuitId, Phases]]:
    """Yield the scenario's grid limits: from when to when they bind [s since 1970], where, and the limit [A]."""
    site = run.settings.site
    circuits = {circuit.id: circuit for circuit in site.circuits}
    for step in run.scenario.limits:
        circuit = site.circuits[0] if step.circuit is None else circuits[CircuitId(step.circuit)]
        at_s = midnight_s(run) + step.after_s
        to_s = run.end_s if step.duration_s is None else at_s + step.duration_s
        if at_s + site.timing.reaction_s < to_s:
            yield at_s + site.timing.reaction_s, to_s, circuit.id, step.limit_a(circuit)


def _load_reaction_s(run: Run) -> float:
    """Return how long a rise of uncontrolled load may last: until it is measured and the reaction time is over."""
    site = run.settings.site
    measured_s = METER_S
    if any(fault.kind is FaultKind.METER_FROZEN for fault in run.scenario.faults):
        measured_s = max((c.meter.frozen_s + METER_S for c in site.circuits if c.meter is not None), default=METER_S)
    return site.timing.reaction_s + measured_s


def midnight_s(run: Run) -> float:
    """Return the begin of a run's first day [s since 1970]."""
    zone = ZoneInfo(run.settings.site.timezone)
    first_day = datetime.fromtimestamp(run.start_s, zone).date()
    return datetime.combine(first_day, datetime.min.time(), zone).timestamp()


async def _stay_alive(plant: Plant) -> None:
    while True:
        await asyncio.sleep(60.0)
        await plant.check_alive()


@asynccontextmanager
async def _surroundings(
    run: Run, world: World, watcher: Watcher, recorder: Recorder, observers: Sequence[Observer]
) -> AsyncIterator[tuple[Stage, Wire]]:
    """Start broker, controller, devices and stations."""
    async with AsyncExitStack() as stack:
        codes = {**SIMULATED_CODES, **run.settings.site.vendor_codes}
        site = replace(run.settings.site, solver=run.policy, vendor_codes=codes)
        plant = Plant(
            settings=replace(run.settings, site=site, mqtt=None),
            journal=ListJournal(run.history),
            observers=(recorder, *observers),
        )
        broker = Broker()
        stack.push_async_callback(broker.stop)
        fleet: Fleet
        wire: Wire
        if run.transport is Transport.OCPP and run.policy != UNCONTROLLED:
            await broker.start()
            store = await stack.enter_async_context(open_store("sqlite://"))
            plant.journal, plant.ledger = store.journal, store.ledger
            store.journal.snapshot(replace(State.initial(site), history=run.history))
            await store.journal.flush()
            mqtt = MqttSettings(host="127.0.0.1", port=broker.port, keepalive_s=0, publish_s=60.0)
            plant.settings = replace(plant.settings, mqtt=mqtt)
            wire = MqttWire(site, broker.port)
            await plant.start()
            fleet = stations = OcppStations(site, world, f"ws://127.0.0.1:{plant.ocpp_port}")
            for work in (wire.run(), stations.run()):
                stack.push_async_callback(_cancel, asyncio.create_task(work))
        else:
            wire, fleet = DirectWire(), DirectStations(site, world)
            plant.chargers, plant.sources = (fleet,), (wire,)
            if run.policy != UNCONTROLLED:
                await plant.start()
        stage = Stage(
            site=site, midnight_s=midnight_s(run), world=world, watcher=watcher, recorder=recorder,
            fleet=fleet, plant=plant, meters=Meters(site, world, wire, run.seed), operator=GridOperator(wire),
            book=LimitBook(site=site, watcher=watcher, recorder=recorder), broker=broker,
            wire=wire, visits=run.visits,
        )  # fmt: skip
        yield stage, wire


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _traffic(run: Run, fleet: Fleet, wire: Wire, world: World) -> list[Served]:
    """Let cars come and go until the end; return what each got."""
    served: list[Served] = []
    at: dict[str, Served] = {}
    evses = {evse.id: evse for evse in world.site.evses}
    for at_s, is_arrival, visit in _timetable(run):
        await asyncio.sleep(max(0.0, at_s - now_s()))
        world.advance(now_s())
        if is_arrival:
            at[visit.session_id] = Served(visit=visit)
            served.append(at[visit.session_id])
            fleet.plug(visit.evse, run.assumptions.car(visit, evses[visit.evse]), visit.car or visit.session_id)
            if (need := run.assumptions.need(visit, now_s())) is not None:
                wire.say(need)
        else:
            at[visit.session_id].delivered_wh = fleet.unplug(visit.evse)
    await asyncio.sleep(max(0.0, run.end_s - now_s()))
    world.advance(now_s())
    for remaining in served:
        if remaining.visit.depart_s >= run.end_s:
            remaining.delivered_wh = world.taken_wh(remaining.visit.evse)
    return served


def _timetable(run: Run) -> list[tuple[float, bool, Visit]]:
    """Return arrivals and departures within the run in order; at one instant, who leaves goes first."""
    visits = [visit for visit in run.visits if run.start_s <= visit.arrive_s < run.end_s]
    arrivals = [(visit.arrive_s, True, visit) for visit in visits]
    departures = [(visit.depart_s, False, visit) for visit in visits if visit.depart_s < run.end_s]
    return sorted(arrivals + departures, key=lambda entry: entry[:2])


async def _check_afterwards(stage: Stage, watcher: Watcher) -> None:
    if not await stage.plant.replays():
        watcher.note("I5", "the journal does not lead to the state that the controller has")


def _result(run: Run, played: _Played, wall_s: float) -> Result:
    stage, served, record = played.stage, played.served, played.record
    requested = [one.visit.energy_wh for one in served]
    delivered = [min(one.delivered_wh, one.visit.energy_wh) for one in served]
    shares = [d / r if r > 0.0 else 1.0 for d, r in zip(delivered, requested, strict=True)]
    recorder, money = stage.recorder, run.settings.site.money
    return Result(
        policy=run.policy,
        energy_requested_wh=sum(requested),
        energy_delivered_wh=sum(delivered),
        sessions=len(served),
        sessions_met=sum(share >= MET for share in shares),
        cost=played.energy_cost + recorder.demand.highest_w / 1000.0 * money.peak_per_kw,
        peak_w=recorder.peak_w,
        fairness=fairness(shares),
        session_wh={one.visit.session_id: d for one, d in zip(served, delivered, strict=True)},
        pauses=stage.world.pauses,
        worst_loading=record.worst_share,
        violations=tuple(record.violations),
        misbehaviour=(*record.misbehaviour, *record.load_rises),
        detections=tuple(stage.detections),
        limit_drop_to_compliance_s=tuple(recorder.compliance_s),
        solve_s=tuple(recorder.solve_s),
        wall_s=wall_s,
        series=recorder.series(),
        facts=(*(e for e in stage.plant.evidence if isinstance(e, FaultRaised)), *stage.plant.outcomes),
    )
