from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import inspect

from smartcharge.controller import replay
from smartcharge.errors import StoreError
from smartcharge.events import Metered, StationOffline, TransactionStarted
from smartcharge.model import EvseId, Phases, StationId
from smartcharge.store import open_store, schema
from smartcharge.store.engine import connect
from tests.builders import row_of

FACTS = [
    StationOffline(at_s=100.0, station=StationId("S"), reason="connection closed"),
    TransactionStarted(at_s=110.0, evse=EvseId("A"), transaction_id="1", id_token="tag", meter_wh=1000.0),
    Metered(at_s=120.0, evse=EvseId("A"), current_a=Phases(16.0, 0.0, 0.0), power_w=3680.0, energy_wh=1500.0),
]
SITE = row_of(1)
OLD_SCHEMAS = sorted((Path(__file__).parent / "schemas").glob("v*.sql"))


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as raw:
        return int(raw.execute("SELECT number FROM schema_version").fetchone()[0])


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as raw:
        return {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


class TestOldDatabases:
    def test_there_is_one_of_every_schema_but_the_newest(self) -> None:
        assert [path.stem for path in OLD_SCHEMAS] == [f"v{number}" for number, _ in schema.MIGRATIONS[:-1]]

    @pytest.mark.parametrize("dump", OLD_SCHEMAS, ids=lambda path: path.stem)
    def test_everything_in_them_is_found_and_goes_on(self, dump: Path, tmp_path: Path) -> None:
        path = tmp_path / "old.db"
        with closing(sqlite3.connect(path)) as raw:
            raw.executescript(dump.read_text())

        async def scenario() -> None:
            async with open_store(f"sqlite:///{path}") as store:
                assert list(store.journal.load()) == FACTS
                assert await store.ledger.transaction_number(StationId("S"), 1, 105.0, "tag") == 1
                assert await store.ledger.transaction_number(StationId("S"), 1, 106.0, "tag") == 2
                [transaction] = await store.history.open_transactions()
                assert (transaction.transaction_id, transaction.energy_wh) == ("1", 500.0)
                assert await store.history.readings(EvseId("A"), 0.0, 200.0) == FACTS[2:]
                assert await store.chronicle.facts() == list(enumerate(FACTS[:2], 1))
                store.journal.snapshot(replay(store.journal.resume(SITE), store.journal.load()))
                await store.journal.flush()
                assert store.journal.resume(SITE).at_s == 120.0

        asyncio.run(scenario())
        assert version(path) == schema.MIGRATIONS[-1][0]


class TestSteps:
    def test_the_tables_made_are_the_tables_used(self, url: str) -> None:
        engine = connect(url)
        schema.upgrade(engine)
        found = inspect(engine)
        made = {name: {column["name"] for column in found.get_columns(name)} for name in found.get_table_names()}
        used = {name: set(table.columns.keys()) for name, table in schema._metadata.tables.items()}
        engine.dispose()
        numbers = made.pop("transaction_numbers")
        assert numbers == {"number", "station", "connector", "started_at_s", "id_token"}
        assert made == used

    def test_who_opens_a_new_database_at_the_same_time_waits(self, lasting_url: str) -> None:
        with ThreadPoolExecutor(8) as pool:
            for store in pool.map(open_store, [lasting_url] * 8):
                asyncio.run(store.close())

    def test_numbers_count_up(self) -> None:
        assert [number for number, _ in schema.MIGRATIONS] == list(range(1, len(schema.MIGRATIONS) + 1))

    def test_a_new_step_is_taken_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "site.db"
        asyncio.run(open_store(f"sqlite:///{path}").close())
        extra = (99, ("CREATE TABLE extra (number BIGINT)", "INSERT INTO extra VALUES (1)"))
        monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, extra))
        for _ in range(2):
            asyncio.run(open_store(f"sqlite:///{path}").close())
        assert version(path) == 99
        with closing(sqlite3.connect(path)) as raw:
            assert raw.execute("SELECT number FROM extra").fetchall() == [(1,)]

    @pytest.mark.parametrize("is_new", [True, False], ids=["new", "old"])
    def test_a_step_that_fails_leaves_the_database_as_it_was(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_new: bool
    ) -> None:
        path = tmp_path / "site.db"
        if not is_new:
            asyncio.run(open_store(f"sqlite:///{path}").close())
        before = tables(path)
        broken = (99, ("CREATE TABLE extra (number BIGINT)", "DROP TABLE journal", "NONSENSE"))
        monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, broken))
        with pytest.raises(StoreError, match="NONSENSE"):
            open_store(f"sqlite:///{path}")
        assert tables(path) == before
        assert is_new or version(path) == schema.MIGRATIONS[-2][0]

    def test_a_database_of_a_newer_version_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "site.db"
        asyncio.run(open_store(f"sqlite:///{path}").close())
        with closing(sqlite3.connect(path)) as raw, raw:
            raw.execute("UPDATE schema_version SET number = 999")
        with pytest.raises(StoreError, match=r"site\.db was written by a newer smartcharge: it has schema 999"):
            open_store(f"sqlite:///{path}")
        assert version(path) == 999

    def test_a_database_of_something_else_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "music.db"
        with closing(sqlite3.connect(path)) as raw, raw:
            raw.execute("CREATE TABLE albums (title TEXT)")
        with pytest.raises(StoreError, match="belongs to something else: it has a table 'albums'"):
            open_store(f"sqlite:///{path}")
        assert tables(path) == {"albums"}
