"""A site over real sockets in simulated time: stations, server, controller, store, and whoever looks after it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from smartcharge.clock import now_s
from smartcharge.controller import Controller
from smartcharge.csms.schemas import Version
from smartcharge.csms.server import Csms, Options
from smartcharge.events import Event
from smartcharge.maintenance.ports import Place
from smartcharge.model import EvseId, Site, Timing
from smartcharge.ports import Kept, Observer, Source
from smartcharge.sim import loop
from smartcharge.sim.cars import Car
from smartcharge.sim.ocpp_fleet import OcppStations
from smartcharge.sim.station_parts import StationOptions
from smartcharge.sim.world import LoopDriver, World
from smartcharge.store import Store, open_store
from tests.builders import NOON_S, row_of

HOUR_S = 3600.0


def small(count: int) -> Site:
    """A row of stations with one EVSE each, and a quick solver."""
    return replace(row_of(count, 200.0), solver="greedy", timing=Timing(slow_s=600.0))


@dataclass(frozen=True, kw_only=True)
class Live:
    """All of it."""

    site: Site
    place: Place
    store: Store
    world: World
    csms: Csms
    fleet: OcppStations
    controller: Controller
    began_s: float = NOON_S

    async def facts(self) -> list[Kept]:
        await self.store.journal.flush()
        return await self.store.chronicle.facts()

    async def of(self, kind: type[Event]) -> list[Event]:
        return [event for _, event in await self.facts() if isinstance(event, kind)]

    def plug(self, evse: str, energy_wh: float = 40_000.0, token: str = "abc") -> None:
        self.fleet.plug(EvseId(evse), Car.ideal(energy_wh=energy_wh, max_w=22_080.0), token)

    def runs(self) -> dict[str, str]:
        """Return the version that each station really runs."""
        return {name: station.firmware.version for name, station in self.fleet.stations.items()}

    async def until(self, after_s: float) -> None:
        await asyncio.sleep(NOON_S + after_s - now_s())


Upkeep = Callable[[Place, Store, Csms], Sequence[Source]]


def play(
    act: Callable[[Live], Awaitable[None]],
    *,
    upkeep: Upkeep,
    observers: Sequence[Observer] = (),
    site: Site | None = None,
    versions: tuple[Version, ...] = (Version.V16,),
    options: StationOptions | None = None,
) -> None:
    """Let a site live while something is acted out on it."""
    where = site or small(3)

    async def main() -> None:
        world = World(where, start_s=NOON_S)
        driver = LoopDriver(world)
        async with open_store("sqlite://") as store:
            csms = Csms(where, store.ledger, options=Options(ping_interval_s=None))
            place = Place.of(where)
            sources = upkeep(place, store, csms)
            controller = Controller(where, journal=store.journal, sources=sources, chargers=[csms], observers=observers)
            running = asyncio.create_task(controller.run())
            fleet = OcppStations(where, world, f"ws://127.0.0.1:{await csms.ready()}", versions, options)
            living = asyncio.create_task(fleet.run())
            await asyncio.sleep(60.0)
            try:
                await act(
                    Live(site=where, place=place, store=store, world=world, csms=csms, fleet=fleet,
                         controller=controller)
                )  # fmt: skip
            finally:
                for task in (living, running):
                    task.cancel()
                    await asyncio.wait([task])
                driver.close()

    loop.run(main(), epoch_s=NOON_S)
