"""``smartcharge run``: the controller of a site, until it is told to stop."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from smartcharge.cli.check import require_budget
from smartcharge.cli.compose import serve
from smartcharge.cli.console import LogLevel
from smartcharge.cli.log import log_to_stderr
from smartcharge.config import load


def run(
    site: Annotated[Path, typer.Argument(metavar="SITE", help="Site file (TOML).")],
    *,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Listen for stations here instead; 0 takes a free port."),
    ] = None,
    log_level: Annotated[LogLevel, typer.Option(help="From here on, to stderr.")] = LogLevel.INFO,
) -> None:
    """Run a site: stations connect over OCPP, meters and grid limits come in, setpoints go out.

    It refuses to start if the fallback budget does not hold. What happened is in the journal (`[store]` in the site
    file), also after kill -9: started again, it goes on where it was. SIGINT (Ctrl-C) or SIGTERM stop it; the
    stations then fall back to their default profiles.

    Example: `smartcharge run sites/depot.toml`
    """
    settings = load(site)
    require_budget(settings.site)
    if port is not None:
        settings = replace(settings, ocpp=replace(settings.ocpp, port=port))
    log_to_stderr(log_level)
    asyncio.run(serve(settings, typer.echo))
