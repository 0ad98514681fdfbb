"""Cars that fall asleep while they are paused, and do not wake when current is offered again (evcc #14348, #21293).

One that charged, was paused by us and then takes nothing of what it is offered is nudged: its limit falls to 0 A for a
moment and comes back, which a car sees as a change of the control pilot (IEC 61851-1 Annex A).  After two nudges the
operator is told; it may simply be full.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from smartcharge.clock import now_s
from smartcharge.csms.frames import clip
from smartcharge.errors import Refused, Unreachable
from smartcharge.events import Event, Followed, Metered, Obedience, TransactionEnded
from smartcharge.model import Pause

if TYPE_CHECKING:
    from smartcharge.csms.delivery import Delivery
    from smartcharge.csms.requests import SetProfile
    from smartcharge.model import EvseId, Station
    from smartcharge.ports import Emit

logger = logging.getLogger(__name__)

ASLEEP_S = 60.0
"""A pause at least this long may have sent a car to sleep."""
WAKE_S = 90.0
"""How long a car may take to begin drawing what it is offered."""
PULSE_S = 3.0
"""How long its limit is 0 A when it is nudged."""
NUDGES = 2
_DRAWS_A = 1.0


@dataclass(slots=True)
class Nap:
    """One car: whether it charged, since when it was paused, and since when it is offered current again."""

    has_charged: bool = False
    paused_s: float | None = None
    offered: SetProfile | None = None
    since_s: float = 0.0
    nudges: int = 0

    def told(self, setpoint: SetProfile, at_s: float) -> None:
        """Note a limit that was accepted."""
        if setpoint.limit_a < setpoint.evse.min_a:
            self.paused_s, self.offered = self.paused_s or at_s, None
        elif self.paused_s is not None:
            is_long = at_s - self.paused_s >= ASLEEP_S and self.has_charged
            self.paused_s = None
            self.offered, self.since_s, self.nudges = (setpoint, at_s, 0) if is_long else (None, 0.0, 0)
        elif self.offered is not None:
            self.offered = setpoint  # renewed while it sleeps

    def drew(self, current_a: float) -> None:
        """Note what it was measured to draw: one that draws is awake."""
        if current_a >= _DRAWS_A:
            self.has_charged, self.offered = True, None


class Waking:
    """Wakes the cars of one connected station."""

    def __init__(self, station: Station, delivery: Delivery, emit: Emit) -> None:
        self._naps: dict[EvseId, Nap] = {evse.id: Nap() for evse in station.evses}
        self._may_pulse = station.charging.pause is not Pause.STOP
        self._delivery = delivery
        self._emit = emit

    @property
    def due_s(self) -> float | None:
        """Return when a car that took nothing so far is nudged [s since 1970]; None if none sleeps."""
        asleep = (nap.since_s + WAKE_S for nap in self._naps.values() if nap.offered is not None)
        return min(asleep, default=None) if self._may_pulse else None

    def accepted(self, setpoint: SetProfile) -> None:
        """Note a setpoint that a station accepted."""
        if setpoint.expires_s is not None:
            self._naps[setpoint.evse.id].told(setpoint, now_s())

    async def judge(self, event: Event) -> None:
        """Take note of what a car draws, and of its end."""
        if isinstance(event, Metered) and event.current_a is not None:
            self._naps[event.evse].drew(max(event.current_a))
        elif isinstance(event, TransactionEnded):
            self._naps[event.evse] = Nap()

    async def act(self) -> None:
        """Nudge the car that has slept longest, or give it up."""
        nap = min((nap for nap in self._naps.values() if nap.offered is not None), key=lambda nap: nap.since_s)
        offered = nap.offered
        assert offered is not None
        nap.since_s, nap.nudges = now_s(), nap.nudges + 1
        if nap.nudges > NUDGES:
            nap.offered = None
            detail = f"takes nothing of the {offered.limit_a:g} A offered after its pause: it is full, or does not wake"
            await self._emit(Followed(at_s=now_s(), evse=offered.evse.id, verdict=Obedience.CAR_LIMITED, detail=detail))
            return
        try:
            await self._delivery.set(replace(offered, limit_a=0.0))
            await asyncio.sleep(PULSE_S)
            await self._delivery.set(offered)
        except (Refused, Unreachable) as error:
            logger.warning("%s: cannot be nudged: %s", offered.evse.id, clip(str(error), 200))
