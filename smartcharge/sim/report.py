"""A campaign as one self-contained HTML page."""

from __future__ import annotations

from datetime import datetime

from smartcharge.sim.campaign import Campaign


def page(campaign: Campaign, made_at: datetime) -> str:
    """Return the page."""
    return f"<html><body><p>{campaign.recording} {made_at}</p></body></html>"
