"""The values that a key may have: ids, numbers with a range, one current or three, rotations."""

from __future__ import annotations

import re
from math import inf
from typing import Annotated, Final, Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from smartcharge.model import Phases, Rotation

_ID = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,47}$"
_NUMBERED = re.compile(r"\{(\d+)\.\.(\d+)\}")


def _phases(value: object) -> Phases:
    """Return one number or three as the current on each phase [A]."""
    given = value if isinstance(value, list) else [value] * 3
    amps = [float(a) for a in given if isinstance(a, int | float) and not isinstance(a, bool)]
    if len(amps) != 3 or len(given) != 3:
        raise ValueError("must be one number, or an array of three: L1, L2, L3")
    if not all(0.0 <= a < inf for a in amps):
        raise ValueError("must be finite and not negative")
    return Phases(*amps)


def _rotations(value: object) -> tuple[Rotation, ...]:
    names = value if isinstance(value, list) else [value]
    known = {rotation.value for rotation in Rotation}
    if not names or any(not isinstance(name, str) or name not in known for name in names):
        raise ValueError(f"must be one of {', '.join(sorted(known))}, or an array of them to be taken in turn")
    return tuple(Rotation(name) for name in names)


def _expanded(patterns: list[str]) -> list[str]:
    """Return the ids that patterns like ``yard-{01..12}`` stand for."""
    ids: list[str] = []
    for pattern in patterns:
        numbered = _NUMBERED.search(pattern)
        if numbered is None:
            ids.append(pattern)
            continue
        first, last = numbered.groups()
        if int(last) < int(first) or int(last) - int(first) >= 10_000:
            raise ValueError(f"{pattern!r} must count upwards, over less than 10000 ids")
        width = len(first)
        ids += [_NUMBERED.sub(f"{n:0{width}}", pattern, count=1) for n in range(int(first), int(last) + 1)]
    wrong = [name for name in ids if not re.match(_ID, name)]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is no id: letters, digits and . _ : - only, at most 48 of them")
    return ids


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, LookupError) as error:  # ZoneInfoNotFoundError is a LookupError, a folder an OSError
        raise ValueError(f"{name!r} is no time zone of the IANA database, e.g. Europe/Amsterdam") from error
    return name


Id: TypeAlias = Annotated[str, Field(pattern=_ID)]
Positive: TypeAlias = Annotated[float, Field(gt=0.0)]
NotNegative: TypeAlias = Annotated[float, Field(ge=0.0)]
Port: TypeAlias = Annotated[int, Field(ge=1, le=65535)]
Timezone: TypeAlias = Annotated[str, AfterValidator(_timezone)]
Ids: TypeAlias = Annotated[list[str], Field(min_length=1), AfterValidator(_expanded)]

Weekday: TypeAlias = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: Final[tuple[Weekday, ...]] = get_args(Weekday)

_NUMBER = {"type": "number", "minimum": 0}
PerPhase: TypeAlias = Annotated[
    Phases,
    PlainValidator(_phases),
    WithJsonSchema({"anyOf": [_NUMBER, {"type": "array", "items": _NUMBER, "minItems": 3, "maxItems": 3}]}),
]
_ROTATION = {"type": "string", "enum": [rotation.value for rotation in Rotation]}
Rotations: TypeAlias = Annotated[
    tuple[Rotation, ...],
    PlainValidator(_rotations),
    WithJsonSchema({"anyOf": [_ROTATION, {"type": "array", "items": _ROTATION, "minItems": 1}]}),
]
