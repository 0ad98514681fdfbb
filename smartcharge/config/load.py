"""A site file, read: the settings in it, or every error in it at once."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from smartcharge.config import build, checks, group
from smartcharge.config.draft import Draft, Fault, key_faults
from smartcharge.config.keys import GroupFile, SiteFile
from smartcharge.config.settings import Settings
from smartcharge.errors import ConfigError


def shipped(name: str) -> Path:
    """Return a site file that comes with smartcharge: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).parent.parent
    places = (package.parent / "sites" / name, package / "sites" / name)
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise ConfigError(f"{name}: is not among the site files that come with smartcharge")
    return found


def load(path: Path) -> Settings:
    """Return what the file of a site or a group settles.

    Raises ConfigError with one line ``file: key: reason`` for every error.
    """
    raw, folder = _parsed(path), path.parent
    is_group = group.is_group(raw)
    found = group.faults(raw, folder) if is_group else _faults(raw, folder)
    lines = [f"{path}: {fault.path}: {fault.reason}" for fault in found]
    if lines:
        raise ConfigError("\n".join(lines))
    if is_group:
        return group.settings(GroupFile.model_validate(raw), folder)
    return build.settings(SiteFile.model_validate(raw), folder)


def _faults(raw: dict[str, Any], folder: Path) -> Iterator[Fault]:
    yield from key_faults(raw, SiteFile)
    yield from checks.faults(Draft.of(raw), folder)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not text in UTF-8: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error
