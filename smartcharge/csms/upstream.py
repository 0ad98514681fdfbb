"""The operator's own back-end behind a station: this controller speaks to it as the station would (local controller).

What the station calls is answered by the back-end while it is there, and by us while it is away.  Messages of
transactions go through the outbox: in the order in which they came, each until it is answered.  What the
back-end calls is passed on to the station, except what is the site's to decide: charging profiles become one
more limit, and the settings in OWNED stay ours.

Transaction numbers of 1.6 are kept apart: the station knows ours, the back-end its own.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.typing import Subprotocol

from smartcharge.clock import now_s
from smartcharge.csms.backend_profiles import BackendProfiles
from smartcharge.csms.rpc import (
    CallReceived,
    ErrorCode,
    ErrorReceived,
    Garbled,
    Malformed,
    Received,
    ResultReceived,
    SendReceived,
    Session,
    clip,
)
from smartcharge.csms.schemas import Payload, Version
from smartcharge.events import BackendLimited, Event, TransactionEnded, TransactionStarted
from smartcharge.model import EvseId, Station
from smartcharge.ports import Emit, Outbox

logger = logging.getLogger(__name__)

ANSWER_S: Final = 5.0
"""How long a station waits for the back-end's answer; then it is given ours."""
RECONNECT_S: Final = (2.0, 60.0)
ATTEMPTS: Final = 3
"""So often a message is sent that the back-end refuses (1.6 TransactionMessageAttempts)."""
RETRY_S: Final = 10.0
BILLED: Final = frozenset({"StartTransaction", "StopTransaction", "TransactionEvent"})
"""Messages that must arrive; MeterValues of a transaction too."""
OWNED: Final = frozenset(
    {
        "HeartbeatInterval",
        "MeterValueSampleInterval",
        "MeterValuesSampledData",
        "OCPPCommCtrlr.HeartbeatInterval",
        "SampledDataCtrlr.TxEndedMeasurands",
        "SampledDataCtrlr.TxStartedMeasurands",
        "SampledDataCtrlr.TxUpdatedInterval",
        "SampledDataCtrlr.TxUpdatedMeasurands",
    }
)
"""Settings of a station that the site needs as they are; the back-end may not change them."""

Reply: TypeAlias = ResultReceived | ErrorReceived | Garbled | None
AskStation: TypeAlias = Callable[[str, Payload], Awaitable[Reply]]
"""Pass a call on to the station; None if it is not connected or does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Where the operator's back-end is, and how to log in there."""

    url: str
    """Without the station's id, e.g. ``wss://csms.example.com/ocpp``."""
    password: str | None = field(default=None, repr=False)


class Upstream:
    """The back-end of one station; `run` it, and `attach` the station's connection while it has one."""

    def __init__(self, station: Station, backend: Backend, outbox: Outbox, emit: Emit) -> None:
        self._station = station
        self._backend = backend
        self._outbox = outbox
        self._emit = emit
        self._version: Version | None = None
        self._profiles: BackendProfiles | None = None
        self._ask_station: AskStation | None = None
        self._limits_a: dict[EvseId, float | None] = {}
        self._ws: ClientConnection | None = None
        self._session: Session | None = None
        self._handles: frozenset[str] = frozenset()
        self._reply: asyncio.Future[Reply] | None = None
        self._calling = asyncio.Lock()
        self._answers: dict[int, asyncio.Future[Payload]] = {}
        self._attached = asyncio.Event()
        self._work = asyncio.Event()
        self._changed = asyncio.Event()
        self._greeting: dict[tuple[str, int], Payload] = {}
        """What the back-end must hear first: the last BootNotification and the status of every connector."""
        self._tasks: set[asyncio.Task[None]] = set()

    # -- the station's side

    def attach(self, version: Version, handles: frozenset[str], ask: AskStation) -> None:
        """Note that the station is connected; ``handles`` are the actions that the back-end may call."""
        if version is not self._version:
            self._version, self._profiles = version, BackendProfiles(self._station, version)
        self._handles, self._ask_station = handles, ask
        self._attached.set()

    def detach(self) -> None:
        """Note that the station is gone: its twin goes too, once nothing waits any more."""
        self._ask_station = None
        self._attached.clear()
        self._work.set()

    async def heard(self, event: Event) -> None:
        """Take note of what the station's transactions do, for the back-end's profiles."""
        if self._profiles is None:
            return
        match event:
            case TransactionStarted():
                known = event.transaction_id if self._version is not Version.V16 else None
                self._profiles.started(self._number(event.evse), event.at_s, known)
            case TransactionEnded():
                self._profiles.ended(self._number(event.evse))
            case _:
                return
        self._changed.set()

    async def relay(self, action: str, payload: Payload, ours: Payload) -> Payload:
        """Return the back-end's answer to a call of the station, or ours if it gives none in time.

        What must arrive is stored before this waits for anything; raises StoreError.
        """
        self._note_greeting(action, payload)
        if action in BILLED or (action == "MeterValues" and "transactionId" in payload):
            answer = await self._deliver(action, payload, ours)
        else:
            answer = await self._call(action, payload, ANSWER_S)
        return ours if answer is None else _merged(action, ours, answer)

    async def _deliver(self, action: str, payload: Payload, ours: Payload) -> Payload | None:
        """Put a message into the outbox, and return its answer if it comes in time."""
        body = json.dumps({"payload": payload, "ours": ours.get("transactionId")})
        number = await self._outbox.put(self._station.id, action, body)
        if self._ws is None:
            return None
        answer: asyncio.Future[Payload] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        self._work.set()
        try:
            async with asyncio.timeout(ANSWER_S):
                return await answer
        except TimeoutError:
            return None
        finally:
            self._answers.pop(number, None)

    def _note_greeting(self, action: str, payload: Payload) -> None:
        if action == "BootNotification":
            self._greeting[action, 0] = payload
        elif action == "StatusNotification":
            self._greeting[action, int(payload.get("evseId", 0)) * 1000 + int(payload["connectorId"])] = payload

    def _number(self, name: EvseId) -> int:
        return next(evse.number for evse in self._station.evses if evse.id == name)

    # -- the connection

    async def run(self) -> None:
        """Be connected while the station is, or while something waits; until cancelled."""
        pause_s, longest_s = RECONNECT_S
        limiting = asyncio.create_task(self._limit(), name=f"backend limits {self._station.id}")
        try:
            while True:
                await self._attached.wait()
                was_connected = await self._connect()
                pause_s = RECONNECT_S[0] if was_connected else min(2.0 * pause_s, longest_s)
                await asyncio.sleep(pause_s)
        finally:
            limiting.cancel()

    async def _connect(self) -> bool:
        assert self._version is not None
        headers = {} if self._backend.password is None else {"Authorization": self._basic()}
        was_connected = False
        try:
            async with connect(
                f"{self._backend.url.rstrip('/')}/{quote(self._station.id, safe='')}",
                subprotocols=[Subprotocol(self._version.value)],
                additional_headers=headers,
                compression=None,
                ping_interval=None,
                proxy=None,
            ) as ws:
                was_connected = True
                await self._talk(ws, self._version)
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI, ConnectionClosed) as error:
            logger.warning("%s: the back-end is away: %s", self._station.id, clip(str(error), 200))
        return was_connected

    def _basic(self) -> str:
        return "Basic " + base64.b64encode(f"{self._station.id}:{self._backend.password}".encode()).decode()

    async def _talk(self, ws: ClientConnection, version: Version) -> None:
        self._ws, self._session = ws, Session(version, handles=self._handles)
        logger.info("%s: connected to the back-end", self._station.id)
        sending = asyncio.create_task(self._send_waiting(), name=f"outbox {self._station.id}")
        try:
            async for frame in ws:
                await self._receive(self._session.receive(frame))
        finally:
            self._ws = self._session = None
            self._settle(None)
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending

    async def _receive(self, received: Received) -> None:
        match received:
            case CallReceived() as call:
                self._spawn(self._answer(call))
            case ResultReceived() | ErrorReceived() | Garbled() as reply:
                self._settle(reply)
            case SendReceived():
                pass
            case Malformed(reason=reason, reply=reply):
                logger.warning("%s: the back-end sent %s", self._station.id, clip(reason, 200))
                if reply is not None and self._ws is not None:
                    await self._ws.send(reply)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _settle(self, reply: Reply) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(reply)

    async def _call(self, action: str, payload: Payload, timeout_s: float) -> Payload | None:
        match await self._reply_to(action, payload, timeout_s):
            case ResultReceived(payload=answer):
                return answer
            case _:
                return None

    async def _reply_to(self, action: str, payload: Payload, timeout_s: float) -> Reply:
        """Call the back-end when no other call is outstanding; None if it is away or does not answer."""
        async with self._calling:
            ws, session = self._ws, self._session
            if ws is None or session is None:
                return None
            self._reply = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(timeout_s):
                    await ws.send(session.call(action, payload))
                    return await self._reply
            except (ConnectionClosed, TimeoutError):
                return None
            finally:
                session.give_up()
                self._reply = None

    # -- the outbox

    async def _send_waiting(self) -> None:
        """Say hello, then send what waits, in order, for as long as the connection stands."""
        for (action, _), payload in sorted(self._greeting.items()):
            await self._call(action, payload, 2.0 * ANSWER_S)
        while True:
            self._work.clear()
            for number, action, body in await self._outbox.waiting(self._station.id):
                if not await self._send_one(number, action, json.loads(body)):
                    return
            if not self._attached.is_set() and self._ws is not None:
                await self._ws.close()
                return
            await self._work.wait()

    async def _send_one(self, number: int, action: str, body: dict[str, Any]) -> bool:
        """Send one message until it is answered; return False if the connection is of no use any more."""
        payload = await self._translated(body["payload"])
        for _ in range(ATTEMPTS):
            match await self._reply_to(action, payload, 2.0 * ANSWER_S):
                case ResultReceived(payload=answer):
                    await self._answered(number, action, body, answer)
                    return True
                case ErrorReceived() | Garbled() as refused:
                    logger.warning("%s: the back-end refuses %s: %s", self._station.id, action, clip(refused, 200))
                    await asyncio.sleep(RETRY_S)
                case None:
                    if self._ws is not None:
                        await self._ws.close()
                    return False
        logger.error("%s: %s was refused %d times and is given up", self._station.id, action, ATTEMPTS)
        await self._outbox.done(number)
        return True

    async def _answered(self, number: int, action: str, body: dict[str, Any], answer: Payload) -> None:
        if action == "StartTransaction" and body["ours"] is not None:
            await self._outbox.pair(self._station.id, int(body["ours"]), int(answer["transactionId"]))
            if self._profiles is not None:
                self._profiles.named(int(body["payload"]["connectorId"]), str(answer["transactionId"]))
        await self._outbox.done(number)
        waiting = self._answers.pop(number, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    async def _translated(self, payload: Payload) -> Payload:
        """Return a payload with the back-end's number of its transaction (1.6)."""
        ours = payload.get("transactionId")
        if not isinstance(ours, int):
            return payload
        theirs = await self._outbox.theirs(self._station.id, ours)
        return payload if theirs is None else {**payload, "transactionId": theirs}

    # -- what the back-end calls

    async def _answer(self, call: CallReceived) -> None:
        ws, session = self._ws, self._session
        reply = await self._handled(call)
        if ws is None or session is None or session is not self._session:
            return
        match reply:
            case ResultReceived(payload=payload):
                frame = session.answer(call, payload)
            case ErrorReceived(code=code, description=description):
                frame = session.refuse(call, _code(code), description)
            case _:
                frame = session.refuse(call, ErrorCode.GENERIC, "the station does not answer")
        with suppress(ConnectionClosed):
            await ws.send(frame)

    async def _handled(self, call: CallReceived) -> Reply:
        mine = await self._site_answers(call.action, call.payload)
        if mine is not None:
            return ResultReceived(id=call.id, action=call.action, payload=mine)
        payload = await self._for_station(call.payload)
        ask = self._ask_station
        return None if ask is None else await ask(call.action, payload)

    async def _site_answers(self, action: str, payload: Payload) -> Payload | None:
        """Return our answer to what is the site's to decide, or None if the station is to answer."""
        assert self._profiles is not None
        match action:
            case "SetChargingProfile":
                answer = self._profiles.set(payload, now_s())
            case "ClearChargingProfile":
                answer = self._profiles.clear(payload)
            case "GetCompositeSchedule":
                return self._profiles.composite(payload, now_s())
            case "ChangeConfiguration" if payload["key"] in OWNED:
                return {"status": "Rejected"}
            case "SetVariables" if any(_variable(data) in OWNED for data in payload["setVariableData"]):
                return {"setVariableResult": [_kept(data) for data in payload["setVariableData"]]}
            case _:
                return None
        self._changed.set()
        return answer

    async def _for_station(self, payload: Payload) -> Payload:
        """Return a payload as the station understands it: our transaction number, and no profile of the back-end."""
        if "chargingProfile" in payload:
            logger.warning("%s: a charging profile in the back-end's start is left out", self._station.id)
            payload = {key: value for key, value in payload.items() if key != "chargingProfile"}
        theirs = payload.get("transactionId")
        if not isinstance(theirs, int):
            return payload
        ours = await self._outbox.ours(self._station.id, theirs)
        return payload if ours is None else {**payload, "transactionId": ours}

    async def _limit(self) -> None:
        """Tell the controller what the back-end's profiles allow, whenever that changes."""
        while True:
            due_s: float | None = None
            if self._profiles is not None:
                at_s = now_s()
                for name, limit_a in self._profiles.limits_a(at_s).items():
                    if self._limits_a.get(name) != limit_a:
                        self._limits_a[name] = limit_a
                        await self._emit(BackendLimited(at_s=at_s, evse=name, limit_a=limit_a))
                next_s = self._profiles.next_change_s(at_s)
                due_s = None if next_s is None else max(0.1, next_s - at_s)
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(due_s):
                    await self._changed.wait()


def _merged(action: str, ours: Payload, theirs: Payload) -> Payload:
    """Return the answer for the station: the back-end's, with what is ours in it."""
    if action == "StartTransaction":
        return {**theirs, "transactionId": ours["transactionId"]}
    if action == "BootNotification":
        return {**theirs, "interval": min(int(theirs["interval"]) or int(ours["interval"]), int(ours["interval"]))}
    return theirs


def _variable(data: Payload) -> str:
    return f"{data['component']['name']}.{data['variable']['name']}"


def _kept(data: Payload) -> Payload:
    named = {"component": data["component"], "variable": data["variable"]}
    return {**named, "attributeStatus": "Rejected"}


def _code(text: str) -> ErrorCode:
    return next((code for code in ErrorCode if code.value == text), ErrorCode.GENERIC)
