"""Where stations connect to, and how they prove who they are."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from smartcharge.csms.authority import TokenPolicy
from smartcharge.csms.signing import Signer
from smartcharge.csms.upstream import Backend
from smartcharge.errors import ConfigError
from smartcharge.model import StationId


@dataclass(frozen=True, slots=True, kw_only=True)
class OcppSettings:
    """The listener of the OCPP server (security profiles: OCPP 2.0.1 part 2, A00)."""

    host: str = "0.0.0.0"  # noqa: S104 - stations are other machines, on whichever network the installer chose
    port: int = 9000
    security_profile: int = 0
    """0: nothing, or the password where there is one; 1: password; 2: TLS and password; 3: TLS and certificate."""
    unknown: Literal["refuse", "hold"] = "refuse"
    """What becomes of a station that the site file does not have."""
    tls_cert: Path | None = None
    """PEM file of the server's certificate with its chain."""
    tls_key: Path | None = None
    """PEM file of its key; None if it is in the same file."""
    tls_client_ca: Path | None = None
    """PEM file of the authority that signs the stations' certificates."""

    ca_cert: Path | None = None
    """PEM file of the authority that signs what stations ask for; None refuses them."""
    ca_key: Path | None = None
    ca_days: int = 365
    token_policy: TokenPolicy = field(default_factory=TokenPolicy)
    """Who may charge."""
    backends: Mapping[StationId, Backend] = field(default_factory=dict)
    """The operator's back-end of each station that has one."""

    @property
    def is_encrypted(self) -> bool:
        """Tell whether stations connect with wss."""
        return self.security_profile >= 2

    def signer(self) -> Signer | None:
        """Return what signs the certificates of stations, or None; raises ConfigError if a file cannot be used."""
        if self.ca_cert is None or self.ca_key is None:
            return None
        return Signer(self.ca_cert, self.ca_key, self.ca_days)

    def tls_context(self) -> ssl.SSLContext | None:
        """Return what to encrypt with (TLS 1.2 or newer), or None; raises ConfigError if a file cannot be used."""
        if not self.is_encrypted:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        assert self.tls_cert is not None
        try:
            context.load_cert_chain(self.tls_cert, self.tls_key)
            if self.security_profile == 3:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(self.tls_client_ca)
        except OSError as error:  # ssl.SSLError is one
            files = ", ".join(str(path) for path in (self.tls_cert, self.tls_key, self.tls_client_ca) if path)
            raise ConfigError(f"ocpp: TLS files cannot be used ({files}): {error}") from error
        return context
