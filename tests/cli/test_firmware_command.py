from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from smartcharge.config import load
from smartcharge.events import StationBooted
from smartcharge.maintenance.ports import Place
from smartcharge.model import StationId
from smartcharge.store import open_store
from tests.cli.command_line import Typed

CAMPAIGN = """
id = "up"
vendor = "V"
model = "M"
first = ["s-1"]
shares = [1.0]
image = { version = "2", location = "https://x/2" }
"""


@pytest.fixture
def journal(site_file: Path) -> Path:
    async def write() -> None:
        async with open_store(f"sqlite:///{site_file.with_name('yard.db')}") as store:
            for n in (1, 2, 3):
                name = StationId(f"s-{n}")
                store.journal.append(StationBooted(at_s=1e9, station=name, vendor="V", model="M", firmware="1"))

    asyncio.run(write())
    return site_file.with_name("yard.db")


class TestVersions:
    def test_are_listed_and_vulnerable_ones_are_exit_code_1(
        self, typed: Typed, site_file: Path, journal: Path, tmp_path: Path
    ) -> None:
        said = typed("firmware", "list", journal, site_file)
        assert said.code == 0
        assert "never booted here" in said.out
        advisories = tmp_path / "advisories.csv"
        advisories.write_text("vendor,model,firmware,advisory\nV,M,1,CVE-2026-1\n")
        said = typed("firmware", "list", journal, site_file, "--vulnerable", advisories)
        assert said.code == 1
        assert said.out.count("CVE-2026-1") == 3


class TestCampaign:
    def test_begun_shown_and_stopped(self, typed: Typed, site_file: Path, journal: Path, tmp_path: Path) -> None:
        file = tmp_path / "up.toml"
        file.write_text(CAMPAIGN)
        begin = ("firmware", "start", journal, site_file, file, "--by", "kim")
        said = typed(*begin)
        assert said.out == "campaign up begins\nring 1: s-1\nring 2: s-2, s-3\n", said.err
        assert "there is a campaign up already" in typed(*begin).err
        file.write_text(CAMPAIGN.replace('"up"', '"other"'))
        assert "campaign up is not over" in typed(*begin).err
        shown = typed("firmware", "show", journal, site_file).out
        assert "up to 2: goes on" in shown
        assert shown.count("waiting") == 3
        stop = ("firmware", "stop", journal, "up", "--by", "kim", "--reason", "holiday")
        assert typed(*stop).code == 0
        assert "no campaign up is going on" in typed(*stop).err
        assert "stopped by kim: holiday" in typed("firmware", "show", journal, site_file).out
        assert typed(*begin).code == 0


class TestRollout:
    def test_begun_shown_and_stopped(self, typed: Typed, site_file: Path, tmp_path: Path) -> None:
        url, file = f"sqlite:///{tmp_path / 'network.db'}", tmp_path / "up.toml"
        file.write_text(CAMPAIGN)
        place = Place.of(load(site_file).site)

        async def deliver() -> None:
            async with open_store(f"sqlite:///{tmp_path / 'north.db'}") as store:
                await store.mirror("north", place.written(), url).deliver()

        asyncio.run(deliver())
        begin = ("firmware", "rollout", url, file, "--by", "kim", "--ring")
        assert "no site west has delivered" in " ".join(typed(*begin, "north,west").err.split())
        assert typed(*begin, "north").out == "rollout up begins with north\n"
        assert "there is a rollout up already" in typed(*begin, "north").err
        shown = typed("firmware", "rollouts", url).out
        assert "up to 2: goes on" in shown
        assert "waiting" in shown
        halt = ("firmware", "halt", url, "up", "--by", "kim", "--reason", "holiday")
        assert typed(*halt).out == "rollout up is stopped\n"
        assert "stopped by kim: holiday" in " ".join(typed("firmware", "rollouts", url).out.split())
        assert "no rollout up is going on" in typed(*halt).err
