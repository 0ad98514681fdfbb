from __future__ import annotations

import json
from dataclasses import replace
from datetime import time
from math import inf

import pytest

from smartcharge.errors import ConfigError, SmartChargeError
from smartcharge.sim.campaign import check_targets, play, solve_figures, summary
from smartcharge.sim.clairvoyant import Hindsight, Optimum, Regret
from smartcharge.sim.recordings import Visit
from smartcharge.sim.runner import Run
from smartcharge.sim.scenario import Fault, FaultKind, GridStep, Scenario
from tests.sim.campaigns import SETTINGS, START_S, campaign, detection, result, violation

EVSE = SETTINGS.site.evses[0].id
VISIT = Visit(evse=EVSE, session_id="1", arrive_s=START_S + 60.0, depart_s=START_S + 3000.0, energy_wh=3_000.0)
RUN = Run(settings=SETTINGS, policy="edf", visits=(VISIT,), start_s=START_S, end_s=START_S + 3600.0)


class TestPoliciesApart:
    @pytest.mark.parametrize("jobs", [1, 2])
    def test_each_comes_back_in_the_order_asked_for_and_tells_how_far_it_is(self, jobs: int) -> None:
        heard: list[tuple[str, float]] = []
        results = play(RUN, ["greedy", "uncontrolled", "edf"], jobs=jobs, on_sample=lambda *word: heard.append(word))
        assert [one.policy for one in results] == ["greedy", "uncontrolled", "edf"]
        for one in results:
            assert one.sessions == one.sessions_met == 1
            assert one.violations == ()
            times = [at_s for policy, at_s in heard if policy == one.policy]
            assert times == sorted(times)
            assert START_S <= times[0] < times[-1] == inf

    def test_one_that_cannot_be_simulated_is_named_and_the_others_are_ended(
        self, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SmartChargeError, match="nonsense: the simulation ended early, exit code 1"):
            play(RUN, ["nonsense", "edf"], jobs=2, on_sample=lambda *_: None)
        assert "KeyError: 'nonsense'" in capfd.readouterr().err


class TestTargets:
    def test_that_the_site_has_are_fine(self) -> None:
        faults = (
            Fault(kind=FaultKind.STATION_DEAD, target="n0", at=time(1), duration_s=1.0),
            Fault(kind=FaultKind.METER_FROZEN, target="main", at=time(1), duration_s=1.0),
            Fault(kind=FaultKind.BROKER_DOWN, at=time(1), duration_s=1.0),
        )
        check_targets(Scenario(faults=faults, limits=(GridStep(at=time(1), share=0.5),)), SETTINGS.site)

    def test_that_it_does_not_have_are_all_named(self) -> None:
        fault = Fault(kind=FaultKind.STATION_DEAD, target="n9", at=time(1), duration_s=1.0)
        step = GridStep(circuit="west", at=time(1), share=0.5)
        with pytest.raises(ConfigError) as refused:
            check_targets(Scenario(faults=(fault, fault), limits=(step,)), SETTINGS.site)
        assert str(refused.value).splitlines() == [
            "limits.0.circuit: Site has no circuit west",
            "faults.0.target: Site has no station n9",
            "faults.1.target: Site has no station n9",
        ]


class TestTheSummary:
    def test_is_json_with_the_promised_keys(self) -> None:
        found = result("edf", violations=(violation(),), misbehaviour=(violation(),), detections=(detection(60.0),))
        text = json.dumps(summary(campaign(found, result("uncontrolled"))), allow_nan=False)
        read = json.loads(text)
        assert (read["site"], read["recording"]) == ("site", "cars.csv")
        edf = read["policies"]["edf"]
        assert (edf["violations"], edf["violation_details"][0]["circuit"]) == (1, "north")
        assert edf["faults"]["each"][0]["kind"] == "station-silent"
        assert (edf["faults"]["injected"], edf["faults"]["detected"], edf["faults"]["missed"]) == (1, 1, [])
        assert edf["solve_s"] == {"median": 0.020, "p95": 0.5, "max": 0.5}
        assert read["policies"]["uncontrolled"]["solve_s"] == {"median": None, "p95": None, "max": None}

    def test_has_the_optimum_and_what_each_policy_regrets(self) -> None:
        known = Hindsight(
            optimum=Optimum(energy_wh=95_000.0, cost=23.0), regrets={"edf": Regret(energy_wh=7_346.0, cost=0.0)}
        )
        read = summary(replace(campaign(result("edf"), result("uncontrolled")), hindsight=known))
        assert read["clairvoyant"] == {"energy_wh": 95_000.0, "cost": 23.0}
        assert read["policies"]["edf"]["regret"] == {"energy_wh": 7_346.0, "cost": 0.0}
        assert read["policies"]["uncontrolled"]["regret"] is None
        assert read["fairness_measure"].startswith("Jain's index")
        assert summary(campaign(result("edf")))["clairvoyant"] is None

    def test_violations_count_only_where_there_is_a_controller(self) -> None:
        bad = (violation(),)
        assert not campaign(result(), result("uncontrolled", violations=bad)).has_violations
        assert campaign(result(), result("edf", violations=bad)).has_violations

    def test_the_95th_percentile_leaves_a_twentieth_above(self) -> None:
        times = tuple(i / 1000.0 for i in range(1, 101))
        assert solve_figures(result(solve_s=times)) == {"median": 0.0505, "p95": 0.095, "max": 0.1}
