from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import replace
from math import inf, isnan
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event, func, select
from sqlalchemy.exc import OperationalError

from smartcharge.control.state import State, apply
from smartcharge.controller import replay
from smartcharge.errors import StoreError
from smartcharge.events import Event, FaultRaised, NeedStated, StationOnline, TransactionStarted, Watched
from smartcharge.model import EvseId
from smartcharge.store import Store, open_store, schema
from smartcharge.store import journal as journal_module
from tests.builders import row_of


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


SITE = row_of(1)
EVSE = SITE.evses[0].id


def wish(number: int) -> NeedStated:
    """A fact that the state of `SITE` shows."""
    return NeedStated(at_s=float(number), evse=EVSE, priority=number)


def wished(state: State) -> tuple[float, int | None]:
    need = state.evses[EVSE].need
    return state.at_s, None if need is None else need.priority


async def short_journal(store: Store, count: int, snapshots: AbstractSet[int]) -> State:
    """Write facts 0, 1, ... with a snapshot behind some of them; return the state that they lead to."""
    state = State.initial(SITE)
    for number in range(count):
        store.journal.append(wish(number))
        state = apply(state, wish(number))
        if number in snapshots:
            store.journal.snapshot(state)
            await store.journal.flush()
    await store.journal.flush()
    return state


class TestSnapshotsBoundTheJournal:
    def test_a_start_goes_on_from_the_newest(self, url: str) -> None:
        async def scenario() -> None:
            async with open_store(url) as store:
                assert store.journal.resume(SITE) == State.initial(SITE)
                state = await short_journal(store, 5, {1, 3})
                assert wished(store.journal.resume(SITE)) == (3.0, 3)
                assert numbers(store) == [4]
                assert replay(store.journal.resume(SITE), store.journal.load()) == state

        asyncio.run(scenario())

    def test_what_was_not_flushed_is_no_snapshot(self, url: str) -> None:
        async def scenario() -> None:
            async with open_store(url) as store:
                store.journal.append(wish(0))
                store.journal.snapshot(apply(State.initial(SITE), wish(0)))
                assert store.journal.resume(SITE) == State.initial(SITE)
                await store.journal.flush()
                assert wished(store.journal.resume(SITE)) == (0.0, 0)

        asyncio.run(scenario())

    def test_it_can_be_replayed_to_any_time_it_reaches_back_to(self, url: str) -> None:
        async def scenario() -> None:
            async with open_store(url, keep_s=4.0) as store:
                await short_journal(store, 10, {1, 3, 5, 8})
                assert store.journal.reaches_back_s() == 3.0, "8 less 4 needs the state of 3"
                for by_s, since in ((3.0, 3), (4.9, 3), (5.0, 5), (99.0, 8)):
                    assert wished(store.journal.resume(SITE, by_s))[1] == since
                    assert [f.priority for f in store.journal.load(by_s) if isinstance(f, NeedStated)] == list(
                        range(since + 1, 10)
                    )
                for ask in (store.journal.resume, lambda _, by_s: list(store.journal.load(by_s))):
                    with pytest.raises(StoreError, match="reaches back to 3 s since 1970 only"):
                        ask(SITE, 2.9)

        asyncio.run(scenario())

    def test_a_long_journal_gets_shorter_step_by_step(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(journal_module, "PRUNED_FACTS", 3)

        def first(store: Store) -> int | None:
            with store._engine.connect() as connection:
                number: int | None = connection.scalar(select(func.min(schema.journal.c.seq)))
                return number

        async def scenario() -> None:
            async with open_store(url, keep_s=0.0) as store:
                state = await short_journal(store, 8, {7})
                assert first(store) == 4
                store.journal.snapshot(state)
                await store.journal.flush()
                assert first(store) == 7
                assert replay(store.journal.resume(SITE), store.journal.load()) == state

        asyncio.run(scenario())

    @given(
        count=st.integers(0, 25),
        snapshots=st.sets(st.integers(0, 24)),
        keep_s=st.floats(0.0, 30.0),
    )
    @settings(max_examples=40, deadline=None)
    def test_the_fold_is_the_same_with_snapshots_and_without(
        self, count: int, snapshots: set[int], keep_s: float
    ) -> None:
        async def scenario() -> None:
            async with open_store("sqlite://", keep_s=keep_s) as store:
                state = await short_journal(store, count, snapshots)
                for by_s in {inf, max(store.journal.reaches_back_s(), -1.0)}:
                    assert replay(store.journal.resume(SITE, by_s), store.journal.load(by_s)) == state

        asyncio.run(scenario())

    def test_numbers_go_on_where_everything_was_dropped(self, file_url: str) -> None:
        async def go_on(first: int) -> None:
            async with open_store(file_url, keep_s=0.0) as store:
                state = replay(store.journal.resume(SITE), store.journal.load())
                assert wished(state) == ((0.0, None) if first == 0 else (first - 1.0, first - 1))
                for number in range(first, first + 5):
                    store.journal.append(wish(number))
                    state = apply(state, wish(number))
                store.journal.snapshot(state)
                await store.journal.flush()
                assert numbers(store) == []

        for first in (0, 5, 10):
            asyncio.run(go_on(first))

    def test_one_is_due_after_so_many_facts_also_over_a_restart(
        self, file_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(journal_module, "SNAPSHOT_FACTS", 4)

        async def scenario(*, is_due: bool) -> None:
            async with open_store(file_url) as store:
                await short_journal(store, 2, set())
                assert store.journal.is_snapshot_due is is_due

        asyncio.run(scenario(is_due=False))
        asyncio.run(scenario(is_due=True))

        async def taken() -> None:
            async with open_store(file_url) as store:
                store.journal.snapshot(State.initial(SITE))
                assert not store.journal.is_snapshot_due

        asyncio.run(taken())

    def test_a_state_that_cannot_be_written_is_refused(self, url: str) -> None:
        async def scenario() -> None:
            async with open_store(url) as store:
                with pytest.raises(StoreError, match="the state cannot be written down"):
                    store.journal.snapshot(replace(State.initial(SITE), last_command_id=1j))  # type: ignore[arg-type]
                assert store.journal.queued == 0

        asyncio.run(scenario())


class TestTheChronicleOutlivesTheJournal:
    def test_facts_about_availability_stay_when_the_journal_drops_them(self, url: str) -> None:
        kept: list[Event] = [
            StationOnline(at_s=0.0, station=SITE.stations[0].id),
            TransactionStarted(at_s=1.0, evse=EVSE, transaction_id="t", meter_wh=5.0),
            FaultRaised(at_s=2.0, evse=EVSE, code="GroundFailure"),
            Watched(at_s=3.0, since_s=0.0),
        ]

        async def scenario() -> None:
            async with open_store(url, keep_s=0.0) as store:
                for event in (kept[0], wish(0), kept[1], wish(1), kept[2], wish(2), kept[3]):
                    store.journal.append(event)
                store.journal.snapshot(replace(State.initial(SITE), at_s=9.0))
                await store.journal.flush()
                assert list(store.journal.load(99.0)) == []
                assert await store.chronicle.facts() == list(zip((1, 3, 5, 7), kept, strict=True))
                assert await store.chronicle.facts(2.0) == list(zip((5, 7), kept[2:], strict=True))

        asyncio.run(scenario())
