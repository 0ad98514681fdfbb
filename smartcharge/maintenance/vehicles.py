"""The register of cars: what each takes, from a table of our own, from people's tables, and from open-ev-data.

A table is CSV with the columns of `COLUMNS`; each row names its source.  Inlets are named by the OCPP plug
that fits them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from smartcharge.errors import ConfigError
from smartcharge.maintenance.connectors import OCPI_OF, takes
from smartcharge.maintenance.ports import Port

OURS: Final = Path(__file__).with_name("vehicles.csv")
COLUMNS: Final = ("brand", "model", "ac_inlet", "ac_phases", "ac_max_w", "dc_inlets", "dc_max_w", "source")
NOMINAL_V: Final = 230.0
_OPEN_EV_DATA: Final = {
    "type1": "cType1",
    "type2": "cType2",
    "ccs": "cCCS2",
    "tesla_ccs": "cCCS2",
    "tesla_suc": "cTesla",
    "chademo": "cG105",
}
"""Ports of open-ev-data; it lists cars as sold in Europe, whose CCS is Combo 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CarModel:
    """What a model of car takes."""

    name: str
    ac_inlet: str | None
    ac_phases: int
    """Phases that its on-board charger uses; 0 without one."""
    ac_max_w: float
    dc_inlets: tuple[str, ...]
    dc_max_w: float
    source: str

    @property
    def ac_max_a(self) -> float:
        """Return its highest AC current [A per phase], derived from power and phases at 230 V."""
        return self.ac_max_w / (NOMINAL_V * self.ac_phases) if self.ac_phases else 0.0

    def power_at(self, port: Port) -> float | None:
        """Return the power [W] that it could take at a port; None if no plug fits or it has no such charger."""
        if port.is_dc:
            fits = any(takes(inlet, c) for inlet in self.dc_inlets for c in port.connectors)
            return min(self.dc_max_w, port.max_w) if fits and self.dc_max_w > 0.0 else None
        if self.ac_inlet is None or not any(takes(self.ac_inlet, c) for c in port.connectors):
            return None
        current_a = min(self.ac_max_a, port.max_a)
        return min(self.ac_phases, port.phases) * NOMINAL_V * current_a if current_a > 0.0 else None


def read_vehicles(path: Path = OURS) -> tuple[CarModel, ...]:
    """Return the cars of a table; raises ConfigError with one line ``file:line: reason`` for every error."""
    found: list[CarModel] = []
    errors: list[str] = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise ConfigError(f"{path}:1: the columns must be {','.join(COLUMNS)}")
            for row in reader:
                try:
                    found.append(_model({name: row[name] or "" for name in COLUMNS}))
                except ValueError as error:
                    errors.append(f"{path}:{reader.line_num}: {error}")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: is not CSV in UTF-8: {error}") from error
    if errors:
        raise ConfigError("\n".join(errors))
    return tuple(found)


def _model(row: dict[str, str]) -> CarModel:
    inlets = tuple(row["dc_inlets"].split())
    for inlet in (*inlets, *([row["ac_inlet"]] if row["ac_inlet"] else [])):
        if inlet not in OCPI_OF:
            raise ValueError(f"{inlet!r} is no connector; one of {', '.join(OCPI_OF)}")
    if not row["source"].strip():
        raise ValueError("source: is missing")
    return CarModel(
        name=f"{row['brand']} {row['model']}".strip(),
        ac_inlet=row["ac_inlet"] or None,
        ac_phases=int(_number("ac_phases", row)),
        ac_max_w=_number("ac_max_w", row),
        dc_inlets=inlets,
        dc_max_w=_number("dc_max_w", row),
        source=row["source"],
    )


def _number(name: str, row: dict[str, str]) -> float:
    try:
        value = float(row[name] or 0.0)
    except ValueError:
        raise ValueError(f"{name}: {row[name]!r} is no number") from None
    if not 0.0 <= value < 1e7:
        raise ValueError(f"{name}: {row[name]} is out of range")
    return value


def from_open_ev_data(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    """Return the rows of open-ev-data's ``ev-data.json`` as our table has them, and what was left out and why.

    Source: github.com/chargeprice/open-ev-data, MIT.  Raises ConfigError for what is not that format.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))["data"]
        source = f"open-ev-data, {json.loads(path.read_text(encoding='utf-8'))['meta']['updated_at'][:10]}"
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: is not open-ev-data: {error!r}") from error
    rows: list[dict[str, str]] = []
    left_out: list[str] = []
    for number, car in enumerate(data):
        try:
            rows.append(_row(car, source))
        except (KeyError, TypeError, ValueError) as error:
            left_out.append(f"{path}: data[{number}]: {error!r}")
    return rows, left_out


def _row(car: dict[str, Any], source: str) -> dict[str, str]:
    ac, dc = car["ac_charger"], car["dc_charger"] or {"ports": [], "max_power": 0.0}
    inlets = [_OPEN_EV_DATA[port] for port in ac["ports"]]
    year = "" if car["release_year"] is None else f"({car['release_year']})"
    # A motorbike that plugs into a household socket has a charger and no inlet.
    return {
        "brand": car["brand"],
        "model": " ".join(filter(None, (car["model"], car["variant"], year))),
        "ac_inlet": inlets[0] if inlets else "",
        "ac_phases": str(int(ac["usable_phases"])),
        "ac_max_w": f"{1000.0 * ac['max_power']:.0f}",
        "dc_inlets": " ".join(dict.fromkeys(_OPEN_EV_DATA[port] for port in dc["ports"])),
        "dc_max_w": f"{1000.0 * dc['max_power']:.0f}",
        "source": source,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A car at a site."""

    car: CarModel
    ports: int
    """Ports at which it can charge."""
    best_w: float
    """Highest power there [W]; 0 for none."""


def fits(cars: Iterable[CarModel], ports: Sequence[Port]) -> list[Fit]:
    """Return how each car fares at some ports."""
    found: list[Fit] = []
    for car in cars:
        powers = [power for port in ports if (power := car.power_at(port)) is not None]
        found.append(Fit(car=car, ports=len(powers), best_w=max(powers, default=0.0)))
    return found


def gaps(of: Iterable[Fit]) -> dict[str, int]:
    """Return, for each inlet of cars that cannot charge, how many models a plug for it would add; most first."""
    counts: dict[str, int] = {}
    for fit in of:
        car = fit.car
        wanted = {*car.dc_inlets, *([car.ac_inlet] if car.ac_inlet is not None else [])} if fit.ports == 0 else set()
        for inlet in wanted:
            counts[inlet] = counts.get(inlet, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
