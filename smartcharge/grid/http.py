"""Grid operators over HTTP: limits and heartbeats in, records of compliance out; a token for each.

``GET /openapi.json`` describes it.  The operator's API grows from here.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from secrets import compare_digest
from typing import Annotated, Literal

import uvicorn
from fastapi import APIRouter, FastAPI, Header, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from smartcharge.clock import now_s
from smartcharge.control.records import Key, Record
from smartcharge.grid.settings import HttpSettings
from smartcharge.model import CircuitId, Direction, Scope, Site
from smartcharge.ports import Emit, Snapshot
from smartcharge.words.base import Payload, PayloadError, Time, utc
from smartcharge.words.limits import GridFailsafe, GridHeartbeat, GridLimit, LimitAnswer, LpcLimit
from smartcharge.words.operators import Operators, OperatorWord

MOST_BYTES = 64 * 1024
"""Longest body that is read [bytes]."""

_log = logging.getLogger(__name__)

Token = Annotated[str | None, Header(alias="Authorization")]


class RecordSaid(Payload):
    """What became of a limit."""

    id: str | None
    circuit: str
    scope: Literal["site", "loads"]
    direction: Literal["import", "export"]
    power_w: float | None
    current_a: tuple[float, float, float] | None
    received_at: Time
    due_at: Time
    applied_at: Time | None
    measured_at: Time | None
    ended_at: Time | None
    over_wh: float
    unmet: str | None
    is_below_floor: bool


class HttpRoom:
    """A Source of limits and an Observer: an HTTP server."""

    name = "http"

    def __init__(self, site: Site, settings: HttpSettings, routers: Sequence[APIRouter] = ()) -> None:
        self._settings = settings
        self._tls = settings.tls_context()
        self._operators = Operators(site, ("http", "lpc"))
        self._circuits = {circuit.id for circuit in site.circuits}
        self._names = {source.id.partition(" ")[2]: source.id for source in site.grid}
        self._records: dict[Key, Record] = {}
        self._emit: Emit | None = None
        self._trouble: str | None = "not listening yet"
        self._listens = asyncio.Event()
        self.port = settings.port
        """Where it listens; known once it does if the settings say 0."""
        self.app = self._app(routers)
        """The ASGI application, for servers and tests."""

    @property
    def trouble(self) -> str | None:
        """Return why nobody can connect, or None while one can."""
        return self._trouble

    async def ready(self) -> int:
        """Return the port once it listens."""
        await self._listens.wait()
        return self.port

    def observe(self, snapshot: Snapshot) -> None:
        """Keep the records for whoever asks."""
        self._records = dict(snapshot.state.records)

    async def run(self, emit: Emit) -> None:
        """Serve until cancelled; raises OSError if the port cannot be had."""
        self._emit = emit
        family = socket.AF_INET6 if ":" in self._settings.host else socket.AF_INET
        with socket.create_server((self._settings.host, self._settings.port), family=family) as listener:
            self.port = listener.getsockname()[1]
            config = uvicorn.Config(self.app, log_config=None, lifespan="off", ws="none", access_log=False)
            config.load()
            config.ssl = self._tls
            self._trouble = None
            self._listens.set()
            _log.info("http: listening on %s:%s", self._settings.host, self.port)
            server = QuietServer(config)
            serving = asyncio.create_task(server.serve(sockets=[listener]), name="http server")
            try:
                await asyncio.shield(serving)
            finally:
                # Cancelled, it would leave the socket with the loop, and the next start would hear nothing.
                server.should_exit = server.force_exit = True
                await serving
                self._trouble = "not listening"

    def _app(self, routers: Sequence[APIRouter]) -> FastAPI:
        app = FastAPI(title="smartcharge", docs_url=None, redoc_url=None)
        router = APIRouter(prefix="/grid/{operator}")
        router.add_api_route("/heartbeat", self._heartbeat, methods=["PUT"], status_code=204)
        router.add_api_route("/failsafe", self._failsafe, methods=["PUT"], status_code=204)
        router.add_api_route("/limits/{circuit}", self._limit, methods=["PUT"])
        router.add_api_route("/lpc", self._lpc, methods=["PUT"])
        router.add_api_route("/limits", self._limits, methods=["GET"])
        for each in (router, *routers):
            app.include_router(each)
        app.add_exception_handler(RequestValidationError, _refused)
        app.add_exception_handler(PayloadError, _refused)
        app.middleware("http")(_bounded)
        return app

    async def _heartbeat(self, operator: str, word: GridHeartbeat, token: Token = None) -> None:
        """Say that the operator is there."""
        await self._say("grid heartbeat", operator, word, token)

    async def _failsafe(self, operator: str, word: GridFailsafe, token: Token = None) -> None:
        """Say what holds while the operator is not heard."""
        await self._say("grid failsafe", operator, word, token)

    async def _lpc(self, operator: str, word: LpcLimit, token: Token = None) -> LimitAnswer:
        """Set or lift the consumption limit of EEBUS LPC."""
        await self._say("lpc limit", operator, word, token)
        return self._received(operator, word.id)

    async def _limit(self, operator: str, circuit: str, word: GridLimit, token: Token = None) -> LimitAnswer:
        """Set or lift the limit on a circuit."""
        self._admit("limit", operator, token)
        if circuit not in self._circuits:
            raise HTTPException(404, f"no circuit {circuit!r} is in the site file")
        fact = self._operators.limit(operator, CircuitId(circuit), word, now_s(), is_stored=False)
        assert self._emit is not None
        await self._emit(fact)
        return self._received(operator, word.id)

    async def _limits(self, operator: str, token: Token = None) -> list[RecordSaid]:
        """Return what became of this operator's limits, the newest last."""
        self._admit("grid heartbeat", operator, token)
        source = self._names[operator]
        return [_said(record) for record in self._records.values() if record.limit.source == source]

    async def _say(self, kind: str, operator: str, word: OperatorWord, token: str | None) -> None:
        self._admit(kind, operator, token)
        assert self._emit is not None
        for fact in self._operators.events(operator, word, now_s(), is_stored=False):
            await self._emit(fact)

    def _admit(self, kind: str, operator: str, token: str | None) -> None:
        """Raise 401 unless the token is the operator's; who has none does not learn who there is."""
        expected = self._settings.tokens.get(operator)
        given = (token or "").removeprefix("Bearer ").encode()
        if expected is None or not compare_digest(given, expected.encode()):
            raise HTTPException(401, "the token is not this operator's", {"WWW-Authenticate": "Bearer"})
        self._operators.check(kind, operator)

    def _received(self, operator: str, limit_id: str | None) -> LimitAnswer:
        answer = self._operators.received(operator, limit_id, now_s())
        assert answer is not None, "it was admitted"
        return answer


class QuietServer(uvicorn.Server):
    """A server that leaves signals to the program it runs in."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to whoever runs the process."""
        yield


async def _refused(_request: Request, error: Exception) -> Response:
    """Say what is wrong, field by field; nothing has changed because of it."""
    match error:
        case RequestValidationError():
            faults = [
                (".".join(map(str, e["loc"][1:])), str(e["msg"]).removeprefix("Value error, ")) for e in error.errors()
            ]
        case PayloadError():
            faults = list(error.faults)
        case _:
            raise error
    _log.warning("http: refused: %s", "; ".join(f"{field}: {reason}" for field, reason in faults))
    return JSONResponse({"faults": [{"field": f, "reason": r} for f, r in faults]}, status_code=422)


async def _bounded(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuse a body that is too long, or that does not say how long it is."""
    length = request.headers.get("content-length", "0")
    if "transfer-encoding" in request.headers or not length.isdigit() or int(length) > MOST_BYTES:
        # Its body is not read, so nothing more can come over this connection.
        faults = [{"field": "", "reason": f"is longer than {MOST_BYTES} bytes"}]
        return JSONResponse({"faults": faults}, 413, headers={"Connection": "close"})
    return await answer(request)


def _said(record: Record) -> RecordSaid:
    limit = record.limit

    def time(at_s: float | None) -> Time | None:
        return None if at_s is None else utc(at_s)

    return RecordSaid(
        id=limit.version or None,
        circuit=limit.circuit,
        scope="loads" if limit.scope is Scope.LOADS else "site",
        direction="export" if limit.direction is Direction.EXPORT else "import",
        power_w=limit.power_w,
        current_a=None if limit.current_a is None else (*limit.current_a,),
        received_at=utc(limit.received_at_s),
        due_at=utc(record.due_s),
        applied_at=time(record.applied_s),
        measured_at=time(record.measured_s),
        ended_at=time(record.ended_s),
        over_wh=round(record.over_wh, 1),
        unmet=record.unmet,
        is_below_floor=record.is_below_floor,
    )
