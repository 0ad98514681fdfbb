"""OCPP-J remote procedure calls as a state machine without I/O, for either end of a connection.

A `Session` turns frames into what they mean and calls into frames; whoever owns the WebSocket moves
the frames and keeps the time::

    session = Session(Version.V16, handles=frozenset({"Heartbeat"}))
    match session.receive(frame):
        case CallReceived() as call:                 # a valid CALL: answer or refuse it
            send(session.answer(call, {"currentTime": ...}))
        case ResultReceived() | ErrorReceived() | Garbled():
            ...                                      # the answer to our one outstanding CALL
        case Malformed(reply=reply):                 # nothing to act on
            if reply is not None:
                send(reply)
    send(session.call("TriggerMessage", {...}))      # then wait; session.give_up() on a timeout

Nothing that a peer sends makes `receive` raise.  What is answered, by version:

====================================  =======================  ============================
frame                                 1.6                      2.0.1 and 2.1
====================================  =======================  ============================
no JSON, no CALL at all, too large    FormationViolation       RpcFrameworkError
unknown message type                  none (1.6J 4.1.3)        MessageTypeNotSupported
unknown action                        NotImplemented           NotImplemented
known action that we do not handle    NotSupported             NotSupported
id used before by another CALL        ProtocolError            RpcFrameworkError
payload breaks its schema             by the rule it breaks    by the rule it breaks
====================================  =======================  ============================

A CALL repeated word for word under the same id is a retry: it is given the same answer again.
An answer whose id cannot be read carries ``"-1"``.  Broken CALLRESULT and CALLERROR frames have no
answer in 1.6 and 2.0.1; 2.1 answers a CALLRESULT that breaks its schema with a CALLRESULTERROR.  A SEND
(2.1) never has an answer.  Source: OCPP-J 1.6 chapter 4, OCPP 2.0.1 and 2.1 part 4 chapter 4.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from smartcharge.csms.frames import (
    CallReceived,
    ErrorCode,
    ErrorReceived,
    Garbled,
    Malformed,
    MessageType,
    NotRpcError,
    Outstanding,
    Received,
    ResultReceived,
    SendReceived,
    clip,
    parse,
    wire_code,
)
from smartcharge.csms.frames import frame as frame_of
from smartcharge.csms.lenient import METERING, relieve
from smartcharge.csms.schemas import (
    Payload,
    Version,
    Violation,
    actions,
    check_call,
    check_result,
    check_send,
    sends,
)

MAX_FRAME = 64 * 1024
"""Default bound on a frame [characters]; a 2.0.1 NotifyReport of a large station stays below it."""


_NO_ID = "-1"
_MAX_ID = 255
_REMEMBERED_CALLS = 64
_CALL_HEAD = re.compile(r'\s*\[\s*2\s*,\s*"([^"\\\x00-\x1f]{1,255})"')
_ANSWER_HEAD = re.compile(r"\s*\[\s*[34]\s*[,\]]")
_UNANSWERED_HEAD_21 = re.compile(r"\s*\[\s*[3456]\s*[,\]]")


@dataclass(slots=True)
class _Seen:
    """A CALL that came in: its frame's hash, to tell a retry from a reused id, and our answer to it."""

    frame_hash: int
    reply: str | None = None


class Session:
    """One end of an OCPP-J connection; a new connection needs a new session.

    Args:
        version: The negotiated subprotocol.
        handles: The actions that this end answers; any other known action is NotSupported.
        max_frame: The largest frame [characters] that is read; a larger one is refused, not fatal.
    """

    def __init__(self, version: Version, *, handles: frozenset[str], max_frame: int = MAX_FRAME) -> None:
        self.version = version
        self._handles = handles
        self._max_frame = max_frame
        self._outstanding: Outstanding | None = None
        self._calls_made = 0
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    @property
    def outstanding(self) -> Outstanding | None:
        """Return our CALL that waits for its answer, or None if the next may be made."""
        return self._outstanding

    def call(self, action: str, payload: Payload) -> str:
        """Return the frame of a new CALL, which is outstanding from now on.

        Raises:
            RuntimeError: Another one is outstanding: OCPP-J allows one at a time.
        """
        if self._outstanding is not None:
            raise RuntimeError(f"{self._outstanding.action} is still outstanding")
        self._calls_made += 1
        self._outstanding = Outstanding(id=str(self._calls_made), action=action)
        return frame_of(MessageType.CALL, self._outstanding.id, action, payload)

    def send(self, action: str, payload: Payload) -> str:
        """Return the frame of a SEND (2.1), which has no answer."""
        self._calls_made += 1
        return frame_of(MessageType.SEND, str(self._calls_made), action, payload)

    def give_up(self) -> None:
        """Stop waiting for the outstanding CALL; its answer, should it still come, is Malformed."""
        self._outstanding = None

    def answer(self, call: CallReceived, payload: Payload) -> str:
        """Return the CALLRESULT frame for a call."""
        return self._remember(call.id, frame_of(MessageType.CALL_RESULT, call.id, payload))

    def refuse(self, call: CallReceived, code: ErrorCode, description: str) -> str:
        """Return the CALLERROR frame for a call; after an internal error a retry is handled afresh."""
        reply = self._error(call.id, code, description)
        if code is ErrorCode.INTERNAL:
            self._seen.pop(call.id, None)
        return self._remember(call.id, reply)

    def receive(self, frame: str | bytes) -> Received:
        """Return what a frame means; never raises, whatever the peer sends."""
        if isinstance(frame, bytes):
            return self._malformed("binary frame", _NO_ID, ErrorCode.FRAMEWORK)
        try:
            return self._read(frame)
        except NotRpcError as error:
            return self._not_rpc(frame, str(error))

    def _read(self, frame: str) -> Received:
        if len(frame) > self._max_frame:
            raise NotRpcError(f"frame of {len(frame)} characters, at most {self._max_frame} are read")
        match parse(frame):
            case [2, str(id_), str(action), payload] if 0 < len(id_) <= _MAX_ID:
                return self._read_call(frame, id_, action, payload)
            case [3, str(id_), payload]:
                return self._read_result(id_, payload)
            case [4, str(id_), code, *rest]:
                return self._read_error(id_, code, rest)
            case [5 | 6, *_] as message if self.version is Version.V21:
                return self._read_unanswered(message)
            case [2 | 3 | 4, *_]:
                raise NotRpcError("elements missing, too many or of a wrong type")
            case [int(type_), *rest]:
                return self._read_unknown_type(type_, rest)
            case _:
                raise NotRpcError("not a list that begins with a message type")

    def _read_call(self, frame: str, id_: str, action: str, payload: object) -> Received:
        if (seen := self._seen.get(id_)) is not None:
            return self._repeated(frame, id_, seen)
        self._seen[id_] = _Seen(hash(frame))
        if len(self._seen) > _REMEMBERED_CALLS:
            self._seen.popitem(last=False)
        if (fault := self._fault(action, payload)) is not None:
            saved = self._relieved(id_, action, payload)
            if saved is not None:
                return saved
            code, reason = fault
            return Malformed(reason=reason, reply=self._remember(id_, self._error(id_, code, reason)))
        assert isinstance(payload, dict)
        return CallReceived(id=id_, action=action, payload=payload)

    def _relieved(self, id_: str, action: str, payload: object) -> CallReceived | None:
        """Return a metering call without the values that break its schema, or None if it is not to be saved."""
        if action not in METERING or action not in self._handles or not isinstance(payload, dict):
            return None
        left = relieve(self.version, action, payload)
        if left is None or isinstance(left, Violation):
            return None
        return CallReceived(id=id_, action=action, payload=left.payload, dropped=left.dropped)

    def _repeated(self, frame: str, id_: str, seen: _Seen) -> Received:
        if seen.frame_hash == hash(frame):
            return Malformed(reason="CALL repeated under its id", reply=seen.reply)
        code = ErrorCode.PROTOCOL if self.version is Version.V16 else ErrorCode.FRAMEWORK
        return self._malformed("message id was used before by another CALL", id_, code)

    def _fault(self, action: str, payload: object) -> tuple[ErrorCode, str] | None:
        """Return why a CALL cannot be handled, as a code and in words, or None if it can."""
        if action in sends(self.version):
            return ErrorCode.PROTOCOL, f"{action} is a SEND, not a CALL"
        if action not in actions(self.version):
            return ErrorCode.NOT_IMPLEMENTED, f"unknown action {clip(action)}"
        if action not in self._handles:
            return ErrorCode.NOT_SUPPORTED, f"{action} is not supported here"
        if not isinstance(payload, dict):
            return ErrorCode.FORMAT, f"payload of {action} is no object"
        if (violation := check_call(self.version, action, payload)) is not None:
            return _code(violation), f"{action}: {violation.message}"
        return None

    def _read_unanswered(self, message: Sequence[object]) -> Received:
        """Read what 2.1 has no answer for: CALLRESULTERROR and SEND."""
        match message:
            case [5, str(id_), code, *_]:
                return Malformed(reason=f"CALLRESULTERROR {clip(code)} to our answer {clip(id_)}", reply=None)
            case [6, str(id_), str(action), payload]:
                return self._read_send(id_, action, payload)
            case _:
                return Malformed(reason="elements missing, too many or of a wrong type", reply=None)

    def _read_send(self, id_: str, action: str, payload: object) -> Received:
        if action not in sends(self.version) or not isinstance(payload, dict):
            return Malformed(reason=f"SEND of {clip(action)} cannot be read", reply=None)
        if (violation := check_send(self.version, action, payload)) is not None:
            return Malformed(reason=f"SEND of {action}: {violation.message}", reply=None)
        return SendReceived(id=id_, action=action, payload=payload)

    def _read_result(self, id_: str, payload: object) -> Received:
        call = self._take_outstanding(id_)
        if call is None:
            return Malformed(reason="CALLRESULT for no outstanding CALL", reply=None)
        violation = check_result(self.version, call.action, payload)
        if violation is not None or not isinstance(payload, dict):
            reason = violation.message if violation else "payload is no object"
            code = _code(violation) if violation else ErrorCode.FORMAT
            return Garbled(id=id_, action=call.action, reason=reason, reply=self._result_error(id_, code, reason))
        return ResultReceived(id=id_, action=call.action, payload=payload)

    def _read_error(self, id_: str, code: object, rest: list[object]) -> Received:
        call = self._take_outstanding(id_)
        if call is None:
            return Malformed(reason=f"CALLERROR {clip(code)} for no outstanding CALL", reply=None)
        if not isinstance(code, str):
            return Garbled(id=id_, action=call.action, reason="CALLERROR without a code")
        description = rest[0] if rest and isinstance(rest[0], str) else ""
        return ErrorReceived(id=id_, action=call.action, code=code[:50], description=description[:255])

    def _read_unknown_type(self, type_: int, rest: list[object]) -> Received:
        reason = f"unknown message type {clip(type_)}"
        if self.version is Version.V16:
            return Malformed(reason=reason, reply=None)
        id_ = rest[0] if rest and isinstance(rest[0], str) and 0 < len(rest[0]) <= _MAX_ID else _NO_ID
        return self._malformed(reason, id_, ErrorCode.MESSAGE_TYPE)

    def _not_rpc(self, frame: str, reason: str) -> Received:
        """Answer a frame that is no RPC at all, with its id if that much can be read."""
        if (_UNANSWERED_HEAD_21 if self.version is Version.V21 else _ANSWER_HEAD).match(frame):
            return Malformed(reason=reason, reply=None)
        head = _CALL_HEAD.match(frame)
        return self._malformed(reason, head[1] if head else _NO_ID, ErrorCode.FRAMEWORK)

    def _take_outstanding(self, id_: str) -> Outstanding | None:
        if self._outstanding is None or self._outstanding.id != id_:
            return None
        call, self._outstanding = self._outstanding, None
        return call

    def _malformed(self, reason: str, id_: str, code: ErrorCode) -> Malformed:
        return Malformed(reason=reason, reply=self._error(id_, code, reason))

    def _error(self, id_: str, code: ErrorCode, description: str) -> str:
        return frame_of(MessageType.CALL_ERROR, id_, wire_code(self.version, code), description[:255], {})

    def _result_error(self, id_: str, code: ErrorCode, description: str) -> str | None:
        if self.version is not Version.V21:
            return None
        return frame_of(MessageType.CALL_RESULT_ERROR, id_, code.value, description[:255], {})

    def _remember(self, id_: str, reply: str) -> str:
        """Keep the first answer to each call, to give it again to a retry."""
        seen = self._seen.get(id_)
        if seen is not None and seen.reply is None:
            seen.reply = reply
        return reply


_RULE_CODES = {
    "type": ErrorCode.TYPE,
    "required": ErrorCode.OCCURRENCE,
    "minItems": ErrorCode.OCCURRENCE,
    "maxItems": ErrorCode.OCCURRENCE,
    "additionalProperties": ErrorCode.FORMAT,
    "additionalItems": ErrorCode.FORMAT,
}


def _code(violation: Violation) -> ErrorCode:
    return _RULE_CODES.get(violation.rule, ErrorCode.PROPERTY)
