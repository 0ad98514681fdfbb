"""What every benchmark reports: rows of figures, and the machine that they were measured on."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

Row: TypeAlias = dict[str, Any]
"""One line of a report; ``benchmark`` names what was measured, units stand in the names."""

LIBRARIES = ("clarabel", "cvxpy", "highspy", "numpy", "ocpp", "pyomo", "sqlalchemy", "websockets", "aiomqtt")


def spread(times_s: Sequence[float]) -> Row:
    """Return median, 95th and 99th percentile and highest of some times [s]."""
    times = np.array(times_s)
    shares = {"median_s": 0.5, "p95_s": 0.95, "p99_s": 0.99, "max_s": 1.0}
    return {name: round(float(np.quantile(times, share)), 4) for name, share in shares.items()}


def machine() -> Row:
    """Return what the figures depend on besides our code."""
    return {
        "cpu": _cpu(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
