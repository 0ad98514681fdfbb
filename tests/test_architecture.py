"""The dependency rule holds, and can fail: each contract is shown to catch a planted violation."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CONTROL = ROOT / "smartcharge" / "control"
CLOCKS = {"time", "datetime", "asyncio"}
CALENDAR = {"tariff.py": {"datetime"}}
"""Who may work with dates; that nothing asks for the present one is looked at too."""


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """Import-linter on the packages under ``root``, with the contracts of its pyproject.toml."""
    script = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([script, "--no-cache"], cwd=root, capture_output=True, text=True, check=False, timeout=120.0)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in ("smartcharge", "solvers"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


class TestContracts:
    def test_hold(self) -> None:
        found = lint_imports(ROOT)
        assert found.returncode == 0, found.stdout + found.stderr

    @pytest.mark.parametrize(
        ("module", "line", "contract"),
        [
            ("solvers/greedy.py", "import smartcharge.model", "solvers know nothing of the house"),
            ("smartcharge/model.py", "import smartcharge.control.plan", "rooms, high to low"),
            ("smartcharge/mqtt/topics.py", "import smartcharge.store.codec", "rooms, high to low"),
            ("smartcharge/words/base.py", "import smartcharge.mqtt.topics", "rooms, high to low"),
            ("smartcharge/grid/http.py", "import smartcharge.mqtt.topics", "rooms, high to low"),
            ("smartcharge/control/flow.py", "import datetime", "control is pure"),
        ],
    )
    def test_planted_violation_is_caught(self, copy: Path, module: str, line: str, contract: str) -> None:
        planted = copy / module
        text, future = planted.read_text(), "from __future__ import annotations\n"
        planted.write_text(text.replace(future, f"{future}{line}\n", 1))
        found = lint_imports(copy)
        assert found.returncode != 0
        assert f"{contract} BROKEN" in found.stdout


@pytest.mark.parametrize("module", sorted(CONTROL.glob("*.py")), ids=lambda path: path.name)
class TestControlIsPure:
    def test_nothing_waits_and_nothing_reads_a_clock(self, module: Path) -> None:
        clocks = CLOCKS - CALENDAR.get(module.name, set())
        for node in ast.walk(ast.parse(module.read_text())):
            assert not isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith)
            match node:
                case ast.Import(names=names):
                    assert clocks.isdisjoint(alias.name.partition(".")[0] for alias in names)
                case ast.ImportFrom(module=str(name)):
                    assert name.partition(".")[0] not in clocks
                case ast.Attribute(attr=name):
                    assert name not in {"now", "today", "utcnow"}
                case _:
                    pass
