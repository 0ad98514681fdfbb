from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.cli.command_line import Typed

KEYS = (
    "energy_requested_wh", "energy_delivered_wh", "sessions", "sessions_met", "cost", "peak_w", "fairness",
    "violations", "solve_s", "wall_s",
)  # fmt: skip


class TestARun:
    def test_gives_table_figures_and_report(self, typed: Typed, site_file: Path, recording: Path) -> None:
        out, page = recording.with_suffix(".json"), recording.with_suffix(".html")
        said = typed(
            "simulate", site_file, "--recording", recording, "--days", "1", "--transport", "direct",
            "--policy", "edf", "--policy", "uncontrolled", "--json", out, "--report", page,
        )  # fmt: skip
        assert said.code == 0, said.err
        assert "start: 2024-05-06, the first day with a visit" in said.err
        assert "2 visits" in said.err
        for words in ("edf", "uncontrolled", "The [small] yard", "2/2", "is the reference"):
            assert words in said.out
        found: dict[str, Any] = json.loads(out.read_text())
        assert list(found)[:3] == ["site", "recording", "policies"]
        assert (found["site"], found["recording"]) == ("yard", str(recording))
        assert list(found["policies"]) == ["edf", "uncontrolled"]
        for figures in found["policies"].values():
            assert tuple(figures)[: len(KEYS)] == KEYS
            assert tuple(figures["solve_s"]) == ("median", "p95", "max")
            assert figures["energy_requested_wh"] == 21_800.0
        edf, uncontrolled = found["policies"]["edf"], found["policies"]["uncontrolled"]
        assert found["clairvoyant"]["energy_wh"] == pytest.approx(21_800.0)
        assert edf["regret"]["energy_wh"] == pytest.approx(21_800.0 - edf["energy_delivered_wh"])
        assert "With everything known beforehand 21.8 kWh" in said.out
        assert edf["violations"] == 0 == len(edf["violation_details"])
        assert edf["energy_delivered_wh"] > 20_000.0
        assert edf["solve_s"]["median"] > 0.0
        assert uncontrolled["violations"] == len(uncontrolled["violation_details"]) > 0
        assert uncontrolled["solve_s"] == {"median": None, "p95": None, "max": None}
        text = "".join(ET.parse(page).getroot().itertext())
        assert "The [small] yard" in text
        assert "uncontrolled" in text

    def test_generated_days_need_no_file_and_faults_are_reported(
        self, typed: Typed, site_file: Path, tmp_path: Path
    ) -> None:
        faults = tmp_path / "faults.toml"
        faults.write_text('[[faults]]\nkind = "station-silent"\ntarget = "s-1"\nat = 02:00:00\nduration_s = 600\n')
        said = typed(
            "simulate", site_file, "--generate", "home", "--transport", "direct", "--policy", "greedy",
            "--faults", faults, "--seed", "3", "--start", "2025-02-03",
        )  # fmt: skip
        assert said.code == 0, said.err
        assert "generated home, seed 3" in said.err
        assert "station-silent" in said.out

    def test_assumptions_are_taken_and_reported(self, typed: Typed, site_file: Path, recording: Path) -> None:
        out, page = recording.with_suffix(".json"), recording.with_suffix(".html")
        said = typed(
            "simulate", site_file, "--recording", recording, "--days", "1", "--transport", "direct", "--policy", "llf",
            "--needs", "known", "--battery", "ideal", "--pilots", "continuous", "--longest-stay-h", "0.5",
            "--uninterrupted", "--until-empty", "--json", out, "--report", page,
        )  # fmt: skip
        assert said.code == 0, said.err
        found = json.loads(out.read_text())
        assert found["assumptions"] == {
            "needs": "known", "battery": "ideal", "pilots": "continuous", "longest_stay_s": 1800.0,
            "uninterrupted": True,
        }  # fmt: skip
        assert "pauses" in found["policies"]["llf"]
        # Half an hour at 40 A less 4 A of other load: less than is wanted, and no longer stay makes up for it.
        assert found["policies"]["llf"]["energy_delivered_wh"] < 0.7 * 21_800.0
        assert "stays of 0.5 h at most; cars sleep" in "".join(ET.parse(page).getroot().itertext())

    def test_until_the_last_car_has_left(self, typed: Typed, site_file: Path, recording: Path) -> None:
        """A car that comes before midnight and stays beyond it."""
        recording.write_text(
            "arrival,departure,energy_wh,evse\n2024-05-06T22:00+02:00,2024-05-07T06:00+02:00,40000,s-1\n"
        )
        out = recording.with_suffix(".json")
        words = ("simulate", site_file, "--recording", recording, "--transport", "direct", "--policy", "greedy")
        for more, met in (((), 0), (("--until-empty",), 1)):
            assert typed(*words, "--json", out, *more).code == 0
            found = json.loads(out.read_text())
            assert found["policies"]["greedy"]["sessions_met"] == met

    def test_over_real_ocpp_and_mqtt_ends_without_a_violation(
        self, typed: Typed, site_file: Path, recording: Path
    ) -> None:
        said = typed("simulate", site_file, "--recording", recording, "--days", "1", "--policy", "greedy")
        assert said.code == 0, said.err
        assert "over ocpp" in said.err
        assert "2/2" in said.out


class TestViolations:
    def test_of_a_controlled_policy_are_listed_and_exit_code_1(
        self, typed: Typed, site_file: Path, tmp_path: Path
    ) -> None:
        """A grid limit below what the building itself draws, which no controller can take away."""
        recording = tmp_path / "cars.csv"
        recording.write_text(
            "arrival,departure,energy_wh,evse\n2024-05-06T08:00+02:00,2024-05-06T09:00+02:00,5000,s-1\n"
        )
        faults = tmp_path / "faults.toml"
        faults.write_text("[[limits]]\nat = 08:30:00\nshare = 0.01\nduration_s = 300\n")
        said = typed(
            "simulate", site_file, "--recording", recording, "--transport", "direct", "--policy", "greedy",
            "--faults", faults,
        )  # fmt: skip
        assert said.code == 1
        assert "violations: " in said.out
        assert "main" in said.out


class TestRefusals:
    """Each before anything is simulated, in a line, with exit code 2."""

    @pytest.fixture
    def in_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    @pytest.mark.parametrize(
        ("words", "reason"),
        [
            ((), "either --recording FILE or --generate KIND"),
            (("--recording", "cars.csv", "--generate", "home"), "either --recording FILE or --generate KIND"),
            (("--recording", "missing.csv"), "missing.csv"),
            (("--recording", "yard.toml"), "yard.toml"),
            (("--recording", "cars.csv", "--policy", "magic"), "no policy 'magic'"),
            (("--recording", "cars.csv", "--start", "soon"), "is not a date"),
            (("--recording", "cars.csv", "--start", "1999-01-01"), "no visit begins"),
            (("--recording", "cars.csv", "--json", "nowhere/out.json"), "does not exist"),
            (("--recording", "cars.csv", "--report", "."), "is a folder"),
            (("--recording", "cars.csv", "--faults", "missing.toml"), "missing.toml"),
            (("--recording", "cars.csv", "--faults", "faults.toml"), "has no station x-9"),
            (("--recording", "cars.csv", "--capacity-w", "10"), "cannot be run with 10 W"),
            (("--recording", "cars.csv", "--days", "0"), "days"),
        ],
    )
    @pytest.mark.usefixtures("recording", "in_folder")
    def test_say_why(self, typed: Typed, site_file: Path, words: tuple[str, ...], reason: str) -> None:
        Path("faults.toml").write_text(
            '[[faults]]\nkind = "station-dead"\ntarget = "x-9"\nat = 01:00:00\nduration_s = 9\n'
        )
        said = typed("simulate", site_file, *words)
        assert said.code == 2
        assert reason in " ".join(said.err.replace("│", " ").split())
        assert said.out == ""

    def test_an_evse_that_the_site_does_not_have_is_an_error_unless_skipped(
        self, typed: Typed, site_file: Path, recording: Path
    ) -> None:
        recording.write_text(recording.read_text().replace(",s-1,", ",z-9,"))
        words = ("simulate", site_file, "--recording", recording, "--days", "1", "--transport", "direct")
        said = typed(*words, "--policy", "greedy")
        assert said.code == 2
        assert "no EVSE of this name: z-9" in said.err
        said = typed(*words, "--policy", "greedy", "--unknown", "skip")
        assert said.code == 0
        assert "z-9 (1)" in said.err

    def test_a_site_whose_budget_breaks_is_not_simulated(self, typed: Typed, site_file: Path, recording: Path) -> None:
        site_file.write_text(site_file.read_text().replace("default_a = 6", "default_a = 9"))
        said = typed("simulate", site_file, "--recording", recording)
        assert said.code == 2
        assert "fallback budget breaks: circuit main L1" in said.err


def hears_ctrl_c() -> None:
    """Undo what a shell does to those it starts in the background: they ignore Ctrl-C, and so would we."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class TestCtrlC:
    def test_ends_every_process_without_a_word(self, site_file: Path) -> None:
        command = [
            sys.executable, "-m", "smartcharge.cli", "simulate", str(site_file), "--generate", "home", "--days", "300",
            "--transport", "direct", "--policy", "greedy", "--policy", "edf",
        ]  # fmt: skip
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, "FORCE_COLOR": "1"},
            preexec_fn=hears_ctrl_c,  # noqa: PLW1509 - it does nothing that threads could be in the way of
        ) as process:  # fmt: skip
            assert process.stdout is not None
            said = b""
            while b"Mon 2025-01-06" not in said:  # the bar shows how far a worker is
                said += (chunk := os.read(process.stdout.fileno(), 4096))
                assert chunk, said
            os.killpg(process.pid, signal.SIGINT)
            said += process.stdout.read()  # ends when the last process that could write has ended
        assert process.returncode == 130
        assert b"Traceback" not in said
