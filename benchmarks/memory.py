"""``python -m benchmarks.memory``: the most memory that one plan takes, in a process that does nothing else."""

from __future__ import annotations

import pickle
import resource
import subprocess
import sys
from pathlib import Path

from solvers import SOLVERS
from solvers.problem import Problem

DEADLINE_S = 120.0


def memory_mb(problem: Problem, solver: str) -> int:
    """Return the highest resident size [MB] of a fresh Python that plans this, imports and all."""
    command = [sys.executable, "-m", "benchmarks.memory", solver]
    done = subprocess.run(command, input=pickle.dumps(problem), capture_output=True, check=True)  # noqa: S603
    return int(done.stdout.split()[-1])


def highest_mb() -> int:
    """Return the highest resident size of this process so far [MB]."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage counts what the parent had when it started this process (Linux, exec_mmap)
        words = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return round(int(words["VmHWM"].split()[0]) / 1024.0)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0)


if __name__ == "__main__":
    SOLVERS[sys.argv[1]](pickle.load(sys.stdin.buffer), DEADLINE_S)  # noqa: S301  (from our own parent process)
    print(highest_mb())
