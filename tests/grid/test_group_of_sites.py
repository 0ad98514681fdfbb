"""The shipped group in simulated time: three controllers and a coordinator over a real broker, stations that charge."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from smartcharge.clock import now_s
from smartcharge.config import Settings, load
from smartcharge.control.records import Record
from smartcharge.control.sharing import limit_of
from smartcharge.events import NeedStated
from smartcharge.grid.http import HttpRoom
from smartcharge.grid.openadr.ven import OpenAdrRoom
from smartcharge.grid.oscp.room import OscpRoom
from smartcharge.mqtt.member import GroupRoom
from smartcharge.mqtt.quiet import QuietClient
from smartcharge.mqtt.settings import MqttSettings
from smartcharge.sim import loop
from smartcharge.sim.broker import Broker
from smartcharge.sim.cars import Car
from smartcharge.sim.direct import DirectStations
from smartcharge.sim.plant import ListJournal, Plant
from smartcharge.sim.world import LoopDriver, World
from tests.grid.rig import EPOCH_S, TOKEN, iso
from tests.grid.test_openadr import event
from tests.grid.test_oscp import Provider, block, free_port, providing
from tests.grid.vtn import Vtn, serving

FILES = Path(__file__).parents[2] / "sites" / "group"
NAMES = ("harbour-north", "harbour-south", "harbour-ferry")
NORTH, SOUTH, FERRY = NAMES
SAFE_W = {NORTH: 25_000.0, SOUTH: 25_000.0, FERRY: 15_000.0}
LIMIT_W, FAILSAFE_W = 150_000.0, 100_000.0
REACTION_S = 20.0
"""From a limit's arrival at the coordinator to compliance while every site answers: theirs, and two messages."""
LAPSE_S = 373.0
"""As `smartcharge check` says: until the room of a site that is gone is surely free."""


@dataclass(kw_only=True)
class Place:
    """One site with its controller, its stations and its cars."""

    settings: Settings
    port: int
    plant: Plant
    world: World
    stations: DirectStations

    async def start(self) -> None:
        (line,) = self.settings.groups
        broker = replace(line.broker, host="127.0.0.1", port=self.port, keepalive_s=0)
        room = GroupRoom(self.settings.site, replace(line, broker=broker))
        self.plant.sources, self.plant.observers = (room,), (room,)
        await self.plant.start()

    async def kill(self) -> None:
        await self.plant.kill()

    def drawn_w(self) -> float:
        self.world.advance(now_s())
        return sum(self.world.power_w(evse.id) for evse in self.world.site.evses)

    async def come(self, count: int) -> None:
        """Cars arrive that want all they can get."""
        assert self.plant.controller is not None
        for evse in self.world.site.evses[:count]:
            self.stations.plug(evse.id, Car.ideal(energy_wh=1e6, max_w=evse.max_w), f"driver of {evse.id}")
            need = NeedStated(at_s=now_s(), evse=evse.id, energy_wh=1e6, depart_at_s=now_s() + 7200.0)
            await self.plant.controller.emit(need)

    def leave(self) -> None:
        for evse in self.world.site.evses:
            with suppress(KeyError):
                self.stations.unplug(evse.id)


@dataclass(kw_only=True)
class Harbour:
    """The group, and a watcher that knows what is true."""

    broker: Broker
    coordinator: Plant
    places: dict[str, Place]
    operator: QuietClient | None = None
    allowed: list[tuple[float, float]] = field(default_factory=list)
    """From when on the sites must keep which limit together; the last that has begun counts."""
    worst_w: float = 0.0

    def drawn_w(self) -> dict[str, float]:
        return {name: place.drawn_w() for name, place in self.places.items()}

    def demand(self, limit_w: float, after_s: float = 0.0) -> None:
        """Demand that a limit is kept from some time after now on, and until then the one that is kept now."""
        self.allowed = [(since_s, w) for since_s, w in self.allowed if since_s <= now_s() or w > limit_w]
        self.allowed.append((now_s() + after_s, limit_w))

    def limit_w(self) -> float:
        return [w for since_s, w in self.allowed if since_s <= now_s()][-1]

    async def watch(self) -> None:
        while True:
            drawn_w = self.drawn_w()
            total_w = sum(drawn_w.values())
            assert total_w <= self.limit_w() + 1.0, (now_s() - EPOCH_S, drawn_w, self.limit_w())
            self.worst_w = max(self.worst_w, total_w)
            await asyncio.sleep(1.0)

    async def settle(self, seconds: float = 60.0) -> dict[str, float]:
        await asyncio.sleep(seconds)
        for plant in (self.coordinator, *(place.plant for place in self.places.values())):
            await plant.check_alive()
        return self.drawn_w()

    async def say(self, topic: str, payload: object) -> None:
        assert self.operator is not None
        await self.operator.publish(f"smartcharge/feeder/{topic}", json.dumps(payload), qos=1)

    @asynccontextmanager
    async def operating(self) -> AsyncIterator[None]:
        """Connect the grid operator of the feeder, which is heard every minute."""
        nodelay = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
        client = QuietClient("127.0.0.1", self.broker.port, keepalive=0, identifier="dso", socket_options=nodelay)
        async with client:
            self.operator = client
            beating = asyncio.create_task(self._beat())
            await self.limit(None)
            yield
            await ended(beating)

    async def _beat(self) -> None:
        while True:
            await self.say("grid/dso/heartbeat", {"sent_at": iso()})
            await asyncio.sleep(60.0)

    async def limit(self, power_w: float | None) -> None:
        await asyncio.sleep(1.0)
        what: dict[str, object] = {"lifted": True} if power_w is None else {"power_w": power_w}
        await self.say("limit/group/dso/set", {"id": str(power_w), "issued_at": iso(), **what})

    def records(self) -> list[Record]:
        assert self.coordinator.controller is not None
        return list(self.coordinator.controller.state.records.values())


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def place_of(name: str, port: int) -> Place:
    settings = load(FILES / f"{name}.toml")
    site = settings.site
    world = World(site, start_s=now_s())
    stations = DirectStations(site, world)
    plant = Plant(settings=settings, journal=ListJournal(), chargers=(stations,))
    return Place(settings=settings, port=port, plant=plant, world=world, stations=stations)


@asynccontextmanager
async def harbour() -> AsyncIterator[Harbour]:
    """Run the group until its sites may have more than their safe shares."""
    broker = Broker()
    await broker.start()
    places = {name: await place_of(name, broker.port) for name in NAMES}
    drivers = [LoopDriver(place.world) for place in places.values()]
    settings = load(FILES / "feeder.toml")
    mqtt = MqttSettings(host="127.0.0.1", port=broker.port, keepalive_s=0, publish_s=60.0)
    coordinator = Plant(settings=replace(settings, mqtt=mqtt), journal=ListJournal())
    made = Harbour(broker=broker, coordinator=coordinator, places=places, allowed=[(0.0, FAILSAFE_W)])
    watching = asyncio.create_task(made.watch())
    try:
        await coordinator.start()
        for place in places.values():
            await place.start()
        await asyncio.sleep(LAPSE_S + 30.0)
        yield made
        assert not watching.done(), watching.exception()
        for plant in (coordinator, *(place.plant for place in places.values())):
            await plant.check_alive()
            assert await plant.replays(), "the journal leads to another state (I5)"
    finally:
        await ended(watching)
        for place in places.values():
            await place.kill()
        await coordinator.kill()
        await broker.stop()
        for driver in drivers:
            driver.close()


def play(story: Callable[[Harbour], Awaitable[None]]) -> None:
    async def main() -> None:
        async with harbour() as h:
            await story(h)

    loop.run(main(), epoch_s=EPOCH_S)


def about(watts: float | dict[str, float]) -> Any:
    """What is given in whole watts and taken in what charging allows."""
    return pytest.approx(watts, abs=1000.0)


class TestNeed:
    def test_shifts_from_site_to_site(self) -> None:
        async def story(h: Harbour) -> None:
            await h.places[NORTH].come(6)
            await h.settle(120.0)
            assert (await h.settle())[NORTH] == about(60_000.0), "of 100 kW, beside two safe shares"
            h.places[NORTH].leave()
            await h.places[SOUTH].come(6)
            assert (await h.settle(120.0))[SOUTH] == about(60_000.0)
            async with h.operating():
                h.demand(LIMIT_W)
                await h.places[NORTH].come(6)
                assert await h.settle(180.0) == about({NORTH: 81_700.0, SOUTH: 53_300.0, FERRY: 0.0}), "by weight"

        play(story)


@asynccontextmanager
async def busy(h: Harbour) -> AsyncIterator[None]:
    """All sites want more than there is, and the operator is there."""
    async with h.operating():
        h.demand(LIMIT_W)
        for name, cars in ((NORTH, 6), (SOUTH, 6), (FERRY, 3)):
            await h.places[name].come(cars)
        await h.settle(120.0)
        yield


class TestLimitOfTheGroup:
    def test_is_cut_in_the_middle_and_kept_by_all_together(self) -> None:
        async def story(h: Harbour) -> None:
            async with busy(h):
                assert sum((await h.settle()).values()) > 140_000.0
                h.demand(80_000.0, REACTION_S)
                await h.limit(80_000.0)
                assert sum((await h.settle(120.0)).values()) > 75_000.0
                record = h.records()[-1]
                assert (record.limit.power_w, record.unmet) == (80_000.0, None)
                assert record.applied_s is not None
                assert record.applied_s - record.due_s < REACTION_S
                assert record.measured_s is not None
                h.demand(LIMIT_W)
                await h.limit(None)
                assert sum((await h.settle(120.0)).values()) > 140_000.0

        play(story)

    def test_below_the_safe_shares_is_kept_too(self) -> None:
        async def story(h: Harbour) -> None:
            async with busy(h):
                h.demand(40_000.0, REACTION_S)
                await h.limit(40_000.0)
                assert 30_000.0 < sum((await h.settle(120.0)).values()) <= 40_001.0

        play(story)

    def test_falls_to_the_failsafe_value_when_the_operator_is_lost(self) -> None:
        async def story(h: Harbour) -> None:
            async with busy(h):
                await h.settle()
            h.demand(FAILSAFE_W, 120.0 + REACTION_S)
            assert 90_000.0 < sum((await h.settle(300.0)).values()) <= FAILSAFE_W + 1.0

        play(story)


class TestLost:
    def test_a_coordinator_that_was_killed_leaves_safe_shares_and_comes_back(self) -> None:
        async def story(h: Harbour) -> None:
            async with busy(h):
                await h.coordinator.kill()
                assert await h.settle(120.0) == about(SAFE_W)
                await h.coordinator.start()
                assert sum((await h.settle(120.0)).values()) > 95_000.0, "at once, since all sites say what they hold"
                await h.limit(None)
                assert sum((await h.settle(120.0)).values()) > 140_000.0

        play(story)

    def test_a_site_that_was_killed_gives_its_room_once_it_is_surely_free(self) -> None:
        async def story(h: Harbour) -> None:
            async with busy(h):
                before = await h.settle()
                await h.places[NORTH].kill()
                during = await h.settle(200.0)
                assert during[SOUTH] == about(before[SOUTH])
                after = await h.settle(300.0)
                assert after[NORTH] <= SAFE_W[NORTH]
                assert after[SOUTH] > before[SOUTH] + 5_000.0
                await h.places[NORTH].start()
                again = await h.settle(400.0)
                assert again[NORTH] > before[NORTH] - 5_000.0

        play(story)

    def test_without_the_broker_every_site_is_at_its_safe_share(self) -> None:
        async def story(h: Harbour) -> None:
            async with busy(h):
                pass
            await h.broker.stop()
            assert await h.settle(120.0) == about(SAFE_W)
            await h.broker.start()
            await h.settle(60.0)
            async with h.operating():
                assert sum((await h.settle(300.0)).values()) > 140_000.0

        play(story)

    def test_a_limit_that_comes_while_a_site_is_gone_is_kept_by_the_others(self) -> None:
        """The site that is gone falls to its safe share within the life of its share; the others make room at once."""

        async def story(h: Harbour) -> None:
            async with busy(h):
                await h.places[NORTH].kill()
                await h.settle(40.0)
                h.demand(90_000.0, LAPSE_S)
                await h.limit(90_000.0)
                soon = await h.settle(30.0)
                assert soon[SOUTH] + soon[FERRY] < 30_000.0
                await h.settle(LAPSE_S)
                assert sum((await h.settle(60.0)).values()) <= 90_000.0

        play(story)

    def test_everything_at_once(self) -> None:
        async def story(h: Harbour) -> None:
            async with busy(h):
                await h.coordinator.kill()
                await h.places[SOUTH].kill()
                await h.settle(20.0)
                await h.coordinator.start()
                h.demand(100_000.0, REACTION_S + LAPSE_S)
                await h.settle(20.0)
                await h.places[SOUTH].start()
                await h.limit(100_000.0)
                await h.places[NORTH].kill()
                await h.places[NORTH].start()
                assert 90_000.0 < sum((await h.settle(LAPSE_S + 120.0)).values()) <= 100_000.0

        play(story)


class TestOperatorOverHttp:
    """A group is limited by the rooms that a site has: here the HTTP server, with the operator's token."""

    def test_a_limit_reaches_the_group_and_has_its_record(self, tmp_path: Path) -> None:
        text = (FILES / "feeder.toml").read_text()
        text = text.replace('protocol = "mqtt"', 'protocol = "http"\ntoken_file = "token"')
        (tmp_path / "feeder.toml").write_text(text + "\n[http]\n")
        (tmp_path / "token").write_text(TOKEN)
        settings = load(tmp_path / "feeder.toml")
        assert settings.http is not None
        room = HttpRoom(settings.site, replace(settings.http, port=0))
        plant = Plant(settings=replace(settings, mqtt=None), journal=ListJournal(), sources=(room,), observers=(room,))

        async def main() -> None:
            await plant.start()
            base = f"http://127.0.0.1:{await room.ready()}/grid/dso"
            assert plant.controller is not None
            headers = {"Authorization": f"Bearer {TOKEN}"}
            async with httpx.AsyncClient(base_url=base, headers=headers, timeout=30.0) as web:
                assert limit_of(plant.controller.state, now_s())[0] == about(FAILSAFE_W), "it was not heard yet"
                assert (await web.put("/heartbeat", json={"sent_at": iso()})).status_code == 204
                limit = {"id": "1", "issued_at": iso(), "power_w": 120_000}
                assert (await web.put("/limits/group", json=limit)).json()["status"] == "received"
                await asyncio.sleep(30.0)
                assert limit_of(plant.controller.state, now_s())[0] == about(120_000.0)
                (record,) = (await web.get("/limits")).json()
                assert record["unmet"] is not None, "of sites that were never heard it cannot be said"
                amperes = {"l1": 100, "l2": 100, "l3": 90}
                await web.put("/limits/group", json={"id": "2", "issued_at": iso(), "current_a": amperes})
                assert limit_of(plant.controller.state, now_s())[0] == about(90 * 230.0), "all from one phase at worst"
            await plant.kill()

        loop.run(main(), epoch_s=EPOCH_S)


def coordinating(tmp_path: Path, operator: str, tables: str = "") -> Settings:
    """Return the shipped group with a grid operator that speaks another protocol."""
    text = (FILES / "feeder.toml").read_text()
    text = text.replace('protocol = "mqtt"\nfailsafe_w = 100000', operator.format(failsafe="failsafe_w = 100000"))
    (tmp_path / "feeder.toml").write_text(f"{text}\n{tables}")
    return load(tmp_path / "feeder.toml")


class TestOperatorOfAFeeder:
    """OpenADR and OSCP limit a group by the rooms that a site has."""

    def test_an_openadr_event_for_the_target_of_the_feeder(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("s3cret")

        async def main() -> None:
            async with serving(Vtn()) as vtn:
                operator = (
                    f'protocol = "openadr"\n{{failsafe}}\n[grid.openadr]\nurl = "{vtn.url}"\nclient_id = "yard"\n'
                    'secret_file = "secret"\ntargets = ["feeder-7"]\n'
                )
                settings = coordinating(tmp_path, operator)
                room = OpenAdrRoom(settings.site, settings.openadr[0])
                plant = Plant(
                    settings=replace(settings, mqtt=None), journal=ListJournal(), sources=(room,), observers=(room,)
                )
                vtn.events = [event("a", 120, targets=["feeder-7"]), event("b", 60, targets=["feeder-8"])]
                await plant.start()
                await asyncio.sleep(31.0)
                assert plant.controller is not None
                assert limit_of(plant.controller.state, now_s())[0] == about(120_000.0)
                vtn.events = []
                await asyncio.sleep(31.0)
                assert limit_of(plant.controller.state, now_s())[0] == about(LIMIT_W)
                await plant.kill()

        loop.run(main(), epoch_s=EPOCH_S)

    def test_an_oscp_group_that_is_several_sites(self, tmp_path: Path) -> None:
        there = Provider()
        (tmp_path / "first").write_text("first")

        async def main() -> None:
            async with providing(there) as line:
                port = free_port()
                operator = f'protocol = "oscp"\n{{failsafe}}\n{line}our_url = "http://127.0.0.1:{port}"\n'
                settings = coordinating(tmp_path, operator, "[http]\n")
                assert settings.http is not None
                room = OscpRoom(settings.site, settings.oscp[0])
                web = HttpRoom(settings.site, replace(settings.http, port=port), [room.router])
                plant = Plant(
                    settings=replace(settings, mqtt=None), journal=ListJournal(), sources=(room, web),
                    observers=(room, web),
                )  # fmt: skip
                await plant.start()
                await asyncio.sleep(60.0)
                assert await there.beat() == 204
                assert await there.forecast(block(110)) == 204
                assert plant.controller is not None
                assert limit_of(plant.controller.state, now_s())[0] == about(110_000.0)
                await asyncio.sleep(400.0)  # past offline_mode_at what was forecast stays good until it ends
                assert limit_of(plant.controller.state, now_s())[0] == about(110_000.0)
                await asyncio.sleep(3600.0)
                assert limit_of(plant.controller.state, now_s())[0] == about(FAILSAFE_W)
                await plant.kill()

        loop.run(main(), epoch_s=EPOCH_S)
