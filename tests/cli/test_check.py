from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command_line import Typed

REPOSITORY = Path(__file__).parents[2]


class TestEveryShippedSite:
    def test_is_sound_and_the_proof_is_shown(self, typed: Typed) -> None:
        files = sorted((REPOSITORY / "sites").glob("*.toml"))
        said = typed("check", *files)
        assert said.code == 0, said.err
        assert said.out.count("the fallback budget holds") == len(files)
        assert "supply of dc-1" in said.out


class TestTheProof:
    def test_names_what_was_added_up_on_every_circuit_and_phase(self, typed: Typed, site_file: Path) -> None:
        said = typed("check", site_file)
        assert said.code == 0
        assert "The [small] yard" in said.out
        rows = [
            [cell.strip() for cell in line.strip("│").split("│")] for line in said.out.splitlines() if "main" in line
        ]
        assert rows == [["main", phase, "24.0", "4.0", "28.0", "30.0", "40.0"] for phase in ("L1", "L2", "L3")]

    def test_a_broken_budget_names_circuit_phase_and_amount(self, typed: Typed, site_file: Path) -> None:
        site_file.write_text(site_file.read_text().replace("default_a = 6", "default_a = 7"))
        said = typed("check", site_file)
        assert said.code == 1
        assert "circuit main L2" in said.err
        assert "32.0 A > 30.0 A" in said.err
        assert len(said.err.splitlines()) == 3
        assert "holds" not in said.out


class TestEveryError:
    def test_of_every_file_is_one_line_and_sound_files_are_still_shown(
        self, typed: Typed, site_file: Path, tmp_path: Path
    ) -> None:
        wrong = tmp_path / "wrong.toml"
        wrong.write_text(
            site_file.read_text().replace("rating_a = 40", "rating_a = -1").replace("min_a = 6", 'min_a = "x"')
        )
        said = typed("check", wrong, tmp_path / "missing.toml", site_file)
        assert said.code == 1
        lines = said.err.splitlines()
        assert any("wrong.toml: circuits" in line and "rating_a" in line for line in lines)
        assert any("wrong.toml: stations" in line and "min_a" in line for line in lines)
        assert any("missing.toml" in line for line in lines)
        assert all(line.startswith("smartcharge: ") for line in lines)
        assert "the fallback budget holds" in said.out

    def test_a_file_that_is_not_text_is_one_line(self, typed: Typed, tmp_path: Path) -> None:
        odd = tmp_path / "odd.toml"
        odd.write_bytes(b"\xff\xfe\x00")
        said = typed("check", odd, tmp_path)
        assert said.code == 1
        assert len(said.err.splitlines()) == 2


class TestHelp:
    @pytest.mark.parametrize("command", ["check", "simulate", "run", "replay", "schema"])
    def test_of_each_command_has_an_example(self, typed: Typed, command: str) -> None:
        said = typed(command, "--help")
        assert said.code == 0
        assert "Example: smartcharge" in " ".join(said.out.split())

    def test_tells_the_story_and_the_exit_codes(self, typed: Typed) -> None:
        story = " ".join(typed("--help").out.split())
        for word in ("check prove", "journal", "smartcharge demo", "Exit codes"):
            assert word in story

    def test_the_version_and_the_schema_are_printed(self, typed: Typed) -> None:
        assert typed("--version").out.startswith("smartcharge 0.")
        assert "circuits" in json.loads(typed("schema").out)["properties"]

    @pytest.mark.parametrize("words", [("nonsense",), ("check",), ("simulate",), ("check", "--nonsense")])
    def test_wrong_usage_is_exit_code_2(self, typed: Typed, words: tuple[str, ...]) -> None:
        assert typed(*words).code == 2


class TestGroup:
    """Safe shares fit the limit, default profiles fit the safe share, and the files agree."""

    FILES = tuple(sorted((REPOSITORY / "sites" / "group").glob("*.toml")))

    def copied(self, folder: Path, *changes: tuple[str, str, str]) -> list[Path]:
        for file in self.FILES:
            text = file.read_text()
            for name, old, new in changes:
                if file.stem == name:
                    assert old in text
                    text = text.replace(old, new, 1)
            (folder / file.name).write_text(text)
        return [folder / file.name for file in self.FILES]

    def test_the_shipped_one_is_proven(self, typed: Typed) -> None:
        said = typed("check", *self.FILES)
        assert said.code == 0, said.err
        assert "65000 of 150000" in said.out

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (
                ("feeder", "limit_w = 150000", "limit_w = 64000"),
                "feeder: the safe shares are 65000 W together, its limit is 64000 W",
            ),
            (
                ("feeder", "failsafe_w = 100000", "failsafe_w = 60000"),
                "feeder: the safe shares are 65000 W together, failsafe_w of mqtt dso is 60000 W",
            ),
            (
                ("harbour-north", "failsafe_w = 25000", "failsafe_w = 24000"),
                "harbour-north: default profiles may draw 24840 W, its safe share is 24000 W",
            ),
            (
                ("harbour-south", "failsafe_w = 25000", "failsafe_w = 26000"),
                "harbour-south: its safe share is 26000 W, the group keeps 25000 W",
            ),
            (
                ("feeder", 'id = "harbour-ferry"', 'id = "harbour-fairy"'),
                "harbour-ferry: the group feeder does not know it",
            ),
        ],
    )
    def test_what_does_not_fit_is_named(
        self, typed: Typed, tmp_path: Path, change: tuple[str, str, str], reason: str
    ) -> None:
        said = typed("check", *self.copied(tmp_path, change))
        (line,) = said.err.splitlines()
        assert (said.code, line.replace("the fallback budget breaks: ", "")) == (1, f"smartcharge: {reason}")

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (("feeder", "[mqtt]", '[site]\nid = "x"\n[mqtt]'), "site: unknown key"),
            (("feeder", "weight = 2", "weight = 0"), "members[0].weight: should be greater than 0, not 0"),
            (
                ("feeder", '"harbour-ferry"', '"harbour-south"'),
                "members[2].id: 'harbour-south' is the same as members[1]",
            ),
            (("feeder", "failsafe_w = 100000\n", ""), "grid[0].failsafe_w: is missing"),
            (
                ("feeder", 'protocol = "mqtt"', 'protocol = "relay"'),
                "grid[0].protocol: is relay, which limits one site",
            ),
            (("harbour-ferry", "failsafe_w = 15000\n", ""), "grid[0].failsafe_w: is missing: it is the safe share"),
            (("harbour-ferry", "[grid.group]", "autonomous = true\n[grid.group]"), "grid[0].autonomous: is not used"),
        ],
    )
    def test_what_is_wrong_in_a_file_is_named(
        self, typed: Typed, tmp_path: Path, change: tuple[str, str, str], reason: str
    ) -> None:
        said = typed("check", *self.copied(tmp_path, change))
        assert said.code == 1
        assert reason in said.err.splitlines()[0]
