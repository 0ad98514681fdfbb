"""Measured behaviour of models of car, and of each model at each make of station.

Neither OCPP nor a card tells which model a car is; who runs a fleet knows.  A table (CSV) of ``token,model`` says so;
the others are one model of no name.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Final

from smartcharge.errors import ConfigError
from smartcharge.events import CarMeasured, FaultRaised, StationBooted, TransactionStarted
from smartcharge.faults import Cause
from smartcharge.maintenance.makes import Make
from smartcharge.maintenance.meaning import Meaning, vendors
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.sessions import Charge, Success, charges, success
from smartcharge.maintenance.spans import Span
from smartcharge.model import EvseId, StationId
from smartcharge.ports import Kept

UNNAMED: Final = ""
"""The model of cars that no table names."""
COLUMNS: Final = ("token", "model")


def read_cars(path: Path) -> dict[str, str]:
    """Return the model of each id token in a table; raises ConfigError with one line for every error."""
    found: dict[str, str] = {}
    errors: list[str] = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise ConfigError(f"{path}:1: the columns must be {','.join(COLUMNS)}")
            for row in reader:
                token, model = row["token"], row["model"]
                if not token or not model or None in row:
                    errors.append(f"{path}:{reader.line_num}: must have two cells, none of them empty")
                elif found.setdefault(token, model) != model:
                    errors.append(f"{path}:{reader.line_num}: token: {token!r} is a {found[token]} already")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: is not CSV in UTF-8: {error}") from error
    if errors:
        raise ConfigError("\n".join(errors))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How cars of a model behaved, over all their transactions; a None says that nothing showed it."""

    transactions: int
    phases: int | None
    """The most phases that one was seen to draw from; of a one-phase EVSE it says nothing."""
    best_a: float
    """The most that one drew [A per phase]."""
    kept_at_a: float | None
    """The lowest offer at which one went on [A]."""
    lost_at_a: float | None
    """The highest offer at which one stopped [A]: offer more."""
    woke_s: float | None
    """The longest that one took to draw again after a pause [s]."""
    slept: int
    """How often one did not."""


def behaviour(facts: Iterable[Kept], cars: Mapping[str, str]) -> dict[str, Behaviour]:
    """Return how each model behaved, the most often seen first."""
    seen: dict[str, list[CarMeasured]] = {}
    for _, event in facts:
        if isinstance(event, CarMeasured):
            seen.setdefault(cars.get(event.id_token or "", UNNAMED), []).append(event)
    return {model: _summed(all_) for model, all_ in sorted(seen.items(), key=lambda item: -len(item[1]))}


def _summed(seen: Sequence[CarMeasured]) -> Behaviour:
    return Behaviour(
        transactions=len(seen),
        phases=max((one.phases for one in seen if one.phases is not None and one.of_phases > 1), default=None),
        best_a=max(one.best_a for one in seen),
        kept_at_a=min((one.kept_at_a for one in seen if one.kept_at_a is not None), default=None),
        lost_at_a=max((one.lost_at_a for one in seen if one.lost_at_a is not None), default=None),
        woke_s=max((one.woke_s for one in seen if one.woke_s is not None), default=None),
        slept=sum(one.slept for one in seen),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """How charging went between a model of car and a make of station."""

    success: Success
    vehicle_faults: int
    """How often the station said that the car was at fault."""
    slept: int
    """How often a car did not wake after a pause."""


def pairs(
    place: Place, facts: Sequence[Kept], cars: Mapping[str, str], meaning: Meaning
) -> dict[tuple[str, Make], Pair]:
    """Return how each model fared at each make, failures first."""
    station_of = {port.evse: port.station for port in place.ports}
    by_start = {charge.seq: charge for charge in charges(facts)}
    named, runs = vendors(facts), dict[StationId, Make]()
    there: dict[EvseId, tuple[str, Make]] = {}
    charged: dict[tuple[str, Make], list[Charge]] = {}
    faults: dict[tuple[str, Make], int] = {}
    slept: dict[tuple[str, Make], int] = {}
    for seq, event in facts:
        match event:
            case StationBooted(station=station):
                runs[station] = Make(event.vendor or "", event.model or "", event.firmware or "")
            case TransactionStarted(evse=evse) if seq in by_start and station_of.get(evse) in runs:
                there[evse] = cars.get(event.id_token or "", UNNAMED), runs[station_of[evse]]
                charged.setdefault(there[evse], []).append(by_start[seq])
            case FaultRaised(evse=evse) if evse in there and meaning.cause(event, named) == Cause.VEHICLE.value:
                faults[there[evse]] = faults.get(there[evse], 0) + 1
            case CarMeasured(evse=evse, slept=True) if evse in there:
                slept[there[evse]] = slept.get(there[evse], 0) + 1
            case _:
                pass
    found = {
        pair: Pair(success=success(all_, Span(-inf, inf)), vehicle_faults=faults.get(pair, 0), slept=slept.get(pair, 0))
        for pair, all_ in charged.items()
    }
    return dict(sorted(found.items(), key=lambda item: -_trouble(item[1])))


def _trouble(pair: Pair) -> int:
    return pair.success.failures + pair.vehicle_faults + pair.slept
