"""Hardware that fails on purpose: what is wrong, for how long, who repairs it, and whether it was found."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from math import exp
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from smartcharge.clock import now_s
from smartcharge.control.health.detect import FAILED_SESSIONS, SHORT_CARS
from smartcharge.control.health.vocabulary import cause_of
from smartcharge.events import FaultOrder, FaultRaised
from smartcharge.faults import Cause, DeratingStage, OrderKind
from smartcharge.model import Evse, EvseId, StationId, Wiring
from smartcharge.sim.ailments import AILMENTS, AMBIENT_C, CAUSES, SOUND, VENDOR, Ailment
from smartcharge.sim.scenario import Fault, FaultKind

if TYPE_CHECKING:
    from smartcharge.sim import faults

RETRY_S: Final = 600.0
"""How long somebody waits before he tries again to open a latch [s]."""
LOOKS_S: Final = 60.0
"""How often overloaded hardware is looked at [s]."""
WARNS_C: Final = 65.0
CALMS_C: Final = 55.0
TRIPS_C: Final = 71.0
"""Temperatures of an enclosure at which it warns, no more does, and switches itself off (SmartEVSE, OpenEVSE)."""
WARMS_S: Final = 600.0
"""Time constant of an enclosure [s]."""
NOBODY_THERE: Final = "no car was there: nothing is measured and nothing is tried"
TOO_FEW: Final = "too few different cars came to prove anything"
NOTHING_FLOWED: Final = "nothing flowed that would have shown it"
WHY_MISSED: Final[Mapping[FaultKind, str]] = MappingProxyType({
    FaultKind.DRAWS_UNDER: "the cars were never offered more than it delivers, or nobody knew what they can take",
    FaultKind.CONNECTOR_HOT: "it never carried enough to get hot",
    FaultKind.FILTER_CLOGGED: "it never carried enough to get hot",
    FaultKind.CONTACTOR_STUCK: "nobody was told to stop while it was stuck",
    FaultKind.STATION_IGNORES_PROFILE: "no car there wanted more than it was told",
    FaultKind.STATION_REFUSES: "it was told too little to refuse often enough",
    FaultKind.STATION_SILENT: "nothing was due from it or to it",
})  # fmt: skip
"""Why a kind of fault may stay unseen although a car is there."""
UNDETECTABLE: Final = frozenset({NOBODY_THERE, TOO_FEW, NOTHING_FLOWED, *WHY_MISSED.values()})
TECHNICIAN: Final = "simulated technician"
WORK_ORDER: Final = 1
"""Whom the technician names: a simulation of the site alone has no logbook."""
_DC: Final = frozenset({FaultKind.MODULES_LOST, FaultKind.DC_SUPPLY})


def targets(fault: Fault, stage: faults.Stage) -> tuple[EvseId, ...]:
    """Return the EVSEs that are to fail: those of the named station, or of those whose cars draw the most now."""
    suits = [evse for evse in stage.site.evses if _suits(fault.kind, evse)]
    if fault.target is not None:
        return tuple(evse.id for evse in suits if evse.station == fault.target)
    suits.sort(key=lambda evse: -stage.world.power_w(evse.id))
    stations: list[StationId] = list(dict.fromkeys(evse.station for evse in suits))[: fault.count]
    return tuple(evse.id for evse in suits if evse.station in stations)


def _suits(kind: FaultKind, evse: Evse) -> bool:
    if kind in _DC:
        return evse.wiring is Wiring.DC
    if kind in (FaultKind.UNDER_VOLTAGE, FaultKind.OVER_VOLTAGE):
        return evse.wiring is not Wiring.DC
    return evse.wiring is Wiring.THREE_PHASE if kind is FaultKind.PHASE_LOST else True


async def suffer(fault: Fault, evses: Sequence[EvseId], stage: faults.Stage) -> None:
    """Let hardware be ill for as long as a fault lasts, then repair it; whoever repaired it opens its latch."""
    ailment = AILMENTS[fault.kind]
    for evse in evses:
        stage.fleet.set_ailment(evse, ailment if ailment.warms_c is None else ailment.unnoticed())
        if ailment.is_welded:
            stage.watcher.misbehaves(evse)
    async with asyncio.TaskGroup() as group:
        for evse in evses:
            bear = _bear if ailment.warms_c is None else _warm
            group.create_task(bear(ailment, evse, fault.duration_s, stage), name=f"{fault.kind.value} {evse}")
    stage.world.advance(now_s())
    for evse in evses:
        stage.fleet.set_ailment(evse, SOUND)
        stage.watcher.behaves(evse)


async def release(cause: Cause, evses: Sequence[EvseId], stage: faults.Stage) -> None:
    """Open what latched once the repair is done; it is tried again until the controller sees that the fault is gone."""
    while latched := [evse for evse in evses if _is_latched(cause, evse, stage)]:
        for evse in latched:
            order = FaultOrder(
                at_s=now_s(), evse=evse, cause=cause, kind=OrderKind.RELEASE, author=TECHNICIAN, reason="repaired",
                work_order=WORK_ORDER,
            )  # fmt: skip
            if stage.plant.controller is not None:
                await stage.plant.controller.emit(order)  # as the work orders do, which opens latches
        await asyncio.sleep(RETRY_S)


def _is_latched(cause: Cause, evse: EvseId, stage: faults.Stage) -> bool:
    state = None if stage.plant.controller is None else stage.plant.controller.state
    known = None if state is None else state.evses[evse].health.deratings.get(cause)
    return known is not None and known.said.stage is DeratingStage.LATCHED


async def _bear(ailment: Ailment, evse: EvseId, duration_s: float, stage: faults.Stage) -> None:
    """Let time pass; hardware that bears more than it can for too long switches itself off until it is repaired."""
    if ailment.safe_share is None:
        await asyncio.sleep(duration_s)
        return
    max_a = next(one.max_a for one in stage.site.evses if one.id == evse)
    over_s, until_s = 0.0, now_s() + duration_s
    while now_s() < until_s - 1e-3:
        await asyncio.sleep(min(LOOKS_S, until_s - now_s()))
        stage.world.advance(now_s())
        drawn_a = max(stage.world.evse_currents(evse))
        over_s = over_s + LOOKS_S if drawn_a > ailment.safe_share * max_a + 0.1 else 0.0
        if over_s >= ailment.trip_s:
            stage.fleet.set_ailment(evse, ailment.tripped())
            await asyncio.sleep(until_s - now_s())


async def _warm(ailment: Ailment, evse: EvseId, duration_s: float, stage: faults.Stage) -> None:
    """Let time pass; an enclosure that gets rid of too little heat follows the square of its current."""
    assert ailment.warms_c is not None
    max_a = next(one.max_a for one in stage.site.evses if one.id == evse)
    body_c, is_warning, until_s = AMBIENT_C, False, now_s() + duration_s
    while now_s() < until_s - 1e-3:
        stage.world.advance(now_s())
        share = max(stage.world.evse_currents(evse)) / max_a
        await asyncio.sleep(min(LOOKS_S, until_s - now_s()))
        body_c += (AMBIENT_C + ailment.warms_c * share**2 - body_c) * (1.0 - exp(-LOOKS_S / WARMS_S))
        if body_c >= TRIPS_C:
            stage.fleet.set_ailment(evse, ailment.tripped())
            await asyncio.sleep(until_s - now_s())
        elif body_c >= WARNS_C if not is_warning else body_c < CALMS_C:
            is_warning = not is_warning
            stage.fleet.set_ailment(evse, ailment if is_warning else ailment.unnoticed())


def found(kind: FaultKind, evses: Iterable[EvseId], facts: Sequence[object], stage: faults.Stage) -> FaultRaised | None:
    """Return the first fault of the kind's cause that the controller wrote down of any of the EVSEs."""
    names = set(evses)
    for fact in facts:
        if isinstance(fact, FaultRaised) and fact.evse in names:
            cause = cause_of(fact, stage.site.vendor_codes, VENDOR)
            if cause is CAUSES[kind] or (cause is Cause.UNKNOWN and AILMENTS[kind].safe_share is not None):
                return fact
    return None


def why_missed(fault: Fault, evses: Sequence[EvseId], planted_s: float, stage: faults.Stage) -> str:
    """Return why a fault could not be found, as far as the truth of the world tells."""
    until_s = planted_s + fault.duration_s
    there = {v.session_id for v in stage.visits if v.evse in evses and v.arrive_s < until_s and v.depart_s > planted_s}
    if not there:
        return NOBODY_THERE
    needed = {FaultKind.DRAWS_UNDER: SHORT_CARS, FaultKind.SESSIONS_FAIL: FAILED_SESSIONS}.get(fault.kind, 0)
    if len(there) < needed:
        return TOO_FEW
    return WHY_MISSED.get(fault.kind, NOTHING_FLOWED)
