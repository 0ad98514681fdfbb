from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiomqtt
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from smartcharge.clock import now_s
from smartcharge.mqtt.broker import embedded_broker
from smartcharge.sim import loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EPOCH_S = 1_551_427_200.0
DAY_S = 86_400.0


def loop_now() -> loop.SimulatedLoop:
    running = asyncio.get_running_loop()
    assert isinstance(running, loop.SimulatedLoop)
    return running


class TestTimeJumps:
    def test_it_starts_at_zero_and_the_clock_adds_the_epoch(self) -> None:
        async def main() -> tuple[float, float]:
            return asyncio.get_running_loop().time(), now_s()

        assert loop.run(main(), epoch_s=EPOCH_S) == (0.0, EPOCH_S)

    def test_a_month_of_minutes_takes_no_time_and_no_drift(self) -> None:
        async def main() -> float:
            for _ in range(30 * 1440):
                await asyncio.sleep(60)
            return asyncio.get_running_loop().time()

        assert loop.run(main(), epoch_s=EPOCH_S) == pytest.approx(30 * DAY_S, abs=1e-3)

    def test_deadlines_come_in_order_whoever_waits(self) -> None:
        seen: list[tuple[float, str]] = []

        async def tick(name: str, period_s: float) -> None:
            while True:
                await asyncio.sleep(period_s)
                seen.append((round(asyncio.get_running_loop().time(), 6), name))

        async def main() -> None:
            tasks = [asyncio.create_task(tick("slow", 7.0)), asyncio.create_task(tick("fast", 3.0))]
            await asyncio.sleep(10)
            for task in tasks:
                task.cancel()

        loop.run(main(), epoch_s=0.0)
        assert seen == [(3.0, "fast"), (6.0, "fast"), (7.0, "slow"), (9.0, "fast")]

    def test_a_timeout_fires_at_its_simulated_second(self) -> None:
        async def main() -> float:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(12.5):
                    await asyncio.Event().wait()
            return asyncio.get_running_loop().time()

        assert loop.run(main(), epoch_s=0.0) == pytest.approx(12.5)


class TestWithoutSockets:
    """Nothing is polled where nobody could speak, and yet nothing is missed."""

    async def until(self, heard: asyncio.Event) -> float:
        while not heard.is_set():  # noqa: ASYNC110 - time must go on by itself
            await asyncio.sleep(60.0)
        return asyncio.get_running_loop().time()

    def test_a_signal_is_heard(self) -> None:
        async def main() -> float:
            heard = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, heard.set)
            os.kill(os.getpid(), signal.SIGUSR1)
            return await self.until(heard)

        assert loop.run(main(), epoch_s=EPOCH_S) <= 60.0 * (loop.UNHEARD + 2)

    def test_another_thread_is_heard(self) -> None:
        async def main() -> float:
            heard = asyncio.Event()
            running = asyncio.get_running_loop()
            threading.Thread(target=lambda: running.call_soon_threadsafe(heard.set)).start()
            return await self.until(heard)

        assert loop.run(main(), epoch_s=EPOCH_S) < float("inf")

    def test_a_socket_is_heard_at_once(self) -> None:
        async def main() -> float:
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            heard = asyncio.Event()

            def read() -> None:
                ours.recv(1)
                heard.set()

            asyncio.get_running_loop().add_reader(ours, read)
            theirs.send(b"x")
            at_s = await self.until(heard)
            asyncio.get_running_loop().remove_reader(ours)
            ours.close()
            theirs.close()
            return at_s

        assert loop.run(main(), epoch_s=EPOCH_S) <= 60.0


class TestTimeStandsStill:
    def test_while_a_worker_runs(self) -> None:
        released = threading.Event()

        async def main() -> float:
            asyncio.get_running_loop().call_later(0.5, released.set)  # a jump would release it too early
            async with asyncio.timeout(1.0):
                threading.Timer(0.05, released.set).start()
                await asyncio.to_thread(released.wait)
            return asyncio.get_running_loop().time()

        assert loop.run(main(), epoch_s=0.0) == 0.0

    def test_but_not_for_a_worker_nobody_waits_for(self) -> None:
        released = threading.Event()

        async def main() -> float:
            worker = asyncio.create_task(asyncio.to_thread(released.wait))
            await asyncio.sleep(0)
            worker.cancel()
            await asyncio.sleep(60)
            released.set()
            return asyncio.get_running_loop().time()

        assert loop.run(main(), epoch_s=0.0) == 60.0

    def test_while_bytes_wait_on_loopback(self) -> None:
        """An answer that is on its way beats the shortest deadline."""

        async def echo(peer: ServerConnection) -> None:
            async for message in peer:
                await peer.send(message)

        async def main() -> tuple[float, int]:
            async with (
                serve(echo, "127.0.0.1", 0, ping_interval=None) as server,
                connect(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}", ping_interval=None) as client,
            ):
                for number in range(300):
                    async with asyncio.timeout(1e-6):
                        await client.send(str(number))
                        assert await client.recv() == str(number)
            return asyncio.get_running_loop().time(), loop_now().caught

        at_s, caught = loop.run(main(), epoch_s=0.0)
        assert at_s < 30.0  # closing may wait, calls did not
        assert caught == 0

    def test_while_the_executor_shuts_down(self) -> None:
        finished = threading.Event()

        def work() -> None:
            time.sleep(0.05)
            finished.set()

        async def main() -> None:
            slow = asyncio.get_running_loop().run_in_executor(None, work)
            asyncio.get_running_loop().call_later(3600.0, lambda: None)
            slow.cancel()

        loop.run(main(), epoch_s=0.0)
        assert finished.is_set()


class TestRun:
    def test_leftovers_are_cancelled_and_generators_closed(self) -> None:
        closed: list[str] = []

        async def numbers() -> AsyncIterator[int]:
            try:
                while True:
                    yield 1
            finally:
                closed.append("generator")

        async def forever() -> None:
            try:
                await asyncio.sleep(1e9)
            finally:
                closed.append("task")

        async def main() -> str:
            leftover = asyncio.create_task(forever())
            generator = numbers()
            assert await anext(generator) == 1
            await asyncio.sleep(1)
            assert not leftover.done()
            return "result"

        assert loop.run(main(), epoch_s=0.0) == "result"
        assert sorted(closed) == ["generator", "task"]

    def test_an_error_comes_out(self) -> None:
        async def main() -> None:
            raise LookupError("planted")

        with pytest.raises(LookupError, match="planted"):
            loop.run(main(), epoch_s=0.0)


class TestPace:
    def test_never_faster_than_told(self) -> None:
        async def main() -> float:
            await asyncio.sleep(0)
            started, then = time.perf_counter(), asyncio.get_running_loop().time()
            for _ in range(40):
                await asyncio.sleep(5.0)
            real_s = time.perf_counter() - started
            return (asyncio.get_running_loop().time() - then) / (real_s + loop.CATCH_UP_S)

        assert loop.run(main(), epoch_s=0.0, pace=1000.0) <= 1000.0

    def test_a_message_from_outside_is_heard_while_it_waits(self) -> None:
        async def main() -> float:
            heard = asyncio.Event()
            running = asyncio.get_running_loop()
            threading.Timer(0.05, lambda: running.call_soon_threadsafe(heard.set)).start()
            asyncio.get_running_loop().call_later(3600.0, lambda: None)
            await heard.wait()
            return asyncio.get_running_loop().time()

        assert 0.0 < loop.run(main(), epoch_s=0.0, pace=1.0) < 60.0


class TestMqtt:
    """paho drives its socket through add_reader and add_writer, the broker is in the same loop."""

    def test_a_day_of_messages(self) -> None:
        async def main() -> tuple[int, float]:
            heard = 0
            # Held back by the kernel (Nagle), a small message would wait for ever in simulated time.
            prompt = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
            async with (
                embedded_broker() as port,
                aiomqtt.Client("127.0.0.1", port, keepalive=0, socket_options=prompt) as client,
            ):
                await client.subscribe("site/#")
                messages = aiter(client.messages)
                for number in range(48):
                    await client.publish("site/limit", str(number), qos=1)
                    message = await anext(messages)
                    heard += message.payload == str(number).encode()
                    await asyncio.sleep(1800)
            return heard, asyncio.get_running_loop().time()

        heard, at_s = loop.run(main(), epoch_s=datetime(2024, 1, 1, tzinfo=UTC).timestamp())
        assert heard == 48
        assert at_s == pytest.approx(DAY_S, abs=60.0)


class TestALongTime:
    def test_passes_after_half_a_year_too(self) -> None:
        """From 2^24 s on the time between two floats is more than the resolution of asyncio's clock."""

        async def story() -> float:
            await asyncio.sleep(2.0**24)
            for _ in range(1000):
                await asyncio.sleep(0.1)
            return asyncio.get_running_loop().time()

        assert loop.run(story(), epoch_s=0.0) == pytest.approx(2.0**24 + 100.0, abs=1e-3)
