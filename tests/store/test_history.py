from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from smartcharge.control.state import State, apply
from smartcharge.events import Event, Metered, TransactionEnded, TransactionStarted
from smartcharge.model import EvseId, Phases
from smartcharge.store import History, Transaction, open_store
from tests.builders import row_of

A, B = EvseId("A"), EvseId("B")
T = TypeVar("T")


def told(url: str, facts: list[Event], ask: Callable[[History], Awaitable[T]], *, flush_each: bool = False) -> T:
    """Write facts and ask the history; in one commit or in many must not matter."""

    async def scenario() -> T:
        async with open_store(url) as store:
            for fact in facts:
                store.journal.append(fact)
                if flush_each:
                    await store.journal.flush()
            await store.journal.flush()
            return await ask(store.history)

    return asyncio.run(scenario())


def start(at_s: float, evse: EvseId = A, number: str = "1", meter_wh: float | None = 1000.0) -> TransactionStarted:
    return TransactionStarted(at_s=at_s, evse=evse, transaction_id=number, id_token="tag", meter_wh=meter_wh)


def end(at_s: float, evse: EvseId = A, number: str = "1", meter_wh: float | None = None) -> TransactionEnded:
    return TransactionEnded(at_s=at_s, evse=evse, transaction_id=number, meter_wh=meter_wh, reason="Local")


def meter(at_s: float, energy_wh: float | None, evse: EvseId = A) -> Metered:
    return Metered(at_s=at_s, evse=evse, energy_wh=energy_wh)


def all_of(history: History) -> Awaitable[list[Transaction]]:
    return history.transactions(float("-inf"), float("inf"))


@pytest.mark.parametrize("flush_each", [False, True], ids=["one-commit", "many-commits"])
class TestTransactions:
    def test_a_whole_one(self, url: str, flush_each: bool) -> None:
        facts: list[Event] = [
            start(10.0),
            meter(20.0, 1500.0),
            meter(30.0, None),
            end(40.0, meter_wh=4200.0),
            meter(50.0, 9999.0),
        ]
        [transaction] = told(url, facts, all_of, flush_each=flush_each)
        assert transaction == Transaction(
            evse=A, transaction_id="1", started_at_s=10.0, ended_at_s=40.0, id_token="tag",
            meter_start_wh=1000.0, meter_wh=4200.0, reason="Local",
        )  # fmt: skip
        assert transaction.energy_wh == 3200.0

    def test_an_open_one_goes_by_its_newest_reading(self, url: str, flush_each: bool) -> None:
        facts: list[Event] = [
            start(10.0),
            start(11.0, B, "7"),
            meter(20.0, 1500.0),
            meter(30.0, 1800.0),
            meter(30.0, 50.0, B),
        ]
        first, second = told(url, facts, History.open_transactions, flush_each=flush_each)
        assert (first.evse, first.energy_wh) == (A, 800.0)
        assert (second.evse, second.meter_wh, second.energy_wh) == (B, 50.0, None), "a register that ran backwards"

    def test_an_end_without_meter_keeps_the_last_reading(self, url: str, flush_each: bool) -> None:
        facts: list[Event] = [start(10.0), meter(20.0, 1500.0), end(30.0)]
        [transaction] = told(url, facts, all_of, flush_each=flush_each)
        assert transaction.energy_wh == 500.0

    def test_a_start_without_meter_takes_the_first_reading(self, url: str, flush_each: bool) -> None:
        facts: list[Event] = [meter(5.0, 900.0), start(10.0, meter_wh=None), meter(20.0, 1500.0), meter(30.0, 1700.0)]
        [transaction] = told(url, facts, all_of, flush_each=flush_each)
        assert (transaction.meter_start_wh, transaction.energy_wh) == (1500.0, 200.0)

    def test_repeated_messages_change_nothing(self, url: str, flush_each: bool) -> None:
        once: list[Event] = [start(10.0), meter(20.0, 1500.0), end(30.0, meter_wh=2000.0)]
        again: list[Event] = [start(40.0, meter_wh=5.0), end(50.0, meter_wh=6.0)]
        [transaction] = told(url, [*once, *again], all_of, flush_each=flush_each)
        assert (transaction.started_at_s, transaction.ended_at_s) == (10.0, 30.0)
        assert (transaction.meter_start_wh, transaction.meter_wh) == (1000.0, 2000.0)

    def test_an_end_whose_start_was_never_heard_is_kept(self, url: str, flush_each: bool) -> None:
        [transaction] = told(url, [end(30.0, meter_wh=2000.0)], all_of, flush_each=flush_each)
        assert (transaction.started_at_s, transaction.ended_at_s, transaction.energy_wh) == (None, 30.0, None)

    def test_a_start_that_comes_after_its_end_completes_it(self, url: str, flush_each: bool) -> None:
        facts: list[Event] = [end(30.0, meter_wh=2000.0), start(40.0)]
        [transaction] = told(url, facts, all_of, flush_each=flush_each)
        assert (transaction.ended_at_s, transaction.energy_wh) == (30.0, 1000.0)

    def test_one_whose_end_was_never_heard_is_not_open_once_another_began(self, url: str, flush_each: bool) -> None:
        facts: list[Event] = [start(10.0), meter(20.0, 1500.0), start(30.0, number="2"), meter(40.0, 1700.0)]

        async def ask(history: History) -> tuple[list[Transaction], list[Transaction]]:
            return await history.open_transactions(), await all_of(history)

        [newest], [lost, _] = told(url, facts, ask, flush_each=flush_each)
        assert (newest.transaction_id, newest.meter_wh) == ("2", 1700.0)
        assert (lost.transaction_id, lost.ended_at_s, lost.meter_wh) == ("1", None, 1500.0)

    def test_one_that_ended_is_not_open(self, url: str, flush_each: bool) -> None:
        facts: list[Event] = [start(10.0), end(20.0), start(30.0, B), start(5.0, B, "0")]
        [only] = told(url, facts, History.open_transactions, flush_each=flush_each)
        assert (only.evse, only.transaction_id) == (B, "0"), "the order of the journal counts, not the clock's"


class TestPeriods:
    @pytest.mark.parametrize(
        ("since_s", "until_s", "found"),
        [
            (0.0, 10.0, []),
            (0.0, 10.1, ["1"]),
            (20.0, 25.0, ["1"]),
            (20.1, 25.0, []),
            (0.0, 99.0, ["1", "2"]),
            (90.0, 99.0, ["2"]),
        ],
    )
    def test_transactions_that_touch_the_period(
        self, url: str, since_s: float, until_s: float, found: list[str]
    ) -> None:
        facts: list[Event] = [start(10.0), end(20.0), start(30.0, B, "2")]
        transactions = told(url, facts, lambda history: history.transactions(since_s, until_s))
        assert [transaction.transaction_id for transaction in transactions] == found


class TestReadings:
    FACTS: tuple[Metered, ...] = (
        Metered(at_s=10.0, evse=A, current_a=Phases(1.0, 0.0, -0.5), power_w=230.0),
        Metered(at_s=10.0, evse=B, energy_wh=5.0, soc=0.5),
        Metered(at_s=20.0, evse=A, energy_wh=0.0),
        Metered(at_s=30.0, evse=A),
    )

    def test_they_come_back_as_they_were_measured(self, url: str) -> None:
        assert told(url, [*self.FACTS], lambda history: history.readings(A, 10.0, 30.0)) == [
            self.FACTS[0],
            self.FACTS[2],
        ]

    def test_they_reach_back_as_far_as_the_journal(self, url: str) -> None:
        async def scenario() -> None:
            async with open_store(url, keep_s=5.0) as store:
                state = State.initial(row_of(2))
                for fact in self.FACTS:
                    store.journal.append(fact)
                    state = apply(state, fact)
                    store.journal.snapshot(state)
                    await store.journal.flush()
                kept = [fact for fact in store.journal.load(store.journal.reaches_back_s()) if fact.at_s > 20.0]
                assert kept == [self.FACTS[3]]
                assert await store.history.readings(A, 0.0, 25.0) in ([], [self.FACTS[2]])
                assert await store.history.readings(A, 25.0, 100.0) == [self.FACTS[3]]
                assert await store.history.readings(B, 0.0, 100.0) == []

        asyncio.run(scenario())


class TestHistoryAndJournalNeverDisagree:
    def test_what_is_not_in_the_journal_is_in_no_table(self, url: str) -> None:
        async def scenario() -> None:
            async with open_store(url) as store:
                store.journal.append(start(10.0))
                store.journal.append(meter(20.0, 1500.0))
                assert await store.history.open_transactions() == []
                assert await store.history.readings(A, 0.0, 100.0) == []
                await store.journal.flush()
                assert len(await store.history.open_transactions()) == 1
                assert len(await store.history.readings(A, 0.0, 100.0)) == 1

        asyncio.run(scenario())


class TestOddNames:
    @pytest.mark.parametrize(
        ("name", "shown"), [("a\0b", r"a\x00b"), ("\ud800", r"\ud800"), ("Ladesäule", "Ladesäule")]
    )
    def test_what_no_column_holds_is_shown_escaped_and_kept_in_the_journal(
        self, url: str, name: str, shown: str
    ) -> None:
        begun = TransactionStarted(at_s=10.0, evse=A, transaction_id=name, id_token=name)
        ended = TransactionEnded(at_s=20.0, evse=A, transaction_id=name, reason=name)

        async def scenario() -> None:
            async with open_store(url) as store:
                store.journal.append(begun)
                store.journal.append(ended)
                await store.journal.flush()
                assert list(store.journal.load()) == [begun, ended]
                [transaction] = await all_of(store.history)
                assert (transaction.transaction_id, transaction.id_token, transaction.reason) == (shown,) * 3

        asyncio.run(scenario())
