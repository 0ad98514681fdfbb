"""What could have been, against cases worked out by hand and against what really came of a run."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, time
from typing import Any

import pytest

from smartcharge.config import OcppSettings, Settings, StoreSettings, load, shipped
from smartcharge.model import Money, Phases, Rotation, Site
from smartcharge.sim import clairvoyant, demo
from smartcharge.sim.assumptions import Assumptions
from smartcharge.sim.cars import Battery
from smartcharge.sim.clairvoyant import hindsight, optimum
from smartcharge.sim.recordings import Visit
from smartcharge.sim.runner import UNCONTROLLED, Run, simulate
from smartcharge.sim.scenario import GridStep, Scenario
from solvers import SOLVERS
from solvers.problem import Outcome, Problem, Schedule
from tests.builders import evse, row_of, station
from tests.sim.campaigns import START_S, result

HOUR_S = 3600.0


def visit(letter: str, arrive_h: float, depart_h: float, energy_wh: float) -> Visit:
    arrive_s, depart_s = (START_S + HOUR_S * hours for hours in (arrive_h, depart_h))
    evse = row_of(3).evses["abc".index(letter)].id
    return Visit(evse=evse, session_id=f"{letter}{arrive_h}", arrive_s=arrive_s, depart_s=depart_s, energy_wh=energy_wh)


def run_of(*visits: Visit, site: Site | None = None, **changes: Any) -> Run:
    """Return a day at three EVSEs on one phase of 32 A at 230 V: 7,360 W for all."""
    usual = Run(
        settings=Settings(site=site or row_of(3), mqtt=None, ocpp=OcppSettings(), store=StoreSettings()),
        policy="optimal", visits=visits, start_s=START_S, end_s=START_S + 24.0 * HOUR_S,
        assumptions=Assumptions(battery=Battery.IDEAL),
    )  # fmt: skip
    return replace(usual, **changes)


def best_wh(run: Run) -> float:
    best = optimum(run)
    assert best is not None
    return best.energy_wh


class TestEnergy:
    def test_who_leaves_first_is_served_first_and_nobody_misses_anything(self) -> None:
        run = run_of(visit("a", 0.0, 3.0, 14_000.0), visit("b", 0.0, 1.0, 7_000.0))
        assert best_wh(run) == pytest.approx(21_000.0)

    def test_what_two_want_at_once_is_bounded_by_the_wires(self) -> None:
        run = run_of(visit("a", 0.0, 1.0, 7_000.0), visit("b", 0.0, 1.0, 7_000.0))
        assert best_wh(run) == pytest.approx(7_360.0)

    def test_a_stay_counts_to_the_second(self) -> None:
        assert best_wh(run_of(visit("a", 0.01, 0.51, 9_000.0))) == pytest.approx(7_360.0 / 2.0)

    def test_a_stay_beyond_the_end_counts_up_to_it(self) -> None:
        assert best_wh(run_of(visit("a", 23.0, 30.0, 9_000.0))) == pytest.approx(7_360.0)

    def test_days_apart_are_worked_out_apart(self) -> None:
        run = run_of(visit("a", 0.0, 1.0, 9_000.0), visit("b", 1.0, 2.0, 9_000.0), visit("c", 5.0, 6.0, 9_000.0))
        assert [len(stretch) for stretch in clairvoyant._stretches(run)] == [1, 1, 1]
        assert best_wh(run) == pytest.approx(3 * 7_360.0)

    def test_a_grid_limit_binds_after_the_time_to_react(self) -> None:
        half = GridStep(at=time(1), share=0.5, duration_s=HOUR_S)
        run = run_of(visit("a", 0.0, 3.0, 99_000.0), scenario=Scenario(limits=(half,)))
        halved_h = 1.0 - run.settings.site.timing.reaction_s / HOUR_S
        assert best_wh(run) == pytest.approx(7_360.0 * (3.0 - halved_h / 2.0))

    def test_the_load_of_the_building_goes_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Flat:
            def current_a(self, at_s: float) -> Phases:
                return Phases(12.0, 0.0, 0.0)

        monkeypatch.setattr(clairvoyant, "loads_of", lambda run: {run.settings.site.circuits[0].id: Flat()})
        assert best_wh(run_of(visit("a", 0.0, 1.0, 9_000.0))) == pytest.approx(7_360.0 * 20.0 / 32.0)

    def test_phases_of_the_car_count(self) -> None:
        """Cars that load one phase, on rotated EVSEs, do not hinder one another."""
        a, b = (evse(f"{name}/1", rotation=turned) for name, turned in (("a", Rotation.RST), ("b", Rotation.STR)))
        site = replace(row_of(2), stations=(station(a), station(b)))
        cars = [replace(visit(name, 0.0, 1.0, 30_000.0), phases=1) for name in "ab"]
        assert best_wh(run_of(*cars, site=site)) == pytest.approx(2 * 7_360.0)
        assert best_wh(run_of(*(replace(car, phases=3) for car in cars), site=site)) == pytest.approx(3 * 7_360.0)


class TestMoney:
    def test_energy_costs_its_price(self) -> None:
        site = replace(row_of(3), money=Money(energy_per_kwh=0.5))
        best = optimum(run_of(visit("a", 0.0, 3.0, 14_000.0), site=site))
        assert best is not None
        assert best.cost == pytest.approx(7.0)

    def test_a_demand_charge_spreads_the_energy_but_never_withholds_it(self) -> None:
        site = replace(row_of(3), money=Money(energy_per_kwh=0.0, peak_per_kw=10.0))
        best = optimum(run_of(visit("a", 0.0, 4.0, 8_000.0), visit("b", 2.0, 4.0, 4_000.0), site=site))
        assert best is not None
        assert best.energy_wh == pytest.approx(12_000.0)
        assert best.cost == pytest.approx(30.0)

    def test_a_demand_charge_is_on_all_that_flows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A load of 10 A in the first two hours: the car waits for them to pass."""

        class Morning:
            def current_a(self, at_s: float) -> Phases:
                return Phases(10.0 if at_s < START_S + 2.0 * HOUR_S else 0.0, 0.0, 0.0)

        monkeypatch.setattr(clairvoyant, "loads_of", lambda run: {run.settings.site.circuits[0].id: Morning()})
        site = replace(row_of(3), money=Money(energy_per_kwh=0.0, peak_per_kw=10.0))
        best = optimum(run_of(visit("a", 0.0, 4.0, 4_600.0), site=site))
        assert best is not None
        assert best.cost == pytest.approx(23.0)

    def test_regret_of_cost_is_at_equal_energy(self) -> None:
        """It delivered half, at a peak of 4 kW; the same energy could have been had at 1 kW."""
        site = replace(row_of(3), money=Money(energy_per_kwh=0.0, peak_per_kw=10.0))
        run = run_of(visit("a", 0.0, 4.0, 8_000.0), site=site)
        clumsy = result("edf", energy_delivered_wh=4_000.0, cost=40.0, session_wh={"a0.0": 4_000.0})
        known = hindsight(run, [clumsy, result(UNCONTROLLED)])
        assert known is not None
        assert set(known.regrets) == {"edf"}
        assert known.regrets["edf"].energy_wh == pytest.approx(4_000.0)
        assert known.regrets["edf"].cost == pytest.approx(30.0)


class TestProof:
    def test_an_optimum_that_is_not_proven_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        honest = SOLVERS["optimal"]

        def late(problem: Problem, deadline_s: float) -> Schedule:
            return replace(honest(problem, deadline_s), outcome=Outcome.FEASIBLE)

        monkeypatch.setitem(SOLVERS, "optimal", late)
        assert hindsight(run_of(visit("a", 0.0, 1.0, 1_000.0)), [result()]) is None

    @pytest.mark.parametrize("site", ["depot", "caltech"])
    def test_no_real_run_does_better(self, site: str) -> None:
        run = demo.plan(load(shipped(f"{site}.toml")), None, date(2026, 3, 10), seed=1)
        run = replace(run, end_s=run.start_s + 5 * HOUR_S, pace=None, scenario=Scenario(), policy="llf")
        run = replace(run, transport=type(run.transport).DIRECT)
        come = simulate(run)
        best = optimum(run)
        assert best is not None
        assert come.energy_delivered_wh <= best.energy_wh + 1.0
        assert best.energy_wh > 0.5 * come.energy_delivered_wh
        assert sum(come.session_wh.values()) == pytest.approx(come.energy_delivered_wh)
