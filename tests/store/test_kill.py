from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smartcharge.controller import replay
from smartcharge.events import Metered, TransactionStarted
from smartcharge.model import EvseId, StationId
from smartcharge.store import open_store
from tests.postgres import database
from tests.store.killed_snapshots import KEEP_S, SITE, folded

WRITER = Path(__file__).with_name("killed_writer.py")
ROOT = Path(__file__).resolve().parent.parent.parent
ROUNDS = 6


def promises_until_killed(url: str, seed: int) -> list[tuple[str, ...]]:
    """Run the writer, kill it somewhere after a random number of promises, return all that it made."""
    patience = random.Random(seed).randint(1, 60)
    with subprocess.Popen([sys.executable, WRITER, url, str(seed)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(patience)]
        writer.kill()
        lines += writer.stdout.readlines()
    assert writer.returncode == -9
    # A last line without its end was cut off by the kill.
    return [tuple(line.split()) for line in lines if line.endswith("\n")]


class TestKillAtAnyMoment:
    def test_every_promise_is_kept_and_what_is_there_is_a_prefix(self, file_url: str) -> None:
        last, given_out = -1, dict[int, int]()
        for seed in range(ROUNDS):
            for promise in promises_until_killed(file_url, seed):
                match promise:
                    case ("journal", number):
                        last = int(number)
                    case ("ledger", start, number):
                        given_out[int(start)] = int(number)
                    case _:
                        raise AssertionError(promise)
            assert len(set(given_out.values())) == len(given_out), "a number was given out twice"
            last = asyncio.run(self.written(file_url, last, given_out))
        assert last > 0
        assert len(given_out) > ROUNDS

    async def written(self, url: str, last: int, given_out: dict[int, int]) -> int:
        """Check what is there against what was promised; return the number of the last fact."""
        async with open_store(url) as store:
            facts = list(store.journal.load())
            assert [fact.at_s for fact in facts] == list(range(len(facts)))
            assert len(facts) > last
            for start, number in given_out.items():
                assert await store.ledger.transaction_number(StationId("S"), 1, float(start), "tag") == number
            started = [fact.transaction_id for fact in facts if isinstance(fact, TransactionStarted)]
            known = await store.history.transactions(0.0, float("inf"))
            assert [transaction.transaction_id for transaction in known] == started
            for evse in {EvseId(f"evse-{n}") for n in range(5)}:
                metered = [fact for fact in facts if isinstance(fact, Metered) and fact.evse == evse]
                assert await store.history.readings(evse, 0.0, float("inf")) == metered
            return len(facts) - 1


class TestKillBetweenSnapshots:
    def test_a_start_from_a_snapshot_is_the_fold_of_everything(self, lasting_url: str) -> None:
        promised = 0
        for seed in range(3):
            with writing(lasting_url, seed) as writer:
                lines = some_of(writer, seed)
                writer.kill()
                promised = newest(writer, lines)
            assert writer.returncode == -9
            asyncio.run(check(lasting_url, promised))


class TestKillTheDatabase:
    def test_nothing_promised_is_lost_with_the_writer_or_without(self) -> None:
        with database() as server:
            url, promised = server.url(), 0
            for seed in range(3):
                with writing(url, seed) as writer:
                    lines = some_of(writer, seed)
                    server.kill()
                    if seed % 2:
                        writer.kill()
                    promised = max(promised, newest(writer, lines))
                assert writer.returncode != 0, "a writer that cannot write says so and ends"
                server.start()
                asyncio.run(check(url, promised))
            assert promised > 0


@contextmanager
def writing(url: str, seed: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.store.killed_snapshots", url, str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT) as writer:
        try:
            yield writer
        finally:
            writer.kill()


def some_of(writer: subprocess.Popen[str], seed: int) -> list[str]:
    assert writer.stdout is not None
    return [writer.stdout.readline() for _ in range(random.Random(seed).randint(20, 80))]


def newest(writer: subprocess.Popen[str], lines: list[str]) -> int:
    """The highest promise; a last line without its end was cut off by the kill."""
    assert writer.stdout is not None
    lines = [*lines, *writer.stdout.readlines()]
    return max(int(line) for line in lines if line.endswith("\n"))


async def check(url: str, promised: int) -> None:
    """What is there leads to the fold of all facts, however it is read; nothing promised is missing."""
    async with open_store(url) as store:
        journal = store.journal
        known = replay(journal.resume(SITE), journal.load())
        last = int(known.at_s)
        assert last >= promised
        assert known == folded(last)
        since_s = journal.reaches_back_s()
        assert since_s <= last - KEEP_S, "it reaches back as far as it should"
        assert since_s > 0.0 or last < 2.0 * KEEP_S, "facts are dropped"
        assert replay(journal.resume(SITE, since_s), journal.load(since_s)) == known
