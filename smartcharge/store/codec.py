"""Facts as JSON text and back: one closed codec, derived from the fields and types of the events.

A fact is stored as the name of its class and a JSON object of all its fields.  Defaults are written
out too, so a later change of a default does not rewrite history; a field that an old row does not
have takes its default.  Everything else that does not fit is a StoreError that names it.

Python's own JSON is used on purpose: unlike stricter parsers it carries every string and every
float that a station can make up (lone surrogates, NaN, infinities) there and back unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, NamedTuple, TypeAlias, get_args, get_origin, get_type_hints

from smartcharge.errors import StoreError
from smartcharge.events import Event

_Decode: TypeAlias = Callable[[object], Any]


class Encoded(NamedTuple):
    """A fact as it is stored."""

    kind: str
    """Name of the event's class."""
    body: str
    """JSON object of its fields, ASCII only."""


def encode(event: Event) -> Encoded:
    """Return a fact as text; raises StoreError for what is not an `Event` or holds something unwritable."""
    kind = type(event).__name__
    record = _records().get(kind)
    if record is None or type(event) is not record.cls:
        raise StoreError(f"{kind} is not an event that can be written down")
    try:
        return Encoded(kind, _to_json({name: getattr(event, name) for name in record.decoders}))
    except (TypeError, ValueError) as error:
        raise StoreError(f"{event!r} cannot be written down: {error}") from error


def decode(kind: str, body: str) -> Event:
    """Return the fact behind a stored row; raises StoreError naming the type or field that does not fit."""
    record = _records().get(kind)
    if record is None:
        raise StoreError(f"{kind!r} is not a known kind of event")
    try:
        value = json.loads(body)
    except ValueError as error:
        raise StoreError(f"{kind}: not JSON: {error}") from error
    return record.decode(value)


def _enum_value(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} has no JSON form")


_to_json = json.JSONEncoder(separators=(",", ":"), check_circular=False, default=_enum_value).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """How one dataclass is read."""

    cls: type[Event]
    decoders: Mapping[str, _Decode]
    required: frozenset[str]

    @classmethod
    def of(cls, target: type[Event]) -> _Record:
        hints = get_type_hints(target)
        names = [f.name for f in fields(target)]
        return cls(
            cls=target,
            decoders={name: _decoder(hints[name], f"{target.__name__}.{name}") for name in names},
            required=frozenset(f.name for f in fields(target) if f.default is MISSING and f.default_factory is MISSING),
        )

    def decode(self, value: object) -> Event:
        name = self.cls.__name__
        if not isinstance(value, dict):
            raise _misfit(name, "an object", value)
        if unknown := value.keys() - self.decoders.keys():
            raise StoreError(f"{name} has no field {min(unknown)!r}")
        if missing := self.required - value.keys():
            raise StoreError(f"{name}.{min(missing)} is missing")
        values: dict[str, Any] = {field: self.decoders[field](item) for field, item in value.items()}
        return self.cls(**values)


@cache
def _records() -> Mapping[str, _Record]:
    return {cls.__name__: _Record.of(cls) for cls in get_args(Event)}


def _misfit(where: str, expected: str, value: object) -> StoreError:
    return StoreError(f"{where}: expected {expected}, got {value!r}")


def _decoder(hint: object, where: str) -> _Decode:
    """Return the function that reads one annotated field; TypeError if events outgrow this codec."""
    hint = getattr(hint, "__supertype__", hint)
    if get_origin(hint) is UnionType:
        return _optional(hint, where)
    if get_origin(hint) is tuple:
        return _sequence(hint, where)
    if isinstance(hint, type):
        if hint is float:
            return _number(where)
        if hint is int or hint is str:
            return _scalar(hint, where)
        if issubclass(hint, Enum):
            return _choice(hint, where)
        if issubclass(hint, tuple):
            return _named(hint, where)
    raise TypeError(f"{where}: no codec for {hint}")


def _number(where: str) -> _Decode:
    def decode_number(value: object) -> float:
        if type(value) is not float and type(value) is not int:
            raise _misfit(where, "a number", value)
        try:
            return float(value)
        except OverflowError as error:
            raise StoreError(f"{where}: a number too large") from error

    return decode_number


def _scalar(hint: type[int | str], where: str) -> _Decode:
    expected = "an integer" if hint is int else "text"

    def decode_scalar(value: object) -> int | str:
        if type(value) is not hint:
            raise _misfit(where, expected, value)
        return value

    return decode_scalar


def _optional(hint: object, where: str) -> _Decode:
    inner, *others = (arg for arg in get_args(hint) if arg is not NoneType)
    if others:
        raise TypeError(f"{where}: no codec for {hint}")
    decode_inner = _decoder(inner, where)
    return lambda value: None if value is None else decode_inner(value)


def _sequence(hint: object, where: str) -> _Decode:
    item, more = get_args(hint)
    if more is not Ellipsis:
        raise TypeError(f"{where}: no codec for {hint}")
    decode_item = _decoder(item, where)

    def decode_sequence(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _misfit(where, "a list", value)
        return tuple(map(decode_item, value))

    return decode_sequence


def _choice(hint: type[Enum], where: str) -> _Decode:
    members: Mapping[object, Enum] = {member.value: member for member in hint}

    def decode_choice(value: object) -> Enum:
        if not isinstance(value, str) or value not in members:
            raise _misfit(where, f"one of {', '.join(map(str, members))}", value)
        return members[value]

    return decode_choice


def _named(hint: type[tuple[Any, ...]], where: str) -> _Decode:
    decoders = [_decoder(item, f"{where}.{name}") for name, item in get_type_hints(hint).items()]

    def decode_named(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) != len(decoders):
            raise _misfit(where, f"a list of {len(decoders)}", value)
        return hint(*(decode_item(item) for decode_item, item in zip(decoders, value, strict=True)))

    return decode_named
