"""HiGHS as the fast back-end uses it: without a word on standard output, and never beyond its deadline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import highspy
import numpy as np
from highspy import HighsModelStatus, HighsStatus

if TYPE_CHECKING:
    from solvers.draft import Rows
    from solvers.problem import Floats

GAP = 2e-7
"""Share of the objective within which a schedule counts as optimal even if the problem allows no gap."""
OPTIONS: dict[str, bool | int | float | str] = {
    # HiGHS keeps one scheduler per process: every use in it must ask for the same number of threads.
    "threads": 1,
    "primal_feasibility_tolerance": 1e-8,
    "dual_feasibility_tolerance": 1e-8,
    "mip_feasibility_tolerance": 1e-8,
    "mip_rel_gap": GAP / 2.0,
}


class Quiet(highspy.Highs):
    """HiGHS without a word on standard output."""

    def __init__(self, ends_s: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ends_s = ends_s
        for name, value in OPTIONS.items():
            self.setOptionValue(name, value)

    def enableCallbacks(self) -> None:  # noqa: N802
        """Silence HiGHS instead: the constructor calls this first, and hooking callbacks in prints a banner."""
        self.silent()

    def solve_in_time(self) -> HighsModelStatus:
        """Run until done or until the deadline; after it, not at all, though HiGHS could do small ones in no time."""
        if time.perf_counter() >= self._ends_s:
            return HighsModelStatus.kTimeLimit
        if self._run() == HighsModelStatus.kUnknown:  # an old basis can lead dual simplex astray; a fresh one does not
            self.clearSolver()
            self._run()
        return self.getModelStatus()

    def _run(self) -> HighsModelStatus:
        # HiGHS counts its time over all runs of one model.
        self.setOptionValue("time_limit", max(self.getRunTime() + self._ends_s - time.perf_counter(), 0.0))
        self.run()
        return self.getModelStatus()

    def append(self, rows: Rows) -> None:
        """Add rows; the basis stays.  Raises RuntimeError if HiGHS takes them not: the loop would never end."""
        start, column = rows.start.astype(np.int32), rows.column.astype(np.int32)
        status = self.addRows(len(rows.upper), rows.lower, rows.upper, len(column), start, column, rows.value)
        if status == HighsStatus.kError:
            raise RuntimeError("HiGHS refuses a tangent")

    def values(self) -> Floats:
        """Return the value of every column."""
        return np.asarray(self.getSolution().col_value, dtype=np.float64)
