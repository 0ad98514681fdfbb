"""How to reach an OSCP capacity provider, and how it reaches us."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class OscpSettings:
    """One OSCP 2.0 capacity provider, as one grid operator."""

    operator: str
    """Name of the operator in the site file."""
    url: str
    """Its base URL, e.g. ``https://cp.example/oscp/cp/2.0``."""
    our_url: str
    """The base URL of our own HTTP server as it sees it, e.g. ``https://site.example``."""
    token: str = field(repr=False)
    """The token that was agreed on for the first registration, whoever begins."""
    group_id: str
    """The group of its capacity that this site is."""
    tls_ca: Path | None = None
    heartbeat_s: float = 60.0
    """Period at which it is asked to send heartbeats."""
