"""What a controller of several sources must do: a class for each of the fourteen requirements."""

from __future__ import annotations

import ssl
from dataclasses import replace
from math import nan
from typing import Any

import pytest
from pydantic import ValidationError

from smartcharge.control import liveness
from smartcharge.control.compliance import derived
from smartcharge.control.limits import effective_limits
from smartcharge.control.liveness import Liveness
from smartcharge.control.section14a import pmin_w
from smartcharge.control.state import State
from smartcharge.events import (
    ClockStepped,
    ControllerStarted,
    Event,
    FailsafeSet,
    FailsafeStep,
    LimitSet,
    LimitsReplaced,
    SourceHeard,
)
from smartcharge.grid.openadr.client import OpenAdrClient
from smartcharge.grid.openadr.limits import Reading
from smartcharge.grid.openadr.reader import Reader
from smartcharge.grid.openadr.said import Said
from smartcharge.grid.openadr.settings import OpenAdrSettings
from smartcharge.model import Direction, GridLimit, GridSource, Release, Scope, Site
from smartcharge.store.codec import decode, encode
from smartcharge.words.limits import GridLimit as LimitSaid
from smartcharge.words.operators import Operators
from tests.builders import MAIN, NOON_S, circuit, evse, fold, site, station

DSO = GridSource(id="mqtt dso", circuit=MAIN, failsafe_w=9000.0)
ADR = GridSource(id="openadr dso", circuit=MAIN, failsafe_w=9000.0, keeps_schedule=True)
RATING_W = 50.0 * 690.0
DAY_S = 86400.0


def one(*sources: GridSource) -> Site:
    return replace(site(circuit(rating_a=50.0), station(evse("a/1"))), grid=sources or (DSO,))


def watts(state: State, s: float) -> float:
    """What the site may draw so many seconds after noon [W]."""
    found = effective_limits(state, NOON_S + s)
    return round(690.0 * min(map(float, found.limit_a)), 1)


def free(*sources: GridSource) -> list[Event]:
    """Started, and each source heard, and told that there is no limit."""
    told: list[Event] = [ControllerStarted(at_s=NOON_S)]
    for source in sources or (DSO,):
        told += [
            SourceHeard(at_s=NOON_S, source=source.id),
            LimitsReplaced(at_s=NOON_S, source=source.id, limits=()),
        ]
    return told


def limit(power_w: float, s: float = 1.0, source: GridSource = DSO, **more: Any) -> LimitSet:
    return LimitSet(at_s=NOON_S + s, source=source.id, circuit=MAIN, power_w=power_w, **more)


def window(start: float, end: float | None, power_w: float, **more: Any) -> GridLimit:
    return GridLimit(
        source=ADR.id, circuit=MAIN, received_at_s=NOON_S, power_w=power_w, start_s=NOON_S + start,
        end_s=None if end is None else NOON_S + end, **more,
    )  # fmt: skip


def planned(*windows: GridLimit, s: float = 0.0) -> LimitsReplaced:
    return LimitsReplaced(at_s=NOON_S + s, source=ADR.id, limits=windows)


class TestRequirement1WhatALimitIs:
    def test_zero_is_zero_and_none_is_no_limit(self) -> None:
        assert watts(fold(one(), *free(), limit(0.0)), 2.0) == 0.0
        assert watts(fold(one(), *free()), 2.0) == RATING_W

    @pytest.mark.parametrize("wrong", [{"power_w": -1.0}, {"power_w": nan}, {"power_kw": 5.0}, {}])
    def test_what_cannot_be_one_is_refused_at_the_door(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            LimitSaid.model_validate({"issued_at": "2025-06-01T12:00:00Z", **wrong})


class TestRequirement2WithinASourceItsRulesAcrossSourcesTheMinimum:
    def test_the_lowest_priority_number_then_the_strictest_then_the_minimum_of_all(self) -> None:
        ranked = planned(
            window(0, 99, 5e3, priority=2), window(0, 99, 20e3, priority=1), window(0, 99, 15e3, priority=1)
        )
        state = fold(one(ADR, DSO), *free(ADR, DSO), ranked)
        assert watts(state, 2.0) == 15_000.0
        assert watts(fold(state, limit(12e3)), 2.0) == 12_000.0
        assert watts(fold(state, limit(1e6)), 2.0) == 15_000.0


class TestRequirement3EachSourceHasItsOwnStateMachine:
    def test_one_is_lost_while_the_other_lives(self) -> None:
        other = replace(DSO, id="lpc tso", failsafe_w=12e3, heartbeat_s=1000.0)
        state = fold(one(DSO, other), *free(DSO, other))
        found = {name: liveness.at(known, NOON_S + 500.0).liveness for name, known in state.sources.items()}
        assert found == {DSO.id: Liveness.FAILSAFE, other.id: Liveness.CONTROLLED}
        assert watts(state, 500.0) == 9000.0


class TestRequirement4CachedSchedulesStayValidOffline:
    def test_until_they_are_exhausted_then_the_subscription_holds(self) -> None:
        said = FailsafeSet(
            at_s=NOON_S, source=ADR.id, steps=(FailsafeStep(start_s=NOON_S, end_s=None, power_w=6000.0),)
        )
        state = fold(one(ADR), *free(ADR), planned(window(0, 3600, 20e3), window(3600, 7200, 8e3)), said)
        assert [watts(state, s) for s in (1800.0, 5400.0, 7201.0)] == [20_000.0, 8000.0, 6000.0]


class TestRequirement5FailsafeLastsUntilAFreshLimit:
    def test_a_heartbeat_alone_does_not_end_it_and_a_long_outage_keeps_it(self) -> None:
        lost = fold(one(), *free())
        assert watts(lost, 21 * DAY_S) == 9000.0
        back = fold(lost, SourceHeard(at_s=NOON_S + 3600.0, source=DSO.id))
        assert watts(back, 3601.0) == 9000.0
        assert watts(fold(back, limit(20e3, 3602.0)), 3603.0) == 20_000.0


class TestRequirement6StateIsPersisted:
    def test_limits_failsafe_and_delays_come_back_from_the_journal_and_a_restart_begins_in_failsafe(self) -> None:
        slow = replace(DSO, release=Release(delay_s=600.0, seed="x"))
        said = FailsafeSet(at_s=NOON_S, source=DSO.id, power_w=7000.0)
        events = [*free(), said, limit(5e3, 1.0, valid_until_s=NOON_S + 60.0)]
        again = [decode(*encode(event)) for event in events]
        assert fold(one(slow), *again) == fold(one(slow), *events)
        restarted = fold(one(slow), *again, ControllerStarted(at_s=NOON_S + 30.0))
        assert restarted.sources[DSO.id].liveness is Liveness.INIT
        assert watts(restarted, 31.0) == 5000.0
        lasts = [watts(fold(one(slow), *events), s) for s in range(60, 700, 10)]
        assert lasts == [watts(fold(one(slow), *again), s) for s in range(60, 700, 10)]

    def test_after_power_loss_no_limit_of_openadr_loosens_the_subscription(self) -> None:
        state = fold(one(ADR), *free(ADR), planned(window(0, None, 30e3)), ControllerStarted(at_s=NOON_S + 9.0))
        assert watts(state, 10.0) == 9000.0


class TestRequirement7EndsAndStarts:
    def test_no_end_holds_until_replaced_what_ended_is_ignored_what_began_applies(self) -> None:
        beats = [SourceHeard(at_s=NOON_S + s, source=DSO.id) for s in range(0, 7200, 60)]
        assert watts(fold(one(), *free(), limit(5e3), *beats), 7200.0) == 5000.0
        assert watts(fold(one(), *free(), limit(5e3, valid_until_s=NOON_S - 5.0)), 2.0) == RATING_W
        began = limit(5e3, start_s=NOON_S - 100.0, valid_until_s=NOON_S + 100.0)
        assert watts(fold(one(), *free(), began), 2.0) == 5000.0


class TestRequirement8TighteningIsImmediateReleaseIsNot:
    SLOW = replace(DSO, heartbeat_s=1e6, release=Release(delay_s=600.0, ramp_s=60.0, seed="x"))

    def test_a_delay_is_drawn_once_and_never_holds_up_a_reduction(self) -> None:
        ended = fold(one(self.SLOW), *free(), limit(5e3, version="e", valid_until_s=NOON_S + 60.0))
        assert watts(ended, 61.0) == 5000.0
        assert watts(ended, 60.0 + 600.0 + 61.0) == RATING_W
        assert watts(fold(ended, limit(3e3, 100.0, version="f")), 101.0) == 3000.0


class TestRequirement9TimesAreInstants:
    def test_a_naive_time_is_refused_a_skewed_clock_widens_and_a_set_clock_changes_no_silence(self) -> None:
        with pytest.raises(ValidationError, match="offset"):
            LimitSaid.model_validate({"issued_at": "2025-06-01T12:00:00", "power_w": 1.0})
        skewed = [*free(), SourceHeard(at_s=NOON_S, source=DSO.id, skew_s=60.0)]
        late = limit(5e3, start_s=NOON_S + 100.0, valid_until_s=NOON_S + 110.0)
        state = fold(one(replace(DSO, heartbeat_s=1e6)), *skewed, late)
        assert [watts(state, s) for s in (39.0, 41.0, 169.0, 171.0)] == [RATING_W, 5000.0, 5000.0, RATING_W]
        stepped = fold(one(), *free(), ClockStepped(at_s=NOON_S + 7230.0, step_s=7200.0))
        assert [watts(stepped, s) for s in (7310.0, 7321.0)] == [RATING_W, 9000.0]


class TestRequirement10PollingIsTheTruth:
    READING = Reading(source=ADR.id, circuit=MAIN, scope=Scope.SITE, seed="x")
    RAW: dict[str, Any] = {  # noqa: RUF012
        "id": "a", "programID": "p",
        "intervals": [{"id": 0, "payloads": [{"type": "IMPORT_CAPACITY_LIMIT", "values": [5]}]}],
    }  # fmt: skip

    def test_a_list_without_the_event_means_that_it_was_deleted(self) -> None:
        reader, said = Reader(self.READING), Said()
        first = list(said.news(reader.read([self.RAW], None, NOON_S), ADR.id, NOON_S))
        then = list(said.news(reader.read([], None, NOON_S + 30.0), ADR.id, NOON_S + 30.0))
        sizes = [len(fact.limits) for fact in (*first, *then) if isinstance(fact, LimitsReplaced)]
        assert sizes == [1, 0]

    def test_the_same_list_again_is_no_news(self) -> None:
        reader, said = Reader(self.READING), Said()
        list(said.news(reader.read([self.RAW], None, NOON_S), ADR.id, NOON_S))
        assert list(said.news(reader.read([self.RAW], None, NOON_S + 30.0), ADR.id, NOON_S + 30.0)) == []


class TestRequirement11EventsAreReplacedAtomically:
    def test_what_is_said_anew_replaces_all_that_the_source_said(self) -> None:
        before = fold(one(ADR), *free(ADR), planned(window(0, 9e3, 5e3), window(9e3, 18e3, 6e3)))
        after = fold(before, planned(window(0, 9e3, 8e3), s=10.0))
        assert [known.power_w for known in after.sources[ADR.id].limits] == [8000.0]


class TestRequirement12AnswersAndCompliance:
    def test_received_then_applied_in_the_protocols_own_terms(self) -> None:
        operators = Operators(one(), ("mqtt",))
        first = operators.received("dso", "L1", NOON_S)
        assert first is not None
        assert first.status == "received"
        state = fold(one(), *free(), limit(30e3, version="L1"))
        for _ in range(2):
            state = fold(state, *derived(state, NOON_S + 2.0))
        assert [(name, answer.id) for name, answer in operators.answers(state.records, NOON_S + 3.0)] == [("dso", "L1")]
        assert list(operators.answers(state.records, NOON_S + 4.0)) == [], "once"


class TestRequirement13Section14aFloor:
    LPC = GridSource(id="mqtt dso", circuit=MAIN, scope=Scope.LOADS, failsafe_w=pmin_w(1), floor_w=pmin_w(1))

    def test_a_command_below_it_is_flagged_and_followed_or_raised_where_the_site_insists(self) -> None:
        below = limit(2e3, scope=Scope.LOADS, version="L")
        state = fold(one(self.LPC), *free(), below)
        state = fold(state, *derived(state, NOON_S + 2.0))
        assert [record.is_below_floor for record in state.records.values()] == [True]
        assert watts(state, 2.0) == 2000.0
        assert watts(fold(one(replace(self.LPC, holds_floor=True)), *free(), below), 2.0) == pmin_w(1)


class TestRequirement14TlsAndTokens:
    def test_certificates_are_verified_and_the_secret_is_not_shown(self) -> None:
        settings = OpenAdrSettings(operator="dso", url="https://vtn.example", client_id="yard", client_secret="s3cret")
        assert "s3cret" not in repr(settings)
        pool = OpenAdrClient.to(settings)._http._transport._pool  # type: ignore[attr-defined]
        assert pool._ssl_context.verify_mode is ssl.CERT_REQUIRED
        assert pool._ssl_context.check_hostname


class TestExportIsALimitToo:
    def test_it_binds_what_is_fed_in(self) -> None:
        state = fold(one(), *free(), limit(3e3, direction=Direction.EXPORT))
        assert effective_limits(state, NOON_S + 2.0).export_w == {MAIN: 3000.0}
        assert watts(state, 2.0) == RATING_W
