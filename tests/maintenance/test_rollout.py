"""A campaign over a network: three sites with stores of their own and one database, in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from smartcharge.clock import now_s
from smartcharge.errors import StoreError
from smartcharge.maintenance import rollout, updater
from smartcharge.maintenance.campaign_file import Wanted
from smartcharge.maintenance.firmware import Campaign, Image, Rules, campaigns, entries
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.rollout import (
    ROLLOUTS,
    Follower,
    Rollout,
    RolloutStarted,
    RolloutStopped,
    Turn,
    may_begin,
    trouble,
)
from smartcharge.maintenance.updater import Updater
from smartcharge.sim.loop import run
from smartcharge.store import Network, open_store
from tests.builders import NOON_S, row_of
from tests.maintenance.fleet import Fleet

HOUR_S = 3600.0
WANTED = Wanted(
    vendor="V", model="M", image=Image(version="2", location="https://x/2"), rollback=None, first=("a",),
    shares=(1.0,), rules=Rules(soak_s=600.0, patience_s=2 * HOUR_S, least_available=0.0),
)  # fmt: skip


def begun(*rings: tuple[str, ...], most_stopped: float = 0.0) -> RolloutStarted:
    return RolloutStarted(
        at_s=NOON_S, rollout="up", author="kim", wanted=WANTED, rings=rings, most_stopped=most_stopped
    )


@dataclass(frozen=True)
class Played:
    campaigns: Mapping[str, Campaign | None]
    runs: Mapping[str, set[str]]
    begun_s: Mapping[str, float]


def play(
    folder: Path, start: RolloutStarted, *, bad: str = "", halt_s: float | None = None, hours: float = 7.0,
    makes: Mapping[str, str] | None = None,
) -> Played:  # fmt: skip
    """Let three sites live with a rollout: real stores, mirrors, followers, updaters."""
    url = f"sqlite:///{folder / 'network.db'}"

    async def nothing(_: object) -> None:
        raise AssertionError("they have no facts of their own")

    async def main() -> Played:
        stores = {name: open_store(f"sqlite:///{folder / name}.db") for name in ("north", "south", "west")}
        fleets, tasks = {}, []
        for name, store in stores.items():
            place = replace(Place.of(row_of(2)), id=name)
            fleet = fleets[name] = Fleet(store, place, {"a": "bad signature"} if name == bad else {})
            for station in "ab":
                await fleet.boot(station, (makes or {}).get(name, "1"))
            mirror = store.mirror(name, place.written(), url)
            await mirror.deliver()
            sources = (
                Updater(place, store.chronicle, store.logbook, fleet),
                Follower(place, store.chronicle, store.logbook, lambda: Network(url)),
                mirror,
            )
            tasks += [asyncio.create_task(source.run(nothing)) for source in sources]
        async with Network(url) as network:
            await network.notice(lambda _: (start.at_s, ROLLOUTS.encode(start)))
            if halt_s is not None:
                await asyncio.sleep(halt_s)
                stop = RolloutStopped(at_s=now_s(), rollout="up", author="kim", reason="holiday")
                await network.notice(lambda _: (stop.at_s, ROLLOUTS.encode(stop)))
        await asyncio.sleep(hours * HOUR_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        known = {name: campaigns(entries(await store.logbook.lines())).get("up") for name, store in stores.items()}
        for store in stores.values():
            await store.close()
        return Played(
            campaigns=known,
            runs={name: set(fleet.runs.values()) for name, fleet in fleets.items()},
            begun_s={name: one.started.at_s for name, one in known.items() if one is not None},
        )

    return run(main(), epoch_s=NOON_S)


@pytest.fixture(autouse=True)
def seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (updater, rollout):
        monkeypatch.setattr(module, "ROUND_S", 600.0)
    monkeypatch.setattr("smartcharge.store.network.ROUND_S", 600.0)


class TestOverThreeSites:
    def test_ring_after_ring_each_site_by_itself(self, tmp_path: Path) -> None:
        found = play(tmp_path, begun(("north",), ("south", "west")))
        assert all(one is not None and one.finished is not None for one in found.campaigns.values())
        assert found.runs == {"north": {"2"}, "south": {"2"}, "west": {"2"}}
        first = found.campaigns["north"]
        assert first is not None
        assert first.finished is not None
        assert min(found.begun_s["south"], found.begun_s["west"]) >= first.finished.at_s
        assert first.started.author == "kim"

    def test_a_site_that_stops_keeps_it_from_all_others(self, tmp_path: Path) -> None:
        found = play(tmp_path, begun(("north",), ("south",), ("west",)), bad="south")
        assert found.campaigns["south"] is not None
        assert found.campaigns["south"].stopped is not None
        assert found.campaigns["west"] is None
        assert found.runs == {"north": {"2"}, "south": {"1"}, "west": {"1"}}

    def test_those_that_have_begun_stop_too(self, tmp_path: Path) -> None:
        found = play(tmp_path, begun(("north", "south", "west")), halt_s=600.0)
        for one in found.campaigns.values():
            assert one is not None
            assert one.stopped is not None
            assert one.stopped.reason == "in the network: stopped by kim: holiday"
        assert all("1" in runs for runs in found.runs.values()), "the second ring never came"

    def test_a_site_that_has_nothing_to_update_is_done_at_once(self, tmp_path: Path) -> None:
        found = play(tmp_path, begun(("north",), ("south",), ("west",)), makes={"south": "2"})
        assert found.campaigns["south"] is not None
        assert found.campaigns["south"].started.rings == ()
        assert found.runs["west"] == {"2"}


class TestWhoseTurnItIs:
    ROLLOUT = Rollout(started=begun(("a",), ("b", "c"), ("d",), most_stopped=0.5))

    def turns(self, **known: Turn) -> dict[str, Turn]:
        return {site: known.get(site, Turn.WAITING) for site in "abcd"}

    def test_after_every_site_of_the_rings_before(self) -> None:
        done, going = Turn.FINISHED, Turn.GOING
        assert may_begin(self.ROLLOUT, self.turns(), "a")
        assert not may_begin(self.ROLLOUT, self.turns(a=going), "b")
        assert may_begin(self.ROLLOUT, self.turns(a=done, c=going), "b")
        assert not may_begin(self.ROLLOUT, self.turns(a=done, b=done, c=going), "d")
        assert not may_begin(self.ROLLOUT, self.turns(a=done), "a"), "once"
        assert not may_begin(self.ROLLOUT, self.turns(), "x")

    def test_the_threshold(self) -> None:
        done, stopped = Turn.FINISHED, Turn.STOPPED
        assert trouble(self.ROLLOUT, self.turns(a=done, b=stopped)) is None
        assert trouble(self.ROLLOUT, self.turns(a=stopped)) == "1 of 1 sites stopped: a"
        assert trouble(self.ROLLOUT, self.turns(a=done, b=stopped, c=stopped)) == "2 of 3 sites stopped: b, c"


class TestTheNetworkIsAway:
    def test_nothing_begins_and_it_says_why(self) -> None:
        async def main() -> str | None:
            async with open_store("sqlite://") as store:
                place = replace(Place.of(row_of(1)), id="north")

                def away() -> Network:
                    raise StoreError("no route")

                follower = Follower(place, store.chronicle, store.logbook, away)
                task = asyncio.create_task(follower.run(_nobody))
                await asyncio.sleep(1.0)
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                assert await store.logbook.lines() == []
                return follower.trouble

        assert run(main(), epoch_s=NOON_S) == "no route"


async def _nobody(_: object) -> None:
    raise AssertionError("it has no facts of its own")
