"""The store as a whole: one database, opened once."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from sqlalchemy import Engine

from smartcharge.errors import StoreError
from smartcharge.store.chronicle import SqlChronicle
from smartcharge.store.engine import connect
from smartcharge.store.journal import KEEP_S, SqlJournal
from smartcharge.store.ledger import SqlLedger
from smartcharge.store.logbook import SqlLogbook
from smartcharge.store.network import Mirror
from smartcharge.store.outbox import SqlOutbox
from smartcharge.store.schema import upgrade
from smartcharge.store.transactions import History


class Store:
    """An open database; as an async context manager it writes what is queued and closes."""

    def __init__(self, engine: Engine, keep_s: float = KEEP_S) -> None:
        """Bring the schema up to date and take up what is there; raises StoreError."""
        upgrade(engine)
        self._engine = engine
        self.journal = SqlJournal(engine, keep_s)
        self.chronicle = SqlChronicle(engine)
        self.logbook = SqlLogbook(engine)
        self.ledger = SqlLedger(engine)
        self.outbox = SqlOutbox(engine)
        self.history = History(engine)

    def mirror(self, site: str, description: str, url: str) -> Mirror:
        """Return what copies this site's chronicle and logbook to a network's database."""
        return Mirror(self._engine, site, description, url)

    async def close(self) -> None:
        """Write what is queued and let the database go; raises StoreError if it could not be written."""
        try:
            await self.journal.flush()
        finally:
            self._engine.dispose()

    async def __aenter__(self) -> Self:
        """Return the store itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()


def open_store(url: str, keep_s: float = KEEP_S) -> Store:
    """Open the database at a URL, creating or upgrading it: ``sqlite:///site.db``, ``sqlite://`` for memory.

    The journal reaches back ``keep_s`` [s] or more.  Blocks while it opens.  Raises StoreError in one sentence: not
    a database, written by a newer version, held by another process, disk full, folder missing.
    """
    engine = connect(url)
    try:
        return Store(engine, keep_s)
    except StoreError:
        engine.dispose()
        raise
