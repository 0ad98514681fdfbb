"""The linear part of a Problem as HiGHS takes it, and the rows that are added where a schedule breaks them.

The symbols are those of ``solvers/README.md``.  Columns and rows are in amperes, ampere-hours, kilowatts
and kilowatt-hours, the objective is scaled to a largest cost of 1, so that one absolute tolerance suits
all of them.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from solvers.draft import Bools, Draft, Rows, equal_rows, upper_rows
from solvers.greedy import llf
from solvers.highs_site import SiteSide
from solvers.problem import FAIR_PARTS
from solvers.rows import ROUNDING_A, Indices, caps_a, has_taper, shared_rows, taper_share

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from solvers.problem import Complexes, Floats, Problem

MARGIN = 1e-8
"""Tangents touch a circle smaller than the limit by this share, so that the loop ends inside the limit."""
LIKE = 4
"""So many EVs that look alike to all rows are summed."""
MANY_ROWS = 2000
"""From so many linear limits on, only those are in the program that bind where least laxity goes first."""
LIKELY = 0.9
"""Share of a limit from which on it is likely to bind."""
COLLINEAR = 1e-12
"""Coefficients whose angle [rad] to a common line is below this make a linear row."""


class Program:
    """A Problem as a linear program; the round limits and tails that it lacks are added where they are broken."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.rows = shared_rows(problem)
        self.cap_a: Floats = caps_a(problem)
        """Upper bound of the current of EV e in slot t [A], shape (T, E)."""
        self.limit_a: Floats = problem.limit_a[:, self.rows]
        self.evs: Sequence[Hashable] = problem.names or range(problem.evs)
        """What EVs are called."""
        self.slots = range(problem.slots)
        self.draft = Draft()
        is_on = self.cap_a > 0.0
        self.current = self.draft.add_columns(
            "current", is_on, (self.slots, self.evs), upper=self.cap_a, cost=self._cost_per_amp()
        )
        """Column of each EV's current in each slot, shape (T, E); -1 where the cap is 0."""
        self._add_energy()
        self.site = SiteSide(problem, self.draft)
        self._find_lines(is_on)
        self.site.add_power(self._power_entries())
        self.switch = self._add_switches()
        """Column of the 0-or-1 switch "at least step k" of EV e in slot t, shape (B, E, K); -1 where there is none."""
        self._add_raises()
        self.is_added: Bools = np.zeros_like(self.is_straight)
        """Which limits are in the program from the start, shape (T, K)."""
        self._add_straight_rows()
        self.scale = float(abs(self.draft.cost()).max(initial=0.0)) or 1.0
        """The unit of the objective [money]."""
        self.gap = problem.gap / self.scale
        """What the problem allows between an answer and the best, in scaled money."""
        self.offset = self._offset()

    def _cost_per_amp(self) -> Floats:
        """Return what an ampere costs [money/A], shape (T, E).

        A watt-hour delivered costs its price and saves its shortfall, so the slack needs no column.
        A current that can only rise or only fall from the present one needs none for its change.
        """
        problem = self.problem
        meter_price = problem.price if problem.export_price is None else problem.export_price
        per_wh = meter_price[:, None] + problem.delay_price - problem.shortfall_price
        per_amp: Floats = per_wh * problem.wh_per_amp
        per_amp[0] += np.where(problem.present_a > 0.0, -problem.change_price, problem.change_price)
        return per_amp

    def _offset(self) -> float:
        """Return the part of the objective that no column has, in scaled money."""
        problem = self.problem
        pauses = len(self.switch) * float((problem.pause_price * problem.is_pausable).sum())
        change = problem.change_price * float(problem.present_a.sum())
        return (float(problem.demand_wh @ problem.shortfall_price) + pauses + change + self.site.offset()) / self.scale

    def _add_energy(self) -> None:
        """Add one row for each EV that could get more than it wants [Ah], and what is missing where that is priced."""
        problem = self.problem
        hours = np.broadcast_to(problem.slot_s[:, None] / 3600.0, self.cap_a.shape)
        demand_ah = problem.demand_wh / problem.watts_per_amp
        is_fair = problem.fair_price > 0.0
        is_bound = (demand_ah > 0.0) if is_fair else (hours * self.cap_a).sum(axis=0) > demand_ah
        slot, ev = np.nonzero((self.current >= 0) & is_bound)
        number = np.cumsum(is_bound) - 1
        row, column, value = number[ev], self.current[slot, ev], hours[slot, ev]
        if not is_fair:
            self.draft.add_rows("energy", is_bound, (self.evs,), upper_rows(row, column, value, demand_ah[is_bound]))
            return
        unit = problem.fair_price / (2.0 * FAIR_PARTS - 1.0)
        missing = self.draft.add_columns(
            "missing", np.repeat(is_bound[:, None], FAIR_PARTS, axis=1), (self.evs, range(FAIR_PARTS)),
            upper=demand_ah[:, None] / FAIR_PARTS,
            cost=unit * (2.0 * np.arange(FAIR_PARTS) + 1.0) * problem.watts_per_amp[:, None],
        )[is_bound]  # fmt: skip
        row = np.concatenate([row, np.repeat(np.arange(len(missing)), FAIR_PARTS)])
        column = np.concatenate([column, missing.reshape(-1)])
        rows = equal_rows(row, column, np.concatenate([value, np.ones(missing.size)]), demand_ah[is_bound])
        self.draft.add_rows("energy", is_bound, (self.evs,), rows)

    def _find_lines(self, is_on: Bools) -> None:
        """Find what loads the rows: EVs that look alike to all of them are summed once per slot."""
        problem, store = self.problem, self.problem.storage
        representative, group, keys = _groups(problem, self.rows, with_power=self.site.needs_power)
        coupling = problem.coupling[self.rows]
        store_coupling = store.coupling[self.rows] if store.count else np.zeros((len(self.rows), 0))
        reach = self.cap_a @ abs(coupling).T + np.maximum(store.charge_w, store.discharge_w) @ abs(store_coupling).T
        binding = reach > self.limit_a
        member = np.zeros((problem.evs, len(representative)), dtype=np.intp)
        member[np.arange(problem.evs), group] = 1
        size = is_on @ member
        is_asked = (binding @ (coupling[:, representative] != 0)) | self.site.needs_power
        summed = (size > 1) & is_asked
        sums = self.draft.add_columns("sum", summed, (self.slots, keys))
        single = np.where(size == 1, (self.current + 1) @ member - 1, -1)
        self._add_sums(sums, group, labels=keys)
        self.line = np.concatenate([np.where(summed, sums, single), self.site.charge, self.site.discharge], axis=1)
        """Column of each thing that loads the rows, shape (T, X): groups of EVs, batteries in, batteries out."""
        kw = 1000.0 * store_coupling
        self.coupling: Complexes = np.concatenate([coupling[:, representative], kw, -kw], axis=1)
        """Phasor of row k per unit of that column, shape (K, X)."""
        self.watts_per_amp: Floats = problem.watts_per_amp[representative]
        self.axis, is_straight, self.is_one_sided = _axes(self.coupling)
        self.is_binding: Bools = binding
        """Which rows could be exceeded, shape (T, K)."""
        self.is_straight: Bools = binding & is_straight
        """Which of them are linear limits."""
        is_ray = is_straight & self.is_one_sided
        self.has_rays_only = not store.count and not bool((binding & ~is_ray).any())
        """Whether no current can lessen what another one loads a row with."""
        self._entries = _entries(self.coupling)

    def _add_sums(self, sums: Indices, group: Indices, *, labels: Sequence[Hashable]) -> None:
        """Add the rows that define the sums of like EVs [A]."""
        summed = sums >= 0
        count = int(summed.sum())
        number = np.where(summed, np.cumsum(summed).reshape(summed.shape) - 1, -1)
        slot, ev = np.nonzero((self.current >= 0) & summed[:, group])
        row = np.concatenate([number[slot, group[ev]], number[summed]])
        column = np.concatenate([self.current[slot, ev], sums[summed]])
        value = np.concatenate([np.ones(len(slot)), -np.ones(count)])
        self.draft.add_rows("sum", summed, (self.slots, labels), equal_rows(row, column, value, np.zeros(count)))

    def _power_entries(self) -> tuple[Indices, Indices, Floats]:
        """Return the EVs' power as entries (slot, column, kW per unit)."""
        slot, group = np.nonzero(self.line[:, : len(self.watts_per_amp)] >= 0)
        return slot, self.line[slot, group], self.watts_per_amp[group] / 1000.0

    def _add_switches(self) -> Indices:
        """Add what makes currents of binary slots 0, or at least their minimum, or one of their steps."""
        problem = self.problem
        leading = range(min(problem.binary_slots, problem.slots))
        steps = max(problem.steps_a.shape[1], 1)
        is_on = self.cap_a[: len(leading)] > 0.0
        is_there = np.zeros((*is_on.shape, steps), dtype=np.bool_)
        is_there[:, :, 0] = is_on & (problem.min_a > 0.0)
        if problem.steps_a.shape[1]:
            is_reached = problem.steps_a <= self.cap_a[: len(leading), :, None] + ROUNDING_A
            is_there = np.where(problem.is_stepped[:, None], is_reached & is_on[:, :, None], is_there)
        cost = np.zeros(is_there.shape)
        cost[:, :, 0] = -problem.pause_price
        labels = (leading, self.evs, range(steps))
        switch = self.draft.add_columns("switch", is_there, labels, upper=1.0, cost=cost)
        self._add_free_rows(switch)
        self._add_step_rows(switch)
        return switch

    def _add_free_rows(self, switch: Indices) -> None:
        """Add ``current <= cap * switch`` and ``current >= min * switch`` [A] where there are no steps."""
        is_free = (switch[:, :, 0] >= 0) & ~self.problem.is_stepped
        slot, ev = np.nonzero(is_free)
        pair = np.stack([self.current[slot, ev], switch[slot, ev, 0]], axis=1).reshape(-1)
        ones = np.ones(len(slot))
        below = np.stack([ones, -self.cap_a[slot, ev]], axis=1).reshape(-1)
        above = np.stack([-ones, self.problem.min_a[ev]], axis=1).reshape(-1)
        row = np.repeat(np.arange(len(slot)), 2)
        labels = (range(len(switch)), self.evs)
        for name, value in (("at most", below), ("at least", above)):
            self.draft.add_rows(name, is_free, labels, upper_rows(row, pair, value, np.zeros(len(slot))))

    def _add_step_rows(self, switch: Indices) -> None:
        """Add ``current = sum of the rises of all steps taken`` [A], and that steps are taken in order."""
        problem = self.problem
        is_stepped = (switch[:, :, 0] >= 0) & problem.is_stepped
        if not is_stepped.any():
            return
        steps_a = np.broadcast_to(problem.steps_a, (problem.evs, switch.shape[2]))
        rise_a = np.diff(np.where(np.isfinite(steps_a), steps_a, 0.0), axis=1, prepend=0.0)
        number = np.cumsum(is_stepped).reshape(is_stepped.shape) - 1
        slot, ev, step = np.nonzero((switch >= 0) & is_stepped[:, :, None])
        row = np.concatenate([number[slot, ev], number[is_stepped]])
        column = np.concatenate([switch[slot, ev, step], self.current[: len(switch)][is_stepped]])
        value = np.concatenate([rise_a[ev, step], -np.ones(int(is_stepped.sum()))])
        labels = (range(len(switch)), self.evs)
        self.draft.add_rows("step", is_stepped, labels, equal_rows(row, column, value, np.zeros(number.max() + 1)))
        slot, ev, step = np.nonzero((switch[:, :, 1:] >= 0) & is_stepped[:, :, None])
        pair = np.stack([switch[slot, ev, step + 1], switch[slot, ev, step]], axis=1).reshape(-1)
        rows = upper_rows(
            np.repeat(np.arange(len(slot)), 2), pair, np.tile([1.0, -1.0], len(slot)), np.zeros(len(slot))
        )
        is_ordered = (switch[:, :, 1:] >= 0) & is_stepped[:, :, None]
        self.draft.add_rows("order", is_ordered, (*labels, range(1, switch.shape[2])), rows)

    def _add_raises(self) -> None:
        """Add ``current in slot 0 - raise <= present`` [A] where the current could be raised as well as lowered."""
        problem = self.problem
        can_do_both = (problem.present_a > 0.0) & (problem.present_a < self.cap_a[0]) & (problem.change_price > 0.0)
        raised = self.draft.add_columns("raise", can_do_both, (self.evs,), cost=2.0 * problem.change_price)
        evs = np.flatnonzero(can_do_both)
        column = np.concatenate([self.current[0, evs], raised[evs]])
        value = np.repeat([1.0, -1.0], len(evs))
        rows = upper_rows(np.tile(np.arange(len(evs)), 2), column, value, problem.present_a[evs])
        self.draft.add_rows("raise", can_do_both, (self.evs,), rows)

    def _add_straight_rows(self) -> None:
        """Add the limits of rows whose phasors lie on one line [A], unless there are too many of them."""
        if int(self.is_straight.sum()) > MANY_ROWS:
            return
        self.is_added = self.is_straight
        slot, row = np.nonzero(self.is_straight)
        limit = self.limit_a[slot, row]
        rows = self._projected(slot, row, self.axis[row], limit)
        lower = np.where(self.is_one_sided[row], -np.inf, -limit)
        rows = Rows(lower=lower, upper=rows.upper, start=rows.start, column=rows.column, value=rows.value)
        self.draft.add_rows("straight", self.is_straight, (self.slots, self.rows.tolist()), rows)

    def likely_limits(self) -> tuple[Indices, Indices, Complexes]:
        """Return (slot, row, direction) of limits that are likely to bind and not in the program yet.

        Circles are likely to be left in the direction in which everybody together pulls, linear
        limits where they bind if those with least laxity go first.
        """
        together = self.phasors(self.cap_a, np.zeros((self.problem.slots, self.problem.storage.count)))
        is_left_out = self.is_binding & ~self.is_added
        is_likely = is_left_out & ~self.is_straight & (abs(together) > self.limit_a)
        if (is_left_out & self.is_straight).any():
            guess = llf(self.problem, 0.0)
            length = abs(self.phasors(guess.current_a, guess.storage_w))
            is_likely |= is_left_out & self.is_straight & (length > LIKELY * self.limit_a)
        slot, row = np.nonzero(is_likely)
        direction = np.where(self.is_straight[slot, row], self.axis[row], together[slot, row])
        return slot, row, direction / np.maximum(abs(direction), ROUNDING_A)

    def tangents(self, slot: Indices, row: Indices, direction: Complexes) -> Rows:
        """Return ``Re(conj(direction) * phasor) <= limit`` for each (slot, row, direction) [A]."""
        return self._projected(slot, row, direction, self.limit_a[slot, row] * (1.0 - MARGIN))

    def _projected(self, slot: Indices, row: Indices, direction: Complexes, limit: Floats) -> Rows:
        first, line = self._entries
        count = first[row + 1] - first[row]
        number = np.repeat(np.arange(len(row)), count)
        within = np.arange(len(number)) - np.repeat(np.cumsum(count) - count, count)
        which = line[first[row][number] + within]
        weight = (direction.conj()[number] * self.coupling[row[number], which]).real
        column = np.where(abs(weight) < COLLINEAR, -1, self.line[slot[number], which])
        return upper_rows(number, column, weight, limit)

    def tails(self, slot: Indices, ev: Indices) -> Rows:
        """Return that EV e takes in slot t no more than its share of what its battery lacks then [Ah]."""
        problem = self.problem
        hours = problem.slot_s / 3600.0
        share = taper_share(problem)[slot, ev]
        battery_ah = np.broadcast_to(problem.battery_wh, (problem.evs,))[ev] / problem.watts_per_amp[ev]
        is_before = np.arange(problem.slots)[None, :] < slot[:, None]
        number, before = np.nonzero(is_before)
        row = np.concatenate([number, np.arange(len(slot))])
        column = np.concatenate([self.current[before, ev[number]], self.current[slot, ev]])
        value = np.concatenate([share[number] * hours[before], hours[slot]])
        return upper_rows(row, column, value, share * battery_ah)

    @property
    def keeps_tails(self) -> Bools:
        """Where a tail could bind, shape (T, E)."""
        problem = self.problem
        if not problem.taper_s.any():
            return np.zeros(self.cap_a.shape, dtype=np.bool_)
        least_wh = taper_share(problem) * (problem.battery_wh - problem.demand_wh)
        return has_taper(problem) & (self.current >= 0) & (problem.wh_per_amp * self.cap_a > least_wh)

    def currents(self, values: Floats) -> Floats:
        """Return the currents within the values of all columns [A], shape (T, E)."""
        is_on = self.current >= 0
        currents = np.zeros(self.cap_a.shape)
        currents[is_on] = np.clip(values[self.current[is_on]], 0.0, self.cap_a[is_on])
        return currents

    def phasors(self, current_a: Floats, storage_w: Floats) -> Complexes:
        """Return the phasor of every shared row in every slot [A], shape (T, K)."""
        phasors: Complexes = current_a @ self.problem.coupling[self.rows].T
        if self.problem.storage.count and storage_w.any():
            phasors = phasors + storage_w @ self.problem.storage.coupling[self.rows].T
        return phasors

    def shares(self, share: Floats) -> Floats:
        """Return for each EV the lowest share (T, K) of the rows that it touches, shape (T, E)."""
        ev, row = np.nonzero((self.problem.coupling[self.rows] != 0).T)
        least = np.ones(self.cap_a.shape)
        touched, first = np.unique(ev, return_index=True)
        if len(first):
            least[:, touched] = np.minimum.reduceat(share[:, row], first, axis=1)
        return least


def _groups(problem: Problem, rows: Indices, *, with_power: bool) -> tuple[Indices, Indices, list[bytes]]:
    """Return one EV of each group, the group of each EV, and what the groups are called.

    Few EVs that look alike are not worth a column and a row of their own.
    """
    seen = problem.coupling[rows].T + 0.0  # turns -0.0 into 0.0
    power = problem.watts_per_amp[:, None] * with_power
    keys = np.ascontiguousarray(np.concatenate([seen.real, seen.imag, power], axis=1))
    names = [key.tobytes() for key in keys]
    size = Counter(names)
    names = [name if size[name] >= LIKE else number.to_bytes(4) for number, name in enumerate(names)]
    number: dict[bytes, int] = {}
    group = np.array([number.setdefault(name, len(number)) for name in names], dtype=np.intp)
    representative = np.unique(group, return_index=True)[1]
    return representative, group, list(number)


def _entries(coupling: Complexes) -> tuple[Indices, Indices]:
    """Return where each row's entries begin, shape (K + 1,), and the columns of all entries."""
    row, line = np.nonzero(coupling)
    return np.searchsorted(row, np.arange(len(coupling) + 1)), line


def _axes(coupling: Complexes) -> tuple[Complexes, Bools, Bools]:
    """Return each row's main direction, whether all its phasors lie on that line, and on one side of it."""
    if not coupling.size:
        nothing = np.zeros(len(coupling), dtype=np.bool_)
        return np.zeros(len(coupling), dtype=np.complex128), nothing, nothing
    largest = abs(coupling).argmax(axis=1, keepdims=True)
    leading = np.take_along_axis(coupling, largest, axis=1)[:, 0]
    axis = leading / np.maximum(abs(leading), 1e-300)
    turned = coupling * axis.conj()[:, None]
    is_straight: Bools = np.all(abs(turned.imag) <= COLLINEAR * abs(coupling), axis=1)
    is_one_sided: Bools = np.all(turned.real >= 0.0, axis=1)
    return axis, is_straight, is_one_sided
