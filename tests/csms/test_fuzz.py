"""A station that sends anything at all: the server stays up, no other station is disturbed, nothing goes unhandled."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, ConnectionClosedError

from smartcharge.csms.schemas import Version, actions, sends
from smartcharge.csms.server import Csms, Options
from smartcharge.events import Accepted, StationOffline
from smartcharge.model import Station, StationId
from smartcharge.sim.loop import run
from tests.csms.examples import call_example, result_example
from tests.csms.ocpp_peers import AC, EPOCH_S, Ear, Numbers, World, evse, site, station

SEED = 20_260_101
VICTIM, FUZZER = StationId("CP 1"), StationId("CP 2")
JUNK: list[Any] = [
    None, True, False, 0, -1, 1, 2**63, -(2**63), 10**400, 1e308, -0.0, 0.1, "", "x", "\x00", "\ud800", "\n\r\x1b[2J",
    "x" * 10_000, "NaN", "2023-11-14T22:13:20Z", "9999999-01-01T00:00:00Z", [], {}, [[]], [None] * 50, {"": None},
    {"__proto__": {}}, "../../etc/passwd", "'; DROP TABLE facts;--", "{0.__class__}", "%s%n",
]  # fmt: skip


class Mutator:
    """Frames made from the schemas of a version and broken in a seeded way."""

    def __init__(self, version: Version, seed: int) -> None:
        self._version = version
        self._random = random.Random(seed)
        self._actions = sorted(actions(version) | sends(version))

    def frame(self) -> str | bytes:
        """A frame: most are calls with something wrong in them."""
        match self._random.randrange(10):
            case 0:
                return self._raw()
            case 1:
                return self.dumped([self._random.choice([0, 2, 3, 4, 5, 6, 7, "2", None]), *self._some(4)])
            case 2:
                return self.dumped([self._random.choice([3, 4, 5]), str(self._random.randrange(50)), *self._some(3)])
            case 3:
                return self._cut(self._call())
            case _:
                return self._call()

    def answer(self, action: str) -> Any:
        """An answer to a call of the server: right, wrong, or none."""
        right = result_example(self._version, action)
        return self._random.choice([right, self._mutated(right), self._random.choice(JUNK)])

    def _call(self) -> str:
        action = self._random.choice(self._actions)
        payload: Any = call_example(self._version, action)
        for _ in range(self._random.randrange(4)):
            payload = self._mutated(payload)
        kind = 6 if action in sends(self._version) else 2
        return self.dumped([kind, str(self._random.randrange(10_000)), action, payload])

    def _mutated(self, value: Any) -> Any:
        if isinstance(value, dict) and value and self._random.random() < 0.9:
            key = self._random.choice(sorted(value))
            rest = {k: v for k, v in value.items() if k != key}
            match self._random.randrange(6):
                case 0:
                    return rest
                case 1:
                    return {**value, str(self._random.choice(JUNK)): self._random.choice(JUNK)}
                case _:
                    return {**rest, key: self._mutated(value[key])}
        if isinstance(value, list) and value and self._random.random() < 0.8:
            return [self._mutated(value[0]), *value[1:], *([] if self._random.random() < 0.5 else value * 5)]
        return self._random.choice(JUNK)

    def _some(self, most: int) -> list[Any]:
        return [self._random.choice([*JUNK, *self._actions]) for _ in range(self._random.randrange(most))]

    def _raw(self) -> str | bytes:
        count = self._random.randrange(200)
        if self._random.random() < 0.2:
            return self._random.randbytes(count)
        return "".join(chr(self._random.choice((*range(1, 128), 0x2028, 0x1F600))) for _ in range(count))

    def _cut(self, frame: str) -> str:
        at = self._random.randrange(len(frame))
        return frame[:at] if self._random.random() < 0.5 else frame[:at] + '"[{' + frame[at + 1 :]

    @staticmethod
    def dumped(message: list[Any]) -> str:
        text = json.dumps(message, allow_nan=True)
        return text.encode("utf-8", "replace").decode()


BATCH = 100
"""After so many frames the server must show that it has read them all: what lies in a socket proves nothing."""


async def fuzzed(world: World, version: Version, frames: int, seed: int) -> None:
    """Let the server read so many frames while another station goes on with its day."""
    mutator, read = Mutator(version, seed), 0
    async with world.peer(version.value, path="/CP%201") as bystander:
        await bystander.provisioned()
        while read < frames:
            with suppress(ConnectionClosed):
                async with attacking(world, version, mutator) as attacker:
                    while read < frames:
                        await attacker.send(BATCH)
                        read += BATCH
                        if read % (5 * BATCH) == 0:
                            assert (await bystander.say("Heartbeat", {}))[0] == 3
        command = world.command(16.0)
        assert isinstance(await world.ear.outcome(command.command_id), Accepted)
        assert [e for e in world.ear.of(StationOffline) if e.station == VICTIM] == []
    async with world.peer(version.value, path="/CP%202") as after:
        assert (await after.say("Heartbeat", {}))[0] == 3


class Attacker:
    """One who answers with whatever comes to mind, too."""

    def __init__(self, ws: ClientConnection, mutator: Mutator) -> None:
        self._ws = ws
        self._mutator = mutator
        self._batches = 0
        self._answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def send(self, count: int) -> None:
        """Send so many frames and return once the server has read them: it answers a heartbeat after them."""
        for _ in range(count):
            await self._ws.send(self._mutator.frame())
        self._batches += 1
        self._answered = asyncio.get_running_loop().create_future()
        await self._ws.send(json.dumps([2, f"after {self._batches}", "Heartbeat", {}]))
        await self._answered

    def forget(self) -> None:
        """Nobody waits for the last answer any more."""
        if self._answered.done() and not self._answered.cancelled():
            self._answered.exception()

    async def answer(self) -> None:
        with suppress(ConnectionClosed):
            async for frame in self._ws:
                message = json.loads(frame)
                if message[0] == 2:
                    answer = json.dumps([3, message[1], self._mutator.answer(message[2])])
                    await self._ws.send(answer.encode("utf-8", "replace").decode())
                elif message[1] == f"after {self._batches}" and not self._answered.done():
                    self._answered.set_result(None)
        if not self._answered.done():
            self._answered.set_exception(ConnectionClosedError(None, None))


@asynccontextmanager
async def attacking(world: World, version: Version, mutator: Mutator) -> AsyncIterator[Attacker]:
    """A connection of an attacker."""
    async with world.connection(version.value, path="/CP%202") as ws:
        attacker = Attacker(ws, mutator)
        answering = asyncio.create_task(attacker.answer())
        try:
            yield attacker
        finally:
            await ws.close()
            await answering
            attacker.forget()


async def served_two(version: Version, frames: int, seed: int) -> Ear:
    one = station(evse(AC, 1))
    other = Station(id=FUZZER, circuit=one.circuit, evses=(evse(type(AC)("CP 2/1"), 1, station=FUZZER),))
    two = site(one)
    csms = Csms(
        type(two)(id="s", name="S", timezone="UTC", circuits=two.circuits, stations=(one, other)),
        Numbers(),
        options=Options(ping_interval_s=None),
    )
    ear = Ear()
    task = asyncio.create_task(csms.run(ear.emit))
    await csms.ready()
    try:
        await fuzzed(World(csms, ear, Numbers(), task), version, frames, seed)
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait({task})
    return ear


def fuzz(version: Version, frames: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        ear = run(served_two(version, frames, SEED), epoch_s=EPOCH_S)
    assert [r for r in caplog.records if r.levelno >= logging.ERROR or r.exc_info] == []
    assert ear.events


@pytest.mark.parametrize("version", list(Version))
def test_a_thousand_frames(version: Version, caplog: pytest.LogCaptureFixture) -> None:
    fuzz(version, 1_000, caplog)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("version", list(Version))
def test_a_hundred_thousand_frames(version: Version, caplog: pytest.LogCaptureFixture) -> None:
    fuzz(version, 34_000, caplog)
