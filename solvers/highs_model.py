"""The linear part of a Problem as HiGHS takes it: columns, rows in compressed form, and tangents.

The symbols are those of ``solvers/README.md``.  Rows are scaled to amperes, ampere-hours and
kilowatts, the objective to a largest cost of 1, so that one absolute tolerance suits all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from solvers.rows import Indices, caps_a, shared_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from solvers.problem import Complexes, Floats, Problem

Bools: TypeAlias = NDArray[np.bool_]

MARGIN = 1e-8
"""Tangents touch a circle smaller than the limit by this share, so that the loop ends inside the limit."""
COLLINEAR = 1e-12
"""Coefficients whose angle [rad] to a common line is below this make a linear row."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Rows ``lower <= value @ x[column] <= upper`` of a linear program, one after the other."""

    lower: Floats
    upper: Floats
    start: Indices
    """Where row i begins in ``column`` and ``value``, shape (rows,)."""
    column: Indices
    value: Floats


def sparse_rows(row: Indices, column: Indices, value: Floats, *, lower: Floats, upper: Floats) -> Rows:
    """Return rows from loose entries ``(row, column, value)``."""
    order = np.argsort(row, kind="stable")
    start = np.searchsorted(row[order], np.arange(len(upper)))
    return Rows(lower=lower, upper=upper, start=start, column=column[order], value=value[order])


def upper_rows(row: Indices, column: Indices, value: Floats, upper: Floats) -> Rows:
    """Return rows that are bounded from above only."""
    return sparse_rows(row, column, value, lower=np.full(len(upper), -np.inf), upper=upper)


def stacked(blocks: Iterable[Rows]) -> Rows:
    """Return all rows of all blocks as one."""
    parts = tuple(blocks)
    shifts = np.cumsum([0, *(len(part.column) for part in parts)])
    return Rows(
        lower=np.concatenate([part.lower for part in parts]),
        upper=np.concatenate([part.upper for part in parts]),
        start=np.concatenate([part.start + shift for part, shift in zip(parts, shifts, strict=False)]),
        column=np.concatenate([part.column for part in parts]),
        value=np.concatenate([part.value for part in parts]),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """Which columns there are: currents, sums of like EVs, the peak, switches, raises; in this order."""

    cap_a: Floats
    """Upper bound of the current of EV e in slot t [A], shape (T, E)."""
    current: Indices
    """Column of that current, shape (T, E); -1 where the cap is 0."""
    group: Indices
    """Group of EV e, shape (E,): EVs of one group look the same to every shared row."""
    representative: Indices
    """One EV of each group, shape (G,)."""
    total: Indices
    """Column of the summed current of group g in slot t, shape (T, G); -1 where it is 0 or nobody asks."""
    summed: Bools
    """Whether that column is a sum of its own rather than the only member's current, shape (T, G)."""
    peak: int
    """Column of the power above ``peak_w`` [kW]; -1 where it is free."""
    switch: Indices
    """Column of the 0-or-1 switch of EV e in slot t, shape (T, E); -1 where the current is continuous."""
    raised: Indices
    """Column of EV e's raise in slot 0, shape (E,); -1 where it can only rise from the present, or only fall."""
    columns: int
    """Number of columns."""


def lay_out(problem: Problem, rows: Indices) -> Layout:
    """Return the columns of the program; ``rows`` are the rows that EVs share."""
    cap = caps_a(problem)
    is_on = cap > 0.0
    current = _numbered(is_on, first=0)
    has_peak = problem.peak_price > 0.0 and bool(is_on.any())
    representative, group = _groups(problem, rows, has_peak=has_peak)
    member = np.zeros((problem.evs, len(representative)), dtype=np.intp)
    member[np.arange(problem.evs), group] = 1
    size = is_on @ member
    is_asked = _binding(problem, rows, cap) @ (problem.coupling[np.ix_(rows, representative)] != 0) | has_peak
    summed = (size > 1) & is_asked
    count = int(is_on.sum())
    total = np.where(summed, _numbered(summed, first=count), np.where(size == 1, (current + 1) @ member - 1, -1))
    count += int(summed.sum())
    peak = count if has_peak else -1
    switch = _numbered(is_on & _is_switched(problem), first=count + has_peak)
    count += has_peak + int((switch >= 0).sum())
    can_do_both = (problem.present_a > 0.0) & (problem.present_a < cap[0]) & (problem.change_price > 0.0)
    raised = _numbered(can_do_both, first=count)
    return Layout(
        cap_a=cap,
        current=current,
        group=group,
        representative=representative,
        total=total,
        summed=summed,
        peak=peak,
        switch=switch,
        raised=raised,
        columns=count + int(can_do_both.sum()),
    )


def _numbered(mask: Bools, *, first: int) -> Indices:
    numbers = np.full(mask.shape, -1, dtype=np.intp)
    numbers[mask] = np.arange(first, first + int(mask.sum()))
    return numbers


def _is_switched(problem: Problem) -> Bools:
    is_leading = np.arange(problem.slots) < problem.binary_slots
    return is_leading[:, None] & (problem.min_a > 0.0)[None, :]


def _groups(problem: Problem, rows: Indices, *, has_peak: bool) -> tuple[Indices, Indices]:
    seen = problem.coupling[rows] + 0.0  # turns -0.0 into 0.0
    keys = np.vstack([seen.real, seen.imag, problem.watts_per_amp * has_peak])
    _, representative, group = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    return representative, group.reshape(-1)


def _binding(problem: Problem, rows: Indices, cap_a: Floats) -> Bools:
    """Return which rows could be exceeded in which slots at all, shape (T, K)."""
    reach: Floats = cap_a @ abs(problem.coupling[rows]).T
    return reach > problem.limit_a[:, rows]


class Program:
    """A Problem as a linear program; the round limits that it lacks are added as tangents."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.rows = shared_rows(problem)
        self.layout = lay_out(problem, self.rows)
        self.coupling: Complexes = problem.coupling[np.ix_(self.rows, self.layout.representative)]
        self.limit_a: Floats = problem.limit_a[:, self.rows]
        self.axis, is_straight, self.is_one_sided = _axes(problem.coupling[self.rows])
        binding = _binding(problem, self.rows, self.layout.cap_a)
        self.is_straight = binding & is_straight
        self.is_round = binding & ~is_straight
        self.scale, self.cost = self._costs()
        self.gap = problem.gap / self.scale
        """What the problem allows between an answer and the best, in scaled money."""

    @property
    def upper(self) -> Floats:
        """Upper bounds of the columns, shape (columns,); all lower bounds are 0."""
        layout = self.layout
        upper = np.ones(layout.columns)
        is_on = layout.current >= 0
        upper[layout.current[is_on]] = layout.cap_a[is_on]
        upper[layout.total[layout.summed]] = np.inf
        upper[layout.raised[layout.raised >= 0]] = np.inf
        if layout.peak >= 0:
            upper[layout.peak] = np.inf
        return upper

    @property
    def offset(self) -> float:
        """The objective of charging nobody, in scaled money."""
        problem = self.problem
        change = problem.change_price * problem.present_a.sum()
        return float(problem.demand_wh @ problem.shortfall_price + change) / self.scale

    def _costs(self) -> tuple[float, Floats]:
        """Return the unit of the objective [money] and the cost of each column in that unit.

        A watt-hour delivered costs its price and saves its shortfall, so the slack needs no column.
        A current that can only rise or only fall from the present one needs none for its change.
        """
        problem, layout = self.problem, self.layout
        per_amp = (problem.price_per_wh - problem.shortfall_price) * problem.wh_per_amp
        per_amp[0] += np.where(problem.present_a > 0.0, -problem.change_price, problem.change_price)
        cost = np.zeros(layout.columns)
        is_on = layout.current >= 0
        cost[layout.current[is_on]] = per_amp[is_on]
        cost[layout.raised[layout.raised >= 0]] = 2.0 * problem.change_price
        if layout.peak >= 0:
            cost[layout.peak] = problem.peak_price * 1000.0
        scale = float(abs(cost).max(initial=0.0)) or 1.0
        return scale, cost / scale

    def base_rows(self) -> Rows:
        """Return every row but the tangents."""
        blocks = [self._energy_rows(), self._sum_rows(), self._straight_rows(), self._switch_rows()]
        blocks.append(self._raise_rows())
        return stacked([*blocks, self._peak_rows()] if self.layout.peak >= 0 else blocks)

    def _energy_rows(self) -> Rows:
        """Return one row for each EV that could get more than it wants [Ah]."""
        problem, layout = self.problem, self.layout
        hours = np.broadcast_to(problem.slot_s[:, None] / 3600.0, layout.cap_a.shape)
        demand_ah = problem.demand_wh / problem.watts_per_amp
        is_bound = (hours * layout.cap_a).sum(axis=0) > demand_ah
        number = np.cumsum(is_bound) - 1
        slot, ev = np.nonzero((layout.current >= 0) & is_bound)
        return upper_rows(number[ev], layout.current[slot, ev], hours[slot, ev], demand_ah[is_bound])

    def _sum_rows(self) -> Rows:
        """Return the rows that define the sums of like EVs [A]."""
        layout = self.layout
        number = _numbered(layout.summed, first=0)
        slot, ev = np.nonzero((layout.current >= 0) & layout.summed[:, layout.group])
        row = np.concatenate([number[slot, layout.group[ev]], number[layout.summed]])
        column = np.concatenate([layout.current[slot, ev], layout.total[layout.summed]])
        value = np.concatenate([np.ones(len(slot)), -np.ones(int(layout.summed.sum()))])
        zeros = np.zeros(int(layout.summed.sum()))
        return sparse_rows(row, column, value, lower=zeros, upper=zeros)

    def _straight_rows(self) -> Rows:
        """Return the limits of rows whose phasors lie on one line [A]."""
        slot, row = np.nonzero(self.is_straight)
        limit = self.limit_a[slot, row]
        rows = self._projected(slot, row, self.axis[row], limit)
        lower = np.where(self.is_one_sided[row], -np.inf, -limit)
        return Rows(lower=lower, upper=rows.upper, start=rows.start, column=rows.column, value=rows.value)

    def _switch_rows(self) -> Rows:
        """Return ``current <= cap * switch`` and ``current >= min * switch`` [A]."""
        layout = self.layout
        slot, ev = np.nonzero(layout.switch >= 0)
        count = len(slot)
        pair = np.stack([layout.current[slot, ev], layout.switch[slot, ev]], axis=1).reshape(-1)
        ones = np.ones(count)
        below = np.stack([ones, -layout.cap_a[slot, ev]], axis=1).reshape(-1)
        above = np.stack([-ones, self.problem.min_a[ev]], axis=1).reshape(-1)
        row = np.repeat(np.arange(2 * count), 2)
        return upper_rows(row, np.tile(pair, 2), np.concatenate([below, above]), np.zeros(2 * count))

    def _raise_rows(self) -> Rows:
        """Return ``current in slot 0 - raise <= present`` [A]."""
        layout = self.layout
        evs = np.flatnonzero(layout.raised >= 0)
        column = np.concatenate([layout.current[0, evs], layout.raised[evs]])
        value = np.repeat([1.0, -1.0], len(evs))
        return upper_rows(np.tile(np.arange(len(evs)), 2), column, value, self.problem.present_a[evs])

    def _peak_rows(self) -> Rows:
        """Return ``power of slot t - peak <= peak_w`` [kW]."""
        layout = self.layout
        slot, group = np.nonzero(layout.total >= 0)
        slots = self.problem.slots
        row = np.concatenate([slot, np.arange(slots)])
        column = np.concatenate([layout.total[slot, group], np.full(slots, layout.peak)])
        power = self.problem.watts_per_amp[layout.representative[group]] / 1000.0
        value = np.concatenate([power, -np.ones(slots)])
        return upper_rows(row, column, value, np.full(slots, self.problem.peak_w / 1000.0))

    def tangents(self, slot: Indices, row: Indices, direction: Complexes) -> Rows:
        """Return ``Re(conj(direction) * phasor) <= limit`` for each (slot, row, direction) [A]."""
        return self._projected(slot, row, direction, self.limit_a[slot, row] * (1.0 - MARGIN))

    def _projected(self, slot: Indices, row: Indices, direction: Complexes, limit: Floats) -> Rows:
        weight = (direction.conj()[:, None] * self.coupling[row]).real
        weight[abs(weight) < COLLINEAR] = 0.0
        column = self.layout.total[slot]
        number, group = np.nonzero((weight != 0.0) & (column >= 0))
        return upper_rows(number, column[number, group], weight[number, group], limit)

    def currents(self, values: Floats) -> Floats:
        """Return the currents within the values of all columns [A], shape (T, E)."""
        is_on = self.layout.current >= 0
        currents = np.zeros(self.layout.cap_a.shape)
        currents[is_on] = np.clip(values[self.layout.current[is_on]], 0.0, self.layout.cap_a[is_on])
        return currents

    def phasors(self, current_a: Floats) -> Complexes:
        """Return the phasor of every shared row in every slot [A], shape (T, K)."""
        phasors: Complexes = current_a @ self.problem.coupling[self.rows].T
        return phasors


def _axes(coupling: Complexes) -> tuple[Complexes, Bools, Bools]:
    """Return each row's main direction, whether all its phasors lie on that line, and on one side of it."""
    if not coupling.size:
        nothing = np.zeros(len(coupling), dtype=np.bool_)
        return np.zeros(len(coupling), dtype=np.complex128), nothing, nothing
    largest = abs(coupling).argmax(axis=1, keepdims=True)
    leading = np.take_along_axis(coupling, largest, axis=1)[:, 0]
    axis = leading / abs(leading)
    turned = coupling * axis.conj()[:, None]
    is_straight: Bools = np.all(abs(turned.imag) <= COLLINEAR * abs(coupling), axis=1)
    is_one_sided: Bools = np.all(turned.real >= 0.0, axis=1)
    return axis, is_straight, is_one_sided
