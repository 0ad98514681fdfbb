"""The JSON schemas of OCPP 1.6, 2.0.1 and 2.1, compiled on first use.

The schema files are those of the Open Charge Alliance, as bundled with the `ocpp` package.  Two rules
in them are not taken literally, because they refuse what is right:

- ``multipleOf 0.1`` is dropped: in binary floating point 8.3 is no multiple of 0.1.
- ``date-time`` is any ISO 8601 time that Python reads; a time without a zone counts as UTC, since
  stations in the field leave the ``Z`` out.  An empty one or ``"0"``, which some send for a time that they
  do not know (evcc #17836), is let through and reads as none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import fastjsonschema

if TYPE_CHECKING:
    from collections.abc import Callable

Payload: TypeAlias = dict[str, Any]
"""A JSON object; once checked against its schema, safe to read by key."""


class Version(Enum):
    """An OCPP version, by its WebSocket subprotocol."""

    V16 = "ocpp1.6"
    V201 = "ocpp2.0.1"
    V21 = "ocpp2.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """Where and how a payload breaks its schema."""

    rule: str
    """The JSON Schema keyword that is broken, e.g. ``"required"`` or ``"maxLength"``."""
    message: str
    """In words, naming the field; at most 255 characters, as an OCPP errorDescription."""


_FOLDERS = {Version.V16: "v16", Version.V201: "v201", Version.V21: "v21"}
_CALL_SUFFIXES = {Version.V16: ".json", Version.V201: "Request.json", Version.V21: "Request.json"}
_NO_TIMES = frozenset({"", "0"})
_RESULT_SUFFIX = "Response.json"
_SEND_SUFFIX = ".json"


@cache
def actions(version: Version) -> frozenset[str]:
    """Return the names of all actions that a version knows as CALLs, in either direction."""
    names = _schema_names(version)
    return frozenset(name.removesuffix(_RESULT_SUFFIX) for name in names if name.endswith(_RESULT_SUFFIX))


@cache
def sends(version: Version) -> frozenset[str]:
    """Return the names of all actions that a version knows as SENDs, which have no answer (2.1 only)."""
    if version is not Version.V21:
        return frozenset()
    answered = (_CALL_SUFFIXES[version], _RESULT_SUFFIX)
    return frozenset(n.removesuffix(_SEND_SUFFIX) for n in _schema_names(version) if not n.endswith(answered))


def check_call(version: Version, action: str, payload: object) -> Violation | None:
    """Return what is wrong with the payload of a CALL of a known action, or None if nothing is."""
    return _check(_validator(version, action + _CALL_SUFFIXES[version]), payload)


def check_send(version: Version, action: str, payload: object) -> Violation | None:
    """Return what is wrong with the payload of a SEND of a known action, or None if nothing is."""
    return _check(_validator(version, action + _SEND_SUFFIX), payload)


def check_result(version: Version, action: str, payload: object) -> Violation | None:
    """Return what is wrong with the payload of a CALLRESULT of a known action, or None if nothing is."""
    return _check(_validator(version, action + _RESULT_SUFFIX), payload)


def parse_time_s(text: str) -> float | None:
    """Return an ISO 8601 time as seconds since 1970 (UTC), or None if it is none; no zone means UTC."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def format_time(at_s: float) -> str:
    """Return seconds since 1970 as OCPP writes a dateTime: UTC, milliseconds, ``Z``."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _schema_names(version: Version) -> list[str]:
    return [entry.name for entry in (files("ocpp") / _FOLDERS[version] / "schemas").iterdir()]


def _check(validate: Callable[[object], object], payload: object) -> Violation | None:
    try:
        validate(payload)
    except fastjsonschema.JsonSchemaValueException as error:
        message = str(error.message).replace("data.", "", 1)
        return Violation(rule=str(error.rule), message=message[:255])
    return None


@cache
def _validator(version: Version, file_name: str) -> Callable[[object], object]:
    """Compile one schema: some 10 to 50 ms of CPU, hence only when its action is first seen."""
    text = (files("ocpp") / _FOLDERS[version] / "schemas" / file_name).read_text(encoding="utf-8-sig")
    schema = json.loads(text, object_hook=_without_multiple_of)
    compiled = fastjsonschema.compile(schema, formats={"date-time": _is_time}, use_default=False)
    return cast("Callable[[object], object]", compiled)


def _without_multiple_of(schema: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in schema.items() if key != "multipleOf"}


def _is_time(text: str) -> bool:
    return text in _NO_TIMES or parse_time_s(text) is not None
