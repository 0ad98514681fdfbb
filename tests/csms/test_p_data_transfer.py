"""OCPP 2.0.1 block P, 1.6 4.3: DataTransfer from stations is read by the handler of its vendor."""

from __future__ import annotations

import json
from typing import Any

import pytest

from smartcharge.csms.authority import TokenPolicy
from smartcharge.csms.schemas import Version, check_result
from smartcharge.csms.server import Options
from smartcharge.csms.transfers import COST, PNC, UNKNOWN_MESSAGE, Letter, Reading
from smartcharge.events import NeedStated, Unplugged
from smartcharge.orders import ListEntry
from tests.csms.ocpp_peers import AC, V16, V21, V201, Peer, World, evse, in_world, station

EVERY = pytest.mark.parametrize("version", [V16, V201, V21])
AT = "2023-11-14T22:13:20Z"


async def sent(peer: Peer, vendor: str, message: str | None = None, data: Any = None) -> dict[str, Any]:
    given = {"messageId": message, "data": data}
    payload = {"vendorId": vendor, **{key: value for key, value in given.items() if value is not None}}
    return dict((await peer.say("DataTransfer", payload))[2])


class TestP02Vendors:
    @EVERY
    def test_an_unknown_vendor_is_told_so(self, version: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                assert (await sent(peer, "nobody"))["status"] == "UnknownVendorId"

        in_world(test)

    @EVERY
    def test_a_handler_of_one_s_own_reads_what_its_vendor_sends(self, version: str) -> None:
        async def read(letter: Letter) -> Reading:
            if letter.message_id != "Soc":
                return UNKNOWN_MESSAGE
            stated = NeedStated(at_s=letter.at_s, evse=letter.memory.needed_evse(1).id, energy_wh=float(letter.data))
            return Reading(data="noted", events=(stated,))

        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                assert await sent(peer, "acme", "Soc", "7000") == {"status": "Accepted", "data": "noted"}
                assert world.ear.of(NeedStated)[0].energy_wh == 7000.0
                assert (await sent(peer, "acme", "Else"))["status"] == "UnknownMessageId"

        in_world(test, None, Options(ping_interval_s=None, transfers={"acme": read}))


class TestP02PlugAndChargeOver16:
    """OCA application note: messages of 2.0.1 inside the DataTransfer of 1.6."""

    LIST = TokenPolicy(tokens=(ListEntry(id_token="EMAID1"),), unknown="refuse")

    @pytest.mark.parametrize(("token", "status"), [("EMAID1", "Accepted"), ("EMAID2", "Invalid")])
    def test_authorize_is_answered_as_in_2_0_1(self, token: str, status: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                data = json.dumps({"idToken": {"idToken": token, "type": "eMAID"}})
                answer = await sent(peer, PNC, "Authorize", data)
                assert answer["status"] == "Accepted"
                inner = json.loads(answer["data"])
                assert check_result(Version.V201, "Authorize", inner) is None
                assert inner["idTokenInfo"]["status"] == status

        in_world(test, None, Options(ping_interval_s=None, tokens=self.LIST))

    @pytest.mark.parametrize("action", ["GetCertificateStatus", "SignCertificate", "Get15118EVCertificate"])
    def test_what_nobody_here_can_do_is_answered_by_its_schema(self, action: str) -> None:
        from tests.csms.examples import call_example

        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                answer = await sent(peer, PNC, action, json.dumps(call_example(Version.V201, action)))
                assert check_result(Version.V201, action, json.loads(answer["data"])) is None

        in_world(test)

    @pytest.mark.parametrize("data", [None, "", "[", "{}", '{"idToken": 7}'])
    def test_what_breaks_its_schema_is_rejected(self, data: str | None) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                assert (await sent(peer, PNC, "Authorize", data))["status"] == "Rejected"
                assert (await sent(peer, PNC, "Reset", "{}"))["status"] == "UnknownMessageId"

        in_world(test)


class TestP02CostMessages:
    """OCA application note on pricing in California: ConnectorUnplugged."""

    def test_a_connector_that_was_unplugged_is_free(self) -> None:
        start = {"connectorId": 1, "idTag": "T", "meterStart": 0, "timestamp": AT}

        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.boot()
                number = (await peer.say("StartTransaction", start))[2]["transactionId"]
                data = json.dumps({"transactionId": number, "timestamp": AT})
                assert (await sent(peer, COST, "ConnectorUnplugged", data))["status"] == "Accepted"
                assert world.ear.of(Unplugged)[0].evse == AC
                assert (await sent(peer, COST, "ConnectorUnplugged", "x"))["status"] == "Rejected"

        in_world(test, station(evse(AC, 1)))
