"""Write facts with snapshots between them, and promise the number of each flushed one, until killed."""

from __future__ import annotations

import asyncio
import random
import sys

from smartcharge.control.state import State, apply
from smartcharge.controller import replay
from smartcharge.events import CircuitMetered, Event, Metered, NeedStated, Plugged, Unplugged
from smartcharge.model import Phases
from smartcharge.store import journal, open_store
from tests.builders import MAIN, tree

SITE = tree()
KEEP_S = 300.0


def fact(number: int) -> Event:
    """The fact of a number; its time is the number."""
    at_s, evse = float(number), SITE.evses[number % len(SITE.evses)].id
    rng = random.Random(number)
    match rng.randrange(5):
        case 0:
            return Plugged(at_s=at_s, evse=evse)
        case 1:
            return NeedStated(at_s=at_s, evse=evse, energy_wh=rng.random() * 9e3)
        case 2:
            return Unplugged(at_s=at_s, evse=evse)
        case 3:
            return CircuitMetered(at_s=at_s, circuit=MAIN, current_a=Phases.all(rng.random() * 40.0))
        case _:
            return Metered(at_s=at_s, evse=evse, current_a=Phases.all(rng.random() * 16.0), energy_wh=at_s)


def folded(last: int) -> State:
    """The fold of all facts up to one."""
    return replay(State.initial(SITE), map(fact, range(last + 1)))


async def main(url: str, seed: int) -> None:
    rng = random.Random(seed)
    async with open_store(url, KEEP_S) as store:
        state = replay(store.journal.resume(SITE), store.journal.load())
        number = int(state.at_s) + 1
        while True:
            for _ in range(rng.choice((1, 3, 20))):
                store.journal.append(fact(number))
                state = apply(state, fact(number))
                if store.journal.is_snapshot_due:
                    store.journal.snapshot(state)
                number += 1
            await store.journal.flush()
            sys.stdout.write(f"{number - 1}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    journal.SNAPSHOT_FACTS = 40
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
