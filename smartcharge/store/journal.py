"""The journal: facts in the order in which they became state, written many to a commit."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from math import isnan
from threading import Lock
from typing import TypeAlias

from sqlalchemy import Connection, Engine, delete, func, insert, select

from smartcharge.errors import StoreError
from smartcharge.events import Event
from smartcharge.store import schema
from smartcharge.store.codec import decode, encode
from smartcharge.store.engine import reading, writing
from smartcharge.store.transactions import project

PAGE_ROWS = 2000
"""Rows read at once while loading, so that a long journal does not have to fit in memory."""


@dataclass(frozen=True, slots=True)
class _Fact:
    seq: int
    event: Event
    kind: str
    body: str


@dataclass(frozen=True, slots=True)
class _Snapshot:
    seq: int
    body: str


_Entry: TypeAlias = _Fact | _Snapshot


class SqlJournal:
    """Implements `ports.Journal`: state is the fold of what is written here (I5).

    Facts are numbered when they are queued, and a commit writes the head of the queue, so what
    survives a crash is always a prefix of what was appended.  A commit that fails leaves everything
    queued, and the next `flush` tries again.

    *Growth.*  The fold needs every reading (a frozen meter, an obedient car and energy without a
    register are all told by many), so no fact may be dropped for its kind.  Instead, `snapshot` puts a
    state between the facts: `load` goes on from there, and `prune` drops old facts before it.
    """

    def __init__(self, engine: Engine) -> None:
        """Take up the journal of a database whose schema is the newest; raises StoreError."""
        self._engine = engine
        with reading(engine) as connection:
            ends = [connection.scalar(select(func.max(t.c.seq))) for t in (schema.journal, schema.snapshots)]
        self._queued: deque[_Entry] = deque()
        self._appended = self._written = max(end or 0 for end in ends)
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

    def snapshot(self, body: str) -> None:
        """Queue the state, as ASCII text of the caller's making, that stands for every fact appended so far."""
        if not body.isascii():
            raise StoreError("a snapshot must be ASCII text")
        self._queued.append(_Snapshot(self._appended + 1, body))
        self._appended += 1

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

    def load(self) -> Iterator[Event]:
        """Yield the facts written after the newest snapshot (all, if there is none), oldest first.

        Raises StoreError, also for a fact that cannot be read.
        """
        seq, _ = self._newest_snapshot()
        facts = schema.journal.c
        while True:
            page = select(facts.seq, facts.kind, facts.body).where(facts.seq > seq).order_by(facts.seq).limit(PAGE_ROWS)
            with reading(self._engine) as connection:
                rows = connection.execute(page).all()
            if not rows:
                return
            for seq, kind, body in rows:
                yield _decode(seq, kind, body)

    def load_snapshot(self) -> str | None:
        """Return the newest snapshot, from which `load` goes on; None if there is none."""
        _, body = self._newest_snapshot()
        return body

    async def prune(self, before_s: float) -> int:
        """Drop facts from before a time [s since 1970] that the newest snapshot stands for; return how many.

        `load` gives the same before and after.  Raises StoreError.
        """
        return await asyncio.to_thread(self._prune, before_s)

    def _prune(self, before_s: float) -> int:
        seq, _ = self._newest_snapshot()
        old = delete(schema.journal).where(schema.journal.c.seq < seq, schema.journal.c.at_s < before_s)
        with writing(self._engine) as connection:
            return connection.execute(old).rowcount

    def _newest_snapshot(self) -> tuple[int, str | None]:
        newest = (
            select(schema.snapshots.c.seq, schema.snapshots.c.body).order_by(schema.snapshots.c.seq.desc()).limit(1)
        )
        with reading(self._engine) as connection:
            row = connection.execute(newest).first()
        return (0, None) if row is None else (row.seq, row.body)

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
                    project(connection, [(f.seq, f.event) for f in facts])
                if snapshots:
                    newest = snapshots[-1]
                    connection.execute(delete(schema.snapshots))
                    connection.execute(insert(schema.snapshots).values(seq=newest.seq, body=newest.body))
            self._written = new[-1].seq

    def _refuse_other_writers(self, connection: Connection) -> None:
        end = connection.scalar(select(func.max(schema.journal.c.seq)))
        if end is not None and end > self._written:
            raise StoreError(f"fact {end} was written by another process: a journal has one writer")


def _decode(seq: int, kind: str, body: str) -> Event:
    try:
        return decode(kind, body)
    except StoreError as error:
        raise StoreError(f"fact {seq} of the journal: {error}") from error
