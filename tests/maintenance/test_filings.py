"""The half year of California and the quarter of NEVI, from the month that was computed by hand."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from smartcharge.events import FaultRaised
from smartcharge.maintenance.filings import Part, california, nevi_ports, nevi_sessions
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.report import Evidence
from smartcharge.maintenance.spans import Span
from tests.maintenance.month import BASE, CHARGES, EXCLUSIONS, OUTAGES, SITE, B, at, told

CODE = FaultRaised(at_s=at(2, 9) + 30.0, evse=B, code="OtherError", vendor_code="CX009")
FACTS = told([*BASE, *OUTAGES, *CHARGES, CODE])
EVIDENCE = Evidence.of(Place.of(SITE), FACTS, EXCLUSIONS)


class TestPartsOfAYear:
    def test_are_read_and_lie_where_the_site_is(self) -> None:
        half = Part.parse("2026-H2", "H")
        assert half.span(ZoneInfo("UTC")) == Span(at(1, month=7), at(1, month=1, year=2027))
        assert Part.parse("2026-Q1", "Q").span(ZoneInfo("UTC")) == Span(at(1, month=1), at(1, month=4))
        assert half.span(ZoneInfo("America/Los_Angeles")).since_s == at(1, 7, month=7)
        assert str(half) == "2026-H2"

    @pytest.mark.parametrize("words", ["2026-H3", "2026-Q1", "26-H1", "2026H1", "2026-H", "2026-H0"])
    def test_what_is_none(self, words: str) -> None:
        with pytest.raises(ValueError, match=words):
            Part.parse(words, "H")


class TestCalifornia:
    def test_a_half_year_without_an_outage(self) -> None:
        rows = {row["port"]: row for row in california(EVIDENCE, Part.parse("2026-H1", "H"))}
        assert rows["a/1"]["total_min"] == 181 * 1440
        assert (rows["a/1"]["uptime_pct"], rows["a/1"]["meets_97_pct"], rows["a/1"]["outages"]) == (100.0, True, 0)

    def test_the_half_year_of_the_month_computed_by_hand(self) -> None:
        """December is known for two days only, in which the vandalised port is down beyond its ten days."""
        row = {row["port"]: row for row in california(EVIDENCE, Part.parse("2026-H2", "H"))}["a/1"]
        assert row["outage_min"] == 150 + 2160 + 5760 + 300 + 17280 + 2 * 1440
        assert row["excluded_min"] == 72 * 60 + 180 + 10 * 1440
        assert row["unknown_min"] == 28 * 1440
        assert (row["uptime_pct"], row["meets_97_pct"]) == (None, None), "what nobody saw is not guessed"
        total_min = 184 * 1440
        counted = row["outage_min"] - row["excluded_min"]
        assert row["most_pct"] == pytest.approx(100.0 * (total_min - counted) / total_min, abs=1e-4)
        assert row["least_pct"] == pytest.approx(100.0 * (total_min - counted - 28 * 1440) / total_min, abs=1e-4)
        assert row["outages"] == 5
        assert row["evidence"] == "planned-maintenance: W-1; grid-loss: notice of the DSO; vandalism: police 77"


class TestNevi:
    def test_uptime_over_the_year_that_ends_with_the_quarter(self) -> None:
        row = {row["port"]: row for row in nevi_ports(EVIDENCE, Part.parse("2026-Q3", "Q"))}["a/1"]
        assert (row["total_min"], row["outage_min"], row["uptime_pct"]) == (525_600, 0, 100.0)
        later = {row["port"]: row for row in nevi_ports(EVIDENCE, Part.parse("2026-Q4", "Q"))}["a/1"]
        assert later["excluded_min"] == 5760 + 180 + 17280 + 2 * 1440
        assert later["uptime_pct"] is None

    def test_every_session_with_what_went_wrong(self) -> None:
        rows = list(nevi_sessions(EVIDENCE, FACTS, Part.parse("2026-Q4", "Q")))
        assert [row["session"] for row in rows] == ["1", "2", "3", "4", "5", "6", "7"]
        second, fourth = rows[1], rows[3]
        assert (second["port"], second["energy_kwh"], second["outcome"]) == ("b/1", 0.1, "failure")
        assert (second["error_codes"], second["reason"]) == ("CX009", "Other")
        assert (fourth["ended_s"], fourth["energy_kwh"], fourth["outcome"]) == (None, None, "unknown")
        assert list(nevi_sessions(EVIDENCE, FACTS, Part.parse("2026-Q3", "Q"))) == []
