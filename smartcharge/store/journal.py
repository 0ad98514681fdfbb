"""The journal: facts in the order in which they became state, written many to a commit."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, isnan
from threading import Lock
from typing import NamedTuple, TypeAlias

from sqlalchemy import Connection, Engine, delete, func, insert, select

from smartcharge.control.state import State
from smartcharge.errors import StoreError
from smartcharge.events import Event
from smartcharge.model import Site
from smartcharge.store import chronicle, schema, transactions
from smartcharge.store.codec import decode, decode_state, encode, encode_state
from smartcharge.store.engine import reading, writing

PAGE_ROWS = 2000
"""Rows read at once while loading, so that a long journal does not have to fit in memory."""
SNAPSHOT_FACTS = 20_000
"""A snapshot is due after so many facts: a start folds no more than these."""
PRUNED_FACTS = 3 * SNAPSHOT_FACTS
"""Facts that are dropped in one commit at most: more than come in between two, so that a long journal gets shorter."""
KEEP_S = 30 * 86400.0
"""How long the journal reaches back at least [s], unless said otherwise."""


@dataclass(frozen=True, slots=True)
class _Fact:
    seq: int
    event: Event
    kind: str
    body: str


@dataclass(frozen=True, slots=True)
class _Snapshot:
    seq: int
    at_s: float
    body: str


_Entry: TypeAlias = _Fact | _Snapshot


class _Start(NamedTuple):
    """Where a fold begins: after the fact ``seq``, with a snapshot's text or, at the very beginning, none."""

    seq: int
    body: str | None


class SqlJournal:
    """Implements `ports.Journal`: state is the fold of what is written here (I5).

    Facts are numbered when they are queued, and a commit writes the head of the queue, so what
    survives a crash is always a prefix of what was appended.  A commit that fails leaves everything
    queued, and the next `flush` tries again.

    *Growth.*  The fold needs every reading (a frozen meter, an obedient car and energy without a
    register are all told by many), so no fact may be dropped for its kind.  Instead, `snapshot` puts a
    state between the facts, and the commit that writes it drops the facts that only states older than
    ``keep_s`` need.  What availability is made of stays, in the chronicle.
    """

    def __init__(self, engine: Engine, keep_s: float = KEEP_S) -> None:
        """Take up the journal of a database whose schema is the newest; raises StoreError."""
        self._engine = engine
        self._keep_s = keep_s
        with reading(engine) as connection:
            ends = [connection.scalar(select(func.max(t.c.seq))) for t in (schema.journal, schema.snapshots)]
        self._queued: deque[_Entry] = deque()
        self._appended = self._written = max(end or 0 for end in ends)
        self._snapshot_seq: int = ends[1] or 0
        self._commit: asyncio.Task[StoreError | None] | None = None
        self._one_writer = Lock()

    @property
    def queued(self) -> int:
        """Return how many facts wait to be written; grows while the database refuses."""
        return self._appended - self._written

    def append(self, event: Event) -> None:
        """Queue a fact, at once; raises StoreError, with nothing queued, for what cannot be written."""
        kind, body = encode(event)
        # One fact that cannot be read would stop every later load, so it is read here, before it is queued;
        # and the tables are fed with just what a replay would see.
        as_read = decode(kind, body)
        if isnan(as_read.at_s):
            raise StoreError(f"{event!r} has no time")
        self._queued.append(_Fact(self._appended + 1, as_read, kind, body))
        self._appended += 1

    @property
    def is_snapshot_due(self) -> bool:
        """Tell whether a start from here would fold too many facts."""
        return self._appended - self._snapshot_seq >= SNAPSHOT_FACTS

    def snapshot(self, state: State) -> None:
        """Queue the state that every fact appended so far has led to; raises StoreError, with nothing queued."""
        body = encode_state(state)
        self._queued.append(_Snapshot(self._appended + 1, state.at_s, body))
        self._appended += 1
        self._snapshot_seq = self._appended

    async def flush(self) -> None:
        """Return when everything queued so far survives kill -9 and a power cut.

        Whoever calls while a commit is under way shares the next one.  Raises StoreError when a
        commit failed; what was queued stays so, in order.
        """
        goal = self._appended
        while self._written < goal:
            if self._commit is None or self._commit.done():
                self._commit = asyncio.create_task(self._commit_queued())
            # One of many who wait may be cancelled; the commit is everybody's.
            error = await asyncio.shield(self._commit)
            if error is not None:
                raise StoreError(str(error)) from error

    def resume(self, site: Site, by_s: float = inf) -> State:
        """Return the state that `load` goes on from: the newest snapshot's by a time, or what is known of nothing.

        Raises StoreError, also for a time [s since 1970] that the journal does not reach back to.
        """
        start = self._start(by_s)
        return State.initial(site) if start.body is None else decode_state(start.body, site)

    def load(self, by_s: float = inf) -> Iterator[Event]:
        """Yield the facts written after the newest snapshot by a time (all, if there is none), oldest first.

        Raises StoreError, also for a fact that cannot be read.
        """
        seq, _ = self._start(by_s)
        facts = schema.journal.c
        while True:
            page = select(facts.seq, facts.kind, facts.body).where(facts.seq > seq).order_by(facts.seq).limit(PAGE_ROWS)
            with reading(self._engine) as connection:
                rows = connection.execute(page).all()
            if not rows:
                return
            for seq, kind, body in rows:
                yield _decode(seq, kind, body)

    def reaches_back_s(self) -> float:
        """Return the earliest time [s since 1970] that can be replayed; -inf while no fact was dropped."""
        snapshots, facts = schema.snapshots.c, schema.journal.c
        with reading(self._engine) as connection:
            first = connection.scalar(select(func.min(facts.seq)))
            oldest = connection.execute(select(snapshots.seq, snapshots.at_s).order_by(snapshots.seq).limit(1)).first()
        # Facts are numbered from 1, and every number but a snapshot's is a fact's.
        return -inf if oldest is None or first == 1 else float(oldest.at_s)

    def _start(self, by_s: float) -> _Start:
        snapshots = schema.snapshots.c
        newest = select(snapshots.seq, snapshots.body).where(snapshots.at_s <= by_s).order_by(snapshots.seq.desc())
        with reading(self._engine) as connection:
            row = connection.execute(newest.limit(1)).first()
        if row is not None:
            return _Start(row.seq, row.body)
        if (since_s := self.reaches_back_s()) > by_s:
            raise StoreError(f"the journal reaches back to {since_s:.0f} s since 1970 only: older facts were dropped")
        return _Start(0, None)

    async def _commit_queued(self) -> StoreError | None:
        try:
            await asyncio.to_thread(self._write, tuple(self._queued))
        except StoreError as error:
            return error
        while self._queued and self._queued[0].seq <= self._written:
            self._queued.popleft()
        return None

    def _write(self, batch: tuple[_Entry, ...]) -> None:
        # A loop that is shut down cancels the task but not this thread: what it wrote counts, once.
        with self._one_writer:
            new = [entry for entry in batch if entry.seq > self._written]
            if not new:
                return
            facts = [entry for entry in new if isinstance(entry, _Fact)]
            snapshots = [entry for entry in new if isinstance(entry, _Snapshot)]
            with writing(self._engine) as connection:
                self._refuse_other_writers(connection)
                if facts:
                    rows = [{"seq": f.seq, "at_s": f.event.at_s, "kind": f.kind, "body": f.body} for f in facts]
                    connection.execute(insert(schema.journal), rows)
                    chronicle.keep(connection, rows)
                    transactions.project(connection, [(f.seq, f.event) for f in facts])
                if snapshots:
                    connection.execute(
                        insert(schema.snapshots), [{"seq": s.seq, "at_s": s.at_s, "body": s.body} for s in snapshots]
                    )
                    _prune(connection, snapshots[-1].at_s - self._keep_s)
            self._written = new[-1].seq

    def _refuse_other_writers(self, connection: Connection) -> None:
        end = connection.scalar(select(func.max(schema.journal.c.seq)))
        if end is not None and end > self._written:
            raise StoreError(f"fact {end} was written by another process: a journal has one writer")


def _prune(connection: Connection, before_s: float) -> None:
    """Drop facts and snapshots that no replay from ``before_s`` [s since 1970] on needs, the oldest first."""
    snapshots, facts = schema.snapshots, schema.journal
    base = connection.scalar(select(func.max(snapshots.c.seq)).where(snapshots.c.at_s <= before_s))
    first = connection.scalar(select(func.min(facts.c.seq)))
    if base is None or first is None:
        return
    connection.execute(delete(snapshots).where(snapshots.c.seq < base))
    until = min(base, first + PRUNED_FACTS)
    connection.execute(delete(facts).where(facts.c.seq < until))
    transactions.forget_readings(connection, until)


def _decode(seq: int, kind: str, body: str) -> Event:
    try:
        return decode(kind, body)
    except StoreError as error:
        raise StoreError(f"fact {seq} of the journal: {error}") from error
