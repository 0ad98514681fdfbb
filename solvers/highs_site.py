"""The site's side of the linear program: batteries, what flows through the grid meter, the peak."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from solvers.draft import Draft, equal_rows, sparse_rows, upper_rows

if TYPE_CHECKING:
    from solvers.draft import Bools
    from solvers.problem import Floats, Problem
    from solvers.rows import Indices


class SiteSide:
    """Columns of batteries, power, import and peak; power in kW, energy in kWh."""

    def __init__(self, problem: Problem, draft: Draft) -> None:
        self._problem = problem
        self._draft = draft
        self._slots = range(problem.slots)
        self._hours: Floats = problem.slot_s / 3600.0
        self._has_peak = problem.peak_price > 0.0
        self.needs_power = bool(self._has_peak or problem.export_price is not None)
        """Whether the sum of all power matters, not only what each EV gets."""
        shape = (problem.slots, problem.storage.count)
        self.charge = self._add_flow("charge", np.broadcast_to(problem.storage.charge_w, shape), sign=1.0)
        """Column of the power into battery s in slot t [kW], shape (T, S); -1 where it is not there."""
        self.discharge = self._add_flow("discharge", np.broadcast_to(problem.storage.discharge_w, shape), sign=-1.0)
        """Column of the power out of it [kW]."""
        self.direction: Indices = np.full(shape, -1, dtype=np.intp)
        """Column of the switch "charges" where to charge and discharge at once would pay, shape (T, S)."""
        if problem.storage.count:
            self._add_levels()
            self._add_directions()

    def _meter_price(self) -> Floats:
        problem = self._problem
        return problem.price if problem.export_price is None else problem.export_price

    def _add_flow(self, name: str, highest_w: Floats, *, sign: float) -> Indices:
        price = sign * self._meter_price()[:, None] + (self._problem.storage.wear_price if sign < 0.0 else 0.0)
        cost = 1000.0 * self._hours[:, None] * price
        labels = (self._slots, range(highest_w.shape[1]))
        return self._draft.add_columns(name, highest_w > 0.0, labels, upper=highest_w / 1000.0, cost=cost)

    def _add_levels(self) -> None:
        """Add the energy in store after each slot, and what is missing of it when a car leaves [kWh]."""
        problem, store = self._problem, self._problem.storage
        shape = (problem.slots, store.count)
        labels = (self._slots, range(store.count))
        cost = np.zeros(shape)
        cost[-1] = -1000.0 * store.worth
        everywhere: Bools = np.ones(shape, dtype=np.bool_)
        # The level counts from the reserve: columns are 0 or more.
        above_kwh = (store.capacity_wh - store.reserve_wh) / 1000.0
        level = self._draft.add_columns("level", everywhere, labels, upper=above_kwh, cost=cost)
        row = np.arange(level.size).reshape(shape)
        hours = np.broadcast_to(self._hours[:, None], shape)
        start = np.zeros(shape)
        start[0] = (store.level_wh - store.reserve_wh) / 1000.0
        rows = equal_rows(
            np.concatenate([part.reshape(-1) for part in (row, row[1:], row, row)]),
            np.concatenate([part.reshape(-1) for part in (level, level[:-1], self.charge, self.discharge)]),
            np.concatenate([
                np.ones(level.size), -np.ones(level[1:].size),
                (-hours * store.efficiency).reshape(-1), (hours / store.efficiency).reshape(-1),
            ]),
            start.reshape(-1),
        )  # fmt: skip
        self._draft.add_rows("level", everywhere, labels, rows)
        self._add_targets(level)

    def _add_targets(self, level: Indices) -> None:
        store = self._problem.storage
        is_wanted = (store.target_price > 0.0) & (store.target_wh > store.reserve_wh)
        evs = np.flatnonzero(is_wanted)
        labels = (range(store.count),)
        missing = self._draft.add_columns("unmet", is_wanted, labels, cost=1000.0 * store.target_price)[evs]
        row = np.tile(np.arange(len(evs)), 2)
        column = np.concatenate([level[store.due_slot[evs], evs], missing])
        wanted_kwh = (store.target_wh - store.reserve_wh)[evs] / 1000.0
        rows = sparse_rows(row, column, np.ones(len(row)), lower=wanted_kwh, upper=np.full(len(evs), np.inf))
        self._draft.add_rows("target", is_wanted, labels, rows)

    def _add_directions(self) -> None:
        """Add that a battery does not charge and discharge at once, where that could pay.

        To waste energy pays where it has a negative price, or where the battery's phasor lessens another's.
        """
        highest = self._problem.storage
        others = np.concatenate([self._problem.coupling, highest.coupling], axis=1)
        along = (others.conj()[:, :, None] * highest.coupling[:, None, :]).real
        pays = np.asarray(self._meter_price() < 0.0)[:, None] | np.asarray((along < 0.0).any(axis=(0, 1)))[None, :]
        is_there = (self.charge >= 0) & (self.discharge >= 0) & pays
        labels = (self._slots, range(highest.count))
        self.direction = self._draft.add_columns("direction", is_there, labels, upper=1.0)
        slot, unit = np.nonzero(is_there)
        row = np.tile(np.arange(len(slot)), 2)
        ones = np.ones(len(slot))
        for name, flow, bound_w, sign in (
            ("in", self.charge, highest.charge_w, 1.0),
            ("out", self.discharge, highest.discharge_w, -1.0),
        ):
            bound = np.broadcast_to(bound_w, is_there.shape)[slot, unit] / 1000.0
            column = np.concatenate([flow[slot, unit], self.direction[slot, unit]])
            right = np.zeros(len(slot)) if sign > 0.0 else bound
            rows = upper_rows(row, column, np.concatenate([ones, -sign * bound]), right)
            self._draft.add_rows(name, is_there, labels, rows)

    def add_power(self, entries: tuple[Indices, Indices, Floats]) -> None:
        """Add what flows through the grid meter; ``entries`` are (slot, column, kW per unit) of the EVs."""
        if not self.needs_power:
            return
        everywhere: Bools = np.ones(len(self._slots), dtype=np.bool_)
        power = self._draft.add_columns("power", everywhere, (self._slots,), lower=-np.inf)
        slot, column, value = entries
        all_slots = np.arange(len(power))
        units = self.charge.shape[1]
        rows = equal_rows(
            np.concatenate([all_slots, slot, np.repeat(all_slots, units), np.repeat(all_slots, units)]),
            np.concatenate([power, column, self.charge.reshape(-1), self.discharge.reshape(-1)]),
            np.concatenate([np.ones(len(power)), -value, -np.ones(self.charge.size), np.ones(self.charge.size)]),
            np.broadcast_to(self._problem.base_w, (len(power),)) / 1000.0,
        )
        self._draft.add_rows("power", everywhere, (self._slots,), rows)
        if self._problem.export_price is not None:
            self._add_import(power, self._problem.export_price)
        if self._has_peak:
            self._add_peak(power)

    def _add_import(self, power: Indices, export_price: Floats) -> None:
        """Add what is drawn from the grid: it costs what selling it would have earned, and the difference."""
        everywhere: Bools = np.ones(len(power), dtype=np.bool_)
        cost = 1000.0 * self._hours * (self._problem.price - export_price)
        drawn = self._draft.add_columns("import", everywhere, (self._slots,), cost=cost)
        row = np.tile(np.arange(len(power)), 2)
        value = np.repeat([1.0, -1.0], len(power))
        rows = upper_rows(row, np.concatenate([power, drawn]), value, np.zeros(len(power)))
        self._draft.add_rows("import", everywhere, (self._slots,), rows)

    def _add_peak(self, power: Indices) -> None:
        """Let the peak be no lower than the mean power of any metering period [kW]."""
        problem = self._problem
        share = np.eye(problem.slots) if problem.peak_share is None else problem.peak_share
        peak = self._draft.add_columns("peak", np.ones(1, dtype=np.bool_), ((0,),), cost=1000.0 * problem.peak_price)
        period, slot = np.nonzero(share)
        periods = np.arange(len(share))
        rows = upper_rows(
            np.concatenate([period, periods]),
            np.concatenate([power[slot], np.full(len(share), peak[0])]),
            np.concatenate([share[period, slot], -np.ones(len(share))]),
            (problem.peak_w - np.broadcast_to(problem.peak_base_w, (len(share),))) / 1000.0,
        )
        self._draft.add_rows("peak", np.ones(len(share), dtype=np.bool_), (periods.tolist(),), rows)

    def flows_kw(self, values: Floats) -> tuple[Floats, Floats]:
        """Return the power into and out of each battery within the values of all columns [kW], each of shape (T, S)."""
        charge, discharge = (np.where(n >= 0, values[n], 0.0) for n in (self.charge, self.discharge))
        return charge, discharge

    def offset(self) -> float:
        """Return what the other load and the energy in store cost whatever is done [money]."""
        problem, store = self._problem, self._problem.storage
        others = float((self._hours * self._meter_price() * problem.base_w).sum())
        return others + float(store.worth @ (store.level_wh - store.reserve_wh))
