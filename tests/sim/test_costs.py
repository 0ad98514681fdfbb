"""What faults cost, against blocking and ignoring; and faults at field rates."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import time

import pytest

from smartcharge.config import load, shipped
from smartcharge.events import FaultRaised
from smartcharge.model import EvseId, Wiring
from smartcharge.sim.costs import false_alarms, fault_figures, with_tolls
from smartcharge.sim.field import RATES, field_faults
from smartcharge.sim.recordings import Visit
from smartcharge.sim.result import Result
from smartcharge.sim.runner import Run, simulate
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
        mine = FaultRaised(at_s=START_S + 100.0, evse=EvseId("n0/1"), code="over-limit")
        assert false_alarms(result("edf", detections=(detection(60.0),), facts=(mine,))) == []


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
