"""Mapping files: what a vendor's own error codes mean, one file a vendor."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from smartcharge.errors import ConfigError
from smartcharge.faults import Cause

_Name = Annotated[str, Field(min_length=1, max_length=255)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    vendors: Annotated[list[_Name], Field(min_length=1)]
    """The vendorId of an error, or the vendor that a station names at boot."""
    codes: dict[_Name, Cause]
    """Cause by the vendor's code, as it stands in vendorErrorCode (OCPP 1.6) or techCode (2.x)."""


def vendor_codes(names: Iterable[str], folder: Path) -> Mapping[tuple[str, str], Cause]:
    """Return what codes mean, by vendor and code; raises ConfigError naming every error of every file.

    Args:
        names: the mapping files, relative to ``folder``.
        folder: where the site file is.
    """
    found: dict[tuple[str, str], Cause] = {}
    for name in names:
        for vendor, codes in _read(folder / name).items():
            found |= {(vendor, code): cause for code, cause in codes.items()}
    return found


def _read(path: Path) -> Mapping[str, Mapping[str, Cause]]:
    try:
        file = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error
    except ValidationError as error:
        lines = (f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
        raise ConfigError("; ".join(lines)) from error
    return dict.fromkeys(file.vendors, file.codes)
