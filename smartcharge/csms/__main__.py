"""Write the version matrix into ``ocpp.md``: ``python -m smartcharge.csms docs tests/csms``."""

from __future__ import annotations

import sys
from pathlib import Path

from smartcharge.csms.matrix import with_table

_page = Path(sys.argv[1]) / "ocpp.md"
_page.write_text(with_table(_page.read_text(encoding="utf-8"), Path(sys.argv[2])), encoding="utf-8")
