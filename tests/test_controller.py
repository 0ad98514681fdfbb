"""What the shell adds to the core: snapshots in good time, and a word now and then that it is at work."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from smartcharge.control.state import State, apply
from smartcharge.controller import WATCH_S, Controller, replay
from smartcharge.events import Event, Metered, Watched
from smartcharge.ports import Emit
from smartcharge.sim.loop import run
from smartcharge.store import journal, open_store
from tests.builders import NOON_S, row_of

SITE = row_of(2)
DAY_S = 6.0 * 3600.0


class Minutes:
    """A source that measures every EVSE once a minute."""

    name = "minutes"
    trouble = None

    async def run(self, emit: Emit) -> None:
        wh = 0.0
        while True:
            wh += 100.0
            for evse in SITE.evses:
                await emit(Metered(at_s=NOON_S + wh * 0.6, evse=evse.id, energy_wh=wh))
            await asyncio.sleep(60.0)


async def at_work(url: str, duration_s: float) -> State:
    """Let a controller work for a while; return what it knew when it was killed."""
    async with open_store(url, keep_s=3600.0) as store:
        controller = Controller(SITE, journal=store.journal, sources=[Minutes()])
        task = asyncio.create_task(controller.run())
        await asyncio.sleep(duration_s)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return controller.state


class TestJournal:
    def test_it_stays_short_and_leads_to_the_same_state(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """I5 with snapshots: six hours of readings, of which the last two or so are kept."""
        monkeypatch.setattr(journal, "SNAPSHOT_FACTS", 60)
        url = f"sqlite:///{tmp_path / 'site.db'}"
        known = run(at_work(url, DAY_S), epoch_s=NOON_S)

        async def look() -> None:
            async with open_store(url) as store:
                assert replay(store.journal.resume(SITE), store.journal.load()) == known
                since_s = store.journal.reaches_back_s()
                assert known.at_s - 3 * 3600.0 < since_s <= known.at_s - 3600.0
                assert replay(store.journal.resume(SITE, since_s), store.journal.load(since_s)) == known
                assert len(list(store.journal.load(since_s))) < 4 * 60 * 2

        asyncio.run(look())


class TestBadFact:
    def test_what_cannot_be_folded_is_not_written_down(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """I5: a start folds the journal, so a fact that breaks the fold must never be in it."""

        def fragile(state: State, event: Event) -> State:
            if isinstance(event, Metered) and (event.energy_wh or 0.0) > 250.0:
                raise ZeroDivisionError
            return apply(state, event)

        monkeypatch.setattr("smartcharge.controller.apply", fragile)
        url = f"sqlite:///{tmp_path / 'site.db'}"
        known = run(at_work(url, 600.0), epoch_s=NOON_S)

        async def look() -> None:
            async with open_store(url) as store:
                facts = list(store.journal.load())
                assert max(e.energy_wh or 0.0 for e in facts if isinstance(e, Metered)) == 200.0
                assert replay(store.journal.resume(SITE), facts) == known

        asyncio.run(look())


class TestWatch:
    def test_every_quarter_of_an_hour_is_vouched_for(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'site.db'}"
        run(at_work(url, 3500.0), epoch_s=NOON_S)
        run(at_work(url, 1000.0), epoch_s=NOON_S + 9000.0)

        async def look() -> list[tuple[float, float]]:
            async with open_store(url) as store:
                facts = [kept.event for kept in await store.chronicle.facts()]
            return [(e.since_s - NOON_S, e.at_s - NOON_S) for e in facts if isinstance(e, Watched)]

        assert asyncio.run(look()) == [
            *((0.0, n * WATCH_S) for n in range(4)),
            (9000.0, 9000.0),
            (9000.0, 9000.0 + WATCH_S),
        ]
