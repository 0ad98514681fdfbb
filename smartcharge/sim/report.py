"""A campaign as one HTML page that needs nothing else: figures, tables and pictures."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape
from importlib.metadata import version
from importlib.resources import files
from typing import Final
from zoneinfo import ZoneInfo

from smartcharge.sim import tables
from smartcharge.sim.campaign import Campaign, solve_figures
from smartcharge.sim.chart import picture, scale_of
from smartcharge.sim.result import FAIRNESS, Result
from smartcharge.sim.runner import UNCONTROLLED

MOST: Final = 200
"""Violations that are listed; the JSON has them all."""
_LEGEND: Final = (
    ("", "power", "power"), ("dashed", "limit", "limit in force"), ("box", "cars", "cars plugged in"),
    ("box", "power", "of them charging"), ("box", "bad", "violation"),
    ("box", "warn", "not the controller's doing"), ("box", "fault", "fault, until it was noticed"),
)  # fmt: skip


def page(campaign: Campaign, made_at: datetime) -> str:
    """Return the page; it is well-formed XML too."""
    title = escape(f"{campaign.run.settings.site.name}: {_period(campaign)}")
    style = files("smartcharge.sim").joinpath("report.css").read_text(encoding="utf-8")
    return "\n".join(
        (
            '<!DOCTYPE html>\n<html lang="en" xmlns="http://www.w3.org/1999/xhtml">\n<head>\n<meta charset="utf-8"/>',
            '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
            f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>",
            *_top(campaign),
            *_by_policy(campaign),
            *_courses(campaign),
            *_table("Faults", tables.FAULT_COLUMNS, list(tables.fault_rows(campaign))),
            *_paragraphs(tables.costs(campaign), tables.unjudged(campaign)),
            *_table("Violations", tables.VIOLATION_COLUMNS, tables.violation_rows(campaign)),
            *_table("Not the controller's doing", tables.VIOLATION_COLUMNS, tables.misbehaviour_rows(campaign)),
            *_run(campaign, made_at),
            "</main>\n</body>\n</html>\n",
        )
    )


def _period(campaign: Campaign) -> str:
    run = campaign.run
    zone = ZoneInfo(run.settings.site.timezone)
    # The run ends at a midnight, which belongs to the day before.
    first, last = (datetime.fromtimestamp(at_s, zone).date() for at_s in (run.start_s, run.end_s - 1.0))
    return str(first) if first == last else f"{first} to {last}"


def _paragraphs(*texts: str | None) -> Iterator[str]:
    yield from (f'<p class="soft">{escape(text)}</p>' for text in texts if text is not None)


def _top(campaign: Campaign) -> Iterator[str]:
    run = campaign.run
    yield f"<h1>{escape(run.settings.site.name)}</h1>"
    yield from _paragraphs(f"{_period(campaign)} · {len(run.visits)} visits · {campaign.recording}")
    controlled = [result for result in campaign.results if result.policy != UNCONTROLLED]
    count = sum(len(result.violations) for result in controlled)
    if controlled:
        words = f"{count} violations" if count else "No rating, no limit and no invariant was violated"
        which = ", ".join(result.policy for result in controlled)
        kind = "bad" if count else "good"
        yield f'<div class="verdict {kind}">{words} <span class="soft">({escape(which)})</span></div>'
    first = (controlled or list(campaign.results))[0]
    yield '<div class="cards">'
    for figure, words in _headline(first):
        yield f'<div class="card"><b>{escape(figure)}</b><span>{escape(words)}</span></div>'
    yield "</div>"


def _headline(result: Result) -> Iterator[tuple[str, str]]:
    """Yield the figures to remember, of the policy that was named first."""
    yield (
        f"{result.energy_delivered_wh / 1000.0:,.1f} kWh",
        f"delivered by {result.policy}, {tables.share(result)} of request",
    )
    yield f"{result.sessions_met} of {result.sessions}", "sessions served in full"
    yield f"{result.peak_w / 1000.0:,.1f} kW", f"peak; worst line at {100.0 * result.worst_loading:.0f} % of its rating"
    yield f"{result.fairness:.3f}", "fairness (Jain's index of the shares)"
    if result.limit_drop_to_compliance_s:
        yield f"{max(result.limit_drop_to_compliance_s):.1f} s", "from a cut of the grid limit to compliance, at most"
    elif (slowest_s := solve_figures(result)["max"]) is not None:
        yield f"{1000.0 * slowest_s:.0f} ms", f"the slowest of {len(result.solve_s)} plans"


def _by_policy(campaign: Campaign) -> Iterator[str]:
    yield '<h2>By policy</h2>\n<div class="scroll"><table class="figures">'
    yield _head(tables.POLICY_COLUMNS) + "<tbody>"
    for result in campaign.results:
        is_reference = result.policy == UNCONTROLLED
        kind = "" if is_reference else "bad" if result.violations else "good"
        cells = zip(tables.POLICY_COLUMNS, tables.policy_cells(campaign, result), strict=True)
        row = "".join(
            f'<td class="{kind if title == "violations" else ""}">{escape(cell)}</td>' for title, cell in cells
        )
        yield f'<tr class="{"reference" if is_reference else ""}">{row}</tr>'
    yield "</tbody></table></div>"
    if any(result.policy == UNCONTROLLED for result in campaign.results):
        yield from _paragraphs(tables.REFERENCE)
    fair = "; ".join(f"{result.policy} {result.fairness:.3f}" for result in campaign.results)
    yield from _paragraphs(tables.foresight(campaign), f"Fairness ({fair}) is {FAIRNESS}")


def _courses(campaign: Campaign) -> Iterator[str]:
    run = campaign.run
    scale = scale_of(campaign.results, run.start_s, run.end_s, ZoneInfo(run.settings.site.timezone))
    yield '<h2>Power, limit and cars</h2>\n<div class="legend">'
    for shape, colour, words in _LEGEND:
        paint = "background" if shape == "box" else "border-color"
        yield f'<span><i class="{shape}" style="{paint}: var(--{colour})"></i>{escape(words)}</span>'
    yield "</div>"
    for result in campaign.results:
        count = len(result.violations)
        words = f"{result.energy_delivered_wh / 1000.0:,.1f} kWh, {tables.share(result)}, {count} violations"
        yield '<section class="course"><header>'
        yield f'<h3>{escape(result.policy)}</h3><span class="soft">{escape(words)}</span></header>'
        yield f"{picture(result, scale)}</section>"


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if not rows:
        return
    yield f"<h2>{escape(title)}: {len(rows)}</h2>"
    if len(rows) > MOST:
        yield from _paragraphs(f"The first {MOST}; the JSON has them all.")
    yield f'<div class="scroll"><table>{_head(columns)}<tbody>'
    for row in rows[:MOST]:
        yield "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
    yield "</tbody></table></div>"


def _head(columns: Sequence[str]) -> str:
    cells = "".join(f"<th>{'<br/>'.join(map(escape, title.splitlines()))}</th>" for title in columns)
    return f"<thead><tr>{cells}</tr></thead>"


def _run(campaign: Campaign, made_at: datetime) -> Iterator[str]:
    run = campaign.run
    site = run.settings.site
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    facts = {
        "site": f"{site.id}: {len(site.circuits)} circuits, {len(site.stations)} stations, {len(site.evses)} EVSEs",
        "cars": campaign.recording,
        "days": f"{_period(campaign)} ({site.timezone})",
        "transport": "OCPP and MQTT on loopback" if run.transport.value == "ocpp" else "function calls",
        "assumed": tables.assumed(run.assumptions),
        "seed": str(run.seed),
        "grid limits and faults": f"{len(run.scenario.limits)} and {len(run.scenario.faults)}",
        "machine": machine,
        "made by": f"smartcharge {version('smartcharge')} at {made_at:%Y-%m-%d %H:%M} UTC",
    } | {f"note {number}": note for number, note in enumerate(campaign.notes, 1)}
    yield '<h2>This run</h2>\n<div class="card"><dl>'
    for name, words in facts.items():
        yield f"<dt>{escape(name)}</dt><dd>{escape(words)}</dd>"
    yield "</dl></div>"
