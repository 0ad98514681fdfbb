"""What the stations that are commanded over MQTT said last: a whole status becomes the facts that changed."""

from __future__ import annotations

from collections.abc import Iterator

from smartcharge.events import (
    Charging,
    ChargingChanged,
    Event,
    FaultCleared,
    FaultRaised,
    Plugged,
    StationOffline,
    StationOnline,
    TransactionEnded,
    TransactionStarted,
    Unplugged,
)
from smartcharge.model import Control, EvseId, Site, StationId
from smartcharge.mqtt.payloads import EvseStatus

_FREE = EvseStatus(plugged=False)


class Stations:
    """The stations of a site that are commanded over MQTT."""

    def __init__(self, site: Site) -> None:
        self._evses = {s.id: [e.id for e in s.evses] for s in site.stations if s.control is Control.MQTT}
        self._station_of = {evse: station for station, evses in self._evses.items() for evse in evses}
        self._online: set[StationId] = set()
        self._told: dict[EvseId, EvseStatus] = {}
        """The newest status of each EVSE that became facts."""
        self._current: dict[EvseId, EvseStatus] = {}
        """The newest status heard since its station was last known to be away."""

    @property
    def ids(self) -> frozenset[StationId]:
        """Return the stations that are commanded over MQTT."""
        return frozenset(self._evses)

    def online(self, station: StationId, now_s: float) -> tuple[Event, ...]:
        """Return the facts in the word online.

        The broker hands out what it kept in any order, so a status may have come first; it is told
        now, because a station that was away must say again whether a car is there.
        """
        if station in self._online:
            return ()
        self._online.add(station)
        told = [
            event
            for evse in self._evses[station]
            if evse in self._current
            for event in self._changes(evse, self._current[evse], now_s, is_first=True)
        ]
        return (StationOnline(at_s=now_s, station=station), *told)

    def offline(self, station: StationId, reason: str, now_s: float) -> tuple[Event, ...]:
        """Return the facts in the word offline: what its EVSEs said before is not current any more."""
        self._online.discard(station)
        for evse in self._evses[station]:
            self._current.pop(evse, None)
        return (StationOffline(at_s=now_s, station=station, reason=reason),)

    def all_offline(self, reason: str, now_s: float) -> tuple[Event, ...]:
        """Return the facts in the loss of the broker: no station can be reached any more."""
        return tuple(event for station in sorted(self._online) for event in self.offline(station, reason, now_s))

    def status(self, evse: EvseId, status: EvseStatus, now_s: float) -> tuple[Event, ...]:
        """Return what changed since the EVSE's last status; nothing yet while its station is not online."""
        is_first = evse not in self._current
        self._current[evse] = status
        if self._station_of[evse] not in self._online:
            return ()
        return tuple(self._changes(evse, status, now_s, is_first=is_first))

    def _changes(self, evse: EvseId, new: EvseStatus, now_s: float, *, is_first: bool) -> Iterator[Event]:
        old = self._told.get(evse, _FREE)
        self._told[evse] = new
        if old.transaction_id is not None and old.transaction_id != new.transaction_id:
            yield TransactionEnded(
                at_s=now_s, evse=evse, transaction_id=old.transaction_id, meter_wh=new.energy_wh, reason=None
            )
        if is_first or old.plugged != new.plugged:
            yield Plugged(at_s=now_s, evse=evse) if new.plugged else Unplugged(at_s=now_s, evse=evse)
        if new.transaction_id is not None and (is_first or old.transaction_id != new.transaction_id):
            yield TransactionStarted(at_s=now_s, evse=evse, transaction_id=new.transaction_id, meter_wh=new.energy_wh)
        if new.charging is not None and (is_first or old.charging != new.charging):
            yield ChargingChanged(at_s=now_s, evse=evse, state=Charging(new.charging))
        for code in new.faults:
            if code not in old.faults:
                yield FaultRaised(at_s=now_s, evse=evse, code=code, detail="said by the station")
        for code in old.faults:
            if code not in new.faults:
                yield FaultCleared(at_s=now_s, evse=evse, code=code)
