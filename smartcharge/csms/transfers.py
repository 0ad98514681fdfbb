"""DataTransfer from stations: what vendors and working groups invented, each read by a handler of its own (block P).

======================================  =====================================================================
vendorId                                what is read
======================================  =====================================================================
``org.openchargealliance.iso15118pnc``  messages of 2.0.1 inside 1.6 (OCA application note "ISO 15118 Plug &
                                        Charge with OCPP 1.6"): Authorize, SignCertificate and so on
``org.openchargealliance.costmsg``      ConnectorUnplugged of 1.6 (OCA application note "California pricing
                                        requirements")
anything else                           handlers that are installed as entry points ``smartcharge.transfers``
======================================  =====================================================================
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from smartcharge.csms.schemas import Version, actions, check_call
from smartcharge.events import Event, Unplugged

if TYPE_CHECKING:
    from smartcharge.csms.dialect import Answer, Memory
    from smartcharge.csms.requests import Request
    from smartcharge.csms.schemas import Payload

PNC = "org.openchargealliance.iso15118pnc"
COST = "org.openchargealliance.costmsg"


class Letter(NamedTuple):
    """What a station transferred."""

    memory: Memory
    message_id: str | None
    data: Any
    """Text in 1.6, any JSON in 2.x; None if there is none."""
    at_s: float


class Reading(NamedTuple):
    """What a handler makes of it."""

    status: str = "Accepted"
    """DataTransferStatusEnumType."""
    data: str | None = None
    events: tuple[Event, ...] = ()
    follow_up: tuple[Request, ...] = ()


Handler: TypeAlias = Callable[[Letter], Awaitable[Reading]]
"""Reads what one vendorId sends; UnknownMessageId is the answer for what it does not know."""
UNKNOWN_MESSAGE = Reading(status="UnknownMessageId")


async def transferred(handlers: Mapping[str, Handler], memory: Memory, payload: Payload, at_s: float) -> Reading:
    """Return what a DataTransfer comes to."""
    handler = handlers.get(payload["vendorId"])
    if handler is None:
        return Reading(status="UnknownVendorId")
    return await handler(Letter(memory, payload.get("messageId"), payload.get("data"), at_s))


def plug_and_charge(translate: Callable[[str, Payload, float], Awaitable[Answer]]) -> Handler:
    """Return the handler of 2.0.1 messages inside 1.6; ``translate`` handles them as 2.0.1 does."""

    async def read(letter: Letter) -> Reading:
        action = letter.message_id
        if action not in {"Authorize", "Get15118EVCertificate", "GetCertificateStatus", "SignCertificate"}:
            return UNKNOWN_MESSAGE
        assert action in actions(Version.V201)
        try:
            inner = json.loads(letter.data or "")
        except (TypeError, ValueError):
            return Reading(status="Rejected")
        if check_call(Version.V201, action, inner) is not None:
            return Reading(status="Rejected")
        answer = await translate(action, inner, letter.at_s)
        return Reading(data=json.dumps(answer.reply), events=answer.events, follow_up=answer.follow_up)

    return read


async def cost_message(letter: Letter) -> Reading:
    """Read ConnectorUnplugged: the car of a transaction is gone."""
    if letter.message_id != "ConnectorUnplugged":
        return UNKNOWN_MESSAGE
    try:
        told = json.loads(letter.data or "")
        evse = letter.memory.evse_of(str(told["transactionId"]))
    except (TypeError, ValueError, KeyError):
        return Reading(status="Rejected")
    return Reading(events=() if evse is None else (Unplugged(at_s=letter.at_s, evse=evse),))
