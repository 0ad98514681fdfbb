"""Stations that are commanded over MQTT: what they say, and what becomes of what they are told."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from smartcharge.events import (
    Accepted,
    Charging,
    ChargingChanged,
    Commanded,
    Event,
    FaultCleared,
    FaultRaised,
    Metered,
    Plugged,
    ProfileKind,
    Rejected,
    StationBooted,
    StationOffline,
    StationOnline,
    TransactionEnded,
    TransactionStarted,
    Unanswered,
    Unplugged,
)
from smartcharge.model import Phases, StationId
from smartcharge.mqtt.room import MqttRoom
from smartcharge.mqtt.settings import MqttSettings
from tests.mqtt.peers import WALL, Broker, Cable, Facts, Integrator, Serving, free_port, make_site, running, scene
from tests.mqtt.test_mqtt_in import iso

STATUS = "evse/wall%2F1/status"
COMMAND = "evse/wall%2F1/command"
ACK = "evse/wall%2F1/ack"
AVAILABILITY = "station/wall/availability"


def command(number: int, *, limit_a: float = 10.0, life_s: float = 300.0) -> Commanded:
    now_s = time.time()
    return Commanded(
        at_s=now_s,
        command_id=number,
        evse=WALL,
        kind=ProfileKind.TRANSACTION,
        limit_a=limit_a,
        expires_s=now_s + life_s,
        transaction_id="T1",
    )


class TestCommands:
    """I3: every command expires; and each has one outcome."""

    def test_accepted(self, broker: Broker) -> None:
        async def main() -> None:
            async with scene(broker) as s:
                wish = command(7)
                s.room.wish(wish)
                told = await s.peer.hears(COMMAND)
                assert told == {
                    "command_id": 7,
                    "kind": "transaction",
                    "limit_a": 10.0,
                    "issued_at": told["issued_at"],
                    "expires_at": told["expires_at"],
                    "transaction_id": "T1",
                }
                assert told["expires_at"] > told["issued_at"] > "2020-01-01T00:00:00Z"
                await s.peer.say(ACK, {"command_id": 7, "accepted": True})
                assert (await s.facts.first(Accepted)).command_id == 7
                async with Integrator.at(s.port) as late:
                    await late.hears("availability")
                    assert late.heard(COMMAND) == [], "a command is of the moment and not kept"

        asyncio.run(main())

    def test_default_has_no_end(self, broker: Broker) -> None:
        async def main() -> None:
            async with scene(broker) as s:
                s.room.wish(
                    Commanded(
                        at_s=time.time(),
                        command_id=1,
                        evse=WALL,
                        kind=ProfileKind.DEFAULT,
                        limit_a=6.0,
                        expires_s=None,
                    )
                )
                told = await s.peer.hears(COMMAND)
                assert (told["kind"], told["expires_at"], told["transaction_id"]) == ("default", None, None)

        asyncio.run(main())

    def test_rejected(self, broker: Broker) -> None:
        async def main() -> Rejected:
            async with scene(broker) as s:
                s.room.wish(command(8))
                await s.peer.hears(COMMAND)
                await s.peer.say(ACK, {"command_id": 8, "accepted": False, "reason": "too hot"})
                return await s.facts.first(Rejected)

        fact = asyncio.run(main())
        assert (fact.command_id, fact.evse, fact.reason) == (8, WALL, "too hot")

    def test_no_answer_in_time_and_then_too_late(self, broker: Broker) -> None:
        async def main() -> None:
            async with scene(broker, make_site(command_s=0.2)) as s:
                s.room.wish(command(9))
                assert (await s.facts.first(Unanswered)).command_id == 9
                await s.peer.say(ACK, {"command_id": 9, "accepted": True})
                assert "not waiting" in (await s.peer.hears("errors"))["reason"]
                assert not s.facts.of(Accepted)

        asyncio.run(main())

    def test_a_newer_one_does_not_wait_and_each_has_its_own_outcome(self, broker: Broker) -> None:
        async def main() -> None:
            async with scene(broker, make_site(command_s=0.5)) as s:
                s.room.wish(command(1))
                await s.peer.hears(COMMAND)
                s.room.wish(command(2, limit_a=6.0))
                assert (await s.peer.hears(COMMAND, 2))["command_id"] == 2
                await s.peer.say(ACK, {"command_id": 2, "accepted": True})
                assert (await s.facts.first(Accepted)).command_id == 2
                assert (await s.facts.first(Unanswered)).command_id == 1

        asyncio.run(main())

    def test_only_the_newest_wish_is_kept(self, broker: Broker) -> None:
        async def main() -> None:
            async with scene(broker) as s:
                for number in (1, 2, 3):
                    s.room.wish(command(number))
                assert (await s.peer.hears(COMMAND))["command_id"] == 3
                await s.peer.say(ACK, {"command_id": 3, "accepted": True})
                await s.facts.first(Accepted)
                assert len(s.peer.heard(COMMAND)) == 1

        asyncio.run(main())

    def test_what_could_not_be_sent_in_time_is_never_sent(self, broker: Broker) -> None:
        async def main() -> None:
            port, facts = free_port(), Facts()
            room = MqttRoom(make_site(command_s=0.2), MqttSettings(host="127.0.0.1", port=port))
            async with running(room, facts):
                room.wish(command(1))
                assert (await facts.first(Unanswered)).command_id == 1
                async with broker(Serving(port=port)), Integrator.at(port) as peer:
                    assert await peer.hears("availability") == "online"
                    room.wish(command(2))
                    assert (await peer.hears(COMMAND))["command_id"] == 2

        asyncio.run(main())


def tell(broker: Broker, *said: tuple[str, Any], last: type[Event]) -> list[Event]:
    """Return the facts in what a station says, up to the first of a kind."""

    async def main() -> list[Event]:
        async with scene(broker) as s:
            for topic, payload in said:
                await s.peer.say(topic, payload)
            await s.facts.first(last)
            return s.facts.events

    return asyncio.run(main())


def names(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


class TestStatus:
    def test_a_session_from_plug_to_unplug(self, broker: Broker) -> None:
        events = tell(
            broker,
            (AVAILABILITY, b"online"),
            (STATUS, {"plugged": False}),
            (STATUS, {"plugged": True}),
            (STATUS, {"plugged": True, "transaction_id": "T1", "charging": "Charging", "energy_wh": 1000}),
            (STATUS, {"plugged": True, "transaction_id": "T1", "charging": "Charging", "energy_wh": 1000}),
            (STATUS, {"plugged": True, "transaction_id": "T1", "charging": "SuspendedEV"}),
            (STATUS, {"plugged": True, "energy_wh": 9000}),
            (STATUS, {"plugged": False}),
            (AVAILABILITY, b"offline"),
            last=StationOffline,
        )
        at_s = events[0].at_s
        assert [type(e) for e in events] == [
            StationOnline, Unplugged, Plugged, TransactionStarted, ChargingChanged, ChargingChanged, TransactionEnded,
            Unplugged, StationOffline,
        ]  # fmt: skip
        started, charging, suspended, ended = events[3:7]
        assert started == TransactionStarted(at_s=started.at_s, evse=WALL, transaction_id="T1", meter_wh=1000.0)
        assert isinstance(charging, ChargingChanged)
        assert charging.state is Charging.CHARGING
        assert isinstance(suspended, ChargingChanged)
        assert suspended.state is Charging.SUSPENDED_EV
        assert ended == TransactionEnded(at_s=ended.at_s, evse=WALL, transaction_id="T1", meter_wh=9000.0)
        assert abs(at_s - time.time()) < 60

    def test_one_transaction_directly_after_another(self, broker: Broker) -> None:
        events = tell(
            broker,
            (AVAILABILITY, b"online"),
            (STATUS, {"plugged": True, "transaction_id": "T1"}),
            (STATUS, {"plugged": True, "transaction_id": "T2"}),
            (AVAILABILITY, b"offline"),
            last=StationOffline,
        )
        assert names(events[1:-1]) == ["Plugged", "TransactionStarted", "TransactionEnded", "TransactionStarted"]

    def test_status_waits_for_the_word_online(self, broker: Broker) -> None:
        """A broker hands out what it kept in any order, and a station that was away must not be thought empty."""
        events = tell(broker, (STATUS, {"plugged": False}), (AVAILABILITY, b"online"), last=Unplugged)
        assert names(events) == ["StationOnline", "Unplugged"]

    def test_after_an_absence_only_a_new_status_counts(self, broker: Broker) -> None:
        events = tell(
            broker,
            (AVAILABILITY, b"online"),
            (STATUS, {"plugged": False}),
            (AVAILABILITY, b"offline"),
            (AVAILABILITY, b"online"),
            (STATUS, {"plugged": True}),
            last=Plugged,
        )
        assert names(events) == ["StationOnline", "Unplugged", "StationOffline", "StationOnline", "Plugged"]

    def test_faults(self, broker: Broker) -> None:
        events = tell(
            broker,
            (AVAILABILITY, b"online"),
            (STATUS, {"plugged": False, "faults": ["GroundFailure"]}),
            (STATUS, {"plugged": False}),
            last=FaultCleared,
        )
        raised, cleared = events[-2:]
        assert isinstance(raised, FaultRaised)
        assert isinstance(cleared, FaultCleared)
        assert raised.code == cleared.code == "GroundFailure"

    def test_meter_and_boot(self, broker: Broker) -> None:
        reading = {"measured_at": iso(), "current_a": {"l1": 8, "l2": 0, "l3": 0}, "energy_wh": 5.5, "soc": 0.4}
        boot = {"vendor": "Acme", "firmware": "1.2"}
        events = tell(broker, ("station/wall/boot", boot), ("evse/wall%2F1/meter", reading), last=Metered)
        assert events == [
            StationBooted(at_s=events[0].at_s, station=StationId("wall"), vendor="Acme", firmware="1.2"),
            Metered(at_s=events[1].at_s, evse=WALL, current_a=Phases(8.0, 0.0, 0.0), energy_wh=5.5, soc=0.4),
        ]


class TestLostBroker:
    def test_stations_go_offline_with_the_broker_and_come_back_with_what_it_kept(self, broker: Broker) -> None:
        async def main() -> list[str]:
            facts = Facts()
            async with broker(Serving()) as port, Integrator.at(port) as peer, Cable.to(port) as cable:
                room = MqttRoom(make_site(), MqttSettings(host="127.0.0.1", port=cable.port))
                async with running(room, facts):
                    await peer.hears("availability")
                    await peer.say(AVAILABILITY, b"online", retain=True)
                    await peer.say(STATUS, {"plugged": True}, retain=True)
                    await facts.first(Plugged)
                    cable.pull()
                    await facts.first(StationOffline)
                    await facts.first(Plugged, 2)
                    return names(facts.events)

        assert asyncio.run(main()) == ["StationOnline", "Plugged", "StationOffline", "StationOnline", "Plugged"]

    def test_only_stations_that_speak_mqtt_are_commanded(self) -> None:
        room = MqttRoom(make_site(), MqttSettings())
        assert room.stations() == {StationId("wall")}
        assert room.name == "mqtt"
