"""The benchmarks run, on small sizes; how fast is not a test's business."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import limit_cut, simulate, solve
from benchmarks.solve import Case
from smartcharge.sim.generator import Kind


class TestLimitCut:
    def test_every_station_accepts_a_lower_profile(self) -> None:
        (row,) = limit_cut.measure(stations=3, cuts=2, dwell_s=0.0)
        assert (row["benchmark"], row["stations"], row["cuts"]) == ("limit_cut", 3, 2)
        assert 0.0 < row["median_s"] <= row["p95_s"] <= row["max_s"]


class TestSolve:
    def test_both_solvers_deliver_the_same(self) -> None:
        (row,) = solve.measure(iter([Case(name="small", site=limit_cut.site_of(3), repeats=1)]))
        assert (row["evses"], row["slots"]) == (3, 46)
        assert row["energy_ratio_to_pyomo"] == pytest.approx(1.0, abs=1e-4)
        assert row["greedy_objective_ratio"] >= 1.0 - 1e-6
        assert set(row["peers"]) == {"pyomo-highs"}


class TestSimulate:
    def test_both_transports(self) -> None:
        rows = simulate.measure(cases=(("hub", Kind.PUBLIC),), hours=1.0)
        assert [row["transport"] for row in rows] == ["ocpp", "direct"]
        assert all(row["violations"] == 0 for row in rows)


class TestCommand:
    def test_writes_rows_and_machine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(command, "MEASURES", {"quick": lambda: [{"benchmark": "quick", "median_s": 1.0}]})
        command.main(["--json", str(tmp_path / "out.json")])
        report = json.loads((tmp_path / "out.json").read_text())
        assert report["rows"] == [{"benchmark": "quick", "median_s": 1.0}]
        assert {"cpu", "cpus", "python", "libraries"} <= set(report["machine"])

    def test_refuses_an_unknown_name(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            command.main(["fast"])
        assert "no benchmark 'fast'" in capsys.readouterr().err
