"""What a controller knows, as plain values, and a digest of it: equal knowledge has equal digests anywhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from math import isfinite
from typing import Any, Final

from smartcharge.control.state import State

_DECIMALS: Final = 6
"""Of every number: what a mathematical library rounds otherwise on another machine lies far behind them."""


def known(state: State) -> dict[str, Any]:
    """Return everything that a state has learnt, without the site it is about, as JSON can hold it."""
    return {
        "at_s": state.at_s,
        "evses": {name: _without(_plain(evse), "evse") for name, evse in state.evses.items()},
        "stations": _plain(state.stations),
        "sources": {name: _without(_plain(known), "source") for name, known in state.sources.items()},
        "records": [_plain(record) for record in state.records.values()],
        "meters": _plain(state.meters),
        "prices": _plain(state.prices),
        "intensity": _plain(state.intensity),
        "last_command_id": state.last_command_id,
    }


def digest(state: State) -> str:
    """Return the SHA-256 of everything that a state has learnt, in hexadecimal."""
    text = json.dumps(known(state), sort_keys=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a state is made of
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    match value:
        case Enum():
            return value.value
        case float():
            # NaN and infinities, which a station can make up, have no place in JSON.
            return round(value, _DECIMALS) if isfinite(value) else str(value)
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case tuple():
            return [_plain(item) for item in value]
        case _:
            return value


def _without(plain: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: item for key, item in plain.items() if key != name}
