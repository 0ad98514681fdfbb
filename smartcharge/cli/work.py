"""``smartcharge work``: work orders, seen, raised, assigned and completed by people."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

import typer
from rich.markup import escape
from rich.table import Table

from smartcharge.cli.availability import write_csv
from smartcharge.cli.console import answers, stored, writable
from smartcharge.clock import now_s
from smartcharge.config import load
from smartcharge.faults import Priority
from smartcharge.maintenance import desk, foreman
from smartcharge.maintenance.clerk import Clerk
from smartcharge.maintenance.desk import Draft
from smartcharge.maintenance.meaning import COMMON, Meaning
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.work_orders import (
    Assigned,
    Line,
    Noted,
    Reopened,
    Status,
    StatusSet,
    WorkOrder,
    orders,
    said,
)
from smartcharge.ports import WorkKind, WorkWord
from smartcharge.sim.tables import local
from smartcharge.store import Store, open_store

T = TypeVar("T")
work = typer.Typer(
    help="Work orders: raised for faults by `smartcharge run`, and by people here. Every change is kept.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

Journal = Annotated[str, typer.Argument(metavar="JOURNAL", help="Database file, or its URL as in the site file.")]
SiteFile = Annotated[Path, typer.Argument(metavar="SITE", help="Site file (TOML).")]
Number = Annotated[int, typer.Argument(metavar="NUMBER", help="Number of the work order.")]
Author = Annotated[str, typer.Option("--by", help="Who says so.")]
Mapped = Annotated[Path | None, typer.Option("--site", metavar="SITE", help="Site file, for its vendors' fault codes.")]


def stored_in(journal: str, act: Callable[[Store], Awaitable[T]]) -> T:
    """Return what comes of acting on the store of a journal; raises what that raises."""

    async def opened() -> T:
        async with open_store(stored(journal)) as store:
            return await act(store)

    return asyncio.run(opened())


def _known(journal: str) -> list[WorkOrder]:
    async def read(store: Store) -> list[Line]:
        return await foreman.read(store.logbook)

    return list(orders(stored_in(journal, read)).values())


def _write(journal: str, decide: Callable[[Sequence[Line], float], Line]) -> None:
    """Write one line, decided on all that is written, and show what became of its work order."""

    async def write(store: Store) -> list[Line]:
        at_s = now_s()
        return await foreman.write(store.logbook, lambda lines: [decide(lines, at_s)])

    (line,) = stored_in(journal, write)
    (order,) = [order for order in _known(journal) if order.number == line.order]
    typer.echo(f"work order {order.number}: {order.status.value}: {order.raised.title}")


@work.command("list")
def list_orders(
    journal: Journal,
    site: SiteFile,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Those that are complete, too.")] = False,
    csv_out: Annotated[Path | None, typer.Option("--csv", metavar="OUT", callback=writable, help="Write them.")] = None,
) -> None:
    """List the work orders that are to be done, the most urgent first.

    Example: `smartcharge work list smartcharge.db sites/depot.toml --all --csv orders.csv`
    """
    zone = ZoneInfo(load(site).site.timezone)
    found = [order for order in _known(journal) if everything or order.is_open]
    found.sort(key=lambda order: (not order.is_open, order.priority.value, order.raised.due_s))
    if csv_out is not None:
        write_csv(csv_out, [cells(order, zone) for order in found])
    table = Table("no.", "status", "prio", "asset", "title", "due", "team", "again", title="work orders")
    now = asyncio.run(_now())
    for order in found:
        due = local(order.raised.due_s, zone)
        table.add_row(
            str(order.number), order.status.value, order.priority.value, escape(order.raised.asset),
            escape(order.raised.title), f"[red]{due}[/]" if order.is_overdue(now) else due,
            escape(order.team or ""), str(order.recurrences or ""),
        )  # fmt: skip
    answers().print(table)


async def _now() -> float:
    return now_s()


def cells(order: WorkOrder, zone: ZoneInfo) -> dict[str, Any]:
    """Return a work order as one row: the fields of maintenance systems, times by the site's clock."""
    row = {name: value for name, value in said(order).items() if name != "audit"}
    for name in ("raised_s", "due_s", "repaired_s", "planned_since_s", "planned_until_s", "completed_s"):
        at_s = row.pop(name)
        row[name.removesuffix("_s")] = None if at_s is None else local(at_s, zone)
    return {name: " ".join(map(str, value)) if isinstance(value, list) else value for name, value in row.items()}


@work.command()
def show(journal: Journal, number: Number) -> None:
    """Show a work order with everything that was written about it, as JSON."""
    found = [order for order in _known(journal) if order.number == number]
    if not found:
        raise typer.BadParameter(f"there is no work order {number}")
    typer.echo(json.dumps(said(found[0]), indent=2))


@work.command("raise")
def raise_order(  # noqa: PLR0913 - one parameter an option
    journal: Journal,
    site: SiteFile,
    *,
    title: Annotated[str, typer.Option(help="What is to be done.")],
    asset: Annotated[str, typer.Option(help="An EVSE, a station, or `site`.")],
    by: Author,
    priority: Annotated[
        Priority, typer.Option(help="P1 is due in a day, P2 in three, P3 in a fortnight.")
    ] = Priority.P3,
    due: Annotated[str | None, typer.Option(metavar="TIME", help="Local time unless it says.")] = None,
    request: Annotated[str | None, typer.Option(help="The request that it answers.")] = None,
) -> None:
    """Raise a work order by hand.

    Example: `smartcharge work raise smartcharge.db my.toml --title "new cable" --asset yard-07 --by kim`
    """
    place = Place.of(load(site).site)
    if asset not in {"site", *(p.evse for p in place.ports), *(p.station for p in place.ports)}:
        raise typer.BadParameter(f"the site has no EVSE or station {asset!r}")
    due_s = None if due is None else _time_s(due, ZoneInfo(place.timezone))
    draft = Draft(title=title, asset=asset, location=place.id, priority=priority, due_s=due_s, request=request)
    _write(journal, lambda lines, at_s: desk.raised(lines, draft, by, at_s))


def _time_s(words: str, zone: ZoneInfo) -> float:
    try:
        at = datetime.fromisoformat(words)
    except ValueError as error:
        raise typer.BadParameter(f"{words!r} is not a time such as 2026-03-01T17:30") from error
    return (at if at.tzinfo is not None else at.replace(tzinfo=zone)).timestamp()


@work.command()
def assign(
    journal: Journal,
    number: Number,
    *,
    by: Author,
    team: Annotated[str | None, typer.Option(help="The team.")] = None,
    to: Annotated[list[str] | None, typer.Option(help="Somebody; may be said several times.")] = None,
) -> None:
    """Say who is to do it."""
    _write(
        journal,
        lambda lines, at_s: desk.checked(
            lines, Assigned(at_s=at_s, order=number, author=by, team=team, assignees=tuple(to or ()))
        ),
    )


@work.command()
def status(
    journal: Journal,
    number: Number,
    to: Annotated[Status, typer.Argument(help="IN_PROGRESS, ON_HOLD, or OPEN to have it done again.")],
    *,
    by: Author,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
) -> None:
    """Say that work began, waits, or is to be done again."""

    def decide(lines: Sequence[Line], at_s: float) -> Line:
        known = orders(lines).get(number)
        if to is Status.OPEN and known is not None and not known.is_open:
            return Reopened(at_s=at_s, order=number, author=by, fact=None, reason=reason)
        return desk.checked(lines, StatusSet(at_s=at_s, order=number, author=by, status=to, reason=reason))

    _write(journal, decide)


@work.command()
def note(
    journal: Journal,
    number: Number,
    text: Annotated[str, typer.Argument(help="What was found or done.")],
    *,
    by: Author,
    part: Annotated[list[str] | None, typer.Option(help="A part that it took; may be said several times.")] = None,
) -> None:
    """Add a technician's note and the parts that were used."""
    _write(
        journal,
        lambda lines, at_s: desk.checked(
            lines, Noted(at_s=at_s, order=number, author=by, text=text, parts=tuple(part or ()))
        ),
    )


@work.command()
def repaired(  # noqa: PLR0913 - one parameter an option
    journal: Journal,
    number: Number,
    text: Annotated[str, typer.Argument(help="What was done.")],
    *,
    by: Author,
    part: Annotated[list[str] | None, typer.Option(help="A part that it took; may be said several times.")] = None,
    site: Mapped = None,
) -> None:
    """Say that a fault is mended and a car may try it. What latched goes on probation, by this alone, within a minute.

    Example: `smartcharge work repaired smartcharge.db 7 "contactor replaced" --part "contactor 40 A" --by kim`
    """
    parts = tuple(part or ())
    _say(journal, site, WorkWord(order=number, kind=WorkKind.REPAIRED, author=by, text=text, parts=parts))
    typer.echo(f"work order {number}: to be tried")


def _say(journal: str, site: Path | None, word: WorkWord) -> None:
    meaning = COMMON if site is None else Meaning.of(load(site).site)

    async def take(store: Store) -> None:
        await Clerk(store.chronicle, store.logbook, store.journal, meaning).take(word)

    stored_in(journal, take)


@work.command()
def complete(  # noqa: PLR0913 - one parameter an option
    journal: Journal,
    number: Number,
    *,
    by: Author,
    signature: Annotated[str, typer.Option(help="Who signs for it.")],
    feedback: Annotated[str, typer.Option(help="What came of it.")] = "",
    done: Annotated[list[str] | None, typer.Option(help="A point of its checklist; may be said several times.")] = None,
    site: Mapped = None,
) -> None:
    """Complete a work order. That of a fault needs evidence: the fault went, and a car has charged there since.

    Example: `smartcharge work complete smartcharge.db 7 --by kim --signature "K. Jansen"`
    """
    points = tuple(done or ())
    word = WorkWord(order=number, kind=WorkKind.COMPLETE, author=by, text=feedback, signature=signature, done=points)
    _say(journal, site, word)
    typer.echo(f"work order {number}: {Status.COMPLETE.value}")


@work.command()
def faults(journal: Journal, site: SiteFile) -> None:
    """Raise the work orders that the faults in the journal call for, as `smartcharge run` does every minute."""
    place = Place.of(load(site).site)

    async def answer(store: Store) -> list[Line]:
        return await foreman.answer_faults(place, store.chronicle, store.logbook, now_s())

    typer.echo(f"{len(stored_in(journal, answer))} lines written")
