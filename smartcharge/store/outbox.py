"""What waits for the operator's back-end, and what it calls the transactions of a station that has no name for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

from sqlalchemy import Connection, Engine, text

from smartcharge.model import StationId
from smartcharge.ports import Waiting
from smartcharge.store.engine import reading, writing
from smartcharge.store.transactions import storable

T = TypeVar("T")

_PUT = text(
    "INSERT INTO outbox (number, station, action, body)"
    " SELECT COALESCE(MAX(number), 0) + 1, :station, :action, :body FROM outbox"
)
_NEWEST = text("SELECT MAX(number) FROM outbox WHERE station = :station")
_WAITING = text("SELECT number, action, body FROM outbox WHERE station = :station ORDER BY number")
_DONE = text("DELETE FROM outbox WHERE number = :number")
_PAIR = text(
    "INSERT INTO backend_transactions (station, ours, theirs) VALUES (:station, :ours, :theirs)"
    " ON CONFLICT (station, ours) DO UPDATE SET theirs = excluded.theirs"
)
_THEIRS = text("SELECT theirs FROM backend_transactions WHERE station = :station AND ours = :number")
_OURS = text("SELECT ours FROM backend_transactions WHERE station = :station AND theirs = :number ORDER BY ours DESC")

_KEEP = text(
    "INSERT INTO backend_memory (owner, name, body) VALUES (:owner, :name, :body)"
    " ON CONFLICT (owner, name) DO UPDATE SET body = excluded.body"
)
_DROP = text("DELETE FROM backend_memory WHERE owner = :owner AND name = :name")
_KEPT = text("SELECT name, body FROM backend_memory WHERE owner = :owner ORDER BY name")


class SqlOutbox:
    """Implements `ports.Outbox`; every word is durable when a call returns.  All raise StoreError."""

    def __init__(self, engine: Engine) -> None:
        """Take up the outbox of a database whose schema is the newest."""
        self._engine = engine

    async def put(self, station: StationId, action: str, body: str) -> int:
        """Add a message at the end and return its number."""

        def add(connection: Connection) -> int:
            connection.execute(_PUT, {"station": station, "action": action, "body": storable(body)})
            return int(connection.scalar(_NEWEST, {"station": station}) or 0)

        return await self._write(add)

    async def waiting(self, station: StationId) -> list[Waiting]:
        """Return what waits, oldest first."""

        def read() -> list[Waiting]:
            with reading(self._engine) as connection:
                return [Waiting(*row) for row in connection.execute(_WAITING, {"station": station})]

        return await asyncio.to_thread(read)

    async def done(self, number: int) -> None:
        """Forget a message that was answered."""
        await self._write(lambda connection: connection.execute(_DONE, {"number": number}))

    async def pair(self, station: StationId, ours: int, theirs: int) -> None:
        """Note what the back-end calls a transaction."""
        values = {"station": station, "ours": ours, "theirs": theirs}
        await self._write(lambda connection: connection.execute(_PAIR, values))

    async def theirs(self, station: StationId, ours: int) -> int | None:
        """Return what the back-end calls a transaction of ours; None if it has not said."""
        return await self._find({"station": station, "number": ours}, is_theirs=True)

    async def ours(self, station: StationId, theirs: int) -> int | None:
        """Return what we call a transaction of the back-end's; None if we do not know it."""
        return await self._find({"station": station, "number": theirs}, is_theirs=False)

    async def keep(self, owner: str, name: str, body: str) -> None:
        """Write down what a back-end said, in place of what it said before under the same name."""
        values = {"owner": owner, "name": storable(name), "body": storable(body)}
        await self._write(lambda connection: connection.execute(_KEEP, values))

    async def drop(self, owner: str, name: str) -> None:
        """Forget what a back-end said under a name."""
        await self._write(lambda connection: connection.execute(_DROP, {"owner": owner, "name": storable(name)}))

    async def kept(self, owner: str) -> dict[str, str]:
        """Return what back-ends said and what was not dropped, by name."""

        def read() -> dict[str, str]:
            with reading(self._engine) as connection:
                return {row.name: row.body for row in connection.execute(_KEPT, {"owner": owner})}

        return await asyncio.to_thread(read)

    async def _find(self, values: Mapping[str, object], *, is_theirs: bool) -> int | None:
        def read() -> int | None:
            with reading(self._engine) as connection:
                found = connection.scalar(_THEIRS if is_theirs else _OURS, values)
            return None if found is None else int(found)

        return await asyncio.to_thread(read)

    async def _write(self, change: Callable[[Connection], T]) -> T:
        def write() -> T:
            with writing(self._engine) as connection:
                return change(connection)

        return await asyncio.to_thread(write)
