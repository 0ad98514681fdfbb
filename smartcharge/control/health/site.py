"""What concerns more than one EVSE: links, circuit meters, many ports at once; and who has to come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from smartcharge.control.evse import EvseState
from smartcharge.control.health.derating import causes, repeats
from smartcharge.control.health.rules import RULES, Rule
from smartcharge.control.limits import is_lost
from smartcharge.control.state import State
from smartcharge.events import ResetOrdered, ServiceNeeded, SiteFaultCleared, SiteFaultRaised
from smartcharge.faults import Cause, DeratingStage, Priority
from smartcharge.model import EvseId, StationId

SITE: Final = "site"
"""Subject of what concerns the whole site."""
GATHERS_S: Final = 60.0
"""Ports that fail within this time fail together [s]: readings come once a minute."""
MANY: Final = 3
"""So many stations with one cause at once are the site's fault, not theirs."""
OFFLINE_S: Final = 3600.0
"""How long a station may be away before somebody has to come [s]."""
RECONNECTS: Final = 6
"""Connections within RECONNECTS_S that are too many."""
RECONNECTS_S: Final = 3600.0
REPEATS: Final = 3
"""From so many times within a day on a fault counts as one that comes again and again."""

Found: TypeAlias = Iterator[SiteFaultRaised | SiteFaultCleared]


def site_faults(state: State, now_s: float) -> Found:
    """Yield what is wrong, or right again, with more than one EVSE and that the state does not know yet."""
    yield from _together(state, now_s)
    for circuit in state.site.circuits:
        if circuit.meter is not None:
            has_spoken = circuit.id in state.meters
            detail = f"meter {circuit.meter.id} is silent or frozen"
            is_there = has_spoken and is_lost(state, circuit, now_s)
            yield from _found(state, (f"circuit {circuit.id}", Cause.SITE_METER_LOST), now_s, detail, is_there=is_there)
    for name, station in state.stations.items():
        if not state.site_faults and station.offline_since_s is None and len(station.came_s) < RECONNECTS:
            continue
        away_s = None if station.offline_since_s is None else now_s - station.offline_since_s
        is_away = away_s is not None and away_s >= OFFLINE_S
        yield from _found(state, (f"station {name}", Cause.OFFLINE), now_s, "away for an hour", is_there=is_away)
        came = sum(at_s > now_s - RECONNECTS_S for at_s in station.came_s)
        detail = f"{came} connections within an hour"
        yield from _found(state, (f"station {name}", Cause.RECONNECTS), now_s, detail, is_there=came >= RECONNECTS)


def _together(state: State, now_s: float) -> Found:
    """Yield causes that many ports have at once; gone when only few have it."""
    began_s: dict[Cause, dict[StationId, float]] = {}
    for name, evse in state.evses.items():
        for cause, faults in (causes(state, name, now_s) if evse.faults else {}).items():
            began_s.setdefault(cause, {})[evse.evse.station] = min(fault.at_s for fault in faults)
    for cause in dict.fromkeys((*began_s, *(cause for subject, cause in state.site_faults if subject == SITE))):
        times = sorted(began_s.get(cause, {}).values())
        if (SITE, cause) in state.site_faults:
            is_there = len(times) >= MANY
        else:
            is_there = any(sum(at_s <= t < at_s + GATHERS_S for t in times) >= MANY for at_s in times)
        yield from _found(state, (SITE, cause), now_s, f"{len(times)} stations at once", is_there=is_there)


def _found(state: State, key: tuple[str, Cause], now_s: float, detail: str, *, is_there: bool) -> Found:
    subject, cause = key
    if is_there and key not in state.site_faults:
        yield SiteFaultRaised(at_s=now_s, subject=subject, cause=cause, detail=detail)
    elif not is_there and key in state.site_faults:
        yield SiteFaultCleared(at_s=now_s, subject=subject, cause=cause)


def services(state: State, now_s: float) -> Iterator[ServiceNeeded]:
    """Yield who has to come and was not told yet: one visit for the site where many ports fail together."""
    for (subject, cause), fault in state.site_faults.items():
        rule = RULES[cause]
        priority = rule.priority or rule.on_repeat
        if priority is not None and (subject, cause) not in state.site_reported:
            task = f"{rule.fault}, {fault.detail}: {rule.task}"
            yield ServiceNeeded(at_s=now_s, subject=subject, cause=cause, priority=priority, task=task)
    for name, evse in state.evses.items():
        if evse.faults or evse.health.deratings:
            yield from _of_evse(state, name, evse, now_s)


def _of_evse(state: State, name: EvseId, evse: EvseState, now_s: float) -> Iterator[ServiceNeeded]:
    present = causes(state, name, now_s)
    for cause in {**present, **evse.health.deratings}:
        priority = _priority(evse, RULES[cause], len(present.get(cause, ())), now_s)
        known = evse.health.reported.get(cause)
        is_news = priority is not None and (known is None or priority.value < known.value)
        known_derate = evse.health.deratings.get(cause)
        lasts = known_derate is not None and (
            known_derate.said.stage is DeratingStage.LATCHED or RULES[cause].is_on_trial
        )
        is_over = cause not in present and not lasts
        if priority is None or not is_news or is_over or (SITE, cause) in state.site_faults:
            continue
        began_s = now_s if known_derate is None else known_derate.said.at_s
        since_s = min((fault.at_s for fault in present.get(cause, ())), default=began_s)
        if priority is Priority.P1 or now_s >= since_s + GATHERS_S:
            said = present[cause][-1] if cause in present else None
            words = () if said is None else (said.vendor_code or said.code, said.detail)
            detail = f" ({': '.join(filter(None, words))})" if words else ""
            task = f"{RULES[cause].fault}{detail}: {RULES[cause].task}"
            yield ServiceNeeded(at_s=now_s, subject=f"evse {name}", cause=cause, priority=priority, task=task)


def _priority(evse: EvseState, rule: Rule, count: int, now_s: float) -> Priority | None:
    """Return how soon somebody must come for a cause, higher when it comes again and again, or takes much away."""
    if rule.cause is Cause.MODULES_LOST:
        return Priority.P2 if 2 * count > (evse.evse.modules or 2) else rule.priority
    is_repeat = repeats(evse, rule.cause, now_s) >= REPEATS
    return rule.on_repeat if is_repeat and rule.on_repeat is not None else rule.priority


def next_s(state: State) -> Iterator[float]:
    """Yield when time alone may change what concerns the site [s since 1970]."""
    for station in state.stations.values():
        if station.offline_since_s is not None:
            yield station.offline_since_s + OFFLINE_S
        if station.came_s:
            yield station.came_s[0] + RECONNECTS_S
    for evse in state.evses.values():
        yield from (fault.at_s + GATHERS_S for fault in evse.faults.values())
        yield from (known.said.at_s + GATHERS_S for known in evse.health.deratings.values())


def resets(state: State, now_s: float) -> Iterator[ResetOrdered]:
    """Yield the stations to be restarted because their sessions fail: once for each trial, while nobody charges."""
    if not any(Cause.SESSIONS_FAIL in evse.health.deratings for evse in state.evses.values() if evse.health.deratings):
        return
    for station in state.site.stations:
        evses = [state.evses[evse.id] for evse in station.evses]
        known = state.stations[station.id]
        if not known.online or any(e.session is not None and e.session.transaction_id is not None for e in evses):
            continue
        trials = (e.health.deratings.get(Cause.SESSIONS_FAIL) for e in evses)
        began_s = max(
            (t.said.at_s for t in trials if t is not None and t.said.stage is DeratingStage.PROBATION), default=None
        )
        if began_s is not None and (known.reset_s is None or known.reset_s < began_s):
            yield ResetOrdered(at_s=now_s, station=station.id, reason=RULES[Cause.SESSIONS_FAIL].fault)
