"""Every test that takes `url` runs on each backend."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    """A SQLite file, for what only files have: they are closed, opened again, killed, locked."""
    return f"sqlite:///{tmp_path / 'site.db'}"


@pytest.fixture(params=["sqlite-file", "sqlite-memory", "postgresql"])
def url(request: pytest.FixtureRequest, file_url: str) -> str:
    """A fresh, empty database."""
    match request.param:
        case "sqlite-file":
            return file_url
        case "sqlite-memory":
            return "sqlite://"
        case _:
            fresh: str = request.getfixturevalue("postgres_url")
            return fresh


@pytest.fixture(params=["sqlite-file", "postgresql"])
def lasting_url(request: pytest.FixtureRequest, file_url: str) -> str:
    """A fresh, empty database that can be closed and opened again."""
    if request.param == "sqlite-file":
        return file_url
    fresh: str = request.getfixturevalue("postgres_url")
    return fresh
