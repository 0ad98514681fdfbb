"""How much of what cars want is delivered, on the assumptions of published figures, beside what could have been.

Four days and limits of March 2019 at Caltech for which others have published figures; no rows without the recording.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from benchmarks.figures import Row
from benchmarks.recording import march
from smartcharge.config import load, with_capacity
from smartcharge.sim.assumptions import Assumptions, Needs, Pilots
from smartcharge.sim.campaign import play
from smartcharge.sim.cars import Battery
from smartcharge.sim.clairvoyant import hindsight
from smartcharge.sim.runner import Run

SITE = Path(__file__).resolve().parent.parent / "sites" / "caltech.toml"
POLICIES = ("optimal", "llf", "edf", "equal")
STAY_S = 12 * 3600.0
SMOOTH = Assumptions(needs=Needs.KNOWN, battery=Battery.IDEAL, pilots=Pilots.CONTINUOUS, longest_stay_s=STAY_S)
REAL = Assumptions(needs=Needs.KNOWN, battery=Battery.TIGHT, longest_stay_s=STAY_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Some days at a limit."""

    name: str
    start: date
    days: int
    assumptions: Assumptions
    capacity_w: float


CASES = tuple(
    Case(name=f"{name}, {capacity_w / 1000.0:.0f} kW", start=start, days=days, assumptions=made, capacity_w=capacity_w)
    for name, start, days, made in (
        ("4-8 March, ideal batteries, continuous pilots", date(2019, 3, 4), 5, SMOOTH),
        ("7 March, tapering batteries, discrete pilots", date(2019, 3, 7), 1, REAL),
    )
    for capacity_w in (30_000.0, 40_000.0)
)


def measure(*, cases: Sequence[Case] = CASES, policies: Sequence[str] = POLICIES) -> list[Row]:
    """Return a row for each case and policy; none without the recording."""
    return [row for case in cases for row in _rows(case, policies)]


def _rows(case: Case, policies: Sequence[str]) -> list[Row]:
    settings = load(SITE)
    site = with_capacity(case.assumptions.site(settings.site), case.capacity_w)
    cars = march(site, start=case.start, days=case.days)
    if cars is None:
        return []
    visits = case.assumptions.visits(cars.visits)
    run = Run(
        settings=replace(settings, site=site), policy=policies[0], visits=visits, start_s=cars.start_s,
        end_s=max(cars.end_s, *(visit.depart_s + 1.0 for visit in visits)), assumptions=case.assumptions,
    )  # fmt: skip
    results = play(run, policies, jobs=os.cpu_count() or 1, on_sample=lambda *_: None)
    known = hindsight(run, results)
    assert known is not None
    return [
        {
            "benchmark": "closed_loop", "case": case.name, "policy": result.policy, "sessions": result.sessions,
            "delivered": round(result.energy_delivered_wh / result.energy_requested_wh, 4),
            "clairvoyant": round(known.optimum.energy_wh / result.energy_requested_wh, 4),
            "sessions_met": result.sessions_met, "pauses": result.pauses, "fairness": round(result.fairness, 4),
            "violations": len(result.violations), "wall_s": round(result.wall_s, 1),
        }
        for result in results
    ]  # fmt: skip


if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["closed_loop", *sys.argv[1:]])
