"""The operator's own back-end behind a station: this controller speaks to it as the station would (local controller).

What the station calls is answered by the back-end while it is there, and by us while it is away.  Messages of
transactions go through the outbox (`forwarding`).  What the back-end calls is passed on to the station, except what
is the site's to decide: charging profiles become one more limit (`backend_profiles`), also over a restart, and the
settings in OWNED stay ours.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Final, TypeAlias

from smartcharge.clock import now_s
from smartcharge.csms.authority import Authority
from smartcharge.csms.backend_link import Backend, BackendLink
from smartcharge.csms.backend_profiles import BackendProfiles
from smartcharge.csms.caller import Reply
from smartcharge.csms.dialect import Memory
from smartcharge.csms.forwarding import ANSWER_S, Forwarding, must_arrive
from smartcharge.csms.frames import CallReceived, ResultReceived, clip
from smartcharge.csms.schemas import Payload, Version
from smartcharge.errors import StoreError
from smartcharge.events import BackendLimited, Event, TransactionEnded, TransactionStarted
from smartcharge.model import EvseId
from smartcharge.orders import ListEntry
from smartcharge.ports import Emit, Outbox

logger = logging.getLogger(__name__)

RECONNECT_S: Final = (2.0, 60.0)
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
TOKENS: Final = ""
"""Under this owner the back-end's words about tokens are kept: they are of no station."""
_STARTS: Final = frozenset({"RemoteStartTransaction", "RequestStartTransaction"})

AskStation: TypeAlias = Callable[[str, Payload], Awaitable[Reply]]
"""Pass a call on to the station; None if it is not connected or does not answer."""

__all__ = ["OWNED", "Backend", "Upstream", "recall"]


async def recall(authority: Authority, outbox: Outbox) -> None:
    """Take up what back-ends said about tokens before a restart; raises StoreError."""
    for body in (await outbox.kept(TOKENS)).values():
        authority.remember(ListEntry(**json.loads(body)))


class Upstream:
    """The back-end of one station; `run` it, and `attach` the station's connection while it has one."""

    def __init__(self, memory: Memory, backend: Backend, outbox: Outbox, emit: Emit) -> None:
        self._station = memory.station
        self._memory = memory
        self._outbox = outbox
        self._emit = emit
        self._link = BackendLink(memory.station.id, backend, self._handled)
        self._forwarding = Forwarding(memory.station.id, outbox, self._link, self._note_answer)
        self._version: Version | None = None
        self._profiles: BackendProfiles | None = None
        self._kept: dict[str, str] = {}
        """The profiles as they are written down."""
        self._ask_station: AskStation | None = None
        self._limits_a: dict[EvseId, float | None] = {}
        self._handles: frozenset[str] = frozenset()
        self._attached = asyncio.Event()
        self._changed = asyncio.Event()
        self._greeting: dict[tuple[str, int], Payload] = {}
        """What the back-end must hear first: the last BootNotification and the status of every connector."""

    # -- the station's side

    async def attach(self, version: Version, handles: frozenset[str], ask: AskStation) -> None:
        """Note that the station is connected; ``handles`` are the actions that the back-end may call."""
        self._handles, self._ask_station = handles, ask
        if version is not self._version:
            self._version, self._profiles = version, await self._restored(version)
            self._changed.set()
        self._forwarding.attach()
        self._attached.set()

    def detach(self) -> None:
        """Note that the station is gone: its twin goes too, once nothing waits any more."""
        self._ask_station = None
        self._attached.clear()
        self._forwarding.detach()

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
        await self._write_down()

    async def relay(self, action: str, payload: Payload, ours: Payload) -> Payload:
        """Return the back-end's answer to a call of the station, or ours if it gives none in time.

        What must arrive is stored before this waits for anything; raises StoreError.
        """
        self._note_greeting(action, payload)
        if must_arrive(action, payload):
            answer = await self._forwarding.deliver(action, payload, ours)
        else:
            answer = await self._call(action, payload, ANSWER_S)
            if answer is not None:
                await self._note_answer(action, payload, answer)
        return ours if answer is None else _merged(action, ours, answer)

    async def tell(self, action: str, payload: Payload) -> None:
        """Pass on what the station tells without waiting for an answer (SEND of 2.1)."""
        await self._link.tell(action, payload)

    async def _note_answer(self, action: str, payload: Payload, answer: Payload) -> None:
        """Remember what the back-end says of a token, and what it calls a transaction."""
        if action == "StartTransaction" and self._profiles is not None:
            self._profiles.named(int(payload["connectorId"]), str(answer["transactionId"]))
        token = payload.get("idTag") or payload.get("idToken", {}).get("idToken")
        info = answer.get("idTagInfo", answer.get("idTokenInfo"))
        if not token or info is None:
            return
        if (entry := self._memory.authority.heard(token, info)) is not None:
            await self._outbox.keep(TOKENS, token.lower(), json.dumps(asdict(entry)))

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
                assert self._version is not None
                was_connected = await self._link.connect(self._version, self._handles, self._talk)
                pause_s = RECONNECT_S[0] if was_connected else min(2.0 * pause_s, longest_s)
                await asyncio.sleep(pause_s)
        finally:
            limiting.cancel()

    async def _talk(self) -> None:
        """Say hello, then send what waits."""
        for (action, _), payload in sorted(self._greeting.items()):
            await self._call(action, payload, 2.0 * ANSWER_S)
        await self._forwarding.run()

    async def _call(self, action: str, payload: Payload, timeout_s: float) -> Payload | None:
        match await self._link.call(action, payload, timeout_s):
            case ResultReceived(payload=answer):
                return answer
            case _:
                return None

    # -- what the back-end calls

    async def _handled(self, call: CallReceived) -> Reply:
        try:
            mine = await self._site_answers(call.action, call.payload)
        except StoreError as error:
            logger.error("%s: %s is not acknowledged: %s", self._station.id, call.action, error)  # noqa: TRY400 - no traceback
            return None
        if mine is not None:
            return ResultReceived(id=call.id, action=call.action, payload=mine)
        payload, ask = await self._for_station(call.payload), self._ask_station
        reply = None if ask is None else await ask(call.action, payload)
        is_yes = isinstance(reply, ResultReceived) and reply.payload.get("status") == "Accepted"
        if call.action in _STARTS and "chargingProfile" in call.payload and not is_yes and self._profiles is not None:
            self._profiles.not_started(call.payload)
        return reply

    async def _site_answers(self, action: str, payload: Payload) -> Payload | None:
        """Return our answer to what is the site's to decide, or None if the station is to answer."""
        profiles = self._profiles
        assert profiles is not None
        match action:
            case "SetChargingProfile":
                answer = profiles.set(payload, now_s())
            case "ClearChargingProfile":
                answer = profiles.clear(payload)
            case "UpdateDynamicSchedule":
                answer = profiles.update(payload, now_s())
            case "GetCompositeSchedule":
                return profiles.composite(payload, now_s())
            case "GetChargingProfiles":
                reports = list(profiles.reports(payload))
                self._link.spawn(self._report(reports))
                return {"status": "Accepted" if reports else "NoProfiles"}
            case _:
                return _settings_answer(action, payload) or self._start_answer(action, payload, profiles)
        await self._write_down()
        return answer

    def _start_answer(self, action: str, payload: Payload, profiles: BackendProfiles) -> Payload | None:
        """Return a no to a remote start whose profile no station would take; the start itself is the station's."""
        if action not in _STARTS or "chargingProfile" not in payload or profiles.may_start(payload, now_s()):
            return None
        return {"status": "Rejected"}

    async def _report(self, reports: list[Payload]) -> None:
        for report in reports:
            await self._call("ReportChargingProfiles", report, ANSWER_S)

    async def _for_station(self, payload: Payload) -> Payload:
        """Return a payload as the station understands it: our transaction number, and no profile of the back-end."""
        plain = {key: value for key, value in payload.items() if key != "chargingProfile"}
        return await self._forwarding.ours(plain)

    # -- its profiles

    async def _restored(self, version: Version) -> BackendProfiles:
        """Return the profiles that were kept over a restart, on the transactions that run; raises StoreError."""
        profiles, at_s = BackendProfiles(self._station, version), now_s()
        for name, transaction in self._memory.transactions.items():
            if not transaction.is_over:
                ours = {"transactionId": int(name) if version is Version.V16 and name.isdecimal() else name}
                theirs = await self._forwarding.theirs(ours)
                profiles.started(self._number(transaction.evse), at_s, str(theirs["transactionId"]))
        self._kept = await self._outbox.kept(self._station.id)
        for body in self._kept.values():
            kept = json.loads(body)
            if kept["version"] == version.value:
                profiles.set(kept["payload"], at_s)
        return profiles

    async def _write_down(self) -> None:
        """Keep the profiles as they are now over a restart, and let their limits count; raises StoreError."""
        assert self._profiles is not None
        assert self._version is not None
        kept = {
            name: json.dumps({"version": self._version.value, "payload": payload})
            for name, payload in self._profiles.kept().items()
        }
        for name, body in kept.items():
            if self._kept.get(name) != body:
                await self._outbox.keep(self._station.id, name, body)
        for name in self._kept.keys() - kept.keys():
            await self._outbox.drop(self._station.id, name)
        self._kept = kept
        self._changed.set()

    async def _limit(self) -> None:
        """Tell the controller what the back-end's profiles allow, whenever that changes."""
        while True:
            due_s: float | None = None
            if self._profiles is not None:
                at_s = now_s()
                for name, limit_a in self._profiles.limits_a(at_s).items():
                    if self._limits_a.get(name, ...) != limit_a:
                        self._limits_a[name] = limit_a
                        await self._emit(BackendLimited(at_s=at_s, evse=name, limit_a=limit_a))
                pulls_s = self._profiles.pulls_s()
                self._pull(pulls_s, at_s)
                times_s = [*pulls_s.values(), self._profiles.next_change_s(at_s)]
                due_s = min((max(0.1, t - at_s) for t in times_s if t is not None), default=None)
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(due_s):
                    await self._changed.wait()

    def _pull(self, pulls_s: Mapping[int, float], at_s: float) -> None:
        """Ask for the updates of Dynamic profiles that are due (2.1 K28)."""
        for id_, pull_s in pulls_s.items():
            if pull_s <= at_s and self._profiles is not None:
                self._profiles.asked_for_update(id_, at_s)
                self._link.spawn(self._pulled(id_))

    async def _pulled(self, id_: int) -> None:
        answer = await self._call("PullDynamicScheduleUpdate", {"chargingProfileId": id_}, ANSWER_S)
        if answer is None or answer["status"] != "Accepted" or "scheduleUpdate" not in answer:
            logger.warning("%s: the back-end gives no update of its profile %d", self._station.id, id_)
        elif self._profiles is not None:
            self._profiles.update({"chargingProfileId": id_, "scheduleUpdate": answer["scheduleUpdate"]}, now_s())
            try:
                await self._write_down()
            except StoreError as error:
                logger.warning("%s: not written down: %s", self._station.id, clip(str(error), 200))


def _merged(action: str, ours: Payload, theirs: Payload) -> Payload:
    """Return the answer for the station: the back-end's, with what is ours in it."""
    if action == "StartTransaction":
        return {**theirs, "transactionId": ours["transactionId"]}
    if action == "BootNotification":
        return {**theirs, "interval": min(int(theirs["interval"]) or int(ours["interval"]), int(ours["interval"]))}
    return theirs


def _settings_answer(action: str, payload: Payload) -> Payload | None:
    """Return a no to a change of the site's settings; None if it is about others."""
    match action:
        case "ChangeConfiguration" if payload["key"] in OWNED:
            return {"status": "Rejected"}
        case "SetVariables" if any(_variable(data) in OWNED for data in payload["setVariableData"]):
            return {"setVariableResult": [_refused(data) for data in payload["setVariableData"]]}
        case _:
            return None


def _variable(data: Payload) -> str:
    return f"{data['component']['name']}.{data['variable']['name']}"


def _refused(data: Payload) -> Payload:
    named = {"component": data["component"], "variable": data["variable"]}
    return {**named, "attributeStatus": "Rejected"}
