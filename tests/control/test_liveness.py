"""A grid operator that is heard, lost and heard again: EEBUS LPC by its rules, and what others got wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcharge.control import liveness
from smartcharge.control.limits import changes_s, effective_limits
from smartcharge.control.liveness import Liveness
from smartcharge.control.state import State
from smartcharge.events import (
    ClockStepped,
    ControllerStarted,
    Event,
    FailsafeSet,
    FailsafeStep,
    LimitLifted,
    LimitSet,
    LimitsReplaced,
    SourceHeard,
)
from smartcharge.model import Direction, GridLimit, GridSource, Phases, Release, Scope, Site
from tests.builders import MAIN, NOON_S, NORTH, circuit, evse, fold, site, station

DSO = GridSource(id="dso", circuit=MAIN, failsafe_w=9000.0)
FREE = replace(DSO, may_go_autonomous=True)
POLLED = replace(DSO, heartbeat_s=300.0, keeps_schedule=True)
RATING_W = 50.0 * 3.0 * 230.0
HOUR_S = 3600.0


def one(source: GridSource = DSO) -> Site:
    return replace(site(circuit(rating_a=50.0), station(evse("a/1"))), grid=(source,))


def after(s: float) -> float:
    return NOON_S + s


def started(s: float = 0.0) -> ControllerStarted:
    return ControllerStarted(at_s=after(s))


def beat(s: float, skew_s: float | None = None) -> SourceHeard:
    return SourceHeard(at_s=after(s), source="dso", skew_s=skew_s)


def beats(first: float, last: float, every: float = 60.0) -> list[Event]:
    return [beat(first + n * every) for n in range(int((last - first) / every) + 1)]


def limit(s: float, watts: float, until: float | None = None, *, issued: float | None = None) -> LimitSet:
    return LimitSet(
        at_s=after(s),
        source="dso",
        circuit=MAIN,
        power_w=watts,
        valid_until_s=None if until is None else after(until),
        issued_at_s=None if issued is None else after(issued),
    )


def lift(s: float) -> LimitLifted:
    return LimitLifted(at_s=after(s), source="dso", circuit=MAIN)


def window(
    start: float | None, end: float | None, watts: float, priority: int | None = None, version: str = ""
) -> GridLimit:
    return GridLimit(
        source="dso", circuit=MAIN, received_at_s=NOON_S, power_w=watts, priority=priority, version=version,
        start_s=None if start is None else after(start), end_s=None if end is None else after(end),
    )  # fmt: skip


def schedule(s: float, *windows: GridLimit) -> LimitsReplaced:
    return LimitsReplaced(at_s=after(s), source="dso", limits=windows)


def is_at(state: State, s: float) -> Liveness:
    return liveness.at(state.sources["dso"], after(s)).liveness


def watts(state: State, s: float) -> float:
    """What the site may draw from the grid [W]."""
    found = effective_limits(state, after(s))
    total = next(n for n, row in enumerate(found.rows) if row.phase is None)
    lines = min(float(found.limit_a[n]) for n, row in enumerate(found.rows) if row.phase is not None)
    return round(min(float(found.limit_a[total]), lines) * 3.0 * 230.0, 3)


def live() -> list[Event]:
    """Started, heard, and told that there is no limit."""
    return [started(), beat(1.0), lift(2.0)]


class TestInit:
    def test_a_source_that_was_never_heard_holds_the_site_at_its_failsafe_value(self) -> None:
        assert watts(fold(one()), 0.0) == 9000.0
        state = fold(one(), started())
        assert is_at(state, 30 * 86400.0) is Liveness.INIT
        assert watts(state, 30 * 86400.0) == 9000.0

    def test_is_left_by_a_heartbeat_and_a_limit_in_either_order(self) -> None:
        assert is_at(fold(one(), started(), beat(1.0)), 2.0) is Liveness.INIT
        assert is_at(fold(one(), started(), limit(1.0, 5000.0)), 2.0) is Liveness.INIT
        assert is_at(fold(one(), started(), limit(1.0, 5000.0), beat(2.0)), 3.0) is Liveness.LIMITED
        assert is_at(fold(one(), *live()), 3.0) is Liveness.CONTROLLED
        assert watts(fold(one(), *live()), 3.0) == RATING_W

    def test_a_stricter_limit_binds_before_the_line_is_proven(self) -> None:
        assert watts(fold(one(), started(), limit(1.0, 5000.0)), 2.0) == 5000.0

    def test_without_a_limit_goes_autonomous_after_the_grace_where_that_is_allowed(self) -> None:
        state = fold(one(FREE), started(), beat(1.0))
        assert is_at(state, 119.9) is Liveness.INIT
        assert is_at(state, 120.0) is Liveness.AUTONOMOUS
        assert watts(state, 120.0) == RATING_W

    def test_nothing_is_autonomous_before_the_controller_started(self) -> None:
        assert is_at(fold(one(FREE)), 1e6) is Liveness.INIT


class TestLpc911HeartbeatLost:
    def test_leads_to_failsafe_after_the_time_out(self) -> None:
        state = fold(one(), *live(), beat(60.0))
        assert is_at(state, 179.9) is Liveness.CONTROLLED
        assert is_at(state, 180.0) is Liveness.FAILSAFE
        assert watts(state, 180.0) == 9000.0
        assert changes_s(state, after(60.0), after(1000.0)) == (after(180.0),)

    def test_the_failsafe_value_holds_and_not_the_last_limit(self) -> None:
        state = fold(one(), *live(), limit(3.0, 20_000.0))
        assert watts(state, 3.0) == 20_000.0
        assert watts(state, 200.0) == 9000.0

    def test_a_last_limit_below_the_failsafe_value_stays(self) -> None:
        state = fold(one(), *live(), limit(3.0, 4000.0))
        assert watts(state, 1e6) == 4000.0

    def test_the_site_is_not_unlimited_after_a_long_outage(self) -> None:
        state = fold(one(), *live())
        for days in (0.1, 1.0, 21.0):
            assert is_at(state, days * 86400.0) is Liveness.FAILSAFE
            assert watts(state, days * 86400.0) == 9000.0

    def test_a_heartbeat_in_time_keeps_the_line(self) -> None:
        assert is_at(fold(one(), *live(), *beats(60.0, 3600.0)), 3650.0) is Liveness.CONTROLLED

    def test_the_operators_own_failsafe_value_holds_before_that_of_the_site_file(self) -> None:
        told = FailsafeSet(at_s=after(3.0), source="dso", power_w=7000.0, duration_s=4 * HOUR_S)
        state = fold(one(FREE), *live(), told)
        assert watts(state, 500.0) == 7000.0
        assert is_at(state, 4 * HOUR_S + 120.0) is Liveness.FAILSAFE
        assert is_at(state, 4 * HOUR_S + 130.0) is Liveness.AUTONOMOUS
        half = fold(state, FailsafeSet(at_s=after(10.0), source="dso"))
        assert watts(half, 500.0) == 9000.0


class TestFailsafeSteps:
    """What an operator said for certain times while it is not heard: OpenADR subscription, OSCP fallback."""

    SAID = FailsafeSet(
        at_s=NOON_S,
        source="dso",
        steps=(
            FailsafeStep(start_s=after(100.0), end_s=after(1000.0), power_w=6000.0),
            FailsafeStep(start_s=after(500.0), end_s=None, power_w=7000.0),
            FailsafeStep(start_s=NOON_S, end_s=after(500.0), power_w=0.0, direction=Direction.EXPORT),
        ),
    )

    def test_hold_in_their_time_the_strictest_of_those_that_overlap(self) -> None:
        state = fold(one(), *live(), self.SAID)
        assert [watts(state, s) for s in (99.0, 150.0, 600.0, 1001.0)] == [RATING_W, 6000.0, 6000.0, 7000.0]
        unheard = fold(one(), started(), self.SAID)
        assert watts(unheard, 50.0) == 9000.0, "where no step says anything, the site file does"

    def test_are_known_after_a_restart_and_tell_when_they_change(self) -> None:
        state = fold(one(), *live(), self.SAID, started(50.0))
        assert [watts(state, s) for s in (60.0, 150.0, 1001.0)] == [9000.0, 6000.0, 7000.0]
        assert {after(100.0), after(500.0), after(1000.0)} <= set(changes_s(state, after(60.0), after(1e6)))

    def test_of_export_hold_too(self) -> None:
        state = fold(one(), *live(), self.SAID)
        found = [effective_limits(state, after(s)).export_w for s in (50.0, 150.0, 600.0)]
        assert found == [{}, {MAIN: 0.0}, {}]


class TestLpc916LeavingFailsafe:
    LOST = (*live(), limit(3.0, 20_000.0))

    def test_not_on_a_heartbeat_alone(self) -> None:
        state = fold(one(), *self.LOST, *beats(1000.0, 9000.0))
        assert is_at(state, 9001.0) is Liveness.FAILSAFE
        assert watts(state, 9001.0) == 9000.0

    def test_not_on_a_limit_alone(self) -> None:
        assert is_at(fold(one(), *self.LOST, limit(1000.0, 20_000.0)), 1001.0) is Liveness.FAILSAFE

    def test_not_on_a_limit_before_the_heartbeat(self) -> None:
        assert is_at(fold(one(), *self.LOST, limit(1000.0, 20_000.0), beat(1001.0)), 1002.0) is Liveness.FAILSAFE

    def test_not_on_a_limit_that_the_broker_kept(self) -> None:
        kept = limit(1001.0, 20_000.0, issued=3.0)
        assert is_at(fold(one(), *self.LOST, beat(1000.0), kept), 1002.0) is Liveness.FAILSAFE

    def test_not_when_the_heartbeat_went_again_meanwhile(self) -> None:
        assert is_at(fold(one(), *self.LOST, beat(1000.0), limit(1121.0, 20_000.0)), 1122.0) is Liveness.FAILSAFE

    def test_on_a_heartbeat_and_a_limit_after_it(self) -> None:
        state = fold(one(), *self.LOST, beat(1000.0), limit(1010.0, 20_000.0))
        assert is_at(state, 1011.0) is Liveness.LIMITED
        assert watts(state, 1011.0) == 20_000.0
        assert is_at(fold(one(), *self.LOST, beat(1000.0), lift(1010.0)), 1011.0) is Liveness.CONTROLLED

    def test_it_can_be_lost_again(self) -> None:
        state = fold(one(), *self.LOST, beat(1000.0), limit(1010.0, 20_000.0))
        assert is_at(state, 1120.0) is Liveness.FAILSAFE


class TestLpc921And012FailsafeDuration:
    LOST = (*live(), beat(60.0))
    """Lost at 180 s."""

    def test_failsafe_lasts_at_least_its_minimum(self) -> None:
        state = fold(one(FREE), *self.LOST)
        assert is_at(state, 7200.0 + 179.0) is Liveness.FAILSAFE
        assert is_at(state, 7200.0 + 180.0) is Liveness.AUTONOMOUS

    def test_a_heartbeat_gives_the_limit_its_grace(self) -> None:
        state = fold(one(FREE), *self.LOST, beat(7300.0))
        assert is_at(state, 7419.0) is Liveness.FAILSAFE
        assert is_at(state, 7420.0) is Liveness.AUTONOMOUS

    def test_without_leave_it_never_ends_by_itself(self) -> None:
        assert is_at(fold(one(), *self.LOST), 1e7) is Liveness.FAILSAFE

    def test_an_autonomous_site_is_caught_again(self) -> None:
        state = fold(one(FREE), *self.LOST, limit(10_000.0, 3000.0))
        assert is_at(state, 10_001.0) is Liveness.AUTONOMOUS
        assert watts(state, 10_001.0) == 3000.0, "a limit binds whoever is believed"
        state = fold(state, beat(10_010.0), limit(10_011.0, 3000.0))
        assert is_at(state, 10_012.0) is Liveness.LIMITED

    def test_what_was_to_be_replaced_ends_with_autonomy(self) -> None:
        state = fold(one(FREE), *live(), limit(3.0, 4000.0))
        assert watts(state, 7000.0) == 4000.0
        assert watts(state, 7400.0) == RATING_W


class TestLimits:
    def test_without_a_duration_holds_until_replaced(self) -> None:
        state = fold(one(), *live(), limit(3.0, 5000.0), *beats(60.0, 86400.0))
        assert watts(state, 86400.0) == 5000.0

    def test_of_zero_is_zero(self) -> None:
        assert watts(fold(one(), *live(), limit(3.0, 0.0)), 4.0) == 0.0

    def test_with_an_end_ends(self) -> None:
        state = fold(one(), *live(), limit(3.0, 5000.0, until=100.0), beat(60.0))
        assert (watts(state, 99.0), watts(state, 100.0)) == (5000.0, RATING_W)
        assert is_at(state, 100.0) is Liveness.CONTROLLED

    def test_that_ended_is_ignored_and_that_began_applies(self) -> None:
        state = fold(one(), *live(), schedule(3.0, window(-200.0, -100.0, 1000.0), window(-50.0, 50.0, 5000.0)))
        assert watts(state, 4.0) == 5000.0

    def test_the_lowest_priority_number_counts_and_ties_go_to_the_strictest(self) -> None:
        first, second = window(0.0, 100.0, 8000.0, 0), window(0.0, 100.0, 3000.0, 1)
        nobody = window(0.0, 100.0, 2000.0)
        assert watts(fold(one(), *live(), schedule(3.0, second, first, nobody)), 4.0) == 8000.0
        assert watts(fold(one(), *live(), schedule(3.0, first, replace(first, power_w=6000.0))), 4.0) == 6000.0

    def test_of_several_sources_the_strictest(self) -> None:
        two = replace(one(), grid=(DSO, replace(DSO, id="tso")))
        state = fold(
            two,
            *live(),
            limit(3.0, 8000.0),
            SourceHeard(at_s=after(1.0), source="tso"),
            LimitSet(at_s=after(4.0), source="tso", circuit=MAIN, power_w=6000.0, priority=0),
        )
        assert watts(state, 5.0) == 6000.0
        lifted = fold(state, LimitLifted(at_s=after(6.0), source="tso", circuit=MAIN))
        assert watts(lifted, 7.0) == 8000.0

    def test_a_looser_one_never_relaxes_the_fuse(self) -> None:
        assert watts(fold(one(), *live(), limit(3.0, 1e9)), 4.0) == RATING_W

    def test_of_export_binds_what_is_fed_in_and_not_what_is_drawn(self) -> None:
        feed = replace(limit(3.0, 0.0), direction=Direction.EXPORT)
        state = fold(one(), *live(), feed, limit(4.0, 5000.0))
        assert watts(state, 5.0) == 5000.0
        assert effective_limits(state, after(5.0)).export_w == {MAIN: 0.0}
        assert watts(fold(one(), *live(), feed), 5.0) == RATING_W

    def test_of_export_the_strictest_of_all_sources_counts(self) -> None:
        feed = replace(limit(3.0, 3000.0, 50.0), direction=Direction.EXPORT)
        lines = replace(feed, source="tso", power_w=None, current_a=Phases(9.0, 2.0, 9.0))
        state = fold(one(), *live(), feed, lines)
        assert effective_limits(state, after(5.0)).export_w == {MAIN: 2.0 * 3.0 * 230.0}
        assert effective_limits(fold(one(), *live(), feed), after(60.0)).export_w == {}

    def test_that_come_again_keep_their_arrival(self) -> None:
        state = fold(one(), *live(), schedule(3.0, window(0.0, 100.0, 5000.0, version="1")))
        later = replace(window(0.0, 100.0, 5000.0, version="1"), received_at_s=after(50.0))
        assert fold(state, schedule(50.0, later)).sources["dso"].limits == state.sources["dso"].limits

    def test_of_a_circuit_that_the_site_does_not_have_are_left_out(self) -> None:
        state = fold(one(), *live(), schedule(3.0, replace(window(0.0, None, 0.0), circuit=NORTH)))
        assert state.sources["dso"].limits == ()


class TestScheduleOffline:
    """OpenADR: what was cached stays good while the line is down; exhausted, the failsafe value holds."""

    DAY = schedule(3.0, window(0.0, HOUR_S, 20_000.0), window(HOUR_S, 2 * HOUR_S, 12_000.0), window(5e4, 6e4, 2000.0))

    def test_cached_limits_are_followed_without_a_line(self) -> None:
        state = fold(one(POLLED), *live(), self.DAY)
        assert [watts(state, s) for s in (1000.0, 3601.0, 7199.0)] == [20_000.0, 12_000.0, 12_000.0]
        assert is_at(state, 7199.0) is Liveness.LIMITED

    def test_exhausted_it_is_failsafe_and_later_limits_still_bind(self) -> None:
        state = fold(one(POLLED), *live(), self.DAY)
        assert is_at(state, 7200.0) is Liveness.FAILSAFE
        assert [watts(state, s) for s in (7200.0, 5.5e4, 6e4, 21 * 86400.0)] == [9000.0, 2000.0, 9000.0, 9000.0]

    def test_where_nothing_was_cached_the_line_is_lost_at_once(self) -> None:
        assert is_at(fold(one(POLLED), *live()), 301.0) is Liveness.FAILSAFE

    def test_a_limit_for_ever_holds_for_ever(self) -> None:
        state = fold(one(POLLED), *live(), schedule(3.0, window(None, None, 20_000.0)))
        assert watts(state, 1e7) == 20_000.0


class TestRestart:
    def test_begins_in_failsafe_and_forgets_no_limit(self) -> None:
        before = fold(one(), *live(), limit(3.0, 5000.0, until=1000.0), beat(60.0))
        state = fold(before, started(100.0))
        assert is_at(state, 101.0) is Liveness.INIT
        assert watts(state, 101.0) == 5000.0
        assert watts(state, 1001.0) == 9000.0

    def test_the_line_must_be_proven_anew(self) -> None:
        state = fold(one(), *live(), started(50.0), beat(51.0))
        assert watts(state, 52.0) == 9000.0
        assert watts(fold(state, lift(53.0)), 54.0) == RATING_W

    def test_of_a_source_that_nobody_waits_for_changes_nothing(self) -> None:
        undeclared = site(circuit(rating_a=50.0), station(evse("a/1")))
        state = fold(undeclared, limit(3.0, 5000.0))
        assert fold(state, started(3.0)) == state


class TestScopeLoads:
    """Section 14a EnWG limits the controllable loads, not the household."""

    def test_the_other_load_is_not_counted(self) -> None:
        busy = replace(circuit(rating_a=50.0), uncontrolled_a=Phases.all(10.0))
        loads = replace(DSO, scope=Scope.LOADS)
        state = fold(replace(one(loads), circuits=(busy,)), started(), beat(1.0))
        state = fold(state, replace(limit(2.0, 6900.0), scope=Scope.LOADS))
        total = effective_limits(state, after(3.0)).available_a[-1]
        assert total == pytest.approx(10.0)
        assert effective_limits(state, after(500.0)).available_a[-1] == pytest.approx(10.0), "stricter than failsafe"
        site_wide = fold(replace(one(), circuits=(busy,)), started(), beat(1.0), limit(2.0, 6900.0))
        assert effective_limits(site_wide, after(3.0)).available_a[-1] == pytest.approx(0.0)


class TestUntrustedClock:
    """With clocks apart a limit holds from the earlier start to the later end: of two, the stricter."""

    def test_the_strictest_of_adjacent_intervals_holds(self) -> None:
        hours = schedule(
            3.0, window(0.0, 100.0, 20_000.0), window(100.0, 200.0, 5000.0), window(200.0, 300.0, 20_000.0)
        )
        patient = replace(DSO, heartbeat_s=1000.0)
        exact = fold(one(patient), *live(), hours, beat(60.0, 4.0))
        assert [watts(exact, s) for s in (75.0, 100.0, 199.0, 205.0)] == [20_000.0, 5000.0, 5000.0, 20_000.0]
        for skew_s in (30.0, -30.0):
            state = fold(one(patient), *live(), hours, beat(60.0, skew_s))
            assert [watts(state, s) for s in (69.0, 71.0, 229.0, 231.0)] == [20_000.0, 5000.0, 5000.0, 20_000.0]


class TestClockIsSet:
    """Durations do not depend on the clock of the wall; ends of limits do."""

    @pytest.mark.parametrize("step_s", [3600.0, -3600.0])
    def test_silence_is_as_long_as_it_was(self, step_s: float) -> None:
        state = fold(one(), *live(), beat(60.0), ClockStepped(at_s=after(70.0 + step_s), step_s=step_s))
        assert is_at(state, 179.0 + step_s) is Liveness.CONTROLLED
        assert is_at(state, 181.0 + step_s) is Liveness.FAILSAFE

    def test_a_line_that_was_lost_stays_lost(self) -> None:
        state = fold(one(), *live(), beat(60.0), ClockStepped(at_s=after(200.0 - 1000.0), step_s=-1000.0))
        assert is_at(state, -790.0) is Liveness.FAILSAFE

    def test_a_limit_ends_when_it_was_said_to(self) -> None:
        state = fold(one(replace(DSO, heartbeat_s=1e6)), *live(), limit(3.0, 5000.0, until=1000.0))
        state = fold(state, ClockStepped(at_s=after(500.0), step_s=400.0))
        assert (watts(state, 999.0), watts(state, 1000.0)) == (5000.0, RATING_W)


class TestRelease:
    """A limit that ended lets go after a delay drawn once, and then slowly; it never holds up a stricter one."""

    SLOW = replace(DSO, heartbeat_s=1e6, release=Release(delay_s=600.0, ramp_s=100.0, seed="yard"))

    def delay_s(self, source: GridSource, version: str = "v1") -> float:
        state = fold(one(source), *live(), schedule(3.0, window(0.0, 100.0, 5000.0, version=version)))
        held = next(s for s in range(100, 2000) if watts(state, s) > 5000.0)
        return held - 100.0

    def test_the_delay_is_drawn_from_its_range_and_differs_by_site_and_event(self) -> None:
        drawn = {self.delay_s(replace(self.SLOW, release=replace(self.SLOW.release, seed=f"s{n}"))) for n in range(8)}
        assert len(drawn) > 4
        assert all(0.0 <= s <= 601.0 for s in drawn)
        assert self.delay_s(self.SLOW, "v1") != self.delay_s(self.SLOW, "v2")

    def test_the_rise_takes_the_ramp(self) -> None:
        flat = replace(self.SLOW, release=Release(ramp_s=100.0))
        state = fold(one(flat), *live(), schedule(3.0, window(0.0, 100.0, 4500.0)))
        assert watts(state, 150.0) == pytest.approx((4500.0 + RATING_W) / 2.0)
        assert watts(state, 200.0) == RATING_W

    def test_it_is_the_same_after_a_restart_and_does_not_begin_again(self) -> None:
        before = fold(one(self.SLOW), *live(), schedule(3.0, window(0.0, 100.0, 5000.0, version="v1")))
        again = fold(before, started(150.0), beat(151.0), schedule(152.0, window(0.0, 100.0, 5000.0, version="v1")))
        for s in range(160, 900, 10):
            assert watts(again, s) == watts(before, s)

    def test_a_limit_that_is_taken_back_lets_go_as_slowly(self) -> None:
        state = fold(one(self.SLOW), *live(), limit(3.0, 5000.0), lift(50.0))
        assert watts(state, 50.0) == 5000.0
        assert watts(state, 800.0) == RATING_W

    def test_a_reduction_waits_for_nothing(self) -> None:
        state = fold(one(self.SLOW), *live(), limit(3.0, 5000.0), limit(50.0, 8000.0), limit(51.0, 3000.0))
        assert watts(state, 51.0) == 3000.0

    def test_delays_do_not_add_up(self) -> None:
        steps = [window(n * 10.0, (n + 1) * 10.0, 1000.0 + 100.0 * n, version="v1") for n in range(10)]
        state = fold(one(self.SLOW), *live(), schedule(3.0, *steps))
        assert watts(state, 100.0 + 700.0) == RATING_W

    def test_failsafe_lets_go_as_slowly(self) -> None:
        source = replace(self.SLOW, heartbeat_s=120.0)
        state = fold(one(source), *live(), beat(1000.0), lift(1001.0))
        assert watts(state, 1001.0) == 9000.0
        kept = fold(state, *beats(1060.0, 2200.0))
        assert watts(kept, 1900.0) == RATING_W


class TestSilenceNeverLoosens:
    """I4, whatever was heard before."""

    WORDS = st.tuples(
        st.sampled_from(("beat", "limit", "lift", "start", "told")), st.floats(0.1, 300.0), st.floats(0.0, 4e4)
    )

    @given(
        story=st.lists(WORDS, max_size=12),
        later=st.lists(st.floats(0.0, 1e6), min_size=2, max_size=6),
        keeps=st.booleans(),
    )
    def test_the_limit_only_falls_while_nothing_is_heard(
        self, story: list[tuple[str, float, float]], later: list[float], *, keeps: bool
    ) -> None:
        state, s = fold(one(replace(DSO, keeps_schedule=keeps))), 0.0
        for what, wait, how in story:
            s += wait
            events: dict[str, Event] = {
                "beat": beat(s), "limit": limit(s, how), "lift": lift(s), "start": started(s),
                "told": FailsafeSet(at_s=after(s), source="dso", power_w=how),
            }  # fmt: skip
            state = fold(state, events[what])
        found = [watts(state, s + more) for more in sorted(later)]
        assert found == sorted(found, reverse=True)
