"""When a cycle is due, and which facts call for one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smartcharge.control.limits import is_lost
from smartcharge.control.plan import Decision
from smartcharge.control.profiles import RETRY_S
from smartcharge.control.schedule import BATCH_S, IDLE_S, matters, next_due_s
from smartcharge.control.state import State
from smartcharge.events import CircuitMetered, Event, LimitSet, Metered, Plugged, ProfileKind, Unplugged
from smartcharge.model import EvseId, Phases
from tests.builders import (
    MAIN,
    NOON_S,
    accepted,
    charging,
    circuit,
    commanded,
    evse,
    fold,
    meter,
    plan,
    ready,
    rejected,
    row_of,
    site,
    station,
    told,
)

A = EvseId("a/1")
ONE = row_of(1)


def decision(at_s: float = NOON_S) -> Decision:
    return Decision(at_s=at_s, setpoints={})


def car(limit_a: float = 16.0) -> State:
    return fold(ONE, ready(ONE), charging("a/1"), told("a/1", limit_a, NOON_S, command_id=9))


class TestNextDue:
    """A cycle is due when time alone may change what should be done."""

    def due_s(self, state: State, now_s: float = NOON_S) -> float:
        return next_due_s(state, decision(now_s), None, now_s) - NOON_S

    def test_at_the_latest_after_a_minute(self) -> None:
        assert self.due_s(fold(ONE)) == IDLE_S

    def test_when_a_car_followed(self) -> None:
        assert self.due_s(fold(car(), told("a/1", 10.0, NOON_S, command_id=10))) == 3.0

    def test_when_a_setpoint_is_to_be_renewed_with_the_others_of_its_half_minute(self) -> None:
        due_s = self.due_s(car(), NOON_S + 120.0)
        assert 150.0 <= due_s < 150.0 + BATCH_S
        assert (NOON_S + due_s) % BATCH_S == 0.0

    def test_when_it_may_end_early_and_when_it_ended_for_sure(self) -> None:
        assert self.due_s(car(), NOON_S + 290.0) == 295.0
        assert self.due_s(car(), NOON_S + 296.0) == 308.0

    def test_when_a_grid_limit_expires(self) -> None:
        limit = LimitSet(at_s=NOON_S, source="dso", circuit=MAIN, valid_until_s=NOON_S + 20.0)
        assert self.due_s(fold(ONE, limit)) == 20.0

    def test_when_a_meter_is_lost(self) -> None:
        one = site(replace(circuit(), meter=meter(age_s=10.0, hold_s=20.0)), station(evse("a/1")))
        reading = CircuitMetered(at_s=NOON_S, circuit=MAIN, current_a=Phases.all(1.0))
        state, held = fold(one, reading), one.circuits[0]
        due_s = self.due_s(state)
        assert due_s == pytest.approx(30.0, abs=1.0)
        assert not is_lost(state, held, NOON_S + 30.0)
        assert is_lost(state, held, NOON_S + due_s), "a cycle that comes too early would sleep again"

    def test_when_a_refused_command_has_rested(self) -> None:
        command = commanded("a/1", 20.0, NOON_S, command_id=10)
        assert self.due_s(fold(car(), command, rejected(command, NOON_S - 2.0))) == RETRY_S - 2.0

    def test_when_a_default_is_to_be_asked_for_again(self) -> None:
        asked = commanded("a/1", 6.0, NOON_S - 10.0, command_id=1, kind=ProfileKind.DEFAULT)
        assert self.due_s(fold(ONE, asked)) == RETRY_S - 10.0

    def test_when_the_plan_goes_on(self) -> None:
        one_hour = plan(NOON_S - 3590.0)
        assert next_due_s(fold(ONE), decision(), one_hour, NOON_S) == NOON_S + 10.0


def reading(amps: float, at_s: float = NOON_S + 5.0) -> Metered:
    return Metered(at_s=at_s, evse=A, current_a=Phases(amps, 0.0, 0.0))


class TestMatters:
    """Readings and answers call for a cycle where a decision could depend on them."""

    def calls(self, state: State, event: Event) -> bool:
        return matters(state, fold(state, event), event)

    def test_not_a_command_that_the_cycle_itself_gave(self) -> None:
        assert not self.calls(car(), commanded("a/1", 9.0, NOON_S, command_id=10))

    def test_not_a_reading_that_confirms_what_is_known(self) -> None:
        assert not self.calls(fold(car(), reading(15.9)), reading(15.8, NOON_S + 10.0))

    def test_a_car_that_leaves_some(self) -> None:
        assert self.calls(fold(car(), reading(9.0, NOON_S + 60.0)), reading(9.0, NOON_S + 120.0))

    def test_every_reading_of_a_car_that_draws_too_much(self) -> None:
        over = fold(car(), reading(20.0))
        assert self.calls(car(), reading(20.0))
        assert self.calls(over, reading(20.0, NOON_S + 12.0)), "the second one proves it"

    def test_a_draw_where_no_car_should_be(self) -> None:
        free = fold(car(), Unplugged(at_s=NOON_S, evse=A))
        assert self.calls(free, reading(5.0))
        assert not self.calls(free, reading(0.0))

    def test_an_answer_that_leaves_less_to_believe(self) -> None:
        command = commanded("a/1", 9.0, NOON_S, command_id=10)
        assert self.calls(fold(car(20.0), command), accepted(command, NOON_S + 4.0))

    def test_not_the_answer_to_a_renewal(self) -> None:
        command = commanded("a/1", 16.0, NOON_S + 150.0, command_id=10)
        assert not self.calls(fold(car(), command), accepted(command, NOON_S + 151.0))

    @pytest.mark.parametrize("event", [Plugged(at_s=NOON_S, evse=A), Metered(at_s=NOON_S, evse=EvseId("x/1"))])
    def test_everything_else(self, event: Event) -> None:
        assert self.calls(car(), event)
