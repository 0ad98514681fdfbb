"""The page on faults is the table as built."""

from __future__ import annotations

from pathlib import Path

from smartcharge.control.health.rules import TABLE
from smartcharge.control.health.table import page
from smartcharge.faults import Cause

DOCS = Path(__file__).parents[2] / "docs" / "faults.md"


def test_the_page_is_current() -> None:
    """If this fails: smartcharge faults > docs/faults.md."""
    assert DOCS.read_text(encoding="utf-8") == page()


def test_every_cause_has_one_row() -> None:
    assert [rule.cause for rule in TABLE] == list(dict.fromkeys(rule.cause for rule in TABLE))
    assert {rule.cause for rule in TABLE} == set(Cause)
