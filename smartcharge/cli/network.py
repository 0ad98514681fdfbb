"""``smartcharge network``: all sites that deliver to one database, in one report."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.markup import escape
from rich.table import Table

from smartcharge.cli.availability import MonthOption, MonthsOption, figures, parsed, write_csv
from smartcharge.cli.console import answers, writable
from smartcharge.clock import now_s
from smartcharge.maintenance import report
from smartcharge.maintenance.exclusions import Exclusion, read_exclusions
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.report import Evidence, Line, Month
from smartcharge.maintenance.work_orders import Status, WorkOrder, lines_of, orders, said
from smartcharge.ports import Kept
from smartcharge.sim.tables import local
from smartcharge.store import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """What a site has delivered."""

    place: Place
    facts: Sequence[Kept]
    orders: Sequence[WorkOrder]

    @property
    def last_s(self) -> float:
        """Return the time of its newest fact [s since 1970]; 0 for none."""
        return max((fact.event.at_s for fact in self.facts), default=0.0)


def network(  # noqa: PLR0913 - one parameter an option
    url: Annotated[str, typer.Argument(metavar="URL", help="Database that the sites deliver to.")],
    *,
    month: MonthOption = None,
    months: MonthsOption = 12,
    exclusions: Annotated[
        list[str] | None, typer.Option(metavar="SITE=FILE", help="Outages of a site that do not count; several times.")
    ] = None,
    csv_out: Annotated[
        Path | None, typer.Option("--csv", metavar="OUT", callback=writable, help="Write the figures.")
    ] = None,
    json_out: Annotated[
        Path | None, typer.Option("--json", metavar="OUT", callback=writable, help="Write figures and work orders.")
    ] = None,
) -> None:
    """Report over all sites: availability and reliability by month, work orders, and who has not been heard of.

    Sites deliver by themselves (`[maintenance] network` in the site file); one that was offline delivers later.

    Example: `smartcharge network postgresql://reports@db/charging --month 2026-10`
    """
    members, now = asyncio.run(_members(url))
    if not members:
        raise typer.BadParameter(f"no site has delivered to {url} yet")
    excused = _excused(exclusions or [], {member.place.id: member.place for member in members})
    last = parsed(month) if month is not None else _last_month(members)
    wanted = [last.earlier(n) for n in reversed(range(months))]
    lines = [line for member in members for line in _lines(member, excused.get(member.place.id, ()), wanted)]
    lines += [report.network(lines, one) for one in wanted]
    if csv_out is not None:
        write_csv(csv_out, [report.cells(line) for line in lines])
    if json_out is not None:
        whole = {
            "figures": [report.cells(line) for line in lines],
            "work_orders": [said(order) for member in members for order in member.orders],
        }
        json_out.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    console = answers()
    shown = [line for line in lines if line.month == str(last) and line.kind in {"site", "network"}]
    console.print(figures(shown, f"{len(members)} sites, {last}"))
    console.print(_work(members, now))


async def _members(url: str) -> tuple[list[_Member], float]:
    async with Network(url) as all_sites:
        found = [
            _Member(
                place=Place.read(body),
                facts=await all_sites.facts(site),
                orders=tuple(orders(lines_of(await all_sites.lines(site))).values()),
            )
            for site, body in (await all_sites.sites()).items()
        ]
    return found, now_s()


def _last_month(members: Sequence[_Member]) -> Month:
    newest = max(members, key=lambda member: member.last_s)
    return Month.before(newest.last_s, ZoneInfo(newest.place.timezone))


def _lines(member: _Member, excused: Sequence[Exclusion], months: Sequence[Month]) -> list[Line]:
    evidence = Evidence.of(member.place, member.facts, excused)
    return [line for month in months for line in report.lines(evidence, month)]


def _excused(given: Sequence[str], places: Mapping[str, Place]) -> dict[str, tuple[Exclusion, ...]]:
    found: dict[str, tuple[Exclusion, ...]] = {}
    for words in given:
        site, separator, file = words.partition("=")
        if not separator or site not in places:
            raise typer.BadParameter(f"{words!r}: say SITE=FILE, with a site of {', '.join(places)}")
        found[site] = read_exclusions(Path(file), places[site])
    return found


def _work(members: Sequence[_Member], now: float) -> Table:
    table = Table("site", "ports", "open", "in progress", "on hold", "overdue", "complete", "in time", "last heard of")
    for member in members:
        by_status = [order.status for order in member.orders]
        done: list[Any] = [order.is_compliant for order in member.orders if order.is_compliant is not None]
        table.add_row(
            escape(member.place.id),
            str(len(member.place.ports)),
            *(str(by_status.count(s)) for s in (Status.OPEN, Status.IN_PROGRESS, Status.ON_HOLD)),
            str(sum(order.is_overdue(now) for order in member.orders)),
            str(by_status.count(Status.COMPLETE)),
            f"{100.0 * sum(done) / len(done):.0f} %" if done else "",
            local(member.last_s, ZoneInfo(member.place.timezone)),
        )
    return table
