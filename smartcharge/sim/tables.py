"""What came of a campaign, in words: the cells of its tables, for a terminal and a page alike."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from math import inf
from zoneinfo import ZoneInfo

from smartcharge.sim.assumptions import Assumptions, Needs
from smartcharge.sim.campaign import Campaign, solve_figures
from smartcharge.sim.result import Detection, Result, Toll
from smartcharge.sim.runner import UNCONTROLLED
from smartcharge.sim.watcher import Violation

POLICY_COLUMNS = (
    "policy", "delivered\nkWh", "share of\nrequest", "regret\nkWh", "sessions\nin full", "cost", "peak\nkW",
    "fairness\nJain", "worst\nloading", "violations", "median\nplan [ms]", "p95\nplan [ms]", "max\nplan [ms]",
    "wall\ns",
)  # fmt: skip
"""Titles of the table by policy; what comes after the line break is a unit or a detail."""
FAULT_COLUMNS = (
    "policy", "fault", "target", "planted", "noticed after", "by", "lost\nkWh", "if blocked\nkWh", "if ignored\nkWh",
)  # fmt: skip
VIOLATION_COLUMNS = ("policy", "from", "for", "circuit", "phase", "above", "limit", "cause")
REFERENCE = f"{UNCONTROLLED} is the reference without a controller: its violations show what would happen."


def policy_cells(campaign: Campaign, result: Result) -> tuple[str, ...]:
    """Return the figures of a policy, one for each of the columns."""
    currency = campaign.run.settings.site.money.currency
    regret = None if campaign.hindsight is None else campaign.hindsight.regrets.get(result.policy)
    return (
        result.policy,
        f"{result.energy_delivered_wh / 1000.0:,.1f}",
        share(result),
        "-" if regret is None else f"{regret.energy_wh / 1000.0:,.1f}",
        f"{result.sessions_met}/{result.sessions}",
        f"{result.cost:,.2f} {currency}",
        f"{result.peak_w / 1000.0:,.1f}",
        f"{result.fairness:.3f}",
        f"{100.0 * result.worst_loading:.0f} %",
        str(len(result.violations)),
        *("-" if time_s is None else f"{1000.0 * time_s:.0f}" for time_s in solve_figures(result).values()),
        f"{result.wall_s:,.1f}",
    )


def share(result: Result) -> str:
    """Return the share of the requested energy that was delivered; a dash where nothing was requested."""
    if result.energy_requested_wh <= 0.0:
        return "-"
    return f"{100.0 * result.energy_delivered_wh / result.energy_requested_wh:.1f} %"


def foresight(campaign: Campaign) -> str | None:
    """Return what better forecasts would bring, in a sentence or two; None while nobody worked it out."""
    known, policy = campaign.hindsight, campaign.run.policy
    if known is None:
        return None
    best, currency = known.optimum, campaign.run.settings.site.money.currency
    asked_wh = campaign.results[0].energy_requested_wh
    share_of = f" ({100.0 * best.energy_wh / asked_wh:.1f} % of request)" if asked_wh > 0.0 else ""
    could = f"With everything known beforehand {best.energy_wh / 1000.0:,.1f} kWh{share_of} could have been delivered"
    if policy not in known.regrets:
        return f"{could}, for {best.cost:,.2f} {currency}."
    regret = known.regrets[policy]
    more, less = max(regret.energy_wh, 0.0) / 1000.0, max(regret.cost, 0.0)
    return (
        f"{could}: better forecasts and faster hardware would bring {policy} {more:,.1f} kWh more at most, and save it"
        f" {less:,.2f} {currency} at most on what it delivered."
    )


def assumed(made: Assumptions) -> str:
    """Return what was assumed, in words."""
    needs = {
        Needs.RECORDED: "drivers' words where recorded, else what really happened",
        Needs.KNOWN: "departure and energy known at plug-in",
        Needs.STATED: "drivers' words only",
        Needs.UNSTATED: "departure and energy predicted",
    }
    words = [needs[made.needs], f"{made.battery.value} batteries", f"{made.pilots.value} pilots"]
    if made.longest_stay_s < inf:
        words.append(f"stays of {made.longest_stay_s / 3600.0:g} h at most")
    if made.is_uninterrupted:
        words.append("cars sleep once they are paused")
    return "; ".join(words)


def fault_rows(campaign: Campaign) -> Iterator[tuple[str, ...]]:
    """Yield every planted fault under every policy with a controller, how it was noticed and what it cost."""
    zone = ZoneInfo(campaign.run.settings.site.timezone)
    for result in _controlled(campaign):
        tolls = {(toll.kind, toll.target, toll.planted_s): toll for toll in result.tolls}
        for fault in sorted(result.detections, key=lambda one: one.planted_s):
            planted, toll = local(fault.planted_s, zone), tolls.get((fault.kind, fault.target, fault.planted_s))
            said = (result.policy, fault.kind, fault.target, planted, _noticed_after(fault), fault.evidence)
            yield (*said, *_cost_cells(toll))


def _cost_cells(toll: Toll | None) -> tuple[str, ...]:
    """Return the energy that a fault cost, derated, blocked and ignored; dashes where there was nothing to derate."""
    if toll is None:
        return ("-", "-", "-")
    return tuple(f"{wh / 1000.0:,.1f}" for wh in (toll.lost_wh, toll.if_blocked_wh, toll.if_ignored_wh))


def _noticed_after(fault: Detection) -> str:
    return "never" if fault.detected_s is None else f"{fault.detected_s - fault.planted_s:.0f} s"


def costs(campaign: Campaign) -> str | None:
    """Return what the faults cost in all under the first policy that was weighed, in words; None where none was."""
    weighed = next((result for result in _controlled(campaign) if result.tolls), None)
    if weighed is None:
        return None
    lost, blocked, ignored = (
        sum(wh) / 1000.0
        for wh in zip(*((t.lost_wh, t.if_blocked_wh, t.if_ignored_wh) for t in weighed.tolls), strict=True)
    )
    return (
        f"What the faults cost the sessions at their EVSEs under {weighed.policy}: {lost:,.1f} kWh derated,"
        f" {blocked:,.1f} kWh had each been blocked from when it was found until it was repaired,"
        f" {ignored:,.1f} kWh had nobody done anything. Who gets less leaves more to others, so single figures may be"
        " below zero."
    )


def unjudged(campaign: Campaign) -> str | None:
    """Return how many faults could not be judged, in words; None if all were."""
    missing = [len(campaign.run.scenario.faults) - len(result.detections) for result in _controlled(campaign)]
    return f"{max(missing)} fault(s) came too late in the run to be judged." if any(missing) else None


def violation_rows(campaign: Campaign) -> list[tuple[str, ...]]:
    """Return every violation under a policy that is controlled, by time."""
    return _rows(campaign, [(r.policy, one) for r in _controlled(campaign) for one in r.violations])


def misbehaviour_rows(campaign: Campaign) -> list[tuple[str, ...]]:
    """Return every overload that is not the controller's doing, by time."""
    return _rows(campaign, [(r.policy, one) for r in _controlled(campaign) for one in r.misbehaviour])


def _controlled(campaign: Campaign) -> Iterator[Result]:
    return (result for result in campaign.results if result.policy != UNCONTROLLED)


def _rows(campaign: Campaign, found: list[tuple[str, Violation]]) -> list[tuple[str, ...]]:
    zone = ZoneInfo(campaign.run.settings.site.timezone)
    found.sort(key=lambda pair: pair[1].at_s)
    return [(policy, *_violation_cells(one, zone)) for policy, one in found]


def _violation_cells(one: Violation, zone: ZoneInfo) -> tuple[str, ...]:
    is_line = one.circuit is not None
    return (
        local(one.at_s, zone),
        f"{one.until_s - one.at_s:.0f} s" if is_line else "-",
        one.circuit or "-",
        one.phase or "-",
        f"{one.amount_a:.1f} A" if is_line else "-",
        f"{one.limit_a:.1f} A" if is_line else "-",
        one.cause,
    )


def local(at_s: float, zone: ZoneInfo) -> str:
    """Return a time [s since 1970] by the site's clock."""
    return f"{datetime.fromtimestamp(at_s, zone):%Y-%m-%d %H:%M:%S}"
