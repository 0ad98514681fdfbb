from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcharge.events import Event, StationOnline, Watched
from smartcharge.maintenance.availability import Definition
from smartcharge.maintenance.exclusions import Cause, Exclusion
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.report import Evidence, Line, Month, cells, lines, network, outages, quarter_hours
from smartcharge.maintenance.spans import Span, Spans, common, first_s, less, total_s, union
from smartcharge.model import EvseId, StationId
from tests.maintenance.month import (
    BASE,
    BEGAN_S,
    CHARGES,
    END_S,
    EXCLUSIONS,
    OUTAGES,
    SITE,
    A,
    at,
    fault,
    offline,
    told,
)

NOVEMBER = Month(year=2026, number=11)
MIN = 60.0


def evidence(events: Sequence[Event], exclusions: Sequence[Exclusion] = EXCLUSIONS) -> Evidence:
    return Evidence.of(Place.of(SITE), told(events), exclusions)


def month(events: Sequence[Event], exclusions: Sequence[Exclusion] = EXCLUSIONS) -> dict[str, Line]:
    return {line.subject: line for line in lines(evidence(events, exclusions), NOVEMBER)}


def minutes(line: Line, definition: Definition) -> tuple[float, float, float]:
    measured = line.measured[definition]
    return measured.outage_s / MIN, measured.excluded_s / MIN, measured.unknown_s / MIN


class TestTheMonthComputedByHand:
    """To the minute; the sums are in `month`."""

    @pytest.mark.parametrize(
        ("definition", "outage_min", "excluded_min", "percent"),
        [
            (Definition.NEVI, 150 + 2160 + 5760 + 300 + 17280, 5760 + 180 + 17280, 94.375),
            (Definition.CALIFORNIA, 150 + 2160 + 5760 + 300 + 17280, 72 * 60 + 180 + 10 * 1440, 84.375),
            (Definition.AFIREV, 150 + 720 + 5760 + 240 + 17280, 0, 100.0 * (43200 - 24150) / 43200),
        ],
    )
    def test_by_each_definition(
        self, definition: Definition, outage_min: float, excluded_min: float, percent: float
    ) -> None:
        found = month([*BASE, *OUTAGES])
        assert minutes(found["a/1"], definition) == (outage_min, excluded_min, 0.0)
        available = found["a/1"].measured[definition].available
        assert available is not None
        assert 100.0 * available == pytest.approx(percent, abs=1e-9)
        assert minutes(found["b/1"], definition) == (0.0, 0.0, 0.0)
        assert found["b/1"].measured[definition].available == 1.0
        assert found["site"].measured[definition].total_s == 2 * 43200 * MIN

    def test_nevi_over_the_year_by_its_formula(self) -> None:
        found = month([*BASE, *OUTAGES])
        assert found["a/1"].year.total_s == 525_600 * MIN
        assert found["a/1"].year.available == pytest.approx((525_600 - (25650 - 23220)) / 525_600)

    def test_reliability(self) -> None:
        found = month([*BASE, *OUTAGES])["a/1"].reliability
        assert found.failures == 3, "the ground failure, the silence, what the grid loss does not excuse"
        assert found.mtbf_s == (43200 - 25650) / 3 * MIN
        assert found.mttr_s == (150 + 2160 + 120) / 3 * MIN
        assert month(BASE)["a/1"].reliability.mtbf_s is None

    def test_sessions(self) -> None:
        found = month([*BASE, *CHARGES])["b/1"].success
        assert (found.starts, found.successes, found.failures) == (6, 2, 2)
        assert found.session_share == 0.5
        assert found.start_share == 0.75
        assert month([*BASE, *CHARGES])["a/1"].success.session_share is None

    def test_without_evidence_everything_counts(self) -> None:
        assert minutes(month([*BASE, *OUTAGES], ())["a/1"], Definition.NEVI) == (25650, 0.0, 0.0)

    def test_a_network_weighs_every_minute_of_every_port_the_same(self) -> None:
        all_lines = [*lines(evidence([*BASE, *OUTAGES]), NOVEMBER), *lines(evidence(BASE), NOVEMBER)]
        found = network(all_lines, NOVEMBER)
        assert found.measured[Definition.NEVI].available == pytest.approx(1.0 - 2430 / (4 * 43200))
        assert found.reliability.failures == 3


class TestMissingFacts:
    """A month in which facts are missing says so instead of guessing."""

    def test_while_the_controller_was_down_nothing_is_known(self) -> None:
        pause: list[Event] = [
            Watched(at_s=at(8, 2), since_s=BEGAN_S),
            Watched(at_s=at(8, 5), since_s=at(8, 5)),
            Watched(at_s=END_S, since_s=at(8, 5)),
        ]
        events = [*BASE[:-1], *pause, *(e for e in OUTAGES)]
        found = month(events)["a/1"]
        for definition in Definition:
            assert found.measured[definition].unknown_s == 180 * MIN
            assert found.measured[definition].available is None
        measured = found.measured[Definition.NEVI]
        assert measured.least == pytest.approx((43200 - 2430 - 180) / 43200)
        assert measured.most == pytest.approx((43200 - 2430) / 43200)
        assert cells(found)["nevi_pct"] is None
        assert cells(found)["nevi_month_least_pct"] == pytest.approx(93.9583)

    def test_a_fault_that_outlasts_the_pause_is_unknown_in_it_only(self) -> None:
        pause: list[Event] = [Watched(at_s=at(8, 2), since_s=BEGAN_S), Watched(at_s=at(8, 5), since_s=at(8, 5))]
        found = month([*BASE[:-1], *pause, Watched(at_s=END_S, since_s=at(8, 5)), *fault("Fire", at(8), at(9))])
        assert minutes(found["a/1"], Definition.NEVI) == (21 * 60, 0.0, 180.0)

    def test_before_a_station_was_first_heard_of_nothing_is_known(self) -> None:
        late = [e for e in BASE if not (isinstance(e, StationOnline) and e.station == "b")]
        found = month([*late, StationOnline(at_s=at(11), station=StationId("b"))])["b/1"]
        assert minutes(found, Definition.NEVI) == (0.0, 0.0, 10 * 1440)

    def test_after_the_last_word_nothing_is_known(self) -> None:
        assert minutes(month(BASE[:-1])["a/1"], Definition.NEVI) == (0.0, 0.0, 43200)

    def test_facts_that_nobody_vouches_for_prove_no_uptime(self) -> None:
        events = [e for e in [*BASE, *OUTAGES] if not isinstance(e, Watched)]
        assert minutes(month(events)["b/1"], Definition.NEVI) == (0.0, 0.0, 43200)


class TestDefinitions:
    def test_closing_hours_are_no_opening_time_of_afirev(self) -> None:
        closed = Exclusion(subject="site", span=Span(at(3, 11), at(4)), cause=Cause.CLOSED, evidence="opening hours")
        found = month([*BASE, *OUTAGES[:2]], (closed,))["a/1"]
        assert minutes(found, Definition.AFIREV) == (60.0, 0.0, 0.0)
        assert found.measured[Definition.AFIREV].total_s == (43200 - 13 * 60) * MIN
        assert minutes(found, Definition.NEVI) == (150.0, 90.0, 0.0)
        assert minutes(found, Definition.CALIFORNIA) == (150.0, 0.0, 0.0)

    def test_california_counts_planned_hours_by_calendar_year(self) -> None:
        january = [*fault("Works", at(30, month=12), at(3, month=1, year=2027))]
        events = [*BASE[:-1], *january, Watched(at_s=at(1, month=2, year=2027), since_s=BEGAN_S)]
        planned = Exclusion(
            subject="a", span=Span(at(1, month=12), at(1, month=2, year=2027)), cause=Cause.PLANNED_MAINTENANCE,
            evidence="W-2",
        )  # fmt: skip
        whole = Evidence.of(Place.of(SITE), told(events), (planned,))
        for number, year, outage_h in ((12, 2026, 48), (1, 2027, 48)):
            found = next(iter(lines(whole, Month(year=year, number=number))))
            assert minutes(found, Definition.CALIFORNIA)[:2] == (outage_h * 60, outage_h * 60)

    def test_silence_of_less_than_a_day_is_available_for_afirev_only(self) -> None:
        found = month([*BASE, *offline(at(5), at(5, 23))])["a/1"]
        assert minutes(found, Definition.AFIREV)[0] == 0.0
        assert minutes(found, Definition.NEVI)[0] == 23 * 60

    def test_a_month_with_a_change_of_clocks_has_an_hour_more(self) -> None:
        from zoneinfo import ZoneInfo

        span = Month(year=2026, number=10).span(ZoneInfo("Europe/Amsterdam"))
        assert span.length_s == (31 * 24 + 1) * 3600.0


class TestEveryMinuteIsTraced:
    def test_outages_add_up_and_name_their_facts(self) -> None:
        whole = evidence([*BASE, *OUTAGES])
        span = Span(at(1), at(1, month=12))
        found = list(outages(whole, span))
        assert sum(outage.span.length_s for outage in found) == 25650 * MIN
        assert sum(outage.excluded_s for outage in found) == 23220 * MIN
        facts = dict(told([*BASE, *OUTAGES]))
        for outage in found:
            assert outage.port == A
            assert all(
                getattr(facts[n], "evse", None) == A or getattr(facts[n], "station", "") == "a" for n in outage.facts
            )
        both = next(outage for outage in found if len(outage.causes) == 2)
        assert both.causes == ("fault OverVoltage", "offline: connection closed")
        assert len(both.facts) == 4
        assert both.evidence == ("grid-loss: notice of the DSO",)

    def test_quarter_hours_add_up_too(self) -> None:
        records = list(quarter_hours(evidence([*BASE, *OUTAGES]), Span(at(1), at(1, month=12))))
        assert len(records) == 2 * 30 * 96
        assert sum(out_s for _, _, out_s, _ in records) == 25650 * MIN
        assert {port for port, _, out_s, _ in records if out_s} == {EvseId("a/1")}


SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=6).map(
    lambda pairs: union(Span(float(min(p)), float(max(p))) for p in pairs)
)


def seconds(spans: Spans) -> set[int]:
    return {second for span in spans for second in range(int(span.since_s), int(span.until_s))}


class TestSpans:
    """The arithmetic agrees with that of sets of seconds."""

    @given(SPANS, SPANS)
    def test_of_two(self, first: Spans, second: Spans) -> None:
        assert seconds(union([*first, *second])) == seconds(first) | seconds(second)
        assert seconds(common(first, second)) == seconds(first) & seconds(second)
        assert seconds(less(first, second)) == seconds(first) - seconds(second)
        assert total_s(first) == len(seconds(first))

    @given(SPANS, st.integers(0, 50))
    def test_the_beginning(self, spans: Spans, most: int) -> None:
        assert seconds(first_s(spans, float(most))) == set(sorted(seconds(spans))[:most])
