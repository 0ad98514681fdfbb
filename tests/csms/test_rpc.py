"""OCPP-J 1.6 chapter 4 and OCPP 2.0.1 part 4 chapter 4: frames, ids, one outstanding CALL, error answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartcharge.csms.frames import (
    CallReceived,
    ErrorCode,
    ErrorReceived,
    Garbled,
    Malformed,
    Received,
    ResultReceived,
    SendReceived,
    clip,
)
from smartcharge.csms.rpc import Session
from smartcharge.csms.schemas import Version, actions

HANDLES = frozenset({"Heartbeat", "BootNotification", "MeterValues", "DataTransfer"})
BOTH = pytest.mark.parametrize("version", list(Version), ids=lambda version: version.value)


def session(version: Version = Version.V16, **options: Any) -> Session:
    return Session(version, handles=HANDLES, **options)


def reply_to(version: Version, frame: str | bytes) -> list[Any] | None:
    received = session(version).receive(frame)
    assert isinstance(received, Malformed)
    return None if received.reply is None else json.loads(received.reply)


def code_of(version: Version, frame: str | bytes) -> str:
    reply = reply_to(version, frame)
    assert reply is not None
    assert reply[0] == 4
    return str(reply[2])


class TestPart4Calls:
    @BOTH
    def test_valid_call_is_received_and_answered_under_its_id(self, version: Version) -> None:
        end = session(version)
        call = end.receive('[2,"a7","Heartbeat",{}]')
        assert call == CallReceived(id="a7", action="Heartbeat", payload={})
        assert json.loads(end.answer(call, {"currentTime": "x"})) == [3, "a7", {"currentTime": "x"}]

    def test_only_one_call_is_outstanding(self) -> None:
        end = session()
        end.call("TriggerMessage", {"requestedMessage": "Heartbeat"})
        with pytest.raises(RuntimeError, match="TriggerMessage"):
            end.call("TriggerMessage", {"requestedMessage": "Heartbeat"})

    def test_result_ends_the_call_and_ids_differ(self) -> None:
        end = session()
        first = json.loads(end.call("ClearCache", {}))
        assert first == [2, first[1], "ClearCache", {}]
        received = end.receive(json.dumps([3, first[1], {"status": "Accepted"}]))
        assert received == ResultReceived(id=first[1], action="ClearCache", payload={"status": "Accepted"})
        assert end.outstanding is None
        assert json.loads(end.call("ClearCache", {}))[1] != first[1]

    def test_error_ends_the_call(self) -> None:
        end = session()
        id_ = json.loads(end.call("ClearCache", {}))[1]
        received = end.receive(json.dumps([4, id_, "NotSupported", "no cache", {}]))
        assert received == ErrorReceived(id=id_, action="ClearCache", code="NotSupported", description="no cache")
        assert end.outstanding is None

    def test_error_without_description_and_details_is_understood(self) -> None:
        end = session()
        id_ = json.loads(end.call("ClearCache", {}))[1]
        assert isinstance(end.receive(json.dumps([4, id_, "GenericError"])), ErrorReceived)

    @pytest.mark.parametrize("payload", [{"status": "Perhaps"}, {}, [], None, {"status": "Accepted", "x": 1}])
    def test_unreadable_result_ends_the_call_as_garbled(self, payload: object) -> None:
        end = session()
        id_ = json.loads(end.call("ClearCache", {}))[1]
        assert isinstance(end.receive(json.dumps([3, id_, payload])), Garbled)
        assert end.outstanding is None

    def test_answer_to_another_id_leaves_the_call_outstanding(self) -> None:
        end = session()
        end.call("ClearCache", {})
        for frame in ('[3,"other",{"status":"Accepted"}]', '[4,"other","GenericError","",{}]', "[3]", '[4,"-1"]'):
            received = end.receive(frame)
            assert isinstance(received, Malformed)
            assert received.reply is None
        assert end.outstanding is not None

    def test_late_answer_after_giving_up_is_not_taken_for_the_next_call(self) -> None:
        end = session()
        late = json.loads(end.call("ClearCache", {}))[1]
        end.give_up()
        end.call("ClearCache", {})
        assert isinstance(end.receive(json.dumps([3, late, {"status": "Accepted"}])), Malformed)
        assert end.outstanding is not None


class TestPart4ErrorAnswers:
    @BOTH
    def test_unknown_action_is_not_implemented(self, version: Version) -> None:
        assert code_of(version, '[2,"1","Levitate",{}]') == "NotImplemented"

    @BOTH
    def test_known_action_of_the_other_side_is_not_supported(self, version: Version) -> None:
        assert code_of(version, '[2,"1","SetChargingProfile",{}]') == "NotSupported"

    @pytest.mark.parametrize(
        ("payload", "code", "field"),
        [
            ({"chargePointVendor": "v"}, "OccurenceConstraintViolation", "chargePointModel"),
            ({"chargePointVendor": 5, "chargePointModel": "m"}, "TypeConstraintViolation", "chargePointVendor"),
            ({"chargePointVendor": "v" * 21, "chargePointModel": "m"}, "PropertyConstraintViolation", "Vendor"),
            ({"chargePointVendor": "v", "chargePointModel": "m", "colour": "red"}, "FormationViolation", "colour"),
            (["no object"], "FormationViolation", "object"),
        ],
    )
    def test_16_bad_payload_names_code_and_field(self, payload: object, code: str, field: str) -> None:
        reply = reply_to(Version.V16, json.dumps([2, "1", "BootNotification", payload]))
        assert reply is not None
        assert (reply[1], reply[2]) == ("1", code)
        assert field in reply[3]

    @pytest.mark.parametrize(
        ("payload", "code"),
        [
            ({"reason": "PowerUp"}, "OccurenceConstraintViolation"),
            ({"reason": 5, "chargingStation": {"model": "m", "vendorName": "v"}}, "TypeConstraintViolation"),
            ({"reason": "Bored", "chargingStation": {"model": "m", "vendorName": "v"}}, "PropertyConstraintViolation"),
            ({"reason": "PowerUp", "chargingStation": {"model": "m", "vendorName": "v"}, "x": 1}, "FormatViolation"),
            ("no object", "FormatViolation"),
        ],
    )
    def test_201_bad_payload_has_the_right_code(self, payload: object, code: str) -> None:
        assert code_of(Version.V201, json.dumps([2, "1", "BootNotification", payload])) == code

    @pytest.mark.parametrize(
        "frame",
        [
            "",
            "no json",
            "{}",
            "null",
            "[]",
            '["2"]',
            "[2]",
            '[2,"1"]',
            '[2,"1","Heartbeat"]',
            '[2,7,"Heartbeat",{}]',
            '[2,"1",7,{}]',
            '[2,"1","Heartbeat",{},0]',
            '[2,"","Heartbeat",{}]',
            "[" * 30000,
            '[2,"1","Heartbeat",{]',
            '[2,"1","Heartbeat",NaN]',
            '[2,"1","DataTransfer",{"vendorId":"\\ud800"}]',
            b"\xff\xfe",
        ],
    )
    @BOTH
    def test_what_is_no_rpc_is_answered(self, version: Version, frame: str | bytes) -> None:
        expected = "FormationViolation" if version is Version.V16 else "RpcFrameworkError"
        assert code_of(version, frame) == expected

    @BOTH
    def test_the_id_is_kept_if_it_can_be_read_and_minus_one_otherwise(self, version: Version) -> None:
        readable = reply_to(version, '[2,"abc","Heartbeat"')
        unreadable = reply_to(version, "[2,7,")
        assert readable is not None
        assert unreadable is not None
        assert (readable[1], unreadable[1]) == ("abc", "-1")

    @BOTH
    def test_too_large_a_frame_is_answered_under_its_id(self, version: Version) -> None:
        end = session(version, max_frame=1000)
        received = end.receive(json.dumps([2, "big", "DataTransfer", {"vendorId": "v", "data": "x" * 1000}]))
        assert isinstance(received, Malformed)
        assert received.reply is not None
        assert json.loads(received.reply)[1] == "big"

    def test_16_ignores_unknown_message_types_as_413_says(self) -> None:
        assert reply_to(Version.V16, '[5,"1",{}]') is None

    def test_201_names_unknown_message_types(self) -> None:
        assert reply_to(Version.V201, '[6,"1","NotifyEvent",{}]') == [
            4,
            "1",
            "MessageTypeNotSupported",
            "unknown message type 6",
            {},
        ]

    @BOTH
    def test_broken_answers_are_never_answered(self, version: Version) -> None:
        for frame in ("[3]", "[4]", '[3,"1",', "[3,7,{}]", '[4,"1","GenericError","",{}]'):
            assert reply_to(version, frame) is None


class TestPart4MessageIds:
    @BOTH
    def test_a_retry_word_for_word_gets_the_same_answer_and_is_not_handled_again(self, version: Version) -> None:
        end = session(version)
        call = end.receive('[2,"1","Heartbeat",{}]')
        assert isinstance(call, CallReceived)
        answer = end.answer(call, {"currentTime": "then"})
        assert end.receive('[2,"1","Heartbeat",{}]') == Malformed(reason="CALL repeated under its id", reply=answer)

    @BOTH
    def test_a_retry_after_an_internal_error_is_handled_afresh(self, version: Version) -> None:
        end = session(version)
        call = end.receive('[2,"1","Heartbeat",{}]')
        assert isinstance(call, CallReceived)
        end.refuse(call, ErrorCode.INTERNAL, "disk full")
        assert end.receive('[2,"1","Heartbeat",{}]') == call

    @pytest.mark.parametrize(("version", "code"), [(Version.V16, "ProtocolError"), (Version.V201, "RpcFrameworkError")])
    def test_an_id_used_by_another_call_is_refused(self, version: Version, code: str) -> None:
        end = session(version)
        end.receive('[2,"1","Heartbeat",{}]')
        received = end.receive('[2,"1","DataTransfer",{"vendorId":"v"}]')
        assert isinstance(received, Malformed)
        assert received.reply is not None
        assert json.loads(received.reply)[2] == code

    def test_memory_of_ids_is_bounded(self) -> None:
        end = session()
        for number in range(1000):
            end.receive(f'[2,"{number}","Heartbeat",{{}}]')
        assert len(end._seen) < 100


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=10,
)
CALLISH = st.tuples(
    st.sampled_from([2, 3, 4, 5, 6, "2", None]),
    st.text(max_size=5) | JSON,
    st.sampled_from(sorted(HANDLES)) | st.text(max_size=8) | JSON,
    JSON,
)


class TestNothingRaises:
    """Whatever a peer sends, `receive` returns, and what it returns is the right kind of answer."""

    def check(self, frame: str | bytes) -> None:
        for version in Version:
            end = session(version)
            end.call("ClearCache", {})
            received: Received = end.receive(frame)
            if isinstance(received, Malformed) and received.reply is not None:
                reply = json.loads(received.reply)
                assert reply[0] == 4
                assert len(reply) == 5
                assert isinstance(reply[1], str)
                assert len(reply[3]) <= 255

    @given(st.text() | st.binary())
    def test_any_text_or_bytes(self, frame: str | bytes) -> None:
        self.check(frame)

    @settings(max_examples=150)
    @given(JSON | CALLISH)
    def test_any_json(self, message: object) -> None:
        self.check(json.dumps(message))

    @pytest.mark.parametrize(
        "frame",
        [
            "[" * 100000,
            "[2," + "9" * 10000 + "]",
            '[2,"1","Heartbeat",' + '{"a":' * 2000 + "1" + "}" * 2000 + "]",
            '[2,"1","MeterValues",{"connectorId":1e999,"meterValue":[]}]',
            "[-9e99]",
            "[2e0]",
            "\x00",
            "\ud800",
        ],
        ids=range(8),
    )
    def test_extremes(self, frame: str) -> None:
        self.check(frame)


class TestClip:
    def test_foreign_text_cannot_forge_log_lines(self) -> None:
        assert "\n" not in clip("a\nERROR forged")
        assert len(clip("x" * 10_000)) < 100


class TestActions:
    def test_both_versions_know_theirs(self) -> None:
        assert {"StartTransaction", "SetChargingProfile"} <= actions(Version.V16)
        assert {"TransactionEvent", "SetVariables"} <= actions(Version.V201)


class TestPart4FramesOf21:
    """OCPP 2.1 part 4: CALLRESULTERROR and SEND."""

    def test_a_result_that_breaks_its_schema_is_answered_with_a_call_result_error(self) -> None:
        end = session(Version.V21)
        end.call("TriggerMessage", {"requestedMessage": "Heartbeat"})
        garbled = end.receive('[3,"1",{"status":"Perhaps"}]')
        assert isinstance(garbled, Garbled)
        assert garbled.reply is not None
        assert json.loads(garbled.reply)[:3] == [5, "1", "PropertyConstraintViolation"]

    @pytest.mark.parametrize("version", [Version.V16, Version.V201])
    def test_versions_before_have_no_such_frame(self, version: Version) -> None:
        end = session(version)
        end.call("TriggerMessage", {"requestedMessage": "Heartbeat"})
        garbled = end.receive('[3,"1",{"status":"Perhaps"}]')
        assert isinstance(garbled, Garbled)
        assert garbled.reply is None

    def test_a_send_is_received(self) -> None:
        stream = {"id": 1, "pending": 0, "basetime": "2024-01-01T00:00:00Z", "data": [{"t": 0, "v": "1"}]}
        told = session(Version.V21).receive(json.dumps([6, "a", "NotifyPeriodicEventStream", stream]))
        assert told == SendReceived(id="a", action="NotifyPeriodicEventStream", payload=stream)

    @pytest.mark.parametrize(
        "frame",
        [
            '[6,"a","NotifyPeriodicEventStream",{}]',
            '[6,"a","Heartbeat",{}]',
            "[6,1]",
            "[5]",
            '[5,"1","X","",{}]',
            "[6,",
        ],
    )
    def test_neither_is_ever_answered(self, frame: str) -> None:
        assert reply_to(Version.V21, frame) is None
