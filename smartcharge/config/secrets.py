"""Passwords, or their hashes, stand in files or in the environment, never in a site file."""

from __future__ import annotations

import os
from pathlib import Path

from smartcharge.config.keys import BrokerKeys, GridKeys, MaintenanceKeys, OcppKeys, OpenAdrKeys, OscpKeys, StationKeys
from smartcharge.csms.secrets import is_secret
from smartcharge.errors import ConfigError


def mqtt_password(keys: BrokerKeys, folder: Path) -> str | None:
    """Return the password at the broker, None if there is none; raises ConfigError if it cannot be had."""
    if keys.password_env is not None:
        found = os.environ.get(keys.password_env)
        if found is None:
            raise ConfigError(f"the environment variable {keys.password_env} is not set")
        return found
    return None if keys.password_file is None else _read(folder / keys.password_file)


def webhook_token(keys: MaintenanceKeys) -> str | None:
    """Return the bearer token of the webhook, None if it needs none; raises ConfigError if it cannot be had."""
    if keys.webhook_token_env is None:
        return None
    found = os.environ.get(keys.webhook_token_env)
    if found is None:
        raise ConfigError(f"maintenance.webhook_token_env: the variable {keys.webhook_token_env} is not set")
    return found


def station_secret(keys: StationKeys, station: str, folder: Path) -> str | None:
    """Return the hash of a station's password, None if it needs none; raises ConfigError if it cannot be had."""
    if keys.password_file is None:
        return None
    path = folder / keys.password_file.replace("{id}", station)
    secret = _read(path)
    if not is_secret(secret):
        raise ConfigError(f"{path} holds no hash of a password; `smartcharge secret` makes one")
    return secret


def grid_token(keys: GridKeys, folder: Path) -> str | None:
    """Return the token of a grid operator, None if it has none; raises ConfigError if it cannot be had."""
    return None if keys.token_file is None else _read(folder / keys.token_file)


def openadr_secret(keys: OpenAdrKeys, folder: Path) -> str:
    """Return the secret at an OpenADR server; raises ConfigError if it cannot be had."""
    return _read(folder / keys.secret_file)


def oscp_token(keys: OscpKeys, folder: Path) -> str:
    """Return the token for the first registration at a capacity provider; raises ConfigError if it cannot be had."""
    return _read(folder / keys.token_file)


def upstream_password(keys: OcppKeys, station: str, folder: Path) -> str | None:
    """Return a station's password at the back-end, None if it needs none; raises ConfigError if it cannot be had."""
    if keys.upstream_password_file is None:
        return None
    return _read(folder / keys.upstream_password_file.replace("{id}", station))


def _read(path: Path) -> str:
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if not secret:
        raise ConfigError(f"{path} is empty")
    return secret
