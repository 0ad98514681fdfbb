from __future__ import annotations

import asyncio

from hypothesis import example, given, settings
from hypothesis import strategies as st

from smartcharge.model import StationId
from smartcharge.store import open_store

S1, S2 = StationId("S1"), StationId("S2")


class TestTransactionNumbers:
    def test_a_repeated_start_has_the_same_number_and_any_other_a_new_one(self, url: str) -> None:
        async def scenario() -> None:
            async with open_store(url) as store:
                starts = [
                    (S1, 1, 100.0, "tag"), (S2, 1, 100.0, "tag"), (S1, 2, 100.0, "tag"),
                    (S1, 1, 100.001, "tag"), (S1, 1, 100.0, "other"),
                ]  # fmt: skip
                first = [await store.ledger.transaction_number(*start) for start in starts]
                again = [await store.ledger.transaction_number(*start) for start in reversed(starts)]
                assert first == [1, 2, 3, 4, 5]
                assert again == first[::-1]

        asyncio.run(scenario())

    def test_numbers_survive_a_restart_and_are_not_used_again(self, file_url: str) -> None:
        async def give(started_at_s: float) -> int:
            async with open_store(file_url) as store:
                return await store.ledger.transaction_number(S1, 1, started_at_s, "tag")

        assert [asyncio.run(give(started_at_s)) for started_at_s in (1.0, 2.0, 1.0, 3.0)] == [1, 2, 1, 3]

    def test_many_at_once_get_a_number_each(self, url: str) -> None:
        async def scenario() -> None:
            async with open_store(url) as store:
                starts = [*range(40), *range(40)]
                given_out = await asyncio.gather(
                    *(store.ledger.transaction_number(S1, 1, float(start), "tag") for start in starts)
                )
                assert given_out[:40] == given_out[40:]
                assert sorted(given_out[:40]) == list(range(1, 41))

        asyncio.run(scenario())

    @settings(max_examples=30, deadline=None)
    @example(tag="\ud800", station="a\0b")
    @given(tag=st.text(st.characters()), station=st.text(st.characters()))
    def test_any_name_a_station_makes_up_gets_one(self, tag: str, station: str) -> None:
        async def scenario() -> None:
            async with open_store("sqlite://") as store:
                number = await store.ledger.transaction_number(StationId(station), 1, 0.0, tag)
                assert await store.ledger.transaction_number(StationId(station), 1, 0.0, tag) == number

        asyncio.run(scenario())
