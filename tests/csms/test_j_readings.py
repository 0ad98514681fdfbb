"""The sanity filter before every reading, and how samples become the currents of an EVSE."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcharge.csms.metering import CURRENT, ENERGY, POWER, SOC, Meters, Sample, finite
from smartcharge.events import Metered
from smartcharge.model import Evse, Phases, Wiring
from tests.csms.ocpp_peers import AC, AC2, DC, EPOCH_S, evse

THREE = evse(AC, 1)
ONE = evse(AC2, 2, Wiring.ONE_PHASE)
DELTA = evse(AC2, 2, Wiring.LINE_TO_LINE, voltage_v=208.0)
RECTIFIER = evse(DC, 3, Wiring.DC, max_a=100.0, efficiency=0.95)


def amps(*values: tuple[str | None, float | None]) -> list[Sample]:
    return [Sample(measurand=CURRENT, value=value, unit="A", phase=phase) for phase, value in values]


def read(of: Evse, samples: list[Sample], meters: Meters | None = None, taken_s: float = EPOCH_S) -> Metered | None:
    return (meters or Meters()).read(of, samples, taken_s=taken_s, now_s=EPOCH_S, is_live=True)


def current(of: Evse, samples: list[Sample]) -> Phases | None:
    reading = read(of, [*samples, Sample(measurand=SOC, value=50.0)])
    assert reading is not None
    return reading.current_a


class TestJ02Currents:
    def test_of_three_phases(self) -> None:
        assert current(THREE, amps(("L1", 10.0), ("L2-N", 11.0), ("L3", 0.0))) == (10.0, 11.0, 0.0)

    def test_without_a_phase_counts_on_every_phase(self) -> None:
        assert current(THREE, amps((None, 10.0))) == (10.0, 10.0, 10.0)

    def test_a_phase_that_is_not_named_counts_as_the_highest_that_is(self) -> None:
        assert current(THREE, amps(("L1", 10.0), ("L2", 12.0))) == (10.0, 12.0, 12.0)

    def test_neutral_is_no_phase(self) -> None:
        assert current(THREE, amps(("L1", 1.0), ("L2", 2.0), ("L3", 3.0), ("N", 9.0))) == (1.0, 2.0, 3.0)

    @pytest.mark.parametrize("of", [ONE, DELTA])
    def test_of_one_circuit_is_on_l1(self, of: Evse) -> None:
        assert current(of, amps((None, 7.0))) == (7.0, 0.0, 0.0)
        assert current(of, amps(("L1", 0.0), ("L2", 7.0))) == (7.0, 0.0, 0.0)

    def test_one_bad_phase_spoils_the_reading(self) -> None:
        assert current(THREE, amps(("L1", 1.0), ("L2", None), ("L3", 3.0))) is None

    def test_dc_is_converted_to_the_ac_side(self) -> None:
        reading = read(RECTIFIER, [Sample(measurand=POWER, value=19.0, unit="kW"), *amps((None, 50.0))])
        assert reading is not None
        assert reading.power_w == pytest.approx(20_000.0)
        assert reading.current_a == pytest.approx(Phases.all(20_000.0 / 690.0))


class TestJ02Sanity:
    @pytest.mark.parametrize("value", ["", "NaN", "inf", "-inf", "1,5", "abc", "1e400", None])
    def test_what_is_no_finite_number_is_none(self, value: str | None) -> None:
        assert finite(value) is None

    @pytest.mark.parametrize("value", [-1.0, 97.0, 1e9])
    def test_negative_and_absurd_currents_are_none(self, value: float) -> None:
        assert current(THREE, amps((None, value))) is None

    def test_an_unknown_unit_is_none(self) -> None:
        assert read(THREE, [Sample(measurand=POWER, value=5.0, unit="Hz")]) is None

    def test_other_measurands_say_nothing(self) -> None:
        assert read(THREE, [Sample(measurand="Frequency", value=50.0)]) is None

    def test_state_of_charge_is_a_fraction(self) -> None:
        reading = read(THREE, [Sample(measurand=SOC, value=55.0, unit="Percent", location="EV")])
        assert reading is not None
        assert reading.soc == 0.55
        assert read(THREE, [Sample(measurand=SOC, value=101.0, unit="Percent")]) is None

    def test_watt_hours_labelled_kwh_are_refused(self) -> None:
        meters = Meters()
        for number, wh in enumerate((1_000.0, 1_150.0)):
            reading = read(THREE, [Sample(measurand=ENERGY, value=wh, unit="kWh")], meters, EPOCH_S + 15.0 * number)
        assert reading is None

    def test_a_register_that_runs_backwards_is_refused_once(self) -> None:
        meters = Meters()
        samples = [[Sample(measurand=ENERGY, value=wh, unit="Wh")] for wh in (9_000.0, 10.0, 20.0)]
        readings = [read(THREE, s, meters, EPOCH_S + 60.0 * i) for i, s in enumerate(samples)]
        assert [None if r is None else r.energy_wh for r in readings] == [9_000.0, None, 20.0]

    def test_a_register_catches_up_by_the_time_of_its_samples(self) -> None:
        meters = Meters()
        read(THREE, [Sample(measurand=ENERGY, value=0.0)], meters, EPOCH_S - 7200.0)
        reading = read(THREE, [Sample(measurand=ENERGY, value=40_000.0)], meters, EPOCH_S)
        assert reading is not None
        assert reading.energy_wh == 40_000.0

    def test_samples_queued_while_offline_only_tell_the_register(self) -> None:
        samples = [*amps((None, 10.0)), Sample(measurand=ENERGY, value=5.0), Sample(measurand=SOC, value=5.0)]
        reading = Meters().read(THREE, samples, taken_s=EPOCH_S, now_s=EPOCH_S, is_live=False)
        assert reading == Metered(at_s=EPOCH_S, evse=AC, energy_wh=5.0)

    @given(st.lists(st.builds(
        Sample,
        measurand=st.sampled_from([CURRENT, POWER, ENERGY, SOC, "Voltage"]),
        value=st.none() | st.floats(),
        unit=st.sampled_from([None, "A", "W", "kW", "kWh", "Percent", "x"]),
        phase=st.sampled_from([None, "L1", "L2", "L3", "N", "L1-L2", "x"]),
        location=st.sampled_from([None, "Outlet", "Inlet", "EV"]),
    )), st.sampled_from([THREE, ONE, DELTA, RECTIFIER]))  # fmt: skip
    def test_nothing_raises_and_nothing_impossible_comes_out(self, samples: list[Sample], of: Evse) -> None:
        reading = read(of, samples)
        if reading is not None:
            assert reading.current_a is None or all(0.0 <= a <= 4 * of.max_a for a in reading.current_a)
            assert reading.soc is None or 0.0 <= reading.soc <= 1.0
            assert reading.energy_wh is None or reading.energy_wh >= 0.0
