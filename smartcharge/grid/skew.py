"""How far another machine's clock is off ours, by what its HTTP server says."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from smartcharge.clock import now_s


def skew_s(headers: Mapping[str, str]) -> float | None:
    """Return how far a server's clock is ahead of ours [s], in whole seconds; None where it does not tell."""
    try:
        return parsedate_to_datetime(headers["Date"]).timestamp() - now_s()
    except (KeyError, ValueError):
        return None
