"""The OCPP server: 1.6J, 2.0.1 and 2.1 on one port, chosen by the WebSocket subprotocol.

Who is admitted is judged in `admission`; an id whose other connection is alive is refused with 409.
A connection that went dead gives way to a new one of the same station once it leaves a ping unanswered.

OCPP-J 1.6 (3.2) would rather complete the handshake and close at once when no subprotocol fits; the
HTTP answer says why, which such a close cannot.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from websockets.asyncio.server import serve
from websockets.typing import Subprotocol

from smartcharge.clock import now_s
from smartcharge.csms.admission import Admission, Handshake
from smartcharge.csms.authority import Authority, TokenPolicy
from smartcharge.csms.device_model import DeviceModel
from smartcharge.csms.dialect import Dialect, Make, Memory
from smartcharge.csms.frames import clip
from smartcharge.csms.held import MAX_HELD, hold
from smartcharge.csms.rpc import MAX_FRAME
from smartcharge.csms.schemas import Version, actions
from smartcharge.csms.signing import Signer
from smartcharge.csms.station import Link
from smartcharge.csms.strategy import Forms
from smartcharge.csms.transfers import Handler
from smartcharge.csms.upstream import Backend, Upstream, recall
from smartcharge.csms.v16 import STATION_FAULTS, Dialect16
from smartcharge.csms.v21 import Dialect21
from smartcharge.csms.v201 import Dialect201
from smartcharge.errors import Unreachable
from smartcharge.events import SecurityReported, Unanswered
from smartcharge.model import Control, Site, StationId

if TYPE_CHECKING:
    import ssl

    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request as HttpRequest
    from websockets.http11 import Response

    from smartcharge.control.state import State
    from smartcharge.csms.requests import Request
    from smartcharge.csms.schemas import Payload
    from smartcharge.events import Commanded, Event
    from smartcharge.ports import Emit, Ledger, Outbox

logger = logging.getLogger(__name__)

_PREFERRED = (Version.V21, Version.V201, Version.V16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What of the server rarely differs from site to site."""

    ssl: ssl.SSLContext | None = None
    """For wss:// (OCPP security profiles 2 and 3)."""
    security_profile: int = 0
    """3 wants a client certificate that names the station; below, one that has a secret must know its password."""
    holds_unknown: bool = False
    """Whether strangers wait for approval instead of being refused."""
    ping_interval_s: float | None = 20.0
    """WebSocket pings find dead connections; None sends none, as in simulated time, which jumps."""
    max_frame: int = MAX_FRAME
    """Largest message that is read [characters]; a larger one is answered with an error."""
    max_transport: int = 1 << 20
    """Largest message that is received at all [bytes]; a larger one ends the connection (1009)."""
    max_queue: int = 16
    """Messages of one station that wait to be handled; then its connection is not read."""
    backends: Mapping[StationId, Backend] = field(default_factory=dict)
    """The operator's back-end of each station that has one."""
    tokens: TokenPolicy = field(default_factory=TokenPolicy)
    """Who may charge."""
    signer: Signer | None = None
    """Signs the certificates that stations ask for; None refuses."""
    transfers: Mapping[str, Handler] = field(default_factory=dict)
    """What reads the DataTransfer of vendors, by vendorId."""
    outbox: Outbox | None = None
    """Where messages wait for back-ends; without one, none is spoken to."""
    handshake_s: float = 10.0
    """How long a connection may take to be opened."""


class Csms:
    """A charging station management system for the OCPP stations of one site."""

    def __init__(
        self,
        site: Site,
        ledger: Ledger,
        host: str = "127.0.0.1",
        port: int = 0,
        options: Options | None = None,
    ) -> None:
        self.port = port
        """The port; 0 takes a free one, which stands here once the server is ready."""
        self._host = host
        self._options = options or Options()
        self._ledger = ledger
        self._stations = {s.id: s for s in site.stations if s.control is Control.OCPP}
        self._station_of = {evse.id: s.id for s in self._stations.values() for evse in s.evses}
        library: dict[Make, Forms] = {}
        self._authority = Authority(self._options.tokens)
        self._memories = {
            s.id: Memory(
                station=s,
                timing=site.timing,
                library=library,
                authority=self._authority,
                has_backend=s.id in self._options.backends,
                signer=self._options.signer,
                transfers=self._options.transfers,
            )
            for s in self._stations.values()
        }
        self._admission = Admission(
            self._stations, security_profile=self._options.security_profile, holds_unknown=self._options.holds_unknown
        )
        self._held = 0
        self._upstreams: dict[StationId, Upstream] = {}
        self._links: dict[StationId, Link] = {}
        self._unsent: asyncio.Queue[Event] = asyncio.Queue()
        self._ready = asyncio.Event()
        self._emit: Emit | None = None

    @property
    def name(self) -> str:
        """Name it in logs and faults."""
        return "ocpp"

    @property
    def trouble(self) -> str | None:
        """Return None: a server that does not serve fails."""
        return None

    def stations(self) -> frozenset[StationId]:
        """Return the stations that are commanded over OCPP."""
        return frozenset(self._stations)

    def resume(self, state: State) -> None:
        """Take over, before `run`, what was learnt, which transactions run and which faults stand by the state on disk.

        Stations name neither again: a StopTransaction of 1.6 does not say where, a NoError not what ended.
        """
        for station_id, memory in self._memories.items():
            known = state.stations[station_id]
            memory.learnt = known.learnt
            if known.boot is not None:
                memory.booted(known.boot)
            if known.learnt is not None:
                memory.forms = Forms.of_learnt(known.learnt)
        for name, evse in state.evses.items():
            station = self._station_of.get(name)
            if station is None:
                continue
            memory = self._memories[station]
            memory.faults[name] = set(evse.faults) & STATION_FAULTS
            if evse.session is not None and evse.session.transaction_id is not None:
                memory.remember(evse.session.transaction_id, name)

    async def ready(self) -> int:
        """Return the port once stations can connect."""
        await self._ready.wait()
        return self.port

    async def run(self, emit: Emit) -> None:
        """Serve stations until cancelled."""
        self._emit = emit
        options = self._options
        if options.outbox is not None:
            await recall(self._authority, options.outbox)
        self._upstreams = {
            name: Upstream(self._memories[name], backend, options.outbox, emit)
            for name, backend in options.backends.items()
            if options.outbox is not None
        }
        quiet = logging.getLogger(f"{__name__}.websocket")
        quiet.setLevel(max(logging.INFO, logger.getEffectiveLevel()))  # its DEBUG would log passwords
        try:
            async with serve(
                self._serve,
                self._host,
                self.port,
                ssl=options.ssl,
                subprotocols=[Subprotocol(version.value) for version in _PREFERRED],
                process_request=self._admit,
                compression=None,
                max_size=options.max_transport,
                max_queue=options.max_queue,
                open_timeout=options.handshake_s,
                ping_interval=options.ping_interval_s,
                logger=quiet,
            ) as server:
                self.port = next(iter(server.sockets)).getsockname()[1]
                self._ready.set()
                async with asyncio.TaskGroup() as tasks:
                    for name, upstream in self._upstreams.items():
                        tasks.create_task(upstream.run(), name=f"upstream {name}")
                    while True:
                        await emit(await self._unsent.get())
        finally:
            self._ready.clear()

    def wish(self, command: Commanded) -> None:
        """Replace what the station should be told; one that is not connected leaves it unanswered."""
        station = self._station_of[command.evse]
        link = self._links.get(station)
        if command.transaction_id is not None and command.transaction_id not in self._memories[station].transactions:
            self._memories[station].remember(command.transaction_id, command.evse)
        if link is None or not link.wish(command):
            self._unsent.put_nowait(Unanswered(at_s=now_s(), command_id=command.command_id, evse=command.evse))

    def device_model(self, station: StationId) -> DeviceModel:
        """Return what a 2.x station told of itself: variables, monitors, messages; empty before it did."""
        return self._memories[station].model

    async def ask(self, station: StationId, request: Request) -> Payload:
        """Send a request and return the station's answer; raises Unreachable or Refused."""
        link = self._links.get(station)
        if link is None:
            raise Unreachable(f"{station} is not connected")
        return await link.ask(request)

    async def _serve(self, ws: ServerConnection) -> None:
        """Serve one connection that was admitted."""
        assert self._emit is not None
        assert ws.request is not None
        hand = _handshake(ws, ws.request)
        station = self._stations.get(hand.identity)
        if station is None:
            await self._hold(ws, hand)
            return
        if station.id in self._links:  # two came at once
            await ws.close(1008, "another connection of this station is open")
            return
        memory = self._memories[station.id]
        dialect, upstream = self._dialect(ws, memory), self._upstreams.get(station.id)
        link = Link(ws, memory, dialect, self._emit, max_frame=self._options.max_frame, upstream=upstream)
        self._links[station.id] = link
        if upstream is not None:
            # DataTransfer goes both ways
            calls = actions(dialect.version) - dialect.handles | {"DataTransfer"}
            await upstream.attach(dialect.version, calls, link.pass_on)
        logger.info("%s: connected with %s", station.id, ws.subprotocol)
        try:
            await link.run()
        finally:
            del self._links[station.id]
            if upstream is not None:
                upstream.detach()

    async def _hold(self, ws: ServerConnection, hand: Handshake) -> None:
        """Let a stranger wait, if there is room."""
        assert self._emit is not None
        if self._held >= MAX_HELD:
            await ws.close(1013, "too many wait for approval")
            return
        self._held += 1
        try:
            await hold(ws, hand.identity, hand.address, self._emit)
        finally:
            self._held -= 1

    def _dialect(self, ws: ServerConnection, memory: Memory) -> Dialect:
        match Version(ws.subprotocol):
            case Version.V16:
                return Dialect16(memory, self._ledger)
            case Version.V201:
                return Dialect201(memory)
            case Version.V21:
                return Dialect21(memory)

    async def _admit(self, ws: ServerConnection, request: HttpRequest) -> Response | None:
        """Return why a handshake is refused, or None to admit it."""
        hand = _handshake(ws, request)
        denial = await self._admission.judge(hand, now_s())
        if denial is not None:
            logger.warning("%s at %s refused: %s", clip(hand.identity), hand.address, denial.reason)
            await self._alarm(hand, denial.kind)
            response = ws.respond(denial.status, denial.answer + "\n")
            if denial.status is HTTPStatus.UNAUTHORIZED:
                response.headers["WWW-Authenticate"] = 'Basic realm="smartcharge"'
            return response
        link = self._links.get(hand.identity)
        if link is not None and await link.is_alive():
            logger.warning("%s at %s refused: its other connection is alive", hand.identity, hand.address)
            await self._alarm(hand, "SecondConnection")
            return ws.respond(HTTPStatus.CONFLICT, "another connection of this station is alive\n")
        if link is not None:
            await link.drop()
        return None

    async def _alarm(self, hand: Handshake, kind: str) -> None:
        """Tell of what concerns the security of a station of this site."""
        assert self._emit is not None
        if kind:
            told = SecurityReported(at_s=now_s(), station=hand.identity, kind=kind, detail=f"from {hand.address}")
            await self._emit(told)


def _handshake(ws: ServerConnection, request: HttpRequest) -> Handshake:
    offered = ",".join(request.headers.get_all("Sec-WebSocket-Protocol"))
    tls = ws.transport.get_extra_info("ssl_object")
    address = ws.remote_address
    return Handshake(
        address="" if address is None else str(address[0]),
        path=request.path,
        authorization=",".join(request.headers.get_all("Authorization")),
        protocols=tuple(text.strip() for text in offered.split(",")),
        certificate=None if tls is None else tls.getpeercert(),
    )
