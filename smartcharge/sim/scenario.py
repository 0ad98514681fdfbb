"""What is done to a simulated site besides cars: grid limits that come and go, and faults."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import time
from enum import Enum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from smartcharge.errors import ConfigError
from smartcharge.faults import Cause, OrderKind
from smartcharge.model import Circuit, Phases


class FaultKind(Enum):
    """What can be made to fail."""

    STATION_SILENT = "station-silent"
    """Its connection stands, nothing is sent or answered; it goes on by its profiles."""
    STATION_DEAD = "station-dead"
    """It loses power, and boots anew when the fault ends."""
    STATION_IGNORES_PROFILE = "station-ignores-profile"
    """It accepts every profile and offers its maximum."""
    STATION_REFUSES = "station-refuses"
    """It refuses every profile and goes on by those that it has."""
    LINK_UNSTEADY = "link-unsteady"
    """Its connection is lost every five minutes and comes back by itself."""
    ANSWER_LOST = "answer-lost"
    """It follows what it is told, but its answers do not arrive."""
    METER_FROZEN = "meter-frozen"
    """The meter of a station, or of a circuit, repeats its last figures."""
    BROKER_DOWN = "broker-down"
    CONTROLLER_KILLED = "controller-killed"
    """The controller stops without a word, and starts again from its journal when the fault ends."""
    LIMIT_STALE = "limit-stale"
    """The grid operator's messages stop."""
    ENCLOSURE_HOT = "enclosure-hot"
    """It warns of its temperature whatever it carries, and switches itself off if it goes on at more than half."""
    FILTER_CLOGGED = "filter-clogged"
    """It gets hot by what it carries: it warns while it is, and switches itself off when it gets too hot."""
    CONNECTOR_HOT = "connector-hot"
    """Bad contacts: the connector is 64 C warmer at its highest current, and nobody but its sensor says so."""
    CABLE_OVERHEATED = "cable-overheated"
    CONTACTOR_WELDED = "contactor-welded"
    """It says so, and the current goes on whatever it is told."""
    CONTACTOR_STUCK = "contactor-stuck"
    """The same without a word."""
    GROUND_FAULT = "ground-fault"
    EMERGENCY_STOP = "emergency-stop"
    CABLE_CUT = "cable-cut"
    WATER = "water"
    CONNECTOR_LOCK = "connector-lock"
    LATCH_BROKEN = "latch-broken"
    OVER_VOLTAGE = "over-voltage"
    """It says so and measures 15 % too much."""
    UNDER_VOLTAGE = "under-voltage"
    """It measures 15 % too little and says nothing."""
    PHASE_LOST = "phase-lost"
    """Its L2 has no voltage."""
    MODULES_LOST = "modules-lost"
    """One of four power modules is gone."""
    DC_SUPPLY = "dc-supply"
    OVERCURRENT_TRIP = "overcurrent-trip"
    FAN = "fan"
    METER_FAILED = "meter-failed"
    """It says that its meter failed, and measures nothing more."""
    METER_SILENT = "meter-silent"
    """The meter of a station, or of a circuit, says nothing more."""
    DRAWS_UNDER = "draws-under"
    """It delivers at most 40 % of its maximum and says nothing."""
    SESSIONS_FAIL = "sessions-fail"
    """Every session ends after a minute by an error."""
    EV_COMMUNICATION = "ev-communication"
    UNKNOWN_CODE = "unknown-code"
    """It stops with a code that nobody has a mapping for."""
    READER = "reader"
    """Its card reader failed; cars that were let in before charge on."""


class _Timed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    day: Annotated[int, Field(ge=1)] = 1
    """Day of the simulation, from 1."""
    at: time
    """Local time of day."""

    @property
    def after_s(self) -> float:
        """Return the seconds from the first midnight of the simulation."""
        return (self.day - 1) * 86400.0 + self.at.hour * 3600.0 + self.at.minute * 60.0 + self.at.second


class Fault(_Timed):
    """Something that fails for a while."""

    kind: FaultKind
    target: str | None = None
    """Station or circuit; None picks a station that has a car then."""
    count: Annotated[int, Field(ge=1)] = 1
    """How many stations fail at once where no target is named."""
    released: bool = True
    """Whether somebody releases what latched once it is repaired."""
    duration_s: Annotated[float, Field(gt=0)]


class GridStep(_Timed):
    """A grid limit from some time on; `share` 1 with nothing else lifts it."""

    circuit: str | None = None
    """None is the grid connection."""
    share: Annotated[float, Field(ge=0, le=1)] | None = None
    """Of the circuit's rating on each phase."""
    power_w: Annotated[float, Field(ge=0)] | None = None
    duration_s: Annotated[float, Field(gt=0)] | None = None
    """How long it lasts before it is lifted; None until the end."""

    def limit_a(self, circuit: Circuit) -> Phases:
        """Return what it allows on each phase of its circuit [A]."""
        if self.power_w is not None:
            return Phases.all(self.power_w / (3.0 * circuit.voltage_v))
        assert self.share is not None
        return Phases(*(a * self.share for a in circuit.rating_a))

    @model_validator(mode="after")
    def _one_value(self) -> GridStep:
        if (self.share is None) == (self.power_w is None):
            raise ValueError("give either share or power_w")
        return self


class OrderStep(_Timed):
    """What a person orders about a fault."""

    evse: str
    kind: OrderKind
    cause: Cause
    limit_a: Annotated[float, Field(ge=0)] | None = None
    """Of a forced derate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything that is done to a site besides cars."""

    limits: tuple[GridStep, ...] = ()
    faults: tuple[Fault, ...] = ()
    orders: tuple[OrderStep, ...] = ()


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limits: tuple[GridStep, ...] = ()
    faults: tuple[Fault, ...] = ()
    orders: tuple[OrderStep, ...] = ()


def load_scenario(path: Path) -> Scenario:
    """Return the scenario in a TOML file; raises ConfigError naming file, key and reason of every error."""
    try:
        with path.open("rb") as file:
            parsed = _File.model_validate(tomllib.load(file))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
    except ValidationError as error:
        lines = (f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError("\n".join(lines)) from error
    return Scenario(limits=parsed.limits, faults=parsed.faults, orders=parsed.orders)
