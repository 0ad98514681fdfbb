"""Under CI the same examples in every run, and nothing left out; elsewhere Hypothesis goes on looking."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

import smartcharge  # noqa: F401 - before anybody imports numpy: see there
from tests.postgres import Database, database
from tests.shared_data import REASON, SHARED

IS_CI = bool(os.environ.get("CI"))

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if IS_CI else "dev")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that may take longest, so that no worker starts them when the others are done."""

    def patience_s(item: pytest.Item) -> float:
        marker = item.get_closest_marker("timeout")
        return float(marker.args[0]) if marker is not None else 0.0

    items.sort(key=patience_s, reverse=True)


def left_out(config: pytest.Config) -> list[str]:
    """Where and why tests were skipped that CI must run: all but those that lack the shared data."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    skipped = [] if terminal is None else terminal.stats.get("skipped", [])
    places = [f"{path}:{line}: {reason}" for path, line, reason in (report.longrepr for report in skipped)]
    return [place for place in places if SHARED.exists() or REASON not in place]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run under CI that left something out."""
    is_worker = hasattr(session.config, "workerinput")
    if IS_CI and not is_worker and session.exitstatus == pytest.ExitCode.OK and left_out(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name what was left out."""
    places = left_out(config) if IS_CI else []
    if places:
        terminalreporter.section("skipped, which CI does not allow", red=True, bold=True)
        for place in places:
            terminalreporter.line(place)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Database]:
    """A PostgreSQL server for all tests of this process."""
    with database() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Database) -> str:
    """The URL of an empty PostgreSQL database."""
    return postgres.url()
