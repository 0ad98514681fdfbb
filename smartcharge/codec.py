"""Frozen dataclasses as JSON text and back: one closed codec, derived from their fields and types.

All fields are written out, defaults too, so a later change of a default does not rewrite history; a
field that an old text does not have takes its default.  Everything else that does not fit is a
StoreError that names it.

Python's own JSON is used on purpose: unlike stricter parsers it carries every string and every
float that a station can make up (lone surrogates, NaN, infinities) there and back unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from functools import cached_property
from types import NoneType, UnionType
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

from smartcharge.errors import StoreError

Decode: TypeAlias = Callable[[object], Any]
T = TypeVar("T")


class Encoded(NamedTuple):
    """A fact as it is stored."""

    kind: str
    """Name of its class."""
    body: str
    """JSON object of its fields, ASCII only."""


class Codec(Generic[T]):
    """Writes and reads the members of one closed union of dataclasses, each by the name of its class."""

    def __init__(self, union: object, noun: str) -> None:
        """Take a union; ``noun`` is what its members are called in errors, e.g. ``"an event"``."""
        self._union = union
        self._noun = noun

    @cached_property
    def _records(self) -> Mapping[str, Record]:
        return {cls.__name__: Record.of(cls) for cls in get_args(self._union)}

    def knows(self, kind: str) -> bool:
        """Tell whether a stored kind is one of its union."""
        return kind in self._records

    def encode(self, fact: T) -> Encoded:
        """Return a fact as text; raises StoreError for what is not in the union or holds something unwritable."""
        kind = type(fact).__name__
        record = self._records.get(kind)
        if record is None or type(fact) is not record.cls:
            raise StoreError(f"{kind} is not {self._noun} that can be written down")
        try:
            return Encoded(kind, text({name: plain(getattr(fact, name)) for name in record.decoders}))
        except (TypeError, ValueError) as error:
            raise StoreError(f"{fact!r} cannot be written down: {error}") from error

    def decode(self, kind: str, body: str) -> T:
        """Return the fact behind a stored row; raises StoreError naming the type or field that does not fit."""
        record = self._records.get(kind)
        if record is None:
            raise StoreError(f"{kind!r} is not a known kind of {self._noun.partition(' ')[2]}")
        fact: T = record.decode(parsed(kind, body))
        return fact


def plain(value: object) -> object:
    """Return a value as JSON can hold it; a mapping becomes a list of pairs, since keys may be more than text."""
    match value:
        case Enum():
            return value.value
        case Mapping():
            return [[plain(key), plain(item)] for key, item in value.items()]
        case tuple():
            return [plain(item) for item in value]
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        case _:
            return value


text = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
"""Return plain values as JSON text, ASCII only; raises TypeError or ValueError."""


def parsed(where: str, body: str) -> object:
    """Return the plain values of a JSON text; raises StoreError naming where it stands."""
    try:
        value: object = json.loads(body)
    except ValueError as error:
        raise StoreError(f"{where}: not JSON: {error}") from error
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """How one dataclass is read."""

    cls: type[Any]
    decoders: Mapping[str, Decode]
    required: frozenset[str]

    @classmethod
    def of(cls, target: type[Any], without: frozenset[str] = frozenset()) -> Record:
        """Return how a dataclass is read; fields ``without`` which it is written are left to the caller."""
        hints = get_type_hints(target)
        mine = [f for f in fields(target) if f.name not in without]
        return cls(
            cls=target,
            decoders={f.name: _decoder(hints[f.name], f"{target.__name__}.{f.name}") for f in mine},
            required=frozenset(f.name for f in mine if f.default is MISSING and f.default_factory is MISSING),
        )

    def decode(self, value: object) -> Any:  # noqa: ANN401 - the dataclass that was asked for
        """Return the dataclass behind plain values; raises StoreError naming the field that does not fit."""
        return self.cls(**self.values(value))

    def values(self, value: object) -> dict[str, Any]:
        """Return its fields by name; raises StoreError."""
        name = self.cls.__name__
        if not isinstance(value, dict):
            raise _misfit(name, "an object", value)
        if unknown := value.keys() - self.decoders.keys():
            raise StoreError(f"{name} has no field {min(unknown)!r}")
        if missing := self.required - value.keys():
            raise StoreError(f"{name}.{min(missing)} is missing")
        return {field: self.decoders[field](item) for field, item in value.items()}


def _misfit(where: str, expected: str, value: object) -> StoreError:
    return StoreError(f"{where}: expected {expected}, got {value!r}")


def _decoder(hint: object, where: str) -> Decode:  # noqa: PLR0911 - a line a type
    """Return the function that reads one annotated field; TypeError if the dataclasses outgrow this codec."""
    hint = getattr(hint, "__supertype__", hint)
    origin = get_origin(hint)
    if origin is UnionType:
        return _optional(hint, where)
    if origin is tuple:
        return _sequence(hint, where)
    if origin is Mapping:
        return _mapping(hint, where)
    if isinstance(hint, type):
        if hint is float:
            return _number(where)
        if hint is int or hint is str or hint is bool:
            return _scalar(hint, where)
        if issubclass(hint, Enum):
            return _choice(hint, where)
        if issubclass(hint, tuple):
            return _fixed(list(get_type_hints(hint).items()), lambda items: hint(*items), where)
        if is_dataclass(hint):
            return Record.of(hint).decode
    raise TypeError(f"{where}: no codec for {hint}")


def _number(where: str) -> Decode:
    def decode_number(value: object) -> float:
        if type(value) is not float and type(value) is not int:
            raise _misfit(where, "a number", value)
        try:
            return float(value)
        except OverflowError as error:
            raise StoreError(f"{where}: a number too large") from error

    return decode_number


_NAMES: Mapping[type, str] = {int: "an integer", str: "text", bool: "true or false"}


def _scalar(hint: type, where: str) -> Decode:
    def decode_scalar(value: object) -> object:
        if type(value) is not hint:
            raise _misfit(where, _NAMES[hint], value)
        return value

    return decode_scalar


def _optional(hint: object, where: str) -> Decode:
    inner, *others = (arg for arg in get_args(hint) if arg is not NoneType)
    if others:
        raise TypeError(f"{where}: no codec for {hint}")
    decode_inner = _decoder(inner, where)
    return lambda value: None if value is None else decode_inner(value)


def _sequence(hint: object, where: str) -> Decode:
    items = get_args(hint)
    if items[-1] is not Ellipsis:
        return _fixed([(str(i), item) for i, item in enumerate(items)], tuple, where)
    decode_item = _decoder(items[0], where)

    def decode_sequence(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _misfit(where, "a list", value)
        return tuple(map(decode_item, value))

    return decode_sequence


def _mapping(hint: object, where: str) -> Decode:
    key, item = get_args(hint)
    decode_pair = _fixed([("key", key), ("value", item)], tuple, where)

    def decode_mapping(value: object) -> dict[Any, Any]:
        if not isinstance(value, list):
            raise _misfit(where, "a list of pairs", value)
        return dict(map(decode_pair, value))

    return decode_mapping


def _choice(hint: type[Enum], where: str) -> Decode:
    members: Mapping[object, Enum] = {member.value: member for member in hint}

    def decode_choice(value: object) -> Enum:
        if not isinstance(value, str) or value not in members:
            raise _misfit(where, f"one of {', '.join(map(str, members))}", value)
        return members[value]

    return decode_choice


def _fixed(items: list[tuple[str, Any]], make: Callable[[Any], Any], where: str) -> Decode:
    """Return the function that reads a tuple of known length, with names for its errors."""
    decoders = [_decoder(item, f"{where}.{name}") for name, item in items]

    def decode_fixed(value: object) -> Any:  # noqa: ANN401 - whatever `make` makes
        if not isinstance(value, list) or len(value) != len(decoders):
            raise _misfit(where, f"a list of {len(decoders)}", value)
        return make(decode_item(item) for decode_item, item in zip(decoders, value, strict=True))

    return decode_fixed
