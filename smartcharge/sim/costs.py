"""What each fault cost: energy not delivered because of the derate, beside blocking outright and ignoring it.

The same days are played again without a socket: without any fault, and with each way of answering them.  The cost of a
fault is what the sessions at its EVSEs got less of, from when it was planted until a night after it was repaired; what
others got more of meanwhile is not counted against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from smartcharge.control.health.detect import OURS
from smartcharge.events import FaultRaised
from smartcharge.faults import Response
from smartcharge.sim.ailments import AILMENTS
from smartcharge.sim.result import Detection, Result, Toll
from smartcharge.sim.runner import Run, Transport, midnight_s, simulate
from smartcharge.sim.scenario import Fault, FaultKind, Scenario

AFTER_S: Final = 12 * 3600.0
"""How long after its repair a fault may still cost energy: holds, ramps, probation [s]."""
ALARM_S: Final = 86_400.0
"""How long after its repair an alarm may still be about it [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Days:
    """Energy of each session [Wh] under each answer to the same faults."""

    sound: Mapping[str, float]
    derated: Mapping[str, float]
    blocked: Mapping[str, float]
    ignored: Mapping[str, float]


def with_tolls(run: Run, result: Result) -> Result:
    """Return a result with what each fault of an EVSE's hardware cost."""
    suffered = [d for d in result.detections if d.kind in {kind.value for kind in AILMENTS}]
    if not suffered:
        return result
    pinned = replace(run, transport=Transport.DIRECT, pace=None, scenario=_pinned(run, suffered))
    days = _Days(
        sound=simulate(replace(pinned, scenario=replace(pinned.scenario, faults=()))).session_wh,
        derated=_answered(pinned, Response.DERATE),
        blocked=_answered(pinned, Response.BLOCK),
        ignored=_answered(pinned, Response.IGNORE),
    )
    return replace(result, tolls=tuple(_toll(run, detection, days) for detection in suffered))


def _answered(run: Run, response: Response) -> Mapping[str, float]:
    site = replace(run.settings.site, response=response)
    return simulate(replace(run, settings=replace(run.settings, site=site))).session_wh


def _pinned(run: Run, suffered: Iterable[Detection]) -> Scenario:
    """Return the scenario with the very stations that failed: who draws the most may be another next time."""
    midnight = midnight_s(run)
    stations = {evse.id: evse.station for evse in run.settings.site.evses}
    faults: list[Fault] = []
    for one in suffered:
        after = datetime.fromtimestamp(one.planted_s - midnight, UTC)
        faults += [
            Fault(
                kind=FaultKind(one.kind), target=station, day=1 + int((one.planted_s - midnight) // 86_400.0),
                at=after.time().replace(microsecond=0), duration_s=one.until_s - one.planted_s,
            )
            for station in dict.fromkeys(stations[name] for name in stations if name in one.target.split(", "))
        ]  # fmt: skip
    return replace(run.scenario, faults=tuple(faults))


def _toll(run: Run, one: Detection, days: _Days) -> Toll:
    evses = one.target.split(", ")
    hit = [v.session_id for v in run.visits
           if v.evse in evses and v.arrive_s < one.until_s + AFTER_S and v.depart_s > one.planted_s]  # fmt: skip

    def lost_wh(got: Mapping[str, float]) -> float:
        return sum(days.sound.get(name, 0.0) - got.get(name, 0.0) for name in hit)

    return Toll(
        kind=one.kind, target=one.target, planted_s=one.planted_s, lost_wh=lost_wh(days.derated),
        if_blocked_wh=lost_wh(days.blocked), if_ignored_wh=lost_wh(days.ignored),
    )  # fmt: skip


def fault_figures(result: Result) -> dict[str, Any]:
    """Return the figures of a result that are about faults, as JSON can hold them; energies null where not played."""
    missed = [d for d in result.detections if d.detected_s is None]
    tolls = {(toll.kind, toll.target, toll.planted_s): toll for toll in result.tolls}
    is_played = bool(tolls) or not result.detections
    return {
        "injected": len(result.detections),
        "detected": len(result.detections) - len(missed),
        "missed": [{"kind": d.kind, "target": d.target, "planted_s": d.planted_s, "why": d.evidence} for d in missed],
        "false_alarms": len(false_alarms(result)),
        "energy_lost_wh": sum(t.lost_wh for t in result.tolls) if is_played else None,
        "energy_lost_if_blocked_wh": sum(t.if_blocked_wh for t in result.tolls) if is_played else None,
        "energy_lost_if_ignored_wh": sum(t.if_ignored_wh for t in result.tolls) if is_played else None,
        "violations": len(result.violations),
        "each": [_each(d, tolls.get((d.kind, d.target, d.planted_s))) for d in result.detections],
    }


def _each(one: Detection, toll: Toll | None) -> dict[str, Any]:
    return {
        "kind": one.kind, "target": one.target, "planted_s": one.planted_s, "until_s": one.until_s,
        "detected_s": one.detected_s, "evidence": one.evidence,
        "energy_lost_wh": None if toll is None else toll.lost_wh,
        "energy_lost_if_blocked_wh": None if toll is None else toll.if_blocked_wh,
        "energy_lost_if_ignored_wh": None if toll is None else toll.if_ignored_wh,
    }  # fmt: skip


def false_alarms(result: Result) -> list[FaultRaised]:
    """Return the faults that the controller found by itself at EVSEs where nothing was planted at the time."""
    ours = [fact for fact in result.facts if isinstance(fact, FaultRaised) and fact.code in OURS]
    return [fact for fact in ours if not any(_explains(d, fact) for d in result.detections)]


def _explains(one: Detection, fact: FaultRaised) -> bool:
    is_there = any(fact.evse == name or fact.evse.startswith(f"{name}/") for name in one.target.split(", "))
    is_everywhere = one.kind in (FaultKind.BROKER_DOWN.value, FaultKind.CONTROLLER_KILLED.value)
    return (is_there or is_everywhere) and one.planted_s - 1.0 <= fact.at_s <= one.until_s + ALARM_S
