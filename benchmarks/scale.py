"""A thousand stations on one controller: is the control loop on time, what does it cost, and do all come back at once?

The controller with its OCPP server and its journal in a SQLite file runs in a process of its own, so its CPU time is
its own.  The stations are bare WebSocket clients in this process that send MeterValues with eight samples each.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from benchmarks.figures import Row
from benchmarks.limit_cut import site_of
from smartcharge.clock import now_s
from smartcharge.config import OcppSettings, Settings, StoreSettings
from smartcharge.csms.schemas import format_time
from smartcharge.ports import Snapshot
from smartcharge.sim.plant import Plant
from smartcharge.store import open_store

PERIOD_S = 10.0
"""Between two MeterValues of one station [s]."""
PATIENCE_S = 120.0
"""How long the controller may take to know every station [s]."""
LAG_S = 0.05
"""How often the event loop's own lateness is measured [s]."""
ANSWERS = {
    "GetConfiguration": {"configurationKey": []},
    "ChangeConfiguration": {"status": "Accepted"},
    "SetChargingProfile": {"status": "Accepted"},
    "TriggerMessage": {"status": "Accepted"},
    "GetCompositeSchedule": {"status": "Rejected"},
    "RemoteStopTransaction": {"status": "Rejected"},
}


def measure(*, stations: int = 1_000, seconds: float = 60.0, settle_s: float = PERIOD_S) -> list[Row]:
    """Return one row: cycle times and CPU of the controller, and how long a reconnect storm lasts."""
    _allow_files(stations)
    with TemporaryDirectory() as folder:
        return [asyncio.run(_measure(stations, seconds, settle_s, Path(folder)))]


def _allow_files(stations: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * stations + 256)), hard))


async def _measure(stations: int, seconds: float, settle_s: float, folder: Path) -> Row:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.scale", str(stations), str(folder),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        port = int(await server.stdout.readline())
        fleet = [_Client(f"ws://127.0.0.1:{port}/station-{n:03d}", n / stations * PERIOD_S) for n in range(stations)]
        tasks = [asyncio.create_task(client.run()) for client in fleet]
        first_s = await _until_all_are_known(fleet)
        await asyncio.sleep(settle_s)
        server.stdin.write(b"begin\n")
        await asyncio.sleep(seconds)
        server.stdin.write(b"end\n")
        found: Row = json.loads(await server.stdout.readline())
        storm_s = await _storm(fleet)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    finally:
        server.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(10.0):
                await server.wait()
        if server.returncode is None:
            server.kill()
            await server.wait()
    sent = {"stations": stations, "messages_per_s": round(stations / PERIOD_S, 1), "seconds": seconds}
    return {"benchmark": "scale", **sent, **found, "first_connect_s": first_s, "reconnect_storm_s": storm_s}


async def _storm(fleet: list[_Client]) -> float | None:
    """Cut every connection at once and return how long it takes until all are known again [s]."""
    for client in fleet:
        client.drop()
    return await _until_all_are_known(fleet)


async def _until_all_are_known(fleet: list[_Client]) -> float | None:
    """Return how long it took [s]; None if the controller did not get there in PATIENCE_S."""
    start_s = time.perf_counter()
    try:
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(client.known.wait() for client in fleet))
    except TimeoutError:
        return None
    return round(time.perf_counter() - start_s, 2)


class _Client:
    """A station that sends what stations send, and says yes."""

    def __init__(self, uri: str, offset_s: float) -> None:
        self.known = asyncio.Event()
        self._uri = uri
        self._offset_s = offset_s
        self._ws: ClientConnection | None = None
        self._wh = 0.0
        self._has_started = False

    def drop(self) -> None:
        """Lose the connection."""
        self.known.clear()
        if self._ws is not None:
            self._ws.transport.abort()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        while True:
            with suppress(OSError, InvalidHandshake, ConnectionClosed):
                async with connect(
                    self._uri, subprotocols=[Subprotocol("ocpp1.6")], compression=None, ping_interval=None, proxy=None,
                    open_timeout=60.0,
                ) as self._ws:  # fmt: skip
                    metering = asyncio.create_task(self._meter(self._ws))
                    try:
                        await self._talk(self._ws)
                    finally:
                        metering.cancel()
            await asyncio.sleep(0.5)

    async def _talk(self, ws: ClientConnection) -> None:
        await _call(ws, "boot", "BootNotification", {"chargePointVendor": "bench", "chargePointModel": "1"})
        async for frame in ws:
            message = json.loads(frame)
            if message[0] == 2:
                await ws.send(json.dumps([3, message[1], ANSWERS[message[2]]]))
            elif message[1] == "boot":
                self.known.set()
                if not self._has_started:
                    self._has_started = True
                    start = {"connectorId": 1, "idTag": "T", "meterStart": 0, "timestamp": format_time(now_s())}
                    await _call(ws, "start", "StartTransaction", start)

    async def _meter(self, ws: ClientConnection) -> None:
        await asyncio.sleep(self._offset_s)
        number = 0
        with suppress(ConnectionClosed):
            while True:
                number += 1
                self._wh += 10.0
                await _call(ws, f"m{number}", "MeterValues", {"connectorId": 1, "meterValue": [_meter_value(self._wh)]})
                await asyncio.sleep(PERIOD_S)


async def _call(ws: ClientConnection, id_: str, action: str, payload: dict[str, Any]) -> None:
    await ws.send(json.dumps([2, id_, action, payload]))


def _meter_value(energy_wh: float) -> dict[str, Any]:
    amps = f"{5.5 + energy_wh % 50.0 / 100.0:.1f}"
    lines = ("L1", "L2", "L3")
    samples = [
        *({"value": amps, "measurand": "Current.Import", "unit": "A", "phase": line} for line in lines),
        *({"value": "230.1", "measurand": "Voltage", "unit": "V", "phase": f"{line}-N"} for line in lines),
        {"value": "4071", "measurand": "Power.Active.Import", "unit": "W"},
        {"value": str(energy_wh), "measurand": "Energy.Active.Import.Register", "unit": "Wh"},
    ]
    return {"timestamp": format_time(now_s()), "sampledValue": samples}


class _Stopwatch:
    """An observer that notes how long each control cycle took."""

    def __init__(self) -> None:
        self.cycles_s: list[float] = []

    def observe(self, snapshot: Snapshot) -> None:
        """Note a cycle."""
        self.cycles_s.append(now_s() - snapshot.at_s)


async def _serve(stations: int, folder: Path) -> None:
    """Be the controller; report figures between the lines `begin` and `end` on stdin."""
    site, watch = site_of(stations), _Stopwatch()
    settings = Settings(site=site, mqtt=None, ocpp=OcppSettings(), store=StoreSettings())
    async with open_store(f"sqlite:///{folder / 'site.db'}") as store:
        plant = Plant(settings=settings, journal=store.journal, ledger=store.ledger, observers=(watch,))
        await plant.start()
        print(plant.ocpp_port, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        lags: list[float] = []
        lagging = asyncio.create_task(_lags(lags))
        watch.cycles_s.clear()
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        await asyncio.to_thread(sys.stdin.readline)
        lagging.cancel()
        share = (time.process_time() - cpu_s) / (time.perf_counter() - wall_s)
        print(json.dumps(_figures(watch.cycles_s, lags, share)), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await plant.kill()


async def _lags(lags: list[float]) -> None:
    while True:
        before_s = time.perf_counter()
        await asyncio.sleep(LAG_S)
        lags.append(time.perf_counter() - before_s - LAG_S)


def _figures(cycles_s: list[float], lags_s: list[float], share: float) -> Row:
    return {
        "cycles": len(cycles_s),
        "cycle_median_s": _quantile(cycles_s, 0.5),
        "cycle_p99_s": _quantile(cycles_s, 0.99),
        "loop_lag_p99_s": _quantile(lags_s, 0.99),
        "cpu_of_one_core": round(share, 3),
        "load": round(os.getloadavg()[0], 2),
    }


def _quantile(times_s: list[float], share: float) -> float | None:
    return round(float(np.quantile(times_s, share)), 4) if times_s else None


if __name__ == "__main__":
    _allow_files(int(sys.argv[1]))
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2])))
