"""A grid limit is cut to half: how long until every station has accepted its lower profile?

Everything is real but the cars: wall-clock time, OCPP 1.6 and 2.0.1 in turn over WebSockets, MQTT through the
embedded broker, a journal in a SQLite file.  Stations, broker and controller share one thread, so the stations' own
work counts against us.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import httpx

from benchmarks.figures import Row, spread
from smartcharge.clock import now_s
from smartcharge.config import OcppSettings, Settings, StoreSettings
from smartcharge.control.state import State
from smartcharge.events import Accepted, Commanded, Event, LimitLifted, LimitSet, LimitsReplaced, ProfileKind
from smartcharge.grid.http import HttpRoom
from smartcharge.grid.openadr.limits import IMPORT
from smartcharge.grid.openadr.settings import OpenAdrSettings
from smartcharge.grid.openadr.ven import OpenAdrRoom
from smartcharge.grid.settings import HttpSettings
from smartcharge.model import (
    Circuit,
    CircuitId,
    Evse,
    EvseId,
    GridSource,
    Phases,
    Rotation,
    Site,
    Station,
    StationId,
    Wiring,
)
from smartcharge.mqtt.broker import embedded_broker
from smartcharge.mqtt.settings import MqttSettings
from smartcharge.ports import Journal, Snapshot
from smartcharge.sim.cars import Car
from smartcharge.sim.devices import MqttWire
from smartcharge.sim.ocpp_fleet import OcppStations
from smartcharge.sim.plant import Plant
from smartcharge.sim.station_parts import StationOptions
from smartcharge.sim.world import LoopDriver, World
from smartcharge.store import open_store
from smartcharge.words.base import utc
from tests.grid.vtn import Vtn, serving

FULL_A = 16.0
"""What every station gives before the cut [A]."""
PANEL = 25
"""Stations on each sub-panel."""
MAIN = CircuitId("main")
OPERATOR = "dso"
DWELL_S = 5.0
"""How long a limit lasts, so that stations and cars have followed before it changes again [s]."""
PATIENCE_S = 300.0
"""How long stations may take to come up, and to be raised again after a cut [s]."""


def site_of(stations: int) -> Site:
    """Return a site whose grid connection is full when every station gives FULL_A."""
    main_a = Phases.all(FULL_A * stations)
    default_a = Phases.all(6.0 * stations)
    panels = [CircuitId(f"panel-{n:02d}") for n in range(-(-stations // PANEL))]
    circuits = (
        Circuit(id=MAIN, parent=None, rating_a=main_a, failsafe_a=default_a, voltage_v=230.0),
        *(
            Circuit(
                id=panel, parent=MAIN, rating_a=Phases.all(FULL_A * PANEL), failsafe_a=Phases.all(6.0 * PANEL),
                voltage_v=230.0,
            )
            for panel in panels
        ),
    )  # fmt: skip
    return Site(
        id="benchmark",
        name="Benchmark",
        timezone="UTC",
        circuits=circuits,
        stations=tuple(_station(n, panels[n // PANEL]) for n in range(stations)),
    )


def _station(number: int, panel: CircuitId) -> Station:
    name = StationId(f"station-{number:03d}")
    evse = Evse(
        id=EvseId(f"{name}/1"), station=name, number=1, wiring=Wiring.THREE_PHASE,
        rotation=tuple(Rotation)[number % 3], voltage_v=230.0, min_a=6.0, max_a=FULL_A, default_a=6.0,
    )  # fmt: skip
    return Station(id=name, circuit=panel, evses=(evse,))


@dataclass(slots=True, kw_only=True)
class _Witness:
    """A journal and an observer that knows when every station has accepted a limit within bounds."""

    journal: Journal
    evses: frozenset[EvseId]
    done: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while all of them have, and the plan is not older than the question."""
    marks: dict[str, float] = field(default_factory=dict)
    """When things happened first since the question was put [s of the performance counter]."""
    _bounds_a: tuple[float, float] = (0.0, 0.0)
    _since_s: float = 0.0
    _waiting: set[EvseId] = field(default_factory=set)
    _has_plan: bool = True
    _commands: dict[int, float] = field(default_factory=dict)
    """Limits that are not accepted yet [A], by number of the command."""

    def expect(self, lowest_a: float, highest_a: float, *, with_plan: bool) -> None:
        """Put the question: when will everybody have accepted a limit within bounds [A]?"""
        self._bounds_a, self._since_s, self._has_plan = (lowest_a, highest_a), now_s(), not with_plan
        self._waiting = set(self.evses)
        self.done.clear()
        self.marks.clear()

    async def answer(self) -> dict[str, float]:
        """Wait until it is so, and return what happened when."""
        async with asyncio.timeout(PATIENCE_S):
            await self.done.wait()
        return dict(self.marks)

    def append(self, event: Event) -> None:
        """Keep a fact and note what it says."""
        self.journal.append(event)
        match event:
            case LimitSet() | LimitsReplaced():
                self.marks.setdefault("heard", time.perf_counter())
            case Commanded(kind=ProfileKind.TRANSACTION):
                self._commands[event.command_id] = event.limit_a
                self.marks.setdefault("decided", time.perf_counter())
            case Accepted() if event.command_id in self._commands:
                self._accepted(event.evse, self._commands.pop(event.command_id))
            case _:
                pass

    def _accepted(self, evse: EvseId, limit_a: float) -> None:
        lowest_a, highest_a = self._bounds_a
        (self._waiting.discard if lowest_a <= limit_a <= highest_a else self._waiting.add)(evse)
        self._judge()

    def _judge(self) -> None:
        if self._waiting or not self._has_plan:
            self.done.clear()
        else:
            self.marks.setdefault("accepted", time.perf_counter())
            self.done.set()

    def observe(self, snapshot: Snapshot) -> None:
        """Note whether the plan knows what is asked."""
        if snapshot.plan is not None and snapshot.plan.made_at_s >= self._since_s:
            self._has_plan = True
            self._judge()

    async def flush(self) -> None:
        """Return when all is written."""
        await self.journal.flush()

    @property
    def is_snapshot_due(self) -> bool:
        """Tell what the journal tells."""
        return self.journal.is_snapshot_due

    def snapshot(self, state: State) -> None:
        """Keep a state."""
        self.journal.snapshot(state)

    def resume(self, site: Site) -> State:
        """Return the state to go on from."""
        return self.journal.resume(site)

    def load(self) -> Iterator[Event]:
        """Yield all facts, oldest first."""
        return self.journal.load()


class MqttOperator:
    """A grid operator on the site's broker."""

    name = "mqtt"
    rooms: tuple[HttpRoom | OpenAdrRoom, ...] = ()

    def __init__(self, site: Site, port: int) -> None:
        self.site = site
        self._wire = MqttWire(site, port)

    async def run(self) -> None:
        """Stay connected until cancelled."""
        await self._wire.run()

    async def ready(self) -> None:
        """Return at once: the broker is there."""

    async def limit(self, current_a: Phases) -> None:
        """Limit the grid connection for an hour."""
        until_s = now_s() + 3600.0
        self._wire.say(
            LimitSet(at_s=now_s(), source=OPERATOR, circuit=MAIN, current_a=current_a, valid_until_s=until_s)
        )

    async def lift(self) -> None:
        """Say that there is no limit."""
        self._wire.say(LimitLifted(at_s=now_s(), source=OPERATOR, circuit=MAIN))


class HttpOperator:
    """A grid operator that calls the site's HTTP server; the site waits for it, and hears it from the start."""

    name = "http"

    def __init__(self, site: Site, port: int) -> None:
        del port
        self.site = site
        waiting = replace(site, grid=(GridSource(id=f"http {OPERATOR}", circuit=MAIN),))
        self._room = HttpRoom(waiting, HttpSettings(port=0, tokens={OPERATOR: "token"}))
        self.rooms: tuple[HttpRoom | OpenAdrRoom, ...] = (self._room,)
        self._http = httpx.AsyncClient(headers={"Authorization": "Bearer token"})
        self._site = ""

    async def run(self) -> None:
        """Learn where the site is; wait until cancelled."""
        self._site = f"http://127.0.0.1:{await self._room.ready()}/grid/{OPERATOR}"
        try:
            await asyncio.Event().wait()
        finally:
            await self._http.aclose()

    async def ready(self) -> None:
        """Return at once: the stations come up long after the server."""

    async def limit(self, current_a: Phases) -> None:
        """Limit the grid connection for an hour."""
        await self._put({"current_a": current_a._asdict(), "valid_until": utc(now_s() + 3600.0).isoformat()})

    async def lift(self) -> None:
        """Say that there is no limit."""
        await self._put({"lifted": True})

    async def _put(self, body: dict[str, Any]) -> None:
        answer = await self._http.put(
            f"{self._site}/limits/{MAIN}", json={"issued_at": utc(now_s()).isoformat(), **body}
        )
        answer.raise_for_status()


class WebhookOperator:
    """A grid operator with an OpenADR 3 server, which calls the site's HTTP server when an event changes."""

    name = "webhook"

    def __init__(self, site: Site, port: int) -> None:
        del port
        self._vtn = Vtn(port=_free_port())
        self.site = waiting = replace(site, grid=(GridSource(id=f"openadr {OPERATOR}", circuit=MAIN),))
        ours = _free_port()
        settings = OpenAdrSettings(
            operator=OPERATOR, url=self._vtn.url, client_id="yard", client_secret="s3cret",  # noqa: S106 - of a test server
            our_url=f"http://127.0.0.1:{ours}", poll_s=10.0,
        )  # fmt: skip
        asking = OpenAdrRoom(waiting, settings)
        self.rooms: tuple[HttpRoom | OpenAdrRoom, ...] = (
            HttpRoom(waiting, HttpSettings(port=ours), [asking.router]), asking,
        )  # fmt: skip

    async def run(self) -> None:
        """Serve until cancelled; the site subscribes within a minute."""
        async with serving(self._vtn):
            await asyncio.Event().wait()

    async def ready(self) -> None:
        """Return once the site wants to be notified."""
        await self._vtn.subscribed.wait()

    async def limit(self, current_a: Phases) -> None:
        """Limit the grid connection for an hour."""
        period = {"start": utc(now_s()).isoformat(), "duration": "PT1H"}
        kw = 230.0 * sum(current_a) / 1000.0
        intervals = [{"id": 0, "payloads": [{"type": IMPORT, "values": [kw]}]}]
        event = {"id": "cut", "programID": "p1", "intervalPeriod": period, "intervals": intervals}
        await self._tell([event])

    async def lift(self) -> None:
        """Have no event any more."""
        await self._tell([])

    async def _tell(self, events: list[dict[str, Any]]) -> None:
        self._vtn.events = events
        await self._vtn.notify()


Operator: TypeAlias = MqttOperator | HttpOperator | WebhookOperator


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rig:
    """Everything that runs."""

    site: Site
    witness: _Witness
    operator: Operator
    stations: OcppStations

    def together_a(self) -> float:
        """Return what the profiles that the stations hold allow all of them together on a phase [A]."""
        held = (station.supply.profiles.limit_a(1, now_s()) for station in self.stations.stations.values())
        return sum(held)


def measure(*, stations: int = 200, cuts: int = 10, dwell_s: float = DWELL_S) -> list[Row]:
    """Return a row for each way that the limit may come: the times from the message to the last acceptance [s]."""
    return [_row(way, stations, cuts, dwell_s) for way in (MqttOperator, HttpOperator, WebhookOperator)]


def _row(way: type[Operator], stations: int, cuts: int, dwell_s: float) -> Row:
    with TemporaryDirectory() as folder:
        marks = asyncio.run(_measure(way, site_of(stations), cuts, dwell_s, Path(folder)))
    since_sent = {
        name: spread([mark[name] - mark["sent"] for mark in marks]) for name in ("heard", "decided", "accepted")
    }
    row = {"benchmark": "limit_cut", "over": way.name, "stations": stations, "cuts": cuts, **since_sent["accepted"]}
    parts = (("heard", "median_s"), ("heard", "max_s"), ("decided", "median_s"), ("decided", "max_s"))
    return row | {f"{name}_{key}": since_sent[name][key] for name, key in parts}


async def _measure(way: type[Operator], site: Site, cuts: int, dwell_s: float, folder: Path) -> list[dict[str, float]]:
    found = []
    half_a = Phases(*(a / 2.0 for a in site.circuits[0].rating_a))
    async with _rig(way, site, folder) as rig:
        await rig.operator.ready()
        for _ in range(cuts):
            await rig.witness.answer()
            await asyncio.sleep(dwell_s)
            await rig.witness.answer()
            rig.witness.expect(0.0, FULL_A - 1.0, with_plan=False)
            sent = time.perf_counter()
            await rig.operator.limit(half_a)
            found.append({"sent": sent, **await rig.witness.answer()})
            assert rig.together_a() <= half_a.l1 + 1e-3, "what the stations hold exceeds the new limit"
            await asyncio.sleep(dwell_s)
            rig.witness.expect(FULL_A - site.deadband_a, FULL_A, with_plan=True)
            await rig.operator.lift()
    return found


@asynccontextmanager
async def _rig(way: type[Operator], site: Site, folder: Path) -> AsyncIterator[_Rig]:
    """Start broker, controller and stations, with a car at each."""
    async with embedded_broker() as port, open_store(f"sqlite:///{folder / 'site.db'}") as store:
        witness = _Witness(journal=store.journal, evses=frozenset(evse.id for evse in site.evses))
        witness.expect(FULL_A - site.deadband_a, FULL_A, with_plan=True)
        operator = way(site, port)
        site = operator.site
        settings = Settings(
            site=site, mqtt=MqttSettings(host="127.0.0.1", port=port), ocpp=OcppSettings(), store=StoreSettings()
        )
        plant = Plant(
            settings=settings, journal=witness, ledger=store.ledger, sources=operator.rooms,
            observers=(witness, *operator.rooms),
        )  # fmt: skip
        await plant.start()
        world = World(site, start_s=now_s())
        driver = LoopDriver(world)
        options = StationOptions(boot_s=0.1, start_s=0.5)
        stations = OcppStations(site, world, f"ws://127.0.0.1:{plant.ocpp_port}", options=options)
        tasks = [asyncio.create_task(work) for work in (stations.run(), operator.run())]
        for evse in site.evses:
            car = Car.ideal(energy_wh=100_000.0, max_w=evse.max_w)
            stations.plug(evse.id, car, f"driver of {evse.id}")
        try:
            yield _Rig(site=site, witness=witness, operator=operator, stations=stations)
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            driver.close()
            await plant.kill()


if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["limit_cut", *sys.argv[1:]])
