"""What nobody reports and measurements show; and what codes mean."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcharge.control.health.memory import History, Slope
from smartcharge.control.health.score import failure_rate, prior, scores, warmth_c_per_a
from smartcharge.control.health.vocabulary import cause_of
from smartcharge.control.health.watch import warmed
from smartcharge.control.topology import Topology
from smartcharge.events import (
    Charging,
    ChargingChanged,
    FaultRaised,
    Metered,
    StationOffline,
    StationOnline,
    Unplugged,
)
from smartcharge.faults import Cause
from smartcharge.model import EvseId, Phases, StationId, Wiring
from tests.builders import commanded, rejected, row_of, told
from tests.control.sick import UNMETERED, A, B, Sick


def three_phase() -> Sick:
    return Sick(replace(row_of(4, 200.0, Wiring.THREE_PHASE), timing=UNMETERED))


def has(sick: Sick, cause: Cause, evse: EvseId = A) -> bool:
    return cause.value in sick.state.evses[evse].faults


class TestCodes:
    @pytest.mark.parametrize(
        ("code", "vendor", "vendor_code", "cause"),
        [
            ("GroundFailure", None, None, Cause.GROUND_FAULT),
            ("OtherError", "https://chargex.inl.gov", "CX019", Cause.CABLE_OVERHEATED),
            ("PowerSwitchFailure", "org.charin.uec.v1", "ContactorPosition", Cause.CONTACTOR_WELDED),
            ("CX018", None, None, Cause.CONNECTOR_HOT),
            ("CX999", None, None, Cause.UNKNOWN),
            ("TemperatureSensor.Active", None, None, Cause.ENCLOSURE_HOT),
            ("TemperatureSensor", None, None, Cause.HARMLESS),
            ("AcDcConverter#3", None, None, Cause.MODULES_LOST),
            ("OtherError", "Acme", "E-42", Cause.FAN),
            ("E-42", None, None, Cause.FAN),
            ("meter-stale", None, None, Cause.METER_FAILED),
            ("whatever", None, None, Cause.UNKNOWN),
        ],
    )
    def test_mean_one_cause(self, code: str, vendor: str | None, vendor_code: str | None, cause: Cause) -> None:
        fault = FaultRaised(at_s=0.0, evse=A, code=code, vendor=vendor, vendor_code=vendor_code)
        assert cause_of(fault, {("Acme", "E-42"): Cause.FAN}, "Acme") is cause


class TestVoltage:
    @pytest.mark.parametrize(("volts", "is_out"), [(230.0, False), (208.0, False), (206.0, True), (254.0, True)])
    def test_is_out_beyond_a_tenth(self, volts: float, is_out: bool) -> None:
        sick = three_phase()
        sick.reading(16.0, voltage_v=Phases.all(volts))
        assert has(sick, Cause.VOLTAGE_OUT) is is_out

    def test_is_back_after_two_seconds_inside(self) -> None:
        sick = three_phase()
        sick.reading(16.0, voltage_v=Phases.all(200.0))
        sick.wait(60.0)
        sick.reading(0.0, voltage_v=Phases.all(230.0))
        assert has(sick, Cause.VOLTAGE_OUT)
        sick.wait(2.0)
        assert not has(sick, Cause.VOLTAGE_OUT)
        sick.wait(2.0)
        assert sick.cap_a() == 32.0

    def test_of_a_phase_alone_is_a_lost_phase(self) -> None:
        sick = three_phase()
        for _ in range(2):
            sick.reading(16.0, voltage_v=Phases(230.0, 3.0, 230.0))
            sick.wait(10.0)
        assert has(sick, Cause.PHASE_LOST)
        assert not has(sick, Cause.VOLTAGE_OUT)

    def test_a_lost_phase_brings_less_power_and_frees_nothing(self) -> None:
        sick = three_phase()
        for _ in range(2):
            sick.reading(16.0, voltage_v=Phases(230.0, 3.0, 230.0), current_a=Phases(16.0, 0.0, 16.0))
            sick.wait(10.0)
        whole = Topology.of(sick.state.site)
        assert sick.state.topology.watts_per_amp[0] == pytest.approx(2 * 230.0)
        assert (sick.state.topology.coupling == whole.coupling).all()

    def test_current_alone_shows_one_lost_phase_of_a_car_that_used_three(self) -> None:
        sick = three_phase()
        sick.reading(16.0)
        for _ in range(2):
            sick.wait(10.0)
            sick.reading(16.0, current_a=Phases(16.0, 0.0, 16.0), power_w=7360.0)
        assert has(sick, Cause.PHASE_LOST)

    def test_a_car_that_changes_to_one_phase_lost_none(self) -> None:
        sick = three_phase()
        sick.reading(16.0)
        for _ in range(2):
            sick.wait(10.0)
            sick.reading(16.0, current_a=Phases(16.0, 0.0, 0.0), power_w=3680.0)
        assert not has(sick, Cause.PHASE_LOST)


class TestHeat:
    @pytest.mark.parametrize(
        ("cause", "hot", "warm", "cool"),
        [
            (Cause.ENCLOSURE_HOT, {"body_c": 65.0}, {"body_c": 56.0}, {"body_c": 54.0}),
            (Cause.CONNECTOR_HOT, {"outlet_c": 78.0}, {"outlet_c": 60.0}, {"outlet_c": 57.0}),
        ],
    )
    def test_is_hot_until_it_is_clearly_cooler(
        self, cause: Cause, hot: dict[str, float], warm: dict[str, float], cool: dict[str, float]
    ) -> None:
        sick = three_phase()
        sick.reading(16.0, A, **hot)
        assert has(sick, cause)
        sick.reading(16.0, A, **warm)
        assert has(sick, cause)
        sick.reading(16.0, A, **cool)
        assert not has(sick, cause)

    def test_warm_is_not_worth_another_step(self) -> None:
        sick = three_phase()
        sick.reading(16.0, outlet_c=80.0)
        sick.reading(16.0, outlet_c=70.0)
        sick.wait(1000.0)
        assert sick.steps() == [24.0]

    def test_a_temperature_alone_is_no_reading_of_the_current(self) -> None:
        sick = three_phase()
        sick.reading(16.0)
        sick.take(Metered(at_s=sick.now_s + 1.0, evse=A, outlet_c=90.0))
        reading = sick.state.evses[A].reading
        assert reading is not None
        assert reading.current_a == Phases.all(16.0)
        assert has(sick, Cause.CONNECTOR_HOT)


class TestWelded:
    def stopped(self, state: Charging) -> Sick:
        sick = three_phase()
        sick.take(*told("a/1", 0.0, sick.now_s, command_id=90))
        sick.wait(10.0)
        sick.take(ChargingChanged(at_s=sick.now_s, evse=A, state=state))
        return sick

    def test_a_current_while_told_nothing_and_paused(self) -> None:
        sick = self.stopped(Charging.SUSPENDED_EVSE)
        sick.reading(16.0)
        assert not has(sick, Cause.CONTACTOR_WELDED), "the car may still be on its way down"
        sick.wait(10.0)
        sick.reading(16.0)
        assert has(sick, Cause.CONTACTOR_WELDED)
        assert not has(sick, Cause.OVER_LIMIT)
        assert sick.state.reserved_a(A, sick.now_s) >= 16.0

    def test_a_station_that_says_it_charges_ignores_its_profile(self) -> None:
        sick = self.stopped(Charging.CHARGING)
        for _ in range(2):
            sick.reading(16.0)
            sick.wait(10.0)
        assert has(sick, Cause.OVER_LIMIT)
        assert not has(sick, Cause.CONTACTOR_WELDED)

    def test_a_meter_that_stands_still_proves_nothing(self) -> None:
        sick = self.stopped(Charging.SUSPENDED_EVSE)
        for _ in range(3):
            sick.reading(16.0, energy_wh=100.0)
            sick.wait(10.0)
        assert not has(sick, Cause.CONTACTOR_WELDED)

    def test_nobody_plugged_nothing_flows(self) -> None:
        sick = self.stopped(Charging.SUSPENDED_EVSE)
        for _ in range(2):
            sick.reading(16.0)
            sick.wait(10.0)
        sick.take(Unplugged(at_s=sick.now_s, evse=A))
        assert not has(sick, Cause.CONTACTOR_WELDED)


class TestMeters:
    def test_power_and_current_that_contradict_each_other(self) -> None:
        sick = three_phase()
        for _ in range(3):
            assert "meter-implausible" not in sick.state.evses[A].faults
            sick.reading(16.0, power_w=1000.0)
        assert "meter-implausible" in sick.state.evses[A].faults
        for _ in range(3):
            sick.reading(16.0)
        assert "meter-implausible" not in sick.state.evses[A].faults

    def test_a_one_phase_car_told_as_three_currents_is_plausible(self) -> None:
        sick = three_phase()
        for _ in range(5):
            sick.reading(16.0, power_w=3680.0)
        assert "meter-implausible" not in sick.state.evses[A].faults


class TestDrawsUnder:
    def known(self, sick: Sick, *tokens: str) -> None:
        for token in tokens:
            sick.session(600.0, B, token=token, amps=30.0)

    def test_four_cars_that_take_more_elsewhere(self) -> None:
        sick = Sick()
        self.known(sick, "v", "x", "y", "z", "w")
        for count, token in enumerate("vxyz"):
            assert not has(sick, Cause.DRAWS_UNDER), f"{count} cars prove nothing"
            sick.session(600.0, token=token, amps=12.0, offered_a=30.0)
        assert has(sick, Cause.DRAWS_UNDER)
        assert sick.cap_a() == 32.0, "it costs nothing"
        sick.session(600.0, token="w", amps=30.0)
        assert not has(sick, Cause.DRAWS_UNDER)

    def test_a_small_car_is_never_blamed_nor_one_car_alone(self) -> None:
        sick = Sick()
        for _ in range(9):
            sick.session(600.0, token="small", amps=10.0, offered_a=30.0)
        self.known(sick, "x")
        for _ in range(9):
            sick.session(600.0, token="x", amps=12.0, offered_a=30.0)
        assert not has(sick, Cause.DRAWS_UNDER)

    def test_strangers_tell_nothing(self) -> None:
        sick = Sick()
        for token in "abcdefgh":
            sick.session(600.0, token=token, amps=12.0, offered_a=30.0)
        assert not has(sick, Cause.DRAWS_UNDER)


class TestRefuses:
    """A station that refuses what it is told keeps its room, and somebody has a look."""

    def refused(self, sick: Sick, times: int) -> None:
        for _ in range(times):
            sick.now_s += 40.0
            command = commanded("a/1", 10.0, sick.now_s, command_id=sick.state.last_command_id + 1)
            sick.take(command, rejected(command, sick.now_s))

    def test_five_refusals_in_a_row_and_one_acceptance(self) -> None:
        sick = Sick()
        self.refused(sick, 4)
        assert not has(sick, Cause.REFUSES)
        self.refused(sick, 1)
        assert has(sick, Cause.REFUSES)
        assert sick.cap_a() == 32.0, "it costs nothing"
        assert sick.state.reserved_a(A, sick.now_s) == 32.0, "nor does it free anything"
        sick.wait(61.0)
        assert sick.services() == [("evse a/1", Cause.REFUSES, "P2")]
        sick.take(*told("a/1", 10.0, sick.now_s, command_id=90))
        assert not has(sick, Cause.REFUSES)

    def test_an_acceptance_in_between_starts_the_count_anew(self) -> None:
        sick = Sick()
        self.refused(sick, 4)
        sick.take(*told("a/1", 10.0, sick.now_s, command_id=90))
        self.refused(sick, 4)
        assert not has(sick, Cause.REFUSES)


class TestLinks:
    """Connections that come and go, and stations that stay away."""

    def reconnect(self, sick: Sick, times: int, every_s: float) -> None:
        for _ in range(times):
            sick.wait(every_s, every_s)
            sick.take(StationOffline(at_s=sick.now_s, station=StationId("a"), reason="lost"))
            sick.wait(5.0, 5.0)
            sick.take(StationOnline(at_s=sick.now_s, station=StationId("a")))

    def faults(self, sick: Sick) -> set[tuple[str, Cause]]:
        return set(sick.state.site_faults)

    def test_six_connections_within_an_hour_and_an_hour_with_less(self) -> None:
        sick = Sick()  # connected a minute ago: that is one
        self.reconnect(sick, 4, 400.0)
        assert not self.faults(sick)
        self.reconnect(sick, 1, 400.0)
        assert self.faults(sick) == {("station a", Cause.RECONNECTS)}
        assert sick.services() == [("station a", Cause.RECONNECTS, "P3")]
        assert sick.cap_a() == 32.0
        sick.wait(3600.0, 60.0)
        assert not self.faults(sick)

    def test_ten_minutes_apart_or_more_they_are_none(self) -> None:
        sick = Sick()
        self.reconnect(sick, 12, 800.0)
        assert not self.faults(sick)

    def test_away_for_an_hour_somebody_comes(self) -> None:
        sick = Sick()
        sick.take(StationOffline(at_s=sick.now_s, station=StationId("a"), reason="lost"))
        sick.wait(3599.0, 60.0)
        assert sick.services() == []
        sick.wait(2.0)
        assert sick.services() == [("station a", Cause.OFFLINE, "P2")]
        sick.take(StationOnline(at_s=sick.now_s, station=StationId("a")))
        assert not self.faults(sick)


class TestScore:
    @given(counts=st.lists(st.tuples(st.integers(0, 400), st.floats(0.0, 1.0)), min_size=1, max_size=6))
    def test_no_history_breaks_it(self, counts: list[tuple[int, float]]) -> None:
        """Plans and allocations ask for it at every turn."""
        known = [History(sessions=float(count), failures=count * share) for count, share in counts]
        site_prior = prior({EvseId(f"e{i}"): history for i, history in enumerate(known)})
        assert all(0.0 <= failure_rate(history, site_prior) <= 1.0 for history in known)

    def test_of_a_site_where_every_session_failed(self) -> None:
        known = History(sessions=20.0, failures=20.0)
        assert failure_rate(known, prior({EvseId("a"): known, EvseId("b"): known})) > 0.9

    def test_few_sessions_do_not_lie(self) -> None:
        many = {EvseId(f"e{i}"): History(sessions=200.0, failures=10.0) for i in range(10)}
        one = {**many, EvseId("new"): History(sessions=1.0, failures=1.0)}
        assert failure_rate(one[EvseId("new")], prior(one)) < 0.3
        assert failure_rate(History(sessions=200.0, failures=100.0), prior(one)) > 0.35

    def test_a_site_without_history_is_taken_as_usual(self) -> None:
        assert failure_rate(History(), prior({A: History()})) == pytest.approx(0.05)

    def test_warmth_is_the_slope_of_the_readings(self) -> None:
        heat = Slope()
        for amps in (6.0, 10.0, 16.0, 24.0, 32.0) * 4:
            heat = warmed(heat, Metered(at_s=0.0, evse=A, current_a=Phases.all(amps), outlet_c=25.0 + 1.5 * amps))
        assert warmth_c_per_a(heat) == pytest.approx(1.5)
        assert warmth_c_per_a(Slope()) is None

    def test_failures_and_bad_contacts_lower_it(self) -> None:
        sick = Sick()
        for amps in (6.0, 10.0, 16.0, 24.0, 32.0) * 30:
            sick.reading(amps, B, outlet_c=25.0 + 2.0 * amps)
        for token in "vwxyz":
            sick.session(60.0, token=token, reason="Other")
        found = scores(sick.state)
        assert found[A] < found[EvseId("c/1")]
        assert found[B] == pytest.approx(found[EvseId("c/1")] / 2.0, rel=0.1)

    def test_a_few_readings_of_different_days_do_not_lie(self) -> None:
        """The weather makes a steep line through a handful of readings."""
        sick = Sick()
        for amps, outlet_c in ((10.0, 20.0), (12.0, 21.0), (16.0, 38.0)) * 5:
            sick.reading(amps, B, outlet_c=outlet_c)
        warmth = warmth_c_per_a(sick.state.evses[B].health.history.heat)
        assert warmth is not None
        assert warmth > 3.0
        found = scores(sick.state)
        assert found[B] > 0.75 * found[EvseId("c/1")]
