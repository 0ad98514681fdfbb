from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from smartcharge.codec import Encoded
from smartcharge.ports import Written
from smartcharge.store import open_store


def counted(written: Sequence[Written]) -> list[tuple[float, Encoded]]:
    """Add the number of lines there are: any two who decide at once would say the same."""
    return [(1.0, Encoded("Count", str(len(written))))]


class TestWriters:
    def test_decide_one_after_the_other_also_from_other_connections(self, lasting_url: str) -> None:
        async def scenario() -> list[Written]:
            async with open_store(lasting_url) as one, open_store(lasting_url) as other:
                await asyncio.gather(*(store.logbook.write(counted) for store in (one, other) for _ in range(10)))
                return await one.logbook.lines()

        lines = asyncio.run(scenario())
        assert [line.number for line in lines] == list(range(1, 21))
        assert [line.body for line in lines] == [str(n) for n in range(20)]

    def test_who_raises_has_written_nothing(self, url: str) -> None:
        def fails(_: Sequence[Written]) -> list[tuple[float, Encoded]]:
            raise ValueError("no")

        async def scenario() -> None:
            async with open_store(url) as store:
                with pytest.raises(ValueError, match="no"):
                    await store.logbook.write(fails)
                assert await store.logbook.lines() == []
                assert await store.logbook.write(counted) == await store.logbook.lines()
                assert await store.logbook.lines(1) == []

        asyncio.run(scenario())

    def test_what_a_listener_was_told_is_remembered(self, url: str) -> None:
        async def scenario() -> None:
            async with open_store(url) as store:
                assert await store.logbook.told("ear") == 0
                for number in (3, 5):
                    await store.logbook.tell("ear", number)
                    assert await store.logbook.told("ear") == number
                assert await store.logbook.told("eye") == 0

        asyncio.run(scenario())
