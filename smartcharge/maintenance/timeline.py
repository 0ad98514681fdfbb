"""From facts to outages: when each port could not have served a driver, why, and by which facts that is known.

A port is *held* by whatever keeps it from serving: its station is offline or says Faulted, a derate or an
order below its minimum current.  Time in which nobody watched (the controller was down, the station
had never been heard of) is *unknown*: neither up nor down.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final

from smartcharge.events import (
    Derated,
    FaultCleared,
    FaultRaised,
    OperatorOrder,
    Restored,
    StationBooted,
    StationOffline,
    StationOnline,
    Watched,
)
from smartcharge.faults import Effect
from smartcharge.maintenance.ports import Port
from smartcharge.maintenance.spans import Span, Spans, less, union
from smartcharge.model import EvseId
from smartcharge.ports import Kept

OFFLINE: Final = "offline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One thing that kept a port from serving."""

    cause: str
    """``offline: REASON``, ``fault CODE: DETAIL``, ``stopped for CAUSE: REASON`` or ``order of AUTHOR: REASON``."""
    since_s: float
    until_s: float
    """Infinite while it lasts."""
    began: int
    """Number of the fact that began it."""
    ended: int | None = None

    @property
    def is_offline(self) -> bool:
        """Tell whether all that is known is that nothing was heard."""
        return self.cause.startswith(OFFLINE)

    @property
    def span(self) -> Span:
        """Return when it was."""
        return Span(self.since_s, self.until_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """What is known of one port, from the first fact to the last."""

    port: Port
    holds: tuple[Hold, ...]
    unknown: Spans
    """When nobody watched, or the station had not been heard of yet."""

    @property
    def outages(self) -> Spans:
        """Return when it is known to have been out of service."""
        return less(union(hold.span for hold in self.holds), self.unknown)

    def holds_in(self, span: Span) -> tuple[Hold, ...]:
        """Return what kept the port from serving at some time in a stretch."""
        return tuple(h for h in self.holds if h.since_s < span.until_s and h.until_s > span.since_s)


@dataclass(slots=True, kw_only=True)
class _Track:
    """A port's holds while facts are read."""

    port: Port
    heard_s: float = inf
    open: dict[str, Hold] = field(default_factory=dict)
    done: list[Hold] = field(default_factory=list)

    def begin(self, key: str, cause: str, fact: Kept) -> None:
        """Take a hold up, unless it is there already."""
        at_s = fact.event.at_s
        self.open.setdefault(key, Hold(cause=cause, since_s=at_s, until_s=inf, began=fact.seq))

    def end(self, key: str, fact: Kept) -> None:
        """Let a hold go, if it is there."""
        hold = self.open.pop(key, None)
        if hold is not None:
            self.done.append(replace(hold, until_s=fact.event.at_s, ended=fact.seq))

    def take(self, fact: Kept) -> None:
        """Read a fact about this port."""
        match fact.event:
            case StationOffline(reason=reason):
                self.begin(OFFLINE, f"{OFFLINE}: {reason}", fact)
            case StationOnline() | StationBooted():
                self.end(OFFLINE, fact)
            case FaultRaised(code=code, detail=detail, effect=Effect.FAULTED):
                self.begin(f"fault {code}", f"fault {code}: {detail}".removesuffix(": "), fact)
            case FaultCleared(code=code):
                self.end(f"fault {code}", fact)
            case Derated(cause=cause, limit_a=limit_a, reason=reason) if limit_a < self.port.min_a:
                self.begin(f"derate {cause.value}", f"stopped for {cause.value}: {reason}", fact)
            case Derated(cause=cause) | Restored(cause=cause):
                self.end(f"derate {cause.value}", fact)
            case OperatorOrder(limit_a=float(limit_a), author=author, reason=reason) if limit_a < self.port.min_a:
                self.begin("order", f"order of {author}: {reason}", fact)
            case OperatorOrder():
                self.end("order", fact)
            case _:
                pass


def timelines(ports: Iterable[Port], facts: Iterable[Kept]) -> Mapping[EvseId, Timeline]:
    """Return what facts, in the order in which they became known, tell of each port."""
    tracks = [_Track(port=port) for port in ports]
    by_name: dict[str, list[_Track]] = {}
    for track in tracks:
        by_name.setdefault(f"station {track.port.station}", []).append(track)
        by_name.setdefault(f"evse {track.port.evse}", []).append(track)
    watch = _Watch()
    for fact in facts:
        watch.take(fact)
        for track in by_name.get(_subject(fact), ()):
            track.heard_s = min(track.heard_s, fact.event.at_s)
            track.take(fact)
    gaps = watch.gaps()
    return {
        track.port.evse: Timeline(
            port=track.port,
            holds=tuple(sorted([*track.done, *track.open.values()], key=lambda hold: hold.began)),
            unknown=union([*gaps, Span(-inf, track.heard_s)]),
        )
        for track in tracks
    }


def _subject(fact: Kept) -> str:
    event = fact.event
    station, evse = getattr(event, "station", None), getattr(event, "evse", None)
    return f"evse {evse}" if station is None else f"station {station}"


@dataclass(slots=True, kw_only=True)
class _Watch:
    """When somebody listened: from each start of the controller to the last fact before its next start.

    Facts from before the first `Watched` vouch for nothing but themselves.
    """

    since_s: float = inf
    last_s: float = -inf
    spans: list[Span] = field(default_factory=list)

    def take(self, fact: Kept) -> None:
        event = fact.event
        if isinstance(event, Watched) and event.since_s > self.last_s:
            self.spans.append(Span(self.since_s, self.last_s))
            self.since_s = event.since_s
        elif isinstance(event, Watched):
            self.since_s = min(self.since_s, event.since_s)
        self.last_s = max(self.last_s, event.at_s)

    def gaps(self) -> Spans:
        """Return when nobody listened, also after the last fact."""
        watched = union([*self.spans, Span(self.since_s, self.last_s)])
        return less((Span(-inf, inf),), watched)
