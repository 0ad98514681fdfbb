"""The site as a client (VEN) of an OpenADR 2.0b server: it asks for all events, and opts in to what it understands."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Literal

import aiohttp
from openleadr import OpenADRClient

from smartcharge.clock import now_s
from smartcharge.control.liveness import TRUSTED_SKEW_S
from smartcharge.control.records import Key
from smartcharge.errors import SourceError
from smartcharge.events import SourceHeard
from smartcharge.grid.openadr.limits import Reading
from smartcharge.grid.openadr.reader import Reader
from smartcharge.grid.openadr.said import Said
from smartcharge.grid.openadr2b.settings import OpenAdr2bSettings
from smartcharge.grid.openadr2b.signals import is_over, translated
from smartcharge.grid.skew import skew_s
from smartcharge.model import Site
from smartcharge.ports import Emit, Snapshot

_log = logging.getLogger(__name__)

TIMEOUT_S = 15.0
OK = 200
Opt = Literal["optIn", "optOut"]


class OpenAdr2bRoom:
    """A Source of limits and prices, and an Observer that opts out of what cannot be met: one server."""

    def __init__(self, site: Site, settings: OpenAdr2bSettings) -> None:
        self.name = f"openadr2b {settings.operator}"
        self._settings = settings
        source = next(source for source in site.grid if source.id == self.name)
        reading = Reading(
            source=self.name, circuit=source.circuit, scope=source.scope, seed=site.id, simple_w=settings.simple_w
        )
        self._reader = Reader(reading)
        self._said = Said()
        self._line = _Line(settings)
        self._trouble: str | None = "not polled yet"
        self._opted: dict[str, tuple[int, Opt]] = {}
        """By event, the modification that was answered last, and how."""
        self._unmet: dict[Key, str] = {}
        """Limits that cannot be met, with the id of their event."""

    @property
    def trouble(self) -> str | None:
        """Return why the server is not heard, what of it was refused, or that its clock is off; None if all is well."""
        skew = self._line.skew_s
        off = None if skew is None or abs(skew) <= TRUSTED_SKEW_S else f"its clock is {skew:+.0f} s off ours"
        words = (self._trouble, *self._reader.refused.values(), off)
        return "; ".join(word for word in words if word is not None) or None

    async def run(self, emit: Emit) -> None:
        """Register and poll until cancelled."""
        self._said, self._line, self._opted = Said(), _Line(self._settings), {}
        try:
            while True:
                await self._turn(emit)
                await asyncio.sleep(self._settings.poll_s)
        finally:
            await self._line.close()

    def observe(self, snapshot: Snapshot) -> None:
        """Keep in mind what cannot be met."""
        self._unmet = {
            key: record.limit.version.rpartition("@")[0] or record.limit.version
            for key, record in snapshot.state.records.items()
            if record.limit.source == self.name and record.unmet and record.applied_s is None and not record.ended_s
        }

    async def _turn(self, emit: Emit) -> None:
        try:
            events, request_id = await self._line.events()
        except SourceError as error:
            # It never means that there is no limit: what is known stays, and time tells whether the line is lost.
            self._trouble, self._said = str(error), Said()
            _log.warning("%s: %s", self.name, error)
            return
        self._trouble = None
        at_s = now_s()
        found = self._reader.read([translated(event) for event in events if not is_over(event)], None, at_s)
        await emit(SourceHeard(at_s=at_s, source=self.name, skew_s=self._line.skew_s))
        for fact in self._said.news(found, self.name, at_s):
            await emit(fact)
        await self._opt(events, request_id)

    async def _opt(self, events: Sequence[Mapping[str, Any]], request_id: str) -> None:
        """Answer each modification of an event once, and again when it turns out that it cannot be met."""
        known = {str(event["event_descriptor"]["event_id"]): event for event in events}
        self._opted = {name: opted for name, opted in self._opted.items() if name in known}
        for name, event in known.items():
            number = int(event["event_descriptor"].get("modification_number", 0))
            is_out = name in self._reader.refused or name in self._unmet.values()
            opt: Opt = "optOut" if is_out else "optIn"
            if event.get("response_required") != "never" and self._opted.get(name) != (number, opt):
                self._opted[name] = (number, opt)
                await self._line.answer(request_id, name, opt, number)


class _Line(OpenADRClient):  # type: ignore[misc]  # it has no types
    """openleadr's client, asked by us and not by its own scheduler, on a session that verifies whom it speaks with."""

    def __init__(self, settings: OpenAdr2bSettings) -> None:
        self._tls = ssl.create_default_context(cafile=settings.tls_ca)
        if settings.tls_cert is not None:
            self._tls.load_cert_chain(settings.tls_cert, settings.tls_key)
        self.skew_s: float | None = None
        """How far the server's clock is ahead of ours [s], by its last answer; whole seconds."""
        self.client_session: aiohttp.ClientSession | None = None
        self.registration_id: str | None = None
        super().__init__(
            ven_name=settings.ven_name,
            vtn_url=settings.url,
            cert=settings.tls_cert,
            key=settings.tls_key,
            vtn_fingerprint=settings.vtn_fingerprint,
            show_fingerprint=False,
            disable_signature=settings.tls_cert is None,
        )

    async def events(self) -> tuple[list[dict[str, Any]], str]:
        """Return all events and what their answers refer to; raises SourceError if there is no good answer."""
        if self.registration_id is None:
            await self.create_party_registration()
            if self.registration_id is None:
                raise SourceError("it did not register us")
        answer: tuple[str | None, dict[str, Any]] = await self.request_event() or (None, {})
        kind, payload = answer
        if kind not in ("oadrDistributeEvent", "oadrResponse"):
            raise SourceError("no answer to the request for events that can be read")
        code = payload.get("response", {}).get("response_code", OK)
        if code != OK:
            self.registration_id = None  # it may have forgotten us
            raise SourceError(f"the request for events was answered with {code}")
        return payload.get("events") or [], str(payload.get("request_id"))

    async def answer(self, request_id: str, event_id: str, opt: Opt, modification_number: int) -> None:
        """Tell whether we follow an event; the poll that comes tells whether the line stands."""
        await self.created_event(request_id, event_id, opt, modification_number)

    async def close(self) -> None:
        """Close every connection."""
        if self.client_session is not None:
            await self.client_session.close()

    async def _ensure_client_session(self) -> None:
        if self.client_session is None:
            trace = aiohttp.TraceConfig()
            trace.on_request_end.append(self._note_time)
            self.client_session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls), headers={"content-type": "application/xml"},
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), trace_configs=[trace],
            )  # fmt: skip

    async def _note_time(
        self, _session: aiohttp.ClientSession, _context: SimpleNamespace, end: aiohttp.TraceRequestEndParams
    ) -> None:
        self.skew_s = skew_s(end.response.headers)
