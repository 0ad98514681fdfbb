"""OCPP 2.0.1 block C, OCPP 1.6 sections 4.1 and 3.5: who may charge, by the site's own list and policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from smartcharge.config.tokens import read_tokens
from smartcharge.csms.authority import Authority, TokenPolicy
from smartcharge.csms.server import Options
from smartcharge.errors import ConfigError
from smartcharge.orders import ListEntry
from tests.csms.ocpp_peers import AC, EPOCH_S, V16, V21, V201, Peer, World, evse, in_world, station

EVERY = pytest.mark.parametrize("version", [V16, V201, V21])
AT = "2023-11-14T22:13:20Z"
LIST = (
    ListEntry(id_token="FLEET1", group="FLEET"),
    ListEntry(id_token="LOST", status="Blocked"),
    ListEntry(id_token="GUEST", expires_s=EPOCH_S - 1.0),
    ListEntry(id_token="TODAY", expires_s=EPOCH_S + 3600.0),
)
CLOSED = Options(ping_interval_s=None, tokens=TokenPolicy(tokens=LIST, unknown="refuse"))


async def asked(peer: Peer, version: str, token: str, kind: str = "ISO14443") -> dict[str, Any]:
    """The idTagInfo or idTokenInfo of Authorize."""
    if version == V16:
        info = (await peer.say("Authorize", {"idTag": token}))[2]["idTagInfo"]
    else:
        info = (await peer.say("Authorize", {"idToken": {"idToken": token, "type": kind}}))[2]["idTokenInfo"]
    return dict(info)


async def started(peer: Peer, version: str, token: str) -> dict[str, Any]:
    """The idTagInfo or idTokenInfo of the start of a transaction."""
    if version == V16:
        start = {"connectorId": 1, "idTag": token, "meterStart": 0, "timestamp": AT}
        return dict((await peer.say("StartTransaction", start))[2]["idTagInfo"])
    event = {
        "eventType": "Started",
        "timestamp": AT,
        "triggerReason": "Authorized",
        "seqNo": 0,
        "transactionInfo": {"transactionId": f"T {token}"},
        "evse": {"id": 1},
        "idToken": {"idToken": token, "type": "ISO14443"},
    }
    return dict((await peer.say("TransactionEvent", event))[2]["idTokenInfo"])


class TestC01Authorize:
    """C01: the CSMS answers whether a token may charge."""

    @EVERY
    @pytest.mark.parametrize(
        ("token", "status"),
        [("FLEET1", "Accepted"), ("fleet1", "Accepted"), ("LOST", "Blocked"), ("GUEST", "Expired"), ("WHO", "Invalid")],
    )
    def test_by_the_site_s_list_at_the_card_and_at_the_start(self, version: str, token: str, status: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                await peer.boot()
                assert (await asked(peer, version, token))["status"] == status
                assert (await started(peer, version, token))["status"] == status

        in_world(test, station(evse(AC, 1)), CLOSED)

    @EVERY
    def test_without_a_list_everybody_may(self, version: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                assert (await asked(peer, version, "WHO"))["status"] == "Accepted"

        in_world(test)

    @EVERY
    def test_an_open_site_still_refuses_those_that_its_list_blocks(self, version: str) -> None:
        options = Options(ping_interval_s=None, tokens=TokenPolicy(tokens=LIST))

        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                assert (await asked(peer, version, "WHO"))["status"] == "Accepted"
                assert (await asked(peer, version, "LOST"))["status"] == "Blocked"

        in_world(test, None, options)

    @pytest.mark.parametrize("version", [V201, V21])
    def test_a_start_that_a_server_ordered_needs_no_list(self, version: str) -> None:
        """Its token has the type Central: only a server gives those out (F01)."""

        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                assert (await asked(peer, version, "any", "Central"))["status"] == "Accepted"
                assert (await asked(peer, version, "LOST", "Central"))["status"] == "Blocked"

        in_world(test, None, CLOSED)


class TestC09Groups:
    """C09, 1.6 parentIdTag: those of one group may end each other's transactions; the station is told the group."""

    @EVERY
    def test_the_group_and_the_end_of_validity_are_in_the_answer(self, version: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                fleet = await asked(peer, version, "FLEET1")
                today = await asked(peer, version, "TODAY")
                if version == V16:
                    assert fleet == {"status": "Accepted", "parentIdTag": "FLEET"}
                    assert today == {"status": "Accepted", "expiryDate": "2023-11-14T23:13:20.000Z"}
                else:
                    assert fleet["groupIdToken"] == {"idToken": "FLEET", "type": "ISO14443"}
                    assert today["cacheExpiryDateTime"] == "2023-11-14T23:13:20.000Z"

        in_world(test, None, CLOSED)

    def test_a_stop_is_answered_by_the_list_too(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.boot()
                start = {"connectorId": 1, "idTag": "FLEET1", "meterStart": 0, "timestamp": AT}
                number = (await peer.say("StartTransaction", start))[2]["transactionId"]
                stop = {"transactionId": number, "meterStop": 1, "timestamp": AT, "idTag": "FLEET1"}
                assert (await peer.say("StopTransaction", stop))[2]["idTagInfo"]["parentIdTag"] == "FLEET"

        in_world(test, station(evse(AC, 1)), CLOSED)


class TestC10Cache:
    """C10 to C12: what the back-end said before counts while it is away."""

    @staticmethod
    def authority(away: Any) -> Authority:
        one = Authority(TokenPolicy(tokens=LIST, unknown="refuse", away=away))
        one.heard("GOOD", {"status": "Accepted", "parentIdTag": "G"})
        one.heard("BAD", {"status": "Blocked"})
        one.heard("BUSY", {"status": "ConcurrentTx"})
        one.heard("OLD", {"status": "Accepted", "expiryDate": "2020-01-01T00:00:00Z"})
        return one

    @pytest.mark.parametrize(
        ("away", "token", "status"),
        [
            ("accept", "WHO", "Accepted"),
            ("accept", "BAD", "Blocked"),
            ("accept", "BUSY", "Accepted"),
            ("known", "GOOD", "Accepted"),
            ("known", "good", "Accepted"),
            ("known", "OLD", "Expired"),
            ("known", "BAD", "Blocked"),
            ("known", "WHO", "Invalid"),
            ("known", "FLEET1", "Accepted"),
            ("refuse", "GOOD", "Invalid"),
            ("refuse", "FLEET1", "Accepted"),
            ("refuse", "LOST", "Blocked"),
        ],
    )
    def test_by_the_site_s_policy(self, away: str, token: str, status: str) -> None:
        assert self.authority(away).judge(token, EPOCH_S, has_backend=True).status == status

    def test_it_counts_for_nothing_on_a_station_without_a_back_end(self) -> None:
        assert self.authority("accept").judge("GOOD", EPOCH_S).status == "Invalid"

    def test_the_group_is_remembered_and_only_news_is_told(self) -> None:
        one = self.authority("known")
        assert one.judge("GOOD", EPOCH_S, has_backend=True).group == "G"
        assert one.heard("GOOD", {"status": "Accepted", "parentIdTag": "G"}) is None
        assert one.heard("GOOD", {"status": "Blocked"}) is not None

    def test_it_is_bounded(self) -> None:
        one = Authority(TokenPolicy(away="known"))
        for n in range(10_100):
            one.heard(f"T{n}", {"status": "Accepted"})
        assert one.judge("T0", EPOCH_S, has_backend=True).status == "Invalid"
        assert one.judge("T10099", EPOCH_S, has_backend=True).status == "Accepted"


class TestTheFile:
    def test_is_read(self, tmp_path: Path) -> None:
        path = tmp_path / "tokens.toml"
        path.write_text(
            '[[tokens]]\nid = "04A1"\ngroup = "G"\nexpires = 2030-01-01T00:00:00Z\n'
            '[[tokens]]\nid = "04A2"\nkind = "eMAID"\nstatus = "Blocked"\n'
        )
        assert read_tokens(path) == (
            ListEntry(id_token="04A1", group="G", expires_s=1_893_456_000.0),
            ListEntry(id_token="04A2", kind="eMAID", status="Blocked"),
        )

    @pytest.mark.parametrize(
        ("text", "wrong"),
        [
            ("tokens = 1", "tokens"),
            ('[[tokens]]\nid = ""', "tokens.0.id"),
            ('[[tokens]]\nid = "a"\nstatus = "Maybe"', "tokens.0.status"),
            ('[[tokens]]\nid = "a"\nexpires = 2030-01-01T00:00:00', "tokens.0.expires"),
            ('[[tokens]]\nid = "a"\n[[tokens]]\nid = "A"', "a stand twice"),
            ("[[tokens", "is not TOML"),
        ],
    )
    def test_every_error_is_named(self, tmp_path: Path, text: str, wrong: str) -> None:
        path = tmp_path / "tokens.toml"
        path.write_text(text)
        with pytest.raises(ConfigError, match=wrong):
            read_tokens(path)

    def test_one_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read"):
            read_tokens(tmp_path / "none.toml")
