"""Kill -9 in the midst of transactions, end to end: nothing that a station was told is lost, open ones go on."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smartcharge.events import Event, Metered, TransactionEnded, TransactionStarted
from smartcharge.store import open_store
from tests.cli.command_line import Typed
from tests.cli.live_site import BOOT, Cut, Site, Station, running, station

ROUNDS = 4
STOP_SHARES = {"s-1": 0.4, "s-2": 0.4, "s-3": 0.0, "s-4": 0.0}
"""Stations that come and go, and stations whose one transaction goes on."""


@dataclass
class Driver:
    """What a station has to say, and what it was promised; it says again what was not answered (OCPP 1.6, 4.1)."""

    name: str
    rng: random.Random
    stop_share: float
    """How often the next word ends the transaction; 0 keeps one open throughout."""
    meter_wh: int = 0
    visits: int = 0
    transaction: int | None = None
    pending: tuple[str, dict[str, Any]] | None = None
    started: dict[int, str] = field(default_factory=dict)
    """Transactions whose number it was given, with the time of their start."""
    stopped: set[int] = field(default_factory=set)
    metered_wh: int = 0
    """Newest register whose receipt was confirmed."""

    async def drive(self, one: Station, promise: asyncio.Queue[str]) -> None:
        """Begin and end transactions without end."""
        while True:
            action, payload = self.pending = self.pending or self._next()
            answer = await one.call(action, payload)
            self._take(action, payload, answer)
            self.pending = None
            promise.put_nowait(action)

    def _next(self) -> tuple[str, dict[str, Any]]:
        self.meter_wh += self.rng.randint(1, 50)
        at = f"2024-05-06T08:{self.visits // 60 % 60:02}:{self.visits % 60:02}Z"
        if self.transaction is None:
            self.visits += 1
            return "StartTransaction", {
                "connectorId": 1, "idTag": self.name, "meterStart": self.meter_wh, "timestamp": at,
            }  # fmt: skip
        if self.rng.random() < self.stop_share:
            stop = {"transactionId": self.transaction, "meterStop": self.meter_wh, "timestamp": at}
            return "StopTransaction", stop
        sample = {"value": str(self.meter_wh), "measurand": "Energy.Active.Import.Register", "unit": "Wh"}
        values = [{"timestamp": at, "sampledValue": [sample]}]
        return "MeterValues", {"connectorId": 1, "transactionId": self.transaction, "meterValue": values}

    def _take(self, action: str, payload: dict[str, Any], answer: dict[str, Any]) -> None:
        match action:
            case "StartTransaction":
                self.transaction = answer["transactionId"]
                assert self.transaction not in self.started, "one number for two transactions"
                self.started[answer["transactionId"]] = payload["timestamp"]
            case "StopTransaction":
                self.stopped.add(payload["transactionId"])
                self.transaction = None
            case _:
                self.metered_wh = self.meter_wh


async def until_killed(site: Site, drivers: list[Driver], patience: int) -> None:
    """Let all stations drive, and kill the site after some promises, wherever it is."""
    promise: asyncio.Queue[str] = asyncio.Queue()

    async def connected(driver: Driver) -> None:
        try:
            async with station(site, driver.name) as one:
                await one.call("BootNotification", BOOT)
                await driver.drive(one, promise)
        except Cut:
            pass

    async with asyncio.TaskGroup() as group:
        for driver in drivers:
            group.create_task(connected(driver))
        for _ in range(patience):
            await promise.get()
        site.process.send_signal(signal.SIGKILL)


async def facts(site_file: Path) -> list[Event]:
    async with open_store(f"sqlite:///{site_file.with_name('yard.db')}") as store:
        return list(store.journal.load())


def check_promises(site_file: Path, drivers: list[Driver]) -> None:
    """Everything that was confirmed to a station is in the journal, at its EVSE, once."""
    journal = asyncio.run(facts(site_file))
    for driver in drivers:
        mine = [event for event in journal if getattr(event, "evse", None) == driver.name]
        started = [event.transaction_id for event in mine if isinstance(event, TransactionStarted)]
        ended = {event.transaction_id for event in mine if isinstance(event, TransactionEnded)}
        registers = [event.energy_wh for event in mine if isinstance(event, Metered) and event.energy_wh is not None]
        assert {str(number) for number in driver.started} <= set(started)
        assert {str(number) for number in driver.stopped} <= ended
        assert driver.metered_wh <= max(registers, default=0)
    numbers = [number for driver in drivers for number in driver.started]
    assert len(set(numbers)) == len(numbers), "one number for two transactions"


async def go_on(site: Site, driver: Driver) -> None:
    """Without booting anew, the open transaction gets a profile of its own, and can be ended."""
    assert driver.transaction is not None
    async with station(site, driver.name) as one:
        await one.call("StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": "Charging"})
        profile = await one.profile_of(driver.transaction)
        assert profile["chargingProfilePurpose"] == "TxProfile"
        stop = {
            "transactionId": driver.transaction,
            "meterStop": driver.meter_wh + 9,
            "timestamp": "2024-05-06T20:00:00Z",
        }
        await one.call("StopTransaction", stop)
        driver.stopped.add(driver.transaction)


class TestKillAtAnyMoment:
    def test_what_a_station_was_told_is_there_and_open_transactions_go_on(self, site_file: Path, typed: Typed) -> None:
        rng = random.Random(20)
        drivers = [Driver(name, random.Random(name), share) for name, share in STOP_SHARES.items()]
        for _ in range(ROUNDS):
            with running(site_file) as site:
                asyncio.run(until_killed(site, drivers, rng.randint(20, 150)))
                assert site.process.wait() == -signal.SIGKILL
            check_promises(site_file, drivers)
        assert sum(len(driver.stopped) for driver in drivers) > ROUNDS

        going_on = [driver for driver in drivers if driver.stop_share == 0.0]
        state = site_file.with_suffix(".json")
        assert typed("replay", site_file.with_name("yard.db"), site_file, "--json", state).code == 0
        known = json.loads(state.read_text())["evses"]
        for driver in going_on:
            assert known[driver.name]["session"]["transaction_id"] == str(driver.transaction)
        with running(site_file) as site:
            (told,) = [line for line in site.words if "open transactions go on" in line]
            assert any(f", {count} open" in told for count in range(len(going_on), len(drivers) + 1))
            for driver in going_on:
                asyncio.run(go_on(site, driver))
        check_promises(site_file, drivers)
