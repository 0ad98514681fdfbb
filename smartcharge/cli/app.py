"""The commands in one place, and the one place that turns what went wrong into a line and an exit code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from smartcharge.cli.availability import availability
from smartcharge.cli.check import check
from smartcharge.cli.compatibility import app as compatibility
from smartcharge.cli.console import fail
from smartcharge.cli.demo import demo
from smartcharge.cli.faults import faults, order
from smartcharge.cli.filing import app as filing
from smartcharge.cli.firmware import app as firmware
from smartcharge.cli.limits import limits
from smartcharge.cli.network import network
from smartcharge.cli.replay import replay
from smartcharge.cli.run import run
from smartcharge.cli.secret import secret
from smartcharge.cli.simulate import simulate
from smartcharge.cli.work import work
from smartcharge.cli.work_ahead import ahead
from smartcharge.config import site_schema
from smartcharge.errors import SmartChargeError

_STORY = """Share one grid connection among many charging cars, never over the limit.

Write down your site once (see sites/README.md), let **check** prove that it is safe even if this program dies,
**simulate** recorded or generated days on it, then **run** it: charging stations connect over OCPP 1.6, 2.0.1
or 2.1, meters and the grid operator's limits come in over MQTT, charging profiles go out. Every fact is written to a
journal, and **replay** folds that journal to the very state the controller had.

New here? **smartcharge demo** shows all of it in a minute.

Exit codes: 0 all is well; 1 the answer is no (a budget that breaks, a violation, a state that differs); 2 it could not
be done (usage, a file, a port, a database), with one line for each reason on stderr."""

app = typer.Typer(
    help=_STORY,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(*, is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"smartcharge {version('smartcharge')}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=lambda asked: _show_version(is_asked=asked), is_eager=True)
    ] = False,
) -> None:
    """Take the options that come before a command."""


app.command()(check)
app.command()(simulate)
app.command()(run)
app.command()(replay)
app.command()(limits)
app.command()(availability)
app.command()(network)
work.add_typer(ahead)
app.add_typer(work, name="work")
app.add_typer(compatibility, name="compatibility")
app.add_typer(firmware, name="firmware")
app.add_typer(filing, name="filing")
app.command()(demo)
app.command()(faults)
app.command()(order)
app.command()(secret)


@app.command()
def schema() -> None:
    """Print the JSON Schema of site files, for editors that complete and check them.

    Example: `smartcharge schema > site.schema.json`
    """
    typer.echo(json.dumps(site_schema(), indent=2))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; what went wrong on the way is said in lines on stderr, exit code 2."""
    try:
        app(args=arguments)
    except (SmartChargeError, OSError) as error:
        fail(error)
    except ExceptionGroup as group:  # a TaskGroup in which something gave up
        expected, bugs = group.split((SmartChargeError, OSError))
        if bugs is not None or expected is None:
            raise
        fail(expected)
