"""``python -m benchmarks [NAME...] [--json OUT]``: measure, and print or write the report."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from benchmarks import closed_loop, health, limit_cut, openadr_events, predict, scale, simulate, solve
from benchmarks.figures import Row, machine

MEASURES: dict[str, Callable[[], list[Row]]] = {
    "limit_cut": limit_cut.measure,
    "scale": scale.measure,
    "openadr_events": openadr_events.measure,
    "solve": solve.measure,
    "predict": predict.measure,
    "health": health.measure,
    "simulate": simulate.measure,
    "closed_loop": closed_loop.measure,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is asked for, or everything."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure on this machine.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(MEASURES)}; all unless said")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the report here instead of to stdout")
    chosen = parser.parse_args(arguments)
    if unknown := [name for name in chosen.names if name not in MEASURES]:
        parser.error(f"there is no benchmark {unknown[0]!r}; choose from {', '.join(MEASURES)}")
    logging.basicConfig(level=logging.ERROR)
    report = _own_stdout() if chosen.json is None else chosen.json.open("w", encoding="utf-8")
    text = json.dumps({"rows": _rows(chosen.names or list(MEASURES)), "machine": machine()}, indent=2, allow_nan=False)
    with report:
        report.write(f"{text}\n")


def _own_stdout() -> TextIO:
    """Return standard output for the report alone: what libraries print there goes to standard error from now on."""
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return report


def _rows(names: Sequence[str]) -> list[Row]:
    rows: list[Row] = []
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows += MEASURES[name]()
    return rows


if __name__ == "__main__":
    main()
