"""Export the JSON Schema of every payload: ``python -m smartcharge.mqtt.schemas DIRECTORY``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from smartcharge.mqtt.payloads import PAYLOADS


def schemas() -> dict[str, str]:
    """Return the text of every schema by the name of its file."""
    return {
        f"{kind.replace(' ', '-')}.schema.json": json.dumps(
            {"$schema": "https://json-schema.org/draft/2020-12/schema"} | model.model_json_schema(), indent=2
        )
        + "\n"
        for kind, model in PAYLOADS.items()
    }


def export(directory: Path) -> None:
    """Write every schema into a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in schemas().items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    export(Path(sys.argv[1]))
