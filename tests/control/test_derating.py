"""What each fault costs and how it comes back (I6: down at once, up slowly; latches need a person)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartcharge.control.health.rules import TABLE, Rule
from smartcharge.control.health.score import warmth_c_per_a
from smartcharge.control.limits import effective_limits
from smartcharge.control.state import apply
from smartcharge.events import (
    Derated,
    FaultCleared,
    FaultOrder,
    FaultRaised,
    ResetOrdered,
    SiteFaultCleared,
    SiteFaultRaised,
    Unplugged,
)
from smartcharge.faults import Cause, DeratingStage, Effect, OrderKind
from smartcharge.model import Wiring
from tests.builders import NOON_S, circuit, evse, site, station
from tests.control.sick import FOUR, UNMETERED, A, B, Sick

FOUND = {Cause.PHASE_LOST, Cause.SESSIONS_FAIL, Cause.OVER_LIMIT, Cause.METER_FAILED}
"""What only detectors find: they would take it back at once."""
REPORTED = [rule for rule in TABLE if rule.priority is not None and rule.steps and rule.cause not in FOUND]


def small(max_a: float = 16.0) -> Sick:
    stations = tuple(replace(s, evses=tuple(replace(e, max_a=max_a) for e in s.evses)) for s in FOUR.stations)
    return Sick(replace(FOUR, stations=stations))


def rectifier(modules: int | None) -> Sick:
    unit = replace(evse("a/1", Wiring.DC), max_a=120.0, modules=modules)
    return Sick(replace(site(circuit(rating_a=200.0), station(unit)), timing=UNMETERED))


class TestSteps:
    def test_heat_takes_a_step_every_five_minutes_and_then_stops(self) -> None:
        sick = Sick()
        sick.raised("HighTemperature", effect=Effect.WARNING)
        assert sick.cap_a() == 24.0, "at once"
        sick.wait(1300.0)
        assert sick.steps() == [24.0, 16.0, 8.0, 0.0]
        assert sick.cap_a(B) == 32.0

    def test_a_derate_below_six_amperes_is_a_stop(self) -> None:
        sick = small(16.0)
        sick.raised("CX018", effect=Effect.WARNING)
        sick.wait(300.0)
        assert sick.steps() == [12.0, 8.0, 0.0], "a quarter of 16 A is less than 6 A"

    def test_heat_comes_back_a_quarter_every_five_minutes_after_a_hold(self) -> None:
        sick = Sick()
        sick.raised("HighTemperature", effect=Effect.WARNING)
        sick.wait(310.0)
        sick.cleared("HighTemperature")
        assert (sick.stage(Cause.ENCLOSURE_HOT), sick.cap_a()) == (DeratingStage.HOLD, 16.0)
        sick.wait(299.0)
        assert sick.cap_a() == 16.0
        sick.wait(2.0)
        assert (sick.stage(Cause.ENCLOSURE_HOT), sick.cap_a()) == (DeratingStage.RAMP, 24.0)
        sick.wait(301.0)
        assert (sick.stage(Cause.ENCLOSURE_HOT), sick.cap_a()) == (None, 32.0)

    def test_a_relapse_on_the_way_up_goes_below_what_it_had(self) -> None:
        sick = Sick()
        sick.raised("HighTemperature", effect=Effect.WARNING)
        sick.wait(310.0)
        sick.cleared("HighTemperature")
        sick.wait(301.0)
        assert sick.cap_a() == 24.0
        sick.raised("HighTemperature", effect=Effect.WARNING)
        assert sick.cap_a() == 16.0

    def test_a_station_that_says_faulted_is_stopped(self) -> None:
        sick = Sick()
        sick.raised("HighTemperature", effect=Effect.FAULTED)
        assert sick.cap_a() == 0.0

    def test_fans_cost_a_quarter_for_as_long(self) -> None:
        sick = Sick()
        sick.raised("AirCoolingSystem")
        sick.wait(4000.0, 60.0)
        assert sick.cap_a() == 24.0
        sick.cleared("AirCoolingSystem")
        assert sick.cap_a() == 32.0

    def test_derates_combine_by_minimum(self) -> None:
        sick = Sick()
        sick.raised("AirCoolingSystem")
        sick.raised("GroundFailure")
        cap = effective_limits(sick.state, sick.now_s).caps[A]
        assert (cap.limit_a, cap.source) == (0.0, "stopped: ground or insulation fault: GroundFailure")

    @pytest.mark.parametrize(("modules", "lost", "left_a"), [(4, 1, 90.0), (4, 3, 30.0), (4, 4, 0.0), (None, 1, 60.0)])
    def test_lost_modules_leave_their_share_once_they_are_off(self, modules: int, lost: int, left_a: float) -> None:
        sick = rectifier(modules)
        for number in range(lost):
            sick.raised(f"AcDcConverter#{number}")
        assert sick.cap_a() == 120.0, "until they switched themselves off, they may still do their part"
        sick.wait(14.0)
        assert sick.cap_a() == 120.0
        sick.wait(2.0)
        assert sick.cap_a() == left_a

    def test_one_module_of_two_back_is_worth_its_share(self) -> None:
        sick = rectifier(4)
        for number in range(2):
            sick.raised(f"AcDcConverter#{number}")
        sick.wait(16.0)
        sick.cleared("AcDcConverter#0")
        assert sick.cap_a() == 90.0
        sick.cleared("AcDcConverter#1")
        assert sick.cap_a() == 120.0

    def test_a_meter_that_bills_blocks_and_another_does_not(self) -> None:
        sick = Sick()
        sick.raised("PowerMeterFailure")
        assert sick.cap_a() == 32.0
        billed = tuple(replace(s, evses=tuple(replace(e, bills=True) for e in s.evses)) for s in FOUR.stations)
        sick = Sick(replace(FOUR, stations=billed))
        sick.raised("PowerMeterFailure")
        assert sick.cap_a() == 0.0

    @given(st.lists(st.sampled_from(REPORTED), max_size=6), st.integers(0, 3000))
    @settings(max_examples=30, deadline=None)
    def test_whatever_fails_nothing_is_higher_while_it_lasts(self, rules: list[Rule], wait_s: int) -> None:
        sick = Sick()
        for rule in rules:
            before_a = sick.cap_a()
            sick.raised(rule.cause.value)
            assert sick.cap_a() <= before_a
            sick.wait(wait_s / 6.0, 60.0)
        last_a = sick.cap_a()
        sick.wait(float(wait_s), 60.0)
        assert sick.cap_a() <= last_a


class TestProbation:
    def test_an_overheated_cable_cools_then_proves_itself_with_a_new_session(self) -> None:
        sick = Sick()
        sick.raised("CX019")
        assert sick.cap_a() == 0.0
        sick.cleared("CX019")
        sick.wait(599.0, 1.0)
        assert sick.cap_a() == 0.0
        sick.wait(2.0)
        assert (sick.stage(Cause.CABLE_OVERHEATED), sick.cap_a()) == (DeratingStage.PROBATION, 16.0)
        sick.end(A, "t0")
        assert sick.stage(Cause.CABLE_OVERHEATED) is DeratingStage.PROBATION, "that session began before"
        sick.session(600.0)
        assert (sick.stage(Cause.CABLE_OVERHEATED), sick.cap_a()) == (None, 32.0)

    def test_the_hold_doubles_each_time(self) -> None:
        sick = Sick()
        for hold_s in (600.0, 1200.0, 2400.0):
            sick.raised("CX019")
            sick.cleared("CX019")
            sick.wait(hold_s - 1.0, hold_s - 1.0)
            assert sick.stage(Cause.CABLE_OVERHEATED) is DeratingStage.HOLD
            sick.wait(2.0)
            assert sick.stage(Cause.CABLE_OVERHEATED) is DeratingStage.PROBATION

    def test_a_short_session_proves_nothing(self) -> None:
        sick = Sick()
        sick.raised("GroundFailure")
        sick.cleared("GroundFailure")
        assert (sick.stage(Cause.GROUND_FAULT), sick.cap_a()) == (DeratingStage.PROBATION, 32.0)
        sick.session(100.0)
        assert sick.stage(Cause.GROUND_FAULT) is DeratingStage.PROBATION


class TestLatches:
    def test_the_third_ground_fault_in_a_day_latches(self) -> None:
        sick = Sick()
        for _ in range(2):
            sick.raised("GroundFailure")
            sick.cleared("GroundFailure")
            assert sick.stage(Cause.GROUND_FAULT) is DeratingStage.PROBATION
        sick.raised("GroundFailure")
        sick.cleared("GroundFailure")
        sick.wait(90_000.0, 3600.0)
        assert (sick.stage(Cause.GROUND_FAULT), sick.cap_a()) == (DeratingStage.LATCHED, 0.0)

    def test_over_more_than_a_day_they_do_not(self) -> None:
        sick = Sick()
        for _ in range(4):
            sick.raised("GroundFailure")
            sick.cleared("GroundFailure")
            sick.wait(50_000.0, 50_000.0)
        assert sick.stage(Cause.GROUND_FAULT) is DeratingStage.PROBATION

    def test_a_welded_contactor_waits_for_a_person_whatever_the_station_says(self) -> None:
        sick = Sick()
        sick.raised("PowerSwitchFailure")
        sick.cleared("PowerSwitchFailure")
        sick.take(Unplugged(at_s=sick.now_s, evse=A))
        sick.wait(100_000.0, 10_000.0)
        assert (sick.stage(Cause.CONTACTOR_WELDED), sick.cap_a()) == (DeratingStage.LATCHED, 0.0)

    def test_what_flows_through_it_stays_reserved(self) -> None:
        """A block frees no room that is still drawn, even when the transaction is over and the default would apply."""
        sick = Sick()
        sick.reading(20.0)
        sick.raised("CX017")
        sick.end(A, "t0")
        assert sick.state.reserved_a(A, NOON_S + 4000.0) == 20.0
        sick.wait(10.0)
        sick.reading(14.0)
        assert sick.state.reserved_a(A, NOON_S + 4000.0) == 14.0

    def test_unmeasured_it_may_be_all(self) -> None:
        sick = Sick()
        sick.raised("CX017")
        sick.end(A, "t0")
        assert sick.state.reserved_a(A, NOON_S + 4000.0) == 32.0


class TestSessionsFail:
    def fail(self, sick: Sick, *tokens: str) -> None:
        for token in tokens:
            sick.session(60.0, token=token, reason="Other")

    def test_three_cars_in_a_row_bring_a_reset_and_half(self) -> None:
        sick = Sick()
        self.fail(sick, "x", "y")
        assert sick.cap_a() == 32.0
        self.fail(sick, "z")
        assert (sick.stage(Cause.SESSIONS_FAIL), sick.cap_a()) == (DeratingStage.PROBATION, 16.0)
        assert [e.station for e in sick.followed if isinstance(e, ResetOrdered)] == ["a"]

    def test_one_car_alone_is_its_own_trouble(self) -> None:
        sick = Sick()
        self.fail(sick, "x", "x", "x", "x", "y")
        assert sick.cap_a() == 32.0

    def test_what_customers_end_is_no_failure(self) -> None:
        sick = Sick()
        for token in "xyz":
            sick.session(60.0, token=token, reason="Local")
        assert sick.cap_a() == 32.0

    def test_three_successes_end_it(self) -> None:
        sick = Sick()
        self.fail(sick, "x", "y", "z")
        for token in "abc":
            assert sick.cap_a() == 16.0
            sick.session(900.0, token=token)
        assert sick.cap_a() == 32.0

    def test_another_failure_blocks_for_twice_as_long_each_time(self) -> None:
        sick = Sick()
        self.fail(sick, "x", "y", "z")
        for hold_s in (3600.0, 7200.0):
            self.fail(sick, "v")
            sick.wait(1.0)
            assert sick.cap_a() == 0.0
            sick.wait(hold_s - 10.0, 600.0)
            assert sick.cap_a() == 0.0
            sick.wait(20.0)
            assert sick.cap_a() == 16.0


class TestManyAtOnce:
    def test_three_stations_are_one_event_of_the_site_and_one_visit(self) -> None:
        sick = Sick()
        for number, name in enumerate((A, B, "c/1")):
            sick.raised("UnderVoltage", name)  # type: ignore[arg-type]
            sick.wait(5.0)
            assert sick.cap_a(name) == 0.0, f"port {number} is blocked at once"  # type: ignore[arg-type]
        sick.wait(100.0)
        events = [e for e in sick.followed if isinstance(e, SiteFaultRaised)]
        assert [(e.subject, e.cause) for e in events] == [("site", Cause.VOLTAGE_OUT)]
        assert sick.services() == [("site", Cause.VOLTAGE_OUT, "P2")]
        for name in (A, B, "c/1"):
            sick.cleared("UnderVoltage", name)  # type: ignore[arg-type]
        sick.wait(3.0)
        assert any(isinstance(e, SiteFaultCleared) for e in sick.followed)
        assert sick.cap_a() == 32.0

    def test_one_after_the_other_they_are_three(self) -> None:
        sick = Sick()
        for name in (A, B, "c/1"):
            sick.raised("GroundFailure", name)  # type: ignore[arg-type]
            sick.wait(100.0)
        assert [subject for subject, _, _ in sick.services()] == ["evse a/1", "evse b/1", "evse c/1"]


class TestWhoHasToCome:
    @pytest.mark.parametrize("rule", REPORTED, ids=lambda rule: rule.cause.value)
    def test_each_row_calls_with_its_priority(self, rule: Rule) -> None:
        sick = rectifier(4) if rule.cause is Cause.MODULES_LOST else Sick()
        sick.raised(rule.cause.value)
        sick.wait(61.0)
        assert rule.priority is not None
        assert sick.services() == [("evse a/1", rule.cause, rule.priority.value)]

    def test_heat_that_comes_again_is_more_urgent(self) -> None:
        sick = Sick()
        for _ in range(3):
            sick.raised("HighTemperature", effect=Effect.WARNING)
            sick.wait(70.0)
            sick.cleared("HighTemperature")
            sick.wait(1300.0, 60.0)
        assert [priority for _, _, priority in sick.services()] == ["P3", "P3", "P2"]

    def test_a_voltage_dip_calls_nobody_the_third_does(self) -> None:
        sick = Sick()
        for _ in range(3):
            assert sick.services() == []
            sick.raised("OverVoltage")
            sick.wait(61.0)
            sick.cleared("OverVoltage")
            sick.wait(3.0)
        assert [priority for _, _, priority in sick.services()] == ["P2"]

    def test_more_than_half_of_the_modules_is_more_urgent(self) -> None:
        sick = rectifier(4)
        for number in range(3):
            sick.raised(f"AcDcConverter#{number}")
            sick.wait(100.0)
        assert [priority for _, _, priority in sick.services()] == ["P3", "P2"]


class TestOrders:
    def test_only_the_work_order_of_its_repair_opens_a_latch_and_then_it_has_to_prove_itself(self) -> None:
        sick = Sick()
        sick.raised("PowerSwitchFailure")
        sick.order(OrderKind.ACKNOWLEDGE, Cause.CONTACTOR_WELDED)
        assert sick.cap_a() == 0.0
        assert sick.state.evses[A].health.deratings[Cause.CONTACTOR_WELDED].acknowledged_by == "Ada"
        sick.cleared("PowerSwitchFailure")
        sick.order(OrderKind.RELEASE, Cause.CONTACTOR_WELDED)
        assert (sick.stage(Cause.CONTACTOR_WELDED), sick.cap_a()) == (DeratingStage.LATCHED, 0.0)
        sick.order(OrderKind.RELEASE, Cause.CONTACTOR_WELDED, work_order=7)
        assert (sick.stage(Cause.CONTACTOR_WELDED), sick.cap_a()) == (DeratingStage.PROBATION, 16.0)
        assert any(isinstance(e, Derated) and e.stage is DeratingStage.PROBATION for e in sick.followed)
        sick.session(900.0)
        assert sick.cap_a() == 32.0

    def test_a_fault_that_is_back_before_it_is_tried_keeps_the_latch(self) -> None:
        sick = Sick()
        sick.raised("PowerSwitchFailure")
        sick.cleared("PowerSwitchFailure")
        order = FaultOrder(at_s=sick.now_s, evse=A, cause=Cause.CONTACTOR_WELDED, kind=OrderKind.RELEASE, author="Ada",
                           reason="seen", work_order=7)  # fmt: skip
        again = FaultRaised(at_s=sick.now_s, evse=A, code="PowerSwitchFailure")
        for event in (order, again, FaultCleared(at_s=sick.now_s, evse=A, code="PowerSwitchFailure")):
            sick.state = apply(sick.state, event)
        sick.wait(100.0)
        assert sick.stage(Cause.CONTACTOR_WELDED) is DeratingStage.LATCHED

    def test_what_told_of_it_is_forgotten_once_it_is_repaired(self) -> None:
        sick = Sick()
        for _ in range(40):
            sick.reading(30.0, outlet_c=85.0)
            sick.reading(6.0, outlet_c=40.0)
        sick.reading(30.0, outlet_c=50.0)
        assert warmth_c_per_a(sick.state.evses[A].health.history.heat) is not None
        sick.order(OrderKind.RELEASE, Cause.CONNECTOR_HOT)
        assert warmth_c_per_a(sick.state.evses[A].health.history.heat) is None
        for token in "xyz":
            sick.session(60.0, token=token, reason="Other")
        assert sick.state.evses[A].health.history.failures > 2.0
        sick.order(OrderKind.RELEASE, Cause.SESSIONS_FAIL)
        assert sick.state.evses[A].health.history.failures == 0.0
        assert sick.cap_a() == 32.0

    def test_what_is_still_wrong_is_found_again_at_once(self) -> None:
        sick = Sick()
        sick.raised("PowerSwitchFailure")
        sick.order(OrderKind.RELEASE, Cause.CONTACTOR_WELDED, work_order=7)
        assert sick.cap_a() == 0.0

    def test_safety_cannot_be_muted_and_the_rest_can(self) -> None:
        sick = Sick()
        sick.raised("GroundFailure")
        sick.order(OrderKind.MUTE, Cause.GROUND_FAULT)
        assert sick.cap_a() == 0.0
        sick.raised("AirCoolingSystem", B)
        sick.order(OrderKind.MUTE, Cause.FAN, B)
        assert sick.cap_a(B) == 32.0
        sick.wait(90_000.0, 9000.0)
        assert sick.cap_a(B) == 24.0, "a mute ends"

    def test_a_forced_derate_stays_until_released(self) -> None:
        sick = Sick()
        sick.order(OrderKind.FORCE, Cause.CONNECTOR_HOT, limit_a=10.0)
        cap = effective_limits(sick.state, sick.now_s).caps[A]
        assert (cap.limit_a, cap.source) == (10.0, "forced by Ada: seen")
        sick.raised("CX018", effect=Effect.WARNING)
        sick.cleared("CX018")
        sick.wait(3000.0, 60.0)
        assert sick.cap_a() == 10.0
        sick.order(OrderKind.RELEASE, Cause.CONNECTOR_HOT)
        assert sick.cap_a() == 32.0
