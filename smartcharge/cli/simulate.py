"""``smartcharge simulate``: cars on a site, under several policies, watched by one who knows the truth."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from zoneinfo import ZoneInfo

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from smartcharge.cli import simulate_options as options
from smartcharge.cli.cars import Cars, generated_cars, recorded_cars
from smartcharge.cli.check import require_budget
from smartcharge.cli.console import REFUSED, LogLevel, answers, remarks
from smartcharge.cli.simulate_options import Unknown
from smartcharge.cli.tables import shown
from smartcharge.config import Settings, load, with_capacity
from smartcharge.sim import report
from smartcharge.sim.assumptions import Assumptions, Needs, Pilots
from smartcharge.sim.campaign import Campaign, OnSample, check_targets, play, summary
from smartcharge.sim.cars import Battery
from smartcharge.sim.clairvoyant import hindsight
from smartcharge.sim.field import field_faults
from smartcharge.sim.prices import read_prices
from smartcharge.sim.recordings import Visit
from smartcharge.sim.runner import Run, Transport
from smartcharge.sim.scenario import Scenario, load_scenario


def simulate(  # noqa: PLR0913 - one parameter an option
    *,
    site: options.Site,
    recording: options.Recording = None,
    kind: options.Generate = None,
    start: options.Start = None,
    days: options.Days = None,
    until_empty: options.UntilEmpty = False,
    unknown: options.UnknownPlaces = Unknown.ERROR,
    seed: options.Seed = 0,
    needs: options.DriversNeeds = Needs.RECORDED,
    longest_stay_h: options.LongestStay = None,
    battery: options.Batteries = Battery.TWO_STAGE,
    pilots: options.StationPilots = Pilots.SITE,
    is_uninterrupted: options.Uninterrupted = False,
    capacity_w: options.Capacity = None,
    prices: options.PricesFile = None,
    faults: options.Faults = None,
    policies: options.Policies = None,
    transport: options.Way = Transport.OCPP,
    jobs: options.Jobs = None,
    json_out: options.JsonOut = None,
    html_out: options.HtmlOut = None,
    log_level: options.Log = LogLevel.ERROR,
) -> None:
    """Let recorded or generated cars charge at a site, in simulated time, under one policy after the other.

    A watcher that knows every true current looks at every simulated second. Exit code 1 if a policy that is
    controlled broke a limit, a rating or an invariant.

    Example: `smartcharge simulate sites/caltech.toml --recording 2019-03_sessions_5min.csv --report week.html`

    Example: `smartcharge simulate sites/depot.toml --generate depot --transport direct --policy optimal --policy edf`
    """
    assumptions = Assumptions(
        needs=needs, battery=battery, pilots=pilots, is_uninterrupted=is_uninterrupted,
        longest_stay_s=inf if longest_stay_h is None else 3600.0 * longest_stay_h,
    )  # fmt: skip
    settings = _settings(site, assumptions, capacity_w)
    is_field = faults is not None and str(faults) == options.FIELD
    scenario = Scenario() if faults is None or is_field else load_scenario(faults)
    check_targets(scenario, settings.site)
    if (recording is None) == (kind is None):
        raise typer.BadParameter("give either --recording FILE or --generate KIND")
    if recording is not None:
        cars = recorded_cars(recording, settings.site, start=start, days=days, unknown=unknown.value)
    else:
        assert kind is not None
        cars = generated_cars(kind, settings.site, start=start, days=days, seed=seed)
    assert policies is not None
    if is_field:
        scenario = Scenario(faults=field_faults(settings.site, cars.days, seed))
    visits = assumptions.visits(cars.visits)
    run = Run(
        settings=settings, policy=policies[0], visits=visits, start_s=cars.start_s,
        end_s=_end_s(cars, visits) if until_empty else cars.end_s, scenario=scenario, transport=transport,
        assumptions=assumptions, history=cars.history, seed=seed,
        prices=None if prices is None else read_prices(prices, settings.site.timezone),
        weighs_faults=faults is not None,
    )  # fmt: skip
    campaign = _campaign(run, policies, cars, jobs=jobs or os.cpu_count() or 1, log_level=log_level)
    _write(campaign, json_out, html_out)
    console = answers()
    for part in shown(campaign):
        console.print(part, highlight=False)
    if campaign.has_violations:
        raise typer.Exit(REFUSED)


def _settings(path: Path, assumptions: Assumptions, capacity_w: float | None) -> Settings:
    """Return the settings of a site that is safe as it is assumed to be."""
    settings = load(path)
    site = assumptions.site(settings.site)
    if capacity_w is not None:
        site = with_capacity(site, capacity_w)
    require_budget(site)
    return replace(settings, site=site)


def _end_s(cars: Cars, visits: Sequence[Visit]) -> float:
    """Return when the last car has left, but not before the last day is over [s since 1970]."""
    return max(cars.end_s, max(visit.depart_s for visit in visits) + 1.0)


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
    known = hindsight(run, results)
    if known is None:
        say("note: what could have been with everything known could not be proven in time", markup=False)
    return Campaign(run=run, recording=cars.source, notes=cars.notes, results=results, hindsight=known)


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
