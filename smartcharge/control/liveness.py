"""Whether a grid operator is still there, and what it asks for: a state machine for each source.

A superset of the controllable system of EEBUS LPC.  Nothing here waits: what time alone changes is
worked out from when things were heard, so the state is a fold of events (I5) and can be looked at
for any moment.

::

    INIT ──────── heartbeat and limit ───────> CONTROLLED <── limit begins, ends ──> LIMITED
      │                                          │      ^                              │
      │ nothing for `grace_s`,                   └──────┼─── no heartbeat for ─────────┤
      │ where autonomy is allowed                       │    `heartbeat_s` (911)       │
      v                                                 │                              v
    AUTONOMOUS <── `failsafe_s` passed (012, 921) ──────┼─────────────────────────── FAILSAFE
      └───────────────────── heartbeat, and a limit after it (916) ────────────────────┘

A source without a heartbeat lives as long as the limits that it set: it is lost when the first one ends.
A limit that binds goes on binding in every state: silence never loosens (I4).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from math import inf

from smartcharge.events import (
    ClockStepped,
    ControllerStarted,
    FailsafeSet,
    FailsafeStep,
    GridAlert,
    LimitLifted,
    LimitSet,
    LimitsReplaced,
    SourceHeard,
)
from smartcharge.frozen import replace
from smartcharge.model import CircuitId, Direction, GridLimit, GridSource, Release, Scope, Staleness

TRUSTED_SKEW_S = 5.0
"""Up to here two clocks count as the same [s]; beyond, a limit holds from the earlier start to the later end."""


class Liveness(Enum):
    """What is to be thought of a source (EEBUS LPC, states of the controllable system)."""

    INIT = "init"
    """Not heard since the controller started: the failsafe value holds."""
    CONTROLLED = "controlled"
    """Heard, and no limit binds now."""
    LIMITED = "limited"
    FAILSAFE = "failsafe"
    """Lost: the failsafe value holds."""
    AUTONOMOUS = "autonomous"
    """Nobody is waited for any more, or nobody ever was."""


_STAMPS = ("since_s", "heard_s", "there_until_s", "returned_s", "written_s")
"""Times from which durations are counted."""
UNSURE = frozenset({Liveness.INIT, Liveness.FAILSAFE})
"""States in which the failsafe value holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """What is known of one source."""

    source: GridSource
    liveness: Liveness
    since_s: float | None = None
    """When it came to that; None from the beginning."""
    heard_s: float | None = None
    """The last heartbeat."""
    there_until_s: float | None = None
    """Until when the last heartbeat keeps it there."""
    returned_s: float | None = None
    """The first heartbeat of those that came without a gap up to the last."""
    written_s: float | None = None
    """When a limit, or the word that there is none, was said last."""
    limits: tuple[GridLimit, ...] = ()
    released: tuple[GridLimit, ...] = ()
    """Limits that were taken back while they bound, ended there and then: they let go slowly."""
    told: FailsafeSet | None = None
    """What the operator itself said of its failsafe value."""
    alerts: tuple[GridAlert, ...] = ()
    """What it warns of: for people, no limit follows from it."""
    skew_s: float = 0.0
    """How far its clock is ahead of ours [s]."""

    @property
    def failsafe_s(self) -> float:
        """Return the least stay in failsafe [s]."""
        said_s = None if self.told is None else self.told.duration_s
        return self.source.failsafe_s if said_s is None else said_s


def failsafe_w(known: SourceState, at_s: float) -> float | None:
    """Return the failsafe limit on the total power [W] at a time: the operator's own word before the site file's."""
    said_w = None if known.told is None else known.told.power_w
    return min(_steps_w(known, Direction.IMPORT, at_s), default=known.source.failsafe_w if said_w is None else said_w)


def failsafe_export_w(known: SourceState, at_s: float) -> float | None:
    """Return what may be fed into the grid at a time while a source is not heard [W]; None where nobody said."""
    return min(_steps_w(known, Direction.EXPORT, at_s), default=None)


def expected(source: GridSource) -> SourceState:
    """Return what is known of a source that the site waits for, before it was heard."""
    return SourceState(source=source, liveness=Liveness.INIT)


def unexpected(name: str, circuit: CircuitId) -> SourceState:
    """Return what is known of somebody who limits the site although the site file does not tell of them."""
    return SourceState(source=GridSource(id=name, circuit=circuit, heartbeat_s=None), liveness=Liveness.AUTONOMOUS)


def redeclared(known: SourceState, source: GridSource) -> SourceState:
    """Return what is known of a source that the site file describes now, maybe otherwise or for the first time."""
    if source.heartbeat_s is not None and known.source.heartbeat_s is None:
        return replace(expected(source), limits=known.limits)
    return replace(known, source=source)


def at(known: SourceState, at_s: float) -> SourceState:
    """Return a source as it is at a time up to which nothing more is heard of it."""
    match known.liveness:
        case Liveness.CONTROLLED | Liveness.LIMITED:
            lost_s = _lost_s(known)
            if lost_s <= at_s:
                return at(replace(known, liveness=Liveness.FAILSAFE, since_s=lost_s), at_s)
            is_limited = any(limit.direction is Direction.IMPORT for limit in in_force(known, at_s))
            return replace(known, liveness=Liveness.LIMITED if is_limited else Liveness.CONTROLLED)
        case Liveness.INIT | Liveness.FAILSAFE if _free_s(known) <= at_s:
            # What had an end goes on to it; what was to be replaced by somebody who is gone does not.
            kept = tuple(limit for limit in known.limits if limit.end_s is not None)
            return replace(known, liveness=Liveness.AUTONOMOUS, since_s=_free_s(known), limits=kept)
        case _:
            return known


def foreseen(known: SourceState, now_s: float, at_s: float) -> SourceState:
    """Return a source as a plan should expect it at a later time: one that is heard now goes on being heard."""
    known = at(known, now_s)
    is_heard = known.there_until_s is not None and known.there_until_s > now_s
    return known if is_heard and known.liveness not in UNSURE else at(known, at_s)


def heard(known: SourceState, event: SourceHeard) -> SourceState:
    """Return a source after a heartbeat."""
    known = at(known, event.at_s)
    is_back = known.there_until_s is None or event.at_s > known.there_until_s
    known = replace(
        known,
        heard_s=event.at_s,
        there_until_s=event.at_s + _heartbeat_s(known) if event.until_s is None else event.until_s,
        returned_s=event.at_s if is_back else known.returned_s,
        skew_s=known.skew_s if event.skew_s is None else event.skew_s,
    )
    return _proven(known, event.at_s)


def limited(known: SourceState, event: LimitSet, policy: Staleness) -> SourceState:
    """Return a source after a limit on one circuit."""
    end_s = event.valid_until_s
    if end_s is None and known.source.heartbeat_s is None:
        end_s = event.at_s + policy.expires_s
    limit = GridLimit(
        source=event.source,
        circuit=event.circuit,
        received_at_s=event.at_s,
        current_a=event.current_a,
        power_w=_allowed_w(known.source, event.power_w),
        scope=event.scope,
        direction=event.direction,
        start_s=event.start_s,
        end_s=end_s,
        priority=event.priority,
        version=event.version,
    )
    others = (o for o in known.limits if (o.circuit, o.direction) != (event.circuit, event.direction))
    return _written(known, event.at_s, (*others, _renewed(known, limit)), event.issued_at_s)


def _renewed(known: SourceState, limit: GridLimit) -> GridLimit:
    """Return a limit with the arrival of the one that it renews, if that is still in force and asks for the same."""
    for last in in_force(known, limit.received_at_s):
        if replace(last, received_at_s=limit.received_at_s, end_s=limit.end_s) == limit:
            return replace(limit, received_at_s=last.received_at_s)
    return limit


def lifted(known: SourceState, event: LimitLifted) -> SourceState:
    """Return a source after the word that it no longer limits a circuit."""
    others = (limit for limit in known.limits if limit.circuit != event.circuit)
    return _written(known, event.at_s, tuple(others), event.issued_at_s)


def replaced(known: SourceState, event: LimitsReplaced) -> SourceState:
    """Return a source after all that it asks for was said anew; what stayed the same keeps its arrival."""
    before = {replace(limit, received_at_s=0.0): limit for limit in known.limits}
    limits = (before.get(replace(limit, received_at_s=0.0), limit) for limit in event.limits)
    return _written(known, event.at_s, tuple(limits), None)


def told(known: SourceState, event: FailsafeSet) -> SourceState:
    """Return a source after its operator said what holds when it is lost."""
    return replace(at(known, event.at_s), told=event)


def disturbed(known: SourceState, event: ControllerStarted | ClockStepped) -> SourceState:
    """Return a source after something that concerns every line."""
    return _moved(known, event) if isinstance(event, ClockStepped) else _restarted(known, event)


def in_force(known: SourceState, at_s: float) -> tuple[GridLimit, ...]:
    """Return the limits that bind at a time: of those that overlap the ones of the first priority, all if equal."""
    slack_s = _slack_s(known)
    now = [limit for limit in known.limits if _start_s(limit) - slack_s <= at_s < _end_s(limit) + slack_s]
    first: dict[tuple[CircuitId, Scope, Direction], float] = {}
    for limit in now:
        key = (limit.circuit, limit.scope, limit.direction)
        first[key] = min(first.get(key, inf), _rank(limit))
    return tuple(limit for limit in now if _rank(limit) == first[limit.circuit, limit.scope, limit.direction])


def expired(known: SourceState, at_s: float) -> tuple[GridLimit, ...]:
    """Return the limits whose validity ran out without another word: they stay, and the failsafe value joins them.

    Only a source without a heartbeat has such; of one that has, an end is meant as the end.
    """
    if known.source.heartbeat_s is not None:
        return ()
    return tuple(limit for limit in known.limits if _end_s(limit) <= at_s)


def letting_go(known: SourceState, at_s: float) -> Iterator[tuple[GridLimit, float]]:
    """Yield the limits that ended but still hold on, each with the share of its rise that has passed, 0 to 1."""
    for limit, from_s, until_s in _tails(known):
        if _end_s(limit) + _slack_s(known) <= at_s < until_s:
            yield limit, max(at_s - from_s, 0.0) / max(until_s - from_s, 1.0)


def changes_s(known: SourceState, now_s: float, until_s: float) -> Iterator[float]:
    """Yield when time alone will change what holds, after ``now_s`` and up to ``until_s``, in no order."""
    for time_s in _times(known):
        if now_s < time_s <= until_s:
            yield time_s


def without_times(known: SourceState) -> object:
    """Return what matters to a plan of a source, equal if nothing but arrivals and renewals changed."""
    is_renewable = known.source.heartbeat_s is None
    limits = {
        replace(limit, received_at_s=0.0, version="", end_s=None if is_renewable else limit.end_s)
        for limit in known.limits
    }
    told = None if known.told is None else (known.told.power_w, known.told.steps)
    return known.liveness, told, frozenset(limits)


def _restarted(known: SourceState, event: ControllerStarted) -> SourceState:
    """Return a source after a start of the controller: what was limited stays so, the line must be proven anew."""
    if known.source.heartbeat_s is None:
        return known
    known = at(known, event.at_s)
    return replace(
        known,
        liveness=Liveness.INIT,
        since_s=event.at_s,
        heard_s=None,
        there_until_s=None,
        returned_s=None,
        written_s=None,
        skew_s=0.0,
    )


def _moved(known: SourceState, event: ClockStepped) -> SourceState:
    """Return a source after the clock was set: silence is as long as it was, and limits end when they were said to."""
    known = at(known, event.at_s - event.step_s)
    times = {name: getattr(known, name) for name in _STAMPS}
    return replace(known, **{name: t + event.step_s for name, t in times.items() if t is not None})


def _written(known: SourceState, at_s: float, limits: tuple[GridLimit, ...], issued_at_s: float | None) -> SourceState:
    known = at(known, at_s)
    is_kept = frozenset(limits)
    gone = tuple(replace(limit, end_s=at_s) for limit in in_force(known, at_s) if limit not in is_kept)
    known = replace(
        known,
        limits=limits,
        released=_holding_on(known.source.release, (*known.released, *gone), at_s),
        written_s=at_s if issued_at_s is None else min(issued_at_s, at_s),
    )
    return _proven(known, at_s)


def _proven(known: SourceState, at_s: float) -> SourceState:
    """Return a source that is believed again once its line is proven: a heartbeat, and a limit after it (916)."""
    if known.liveness in (Liveness.CONTROLLED, Liveness.LIMITED) or not _is_proven(known, at_s):
        return at(known, at_s)
    was_lost = known.liveness is Liveness.FAILSAFE and known.source.heartbeat_s is not None
    gone = (_failsafe_limit(known, at_s),) if was_lost else ()
    released = _holding_on(known.source.release, (*known.released, *gone), at_s)
    return at(replace(known, liveness=Liveness.CONTROLLED, since_s=at_s, released=released), at_s)


def _is_proven(known: SourceState, at_s: float) -> bool:
    if known.written_s is None:
        return False
    if known.source.heartbeat_s is None:
        return True
    if known.there_until_s is None or known.returned_s is None or at_s > known.there_until_s:
        return False
    return known.liveness is Liveness.INIT or known.written_s >= known.returned_s


def _allowed_w(source: GridSource, power_w: float | None) -> float | None:
    """Return a power limit, raised to what section 14a guarantees if the site insists on that."""
    if power_w is None or source.floor_w is None or not source.holds_floor:
        return power_w
    return max(power_w, source.floor_w)


def _failsafe_limit(known: SourceState, at_s: float) -> GridLimit:
    source = known.source
    return GridLimit(
        source=source.id,
        circuit=source.circuit,
        received_at_s=at_s,
        current_a=source.failsafe_a,
        power_w=failsafe_w(known, at_s),
        scope=source.scope,
        end_s=at_s,
        version=f"failsafe {at_s}",
    )


def _lost_s(known: SourceState) -> float:
    """Return when a source counts as lost if nothing more is heard of it; infinite if never."""
    if known.source.heartbeat_s is None:
        return min((_end_s(limit) for limit in known.limits), default=inf)
    lost_s = -inf if known.there_until_s is None else known.there_until_s
    return _covered_until_s(known.limits, lost_s) if known.source.keeps_schedule else lost_s


def _covered_until_s(limits: Iterable[GridLimit], from_s: float) -> float:
    """Return until when limits follow each other without a gap from a time on."""
    for limit in sorted(limits, key=_start_s):
        if _start_s(limit) > from_s:
            break
        from_s = max(from_s, _end_s(limit))
    return from_s


def _free_s(known: SourceState) -> float:
    """Return when the failsafe value ends by itself; infinite unless the site file allows that."""
    if not known.source.may_go_autonomous or known.since_s is None:
        return inf
    if known.liveness is Liveness.INIT:
        return known.since_s + known.source.grace_s
    is_back = known.returned_s is not None and known.returned_s >= known.since_s
    waited_s = known.returned_s + known.source.grace_s if is_back and known.returned_s is not None else -inf
    return max(known.since_s + known.failsafe_s, waited_s)


def _times(known: SourceState) -> Iterator[float]:
    slack_s = _slack_s(known)
    if known.liveness in UNSURE:
        yield _free_s(known)
    elif known.liveness is not Liveness.AUTONOMOUS:
        yield _lost_s(known)
    for step in () if known.told is None else known.told.steps:
        yield step.start_s
        yield _step_end_s(step)
    for limit in known.limits:
        yield _start_s(limit) - slack_s
        yield _end_s(limit) + slack_s
    for _, from_s, until_s in _tails(known):
        yield from_s
        yield until_s


def _tails(known: SourceState) -> Iterator[tuple[GridLimit, float, float]]:
    """Yield the limits that let go slowly, with the times at which each begins and ends to rise."""
    release = known.source.release
    if release.delay_s + release.ramp_s <= 0.0:
        return
    ending = () if known.source.heartbeat_s is None else (limit for limit in known.limits if limit.end_s is not None)
    for limit in (*ending, *known.released):
        from_s = _end_s(limit) + _slack_s(known) + _delay_s(release, limit)
        yield limit, from_s, from_s + release.ramp_s


def _holding_on(release: Release, limits: Iterable[GridLimit], at_s: float) -> tuple[GridLimit, ...]:
    return tuple(limit for limit in limits if at_s < _end_s(limit) + release.delay_s + release.ramp_s)


def _delay_s(release: Release, limit: GridLimit) -> float:
    """Return the delay [s] drawn for a limit: the same for every interval of one version, and after a restart."""
    name = f"{release.seed}\0{limit.source}\0{limit.version or limit.received_at_s}"
    share = int.from_bytes(sha256(name.encode(errors="surrogatepass")).digest()[:8]) / 2**64
    return share * release.delay_s


def _heartbeat_s(known: SourceState) -> float:
    return inf if known.source.heartbeat_s is None else known.source.heartbeat_s


def _slack_s(known: SourceState) -> float:
    return abs(known.skew_s) if abs(known.skew_s) > TRUSTED_SKEW_S else 0.0


def _start_s(limit: GridLimit) -> float:
    return -inf if limit.start_s is None else limit.start_s


def _end_s(limit: GridLimit) -> float:
    return inf if limit.end_s is None else limit.end_s


def _steps_w(known: SourceState, direction: Direction, at_s: float) -> Iterator[float]:
    for step in () if known.told is None else known.told.steps:
        if step.direction is direction and step.start_s <= at_s < _step_end_s(step):
            yield step.power_w


def _step_end_s(step: FailsafeStep) -> float:
    return inf if step.end_s is None else step.end_s


def _rank(limit: GridLimit) -> float:
    return inf if limit.priority is None else float(limit.priority)
