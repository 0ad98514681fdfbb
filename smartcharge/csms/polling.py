"""Stations that send no MeterValues of themselves are asked for them, as long as they answer.

Without a meter nothing proves what a car draws, and everything counts as the worst.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from smartcharge.clock import now_s
from smartcharge.csms.frames import clip
from smartcharge.csms.requests import SetProfile, Trigger
from smartcharge.errors import Refused, Unreachable
from smartcharge.events import Event, Metered, TransactionEnded, TransactionStarted

if TYPE_CHECKING:
    from smartcharge.csms.delivery import Ask
    from smartcharge.model import EvseId, Station, Timing

logger = logging.getLogger(__name__)

OVERDUE = 2.5
"""A reading is missed after so many intervals."""


class Polling:
    """The readings of one connected station that are overdue."""

    def __init__(self, station: Station, timing: Timing, ask: Ask) -> None:
        self._evses = {evse.id: evse for evse in station.evses}
        self._after_s = OVERDUE * timing.meter_interval_s
        self._ask = ask
        self._heard_s: dict[EvseId, float] = {}
        """When each EVSE with a transaction was last heard of, or asked."""
        self._mute: set[EvseId] = set()
        """EVSEs that refuse to be asked."""

    @property
    def due_s(self) -> float | None:
        """Return when the first reading is overdue [s since 1970]; None if none is waited for."""
        heard_s = min((at_s for evse, at_s in self._heard_s.items() if evse not in self._mute), default=None)
        return None if heard_s is None else heard_s + self._after_s

    def accepted(self, setpoint: SetProfile) -> None:
        """Note a setpoint: its transaction runs, though its start may have been before this connection."""
        if setpoint.transaction_id is not None:
            self._heard_s.setdefault(setpoint.evse.id, now_s())

    async def judge(self, event: Event) -> None:
        """Take note of what runs, and of every reading."""
        match event:
            case TransactionStarted():
                self._heard_s[event.evse] = event.at_s
            case Metered() if event.evse in self._heard_s:
                self._heard_s[event.evse] = event.at_s
            case TransactionEnded():
                self._heard_s.pop(event.evse, None)
            case _:
                pass

    async def act(self) -> None:
        """Ask for the reading that is missed longest."""
        name = min((evse for evse in self._heard_s if evse not in self._mute), key=lambda evse: self._heard_s[evse])
        self._heard_s[name] = now_s()
        try:
            await self._ask(Trigger(message="MeterValues", evse=self._evses[name]))
        except Refused as error:
            logger.warning("%s: sends no meter values and refuses to be asked: %s", name, clip(str(error), 200))
            self._mute.add(name)
        except Unreachable as error:
            logger.debug("%s: no meter values: %s", name, clip(str(error), 200))
