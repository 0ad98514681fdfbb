"""The whole: real controller, OCPP and MQTT on loopback, simulated time, the watcher on."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import date, time
from pathlib import Path
from typing import Any

import pytest

from smartcharge.config import load, shipped
from smartcharge.control.prediction import History
from smartcharge.ports import Snapshot
from smartcharge.sim import demo
from smartcharge.sim.recordings import history
from smartcharge.sim.result import Result
from smartcharge.sim.runner import UNCONTROLLED, Run, Transport, simulate
from smartcharge.sim.scenario import Fault, FaultKind, GridStep, Scenario
from tests.shared_data import ACN, needs_shared

ROOT = Path(__file__).resolve().parents[2]
MARCH = ACN / "caltech" / "2019-03_sessions_5min.csv"
EVERY_FAULT = Path(__file__).parent / "scenarios" / "every_fault.toml"
CONTROLLED = ("optimal", "equal", "edf", "llf", "round-robin")
TUESDAY = date(2026, 3, 10)
"""A day whose generated vans come home between noon and four."""


def depot(hours: float, **changes: Any) -> Run:
    """Return the first hours of a depot's afternoon, as fast as it goes."""
    run = demo.plan(load(shipped("depot.toml")), None, TUESDAY, seed=1)
    changed = replace(run, end_s=run.start_s + hours * 3600.0, pace=None, scenario=Scenario())
    return replace(changed, **changes)


def caltech(folder: Path, *options: str) -> dict[str, Any]:
    """Return what ``smartcharge simulate`` writes of March 2019 at Caltech; it must end well."""
    out = folder / "out.json"
    command = [sys.executable, "-m", "smartcharge.cli", "simulate", "sites/caltech.toml", "--recording", str(MARCH)]
    told = [*command, "--transport", "ocpp", "--json", str(out), *options]
    done = subprocess.run(told, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    figures: dict[str, Any] = json.loads(out.read_text())
    return figures


class TestRecordedWeek:
    """Real cars, every policy, real protocols: nobody ever draws too much."""

    @needs_shared
    @pytest.mark.timeout(600)
    def test_two_days_at_caltech(self, tmp_path: Path) -> None:
        self.holds(caltech(tmp_path, "--days", "2")["policies"], least_sessions=30)

    @needs_shared
    @pytest.mark.campaign
    @pytest.mark.timeout(2400)
    def test_a_week_at_caltech(self, tmp_path: Path) -> None:
        policies = caltech(tmp_path, "--days", "7")["policies"]
        self.holds(policies, least_sessions=200)
        for name in CONTROLLED:
            assert policies[name]["energy_delivered_wh"] > 0.95 * policies[name]["energy_requested_wh"], name

    def holds(self, policies: dict[str, Any], *, least_sessions: int) -> None:
        assert set(policies) == {*CONTROLLED, UNCONTROLLED}
        for name in CONTROLLED:
            figures = policies[name]
            assert figures["violations"] == 0, name
            assert figures["sessions"] == policies[UNCONTROLLED]["sessions"] >= least_sessions
            # Cars that stay beyond the end have not got all by then, controlled or not.
            assert figures["energy_delivered_wh"] > 0.95 * policies[UNCONTROLLED]["energy_delivered_wh"], name


IN_THE_CHAIN = frozenset({
    FaultKind.STATION_SILENT, FaultKind.STATION_DEAD, FaultKind.STATION_IGNORES_PROFILE, FaultKind.ANSWER_LOST,
    FaultKind.METER_FROZEN, FaultKind.BROKER_DOWN, FaultKind.CONTROLLER_KILLED, FaultKind.LIMIT_STALE,
})  # fmt: skip
"""Faults of what is between the controller and the cars; those of the hardware have a table of their own."""


class TestEveryFault:
    """Each of them once: no violation but a station's own, and every fault is noticed."""

    @needs_shared
    @pytest.mark.timeout(400)
    def test_caltech_on_a_bad_day(self, tmp_path: Path) -> None:
        options = ("--start", "2019-03-07", "--days", "1", "--policy", "optimal", "--faults", str(EVERY_FAULT))
        found = caltech(tmp_path, *options)
        assert found["policies"]["optimal"]["violations"] == 0
        faults = found["policies"]["optimal"]["faults"]
        assert {FaultKind(fault["kind"]) for fault in faults["each"]} == IN_THE_CHAIN
        assert faults["missed"] == []
        assert faults["injected"] == faults["detected"] >= len(IN_THE_CHAIN)

    @pytest.mark.parametrize("transport", list(Transport))
    def test_a_meter_of_the_grid_connection_that_freezes(self, transport: Transport) -> None:
        frozen = Fault(kind=FaultKind.METER_FROZEN, target="main", at=time(13), duration_s=900.0)
        result = simulate(depot(2.0, transport=transport, scenario=Scenario(faults=(frozen,))))
        assert result.violations == ()
        assert [detection.detected_s is not None for detection in result.detections] == [True]


class TestGridLimit:
    """A cut is kept within the declared reaction time, and lifted in so many words."""

    @pytest.mark.parametrize("transport", list(Transport))
    def test_halved_while_vans_charge(self, transport: Transport) -> None:
        cut = GridStep(at=time(15), share=0.4, duration_s=1800.0)
        run = depot(4.0, transport=transport, scenario=Scenario(limits=(cut,)))
        result = simulate(run)
        assert result.violations == ()
        assert len(result.limit_drop_to_compliance_s) == 1
        assert result.limit_drop_to_compliance_s[0] <= run.settings.site.timing.reaction_s
        assert min(result.series.limit_w) < 0.5 * max(result.series.limit_w)


class TestWatcher:
    """It sees what a site without a controller does."""

    def test_uncontrolled_vans_break_the_rating(self) -> None:
        result = simulate(depot(3.0, transport=Transport.DIRECT, policy=UNCONTROLLED))
        assert any(violation.cause.startswith("rating") for violation in result.violations)
        assert result.worst_loading > 1.2


class TestTransports:
    """The protocol changes nothing that matters."""

    def test_energy_is_about_the_same(self) -> None:
        results: list[Result] = [simulate(depot(4.0, transport=transport)) for transport in Transport]
        energy = [result.energy_delivered_wh for result in results]
        assert results[0].sessions == results[1].sessions > 5
        assert max(energy) < 1.05 * min(energy)


class _Taught:
    """An observer that keeps what the controller had learnt when it began."""

    def __init__(self) -> None:
        self.first: History | None = None

    def observe(self, snapshot: Snapshot) -> None:
        self.first = self.first or snapshot.state.history


class TestHistory:
    """A site has a past before the first simulated day."""

    @pytest.mark.parametrize("transport", list(Transport))
    def test_the_controller_begins_with_it(self, transport: Transport) -> None:
        run = depot(0.2, transport=transport)
        past = history(run.visits, before_s=run.visits[-1].depart_s + 1.0)
        taught = _Taught()
        result = simulate(replace(run, history=past), observers=(taught,))
        assert result.violations == ()
        assert past.cells
        assert taught.first == past


class TestDemo:
    def test_its_summary(self) -> None:
        run = demo.plan(load(shipped("depot.toml")), None, TUESDAY, seed=2)
        result = simulate(replace(run, end_s=run.start_s + 2 * 3600.0, pace=None), observers=(demo.Screen(run=run),))
        summary = demo.summary(result)
        assert summary["violations"] == 0
        assert summary["energy_wh"] > 0.0
        assert summary["sessions"] > 0
        assert set(summary) >= {"limit_drop_to_compliance_s", "faults", "peak_w", "wall_s"}
