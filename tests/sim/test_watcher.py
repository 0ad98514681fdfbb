from __future__ import annotations

from dataclasses import replace

import pytest

from smartcharge.model import Circuit, CircuitId, Evse, EvseId, Phases, Rotation, Site, Station, StationId, Wiring
from smartcharge.sim.cars import Car
from smartcharge.sim.watcher import Violation, Watcher
from smartcharge.sim.world import World

START_S = 1_551_427_200.0
MAIN, PANEL = CircuitId("main"), CircuitId("panel")
A, B, C = EvseId("A"), EvseId("B"), EvseId("C")


def evse(name: EvseId) -> Evse:
    return Evse(
        id=name,
        station=StationId("twin" if name in (A, B) else name),
        number=1,
        wiring=Wiring.THREE_PHASE,
        rotation=Rotation.RST,
        voltage_v=230.0,
        min_a=6.0,
        max_a=32.0,
        default_a=6.0,
    )


def circuit(name: CircuitId, rating_a: float, parent: CircuitId | None = None) -> Circuit:
    return Circuit(
        id=name,
        parent=parent,
        rating_a=Phases.all(rating_a),
        failsafe_a=Phases.all(10.0),
        voltage_v=230.0,
    )


SITE = Site(
    id="s",
    name="S",
    timezone="UTC",
    circuits=(circuit(MAIN, 40.0), circuit(PANEL, 30.0, MAIN)),
    stations=(
        Station(id=StationId("twin"), circuit=PANEL, evses=(evse(A), evse(B)), rating_a=28.0),
        Station(id=StationId("C"), circuit=MAIN, evses=(evse(C),)),
    ),
)


class StepLoad:
    """A load on one phase that steps once."""

    def __init__(self, before_a: float, after_a: float, at_s: float) -> None:
        self.before_a, self.after_a, self.at_s = before_a, after_a, START_S + at_s

    def current_a(self, at_s: float) -> Phases:
        return Phases(self.before_a if at_s < self.at_s else self.after_a, 0.0, 0.0)

    def next_change_s(self, at_s: float) -> float:
        return self.at_s if at_s < self.at_s else float("inf")


class Scene:
    """Three EVSEs with cars that take all they are offered."""

    def __init__(self, load: StepLoad | None = None, phases: int = 3, load_reaction_s: float = 0.0) -> None:
        self.world = World(SITE, start_s=START_S, loads={} if load is None else {MAIN: load})
        self.watcher = Watcher(self.world, load_reaction_s=load_reaction_s)
        for name in (A, B, C):
            self.world.plug(name, Car.ideal(energy_wh=1e5, max_w=1e6, phases=phases))

    def at(self, second: float, **offers_a: float) -> None:
        self.world.advance(START_S + second)
        for name, amps in offers_a.items():
            self.world.offer(EvseId(name), amps)


def seconds(violation: Violation) -> tuple[float, float]:
    return round(violation.at_s - START_S, 3), round(violation.until_s - START_S, 3)


class TestRatings:
    def test_a_quiet_day_has_no_violation(self) -> None:
        scene = Scene()
        scene.at(0, A=14.0, B=14.0, C=12.0)
        scene.at(3600)
        record = scene.watcher.finish()
        assert record.violations == record.misbehaviour == record.load_rises == []
        assert record.worst_share == pytest.approx(1.0)

    def test_an_overload_of_every_node_is_found_with_time_phase_and_amount(self) -> None:
        scene = Scene(phases=1)
        scene.at(10, A=16.0, B=16.0, C=12.0)
        scene.at(15.5, A=6.0)
        scene.at(60)
        found = {v.circuit: v for v in scene.watcher.finish().violations}
        assert set(found) == {"main", "panel", "station twin"}
        assert {v.phase for v in found.values()} == {"L1"}
        assert {seconds(v) for v in found.values()} == {(10.0, 15.5)}
        assert [found[n].amount_a for n in ("main", "panel", "station twin")] == pytest.approx([4.0, 2.0, 4.0])
        assert [found[n].limit_a for n in ("main", "panel", "station twin")] == [40.0, 30.0, 28.0]
        assert {v.cause for v in found.values()} == {"rating"}

    @pytest.mark.parametrize(("lasts_s", "count"), [(0.5, 0), (1.0, 0), (1.1, 3), (30.0, 3)])
    def test_the_second_that_a_station_needs_is_tolerated(self, lasts_s: float, count: int) -> None:
        scene = Scene()
        scene.at(10, C=30.0)
        scene.at(20, A=12.0)
        scene.at(20 + lasts_s, A=6.0)
        scene.at(90)
        assert len(scene.watcher.finish().violations) == count

    def test_lower_and_raise_in_one_instant_is_no_overload(self) -> None:
        scene = Scene()
        scene.at(0, C=32.0)
        scene.at(100, A=20.0)
        scene.at(100, C=12.0)
        scene.at(200)
        assert scene.watcher.finish().violations == []

    def test_an_overload_that_only_a_taper_ends_is_as_long_as_it_was(self) -> None:
        """Nothing changes while the battery tapers; the end is still found within a second."""
        scene = Scene()
        scene.world.unplug(C)
        tapering = Car.two_stage(energy_wh=10_400.0, max_w=22_080.0, capacity_wh=52_000.0)
        scene.world.plug(C, tapering)
        scene.at(0, A=10.0, C=32.0)
        scene.at(3600)
        knee = tapering.piece(tapering.cap_w(evse(C), 32.0), 0.0)
        power_w = 30.0 * 3 * 230.0
        fall_wh = 10_400.0 * (1 - power_w / 22_080.0) / (1 - 0.05)
        (first, *others) = scene.watcher.finish().violations
        assert len(others) == 2
        assert first.amount_a == pytest.approx(2.0)
        assert first.until_s - START_S == pytest.approx(knee.seconds(fall_wh), abs=1.0)

    def test_an_overload_that_goes_on_is_reported_too(self) -> None:
        scene = Scene()
        scene.at(0, A=20.0, C=32.0)
        scene.at(7)
        assert {seconds(v) for v in scene.watcher.finish().violations} == {(0.0, 7.0)}

    def test_a_phase_that_is_not_there_may_carry_nothing(self) -> None:
        one_phase = replace(SITE.circuits[0], rating_a=Phases(40.0, 0.0, 0.0))
        world = World(replace(SITE, circuits=(one_phase, SITE.circuits[1])), start_s=START_S)
        watcher = Watcher(world)
        world.plug(C, Car.ideal(energy_wh=1e5, max_w=1e6))
        world.offer(C, 10.0)
        world.advance(START_S + 10.0)
        assert [(v.phase, v.amount_a) for v in watcher.finish().violations] == [("L2", 10.0), ("L3", 10.0)]


class TestLimits:
    @pytest.mark.parametrize(("obeyed_at_s", "count"), [(14.9, 0), (15.0, 0), (15.5, 3)])
    def test_a_limit_must_be_kept_after_the_reaction_time(self, obeyed_at_s: float, count: int) -> None:
        scene = Scene()
        scene.at(0, C=20.0)
        scene.watcher.limit("dso", MAIN, Phases.all(10.0), reaction_s=15.0)
        scene.at(obeyed_at_s, C=10.0)
        scene.at(600)
        found = scene.watcher.finish().violations
        assert len(found) == count
        assert {v.cause for v in found} <= {"limit dso"}

    def test_a_limit_once_kept_may_not_be_broken_for_more_than_a_second(self) -> None:
        scene = Scene()
        scene.watcher.limit("dso", MAIN, Phases(10.0, 99.0, 99.0), reaction_s=15.0)
        scene.at(100, C=20.0)
        scene.at(100.9, C=10.0)
        scene.at(200, C=20.0)
        scene.at(203, C=10.0)
        scene.at(300)
        (only,) = scene.watcher.finish().violations
        assert seconds(only) == (200.0, 203.0)
        assert (only.phase, only.amount_a, only.limit_a) == ("L1", 10.0, 10.0)

    def test_a_limit_of_power_counts_all_phases(self) -> None:
        scene = Scene()
        scene.at(0, C=10.0)
        scene.watcher.limit("dso", MAIN, 6900.0, reaction_s=0.0)
        scene.at(100, A=6.0)
        scene.at(110, A=0.0)
        scene.at(200)
        (only,) = scene.watcher.finish().violations
        assert only.phase == "total"
        assert (only.amount_a, only.limit_a) == pytest.approx((6.0, 10.0))

    def test_a_tighter_limit_keeps_the_last_one_until_it_binds(self) -> None:
        scene = Scene()
        scene.watcher.limit("dso", MAIN, Phases.all(20.0), reaction_s=0.0)
        scene.at(100, C=15.0)
        scene.watcher.limit("dso", MAIN, Phases.all(10.0), reaction_s=15.0)
        scene.at(105, C=25.0)
        scene.at(112, C=10.0)
        scene.at(200)
        found = scene.watcher.finish().violations
        assert {(seconds(v), v.limit_a) for v in found} == {((105.0, 112.0), 20.0)}

    def test_a_looser_limit_counts_at_once(self) -> None:
        scene = Scene()
        scene.watcher.limit("dso", MAIN, Phases.all(10.0), reaction_s=0.0)
        scene.at(100)
        scene.watcher.limit("dso", MAIN, Phases.all(20.0), reaction_s=15.0)
        scene.at(100, C=20.0)
        scene.at(200)
        assert scene.watcher.finish().violations == []

    def test_a_replaced_limit_does_not_come_back_when_the_new_one_expires(self) -> None:
        scene = Scene()
        scene.watcher.limit("dso", MAIN, Phases.all(20.0), reaction_s=0.0)
        scene.watcher.limit("dso", MAIN, Phases.all(10.0), reaction_s=15.0, valid_until_s=START_S + 100.0)
        scene.at(100)
        scene.at(100, C=30.0)
        scene.at(300)
        assert scene.watcher.finish().violations == []

    @pytest.mark.parametrize("how", ["lifted", "expired"])
    def test_a_limit_that_is_gone_binds_no_more(self, how: str) -> None:
        scene = Scene()
        valid_until_s = START_S + 100.0 if how == "expired" else float("inf")
        scene.watcher.limit("dso", MAIN, Phases.all(10.0), reaction_s=0.0, valid_until_s=valid_until_s)
        scene.at(50, C=20.0)
        scene.at(100)
        if how == "lifted":
            scene.watcher.lift("dso", MAIN)
        scene.at(300)
        assert {seconds(v) for v in scene.watcher.finish().violations} == {(50.0, 100.0)}


class TestBlame:
    def test_a_station_that_ignores_its_orders_is_told_apart(self) -> None:
        scene = Scene()
        scene.at(0, A=10.0, C=28.0)
        scene.watcher.misbehaves(C)
        scene.at(10, A=20.0)
        scene.world.offer(C, 28.0, ordered_a=16.0)
        scene.at(40)
        scene.world.offer(C, 16.0)
        scene.at(100)
        record = scene.watcher.finish()
        assert record.violations == []
        assert {seconds(v) for v in record.misbehaviour} == {(10.0, 40.0)}
        assert {v.cause for v in record.misbehaviour} == {"rating: C above its orders"}

    def test_what_would_overload_anyway_stays_the_controllers(self) -> None:
        scene = Scene()
        scene.watcher.misbehaves(C)
        scene.at(0, A=28.0)
        scene.world.offer(C, 28.0, ordered_a=16.0)
        scene.at(40)
        record = scene.watcher.finish()
        assert {v.circuit for v in record.violations} == {"main"}
        assert record.violations[0].amount_a == pytest.approx(16.0)

    def test_disobedience_nobody_planted_is_no_excuse(self) -> None:
        scene = Scene()
        scene.at(0, A=20.0)
        scene.world.offer(C, 28.0, ordered_a=16.0)
        scene.at(40)
        record = scene.watcher.finish()
        assert record.misbehaviour == []
        assert len(record.violations) == 3

    def test_a_rise_of_load_is_excused_for_its_reaction_time_only(self) -> None:
        scene = Scene(StepLoad(5.0, 12.0, at_s=100.0), load_reaction_s=15.0)
        scene.at(0, C=30.0)
        scene.at(130, C=20.0)
        scene.at(200)
        record = scene.watcher.finish()
        assert [seconds(v) for v in record.load_rises] == [(100.0, 115.0)]
        assert [seconds(v) for v in record.violations] == [(115.0, 130.0)]
        assert record.violations[0].amount_a == pytest.approx(2.0)

    def test_without_a_reaction_time_it_is_not(self) -> None:
        scene = Scene(StepLoad(5.0, 12.0, at_s=100.0))
        scene.at(0, C=30.0)
        scene.at(110, C=20.0)
        scene.at(200)
        record = scene.watcher.finish()
        assert record.load_rises == []
        assert [seconds(v) for v in record.violations] == [(100.0, 110.0)]


class TestInvariants:
    def test_a_broken_invariant_is_a_violation(self) -> None:
        scene = Scene()
        scene.at(7)
        scene.watcher.note("I3", "a profile without an end at A")
        (only,) = scene.watcher.finish().violations
        assert (seconds(only), only.circuit, only.cause) == ((7.0, 7.0), None, "I3: a profile without an end at A")
