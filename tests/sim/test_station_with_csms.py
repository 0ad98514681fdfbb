"""Simulated stations and the real server: the two rooms understand each other, in both versions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

import pytest

from smartcharge.clock import now_s
from smartcharge.csms.schemas import Version
from smartcharge.csms.server import Csms, Options
from smartcharge.events import (
    Accepted,
    Commanded,
    Event,
    Metered,
    ProfileKind,
    StationBooted,
    StationLearnt,
    StationOffline,
    StationOnline,
    TransactionEnded,
    TransactionStarted,
    Unanswered,
    Unplugged,
)
from smartcharge.model import StationId
from smartcharge.sim import loop
from smartcharge.sim.fleet import Fleet
from smartcharge.sim.ocpp_fleet import OcppStations
from smartcharge.sim.station import SimulatedStation
from smartcharge.sim.world import LoopDriver, World
from tests.sim.station_peers import EPOCH_S, FIRST, car, site

STATION = StationId("S/1")
E = TypeVar("E", bound=Event)


class Ledger:
    """Numbers in memory."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[object, ...], int] = {}
        self._next = count(1)

    async def transaction_number(self, station: StationId, connector: int, started_at_s: float, id_token: str) -> int:
        key = (station, connector, started_at_s, id_token)
        return self._numbers.setdefault(key, next(self._next))


@dataclass
class Together:
    """A station, the real server and the truth."""

    world: World
    csms: Csms
    fleet: Fleet
    station: SimulatedStation
    events: list[Event]

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def wish(self, limit_a: float) -> None:
        transaction = self.station.bays[1].transaction
        assert transaction is not None
        self.csms.wish(
            Commanded(
                at_s=now_s(),
                command_id=1,
                evse=FIRST,
                kind=ProfileKind.TRANSACTION,
                limit_a=limit_a,
                expires_s=now_s() + 300.0,
                transaction_id=transaction.id,
            )
        )


def live(version: Version, act: Callable[[Together], Awaitable[None]]) -> None:
    """Bring a car to charge, then act."""

    async def main() -> None:
        world = World(site(), start_s=EPOCH_S)
        driver = LoopDriver(world)
        csms = Csms(site(), Ledger(), options=Options(ping_interval_s=None))
        events: list[Event] = []

        async def emit(event: Event) -> None:
            events.append(event)

        serving = asyncio.create_task(csms.run(emit))
        fleet = OcppStations(site(), world, f"ws://127.0.0.1:{await csms.ready()}/ocpp", (version,))
        living = asyncio.create_task(fleet.run())
        await asyncio.sleep(10.0)
        fleet.plug(FIRST, car(), "abc")
        await asyncio.sleep(10.0)
        try:
            await act(Together(world, csms, fleet, fleet.stations[STATION], events))
        finally:
            for task in (living, serving):
                task.cancel()
                await asyncio.wait([task])
            driver.close()

    loop.run(main(), epoch_s=EPOCH_S)


@pytest.mark.parametrize("version", list(Version), ids=lambda version: version.value)
class TestWithTheRealServer:
    def test_it_is_provisioned_commanded_and_billed(self, version: Version) -> None:
        async def act(both: Together) -> None:
            assert [len(both.of(kind)) for kind in (StationOnline, StationBooted, StationLearnt)] == [1, 1, 2]
            installed = both.station.supply.profiles.installed
            assert [(number, one.periods[0].limit) for number, one in installed] == [(1, 8.0), (2, 8.0)]
            assert both.world.offered_a(FIRST) == 8.0
            both.wish(16.0)
            await asyncio.sleep(2.0)
            assert [event.command_id for event in both.of(Accepted)] == [1]
            assert both.world.offered_a(FIRST) == 16.0
            await asyncio.sleep(300.0)
            assert both.world.offered_a(FIRST) == 8.0
            taken_wh = both.fleet.unplug(FIRST)
            await asyncio.sleep(1.0)
            [ended] = both.of(TransactionEnded)
            assert ended.meter_wh == pytest.approx(taken_wh, abs=1.0)
            assert both.events[-1] == Unplugged(at_s=both.events[-1].at_s, evse=FIRST)

        live(version, act)

    def test_power_comes_back(self, version: Version) -> None:
        async def act(both: Together) -> None:
            both.fleet.set_dead(STATION, on=True)
            await asyncio.sleep(60.0)
            assert len(both.of(StationOffline)) == 1
            both.fleet.set_dead(STATION, on=False)
            await asyncio.sleep(60.0)
            assert both.world.offered_a(FIRST) == 8.0
            assert len(both.of(StationBooted)) == 2
            assert [len(both.of(kind)) for kind in (TransactionStarted, TransactionEnded)] == [2, 1]

        live(version, act)

    def test_silence_is_noticed_and_made_up_for(self, version: Version) -> None:
        async def act(both: Together) -> None:
            both.fleet.set_silent(STATION, on=True)
            await asyncio.sleep(2000.0)
            assert len(both.of(StationOffline)) == 1
            both.fleet.unplug(FIRST)
            both.fleet.set_silent(STATION, on=False)
            await asyncio.sleep(60.0)
            assert len(both.of(TransactionEnded)) == 1
            assert both.station.link.waiting == 0

        live(version, act)

    def test_lost_answers_ignored_profiles_and_a_frozen_meter(self, version: Version) -> None:
        async def act(both: Together) -> None:
            both.fleet.set_losing_answers(STATION, on=True)
            both.wish(20.0)
            await asyncio.sleep(20.0)
            assert len(both.of(Unanswered)) == 1
            assert both.world.offered_a(FIRST) == 20.0
            both.fleet.set_losing_answers(STATION, on=False)
            both.fleet.set_ignoring(STATION, on=True)
            assert both.world.offered_a(FIRST) == 32.0
            await asyncio.sleep(60.0)
            both.fleet.set_frozen(STATION, on=True)
            await asyncio.sleep(300.0)
            assert len({event.energy_wh for event in both.of(Metered)[-4:]}) == 1

        live(version, act)
