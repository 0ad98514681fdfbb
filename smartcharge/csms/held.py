"""A station that the site file does not have, held for approval: told to wait, and nothing else is believed of it.

It is answered its BootNotification with Pending (OCPP 1.6 4.2, 2.0.1 B02) and refused everything else.
Once it stands in the site file it is served when it connects again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from websockets.exceptions import ConnectionClosed

from smartcharge.clock import now_s
from smartcharge.csms.frames import CallReceived, Malformed, clip
from smartcharge.csms.rpc import Session
from smartcharge.csms.schemas import Version, format_time
from smartcharge.events import StationHeld

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

    from smartcharge.csms.schemas import Payload
    from smartcharge.ports import Emit

logger = logging.getLogger(__name__)

HELD_S = 300.0
"""After so long it may come again."""
RETRY_S = 60
"""When it is told to ask again [s]."""
MAX_HELD = 16
"""More strangers than this at a time are turned away."""
MAX_CALLS = 100


async def hold(ws: ServerConnection, identity: str, address: str, emit: Emit) -> None:
    """Keep a stranger waiting for a while, and tell of it once it said what it is."""
    session = Session(Version(ws.subprotocol), handles=frozenset({"BootNotification"}))
    is_told = False
    try:
        async with asyncio.timeout(HELD_S):
            for _ in range(MAX_CALLS):
                match session.receive(await ws.recv()):
                    case CallReceived() as call:
                        if not is_told:
                            await emit(_held(call.payload, identity, address))
                            is_told = True
                        await ws.send(session.answer(call, _pending()))
                    case Malformed(reason=reason, reply=reply):
                        logger.debug("held %s: %s", clip(identity), clip(reason))
                        if reply is not None:
                            await ws.send(reply)
                    case _:
                        pass
    except (TimeoutError, ConnectionClosed):
        pass
    await ws.close(1008, "this station waits for approval")


def _pending() -> Payload:
    return {"currentTime": format_time(now_s()), "interval": RETRY_S, "status": "Pending"}


def _held(boot: Payload, identity: str, address: str) -> StationHeld:
    itself = boot.get("chargingStation", boot)
    return StationHeld(
        at_s=now_s(),
        identity=clip(identity),
        address=address,
        vendor=clip(itself.get("vendorName") or itself.get("chargePointVendor")),
        model=clip(itself.get("model") or itself.get("chargePointModel")),
    )
