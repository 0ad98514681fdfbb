"""A small OpenADR 3 server (VTN) that can misbehave in all the ways that real ones were seen to."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from smartcharge.clock import now_s
from smartcharge.grid.http import QuietServer
from smartcharge.mqtt.broker import embedded_broker


@dataclass(kw_only=True)
class Vtn:
    """What the server has, and how it behaves."""

    version: str = "3.1.0"
    programs: list[dict[str, Any]] = field(default_factory=lambda: [{"id": "p1", "programName": "limits"}])
    events: list[dict[str, Any]] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """Method, path and query of every request."""
    says_token_life: bool = True
    token_life_s: float = 3600.0
    knows_pages: bool = True
    broken: int | None = None
    """Answer everything but tokens with this status."""
    garbage: bytes | None = None
    """Answer lists with this."""
    hangs: bool = False
    clock_off_s: float = 0.0
    subscriptions: dict[str, dict[str, Any]] = field(default_factory=dict)
    takes_subscriptions: bool = True
    subscribed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once somebody wants to be notified."""
    port: int = 0
    has_broker: bool = False
    """Whether it notifies over MQTT."""
    topics: dict[str, str] = field(default_factory=lambda: {"ALL": "oadr/events/+"})
    broker_method: str = "ANONYMOUS"
    broker_scheme: str | None = None
    """What it says of its broker, if not where it is."""
    broker_port: int = 0
    _broker: AsyncExitStack = field(default_factory=AsyncExitStack)
    _tokens: dict[str, float] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/vtn"

    def revoke(self) -> None:
        """Take back every token before its time."""
        self._tokens.clear()

    async def token(self, request: Request) -> Response:
        form = dict(pair.split("=", 1) for pair in (await request.body()).decode().split("&"))
        if form != {"grant_type": "client_credentials", "client_id": "yard", "client_secret": "s3cret"}:
            return JSONResponse({"error": "invalid_client"}, 401)
        token = f"t{len(self.asked)}"
        self._tokens[token] = now_s() + self.token_life_s
        life = {"expires_in": self.token_life_s} if self.says_token_life else {}
        return JSONResponse({"access_token": token, "token_type": "Bearer", **life})

    async def server(self, _request: Request) -> Response:
        return JSONResponse({"tokenURL": f"{self.url}/elsewhere/token"})

    async def list(self, request: Request) -> Response:
        if (wrong := await self._wrong(request)) is not None:
            return wrong
        entries = {
            "programs": self.programs,
            "events": self.events,
            "subscriptions": [{"id": name, **body} for name, body in self.subscriptions.items()],
        }[request.url.path.rpartition("/")[2]]
        skip, limit = int(request.query_params["skip"]), int(request.query_params["limit"])
        return JSONResponse(entries[skip : skip + limit] if self.knows_pages else entries)

    async def restart_broker(self) -> None:
        """Start its MQTT broker, on another port than before."""
        await self._broker.aclose()
        self.broker_port = await self._broker.enter_async_context(embedded_broker())

    async def notifiers(self, request: Request) -> Response:
        if (wrong := await self._wrong(request)) is not None:
            return wrong
        uri = self.broker_scheme or f"mqtt://127.0.0.1:{self.broker_port}"
        binding = {"URIS": [uri], "serialization": "JSON", "authentication": {"method": self.broker_method}}
        return JSONResponse({"WEBHOOK": True} | ({"MQTT": binding} if self.has_broker else {}))

    async def mqtt_topics(self, request: Request) -> Response:
        if (wrong := await self._wrong(request)) is not None:
            return wrong
        return JSONResponse({"topics": self.topics})

    async def report(self, request: Request) -> Response:
        if (wrong := await self._wrong(request)) is not None:
            return wrong
        self.reports.append(await request.json())
        return JSONResponse({}, 201)

    async def subscribe(self, request: Request) -> Response:
        if (wrong := await self._wrong(request)) is not None:
            return wrong
        if not self.takes_subscriptions:
            return Response(status_code=501)
        body = await request.json()
        async with httpx.AsyncClient(timeout=10.0) as http:
            answer = await http.get(body["objectOperations"][0]["callbackUrl"], params={"echo": "hello"})
        assert answer.text == "hello"
        self.subscriptions[f"s{len(self.asked)}"] = body
        self.subscribed.set()
        return JSONResponse({}, 201)

    async def unsubscribe(self, name: str, request: Request) -> Response:
        if (wrong := await self._wrong(request)) is not None:
            return wrong
        return JSONResponse(self.subscriptions.pop(name))

    async def notify(self, token: str | None = None) -> int:
        """Tell the subscriber of a change, as one real server does: JSON in a JSON string, in snake case."""
        (body,) = self.subscriptions.values()
        wanted = body["objectOperations"][0]
        headers = {"Authorization": f"Bearer {token or wanted['bearerToken']}"}
        async with httpx.AsyncClient(timeout=10.0) as http:
            said = json.dumps(json.dumps({"object_type": "EVENT", "operation": "CREATE", "object": {}}))
            return (await http.post(wanted["callbackUrl"], content=said, headers=headers)).status_code

    async def _wrong(self, request: Request) -> Response | None:
        if self.hangs:
            await asyncio.sleep(3600.0)
        if self.broken is not None:
            return Response(status_code=self.broken)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self._tokens.get(token, 0.0) < now_s():
            return Response(status_code=401)
        return None if self.garbage is None else Response(self.garbage)

    def app(self) -> FastAPI:
        app = FastAPI()
        if self.version == "3.1.0":
            app.add_api_route("/vtn/auth/server", self.server, methods=["GET"])
            app.add_api_route("/vtn/elsewhere/token", self.token, methods=["POST"])
        else:
            app.add_api_route("/vtn/auth/token", self.token, methods=["POST"])
        for path in ("programs", "events", "subscriptions"):
            app.add_api_route(f"/vtn/{path}", self.list, methods=["GET"])
        app.add_api_route("/vtn/notifiers", self.notifiers, methods=["GET"])
        app.add_api_route("/vtn/notifiers/mqtt/topics/events", self.mqtt_topics, methods=["GET"])
        app.add_api_route("/vtn/subscriptions", self.subscribe, methods=["POST"])
        app.add_api_route("/vtn/subscriptions/{name}", self.unsubscribe, methods=["DELETE"])
        app.add_api_route("/vtn/reports", self.report, methods=["POST"])

        @app.middleware("http")
        async def note(request: Request, answer: Any) -> Any:
            self.asked.append(f"{request.method} {request.url.path}?{request.url.query}")
            response = await answer(request)
            response.headers["Date"] = formatdate(now_s() + self.clock_off_s, usegmt=True)
            return response

        return app


@asynccontextmanager
async def serving(vtn: Vtn) -> AsyncIterator[Vtn]:
    """Serve on a free port, or on the one it had before."""
    with socket.create_server(("127.0.0.1", vtn.port)) as listener:
        vtn.port = listener.getsockname()[1]
        config = uvicorn.Config(
            vtn.app(), log_config=None, lifespan="off", date_header=False, timeout_graceful_shutdown=1
        )
        server = QuietServer(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        if vtn.has_broker:
            await vtn.restart_broker()
        try:
            yield vtn
        finally:
            await vtn._broker.aclose()
            # Cancelled, it would leave its socket with the loop, and the next of that number would hear nothing.
            server.should_exit = server.force_exit = True
            await task
