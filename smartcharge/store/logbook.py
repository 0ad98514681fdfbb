"""The logbook: what maintenance wrote down, added to by whoever has something to add, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from sqlalchemy import Connection, Engine, insert, select, text

from smartcharge.codec import Encoded
from smartcharge.ports import Written
from smartcharge.store.engine import reading, writing
from smartcharge.store.schema import logbook, told

_TELL = text(
    "INSERT INTO told (listener, number) VALUES (:listener, :number)"
    " ON CONFLICT (listener) DO UPDATE SET number = excluded.number"
)


class SqlLogbook:
    """Implements `ports.Logbook`; the controller and people at the command line write side by side.  StoreError."""

    def __init__(self, engine: Engine) -> None:
        """Take up the logbook of a database whose schema is the newest."""
        self._engine = engine

    async def lines(self, after: int = 0) -> list[Written]:
        """Return what was written after a number, oldest first."""

        def read() -> list[Written]:
            with reading(self._engine) as connection:
                return _lines(connection, after)

        return await asyncio.to_thread(read)

    async def write(self, decide: Callable[[Sequence[Written]], Sequence[tuple[float, Encoded]]]) -> list[Written]:
        """Add what ``decide`` makes of all that is written; nobody else writes meanwhile.  Return what was added.

        ``decide`` runs in a worker and returns each line with its time [s since 1970]; what it raises is raised here,
        and then nothing was written.
        """
        return await asyncio.to_thread(self._write, decide)

    def _write(self, decide: Callable[[Sequence[Written]], Sequence[tuple[float, Encoded]]]) -> list[Written]:
        with writing(self._engine) as connection:
            if connection.dialect.name == "postgresql":  # SQLite locked the whole file when the transaction began
                connection.execute(text("LOCK TABLE logbook IN SHARE ROW EXCLUSIVE MODE"))
            before = _lines(connection, 0)
            number = before[-1].number if before else 0
            added = [Written(number + i, at_s, *line) for i, (at_s, line) in enumerate(decide(before), 1)]
            if added:
                connection.execute(insert(logbook), [line._asdict() for line in added])
        return added

    async def told(self, listener: str) -> int:
        """Return up to which number a listener was told; 0 for nothing yet."""

        def read() -> int:
            with reading(self._engine) as connection:
                return connection.scalar(select(told.c.number).where(told.c.listener == listener)) or 0

        return await asyncio.to_thread(read)

    async def tell(self, listener: str, number: int) -> None:
        """Write down that a listener was told up to a number."""

        def write() -> None:
            with writing(self._engine) as connection:
                connection.execute(_TELL, {"listener": listener, "number": number})

        await asyncio.to_thread(write)


def _lines(connection: Connection, after: int) -> list[Written]:
    rows = select(logbook.c.number, logbook.c.at_s, logbook.c.kind, logbook.c.body).where(logbook.c.number > after)
    return [Written(*row) for row in connection.execute(rows.order_by(logbook.c.number))]
