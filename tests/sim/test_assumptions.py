"""What is assumed changes what it names, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smartcharge.model import EvseId
from smartcharge.sim.assumptions import Assumptions, Needs, Pilots
from smartcharge.sim.cars import MIN_A, Battery
from smartcharge.sim.recordings import Visit
from tests.builders import evse, row_of

UNIT = evse("a/1")
QUIET = Visit(evse=EvseId("a/1"), session_id="1", arrive_s=0.0, depart_s=30_000.0, energy_wh=9_000.0)
TALKING = replace(QUIET, stated_energy_wh=20_000.0, stated_depart_s=10_000.0)


class TestNeeds:
    @pytest.mark.parametrize(
        ("needs", "visit", "said"),
        [
            (Needs.RECORDED, QUIET, (9_000.0, 30_000.0)),
            (Needs.RECORDED, TALKING, (20_000.0, 10_000.0)),
            (Needs.RECORDED, replace(TALKING, stated_depart_s=None), (20_000.0, 30_000.0)),
            (Needs.KNOWN, TALKING, (9_000.0, 30_000.0)),
            (Needs.STATED, TALKING, (20_000.0, 10_000.0)),
            (Needs.STATED, replace(TALKING, stated_depart_s=None), (20_000.0, None)),
            (Needs.STATED, QUIET, None),
            (Needs.UNSTATED, TALKING, None),
        ],
    )
    def test_say_what_is_known_at_plug_in(
        self, needs: Needs, visit: Visit, said: tuple[float | None, float | None] | None
    ) -> None:
        need = Assumptions(needs=needs).need(visit, 5.0)
        assert (need and (need.at_s, need.evse, need.energy_wh, need.depart_at_s)) == (said and (5.0, "a/1", *said))


class TestStays:
    def test_who_stays_too_long_leaves_earlier(self) -> None:
        short = replace(QUIET, depart_s=7_200.0)
        capped = Assumptions(longest_stay_s=7_200.0).visits((QUIET, short))
        assert capped == (short, short)

    def test_are_as_recorded_unless_said(self) -> None:
        assert Assumptions().visits((QUIET,)) == (QUIET,)


class TestPilots:
    def test_continuous_ones_have_neither_minimum_nor_steps(self) -> None:
        site = row_of(2)
        stepped = replace(
            site,
            stations=tuple(
                replace(s, evses=tuple(replace(e, steps_a=(0.0, 8.0, 16.0)) for e in s.evses)) for s in site.stations
            ),
        )
        found = Assumptions(pilots=Pilots.CONTINUOUS).site(stepped)
        assert {(e.min_a, e.steps_a, e.max_a) for e in found.evses} == {(0.0, (), 32.0)}
        assert Assumptions().site(stepped) == stepped

    @pytest.mark.parametrize(("pilots", "min_a"), [(Pilots.SITE, MIN_A), (Pilots.CONTINUOUS, 0.0)])
    def test_cars_take_the_smallest_current_only_where_it_can_be_offered(self, pilots: Pilots, min_a: float) -> None:
        assert Assumptions(pilots=pilots).car(QUIET, UNIT).min_a == min_a


class TestCars:
    def test_have_the_battery_that_is_assumed_and_sleep_only_if_they_may_not_be_interrupted(self) -> None:
        ideal = Assumptions(battery=Battery.IDEAL, is_uninterrupted=True).car(QUIET, UNIT)
        assert len({power_w for _, power_w in ideal.acceptance}) == 1
        assert ideal.sleeps
        assert not Assumptions().car(QUIET, UNIT).sleeps
