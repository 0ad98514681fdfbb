"""All stations of a site as OCPP clients: what the simulator does to a site, done to them."""

from __future__ import annotations

import asyncio

from smartcharge.csms.schemas import Version
from smartcharge.model import Control, EvseId, Site, StationId
from smartcharge.sim.ailments import Ailment
from smartcharge.sim.cars import Car
from smartcharge.sim.station import SimulatedStation
from smartcharge.sim.station_parts import StationOptions
from smartcharge.sim.world import World


class OcppStations:
    """A `fleet.Fleet` of stations that connect to a server; `run` them.

    Args:
        site: what stands there.
        world: the truth about it.
        url: the server's, without a station's id.
        versions: the OCPP version of each station, in turn.
        options: what every station is like.
    """

    def __init__(
        self,
        site: Site,
        world: World,
        url: str,
        versions: tuple[Version, ...] = (Version.V16, Version.V201),
        options: StationOptions | None = None,
    ) -> None:
        clients = [station for station in site.stations if station.control is Control.OCPP]
        self.stations = {
            station.id: SimulatedStation(station, world, url, versions[i % len(versions)], options)
            for i, station in enumerate(clients)
        }
        self._at = {evse.id: self.stations[station.id] for station in clients for evse in station.evses}

    async def run(self) -> None:
        """Let every station live until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name, station in self.stations.items():
                group.create_task(station.run(), name=f"station {name}")

    def plug(self, evse: EvseId, car: Car, id_token: str) -> None:
        """Connect a car."""
        self._at[evse].plug(evse, car, id_token)

    def unplug(self, evse: EvseId) -> float:
        """Disconnect it and return the energy it took [Wh]."""
        return self._at[evse].unplug(evse)

    def set_silent(self, station: StationId, *, on: bool) -> None:
        """Let a station neither send nor answer, or speak again."""
        self.stations[station].is_silent = on

    def set_ignoring(self, station: StationId, *, on: bool) -> None:
        """Let a station accept every profile and offer its maximum, or obey again."""
        self.stations[station].ignores_profile = on

    def set_refusing(self, station: StationId, *, on: bool) -> None:
        """Let a station refuse every profile, or take them again."""
        self.stations[station].supply.refuses_profile = on

    def drop(self, station: StationId) -> None:
        """Let a station lose its connection; it makes it again by itself."""
        self.stations[station].drop_connection()

    def set_losing_answers(self, station: StationId, *, on: bool) -> None:
        """Let a station's answers get lost, or arrive again."""
        self.stations[station].loses_answers = 1.0 if on else 0.0

    def set_frozen(self, station: StationId, *, on: bool) -> None:
        """Let a station's meter repeat its last figures, or measure again."""
        self.stations[station].is_meter_frozen = on

    def set_ailment(self, evse: EvseId, ailment: Ailment) -> None:
        """Let something be wrong with the hardware of an EVSE, or with `SOUND` nothing."""
        self._at[evse].set_ailment(evse, ailment)

    def set_dead(self, station: StationId, *, on: bool) -> None:
        """Take a station's power away, or give it back."""
        if on:
            self.stations[station].power_off()
        else:
            self.stations[station].power_on()
