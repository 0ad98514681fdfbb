"""No message of any version gets no reply, in either direction; and the page says what is true."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smartcharge.csms.matrix import CONTROLS, MESSAGE, ORDERS, clauses, dialects, fate, with_table
from smartcharge.csms.requests import Request, UpdateProfile, refusal
from smartcharge.csms.schemas import Version, actions, check_call, check_result, sends
from smartcharge.errors import Refused
from smartcharge.events import FirmwareReported, LogReported, SecurityReported
from smartcharge.model import EvseId
from smartcharge.orders import InstallCertificate, Message, RootUse, Unlock, UpdateFirmware
from tests.csms.examples import call_example, result_example
from tests.csms.ocpp_peers import STATION, World, in_world

DOCS = Path(__file__).parents[2] / "docs"
EVERY = pytest.mark.parametrize("version", list(Version))
ENDS_WITHOUT_CAUSE = {"StopTransaction"}
"""Refused by name: nobody knows the transaction of the example."""


class TestThePage:
    def test_is_up_to_date(self) -> None:
        page = (DOCS / "ocpp.md").read_text(encoding="utf-8")
        assert with_table(page, Path(__file__).parent) == page, "run `python -m smartcharge.csms docs tests/csms`"

    @EVERY
    def test_names_every_message_of_every_version(self, version: Version) -> None:
        page = (DOCS / "ocpp.md").read_text(encoding="utf-8")
        assert [name for name in actions(version) | sends(version) if f"| `{name}` |" not in page] == []


class TestTheTestedColumn:
    def test_names_classes_that_are_there(self) -> None:
        found = clauses(Path(__file__).parent)
        assert "K01" in found["SetChargingProfile"]
        assert "A02" in found["SignCertificate"]
        assert "Levitate" not in found


class TestQuirks:
    def test_every_one_in_the_page_has_its_test(self) -> None:
        """A name in the table is a test that exists."""
        page = (DOCS / "ocpp.md").read_text(encoding="utf-8")
        table = page.partition("<!-- quirks: begin -->")[2].partition("<!-- quirks: end -->")[0]
        named = re.findall(r"`(Test\w+)\.(test_\w+)` \|$", table, re.MULTILINE)
        assert len(named) > 30
        assert [name for name in named if name not in set(_tests())] == []


def _tests() -> Iterator[tuple[str, str]]:
    """Every test in a class of this folder."""
    for path in Path(__file__).parent.glob("test_*.py"):
        for part in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(part, ast.ClassDef):
                yield from ((part.name, f.name) for f in part.body if isinstance(f, ast.FunctionDef))


class TestFromStations:
    @EVERY
    def test_every_message_is_answered_by_its_schema(self, version: Version) -> None:
        async def test(world: World) -> None:
            async with world.peer(version.value) as peer:
                for action in sorted(dialects()[version].handles - sends(version)):
                    answer = await peer.say(action, call_example(version, action))
                    if action in ENDS_WITHOUT_CAUSE:
                        assert answer[0] == 4
                        continue
                    assert answer[0] == 3, (action, answer)
                    assert check_result(version, action, answer[2]) is None

        in_world(test)

    @EVERY
    def test_every_message_that_is_not_a_station_s_to_send_is_refused_by_name(self, version: Version) -> None:
        async def test(world: World) -> None:
            async with world.peer(version.value) as peer:
                for action in sorted(actions(version) - dialects()[version].handles):
                    assert (await peer.say(action, call_example(version, action)))[2] == "NotSupported"
                assert (await peer.say("Levitate", {}))[2] == "NotImplemented"

        in_world(test)

    @EVERY
    @pytest.mark.parametrize("payload", [{}, {"x": [{}]}, 7, None, []], ids=str)
    def test_every_message_with_anything_in_it_is_answered(self, version: Version, payload: Any) -> None:
        async def test(world: World) -> None:
            async with world.peer(version.value) as peer:
                for action in sorted(actions(version)):
                    assert (await peer.say(action, payload))[0] in (3, 4)

        in_world(test)

    def test_a_send_has_no_answer_and_what_follows_it_has(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(Version.V21.value) as peer:
                for action in sends(Version.V21):
                    await peer.ws.send(json.dumps([6, "s1", action, call_example(Version.V21, action)]))
                    await peer.ws.send(json.dumps([6, "s2", action, {}]))
                await peer.ws.send(json.dumps([6, "s3", "Levitate", {}]))
                assert (await peer.say("Heartbeat", {}))[0] == 3
                assert peer.errors == []

        in_world(test)

    def test_a_send_that_comes_as_a_call_is_told_so(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(Version.V21.value) as peer:
                for action in sends(Version.V21):
                    payload = call_example(Version.V21, action)
                    assert (await peer.say(action, payload))[2] == "ProtocolError"

        in_world(test)


class TestToStations:
    @EVERY
    @pytest.mark.parametrize("request_", [*CONTROLS, *ORDERS], ids=lambda r: type(r).__name__)
    def test_every_request_fits_its_schema_or_is_refused(self, version: Version, request_: Request) -> None:
        dialect = dialects()[version]
        try:
            call = dialect.call(request_, 1_700_000_000.0)
        except Refused:
            lacks_it = version is Version.V16 or (version is Version.V201 and isinstance(request_, UpdateProfile))
            assert lacks_it
            return
        assert check_call(version, call.action, call.payload) is None

    @EVERY
    def test_every_message_reaches_the_station_and_its_answer_comes_back(self, version: Version) -> None:
        mine = sorted(actions(version) - dialects()[version].handles)
        answers: dict[str, Any] = {a: lambda _, a=a: result_example(version, a) for a in mine}

        async def test(world: World) -> None:
            async with world.peer(version.value, answers) as peer:
                await peer.provisioned()
                for action in mine:
                    payload = call_example(version, action)
                    if (reason := refusal(result_example(version, action))) is None:
                        answer = await world.csms.ask(STATION, Message(action=action, payload=payload))
                        assert answer == result_example(version, action)
                    else:
                        with pytest.raises(Refused, match=reason):
                            await world.csms.ask(STATION, Message(action=action, payload=payload))
                    assert payload in peer.calls(action)

        in_world(test)

    def test_what_breaks_its_schema_or_is_not_in_the_version_never_leaves(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(Version.V16.value) as peer:
                await peer.provisioned()
                before = len(peer.asked)
                with pytest.raises(Refused, match="requestedMessage"):
                    await world.csms.ask(STATION, Message(action="TriggerMessage", payload={}))
                with pytest.raises(Refused, match="has no SetDisplayMessage"):
                    await world.csms.ask(STATION, Message(action="SetDisplayMessage", payload={}))
                with pytest.raises(Refused, match=r"1\.6 has no V2GRootCertificate"):
                    await world.csms.ask(STATION, InstallCertificate(use=RootUse.V2G, certificate="PEM"))
                assert len(peer.asked) == before

        in_world(test)

    def test_the_direction_of_each_message_is_settled(self) -> None:
        for version, dialect in dialects().items():
            for action in actions(version):
                assert fate(dialect, action)
        assert fate(dialects()[Version.V21], "UsePriorityCharging") == MESSAGE
        assert fate(dialects()[Version.V16], "UsePriorityCharging") == ""


class TestL01FirmwareAndN01Logs:
    """1.6 security extension 3 and 4, 2.0.1 L01 and N01: what a station tells becomes facts."""

    @EVERY
    def test_status_and_security_events_are_told(self, version: Version) -> None:
        signed = "SignedFirmwareStatusNotification" if version is Version.V16 else "FirmwareStatusNotification"

        async def test(world: World) -> None:
            async with world.peer(version.value) as peer:
                await peer.say(signed, {"status": "InstallVerificationFailed", "requestId": 5})
                await peer.say("LogStatusNotification", {"status": "Uploaded", "requestId": 6})
                await peer.say(
                    "SecurityEventNotification",
                    {"type": "TamperDetectionActivated", "timestamp": "2023-11-14T22:13:20Z", "techInfo": "lid"},
                )
                firmware, log = world.ear.of(FirmwareReported)[0], world.ear.of(LogReported)[0]
                assert (firmware.status, firmware.request_id) == ("InstallVerificationFailed", 5)
                assert (log.status, log.request_id) == ("Uploaded", 6)
                security = world.ear.of(SecurityReported)[0]
                assert (security.station, security.kind, security.detail) == (
                    STATION,
                    "TamperDetectionActivated",
                    "lid",
                )

        in_world(test)

    def test_diagnostics_of_1_6_speak_the_words_of_2_x(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(Version.V16.value) as peer:
                await peer.say("DiagnosticsStatusNotification", {"status": "UploadFailed"})
                assert world.ear.of(LogReported)[0].status == "UploadFailure"

        in_world(test)

    @EVERY
    def test_an_update_is_ordered_signed_or_not(self, version: Version) -> None:
        plain, signed = (order for order in ORDERS if isinstance(order, UpdateFirmware))
        calls = [dialects()[version].call(order, 0.0) for order in (plain, signed)]
        names = ["UpdateFirmware", "SignedUpdateFirmware" if version is Version.V16 else "UpdateFirmware"]
        assert [call.action for call in calls] == names
        assert calls[1].payload["firmware"]["signature"] == "c2ln"
        assert calls[1].payload["requestId"] == 2

    def test_an_order_for_an_evse_of_another_station_is_refused(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(Version.V16.value) as peer:
                await peer.provisioned()
                with pytest.raises(Refused, match="no EVSE"):
                    await world.csms.ask(STATION, Unlock(evse=EvseId("other")))

        in_world(test)
