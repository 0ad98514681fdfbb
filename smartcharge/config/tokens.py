"""The site's own list of tokens: who may charge."""

from __future__ import annotations

import tomllib
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from smartcharge.errors import ConfigError
from smartcharge.orders import ListEntry

_Token = Annotated[str, Field(min_length=1, max_length=36)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: _Token
    """As the station reads it; upper and lower case are the same."""
    kind: Literal["Central", "eMAID", "ISO14443", "ISO15693", "KeyCode", "Local", "MacAddress"] = "ISO14443"
    """IdTokenEnumType; 1.6 has none."""
    status: Literal["Accepted", "Blocked", "Expired", "Invalid"] = "Accepted"
    expires: AwareDatetime | None = None
    group: _Token | None = None
    """Those of one group may end each other's transactions."""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: list[_Entry]


def read_tokens(path: Path) -> tuple[ListEntry, ...]:
    """Return the entries of a list; raises ConfigError naming every error."""
    try:
        file = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error
    except ValidationError as error:
        lines = (f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
        raise ConfigError("; ".join(lines)) from error
    names = [entry.id.lower() for entry in file.tokens]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{path}: tokens: {', '.join(twice)} stand twice in it")
    return tuple(
        ListEntry(
            id_token=entry.id,
            kind=entry.kind,
            status=entry.status,
            expires_s=_seconds(entry.expires),
            group=entry.group,
        )
        for entry in file.tokens
    )


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
