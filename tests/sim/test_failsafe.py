"""The controller dies: every type of station falls to its low default, and the site to its proven budget (I3)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from smartcharge.config import OcppSettings, Settings, StoreSettings
from smartcharge.control.budget import broken
from smartcharge.control.topology import Topology
from smartcharge.csms.profile_store import Abilities
from smartcharge.csms.profiles import Kind, Purpose, Unit
from smartcharge.csms.schemas import Version
from smartcharge.model import (
    Charging,
    Circuit,
    CircuitId,
    Evse,
    EvseId,
    Phases,
    Rotation,
    ScheduleKind,
    Site,
    Station,
    StationId,
    Wiring,
)
from smartcharge.sim import loop
from smartcharge.sim.cars import Car
from smartcharge.sim.plant import ListJournal, Plant
from smartcharge.sim.station import SimulatedStation
from smartcharge.sim.station_parts import StationOptions
from smartcharge.sim.world import LoopDriver, World
from tests.sim.test_station_with_csms import Ledger

EPOCH_S = 1_700_000_000.0
DEFAULT_A, MAX_A = 6.0, 32.0
TYPES: dict[str, Abilities] = {
    "takes everything": Abilities(),
    "amperes only": Abilities(units=(Unit.AMPS,)),
    "watts only": Abilities(units=(Unit.WATTS,)),
    "one stack level": Abilities(max_stack_level=0),
    "TxDefaultProfile only": Abilities(purposes=(Purpose.TX_DEFAULT,)),
    "station maximum only": Abilities(purposes=(Purpose.MAX,)),
    "Absolute only": Abilities(kinds=(Kind.ABSOLUTE,)),
    "ignores validTo": Abilities(ignores_valid_to=True),
    "forgets on reboot": Abilities(forgets_on_reboot=True),
    "room for two profiles": Abilities(max_profiles=2),
    "one period": Abilities(max_periods=1),
}
"""Those whose limits end by themselves."""
ENDLESS: dict[str, Abilities] = {
    "Relative only": Abilities(kinds=(Kind.RELATIVE,)),
    "Relative only, ignores validTo": Abilities(kinds=(Kind.RELATIVE,), ignores_valid_to=True),
}


def a_site(count: int, *, default_a: float = DEFAULT_A) -> Site:
    """One-EVSE stations on a connection that gives each of them its maximum, until nobody controls them."""
    rating = Phases.all(MAX_A * count)
    main = Circuit(
        id=CircuitId("main"), parent=None, rating_a=rating, failsafe_a=Phases.all(default_a * count), voltage_v=230.0
    )
    stations = tuple(_station(StationId(f"s{n}"), default_a) for n in range(count))
    return Site(id="site", name="Site", timezone="UTC", circuits=(main,), stations=stations)


def _station(name: StationId, default_a: float) -> Station:
    evse = Evse(
        id=EvseId(name), station=name, number=1, wiring=Wiring.THREE_PHASE, rotation=Rotation.RST, voltage_v=230.0,
        min_a=6.0, max_a=MAX_A, default_a=default_a,
    )  # fmt: skip
    return Station(id=name, circuit=CircuitId("main"), evses=(evse,))


async def offered_before_and_after(
    site: Site, abilities: list[Abilities], versions: list[Version], *, after_s: float
) -> tuple[list[float], list[float]]:
    """What each station offers [A] while the controller lives, and some time after it was killed."""
    world = World(site, start_s=EPOCH_S)
    driver = LoopDriver(world)
    settings = Settings(site=site, mqtt=None, ocpp=OcppSettings(), store=StoreSettings())
    plant = Plant(settings=settings, journal=ListJournal(), ledger=Ledger())
    await plant.start()
    url = f"ws://127.0.0.1:{plant.ocpp_port}/ocpp"
    fleet = [
        SimulatedStation(station, world, url, version, StationOptions(abilities=can))
        for station, can, version in zip(site.stations, abilities, versions, strict=True)
    ]
    living = [asyncio.create_task(station.run()) for station in fleet]
    try:
        await asyncio.sleep(20.0)
        for station, evse in zip(fleet, site.evses, strict=True):
            station.plug(evse.id, Car.ideal(energy_wh=200_000.0, max_w=evse.max_w), "driver")
        await asyncio.sleep(400.0)
        before = [world.offered_a(evse.id) for evse in site.evses]
        await plant.kill()
        await asyncio.sleep(after_s)
        return before, [world.offered_a(evse.id) for evse in site.evses]
    finally:
        for task in living:
            task.cancel()
            await asyncio.wait([task])
        driver.close()


class TestDynamicProfiles:
    """2.1: a Dynamic profile has no end but that of the connection."""

    def test_a_station_that_was_updated_falls_to_its_default_once_it_has_been_offline(self) -> None:
        plain = a_site(1)
        one = replace(plain.stations[0], charging=Charging(kind=ScheduleKind.DYNAMIC))
        site = replace(plain, stations=(one,))
        life_s = site.timing.profile_s + site.timing.margin_s
        before, after = loop.run(
            offered_before_and_after(site, [Abilities()], [Version.V21], after_s=life_s), epoch_s=EPOCH_S
        )
        assert before[0] > DEFAULT_A
        assert after == pytest.approx([DEFAULT_A], abs=0.1)


@pytest.mark.parametrize("version", list(Version), ids=lambda version: version.value)
class TestTheControllerIsKilled:
    def test_every_type_of_station_falls_to_its_default_and_the_site_to_its_budget(self, version: Version) -> None:
        site = a_site(len(TYPES))
        assert not broken(site, Topology.of(site)), "the fallback budget is proven before start"
        life_s = site.timing.profile_s + site.timing.margin_s
        before, after = loop.run(
            offered_before_and_after(site, list(TYPES.values()), [version] * len(TYPES), after_s=life_s),
            epoch_s=EPOCH_S,
        )
        steered = dict(zip(TYPES, before, strict=True))
        assert {name for name, amps in steered.items() if amps <= DEFAULT_A} == set(), "all were raised"
        assert dict(zip(TYPES, after, strict=True)) == pytest.approx(dict.fromkeys(TYPES, DEFAULT_A), abs=0.1)
        assert sum(after) <= site.circuits[0].failsafe_a.l1 + 0.1

    def test_one_whose_limits_do_not_end_is_counted_with_its_maximum(self, version: Version) -> None:
        """The site file states such stations, and `check` then counts what they may keep for ever."""
        site = a_site(len(ENDLESS), default_a=MAX_A)
        assert not broken(site, Topology.of(site))
        _, after = loop.run(
            offered_before_and_after(site, list(ENDLESS.values()), [version] * len(ENDLESS), after_s=3600.0),
            epoch_s=EPOCH_S,
        )
        assert sum(after) <= site.circuits[0].failsafe_a.l1
