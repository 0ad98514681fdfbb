"""Grid operators that the site waits for: what they say in JSON, and what they are answered.  No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from smartcharge.control.records import Key, Record
from smartcharge.events import Event, FailsafeSet, LimitLifted, LimitSet, SourceHeard
from smartcharge.model import CircuitId, Direction, GridSource, Scope, Site
from smartcharge.words.base import PayloadError, utc
from smartcharge.words.limits import GridFailsafe, GridHeartbeat, GridLimit, LimitAnswer, LpcLimit, RelayContact

_SPOKEN_BY = {
    "limit": ("mqtt", "http"),
    "lpc limit": ("lpc",),
    "relay": ("relay",),
    "grid failsafe": ("mqtt", "http", "lpc"),
}
"""Protocols that know a kind of word; those that are not here are known to all."""

OperatorWord = GridHeartbeat | GridFailsafe | LpcLimit | RelayContact


class Operators:
    """The grid operators of a site that speak some protocols, by the name in their topics and paths."""

    def __init__(self, site: Site, protocols: Sequence[str]) -> None:
        self._protocols = protocols
        named = (source.id.split(" ", 1) for source in site.grid)
        self._sources = {
            name: source for source, (kind, name) in zip(site.grid, named, strict=True) if kind in protocols
        }
        self._grid_limit = site.grid_limit
        self._answered: dict[Key, str] = {}

    def check(self, kind: str, name: str) -> None:
        """Raise PayloadError if the site file tells of no operator of that name, or of one that speaks otherwise."""
        source = self._sources.get(name)
        protocols = [each for each in self._protocols if each in _SPOKEN_BY.get(kind, self._protocols)]
        if source is None or source.id.partition(" ")[0] not in protocols:
            raise PayloadError(("", f"no grid operator {name!r} in the site file speaks {' or '.join(protocols)}"))

    def events(self, name: str, word: OperatorWord, now_s: float, *, is_stored: bool) -> tuple[Event, ...]:
        """Return the facts in what an operator says; raises PayloadError if it cannot be of this moment."""
        source = self._sources[name]
        match word:
            case GridHeartbeat(sent_at=sent_at):
                return (_heard(source, sent_at, now_s),)
            case GridFailsafe(power_w=power_w, duration_s=duration_s):
                return (FailsafeSet(at_s=now_s, source=source.id, power_w=power_w, duration_s=duration_s),)
            case LpcLimit():
                return (_lpc_limit(source, word, now_s, is_stored=is_stored),)
            case RelayContact(closed=closed):
                return SourceHeard(at_s=now_s, source=source.id), _relay(source, now_s, is_closed=closed)

    def limit(
        self, name: str, circuit: CircuitId, limit: GridLimit, now_s: float, *, is_stored: bool
    ) -> LimitSet | LimitLifted:
        """Return the fact in a limit message, of an operator that is waited for or of anybody else."""
        declared = self._sources.get(name)
        source = f"{self._protocols[0]} {name}"
        if declared is not None and declared.id != source:
            raise PayloadError(("", f"grid operator {name!r} speaks {declared.id.partition(' ')[0]} by the site file"))
        issued_at_s = _issued_at_s(declared, limit.issued_at, now_s, is_stored=is_stored)
        if limit.lifted:
            return LimitLifted(at_s=now_s, source=source, circuit=circuit, issued_at_s=issued_at_s)
        return LimitSet(
            at_s=now_s,
            source=source,
            circuit=circuit,
            current_a=limit.current_a.phases() if limit.current_a else None,
            power_w=limit.power_w,
            start_s=None if limit.start_at is None else limit.start_at.timestamp(),
            valid_until_s=self._valid_until_s(declared, limit, now_s),
            scope=Scope(limit.scope),
            direction=Direction(limit.direction),
            version=limit.id or "",
            issued_at_s=issued_at_s,
        )

    def _valid_until_s(self, declared: GridSource | None, limit: GridLimit, now_s: float) -> float | None:
        if limit.valid_until is not None:
            return limit.valid_until.timestamp()
        if declared is not None:
            return None
        # A limit that the broker kept while we were away has aged since it was issued, not since we heard it.
        return min(limit.issued_at.timestamp(), now_s) + self._grid_limit.expires_s

    def received(self, name: str, limit_id: str | None, now_s: float) -> LimitAnswer | None:
        """Return the first answer to a limit; None if nobody waits for its operator."""
        if name not in self._sources:
            return None
        return LimitAnswer(id=limit_id, at=utc(now_s), status="received", reason=None, is_below_floor=False)

    def refused(self, name: str, reason: str, now_s: float) -> LimitAnswer | None:
        """Return the answer to something that was not understood; None if nobody waits for its operator."""
        if name not in self._sources:
            return None
        return LimitAnswer(id=None, at=utc(now_s), status="refused", reason=reason, is_below_floor=False)

    def answers(self, records: Mapping[Key, Record], now_s: float) -> Iterator[tuple[str, LimitAnswer]]:
        """Yield what is to be answered since it was asked last, each with the operator's name."""
        names = {source.id: name for name, source in self._sources.items()}
        for key, record in records.items():
            answer = _answer(record, now_s)
            if answer is None or record.limit.source not in names or self._answered.get(key) == answer.status:
                continue
            self._answered[key] = answer.status
            if record.ended_s is None:
                yield names[record.limit.source], answer
        self._answered = {key: status for key, status in self._answered.items() if key in records}


def _answer(record: Record, now_s: float) -> LimitAnswer | None:
    limit_id = record.limit.version or None
    is_below = record.is_below_floor
    if record.applied_s is not None:
        return LimitAnswer(id=limit_id, at=utc(now_s), status="applied", reason=None, is_below_floor=is_below)
    if record.unmet is not None:
        reason = record.unmet
        return LimitAnswer(id=limit_id, at=utc(now_s), status="cannot comply", reason=reason, is_below_floor=is_below)
    return None


def _heard(source: GridSource, sent_at: datetime, now_s: float) -> SourceHeard:
    """Return a heartbeat; one that lay somewhere for as long as the time-out proves nothing."""
    skew_s = sent_at.timestamp() - now_s
    assert source.heartbeat_s is not None
    if abs(skew_s) > source.heartbeat_s:
        raise PayloadError(("sent_at", f"is {abs(skew_s):.0f} s {'after' if skew_s > 0 else 'before'} now"))
    return SourceHeard(at_s=now_s, source=source.id, skew_s=skew_s)


def _lpc_limit(source: GridSource, limit: LpcLimit, now_s: float, *, is_stored: bool) -> LimitSet | LimitLifted:
    issued_at_s = _issued_at_s(source, limit.issued_at, now_s, is_stored=is_stored)
    if not limit.is_limit_active:
        return LimitLifted(at_s=now_s, source=source.id, circuit=source.circuit, issued_at_s=issued_at_s)
    from_s = min(limit.issued_at.timestamp(), now_s)
    return LimitSet(
        at_s=now_s,
        source=source.id,
        circuit=source.circuit,
        power_w=limit.value_w,
        valid_until_s=None if limit.duration_s is None else from_s + limit.duration_s,
        scope=source.scope,
        version=limit.id or "",
        issued_at_s=issued_at_s,
    )


def _relay(source: GridSource, now_s: float, *, is_closed: bool) -> LimitSet | LimitLifted:
    if not is_closed:
        return LimitLifted(at_s=now_s, source=source.id, circuit=source.circuit)
    return LimitSet(
        at_s=now_s, source=source.id, circuit=source.circuit, power_w=source.failsafe_w,
        current_a=source.failsafe_a if source.failsafe_w is None else None, scope=source.scope,
    )  # fmt: skip


def _issued_at_s(source: GridSource | None, issued_at: datetime, now_s: float, *, is_stored: bool) -> float | None:
    """Return when something was said, if it lay somewhere since: it must not count as said after a heartbeat (916)."""
    issued_at_s = issued_at.timestamp()
    longest_s = None if source is None else source.heartbeat_s
    is_old = is_stored or (longest_s is not None and now_s - issued_at_s > longest_s)
    return issued_at_s if is_old else None
