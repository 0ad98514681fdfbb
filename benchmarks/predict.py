"""How well stays and energies are foreseen: learnt from the sessions before, against the plain median.

Walked through in the order in which the sessions of a recording ended, as a site learns.  The held-out months are the
later ones; what is foreseen of a session is what was known when it was plugged in.  The recordings carry no id tokens,
so the part that a regular's own past plays is not in these figures.
"""

from __future__ import annotations

import gzip
import heapq
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.figures import Row
from smartcharge.control.prediction import Ended, History, Quantity, Visitor, after, quantile
from smartcharge.model import EvseId
from smartcharge.sim import formats
from solvers.problem import Floats

ACN = Path(__file__).resolve().parents[2] / "shared" / "data" / "acn"
SHARES: Floats = np.array([0.1, 0.25, 0.5, 0.75, 0.9])
JUDGED = (Quantity.STAY, Quantity.ENERGY)
"""What recordings tell the truth of."""
MIDDLE = 2
"""Place of the median among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A recording, and from when on it is held out."""

    name: str
    path: Path
    held_out: tuple[int, int]
    """Year and month."""


CASES = (
    Case(name="caltech 2019-07 to 2019-08", path=ACN / "caltech" / "2019-05_2019-08.csv.gz", held_out=(2019, 7)),
    Case(name="jpl 2020-03 to 2020-05", path=ACN / "jpl_2020-02_2020-05.csv.gz", held_out=(2020, 3)),
)


def measure(cases: Sequence[Case] = CASES) -> list[Row]:
    """Return two rows for each recording that is there: pinball losses [h, kWh], the lower the better."""
    return [row for case in cases if case.path.exists() for row in _rows(case)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """One session of the held-out months: what came, and what was expected."""

    truth: float
    learnt: Floats
    plain: Floats
    stated: float | None


def _rows(case: Case) -> Iterator[Row]:
    text = gzip.decompress(case.path.read_bytes()).decode()
    sessions, _ = formats.parse(case.path.name, text, None)
    found = _walk(sorted(sessions, key=lambda row: row.arrive_s), datetime(*case.held_out, 1, tzinfo=UTC).timestamp())
    for quantity, unit in ((Quantity.STAY, 3600.0), (Quantity.ENERGY, 1000.0)):
        seen = found[quantity]
        learnt, plain = (np.mean([pinball(s.truth, q) for s, q in pairs], axis=0) / unit for pairs in (
            [(s, s.learnt) for s in seen], [(s, s.plain) for s in seen],
        ))  # fmt: skip
        said = [s for s in seen if s.stated is not None]
        yield {
            "benchmark": "predict", "recording": case.name, "quantity": quantity.value,
            "unit": "h" if quantity is Quantity.STAY else "kWh", "held_out": len(seen),
            "pinball_median": round(float(learnt[MIDDLE]), 4), "pinball_median_plain": round(float(plain[MIDDLE]), 4),
            "pinball_all": round(float(learnt.mean()), 4), "pinball_all_plain": round(float(plain.mean()), 4),
            "stated": len(said),
            "stated_mean_error": round(float(np.mean([abs(s.truth - (s.stated or 0.0)) for s in said])) / unit, 4),
            "learnt_mean_error": round(float(np.mean([abs(s.truth - s.learnt[MIDDLE]) for s in said])) / unit, 4),
            "below_stated": round(float(np.mean([s.truth < (s.stated or 0.0) for s in said])), 3),
        }  # fmt: skip


def _walk(sessions: Sequence[formats.Row], held_out_s: float) -> dict[Quantity, list[Foreseen]]:
    history = History()
    there: list[tuple[float, int, formats.Row]] = []
    past: dict[Quantity, list[float]] = {quantity: [] for quantity in JUDGED}
    found: dict[Quantity, list[Foreseen]] = {quantity: [] for quantity in JUDGED}
    for number, session in enumerate(sessions):
        while there and there[0][0] <= session.arrive_s:
            _, _, gone = heapq.heappop(there)
            history = after(history, _visitor(gone), Ended(at_s=gone.depart_s, energy_wh=gone.energy_wh, is_full=True))
            for quantity in JUDGED:
                past[quantity].append(_truth(gone, quantity))
        if session.arrive_s >= held_out_s:
            for quantity in JUDGED:
                found[quantity].append(_foreseen(history, session, quantity, past[quantity]))
        heapq.heappush(there, (session.depart_s, number, session))
    return found


def _foreseen(history: History, session: formats.Row, quantity: Quantity, past: Sequence[float]) -> Foreseen:
    stated_stay_s = None if session.stated_depart_s is None else session.stated_depart_s - session.arrive_s
    return Foreseen(
        truth=_truth(session, quantity),
        learnt=np.array([quantile(history, _visitor(session), quantity, share) for share in SHARES]),
        plain=np.quantile(past, SHARES),
        stated=stated_stay_s if quantity is Quantity.STAY else session.stated_energy_wh,
    )


def pinball(truth: float, expected: Floats) -> Floats:
    """Return the pinball loss of each of the quantiles SHARES, shape (5,)."""
    missed = truth - expected
    return np.asarray(np.maximum(SHARES * missed, (SHARES - 1.0) * missed))


def _truth(session: formats.Row, quantity: Quantity) -> float:
    return session.depart_s - session.arrive_s if quantity is Quantity.STAY else session.energy_wh


def _visitor(session: formats.Row) -> Visitor:
    return Visitor(evse=EvseId(session.places[0]), plugged_at_s=session.arrive_s)


if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["predict", *sys.argv[1:]])
