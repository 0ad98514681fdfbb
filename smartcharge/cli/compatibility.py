"""``smartcharge compatibility``: which cars can charge here, what is missing, and how each make of station does."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from smartcharge.cli.availability import write_csv
from smartcharge.cli.console import REFUSED, answers, stored, writable
from smartcharge.config import load
from smartcharge.maintenance.behaviour import behaviour, pairs, read_cars
from smartcharge.maintenance.connectors import OCPI_OF
from smartcharge.maintenance.makes import makes
from smartcharge.maintenance.meaning import Meaning
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.vehicles import OURS, fits, from_open_ev_data, gaps, read_vehicles
from smartcharge.ports import Kept
from smartcharge.store import open_store

app = typer.Typer(
    help="Cars and connectors: who can charge here. Makes of stations: how charging goes at each.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
SiteFile = Annotated[Path, typer.Argument(metavar="SITE", help="Site file (TOML).")]


@app.command()
def cars(
    site: SiteFile,
    *,
    vehicles: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV of cars; a small one of our own unless given.")
    ] = None,
    csv_out: Annotated[
        Path | None, typer.Option("--csv", metavar="OUT", callback=writable, help="Write every car.")
    ] = None,
) -> None:
    """Show which cars can charge at a site, how fast, and which connectors are missing.

    Example: `smartcharge compatibility cars sites/hub.toml --vehicles cars.csv`
    """
    ports = Place.of(load(site).site).ports
    if unknown := [port.evse for port in ports if not port.connectors]:
        typer.echo(f"{len(unknown)} EVSEs have no `connectors` in the site file: no car is known to fit", err=True)
    found = fits(read_vehicles(OURS if vehicles is None else vehicles), ports)
    plugs = Table("connector (OCPP)", "OCPI", "EVSEs", title="connectors", title_justify="left")
    for kind, count in Counter(c for port in ports for c in set(port.connectors)).most_common():
        plugs.add_row(escape(kind), OCPI_OF.get(kind, ""), str(count))
    table = Table("car", "EVSEs", "at most kW", "source", title="cars", title_justify="left")
    for fit in sorted(found, key=lambda fit: (-fit.best_w, fit.car.name)):
        table.add_row(escape(fit.car.name), str(fit.ports), f"{fit.best_w / 1000.0:.1f}", escape(fit.car.source))
    missing = Table("inlet (OCPP)", "OCPI", "models it would add", title="gaps", title_justify="left")
    for inlet, count in gaps(found).items():
        missing.add_row(inlet, OCPI_OF[inlet], str(count))
    if csv_out is not None:
        write_csv(
            csv_out,
            [{"car": f.car.name, "evses": f.ports, "best_w": round(f.best_w), "source": f.car.source} for f in found],
        )
    for shown in (plugs, table, missing):
        if shown.row_count:
            answers().print(shown)
    typer.echo(f"{sum(fit.ports > 0 for fit in found)} of {len(found)} models can charge here")


@app.command("import")
def import_cars(
    source: Annotated[Path, typer.Argument(metavar="EV-DATA.JSON", help="ev-data.json of open-ev-data.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", callback=writable, help="Table of cars (CSV).")],
) -> None:
    """Make a table of cars of open-ev-data (github.com/chargeprice/open-ev-data, MIT: keep its notice).

    What does not fit is named on stderr; exit code 1 if anything was left out.
    """
    rows, left_out = from_open_ev_data(source)
    write_csv(out, rows)
    for line in left_out:
        typer.echo(f"smartcharge: left out: {line}", err=True)
    typer.echo(f"{len(rows)} cars written")
    if left_out:
        raise typer.Exit(REFUSED)


@app.command("makes")
def show_makes(
    journal: Annotated[str, typer.Argument(metavar="JOURNAL", help="Database file, or its URL as in the site file.")],
    site: SiteFile,
) -> None:
    """Show how charging goes at each make, model and firmware of station, as it was measured."""
    place = Place.of(load(site).site)

    async def read() -> Table:
        async with open_store(stored(journal)) as store:
            found = makes(place, await store.chronicle.facts())
        table = Table(
            "vendor", "model", "firmware", "stations", "connectors", "speaks", "starts", "sessions ok", "starts ok",
            "EV errors", "faults", "offline", "failed tests",
        )  # fmt: skip
        for make, one in found.items():
            shares = [
                "" if s is None else f"{100.0 * s:.1f} %" for s in (one.success.session_share, one.success.start_share)
            ]
            what = (str(one.stations), " ".join(one.connectors), " ".join(one.standards), str(one.success.starts))
            counts = (one.ev_errors, one.faults, one.offline, one.failed_tests)
            table.add_row(*map(escape, (*make, *what)), *shares, *map(str, counts))
        return table

    answers().print(asyncio.run(read()))


Journal = Annotated[str, typer.Argument(metavar="JOURNAL", help="Database file, or its URL as in the site file.")]
CarsFile = Annotated[
    Path | None, typer.Option("--cars", metavar="FILE", help="CSV of token,model: neither OCPP nor a card tells.")
]


@app.command("vehicles")
def show_vehicles(
    journal: Journal,
    *,
    cars_file: CarsFile = None,
    csv_out: Annotated[Path | None, typer.Option("--csv", metavar="OUT", callback=writable, help="Write them.")] = None,
) -> None:
    """Show how each model of car really charged: phases, lowest offer that keeps it charging, how it wakes up.

    Example: `smartcharge compatibility vehicles smartcharge.db --cars fleet.csv`
    """
    known = {} if cars_file is None else read_cars(cars_file)
    rows = [
        {
            "model": model or "(not named)", "transactions": one.transactions, "phases": one.phases,
            "best_a": round(one.best_a, 1), "kept_at_a": _rounded(one.kept_at_a), "lost_at_a": _rounded(one.lost_at_a),
            "woke_s": _rounded(one.woke_s), "slept": one.slept,
        }
        for model, one in behaviour(asyncio.run(_facts(journal)), known).items()
    ]  # fmt: skip
    if csv_out is not None:
        write_csv(csv_out, rows)
    table = Table(
        "model", "transactions", "phases", "at most A", "went on at A", "stopped at A", "woke after s", "slept"
    )
    for row in rows:
        table.add_row(*("" if value is None else escape(str(value)) for value in row.values()))
    answers().print(table)


@app.command("pairs")
def show_pairs(
    journal: Journal,
    site: SiteFile,
    *,
    cars_file: CarsFile = None,
    csv_out: Annotated[Path | None, typer.Option("--csv", metavar="OUT", callback=writable, help="Write them.")] = None,
) -> None:
    """Show how each model of car fares at each make and firmware of station, the most trouble first."""
    where = load(site).site
    known = {} if cars_file is None else read_cars(cars_file)
    found = pairs(Place.of(where), asyncio.run(_facts(journal)), known, Meaning.of(where))
    rows = [
        {
            "model": model or "(not named)", **make._asdict(), "starts": one.success.starts,
            "failures": one.success.failures, "vehicle_faults": one.vehicle_faults, "slept": one.slept,
        }
        for (model, make), one in found.items()
    ]  # fmt: skip
    if csv_out is not None:
        write_csv(csv_out, rows)
    table = Table("model", "vendor", "station", "firmware", "starts", "failures", "car at fault", "slept")
    for row in rows:
        table.add_row(*(escape(str(value)) for value in row.values()))
    answers().print(table)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


async def _facts(journal: str) -> list[Kept]:
    async with open_store(stored(journal)) as store:
        return await store.chronicle.facts()
