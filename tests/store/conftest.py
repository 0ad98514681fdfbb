"""Every test that takes `url` runs on each backend; PostgreSQL joins by one more name here."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    """A SQLite file, for what only files have: they are closed, opened again, killed, locked."""
    return f"sqlite:///{tmp_path / 'site.db'}"


@pytest.fixture(params=["sqlite-file", "sqlite-memory"])
def url(request: pytest.FixtureRequest, file_url: str) -> str:
    """A fresh, empty database."""
    return file_url if request.param == "sqlite-file" else "sqlite://"
