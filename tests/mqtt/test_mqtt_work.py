"""Work orders over the broker: each change is said, what people say of them is written down or refused."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from smartcharge.errors import MaintenanceError
from smartcharge.events import FaultRaised
from smartcharge.faults import Cause, Priority
from smartcharge.maintenance import desk
from smartcharge.maintenance.bulletin import Bulletin
from smartcharge.maintenance.desk import Draft
from smartcharge.maintenance.work_orders import WorkOrder, orders
from smartcharge.mqtt.payloads import PAYLOADS
from smartcharge.mqtt.room import MqttRoom
from smartcharge.mqtt.settings import MqttSettings
from smartcharge.ports import WorkKind, WorkWord
from tests.control.sick import Sick
from tests.mqtt.peers import YARD, Broker, Facts, Integrator, Serving, make_site, running
from tests.mqtt.test_mqtt_out import make_snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Desk:
    """A `ports.WorkDesk` that knows work order 7."""

    def __init__(self) -> None:
        self.taken: list[WorkWord] = []

    async def take(self, word: WorkWord) -> None:
        if word.order != 7:
            raise MaintenanceError(f"there is no work order {word.order}")
        self.taken.append(word)


class Scene:
    def __init__(self, room: MqttRoom, peer: Integrator, desk: Desk) -> None:
        self.room, self.peer, self.desk = room, peer, desk


@asynccontextmanager
async def scene(broker: Broker) -> AsyncIterator[Scene]:
    async with broker(Serving()) as port, Integrator.at(port) as peer:
        desk = Desk()
        room = MqttRoom(make_site(), MqttSettings(host="127.0.0.1", port=port, publish_s=0.01), desk)
        async with running(room, Facts()):
            assert await peer.hears("availability") == "online"
            yield Scene(room, peer, desk)


def order() -> WorkOrder:
    draft = Draft(title="replace the contactor", asset="yard/1", location="yard", priority=Priority.P1)
    return orders([desk.raised([], draft, "kim", 1000.0)])[1]


class TestOut:
    def test_a_work_order_is_said_and_kept_by_the_broker(self, broker: Broker) -> None:
        async def main() -> None:
            async with scene(broker) as s:
                await Bulletin("mqtt", s.room.tell_work).hear(12, order())
                said = await s.peer.hears("work/1")
                assert (said["line"], said["status"], said["title"]) == (12, "OPEN", "replace the contactor")
                assert said["audit"][0]["what"] == "Raised"
                PAYLOADS["work order"].model_validate(said)

        asyncio.run(main())

    def test_without_a_broker_it_is_not_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("smartcharge.mqtt.room.WORK_S", 0.05)
        room = MqttRoom(make_site(), MqttSettings(host="127.0.0.1", port=1))
        with pytest.raises(OSError, match="not connected yet"):
            asyncio.run(Bulletin("mqtt", room.tell_work).hear(1, order()))


async def refused(s: Scene, topic: str, payload: dict[str, Any]) -> str:
    heard = len(s.peer.heard("errors"))
    await s.peer.say(topic, payload)
    return str((await s.peer.hears("errors", heard + 1))["reason"])


class TestIn:
    def test_what_is_said_is_taken_to_the_desk_and_acknowledged(self, broker: Broker) -> None:
        async def main() -> None:
            async with scene(broker) as s:
                said = {"id": "18", "work": "repaired", "author": "bo", "text": "new contactor", "parts": ["K1"]}
                await s.peer.say("work/7/say", said)
                received = await s.peer.hears("work/7/received")
                assert (received["order"], received["id"]) == (7, "18")
                assert s.desk.taken == [
                    WorkWord(order=7, kind=WorkKind.REPAIRED, author="bo", text="new contactor", parts=("K1",))
                ]

        asyncio.run(main())

    def test_what_does_not_fit_is_refused_with_its_reason(self, broker: Broker) -> None:
        async def main() -> None:
            async with scene(broker) as s:
                assert "there is no work order 9" in await refused(s, "work/9/say", {"work": "take", "author": "bo"})
                assert "no work order 'x'" in await refused(s, "work/x/say", {"work": "take", "author": "bo"})
                assert "signature" in await refused(s, "work/7/say", {"work": "complete", "author": "bo"})
                assert "parts belong" in await refused(
                    s, "work/7/say", {"work": "take", "author": "bo", "parts": ["K1"]}
                )
                assert s.desk.taken == []

        asyncio.run(main())

    def test_a_latch_is_not_released_but_by_its_work_order(self, broker: Broker) -> None:
        async def main() -> None:
            async with scene(broker) as s:
                snapshot = make_snapshot(make_site())
                sick = Sick(snapshot.site)
                sick.take(FaultRaised(at_s=sick.now_s, evse=YARD, code="PowerSwitchFailure"))
                s.room.observe(type(snapshot)(**{**_fields(snapshot), "state": sick.state}))
                release = {"kind": "release", "cause": Cause.CONTACTOR_WELDED.value, "author": "bo", "reason": "hurry"}
                assert "its work order only" in await refused(s, "evse/yard%2F1/fault/order", release)

        asyncio.run(main())


def _fields(snapshot: object) -> dict[str, Any]:
    return {name: getattr(snapshot, name) for name in type(snapshot).__dataclass_fields__}  # type: ignore[attr-defined]
