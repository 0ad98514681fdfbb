"""What waits for the operator's back-end: in order, durable, each until it is done."""

from __future__ import annotations

import asyncio

from smartcharge.model import StationId
from smartcharge.store import open_store

ONE, OTHER = StationId("CP 1"), StationId("CP 2")


class TestOutbox:
    def test_messages_of_a_station_wait_in_order_over_a_restart(self, lasting_url: str) -> None:
        async def write() -> None:
            async with open_store(lasting_url) as store:
                for number, (station, body) in enumerate(((ONE, "a"), (OTHER, "b"), (ONE, "c\0")), 1):
                    assert await store.outbox.put(station, "StopTransaction", body) == number

        async def read() -> None:
            async with open_store(lasting_url) as store:
                waiting = await store.outbox.waiting(ONE)
                assert [(w.number, w.action, w.body) for w in waiting] == [
                    (1, "StopTransaction", "a"),
                    (3, "StopTransaction", "c\\x00"),
                ]
                await store.outbox.done(1)
                assert [w.number for w in await store.outbox.waiting(ONE)] == [3]
                assert [w.body for w in await store.outbox.waiting(OTHER)] == ["b"]

        asyncio.run(write())
        asyncio.run(read())

    def test_transactions_have_two_numbers(self, url: str) -> None:
        async def scenario() -> None:
            async with open_store(url) as store:
                assert await store.outbox.theirs(ONE, 1) is None
                await store.outbox.pair(ONE, 1, 9001)
                await store.outbox.pair(ONE, 1, 9002)
                await store.outbox.pair(OTHER, 1, 9001)
                assert (await store.outbox.theirs(ONE, 1), await store.outbox.theirs(OTHER, 1)) == (9002, 9001)
                assert (await store.outbox.ours(ONE, 9002), await store.outbox.ours(ONE, 9001)) == (1, None)

        asyncio.run(scenario())

    def test_what_a_back_end_said_is_kept_over_a_restart_until_it_is_dropped(self, lasting_url: str) -> None:
        async def write() -> None:
            async with open_store(lasting_url) as store:
                await store.outbox.keep(ONE, "profile 1", "a")
                await store.outbox.keep(ONE, "profile 1", "b")
                await store.outbox.keep(ONE, "profile 2", "c")
                await store.outbox.keep("", "odd\0name", "d")
                await store.outbox.drop(ONE, "profile 2")

        async def read() -> None:
            async with open_store(lasting_url) as store:
                assert await store.outbox.kept(ONE) == {"profile 1": "b"}
                assert await store.outbox.kept("") == {"odd\\x00name": "d"}
                assert await store.outbox.kept(OTHER) == {}

        asyncio.run(write())
        asyncio.run(read())
