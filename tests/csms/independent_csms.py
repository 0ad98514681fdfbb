"""A back-end that shares no code with ours: the `ocpp` package's own engine, in a process of its own.

Says its port, then a JSON line for everything it hears; lines on its stdin, ``[action, payload]``, are called and the
answer is said.  ``python independent_csms.py PORT``: 0 takes a free one.
"""

# mypy: disable-error-code="untyped-decorator,misc"
from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from typing import Any

from ocpp.charge_point import camel_to_snake_case
from ocpp.routing import on
from ocpp.v16 import ChargePoint as Point16
from ocpp.v16 import call as call16
from ocpp.v16 import call_result as result16
from ocpp.v201 import ChargePoint as Point201
from ocpp.v201 import call as call201
from ocpp.v201 import call_result as result201
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

NUMBERS = iter(range(9001, 10_000))
POINTS: dict[str, Any] = {}


def say(*words: Any) -> None:
    sys.stdout.write(json.dumps(words, default=float) + "\n")
    sys.stdout.flush()


def now() -> str:
    return datetime.now(UTC).isoformat()


class Back16(Point16):
    @on("BootNotification")
    def on_boot(self, **payload: Any) -> Any:
        say("BootNotification", payload)
        return result16.BootNotification(current_time=now(), interval=77, status="Accepted")

    @on("Heartbeat")
    def on_heartbeat(self) -> Any:
        return result16.Heartbeat(current_time=now())

    @on("StatusNotification")
    def on_status(self, **payload: Any) -> Any:
        say("StatusNotification", payload)
        return result16.StatusNotification()

    @on("Authorize")
    def on_authorize(self, id_tag: str) -> Any:
        status = "Accepted" if id_tag == "GOOD" else "Blocked"
        return result16.Authorize(id_tag_info={"status": status})

    @on("StartTransaction")
    def on_start(self, **payload: Any) -> Any:
        number = next(NUMBERS)
        say("StartTransaction", payload, number)
        return result16.StartTransaction(transaction_id=number, id_tag_info={"status": "Accepted"})

    @on("MeterValues")
    def on_meter(self, **payload: Any) -> Any:
        say("MeterValues", payload)
        return result16.MeterValues()

    @on("StopTransaction")
    def on_stop(self, **payload: Any) -> Any:
        say("StopTransaction", payload)
        return result16.StopTransaction()


class Back201(Point201):
    @on("BootNotification")
    def on_boot(self, **payload: Any) -> Any:
        say("BootNotification", payload)
        return result201.BootNotification(current_time=now(), interval=77, status="Accepted")

    @on("StatusNotification")
    def on_status(self, **payload: Any) -> Any:
        return result201.StatusNotification()

    @on("Heartbeat")
    def on_heartbeat(self) -> Any:
        return result201.Heartbeat(current_time=now())

    @on("TransactionEvent")
    def on_event(self, **payload: Any) -> Any:
        say("TransactionEvent", payload)
        return result201.TransactionEvent()


async def serve_one(ws: ServerConnection) -> None:
    assert ws.request is not None
    name = ws.request.path.rpartition("/")[2]
    point = (Back16 if ws.subprotocol == "ocpp1.6" else Back201)(name, ws)
    POINTS[name] = point
    say("connected", name, ws.request.headers.get("Authorization"))
    try:
        await point.start()
    except Exception:  # noqa: BLE001 - its engine ends with whatever the connection ends with
        say("disconnected", name)


async def take_orders() -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        action, payload = json.loads(line)
        point = next(iter(POINTS.values()))
        module = call16 if isinstance(point, Back16) else call201
        answer = await point.call(getattr(module, action)(**camel_to_snake_case(payload)), suppress=False)
        say("answer", action, vars(answer))


async def main() -> None:
    protocols = [Subprotocol("ocpp1.6"), Subprotocol("ocpp2.0.1")]
    async with serve(serve_one, "127.0.0.1", int(sys.argv[1]), subprotocols=protocols, compression=None) as server:
        say("port", next(iter(server.sockets)).getsockname()[1])
        await take_orders()


if __name__ == "__main__":
    asyncio.run(main())
