"""``smartcharge secret``: the hash of a station's password, for the file that `password_file` names."""

from __future__ import annotations

import secrets
import sys
from typing import Annotated

import typer

from smartcharge.csms.secrets import make_secret
from smartcharge.errors import ConfigError

_GENERATED_BYTES = 15
"""Which makes 20 characters."""
_LENGTHS = range(16, 41)
"""Characters that OCPP takes (2.0.1 A00.FR.205)."""


def secret(
    *,
    generate: Annotated[
        bool, typer.Option("--generate", help="Make up a password and show it on stderr; set it in the station.")
    ] = False,
) -> None:
    """Print the hash of a station's OCPP Basic password, which is read from stdin.

    Example: `smartcharge secret --generate > yard-01.secret`
    """
    password = secrets.token_urlsafe(_GENERATED_BYTES) if generate else sys.stdin.readline().rstrip("\r\n")
    if len(password) not in _LENGTHS:
        raise ConfigError("a password has 16 to 40 characters (OCPP security white paper)")
    if generate:
        typer.echo(f"password: {password}", err=True)
    typer.echo(make_secret(password))
