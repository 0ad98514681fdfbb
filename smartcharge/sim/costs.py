"""What each fault cost: energy not delivered because of the derate, beside blocking outright and ignoring it.

The days around each fault are played again without a socket: without any fault; derated; with its EVSE blocked by
hand from when it was found until it was repaired; and with nothing done at all.  The cost of a fault is what the
sessions at its EVSEs got less of, from when it was planted until it was repaired, or half a day later where a derate
outlives it; what others got more of meanwhile is not counted against it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from smartcharge.control.health.detect import OURS
from smartcharge.control.health.rules import RULES
from smartcharge.control.health.vocabulary import cause_of
from smartcharge.events import FaultRaised
from smartcharge.faults import Cause, OrderKind, Response
from smartcharge.sim.ailments import CAUSES
from smartcharge.sim.recordings import Visit
from smartcharge.sim.result import Detection, Result, Toll
from smartcharge.sim.runner import Run, Transport, midnight_s, simulate
from smartcharge.sim.scenario import Fault, FaultKind, OrderStep

AFTER_S: Final = 12 * 3600.0
"""How long after its repair a fault may still cost energy where a derate outlives it: ramp, probation, latch [s]."""
BEFORE_S: Final = 6 * 3600.0
"""How long before the first car that a fault concerns its days begin [s]: the others are there by then."""
_SHOWS_AS: Final[Mapping[FaultKind, Sequence[Cause]]] = MappingProxyType({
    FaultKind.STATION_SILENT: (Cause.METER_FAILED,),
    FaultKind.STATION_DEAD: (Cause.METER_FAILED, Cause.SESSIONS_FAIL),
    FaultKind.LINK_UNSTEADY: (Cause.METER_FAILED,),
    FaultKind.METER_FROZEN: (Cause.OVER_LIMIT, Cause.CONTACTOR_WELDED),  # it goes on showing what is long over
    FaultKind.STATION_IGNORES_PROFILE: (Cause.CONTACTOR_WELDED,),  # it may say that it pauses what it does not
    FaultKind.CONTACTOR_WELDED: (Cause.OVER_LIMIT,),
    FaultKind.CONTACTOR_STUCK: (Cause.OVER_LIMIT,),
    FaultKind.PHASE_LOST: (Cause.DRAWS_UNDER,),
    FaultKind.MODULES_LOST: (Cause.DRAWS_UNDER,),
})  # fmt: skip
JUDGED_S: Final = 900.0
"""How long after its end a fault is surely judged [s]."""
ALARM_S: Final = 86_400.0
"""How long after its repair an alarm may still be about it [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A fault, and the visits that it may have cost something."""

    fault: Detection
    visits: Sequence[Visit]

    @property
    def begin_s(self) -> float:
        return min(self.fault.planted_s, *(visit.arrive_s for visit in self.visits))

    @property
    def end_s(self) -> float:
        return max(self.fault.until_s, *(visit.depart_s for visit in self.visits))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Days:
    """Energy of each session [Wh] under each answer to the same faults."""

    sound: Mapping[str, float]
    derated: Mapping[str, float]
    blocked: Mapping[str, float]
    ignored: Mapping[str, float]


def with_tolls(run: Run, result: Result) -> Result:
    """Return a result with what each fault of an EVSE's hardware cost."""
    cases = [_Case(fault=one, visits=_hit(run, one)) for one in result.detections if _is_weighed(run, one)]
    tolls = [_toll(case, _Days(sound={}, derated={}, blocked={}, ignored={})) for case in cases if not case.visits]
    for part in _stretches(run, [case for case in cases if case.visits]):
        days = _days(run, part)
        tolls += [_toll(case, days) for case in part]
    return replace(result, tolls=tuple(sorted(tolls, key=lambda toll: toll.planted_s)))


def _is_weighed(run: Run, one: Detection) -> bool:
    """Tell whether something could be done about a fault: what concerns a circuit or a link derates nobody."""
    return FaultKind(one.kind) in CAUSES and bool(_evses(run, one))


def _evses(run: Run, one: Detection) -> list[str]:
    """Return the EVSEs at which a fault is: it names them, or their station."""
    targets = one.target.split(", ")
    return [evse.id for evse in run.settings.site.evses if evse.id in targets or evse.station in targets]


def _hit(run: Run, one: Detection) -> list[Visit]:
    rule = RULES[CAUSES[FaultKind(one.kind)]]
    is_over_at_once = rule.ramp_s is None and rule.probation is None and rule.latch_at is None
    evses, until_s = set(_evses(run, one)), min(one.until_s + (0.0 if is_over_at_once else AFTER_S), run.end_s)
    there = (visit for visit in run.visits if visit.evse in evses)
    return [visit for visit in there if run.start_s <= visit.arrive_s < until_s and visit.depart_s > one.planted_s]


def _stretches(run: Run, cases: Sequence[_Case]) -> Iterator[list[_Case]]:
    """Yield the faults that are to be played together; all of them where a scenario has more than faults."""
    part: list[_Case] = []
    until_s = run.start_s
    for case in sorted(cases, key=lambda case: case.begin_s):
        is_apart = not run.scenario.limits and not run.scenario.orders
        if part and is_apart and case.begin_s - BEFORE_S > until_s:
            yield part
            part = []
        part.append(case)
        until_s = max(until_s, case.end_s)
    if part:
        yield part


def _days(run: Run, part: Sequence[_Case]) -> _Days:
    start_s, end_s = run.start_s, run.end_s
    if not run.scenario.limits and not run.scenario.orders:
        start_s = max(start_s, min(case.begin_s for case in part) - BEFORE_S)
        end_s = min(end_s, max(case.end_s for case in part) + JUDGED_S)
    run = replace(run, transport=Transport.DIRECT, pace=None, start_s=start_s, end_s=end_s, is_checked=False)
    faults = [fault for case in part for fault in _pinned(run, case.fault)]
    faulty = replace(run, scenario=replace(run.scenario, faults=tuple(faults)))
    derated = simulate(faulty)
    blocks = [order for one in derated.detections for order in _blocks(run, one)]
    site = replace(run.settings.site, response=Response.IGNORE)
    careless = replace(faulty, settings=replace(run.settings, site=site))
    blocked = replace(careless.scenario, orders=(*run.scenario.orders, *blocks))
    is_derated = any(RULES[CAUSES[FaultKind(case.fault.kind)]].steps for case in part)
    return _Days(
        sound=simulate(replace(run, scenario=replace(run.scenario, faults=()))).session_wh,
        derated=derated.session_wh,
        blocked=simulate(replace(careless, scenario=blocked)).session_wh,
        ignored=simulate(careless).session_wh if is_derated else derated.session_wh,
    )


def _pinned(run: Run, one: Detection) -> Iterator[Fault]:
    """Yield a fault at the very stations that it hit: who draws the most may be another next time."""
    stations = {evse.id: evse.station for evse in run.settings.site.evses}
    for station in dict.fromkeys(stations[name] for name in stations if name in _evses(run, one)):
        yield Fault(
            kind=FaultKind(one.kind), target=station, duration_s=one.until_s - one.planted_s,
            **_moment(run, one.planted_s),
        )  # fmt: skip


def _blocks(run: Run, one: Detection) -> Iterator[OrderStep]:
    """Yield what a person would order who blocks what is found to be faulty until it is repaired."""
    if one.detected_s is None or one.detected_s >= one.until_s:
        return
    for evse in _evses(run, one):
        for kind, at_s in ((OrderKind.FORCE, one.detected_s), (OrderKind.RELEASE, one.until_s)):
            cause = CAUSES[FaultKind(one.kind)]
            yield OrderStep(evse=evse, kind=kind, cause=cause, limit_a=0.0, **_moment(run, at_s))


def _moment(run: Run, at_s: float) -> dict[str, Any]:
    """Return day and time of day of an instant in the scenario of a run."""
    day, within_s = divmod(at_s - midnight_s(run), 86_400.0)
    return {"day": 1 + int(day), "at": datetime.fromtimestamp(within_s, UTC).time().replace(microsecond=0)}


def _toll(case: _Case, days: _Days) -> Toll:
    one, hit = case.fault, [visit.session_id for visit in case.visits]

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
    """Return the faults that the controller found by itself at EVSEs where nothing like it was planted at the time."""
    ours = [fact for fact in result.facts if isinstance(fact, FaultRaised) and fact.code in OURS]
    return [fact for fact in ours if not any(_explains(d, fact) for d in result.detections)]


def _explains(one: Detection, fact: FaultRaised) -> bool:
    is_there = any(fact.evse == name or fact.evse.startswith(f"{name}/") for name in one.target.split(", "))
    is_everywhere = one.kind in (FaultKind.BROKER_DOWN.value, FaultKind.CONTROLLER_KILLED.value)
    is_then = one.planted_s - 1.0 <= fact.at_s <= one.until_s + ALARM_S
    return is_then and (is_everywhere or (is_there and _shows(FaultKind(one.kind), fact)))


def _shows(kind: FaultKind, fact: FaultRaised) -> bool:
    """Tell whether a fault may show as a cause: as its own, or as what else it does to readings and sessions."""
    cause = cause_of(fact, {}, None)
    return cause is CAUSES.get(kind) or cause in _SHOWS_AS.get(kind, ())
