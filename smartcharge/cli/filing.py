"""``smartcharge filing``: the files that authorities ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from smartcharge.cli.availability import write_csv
from smartcharge.cli.console import stored, writable
from smartcharge.config import load
from smartcharge.maintenance import filings
from smartcharge.maintenance.exclusions import read_exclusions
from smartcharge.maintenance.filings import Part
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.report import Evidence
from smartcharge.ports import Kept
from smartcharge.sim.tables import local
from smartcharge.store import open_store

app = typer.Typer(
    help="Files that authorities ask for, from the facts of the journal; docs/availability.md has the definitions.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
Journal = Annotated[str, typer.Argument(metavar="JOURNAL", help="Database file, or its URL as in the site file.")]
SiteFile = Annotated[Path, typer.Argument(metavar="SITE", help="Site file (TOML).")]
Out = Annotated[Path, typer.Argument(metavar="OUT", callback=writable, help="File to write (CSV).")]
Excused = Annotated[
    Path | None, typer.Option("--exclusions", metavar="FILE", help="CSV of outages that do not count, with evidence.")
]


@app.command()
def california(
    journal: Journal,
    site: SiteFile,
    out: Out,
    *,
    half: Annotated[str, typer.Option(metavar="YYYY-H1", help="The half year.")],
    exclusions: Excused = None,
) -> None:
    """Write the half-yearly file of California: the uptime of each port, and whether it is 97 %.

    Example: `smartcharge filing california smartcharge.db sites/hub.toml uptime.csv --half 2026-H2`
    """
    evidence, _ = _evidence(journal, site, exclusions)
    rows = list(filings.california(evidence, _part(half, "H")))
    write_csv(out, rows)
    unknown = sum(row["uptime_pct"] is None for row in rows)
    typer.echo(
        f"{len(rows)} ports, {sum(row['meets_97_pct'] is False for row in rows)} below 97 %, {unknown} not known"
    )


@app.command()
def nevi(  # noqa: PLR0913 - one parameter an option
    journal: Journal,
    site: SiteFile,
    out: Out,
    *,
    quarter: Annotated[str, typer.Option(metavar="YYYY-Q1", help="The quarter.")],
    sessions: Annotated[Path, typer.Option(metavar="OUT", callback=writable, help="Write its sessions (CSV).")],
    exclusions: Excused = None,
) -> None:
    """Write the quarterly files of NEVI: the uptime of each port over twelve months, and every session.

    Example: `smartcharge filing nevi smartcharge.db sites/hub.toml ports.csv --quarter 2026-Q4 --sessions sessions.csv`
    """
    evidence, facts = _evidence(journal, site, exclusions)
    part = _part(quarter, "Q")
    zone = ZoneInfo(evidence.place.timezone)
    rows = list(filings.nevi_ports(evidence, part))
    each = [_timed(row, zone) for row in filings.nevi_sessions(evidence, facts, part)]
    write_csv(out, rows)
    write_csv(sessions, each)
    typer.echo(f"{len(rows)} ports, {len(each)} sessions")


def _timed(row: Mapping[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    """Return a row with its times by the site's clock."""
    times = {name for name in row if name.endswith("_s")}
    return {
        name.removesuffix("_s") if name in times else name: local(value, zone) if name in times and value else value
        for name, value in row.items()
    }


def _part(words: str, kind: str) -> Part:
    try:
        return Part.parse(words, kind)
    except ValueError as error:
        raise typer.BadParameter(f"{words!r} is not a part of a year such as 2026-{kind}1") from error


def _evidence(journal: str, site: Path, exclusions: Path | None) -> tuple[Evidence, list[Kept]]:
    place = Place.of(load(site).site)
    excused = () if exclusions is None else read_exclusions(exclusions, place)

    async def read() -> list[Kept]:
        async with open_store(stored(journal)) as store:
            return await store.chronicle.facts()

    facts = asyncio.run(read())
    return Evidence.of(place, facts, excused), facts
