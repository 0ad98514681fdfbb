"""What is allowed, and who says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smartcharge.control.limits import Limits, changes_s, effective_limits, other_a
from smartcharge.control.state import State
from smartcharge.events import (
    BackendLimited,
    CircuitMetered,
    Event,
    LimitLifted,
    LimitSet,
    Metered,
    OperatorOrder,
    SourceHeard,
    StationBooted,
    StationLearnt,
)
from smartcharge.model import EvseId, GridSource, Phases, StationId, Wiring
from tests.builders import (
    MAIN,
    NOON_S,
    NORTH,
    SOUTH,
    accepted,
    charging,
    circuit,
    commanded,
    evse,
    fold,
    meter,
    ready,
    row_of,
    site,
    station,
    told,
)

A = EvseId("a/1")
FAILSAFE = Phases(20.0, 18.0, 16.0)
ONE = site(replace(circuit(rating_a=50.0), failsafe_a=FAILSAFE), station(evse("a/1")))


def grid(amps: float | None = None, watts: float | None = None, until_s: float | None = None) -> LimitSet:
    current_a = None if amps is None else Phases.all(amps)
    return LimitSet(at_s=NOON_S, source="dso", circuit=MAIN, current_a=current_a, power_w=watts, valid_until_s=until_s)


def limits(state: State, now_s: float = NOON_S) -> dict[str, tuple[float, str]]:
    """The limit of each row and its source, without the row's own label."""
    found = effective_limits(state, now_s)
    return {
        row.label: (float(amps), source.removeprefix(row.label).strip())
        for row, amps, source in zip(found.rows, found.limit_a, found.source, strict=True)
    }


class TestGridLimit:
    def test_without_one_the_rating_holds(self) -> None:
        assert limits(fold(ONE)) == {
            "main L1": (50.0, "rating"), "main L2": (50.0, "rating"), "main L3": (50.0, "rating"),
            "main total": (float("inf"), "rating"),
        }  # fmt: skip

    def test_in_amperes_holds_on_each_line(self) -> None:
        assert limits(fold(ONE, grid(30.0)))["main L2"] == (30.0, "grid limit of dso")

    def test_in_watts_holds_on_the_total(self) -> None:
        found = limits(fold(ONE, grid(watts=6900.0)))
        assert found["main total"][0] == pytest.approx(10.0)
        assert found["main total"][1] == "grid limit of dso"
        assert found["main L1"] == (50.0, "rating")

    def test_never_loosens_a_rating(self) -> None:
        assert limits(fold(ONE, grid(90.0)))["main L1"] == (50.0, "rating")

    @pytest.mark.parametrize(("amps", "expected"), [(30.0, (20.0, 18.0, 16.0)), (17.0, (17.0, 17.0, 16.0))])
    def test_expired_gives_way_to_the_failsafe_or_stays_whichever_is_lower(
        self, amps: float, expected: tuple[float, ...]
    ) -> None:
        state = fold(ONE, grid(amps, until_s=NOON_S + 60.0))
        assert limits(state, NOON_S + 59.9)["main L1"] == (amps, "grid limit of dso")
        found = limits(state, NOON_S + 60.0)
        assert [found[f"main L{n}"][0] for n in (1, 2, 3)] == list(expected)
        assert found["main L3"][1] == "failsafe, dso is silent"

    def test_expired_in_watts_holds_beside_the_failsafe(self) -> None:
        found = limits(fold(ONE, grid(watts=6900.0, until_s=NOON_S)))
        assert found["main total"][0] == pytest.approx(10.0)
        assert found["main L1"] == (20.0, "failsafe, dso is silent")

    def test_without_an_end_expires_by_the_sites_policy(self) -> None:
        state = fold(ONE, grid(30.0))
        assert changes_s(state, NOON_S, NOON_S + 3600.0) == (NOON_S + 900.0,)
        assert limits(state, NOON_S + 900.0)["main L1"][0] == 20.0

    def test_is_lifted_by_a_word_and_not_by_anothers(self) -> None:
        state = fold(ONE, grid(30.0), LimitLifted(at_s=NOON_S, source="other", circuit=MAIN))
        assert limits(state)["main L1"][0] == 30.0
        assert limits(fold(state, LimitLifted(at_s=NOON_S, source="dso", circuit=MAIN)))["main L1"][0] == 50.0

    def test_looking_ahead_it_expires(self) -> None:
        state = fold(ONE, grid(30.0, until_s=NOON_S + 60.0))
        assert effective_limits(state, NOON_S, ahead_s=60.0).limit_a[0] == 20.0


class TestLookingAhead:
    """A plan counts on the next heartbeat of an operator that is heard, and on nothing of one that is lost."""

    DSO = GridSource(id="mqtt dso", circuit=MAIN, failsafe_w=6_900.0, heartbeat_s=120.0)
    HEARD = (
        SourceHeard(at_s=NOON_S, source="mqtt dso"),
        LimitSet(at_s=NOON_S, source="mqtt dso", circuit=MAIN, power_w=20_700.0),
    )

    def total_a(self, now_s: float, ahead_s: float) -> float:
        state = fold(replace(ONE, grid=(self.DSO,)), self.HEARD)
        found = effective_limits(state, now_s, ahead_s=ahead_s)
        return next(float(a) for a, row in zip(found.limit_a, found.rows, strict=True) if row.phase is None)

    def test_who_is_heard_goes_on_being_heard(self) -> None:
        assert self.total_a(NOON_S + 60.0, 0.0) == pytest.approx(30.0)
        assert self.total_a(NOON_S + 60.0, 3600.0) == pytest.approx(30.0)

    def test_who_is_lost_stays_lost(self) -> None:
        assert self.total_a(NOON_S + 121.0, 0.0) == pytest.approx(10.0)
        assert self.total_a(NOON_S + 121.0, 3600.0) == pytest.approx(10.0)


class TestRatings:
    def test_of_a_shared_supply(self) -> None:
        shared = site(circuit(rating_a=50.0), station(evse("a/1", Wiring.ONE_PHASE), rating_a=20.0))
        assert limits(fold(shared))["station a L1"] == (20.0, "rating")


class TestCaps:
    def test_an_order_caps_until_it_is_lifted(self) -> None:
        order = OperatorOrder(at_s=NOON_S, evse=A, limit_a=9.0, author="eve", reason="hot cable")
        state = fold(ONE, order)
        cap = effective_limits(state, NOON_S).caps[A]
        assert (cap.limit_a, cap.source) == (9.0, "order of eve: hot cable")
        lifted = fold(state, replace(order, limit_a=None))
        assert effective_limits(lifted, NOON_S).caps[A].limit_a == 32.0

    def test_the_operators_back_end_caps_without_anything_else_being_there(self) -> None:
        state = fold(ONE, BackendLimited(at_s=NOON_S, evse=A, limit_a=9.0))
        cap = effective_limits(state, NOON_S).caps[A]
        assert (cap.limit_a, cap.source) == (9.0, "the operator's back-end")


METERED = site(
    replace(circuit(rating_a=50.0), meter=meter(age_s=10.0, hold_s=20.0), uncontrolled_a=Phases.all(15.0)),
    station(evse("a/1")),
)


def measured(amps: float, at_s: float = NOON_S) -> CircuitMetered:
    return CircuitMetered(at_s=at_s, circuit=MAIN, current_a=Phases(amps, amps - 1.0, amps - 2.0))


def car(amps: float, at_s: float = NOON_S, *, wh: float | None = None) -> Metered:
    return Metered(at_s=at_s, evse=A, current_a=Phases.all(amps), energy_wh=wh)


def other(state: State, now_s: float = NOON_S) -> float:
    """Load beside the cars on L1 of the main [A]."""
    return other_a(state, now_s)[MAIN].l1


def drawing(*events: Event) -> State:
    """A car that was measured to draw 20 A, then more."""
    start = fold(METERED, ready(METERED), charging("a/1"), told("a/1", 20.0, NOON_S, command_id=9))
    return fold(start, car(20.0), *events)


class TestCircuitMeter:
    def test_never_heard_counts_as_the_declared_worst(self) -> None:
        assert other(fold(METERED)) == 15.0
        assert effective_limits(fold(METERED), NOON_S).lost_meters == {MAIN}

    def test_what_the_cars_draw_is_not_beside_them(self) -> None:
        state = drawing(measured(26.0))
        assert other(state) == 6.0
        found = effective_limits(state, NOON_S)
        assert found.available_a[:3] == pytest.approx([44.0, 45.0, 46.0])
        assert found.lost_meters == frozenset()

    def test_is_held_and_then_the_declared_worst(self) -> None:
        state = drawing(measured(26.0))
        assert other(state, NOON_S + 30.0) == 6.0
        assert other(state, NOON_S + 30.1) == 15.0
        assert other(drawing(measured(40.0)), NOON_S + 30.1) == 20.0, "it was more than declared"

    def test_that_repeats_itself_while_cars_draw_is_frozen(self) -> None:
        steps = [e for s in range(0, 700, 10) for e in (car(20.0, NOON_S + s, wh=10.0 * s), measured(26.0, NOON_S + s))]
        state = drawing(*steps)
        assert other(state, NOON_S + 690.0) == 15.0
        stopped = fold(state, car(0.0, NOON_S + 695.0), measured(26.0, NOON_S + 700.0))
        assert other(stopped, NOON_S + 700.0) >= 15.0, "it does not come to life when the cars stop"
        alive = fold(stopped, measured(25.0, NOON_S + 705.0))
        assert effective_limits(alive, NOON_S + 705.0).lost_meters == frozenset()

    def test_that_shows_the_same_while_no_car_draws_is_believed(self) -> None:
        idle = fold(METERED, [measured(5.0, NOON_S + s) for s in range(0, 700, 10)])
        assert other(idle, NOON_S + 690.0) == 5.0

    def test_a_car_that_stopped_unnoticed_hides_no_load(self) -> None:
        state = drawing(measured(35.0))
        assert other(fold(state, measured(15.0, NOON_S + 10.0)), NOON_S + 10.0) == 15.0

    @pytest.mark.parametrize(
        "reading", [car(20.0, NOON_S - 121.0), Metered(at_s=NOON_S, evse=A, power_w=9e3), Metered(at_s=NOON_S, evse=A)]
    )
    def test_a_car_that_is_not_measured_is_load_in_the_end(self, reading: Metered) -> None:
        state = fold(METERED, ready(METERED), charging("a/1"), reading)
        assert other(fold(state, measured(26.0))) == 20.0, "it may draw the 6 A of its default profile"
        assert other(fold(state, measured(26.0, NOON_S + 121.0)), NOON_S + 121.0) == 26.0

    def test_a_car_on_its_way_to_a_new_limit_raises_no_alarm(self) -> None:
        told = commanded("a/1", 8.0, NOON_S + 60.0, command_id=50)
        state = fold(drawing(measured(26.0)), car(20.0, NOON_S + 59.0), told, accepted(told, NOON_S + 60.0))
        assert other(fold(state, measured(26.0, NOON_S + 61.0)), NOON_S + 61.0) == 6.0, "it still draws 20 A"
        settled = fold(state, measured(14.0, NOON_S + 200.0))
        assert other(settled, NOON_S + 200.0) >= 6.0, "it follows, but nobody measured it"

    def test_a_car_whose_meter_stands_still_is_load(self) -> None:
        readings = [car(20.0, NOON_S + s, wh=7.0) for s in (1, 2)]
        assert other(drawing(*readings, measured(26.0, NOON_S + 2.0)), NOON_S + 2.0) == 26.0

    def test_a_car_counts_on_the_phases_that_it_surely_uses(self) -> None:
        one_phase = [Metered(at_s=NOON_S + s, evse=A, current_a=Phases(20.0, 0.0, 0.0)) for s in (30, 60)]
        assert other(drawing(one_phase[0], measured(26.0, NOON_S + 31.0)), NOON_S + 31.0) == 26.0
        assert 6.0 <= other(drawing(*one_phase, measured(26.0, NOON_S + 61.0)), NOON_S + 61.0) <= 7.0

    def test_of_a_panel_replaces_what_is_declared_below_it_only(self) -> None:
        declared = Phases.all(4.0)
        two = site(
            (
                replace(circuit(rating_a=60.0), uncontrolled_a=declared),
                replace(circuit(NORTH, parent=MAIN), uncontrolled_a=declared, meter=meter()),
                replace(circuit(SOUTH, parent=MAIN), uncontrolled_a=declared),
            )
        )
        state = fold(two, CircuitMetered(at_s=NOON_S, circuit=NORTH, current_a=Phases.all(1.0)))
        assert other_a(state, NOON_S) == {MAIN: Phases.all(9.0), NORTH: Phases.all(1.0), SOUTH: declared}


def test_a_row_without_limits_has_room() -> None:
    found: Limits = effective_limits(fold(row_of(1)), NOON_S)
    assert found.available_a[-1] == float("inf")


class TestStations:
    def test_what_a_station_says_of_itself_is_kept(self) -> None:
        learnt = StationLearnt(at_s=NOON_S, station=StationId("a"), rate_unit="W")
        hello = StationBooted(at_s=NOON_S, station=StationId("a"), vendor="v")
        state = fold(ONE, hello, learnt)
        assert state.stations[StationId("a")].learnt == learnt
        assert state.stations[StationId("a")].boot == hello
