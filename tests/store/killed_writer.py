"""Write without end and say so on stdout, one line for each promise, until killed (see test_kill)."""

from __future__ import annotations

import asyncio
import random
import sys

from smartcharge.events import Metered, NeedStated, TransactionStarted
from smartcharge.model import EvseId, StationId
from smartcharge.store import Store, open_store


def promise(word: str, *numbers: int) -> None:
    sys.stdout.write(" ".join(map(str, (word, *numbers))) + "\n")
    sys.stdout.flush()


async def journal(store: Store, first: int, rng: random.Random) -> None:
    """Append batches of facts, each with its own number, and promise the last number of every flushed batch."""
    number = first
    while True:
        for _ in range(rng.choice((1, 3, 50, 400))):
            evse = EvseId(f"evse-{number % 5}")
            match number % 3:
                case 0:
                    store.journal.append(NeedStated(at_s=float(number), evse=evse))
                case 1:
                    store.journal.append(Metered(at_s=float(number), evse=evse, energy_wh=float(number)))
                case _:
                    store.journal.append(TransactionStarted(at_s=float(number), evse=evse, transaction_id=str(number)))
            number += 1
        await store.journal.flush()
        promise("journal", number - 1)


async def ledger(store: Store, first: int) -> None:
    """Ask for numbers, and promise each."""
    start = first
    while True:
        promise("ledger", start, await store.ledger.transaction_number(StationId("S"), 1, float(start), "tag"))
        start += 1


async def main(url: str, seed: int) -> None:
    async with open_store(url) as store:
        first = sum(1 for _ in store.journal.load())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(journal(store, first, random.Random(seed)))
            tasks.create_task(ledger(store, seed * 1_000_000))


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
