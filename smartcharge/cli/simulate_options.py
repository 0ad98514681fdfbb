"""The options of ``smartcharge simulate``, by what they decide: which cars, what is assumed, how, what comes out."""

from __future__ import annotations

from datetime import date
from enum import Enum
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from smartcharge.cli.console import LogLevel, writable
from smartcharge.sim.assumptions import Needs, Pilots
from smartcharge.sim.cars import Battery
from smartcharge.sim.generator import Kind
from smartcharge.sim.runner import UNCONTROLLED, Transport
from solvers import SOLVERS

POLICIES: Final = (*SOLVERS, UNCONTROLLED)
DEFAULT_POLICIES: Final = ("optimal", "equal", "edf", "llf", "round-robin", UNCONTROLLED)
_CARS, _ASSUMED, _RUN, _OUT = "Which cars", "What is assumed", "How", "What comes out"


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


Site: TypeAlias = Annotated[Path, typer.Argument(metavar="SITE", help="Site file (TOML).")]

Recording: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Recorded sessions, see docs/recordings.md.", rich_help_panel=_CARS)
]
Generate: TypeAlias = Annotated[
    Kind | None, typer.Option("--generate", help="Generated days instead, by the habits of.", rich_help_panel=_CARS)
]
Start: TypeAlias = Annotated[
    date | None,
    typer.Option(
        parser=_day, metavar="DATE", help="First day (unless said: the first with a visit).", show_default=False,
        rich_help_panel=_CARS,
    ),
]  # fmt: skip
Days: TypeAlias = Annotated[
    int | None, typer.Option(min=1, help="How many days (unless said: up to 7, generated 1).", rich_help_panel=_CARS)
]
UntilEmpty: TypeAlias = Annotated[
    bool,
    typer.Option("--until-empty", help="Go on after the last day until the last car has left.", rich_help_panel=_CARS),
]
UnknownPlaces: TypeAlias = Annotated[
    Unknown, typer.Option(help="Visits to EVSEs that the site does not have.", rich_help_panel=_CARS)
]
Seed: TypeAlias = Annotated[int, typer.Option(help="Of everything random.", rich_help_panel=_CARS)]

DriversNeeds: TypeAlias = Annotated[
    Needs,
    typer.Option(
        "--needs", rich_help_panel=_ASSUMED,
        help="What is known of departure and energy at plug-in: what was *recorded* of the driver's words, else the"
        " truth; the truth (*known*); the driver's words only (*stated*); nothing (*unstated*): both are predicted.",
    ),
]  # fmt: skip
LongestStay: TypeAlias = Annotated[
    float | None, typer.Option(min=0.1, help="Who would stay longer leaves earlier [h].", rich_help_panel=_ASSUMED)
]
Batteries: TypeAlias = Annotated[
    Battery,
    typer.Option(
        rich_help_panel=_ASSUMED,
        help="Full power to 80 %, then ever less, of a common size (*two-stage*) or of the smallest size that could"
        " have taken the energy in the stay (*tight*, as acnportal fits it); or full power to the end (*ideal*).",
    ),
]  # fmt: skip
StationPilots: TypeAlias = Annotated[
    Pilots,
    typer.Option(
        rich_help_panel=_ASSUMED,
        help="Currents that can be offered: minimum and steps of the *site* file, or every one from 0 (*continuous*).",
    ),
]
Uninterrupted: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--uninterrupted", help="Cars sleep once they were paused, and take no more.", rich_help_panel=_ASSUMED
    ),
]
Capacity: TypeAlias = Annotated[
    float | None, typer.Option(min=0.0, help="As if the grid connection had only this power.", rich_help_panel=_ASSUMED)
]
PricesFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--prices", metavar="FILE", help="Prices of energy (CSV: start_at,per_kwh) that the site is sent.",
        rich_help_panel=_ASSUMED,
    ),
]  # fmt: skip
FIELD: Final = "field"
"""Instead of a file: faults at field rates."""

Faults: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        rich_help_panel=_ASSUMED,
        help=f"Scenario (TOML): grid limits, faults; `{FIELD}` for faults as often as they come in the field.",
    ),
]

Policies: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--policy", metavar="NAME", callback=_known_policies, show_default=False, rich_help_panel=_RUN,
        help=f"Repeatable: {', '.join(POLICIES)} (unless said: {', '.join(DEFAULT_POLICIES)}).",
    ),
]  # fmt: skip
Way: TypeAlias = Annotated[
    Transport,
    typer.Option("--transport", help="Real OCPP and MQTT on loopback, or function calls.", rich_help_panel=_RUN),
]
Jobs: TypeAlias = Annotated[
    int | None, typer.Option(min=1, help="Policies at a time (unless said: one a CPU).", rich_help_panel=_RUN)
]

JsonOut: TypeAlias = Annotated[
    Path | None,
    typer.Option("--json", metavar="OUT", callback=writable, help="Write the figures.", rich_help_panel=_OUT),
]
HtmlOut: TypeAlias = Annotated[
    Path | None,
    typer.Option("--report", metavar="OUT.html", callback=writable, help="Write plots.", rich_help_panel=_OUT),
]
Log: TypeAlias = Annotated[LogLevel, typer.Option("--log-level", help="From here on, to stderr.", rich_help_panel=_OUT)]
