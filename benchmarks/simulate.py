"""How long a simulated day takes: controller, stations and cars, by function call and over OCPP and MQTT."""

from __future__ import annotations

import sys
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from benchmarks.figures import Row
from smartcharge.config import load
from smartcharge.sim.generator import Kind, generate
from smartcharge.sim.runner import Run, Transport, simulate

SITES = Path(__file__).resolve().parent.parent / "sites"
MONDAY = date(2025, 1, 6)
DAY_H = 24.0
CASES = (("depot", Kind.DEPOT), ("caltech", Kind.PUBLIC))


def measure(*, cases: tuple[tuple[str, Kind], ...] = CASES, hours: float = DAY_H) -> list[Row]:
    """Return a row for each site and transport."""
    return [_row(name, kind, transport, hours) for name, kind in cases for transport in Transport]


def _row(name: str, kind: Kind, transport: Transport, hours: float) -> Row:
    settings = load(SITES / f"{name}.toml")
    start_s = datetime(MONDAY.year, MONDAY.month, MONDAY.day, tzinfo=ZoneInfo(settings.site.timezone)).timestamp()
    run = Run(
        settings=settings, policy=settings.site.solver, transport=transport, start_s=start_s,
        end_s=start_s + hours * 3600.0, visits=generate(settings.site, start=MONDAY, days=1, seed=0, kind=kind),
    )  # fmt: skip
    result = simulate(run)
    return {
        "benchmark": "simulate", "site": name, "transport": transport.value, "evses": len(settings.site.evses),
        "sessions": result.sessions, "simulated_h": hours, "wall_s": round(result.wall_s, 2),
        "wall_s_per_day": round(result.wall_s * DAY_H / hours, 2), "plans": len(result.solve_s),
        "violations": len(result.violations),
    }  # fmt: skip


if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["simulate", *sys.argv[1:]])
