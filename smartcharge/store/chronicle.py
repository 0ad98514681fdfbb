"""The chronicle: the facts of the journal that availability is made of, kept for good.

They are few beside the readings, so they outlive the journal's own rows.  They are written in the
very commits that write the journal, each with the number that it has there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, Final

from sqlalchemy import Connection, Engine, insert, select

from smartcharge.events import (
    CarMeasured,
    Derated,
    Event,
    FaultCleared,
    FaultOrder,
    FaultRaised,
    FirmwareReported,
    OperatorOrder,
    Plugged,
    Restored,
    SecurityReported,
    SelfTested,
    ServiceNeeded,
    SiteFaultCleared,
    SiteFaultRaised,
    StationBooted,
    StationOffline,
    StationOnline,
    TransactionEnded,
    TransactionStarted,
    Unplugged,
    Watched,
)
from smartcharge.ports import Kept
from smartcharge.store.codec import decode
from smartcharge.store.engine import reading
from smartcharge.store.schema import chronicle

KEPT: Final[tuple[type[Event], ...]] = (
    StationBooted,
    StationOnline,
    StationOffline,
    FirmwareReported,
    SecurityReported,
    Plugged,
    Unplugged,
    TransactionStarted,
    TransactionEnded,
    FaultRaised,
    FaultCleared,
    Derated,
    Restored,
    SiteFaultRaised,
    SiteFaultCleared,
    ServiceNeeded,
    FaultOrder,
    OperatorOrder,
    SelfTested,
    CarMeasured,
    Watched,
)
_KINDS: Final = frozenset(cls.__name__ for cls in KEPT)


def keep(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Copy what is to be kept of rows just written to the journal."""
    kept = [row for row in rows if row["kind"] in _KINDS]
    if kept:
        connection.execute(insert(chronicle), kept)


class SqlChronicle:
    """Implements `ports.Chronicle` for one site; what is queued but not flushed is not in it yet."""

    def __init__(self, engine: Engine) -> None:
        """Ask a database whose schema is the newest."""
        self._engine = engine

    async def facts(self, since_s: float = -inf) -> list[Kept]:
        """Return what happened since a time [s since 1970], in the order in which it became known; StoreError."""
        return await asyncio.to_thread(self._facts, since_s)

    def _facts(self, since_s: float) -> list[Kept]:
        rows = select(chronicle.c.seq, chronicle.c.kind, chronicle.c.body)
        rows = rows if since_s == -inf else rows.where(chronicle.c.at_s >= since_s)
        with reading(self._engine) as connection:
            found = connection.execute(rows.order_by(chronicle.c.seq)).all()
        return [Kept(seq, decode(kind, body)) for seq, kind, body in found]
