from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from math import isnan
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError

from smartcharge.errors import StoreError
from smartcharge.events import Event, NeedStated, TransactionStarted
from smartcharge.model import EvseId
from smartcharge.store import Store, open_store
from smartcharge.store import journal as journal_module


def started(transaction_id: str = "1", meter_wh: float | None = None) -> TransactionStarted:
    return TransactionStarted(at_s=0.0, evse=EvseId("A"), transaction_id=transaction_id, meter_wh=meter_wh)


def need(number: int, at_s: float | None = None) -> NeedStated:
    """A fact that can be told from all others."""
    return NeedStated(at_s=float(number) if at_s is None else at_s, evse=EvseId("A"), priority=number)


def numbers(store: Store) -> list[int | None]:
    return [fact.priority for fact in store.journal.load() if isinstance(fact, NeedStated)]


@contextmanager
def broken_commits(engine: Engine) -> Iterator[list[int]]:
    """Every commit fails as with a broken disk; the list counts them."""
    attempts: list[int] = []

    def fail(_connection: object) -> None:
        attempts.append(1)
        raise OperationalError("COMMIT", {}, sqlite3.OperationalError("disk I/O error"))

    event.listen(engine, "commit", fail)
    try:
        yield attempts
    finally:
        event.remove(engine, "commit", fail)


class TestWhatIsFlushedStays:
    def test_facts_come_back_in_order_however_they_were_flushed(self, url: str) -> None:
        async def scenario() -> None:
            async with open_store(url) as store:
                for number in range(30):
                    store.journal.append(need(number))
                    if number % 7 == 0:
                        await store.journal.flush()
                await store.journal.flush()
                assert numbers(store) == list(range(30))

        asyncio.run(scenario())

    def test_a_new_journal_is_empty_and_its_flush_has_nothing_to_do(self, url: str) -> None:
        async def scenario() -> None:
            async with open_store(url) as store:
                await store.journal.flush()
                assert list(store.journal.load()) == []
                assert store.journal.load_snapshot() is None

        asyncio.run(scenario())

    def test_a_reopened_journal_goes_on(self, file_url: str) -> None:
        async def write(first: int) -> None:
            async with open_store(file_url) as store:
                assert numbers(store) == list(range(first))
                for number in range(first, first + 5):
                    store.journal.append(need(number))
                await store.journal.flush()

        for first in (0, 5, 10):
            asyncio.run(write(first))

    def test_closing_writes_what_is_queued(self, file_url: str) -> None:
        async def write() -> None:
            async with open_store(file_url) as store:
                store.journal.append(need(0))

        async def read() -> list[int | None]:
            async with open_store(file_url) as store:
                return numbers(store)

        asyncio.run(write())
        assert asyncio.run(read()) == [0]

    def test_loading_pages_through_a_long_journal(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(journal_module, "PAGE_ROWS", 7)

        async def scenario() -> None:
            async with open_store(url) as store:
                for number in range(21):
                    store.journal.append(need(number))
                await store.journal.flush()
                assert numbers(store) == list(range(21))
                # A load that is given up half-way holds nothing that a commit needs.
                half_way = store.journal.load()
                next(half_way)
                store.journal.append(need(21))
                await store.journal.flush()
                assert len(numbers(store)) == 22

        asyncio.run(scenario())

    @settings(max_examples=30, deadline=None)
    @given(facts=st.lists(st.one_of([st.from_type(cls) for cls in get_args(Event)]), max_size=20))
    def test_no_fact_that_is_queued_can_stop_a_commit(self, facts: list[Event]) -> None:
        async def scenario() -> None:
            async with open_store("sqlite://") as store:
                queued = []
                for fact in facts:
                    if not isnan(fact.at_s):
                        store.journal.append(fact)
                        queued.append(fact)
                await store.journal.flush()
                assert list(map(repr, store.journal.load())) == list(map(repr, queued))

        asyncio.run(scenario())


class TestUnreadableFactsAreRefused:
    @pytest.mark.parametrize(
        ("fact", "says"),
        [
            (need(1, at_s=float("nan")), "has no time"),
            (started(42), "transaction_id: expected text, got 42"),  # type: ignore[arg-type]
            (started(meter_wh=10**400), "meter_wh: a number too large"),
            ("plugged", "str is not an event"),
        ],
    )  # fmt: skip
    def test_nothing_is_queued(self, url: str, fact: Event, says: str) -> None:
        async def scenario() -> None:
            async with open_store(url) as store:
                with pytest.raises(StoreError, match=says):
                    store.journal.append(fact)
                assert store.journal.queued == 0
                store.journal.append(need(1))
                await store.journal.flush()
                assert numbers(store) == [1]

        asyncio.run(scenario())

    def test_a_row_that_cannot_be_read_is_named(self, url: str) -> None:
        async def scenario() -> None:
            async with open_store(url) as store:
                store.journal.append(need(1))
                await store.journal.flush()
                with store._engine.begin() as connection:
                    connection.exec_driver_sql("UPDATE journal SET kind = 'Gone'")
                with pytest.raises(StoreError, match="fact 1 of the journal: 'Gone' is not a known kind"):
                    list(store.journal.load())

        asyncio.run(scenario())


class TestGroupCommit:
    def test_all_who_wait_share_one_commit(self, url: str) -> None:
        async def scenario() -> None:
            async with open_store(url) as store:
                commits: list[int] = []
                event.listen(store._engine, "commit", lambda _: commits.append(1))

                async def tell(number: int) -> None:
                    store.journal.append(need(number))
                    await store.journal.flush()

                await asyncio.gather(*(tell(number) for number in range(100)))
                assert numbers(store) == list(range(100))
                assert len(commits) == 1

        asyncio.run(scenario())

    def test_what_is_queued_during_a_commit_waits_for_the_next(self, url: str) -> None:
        async def scenario() -> None:
            async with open_store(url) as store:
                entered, released = threading.Event(), threading.Event()

                def hold(_connection: object) -> None:
                    entered.set()
                    assert released.wait(30)

                event.listen(store._engine, "commit", hold)
                store.journal.append(need(0))
                first = asyncio.create_task(store.journal.flush())
                await asyncio.to_thread(entered.wait, 30)
                store.journal.append(need(1))
                second = asyncio.create_task(store.journal.flush())
                assert store.journal.queued == 2
                released.set()
                await first
                await second
                assert store.journal.queued == 0
                assert numbers(store) == [0, 1]

        asyncio.run(scenario())

    def test_one_who_gives_up_does_not_take_the_others_commit_along(self, url: str) -> None:
        async def scenario() -> None:
            async with open_store(url) as store:
                store.journal.append(need(0))
                impatient, patient = (asyncio.create_task(store.journal.flush()) for _ in range(2))
                await asyncio.sleep(0)
                impatient.cancel()
                await patient
                assert impatient.cancelled()
                assert numbers(store) == [0]

        asyncio.run(scenario())

    def test_a_commit_that_outlives_its_loop_counts_once(self, file_url: str) -> None:
        store = open_store(file_url)
        entered, released = threading.Event(), threading.Event()

        def hold(_connection: object) -> None:
            entered.set()
            assert released.wait(30)

        async def release_at_the_end() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                released.set()

        async def ends_early() -> tuple[asyncio.Task[None], ...]:
            store.journal.append(need(0))
            store.journal.append(need(1))
            tasks = asyncio.create_task(store.journal.flush()), asyncio.create_task(release_at_the_end())
            await asyncio.to_thread(entered.wait, 30)
            return tasks

        async def goes_on() -> None:
            async with store:
                store.journal.append(need(2))
                await store.journal.flush()
                assert numbers(store) == [0, 1, 2]

        event.listen(store._engine, "commit", hold)
        flush, _ = asyncio.run(ends_early())
        assert flush.cancelled()
        asyncio.run(goes_on())


class TestNothingIsLostWhenACommitFails:
    def test_everybody_is_told_and_the_next_flush_writes_it_all_in_order(self, url: str) -> None:
        async def scenario() -> None:
            async with open_store(url) as store:
                with broken_commits(store._engine) as attempts:
                    for number in range(3):
                        store.journal.append(need(number))
                    told = await asyncio.gather(*(store.journal.flush() for _ in range(4)), return_exceptions=True)
                    assert [str(error) for error in told] == [str(told[0])] * 4
                    assert all(isinstance(error, StoreError) and "disk I/O error" in str(error) for error in told)
                    assert len(attempts) == 1
                    assert store.journal.queued == 3
                    assert numbers(store) == []
                store.journal.append(need(3))
                await store.journal.flush()
                assert numbers(store) == [0, 1, 2, 3]
                assert store.journal.queued == 0

        asyncio.run(scenario())

    def test_closing_says_so_and_still_lets_the_database_go(self, file_url: str) -> None:
        async def scenario() -> None:
            store = open_store(file_url)
            with broken_commits(store._engine):
                store.journal.append(need(0))
                with pytest.raises(StoreError, match="disk I/O error"):
                    await store.close()

        asyncio.run(scenario())

    def test_a_full_disk_is_named_and_gets_over_it(self, file_url: str) -> None:
        async def scenario() -> None:
            async with open_store(file_url) as store:
                engine = store._engine

                def pages(limit: int) -> None:
                    @event.listens_for(engine, "checkout")
                    def restrict(connection: sqlite3.Connection, *_: object) -> None:
                        connection.execute(f"PRAGMA max_page_count = {limit}").close()

                pages(1)
                for number in range(2000):
                    store.journal.append(need(number))
                with pytest.raises(StoreError, match="the disk is full"):
                    await store.journal.flush()
                pages(1_000_000)
                await store.journal.flush()
                assert numbers(store) == list(range(2000))

        asyncio.run(scenario())

    def test_two_writers_are_one_too_many(self, file_url: str) -> None:
        async def scenario() -> None:
            store, intruder = open_store(file_url), open_store(file_url)
            intruder.journal.append(need(0))
            await intruder.close()
            store.journal.append(need(1))
            with pytest.raises(StoreError, match="by another process"):
                await store.journal.flush()
            assert numbers(store) == [0]
            with pytest.raises(StoreError, match="by another process"):
                await store.close()

        asyncio.run(scenario())


class TestSnapshotsBoundTheJournal:
    def test_load_goes_on_from_the_newest(self, url: str) -> None:
        async def scenario() -> None:
            async with open_store(url) as store:
                store.journal.append(need(0))
                store.journal.snapshot("sum=0")
                store.journal.append(need(1))
                store.journal.snapshot("sum=1")
                store.journal.append(need(2))
                assert store.journal.load_snapshot() is None
                await store.journal.flush()
                assert store.journal.load_snapshot() == "sum=1"
                assert numbers(store) == [2]

        asyncio.run(scenario())

    @given(
        priorities=st.lists(st.integers(0, 9), max_size=30),
        snapshots=st.sets(st.integers(0, 29)),
        flushes=st.sets(st.integers(0, 29)),
        before=st.integers(0, 31),
    )
    @settings(max_examples=40, deadline=None)
    def test_the_fold_is_the_same_with_snapshots_and_without(
        self, priorities: list[int], snapshots: set[int], flushes: set[int], before: int
    ) -> None:
        def fold(state: str, fact: Event) -> str:
            assert isinstance(fact, NeedStated)
            return f"{state}{fact.priority}"

        async def scenario() -> None:
            async with open_store("sqlite://") as store:
                state = ""
                for index, priority in enumerate(priorities):
                    fact = need(priority, at_s=float(index))
                    store.journal.append(fact)
                    state = fold(state, fact)
                    if index in snapshots:
                        store.journal.snapshot(state)
                    if index in flushes:
                        await store.journal.flush()
                await store.journal.flush()
                await store.journal.prune(float(before))
                replayed = store.journal.load_snapshot() or ""
                for written in store.journal.load():
                    replayed = fold(replayed, written)
                assert replayed == state

        asyncio.run(scenario())

    def test_only_old_facts_behind_a_snapshot_are_dropped(self, url: str) -> None:
        async def scenario() -> None:
            async with open_store(url) as store:
                for number in range(4):
                    store.journal.append(need(number))
                await store.journal.flush()
                assert await store.journal.prune(100.0) == 0
                store.journal.snapshot("four")
                store.journal.append(need(4))
                await store.journal.flush()
                assert await store.journal.prune(2.0) == 2
                assert await store.journal.prune(100.0) == 2
                assert numbers(store) == [4]

        asyncio.run(scenario())

    def test_numbers_go_on_where_everything_was_dropped(self, file_url: str) -> None:
        async def empty() -> None:
            async with open_store(file_url) as store:
                for number in range(5):
                    store.journal.append(need(number))
                store.journal.snapshot("five")
                await store.journal.flush()
                assert await store.journal.prune(100.0) == 5

        async def go_on() -> None:
            async with open_store(file_url) as store:
                store.journal.append(need(5))
                await store.journal.flush()
                assert store.journal.load_snapshot() == "five"
                assert numbers(store) == [5]

        asyncio.run(empty())
        asyncio.run(go_on())

    def test_text_that_no_column_holds_is_refused(self, url: str) -> None:
        async def scenario() -> None:
            async with open_store(url) as store:
                with pytest.raises(StoreError, match="ASCII"):
                    store.journal.snapshot("\ud800")
                assert store.journal.queued == 0

        asyncio.run(scenario())
