"""The record of each grid limit: a fold of what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never

from smartcharge.control.liveness import SourceState
from smartcharge.events import LimitFollowed, Stage
from smartcharge.model import CircuitId, Direction, GridLimit

MOST_ENDED = 50
"""Records of limits that ended which are kept at hand; the journal has them all."""

Key: TypeAlias = tuple[str, CircuitId, str, float]
"""Source, circuit, name and first moment of a limit; the name is its version, and tells its direction."""
Records: TypeAlias = Mapping[Key, "Record"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What became of one limit; times are seconds since 1970, None where that has not come."""

    limit: GridLimit
    due_s: float
    """From when on it had to be kept: its arrival or its start, whichever is later."""
    is_below_floor: bool = False
    """Whether it asks for less than section 14a EnWG guarantees."""
    accepted_s: float | None = None
    """The last confirmation of a station since then."""
    applied_s: float | None = None
    """When the last station had confirmed what makes the limit fit."""
    unmet: str | None = None
    """Why it could not be applied in time."""
    measured_s: float | None = None
    """The first measurement under the limit."""
    seen_s: float | None = None
    """The newest measurement that counted."""
    over_w: float = 0.0
    """How far the newest measurement was over it [W]."""
    over_wh: float = 0.0
    """Energy over the limit [Wh]."""
    ended_s: float | None = None


def key_of(limit: GridLimit) -> Key:
    """Return what tells a limit apart: the same one renewed is the same."""
    since_s = limit.received_at_s if limit.start_s is None else limit.start_s
    name = limit.version if limit.direction is Direction.IMPORT else f"{limit.version} export"
    return limit.source, limit.circuit, name, since_s


def accepted(records: Records, at_s: float) -> Records:
    """Return the records after a station confirmed a command."""
    if not any(_is_open(record) for record in records.values()):
        return records
    return {key: replace(r, accepted_s=at_s) if _is_open(r) else r for key, r in records.items()}


def followed(records: Records, sources: Mapping[str, SourceState], event: LimitFollowed) -> Records:
    """Return the records after a fact; one about a limit that nobody knows changes nothing."""
    key = event.source, event.circuit, event.version, event.since_s
    record = records.get(key)
    if record is None:
        record = _begun(sources.get(event.source), key)
    if record is None:
        return records
    return _kept({**records, key: _after(record, event)})


def _is_open(record: Record) -> bool:
    return record.applied_s is None and record.ended_s is None


def _begun(known: SourceState | None, key: Key) -> Record | None:
    limits = () if known is None else known.limits
    limit = next((limit for limit in limits if key_of(limit) == key), None)
    if known is None or limit is None:
        return None
    floor_w = known.source.floor_w
    is_below = floor_w is not None and limit.power_w is not None and limit.power_w < floor_w
    due_s = limit.received_at_s if limit.start_s is None else max(limit.start_s, limit.received_at_s)
    return Record(limit=limit, due_s=due_s, is_below_floor=is_below)


def _after(record: Record, event: LimitFollowed) -> Record:
    match event.stage:
        case Stage.BINDS:
            return record
        case Stage.APPLIED:
            return replace(record, applied_s=event.seen_s)
        case Stage.UNMET:
            return replace(record, unmet=event.reason)
        case Stage.MEASURED:
            first_s = event.seen_s if record.measured_s is None else record.measured_s
            return replace(_integrated(record, event), measured_s=first_s, over_w=0.0)
        case Stage.EXCEEDED:
            return replace(_integrated(record, event), over_w=event.over_w)
        case Stage.ENDED:
            return replace(record, ended_s=event.at_s)
        case _:
            assert_never(event.stage)


def _integrated(record: Record, event: LimitFollowed) -> Record:
    """Return the record with the energy since the last measurement, at the higher of both powers: unknown is worst."""
    passed_s = max(event.seen_s - (record.seen_s or record.due_s), 0.0)
    over_wh = max(record.over_w, event.over_w) * passed_s / 3600.0
    return replace(record, seen_s=event.seen_s, over_wh=record.over_wh + over_wh)


def _kept(records: Records) -> Records:
    ended = sorted((r.ended_s, key) for key, r in records.items() if r.ended_s is not None)
    dropped = {key for _, key in ended[: max(len(ended) - MOST_ENDED, 0)]}
    return {key: record for key, record in records.items() if key not in dropped}
