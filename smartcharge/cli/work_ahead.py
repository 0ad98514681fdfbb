"""``smartcharge work plans|event|windows|tests``: what is to come, and when it costs drivers least."""

from __future__ import annotations

from datetime import time
from math import inf
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.markup import escape
from rich.table import Table

from smartcharge.cli.availability import write_csv
from smartcharge.cli.console import REFUSED, answers, writable
from smartcharge.cli.work import Author, Journal, SiteFile, stored_in
from smartcharge.clock import now_s
from smartcharge.config import load
from smartcharge.controller import replay
from smartcharge.events import SelfTested
from smartcharge.maintenance import desk, foreman
from smartcharge.maintenance.forecast import visits
from smartcharge.maintenance.plans import Special, Standing, happened, read_plans, standings
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.trials import newest
from smartcharge.maintenance.windows import Hours, Planner, Window
from smartcharge.maintenance.work_orders import Placed, Raised, orders
from smartcharge.sim.tables import local
from smartcharge.store import Store

ahead = typer.Typer()
"""Joins the commands of `work`."""
Plans = Annotated[Path, typer.Argument(metavar="PLANS", help="Plan file (TOML), see docs/maintenance/plans.toml.")]


@ahead.command("plans")
def show_plans(journal: Journal, site: SiteFile, plans: Plans) -> None:
    """Show where each plan stands at each station, and how many were done in time; raise what is due.

    Example: `smartcharge work plans smartcharge.db sites/depot.toml plans.toml`
    """
    place = Place.of(load(site).site)
    wanted, zone = read_plans(plans, place), ZoneInfo(place.timezone)

    async def answer(store: Store) -> tuple[list[Standing], float]:
        at_s = now_s()
        await foreman.answer_plans(wanted, place, store.chronicle, store.logbook, at_s)
        lines = await foreman.read(store.logbook)
        return list(standings(wanted, place, await store.chronicle.facts(), lines)), at_s

    found, at_s = stored_in(journal, answer)
    table = Table("plan", "station", "since", "kWh since", "plugs since", "due", "order", "done", "in time")
    for one in found:
        due_s = one.due_s if one.order is None else one.order.raised.due_s
        due = "" if due_s == inf else local(due_s, zone)
        table.add_row(
            escape(one.plan.id), escape(one.station), local(one.since_s, zone), f"{one.used_wh / 1000.0:.0f}",
            str(one.cycles), f"[red]{due}[/]" if one.is_overdue(at_s) else due,
            "" if one.order is None else str(one.order.number), str(one.done), str(one.in_time),
        )  # fmt: skip
    answers().print(table)
    overdue, done = sum(one.is_overdue(at_s) for one in found), sum(one.done for one in found)
    compliance = f"{100.0 * sum(one.in_time for one in found) / done:.1f} % done in time" if done else "none done yet"
    typer.echo(f"{overdue} overdue; {compliance}")


@ahead.command("windows")
def show_windows(  # noqa: PLR0913 - one parameter an option
    journal: Journal,
    site: SiteFile,
    *,
    begin: Annotated[str, typer.Option("--from", metavar="HH:MM", help="From when on somebody can come.")] = "07:00",
    end: Annotated[str, typer.Option("--until", metavar="HH:MM", help="By when he must be done.")] = "18:00",
    days: Annotated[int, typer.Option(min=1, max=28, help="How many days from tomorrow on are looked at.")] = 7,
    write: Annotated[bool, typer.Option("--write", help="Write the windows into the work orders.")] = False,
    by: Annotated[str, typer.Option("--by", help="Who says so, with --write.")] = desk.ITSELF,
    csv_out: Annotated[Path | None, typer.Option("--csv", metavar="OUT", callback=writable, help="Write them.")] = None,
) -> None:
    """Show when to do the open work orders, so that drivers miss least, and what each window puts at risk.

    Who will come is taken from the last weeks; the optimiser is asked with the equipment and without it, under the grid
    limits that are known.

    Example: `smartcharge work windows smartcharge.db sites/depot.toml --from 08:00 --until 16:00 --write --by kim`
    """
    place = load(site).site
    hours = Hours(begin=_clock(begin), end=_clock(end), days=days)

    async def placed(store: Store) -> list[Window]:
        at_s, facts = now_s(), await store.chronicle.facts()
        known = [order for order in orders(await foreman.read(store.logbook)).values() if order.is_open]
        state = replay(store.journal.resume(place), store.journal.load())
        since_s = min((fact.event.at_s for fact in facts), default=at_s)
        found = Planner(state=state, visits=visits(facts), since_s=since_s, now_s=at_s).place(known, hours)
        if write:
            await foreman.write(store.logbook, lambda lines: [desk.checked(lines, _placed(w, by, at_s)) for w in found])
        return found

    found, zone = stored_in(journal, placed), ZoneInfo(place.timezone)
    if csv_out is not None:
        write_csv(csv_out, [window_cells(one, zone) for one in found])
    table = Table("order", "asset", "from", "until", "at risk kWh", "at worst", "load kW", "room kW")
    for one in found:
        table.add_row(*(escape(str(value)) for value in window_cells(one, zone).values()))
    answers().print(table)


def _placed(window: Window, by: str, at_s: float) -> Placed:
    return Placed(
        at_s=at_s, order=window.order, author=by, since_s=window.span.since_s, until_s=window.span.until_s,
        risk_wh=window.risk_wh,
    )  # fmt: skip


def _clock(words: str) -> time:
    try:
        return time.fromisoformat(words)
    except ValueError as error:
        raise typer.BadParameter(f"{words!r} is not a time of day such as 07:30") from error


def window_cells(window: Window, zone: ZoneInfo) -> dict[str, Any]:
    """Return a window as names and plain values, times by the site's clock."""
    return {
        "order": window.order,
        "asset": window.asset,
        "from": local(window.span.since_s, zone),
        "until": local(window.span.until_s, zone),
        "risk_kwh": round(window.risk_wh / 1000.0, 2),
        "worst_kwh": round(window.worst_wh / 1000.0, 2),
        "load_kw": round(window.load_w / 1000.0, 1),
        "room_kw": round(window.room_w / 1000.0, 1),
    }


@ahead.command()
def tests(journal: Journal, site: SiteFile) -> None:
    """Show the last self-test of each kind at each station and EVSE; exit code 1 if one failed."""
    zone = ZoneInfo(load(site).site.timezone)

    async def read(store: Store) -> list[SelfTested]:
        return list(newest(await store.chronicle.facts()).values())

    found = stored_in(journal, read)
    table = Table("of", "test", "when", "result", "what was seen")
    for one in sorted(found, key=lambda one: (one.subject, one.test.value)):
        result = "passed" if one.passed else "[red]failed[/]"
        table.add_row(escape(one.subject), one.test.value, local(one.at_s, zone), result, escape(one.detail))
    answers().print(table)
    if not all(one.passed for one in found):
        raise typer.Exit(REFUSED)


@ahead.command()
def event(  # noqa: PLR0913 - one parameter an option
    journal: Journal,
    site: SiteFile,
    plans: Plans,
    name: Annotated[str, typer.Argument(metavar="EVENT", help="As a plan has it under `after`, e.g. lightning.")],
    *,
    by: Author,
    station: Annotated[list[str] | None, typer.Option(help="Only it was befallen; may be said several times.")] = None,
) -> None:
    """Report a special event: every plan that has it is due at its stations."""
    place = Place.of(load(site).site)
    wanted = read_plans(plans, place)

    async def write(store: Store) -> list[Raised]:
        special = Special(name=name, author=by, at_s=now_s(), stations=tuple(station or ()))
        return await foreman.write(store.logbook, lambda lines: happened(wanted, place, lines, special))

    typer.echo(f"{len(stored_in(journal, write))} work orders raised")
