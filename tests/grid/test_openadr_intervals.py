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
from smartcharge.grid.openadr.durations import FOREVER, duration_of
from smartcharge.grid.openadr.intervals import AHEAD_S, windows
from smartcharge.grid.openadr.limits import Reading, price_steps, understood
from smartcharge.grid.openadr.messages import NAIVE_IS_UTC, Event
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

    def test_prices_of_even_steps_are_a_tariff(self) -> None:
        period = {"start": at(), "duration": "PT1H"}
        one = event(interval(0, 0.3, 0.2, kind="PRICE"), interval(1, 0.1, 0.4, kind="PRICE"), intervalPeriod=period)
        found = understood(one, READING, T0_S).prices
        assert price_steps(found) == (T0_S, 1800.0, (0.3, 0.2, 0.1, 0.4))
        assert price_steps(found[:1] + found[2:]) is None
        assert price_steps(()) is None


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

    @pytest.mark.parametrize(
        ("intervals", "more", "rule"),
        [
            ([interval(0, 5)], {"payloadDescriptors": None}, "one descriptor"),
            ([interval(0, 5)], {"payloadDescriptors": [{"payloadType": LIMIT, "units": "W"}]}, "one descriptor"),
            ([interval(0, 5)], {"priority": 0}, "priority"),
            ([interval(0, 5, 6)], {}, "one value"),
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
