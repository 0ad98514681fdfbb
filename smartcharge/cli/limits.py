"""``smartcharge limits``: what became of every grid limit, as the journal proves it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.markup import escape
from rich.table import Table

from smartcharge.cli.console import answers, stored, writable
from smartcharge.config import load
from smartcharge.control.records import Key, Record
from smartcharge.control.state import apply
from smartcharge.model import GridLimit, Scope, Site
from smartcharge.sim.tables import local
from smartcharge.store import open_store


def limits(
    journal: Annotated[str, typer.Argument(metavar="JOURNAL", help="Database file, or its URL as in the site file.")],
    site: Annotated[Path, typer.Argument(metavar="SITE", help="Site file (TOML).")],
    *,
    json_out: Annotated[
        Path | None, typer.Option("--json", metavar="OUT", callback=writable, help="Write the records.")
    ] = None,
) -> None:
    """Show what became of every grid limit that the journal still tells of: the proof of compliance.

    A limit is due when it has come and its time has begun. Applied is when the last station had confirmed what
    makes it fit, measured is the first measurement under it; both count in seconds since it was due.

    Example: `smartcharge limits smartcharge.db sites/depot.toml`
    """
    place = load(site).site
    records = asyncio.run(_records(stored(journal), place))
    if json_out is not None:
        text = json.dumps([_plain(record) for record in records.values()], indent=2, allow_nan=False)
        json_out.write_text(text + "\n", encoding="utf-8")
    console = answers()
    console.print(_table(records, ZoneInfo(place.timezone)))
    console.print(f"{escape(place.name)}: {len(records)} limits", highlight=False)


async def _records(url: str, site: Site) -> dict[Key, Record]:
    """Return every record that a journal leads to, also those that a state keeps no more."""
    async with open_store(url) as store:
        since_s = store.journal.reaches_back_s()
        state = store.journal.resume(site, since_s)
        found = dict(state.records)
        for event in store.journal.load(since_s):
            before, state = state, apply(state, event)
            if state.records is not before.records:
                found |= state.records
    return found


def _table(records: dict[Key, Record], zone: ZoneInfo) -> Table:
    table = Table(title="grid limits", title_justify="left")
    for name in ("source", "id", "limit", "due", "ended"):
        table.add_column(name)
    for name in ("applied s", "measured s", "over kWh"):
        table.add_column(name, justify="right")
    table.add_column("remark")
    for record in records.values():
        limit = record.limit
        ended = "" if record.ended_s is None else local(record.ended_s, zone)
        words = (limit.source, limit.version, _what(limit), local(record.due_s, zone), ended)
        seconds = (_since(record, record.applied_s), _since(record, record.measured_s))
        table.add_row(*map(escape, (*words, *seconds, f"{record.over_wh / 1000.0:.3f}", _remark(record))))
    return table


def _what(limit: GridLimit) -> str:
    power = [] if limit.power_w is None else [f"{limit.power_w / 1000.0:.1f} kW"]
    current = [] if limit.current_a is None else [" / ".join(f"{a:.1f}" for a in limit.current_a) + " A"]
    loads = " for the stations" if limit.scope is Scope.LOADS else ""
    return f"{', '.join(power + current)} on {limit.circuit}{loads}"


def _since(record: Record, at_s: float | None) -> str:
    return "never" if at_s is None else f"{max(at_s - record.due_s, 0.0):.1f}"


def _remark(record: Record) -> str:
    floor = ["below the floor of section 14a"] if record.is_below_floor else []
    unmet = [f"late: {record.unmet}"] if record.unmet is not None else []
    return "; ".join(floor + unmet)


def _plain(record: Record) -> dict[str, Any]:
    limit = record.limit
    return {
        "source": limit.source, "id": limit.version, "circuit": limit.circuit, "scope": limit.scope.value,
        "power_w": limit.power_w, "current_a": limit.current_a, "received_s": limit.received_at_s,
        "due_s": record.due_s, "applied_s": record.applied_s, "measured_s": record.measured_s,
        "ended_s": record.ended_s, "over_wh": record.over_wh, "unmet": record.unmet,
        "is_below_floor": record.is_below_floor,
    }  # fmt: skip
