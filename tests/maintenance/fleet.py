"""Stations that take firmware: the far end of an `Orderly`, with facts into a store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from smartcharge.clock import now_s
from smartcharge.errors import Refused, Unreachable
from smartcharge.events import (
    Event,
    FaultCleared,
    FaultRaised,
    FirmwareReported,
    StationBooted,
    StationOnline,
    Unplugged,
)
from smartcharge.faults import Effect
from smartcharge.maintenance.ports import Place
from smartcharge.model import StationId
from smartcharge.orders import Order, UpdateFirmware
from smartcharge.store import Store


class Fleet:
    """All stations of a place; those in ``moods`` do what their mood says of the new version."""

    TAKES_S = 900.0

    def __init__(self, store: Store, place: Place, moods: Mapping[str, str] | None = None) -> None:
        self.store, self.place = store, place
        self.moods = dict(moods or {})
        self.runs: dict[str, str] = {}
        self.asked: list[tuple[float, str, str]] = []
        """Time, station and location of every order that was heard."""
        self.most_at_once = 0
        self._updating: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def tell(self, *events: Event) -> None:
        for event in events:
            self.store.journal.append(event)
        await self.store.journal.flush()

    async def boot(self, station: str, version: str) -> None:
        name = StationId(station)
        self.runs[station] = version
        evses = [port.evse for port in self.place.ports if port.station == station]
        await self.tell(
            StationOnline(at_s=now_s(), station=name),
            StationBooted(at_s=now_s(), station=name, vendor="V", model="M", firmware=version),
            *(Unplugged(at_s=now_s(), evse=evse) for evse in evses),
        )

    async def ask(self, station: StationId, request: Order) -> Mapping[str, Any]:
        assert isinstance(request, UpdateFirmware)
        mood = self.moods.get(station, "well")
        if mood == "refuses":
            raise Refused("Rejected")
        if mood == "away once":
            del self.moods[station]
            raise Unreachable(f"{station} is not connected")
        self.asked.append((now_s(), station, request.location))
        self._updating.add(station)
        self.most_at_once = max(self.most_at_once, len(self._updating))
        task = asyncio.create_task(self._install(station, request, mood))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return {"status": "Accepted"}

    async def _install(self, station: StationId, request: UpdateFirmware, mood: str) -> None:
        await asyncio.sleep(self.TAKES_S)
        self._updating.discard(station)
        if mood == "silent":
            return
        if mood == "bad signature":
            await self.tell(
                FirmwareReported(
                    at_s=now_s(), station=station, status="InvalidSignature", request_id=request.request_id
                )
            )
            return
        version = request.location.rpartition("/")[2]
        await self.boot(station, version)
        if mood == "breaks" and version != "1":
            (evse, *_) = [port.evse for port in self.place.ports if port.station == station]
            await asyncio.sleep(1800.0)
            await self.tell(FaultRaised(at_s=now_s(), evse=evse, code="InternalError", effect=Effect.FAULTED))
            await asyncio.sleep(60.0)
            await self.tell(FaultCleared(at_s=now_s(), evse=evse, code="InternalError"))
