"""``smartcharge simulate``: cars on a site, under several policies, watched by one who knows the truth."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from smartcharge.cli.cars import Cars, generated_cars, recorded_cars
from smartcharge.cli.check import require_budget
from smartcharge.cli.console import REFUSED, LogLevel, answers, remarks, writable
from smartcharge.cli.tables import shown
from smartcharge.config import load, with_capacity
from smartcharge.sim import report
from smartcharge.sim.campaign import Campaign, OnSample, check_targets, play, summary
from smartcharge.sim.generator import Kind
from smartcharge.sim.runner import UNCONTROLLED, Run, Transport
from smartcharge.sim.scenario import Scenario, load_scenario
from solvers import SOLVERS

POLICIES: Final = (*SOLVERS, UNCONTROLLED)
DEFAULT_POLICIES: Final = ("optimal", "equal", "edf", "llf", "round-robin", UNCONTROLLED)


class Unknown(Enum):
    """What to do with visits to EVSEs that the site does not have."""

    ERROR = "error"
    SKIP = "skip"


def _known_policies(names: list[str] | None) -> list[str]:
    chosen = list(dict.fromkeys(names or DEFAULT_POLICIES))
    for name in chosen:
        if name not in POLICIES:
            raise typer.BadParameter(f"there is no policy {name!r}; choose from {', '.join(POLICIES)}")
    return chosen


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a date such as 2019-03-01") from error


_CARS, _RUN, _OUT = "Which cars", "How", "What comes out"


def simulate(  # noqa: PLR0913 - one parameter an option
    *,
    site: Annotated[Path, typer.Argument(metavar="SITE", help="Site file (TOML).")],
    recording: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Recorded sessions, see docs/recordings.md.", rich_help_panel=_CARS),
    ] = None,
    kind: Annotated[
        Kind | None, typer.Option("--generate", help="Generated days instead, by the habits of.", rich_help_panel=_CARS)
    ] = None,
    start: Annotated[
        date | None,
        typer.Option(
            parser=_day,
            metavar="DATE",
            help="First day (unless said: the first with a visit).",
            show_default=False,
            rich_help_panel=_CARS,
        ),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(min=1, help="How many days (unless said: up to 7, generated 1).", rich_help_panel=_CARS),
    ] = None,
    unknown: Annotated[
        Unknown, typer.Option(help="Visits to EVSEs that the site does not have.", rich_help_panel=_CARS)
    ] = Unknown.ERROR,
    seed: Annotated[int, typer.Option(help="Of everything random.", rich_help_panel=_CARS)] = 0,
    is_ideal: Annotated[
        bool, typer.Option("--ideal", help="Batteries that take full power to the end.", rich_help_panel=_CARS)
    ] = False,
    policies: Annotated[
        list[str] | None,
        typer.Option(
            "--policy",
            metavar="NAME",
            callback=_known_policies,
            show_default=False,
            rich_help_panel=_RUN,
            help=f"Repeatable: {', '.join(POLICIES)} (unless said: {', '.join(DEFAULT_POLICIES)}).",
        ),
    ] = None,
    transport: Annotated[
        Transport, typer.Option(help="Real OCPP and MQTT on loopback, or function calls.", rich_help_panel=_RUN)
    ] = Transport.OCPP,
    capacity_w: Annotated[
        float | None, typer.Option(min=0.0, help="As if the grid connection had only this power.", rich_help_panel=_RUN)
    ] = None,
    faults: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Scenario (TOML): grid limits, faults.", rich_help_panel=_RUN)
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Policies at a time (unless said: one a CPU).", rich_help_panel=_RUN)
    ] = None,
    json_out: Annotated[
        Path | None,
        typer.Option("--json", metavar="OUT", callback=writable, help="Write the figures.", rich_help_panel=_OUT),
    ] = None,
    html_out: Annotated[
        Path | None,
        typer.Option("--report", metavar="OUT.html", callback=writable, help="Write plots.", rich_help_panel=_OUT),
    ] = None,
    log_level: Annotated[
        LogLevel, typer.Option(help="From here on, to stderr.", rich_help_panel=_OUT)
    ] = LogLevel.ERROR,
) -> None:
    """Let recorded or generated cars charge at a site, in simulated time, under one policy after the other.

    A watcher that knows every true current looks at every simulated second. Exit code 1 if a policy that is
    controlled broke a limit, a rating or an invariant.

    Example: `smartcharge simulate sites/caltech.toml --recording 2019-03_sessions_5min.csv --report week.html`

    Example: `smartcharge simulate sites/depot.toml --generate depot --transport direct --policy optimal --policy edf`
    """
    settings = load(site)
    if capacity_w is not None:
        settings = replace(settings, site=with_capacity(settings.site, capacity_w))
    require_budget(settings.site)
    scenario = Scenario() if faults is None else load_scenario(faults)
    check_targets(scenario, settings.site)
    if (recording is None) == (kind is None):
        raise typer.BadParameter("give either --recording FILE or --generate KIND")
    if recording is not None:
        cars = recorded_cars(recording, settings.site, start=start, days=days, unknown=unknown.value)
    else:
        assert kind is not None
        cars = generated_cars(kind, settings.site, start=start, days=days, seed=seed)
    assert policies is not None
    run = Run(
        settings=settings, policy=policies[0], visits=cars.visits, start_s=cars.start_s, end_s=cars.end_s,
        scenario=scenario, transport=transport, is_ideal=is_ideal, seed=seed,
    )  # fmt: skip
    campaign = _campaign(run, policies, cars, jobs=jobs or os.cpu_count() or 1, log_level=log_level)
    _write(campaign, json_out, html_out)
    console = answers()
    for part in shown(campaign):
        console.print(part, highlight=False)
    if campaign.has_violations:
        raise typer.Exit(REFUSED)


def _campaign(run: Run, policies: Sequence[str], cars: Cars, *, jobs: int, log_level: LogLevel) -> Campaign:
    say = remarks().print
    say(
        f"{run.settings.site.name}: {len(cars.visits)} visits, {cars.days} day(s) from {cars.start}"
        f" ({cars.timezone}), {cars.source}, over {run.transport.value}", markup=False,
        soft_wrap=True,
    )  # fmt: skip
    for note in cars.notes:
        say(f"note: {note}", markup=False, soft_wrap=True)
    with _progress(run, policies) as on_sample:
        results = play(run, policies, jobs=jobs, on_sample=on_sample, log_level=log_level.value.upper())
    return Campaign(run=run, recording=cars.source, notes=cars.notes, results=results)


@contextmanager
def _progress(run: Run, policies: Sequence[str]) -> Iterator[OnSample]:
    """Show a bar for each policy and the simulated time it has come to."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[clock]}"),
        TimeElapsedColumn(),
    )  # fmt: skip
    zone = ZoneInfo(run.settings.site.timezone)
    with Progress(*columns, console=remarks()) as progress:
        tasks = {
            name: progress.add_task(name, total=run.end_s - run.start_s, clock="", start=False) for name in policies
        }

        def on_sample(policy: str, at_s: float) -> None:
            task = tasks[policy]
            progress.start_task(task)
            at_s = min(at_s, run.end_s)
            clock = f"{datetime.fromtimestamp(at_s, zone):%a %Y-%m-%d %H:%M}"
            progress.update(task, completed=at_s - run.start_s, clock=clock)

        yield on_sample


def _write(campaign: Campaign, json_out: Path | None, html_out: Path | None) -> None:
    if json_out is not None:
        json_out.write_text(json.dumps(summary(campaign), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    if html_out is not None:
        html_out.write_text(report.page(campaign, datetime.now(UTC)), encoding="utf-8")
