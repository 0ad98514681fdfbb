"""How to reach an OpenADR 2.0b server (VTN)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAdr2bSettings:
    """One OpenADR 2.0b server, as one grid operator."""

    operator: str
    """Name of the operator in the site file."""
    url: str
    """Base of its services, e.g. ``https://vtn.example/OpenADR2/Simple/2.0b``."""
    ven_name: str
    tls_cert: Path | None = None
    """PEM file of our certificate, which the server knows us by and messages are signed with."""
    tls_key: Path | None = None
    tls_ca: Path | None = None
    vtn_fingerprint: str | None = None
    """Fingerprint of the server's certificate, where its messages are signed."""
    poll_s: float = 10.0
    simple_w: tuple[float, ...] = ()
    """Limit [W] at the levels of SIMPLE from 0 on."""
