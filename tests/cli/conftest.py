"""The command line as a test types it."""

from __future__ import annotations

from pathlib import Path

import pytest

from smartcharge.cli import main
from tests.cli.command_line import CARS, SITE, Said, Typed


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Typed:
    """Run a command line in this process and return what it said."""

    def run(*words: str | Path) -> Said:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        code = ended.value.code or 0
        assert isinstance(code, int)
        assert "Traceback" not in err
        return Said(code, out, err)

    return run


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    path = tmp_path / "yard.toml"
    path.write_text(SITE.format(folder=tmp_path))
    return path


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "cars.csv"
    path.write_text(CARS)
    return path
