"""The benchmarks run, on small sizes; how fast is not a test's business."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import closed_loop, garages, health, limit_cut, openadr_events, predict, scale, simulate, solve
from benchmarks.figures import Row
from benchmarks.peers import CONES, PEERS
from benchmarks.recording import MARCH
from benchmarks.solve import Case
from smartcharge.config import load
from smartcharge.control.planning import GAP_SHARE
from smartcharge.sim.generator import Kind
from solvers import SOLVERS
from solvers.objective import objective, shortfall_wh
from solvers.problem import Floats, Problem
from tests.shared_data import REASON, needs_shared


class TestLimitCut:
    def test_every_station_accepts_a_lower_profile(self) -> None:
        rows = limit_cut.measure(stations=3, cuts=2, dwell_s=0.0)
        assert [row["over"] for row in rows] == ["mqtt", "http", "webhook"]
        for row in rows:
            assert (row["benchmark"], row["stations"], row["cuts"]) == ("limit_cut", 3, 2)
            assert 0.0 < row["median_s"] <= row["p95_s"] <= row["p99_s"] <= row["max_s"]


class TestHealth:
    """Degradations with known truth: what gets worse is found, what is sound is left alone."""

    @pytest.fixture(scope="class")
    @classmethod
    def rows(cls) -> list[Row]:
        return health.measure(health.Size(evses=8, days=150))

    def test_all_that_got_worse_is_found_before_it_is_at_its_worst_for_long(self, rows: list[Row]) -> None:
        assert len(rows) == 4
        for row in rows:
            assert (row["degraded"], row["detected"], row["missed"]) == (4, 4, 0), row["degradation"]
            assert 0.0 < row["delay_days_median"] <= row["delay_days_max"] <= row["days_to_the_worst"] + 14.0

    def test_sound_hardware_is_hardly_ever_blamed(self, rows: list[Row]) -> None:
        years = sum(row["sound_evse_years"] for row in rows)
        assert years > 10.0
        assert sum(row["false_alarms_per_evse_year"] * row["sound_evse_years"] for row in rows) / years < 0.5
        assert sum(row["false_warnings_per_evse_year"] * row["sound_evse_years"] for row in rows) / years < 0.5

    def test_nothing_is_found_where_nothing_gets_worse(self) -> None:
        never = [replace(one, days=1e9) for one in health.DEGRADATIONS[2:3]]
        (row,) = health.measure(health.Size(evses=4, days=90), never)
        assert (row["detected"], row["missed"]) == (0, 2)


def test_a_program_of_openadr_events_is_understood() -> None:
    rows = openadr_events.measure(events=20, repeats=2)
    assert [(row["poll"], row["events"]) for row in rows] == [("first", 20), ("again", 20)]
    assert all(0.0 < row["median_s"] <= row["p99_s"] <= row["max_s"] for row in rows)


class TestScale:
    def test_every_station_is_known_metered_and_comes_back(self) -> None:
        (row,) = scale.measure(stations=3, seconds=0.5, settle_s=0.0)
        assert (row["benchmark"], row["stations"]) == ("scale", 3)
        assert row["first_connect_s"] is not None
        assert row["reconnect_storm_s"] is not None
        assert 0.0 <= row["cpu_of_one_core"] < 2.0


@pytest.fixture(scope="module")
def rows() -> dict[str, Row]:
    case = Case(garage=garages.caltech(capacity=0.33), peer_slots=24, repeats=1)
    return {row["problem"]: row for row in solve.measure(iter([case]))}


def exactly(problem: Problem) -> Floats:
    return SOLVERS["optimal"](problem, 60.0).current_a


class TestSolve:
    def test_peers_solve_the_same_problem(self, rows: dict[str, Row]) -> None:
        alike = rows["caltech delta, peers' slots"]
        assert (alike["evses"], alike["slots"]) == (54, 24)
        assert alike["energy_ratio_to_cones"] == pytest.approx(1.0, abs=GAP_SHARE + 1e-4)
        assert set(alike["peers"]) == {"cvxpy-clarabel-cones", "cvxpy-highs-linear", "pyomo-highs"}

    def test_without_a_gap_the_energy_is_that_of_the_cones(self) -> None:
        problem = replace(garages.caltech(capacity=0.33).problem(garages.even_grid(24)), gap=0.0)
        missing_wh = [shortfall_wh(problem, found).sum() for found in (PEERS[CONES](problem), exactly(problem))]
        assert missing_wh[1] == pytest.approx(missing_wh[0], abs=1e-4 * problem.demand_wh.sum())

    def test_our_own_slots_place_as_much(self, rows: dict[str, Row]) -> None:
        own = rows["caltech delta"]
        assert own["slots"] == 46
        assert own["warm_s"] > 0.0
        assert 1.1 > own["energy_ratio_to_cones"] > 0.99
        assert own["energy_ratio_never_replanned"] <= 1.0 + 1e-6

    def test_minimum_currents_have_no_peer(self, rows: dict[str, Row]) -> None:
        row = rows["caltech delta, minimum currents and steps"]
        assert (row["binary_slots"], row["peers"]) == (2, {})
        assert row["gap_share"] > 0.0


class TestPeers:
    def test_all_agree_where_currents_only_add_up(self) -> None:
        problem = garages.tree(12, panels=2, feeders=1).problem(garages.even_grid(6))
        costs = [objective(problem, peer(problem)) for peer in PEERS.values()]
        assert costs == pytest.approx([SOLVERS["optimal"](problem, 60.0).objective] * 3, rel=1e-5)


class TestGarages:
    def test_true_lines_are_those_of_the_network(self) -> None:
        coupling, limit_a = garages.true_lines(load(garages.SITES / "caltech.toml").site)
        assert coupling.shape == (8, 54)
        assert sorted(limit_a) == pytest.approx([80.0] * 2 + [180.5] * 3 + [416.7] * 3, abs=0.1)

    def test_five_minutes_later_the_cars_have_what_they_got(self) -> None:
        garage = garages.caltech()
        later = garage.later(np.full(54, 30.0), np.random.default_rng(0))
        expected_wh = np.maximum(garage.demand_wh - 30.0 * garage.watts_per_amp / 12.0, 0.0)
        assert np.isclose(later.demand_wh, expected_wh).sum() == 53


class TestPredict:
    def test_pinball_loss_by_hand(self) -> None:
        assert predict.pinball(10.0, np.full(5, 8.0)) == pytest.approx([0.2, 0.5, 1.0, 1.5, 1.8])
        assert predict.pinball(10.0, np.full(5, 12.0)) == pytest.approx([1.8, 1.5, 1.0, 0.5, 0.2])

    @needs_shared
    def test_what_was_learnt_beats_the_plain_median_in_held_out_months(self) -> None:
        rows = predict.measure(predict.CASES[:1])
        assert [(row["held_out"] > 1000, row["quantity"]) for row in rows] == [(True, "stay"), (True, "energy")]
        for row in rows:
            share = 0.8 if row["quantity"] == "stay" else 0.99
            assert row["pinball_median"] < share * row["pinball_median_plain"], row["recording"]
            assert row["pinball_all"] < (0.9 if row["quantity"] == "stay" else 0.97) * row["pinball_all_plain"]

    def test_nothing_is_said_of_recordings_that_are_not_there(self, tmp_path: Path) -> None:
        assert predict.measure([replace(predict.CASES[0], path=tmp_path / "none.csv.gz")]) == []


class TestClosedLoop:
    def test_sets_policies_beside_what_could_have_been(self) -> None:
        day = replace(closed_loop.CASES[-1], start=date(2019, 3, 3))
        rows = closed_loop.measure(cases=[day], policies=["edf"])
        if not MARCH.exists():
            assert rows == []
            pytest.skip(REASON)
        (row,) = rows
        assert (row["policy"], row["violations"]) == ("edf", 0)
        assert 0.5 < row["delivered"] <= row["clairvoyant"] <= 1.0


class TestSimulate:
    def test_both_transports(self) -> None:
        rows = simulate.measure(cases=(("hub", Kind.PUBLIC),), hours=1.0, month_days=1)
        assert [row["transport"] for row in rows] == ["ocpp", "direct", "direct"]
        assert (rows[-1]["site"], rows[-1]["simulated_h"]) == ("caltech", 24.0)
        assert rows[-1]["sessions"] > 5
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
