"""OpenADR 3 interval resolution: by the specification, and beside the openadr3 package."""

from __future__ import annotations

from datetime import UTC, datetime
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openadr3.entities.models import Event as PeerEvent

from smartcharge.errors import SourceError
from smartcharge.grid.openadr.contracts import failsafe_steps
from smartcharge.grid.openadr.durations import FOREVER, duration_of
from smartcharge.grid.openadr.intervals import AHEAD_S, windows
from smartcharge.grid.openadr.limits import Reading, understood
from smartcharge.grid.openadr.messages import NAIVE_IS_UTC, Event
from smartcharge.grid.openadr.series import ENDLESS_S, MOST_STEPS, Series, Step, series_of
from smartcharge.grid.openadr.wanted import due
from smartcharge.grid.usage import Usage
from smartcharge.model import CircuitId, Direction, Scope

T0 = datetime(2025, 6, 1, 12, tzinfo=UTC)
T0_S = T0.timestamp()
HOUR_S = 3600.0
LIMIT = "IMPORT_CAPACITY_LIMIT"
READING = Reading(source="openadr dso", circuit=CircuitId("main"), scope=Scope.SITE, seed="yard")


def at(hours: float = 0.0) -> str:
    return datetime.fromtimestamp(T0_S + hours * HOUR_S, UTC).isoformat()


def event(*intervals: dict[str, Any], **more: Any) -> Event:
    return Event.model_validate({"id": "e1", "programID": "p", "intervals": intervals, **more})


def interval(number: int, *values: Any, kind: str = LIMIT, **period: Any) -> dict[str, Any]:
    own = {"intervalPeriod": period} if period else {}
    return {"id": number, "payloads": [{"type": kind, "values": list(values)}], **own}


def spans(one: Event, now_h: float = 0.0, **more: Any) -> list[tuple[float, float, Any]]:
    """Hours from T0 and the first value of each window."""
    found = windows(one, T0_S + now_h * HOUR_S, **more)
    return [((w.start_s - T0_S) / HOUR_S, (w.end_s - T0_S) / HOUR_S, w.values[0]) for w in found]


class TestResolution:
    def test_intervals_follow_each_other_with_the_duration_of_the_event(self) -> None:
        one = event(interval(0, 1), interval(1, 2), intervalPeriod={"start": at(), "duration": "PT1H"})
        assert spans(one) == [(0.0, 1.0, 1), (1.0, 2.0, 2)]

    def test_an_interval_overrides_field_by_field_and_the_next_follows_it(self) -> None:
        one = event(
            interval(0, 1),
            interval(1, 2, duration="PT30M"),
            interval(2, 3, start=at(5.0)),
            interval(3, 4),
            intervalPeriod={"start": at(), "duration": "PT1H"},
        )
        assert spans(one) == [(0.0, 1.0, 1), (1.0, 1.5, 2), (5.0, 6.0, 3), (6.0, 7.0, 4)]

    @pytest.mark.parametrize("start", ["0001-01-01", "0001-01-01T00:00:00", "0001-01-01T00:00:00Z"])
    def test_the_year_1_is_when_the_event_came_also_after_a_restart(self, start: str) -> None:
        one = event(
            interval(0, 1),
            intervalPeriod={"start": start, "duration": "PT1H"},
            createdDateTime=at(-3.0),
            modificationDateTime=at(-0.5),
        )
        assert spans(one) == spans(one, 0.25) == [(-0.5, 0.5, 1)]
        fresh = event(interval(0, 1), intervalPeriod={"start": start, "duration": "PT1H"})
        assert spans(fresh) == [(0.0, 1.0, 1)]
        fast = event(interval(0, 1), intervalPeriod={"start": start, "duration": "PT1H"}, createdDateTime=at(2.0))
        assert spans(fast) == [(0.0, 1.0, 1)], "its server's clock is ahead: it came now"

    @pytest.mark.parametrize("period", [{"start": at(), "duration": "P9999Y"}, {"start": at()}])
    def test_for_ever(self, period: dict[str, str]) -> None:
        assert spans(event(interval(0, 1), intervalPeriod=period)) == [(0.0, inf, 1)]
        assert spans(event(interval(0, 1), interval(1, 2), intervalPeriod=period)) == [(0.0, inf, 1)]

    def test_without_any_period_it_is_from_now_on_for_ever(self) -> None:
        assert spans(event(interval(0, 1), createdDateTime=at(-1.0))) == [(-1.0, inf, 1)]

    def test_no_time_at_all_cancels_and_in_3_0_1_it_is_for_ever(self) -> None:
        one = event(interval(0, 1), intervalPeriod={"start": "0001-01-01", "duration": "PT0S"})
        assert spans(one) == []
        assert spans(one, is_zero_endless=True) == [(0.0, inf, 1)]

    def test_the_events_own_duration_repeats_the_list(self) -> None:
        one = event(interval(0, 1), interval(1, 2), intervalPeriod={"start": at(), "duration": "PT1H"}, duration="PT5H")
        assert spans(one) == [(0, 1, 1), (1, 2, 2), (2, 3, 1), (3, 4, 2), (4, 5, 1)]

    def test_the_events_own_duration_cuts_the_list(self) -> None:
        one = event(
            interval(0, 1), interval(1, 2), intervalPeriod={"start": at(), "duration": "PT1H"}, duration="PT90M"
        )
        assert spans(one) == [(0.0, 1.0, 1), (1.0, 1.5, 2)]
        endless = event(interval(0, 1), intervalPeriod={"start": at()}, duration="PT2H")
        assert spans(endless) == [(0.0, 2.0, 1)]

    def test_repeated_for_ever_only_what_is_near_is_told(self) -> None:
        day = [interval(n, n) for n in range(24)]
        one = event(*day, intervalPeriod={"start": at(), "duration": "PT1H"}, duration="P9999Y")
        found = spans(one, now_h=24.0 * 1000.0 + 5.5)
        assert found[0][0] >= 24.0 * 999.0 - 1.0
        assert found[-1][0] <= 24.0 * 1000.0 + 5.5 + AHEAD_S / HOUR_S
        assert (24.0 * 1000.0 + 5.0, 24.0 * 1000.0 + 6.0, 5) in found
        assert len(found) <= 24 * 37

    def test_several_values_divide_their_interval(self) -> None:
        one = event(interval(0, 1, 2, 3, 4), intervalPeriod={"start": at(), "duration": "PT1H"})
        assert spans(one) == [(0.0, 0.25, 1), (0.25, 0.5, 2), (0.5, 0.75, 3), (0.75, 1.0, 4)]

    def test_what_ended_long_ago_is_of_no_interest(self) -> None:
        one = event(interval(0, 1), intervalPeriod={"start": at(-100.0), "duration": "PT1H"})
        assert spans(one) == []

    def test_a_random_start_never_shortens_a_window_and_is_the_same_again(self) -> None:
        one = event(interval(0, 1), intervalPeriod={"start": at(), "duration": "PT1H", "randomizeStart": "PT10M"})
        drawn = {tuple(spans(one, seed=f"s{n}")) for n in range(20)}
        assert len(drawn) > 15
        for ((start, end, _),) in drawn:
            assert -1 / 6 <= start <= 0.0
            assert 1.0 <= end <= 1.0 + 1 / 6
        assert spans(one, seed="a") == spans(one, seed="a")

    def test_months_and_years_are_of_the_calendar(self) -> None:
        january = datetime(2025, 1, 31, tzinfo=UTC).timestamp()
        assert duration_of("P1M").after(january) == datetime(2025, 2, 28, tzinfo=UTC).timestamp()
        assert duration_of("P1Y2M3DT4H5M6.5S").after(january) == datetime(2026, 4, 3, 4, 5, 6, 500_000, UTC).timestamp()
        assert duration_of("P2W").seconds == 14 * 86400.0
        assert duration_of("P9999Y") == FOREVER
        assert duration_of("P9000Y").after(january) == inf

    @pytest.mark.parametrize("text", ["", "P", "PT", "1H", "-PT1H", "PT1X", "P1H"])
    def test_what_is_no_duration_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="no duration"):
            duration_of(text)

    def test_a_time_without_an_offset_is_refused_or_utc_by_agreement(self) -> None:
        period = {"start": "2025-06-01T12:00:00", "duration": "PT1H"}
        raw = {"id": "e", "programID": "p", "intervalPeriod": period, "intervals": [interval(0, 1)]}
        with pytest.raises(ValueError, match="has no offset"):
            Event.model_validate(raw)
        assert spans(Event.model_validate(raw, context=NAIVE_IS_UTC)) == [(0.0, 1.0, 1)]


@given(
    st.lists(st.none() | st.integers(1, 10), min_size=1, max_size=6),
    st.integers(1, 8),
)
def test_beside_the_openadr3_package(own_h: list[int | None], shared_h: int) -> None:
    """Where both say something: durations of their own or of the event, starts that follow each other."""
    own = [{} if hours is None else {"duration": f"PT{hours}H"} for hours in own_h]
    intervals = [interval(n, n, **period) for n, period in enumerate(own)]
    raw = {
        "id": "e1", "programID": "p", "objectType": "EVENT", "intervals": intervals,
        "intervalPeriod": {"start": at(), "duration": f"PT{shared_h}H"},
    }  # fmt: skip
    peers = PeerEvent.from_raw(raw).resolved_intervals()
    theirs = [i.interval_period.period for i in peers if i.interval_period is not None]
    ours = windows(Event.model_validate(raw), T0_S)
    assert [(w.start_s, w.end_s) for w in ours] == [(p[0].timestamp(), p[1].timestamp()) for p in theirs if p]


class TestUnderstood:
    def test_limits_of_both_directions_setpoints_and_levels(self) -> None:
        reading = Reading(**{**vars_of(READING), "simple_w": (30e3, 20e3, 5e3)})
        period = {"start": at(), "duration": "PT1H"}
        for kind, value, watts, way in (
            (LIMIT, 7, 7000.0, Direction.IMPORT), ("EXPORT_CAPACITY_LIMIT", 3, 3000.0, Direction.EXPORT),
            ("DISPATCH_SETPOINT", 4.5, 4500.0, Direction.IMPORT), ("SIMPLE", 2, 5000.0, Direction.IMPORT),
        ):  # fmt: skip
            (found,) = understood(event(interval(0, value, kind=kind), intervalPeriod=period), reading, T0_S).limits
            assert (found.power_w, found.direction) == (watts, way)
            assert (found.start_s, found.end_s) == (T0_S, T0_S + HOUR_S)

    def test_without_levels_in_the_site_file_simple_is_left_alone(self) -> None:
        assert understood(event(interval(0, 2, kind="SIMPLE")), READING, T0_S).limits == ()

    @pytest.mark.parametrize(("units", "watts"), [("KW", 7000.0), ("W", 7.0), ("MW", 7e6), (None, 7000.0)])
    def test_units(self, units: str | None, watts: float) -> None:
        one = event(interval(0, 7), payloadDescriptors=[{"payloadType": LIMIT, "units": units}])
        assert understood(one, READING, T0_S).limits[0].power_w == watts

    @pytest.mark.parametrize(
        ("value", "units", "reason"),
        [
            (-5, "KW", "negative"), (float("nan"), "KW", "finite"), (float("inf"), "KW", "finite"),
            ("7", "KW", "finite"), (True, "KW", "finite"), (7, "KWH", "in KWH"), (None, "KW", "finite"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_understood_is_refused_by_name(self, value: Any, units: str, reason: str) -> None:
        one = event(interval(0, value), payloadDescriptors=[{"payloadType": LIMIT, "units": units}])
        with pytest.raises(SourceError, match=f"event e1.*{reason}"):
            understood(one, READING, T0_S)

    def test_several_values_for_ever_count_as_the_lowest(self) -> None:
        assert understood(event(interval(0, 9, 4, 6)), READING, T0_S).limits[0].power_w == 4000.0

    def test_an_event_that_says_two_things_at_once_means_the_stricter(self) -> None:
        both = {"id": 0, "payloads": [{"type": LIMIT, "values": [7]}, {"type": "DISPATCH_SETPOINT", "values": [4]}]}
        (found,) = understood(event(both), READING, T0_S).limits
        assert found.power_w == 4000.0

    def test_alerts_are_for_people(self) -> None:
        period = {"start": at(), "duration": "PT1H"}
        one = event(interval(0, "all cars off", kind="ALERT_GRID_EMERGENCY"), intervalPeriod=period)
        found = understood(one, READING, T0_S)
        assert found.limits == ()
        assert [(a.kind, a.text, a.end_s) for a in found.alerts] == [
            ("ALERT_GRID_EMERGENCY", "all cars off", T0_S + HOUR_S)
        ]


def step(start_h: float, end_h: float, value: float) -> Step:
    return Step(start_s=T0_S + start_h * HOUR_S, end_s=T0_S + end_h * HOUR_S, value=value)


class TestSeries:
    """Prices and carbon intensity as a tariff has them."""

    def test_of_values_that_divide_their_interval(self) -> None:
        period = {"start": at(), "duration": "PT1H"}
        one = event(interval(0, 0.3, 0.2, kind="PRICE"), interval(1, 0.1, 0.4, kind="PRICE"), intervalPeriod=period)
        found = series_of(understood(one, READING, T0_S).prices, T0_S)
        assert found == Series(start_s=T0_S, step_s=1800.0, values=(0.3, 0.2, 0.1, 0.4))

    def test_steps_may_be_of_different_lengths(self) -> None:
        found = series_of([step(0.5, 1.0, 2.0), step(0.0, 0.5, 1.0), step(1.0, 1.25, 3.0)], T0_S)
        assert found == Series(start_s=T0_S, step_s=900.0, values=(1.0, 1.0, 2.0, 2.0, 3.0))

    def test_behind_a_gap_is_for_later(self) -> None:
        steps = [step(0.0, 1.0, 1.0), step(2.0, 3.0, 2.0)]
        assert series_of(steps, T0_S) == Series(start_s=T0_S, step_s=3600.0, values=(1.0,))
        assert series_of(steps, T0_S + HOUR_S) == Series(start_s=T0_S + 2 * HOUR_S, step_s=3600.0, values=(2.0,))

    def test_that_never_ends_holds_for_years(self) -> None:
        found = series_of([step(0.0, inf, 1.0)], T0_S)
        assert found == Series(start_s=T0_S, step_s=ENDLESS_S, values=(1.0,))
        found = series_of([step(0.0, 1.0, 1.0), step(1.0, inf, 2.0)], T0_S)
        assert found is not None
        assert (found.step_s, found.values[:3], len(found.values)) == (3600.0, (1.0, 2.0, 2.0), MOST_STEPS)

    @pytest.mark.parametrize("steps", [[], [step(0.0, 1.0, 1.0), step(0.5, 1.5, 2.0)], [step(-2.0, -1.0, 1.0)]])
    def test_of_what_contradicts_itself_or_is_over_is_none(self, steps: list[Step]) -> None:
        assert series_of(steps, T0_S) is None

    def test_the_unit_of_a_price_counts(self) -> None:
        one = event(interval(0, 300, kind="PRICE"), payloadDescriptors=[{"payloadType": "PRICE", "units": "MWH"}])
        assert understood(one, READING, T0_S).prices[0].value == pytest.approx(0.3)
        wrong = event(interval(0, 300, kind="PRICE"), payloadDescriptors=[{"payloadType": "PRICE", "units": "KW"}])
        with pytest.raises(SourceError, match="PRICE per KW"):
            understood(wrong, READING, T0_S)


class TestContracts:
    """What holds when the line is lost (User Guide 8.10.1)."""

    def steps(self, *said: tuple[str, float, float, float], now_h: float = 0.0) -> list[tuple[float, Any, float]]:
        """Hours and kilowatts, from type, start, length and kilowatts of single events."""
        events = [
            event(interval(0, kw, kind=kind), intervalPeriod={"start": at(start), "duration": f"PT{length:g}H"})
            for kind, start, length, kw in said
        ]
        contracts = [c for one in events for c in understood(one, READING, T0_S).contracts]
        found = failsafe_steps(contracts, T0_S + now_h * HOUR_S)
        return [((s.start_s - T0_S) / HOUR_S, s.end_s and (s.end_s - T0_S) / HOUR_S, s.power_w / 1e3) for s in found]

    SUBSCRIBED = ("IMPORT_CAPACITY_SUBSCRIPTION", 0, 10, 7)
    RESERVED = ("IMPORT_CAPACITY_RESERVATION", 2, 3, 4)

    def test_a_reservation_comes_on_top_of_the_subscription_in_its_time(self) -> None:
        assert self.steps(self.SUBSCRIBED, self.RESERVED) == [(0.0, 2.0, 7.0), (2.0, 5.0, 11.0), (5.0, 10.0, 7.0)]

    def test_of_several_the_strictest_counts(self) -> None:
        other = ("IMPORT_CAPACITY_SUBSCRIPTION", 4, 10, 6)
        found = self.steps(self.SUBSCRIBED, other, self.RESERVED, ("IMPORT_CAPACITY_RESERVATION", 2, 1, 1))
        assert found == [(0.0, 2.0, 7.0), (2.0, 3.0, 8.0), (3.0, 4.0, 11.0), (4.0, 5.0, 10.0), (5.0, 14.0, 6.0)]

    def test_a_reservation_alone_says_nothing_and_what_is_over_is_gone(self) -> None:
        assert self.steps(self.RESERVED) == []
        assert self.steps(self.SUBSCRIBED, now_h=11.0) == []

    def test_of_export_stand_apart(self) -> None:
        assert self.steps(("EXPORT_CAPACITY_SUBSCRIPTION", 0, 1, 3)) == [(0.0, 1.0, 3.0)]
        assert len(self.steps(self.SUBSCRIBED, ("EXPORT_CAPACITY_SUBSCRIPTION", 0, 10, 3))) == 2


class TestWanted:
    """Reports of usage that events ask for."""

    def ends(self, frequency: int, told_h: float, now_h: float, duration: str = "PT1H") -> list[float]:
        one = event(
            interval(0, 5), interval(1, 5), interval(2, 5),
            intervalPeriod={"start": at(), "duration": duration},
            reportDescriptors=[{"payloadType": "USAGE", "units": "KWH", "frequency": frequency}],
        )  # fmt: skip
        (wanted,) = understood(one, READING, T0_S).wanted
        spans = due(wanted, T0_S + told_h * HOUR_S, T0_S + now_h * HOUR_S)
        return [(span.end_s - T0_S) / HOUR_S for span in spans]

    def test_one_for_each_interval_that_has_ended(self) -> None:
        assert self.ends(1, 0.0, 0.9) == []
        assert self.ends(1, 0.0, 2.5) == [1.0]
        assert self.ends(1, 1.0, 2.5) == [2.0]
        assert self.ends(1, 2.0, 2.5) == []

    def test_for_so_many_intervals_together_and_the_rest_at_the_end(self) -> None:
        assert self.ends(2, 0.0, 1.5) == []
        assert self.ends(2, 0.0, 2.0) == [1.0, 2.0]
        assert self.ends(2, 2.0, 3.0) == [3.0]

    def test_for_all_of_them_at_the_end(self) -> None:
        assert self.ends(-1, 0.0, 2.9) == []
        assert self.ends(-1, 0.0, 3.0) == [1.0, 2.0, 3.0]

    def test_of_one_that_never_ends_for_each_quarter_of_an_hour(self) -> None:
        assert self.ends(-1, 0.0, 0.2, duration="P9999Y") == []
        assert self.ends(-1, 0.0, 0.3, duration="P9999Y") == [0.25]
        assert self.ends(2, 0.25, 0.6, duration="P9999Y") == []
        assert self.ends(2, 0.25, 0.8, duration="P9999Y") == [0.5, 0.75]

    @pytest.mark.parametrize("more", [{"payloadType": "X"}, {"historical": False}, {"units": "THERM"}])
    def test_what_we_cannot_tell_is_left_alone(self, more: dict[str, Any]) -> None:
        one = event(interval(0, 5), reportDescriptors=[{"payloadType": "USAGE", "units": "KWH", **more}])
        assert understood(one, READING, T0_S).wanted == ()


class TestUsage:
    def test_is_the_power_times_the_time(self) -> None:
        usage = Usage()
        for n in range(61):
            usage.measured(6000.0 if n < 30 else 12_000.0, T0_S + 60.0 * n)
        assert usage.energy_wh(T0_S, T0_S + HOUR_S) == pytest.approx(9000.0)
        assert usage.energy_wh(T0_S + 1785.0, T0_S + 1815.0) == pytest.approx(75.0)

    def test_is_unknown_unless_all_of_it_was_measured(self) -> None:
        usage = Usage()
        assert usage.energy_wh(T0_S, T0_S + 60.0) is None
        usage.measured(6000.0, T0_S + 10.0)
        usage.measured(6000.0, T0_S + 70.0)
        assert usage.energy_wh(T0_S, T0_S + 60.0) is None
        assert usage.energy_wh(T0_S + 10.0, T0_S + 400.0) is None
        usage.measured(6000.0, T0_S + 400.0)
        assert usage.energy_wh(T0_S + 10.0, T0_S + 70.0) is None, "what comes after a gap is another story"


def vars_of(reading: Reading) -> dict[str, Any]:
    return {name: getattr(reading, name) for name in Reading.__dataclass_fields__}


class TestGac:
    """DSO_CPO_INTERFACE-2.1.1 (ElaadNL)."""

    GAC = Reading(**{**vars_of(READING), "is_gac": True})
    GOOD: dict[str, Any] = {  # noqa: RUF012
        "payloadDescriptors": [{"payloadType": LIMIT, "units": "KW"}],
        "intervalPeriod": {"start": at(), "duration": "PT15M"},
    }

    def test_an_event_that_keeps_the_rules(self) -> None:
        one = event(interval(0, 5), interval(1, 6), **self.GOOD)
        assert [limit.power_w for limit in understood(one, self.GAC, T0_S).limits] == [5000.0, 6000.0]

    @pytest.mark.parametrize("name", ["safe mode", "SAFE_MODE", "Safe-Mode"])
    def test_the_safe_mode_event_is_for_when_the_line_is_lost(self, name: str) -> None:
        found = understood(event(interval(0, 5), eventName=name, **self.GOOD), self.GAC, T0_S)
        assert (found.limits, found.is_safe_mode) == ((), True)
        assert [step.power_w for step in failsafe_steps(found.contracts, T0_S)] == [5000.0]
        other = understood(event(interval(0, 5), eventName=name, **self.GOOD), READING, T0_S)
        assert len(other.limits) == 1, "outside the profile it is a name like any other"

    @pytest.mark.parametrize(
        ("intervals", "more", "rule"),
        [
            ([interval(0, 5)], {"payloadDescriptors": None}, "one descriptor"),
            ([interval(0, 5)], {"payloadDescriptors": [{"payloadType": LIMIT, "units": "W"}]}, "one descriptor"),
            ([interval(0, 5)], {"priority": 0}, "priority"),
            ([interval(0, 5, 6)], {}, "one value"),
            ([interval(0, 5, kind="SIMPLE")], {}, "IMPORT_CAPACITY_LIMIT"),
            ([interval(1, 5), interval(1, 6)], {}, "strictly increase"),
            ([interval(0, 5, start=at())], {}, "on the event or on every interval"),
            ([interval(0, 5, start=at()), interval(1, 5)], {"intervalPeriod": None}, "on the event or on every"),
        ],
    )
    def test_an_event_that_breaks_one_is_refused(
        self, intervals: list[dict[str, Any]], more: dict[str, Any], rule: str
    ) -> None:
        with pytest.raises(SourceError, match=rule):
            understood(event(*intervals, **{**self.GOOD, **more}), self.GAC, T0_S)


def test_ten_thousand_events_are_resolved() -> None:
    raw = [
        {
            "id": f"e{n}", "programID": "p", "modificationDateTime": at(-1.0),
            "payloadDescriptors": [{"payloadType": LIMIT, "units": "KW"}],
            "intervalPeriod": {"start": at(n / 100.0), "duration": "PT15M"},
            "intervals": [interval(0, 5)],
        }
        for n in range(10_000)
    ]  # fmt: skip
    found = [understood(Event.model_validate(one), READING, T0_S).limits for one in raw]
    assert [limits[0].start_s for limits in found] == pytest.approx([T0_S + n * 36.0 for n in range(10_000)])
