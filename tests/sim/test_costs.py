"""What faults cost, against blocking and ignoring; and faults at field rates."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import time
from typing import Any

import pytest

from smartcharge.cli.cars import generated_cars
from smartcharge.config import load, shipped
from smartcharge.events import FaultRaised
from smartcharge.model import EvseId, Wiring
from smartcharge.sim import costs, hardware
from smartcharge.sim.costs import false_alarms, fault_figures, with_tolls
from smartcharge.sim.field import RATES, field_faults
from smartcharge.sim.generator import Kind
from smartcharge.sim.recordings import Visit
from smartcharge.sim.result import Result
from smartcharge.sim.runner import Run, midnight_s, simulate
from smartcharge.sim.scenario import Fault, FaultKind, Scenario
from tests.builders import row_of
from tests.sim.campaigns import SETTINGS, START_S, detection, result

WIDE = replace(SETTINGS, site=row_of(2, 200.0, Wiring.THREE_PHASE))
EVSES = WIDE.site.evses
SICK = EVSES[0]
HOUR_WH = 3 * 230.0 * 32.0


def run(*faults: Fault) -> Run:
    """Two cars for six hours, that want more than they can get."""
    visits = tuple(
        Visit(evse=one.id, session_id=one.id, arrive_s=START_S + 60.0, depart_s=START_S + 21_000.0, energy_wh=200_000.0)
        for one in EVSES
    )
    scenario = Scenario(faults=faults)
    return Run(settings=WIDE, policy="greedy", visits=visits, start_s=START_S, end_s=START_S + 21_600.0,
               scenario=scenario)  # fmt: skip


@pytest.fixture(scope="module")
def weighed() -> Result:
    fault = Fault(kind=FaultKind.FAN, target=SICK.station, at=time(1), duration_s=7200.0)
    one = run(fault)
    return with_tolls(one, simulate(one))


class TestTolls:
    def test_a_derate_costs_a_quarter_and_a_block_everything(self, weighed: Result) -> None:
        (toll,) = weighed.tolls
        assert toll.lost_wh == pytest.approx(0.25 * 2.0 * HOUR_WH, rel=0.03)
        assert toll.if_blocked_wh == pytest.approx(2.0 * HOUR_WH, rel=0.03)

    def test_ignored_it_bears_too_much_for_an_hour_and_switches_itself_off(self, weighed: Result) -> None:
        (toll,) = weighed.tolls
        assert toll.if_ignored_wh == pytest.approx(HOUR_WH, rel=0.08)

    def test_the_figures_have_the_promised_keys(self, weighed: Result) -> None:
        figures = fault_figures(weighed)
        (toll,) = weighed.tolls
        assert (figures["injected"], figures["detected"], figures["missed"], figures["false_alarms"]) == (1, 1, [], 0)
        assert figures["energy_lost_wh"] == toll.lost_wh
        assert figures["energy_lost_if_blocked_wh"] == toll.if_blocked_wh
        assert figures["violations"] == 0
        assert figures["each"][0]["energy_lost_wh"] == toll.lost_wh

    def test_what_is_not_found_is_listed_with_the_reason(self) -> None:
        missed = fault_figures(result("edf", detections=(detection(60.0, None),)))["missed"]
        assert [(one["kind"], one["why"]) for one in missed] == [("station-silent", "Unanswered")]

    def test_an_alarm_where_nothing_was_planted_is_false(self) -> None:
        said = FaultRaised(at_s=START_S + 100.0, evse=EvseId("n1/1"), code="over-limit")
        told = FaultRaised(at_s=START_S + 100.0, evse=EvseId("n1/1"), code="GroundFailure")
        assert false_alarms(result("edf", detections=(detection(60.0),), facts=(said, told))) == [said]
        mine = FaultRaised(at_s=START_S + 100.0, evse=EvseId("n0/1"), code="meter-stale")
        assert false_alarms(result("edf", detections=(detection(60.0),), facts=(mine,))) == []
        other = replace(mine, code="over-limit")
        assert false_alarms(result("edf", detections=(detection(60.0),), facts=(other,))) == [other]


@pytest.fixture(scope="module")
def hot() -> Result:
    """A clogged filter for three hours at one EVSE, a ground fault for one at the other."""
    one = run(
        Fault(kind=FaultKind.FILTER_CLOGGED, target=SICK.station, at=time(1), duration_s=10_800.0),
        Fault(kind=FaultKind.GROUND_FAULT, target=EVSES[1].station, at=time(2), duration_s=3600.0),
    )
    return with_tolls(one, simulate(one))


class TestWhatADerateIsWorth:
    def test_heat_that_comes_from_the_current_costs_far_less_than_a_block_or_than_nothing(self, hot: Result) -> None:
        filter_ = next(toll for toll in hot.tolls if toll.kind == "filter-clogged")
        assert filter_.if_blocked_wh > 2.5 * HOUR_WH, "from when it was too hot until it was repaired"
        assert filter_.if_ignored_wh > 2.0 * HOUR_WH, "it switches itself off"
        assert 0.2 * HOUR_WH < filter_.lost_wh < 0.5 * filter_.if_blocked_wh

    def test_a_ground_fault_is_a_block_and_its_probation_costs_nothing_more(self, hot: Result) -> None:
        ground = next(toll for toll in hot.tolls if toll.kind == "ground-fault")
        assert ground.if_blocked_wh == pytest.approx(HOUR_WH, rel=0.03)
        assert ground.lost_wh == pytest.approx(ground.if_blocked_wh, rel=0.03)
        assert ground.if_ignored_wh == pytest.approx(ground.if_blocked_wh, rel=0.1), "the station itself is off"

    def test_a_fault_that_nobody_visited_costs_nothing_and_is_not_played(self) -> None:
        one = run(Fault(kind=FaultKind.FAN, target=SICK.station, at=time(1), duration_s=600.0))
        alone = replace(one, visits=one.visits[1:])
        (toll,) = with_tolls(alone, simulate(alone)).tolls
        assert (toll.lost_wh, toll.if_blocked_wh, toll.if_ignored_wh) == (0.0, 0.0, 0.0)

    def test_only_the_days_around_a_fault_are_played_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A fan that fails on the third day costs the same as on the second, after an empty day."""
        fault = Fault(kind=FaultKind.FAN, target=SICK.station, day=2, at=time(1), duration_s=1800.0)
        one = run(fault)
        one = replace(one, start_s=one.start_s - 86_400.0)
        (near,) = with_tolls(one, simulate(one)).tolls
        later_s = 86_400.0
        moved = tuple(
            replace(v, arrive_s=v.arrive_s + later_s, depart_s=v.depart_s + later_s, session_id=f"late {v.session_id}")
            for v in one.visits
        )
        longer = replace(
            one, visits=(*one.visits, *moved), end_s=one.end_s + later_s,
            scenario=Scenario(faults=(fault.model_copy(update={"day": 3}),)),
        )  # fmt: skip
        result, played_s = simulate(longer), []

        def counted(part: Run) -> Result:
            played_s.append(part.end_s - part.start_s)
            return simulate(part)

        monkeypatch.setattr(costs, "simulate", counted)
        (far,) = with_tolls(longer, result).tolls
        assert len(played_s) == 4
        assert max(played_s) < 50_000.0
        assert (far.lost_wh, far.if_blocked_wh) == pytest.approx((near.lost_wh, near.if_blocked_wh), rel=1e-6)


class TestAYear:
    """Faults at field rates: every one is found, or could not be, and nothing is broken (`make campaign`: a week)."""

    def played(self, days: int, rate_factor: float) -> tuple[Run, Result]:
        settings = load(shipped("depot.toml"))
        cars = generated_cars(Kind.DEPOT, settings.site, start=None, days=days, seed=3)
        faults = field_faults(settings.site, days, 3, rate_factor=rate_factor)
        one = Run(settings=settings, policy="optimal", visits=cars.visits, start_s=cars.start_s, end_s=cars.end_s,
                  scenario=Scenario(faults=faults))  # fmt: skip
        return one, simulate(one)

    def judge(self, one: Run, result: Result, least: int) -> None:
        figures = fault_figures(result)
        assert figures["injected"] == len(one.scenario.faults) >= least
        assert result.violations == ()
        assert figures["false_alarms"] == 0, false_alarms(result)
        assert figures["detected"] + len(figures["missed"]) == figures["injected"]
        assert figures["detected"] >= least / 2
        for missed in figures["missed"]:
            self.explain(one, missed["why"], missed)

    @staticmethod
    def explain(one: Run, why: str, missed: dict[str, Any]) -> None:
        """What could not be found really could not."""
        fault = next(d for d in one.scenario.faults if midnight_s(one) + d.after_s == missed["planted_s"])
        until_s = missed["planted_s"] + fault.duration_s
        stations = {evse.id: evse.station for evse in one.settings.site.evses}
        there = [v for v in one.visits if stations[v.evse] == missed["target"]
                 and v.arrive_s < until_s and v.depart_s > missed["planted_s"]]  # fmt: skip
        assert why in hardware.UNDETECTABLE, missed
        assert (why == hardware.NOBODY_THERE) is (not there), missed

    def test_a_day_with_the_faults_of_months(self) -> None:
        self.judge(*self.played(1, 120.0), least=15)

    @pytest.mark.campaign
    def test_a_week_with_the_faults_of_half_a_year(self) -> None:
        self.judge(*self.played(7, 26.0), least=25)


class TestFieldRates:
    def test_come_as_often_as_they_say(self) -> None:
        site = load(shipped("depot.toml")).site
        counts = Counter(fault.kind for seed in range(20) for fault in field_faults(site, 365, seed))
        ac = sum(evse.wiring is not Wiring.DC for evse in site.evses)
        for kind in (FaultKind.EV_COMMUNICATION, FaultKind.GROUND_FAULT, FaultKind.PHASE_LOST):
            count = ac if RATES[kind].is_dc is False else len(site.evses)
            assert counts[kind] == pytest.approx(20 * count * RATES[kind].per_year, rel=0.35)

    def test_never_two_at_one_station_at_a_time(self) -> None:
        site = load(shipped("depot.toml")).site
        until_s: dict[str | None, float] = {}
        for fault in field_faults(site, 365, 1):
            assert fault.after_s > until_s.get(fault.target, -1.0)
            until_s[fault.target] = fault.after_s + fault.duration_s

    def test_are_the_same_for_the_same_seed(self) -> None:
        site = load(shipped("depot.toml")).site
        assert field_faults(site, 30, 5) == field_faults(site, 30, 5) != field_faults(site, 30, 6)
