"""The frames of OCPP-J: what they look like on the wire, what they mean, and how errors are named.

Source: OCPP-J 1.6 chapter 4, OCPP 2.0.1 and 2.1 part 4 chapter 4.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import NoReturn, TypeAlias

from smartcharge.csms.schemas import Payload, Version

MAX_DEPTH = 16
"""Default bound on the nesting of a frame; OCPP's own messages stay below 10."""


class MessageType(IntEnum):
    """The first element of a frame."""

    CALL = 2
    CALL_RESULT = 3
    CALL_ERROR = 4
    CALL_RESULT_ERROR = 5
    SEND = 6


class ErrorCode(Enum):
    """What a CALLERROR can say; `wire_code` spells it as each version does."""

    NOT_IMPLEMENTED = "NotImplemented"
    NOT_SUPPORTED = "NotSupported"
    INTERNAL = "InternalError"
    PROTOCOL = "ProtocolError"
    SECURITY = "SecurityError"
    FORMAT = "FormatViolation"
    PROPERTY = "PropertyConstraintViolation"
    OCCURRENCE = "OccurenceConstraintViolation"
    TYPE = "TypeConstraintViolation"
    GENERIC = "GenericError"
    FRAMEWORK = "RpcFrameworkError"
    MESSAGE_TYPE = "MessageTypeNotSupported"


_WIRE_16 = {
    ErrorCode.FORMAT: "FormationViolation",
    ErrorCode.FRAMEWORK: "FormationViolation",
    ErrorCode.MESSAGE_TYPE: "GenericError",
}


def wire_code(version: Version, code: ErrorCode) -> str:
    """Return an error code as a version spells it; codes that 1.6 lacks become their nearest kin."""
    return _WIRE_16.get(code, code.value) if version is Version.V16 else code.value


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReceived:
    """The peer asks; its payload fits the schema.  Owed: `Session.answer` or `Session.refuse`."""

    id: str
    action: str
    payload: Payload
    dropped: int = 0
    """Sampled values that broke the schema and are not in the payload any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendReceived:
    """The peer tells something that has no answer (2.1); its payload fits the schema."""

    id: str
    action: str
    payload: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultReceived:
    """The peer answered our call; its payload fits the schema."""

    id: str
    action: str
    payload: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReceived:
    """The peer refused our call with a CALLERROR."""

    id: str
    action: str
    code: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbled:
    """The answer to our call cannot be read: done or not, nobody knows.  Send ``reply`` if there is one."""

    id: str
    action: str
    reason: str
    reply: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed:
    """A frame with nothing to act on; send ``reply`` if the protocol has one for it."""

    reason: str
    reply: str | None


Received: TypeAlias = CallReceived | SendReceived | ResultReceived | ErrorReceived | Garbled | Malformed


@dataclass(frozen=True, slots=True, kw_only=True)
class Outstanding:
    """Our CALL that waits for its answer."""

    id: str
    action: str


class NotRpcError(ValueError):
    """A frame is not even the outline of an OCPP-J message."""


def clip(foreign: object, length: int = 80) -> str:
    """Return foreign text safe for a log line: quoted, control characters escaped, cut short."""
    quoted = ascii(foreign[: length + 1] if isinstance(foreign, str) else foreign)
    return quoted if len(quoted) <= length else quoted[:length] + "..."


def frame(*elements: object) -> str:
    """Return the elements of a message as text."""
    return json.dumps(elements, separators=(",", ":"), allow_nan=False)


def parse(frame: str) -> object:
    """Parse strictly: no NaN, no text that UTF-8 cannot carry, no nesting that exhausts the stack."""
    try:
        parsed: object = json.loads(frame, parse_constant=_refuse_constant)
        if "\\ud" in frame or "\\uD" in frame:  # a lone surrogate could be parsed, but never stored
            json.dumps(parsed, ensure_ascii=False).encode()
    except RecursionError:
        raise NotRpcError("nested too deeply") from None
    except ValueError as error:
        raise NotRpcError(f"not JSON: {error}") from None
    if _is_deep(parsed):
        raise NotRpcError("nested too deeply")
    return parsed


def _is_deep(parsed: object) -> bool:
    level = [parsed]
    for _ in range(MAX_DEPTH):
        level = [v for x in level if isinstance(x, dict | list) for v in (x.values() if isinstance(x, dict) else x)]
        if not level:
            return False
    return True


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
