"""``smartcharge check``: is a site file sound, and does its fallback budget hold?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from smartcharge.cli.console import REFUSED, answers
from smartcharge.config import Settings, load
from smartcharge.control import budget
from smartcharge.control.topology import Topology, uncontrolled_a
from smartcharge.errors import ConfigError
from smartcharge.model import Group, Site


def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Site files (TOML), see sites/README.md.")],
) -> None:
    """Find every error in site files and prove their fallback budget.

    The budget is what is drawn when this program is gone: every station on its default profile, everything else
    at its most. It must fit the failsafe limit of every circuit on every phase. Exit code 1 if it does not, or
    if a file is wrong.

    Of a group of sites it proves that their safe shares fit its limit, and of its sites in the same call that
    they have the shares that the group keeps for them.

    Example: `smartcharge check sites/depot.toml sites/hub.toml`
    """
    sound = {file: settings for file in files if (settings := _sound(file)) is not None}
    amiss = [line for settings in sound.values() for line in _shares_amiss(settings, tuple(sound.values()))]
    for line in amiss:
        typer.echo(f"smartcharge: {line}", err=True)
    if amiss or len(sound) < len(set(files)):
        raise typer.Exit(REFUSED)


def require_budget(site: Site) -> None:
    """Raise ConfigError, with a line for each breach, unless the fallback budget of a site holds (I3)."""
    topology = Topology.of(site)
    breaches = [*budget.broken(site, topology), *budget.broken_shares(site, topology)]
    if breaches:
        raise ConfigError("\n".join(f"{site.id}: the fallback budget breaks: {breach}" for breach in breaches))


def _shares_amiss(member: Settings, files: Sequence[Settings]) -> Iterator[str]:
    """Yield where a site's file and that of its group, if it is there, do not agree on the safe share."""
    kept_w = {(one.site.id, m.id): m.safe_w for one in files if one.site.group for m in one.site.group.members}
    groups = {group for group, _ in kept_w}
    for line in member.groups:
        source = next(source for source in member.site.grid if source.id == f"group {line.operator}")
        known_w = kept_w.get((line.group, member.site.id))
        if line.group in groups and known_w is None:
            yield f"{member.site.id}: the group {line.group} does not know it"
        elif known_w is not None and known_w != source.failsafe_w:
            yield f"{member.site.id}: its safe share is {source.failsafe_w:.0f} W, the group keeps {known_w:.0f} W"


def _sound(file: Path) -> Settings | None:
    try:
        settings = load(file)
        require_budget(settings.site)
    except ConfigError as error:
        for line in str(error).splitlines():
            typer.echo(f"smartcharge: {line}", err=True)
        return None
    _show(file, settings)
    return settings


def _show(file: Path, settings: Settings) -> None:
    site = settings.site
    console = answers()
    if site.group is not None:
        console.print(f"[bold green]sound[/] {escape(str(file))}: {escape(site.name)}", highlight=False, soft_wrap=True)
        console.print(_shares(site.group))
        return
    console.print(
        f"[bold green]sound[/] {escape(str(file))}: {escape(site.name)}, {len(site.circuits)} circuits,"
        f" {len(site.stations)} stations, {len(site.evses)} EVSEs; the fallback budget holds",
        highlight=False,
        soft_wrap=True,
    )
    console.print(_proof(site))


def _shares(group: Group) -> Table:
    """Return the proof that the safe shares of a group fit its limit."""
    table = Table("site", show_footer=True)
    table.columns[0].footer = "together"
    safe_w = sum(member.safe_w for member in group.members)
    table.add_column(r"safe share \[W]", footer=f"{safe_w:.0f} of {group.limit_w:.0f}", justify="right")
    table.add_column(r"lost for sure after \[s]", justify="right")
    for member in group.members:
        lapse_s = group.lease_s + member.linger_s + group.margin_s
        table.add_row(escape(member.id), f"{member.safe_w:.0f}", f"{lapse_s:.0f}")
    return table


def _proof(site: Site) -> Table:
    """Return what was proven, line by line."""
    table = Table("circuit", "phase")
    for title in ("default profiles [A]", "uncontrolled [A]", "together [A]", "failsafe limit [A]", "rating [A]"):
        table.add_column(title.replace("[", r"\["), justify="right")
    others_a = uncontrolled_a(site)
    ratings_a = {circuit.id: circuit.rating_a for circuit in site.circuits}
    for line in budget.checked(site, Topology.of(site)):
        phase = f"L{line.phase + 1}"
        match line.rule:
            case budget.Rule.DEFAULTS:
                other_a = others_a[line.circuit][line.phase]
                amps = (line.load_a - other_a, other_a, line.load_a, line.limit_a, ratings_a[line.circuit][line.phase])
                table.add_row(escape(line.circuit), phase, *(f"{a:.1f}" for a in amps), end_section=line.phase == 2)
            case budget.Rule.SUPPLY:
                supply = f"supply of {line.station}"
                load = f"{line.load_a:.1f}"
                table.add_row(escape(supply), phase, load, "", load, "", f"{line.limit_a:.1f}")
            case budget.Rule.FAILSAFE:
                pass  # the limit and the rating stand side by side in the table
    return table
