"""Results made up by hand, for whoever shows them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from smartcharge.config import OcppSettings, Settings, StoreSettings
from smartcharge.sim.campaign import Campaign
from smartcharge.sim.result import Detection, Result, Series
from smartcharge.sim.runner import UNCONTROLLED, Run
from smartcharge.sim.watcher import Violation
from tests.builders import tree

START_S = datetime(2025, 1, 6, tzinfo=UTC).timestamp()
DAY_S = 86_400.0
SETTINGS = Settings(site=tree(), mqtt=None, ocpp=OcppSettings(), store=StoreSettings())


def course(hours: int = 24, step_s: float = 60.0) -> Series:
    """A quiet course of 10 kW under a limit of 40 kW, with one car that charges."""
    count = int(hours * 3600 / step_s)
    return Series(
        at_s=tuple(START_S + step_s * i for i in range(count)),
        power_w=(10_000.0,) * count,
        limit_w=(40_000.0,) * count,
        cars=(2,) * count,
        charging=(1,) * count,
    )


def violation(after_s: float = 3600.0, lasts_s: float = 60.0, **changes: Any) -> Violation:
    usual = Violation(
        at_s=START_S + after_s, until_s=START_S + after_s + lasts_s, circuit="north", phase="L2", amount_a=3.25,
        limit_a=40.0, cause="rating",
    )  # fmt: skip
    return replace(usual, **changes)


def detection(after_s: float, detected_s: float | None = 30.0, kind: str = "station-silent") -> Detection:
    at_s = START_S + after_s
    seen_s = None if detected_s is None else at_s + detected_s
    return Detection(
        kind=kind, target="n0", planted_s=at_s, until_s=at_s + 600.0, detected_s=seen_s, evidence="Unanswered"
    )


def result(policy: str = "optimal", **changes: Any) -> Result:
    usual = Result(
        policy=policy, energy_requested_wh=100_000.0, energy_delivered_wh=87_654.0, sessions=12, sessions_met=9,
        cost=21.9, peak_w=33_333.0, fairness=0.987, session_wh={}, pauses=3, worst_loading=0.91, violations=(),
        misbehaviour=(), detections=(), limit_drop_to_compliance_s=(),
        solve_s=() if policy == UNCONTROLLED else (0.010, 0.020, 0.5), wall_s=4.2,
        series=course(),
    )  # fmt: skip
    return replace(usual, **changes)


def campaign(*results: Result, days: int = 1, **changes: Any) -> Campaign:
    run = Run(settings=SETTINGS, policy="optimal", visits=(), start_s=START_S, end_s=START_S + days * DAY_S)
    return Campaign(run=replace(run, **changes), recording="cars.csv", notes=("days: 1",), results=results)
