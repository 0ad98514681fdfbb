"""``smartcharge replay``: a journal, folded to the state that its controller had (I5)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime
from itertools import takewhile
from math import inf
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.markup import escape
from rich.table import Table

from smartcharge import controller
from smartcharge.cli.console import REFUSED, answers, stored, writable
from smartcharge.cli.memory import digest, known
from smartcharge.config import load
from smartcharge.control import liveness
from smartcharge.control.evse import EvseState, believed_a
from smartcharge.control.state import State
from smartcharge.errors import ConfigError
from smartcharge.model import Phases, Site
from smartcharge.sim.tables import local
from smartcharge.store import open_store


def replay(
    journal: Annotated[str, typer.Argument(metavar="JOURNAL", help="Database file, or its URL as in the site file.")],
    site: Annotated[Path, typer.Argument(metavar="SITE", help="Site file (TOML).")],
    *,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only what was known by then; local time unless it says.")
    ] = None,
    json_out: Annotated[
        Path | None, typer.Option("--json", metavar="OUT", callback=writable, help="Write the whole state.")
    ] = None,
) -> None:
    """Fold a journal to the state that its controller had: sessions, what stations may be following, limits, meters.

    It is folded twice, from the newest snapshot and from as far back as the journal reaches, and both states must be
    the same. The digest of the state is the same for the same journal and site on any machine. Exit code 1 if the two
    states differ.

    Example: `smartcharge replay smartcharge.db sites/depot.toml --until 2025-03-01T17:30`
    """
    place = load(site).site
    until_s = inf if until is None else _time_s(until, place)
    url = stored(journal)
    first, second = asyncio.run(_folded(url, place, until_s))
    is_same = digest(first) == digest(second)
    if json_out is not None:
        text = json.dumps({"digest": digest(first), **known(first)}, indent=2, allow_nan=False)
        json_out.write_text(text + "\n", encoding="utf-8")
    console = answers()
    for table in _tables(first):
        if table.row_count:
            console.print(table)
    at = "nothing is known" if first.at_s == 0.0 else local(first.at_s, ZoneInfo(place.timezone))
    console.print(f"{escape(place.name)}: {at}", highlight=False)
    console.print(f"digest {digest(first)}", highlight=False, soft_wrap=True)
    if not is_same:
        typer.echo(
            f"smartcharge: folded from further back, the digest is {digest(second)}: the fold is not deterministic",
            err=True,
        )
        raise typer.Exit(REFUSED)


def _time_s(text: str, site: Site) -> float:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a time such as 2025-03-01T17:30 or 2025-03-01T16:30Z") from error
    return (at if at.tzinfo is not None else at.replace(tzinfo=ZoneInfo(site.timezone))).timestamp()


async def _folded(url: str, site: Site, until_s: float) -> tuple[State, State]:
    """Return the state by a time, from the newest snapshot before it and from the oldest."""
    async with open_store(url) as store:
        journal = store.journal
        since_s = journal.reaches_back_s()
        if until_s < since_s:
            raise ConfigError(f"{url}: reaches back to {local(since_s, ZoneInfo(site.timezone))} only")

        def folded(from_s: float) -> State:
            facts = takewhile(lambda event: event.at_s <= until_s, journal.load(from_s))
            return controller.replay(journal.resume(site, from_s), facts)

        return folded(until_s), folded(since_s)


def _tables(state: State) -> Iterator[Table]:
    zone = ZoneInfo(state.site.timezone)
    yield _sessions(state, zone)
    yield _evses(state, zone)
    yield _grid_limits(state, zone)
    yield _meters(state, zone)


def _sessions(state: State, zone: ZoneInfo) -> Table:
    table = _table("sessions", "EVSE", "plugged in", "transaction", "delivered kWh", "wanted kWh", "leaves")
    for name, evse in state.evses.items():
        session = evse.session
        if session is not None:
            leaves = "" if session.depart_at_s is None else local(session.depart_at_s, zone)
            transaction = session.transaction_id or "-"
            delivered, wanted = _kwh(session.delivered_wh), _kwh(session.energy_wh)
            _add(table, name, local(session.plugged_at_s, zone), transaction, delivered, wanted, leaves)
    return table


def _evses(state: State, zone: ZoneInfo) -> Table:
    table = _table("EVSEs that were heard of", "EVSE", "station", "may be following", "measured", "faults", "order")
    for name, evse in state.evses.items():
        station = state.stations[evse.evse.station]
        if station.online or station.boot is not None or evse.session is not None or evse.reading is not None:
            order = "" if evse.order is None else f"{_amps(evse.order.limit_a)}: {evse.order.reason}"
            faults = ", ".join(evse.faults)
            link = "online" if station.online else "offline"
            _add(table, name, link, _followed(evse, state.at_s), _measured(evse, zone), faults, order)
    return table


def _followed(evse: EvseState, at_s: float) -> str:
    """Return the limits that its station may be following, the highest last."""
    return " or ".join(_amps(limit_a) for limit_a in sorted(set(believed_a(evse, at_s))))


def _measured(evse: EvseState, zone: ZoneInfo) -> str:
    reading = evse.reading
    if reading is None:
        return ""
    values = [] if reading.current_a is None else [_phases(reading.current_a)]
    values += [] if reading.power_w is None else [f"{reading.power_w / 1000.0:.2f} kW"]
    values += [] if reading.energy_wh is None else [f"register {_kwh(reading.energy_wh)} kWh"]
    return f"{', '.join(values)} at {local(reading.at_s, zone)}"


def _grid_limits(state: State, zone: ZoneInfo) -> Table:
    table = _table("grid limits", "source", "is", "circuit", "current", "power", "from", "until")
    for name, then in state.sources.items():
        known = liveness.at(then, state.at_s)
        if not known.limits:
            _add(table, name, known.liveness.value, "", "", "", "", "")
        for limit in known.limits:
            current = "" if limit.current_a is None else _phases(limit.current_a)
            power = "" if limit.power_w is None else f"{limit.power_w / 1000.0:.1f} kW"
            start, until = (
                "not said" if t is None else local(t, zone) for t in (limit.start_s or limit.received_at_s, limit.end_s)
            )
            _add(table, name, known.liveness.value, limit.circuit, current, power, start, until)
    return table


def _meters(state: State, zone: ZoneInfo) -> Table:
    table = _table("meters", "circuit", "current", "at")
    for circuit, meter in state.meters.items():
        _add(table, circuit, _phases(meter.reading.current_a), local(meter.reading.at_s, zone))
    return table


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left")


def _add(table: Table, *cells: str) -> None:
    """Add a row of text; what a station or a grid operator wrote is not markup."""
    table.add_row(*map(escape, cells))


def _kwh(energy_wh: float | None) -> str:
    return "-" if energy_wh is None else f"{energy_wh / 1000.0:.2f}"


def _amps(current_a: float | None) -> str:
    return "-" if current_a is None else f"{current_a:.1f} A"


def _phases(current_a: Phases) -> str:
    return " / ".join(f"{a:.1f}" for a in current_a) + " A"
