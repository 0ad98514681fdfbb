"""What a session learns from transactions, needs and meter values."""

from __future__ import annotations

import pytest

from smartcharge.control.evse import drawn_a
from smartcharge.control.prediction import History
from smartcharge.control.requests import remaining_wh
from smartcharge.control.state import State
from smartcharge.events import (
    Charging,
    ChargingChanged,
    Metered,
    NeedStated,
    StationBooted,
    StationOffline,
    TransactionEnded,
    TransactionStarted,
    Unplugged,
)
from smartcharge.model import EvseId, Phases, Session, StationId, Vehicle, Wiring
from tests.builders import NOON_S, charging, fold, ready, row_of, told

A = EvseId("a/1")
NOTHING_LEARNT = History()
ONE = row_of(1, wiring=Wiring.THREE_PHASE)


def metered(
    *own_a: float, at_s: float = NOON_S, energy_wh: float | None = None, power_w: float | None = None
) -> Metered:
    current_a = Phases(*own_a) if own_a else None
    return Metered(at_s=at_s, evse=A, current_a=current_a, energy_wh=energy_wh, power_w=power_w)


def session(state: State) -> Session:
    found = state.evses[A].session
    assert found is not None
    return found


@pytest.fixture
def state() -> State:
    return fold(ONE, ready(ONE), charging("a/1", NOON_S - 30.0), told("a/1", 16.0, NOON_S - 20.0, command_id=9))


class TestNeed:
    def test_stated_before_the_car_comes_waits_for_it(self) -> None:
        need = NeedStated(at_s=NOON_S - 1800.0, evse=A, energy_wh=5000.0, priority=3)
        waiting = fold(ONE, ready(ONE), need)
        assert session(fold(waiting, charging("a/1", NOON_S))).energy_wh == 5000.0
        assert session(fold(waiting, charging("a/1", NOON_S + 1.0))).energy_wh is None

    def test_left_with_the_car_that_went(self, state: State) -> None:
        need = NeedStated(at_s=NOON_S, evse=A, energy_wh=5000.0)
        gone = fold(state, need, Unplugged(at_s=NOON_S + 1.0, evse=A), charging("a/1", NOON_S + 2.0))
        assert session(gone).energy_wh is None

    def test_says_nothing_of_what_it_leaves_out(self, state: State) -> None:
        first = NeedStated(at_s=NOON_S, evse=A, energy_wh=5000.0, depart_at_s=NOON_S + 3600.0, priority=1)
        state = fold(state, first, NeedStated(at_s=NOON_S, evse=A, priority=2))
        found = session(state)
        assert (found.energy_wh, found.depart_at_s, found.priority) == (5000.0, NOON_S + 3600.0, 2)


class TestEnergy:
    def test_is_the_register_since_the_start(self, state: State) -> None:
        state = fold(state, TransactionStarted(at_s=NOON_S, evse=A, transaction_id="t2", meter_wh=1000.0))
        assert session(fold(state, metered(energy_wh=1700.0))).delivered_wh == 700.0

    def test_without_a_start_counts_from_the_first_reading(self, state: State) -> None:
        started = TransactionStarted(at_s=NOON_S, evse=A, transaction_id="t2")
        state = fold(state, started, metered(energy_wh=5000.0), metered(at_s=NOON_S + 60.0, energy_wh=5300.0))
        assert session(state).delivered_wh == 300.0

    def test_a_register_that_is_reset_takes_nothing_back_and_counts_on(self, state: State) -> None:
        readings = [metered(at_s=NOON_S + n, energy_wh=wh) for n, wh in enumerate((900.0, 4.0, 54.0))]
        state = fold(state, readings)
        assert session(state).delivered_wh == 950.0

    def test_a_second_transaction_goes_on_where_the_first_ended(self, state: State) -> None:
        ended = TransactionEnded(at_s=NOON_S, evse=A, transaction_id="t1", meter_wh=800.0)
        again = TransactionStarted(at_s=NOON_S + 9.0, evse=A, transaction_id="t2", meter_wh=800.0)
        state = fold(state, ended, again, metered(at_s=NOON_S + 60.0, energy_wh=1000.0))
        assert session(state).delivered_wh == 1000.0

    def test_without_a_register_is_integrated_from_power(self, state: State) -> None:
        powers = [metered(at_s=NOON_S + 360.0 * n, power_w=w) for n, w in enumerate((1000.0, 3000.0, 3000.0))]
        assert session(fold(state, powers)).delivered_wh == pytest.approx(500.0)

    def test_nothing_measured_is_nothing_known(self, state: State) -> None:
        assert session(fold(state, metered())).delivered_wh == 0.0


class TestDrawn:
    @pytest.mark.parametrize(
        ("reading", "expected"),
        [
            (None, None),
            (metered(), None),
            (metered(3.0, 9.0, 0.0), 9.0),
            (metered(power_w=6900.0), 10.0),
        ],
    )
    def test_is_the_busiest_phase(self, reading: Metered | None, expected: float | None) -> None:
        found = drawn_a(ONE.evses[0], reading)
        assert found is None if expected is None else found == pytest.approx(expected)


class TestRemaining:
    def test_of_a_stated_need(self, state: State) -> None:
        state = fold(state, NeedStated(at_s=NOON_S, evse=A, energy_wh=1000.0), metered(energy_wh=400.0))
        assert remaining_wh(state.evses[A], NOTHING_LEARNT) == 600.0
        assert remaining_wh(fold(state, metered(at_s=NOON_S + 1.0, energy_wh=1400.0)).evses[A], NOTHING_LEARNT) == 0.0

    def test_of_a_car_that_was_given_more_than_the_guess(self, state: State) -> None:
        assert remaining_wh(state.evses[A], NOTHING_LEARNT) == pytest.approx(30_000.0, rel=0.02)
        assert remaining_wh(fold(state, metered(energy_wh=800_000.0)).evses[A], NOTHING_LEARNT) == 5000.0

    def test_of_a_car_that_pauses_after_it_charged(self, state: State) -> None:
        paused = ChargingChanged(at_s=NOON_S, evse=A, state=Charging.SUSPENDED_EV)
        assert remaining_wh(fold(state, paused).evses[A], NOTHING_LEARNT) == pytest.approx(30_000.0, rel=0.02), (
            "its timer"
        )
        full = fold(state, metered(energy_wh=400.0), paused)
        assert remaining_wh(full.evses[A], NOTHING_LEARNT) == 0.0
        again = fold(full, TransactionEnded(at_s=NOON_S, evse=A, transaction_id="t1"))
        assert remaining_wh(again.evses[A], NOTHING_LEARNT) > 0.0, "what it said was said of the transaction that ended"

    def test_of_nobody(self) -> None:
        assert remaining_wh(State.initial(ONE).evses[A], NOTHING_LEARNT) == 0.0


class TestPhasesUsed:
    def test_two_readings_that_agree_are_believed(self, state: State) -> None:
        once = fold(state, metered(15.0, 0.2, 0.0))
        assert session(once).vehicle.phases_used is None
        twice = fold(once, metered(15.1, 0.2, 0.0, at_s=NOON_S + 60.0))
        assert session(twice).vehicle.phases_used == 1
        assert len(twice.topology.rows) < len(state.topology.rows)

    @pytest.mark.parametrize("surprise", [(15.0, 15.0, 0.0), (0.0, 15.0, 0.0)])
    def test_a_surprise_counts_as_all_again(self, state: State, surprise: tuple[float, ...]) -> None:
        one = fold(state, [metered(15.0, 0.0, 0.0, at_s=NOON_S + n) for n in range(2)])
        assert session(fold(one, metered(*surprise, at_s=NOON_S + 60.0))).vehicle.phases_used is None

    def test_a_surprise_of_a_car_that_should_stop_counts_too(self, state: State) -> None:
        one = fold(state, [metered(15.0, 0.0, 0.0, at_s=NOON_S + n) for n in range(2)])
        stopped = fold(one, told("a/1", 0.0, NOON_S + 9.0, command_id=10))
        assert session(fold(stopped, metered(9.0, 9.0, 9.0, at_s=NOON_S + 10.0))).vehicle.phases_used is None

    def test_a_pause_tells_nothing_of_the_phases(self, state: State) -> None:
        one = fold(state, [metered(15.0, 0.0, 0.0, at_s=NOON_S + n) for n in range(2)])
        assert session(fold(one, metered(0.0, 0.0, 0.0, at_s=NOON_S + 60.0))).vehicle.phases_used == 1

    def test_out_of_sight_it_may_be_another_car(self, state: State) -> None:
        one = fold(state, [metered(15.0, 0.0, 0.0, at_s=NOON_S + n) for n in range(2)])
        for away in (StationOffline, StationBooted):
            unseen = fold(one, away(at_s=NOON_S + 60.0, station=StationId("a")))
            assert session(unseen).vehicle.phases_used is None
            assert len(unseen.topology.rows) == len(state.topology.rows)

    def test_the_next_car_starts_afresh(self, state: State) -> None:
        one = fold(state, [metered(15.0, 0.0, 0.0, at_s=NOON_S + n) for n in range(2)])
        gone = Unplugged(at_s=NOON_S + 60.0, evse=A)
        state = fold(one, gone, charging("a/1", NOON_S + 90.0), metered(15.0, 0.0, 0.0, at_s=NOON_S + 99.0))
        assert session(state).vehicle.phases_used is None

    def test_means_nothing_at_a_one_phase_evse(self) -> None:
        one = row_of(1)
        state = fold(one, ready(one), charging("a/1"), [metered(9.0, 0.0, 0.0, at_s=NOON_S + n) for n in range(3)])
        assert session(state).vehicle.phases_used is None


class TestTapering:
    def test_what_a_car_takes_is_known_after_two_readings(self, state: State) -> None:
        once = fold(state, metered(10.0, 10.0, 10.0))
        assert session(once).vehicle.draw_a is None
        twice = fold(once, metered(9.5, 9.5, 9.5, at_s=NOON_S + 60.0))
        assert session(twice).vehicle.draw_a == 10.0, "rounded up, so that noise asks for no new plan"
        takes_all = fold(twice, metered(15.9, 15.9, 15.9, at_s=NOON_S + 120.0))
        assert session(takes_all).vehicle.draw_a is None

    def test_a_car_that_pauses_takes_nothing(self, state: State) -> None:
        pausing = [metered(0.0, 0.0, 0.0, at_s=NOON_S + 60.0 * n) for n in range(2)]
        assert session(fold(state, pausing)).vehicle.draw_a == 0.0

    def test_a_car_that_is_offered_nothing_shows_nothing(self, state: State) -> None:
        stopped = fold(state, told("a/1", 0.0, NOON_S, command_id=10), metered(0.0, 0.0, 0.0, at_s=NOON_S + 9.0))
        assert session(stopped).vehicle == Vehicle()

    def test_power_alone_teaches_nothing(self, state: State) -> None:
        assert session(fold(state, metered(power_w=900.0))).vehicle == Vehicle()
