"""`smartcharge order`: a person decides about a fault, and the running controller writes it down."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from smartcharge.config import load
from smartcharge.events import FaultOrder
from smartcharge.faults import Cause, OrderKind
from smartcharge.sim.broker import Broker
from smartcharge.store import open_store
from tests.cli.command_line import Said, Typed
from tests.cli.live_site import running

ADA = ("--author", "Ada", "--reason", "plug glowed")


def use_broker(site_file: Path, port: int) -> None:
    site_file.write_text(f'{site_file.read_text()}\n[mqtt]\nhost = "127.0.0.1"\nport = {port}\n')


@asynccontextmanager
async def site_with_broker(site_file: Path) -> AsyncIterator[None]:
    broker = Broker()
    await broker.start()
    await asyncio.to_thread(use_broker, site_file, broker.port)
    with running(site_file):
        yield
    await broker.stop()


async def order(site_file: Path, *words: str) -> Said:
    command = (sys.executable, "-m", "smartcharge.cli", "order", str(site_file), *words)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    out, err = await process.communicate()
    assert process.returncode is not None
    return Said(process.returncode, out.decode(), err.decode())


class TestOrder:
    def test_reaches_the_running_controller_and_outlives_its_kill(self, site_file: Path) -> None:
        async def decide() -> tuple[Said, Said]:
            async with site_with_broker(site_file):
                forced = await order(site_file, "s-1", "force", "connector-hot", "--limit-a", "8", *ADA)
                refused = await order(site_file, "s-1", "force", "bad-mood", *ADA)
            return forced, refused

        async def written() -> list[FaultOrder]:
            async with open_store(f"sqlite:///{site_file.with_name('yard.db')}") as store:
                return [fact for fact in store.journal.load() if isinstance(fact, FaultOrder)]

        forced, refused = asyncio.run(decide())
        assert (forced.code, forced.out) == (0, "s-1: force connector-hot: written down\n")
        assert refused.code != 0
        assert "Traceback" not in refused.err
        # The process was killed as soon as it had answered: what it said was written down is there.
        (fact,) = asyncio.run(written())
        assert (fact.evse, fact.kind, fact.cause) == ("s-1", OrderKind.FORCE, Cause.CONNECTOR_HOT)
        assert (fact.author, fact.reason, fact.limit_a) == ("Ada", "plug glowed", 8.0)

    def test_an_evse_that_is_not_there(self, typed: Typed, site_file: Path) -> None:
        use_broker(site_file, 9)
        said = typed("order", site_file, "s-9", "release", "connector-hot", *ADA)
        assert said.code != 0
        assert "there is no EVSE s-9" in said.err

    def test_a_site_without_a_broker(self, typed: Typed, site_file: Path) -> None:
        assert load(site_file).mqtt is None
        said = typed("order", site_file, "s-1", "release", "connector-hot", *ADA)
        assert said.code != 0
        assert "mqtt: is missing" in said.err

    @pytest.mark.parametrize("words", [("--author", "Ada"), ("--reason", "why")])
    def test_an_order_without_author_or_reason(self, typed: Typed, site_file: Path, words: tuple[str, str]) -> None:
        assert typed("order", site_file, "s-1", "release", "connector-hot", *words).code != 0
