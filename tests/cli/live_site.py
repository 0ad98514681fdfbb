"""`smartcharge run` in a process of its own, and stations that speak OCPP 1.6 to it over hand-written frames."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol


@dataclass
class Site:
    """A running process."""

    process: subprocess.Popen[str]
    port: int
    words: list[str]
    """What it said until it was ready."""


@contextmanager
def running(site_file: Path) -> Iterator[Site]:
    """Run a site on a free port; whatever is left of it is killed in the end."""
    command = [sys.executable, "-m", "smartcharge.cli", "run", str(site_file), "--port", "0"]
    log = site_file.with_suffix(".log")
    with (
        log.open("a") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            words: list[str] = []
            while not words or "ocpp: " not in words[-1]:
                words.append(process.stdout.readline())
                assert words[-1], log.read_text()
            yield Site(process, int(words[-1].rpartition(":")[2].partition("/")[0]), words)
        finally:
            process.kill()


class Cut(Exception):
    """The connection broke before the answer came."""


@dataclass
class Station:
    """A station with one connector, connected."""

    ws: ClientConnection
    profiles: list[dict[str, Any]] = field(default_factory=list)
    """Every charging profile that it was sent, oldest first."""
    _asked: asyncio.Condition = field(default_factory=asyncio.Condition)
    _waiting: dict[str, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)

    async def call(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Return the answer; raises Cut if there is none any more."""
        number = str(len(self._waiting))
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            await self.ws.send(json.dumps([2, number, action, payload]))
        except ConnectionClosed as error:
            raise Cut from error
        return await answer

    async def profile_of(self, transaction: int) -> dict[str, Any]:
        """Return the first profile for a transaction, once it has come."""
        async with self._asked:
            await self._asked.wait_for(lambda: any(p.get("transactionId") == transaction for p in self.profiles))
        return next(p for p in self.profiles if p.get("transactionId") == transaction)

    async def listen(self) -> None:
        """Take frames until the connection is gone; whoever waits for an answer then hears of it."""
        with suppress(ConnectionClosed):
            async for frame in self.ws:
                kind, number, *rest = json.loads(frame)
                if kind == 2:
                    await self._answer(number, *rest)
                else:
                    assert kind == 3, rest
                    self._waiting[number].set_result(rest[0])
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(Cut())
                answer.exception()  # nobody may be waiting

    async def _answer(self, number: str, action: str, payload: dict[str, Any]) -> None:
        if action == "SetChargingProfile":
            async with self._asked:
                self.profiles.append(payload["csChargingProfiles"])
                self._asked.notify_all()
        answer: dict[str, Any] = {"configurationKey": []} if action == "GetConfiguration" else {"status": "Accepted"}
        await self.ws.send(json.dumps([3, number, answer]))


@asynccontextmanager
async def station(site: Site, name: str) -> AsyncIterator[Station]:
    """Connect a station; it answers whatever it is asked until it leaves."""
    uri = f"ws://127.0.0.1:{site.port}/{name}"
    async with connect(uri, subprotocols=[Subprotocol("ocpp1.6")], compression=None, proxy=None) as ws:
        one = Station(ws)
        listener = asyncio.create_task(one.listen())
        try:
            yield one
        finally:
            await ws.close()
            await listener


BOOT = {"chargePointVendor": "V", "chargePointModel": "M"}
