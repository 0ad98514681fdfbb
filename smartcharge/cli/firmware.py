"""``smartcharge firmware``: which version runs where, and campaigns that change it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.markup import escape
from rich.table import Table

from smartcharge.cli.console import REFUSED, answers, stored
from smartcharge.clock import now_s
from smartcharge.codec import Encoded
from smartcharge.config import load
from smartcharge.errors import MaintenanceError
from smartcharge.maintenance import updater
from smartcharge.maintenance.campaign_file import begin, read_campaign, read_vulnerable, wanted
from smartcharge.maintenance.firmware import (
    Campaign,
    CampaignStopped,
    Entry,
    Outcome,
    Progress,
    campaigns,
    entries,
    firmware,
    outcomes,
)
from smartcharge.maintenance.makes import Make
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.rollout import (
    ROLLOUTS,
    Rollout,
    RolloutStarted,
    RolloutStopped,
    Turn,
    rollouts,
    trouble,
    turn,
)
from smartcharge.model import StationId
from smartcharge.ports import Written
from smartcharge.sim.tables import local
from smartcharge.store import Network, open_store

app = typer.Typer(
    help="Which firmware runs where; campaigns that `smartcharge run` carries out, ring by ring.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
Journal = Annotated[str, typer.Argument(metavar="JOURNAL", help="Database file, or its URL as in the site file.")]
SiteFile = Annotated[Path, typer.Argument(metavar="SITE", help="Site file (TOML).")]
Author = Annotated[str, typer.Option("--by", help="Who says so.")]


@app.command("list")
def list_firmware(
    journal: Journal,
    site: SiteFile,
    *,
    vulnerable: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV of vendor, model, firmware, advisory.")
    ] = None,
) -> None:
    """Show what each station said at its last boot; exit code 1 if one runs a version known to be vulnerable.

    Example: `smartcharge firmware list smartcharge.db sites/depot.toml --vulnerable advisories.csv`
    """
    place = Place.of(load(site).site)
    advisories = {} if vulnerable is None else read_vulnerable(vulnerable)

    async def read() -> Table:
        async with open_store(stored(journal)) as store:
            runs = firmware(await store.chronicle.facts())
        table = Table("station", "vendor", "model", "firmware", "since", "advisory")
        for station in dict.fromkeys(port.station for port in place.ports):
            boot = runs.get(station)
            if boot is None:
                table.add_row(escape(station), "", "", "", "", "never booted here")
                continue
            make = Make(boot.vendor or "", boot.model or "", boot.firmware or "")
            since, advisory = local(boot.at_s, ZoneInfo(place.timezone)), advisories.get(make, "")
            found.append(advisory)
            table.add_row(escape(station), *map(escape, make), since, f"[red]{escape(advisory)}[/]" if advisory else "")
        return table

    found: list[str] = []
    answers().print(asyncio.run(read()))
    if any(found):
        raise typer.Exit(REFUSED)


@app.command()
def start(
    journal: Journal,
    site: SiteFile,
    campaign: Annotated[Path, typer.Argument(metavar="CAMPAIGN", help="Campaign file (TOML).")],
    *,
    by: Author,
) -> None:
    """Begin a campaign; `smartcharge run` carries it out.

    Example: `smartcharge firmware start smartcharge.db sites/depot.toml update-2.1.toml --by kim`
    """
    place, keys = Place.of(load(site).site), read_campaign(campaign)

    async def write() -> Entry:
        async with open_store(stored(journal)) as store:
            started = begin(keys, campaign.parent, place, await store.chronicle.facts(), (by, now_s()))

            def decide(before: Sequence[Entry]) -> list[Entry]:
                known = campaigns(before)
                if keys.id in known:
                    raise MaintenanceError(f"there is a campaign {keys.id} already")
                if going := [one.id for one in known.values() if one.finished is None and one.stopped is None]:
                    raise MaintenanceError(f"campaign {going[0]} is not over: one at a time")
                return [started]

            await updater.write(store.logbook, decide)
            rings = [f"ring {i}: {', '.join(ring)}" for i, ring in enumerate(started.rings, 1)]
            typer.echo("\n".join([f"campaign {keys.id} begins", *rings]))
            return started

    asyncio.run(write())


@app.command()
def stop(
    journal: Journal,
    campaign: Annotated[str, typer.Argument(metavar="ID", help="Name of the campaign.")],
    *,
    by: Author,
    reason: Annotated[str, typer.Option(help="Why.")],
) -> None:
    """Stop a campaign; if it has a roll-back, stations that run its version are told to go back."""

    async def write() -> None:
        async with open_store(stored(journal)) as store:
            stopped = CampaignStopped(at_s=now_s(), campaign=campaign, author=by, reason=reason)

            def decide(before: Sequence[Entry]) -> list[Entry]:
                known = campaigns(before).get(campaign)
                if known is None or known.finished is not None or known.stopped is not None:
                    raise MaintenanceError(f"no campaign {campaign} is going on")
                return [stopped]

            await updater.write(store.logbook, decide)

    asyncio.run(write())
    typer.echo(f"campaign {campaign} is stopped")


@app.command()
def show(journal: Journal, site: SiteFile) -> None:
    """Show every campaign, ring by ring, with what became of each station."""
    place = Place.of(load(site).site)

    async def read() -> list[tuple[Campaign, dict[StationId, Outcome]]]:
        async with open_store(stored(journal)) as store:
            known = campaigns(entries(await store.logbook.lines())).values()
            facts = await store.chronicle.facts()
            return [(one, outcomes(one, place, facts, now_s())) for one in known]

    for campaign, known in asyncio.run(read()):
        table = Table("ring", "station", "progress", "since", "why", title=_title(campaign), title_justify="left")
        for i, ring in enumerate(campaign.started.rings, 1):
            for station in ring:
                one = known[station]
                style = "red" if one.progress is Progress.FAILED else None
                since = local(one.since_s, ZoneInfo(place.timezone))
                table.add_row(str(i), escape(station), one.progress.value, since, escape(one.reason), style=style)
        answers().print(table)


def _title(campaign: Campaign) -> str:
    state = "goes on"
    if campaign.stopped is not None:
        state = f"stopped by {campaign.stopped.author}: {campaign.stopped.reason}"
    elif campaign.finished is not None:
        state = "finished"
    return escape(f"{campaign.id} to {campaign.started.image.version}: {state}")


@app.command()
def rollout(
    url: Annotated[str, typer.Argument(metavar="URL", help="Database that the sites deliver to.")],
    campaign: Annotated[Path, typer.Argument(metavar="CAMPAIGN", help="Campaign file (TOML).")],
    *,
    ring: Annotated[list[str], typer.Option(metavar="SITE,SITE", help="Sites that begin together; several times.")],
    by: Author,
    most_stopped: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of sites that may have stopped.")] = 0.0,
) -> None:
    """Begin a campaign over several sites, ring after ring: each site runs it by itself when it is its turn.

    Example: `smartcharge firmware rollout postgresql://ops@db/charging up.toml --ring north --ring south,west --by kim`
    """
    keys = read_campaign(campaign)
    rings = tuple(tuple(words.split(",")) for words in ring)

    async def write() -> None:
        async with Network(url) as sites:
            known = set(await sites.sites())
            if strangers := [site for one in rings for site in one if site not in known]:
                raise typer.BadParameter(f"no site {', '.join(strangers)} has delivered to it")
            entry = RolloutStarted(
                at_s=now_s(), rollout=keys.id, author=by, wanted=wanted(keys, campaign.parent), rings=rings,
                most_stopped=most_stopped,
            )  # fmt: skip

            def decide(before: Sequence[Written]) -> tuple[float, Encoded]:
                if keys.id in rollouts(before):
                    raise MaintenanceError(f"there is a rollout {keys.id} already")
                return entry.at_s, ROLLOUTS.encode(entry)

            await sites.notice(decide)

    asyncio.run(write())
    typer.echo(f"rollout {keys.id} begins with {', '.join(rings[0])}")


@app.command("halt")
def halt_rollout(
    url: Annotated[str, typer.Argument(metavar="URL", help="Database that the sites deliver to.")],
    name: Annotated[str, typer.Argument(metavar="ID", help="Name of the campaign.")],
    *,
    by: Author,
    reason: Annotated[str, typer.Option(help="Why.")],
) -> None:
    """Stop a rollout at all sites, those that have begun too."""

    async def write() -> None:
        async with Network(url) as sites:
            entry = RolloutStopped(at_s=now_s(), rollout=name, author=by, reason=reason)

            def decide(before: Sequence[Written]) -> tuple[float, Encoded]:
                known = rollouts(before).get(name)
                if known is None or known.stopped is not None:
                    raise MaintenanceError(f"no rollout {name} is going on")
                return entry.at_s, ROLLOUTS.encode(entry)

            await sites.notice(decide)

    asyncio.run(write())
    typer.echo(f"rollout {name} is stopped")


@app.command("rollouts")
def show_rollouts(
    url: Annotated[str, typer.Argument(metavar="URL", help="Database that the sites deliver to.")],
) -> None:
    """Show every rollout with how far each of its sites is."""

    async def read() -> list[tuple[str, Rollout, dict[str, Turn]]]:
        async with Network(url) as sites:
            return [
                (name, one, {s: turn(campaigns(entries(await sites.lines(s))).get(name)) for s in one.sites})
                for name, one in rollouts(await sites.notices()).items()
            ]

    for name, one, turns in asyncio.run(read()):
        why = trouble(one, turns)
        title = f"{name} to {one.started.wanted.image.version}: {why or 'goes on'}"
        table = Table("ring", "site", "progress", title=escape(title), title_justify="left")
        for number, ring in enumerate(one.started.rings, 1):
            for site in ring:
                table.add_row(str(number), escape(site), turns[site].value)
        answers().print(table)
