"""The site's side of the Pyomo model, and the tails of charging: batteries, the grid meter, the peak."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyomo.environ as pyo

from solvers.rows import has_taper, taper_share

if TYPE_CHECKING:
    from solvers.problem import Floats, Problem

Model: TypeAlias = Any
"""A ``pyomo.environ.ConcreteModel``; Pyomo is untyped."""


def add_tails(problem: Problem, model: Model) -> None:
    """Let no EV take more in a slot than its share of what its battery lacked at the start [kWh]."""
    is_kept, share = has_taper(problem), taper_share(problem)
    battery_kwh = np.broadcast_to(problem.battery_wh, (problem.evs,)) / 1000.0
    model.tails = pyo.ConstraintList()
    for slot, ev in np.argwhere(is_kept):
        t, e = int(slot), int(ev)
        before_kwh = sum(model.energy_kwh[s, e] for s in range(t))
        model.tails.add(model.energy_kwh[t, e] <= float(share[t, e]) * (float(battery_kwh[e]) - before_kwh))


def add_site(problem: Problem, model: Model) -> None:
    """Add batteries, what flows through the grid meter, and the peak; ``site_money`` is what they cost."""
    _add_storage(problem, model)
    hours = problem.slot_s / 3600.0
    base_kw = np.broadcast_to(problem.base_w, (problem.slots,)) / 1000.0
    model.power_kw = pyo.Expression(
        model.slots,
        rule=lambda m, t: (
            float(base_kw[t])
            + sum(float(problem.watts_per_amp[e]) / 1000.0 * m.current_a[t, e] for e in m.evs)
            + sum(m.charge_kw[t, s] - m.discharge_kw[t, s] for s in m.stores)
        ),
    )
    model.import_kw = pyo.Var(model.slots, within=pyo.NonNegativeReals)
    model.drawn = pyo.Constraint(model.slots, rule=lambda m, t: m.import_kw[t] >= m.power_kw[t])
    model.above_peak_kw = pyo.Var(within=pyo.NonNegativeReals)
    share = np.eye(problem.slots) if problem.peak_share is None else problem.peak_share
    past_kw = np.broadcast_to(problem.peak_base_w, (len(share),)) / 1000.0
    model.peak = pyo.Constraint(
        range(len(share)),
        rule=lambda m, p: (
            sum(float(share[p, t]) * m.power_kw[t] for t in m.slots) + float(past_kw[p]) - m.above_peak_kw
            <= problem.peak_w / 1000.0
        ),
    )
    sold = problem.price if problem.export_price is None else problem.export_price
    at_meter = sum(
        float(hours[t]) * (float(sold[t]) * model.power_kw[t] + float(problem.price[t] - sold[t]) * model.import_kw[t])
        for t in model.slots
    )
    model.site_money = pyo.Expression(
        expr=1000.0 * (at_meter + problem.peak_price * model.above_peak_kw + model.storage_per_kwh)
    )


def _add_storage(problem: Problem, model: Model) -> None:
    """Add the flow into and out of each battery [kW], its level [kWh], and what is missing when a car leaves."""
    store, slots = problem.storage, problem.slots
    model.stores = pyo.RangeSet(0, store.count - 1)
    shape = (slots, store.count)
    charge_kw = np.broadcast_to(store.charge_w, shape) / 1000.0
    discharge_kw = np.broadcast_to(store.discharge_w, shape) / 1000.0
    hours = [float(s) / 3600.0 for s in problem.slot_s]
    model.is_charging = pyo.Var(model.slots, model.stores, within=pyo.Binary)
    model.charge_kw = pyo.Var(model.slots, model.stores, within=pyo.NonNegativeReals)
    model.discharge_kw = pyo.Var(model.slots, model.stores, within=pyo.NonNegativeReals)
    model.charges = pyo.Constraint(
        model.slots, model.stores,
        rule=lambda m, t, s: m.charge_kw[t, s] <= float(charge_kw[t, s]) * m.is_charging[t, s],
    )  # fmt: skip
    model.discharges = pyo.Constraint(
        model.slots, model.stores,
        rule=lambda m, t, s: m.discharge_kw[t, s] <= float(discharge_kw[t, s]) * (1 - m.is_charging[t, s]),
    )  # fmt: skip
    model.level_kwh = pyo.Var(
        model.slots, model.stores,
        bounds=lambda _, __, s: (float(store.reserve_wh[s]) / 1000.0, float(store.capacity_wh[s]) / 1000.0),
    )  # fmt: skip

    def level(m: Model, t: int, s: int) -> Any:  # noqa: ANN401  (an expression of Pyomo's)
        before = m.level_kwh[t - 1, s] if t else float(store.level_wh[s]) / 1000.0
        efficiency = float(store.efficiency[s])
        stored = m.charge_kw[t, s] * efficiency - m.discharge_kw[t, s] / efficiency
        return m.level_kwh[t, s] == before + hours[t] * stored

    model.levels = pyo.Constraint(model.slots, model.stores, rule=level)
    model.unmet_kwh = pyo.Var(model.stores, within=pyo.NonNegativeReals)
    model.target = pyo.Constraint(
        model.stores,
        rule=lambda m, s: m.unmet_kwh[s] >= float(store.target_wh[s]) / 1000.0 - m.level_kwh[int(store.due_slot[s]), s],
    )
    wear = sum(
        float(store.wear_price[s]) * hours[t] * model.discharge_kw[t, s] for t in model.slots for s in model.stores
    )
    unmet = sum(float(store.target_price[s]) * model.unmet_kwh[s] for s in model.stores)
    gained = sum(
        float(store.worth[s]) * (model.level_kwh[slots - 1, s] - float(store.level_wh[s]) / 1000.0)
        for s in model.stores
    )
    model.storage_per_kwh = pyo.Expression(expr=wear + unmet - gained)


def storage_w(problem: Problem, model: Model) -> Floats:
    """Return the power into each battery [W], shape (T, S)."""
    values = [[pyo.value(model.charge_kw[t, s] - model.discharge_kw[t, s]) for s in model.stores] for t in model.slots]
    return 1000.0 * np.array(values, dtype=np.float64).reshape(problem.slots, problem.storage.count)
