from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from smartcharge.config import load
from smartcharge.events import (
    Event,
    FaultCleared,
    FaultRaised,
    Plugged,
    SelfTest,
    SelfTested,
    StationOnline,
    TransactionEnded,
    TransactionStarted,
    Unplugged,
)
from smartcharge.faults import Cause as FaultCause
from smartcharge.faults import Priority
from smartcharge.maintenance.ports import Place
from smartcharge.model import EvseId, StationId
from smartcharge.store import open_store
from tests.cli.command_line import Typed
from tests.maintenance.month import BASE, CHARGES, OUTAGES, at, needed

S1 = EvseId("s-1")


@pytest.fixture
def journal(site_file: Path) -> Path:
    return site_file.with_name("yard.db")


def happens(journal: Path, events: Sequence[Event]) -> None:
    async def write() -> None:
        async with open_store(f"sqlite:///{journal}") as store:
            for event in events:
                store.journal.append(event)

    asyncio.run(write())


class TestAFault:
    def test_from_the_call_to_the_signature(
        self, typed: Typed, site_file: Path, journal: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in ("cli.work", "maintenance.clerk"):
            monkeypatch.setattr(f"smartcharge.{module}.now_s", lambda: 5000.0)
        happens(
            journal,
            [
                FaultRaised(at_s=1000.0, evse=S1, code="PowerSwitchFailure"),
                needed(FaultCause.CONTACTOR_WELDED, 1000.0, "evse s-1", Priority.P1),
            ],
        )
        assert "1 lines written" in typed("work", "faults", journal, site_file).out
        assert "0 lines written" in typed("work", "faults", journal, site_file).out
        listed = typed("work", "list", journal, site_file).out
        assert "repair contactor-welded" in listed
        assert "P1" in listed
        for words in (
            ("assign", journal, 1, "--by", "kim", "--team", "north", "--to", "bo"),
            ("status", journal, 1, "IN_PROGRESS", "--by", "bo"),
            ("note", journal, 1, "welded", "--part", "contactor 40 A", "--by", "bo"),
        ):
            said = typed("work", *words)
            assert said.code == 0, said.err
        done = ("work", "complete", journal, 1, "--by", "bo", "--signature", "B. Vos")
        refused = typed(*done)
        assert refused.code == 2
        assert "contactor-welded at s-1 still stands" in refused.err
        happens(
            journal,
            [
                FaultCleared(at_s=2000.0, evse=S1, code="PowerSwitchFailure"),
                TransactionStarted(at_s=2100.0, evse=S1, transaction_id="t", meter_wh=0.0),
                TransactionEnded(at_s=2900.0, evse=S1, transaction_id="t", meter_wh=900.0, reason="Local"),
            ],
        )
        repaired = typed("work", "repaired", journal, 1, "new contactor", "--part", "contactor 40 A", "--by", "bo")
        assert repaired.out == "work order 1: to be tried\n"
        assert typed(*done).code == 0
        shown = json.loads(typed("work", "show", journal, 1).out)
        assert (shown["status"], shown["evidence"], shown["team"]) == ("COMPLETE", [3, 4], "north")
        assert [line["what"] for line in shown["audit"]] == [
            "Raised", "Assigned", "StatusSet", "Noted", "Repaired", "Completed",
        ]  # fmt: skip
        assert "repair" not in typed("work", "list", journal, site_file).out
        out = journal.with_suffix(".csv")
        typed("work", "list", journal, site_file, "--all", "--csv", out)
        (row,) = csv.DictReader(out.read_text().splitlines())
        assert (row["number"], row["completed_by"], row["signature"], row["compliant"]) == ("1", "bo", "B. Vos", "True")


class TestByHand:
    def test_raised_completed_and_opened_again(self, typed: Typed, site_file: Path, journal: Path) -> None:
        happens(journal, [])
        raised = typed(
            "work", "raise", journal, site_file, "--title", "new [cable]", "--asset", "s-2", "--by", "kim",
            "--due", "2026-01-01T12:00", "--request", "mail 7",
        )  # fmt: skip
        assert raised.out == "work order 1: OPEN: new [cable]\n"
        assert "2026-01-01 12:00:00" in typed("work", "list", journal, site_file).out
        assert typed("work", "complete", journal, 1, "--by", "kim", "--signature", "K").code == 0
        assert typed("work", "status", journal, 1, "OPEN", "--by", "kim", "--reason", "loose").code == 0
        assert json.loads(typed("work", "show", journal, 1).out)["status"] == "OPEN"

    @pytest.mark.parametrize(
        ("words", "reason"),
        [
            (("show", "J", 7), "there is no work order 7"),
            (("note", "J", 7, "x", "--by", "k"), "there is no work order 7"),
            (("raise", "J", "S", "--title", "x", "--asset", "s-9", "--by", "k"), "no EVSE or station 's-9'"),
            (("raise", "J", "S", "--title", "x", "--asset", "s-1", "--by", "k", "--due", "soon"), "is not a time"),
        ],
    )
    def test_what_cannot_be_done(
        self, typed: Typed, site_file: Path, journal: Path, words: tuple[object, ...], reason: str
    ) -> None:
        happens(journal, [])
        said = typed("work", *({"J": journal, "S": site_file}.get(str(word), word) for word in words))
        assert said.code == 2
        assert reason in " ".join(said.err.replace("│", " ").split())


class TestNetwork:
    def deliver(self, site_file: Path, url: str, site: str, events: Sequence[Event]) -> None:
        place = replace(Place.of(load(site_file).site), id=site)

        async def write() -> None:
            async with open_store(f"sqlite:///{site_file.with_name(f'{site}.db')}") as store:
                for event in events:
                    store.journal.append(event)
                await store.journal.flush()
                await store.mirror(site, place.written(), url).deliver()

        asyncio.run(write())

    def test_reports_over_all_sites(self, typed: Typed, site_file: Path, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'network.db'}"
        story = sorted([*BASE, *OUTAGES, *CHARGES], key=lambda event: event.at_s)
        named = [rename(event) for event in story]
        both = [StationOnline(at_s=BASE[0].at_s, station=StationId(f"s-{n}")) for n in range(1, 5)]
        self.deliver(site_file, url, "north", [BASE[0], *both, *named[1:]])
        self.deliver(site_file, url, "south", [BASE[0], *both, BASE[-1]])
        out = tmp_path / "network.json"
        said = typed("network", url, "--month", "2026-11", "--months", "1", "--json", out)
        assert said.code == 0, said.err
        for words in ("2 sites, 2026-11", "north", "south", "25590.00"):
            assert words in said.out
        figures = {row["subject"]: row for row in json.loads(out.read_text())["figures"]}
        assert figures["2 sites"]["nevi_outage_min"] == 25590.0
        total_min = 2 * 4 * (30 * 1440)  # by the site's clock November ends an hour earlier
        assert figures["2 sites"]["nevi_pct"] == pytest.approx(100.0 * (1.0 - 25590 / total_min), abs=1e-4)

    def test_nobody_has_delivered(self, typed: Typed, tmp_path: Path) -> None:
        said = typed("network", f"sqlite:///{tmp_path / 'empty.db'}")
        assert said.code == 2
        assert "no site has delivered" in " ".join(said.err.replace("│", " ").split())


def rename(event: Event) -> Event:
    """The same at the stations of the yard: a is s-1, b is s-2."""
    names = {"a": "s-1", "b": "s-2", "a/1": "s-1", "b/1": "s-2"}
    evse, station = getattr(event, "evse", None), getattr(event, "station", None)
    if evse is not None:
        return replace(event, evse=names[evse])  # type: ignore[arg-type]
    return event if station is None else replace(event, station=names[station])  # type: ignore[arg-type]


class TestPlans:
    PLANS = '[[plans]]\nid = "look"\ntitle = "a look"\nevery_days = 30\nafter = ["flood"]\nchecklist = ["cable"]\n'

    def test_are_raised_shown_and_done(self, typed: Typed, site_file: Path, journal: Path, tmp_path: Path) -> None:
        plans = tmp_path / "plans.toml"
        plans.write_text(self.PLANS)
        happens(journal, [StationOnline(at_s=1000.0, station=StationId("s-1"))])
        shown = typed("work", "plans", journal, site_file, plans)
        assert "1 overdue; none done yet" in shown.out, shown.err
        done = ("work", "complete", journal, 1, "--by", "bo", "--signature", "B. Vos")
        assert "not done of its checklist: cable" in typed(*done).err
        assert typed(*done, "--done", "cable").code == 0
        assert "0 overdue; 0.0 % done in time" in typed("work", "plans", journal, site_file, plans).out
        raised = typed("work", "event", journal, site_file, plans, "flood", "--by", "kim")
        assert raised.out == "4 work orders raised\n"
        assert typed("work", "event", journal, site_file, plans, "ufo", "--by", "kim").code == 2


class TestSelfTests:
    def test_the_last_of_each_and_the_answer(self, typed: Typed, site_file: Path, journal: Path) -> None:
        def tested(at_s: float, *, passed: bool) -> SelfTested:
            words = "10.0 A, told 6.7 A: 10.0 A"
            return SelfTested(at_s=at_s, subject="evse s-1", test=SelfTest.SETPOINT, passed=passed, detail=words)

        happens(journal, [tested(1000.0, passed=False)])
        failed = typed("work", "tests", journal, site_file)
        assert (failed.code, "told 6.7 A" in failed.out) == (1, True)
        happens(journal, [tested(2000.0, passed=True)])
        assert typed("work", "tests", journal, site_file).code == 0


class TestWindows:
    NOW_S = at(11)

    def test_are_shown_and_written_into_the_work_orders(
        self, typed: Typed, site_file: Path, journal: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in ("cli.work", "cli.work_ahead"):
            monkeypatch.setattr(f"smartcharge.{module}.now_s", lambda: self.NOW_S)
        begun = [self.NOW_S - day * 86400.0 + 8 * 3600.0 for day in range(15, 0, -1)]
        happens(journal, [event for at_s in begun for event in self.charged(at_s)])
        typed("work", "raise", journal, site_file, "--title", "clean", "--asset", "s-1", "--by", "kim")
        out = journal.with_suffix(".csv")
        asked = ("work", "windows", journal, site_file, "--from", "07:00", "--until", "17:00", "--csv", out)
        said = typed(*asked, "--write", "--by", "kim")
        assert said.code == 0, said.err
        (row,) = csv.DictReader(out.read_text().splitlines())
        assert (row["order"], row["asset"], row["risk_kwh"], row["load_kw"]) == ("1", "s-1", "0.0", "0.0")
        shown = json.loads(typed("work", "show", journal, 1).out)
        assert shown["planned_until_s"] - shown["planned_since_s"] == 3600.0
        assert shown["planned_since_s"] > self.NOW_S

    def charged(self, at_s: float) -> list[Event]:
        name = str(at_s)
        return [
            Plugged(at_s=at_s, evse=S1),
            TransactionStarted(at_s=at_s, evse=S1, transaction_id=name, meter_wh=0.0),
            TransactionEnded(at_s=at_s + 7200.0, evse=S1, transaction_id=name, meter_wh=9000.0, reason="Local"),
            Unplugged(at_s=at_s + 7200.0, evse=S1),
        ]

    def test_too_little_is_known(self, typed: Typed, site_file: Path, journal: Path) -> None:
        happens(journal, [])
        typed("work", "raise", journal, site_file, "--title", "clean", "--asset", "s-1", "--by", "kim")
        said = typed("work", "windows", journal, site_file)
        assert said.code == 2
        assert "facts of a week at least" in said.err
