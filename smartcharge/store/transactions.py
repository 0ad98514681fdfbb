"""Transactions and readings: what the journal says of them, kept ready to be asked for.

The tables are written in the very commits that write the journal, so they never disagree with it.
They hold facts only: a transaction whose end nobody reported has none, even if another began since.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias

from sqlalchemy import Connection, Engine, Row, Select, TextClause, delete, func, insert, select, text

from smartcharge.events import Event, Metered, TransactionEnded, TransactionStarted
from smartcharge.model import EvseId, Phases
from smartcharge.store.engine import reading
from smartcharge.store.schema import readings, transactions


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """What is known of one transaction; times [s since 1970] are when it became known here."""

    evse: EvseId
    transaction_id: str
    started_at_s: float | None
    """None if its start was never reported."""
    ended_at_s: float | None
    """None while it is open, or if its end was never reported."""
    id_token: str | None
    meter_start_wh: float | None
    """Register at its start, or the first one read in it."""
    meter_wh: float | None
    """Register at its end; the newest one while it is open or if its end told none."""
    reason: str | None

    @property
    def energy_wh(self) -> float | None:
        """Return the energy by the meter's register [Wh]; None if not known, or if the register ran backwards."""
        if self.meter_start_wh is None or self.meter_wh is None or self.meter_wh < self.meter_start_wh:
            return None
        return self.meter_wh - self.meter_start_wh


# A message may be repeated, so the first word on anything stands.
_START = text(
    "INSERT INTO transactions (evse, transaction_id, started_seq, started_at_s, id_token, meter_start_wh)"
    " VALUES (:evse, :transaction_id, :seq, :at_s, :id_token, :meter_wh)"
    " ON CONFLICT (evse, transaction_id) DO UPDATE SET"
    " started_seq = COALESCE(transactions.started_seq, excluded.started_seq),"
    " started_at_s = COALESCE(transactions.started_at_s, excluded.started_at_s),"
    " id_token = COALESCE(transactions.id_token, excluded.id_token),"
    " meter_start_wh = COALESCE(transactions.meter_start_wh, excluded.meter_start_wh)"
)
_END = text(
    "INSERT INTO transactions (evse, transaction_id, ended_at_s, meter_wh, reason)"
    " VALUES (:evse, :transaction_id, :at_s, :meter_wh, :reason)"
    " ON CONFLICT (evse, transaction_id) DO UPDATE SET"
    " meter_wh = CASE WHEN transactions.ended_at_s IS NULL"
    " THEN COALESCE(excluded.meter_wh, transactions.meter_wh)"
    " ELSE COALESCE(transactions.meter_wh, excluded.meter_wh) END,"
    " ended_at_s = COALESCE(transactions.ended_at_s, excluded.ended_at_s),"
    " reason = COALESCE(transactions.reason, excluded.reason)"
)
_METER = text(
    "UPDATE transactions SET meter_wh = :energy_wh, meter_start_wh = COALESCE(meter_start_wh, :energy_wh)"
    " WHERE evse = :evse AND ended_at_s IS NULL"
    " AND started_seq = (SELECT MAX(started_seq) FROM transactions WHERE evse = :evse)"
)

_Change: TypeAlias = tuple[TextClause, dict[str, Any]]


def project(connection: Connection, facts: Sequence[tuple[int, Event]]) -> None:
    """Bring both tables up to date with facts just written to the journal, each with its number there."""
    rows = [_reading_row(seq, event) for seq, event in facts if isinstance(event, Metered)]
    if rows:
        connection.execute(insert(readings), rows)
    changes = [change for seq, event in facts for change in _changes(seq, event)]
    # Their order matters; runs of the same statement go together because that is several times faster.
    for _, run in groupby(changes, key=lambda change: id(change[0])):
        alike = list(run)
        connection.execute(alike[0][0], [values for _, values in alike])


def _changes(seq: int, event: Event) -> Iterator[_Change]:
    match event:
        case TransactionStarted():
            yield (
                _START,
                {
                    "evse": event.evse,
                    "transaction_id": storable(event.transaction_id),
                    "seq": seq,
                    "at_s": event.at_s,
                    "id_token": storable(event.id_token),
                    "meter_wh": event.meter_wh,
                },
            )
        case TransactionEnded():
            yield (
                _END,
                {
                    "evse": event.evse,
                    "transaction_id": storable(event.transaction_id),
                    "at_s": event.at_s,
                    "meter_wh": event.meter_wh,
                    "reason": storable(event.reason),
                },
            )
        case Metered() if event.energy_wh is not None:
            yield _METER, {"evse": event.evse, "energy_wh": event.energy_wh}
        case _:
            pass


def _reading_row(seq: int, event: Metered) -> dict[str, Any]:
    l1_a, l2_a, l3_a = event.current_a or (None, None, None)
    return {
        "seq": seq, "evse": event.evse, "at_s": event.at_s, "l1_a": l1_a, "l2_a": l2_a, "l3_a": l3_a,
        "power_w": event.power_w, "energy_wh": event.energy_wh, "soc": event.soc,
    }  # fmt: skip


def storable(words: str | None) -> str | None:
    """Return text as a database column can hold it: what no encoding has, and NUL, become escapes.

    The journal itself keeps such text unchanged; a station's odd name must not stop a commit.
    """
    return None if words is None else words.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


class History:
    """Answers from the written facts; what is queued but not flushed is not in them yet.  All raise StoreError."""

    def __init__(self, engine: Engine) -> None:
        """Ask a database whose schema is the newest."""
        self._engine = engine

    async def open_transactions(self) -> list[Transaction]:
        """Return the transactions that go on: the newest of each EVSE, if its end was not reported."""
        newest = select(func.max(transactions.c.started_seq)).group_by(transactions.c.evse)
        is_open = transactions.c.ended_at_s.is_(None) & transactions.c.started_seq.in_(newest)
        return [
            _transaction(row)
            for row in await self._rows(transactions.select().where(is_open).order_by(transactions.c.started_seq))
        ]

    async def transactions(self, since_s: float, until_s: float) -> list[Transaction]:
        """Return the transactions that were going on at some time in [since_s, until_s), by their start."""
        began_s = func.coalesce(transactions.c.started_at_s, transactions.c.ended_at_s)
        is_within = (began_s < until_s) & (transactions.c.ended_at_s.is_(None) | (transactions.c.ended_at_s >= since_s))
        query = transactions.select().where(is_within).order_by(began_s, transactions.c.started_seq)
        return [_transaction(row) for row in await self._rows(query)]

    async def readings(self, evse: EvseId, since_s: float, until_s: float) -> list[Metered]:
        """Return what an EVSE measured in [since_s, until_s), in the order in which it became known."""
        is_within = (readings.c.evse == evse) & (readings.c.at_s >= since_s) & (readings.c.at_s < until_s)
        return [_metered(row) for row in await self._rows(readings.select().where(is_within).order_by(readings.c.seq))]

    async def _rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        def fetch() -> Sequence[Row[Any]]:
            with reading(self._engine) as connection:
                return connection.execute(query).all()

        return await asyncio.to_thread(fetch)


def forget_readings(connection: Connection, before_seq: int) -> None:
    """Drop the readings of facts that the journal drops; transactions stay."""
    connection.execute(delete(readings).where(readings.c.seq < before_seq))


def _transaction(row: Row[Any]) -> Transaction:
    values = row._asdict()
    del values["started_seq"]
    return Transaction(**values)


def _metered(row: Row[Any]) -> Metered:
    current_a = None if row.l1_a is None else Phases(row.l1_a, row.l2_a, row.l3_a)
    return Metered(
        at_s=row.at_s, evse=row.evse, current_a=current_a, power_w=row.power_w, energy_wh=row.energy_wh, soc=row.soc
    )
