"""A day that may come, as the optimiser sees it: who wants what when, what the grid allows, what an outage costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Final, TypeAlias

import numpy as np

from smartcharge.control.state import State
from smartcharge.maintenance.forecast import Visit
from smartcharge.maintenance.spans import Span
from smartcharge.model import EvseId
from solvers import highs
from solvers.problem import Floats, Problem, Schedule

SLOT_S: Final = 1800.0
SOLVE_S: Final = 10.0
_EARLY: Final = 1e-4
"""What waiting costs, in shares of the price of a shortfall: cars charge as soon as they can, as drivers expect."""
Outages: TypeAlias = Mapping[Span, AbstractSet[EvseId]]
"""Who is out of service when."""


@dataclass(slots=True, kw_only=True, eq=False)
class Scene:
    """One day that may come: who wants what when, and what the grid allows."""

    span: Span
    edges_s: Floats
    evses: tuple[EvseId, ...]
    """Of each visit, length E."""
    problem: Problem | None
    """None for a day on which nobody comes."""
    spare_a: Floats
    """What the site has for cars on its root circuit's lines [A], shape (T, 3)."""
    voltage_v: float
    _answers: dict[bytes, Schedule] = field(default_factory=dict)

    @classmethod
    def of(cls, state: State, edges_s: Floats, limit_a: Floats, visits: Sequence[Visit]) -> Scene:
        """Return the scene of some visits, with limits on every row [A], shape (T, R)."""
        there = [visit for visit in visits if visit.energy_wh > 0.0]
        root, rows = state.site.circuits[0], state.topology.rows
        lines = [
            [i for i, row in enumerate(rows) if (row.circuit, row.station, row.phase) == (root.id, None, phase)]
            for phase in range(3)
        ]
        nothing = np.zeros(len(limit_a))  # on a line that no EVSE is on
        spare_a = np.array([limit_a[:, own].min(axis=1) if own else nothing for own in lines]).T
        return cls(
            span=Span(float(edges_s[0]), float(edges_s[-1])),
            edges_s=edges_s,
            evses=tuple(visit.evse for visit in there),
            problem=_problem(state, edges_s, limit_a, there) if there else None,
            spare_a=spare_a,
            voltage_v=root.voltage_v,
        )

    def risk_wh(self, with_it: Outages, without: Outages) -> float:
        """Return what drivers lose by an outage beside others [Wh]."""
        return max(self._shortfall_wh(with_it) - self._shortfall_wh(without), 0.0)

    def load_w(self, span: Span) -> float:
        """Return the mean of what cars draw in a stretch of time with everything in service [W]."""
        if self.problem is None:
            return 0.0
        power_w = self._answer({}).current_a @ self.problem.watts_per_amp
        return float(power_w[self._slots(span)].mean())

    def room_w(self, span: Span) -> float:
        """Return what the site has left in a stretch of time at its tightest [W], by its lines together."""
        slots = self._slots(span)
        spare_w = float(self.spare_a[slots].sum(axis=1).min()) * self.voltage_v
        if self.problem is None:
            return spare_w
        drawn_w = self._answer({}).current_a @ self.problem.watts_per_amp
        return max(float((self.spare_a[slots].sum(axis=1) * self.voltage_v - drawn_w[slots]).min()), 0.0)

    def _slots(self, span: Span) -> slice:
        first = int((span.since_s - self.edges_s[0]) // SLOT_S)
        return slice(first, max(ceil((span.until_s - float(self.edges_s[0])) / SLOT_S), first + 1))

    def _shortfall_wh(self, outages: Outages) -> float:
        return 0.0 if self.problem is None else float(self._answer(outages).shortfall_wh.sum())

    def _answer(self, outages: Outages) -> Schedule:
        """Return the best schedule with some EVSEs out of service; what changes nothing is not solved again."""
        assert self.problem is not None
        max_a = self.problem.max_a.copy()
        for span, out in outages.items():
            mine = np.array([evse in out for evse in self.evses])
            max_a[self._slots(span), mine] = 0.0
        key = max_a.tobytes()
        if key not in self._answers:
            self._answers[key] = highs.solve(replace(self.problem, max_a=max_a), SOLVE_S)
        return self._answers[key]


def _problem(state: State, edges_s: Floats, limit_a: Floats, visits: Sequence[Visit]) -> Problem:
    columns = [state.topology.evses.index(visit.evse) for visit in visits]
    evses = [state.evses[visit.evse].evse for visit in visits]
    slots = len(edges_s) - 1
    begin = np.array([visit.span.since_s for visit in visits])
    end = np.array([visit.span.until_s for visit in visits])
    share = np.minimum(end[None, :], edges_s[1:, None]) - np.maximum(begin[None, :], edges_s[:-1, None])
    there = np.clip(share / SLOT_S, 0.0, 1.0)
    watts_per_amp = state.topology.watts_per_amp[columns] * np.array([evse.efficiency for evse in evses])
    max_a = there * np.array([evse.max_a for evse in evses])
    wanted_wh = np.array([visit.energy_wh for visit in visits])
    whole = np.maximum(end - begin, 1.0)
    # Of a visit that began before or goes on after, the day has its share.
    wanted_wh = wanted_wh * np.minimum(there.sum(axis=0) * SLOT_S / whole, 1.0)
    ones = np.ones(len(visits))
    return Problem(
        slot_s=np.diff(edges_s),
        coupling=state.topology.coupling[:, columns],
        limit_a=limit_a,
        watts_per_amp=watts_per_amp,
        min_a=0.0 * ones,
        max_a=max_a,
        demand_wh=np.minimum(wanted_wh, (max_a * watts_per_amp).sum(axis=0) * SLOT_S / 3600.0),
        shortfall_price=ones,
        price=np.zeros(slots),
        early_price=_EARLY * ones,
        peak_price=0.0,
        peak_w=0.0,
        present_a=0.0 * ones,
        change_price=0.0,
        binary_slots=0,
    )
