"""How to reach an OpenADR 3 server (VTN), and how to read what it says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAdrSettings:
    """One OpenADR 3 server, as one grid operator."""

    operator: str
    """Name of the operator in the site file."""
    url: str
    """Base of every path, e.g. ``https://vtn.example/openadr3/3.1.0``."""
    client_id: str
    client_secret: str = field(repr=False)
    version: Literal["3.0.1", "3.1.0"] = "3.1.0"
    token_url: str | None = None
    """None asks the server (``/auth/server``; 3.0.1: ``/auth/token``)."""
    tls_ca: Path | None = None
    program: str | None = None
    """Name of the program whose events count; None takes those of all."""
    targets: tuple[str, ...] = ()
    """Events for others than these are left alone; empty takes every event that the server shows us."""
    poll_s: float = 30.0
    profile: Literal["gac"] | None = None
    naive_is_utc: bool = False
    """Whether times without an offset are UTC; else an event with one is refused."""
    simple_w: tuple[float, ...] = ()
    """Limit [W] at the levels of SIMPLE from 0 on."""
    ven_name: str = "smartcharge"
    mqtt_hints: bool = False
    """Whether to listen for notifications on the server's MQTT broker (3.1.0)."""
    our_url: str | None = None
    """The base URL of our own HTTP server as the server sees it, for notifications; None only polls."""
