"""The same stretch of time at one site under several policies, each in a process of its own."""

from __future__ import annotations

import logging
import signal
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from math import inf
from multiprocessing import connection, get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Final, TypeAlias

from smartcharge.errors import ConfigError, SmartChargeError
from smartcharge.model import Site
from smartcharge.sim.assumptions import Assumptions
from smartcharge.sim.clairvoyant import Hindsight
from smartcharge.sim.costs import fault_figures, with_tolls
from smartcharge.sim.result import FAIRNESS, Result
from smartcharge.sim.runner import UNCONTROLLED, Run, simulate
from smartcharge.sim.scenario import Scenario

OnSample: TypeAlias = Callable[[str, float], None]
"""Hears a policy and the simulated time [s since 1970] it has come to; infinite once it is done."""
_TELL_S: Final = 0.1
"""Least real time between two words about the progress of a policy [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What was simulated and what came of it."""

    run: Run
    """All that the policies have in common; its own policy is the first of them."""
    recording: str
    """Where the cars come from, in words or as a file name."""
    notes: tuple[str, ...]
    results: tuple[Result, ...]
    """One for each policy, in the order asked for."""
    hindsight: Hindsight | None = None
    """What could have been, had everything been known; None while nobody worked it out."""

    @property
    def has_violations(self) -> bool:
        """Tell whether a policy that is controlled broke anything; without a controller it is no wonder."""
        return any(result.violations for result in self.results if result.policy != UNCONTROLLED)


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a policy could not be simulated."""

    words: str


@dataclass(frozen=True, slots=True)
class _Worker:
    policy: str
    process: BaseProcess


def play(
    run: Run, policies: Sequence[str], *, jobs: int, on_sample: OnSample, log_level: str = "ERROR"
) -> tuple[Result, ...]:
    """Return what comes of a run under each policy, at most `jobs` of them at a time.

    What is logged from a level on goes to stderr.  Raises SmartChargeError if one cannot be simulated to the end.
    However this is left, also by Ctrl-C, no process is left behind.
    """
    context = get_context("spawn")
    waiting = deque(policies)
    going: dict[Connection, _Worker] = {}
    results: dict[str, Result] = {}
    try:
        while waiting or going:
            while waiting and len(going) < jobs:
                policy = waiting.popleft()
                ours, theirs = context.Pipe(duplex=False)
                work = (replace(run, policy=policy), theirs, log_level)
                process = context.Process(target=_work, args=work, name=policy, daemon=True)
                with _deaf_to_ctrl_c():
                    process.start()
                    theirs.close()
                    going[ours] = _Worker(policy, process)
            for link, worker in _with_news(going):
                result = _hear(link, worker, on_sample)
                if result is not None:
                    results[worker.policy] = result
                    _end(link, going.pop(link))
    finally:
        for link, worker in going.items():
            worker.process.terminate()
            _end(link, worker)
    return tuple(results[policy] for policy in policies)


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Start processes that never hear Ctrl-C, which reaches all of a terminal's; we hear it when they are known.

    They inherit the blocked signal.  Blocking alone would not hold it back here: another thread would take it.
    """
    resource_tracker.ensure_running()  # the first process to start would start it, and let Ctrl-C through again
    heard: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, handler)
        if heard:
            signal.raise_signal(signal.SIGINT)


def _with_news(going: dict[Connection, _Worker]) -> Iterator[tuple[Connection, _Worker]]:
    for link in connection.wait(list(going)):
        assert isinstance(link, Connection)
        yield link, going[link]


def _hear(link: Connection, worker: _Worker, on_sample: OnSample) -> Result | None:
    """Take one word of a worker; return the result if that is it."""
    try:
        word: float | Result | _Failure = link.recv()
    except EOFError as error:
        worker.process.join()
        raise SmartChargeError(
            f"{worker.policy}: the simulation ended early, exit code {worker.process.exitcode}"
        ) from error
    if isinstance(word, _Failure):
        raise SmartChargeError(f"{worker.policy}: {word.words}")
    if isinstance(word, Result):
        on_sample(worker.policy, inf)
        return word
    on_sample(worker.policy, word)
    return None


def _end(link: Connection, worker: _Worker) -> None:
    link.close()
    worker.process.join()
    worker.process.close()


def _work(run: Run, link: Connection, log_level: str) -> None:
    """Simulate one policy in a process of its own and say how far it is, then what came of it."""
    logging.basicConfig(level=log_level, format=f"%(levelname)s {run.policy}: %(name)s: %(message)s")
    told_at = 0.0

    def tell(at_s: float) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= _TELL_S:
            told_at = time.monotonic()
            link.send(at_s)

    try:
        result = simulate(run, on_sample=tell)
        link.send(with_tolls(run, result) if run.weighs_faults and run.policy != UNCONTROLLED else result)
    except (SmartChargeError, OSError) as error:
        link.send(_Failure(str(error)))


def check_targets(scenario: Scenario, site: Site) -> None:
    """Raise ConfigError, with a line for each, for what a scenario would do to something the site does not have."""
    circuits: set[str] = {circuit.id for circuit in site.circuits}
    stations: set[str] = {station.id for station in site.stations}
    wrong = [
        f"limits.{i}.circuit: {site.name} has no circuit {step.circuit}"
        for i, step in enumerate(scenario.limits)
        if step.circuit is not None and step.circuit not in circuits
    ] + [
        f"faults.{i}.target: {site.name} has no {fault.kind.value.partition('-')[0]} {fault.target}"
        for i, fault in enumerate(scenario.faults)
        if fault.target is not None and fault.target not in stations | circuits
    ]
    if wrong:
        raise ConfigError("\n".join(wrong))


def summary(campaign: Campaign) -> dict[str, Any]:
    """Return the figures of a campaign as JSON can hold them; what is not known is null."""
    run = campaign.run
    return {
        "site": run.settings.site.id,
        "recording": campaign.recording,
        "policies": {result.policy: _figures(result) | _regret(campaign, result) for result in campaign.results},
        "clairvoyant": None if campaign.hindsight is None else asdict(campaign.hindsight.optimum),
        "fairness_measure": FAIRNESS,
        "start_s": run.start_s,
        "end_s": run.end_s,
        "transport": run.transport.value,
        "assumptions": _assumptions(run.assumptions),
        "seed": run.seed,
        "currency": run.settings.site.money.currency,
        "notes": list(campaign.notes),
    }


def _regret(campaign: Campaign, result: Result) -> dict[str, Any]:
    known = None if campaign.hindsight is None else campaign.hindsight.regrets.get(result.policy)
    return {"regret": None if known is None else asdict(known)}


def _assumptions(made: Assumptions) -> dict[str, Any]:
    return {
        "needs": made.needs.value,
        "battery": made.battery.value,
        "pilots": made.pilots.value,
        "longest_stay_s": made.longest_stay_s if made.longest_stay_s < inf else None,
        "uninterrupted": made.is_uninterrupted,
    }


def _figures(result: Result) -> dict[str, Any]:
    return {
        "energy_requested_wh": result.energy_requested_wh,
        "energy_delivered_wh": result.energy_delivered_wh,
        "sessions": result.sessions,
        "sessions_met": result.sessions_met,
        "cost": result.cost,
        "peak_w": result.peak_w,
        "fairness": result.fairness,
        "violations": len(result.violations),
        "solve_s": solve_figures(result),
        "wall_s": result.wall_s,
        "pauses": result.pauses,
        "worst_loading": result.worst_loading,
        "limit_drop_to_compliance_s": list(result.limit_drop_to_compliance_s),
        "plans": len(result.solve_s),
        "violation_details": [asdict(violation) for violation in result.violations],
        "misbehaviour": [asdict(violation) for violation in result.misbehaviour],
        "faults": fault_figures(result),
    }


def solve_figures(result: Result) -> dict[str, float | None]:
    """Return the median, the 95th percentile and the highest of the times of all plans [s]; None without a plan."""
    times_s = sorted(result.solve_s)
    if not times_s:
        return {"median": None, "p95": None, "max": None}
    at_95 = times_s[min(len(times_s) - 1, round(0.95 * (len(times_s) - 1)))]
    return {"median": statistics.median(times_s), "p95": at_95, "max": times_s[-1]}
