"""What the simulator needs of a site's stations, whichever way they are connected."""

from __future__ import annotations

from typing import Protocol

from smartcharge.model import EvseId, StationId
from smartcharge.sim.ailments import Ailment
from smartcharge.sim.cars import Car


class Fleet(Protocol):
    """All stations of a site; cars come and go, things break."""

    def plug(self, evse: EvseId, car: Car, id_token: str) -> None:
        """Connect a car."""

    def unplug(self, evse: EvseId) -> float:
        """Disconnect it and return the energy it took [Wh]."""

    def set_silent(self, station: StationId, *, on: bool) -> None:
        """Let a station neither send nor answer, or speak again."""

    def set_ignoring(self, station: StationId, *, on: bool) -> None:
        """Let a station accept every profile and offer its maximum, or obey again."""

    def set_refusing(self, station: StationId, *, on: bool) -> None:
        """Let a station refuse every profile, or take them again."""

    def drop(self, station: StationId) -> None:
        """Let a station lose its connection; it makes it again by itself."""

    def set_losing_answers(self, station: StationId, *, on: bool) -> None:
        """Let a station's answers get lost, or arrive again."""

    def set_frozen(self, station: StationId, *, on: bool) -> None:
        """Let a station's meter repeat its last figures, or measure again."""

    def set_ailment(self, evse: EvseId, ailment: Ailment) -> None:
        """Let something be wrong with the hardware of an EVSE, or with `SOUND` nothing."""

    def set_dead(self, station: StationId, *, on: bool) -> None:
        """Take a station's power away, or give it back."""
