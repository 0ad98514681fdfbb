"""Proof of application at one station: what it accepted is held against what it is measured to do, continuously.

Obeying, lagging, ignoring and car-limited are told apart (`following`).  One that ignores its limit is told
again, told in another form, told its minimum, and stopped; each step is told to the operator in one sentence.
That its draw is taken out of the others' room is the controller's business.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from smartcharge.clock import now_s
from smartcharge.csms.following import SPIKING_S, Following, Remedy, scheduled_a
from smartcharge.csms.frames import clip
from smartcharge.csms.requests import GetSchedule, SetProfile, Trigger
from smartcharge.errors import Refused, Unreachable
from smartcharge.events import Event, Followed, Metered, Obedience, TransactionEnded

if TYPE_CHECKING:
    from smartcharge.csms.delivery import Ask, Delivery
    from smartcharge.model import Evse, EvseId, Station
    from smartcharge.ports import Emit

logger = logging.getLogger(__name__)


class Proof:
    """Watches the EVSEs of one connected station."""

    def __init__(self, station: Station, delivery: Delivery, ask: Ask, emit: Emit) -> None:
        self._evses = {evse.id: evse for evse in station.evses}
        self._delivery = delivery
        self._ask = ask
        self._emit = emit
        self._following = {evse.id: Following() for evse in station.evses}
        self._wanted: dict[EvseId, SetProfile] = {}
        self._due: deque[tuple[Remedy | None, Evse]] = deque()

    @property
    def due_s(self) -> float | None:
        """Return a time that has passed if `act` has something to do, else None."""
        return 0.0 if self._due else None

    def rest_s(self, evse: EvseId) -> float:
        """Return how long a raise should wait after the last profile [s]: each costs a spike where there are spikes."""
        return SPIKING_S if self._following[evse].is_spiking else 0.0

    def accepted(self, setpoint: SetProfile) -> None:
        """Note a setpoint that a station accepted."""
        if setpoint.expires_s is not None:
            self._wanted[setpoint.evse.id] = setpoint
            self._following[setpoint.evse.id].told(setpoint.limit_a, setpoint.expires_s, now_s())

    async def judge(self, event: Event) -> None:
        """Compare a reading with the limit that was accepted; tell what changed, and plan what to do about it."""
        if isinstance(event, TransactionEnded):
            self._following[event.evse].ended()
        if not isinstance(event, Metered) or event.current_a is None:
            return
        following, evse = self._following[event.evse], self._evses[event.evse]
        before, drawn_a = following.verdict, max(event.current_a)
        verdict = following.measured(drawn_a, now_s())
        if following.has_begun_to_spike:
            detail = f"jumps up for a moment after each charging profile: raises wait {SPIKING_S:g} s"
            await self._tell(evse, Obedience.LAGGING, detail)
        if verdict is Obedience.LAGGING:
            self._due.append((None, evse))
        if (remedy := following.remedy(now_s())) is not None:
            self._due.append((remedy, evse))
        elif verdict is not None and verdict is not before:
            await self._tell(evse, verdict, f"was told {following.limit_a:g} A and draws {drawn_a:.1f} A")

    async def act(self) -> None:
        """Take the next step: another reading of a car that may be on its way, or a remedy."""
        remedy, evse = self._due.popleft()
        if remedy is None:
            await self._look_again(evse)
            return
        wanted = self._wanted[evse.id]
        says = await self._says(evse)
        try:
            await self._apply(remedy, wanted)
            outcome = remedy.value
        except (Refused, Unreachable) as error:
            outcome = f"{remedy.value}, in vain: {clip(str(error))}"
        detail = f"ignores the {wanted.limit_a:g} A that it accepted{says}: {outcome}"
        logger.warning("%s: %s", evse.id, detail)
        await self._tell(evse, Obedience.IGNORING, detail)

    async def _apply(self, remedy: Remedy, wanted: SetProfile) -> None:
        match remedy:
            case Remedy.AGAIN:
                await self._delivery.install(wanted)
            case Remedy.OTHERWISE:
                if await self._delivery.install_otherwise(wanted):
                    await self._emit(self._delivery.learnt(now_s()))
            case Remedy.LOWER:
                await self._delivery.install(replace(wanted, limit_a=min(wanted.limit_a, wanted.evse.min_a)))
            case Remedy.STOP:
                await self._delivery.stop(wanted.transaction_id or "")
            case Remedy.NONE:
                pass

    async def _look_again(self, evse: Evse) -> None:
        try:
            await self._ask(Trigger(message="MeterValues", evse=evse))
        except (Refused, Unreachable) as error:
            logger.debug("%s: no reading between: %s", evse.id, clip(str(error)))

    async def _says(self, evse: Evse) -> str:
        """Return what a station itself says that it follows, in words."""
        try:
            limit_a = scheduled_a(await self._ask(GetSchedule(evse=evse, duration_s=60)), evse)
        except (Refused, Unreachable):
            limit_a = None
        return "" if limit_a is None else f" (its own schedule says {limit_a:.1f} A)"

    async def _tell(self, evse: Evse, verdict: Obedience, detail: str) -> None:
        await self._emit(Followed(at_s=now_s(), evse=evse.id, verdict=verdict, detail=detail))
