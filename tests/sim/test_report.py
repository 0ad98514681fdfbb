from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import pytest

from smartcharge.sim import chart, report, tables
from smartcharge.sim.campaign import Campaign
from smartcharge.sim.clairvoyant import Hindsight, Optimum, Regret
from smartcharge.sim.result import Toll
from smartcharge.sim.scenario import Fault, FaultKind, Scenario
from tests.sim.campaigns import DAY_S, SETTINGS, START_S, campaign, course, detection, result, violation

MADE_AT = datetime(2025, 2, 1, 12, tzinfo=UTC)
XHTML = "{http://www.w3.org/1999/xhtml}"


def tree_of(one: Campaign) -> ET.Element:
    return ET.fromstring(report.page(one, MADE_AT))


def words(element: ET.Element) -> str:
    return " ".join(" ".join(element.itertext()).split())


def of_class(root: ET.Element, name: str) -> list[ET.Element]:
    return [element for element in root.iter() if name in element.get("class", "").split()]


class TestThePage:
    def test_has_every_policy_in_the_table_and_in_a_picture(self) -> None:
        root = tree_of(campaign(result(), result("edf"), result("uncontrolled", violations=(violation(),))))
        (figures,) = of_class(root, "figures")
        rows = [[words(cell) for cell in row] for row in figures.iter(f"{XHTML}tr")]
        assert [row[0] for row in rows] == ["policy", "optimal", "edf", "uncontrolled"]
        assert rows[1] == [
            "optimal", "87.7", "87.7 %", "-", "9/12", "21.90 EUR", "33.3", "0.987", "91 %", "0", "20", "500", "500",
            "4.2",
        ]  # fmt: skip
        assert rows[3][9:13] == ["1", "-", "-", "-"]
        assert [words(title) for title in root.iter(f"{XHTML}h3")] == ["optimal", "edf", "uncontrolled"]
        assert len(list(root.iter(f"{XHTML}svg"))) == 3

    def test_says_what_better_forecasts_would_bring_and_how_fair_it_was(self) -> None:
        known = Hindsight(
            optimum=Optimum(energy_wh=95_000.0, cost=23.0), regrets={"optimal": Regret(energy_wh=7_346.0, cost=1.5)}
        )
        page = words(tree_of(replace(campaign(result(), result("uncontrolled")), hindsight=known)))
        assert "With everything known beforehand 95.0 kWh (95.0 % of request) could have been delivered" in page
        assert "would bring optimal 7.3 kWh more at most, and save it 1.50 EUR at most" in page
        assert "Fairness (optimal 0.987; uncontrolled 0.987) is Jain's index" in page

    def test_needs_nothing_else(self) -> None:
        page = report.page(campaign(result()), MADE_AT).replace('xmlns="http://www.w3.org/1999/xhtml"', "")
        for outside in ("http", "src=", "href=", "url(", "@import", "<script", "<link"):
            assert outside not in page
        assert "prefers-color-scheme: dark" in page

    def test_is_the_same_for_the_same_results(self) -> None:
        assert report.page(campaign(result()), MADE_AT) == report.page(campaign(result()), MADE_AT)

    def test_takes_any_name_as_text(self) -> None:
        evil = '<script>alert("&")</script>'
        site = replace(SETTINGS.site, name=evil, id=evil)
        found = result(violations=(violation(cause=evil),), detections=(replace(detection(60.0), evidence=evil),))
        one = replace(campaign(found, settings=replace(SETTINGS, site=site)), recording=evil, notes=(evil,))
        assert "<script" not in report.page(one, MADE_AT)
        assert words(tree_of(one)).count(evil) >= 6

    def test_of_a_month_stays_small(self) -> None:
        found = result(series=course(31 * 24), violations=tuple(violation(3600.0 * i) for i in range(700)))
        assert len(report.page(campaign(found, days=31), MADE_AT)) < 300_000


class TestTheVerdict:
    def test_is_good_whatever_happens_without_a_controller(self) -> None:
        root = tree_of(campaign(result(), result("uncontrolled", violations=(violation(),))))
        assert "No rating, no limit and no invariant" in words(of_class(root, "verdict")[0])
        assert tables.REFERENCE in words(root)
        assert "Violations:" not in words(root)

    def test_counts_violations_and_lists_them_with_time_circuit_phase_amount_and_cause(self) -> None:
        root = tree_of(campaign(result(), result("edf", violations=(violation(), violation(7200.0)))))
        assert words(of_class(root, "verdict")[0]).startswith("2 violations")
        assert "Violations: 2" in words(root)
        assert "edf 2025-01-06 01:00:00 60 s north L2 3.2 A 40.0 A rating" in words(root)

    def test_sets_apart_what_is_not_the_controllers_doing(self) -> None:
        root = tree_of(campaign(result(misbehaviour=(violation(cause="rating, with n0"),))))
        assert "No rating" in words(of_class(root, "verdict")[0])
        assert "Not the controller's doing: 1" in words(root)


class TestFaults:
    SCENARIO = Scenario(
        faults=tuple(Fault(kind=FaultKind.STATION_SILENT, at=time(1), duration_s=60.0) for _ in range(3))
    )

    def test_are_listed_with_how_they_were_noticed_and_what_was_not_judged(self) -> None:
        found = result(detections=(detection(7200.0), detection(3600.0, None)))
        root = tree_of(campaign(found, result("uncontrolled"), scenario=self.SCENARIO))
        assert "optimal station-silent n0 2025-01-06 01:00:00 never" in words(root)
        assert "optimal station-silent n0 2025-01-06 02:00:00 30 s Unanswered" in words(root)
        assert "1 fault(s) came too late" in words(root)
        assert len(of_class(root, "fault")) == 2

    def test_are_listed_with_what_they_cost(self) -> None:
        one, other = detection(3600.0, kind="fan"), detection(7200.0)
        toll = Toll(kind="fan", target="n0", planted_s=one.planted_s, lost_wh=1_250.0, if_blocked_wh=5_000.0,
                    if_ignored_wh=20_000.0)  # fmt: skip
        root = tree_of(campaign(result(detections=(one, other), tolls=(toll,)), scenario=self.SCENARIO))
        assert "optimal fan n0 2025-01-06 01:00:00 30 s Unanswered 1.2 5.0 20.0" in words(root)
        assert "optimal station-silent n0 2025-01-06 02:00:00 30 s Unanswered - - -" in words(root)
        assert "1.2 kWh derated, 5.0 kWh had each been blocked" in words(root)


class TestThePicture:
    def svg(self, **changes: Any) -> ET.Element:
        one = result(**changes)
        scale = chart.scale_of([one], START_S, START_S + DAY_S, ZoneInfo("UTC"))
        return ET.fromstring(chart.picture(one, scale))

    def test_shows_a_peak_and_a_dip_of_one_minute_in_a_month(self) -> None:
        quiet = course(31 * 24)
        spot = len(quiet.at_s) // 2 + 1
        power_w = (*quiet.power_w[:spot], 39_000.0, *quiet.power_w[spot + 1 :])
        limit_w = (*quiet.limit_w[:spot], 20_000.0, *quiet.limit_w[spot + 1 :])
        one = result(series=replace(quiet, power_w=power_w, limit_w=limit_w))
        scale = chart.scale_of([one], START_S, START_S + 31 * DAY_S, ZoneInfo("UTC"))
        svg = ET.fromstring(chart.picture(one, scale))
        assert f",{scale.power_y(39_000.0):.1f}" in of_class(svg, "power")[0].attrib["d"]
        assert f"V{scale.power_y(20_000.0):.1f}" in of_class(svg, "limit")[0].attrib["d"]

    def test_marks_violations_where_they_are_once_a_pixel(self) -> None:
        many = tuple(violation(43_200.0 + i, 1.0) for i in range(5))
        marks = of_class(self.svg(violations=(*many, violation(0.0)), misbehaviour=(violation(60.0),)), "violation")
        assert [mark.attrib["x"] for mark in marks] == ["540", "52"]
        assert words(marks[0]) == "north L2 rating, 3.2 A above and 4 more"

    def test_of_a_run_without_a_sample_is_empty_and_sound(self) -> None:
        nothing = course(0)
        svg = self.svg(series=nothing)
        assert of_class(svg, "power")[0].attrib["d"] == ""

    @pytest.mark.parametrize(
        ("start", "hours", "first", "count"),
        [("2025-01-06", 24, "00:00", 13), ("2025-03-30", 23, "00:00", 12), ("2025-01-06", 168, "Mon 06", 7)],
    )
    def test_names_hours_or_days_by_the_clock_of_the_site(self, start: str, hours: int, first: str, count: int) -> None:
        zone = ZoneInfo("Europe/Amsterdam")
        start_s = datetime.fromisoformat(start).replace(tzinfo=zone).timestamp()
        scale = chart.scale_of([], start_s, start_s + timedelta(hours=hours).total_seconds(), zone)
        one = result(series=course(0))
        texts = [words(text) for text in ET.fromstring(chart.picture(one, scale)).iter("text")]
        times = [text for text in texts if re.fullmatch(r"\d\d:\d\d|[A-Z][a-z]{2} \d\d", text)]
        assert (times[0], len(times)) == (first, count)

    @pytest.mark.parametrize(("power_w", "top_w"), [(0.0, 1000.0), (9_700.0, 15_000.0), (340_000.0, 400_000.0)])
    def test_has_a_scale_of_round_numbers_with_room_for_all(self, power_w: float, top_w: float) -> None:
        series = replace(course(1), power_w=(power_w,) * 60, limit_w=(0.0,) * 60)
        assert chart.scale_of([result(series=series)], START_S, START_S + 3600.0, ZoneInfo("UTC")).top_w == top_w
