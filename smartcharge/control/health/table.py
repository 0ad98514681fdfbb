"""The page on faults, made from the rules and vocabularies themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from smartcharge.control.health import detect, score, sessions, site, watch
from smartcharge.control.health.rules import LONGEST_HOLD_S, LOWEST, RAMP, TABLE, WINDOW_S, Rule
from smartcharge.control.health.vocabulary import CHARGEX, CHARIN, COMPONENTS, OCPP16
from smartcharge.faults import Cause

_TOP: Final = """# Faults

What is done about faulty hardware, and how it comes back by itself. This page is made from the code
(`smartcharge faults > docs/faults.md`); a test holds it to it.

A fault takes an EVSE down in the cycle that hears of it, and lets it up slowly. Derates combine by minimum and enter
the limits as sources of their own, with their reason in words. A derate below the lowest current at which a car
charges (6 A) is a stop. A block never frees room that is still drawn: what flows through a welded contactor stays in
the budget of every circuit above it. Every step is an event in the journal (`Derated`, `Restored`), so it survives a
restart.

"""


def page() -> str:
    """Return the page as Markdown."""
    return (
        _TOP + "\n".join((*_table(), "", *_ladders(), "", *_detectors(), "", *_vocabularies(), "", *_orders())) + "\n"
    )


def _table() -> Iterator[str]:
    yield "## The table\n"
    yield "| fault | cause | signals | action | clear | visit |\n|---|---|---|---|---|---|"
    for rule in TABLE:
        cells = (rule.fault, f"`{rule.cause.value}`", rule.signals, rule.action, rule.clear, _visit(rule))
        yield "| " + " | ".join(cells) + " |"


def _visit(rule: Rule) -> str:
    if rule.priority is None and rule.on_repeat is None:
        return "-"
    first = "" if rule.priority is None else f"{rule.priority.value}"
    more = "" if rule.on_repeat is None else f"{rule.on_repeat.value} from the {site.REPEATS}rd time in a day"
    return f"{', '.join(filter(None, (first, more)))}: {rule.task}"


def _ladders() -> Iterator[str]:
    yield "## Steps, holds, proofs\n"
    yield f"Repeats count within {WINDOW_S / 3600.0:.0f} h; on the way up a step is {100 * RAMP:.0f} % of the maximum;"
    yield f"no hold is longer than {LONGEST_HOLD_S / 3600.0:.0f} h. A station that says Faulted is held at 0 A.\n"
    yield "| cause | down to | a step every | hold | ramp | probation | latch | may be muted |"
    yield "|---|---|---|---|---|---|---|---|"
    for rule in TABLE:
        if rule.steps:
            yield "| " + " | ".join(_ladder(rule)) + " |"


def _ladder(rule: Rule) -> tuple[str, ...]:
    shares = ", ".join("lowest" if s == LOWEST else f"{100 * s:.0f} %" for s in rule.steps)
    hold = f"{rule.hold_s:.0f} s{', doubling' if rule.backs_off else ''}" if rule.hold_s else "-"
    probation = "-" if rule.probation is None else f"{100 * rule.probation:.0f} %, {rule.proofs} clean session(s)"
    latch = "-" if rule.latch_at is None else "at once" if rule.latch_at == 1 else f"{rule.latch_at} times"
    ramp = "-" if rule.ramp_s is None else f"{rule.ramp_s:.0f} s"
    step = f"{rule.step_s:.0f} s" if len(rule.steps) > 1 and rule.step_s else "reading" if len(rule.steps) > 1 else "-"
    return f"`{rule.cause.value}`", shares, step, hold, ramp, probation, latch, "no" if rule.is_safety else "yes"


def _detectors() -> Iterator[str]:
    yield "## Thresholds of the detectors\n"
    yield "| what | value |\n|---|---|"
    rows = {
        "draws over its limit for": f"{detect.OVER_S:.0f} s; forgiven after {detect.OBEYS_S:.0f} s of obedience",
        "a current that flows unasked for": f"{detect.WELDED_S:.0f} s",
        "supply voltage off by more than": f"{100 * watch.VOLTAGE_BAND:.0f} %",
        "enclosure hot, cool again": _hot(Cause.ENCLOSURE_HOT),
        "connector hot, cool again": _hot(Cause.CONNECTOR_HOT),
        "energy register stands still under current for": f"{detect.FROZEN_S:.0f} s",
        "no reading while charging for": f"{detect.STALE_INTERVALS:.0f} meter intervals",
        "power and current contradict each other": f"ratio {watch.IMPLAUSIBLE}, {detect.GOOD_SAMPLES} readings",
        "draws under: CUSUM": f"h = {detect.SHORT_SIGMA:.0f} sigma, k = {sessions.SLACK}, sigma = {sessions.SIGMA}, "
        f"at most {sessions.MOST} a session, {detect.SHORT_CARS} different cars",
        "a failed session": f"at most {sessions.LEAST_S:.0f} s or {sessions.LEAST_WH:.0f} Wh, not ended by its "
        f"customer; {detect.FAILED_SESSIONS} in a row of different cars",
        "refuses commands": f"{detect.REFUSALS} in a row",
        "connection comes and goes": f"{site.RECONNECTS} times within {site.RECONNECTS_S / 3600.0:.0f} h",
        "offline asks for a visit after": f"{site.OFFLINE_S / 3600.0:.0f} h",
        "one event of the site": f"{site.MANY} stations with one cause within {site.GATHERS_S:.0f} s",
        "health score": f"half lost at {score.HALF_C_PER_A:g} C/A; falls with the failure rate (empirical Bayes)",
    }
    yield from (f"| {what} | {value} |" for what, value in rows.items())


def _hot(cause: Cause) -> str:
    return f"from {watch.HOT_C[cause]:.0f} C, below {watch.COOL_C[cause]:.0f} C"


def _vocabularies() -> Iterator[str]:
    yield "## What codes mean\n"
    yield "A site's own mapping files come first (`[faults] vendors` in the site file), then these. A code that nobody"
    yield "knows blocks, unless the station says that it is a warning.\n"
    yield "| vocabulary | codes |\n|---|---|"
    known = {"ChargeX MREC": CHARGEX, "CharIN": CHARIN, "OCPP 1.6": OCPP16, "OCPP 2.x": COMPONENTS}
    for name, codes in known.items():
        yield f"| {name} | {_grouped(codes)} |"


def _grouped(codes: Mapping[str, Cause]) -> str:
    groups: dict[Cause, list[str]] = {}
    for code, cause in codes.items():
        groups.setdefault(cause, []).append(code)
    return "; ".join(f"`{cause.value}`: {', '.join(names)}" for cause, names in groups.items())


def _orders() -> Iterator[str]:
    yield "## What a person may order\n"
    yield "Over MQTT (`evse/.../fault/order`, see [`mqtt.md`](mqtt.md)) or with `smartcharge order`; with author and"
    yield "reason.\n"
    yield "| order | what it does |\n|---|---|"
    yield (
        "| `release` | ends a derate once the fault is gone; safety then goes on probation. A latch takes the work "
        "order of its repair ([`maintenance.md`](maintenance.md)) |"
    )
    yield "| `force` | derates by hand, until released |"
    yield "| `mute` | lets a fault pass for a while; refused for what concerns safety |"
    yield "| `acknowledge` | somebody knows of it; changes nothing |"
