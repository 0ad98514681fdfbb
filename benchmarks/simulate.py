"""How long simulated time takes: days by function call and over OCPP and MQTT, and a month by function call."""

from __future__ import annotations

import sys
import time
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from benchmarks.figures import Row
from benchmarks.recording import MARCH, march_or_alike
from smartcharge.config import load
from smartcharge.sim.generator import Kind, generate
from smartcharge.sim.runner import Run, Transport, simulate

SITES = Path(__file__).resolve().parent.parent / "sites"
MONDAY = date(2025, 1, 6)
DAY_H = 24.0
MONTH_DAYS = 31
CASES = (("depot", Kind.DEPOT), ("caltech", Kind.PUBLIC))


def measure(
    *, cases: tuple[tuple[str, Kind], ...] = CASES, hours: float = DAY_H, month_days: int = MONTH_DAYS
) -> list[Row]:
    """Return a row for each site and transport, and one for a month at Caltech."""
    days = [_day(name, kind, transport, hours) for name, kind in cases for transport in Transport]
    return [*days, _month(month_days)]


def _month(days: int) -> Row:
    """Play a month: recorded, or generated days where there is no recording."""
    settings = load(SITES / "caltech.toml")
    cars = march_or_alike(settings.site, days=days)
    run = Run(
        settings=settings, policy=settings.site.solver, transport=Transport.DIRECT, start_s=cars.start_s,
        end_s=cars.end_s, visits=cars.visits,
    )  # fmt: skip
    return _row(run, "caltech", DAY_H * days) | {"cars": "recorded" if MARCH.exists() else "generated"}


def _day(name: str, kind: Kind, transport: Transport, hours: float) -> Row:
    settings = load(SITES / f"{name}.toml")
    start_s = datetime(MONDAY.year, MONDAY.month, MONDAY.day, tzinfo=ZoneInfo(settings.site.timezone)).timestamp()
    run = Run(
        settings=settings, policy=settings.site.solver, transport=transport, start_s=start_s,
        end_s=start_s + hours * 3600.0, visits=generate(settings.site, start=MONDAY, days=1, seed=0, kind=kind),
    )  # fmt: skip
    return _row(run, name, hours)


def _row(run: Run, name: str, hours: float) -> Row:
    began_s = time.process_time()
    result = simulate(run)
    return {
        "benchmark": "simulate", "site": name, "transport": run.transport.value, "evses": len(run.settings.site.evses),
        "sessions": result.sessions, "simulated_h": hours, "wall_s": round(result.wall_s, 2),
        "cpu_s": round(time.process_time() - began_s, 2),
        "wall_s_per_day": round(result.wall_s * DAY_H / hours, 2), "plans": len(result.solve_s),
        "violations": len(result.violations),
    }  # fmt: skip


if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["simulate", *sys.argv[1:]])
