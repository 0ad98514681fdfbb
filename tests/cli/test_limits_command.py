"""What became of grid limits, shown from a journal."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from smartcharge.events import Event, LimitFollowed, LimitSet, Stage
from smartcharge.model import CircuitId
from smartcharge.store import open_store
from tests.builders import NOON_S
from tests.cli.command_line import Typed

MAIN = CircuitId("main")


def followed(n: int, stage: Stage, s: float, **more: Any) -> LimitFollowed:
    due_s = NOON_S + 100.0 * n
    return LimitFollowed(
        at_s=due_s + s + 0.1, source="mqtt [dso]", circuit=MAIN, version=f"L{n}", since_s=due_s, stage=stage,
        seen_s=due_s + s, **more,
    )  # fmt: skip


def story() -> list[Event]:
    """Sixty limits, of which the first was exceeded for a while and the last could not be met."""
    events: list[Event] = []
    for n in range(60):
        at_s = NOON_S + 100.0 * n
        limit = LimitSet(
            at_s=at_s, source="mqtt [dso]", circuit=MAIN, power_w=9000.0, version=f"L{n}", valid_until_s=at_s + 50.0
        )
        events += [limit, followed(n, Stage.BINDS, 0.0)]
        if n == 59:
            return [*events, followed(n, Stage.UNMET, 15.0, over_w=900.0, reason="s-1 may still draw")]
        events.append(followed(n, Stage.APPLIED, 1.25))
        if n == 0:
            events.append(followed(n, Stage.EXCEEDED, 10.0, over_w=3600.0))
        events += [followed(n, Stage.MEASURED, 20.0), followed(n, Stage.ENDED, 50.0)]
    return events


def written(folder: Path) -> Path:
    async def write() -> None:
        async with open_store(f"sqlite:///{folder / 'yard.db'}") as store:
            for event in story():
                store.journal.append(event)

    asyncio.run(write())
    return folder / "yard.db"


def test_every_limit_of_the_journal_is_shown(typed: Typed, tmp_path: Path, site_file: Path) -> None:
    out = tmp_path / "limits.json"
    said = typed("limits", written(tmp_path), site_file, "--json", out)
    assert said.code == 0, said.err
    assert "60 limits" in said.out
    for words in ("mqtt [dso]", "9.0 kW on main", "2023-11-14 23:13:20", "late: s-1 may still draw", "never"):
        assert words in said.out
    first, *_, last = json.loads(out.read_text())
    assert (first["id"], first["applied_s"] - first["due_s"], first["measured_s"] - first["due_s"]) == (
        "L0",
        1.25,
        20.0,
    )
    assert first["over_wh"] == 3600.0 * 20.0 / 3600.0
    assert (last["id"], last["applied_s"], last["unmet"]) == ("L59", None, "s-1 may still draw")


def test_a_journal_that_is_not_there_is_not_made(typed: Typed, tmp_path: Path, site_file: Path) -> None:
    assert typed("limits", tmp_path / "none.db", site_file).code == 2
    assert not (tmp_path / "none.db").exists()
