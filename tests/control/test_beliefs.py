"""The set of limits that a station may be following, word by word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smartcharge.control.evse import believed_a
from smartcharge.control.state import State
from smartcharge.events import (
    Charging,
    ChargingChanged,
    Metered,
    Plugged,
    ProfileKind,
    ProfilesCleared,
    StationBooted,
    StationOffline,
    StationOnline,
    TransactionEnded,
    Unplugged,
)
from smartcharge.model import Control, EvseId, Phases, StationId
from tests.builders import (
    NOON_S,
    accepted,
    charging,
    commanded,
    fold,
    ready,
    rejected,
    row_of,
    told,
    unanswered,
)

A, STATION_A = EvseId("a/1"), StationId("a")
ONE = row_of(1)


def believed(state: State, now_s: float = NOON_S) -> set[float]:
    return set(believed_a(state.evses[A], now_s))


@pytest.fixture
def state() -> State:
    """A station with its default confirmed, a car, and 20 A confirmed since ten seconds."""
    return fold(ONE, ready(ONE), charging("a/1", NOON_S - 20.0), told("a/1", 20.0, NOON_S - 10.0, command_id=9))


class TestDefault:
    def test_an_unheard_station_may_do_its_worst(self) -> None:
        assert believed(State.initial(ONE)) == {32.0}

    def test_a_station_over_mqtt_keeps_its_default_by_its_own_configuration(self) -> None:
        stations = tuple(replace(s, control=Control.MQTT) for s in ONE.stations)
        assert believed(State.initial(replace(ONE, stations=stations))) == {6.0}

    def test_confirmed_replaces_what_was_there_once_the_car_followed(self) -> None:
        state = fold(ONE, ready(ONE, NOON_S))
        assert believed(state, NOON_S + 2.9) == {6.0, 32.0}
        assert believed(state, NOON_S + 3.0) == {6.0}

    def test_asked_again_and_again_is_believed_once(self) -> None:
        asked = [commanded("a/1", 6.0, NOON_S + n, command_id=n, kind=ProfileKind.DEFAULT) for n in range(1, 50)]
        assert len(fold(ONE, asked).evses[A].defaults) == 2

    def test_refused_leaves_what_was_there_and_the_trust_in_setpoints(self, state: State) -> None:
        command = commanded("a/1", 6.0, NOON_S, command_id=10, kind=ProfileKind.DEFAULT)
        state = fold(state, StationBooted(at_s=NOON_S, station=STATION_A), command, rejected(command, NOON_S + 1.0))
        assert believed(state) == {20.0, 32.0}
        assert state.evses[A].deaf_at_s is None

    def test_is_overridden_by_a_setpoint_that_is_sure(self, state: State) -> None:
        low = fold(state, told("a/1", 0.0, NOON_S, command_id=10))
        assert believed(low, NOON_S + 3.0) == {0.0}

    def test_confirmed_under_a_sure_setpoint_changes_nothing_that_is_drawn(self, state: State) -> None:
        state = fold(state, told("a/1", 6.0, NOON_S, command_id=10, kind=ProfileKind.DEFAULT))
        assert believed(state) == {20.0}

    def test_answer_to_a_forgotten_command_confirms_nothing(self) -> None:
        """The planted case: the newer default is on its way, an old setpoint's answer comes late."""
        pending = commanded("a/1", 6.0, NOON_S, command_id=7, kind=ProfileKind.DEFAULT)
        late = accepted(commanded("a/1", 16.0, NOON_S, command_id=5), NOON_S)
        assert believed(fold(ONE, pending, late)) == {6.0, 32.0}


class TestCommanded:
    def test_adds_to_the_set(self, state: State) -> None:
        assert believed(fold(state, commanded("a/1", 10.0, NOON_S, command_id=10))) == {20.0, 10.0}

    def test_forgets_what_cannot_be_followed_any_more(self, state: State) -> None:
        later_s = NOON_S + 1000.0
        state = fold(state, commanded("a/1", 10.0, later_s, command_id=10))
        assert len(state.evses[A].setpoints) == 1


class TestAccepted:
    def test_collapses_the_set_once_the_car_followed(self, state: State) -> None:
        state = fold(state, told("a/1", 10.0, NOON_S, command_id=10))
        assert believed(state, NOON_S + 2.9) == {20.0, 10.0}
        assert believed(state, NOON_S + 3.0) == {10.0}

    def test_a_second_lowering_does_not_keep_the_first_limit_alive(self, state: State) -> None:
        state = fold(state, told("a/1", 10.0, NOON_S, command_id=10), told("a/1", 8.0, NOON_S + 2.0, command_id=11))
        assert believed(state, NOON_S + 3.5) == {10.0, 8.0}

    def test_a_raise_is_sure_at_once(self, state: State) -> None:
        assert believed(fold(state, told("a/1", 30.0, NOON_S, command_id=10))) == {30.0}

    def test_leaves_the_newer_command_on_its_way(self, state: State) -> None:
        older, newer = (commanded("a/1", amps, NOON_S, command_id=n) for n, amps in ((10, 10.0), (11, 30.0)))
        state = fold(state, older, newer, accepted(older, NOON_S))
        assert believed(state, NOON_S + 3.0) == {10.0, 30.0}


class TestExpiry:
    """Between a margin before the end and a margin (and the car's time to follow) after it, anything may apply."""

    @pytest.mark.parametrize(
        ("after_s", "expected"), [(284.9, {20.0}), (285.0, {20.0, 6.0}), (297.9, {20.0, 6.0}), (298.0, {6.0})]
    )
    def test_brings_the_default_in(self, state: State, after_s: float, expected: set[float]) -> None:
        assert believed(state, NOON_S + after_s) == expected


class TestSilence:
    def test_a_silent_stations_limit_stays_reserved_until_it_expires_and_then_its_default(self, state: State) -> None:
        lower = commanded("a/1", 6.0, NOON_S, command_id=10)
        state = fold(state, lower, unanswered(lower, NOON_S + 10.0))
        assert state.reserved_a(A, NOON_S + 290.0) == 20.0
        assert state.reserved_a(A, NOON_S + 400.0) == 6.0

    def test_unanswered_leaves_the_set_and_frees_the_word(self, state: State) -> None:
        raised = commanded("a/1", 30.0, NOON_S, command_id=10)
        state = fold(state, raised, unanswered(raised, NOON_S + 10.0))
        assert believed(state) == {20.0, 30.0}
        assert state.evses[A].commanded is None

    def test_rejected_takes_the_refused_limit_back(self, state: State) -> None:
        raised = commanded("a/1", 30.0, NOON_S, command_id=10)
        assert believed(fold(state, raised, rejected(raised, NOON_S + 1.0))) == {20.0}

    def test_what_became_of_an_older_command_says_nothing_of_the_newest(self, state: State) -> None:
        older, newer = (commanded("a/1", amps, NOON_S, command_id=n) for n, amps in ((10, 10.0), (11, 12.0)))
        state = fold(state, older, newer, unanswered(older, NOON_S + 10.0))
        assert state.evses[A].commanded == newer
        assert state.evses[A].deaf_at_s is None

    def test_offline_its_transaction_may_end_unheard(self, state: State) -> None:
        low = fold(state, told("a/1", 0.0, NOON_S, command_id=10), StationOffline(at_s=NOON_S, station=STATION_A))
        assert low.reserved_a(A, NOON_S + 3.0) == 6.0


class TestClearedProfiles:
    def test_until_others_are_confirmed_it_may_do_what_it_can(self, state: State) -> None:
        gone = fold(state, ProfilesCleared(at_s=NOON_S, evse=A))
        assert believed(gone) == {20.0, 6.0, 32.0}
        assert not gone.evses[A].has_our_default
        command = commanded("a/1", 10.0, NOON_S, command_id=77)
        assert 32.0 in believed(fold(gone, command, rejected(command, NOON_S)), NOON_S + 3600.0)
        assert believed(fold(gone, told("a/1", 10.0, NOON_S, command_id=77)), NOON_S + 10.0) == {10.0}


class TestReboot:
    def test_may_have_forgotten_every_profile_or_none(self, state: State) -> None:
        state = fold(state, StationBooted(at_s=NOON_S, station=STATION_A))
        assert believed(state) == {20.0, 6.0, 32.0}
        assert not state.evses[A].has_our_default

    def test_an_answer_from_before_confirms_nothing(self, state: State) -> None:
        command = commanded("a/1", 10.0, NOON_S, command_id=10)
        default = commanded("a/1", 6.0, NOON_S, command_id=11, kind=ProfileKind.DEFAULT)
        booted = StationBooted(at_s=NOON_S, station=STATION_A)
        state = fold(state, command, default, booted, accepted(command, NOON_S), accepted(default, NOON_S))
        assert believed(state) == {20.0, 10.0, 6.0, 32.0}

    def test_again_and_again_adds_nothing(self, state: State) -> None:
        boots = [StationBooted(at_s=NOON_S + n, station=STATION_A) for n in range(50)]
        assert len(fold(state, boots).evses[A].defaults) == 2


class TestTransactions:
    def test_the_next_one_does_not_follow_the_last_ones_profile(self, state: State) -> None:
        pending = commanded("a/1", 0.0, NOON_S, command_id=10)
        state = fold(state, pending, charging("a/1", NOON_S, transaction="t2"), accepted(pending, NOON_S))
        assert believed(state) == {20.0, 0.0, 6.0}

    def test_the_end_of_another_one_changes_nothing(self, state: State) -> None:
        assert fold(state, TransactionEnded(at_s=state.at_s, evse=A, transaction_id="t0")) == state

    def test_told_twice_changes_nothing(self, state: State) -> None:
        assert fold(state, charging("a/1", state.at_s)) == state


class TestFree:
    """Nothing is reserved for an EVSE that says that it is free; silence is no such word."""

    @pytest.fixture
    def free(self, state: State) -> State:
        return fold(state, Unplugged(at_s=NOON_S, evse=A))

    def test_nothing_is_reserved(self, free: State) -> None:
        assert free.reserved_a(A, NOON_S) == 0.0

    def test_offline_it_may_be_taken(self, free: State) -> None:
        offline = fold(free, StationOffline(at_s=NOON_S, station=STATION_A))
        assert offline.reserved_a(A, NOON_S) == 20.0
        online = fold(offline, StationOnline(at_s=NOON_S + 400.0, station=STATION_A))
        assert online.reserved_a(A, NOON_S + 400.0) == 6.0, "it has not said yet that it is still free"
        again = fold(online, Unplugged(at_s=NOON_S + 401.0, evse=A))
        assert again.reserved_a(A, NOON_S + 401.0) == 0.0

    def test_a_meter_that_runs_tells_otherwise(self, free: State) -> None:
        drawing = fold(free, Metered(at_s=NOON_S + 400.0, evse=A, current_a=Phases(5.0, 0.0, 0.0)))
        assert drawing.reserved_a(A, NOON_S + 400.0) == 6.0

    def test_a_car_that_charges_was_plugged_in(self, free: State) -> None:
        state = fold(free, ChargingChanged(at_s=NOON_S, evse=A, state=Charging.CHARGING))
        assert state.evses[A].occupied
        assert state.evses[A].charging is Charging.CHARGING

    def test_plugged_again_is_the_same_session(self, state: State) -> None:
        assert fold(state, Plugged(at_s=state.at_s, evse=A)) == state
        unsure = fold(state, StationBooted(at_s=NOON_S, station=STATION_A), Plugged(at_s=NOON_S, evse=A))
        assert unsure.evses[A].occupied
        assert unsure.evses[A].session == state.evses[A].session
