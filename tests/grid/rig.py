"""A whole controller in simulated time, with cars that charge, and a grid operator on the other end of the line."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from smartcharge.clock import now_s
from smartcharge.config import Settings, load
from smartcharge.control import liveness
from smartcharge.control.limits import effective_limits
from smartcharge.control.liveness import Liveness
from smartcharge.control.state import State
from smartcharge.grid.http import HttpRoom
from smartcharge.grid.openadr.ven import OpenAdrRoom
from smartcharge.grid.openadr2b.room import OpenAdr2bRoom
from smartcharge.grid.oscp.room import OscpRoom
from smartcharge.mqtt.broker import embedded_broker
from smartcharge.mqtt.quiet import QuietClient
from smartcharge.mqtt.settings import MqttSettings
from smartcharge.ports import Observer, Source
from smartcharge.sim.cars import Car
from smartcharge.sim.direct import DirectStations
from smartcharge.sim.plant import ListJournal, Plant
from smartcharge.sim.world import LoopDriver, World

TOKEN = "long-and-random"
EPOCH_S = 1_700_000_000.0
"""When every story begins [s since 1970]."""

SITE = """\
[site]
id = "yard"
name = "Yard"
timezone = "Europe/Berlin"
[[circuits]]
id = "main"
voltage_v = 230
rating_a = 100
failsafe_a = 30
[[stations]]
ids = ["box-{1..3}"]
circuit = "main"
wiring = "3-phase"
min_a = 6
max_a = 32
default_a = 6
"""


def settings_of(folder: Path, operator: str, tables: str = "[mqtt]\n") -> Settings:
    """Read a site file with the yard, an operator, and tables of adapters."""
    (folder / "token").write_text(TOKEN)
    file = folder / "site.toml"
    file.write_text(f"{SITE}{tables}[[grid]]\n{operator}\n")
    return load(file)


def iso(offset_s: float = 0.0) -> str:
    return datetime.fromtimestamp(now_s() + offset_s, UTC).isoformat()


@dataclass(kw_only=True)
class Rig:
    """Everything that runs."""

    plant: Plant
    world: World
    client: QuietClient | None = None
    web: httpx.AsyncClient | None = None
    """A client of the site's own HTTP server, with the token of operator ``dso``."""
    heard: list[tuple[str, Any]] = field(default_factory=list)
    """What the site said on the operators' topics, by topic under the site's root."""

    @property
    def state(self) -> State:
        assert self.plant.controller is not None
        return self.plant.controller.state

    def limit_w(self) -> float:
        """What the whole site may draw from the grid now [W]."""
        found = effective_limits(self.state, now_s())
        lines = [float(a) for a, row in zip(found.limit_a, found.rows, strict=True) if row.phase is not None]
        totals = [float(a) for a, row in zip(found.limit_a, found.rows, strict=True) if row.phase is None]
        return round(690.0 * min(lines + totals), 3)

    def drawn_w(self) -> float:
        """What the cars truly draw [W]."""
        self.world.advance(now_s())
        return round(sum(self.world.power_w(evse.id) for evse in self.world.site.evses), 1)

    def liveness(self, source: str) -> Liveness:
        return liveness.at(self.state.sources[source], now_s()).liveness

    async def say(self, topic: str, payload: object, *, retain: bool = False) -> None:
        assert self.client is not None
        text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        await self.client.publish(f"smartcharge/yard/{topic}", text, qos=1, retain=retain)
        await asyncio.sleep(0.5)

    async def beat(self, operator: str, times: int = 1, every_s: float = 60.0) -> None:
        """Send heartbeats; returns with the last."""
        for n in range(times):
            if n:
                await asyncio.sleep(every_s)
            await self.say(f"grid/{operator}/heartbeat", {"sent_at": iso()})

    @asynccontextmanager
    async def pulse(self, operator: str) -> AsyncIterator[None]:
        """Send a heartbeat every minute, from now on."""
        beating = asyncio.create_task(self.beat(operator, times=10**9))
        await asyncio.sleep(1.0)
        try:
            yield
        finally:
            await _ended(beating)

    def answers(self, operator: str) -> list[tuple[str | None, str]]:
        """What was answered to an operator: ids and statuses."""
        topic = f"grid/{operator}/answer"
        return [(payload["id"], payload["status"]) for where, payload in self.heard if where == topic]

    async def restart(self) -> None:
        """Kill the controller without a word and start it again from its journal."""
        await self.plant.kill()
        await self.plant.start()
        await asyncio.sleep(1.0)

    async def until(self, is_so: Callable[[], bool], patience_s: float = 600.0) -> None:
        """Wait until something is so."""
        for _ in range(int(patience_s)):
            if is_so():
                return
            await asyncio.sleep(1.0)
        raise AssertionError("it did not come to that")


@asynccontextmanager
async def rig(
    settings: Settings,
    *,
    sources: Sequence[Source] = (),
    observers: Sequence[Observer] = (),
    cars: int = 3,
    http_port: int = 0,
) -> AsyncIterator[Rig]:
    """Run a controller, with a car at the first EVSEs and, if the site has a broker, an operator on it."""
    async with AsyncExitStack() as stack:
        site = replace(settings.site, solver="greedy")
        world = World(site, start_s=now_s())
        driver = LoopDriver(world)
        stack.callback(driver.close)
        client, mqtt = None, None
        if settings.mqtt is not None:
            port = await stack.enter_async_context(embedded_broker())
            mqtt = MqttSettings(host="127.0.0.1", port=port, keepalive_s=0, publish_s=60.0)
            nodelay = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
            client = QuietClient("127.0.0.1", port, keepalive=0, identifier="operator", socket_options=nodelay)
            await stack.enter_async_context(client)
            await client.subscribe("smartcharge/yard/grid/+/answer", qos=1)
        stations = DirectStations(site, world)
        servers: list[OscpRoom | OpenAdrRoom] = [
            *(OscpRoom(site, each) for each in settings.oscp),
            *(OpenAdrRoom(site, each) for each in settings.openadr),
        ]
        routers = [server.router for server in servers]
        http = None if settings.http is None else HttpRoom(site, replace(settings.http, port=http_port), routers)
        asked = [OpenAdr2bRoom(site, each) for each in settings.openadr2b]
        rooms: tuple[Any, ...] = (*servers, *asked, *(() if http is None else (http,)))
        plant = Plant(
            settings=replace(settings, site=site, mqtt=mqtt), journal=ListJournal(), chargers=(stations,),
            sources=(*sources, *rooms), observers=(*observers, *rooms),
        )  # fmt: skip
        made = Rig(plant=plant, world=world, client=client)
        if client is not None:
            listening = asyncio.create_task(_listen(client, made))
            stack.push_async_callback(_ended, listening)
        await plant.start()
        stack.push_async_callback(plant.kill)
        if http is not None:
            base = f"http://127.0.0.1:{await http.ready()}/grid/dso"
            made.web = httpx.AsyncClient(base_url=base, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30.0)
            await stack.enter_async_context(made.web)
        for evse in site.evses[:cars]:
            stations.plug(evse.id, Car.ideal(energy_wh=1e6, max_w=evse.max_w), f"driver of {evse.id}")
        await asyncio.sleep(60.0)
        await plant.check_alive()
        yield made
        await plant.check_alive()
        assert await plant.replays(), "the journal leads to another state (I5)"


async def _listen(client: QuietClient, made: Rig) -> None:
    async for message in client.messages:
        made.heard.append((message.topic.value.removeprefix("smartcharge/yard/"), json.loads(bytes(message.payload))))


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
