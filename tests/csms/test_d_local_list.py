"""OCPP 2.0.1 block D, OCPP 1.6 5.15: the list of tokens that stations keep for when nobody can be asked."""

from __future__ import annotations

from typing import Any

import pytest

from smartcharge.csms.authority import Authority, TokenPolicy
from smartcharge.csms.server import Options
from smartcharge.orders import ListEntry
from tests.csms.ocpp_peers import (
    AC,
    ACCEPTING,
    SETTINGS_16,
    V16,
    V21,
    V201,
    Answers,
    Peer,
    World,
    configuration,
    evse,
    in_world,
    station,
    variables,
)

EVERY = pytest.mark.parametrize("version", [V16, V201, V21])
TOKENS = tuple(ListEntry(id_token=f"T{n}", group="G") for n in range(5))
LONG = ListEntry(id_token="X" * 30)
POLICY = TokenPolicy(tokens=(*TOKENS, LONG), sends_list=True)
SENDS = Options(ping_interval_s=None, tokens=POLICY)
VERSION = Authority(POLICY).version


def keeping(version: str, has: int, chunk: int | None = None) -> Answers:
    """A station that keeps a list of a version, and takes so many entries in one message."""
    key = "listVersion" if version == V16 else "versionNumber"
    few = {} if chunk is None else {"SendLocalListMaxLength": str(chunk)}
    few_2 = {} if chunk is None else {"LocalAuthListCtrlr.ItemsPerMessage": str(chunk)}
    return {
        "GetLocalListVersion": lambda _: {key: has},
        "SendLocalList": lambda _: {"status": "Accepted"},
        "GetConfiguration": lambda _: configuration({**SETTINGS_16, **few}),
        "GetVariables": variables(few_2),
    }


async def settled(peer: Peer) -> None:
    await peer.provisioned()
    await peer.asked_for("GetLocalListVersion")
    for _ in range(12):
        await peer.say("Heartbeat", {})


def tokens(call: dict[str, Any]) -> list[str]:
    entries = call.get("localAuthorizationList", [])
    return [entry["idTag"] if "idTag" in entry else entry["idToken"]["idToken"] for entry in entries]


class TestD01SendLocalList:
    @EVERY
    def test_a_station_with_another_list_is_sent_the_site_s(self, version: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version, keeping(version, 0)) as peer:
                await settled(peer)
                [sent] = peer.calls("SendLocalList")
                assert sent["updateType"] == "Full"
                assert sent["listVersion" if version == V16 else "versionNumber"] == VERSION
                long = [] if version == V16 else [LONG.id_token]
                assert tokens(sent) == [*(t.id_token for t in TOKENS), *long], "1.6 has tokens of 20 characters"

        in_world(test, station(evse(AC, 1)), SENDS)

    @EVERY
    def test_in_as_many_messages_as_it_takes(self, version: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version, keeping(version, 0, chunk=2)) as peer:
                await settled(peer)
                sent = peer.calls("SendLocalList")
                assert [call["updateType"] for call in sent] == ["Full", "Differential", "Differential"]
                assert tokens(sent[0]) == ["T0", "T1"]

        in_world(test, station(evse(AC, 1)), SENDS)

    @EVERY
    def test_it_is_told_to_use_it(self, version: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version, keeping(version, 0)) as peer:
                await settled(peer)
                if version == V16:
                    assert {"key": "LocalAuthListEnabled", "value": "true"} in peer.calls("ChangeConfiguration")
                else:
                    written = [call["setVariableData"][0] for call in peer.calls("SetVariables")]
                    assert {"name": "LocalAuthListCtrlr"} in [data["component"] for data in written]

        in_world(test, station(evse(AC, 1)), SENDS)


class TestD02GetLocalListVersion:
    @EVERY
    @pytest.mark.parametrize("has", [VERSION, -1])
    def test_one_that_has_it_or_keeps_none_is_sent_nothing(self, version: str, has: int) -> None:
        async def test(world: World) -> None:
            async with world.peer(version, keeping(version, has)) as peer:
                await settled(peer)
                assert peer.calls("SendLocalList") == []

        in_world(test, station(evse(AC, 1)), SENDS)

    def test_another_entry_is_another_version(self) -> None:
        more = TokenPolicy(tokens=(*POLICY.tokens, ListEntry(id_token="new")), sends_list=True)
        assert Authority(more).version != VERSION
        assert VERSION > 0

    @EVERY
    def test_unless_the_site_file_says_so_no_station_is_asked(self, version: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version, {**ACCEPTING, **keeping(version, 0)}) as peer:
                await peer.provisioned()
                assert peer.calls("GetLocalListVersion") == []

        in_world(test, station(evse(AC, 1)), Options(ping_interval_s=None, tokens=TokenPolicy(tokens=TOKENS)))
