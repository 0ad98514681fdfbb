"""A server that answers a simulated station by a script and writes down what it hears, in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, NamedTuple, Self, TypeVar

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from smartcharge.clock import now_s
from smartcharge.csms.frames import CallReceived, ErrorCode, ErrorReceived, Garbled, Malformed, ResultReceived
from smartcharge.csms.rpc import Session
from smartcharge.csms.schemas import Payload, Version, format_time
from smartcharge.model import Circuit, CircuitId, Evse, EvseId, Phases, Rotation, Site, Station, StationId, Wiring
from smartcharge.sim import loop
from smartcharge.sim.cars import Car
from smartcharge.sim.station import SimulatedStation
from smartcharge.sim.station_parts import StationOptions
from smartcharge.sim.world import LoopDriver, World

EPOCH_S = 1_700_000_000.0
FIRST, SECOND = EvseId("E1"), EvseId("E2")
T = TypeVar("T")


class Heard(NamedTuple):
    """A CALL of the station."""

    after_s: float
    """Simulated seconds since the beginning."""
    action: str
    payload: Payload


class Refuse:
    """In a script: answer with a CALLERROR."""


class Ignore:
    """In a script: do not answer."""


def accepting(version: Version) -> dict[str, Any]:
    """Return the script of a server that agrees to everything."""
    boot = {"status": "Accepted", "interval": 300, "currentTime": format_time(EPOCH_S)}
    common = {
        "BootNotification": boot,
        "Heartbeat": {"currentTime": format_time(EPOCH_S)},
        "StatusNotification": {},
        "MeterValues": {},
    }
    if version is not Version.V16:
        return {**common, "Authorize": {"idTokenInfo": {"status": "Accepted"}}, "TransactionEvent": {}}
    accepted = {"idTagInfo": {"status": "Accepted"}}
    start = {**accepted, "transactionId": 41}
    return {**common, "Authorize": accepted, "StartTransaction": start, "StopTransaction": {}}


@dataclass
class ScriptedServer:
    """An OCPP server without a mind of its own."""

    version: Version
    script: dict[str, Any] = field(default_factory=dict)
    heard: list[Heard] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """What broke the protocol."""
    requests: list[Request] = field(default_factory=list)
    answered_after: int = 0
    """How many messages of the station came before its last answer."""
    is_away: bool = False
    ws: ServerConnection | None = None
    _session: Session | None = None
    _answers: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    _server: Server | None = None

    async def __aenter__(self) -> Self:
        self.script = {**accepting(self.version), **self.script}
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            subprotocols=[Subprotocol(self.version.value)],
            process_request=self._admit,
            ping_interval=None,
            compression=None,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"ws://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}/ocpp"

    def said(self, *actions: str, since_s: float = 0.0) -> list[Payload]:
        """Return the payloads of these actions, in order."""
        return [h.payload for h in self.heard if h.action in actions and h.after_s >= since_s]

    def actions(self, since_s: float = 0.0) -> list[str]:
        return [h.action for h in self.heard if h.after_s >= since_s]

    async def call(self, action: str, payload: Payload) -> Payload | str | None:
        """Call the station; return its answer, the code of its CALLERROR, or None if none comes in 10 s."""
        assert self.ws is not None
        assert self._session is not None
        await self.ws.send(self._session.call(action, payload))
        try:
            async with asyncio.timeout(10.0):
                answer = await self._answers.get()
        except TimeoutError:
            self._session.give_up()
            return None
        assert not isinstance(answer, Garbled), answer
        return answer.payload if isinstance(answer, ResultReceived) else str(answer.code)

    async def hang_up(self) -> None:
        assert self.ws is not None
        await self.ws.close()

    async def _admit(self, ws: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        return ws.respond(HTTPStatus.SERVICE_UNAVAILABLE, "away\n") if self.is_away else None

    async def _serve(self, ws: ServerConnection) -> None:
        session = Session(self.version, handles=frozenset(accepting(self.version)))
        self.ws, self._session = ws, session
        try:
            async for frame in ws:
                await self._receive(ws, session, frame)
        except ConnectionClosed:
            pass
        finally:
            if self.ws is ws:
                self.ws = self._session = None

    async def _receive(self, ws: ServerConnection, session: Session, frame: str | bytes) -> None:
        match session.receive(frame):
            case CallReceived() as call:
                self.heard.append(Heard(round(now_s() - EPOCH_S, 1), call.action, call.payload))
                answer = self.script[call.action]
                answer = answer(call.payload) if callable(answer) and not isinstance(answer, type) else answer
                if answer is Refuse:
                    await ws.send(session.refuse(call, ErrorCode.INTERNAL, "not now"))
                elif answer is not Ignore:
                    await ws.send(session.answer(call, answer))
            case ResultReceived() | ErrorReceived() | Garbled() as reply:
                self.answered_after = len(self.heard)
                self._answers.put_nowait(reply)
            case Malformed(reason=reason):
                self.wrong.append(reason)


def evse(number: int, **more: Any) -> Evse:
    known: dict[str, Any] = {
        "wiring": Wiring.THREE_PHASE, "rotation": Rotation.RST, "voltage_v": 230.0,
        "min_a": 6.0, "max_a": 32.0, "default_a": 8.0,
    }  # fmt: skip
    return Evse(id=EvseId(f"E{number}"), station=StationId("S/1"), number=number, **{**known, **more})


def site(*evses: Evse, **more: Any) -> Site:
    """Return a site of one station, so strong that nothing but the station limits anything."""
    plenty = Phases.all(10_000.0)
    grid = Circuit(id=CircuitId("grid"), parent=None, rating_a=plenty, failsafe_a=plenty, voltage_v=230.0)
    station = Station(id=StationId("S/1"), circuit=grid.id, evses=evses or (evse(1), evse(2)), **more)
    return Site(id="site", name="Site", timezone="UTC", circuits=(grid,), stations=(station,))


def car(energy_wh: float = 50_000.0, **more: Any) -> Car:
    return Car.ideal(energy_wh=energy_wh, max_w=22_080.0, **more)


@dataclass(frozen=True)
class Stage:
    """A station, its server and the truth."""

    server: ScriptedServer
    station: SimulatedStation
    world: World

    @property
    def version(self) -> Version:
        return self.server.version

    def offered_a(self, evse: EvseId = FIRST) -> float:
        return self.world.offered_a(evse)

    async def until(self, after_s: float) -> None:
        """Let time pass up to so many seconds after the beginning, with everything that happens then."""
        await asyncio.sleep(EPOCH_S + after_s - now_s())
        await asyncio.sleep(1e-3)

    def transaction_id(self) -> str | int:
        """Return the id of the running transaction as the wire has it."""
        transaction = self.station.bays[1].transaction
        assert transaction is not None
        assert transaction.id is not None
        return int(transaction.id) if self.version is Version.V16 else transaction.id

    async def set_default(self, limit_a: float, number: int = 0) -> Payload | str | None:
        return await self.set_profile(limit_a, number=number, purpose="TxDefaultProfile", id_=1, duration=None)

    async def set_profile(
        self,
        limit_a: float,
        *,
        number: int = 1,
        purpose: str = "TxProfile",
        id_: int = 2,
        duration: int | None = 300,
    ) -> Payload | str | None:
        """Set a profile that starts now."""
        schedule: Payload = {
            "startSchedule": format_time(now_s()),
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit_a}],
            **({} if duration is None else {"duration": duration}),
        }
        profile: Payload = {"stackLevel": 0, "chargingProfilePurpose": purpose, "chargingProfileKind": "Absolute"}
        if purpose == "TxProfile":
            profile["transactionId"] = self.transaction_id()
        if self.version is Version.V16:
            profile |= {"chargingProfileId": id_, "chargingSchedule": schedule}
            return await self.server.call("SetChargingProfile", {"connectorId": number, "csChargingProfiles": profile})
        profile |= {"id": id_, "chargingSchedule": [{"id": id_, **schedule}]}
        return await self.server.call("SetChargingProfile", {"evseId": number, "chargingProfile": profile})


def play(
    version: Version,
    act: Callable[[Stage], Awaitable[T]],
    *,
    options: StationOptions | None = None,
    script: dict[str, Any] | None = None,
    at: Site | None = None,
) -> T:
    """Run a station against a scripted server in simulated time and return what the act returns."""
    where = at or site()

    async def main() -> T:
        world = World(where, start_s=EPOCH_S)
        driver = LoopDriver(world)
        async with ScriptedServer(version, script or {}) as server:
            station = SimulatedStation(where.stations[0], world, server.url, version, options)
            living = asyncio.create_task(station.run())
            try:
                return await act(Stage(server, station, world))
            finally:
                living.cancel()
                await asyncio.wait([living])
                driver.close()
                assert server.wrong == []

    return loop.run(main(), epoch_s=EPOCH_S)
