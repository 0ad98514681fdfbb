"""A site, a ledger, an ear for events, and a station: a hand-written WebSocket client, not our own session."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Self, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from smartcharge.clock import now_s
from smartcharge.csms.dialect import Memory
from smartcharge.csms.secrets import make_secret
from smartcharge.csms.server import Csms, Options
from smartcharge.errors import StoreError
from smartcharge.events import Accepted, Commanded, Event, ProfileKind, Rejected, Unanswered
from smartcharge.model import (
    Circuit,
    CircuitId,
    Connector,
    Evse,
    EvseId,
    Phases,
    Rotation,
    Site,
    Station,
    StationId,
    Timing,
    Wiring,
)
from smartcharge.sim.loop import run

T = TypeVar("T")
E = TypeVar("E", bound=Event)

EPOCH_S = 1_700_000_000.0
STATION = StationId("CP 1")
AC, AC2, DC = EvseId("CP 1/1"), EvseId("CP 1/2"), EvseId("CP 1/3")
V16, V201, V21 = "ocpp1.6", "ocpp2.0.1", "ocpp2.1"


def evse(name: EvseId, number: int, wiring: Wiring = Wiring.THREE_PHASE, **changes: Any) -> Evse:
    values: dict[str, Any] = {
        "id": name,
        "station": STATION,
        "number": number,
        "wiring": wiring,
        "rotation": Rotation.RST,
        "voltage_v": 230.0,
        "min_a": 6.0,
        "max_a": 32.0,
        "default_a": 6.0,
        "connectors": (Connector(id=1, type="sType2"),),
    }
    return Evse(**{**values, **changes})


def station(*evses: Evse, password: str | None = None) -> Station:
    evses = evses or (evse(AC, 1), evse(AC2, 2, Wiring.ONE_PHASE))
    secret = None if password is None else make_secret(password)
    return Station(id=STATION, circuit=CircuitId("main"), evses=evses, secret=secret)


def site(only: Station | None = None) -> Site:
    main = Circuit(
        id=CircuitId("main"),
        parent=None,
        rating_a=Phases.all(100.0),
        failsafe_a=Phases.all(50.0),
        voltage_v=230.0,
    )
    return Site(id="s", name="S", timezone="UTC", circuits=(main,), stations=(only or station(),))


def memory(*evses: Evse) -> Memory:
    return Memory(station=station(*evses), timing=Timing())


class Numbers:
    """A ledger in memory."""

    def __init__(self) -> None:
        self.given: dict[tuple[object, ...], int] = {}

    async def transaction_number(self, station: StationId, connector: int, started_at_s: float, id_token: str) -> int:
        return self.given.setdefault((station, connector, started_at_s, id_token), 100 + len(self.given))


class Ear:
    """Takes events as the controller would; can be told to hold them, or to fail."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.may_store = asyncio.Event()
        self.may_store.set()
        self.is_broken = False
        self._heard = asyncio.Condition()

    async def emit(self, event: Event) -> None:
        await self.may_store.wait()
        if self.is_broken:
            raise StoreError("disk full")
        async with self._heard:
            self.events.append(event)
            self._heard.notify_all()

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    async def outcome(self, command_id: int) -> Event:
        """Return what became of a command, once it is known."""
        kinds = (Accepted, Rejected, Unanswered)

        def settled() -> list[Event]:
            return [e for e in self.events if isinstance(e, kinds) and e.command_id == command_id]

        async with self._heard:
            await self._heard.wait_for(lambda: bool(settled()))
        return settled()[-1]

    async def hear(self, kind: type[E], count: int = 1) -> E:
        async with self._heard:
            await self._heard.wait_for(lambda: len(self.of(kind)) >= count)
        return self.of(kind)[count - 1]


Answers = dict[str, Callable[[dict[str, Any]], dict[str, Any] | str | None]]
"""By action: the answer; a text is the code of a CALLERROR; None leaves the call unanswered."""

SETTINGS_16 = {"ChargingScheduleAllowedChargingRateUnit": "Current,Power", "ChargeProfileMaxStackLevel": "10"}


def configuration(values: dict[str, str]) -> dict[str, Any]:
    return {"configurationKey": [{"key": key, "readonly": True, "value": value} for key, value in values.items()]}


def variables(values: dict[str, str]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def answer(payload: dict[str, Any]) -> dict[str, Any]:
        results = []
        for data in payload["getVariableData"]:
            name = f"{data['component']['name']}.{data['variable']['name']}"
            known = {"attributeStatus": "Accepted", "attributeValue": values[name]} if name in values else None
            results.append({**data, **(known or {"attributeStatus": "UnknownVariable"})})
        return {"getVariableResult": results}

    return answer


ACCEPTING: Answers = {
    "SetChargingProfile": lambda _: {"status": "Accepted"},
    "TriggerMessage": lambda _: {"status": "Accepted"},
    "ChangeConfiguration": lambda _: {"status": "Accepted"},
    "GetConfiguration": lambda _: configuration(SETTINGS_16),
    "GetVariables": variables({"SmartChargingCtrlr.RateUnit": "A,W", "SmartChargingCtrlr.ProfileStackLevel": "8"}),
    "SetVariables": lambda p: {"setVariableResult": [{**_without_value(p), "attributeStatus": "Accepted"}]},
}


def _without_value(payload: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in payload["setVariableData"][0].items() if key != "attributeValue"}


class Peer:
    """A station at the other end of the wire."""

    def __init__(self, ws: ClientConnection, answers: Answers) -> None:
        self.ws = ws
        self.answers = {**ACCEPTING, **answers}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.errors: list[Any] = []
        self._ids: dict[str, asyncio.Future[list[Any]]] = {}
        self._count = 0
        self._news = asyncio.Condition()
        self._reader = asyncio.create_task(self._until_closed())

    async def _until_closed(self) -> None:
        with suppress(ConnectionClosed):
            await self._read()

    async def _read(self) -> None:
        async for frame in self.ws:
            message = json.loads(frame)
            async with self._news:
                if message[0] == 2:
                    self.asked.append((message[2], message[3]))
                    await self._answer(message)
                elif message[1] in self._ids:
                    self._ids.pop(message[1]).set_result(message)
                else:
                    self.errors.append(message)
                self._news.notify_all()

    async def _answer(self, message: list[Any]) -> None:
        answer = self.answers[message[2]](message[3]) if message[2] in self.answers else "NotImplemented"
        if isinstance(answer, str):
            await self.ws.send(json.dumps([4, message[1], answer, "", {}]))
        elif answer is not None:
            await self.ws.send(json.dumps([3, message[1], answer]))

    async def say(self, action: str, payload: dict[str, Any]) -> list[Any]:
        """Send a call and return the whole answer."""
        return await self.start(action, payload)

    def start(self, action: str, payload: dict[str, Any]) -> asyncio.Task[list[Any]]:
        """Send a call; the answer is what the task returns."""
        self._count += 1
        return asyncio.create_task(self._say(f"p{self._count}", action, payload))

    async def _say(self, id_: str, action: str, payload: dict[str, Any]) -> list[Any]:
        self._ids[id_] = asyncio.get_running_loop().create_future()
        answer = self._ids[id_]
        await self.ws.send(json.dumps([2, id_, action, payload]))
        return await answer

    async def send_raw(self, text: str | bytes) -> Any:
        """Send any frame and return the next message that answers none of our ids."""
        before = len(self.errors)
        await self.ws.send(text)
        async with self._news:
            await self._news.wait_for(lambda: len(self.errors) > before)
        return self.errors[-1]

    def calls(self, action: str) -> list[dict[str, Any]]:
        return [payload for name, payload in self.asked if name == action]

    async def asked_for(self, action: str, count: int = 1) -> dict[str, Any]:
        """Return the payload of the count-th call of an action, once it came."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.calls(action)) >= count)
        return self.calls(action)[count - 1]

    async def setpoint(self, count: int = 1) -> dict[str, Any]:
        """Return the count-th SetChargingProfile that is no default profile."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.setpoints()) >= count)
        return self.setpoints()[count - 1]

    def setpoints(self) -> list[dict[str, Any]]:
        found = [p.get("csChargingProfiles") or p["chargingProfile"] for p in self.calls("SetChargingProfile")]
        return [profile for profile in found if profile["chargingProfilePurpose"] == "TxProfile"]

    async def boot(self) -> list[Any]:
        if self.ws.subprotocol == V16:
            return await self.say("BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"})
        itself = {"model": "M", "vendorName": "V"}
        return await self.say("BootNotification", {"reason": "PowerUp", "chargingStation": itself})

    async def provisioned(self) -> Self:
        """Return once the server has asked everything that it asks after a boot."""
        await self.boot()
        last = "ChangeConfiguration" if self.ws.subprotocol == V16 else "SetVariables"
        await self.asked_for(last, 3 if self.ws.subprotocol == V16 else 5)
        await self.say("Heartbeat", {})
        return self

    async def close(self) -> None:
        await self.ws.close()
        await self._reader


class World:
    """A server with an ear, and a way to connect stations to it."""

    def __init__(self, csms: Csms, ear: Ear, ledger: Numbers, task: asyncio.Task[None]) -> None:
        self.task = task
        self.csms = csms
        self.ear = ear
        self.ledger = ledger
        self._commands = 0

    @asynccontextmanager
    async def peer(self, version: str = V16, answers: Answers | None = None, **options: Any) -> AsyncIterator[Peer]:
        async with self.connection(version, **options) as ws:
            peer = Peer(ws, answers or {})
            try:
                yield peer
            finally:
                await peer.close()

    def connection(self, *versions: str, path: str = "/ocpp/CP%201", **options: Any) -> connect:
        protocols = [Subprotocol(version) for version in versions] or None
        uri = f"ws://127.0.0.1:{self.csms.port}{path}"
        return connect(uri, subprotocols=protocols, compression=None, ping_interval=None, proxy=None, **options)

    def command(self, limit_a: float, *, name: EvseId = AC, life_s: float | None = 300.0, **changes: Any) -> Commanded:
        """Return a command with the next number, and wish it."""
        self._commands += 1
        values: dict[str, Any] = {
            "at_s": now_s(),
            "command_id": self._commands,
            "evse": name,
            "kind": ProfileKind.TRANSACTION,
            "limit_a": limit_a,
            "expires_s": None if life_s is None else now_s() + life_s,
            "transaction_id": "7",
        }
        command = Commanded(**{**values, **changes})
        self.csms.wish(command)
        return command


async def served(
    test: Callable[[World], Coroutine[Any, Any, T]], only: Station | None = None, options: Options | None = None
) -> T:
    """Run a test against a server on a free port."""
    ledger, ear = Numbers(), Ear()
    csms = Csms(site(only), ledger, options=options or Options(ping_interval_s=None))
    task = asyncio.create_task(csms.run(ear.emit))
    await csms.ready()
    try:
        return await test(World(csms, ear, ledger, task))
    finally:
        task.cancel()
        await asyncio.wait({task})


def in_world(
    test: Callable[[World], Coroutine[Any, Any, T]], only: Station | None = None, options: Options | None = None
) -> T:
    """Run a test against a server in simulated time."""
    return run(served(test, only, options), epoch_s=EPOCH_S)
