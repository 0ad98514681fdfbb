"""``smartcharge demo``: a day at a depot in a minute."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.table import Table

from smartcharge.cli.cars import GENERATED_START
from smartcharge.cli.check import require_budget
from smartcharge.cli.console import REFUSED, LogLevel, answers, writable
from smartcharge.cli.log import log_to_stderr
from smartcharge.config import load, shipped
from smartcharge.errors import ConfigError
from smartcharge.sim import demo as show
from smartcharge.sim.recordings import read
from smartcharge.sim.result import Result


def demo(
    site: Annotated[Path | None, typer.Argument(help="A site file; the depot that comes with smartcharge.")] = None,
    recording: Annotated[
        Path | None, typer.Option(help="Recorded cars instead of generated ones, seated where there is room.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", callback=writable, help="Write the summary there.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the generated day.")] = 1,
) -> None:
    """Watch a controller share a grid connection: real OCPP and MQTT, a grid limit that halves, a station that dies.

    Everything is real but the cars and the clock: a day passes in about a minute. Exit code 0 if no limit was
    ever broken.

    Example: `smartcharge demo --json summary.json`
    """
    settings = load(shipped("depot.toml") if site is None else site)
    require_budget(settings.site)
    start, visits = GENERATED_START, None
    if recording is not None:
        visits = read(recording, settings.site, unknown="seat").visits
        if not visits:
            raise ConfigError(f"{recording}: there is no visit in it")
        start = datetime.fromtimestamp(visits[0].arrive_s, ZoneInfo(settings.site.timezone)).date()
    log_to_stderr(LogLevel.ERROR)
    console = answers()
    result = show.show(show.plan(settings, visits, start, seed), console)
    console.print(_table(result))
    if json_file is not None:
        json_file.write_text(json.dumps(show.summary(result), indent=2) + "\n")
    if result.violations:
        raise typer.Exit(REFUSED)


def _table(result: Result) -> Table:
    table = Table("what", "figure", title="the day in figures")
    share = result.energy_delivered_wh / result.energy_requested_wh if result.energy_requested_wh else 1.0
    compliance_s = max(result.limit_drop_to_compliance_s, default=None)
    rows = (
        ("violations of a limit or an invariant", f"{len(result.violations)}"),
        ("energy delivered", f"{result.energy_delivered_wh / 1000.0:.0f} kWh, {share:.1%} of what was asked"),
        ("cars served in full", f"{result.sessions_met} of {result.sessions}"),
        ("highest power", f"{result.peak_w / 1000.0:.0f} kW"),
        ("limit halved, and kept after", "-" if compliance_s is None else f"{compliance_s:.1f} s"),
        *((f"{d.kind}: {d.target}", _noticed(d.planted_s, d.detected_s, d.evidence)) for d in result.detections),
        ("real time", f"{result.wall_s:.0f} s"),
    )
    for row in rows:
        table.add_row(*row)
    return table


def _noticed(planted_s: float, detected_s: float | None, evidence: str) -> str:
    return evidence if detected_s is None else f"noticed after {detected_s - planted_s:.0f} s: {evidence}"
