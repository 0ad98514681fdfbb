"""Write ``site.schema.json`` and the tables in ``README.md``: ``python -m smartcharge.config sites``."""

from __future__ import annotations

import sys
from pathlib import Path

from smartcharge.config.schema import schema_text, with_key_tables

_folder = Path(sys.argv[1])
_readme = _folder / "README.md"
(_folder / "site.schema.json").write_text(schema_text(), encoding="utf-8")
_readme.write_text(with_key_tables(_readme.read_text(encoding="utf-8")), encoding="utf-8")
