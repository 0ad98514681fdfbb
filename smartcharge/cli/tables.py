"""What came of a campaign, as tables on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from smartcharge.sim import tables
from smartcharge.sim.campaign import Campaign
from smartcharge.sim.result import FAIRNESS, Result
from smartcharge.sim.runner import UNCONTROLLED

MOST = 20
"""Violations that are listed; the JSON has them all."""


def shown(campaign: Campaign) -> Iterator[RenderableType]:
    """Yield all that there is to say about a campaign, the table by policy first."""
    yield _by_policy(campaign)
    if any(result.policy == UNCONTROLLED for result in campaign.results):
        yield tables.REFERENCE
    if (sentence := tables.foresight(campaign)) is not None:
        yield sentence
    yield f"Fairness is {FAIRNESS}"
    yield from _table("faults", tables.FAULT_COLUMNS, list(tables.fault_rows(campaign)), "bold")
    yield from (words for words in (tables.costs(campaign), tables.unjudged(campaign)) if words is not None)
    for title, rows, style in (
        ("violations", tables.violation_rows(campaign), "bold red"),
        ("not the controller's doing", tables.misbehaviour_rows(campaign), "bold yellow"),
    ):
        cut = f", the first {MOST}" if len(rows) > MOST else ""
        yield from _table(f"{title}: {len(rows)}{cut}", tables.VIOLATION_COLUMNS, rows[:MOST], style)


def _by_policy(campaign: Campaign) -> Table:
    site = campaign.run.settings.site
    table = Table(title=f"{escape(site.name)}, by policy", title_justify="left")
    for title in tables.POLICY_COLUMNS:
        table.add_column(escape(title), justify="left" if title == "policy" else "right")
    for result in campaign.results:
        cells = tables.policy_cells(campaign, result)
        table.add_row(*(Text(cell, style) for cell, style in zip(cells, _styles(result), strict=True)))
    return table


def _styles(result: Result) -> list[str]:
    """Return the style of each cell: green or red where it says how many violations there are."""
    is_violations = [title == "violations" for title in tables.POLICY_COLUMNS]
    if result.policy == UNCONTROLLED:
        return ["dim"] * len(is_violations)
    return [("bold red" if result.violations else "green") if here else "" for here in is_violations]


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], style: str) -> Iterator[Table]:
    if rows:
        table = Table(*columns, title=title, title_justify="left", title_style=style)
        for row in rows:
            table.add_row(*map(escape, row))
        yield table
