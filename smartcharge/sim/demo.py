"""A day at a depot in a minute: real OCPP and MQTT on loopback, a grid limit that halves, a station that dies."""

from __future__ import annotations

import time as wall
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from smartcharge.config.settings import Settings
from smartcharge.ports import Snapshot
from smartcharge.sim.generator import Kind, generate
from smartcharge.sim.recordings import Visit
from smartcharge.sim.result import Result
from smartcharge.sim.runner import Run, Transport, simulate
from smartcharge.sim.scenario import Fault, FaultKind, GridStep, Scenario

SHOWN_S = 18 * 3600.0
"""What is shown: from noon, before the vans come home, to the morning when they leave [s]."""
PACE = 1440.0
"""Simulated seconds in a real one at most: a minute for a day."""
REFRESH_S = 0.1
SAMPLE_S = 120.0
HALVED = GridStep(at=time(19), share=0.5, duration_s=3 * 3600.0)
KILLED = Fault(kind=FaultKind.STATION_DEAD, at=time(18, 15), duration_s=1800.0)
"""It dies before the limit halves and revives under the full limit: both are seen apart."""


def plan(settings: Settings, visits: tuple[Visit, ...] | None, start: date, seed: int) -> Run:
    """Return the demo's run: from noon on with generated cars, from 06:00 on with recorded ones, who work by day."""
    begin_s = datetime.combine(start, time(12), ZoneInfo(settings.site.timezone)).timestamp()
    if visits is None:
        visits = generate(settings.site, start=start, days=2, seed=seed, kind=Kind.DEPOT)
    else:
        begin_s -= 6 * 3600.0
    return Run(
        settings=settings,
        policy=settings.site.solver,
        visits=visits,
        start_s=begin_s,
        end_s=begin_s + SHOWN_S,
        scenario=Scenario(limits=(HALVED,), faults=(KILLED,)),
        transport=Transport.OCPP,
        seed=seed,
        pace=PACE,
        sample_s=SAMPLE_S,
    )


def show(run: Run, console: Console) -> Result:
    """Play the run before the console's eyes and return its result."""
    screen = Screen(run=run)
    if not console.is_terminal:
        return simulate(run, observers=(screen,), on_sample=lambda at_s: _tell(screen, console, at_s))
    with Live(screen.render(), console=console, auto_refresh=False, transient=True) as live:
        return simulate(run, observers=(screen,), on_sample=lambda at_s: screen.refresh(live, at_s))


def _tell(screen: Screen, console: Console, at_s: float) -> None:
    """Print a line an hour where nothing can be redrawn."""
    screen.at_s = at_s
    if (at_s - screen.run.start_s) % 3600.0 < SAMPLE_S:
        console.print(screen.headline())


@dataclass(slots=True, kw_only=True)
class Screen:
    """What is shown; an `ports.Observer` of the controller."""

    run: Run
    at_s: float = 0.0
    snapshot: Snapshot | None = None
    log: list[str] = field(default_factory=list)
    _drawn_at: float = 0.0
    _noted: frozenset[str] = frozenset()

    def observe(self, snapshot: Snapshot) -> None:
        """Keep the newest cycle and note what is new in it."""
        self.snapshot, self.at_s = snapshot, snapshot.at_s
        facts = frozenset(self._facts(snapshot))
        self.log += [f"{self._clock()}  {fact}" for fact in sorted(facts - self._noted)]
        self.log += [f"{self._clock()}  over: {fact}" for fact in sorted(self._noted - facts)]
        self._noted = facts

    @staticmethod
    def _facts(snapshot: Snapshot) -> Iterator[str]:
        for known in snapshot.state.sources.values():
            for limit in known.limits:
                if limit.current_a is not None:
                    yield f"grid limit of {limit.source}: {min(limit.current_a):.0f} A on {limit.circuit}"
        for name, station in snapshot.state.stations.items():
            if not station.online and station.boot is not None:
                yield f"{name} is offline: its limit stays reserved until it expires, then its default"
        for evse in snapshot.state.evses.values():
            yield from (f"{evse.evse.id}: {code}" for code in evse.faults)
        yield from (f"{name}: {reason}" for name, reason in snapshot.troubles.items())

    def _clock(self) -> str:
        return f"{datetime.fromtimestamp(self.at_s, ZoneInfo(self.run.settings.site.timezone)):%a %H:%M}"

    def refresh(self, live: Live, at_s: float) -> None:
        """Redraw, but no more often than eyes can follow."""
        self.at_s = at_s
        if wall.perf_counter() - self._drawn_at >= REFRESH_S:
            self._drawn_at = wall.perf_counter()
            live.update(self.render(), refresh=True)

    def headline(self) -> Text:
        """Return the state of the site in a line."""
        if self.snapshot is None:
            return Text("starting")
        used_a, limit_a, cars, charging = self._figures(self.snapshot)
        return Text(
            f"{self._clock()}   reserved {used_a:5.0f} A of {limit_a:5.0f} A on the busiest phase   "
            f"{cars:2d} cars, {charging:2d} charging"
        )

    @staticmethod
    def _figures(snapshot: Snapshot) -> tuple[float, float, int, int]:
        """Return reserved current and limit on the busiest phase of the grid connection, cars, cars that may charge."""
        state = snapshot.state
        rows = [
            r
            for r in state.topology.of_circuit[snapshot.site.circuits[0].id]
            if state.topology.rows[r].phase is not None
        ]
        current_a = [state.reserved_a(name, snapshot.at_s) for name in state.topology.evses]
        loads = state.topology.loads(np.array(current_a)) + snapshot.limits.other_a
        row = max(rows, key=lambda r: float(loads[r] / snapshot.limits.limit_a[r]))
        cars = sum(1 for evse in state.evses.values() if evse.occupied)
        charging = sum(
            1 for name, s in snapshot.decision.setpoints.items() if state.evses[name].occupied and s.limit_a > 0.0
        )
        return float(loads[row]), float(snapshot.limits.limit_a[row]), cars, charging

    def render(self) -> Group:
        """Return the whole screen."""
        if self.snapshot is None:
            return Group(Text("starting"))
        used_a, limit_a, _, _ = self._figures(self.snapshot)
        bar = ProgressBar(total=max(self.run.settings.site.circuits[0].rating_a), completed=used_a, width=60)
        head = Group(self.headline(), bar, Text(f"limit {limit_a:.0f} A"))
        site = self.run.settings.site
        events = Text("\n".join(self.log[-6:]) or "-")
        return Group(
            Panel(head, title=f"{site.name}: OCPP 1.6 and 2.0.1, MQTT, simulated time"),
            self._cars(self.snapshot),
            Panel(self._reasons(self.snapshot), title="why the limits are what they are"),
            Panel(events, title="what happened"),
        )

    @staticmethod
    def _cars(snapshot: Snapshot) -> Table:
        table = Table("EVSE", "may draw", "draws", "still wants", "reason", expand=True)
        busy = [e for e in snapshot.state.evses.values() if e.session is not None]
        for evse in sorted(busy, key=lambda e: -snapshot.decision.setpoints[e.evse.id].limit_a)[:12]:
            setpoint = snapshot.decision.setpoints[evse.evse.id]
            drawn = (
                "-"
                if evse.reading is None or evse.reading.current_a is None
                else f"{max(evse.reading.current_a):.0f} A"
            )
            assert evse.session is not None
            wanted = evse.session.energy_wh
            left = "?" if wanted is None else f"{max(wanted - evse.session.delivered_wh, 0.0) / 1000.0:.1f} kWh"
            table.add_row(evse.evse.id, f"{setpoint.limit_a:.0f} A", drawn, left, setpoint.reason)
        return table

    @staticmethod
    def _reasons(snapshot: Snapshot) -> Text:
        state = snapshot.state
        reasons = Counter(
            s.reason for n, s in snapshot.decision.setpoints.items() if state.evses[n].session is not None
        )
        return Text("\n".join(f"{count:3d} x {reason}" for reason, count in reasons.most_common(4)) or "no car")


def summary(result: Result) -> dict[str, Any]:
    """Return the figures of the demo, as `smartcharge demo --json` writes them."""
    return {
        "violations": len(result.violations),
        "energy_wh": result.energy_delivered_wh,
        "energy_requested_wh": result.energy_requested_wh,
        "sessions": result.sessions,
        "sessions_met": result.sessions_met,
        "peak_w": result.peak_w,
        "limit_drop_to_compliance_s": max(result.limit_drop_to_compliance_s, default=None),
        "faults": [
            {"kind": d.kind, "target": d.target, "detected_after_s": _after_s(d.planted_s, d.detected_s)}
            for d in result.detections
        ],
        "wall_s": result.wall_s,
    }


def _after_s(planted_s: float, detected_s: float | None) -> float | None:
    return None if detected_s is None else detected_s - planted_s
