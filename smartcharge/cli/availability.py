"""``smartcharge availability``: how available a site was, by month, and what every minute of outage is traced to."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

import typer
from rich.markup import escape
from rich.table import Table

from smartcharge.cli.console import answers, stored, writable
from smartcharge.config import load
from smartcharge.maintenance import report
from smartcharge.maintenance.exclusions import read_exclusions
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.report import Evidence, Line, Month, Outage
from smartcharge.ports import Kept
from smartcharge.sim.tables import local
from smartcharge.store import open_store

SHOWN: Final = {
    "nevi_outage_min": "outage min",
    "nevi_excluded_min": "excluded min",
    "unknown_min": "unknown min",
    "nevi_pct": "NEVI %",
    "nevi_year_pct": "NEVI 12 months %",
    "california_pct": "California %",
    "afirev_pct": "AFIREV %",
    "failures": "failures",
    "mtbf_h": "MTBF h",
    "mttr_h": "MTTR h",
    "starts": "starts",
    "session_success_pct": "sessions ok %",
    "start_success_pct": "starts ok %",
}
"""What the table has of the cells of a line; the CSV and the JSON have them all."""

MonthOption = Annotated[
    str | None, typer.Option(metavar="YYYY-MM", help="The last month; the last whole one in the journal unless said.")
]
MonthsOption = Annotated[int, typer.Option(min=1, max=120, help="How many months, in the CSV and the JSON.")]


def availability(  # noqa: PLR0913 - one parameter an option
    journal: Annotated[str, typer.Argument(metavar="JOURNAL", help="Database file, or its URL as in the site file.")],
    site: Annotated[Path, typer.Argument(metavar="SITE", help="Site file (TOML).")],
    *,
    month: MonthOption = None,
    months: MonthsOption = 12,
    exclusions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV of outages that do not count, with their evidence.")
    ] = None,
    csv_out: Annotated[
        Path | None, typer.Option("--csv", metavar="OUT", callback=writable, help="Write the figures.")
    ] = None,
    json_out: Annotated[
        Path | None, typer.Option("--json", metavar="OUT", callback=writable, help="Write figures and outages.")
    ] = None,
    outages_out: Annotated[
        Path | None, typer.Option("--outages", metavar="OUT", callback=writable, help="Write each outage (CSV).")
    ] = None,
    records_out: Annotated[
        Path | None, typer.Option("--records", metavar="OUT", callback=writable, help="Write 15-minute records (CSV).")
    ] = None,
) -> None:
    """Show how available each port was in a month, by the definitions of NEVI, California and AFIREV.

    Every minute of outage stands in the outages, with the facts of the journal that began and ended it. A figure for
    which facts are missing stays empty: docs/availability.md has the definitions.

    Example: `smartcharge availability smartcharge.db sites/depot.toml --month 2026-10 --csv figures.csv`
    """
    place = Place.of(load(site).site)
    zone = ZoneInfo(place.timezone)
    excused = () if exclusions is None else read_exclusions(exclusions, place)
    facts = asyncio.run(_facts(stored(journal)))
    evidence = Evidence.of(place, facts, excused)
    last = parsed(month) if month is not None else Month.before(max((f.event.at_s for f in facts), default=0.0), zone)
    wanted = [last.earlier(n) for n in reversed(range(months))]
    lines = [line for one in wanted for line in report.lines(evidence, one)]
    span = wanted[0].span(zone)._replace(until_s=last.span(zone).until_s)
    found = list(report.outages(evidence, span))
    if csv_out is not None:
        write_csv(csv_out, [report.cells(line) for line in lines])
    if outages_out is not None:
        write_csv(outages_out, [outage_cells(outage, zone) for outage in found])
    if records_out is not None:
        write_csv(records_out, _records(evidence, last, zone))
    if json_out is not None:
        whole = {
            "figures": [report.cells(line) for line in lines],
            "outages": [outage_cells(outage, zone) for outage in found],
        }
        json_out.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    answers().print(figures([line for line in lines if line.month == str(last)], f"{place.name}, {last}"))


async def _facts(url: str) -> list[Kept]:
    async with open_store(url) as store:
        return await store.chronicle.facts()


def parsed(month: str) -> Month:
    """Return a month by its name; raises typer.BadParameter."""
    try:
        return Month.parse(month)
    except ValueError as error:
        raise typer.BadParameter(f"{month!r} is not a month such as 2026-10") from error


def figures(lines: Iterable[Line], title: str) -> Table:
    """Return the figures of one month as a table; what is not known stays empty."""
    table = Table(title=escape(title), title_justify="left")
    table.add_column("")
    for words in SHOWN.values():
        table.add_column(words, justify="right")
    for line in lines:
        cells = report.cells(line)
        style = None if line.kind == "port" else "bold"
        table.add_row(escape(line.subject), *(_shown(cells[name]) for name in SHOWN), style=style)
    return table


def _shown(value: float | str | None) -> str:
    return "" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def outage_cells(outage: Outage, zone: ZoneInfo) -> dict[str, Any]:
    """Return an outage as names and plain values."""
    return {
        "site": outage.site,
        "port": outage.port,
        "since": local(outage.span.since_s, zone),
        "until": local(outage.span.until_s, zone),
        "minutes": round(outage.span.length_s / 60.0, 2),
        "excluded_min": round(outage.excluded_s / 60.0, 2),
        "causes": "; ".join(outage.causes),
        "facts": " ".join(map(str, outage.facts)),
        "evidence": "; ".join(outage.evidence),
    }


def _records(evidence: Evidence, month: Month, zone: ZoneInfo) -> list[dict[str, Any]]:
    return [
        {"port": port, "begin": local(at_s, zone), "outage_min": out_s / 60.0, "unknown_min": unknown_s / 60.0}
        for port, at_s, out_s, unknown_s in report.quarter_hours(evidence, month.span(zone))
    ]


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows that all have the same names; a value that is None becomes an empty cell."""
    with path.open("w", encoding="utf-8", newline="") as file:
        if rows:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
