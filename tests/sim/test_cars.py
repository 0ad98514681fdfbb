from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcharge.model import Evse, EvseId, Rotation, StationId, Wiring
from smartcharge.sim.cars import TAPER_END, TAPER_SOC, Battery, Car, recorded
from smartcharge.sim.recordings import Visit


def evse(wiring: Wiring = Wiring.THREE_PHASE, *, max_a: float = 32.0, voltage_v: float = 230.0) -> Evse:
    return Evse(
        id=EvseId("E1"),
        station=StationId("S1"),
        number=1,
        wiring=wiring,
        rotation=Rotation.RST,
        voltage_v=voltage_v,
        min_a=6.0,
        max_a=max_a,
        default_a=6.0,
        efficiency=0.95 if wiring is Wiring.DC else 1.0,
    )


def visit(energy_wh: float, stay_s: float, **more: object) -> Visit:
    known = Visit(evse=EvseId("E1"), session_id="s", arrive_s=0.0, depart_s=stay_s, energy_wh=energy_wh)
    return replace(known, **more)  # type: ignore[arg-type]


@st.composite
def cars(draw: st.DrawFn) -> Car:
    socs = sorted(draw(st.sets(st.floats(0.05, 0.95), max_size=4)))
    powers = sorted(
        draw(st.lists(st.floats(200.0, 150e3), min_size=len(socs) + 2, max_size=len(socs) + 2)), reverse=True
    )
    start = draw(st.floats(0.0, 0.9))
    capacity_wh = draw(st.floats(1e3, 1e5))
    return Car(
        energy_wh=capacity_wh * (1.0 - start) * draw(st.floats(0.05, 1.0)),
        capacity_wh=capacity_wh,
        start_soc=start,
        acceptance=tuple(zip([0.0, *socs, 1.0], powers, strict=True)),
        phases=draw(st.sampled_from([1, 2, 3])),
    )


class TestCharging:
    @given(cars(), st.floats(0.0, 60.0), st.floats(0.0, 1.0))
    def test_it_never_draws_more_than_offered_or_accepted(self, car: Car, offered_a: float, share: float) -> None:
        unit = evse()
        taken_wh = share * car.energy_wh
        drawn_a = car.current_a(unit, offered_a, taken_wh)
        assert 0.0 <= drawn_a <= offered_a
        assert drawn_a * car.watts_per_amp(unit) <= car.acceptance[0][1] * (1 + 1e-9)

    @given(cars(), st.floats(500.0, 80e3), st.floats(0.0, 7200.0), st.floats(0.0, 7200.0))
    def test_an_interval_may_be_cut_anywhere(self, car: Car, cap_w: float, first_s: float, then_s: float) -> None:
        whole_wh = car.charge(cap_w, 0.0, first_s + then_s)
        assert car.charge(cap_w, car.charge(cap_w, 0.0, first_s), then_s) == pytest.approx(whole_wh, rel=1e-7, abs=1e-2)
        assert whole_wh <= min(car.energy_wh, cap_w * (first_s + then_s) / 3600.0 + 1e-2)

    @given(cars(), st.floats(500.0, 80e3))
    def test_the_closed_form_is_the_limit_of_small_steps(self, car: Car, cap_w: float) -> None:
        full_s = car.seconds_to_full(cap_w)
        steps = 3000
        taken_wh = 0.0
        for _ in range(steps):
            taken_wh += car.piece(cap_w, taken_wh).power_w * full_s / 2 / steps / 3600.0
        assert car.charge(cap_w, 0.0, full_s / 2) == pytest.approx(min(taken_wh, car.energy_wh), rel=5e-3)

    @given(cars(), st.floats(500.0, 80e3))
    def test_it_is_full_when_it_said(self, car: Car, cap_w: float) -> None:
        full_s = car.seconds_to_full(cap_w)
        assert full_s < inf
        assert car.charge(cap_w, 0.0, full_s) == pytest.approx(car.energy_wh)
        assert car.charge(cap_w, 0.0, full_s * 0.99) < car.energy_wh
        assert car.current_a(evse(), 32.0, car.energy_wh) == 0.0

    def test_below_its_least_current_it_pauses(self) -> None:
        car = Car.ideal(energy_wh=1000.0, max_w=11_000.0)
        assert car.current_a(evse(), 5.9) == 0.0
        assert car.current_a(evse(), 6.0) == 6.0
        assert car.charge(car.cap_w(evse(), 5.9), 0.0, 3600.0) == 0.0

    def test_two_stages(self) -> None:
        car = Car.two_stage(energy_wh=26_000.0, max_w=7_400.0, capacity_wh=52_000.0)
        knee_wh = (TAPER_SOC - 0.5) * 52_000.0
        assert car.piece(1e9, knee_wh * 0.99).power_w == 7_400.0
        assert car.piece(1e9, (knee_wh + 26_000.0) / 2).power_w == pytest.approx(7_400.0 * (1 + TAPER_END) / 2)
        assert car.piece(1e9, 25_999.999).power_w == pytest.approx(7_400.0 * TAPER_END, rel=1e-3)

    @pytest.mark.parametrize(
        "acceptance",
        [((0.0, 1.0),), ((0.1, 9.0), (1.0, 9.0)), ((0.0, 5.0), (1.0, 9.0)), ((0.0, 9.0), (1.0, 0.0))],
    )
    def test_what_is_not_physics_is_refused(self, acceptance: tuple[tuple[float, float], ...]) -> None:
        with pytest.raises(ValueError, match="acceptance"):
            Car(energy_wh=1.0, capacity_wh=1.0, start_soc=0.0, acceptance=acceptance)

    def test_more_than_the_battery_holds_is_refused(self) -> None:
        with pytest.raises(ValueError, match="do not fit"):
            Car(energy_wh=600.0, capacity_wh=1000.0, start_soc=0.5, acceptance=((0.0, 1.0), (1.0, 1.0)))


class TestPhases:
    @pytest.mark.parametrize(
        ("wiring", "used", "expected"),
        [
            (Wiring.THREE_PHASE, 1, 1),
            (Wiring.THREE_PHASE, 2, 2),
            (Wiring.THREE_PHASE, 3, 3),
            (Wiring.ONE_PHASE, 3, 1),
            (Wiring.LINE_TO_LINE, 3, 1),
            (Wiring.DC, 1, 3),
        ],
    )
    def test_it_uses_what_both_have(self, wiring: Wiring, used: int, expected: int) -> None:
        car = Car.ideal(energy_wh=1.0, max_w=1e5, phases=used)
        assert car.phases_at(evse(wiring)) == expected
        efficiency = 0.95 if wiring is Wiring.DC else 1.0
        assert car.watts_per_amp(evse(wiring)) == pytest.approx(expected * 230.0 * efficiency)


class TestRecordedCar:
    def test_it_takes_the_recorded_energy_within_its_stay(self) -> None:
        tight = visit(19_000.0, 3 * 3600.0, max_w=6_600.0)
        unit = evse(Wiring.LINE_TO_LINE, voltage_v=208.0)
        car = recorded(tight, unit)
        assert car.charge(car.cap_w(unit, 32.0), 0.0, 3 * 3600.0) == pytest.approx(19_000.0)
        assert car.soc(19_000.0) < 1.0

    def test_with_time_enough_it_ends_full(self) -> None:
        unit = evse(Wiring.LINE_TO_LINE, voltage_v=208.0)
        car = recorded(visit(5_000.0, 12 * 3600.0, max_w=6_600.0), unit)
        assert car.soc(5_000.0) == pytest.approx(1.0)
        assert car.current_a(unit, 32.0) < 32.0  # it began in its taper

    @pytest.mark.parametrize(
        ("energy_wh", "stay_h", "capacity_wh"), [(5_000.0, 3.0, 8e3), (12_000.0, 9.0, 24e3), (19_790.0, 3.0, 40e3)]
    )
    def test_a_tight_one_is_the_smallest_and_needs_the_whole_stay(
        self, energy_wh: float, stay_h: float, capacity_wh: float
    ) -> None:
        unit = evse(Wiring.LINE_TO_LINE, voltage_v=208.0)
        tight = visit(energy_wh, stay_h * 3600.0, max_w=6_600.0)
        car = recorded(tight, unit, battery=Battery.TIGHT)
        assert car.capacity_wh == capacity_wh
        assert car.seconds_to_full(6_600.0) == pytest.approx(stay_h * 3600.0, rel=5e-3)
        assert car.start_soc > 0.0

    def test_a_tight_one_is_full_in_the_end_where_the_stay_allows(self) -> None:
        unit = evse(Wiring.LINE_TO_LINE, voltage_v=208.0)
        car = recorded(visit(5_000.0, 12 * 3600.0, max_w=6_600.0), unit, battery=Battery.TIGHT)
        assert car.capacity_wh == 8e3
        assert car.soc(5_000.0) == pytest.approx(1.0)

    def test_a_tight_one_that_cannot_take_the_recorded_energy_takes_what_it_can(self) -> None:
        unit = evse(Wiring.LINE_TO_LINE, voltage_v=208.0)
        car = recorded(visit(7_000.0, 3600.0, max_w=6_600.0), unit, battery=Battery.TIGHT)
        assert car.charge(6_600.0, 0.0, 3600.0) == pytest.approx(6_600.0)

    def test_an_ideal_one_never_tapers(self) -> None:
        unit = evse()
        car = recorded(visit(5_000.0, 12 * 3600.0, phases=1), unit, battery=Battery.IDEAL)
        assert car.current_a(unit, 32.0, 4_999.0) == 32.0

    def test_a_power_series_becomes_its_acceptance(self) -> None:
        series = ((0.0, 7000.0), (3600.0, 3000.0), (7200.0, 4000.0), (10_800.0, 1000.0), (14_400.0, 0.0))
        car = recorded(visit(15_000.0, 15_000.0, power_series=series), evse())
        assert [power for _, power in car.acceptance] == [7000.0, 4000.0, 4000.0, 1000.0, 1000.0]
        assert car.piece(1e9, 10_000.0).power_w == pytest.approx(4000.0)

    def test_dc_is_not_bound_by_the_pilot(self) -> None:
        unit = evse(Wiring.DC, max_a=100.0)
        car = recorded(visit(20_000.0, 3600.0, max_w=40_000.0), unit)
        assert car.current_a(unit, 3.0) == 3.0
        assert car.current_a(unit, 100.0) == pytest.approx(40_000.0 / (3 * 230.0 * 0.95))
