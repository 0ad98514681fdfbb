"""The one connection to the broker: facts in, telemetry and commands out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from aiomqtt import Message

from smartcharge.clock import now_s
from smartcharge.control.plan import Plan, Setpoint
from smartcharge.errors import MaintenanceError
from smartcharge.events import Commanded, Event
from smartcharge.faults import Cause, DeratingStage
from smartcharge.model import EvseId, Site, StationId
from smartcharge.mqtt.commands import Commands
from smartcharge.mqtt.connection import Connection
from smartcharge.mqtt.inbound import Inbound
from smartcharge.mqtt.lessor import Lessor
from smartcharge.mqtt.outbox import Outbox
from smartcharge.mqtt.payloads import (
    CommandAnswer,
    FaultDecision,
    FaultDecisionReceived,
    LimitReceived,
    Refusal,
    SetpointSaid,
    Work,
    WorkOrderSaid,
    WorkReceived,
)
from smartcharge.mqtt.settings import MqttSettings
from smartcharge.mqtt.stations import Stations
from smartcharge.mqtt.telemetry import plan_said, site_state
from smartcharge.mqtt.topics import Address, Topics
from smartcharge.ports import Emit, Snapshot, WorkDesk, WorkKind, WorkWord
from smartcharge.words.base import Payload, PayloadError, utc
from smartcharge.words.limits import GridLimit, LimitAnswer, LpcLimit
from smartcharge.words.operators import Operators

_log = logging.getLogger(__name__)

WORK_S = 10.0
"""How long a work order waits for the broker before its round goes on; it is said again later."""


class MqttRoom:
    """A Source of facts, a Charger of the stations that speak MQTT, and an Observer: all on one connection."""

    name = "mqtt"

    def __init__(self, site: Site, settings: MqttSettings, desk: WorkDesk | None = None) -> None:
        """Connect a site; ``desk`` writes down what is said of work orders, without one that is refused."""
        self._settings = settings
        self._desk = desk
        self._topics = Topics(settings.prefix, site.id)
        self._stations = Stations(site)
        self._operators = Operators(site, ("mqtt", "lpc", "relay"))
        self._inbound = Inbound(site, self._stations, self._operators)
        self._outbox = Outbox()
        client_id = settings.client_id or f"smartcharge-{site.id}"
        self._connection = Connection(
            settings, client_id, self._topics.subscriptions(), self._topics.written("availability"), self._outbox
        )
        self._commands = Commands(self._topics, self._outbox, site.timing.command_s)
        self._lessor = None if site.group is None else Lessor(site.group, self._topics, self._outbox)
        self._snapshot: Snapshot | None = None
        self._has_snapshot = asyncio.Event()
        self._setpoints: dict[EvseId, Setpoint] = {}
        self._plan: Plan | None = None
        self._state_text = ""

    @property
    def trouble(self) -> str | None:
        """Return why there is no connection to the broker, or None while there is one."""
        return self._connection.trouble

    def stations(self) -> frozenset[StationId]:
        """Return the stations that are commanded over MQTT."""
        return self._stations.ids

    def wish(self, command: Commanded) -> None:
        """Replace what an EVSE should be told; returns at once, the outcome comes as an event."""
        self._commands.wish(command)

    async def tell_work(self, number: int, order: Mapping[str, Any]) -> None:
        """Say a work order; return once the broker has it, raises OSError if it does not take it."""
        said = WorkOrderSaid.model_validate(order).model_dump_json()
        try:
            async with asyncio.timeout(WORK_S):
                await self._outbox.deliver(self._topics.written("work order", order=str(number)), said)
        except TimeoutError:
            raise OSError(self.trouble or f"no answer within {WORK_S:.0f} s") from None

    def observe(self, snapshot: Snapshot) -> None:
        """Say changed setpoints and a new plan at once, and leave the whole state for its turn."""
        for evse, setpoint in snapshot.decision.setpoints.items():
            if self._setpoints.get(evse) != setpoint:
                self._setpoints[evse] = setpoint
                said = SetpointSaid(at=utc(snapshot.at_s), limit_a=setpoint.limit_a, reason=setpoint.reason)
                self._outbox.hold(self._topics.written("setpoint", evse=evse), said.model_dump_json())
        if snapshot.plan is not None and snapshot.plan is not self._plan:
            self._plan = snapshot.plan
            self._outbox.hold(self._topics.written("plan"), plan_said(snapshot.plan).model_dump_json())
        for operator, answer in self._operators.answers(snapshot.state.records, snapshot.at_s):
            self._answer(operator, answer)
        if self._lessor is not None:
            self._lessor.observe(snapshot)
        self._snapshot = snapshot
        self._has_snapshot.set()

    async def run(self, emit: Emit) -> None:
        """Stay connected, yield facts and publish until cancelled."""
        async with asyncio.TaskGroup() as group:
            connected = self._connection.run(partial(self._receive, emit=emit), partial(self._lose, emit))
            group.create_task(connected, name="mqtt connection")
            group.create_task(self._commands.run(emit), name="mqtt commands")
            if self._lessor is not None:
                group.create_task(self._lessor.run(emit), name="mqtt shares")
            group.create_task(self._tell_state(), name="mqtt state")

    async def _tell_state(self) -> None:
        while True:
            await self._has_snapshot.wait()
            self._has_snapshot.clear()
            assert self._snapshot is not None
            state = site_state(self._snapshot)
            text = state.model_dump_json(exclude={"at"})
            if text != self._state_text:
                self._state_text = text
                self._outbox.hold(self._topics.written("state"), state.model_dump_json())
            await asyncio.sleep(self._settings.publish_s)

    async def _receive(self, message: Message, emit: Emit) -> None:
        try:
            await self._hear(message, emit)
        except PayloadError as error:
            self._refuse(message.topic.value, error)

    async def _lose(self, emit: Emit) -> None:
        await self._emit_all(emit, self._stations.all_offline("no connection to the broker", now_s()))

    async def _hear(self, message: Message, emit: Emit) -> None:
        address = self._topics.address(message.topic.value)
        if address is None:
            raise PayloadError(("", "is not a topic that anybody here listens to"))
        text = bytes(message.payload)
        if address.kind == "station availability":
            await self._emit_all(emit, self._inbound.availability(address, text, now_s()))
            return
        payload = self._inbound.parse(address, text, is_stored=message.retain)
        if isinstance(payload, CommandAnswer):
            self._take_answer(address, payload)
            return
        if isinstance(payload, Work):
            await self._take_work(address, payload)
            return
        if isinstance(payload, FaultDecision):
            self._check_latch(EvseId(address.names["evse"]), payload)
        await self._emit_all(emit, self._inbound.events(address, payload, now_s(), is_stored=message.retain))
        self._acknowledge(address, payload)

    async def _take_work(self, address: Address, said: Work) -> None:
        number = address.names["order"]
        if self._desk is None or not number.isdecimal():
            raise PayloadError(("", f"there is no work order {number!r}"))
        word = WorkWord(
            order=int(number), kind=WorkKind(said.work), author=said.author, text=said.text, parts=tuple(said.parts),
            signature=said.signature, done=tuple(said.done),
        )  # fmt: skip
        try:
            await self._desk.take(word)
        except MaintenanceError as error:
            raise PayloadError(("", str(error))) from error
        received = WorkReceived(order=word.order, id=said.id, received_at=utc(now_s()))
        self._outbox.notify(self._topics.written("work received", order=number), received.model_dump_json())

    def _check_latch(self, evse: EvseId, said: FaultDecision) -> None:
        """Refuse a release that would do nothing: a latch opens with the work order of its repair only."""
        known = None if self._snapshot is None else self._snapshot.state.evses[evse].health.deratings
        derating = None if known is None else known.get(Cause(said.cause))
        is_latched = derating is not None and derating.said.stage is DeratingStage.LATCHED
        if is_latched and said.kind == "release":
            raise PayloadError(("kind", "a latch opens with its work order only: `smartcharge work repaired`"))

    def _take_answer(self, address: Address, answer: CommandAnswer) -> None:
        if not self._commands.answered(EvseId(address.names["evse"]), answer):
            raise PayloadError(("command_id", f"command {answer.command_id} is not waiting for an answer (any more)"))

    def _acknowledge(self, address: Address, payload: Payload) -> None:
        match payload:
            case GridLimit():
                received = LimitReceived(id=payload.id, received_at=utc(now_s()))
                topic = self._topics.written("limit received", **address.names)
                self._outbox.notify(topic, received.model_dump_json())
                self._answer(*self._received(address.names["source"], payload.id))
            case LpcLimit():
                self._answer(*self._received(address.names["operator"], payload.id))
            case FaultDecision():
                heard = FaultDecisionReceived(id=payload.id, received_at=utc(now_s()))
                topic = self._topics.written("fault order received", **address.names)
                self._outbox.notify(topic, heard.model_dump_json())
            case _:
                pass

    def _received(self, operator: str, limit_id: str | None) -> tuple[str, LimitAnswer | None]:
        return operator, self._operators.received(operator, limit_id, now_s())

    def _answer(self, operator: str, answer: LimitAnswer | None) -> None:
        if answer is not None:
            self._outbox.notify(self._topics.written("limit answer", operator=operator), answer.model_dump_json())

    def _refuse(self, topic: str, error: PayloadError) -> None:
        _log.warning("mqtt: refused what was said on %s: %s", topic, error)
        for field, reason in error.faults:
            refusal = Refusal(at=utc(now_s()), topic=topic, field=field, reason=reason)
            self._outbox.notify(self._topics.written("errors"), refusal.model_dump_json())
        address = self._topics.address(topic)
        names = {} if address is None else address.names
        operator = names.get("operator") or names.get("source")
        if operator is not None:
            self._answer(operator, self._operators.refused(operator, str(error), now_s()))

    @staticmethod
    async def _emit_all(emit: Emit, events: tuple[Event, ...]) -> None:
        for event in events:
            await emit(event)
