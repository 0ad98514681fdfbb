from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from smartcharge.errors import StoreError
from smartcharge.events import StationOnline
from smartcharge.model import StationId
from smartcharge.store import open_store


class TestOneClearSentence:
    def test_not_a_database(self, tmp_path: Path) -> None:
        path = tmp_path / "site.toml"
        path.write_text("[site]\n" * 500)
        with pytest.raises(StoreError, match=r"site\.toml is not a database$"):
            open_store(f"sqlite:///{path}")
        assert path.read_text() == "[site]\n" * 500

    def test_no_such_folder(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match=r"cannot be opened: its folder must exist"):
            open_store(f"sqlite:///{tmp_path / 'nowhere' / 'site.db'}")

    def test_a_folder_is_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match=r"cannot be opened"):
            open_store(f"sqlite:///{tmp_path}")

    def test_read_only(self, tmp_path: Path) -> None:
        path = tmp_path / "site.db"
        asyncio.run(open_store(f"sqlite:///{path}").close())

        async def scenario() -> None:
            store = open_store(f"sqlite:///file:{path}?mode=ro&uri=true")
            assert list(store.journal.load()) == [], "it can be replayed"
            store.journal.append(StationOnline(at_s=1.0, station=StationId("S")))
            with pytest.raises(StoreError, match=r"is read-only$"):
                await store.close()

        asyncio.run(scenario())

    @pytest.mark.parametrize(
        ("url", "says"),
        [
            ("site.db", "Could not parse"),
            ("carrierpigeon://loft", "carrierpigeon"),
            ("oracle://host/db", "oracledb|cx_Oracle"),
        ],
    )
    def test_an_url_that_names_no_database(self, url: str, says: str) -> None:
        with pytest.raises(StoreError, match=rf"^no database to be had from the store's URL: .*({says})"):
            open_store(url)


class TestLocked:
    def test_while_opening(self, tmp_path: Path) -> None:
        path = tmp_path / "site.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(StoreError, match=r"site\.db\?timeout=0\.01 is held by another process$"):
                open_store(f"sqlite:///{path}?timeout=0.01")

    def test_while_writing_and_it_goes_on_once_released(self, tmp_path: Path) -> None:
        path = tmp_path / "site.db"

        async def scenario() -> None:
            async with open_store(f"sqlite:///{path}?timeout=0.01") as store:
                fact = StationOnline(at_s=1.0, station=StationId("S"))
                store.journal.append(fact)
                with closing(sqlite3.connect(path, isolation_level=None)) as other:
                    other.execute("BEGIN IMMEDIATE")
                    for write in (
                        store.journal.flush(),
                        store.ledger.transaction_number(StationId("S"), 1, 0.0, "tag"),
                    ):
                        with pytest.raises(StoreError, match="is held by another process"):
                            await write
                    assert list(store.journal.load()) == [], "readers do not wait for a writer"
                await store.journal.flush()
                assert list(store.journal.load()) == [fact]

        asyncio.run(scenario())


class TestDurable:
    def test_commits_are_synced_to_a_write_ahead_log(self, file_url: str) -> None:
        async def scenario() -> None:
            async with open_store(file_url) as store:
                with store._engine.connect() as connection:
                    settings = {
                        name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                        for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
                    }
                full = 2
                assert settings == {
                    "journal_mode": "wal",
                    "synchronous": full,
                    "foreign_keys": 1,
                    "busy_timeout": 5000,
                }

        asyncio.run(scenario())

    def test_an_error_in_the_block_still_writes_what_was_queued(self, file_url: str) -> None:
        fact = StationOnline(at_s=1.0, station=StationId("S"))

        async def fails() -> None:
            async with open_store(file_url) as store:
                store.journal.append(fact)
                raise RuntimeError("elsewhere")

        async def read() -> None:
            async with open_store(file_url) as store:
                assert list(store.journal.load()) == [fact]

        with pytest.raises(RuntimeError, match="elsewhere"):
            asyncio.run(fails())
        asyncio.run(read())
