"""OCPP 2.x B07, N and O: what stations report of themselves is kept, and what is wrong becomes a fault."""

from __future__ import annotations

import json
from typing import Any

import pytest

from smartcharge.events import FaultCleared, FaultRaised, Metered, ReservationUpdated, StationLearnt
from smartcharge.faults import Effect
from tests.csms.ocpp_peers import AC, STATION, V21, V201, Peer, World, evse, in_world, station

BOTH = pytest.mark.parametrize("version", [V201, V21])
AT = "2023-11-14T22:13:20Z"
ALONE = station(evse(AC, 1))


def report(data: list[dict[str, Any]], seq_no: int = 0, **more: Any) -> dict[str, Any]:
    return {"requestId": 1, "generatedAt": AT, "seqNo": seq_no, "reportData": data, **more}


def variable(component: str, name: str, value: str, **more: Any) -> dict[str, Any]:
    return {
        "component": {"name": component},
        "variable": {"name": name},
        "variableAttribute": [{"value": value, "mutability": "ReadOnly"}],
        **more,
    }


def monitor(id_: int, component: str, name: str, severity: int, version: str = V21) -> dict[str, Any]:
    watched: dict[str, Any] = {
        "id": id_, "transaction": False, "value": 70.0, "type": "UpperThreshold", "severity": severity,
    }  # fmt: skip
    if version == V21:
        watched["eventNotificationType"] = "CustomMonitor"
    return {"component": {"name": component}, "variable": {"name": name}, "variableMonitoring": [watched]}


class TestB07Reports:
    """B07: the station's device model is asked for once and kept."""

    @BOTH
    def test_it_is_asked_for_after_a_boot_and_kept_whole(self, version: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                await peer.provisioned()
                assert (await peer.asked_for("GetBaseReport"))["reportBase"] == "FullInventory"
                await peer.say("NotifyReport", report([variable("A", "B", "1")], tbc=True))
                place = {"component": {"name": "Connector", "evse": {"id": 1, "connectorId": 2}, "instance": "x"}}
                await peer.say("NotifyReport", report([{**variable("", "C", "2"), **place}], 1))
                known = world.csms.device_model(STATION).variables
                assert {name: one.value for name, one in known.items()} == {"A.B": "1", "Connector[x]@1.2.C": "2"}
            async with world.peer(version) as peer:
                await peer.provisioned()
                for _ in range(5):
                    await peer.say("Heartbeat", {})
                assert peer.calls("GetBaseReport") == [], "it is known"

        in_world(test, ALONE)

    @BOTH
    def test_how_many_profiles_it_holds_is_learnt_from_it(self, version: str) -> None:
        """SmartChargingCtrlr.Entries[ChargingProfiles], maxLimit (2.0.1 appendix 3)."""
        entries = variable("SmartChargingCtrlr", "Entries", "1")
        entries["variable"]["instance"] = "ChargingProfiles"
        entries["variableCharacteristics"] = {"dataType": "integer", "supportsMonitoring": False, "maxLimit": 4}

        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                await peer.provisioned()
                await peer.say("NotifyReport", report([entries]))
                assert world.ear.of(StationLearnt)[-1].max_profiles == 4

        in_world(test, ALONE)

    @BOTH
    def test_with_other_firmware_it_is_forgotten_and_asked_anew(self, version: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                await peer.provisioned()
                await peer.say("NotifyReport", report([variable("A", "B", "1")]))
                itself = {"model": "M", "vendorName": "V", "firmwareVersion": "2"}
                await peer.say("BootNotification", {"reason": "PowerUp", "chargingStation": itself})
                assert world.csms.device_model(STATION).variables == {}
                await peer.asked_for("GetBaseReport", 2)

        in_world(test, ALONE)


class TestN07Monitors:
    """N07: a monitor that alerts is a fault by its severity, until it is cleared."""

    @staticmethod
    def event(**changes: Any) -> dict[str, Any]:
        data = {
            "eventId": 1, "timestamp": AT, "trigger": "Alerting", "actualValue": "81.5", "variableMonitoringId": 7,
            "eventNotificationType": "CustomMonitor",
            "component": {"name": "CableCooling", "evse": {"id": 1}}, "variable": {"name": "Temperature"}, **changes,
        }  # fmt: skip
        return {"generatedAt": AT, "seqNo": 0, "eventData": [data]}

    async def monitored(self, peer: Peer, severity: int) -> None:
        monitors = [monitor(7, "CableCooling", "Temperature", severity, str(peer.ws.subprotocol))]
        told = {"requestId": 2, "seqNo": 0, "generatedAt": AT, "monitor": monitors}
        assert (await peer.say("NotifyMonitoringReport", told))[0] == 3

    @BOTH
    def test_an_alert_is_a_warning_until_it_is_cleared(self, version: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                await self.monitored(peer, 5)
                await peer.say("NotifyEvent", self.event())
                [fault] = world.ear.of(FaultRaised)
                assert (fault.evse, fault.code, fault.effect) == (AC, "CableCooling.Temperature", Effect.WARNING)
                assert "81.5" in fault.detail
                await peer.say("NotifyEvent", self.event(cleared=True, actualValue="60"))
                assert [e.code for e in world.ear.of(FaultCleared)] == ["CableCooling.Temperature"]

        in_world(test, ALONE)

    @BOTH
    @pytest.mark.parametrize("severity", [7, 9])
    def test_a_notice_is_none(self, version: str, severity: int) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                await self.monitored(peer, severity)
                await peer.say("NotifyEvent", self.event())
                assert world.ear.of(FaultRaised) == []

        in_world(test, ALONE)

    def test_2_1_says_the_severity_itself(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V21) as peer:
                await self.monitored(peer, 9)
                await peer.say("NotifyEvent", self.event(severity=3))
                assert len(world.ear.of(FaultRaised)) == 1

        in_world(test, ALONE)

    @BOTH
    def test_what_is_told_periodically_is_no_alert(self, version: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                await peer.say("NotifyEvent", self.event(trigger="Periodic"))
                assert world.ear.of(FaultRaised) == []

        in_world(test, ALONE)


class TestN13Streams:
    """2.1 N11 to N15: values of monitors in SEND frames, which have no answer."""

    @staticmethod
    def opening(monitor_id: int) -> dict[str, Any]:
        params = {"interval": 10}
        return {"constantStreamData": {"id": 4, "variableMonitoringId": monitor_id, "params": params}}

    @staticmethod
    async def streamed(peer: Peer, value: str) -> None:
        elements = [{"t": 10.0, "v": value}, {"t": 0.0, "v": "20"}]
        payload = {"id": 4, "pending": 0, "basetime": AT, "data": elements}
        await peer.ws.send(json.dumps([6, "s1", "NotifyPeriodicEventStream", payload]))
        await peer.say("Heartbeat", {})

    def test_a_temperature_that_is_streamed_is_a_reading(self) -> None:
        watched = monitor(7, "TemperatureSensor", "Temperature", 5)
        watched["component"]["evse"] = {"id": 1, "connectorId": 1}
        told = {"requestId": 2, "seqNo": 0, "generatedAt": AT, "monitor": [watched]}

        async def test(world: World) -> None:
            async with world.peer(V21) as peer:
                await peer.say("NotifyMonitoringReport", told)
                assert (await peer.say("OpenPeriodicEventStream", self.opening(7)))[2]["status"] == "Accepted"
                await self.streamed(peer, "55.5")
                assert [e.outlet_c for e in world.ear.of(Metered)] == [55.5], "the newest counts"
                assert (await peer.say("ClosePeriodicEventStream", {"id": 4}))[0] == 3
                await self.streamed(peer, "66.6")
                assert len(world.ear.of(Metered)) == 1

        in_world(test, ALONE)

    def test_one_of_an_unknown_monitor_is_refused_and_means_nothing(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V21) as peer:
                assert (await peer.say("OpenPeriodicEventStream", self.opening(8)))[2]["status"] == "Rejected"
                await self.streamed(peer, "55.5")
                assert world.ear.of(Metered) == []

        in_world(test, ALONE)


class TestO04DisplayMessages:
    @BOTH
    def test_what_a_station_displays_is_kept(self, version: str) -> None:
        shown = {"id": 3, "priority": "NormalCycle", "message": {"format": "UTF8", "content": "Hello"}}

        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                assert (await peer.say("NotifyDisplayMessages", {"requestId": 1, "messageInfo": [shown]}))[0] == 3
                assert world.csms.device_model(STATION).messages == {3: shown}

        in_world(test, ALONE)


class TestH04Reservations:
    """H04: a station tells that a reservation ended unused."""

    @BOTH
    @pytest.mark.parametrize("status", ["Expired", "Removed"])
    def test_it_becomes_a_fact(self, version: str, status: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                told = {"reservationId": 5, "reservationUpdateStatus": status}
                assert (await peer.say("ReservationStatusUpdate", told))[0] == 3
                [fact] = world.ear.of(ReservationUpdated)
                assert (fact.station, fact.reservation_id, fact.status) == (STATION, 5, status)

        in_world(test, ALONE)
