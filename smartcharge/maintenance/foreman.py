"""Keeps the logbook: raises work orders for faults as they happen, and tells whoever listens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from math import inf
from typing import Final, Protocol, TypeVar

from smartcharge.clock import now_s
from smartcharge.codec import Encoded
from smartcharge.events import FaultOrder, FaultRaised
from smartcharge.faults import Cause, OrderKind
from smartcharge.maintenance.desk import called
from smartcharge.maintenance.meaning import COMMON, Meaning, vendors
from smartcharge.maintenance.plans import PlanKeys, planned
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.triage import calls
from smartcharge.maintenance.work_orders import LINES, Line, Raised, Repaired, WorkOrder, lines_of, orders
from smartcharge.model import EvseId
from smartcharge.ports import Chronicle, Emit, Journal, Kept, Logbook, Written

LATCHES: Final = "latches"
"""Under this name it is remembered up to where repairs were answered."""
L = TypeVar("L", bound=Line)
ROUND_S: Final = 60.0
"""How often it looks for faults and for what was not told yet [s]."""
PLANS_S: Final = 6 * 3600.0
"""How often it looks at the plans [s]: that takes all facts there are."""
LOOKBACK_S: Final = 30 * 86400.0
"""Older faults were answered long ago [s]."""


class Listener(Protocol):
    """Somebody who is told of every change of a work order."""

    name: str
    """Unique; what it was told is remembered under this name."""

    async def hear(self, number: int, order: WorkOrder) -> None:
        """Take a work order as it stands after line ``number``; raises OSError to be told again later."""


async def read(logbook: Logbook) -> list[Line]:
    """Return all lines of a logbook; raises StoreError."""
    return lines_of(await logbook.lines())


async def write(logbook: Logbook, decide: Callable[[Sequence[Line]], Sequence[L]]) -> list[L]:
    """Add what ``decide`` makes of all lines, as one transaction; raises what it raises, and StoreError."""
    decided: list[L] = []

    def encoded(written: Sequence[Written]) -> list[tuple[float, Encoded]]:
        decided[:] = decide(lines_of(written))
        return [(line.at_s, LINES.encode(line)) for line in decided]

    await logbook.write(encoded)
    return decided


async def answer_faults(place: Place, chronicle: Chronicle, logbook: Logbook, at_s: float) -> list[Line]:
    """Raise, repeat or reopen work orders for the faults of the last weeks; return what was written."""
    found = list(calls(await chronicle.facts(at_s - LOOKBACK_S)))
    # Mostly there is nothing new, and then nobody is kept from writing.
    if not called(await read(logbook), found, place.id):
        return []
    return await write(logbook, lambda lines: called(lines, found, place.id))


async def answer_plans(
    plans: Sequence[PlanKeys], place: Place, chronicle: Chronicle, logbook: Logbook, at_s: float
) -> list[Raised]:
    """Raise the work orders that plans call for by a time [s since 1970]; return them."""
    facts = await chronicle.facts()
    if not planned(plans, place, facts, await read(logbook), at_s):
        return []
    return await write(logbook, lambda lines: planned(plans, place, facts, lines, at_s))


def released(
    order: WorkOrder, said: Repaired, place: Place, broken: AbstractSet[tuple[EvseId, str]]
) -> FaultOrder | None:
    """Return what lets an EVSE be tried, now that somebody says that it is mended; None if it broke again since."""
    evse = next((port.evse for port in place.ports if port.evse == order.raised.asset), None)
    if evse is None or order.raised.cause is None or order.repaired != said or (evse, order.raised.cause) in broken:
        return None
    return FaultOrder(
        at_s=now_s(),
        evse=evse,
        cause=Cause(order.raised.cause),
        kind=OrderKind.RELEASE,
        author=said.author,
        reason=f"work order {order.number}: {said.text}",
        work_order=order.number,
    )


class Foreman:
    """A `ports.Source`: it reads the chronicle, keeps the logbook, and lets what was repaired be tried."""

    name = "maintenance"

    def __init__(  # noqa: PLR0913 - what it reads, what it keeps, and who is told
        self,
        place: Place,
        chronicle: Chronicle,
        logbook: Logbook,
        *,
        journal: Journal,
        plans: Sequence[PlanKeys] = (),
        listeners: Sequence[Listener] = (),
        meaning: Meaning = COMMON,
    ) -> None:
        self._meaning = meaning
        self._journal = journal
        self._plans = plans
        self._place = place
        self._chronicle = chronicle
        self._logbook = logbook
        self._listeners = listeners
        self._trouble: dict[str, str] = {}

    @property
    def trouble(self) -> str | None:
        """Return which listener cannot be told, and why; None if all are."""
        return "; ".join(f"{name}: {reason}" for name, reason in self._trouble.items()) or None

    async def run(self, emit: Emit) -> None:
        """Go round until cancelled."""
        plans_due_s = -inf
        while True:
            # At a quiet site facts may wait for others to be written down with; a fault at night must not.
            await self._journal.flush()
            if self._plans and now_s() >= plans_due_s:
                plans_due_s = now_s() + PLANS_S
                await answer_plans(self._plans, self._place, self._chronicle, self._logbook, now_s())
            await answer_faults(self._place, self._chronicle, self._logbook, now_s())
            await self._release(emit)
            for listener in self._listeners:
                await self._tell(listener)
            await asyncio.sleep(ROUND_S)

    async def _release(self, emit: Emit) -> None:
        """Let what was repaired be tried: by this, and by nothing else, a latch opens, to a probation."""
        written = await self._logbook.lines(await self._logbook.told(LATCHES))
        if not written:
            return
        known = orders(await read(self._logbook))
        for line in lines_of(written):
            if isinstance(line, Repaired):
                since = await self._chronicle.facts(line.at_s)
                if (order := released(known[line.order], line, self._place, self._broken(since))) is not None:
                    await emit(order)
        await self._logbook.tell(LATCHES, written[-1].number)

    def _broken(self, since: Sequence[Kept]) -> set[tuple[EvseId, str]]:
        """Return which EVSEs broke, and how."""
        known = vendors(since)
        return {(e.evse, self._meaning.cause(e, known)) for _, e in since if isinstance(e, FaultRaised)}

    async def _tell(self, listener: Listener) -> None:
        """Tell a listener what it has not heard, in order; at least once each, even over a restart."""
        told = await self._logbook.told(listener.name)
        written = await self._logbook.lines(told)
        if not written:
            return
        known = orders(await read(self._logbook))
        for line in written:
            if not LINES.knows(line.kind):
                continue
            try:
                await listener.hear(line.number, known[LINES.decode(line.kind, line.body).order])
            except OSError as error:
                self._trouble[listener.name] = str(error)
                return
            await self._logbook.tell(listener.name, line.number)
        self._trouble.pop(listener.name, None)
