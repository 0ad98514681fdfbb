"""March 2019 at Caltech, where somebody keeps the recording beside the repository; it is not part of it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from smartcharge.cli.cars import Cars, generated_cars, recorded_cars
from smartcharge.model import Site
from smartcharge.sim.generator import Kind

MARCH = Path(__file__).resolve().parents[2] / "shared/data/acn/caltech/2019-03_sessions_5min.csv"
FIRST = date(2019, 3, 1)


def march(site: Site, *, start: date = FIRST, days: int = 31) -> Cars | None:
    """Return days of the recording; None where there is none."""
    return recorded_cars(MARCH, site, start=start, days=days, unknown="error") if MARCH.exists() else None


def march_or_alike(site: Site, *, days: int = 31) -> Cars:
    """Return days of the recording, or generated ones of a garage alike where there is none."""
    return march(site, days=days) or generated_cars(Kind.PUBLIC, site, start=None, days=days, seed=2019)
