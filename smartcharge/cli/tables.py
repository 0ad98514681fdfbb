"""What came of a campaign, as tables on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from smartcharge.sim.campaign import Campaign, solve_figures
from smartcharge.sim.result import Detection, Result
from smartcharge.sim.runner import UNCONTROLLED
from smartcharge.sim.watcher import Violation

MOST = 20
"""Violations that are listed; the JSON has them all."""


def shown(campaign: Campaign) -> Iterator[RenderableType]:
    """Yield all that there is to say about a campaign, the table by policy first."""
    site = campaign.run.settings.site
    zone = ZoneInfo(site.timezone)
    yield _by_policy(campaign)
    if any(result.policy == UNCONTROLLED for result in campaign.results):
        yield f"{UNCONTROLLED} is the reference without a controller: its violations show what would happen."
    if campaign.run.scenario.faults:
        yield _faults(campaign, zone)
    if campaign.unjudged_faults:
        yield f"{campaign.unjudged_faults} fault(s) came too late in the run to be judged."
    controlled = [result for result in campaign.results if result.policy != UNCONTROLLED]
    for title, style, found in (
        ("violations", "red", [(r.policy, violation) for r in controlled for violation in r.violations]),
        ("not the controller's doing", "yellow", [(r.policy, one) for r in controlled for one in r.misbehaviour]),
    ):
        if found:
            yield _violations(f"{title}: {len(found)}", style, found, zone)


def _by_policy(campaign: Campaign) -> Table:
    site = campaign.run.settings.site
    table = Table("policy", title=f"{escape(site.name)}, by policy", title_justify="left", pad_edge=False)
    for title in (
        "delivered\nkWh", "share of\nrequest", "sessions\nin full", f"cost\n{escape(site.money.currency)}", "peak\nkW",
        "fairness\nJain", "worst\nloading", "violations\n", "plan [ms]\nmedian", "\np95", "\nmax", "wall\ns",
    ):  # fmt: skip
        table.add_column(title.replace("[", r"\["), justify="right")
    for result in campaign.results:
        table.add_row(escape(result.policy), *_figures(result))
    return table


def _figures(result: Result) -> tuple[str, ...]:
    count = len(result.violations)
    violations = (
        "[green]0[/]" if not count else f"[dim]{count}[/]" if result.policy == UNCONTROLLED else f"[bold red]{count}[/]"
    )
    return (
        f"{result.energy_delivered_wh / 1000.0:,.1f}",
        percent(result.energy_delivered_wh, result.energy_requested_wh),
        f"{result.sessions_met}/{result.sessions}",
        f"{result.cost:,.2f}",
        f"{result.peak_w / 1000.0:,.1f}",
        f"{result.fairness:.3f}",
        f"{100.0 * result.worst_loading:.0f} %",
        violations,
        *("-" if time_s is None else f"{1000.0 * time_s:.0f}" for time_s in solve_figures(result).values()),
        f"{result.wall_s:,.1f}",
    )


def percent(part: float, whole: float) -> str:
    """Return a share in words; a dash where there is no whole."""
    return f"{100.0 * part / whole:.1f} %" if whole > 0.0 else "-"


def _faults(campaign: Campaign, zone: ZoneInfo) -> Table:
    table = Table("policy", "fault", "target", "planted", "noticed after", "by", title="faults", title_justify="left")
    for result in campaign.results:
        for fault in sorted(result.detections, key=lambda one: one.planted_s):
            after, style = noticed(fault), "" if fault.detected_s is not None else "yellow"
            words = (result.policy, fault.kind, fault.target, local(fault.planted_s, zone), after, fault.evidence)
            table.add_row(*map(escape, words), style=style)
    return table


def noticed(fault: Detection) -> str:
    """Return how long a fault took to be noticed, in words."""
    return "never" if fault.detected_s is None else f"{fault.detected_s - fault.planted_s:.0f} s"


def _violations(title: str, style: str, found: Sequence[tuple[str, Violation]], zone: ZoneInfo) -> Table:
    if len(found) > MOST:
        title += f", the first {MOST}"
    table = Table("policy", "from", "for", "circuit", "phase", title=title, title_justify="left", title_style=style)
    table.add_column("above", justify="right")
    table.add_column("limit", justify="right")
    table.add_column("cause")
    for policy, one in sorted(found, key=lambda pair: pair[1].at_s)[:MOST]:
        table.add_row(escape(policy), *map(escape, violation_cells(one, zone)))
    return table


def violation_cells(one: Violation, zone: ZoneInfo) -> tuple[str, ...]:
    """Return a violation in words: from, for, circuit, phase, amount, limit, cause."""
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
