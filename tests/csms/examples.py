"""The smallest payload that each OCPP schema allows, made from the schema itself."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from smartcharge.csms.schemas import Version

_TEXTS = {"date-time": "2023-11-14T22:13:20Z", "uri": "https://example.com/x"}
_FOLDERS = {Version.V16: "v16", Version.V201: "v201", Version.V21: "v21"}


def call_example(version: Version, action: str) -> dict[str, Any]:
    """The smallest CALL, or SEND, of an action."""
    names = (f"{action}Request.json", f"{action}.json")
    return _smallest(version, next(name for name in names if _exists(version, name)))


def result_example(version: Version, action: str) -> dict[str, Any]:
    return _smallest(version, f"{action}Response.json")


def _exists(version: Version, name: str) -> bool:
    return (files("ocpp") / _FOLDERS[version] / "schemas" / name).is_file()


@cache
def schema_of(version: Version, name: str) -> dict[str, Any]:
    text = (files("ocpp") / _FOLDERS[version] / "schemas" / name).read_text(encoding="utf-8-sig")
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def _smallest(version: Version, name: str) -> dict[str, Any]:
    schema = schema_of(version, name)
    made = _value(schema, schema)
    assert isinstance(made, dict)
    return made


def _value(part: dict[str, Any], whole: dict[str, Any]) -> Any:  # noqa: PLR0911 - one return a type
    if "$ref" in part:
        return _value(whole["definitions"][part["$ref"].rpartition("/")[2]], whole)
    if "enum" in part:
        return part["enum"][0]
    match part.get("type"):
        case "object":
            return {name: _value(part["properties"][name], whole) for name in part.get("required", ())}
        case "array":
            return [_value(part["items"], whole)] * max(1, part.get("minItems", 1))
        case "string":
            return _TEXTS.get(part.get("format", ""), "x")
        case "integer" | "number":
            return max(1, part.get("minimum", 1))
        case "boolean":
            return False
    raise AssertionError(part)
