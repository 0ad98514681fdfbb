"""Orders to stations over sockets, in every version: each class is a clause of OCPP 2.x, 1.6 has what it has of it."""

from __future__ import annotations

from typing import Any

import pytest

from smartcharge.csms.requests import RemoteStart, RemoteStop, Request
from smartcharge.errors import Refused
from smartcharge.orders import (
    CancelReservation,
    ChangeAvailability,
    ClearCache,
    ClearMessage,
    DeleteCertificate,
    GetDiagnostics,
    GetLog,
    InstallCertificate,
    ListCertificates,
    LogKind,
    Reserve,
    Reset,
    RootUse,
    ShowMessage,
    TellCost,
    Transfer,
    Unlock,
)
from tests.csms.ocpp_peers import AC, STATION, V16, V21, V201, Answers, World, evse, in_world, station

EVERY = pytest.mark.parametrize("version", [V16, V201, V21])
SOCKET = evse(AC, 1)
HASH = {"hashAlgorithm": "SHA256", "issuerNameHash": "a", "issuerKeyHash": "b", "serialNumber": "1"}
END, END_S = "2023-11-14T23:13:20.000Z", 1_700_003_600.0


def ordered(version: str, order: Request, action: str, payload: dict[str, Any], status: str = "Accepted") -> None:
    """Give an order to a station that says yes, and to one that says no."""

    async def test(world: World) -> None:
        answers: Answers = {action: lambda _: {"status": status}}
        async with world.peer(version, answers) as peer:
            await peer.provisioned()
            assert (await world.csms.ask(STATION, order))["status"] == status
            assert payload in peer.calls(action)
            peer.answers[action] = lambda _: "InternalError"
            with pytest.raises(Refused, match="InternalError"):
                await world.csms.ask(STATION, order)

    in_world(test, station(SOCKET))


def lacking(version: str, order: Request) -> None:
    """Nothing of an order leaves that a version does not have."""

    async def test(world: World) -> None:
        async with world.peer(version) as peer:
            await peer.provisioned()
            before = len(peer.asked)
            with pytest.raises(Refused, match="has no"):
                await world.csms.ask(STATION, order)
            assert len(peer.asked) == before

    in_world(test, station(SOCKET))


class TestB11Reset:
    @EVERY
    @pytest.mark.parametrize("is_immediate", [True, False])
    def test_at_once_or_when_idle(self, version: str, is_immediate: bool) -> None:
        sixteen, two = ("Hard", "Immediate") if is_immediate else ("Soft", "OnIdle")
        ordered(version, Reset(is_immediate=is_immediate), "Reset", {"type": sixteen if version == V16 else two})

    @pytest.mark.parametrize("version", [V201, V21])
    def test_of_one_evse(self, version: str) -> None:
        ordered(version, Reset(evse=AC), "Reset", {"type": "OnIdle", "evseId": 1})


class TestC11ClearCache:
    @EVERY
    def test_is_ordered(self, version: str) -> None:
        ordered(version, ClearCache(), "ClearCache", {})


class TestF01RemoteStart:
    @EVERY
    def test_is_ordered(self, version: str) -> None:
        order = RemoteStart(evse=SOCKET, id_token="T", number=9)
        if version == V16:
            ordered(version, order, "RemoteStartTransaction", {"connectorId": 1, "idTag": "T"})
            return
        token = {"idToken": "T", "type": "Central"}
        payload = {"evseId": 1, "remoteStartId": 9, "idToken": token}
        ordered(version, order, "RequestStartTransaction", payload)


class TestF03RemoteStop:
    @EVERY
    def test_is_ordered(self, version: str) -> None:
        action = "RemoteStopTransaction" if version == V16 else "RequestStopTransaction"
        ordered(version, RemoteStop(transaction_id="7"), action, {"transactionId": 7 if version == V16 else "7"})


class TestF05UnlockConnector:
    @EVERY
    def test_is_ordered(self, version: str) -> None:
        two = {"evseId": 1, "connectorId": 1}
        ordered(version, Unlock(evse=AC), "UnlockConnector", {"connectorId": 1} if version == V16 else two, "Unlocked")


class TestG03ChangeAvailability:
    @EVERY
    @pytest.mark.parametrize("is_operative", [True, False])
    def test_of_the_station_and_of_an_evse(self, version: str, is_operative: bool) -> None:
        word = "Operative" if is_operative else "Inoperative"
        whole, one = (
            ChangeAvailability(is_operative=is_operative),
            ChangeAvailability(is_operative=is_operative, evse=AC),
        )
        if version == V16:
            ordered(version, whole, "ChangeAvailability", {"connectorId": 0, "type": word})
            ordered(version, one, "ChangeAvailability", {"connectorId": 1, "type": word})
            return
        ordered(version, whole, "ChangeAvailability", {"operationalStatus": word})
        ordered(version, one, "ChangeAvailability", {"operationalStatus": word, "evse": {"id": 1}})

    @EVERY
    def test_scheduled_is_a_yes(self, version: str) -> None:
        payload = {"connectorId": 0, "type": "Inoperative"} if version == V16 else {"operationalStatus": "Inoperative"}
        ordered(version, ChangeAvailability(is_operative=False), "ChangeAvailability", payload, "Scheduled")


class TestH01ReserveNow:
    @EVERY
    def test_with_a_group(self, version: str) -> None:
        order = Reserve(evse=AC, reservation_id=5, id_token="T", expires_s=END_S, group="G")
        sixteen = {"connectorId": 1, "expiryDate": END, "idTag": "T", "reservationId": 5, "parentIdTag": "G"}
        two = {
            "id": 5,
            "expiryDateTime": END,
            "idToken": {"idToken": "T", "type": "ISO14443"},
            "evseId": 1,
            "groupIdToken": {"idToken": "G", "type": "ISO14443"},
        }
        ordered(version, order, "ReserveNow", sixteen if version == V16 else two)

    @EVERY
    @pytest.mark.parametrize("status", ["Occupied", "Faulted", "Unavailable", "Rejected"])
    def test_a_no_is_told_with_its_reason(self, version: str, status: str) -> None:
        order = Reserve(evse=AC, reservation_id=5, id_token="T", expires_s=END_S)

        async def test(world: World) -> None:
            async with world.peer(version, {"ReserveNow": lambda _: {"status": status}}) as peer:
                await peer.provisioned()
                with pytest.raises(Refused, match=status):
                    await world.csms.ask(STATION, order)

        in_world(test, station(SOCKET))


class TestH02CancelReservation:
    @EVERY
    def test_is_ordered(self, version: str) -> None:
        ordered(version, CancelReservation(reservation_id=5), "CancelReservation", {"reservationId": 5})


class TestI02CostUpdated:
    @pytest.mark.parametrize("version", [V201, V21])
    def test_a_driver_is_shown_the_cost_so_far(self, version: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version, {"CostUpdated": lambda _: {}}) as peer:
                await peer.provisioned()
                await world.csms.ask(STATION, TellCost(transaction_id="T1", total_cost=4.2))
                assert peer.calls("CostUpdated") == [{"totalCost": 4.2, "transactionId": "T1"}]

        in_world(test, station(SOCKET))

    def test_1_6_has_none(self) -> None:
        lacking(V16, TellCost(transaction_id="7", total_cost=4.2))


class TestM03ListCertificates:
    @EVERY
    def test_by_their_use(self, version: str) -> None:
        use = RootUse.CSMS
        sixteen = {"certificateType": "CentralSystemRootCertificate"}
        two = {"certificateType": ["CSMSRootCertificate"]}
        ordered(version, ListCertificates(use=use), "GetInstalledCertificateIds", sixteen if version == V16 else two)


class TestM04DeleteCertificate:
    @EVERY
    def test_by_its_hashes(self, version: str) -> None:
        ordered(version, DeleteCertificate(hash_data=HASH), "DeleteCertificate", {"certificateHashData": HASH})


class TestM05InstallCertificate:
    @EVERY
    def test_of_the_maker(self, version: str) -> None:
        order = InstallCertificate(use=RootUse.MANUFACTURER, certificate="PEM")
        payload = {"certificateType": "ManufacturerRootCertificate", "certificate": "PEM"}
        ordered(version, order, "InstallCertificate", payload)


class TestN01GetLog:
    @EVERY
    def test_of_security(self, version: str) -> None:
        order = GetLog(request_id=3, location="https://x/y", kind=LogKind.SECURITY, oldest_s=END_S)
        log = {"remoteLocation": "https://x/y", "oldestTimestamp": END}
        ordered(version, order, "GetLog", {"logType": "SecurityLog", "requestId": 3, "log": log})

    def test_diagnostics_of_1_6(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16, {"GetDiagnostics": lambda _: {"fileName": "d.zip"}}) as peer:
                await peer.provisioned()
                answer = await world.csms.ask(STATION, GetDiagnostics(location="https://x/y", latest_s=END_S))
                assert answer == {"fileName": "d.zip"}
                assert peer.calls("GetDiagnostics") == [{"location": "https://x/y", "stopTime": END}]

        in_world(test, station(SOCKET))


class TestO01SetDisplayMessage:
    @pytest.mark.parametrize("version", [V201, V21])
    def test_a_text_with_an_end(self, version: str) -> None:
        order = ShowMessage(message_id=3, text="Hello", language="en", transaction_id="T1", ends_s=END_S)
        message = {
            "id": 3,
            "priority": "NormalCycle",
            "message": {"format": "UTF8", "content": "Hello", "language": "en"},
            "transactionId": "T1",
            "endDateTime": END,
        }
        ordered(version, order, "SetDisplayMessage", {"message": message})

    @pytest.mark.parametrize("version", [V201, V21])
    def test_is_cleared(self, version: str) -> None:
        ordered(version, ClearMessage(message_id=3), "ClearDisplayMessage", {"id": 3})

    @pytest.mark.parametrize("order", [ShowMessage(message_id=3, text="x"), ClearMessage(message_id=3)], ids=str)
    def test_1_6_has_none(self, order: Request) -> None:
        lacking(V16, order)


class TestP01DataTransfer:
    @EVERY
    def test_to_a_station(self, version: str) -> None:
        payload = {"vendorId": "V", "messageId": "M", "data": "D"}
        ordered(version, Transfer(vendor_id="V", message_id="M", data="D"), "DataTransfer", payload)
