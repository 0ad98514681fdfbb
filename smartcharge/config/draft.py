"""What could be read of a site file that may still be wrong, so that one report names every error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NamedTuple, Self, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from smartcharge.config.keys import (
    CircuitKeys,
    FaultsKeys,
    GridKeys,
    HttpKeys,
    Keys,
    LoadKeys,
    MqttKeys,
    OcppKeys,
    StationKeys,
)

_Table = TypeVar("_Table", bound=Keys)


class Fault(NamedTuple):
    """One error: where, as a path of keys, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One EVSE with what it takes over from its station, and the path of the table it stands in."""

    path: str
    number: int
    keys: LoadKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The tables that are sound in themselves, by their index in the file."""

    circuits: Mapping[int, CircuitKeys]
    stations: Mapping[int, StationKeys]
    grid: Mapping[int, GridKeys]
    mqtt: MqttKeys | None
    has_mqtt: bool
    http: HttpKeys | None
    has_http: bool
    ocpp: OcppKeys | None
    faults: FaultsKeys | None
    circuit_ids: frozenset[str]
    """Ids of all circuits, also of those with an error: a child of such a one is not an orphan."""

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Self:
        """Return what stands of a parsed file."""
        circuits = raw.get("circuits")
        named = [table.get("id") for table in circuits if isinstance(table, dict)] if isinstance(circuits, list) else []
        return cls(
            circuits=_sound(CircuitKeys, circuits),
            stations=_sound(StationKeys, raw.get("stations")),
            grid=_sound(GridKeys, raw.get("grid")),
            mqtt=_sound(MqttKeys, [raw.get("mqtt")]).get(0),
            has_mqtt="mqtt" in raw,
            http=_sound(HttpKeys, [raw.get("http")]).get(0),
            has_http="http" in raw,
            ocpp=_sound(OcppKeys, [raw.get("ocpp", {})]).get(0),
            faults=_sound(FaultsKeys, [raw.get("faults", {})]).get(0),
            circuit_ids=frozenset(name for name in named if isinstance(name, str)),
        )


def loads(path: str, station: StationKeys) -> Iterator[Load]:
    """Yield the EVSEs of a station whose table stands at ``path``."""
    if station.evses is None:
        yield Load(path=path, number=1, keys=station)
        return
    for i, evse in enumerate(station.evses):
        own = {name: value for name in LoadKeys.model_fields if (value := getattr(evse, name)) is not None}
        inherited = {name: getattr(station, name) for name in LoadKeys.model_fields}
        keys = LoadKeys.model_construct(**{**inherited, **own})
        yield Load(path=f"{path}.evses[{i}]", number=evse.number or i + 1, keys=keys)


def key_faults(raw: Mapping[str, Any], model: type[Keys]) -> Iterator[Fault]:
    """Yield what each key shows to be wrong by itself: unknown, missing, of the wrong type or out of range."""
    try:
        model.model_validate(raw)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            yield Fault(_path(details["loc"]), _reason(details, model))


def _sound(model: type[_Table], tables: object) -> dict[int, _Table]:
    found: dict[int, _Table] = {}
    for i, table in enumerate(tables if isinstance(tables, list) else []):
        try:
            found[i] = model.model_validate(table)
        except ValidationError:
            continue  # it is reported by key_faults
    return found


def _path(keys: tuple[int | str, ...]) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")


def _reason(details: ErrorDetails, model: type[Keys]) -> str:
    match details["type"]:
        case "extra_forbidden":
            return _unknown(str(details["loc"][-1]), model)
        case "missing":
            return "is missing"
        case "value_error":
            return str(details["ctx"]["error"])
        case _:
            message = details["msg"].removeprefix("Input ")
            return f"{message[:1].lower()}{message[1:]}, not {details['input']!r}"


def _unknown(key: str, model: type[Keys]) -> str:
    close = get_close_matches(key, _names(model), n=1)
    return f"unknown key; did you mean {close[0]}?" if close else "unknown key"


def _names(model: type[BaseModel]) -> set[str]:
    """Return the name of every key in a model and its tables."""
    definitions = model.model_json_schema()
    tables = [definitions, *definitions["$defs"].values()]
    return {name for table in tables for name in table.get("properties", {})}
