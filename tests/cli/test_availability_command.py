from __future__ import annotations

import asyncio
import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from smartcharge.store import open_store
from tests.cli.command_line import Typed
from tests.maintenance.month import BASE, CHARGES, OUTAGES

SITE = """
[site]
id = "row"
name = "Row"
timezone = "UTC"

[[circuits]]
id = "main"
voltage_v = 230
rating_a = 32

[[stations]]
ids = ["a", "b"]
circuit = "main"
wiring = "1-phase"
min_a = 6
max_a = 32
default_a = 6
"""
EXCLUSIONS = """\
subject,since,until,cause,evidence
a,2026-11-10T08:00,2026-11-14T08:00Z,planned-maintenance,W-1
site,2026-11-16T06:00,2026-11-16T09:00,grid-loss,notice of the DSO
a,2026-11-18,2026-12-03,vandalism,police 77
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a site file, its exclusions, and a journal of the month computed by hand."""
    (tmp_path / "row.toml").write_text(SITE)
    (tmp_path / "excused.csv").write_text(EXCLUSIONS)

    async def write() -> None:
        async with open_store(f"sqlite:///{tmp_path / 'row.db'}") as store:
            for event in sorted([*BASE, *OUTAGES, *CHARGES], key=lambda event: event.at_s):
                evse = getattr(event, "evse", None)
                named = event if evse is None else replace(event, evse=evse.partition("/")[0])
                store.journal.append(named)

    asyncio.run(write())
    return tmp_path


class TestAvailability:
    def test_shows_the_month_and_writes_the_year(self, typed: Typed, place: Path) -> None:
        out = {name: place / f"{name}.out" for name in ("csv", "json", "outages", "records")}
        said = typed(
            "availability", place / "row.db", place / "row.toml", "--month", "2026-11",
            "--exclusions", place / "excused.csv",
            *(word for name, path in out.items() for word in (f"--{name}", path)),
        )  # fmt: skip
        assert said.code == 0, said.err
        for words in ("Row, 2026-11", "25650.00", "23220.00", "94.38", "84.38", "44.10", "97.50", "13.50", "50.00"):
            assert words in said.out
        rows = list(csv.DictReader(out["csv"].read_text().splitlines()))
        assert len(rows) == 12 * 3
        (a,) = [row for row in rows if (row["subject"], row["month"]) == ("a", "2026-11")]
        assert (a["nevi_pct"], a["california_pct"], a["nevi_year_pct"]) == ("94.375", "84.375", "99.5377")
        assert {row["nevi_year_pct"] for row in rows if row["month"] == "2025-12"} == {""}, "facts of 2024 are missing"
        found = list(csv.DictReader(out["outages"].read_text().splitlines()))
        assert sum(float(row["minutes"]) for row in found) == 25650
        whole = json.loads(out["json"].read_text())
        assert len(whole["figures"]) == 36
        assert len(whole["outages"]) == len(found) == 5
        assert sum(float(row["outage_min"]) for row in csv.DictReader(out["records"].read_text().splitlines())) == 25650

    def test_exclusions_that_are_wrong_are_all_named(self, typed: Typed, place: Path) -> None:
        (place / "bad.csv").write_text(
            "subject,since,until,cause,evidence\n"
            "c,2026-11-10,2026-11-14,vandalism,x\n"
            "a,soon,2026-11-14,vandalism,x\n"
            "a,2026-11-14,2026-11-10,vandalism,x\n"
            "a,2026-11-10,2026-11-14,gremlins,x\n"
            "a,2026-11-10,2026-11-14,vandalism, \n"
        )
        said = typed("availability", place / "row.db", place / "row.toml", "--exclusions", place / "bad.csv")
        assert said.code == 2
        reasons = ("no EVSE or station 'c'", "'soon' is not a time", "is not after", "'gremlins' is none", "is missing")
        for number, (line, reason) in enumerate(zip(said.err.splitlines(), reasons, strict=True), 2):
            assert f"bad.csv:{number}: " in line
            assert reason in line

    @pytest.mark.parametrize(
        ("words", "reason"),
        [(("--month", "soon"), "is not a month"), (("--exclusions", "none.csv"), "cannot be read")],
    )
    def test_what_cannot_be_understood(self, typed: Typed, place: Path, words: tuple[str, ...], reason: str) -> None:
        said = typed("availability", place / "row.db", place / "row.toml", *words)
        assert said.code == 2
        assert reason in " ".join(said.err.replace("│", " ").split())


class TestFilings:
    def test_the_half_year_of_california(self, typed: Typed, place: Path) -> None:
        out = place / "half.csv"
        said = typed(
            "filing", "california", place / "row.db", place / "row.toml", out, "--half", "2026-H1",
            "--exclusions", place / "excused.csv",
        )  # fmt: skip
        assert (said.code, said.out) == (0, "2 ports, 0 below 97 %, 0 not known\n"), said.err
        rows = list(csv.DictReader(out.read_text().splitlines()))
        assert [(row["port"], row["uptime_pct"], row["meets_97_pct"]) for row in rows] == [
            ("a", "100.0", "True"), ("b", "100.0", "True"),
        ]  # fmt: skip

    def test_the_quarter_of_nevi(self, typed: Typed, place: Path) -> None:
        ports, sessions = place / "ports.csv", place / "sessions.csv"
        said = typed(
            "filing",
            "nevi",
            place / "row.db",
            place / "row.toml",
            ports,
            "--quarter",
            "2026-Q4",
            "--sessions",
            sessions,
        )
        assert (said.code, said.out) == (0, "2 ports, 7 sessions\n"), said.err
        first = next(csv.DictReader(sessions.read_text().splitlines()))
        assert (first["started"], first["ended"]) == ("2026-11-02 08:00:00", "2026-11-02 08:10:00")

    def test_a_half_year_that_is_none(self, typed: Typed, place: Path) -> None:
        said = typed("filing", "california", place / "row.db", place / "row.toml", place / "x.csv", "--half", "2026")
        assert said.code == 2
        assert "'2026' is not a part of a year" in " ".join(said.err.replace("│", " ").split())
