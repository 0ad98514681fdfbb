"""What the demand charge goes by: the highest mean power of a metering period in this billing period.

Metering periods are those of the clock (a quarter of an hour from :00, :15, :30, :45; Directive (EU)
2019/944, Article 2(18) calls it the imbalance settlement period).  What was paid for once is free until
the billing period ends.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from solvers.problem import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """The running billing period and the running metering period."""

    since_s: float | None = None
    """When the billing period began [s since 1970]; None before the first one."""
    highest_w: float = 0.0
    """Highest mean power of a whole metering period of this billing period [W]."""
    power_w: float = 0.0
    """Power since ``at_s`` [W]; what was measured last is taken to go on."""
    at_s: float | None = None
    """When that was measured [s since 1970]; None before the first time."""
    energy_wh: float = 0.0
    """Energy of the running metering period until ``at_s`` [Wh]."""


def measured(demand: Demand, power_w: float, at_s: float, period_s: float) -> Demand:
    """Return the demand after a power [W] was measured; metering periods last ``period_s``."""
    if demand.at_s is None:
        return replace(demand, power_w=power_w, at_s=at_s)
    if at_s <= demand.at_s:
        return replace(demand, power_w=power_w)
    ends_s = _start_s(demand.at_s, period_s) + period_s
    if at_s < ends_s:
        used_wh = demand.energy_wh + demand.power_w * (at_s - demand.at_s) / 3600.0
        return replace(demand, power_w=power_w, at_s=at_s, energy_wh=used_wh)
    whole_wh = demand.energy_wh + demand.power_w * (ends_s - demand.at_s) / 3600.0
    # Between the one that ended and the one that runs there may be whole periods of silence.
    means_w = (whole_wh * 3600.0 / period_s, demand.power_w if at_s >= ends_s + period_s else 0.0)
    return Demand(
        since_s=demand.since_s,
        highest_w=max(demand.highest_w, *means_w),
        power_w=power_w,
        at_s=at_s,
        energy_wh=demand.power_w * (at_s - _start_s(at_s, period_s)) / 3600.0,
    )


def billed(demand: Demand, at_s: float) -> Demand:
    """Return the demand at the beginning of a billing period: nothing has been paid for yet."""
    return replace(demand, since_s=at_s, highest_w=0.0)


def periods(demand: Demand, edges_s: Floats, period_s: float) -> tuple[Floats, Floats]:
    """Return the metering periods of a plan, as a solver takes them.

    Args:
        demand: What has been drawn.
        edges_s: Boundaries of the plan's slots [s since 1970], shape (T + 1,).
        period_s: Length of a metering period [s].

    Returns:
        Weight of each slot in the mean power of each period, shape (M, T), and what the past adds to that
        mean [W], shape (M,).  A slot as long as a period or longer is one of its own.
    """
    starts_s, ends_s = edges_s[:-1], edges_s[1:]
    is_long = ends_s - starts_s >= period_s
    first_s = _start_s(float(edges_s[0]), period_s)
    fine_until_s = float(starts_s[is_long][0]) if is_long.any() else float(edges_s[-1])
    begins_s = np.arange(first_s, fine_until_s, period_s)[:, None]
    overlap_s = np.minimum(ends_s, begins_s + period_s) - np.maximum(starts_s, begins_s)
    fine = np.where(is_long, 0.0, np.clip(overlap_s, 0.0, None)) / period_s
    share = np.concatenate([fine, np.eye(len(starts_s))[is_long]])
    past_w = np.zeros(len(share))
    if len(begins_s) and demand.at_s is not None and demand.at_s >= first_s:
        past_wh = demand.energy_wh + demand.power_w * (float(edges_s[0]) - demand.at_s) / 3600.0
        past_w[0] = max(past_wh, 0.0) * 3600.0 / period_s
    return share, past_w


def _start_s(at_s: float, period_s: float) -> float:
    return at_s // period_s * period_s
