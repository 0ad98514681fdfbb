"""A real PostgreSQL on a Unix socket, from the package pgserver; each test has a schema of its own in it."""

from __future__ import annotations

import os
import signal
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import URL, create_engine, make_url, text


class Database:
    """A server that can be killed and started again."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def url(self) -> str:
        """Return the URL of a fresh, empty schema."""
        name = f"t{uuid4().hex}"
        base = make_url(self._server.get_uri()).set(drivername="postgresql+psycopg")
        engine = create_engine(base)
        with engine.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {name}"))
        engine.dispose()
        return _shown(base.update_query_dict({"options": f"-csearch_path={name}"}))

    def kill(self) -> None:
        """Kill -9 the server, all of its processes."""
        pid = self._server.get_pid()
        group = os.getpgid(pid)
        assert group == pid, "it leads a group of its own"
        os.killpg(group, signal.SIGKILL)

    def start(self) -> None:
        """Start it again, over whatever its death left behind."""
        for _ in range(50):
            with suppress(Exception):
                self._server.ensure_postgres_running()
                self.url()
                return
            time.sleep(0.2)
        raise AssertionError("PostgreSQL does not come back")


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@contextmanager
def database() -> Iterator[Database]:
    """Run a server in a folder of its own; skips the test where there is no pgserver for this Python."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns of a machine without XDG_RUNTIME_DIR
        pgserver = pytest.importorskip("pgserver")
        with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as folder:
            running = Database(pgserver.get_server(Path(folder), cleanup_mode=None))
            try:
                yield running
            finally:
                running.kill()
