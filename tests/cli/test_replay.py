from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcharge.cli import memory
from smartcharge.config import load
from smartcharge.control.state import State
from smartcharge.controller import replay
from smartcharge.events import CircuitMetered, Event, FaultRaised, LimitSet, Metered, NeedStated, OperatorOrder
from smartcharge.model import CircuitId, EvseId, Phases
from smartcharge.store import open_store
from tests.builders import NOON_S, charging, fold, ready, told, tree
from tests.cli.command_line import Typed

S1 = EvseId("s-1")


def story() -> list[Event]:
    """A car at s-1, a grid limit, a meter, a fault and an order, from 2023-11-14 22:13:20 UTC on."""
    return [
        *charging("s-1", NOON_S),
        *told("s-1", 13.0, NOON_S + 10.0, command_id=1),
        NeedStated(at_s=NOON_S + 20.0, evse=S1, energy_wh=12_345.0, depart_at_s=NOON_S + 7200.0),
        Metered(at_s=NOON_S + 60.0, evse=S1, current_a=Phases(12.5, 12.4, 12.6), energy_wh=2_000.0),
        CircuitMetered(at_s=NOON_S + 61.0, circuit=CircuitId("main"), current_a=Phases(14.0, 15.0, 16.0)),
        LimitSet(at_s=NOON_S + 70.0, source="[dso]", circuit=CircuitId("main"), power_w=9_900.0),
        FaultRaised(at_s=NOON_S + 80.0, evse=S1, code="HighTemperature"),
        OperatorOrder(at_s=NOON_S + 90.0, evse=S1, limit_a=7.0, author="me", reason="works"),
    ]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    async def write() -> None:
        async with open_store(f"sqlite:///{tmp_path / 'yard.db'}") as store:
            for event in story():
                store.journal.append(event)

    asyncio.run(write())
    return tmp_path / "yard.db"


class TestTheState:
    def test_is_shown_and_written_with_its_digest(self, typed: Typed, journal: Path, site_file: Path) -> None:
        out = journal.with_suffix(".json")
        said = typed("replay", journal, site_file, "--json", out)
        assert said.code == 0, said.err
        for words in (
            "2023-11-14 23:13:20", "t1", "12.35", "13.0 A", "12.5 / 12.4 / 12.6 A", "[dso]", "9.9 kW",
            "14.0 / 15.0 / 16.0 A", "HighTemperature", "7.0 A: works", "The [small] yard",
        ):  # fmt: skip
            assert words in said.out
        known: dict[str, Any] = json.loads(out.read_text())
        assert f"digest {known['digest']}" in said.out
        assert known["evses"]["s-1"]["session"]["energy_wh"] == 12_345.0

    def test_is_the_same_by_file_and_by_url_and_told_again(self, typed: Typed, journal: Path, site_file: Path) -> None:
        first = typed("replay", journal, site_file)
        assert typed("replay", f"sqlite:///{journal}", site_file) == first
        assert first.out == typed("replay", journal, site_file).out

    def test_of_an_earlier_time_knows_nothing_of_later(self, typed: Typed, journal: Path, site_file: Path) -> None:
        local, utc = (
            typed("replay", journal, site_file, "--until", text)
            for text in ("2023-11-14T23:14:45", "2023-11-14T22:14:45Z")
        )
        assert local == utc
        assert "HighTemperature" in local.out
        assert "works" not in local.out
        assert local.out != typed("replay", journal, site_file).out

    def test_of_a_time_that_was_dropped_is_refused(self, typed: Typed, journal: Path, site_file: Path) -> None:
        async def shorten() -> None:
            async with open_store(f"sqlite:///{journal}", keep_s=0.0) as store:
                site = load(site_file).site
                store.journal.snapshot(replay(store.journal.resume(site), store.journal.load()))

        whole = typed("replay", journal, site_file)
        asyncio.run(shorten())
        assert typed("replay", journal, site_file) == whole, "a snapshot changes nothing of what is known"
        said = typed("replay", journal, site_file, "--until", "2023-11-14T23:14:45")
        assert said.code == 2
        assert "reaches back to 2023-11-14 23:14:50 only" in said.err

    def test_of_an_empty_journal_is_nothing(self, typed: Typed, journal: Path, site_file: Path) -> None:
        said = typed("replay", journal, site_file, "--until", "2000-01-01")
        assert said.code == 0
        assert "nothing is known" in said.out


class TestRefusals:
    def test_a_missing_journal_is_not_made(self, typed: Typed, site_file: Path, tmp_path: Path) -> None:
        for name in (str(tmp_path / "none.db"), f"sqlite:///{tmp_path / 'none.db'}"):
            said = typed("replay", name, site_file)
            assert said.code == 2
            assert "there is no such journal" in said.err
        assert not (tmp_path / "none.db").exists()

    @pytest.mark.parametrize(
        ("words", "reason"),
        [(("--until", "soon"), "is not a time"), (("--json", "/nowhere/at/all.json"), "does not exist")],
    )
    def test_what_cannot_be_understood(
        self, typed: Typed, journal: Path, site_file: Path, words: tuple[str, ...], reason: str
    ) -> None:
        said = typed("replay", journal, site_file, *words)
        assert said.code == 2
        assert reason in " ".join(said.err.replace("│", " ").split())

    def test_a_file_that_is_no_database(self, typed: Typed, site_file: Path) -> None:
        said = typed("replay", site_file, site_file)
        assert said.code == 2
        assert len(said.err.splitlines()) == 1

    def test_two_states_that_differ_are_exit_code_1(
        self, typed: Typed, journal: Path, site_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        digests = iter(["a", "b", "a", "a", "b", "a"])
        monkeypatch.setattr("smartcharge.cli.replay.digest", lambda _: next(digests))
        said = typed("replay", journal, site_file)
        assert said.code == 1
        assert "not deterministic" in said.err


class TestTheDigest:
    @given(limit_a=st.floats(0.0, 32.0), other_a=st.floats(0.0, 32.0))
    def test_tells_apart_what_is_known(self, limit_a: float, other_a: float) -> None:
        site = tree()

        def known(amps: float) -> str:
            return memory.digest(fold(site, *ready(site), *charging("n0/1"), *told("n0/1", amps, NOON_S, command_id=9)))

        assert (known(limit_a) == known(other_a)) == (round(limit_a, 6) == round(other_a, 6))

    def test_does_not_depend_on_the_last_bits_of_a_number(self) -> None:
        site = tree()

        def metered(power_w: float) -> State:
            return fold(site, Metered(at_s=NOON_S, evse=site.evses[0].id, power_w=power_w))

        assert memory.digest(metered(0.1 + 0.2)) == memory.digest(metered(0.3))
        assert memory.digest(metered(0.31)) != memory.digest(metered(0.3))

    def test_takes_what_a_station_makes_up(self) -> None:
        site = tree()
        odd = [Metered(at_s=NOON_S, evse=site.evses[0].id, power_w=value) for value in (float("nan"), float("inf"))]
        assert len({memory.digest(fold(site, event)) for event in odd}) == 2
