from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from smartcharge.errors import StoreError
from smartcharge.events import Event, FaultRaised, StationOnline
from smartcharge.model import EvseId, StationId
from smartcharge.store import Network, Store, network, open_store
from smartcharge.store.engine import connect
from tests.store.test_logbook import counted


def facts(first: int, count: int) -> list[Event]:
    return [FaultRaised(at_s=float(n), evse=EvseId("a"), code=str(n)) for n in range(first, first + count)]


async def add(store: Store, events: list[Event]) -> None:
    for one in events:
        store.journal.append(one)
    await store.journal.flush()


async def delivered(url: str, site: str) -> list[Event]:
    async with Network(url) as sites:
        return [kept.event for kept in await sites.facts(site)]


@pytest.fixture
def network_url(lasting_url: str) -> str:
    return lasting_url


class TestDelivery:
    def test_each_site_delivers_all_in_order_and_nothing_twice(
        self, network_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(network, "BATCH_ROWS", 7)

        async def scenario() -> None:
            for site in ("north", "south"):
                async with open_store(f"sqlite:///{tmp_path / site}.db") as store:
                    mirror = store.mirror(site, f'"{site}"', network_url)
                    await add(store, facts(0, 21))
                    await store.logbook.write(counted)
                    assert await mirror.deliver() == 22
                    assert await mirror.deliver() == 0
                    await add(store, facts(21, 4))
                    assert await mirror.deliver() == 4
            for site in ("north", "south"):
                assert await delivered(network_url, site) == facts(0, 25)
            async with Network(network_url) as sites:
                assert await sites.sites() == {"north": '"north"', "south": '"south"'}
                assert [line.body for line in await sites.lines("south")] == ["0"]

        asyncio.run(scenario())

    def test_a_site_that_was_cut_off_delivers_later(self, network_url: str, tmp_path: Path) -> None:
        async def scenario() -> None:
            async with open_store(f"sqlite:///{tmp_path / 'site'}.db") as store:
                away = store.mirror("north", "{}", f"sqlite:///{tmp_path / 'nowhere' / 'x.db'}")
                await add(store, facts(0, 5))
                with pytest.raises(StoreError):
                    await away.deliver()
                await add(store, facts(5, 5))
                assert await store.mirror("north", "{}", network_url).deliver() == 10
                assert await delivered(network_url, "north") == facts(0, 10)

        asyncio.run(scenario())

    def test_a_delivery_that_breaks_off_goes_on_where_it_was(
        self, network_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(network, "BATCH_ROWS", 5)
        real, commits = connect, 0

        def breaking(url: str) -> Engine:
            engine = real(url)

            @event.listens_for(engine, "commit")
            def cut(_: object) -> None:
                nonlocal commits
                commits += 1
                if commits == 5:
                    raise OSError("cut")

            return engine

        async def scenario() -> None:
            async with open_store(f"sqlite:///{tmp_path / 'site'}.db") as store:
                await add(store, facts(0, 23))
                mirror = store.mirror("north", "{}", network_url)
                monkeypatch.setattr(network, "connect", breaking)
                with pytest.raises(OSError, match="cut"):
                    await mirror.deliver()
                monkeypatch.setattr(network, "connect", real)
                some = await delivered(network_url, "north")
                assert some == facts(0, len(some))
                assert 0 < len(some) < 23
                await mirror.deliver()
                assert await delivered(network_url, "north") == facts(0, 23)

        asyncio.run(scenario())

    def test_another_store_under_the_same_id_is_refused(self, network_url: str, tmp_path: Path) -> None:
        async def scenario() -> None:
            async with open_store(f"sqlite:///{tmp_path / 'old'}.db") as store:
                await add(store, facts(0, 5))
                await store.mirror("north", "{}", network_url).deliver()
            for events in (facts(0, 2), [*facts(0, 4), StationOnline(at_s=9.0, station=StationId("b"))]):
                async with open_store(f"sqlite:///{tmp_path / f'new{len(events)}'}.db") as store:
                    await add(store, events)
                    with pytest.raises(StoreError, match="another chronicle of north: line 5 differs"):
                        await store.mirror("north", "{}", network_url).deliver()
            assert await delivered(network_url, "north") == facts(0, 5)

        asyncio.run(scenario())
