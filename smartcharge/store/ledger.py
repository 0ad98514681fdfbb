"""Transaction numbers, for protocols whose server has to give them out (OCPP 1.6 StartTransaction)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from sqlalchemy import Engine, text

from smartcharge.model import StationId
from smartcharge.store.engine import writing
from smartcharge.store.transactions import storable

_FIND = text(
    "SELECT number FROM transaction_numbers"
    " WHERE station = :station AND connector = :connector AND started_at_s = :started_at_s AND id_token = :id_token"
)
# Without WHERE, SQLite takes ON for the condition of a join.
_GIVE = text(
    "INSERT INTO transaction_numbers (number, station, connector, started_at_s, id_token)"
    " SELECT COALESCE(MAX(number), 0) + 1, :station, :connector, :started_at_s, :id_token"
    " FROM transaction_numbers WHERE TRUE ON CONFLICT DO NOTHING"
)


class SqlLedger:
    """Implements `ports.Ledger`: numbers count up from 1, and no row is ever deleted, so none is given twice."""

    def __init__(self, engine: Engine) -> None:
        """Take up the ledger of a database whose schema is the newest."""
        self._engine = engine

    async def transaction_number(self, station: StationId, connector: int, started_at_s: float, id_token: str) -> int:
        """Return the number of a start, durable; the same one when its message is repeated.  Raises StoreError."""
        start = {
            "station": storable(station),
            "connector": connector,
            "started_at_s": started_at_s,
            "id_token": storable(id_token),
        }
        return await asyncio.to_thread(self._number, start)

    def _number(self, start: Mapping[str, object]) -> int:
        with writing(self._engine) as connection:
            # Somebody else may take the number, or give this very start one, between the two statements.
            while (number := connection.scalar(_FIND, start)) is None:
                connection.execute(_GIVE, start)
        return int(number)
