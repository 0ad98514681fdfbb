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
from importlib import import_module
from typing import Any

from ocpp.charge_point import camel_to_snake_case
from ocpp.routing import on
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

NUMBERS = iter(range(9001, 10_000))
POINTS: dict[str, Any] = {}


def say(*words: Any) -> None:
    sys.stdout.write(json.dumps(words, default=float) + "\n")
    sys.stdout.flush()


def now() -> str:
    return datetime.now(UTC).isoformat()


def _back_16(point: Any, result: Any) -> Any:
    class Back16(point):
        @on("BootNotification")
        def on_boot(self, **payload: Any) -> Any:
            say("BootNotification", payload)
            return result.BootNotification(current_time=now(), interval=77, status="Accepted")

        @on("Heartbeat")
        def on_heartbeat(self) -> Any:
            return result.Heartbeat(current_time=now())

        @on("StatusNotification")
        def on_status(self, **payload: Any) -> Any:
            say("StatusNotification", payload)
            return result.StatusNotification()

        @on("Authorize")
        def on_authorize(self, id_tag: str) -> Any:
            status = "Accepted" if id_tag == "GOOD" else "Blocked"
            return result.Authorize(id_tag_info={"status": status})

        @on("StartTransaction")
        def on_start(self, **payload: Any) -> Any:
            number = next(NUMBERS)
            say("StartTransaction", payload, number)
            return result.StartTransaction(transaction_id=number, id_tag_info={"status": "Accepted"})

        @on("MeterValues")
        def on_meter(self, **payload: Any) -> Any:
            say("MeterValues", payload)
            return result.MeterValues()

        @on("StopTransaction")
        def on_stop(self, **payload: Any) -> Any:
            say("StopTransaction", payload)
            return result.StopTransaction()

    return Back16


def _back_2(point: Any, result: Any) -> Any:
    """A back-end of 2.0.1 or 2.1: they differ in their types only."""

    class Back2(point):
        @on("BootNotification")
        def on_boot(self, **payload: Any) -> Any:
            say("BootNotification", payload)
            return result.BootNotification(current_time=now(), interval=77, status="Accepted")

        @on("StatusNotification")
        def on_status(self, **payload: Any) -> Any:
            say("StatusNotification", payload)
            return result.StatusNotification()

        @on("Heartbeat")
        def on_heartbeat(self) -> Any:
            return result.Heartbeat(current_time=now())

        @on("Authorize")
        def on_authorize(self, id_token: Any, **_: Any) -> Any:
            return result.Authorize(id_token_info=self._info(id_token))

        @on("TransactionEvent")
        def on_event(self, **payload: Any) -> Any:
            say("TransactionEvent", payload)
            token = payload.get("id_token")
            return result.TransactionEvent(id_token_info=None if token is None else self._info(token))

        @on("MeterValues")
        def on_meter(self, **payload: Any) -> Any:
            say("MeterValues", payload)
            return result.MeterValues()

        @on("ReportChargingProfiles")
        def on_report(self, **payload: Any) -> Any:
            say("ReportChargingProfiles", payload)
            return result.ReportChargingProfiles()

        @on("DataTransfer")
        def on_transfer(self, **payload: Any) -> Any:
            say("DataTransfer", payload)
            return result.DataTransfer(status="Accepted", data="theirs")

        @staticmethod
        def _info(token: Any) -> dict[str, Any]:
            return {"status": "Accepted" if token["id_token"] == "GOOD" else "Blocked"}

    return Back2


def _back_21(point: Any, result: Any) -> Any:
    class Back21(_back_2(point, result)):
        @on("PullDynamicScheduleUpdate")
        def on_pull(self, charging_profile_id: int) -> Any:
            say("PullDynamicScheduleUpdate", charging_profile_id)
            return result.PullDynamicScheduleUpdate(status="Accepted", schedule_update={"limit": 7.0})

    return Back21


BACKS = {"ocpp1.6": ("ocpp.v16", _back_16), "ocpp2.0.1": ("ocpp.v201", _back_2), "ocpp2.1": ("ocpp.v21", _back_21)}


async def serve_one(ws: ServerConnection) -> None:
    assert ws.request is not None
    name = ws.request.path.rpartition("/")[2]
    assert ws.subprotocol is not None
    name_of, back = BACKS[ws.subprotocol]
    module = import_module(name_of)  # each takes a while: only the one that is spoken
    point = back(module.ChargePoint, module.call_result)(name, ws)
    POINTS[name] = (point, module.call)
    say("connected", name, ws.request.headers.get("Authorization"))
    try:
        await point.start()
    except Exception:  # noqa: BLE001 - its engine ends with whatever the connection ends with
        say("disconnected", name)


async def take_orders() -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        action, payload = json.loads(line)
        point, calls = next(iter(POINTS.values()))
        answer = await point.call(getattr(calls, action)(**camel_to_snake_case(payload)), suppress=False)
        say("answer", action, vars(answer))


async def main() -> None:
    protocols = [Subprotocol(name) for name in BACKS]
    async with serve(serve_one, "127.0.0.1", int(sys.argv[1]), subprotocols=protocols, compression=None) as server:
        say("port", next(iter(server.sockets)).getsockname()[1])
        await take_orders()


if __name__ == "__main__":
    asyncio.run(main())
