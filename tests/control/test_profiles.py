"""What is said to the stations, and when it is worth saying."""

from __future__ import annotations

from dataclasses import replace

from smartcharge.control.plan import Decision, Setpoint
from smartcharge.control.profiles import RETRY_S, changes
from smartcharge.control.state import State
from smartcharge.events import (
    Commanded,
    ProfileKind,
    StationBooted,
    StationOffline,
    StationOnline,
)
from smartcharge.model import EvseId, StationId
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

A, B, STATION_A = EvseId("a/1"), EvseId("b/1"), StationId("a")
ONE = row_of(1)


def decision(at_s: float = NOON_S, **limits_a: float) -> Decision:
    setpoints = {EvseId(f"{name}/1"): Setpoint(limit_a=amps, reason="planted") for name, amps in limits_a.items()}
    return Decision(at_s=at_s, setpoints=setpoints)


def said(state: State, now_s: float = NOON_S, **limits_a: float) -> list[tuple[str, str, float]]:
    return [(c.evse, c.kind.name, c.limit_a) for c in changes(state, decision(now_s, **limits_a), now_s)]


def car(limit_a: float = 16.0) -> State:
    return fold(ONE, ready(ONE), charging("a/1"), told("a/1", limit_a, NOON_S, command_id=9))


class TestSetpoints:
    def test_carry_all_that_the_station_needs(self) -> None:
        assert changes(car(), decision(a=10.0), NOON_S) == (
            Commanded(
                at_s=NOON_S, command_id=10, evse=A, kind=ProfileKind.TRANSACTION, limit_a=10.0,
                expires_s=NOON_S + 300.0, transaction_id="t1",
            ),
        )  # fmt: skip

    def test_that_say_nothing_new_are_not_sent(self) -> None:
        assert said(car(), a=16.0) == []

    def test_lowering_goes_first(self) -> None:
        two = row_of(2)
        state = fold(two, ready(two), charging("a/1"), charging("b/1"), told("a/1", 6.0, NOON_S, command_id=9))
        state = fold(state, told("b/1", 20.0, NOON_S, command_id=10))
        assert [evse for evse, _, _ in said(state, a=10.0, b=8.0)] == [B, A]

    def test_are_renewed_at_half_their_life(self) -> None:
        assert said(car(), NOON_S + 149.9, a=16.0) == []
        assert said(car(), NOON_S + 150.0, a=16.0) == [(A, "TRANSACTION", 16.0)]

    def test_need_a_transaction_and_a_connection(self) -> None:
        assert said(fold(ONE, ready(ONE)), a=16.0) == []
        assert said(fold(car(), StationOffline(at_s=NOON_S, station=STATION_A)), a=10.0) == []

    def test_are_said_again_after_the_connection_broke(self) -> None:
        state = fold(car(), StationOffline(at_s=NOON_S, station=STATION_A))
        assert said(fold(state, StationOnline(at_s=NOON_S, station=STATION_A)), a=16.0) == [(A, "TRANSACTION", 16.0)]

    def test_as_low_as_the_default_need_not_be_said(self) -> None:
        fresh = fold(ONE, ready(ONE, NOON_S - 400.0), charging("a/1"))
        assert said(replace_setpoints(fresh), a=6.0) == []
        assert said(replace_setpoints(fresh), a=0.0) == [(A, "TRANSACTION", 0.0)]


def replace_setpoints(state: State) -> State:
    """The same without what lingers of the own default that it had before."""
    return replace(state, evses={name: replace(evse, setpoints=()) for name, evse in state.evses.items()})


class TestRetry:
    def test_a_command_on_its_way_is_not_repeated(self) -> None:
        assert said(fold(car(), commanded("a/1", 10.0, NOON_S, command_id=10)), a=10.0) == []

    def test_what_was_refused_or_unanswered_rests(self) -> None:
        command = commanded("a/1", 20.0, NOON_S, command_id=10)
        for outcome in (rejected, unanswered):
            state = fold(car(), command, outcome(command, NOON_S))
            assert said(state, NOON_S + RETRY_S - 0.1, a=20.0) == []
            assert said(state, NOON_S + RETRY_S, a=20.0) == [(A, "TRANSACTION", 20.0)]

    def test_lowering_never_waits(self) -> None:
        command = commanded("a/1", 20.0, NOON_S, command_id=10)
        assert said(fold(car(), command, rejected(command, NOON_S)), a=19.0) == [(A, "TRANSACTION", 19.0)]


class TestDefaultProfile:
    def test_is_installed_until_it_is_confirmed(self) -> None:
        online = fold(ONE, StationOnline(at_s=NOON_S, station=STATION_A))
        (first,) = changes(online, decision(), NOON_S)
        assert (first.kind, first.limit_a, first.expires_s) == (ProfileKind.DEFAULT, 6.0, None)
        asked = fold(online, first)
        for state in (asked, fold(asked, rejected(first, NOON_S + 1.0)), fold(asked, unanswered(first, NOON_S + 1.0))):
            assert said(state, NOON_S + RETRY_S - 0.1) == []
            assert said(state, NOON_S + RETRY_S) == [(A, "DEFAULT", 6.0)]
        assert said(fold(asked, accepted(first, NOON_S + 1.0)), NOON_S + RETRY_S) == []

    def test_is_installed_again_after_a_boot(self) -> None:
        state = fold(car(), StationBooted(at_s=NOON_S, station=STATION_A))
        assert said(state) == [(A, "DEFAULT", 6.0)]

    def test_waits_for_the_station(self) -> None:
        assert said(fold(ONE)) == []
