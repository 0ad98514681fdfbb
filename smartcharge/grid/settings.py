"""Where grid operators reach us over HTTP."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from smartcharge.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """The HTTP server."""

    host: str = "127.0.0.1"
    port: int = 8480
    tls_cert: Path | None = None
    """PEM file of our certificate; None serves without TLS, for a proxy on the same machine."""
    tls_key: Path | None = None
    """PEM file of its key; None if it is in the same file."""
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Bearer token of each grid operator, by its name."""

    def tls_context(self) -> ssl.SSLContext | None:
        """Return what to encrypt with, or None; raises ConfigError if a file cannot be used."""
        if self.tls_cert is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.tls_cert, self.tls_key)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError(f"http: TLS files cannot be used ({self.tls_cert}, {self.tls_key}): {error}") from error
        return context
