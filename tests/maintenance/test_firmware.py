from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from smartcharge.errors import ConfigError, MaintenanceError
from smartcharge.events import Plugged, StationBooted, Unplugged
from smartcharge.maintenance import updater
from smartcharge.maintenance.campaign_file import begin, read_campaign, read_vulnerable
from smartcharge.maintenance.firmware import (
    Campaign,
    CampaignStarted,
    CampaignStopped,
    Image,
    Outcome,
    Progress,
    Rules,
    campaigns,
    entries,
    outcomes,
)
from smartcharge.maintenance.ports import Place
from smartcharge.model import StationId
from smartcharge.sim.loop import run
from smartcharge.store import open_store
from tests.builders import NOON_S, row_of
from tests.maintenance.fleet import Fleet
from tests.maintenance.month import told

PLACE = Place.of(row_of(8))
NEW, OLD = Image(version="2", location="https://x/2"), Image(version="1", location="https://x/1")
RINGS = (("a",), ("b", "c"), ("d", "e", "f", "g", "h"))
HOUR_S = 3600.0


def started(rings: Sequence[Sequence[str]] = RINGS, **rules: float) -> CampaignStarted:
    return CampaignStarted(
        at_s=NOON_S, campaign="up", author="kim", image=NEW, rollback=OLD,
        rings=tuple(tuple(StationId(s) for s in ring) for ring in rings),
        rules=replace(Rules(soak_s=6 * HOUR_S, most_failed=0.2), **rules),
    )  # fmt: skip


class Played(NamedTuple):
    """What came of a campaign."""

    campaign: Campaign
    fleet: Fleet
    known: Mapping[StationId, Outcome]


def play(begun: CampaignStarted, moods: Mapping[str, str] | None = None, *, hours: float = 72.0) -> Played:
    """A campaign in simulated time: real store, real updater."""

    async def main() -> Played:
        async with open_store("sqlite://") as store:
            fleet = Fleet(store, PLACE, moods)
            for station in "abcdefgh":
                await fleet.boot(station, "1")
            await updater.write(store.logbook, lambda _: [begun])
            works = updater.Updater(PLACE, store.chronicle, store.logbook, fleet)

            async def nothing(_: object) -> None:
                raise AssertionError("it has no facts of its own")

            task = asyncio.create_task(works.run(nothing))
            await asyncio.sleep(hours * HOUR_S)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            campaign = campaigns(entries(await store.logbook.lines()))["up"]
            facts = await store.chronicle.facts()
            return Played(campaign, fleet, outcomes(campaign, PLACE, facts, NOON_S + hours * HOUR_S))

    return run(main(), epoch_s=NOON_S)


@pytest.fixture(autouse=True)
def seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look every ten minutes: three days pass faster."""
    monkeypatch.setattr(updater, "ROUND_S", 600.0)


class TestRings:
    def test_one_after_the_other_each_soaking_and_in_the_end_it_is_over(self) -> None:
        campaign, fleet, known = play(started())
        assert campaign.finished is not None
        assert campaign.stopped is None
        assert set(fleet.runs.values()) == {"2"}
        assert {one.progress for one in known.values()} == {Progress.UPDATED}
        at = {station: at_s for at_s, station, _ in fleet.asked}
        for before, after in pairwise(RINGS):
            assert min(at[s] for s in after) - max(at[s] for s in before) >= 6 * HOUR_S + Fleet.TAKES_S
        assert len(fleet.asked) == 8, "nobody is asked twice"

    def test_the_site_keeps_its_share_of_ports(self) -> None:
        _, fleet, known = play(started((tuple("abcdefgh"),), least_available=0.75))
        assert fleet.most_at_once == 2
        assert {one.progress for one in known.values()} == {Progress.UPDATED}


class TestThreshold:
    @pytest.mark.parametrize(
        ("mood", "reason"),
        [
            ("silent", "does not run 2"),
            ("bad signature", "InvalidSignature"),
            ("breaks", "InternalError after the update"),
            ("refuses", "refused"),
        ],
    )
    def test_a_failure_in_the_first_ring_stops_it(self, mood: str, reason: str) -> None:
        campaign, fleet, known = play(started(), {"a": mood})
        assert campaign.stopped is not None
        assert campaign.stopped.reason.startswith("1 of 1 failed: a: ")
        assert reason in campaign.stopped.reason
        assert {fleet.runs[s] for s in "bcdefgh"} == {"1"}
        assert known[StationId("b")].progress is Progress.WAITING

    def test_within_the_threshold_it_goes_on(self) -> None:
        rings = (("a", "b", "c", "d", "e"), ("f", "g", "h"))
        campaign, fleet, known = play(started(rings, most_failed=0.4), {"c": "bad signature"})
        assert campaign.stopped is None
        assert campaign.finished is not None
        assert known[StationId("c")].progress is Progress.FAILED
        assert [s for s, version in fleet.runs.items() if version == "1"] == ["c"]

    def test_who_runs_the_version_of_a_stopped_one_goes_back(self) -> None:
        campaign, fleet, _ = play(started(), {"b": "breaks", "c": "breaks"})
        assert campaign.stopped is not None
        assert set(fleet.runs.values()) == {"1"}
        assert sorted(s for _, s, location in fleet.asked if location.endswith("/1")) == ["a", "b", "c"]
        assert campaign.finished is not None

    def test_without_a_roll_back_they_stay(self) -> None:
        _, fleet, _ = play(replace(started(), rollback=None), {"b": "breaks", "c": "breaks"})
        assert [s for s, version in fleet.runs.items() if version == "2"] == ["a", "b", "c"]

    def test_a_person_stops_it(self) -> None:
        begun = started()
        stopped = CampaignStopped(at_s=NOON_S, campaign="up", author="kim", reason="holiday")
        assert campaigns([begun, stopped])["up"].stopped == stopped


class TestOnlyWhenIdle:
    def test_not_while_a_car_is_there(self) -> None:
        async def main() -> list[str]:
            async with open_store("sqlite://") as store:
                fleet = Fleet(store, PLACE)
                for station in "abc":
                    await fleet.boot(station, "1")
                a = PLACE.ports[0].evse
                await fleet.tell(Plugged(at_s=NOON_S, evse=a))
                await updater.write(store.logbook, lambda _: [started((("a", "b", "c"),), least_available=0.0)])
                works = updater.Updater(PLACE, store.chronicle, store.logbook, fleet)
                await works.round()
                first = [station for _, station, _ in fleet.asked]
                await fleet.tell(Unplugged(at_s=NOON_S, evse=a))
                await works.round()
                return [*first, "then", *(station for _, station, _ in fleet.asked[len(first) :])]

        assert run(main(), epoch_s=NOON_S) == ["b", "c", "then", "a"]

    def test_one_that_could_not_be_reached_is_asked_again(self) -> None:
        _, fleet, known = play(started(), {"a": "away once"})
        assert {one.progress for one in known.values()} == {Progress.UPDATED}
        assert len(fleet.asked) == 8


CAMPAIGN = """
id = "up"
vendor = "V"
model = "M"
first = ["c"]
shares = [0.25, 1.0]
image = { version = "2", location = "https://x/2" }
"""


class TestCampaignFile:
    def facts(self) -> list[StationBooted]:
        made = {"h": ("V", "M", "2"), "g": ("V", "N", "1")}
        return [
            StationBooted(at_s=1.0, station=StationId(s), vendor=v, model=m, firmware=f)
            for s in "abcdefgh"
            for v, m, f in [made.get(s, ("V", "M", "1"))]
        ]

    def test_rings_are_made_of_the_stations_of_the_make_on_another_version(self, tmp_path: Path) -> None:
        path = tmp_path / "up.toml"
        path.write_text(CAMPAIGN)
        begun = begin(read_campaign(path), tmp_path, PLACE, told(self.facts()), ("kim", 2.0))
        assert begun.rings == (("c",), ("a",), ("b", "d", "e", "f"))

    def test_a_first_ring_of_strangers_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "up.toml"
        path.write_text(CAMPAIGN.replace('"c"', '"g", "h", "c"'))
        with pytest.raises(MaintenanceError, match="g, h: not a V M of this site on another version"):
            begin(read_campaign(path), tmp_path, PLACE, told(self.facts()), ("kim", 2.0))

    @pytest.mark.parametrize(
        ("was", "becomes", "says"),
        [
            ('id = "up"', "", "id: Field required"),
            ("shares = [0.25, 1.0]", "shares = [1.0, 0.25]", "shares: must ascend"),
            ('2" }', '2", signature = "x" }', "certificate_file and signature go together"),
            ('model = "M"', 'model = "M"\nmodle = "M"', "modle: Extra inputs"),
        ],
    )
    def test_what_is_wrong_is_named(self, tmp_path: Path, was: str, becomes: str, says: str) -> None:
        path = tmp_path / "up.toml"
        path.write_text(CAMPAIGN.replace(was, becomes))
        with pytest.raises(ConfigError, match=says):
            read_campaign(path)

    def test_vulnerable_versions(self, tmp_path: Path) -> None:
        path = tmp_path / "bad.csv"
        path.write_text("vendor,model,firmware,advisory\nV,M,1,CVE-1\n")
        assert read_vulnerable(path) == {("V", "M", "1"): "CVE-1"}
        path.write_text("vendor,model,firmware,advisory\nV,M,,CVE-1\n")
        with pytest.raises(ConfigError, match=r"bad\.csv:2: must have 4 cells"):
            read_vulnerable(path)
