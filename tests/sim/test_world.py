from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from math import inf, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcharge.clock import now_s
from smartcharge.model import (
    Circuit,
    CircuitId,
    Evse,
    EvseId,
    Phases,
    Rotation,
    Site,
    Station,
    StationId,
    Transformer,
    Wiring,
)
from smartcharge.sim import loop
from smartcharge.sim.cars import Car
from smartcharge.sim.loads import BuildingLoad, ConstantLoad
from smartcharge.sim.world import LoopDriver, World
from tests.shared_data import NETWORKS, needs_shared

START_S = 1_551_427_200.0


def evse(name: str, wiring: Wiring = Wiring.THREE_PHASE, rotation: Rotation = Rotation.RST) -> Evse:
    return Evse(
        id=EvseId(name),
        station=StationId(name),
        number=1,
        wiring=wiring,
        rotation=rotation,
        voltage_v=208.0 if wiring is Wiring.LINE_TO_LINE else 230.0,
        min_a=6.0,
        max_a=32.0,
        default_a=6.0,
        efficiency=0.9 if wiring is Wiring.DC else 1.0,
    )


def circuit(name: str, parent: str | None = None, transformer: Transformer | None = None) -> Circuit:
    return Circuit(
        id=CircuitId(name),
        parent=None if parent is None else CircuitId(parent),
        rating_a=Phases.all(63.0),
        failsafe_a=Phases.all(20.0),
        voltage_v=230.0 if transformer is None else transformer.primary_v / sqrt(3.0),
        transformer=transformer,
    )


def site(circuits: tuple[Circuit, ...], hung: dict[str, tuple[Evse, ...]]) -> Site:
    stations = tuple(
        Station(id=unit.station, circuit=CircuitId(name), evses=(unit,))
        for name, units in hung.items()
        for unit in units
    )
    return Site(id="s", name="S", timezone="UTC", circuits=circuits, stations=stations)


def flat(*evses: Evse) -> Site:
    return site((circuit("main"),), {"main": evses})


def ideal(energy_wh: float = 1e5, phases: int = 3) -> Car:
    return Car.ideal(energy_wh=energy_wh, max_w=1e6, phases=phases)


def charging(at: Site, amps: dict[str, float], phases: int = 3) -> World:
    world = World(at, start_s=START_S)
    for name, current_a in amps.items():
        world.plug(EvseId(name), ideal(phases=phases))
        world.offer(EvseId(name), current_a)
    return world


def main_current(world: World) -> Phases:
    return world.circuit_currents()[CircuitId("main")]


class TestWires:
    @pytest.mark.parametrize(
        ("rotation", "phases", "expected"),
        [
            (Rotation.RST, 3, (10, 10, 10)),
            (Rotation.RST, 1, (10, 0, 0)),
            (Rotation.STR, 1, (0, 10, 0)),
            (Rotation.TRS, 1, (0, 0, 10)),
            (Rotation.TRS, 2, (10, 0, 10)),
            (Rotation.SRT, 2, (10, 10, 0)),
        ],
    )
    def test_a_car_loads_the_phases_its_evse_is_wired_to(
        self, rotation: Rotation, phases: int, expected: tuple[float, ...]
    ) -> None:
        world = charging(flat(evse("A", rotation=rotation)), {"A": 10.0}, phases)
        assert main_current(world) == pytest.approx(expected)
        assert world.evse_currents(EvseId("A")) == pytest.approx(tuple(10.0 if i < phases else 0.0 for i in range(3)))
        assert world.power_w(EvseId("A")) == pytest.approx(phases * 2300.0)

    def test_wye_loads_on_one_phase_add_up(self) -> None:
        units = (evse("A", Wiring.ONE_PHASE), evse("B"))
        assert main_current(charging(flat(*units), {"A": 10.0, "B": 16.0})) == pytest.approx((26, 16, 16))

    def test_line_to_line_loads_add_as_phasors(self) -> None:
        ab, bc, ca = (
            evse(name, Wiring.LINE_TO_LINE, rotation)
            for name, rotation in (("AB", Rotation.RST), ("BC", Rotation.STR), ("CA", Rotation.TRS))
        )
        world = charging(flat(ab, bc, ca), {"AB": 30.0})
        assert main_current(world) == pytest.approx((30, 30, 0))
        world = charging(flat(ab, bc, ca), {"AB": 30.0, "BC": 30.0})
        assert main_current(world) == pytest.approx((30, 30 * sqrt(3), 30))
        world = charging(flat(ab, bc, ca), {"AB": 30.0, "BC": 30.0, "CA": 30.0})
        assert main_current(world) == pytest.approx((30 * sqrt(3),) * 3)

    def test_dc_is_balanced_and_counts_dc_energy(self) -> None:
        world = charging(flat(evse("D", Wiring.DC)), {"D": 20.0}, phases=1)
        assert main_current(world) == pytest.approx((20, 20, 20))
        world.advance(START_S + 3600.0)
        assert world.power_w(EvseId("D")) == pytest.approx(3 * 230 * 20)
        assert world.register_wh(EvseId("D")) == pytest.approx(3 * 230 * 20 * 0.9)

    def test_a_transformer_keeps_the_power(self) -> None:
        """Balanced 208 V loads of 30 A on 480 V: the primary carries the same power at the higher voltage."""
        stepped = circuit("main", transformer=Transformer(primary_v=480.0, secondary_v=208.0))
        units = [
            evse(n, Wiring.LINE_TO_LINE, r)
            for n, r in (("AB", Rotation.RST), ("BC", Rotation.STR), ("CA", Rotation.TRS))
        ]
        world = charging(site((stepped,), {"main": tuple(units)}), {"AB": 30.0, "BC": 30.0, "CA": 30.0})
        power_w = 3 * 208.0 * 30.0
        assert world.circuit_powers_w()[CircuitId("main")] == pytest.approx(power_w)
        assert main_current(world) == pytest.approx((power_w / (480.0 * sqrt(3)),) * 3)

    def test_loads_beside_a_transformer_add_in_phase(self) -> None:
        """Two balanced loads of unity power factor, one behind the transformer: their amounts add up."""
        top = replace(circuit("main"), voltage_v=480.0 / sqrt(3))
        below = circuit("below", "main", Transformer(primary_v=480.0, secondary_v=208.0))
        units = (replace(evse("A"), voltage_v=120.0), replace(evse("B"), voltage_v=277.0))
        at = site((top, below), {"below": units[:1], "main": units[1:]})
        alone = main_current(charging(at, {"A": 30.0})).l1
        assert main_current(charging(at, {"A": 30.0, "B": 10.0})).l1 == pytest.approx(alone + 10.0)

    def test_a_shared_supply_carries_its_own_evses(self) -> None:
        units = tuple(replace(evse(name), station=StationId("twin")) for name in "AB")
        twin = Station(id=StationId("twin"), circuit=CircuitId("main"), evses=units, rating_a=40.0)
        other = Station(id=StationId("C"), circuit=CircuitId("main"), evses=(evse("C"),))
        at = Site(id="s", name="S", timezone="UTC", circuits=(circuit("main"),), stations=(twin, other))
        world = charging(at, {"A": 10.0, "B": 12.0, "C": 7.0})
        lines = world.line_currents(world.drawn_a(), world.load_a)
        assert world.wires.nodes == ("main", "station twin")
        assert lines == pytest.approx(np.array([[29.0] * 3, [22.0] * 3]))
        assert world.wires.rating_a.tolist() == [[63.0] * 3, [40.0] * 3]

    def test_an_uncontrolled_load_stands_before_its_circuits_transformer(self) -> None:
        below = circuit("below", "main", Transformer(primary_v=480.0, secondary_v=208.0))
        at = site((circuit("main"), below), {"below": (evse("A"),)})
        world = World(at, start_s=START_S, loads={CircuitId("below"): ConstantLoad(amps=Phases(5.0, 6.0, 7.0))})
        assert world.circuit_currents()[CircuitId("below")] == pytest.approx((5, 6, 7))
        assert main_current(world) == pytest.approx((5, 6, 7))
        assert world.circuit_powers_w()[CircuitId("main")] == pytest.approx(18.0 * 480.0 / sqrt(3))

    @needs_shared
    def test_caltechs_published_constraints_are_ours(self) -> None:
        """Every row |A (I exp(j phi))| of the published matrix is the current on one of our lines."""
        net = json.loads((NETWORKS / "caltech.json").read_text())
        rotations = {30.0: Rotation.RST, -90.0: Rotation.STR, 150.0: Rotation.TRS}
        units = tuple(
            evse(name, Wiring.LINE_TO_LINE, rotations[angle])
            for name, angle in zip(net["station_ids"], net["phase_deg"], strict=True)
        )
        ratio = net["constraint_matrix"][net["constraint_ids"].index("Primary A")]
        primary_v = 120.0 / max(map(abs, ratio)) * 2.0
        top = circuit("top", transformer=Transformer(primary_v=primary_v, secondary_v=120.0 * sqrt(3)))
        world = World(site((top, circuit("lv", "top")), {"lv": units}), start_s=START_S)
        drawn = np.random.default_rng(7).uniform(6.0, 32.0, len(units))
        for unit, amps in zip(units, drawn, strict=True):
            world.plug(unit.id, ideal())
            world.offer(unit.id, float(amps))
        phasors = drawn * np.exp(1j * np.radians(net["phase_deg"]))
        theirs = dict(zip(net["constraint_ids"], np.abs(np.array(net["constraint_matrix"]) @ phasors), strict=True))
        ours = world.circuit_currents()
        assert ours[CircuitId("lv")] == pytest.approx([theirs[f"Secondary {p}"] for p in "ABC"])
        assert ours[CircuitId("top")] == pytest.approx([theirs[f"Primary {p}"] for p in "ABC"])


class TestTime:
    def test_a_car_follows_late_and_starts_late(self) -> None:
        world = World(flat(evse("A")), start_s=START_S)
        world.offer(EvseId("A"), 16.0)
        world.plug(EvseId("A"), replace(ideal(), start_delay_s=20.0, response_s=0.5))
        assert world.next_s == START_S + 20.0
        world.advance(START_S + 19.9)
        assert main_current(world).l1 == 0.0
        world.advance(START_S + 20.0)
        assert main_current(world).l1 == 16.0
        world.offer(EvseId("A"), 8.0)
        world.advance(START_S + 20.4)
        assert main_current(world).l1 == 16.0
        world.advance(START_S + 20.5)
        assert main_current(world).l1 == 8.0

    def test_a_stream_of_offers_does_not_keep_a_car_from_following(self) -> None:
        world = World(flat(evse("A")), start_s=START_S)
        world.plug(EvseId("A"), replace(ideal(), response_s=1.0))
        for tenth in range(11):
            world.offer(EvseId("A"), 10.0 + tenth)
            world.advance(START_S + (tenth + 1) / 10)
        assert main_current(world).l1 == 19.0

    def test_energy_is_exact_whoever_asks_when(self) -> None:
        car = Car.two_stage(energy_wh=10_000.0, max_w=11_000.0)
        coarse, fine = (World(flat(evse("A")), start_s=START_S) for _ in range(2))
        for world in (coarse, fine):
            world.plug(EvseId("A"), car)
            world.offer(EvseId("A"), 16.0)
        for second in range(0, 7200, 7):
            fine.advance(START_S + second)
            fine.register_wh(EvseId("A"))
        for world in (coarse, fine):
            world.advance(START_S + 7200)
        expected_wh = car.charge(car.cap_w(evse("A"), 16.0), 0.0, 7200.0)
        assert coarse.taken_wh(EvseId("A")) == pytest.approx(expected_wh)
        assert fine.taken_wh(EvseId("A")) == pytest.approx(expected_wh)

    def test_the_current_on_the_wire_is_what_the_register_counts(self) -> None:
        world = World(flat(evse("A")), start_s=START_S)
        world.plug(EvseId("A"), Car.two_stage(energy_wh=20_000.0, max_w=11_000.0))
        world.offer(EvseId("A"), 16.0)
        counted_wh = 0.0
        for second in range(9000):
            world.advance(START_S + second + 0.5)
            counted_wh += world.power_w(EvseId("A")) / 3600.0
        world.advance(START_S + 9000)
        assert counted_wh == pytest.approx(world.register_wh(EvseId("A")), rel=1e-4)

    def test_the_register_goes_on_over_cars(self) -> None:
        world = charging(flat(evse("A")), {"A": 10.0})
        world.advance(START_S + 3600)
        assert world.unplug(EvseId("A")) == pytest.approx(6900.0)
        assert main_current(world).l1 == 0.0
        world.advance(START_S + 7200)
        world.plug(EvseId("A"), ideal())
        world.advance(START_S + 10_800)
        assert world.taken_wh(EvseId("A")) == pytest.approx(6900.0)
        assert world.register_wh(EvseId("A")) == pytest.approx(13_800.0)

    def test_a_full_car_stops_and_tells(self) -> None:
        world = charging(flat(evse("A")), {"A": 10.0})
        world.unplug(EvseId("A"))
        told: list[float] = []
        world.subscribe(EvseId("A"), lambda: told.append(world.now_s - START_S))
        world.plug(EvseId("A"), ideal(energy_wh=6900.0))
        world.advance(START_S + 7200)
        assert world.is_full(EvseId("A"))
        assert told == pytest.approx([0.0, 3600.0])
        assert main_current(world).l1 == 0.0
        world.advance(START_S + 2e6)
        assert world.next_s == inf

    def test_who_is_told_may_advance_the_world_himself(self) -> None:
        world = charging(flat(evse("A"), evse("B")), {"A": 10.0, "B": 10.0})
        world.unplug(EvseId("A"))
        told: list[bool] = []

        def hear() -> None:
            world.advance(START_S + 7200.0)
            told.append(world.is_full(EvseId("A")))

        world.plug(EvseId("A"), ideal(energy_wh=3450.0))
        world.subscribe(EvseId("A"), hear)
        world.advance(START_S + 7200.0)
        assert told == [True]
        assert world.now_s == START_S + 7200.0
        assert world.register_wh(EvseId("B")) == pytest.approx(13_800.0)

    def test_time_does_not_go_back(self) -> None:
        world = World(flat(evse("A")), start_s=START_S)
        with pytest.raises(ValueError, match="back"):
            world.advance(START_S - 1.0)

    @given(
        st.lists(
            st.tuples(st.sampled_from(["plug", "unplug", "offer"]), st.floats(0.0, 40.0), st.floats(0.0, 4000.0)),
            max_size=30,
        )
    )
    def test_currents_rise_at_changes_only(self, steps: list[tuple[str, float, float]]) -> None:
        world = World(flat(evse("A")), start_s=START_S)
        for what, amps, wait_s in steps:
            match what, world.car(EvseId("A")):
                case "plug", None:
                    world.plug(EvseId("A"), Car.two_stage(energy_wh=15_000.0, max_w=100.0 + 500.0 * amps))
                case "unplug", Car():
                    world.unplug(EvseId("A"))
                case _:
                    world.offer(EvseId("A"), amps)
            before = main_current(world).l1
            assert before <= world.offered_a(EvseId("A"))
            world.advance(world.now_s + wait_s)
            assert main_current(world).l1 <= before + 1e-9


class TestObservers:
    def test_an_instant_is_seen_once_when_all_is_changed(self) -> None:
        world = World(flat(evse("A"), evse("B")), start_s=START_S)
        seen: list[tuple[float, float]] = []
        world.observe(lambda: seen.append((world.now_s - START_S, main_current(world).l1)))
        world.plug(EvseId("A"), ideal())
        world.plug(EvseId("B"), ideal())
        world.advance(START_S + 5)
        world.offer(EvseId("A"), 20.0)
        world.offer(EvseId("B"), 10.0)
        world.advance(START_S + 6)
        world.advance(START_S + 9)
        assert seen == [(0.0, 0.0), (5.0, 30.0)]

    def test_who_wants_to_look_again_is_asked_again(self) -> None:
        world = World(flat(evse("A")), start_s=START_S)
        seen: list[float] = []

        def look() -> None:
            seen.append(world.now_s - START_S)
            if len(seen) < 4:
                world.look_at(world.now_s + 1.0)

        world.observe(look)
        world.advance(START_S + 100)
        assert seen == pytest.approx([0, 1, 2, 3])


class TestLoads:
    def test_a_building_never_exceeds_its_peak_and_repeats_itself(self) -> None:
        load = BuildingLoad(peak_a=Phases(20.0, 30.0, 40.0), timezone="America/Los_Angeles", seed=3)
        day = [load.current_a(START_S + 300 * step) for step in range(288)]
        assert all(0.0 <= amps <= peak for moment in day for amps, peak in zip(moment, load.peak_a, strict=True))
        assert len(set(day)) > 280
        assert day == [load.current_a(START_S + 300 * step) for step in range(288)]
        assert sum(m.l1 for m in day[120:216]) > 1.5 * sum(m.l1 for m in day[:72]) * 96 / 72

    def test_the_world_follows_it(self) -> None:
        load = BuildingLoad(peak_a=Phases.all(20.0), timezone="UTC", seed=3)
        world = World(flat(evse("A")), start_s=START_S, loads={CircuitId("main"): load})
        for minute in range(0, 1440, 13):
            world.advance(START_S + 60.0 * minute)
            assert main_current(world) == pytest.approx(load.current_a(world.now_s))


class TestLoopDriver:
    def test_the_world_moves_by_itself(self) -> None:
        async def main() -> list[float]:
            world = World(flat(evse("A"), evse("B")), start_s=now_s())
            LoopDriver(world)
            told: list[float] = []
            world.subscribe(EvseId("A"), lambda: told.append(now_s() - START_S))
            world.offer(EvseId("A"), 10.0)
            await asyncio.sleep(10)
            world.advance(now_s())
            world.plug(EvseId("A"), replace(ideal(energy_wh=6900.0), start_delay_s=5.0))
            await asyncio.sleep(1)
            world.advance(now_s())
            world.plug(EvseId("B"), replace(ideal(), start_delay_s=1.0))
            await asyncio.sleep(7200)
            return told

        assert loop.run(main(), epoch_s=START_S) == pytest.approx([10.0, 15.0, 3615.0], abs=1e-3)


class TestPauses:
    """A car that charged and wanted more was offered too little to go on."""

    def world(self, *, sleeps: bool) -> World:
        world = World(flat(evse("A")), start_s=START_S)
        world.plug(EvseId("A"), replace(ideal(energy_wh=30_000.0), sleeps=sleeps))
        for second, amps in ((0, 0.0), (10, 16.0), (1810, 5.0), (3610, 16.0)):
            world.advance(START_S + second)
            world.offer(EvseId("A"), amps)
        world.advance(START_S + 5410)
        return world

    def test_are_counted_and_do_no_harm_to_a_car_that_wakes(self) -> None:
        world = self.world(sleeps=False)
        assert world.pauses == 1
        assert world.taken_wh(EvseId("A")) == pytest.approx(16 * 690.0)

    def test_put_a_car_to_sleep_that_does_not_wake_until_the_next_one_is_plugged_in(self) -> None:
        world = self.world(sleeps=True)
        assert world.taken_wh(EvseId("A")) == pytest.approx(8 * 690.0)
        world.unplug(EvseId("A"))
        world.plug(EvseId("A"), ideal())
        world.advance(START_S + 5410 + 1800)
        assert world.taken_wh(EvseId("A")) == pytest.approx(8 * 690.0)

    def test_a_full_car_is_not_paused(self) -> None:
        world = World(flat(evse("A")), start_s=START_S)
        world.plug(EvseId("A"), replace(ideal(energy_wh=690.0)))
        world.offer(EvseId("A"), 16.0)
        world.advance(START_S + 3600)
        world.offer(EvseId("A"), 0.0)
        assert world.pauses == 0
