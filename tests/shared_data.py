"""Recordings and networks that are not part of the repository; who has them keeps them beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
ACN = SHARED / "acn"
NETWORKS = ACN / "networks"
REASON = "needs ../shared/data"
needs_shared = pytest.mark.skipif(not SHARED.exists(), reason=REASON)
