"""How to reach the broker and how often to publish."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from smartcharge.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """The connection to the broker and the pace of telemetry."""

    host: str = "localhost"
    port: int = 1883
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    """Encrypt, and verify the broker's certificate and name."""
    tls_ca: Path | None = None
    """PEM file of the certificate authority that signed the broker's; None trusts those of the system."""
    tls_cert: Path | None = None
    """PEM file of our own certificate, for brokers that ask for one."""
    tls_key: Path | None = None
    """PEM file of the key of ``tls_cert``; None if it is in the same file."""
    prefix: str = "smartcharge"
    """First level of every topic; the site follows."""
    client_id: str | None = None
    """None makes it ``smartcharge-SITE``: two controllers of one site throw each other out, visibly."""
    persistent_session: bool = False
    """Let the broker keep what arrives while we are away."""
    keepalive_s: int = 30
    """Silence after which the broker counts us as gone; 0 disables it, as simulated time must."""
    publish_s: float = 1.0
    """Least time between two publications of the whole state; setpoints go out at once."""

    def tls_context(self) -> ssl.SSLContext | None:
        """Return what to encrypt with, or None; raises ConfigError if a file cannot be used."""
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.tls_ca)
            if self.tls_cert is not None:
                context.load_cert_chain(self.tls_cert, self.tls_key)
        except OSError as error:  # ssl.SSLError is one
            files = ", ".join(str(path) for path in (self.tls_ca, self.tls_cert, self.tls_key) if path is not None)
            raise ConfigError(f"mqtt: TLS files cannot be used ({files}): {error}") from error
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings:
    """The broker at which the coordinator of a group is met."""

    operator: str
    """Name of its ``[[grid]]``."""
    group: str
    """Id of the group."""
    broker: MqttSettings
