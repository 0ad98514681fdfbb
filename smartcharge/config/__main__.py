"""Write the schemas and the tables in ``README.md``: ``python -m smartcharge.config sites``."""

from __future__ import annotations

import sys
from pathlib import Path

from smartcharge.config.schema import schema_texts, with_key_tables

_folder = Path(sys.argv[1])
_readme = _folder / "README.md"
for _name, _text in schema_texts().items():
    (_folder / _name).write_text(_text, encoding="utf-8")
_readme.write_text(with_key_tables(_readme.read_text(encoding="utf-8")), encoding="utf-8")
