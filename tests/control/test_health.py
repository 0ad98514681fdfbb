"""Stations that are caught, meters that freeze."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from smartcharge.control.allocation import allocate
from smartcharge.control.evse import METER_FROZEN, OVER_LIMIT
from smartcharge.control.health import sessions as conduct
from smartcharge.control.health.memory import History, Visit
from smartcharge.control.limits import effective_limits
from smartcharge.control.profiles import changes
from smartcharge.control.state import State
from smartcharge.events import Metered, ProfileKind, Unplugged
from smartcharge.model import EvseId, Phases, Vehicle, Wiring
from tests.builders import NOON_S, accepted, charging, fold, kept, plan, ready, row_of, told

A, B = EvseId("a/1"), EvseId("b/1")
TWO = row_of(2, 48.0)


def reading(amps: float | None, at_s: float, energy_wh: float | None = None) -> Metered:
    current_a = None if amps is None else Phases(amps, 0.0, 0.0)
    return Metered(at_s=at_s, evse=A, current_a=current_a, energy_wh=energy_wh)


def judged(state: State, *events: Metered) -> State:
    """The state after events, each followed by the faults that it proves."""
    for event in events:
        state = fold(state, event)
        state = kept(state, event.at_s)
    return state


@pytest.fixture
def state() -> State:
    state = fold(TWO, ready(TWO), charging("a/1", NOON_S - 40.0), charging("b/1", NOON_S - 40.0))
    return fold(state, told("a/1", 16.0, NOON_S - 30.0, command_id=9), told("b/1", 32.0, NOON_S - 30.0, command_id=10))


@pytest.fixture
def caught(state: State) -> State:
    return judged(state, reading(20.0, NOON_S), reading(20.0, NOON_S + 7.0))


class TestOverLimit:
    def test_what_is_measured_is_reserved_at_once(self, state: State) -> None:
        assert fold(state, reading(20.0, NOON_S)).reserved_a(A, NOON_S) == 20.0

    def test_one_sample_condemns_nobody(self, state: State) -> None:
        assert OVER_LIMIT not in judged(state, reading(20.0, NOON_S)).evses[A].faults
        assert OVER_LIMIT not in judged(state, reading(20.0, NOON_S), reading(16.0, NOON_S + 9.0)).evses[A].faults

    def test_meters_are_given_a_tolerance(self, state: State) -> None:
        assert fold(state, reading(18.1, NOON_S)).evses[A].over_a is None
        assert fold(state, reading(18.2, NOON_S)).evses[A].over_a == 18.2

    def test_a_reading_without_a_current_acquits_nobody(self, state: State) -> None:
        readings = (reading(20.0, NOON_S), reading(None, NOON_S + 3.0, 5.0), reading(20.0, NOON_S + 7.0))
        assert OVER_LIMIT in judged(state, *readings).evses[A].faults

    def test_all_that_its_hardware_can_do_is_reserved(self, caught: State) -> None:
        assert OVER_LIMIT in caught.evses[A].faults
        assert caught.reserved_a(A, NOON_S + 8.0) == 32.0
        assert fold(caught, reading(40.0, NOON_S + 8.0)).reserved_a(A, NOON_S + 8.0) == 40.0

    def test_it_is_told_again_then_less_then_to_stop_and_the_others_make_room(self, caught: State) -> None:
        told_a, state = [], caught
        for minute in range(4):
            now_s = NOON_S + 8.0 + 60.0 * minute
            decision = allocate(state, effective_limits(state, now_s), plan(NOON_S, a=16.0, b=32.0), now_s)
            sent = [c for c in changes(state, decision, now_s) if c.evse == A and c.kind is ProfileKind.TRANSACTION]
            told_a += [c.limit_a for c in sent]
            assert decision.setpoints[B].limit_a == pytest.approx(16.0), "its maximum stays reserved"
            state = fold(state, *((c, accepted(c, now_s)) for c in sent))
            state = judged(state, reading(20.0, now_s + 50.0))
        assert told_a == [16.0, 6.0, 0.0], "and no more than that"
        assert effective_limits(state, NOON_S).caps[A].source.startswith("stopped: draws over its limit (draws 20.0 A")

    def test_clears_after_it_was_seen_to_obey_long_enough(self, caught: State) -> None:
        stopped = fold(caught, told("a/1", 0.0, NOON_S + 8.0, command_id=11))
        obeying = [reading(0.0, NOON_S + 400.0 + s) for s in range(0, 600, 60)]
        almost = judged(stopped, *obeying)
        assert OVER_LIMIT in almost.evses[A].faults
        again = judged(almost, reading(9.0, NOON_S + 999.0), *(reading(0.0, r.at_s + 600.0) for r in obeying))
        assert OVER_LIMIT in again.evses[A].faults, "a relapse starts the time anew"
        assert OVER_LIMIT not in judged(again, reading(0.0, NOON_S + 1600.0)).evses[A].faults

    def test_without_a_car_it_proves_nothing(self, caught: State) -> None:
        gone = fold(caught, Unplugged(at_s=NOON_S + 8.0, evse=A))
        assert OVER_LIMIT in judged(gone, reading(0.0, NOON_S + 9.0), reading(0.0, NOON_S + 900.0)).evses[A].faults


class TestFrozenMeter:
    def test_a_register_that_stands_still_under_current_is_a_fault(self, state: State) -> None:
        frozen = [reading(16.0, NOON_S + s, 100.0) for s in range(0, 361, 60)]
        assert METER_FROZEN not in judged(state, *frozen[:-1]).evses[A].faults
        assert METER_FROZEN in judged(state, *frozen).evses[A].faults
        assert METER_FROZEN in judged(state, *frozen, reading(16.0, NOON_S + 420.0, 100.0)).evses[A].faults

    def test_clears_when_it_counts_again(self, state: State) -> None:
        state = judged(state, *(reading(16.0, NOON_S + s, 100.0) for s in range(0, 361, 60)))
        assert METER_FROZEN not in judged(state, reading(16.0, NOON_S + 420.0, 101.0)).evses[A].faults

    def test_a_car_that_does_not_draw_freezes_nothing(self, state: State) -> None:
        state = judged(state, *(reading(0.5, NOON_S + s, 100.0) for s in range(0, 361, 60)))
        assert state.evses[A].frozen_since_s is None

    def test_teaches_nothing_of_the_car(self) -> None:
        one = row_of(1, wiring=Wiring.THREE_PHASE)
        state = fold(one, ready(one), charging("a/1"), told("a/1", 16.0, NOON_S, command_id=9))
        state = fold(state, [reading(9.0, NOON_S + 5.0 * s, 100.0) for s in range(5)])
        session = state.evses[A].session
        assert session is not None
        assert session.vehicle == Vehicle()

    def test_does_not_stop_the_car(self, state: State) -> None:
        state = judged(state, *(reading(16.0, NOON_S + s, 100.0) for s in range(0, 361, 60)))
        assert effective_limits(state, NOON_S + 400.0).caps[A].limit_a == 32.0


class TestCarsSeen:
    def test_so_many_are_remembered_and_who_was_away_longest_is_forgotten(self) -> None:
        cars: Mapping[str, conduct.CarSeen] = {}
        for number in range(conduct.MOST_CARS):
            cars = conduct.seen(cars, Visit(began_s=0.0, token=f"car-{number}", peak_a=16.0))
        cars = conduct.seen(cars, Visit(began_s=0.0, token="car-0", peak_a=9.0))
        cars = conduct.seen(cars, Visit(began_s=0.0, token="new", peak_a=10.0))
        assert len(cars) == conduct.MOST_CARS
        assert cars["car-0"].best_a == 16.0, "it was there just now"
        assert "car-1" not in cars


class TestFallingShort:
    def test_a_car_that_never_drew_anything_tells_nothing(self) -> None:
        """Where there is no minimum current, nothing is expected of a car that never took any."""
        history = History(visit=Visit(began_s=0.0, token="tag", peak_a=0.0, offer_a=0.0))
        for best_a in (0.0, 0.5):
            visit = history.visit
            assert visit is not None
            assert conduct._compared(history, visit, conduct.CarSeen(best_a=best_a), 0.0) == history
