"""A site file, read: the settings in it, or every error in it at once."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from smartcharge.config import build, checks
from smartcharge.config.draft import Draft, key_faults
from smartcharge.config.keys import SiteFile
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
    """Return what a site file settles; raises ConfigError with one line ``file: key: reason`` for every error."""
    raw = _parsed(path)
    found = [*key_faults(raw), *checks.faults(Draft.of(raw), path.parent)]
    if found:
        raise ConfigError("\n".join(f"{path}: {fault.path}: {fault.reason}" for fault in found))
    return build.settings(SiteFile.model_validate(raw), path.parent)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not text in UTF-8: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error
