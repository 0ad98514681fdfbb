"""The site as an OpenADR 3 client (VEN): polling is the truth, a failed poll says nothing, a list says all."""

from __future__ import annotations

import asyncio
import logging
from math import inf
from secrets import compare_digest, token_urlsafe
from typing import Annotated

from fastapi import APIRouter, Header, HTTPException
from fastapi.responses import PlainTextResponse

from smartcharge.clock import now_s
from smartcharge.control.liveness import TRUSTED_SKEW_S
from smartcharge.errors import SourceError
from smartcharge.events import SourceHeard
from smartcharge.grid.openadr.client import OpenAdrClient
from smartcharge.grid.openadr.hints import listen
from smartcharge.grid.openadr.limits import Reading, Understood
from smartcharge.grid.openadr.reader import Reader
from smartcharge.grid.openadr.reports import Reporter
from smartcharge.grid.openadr.said import Said
from smartcharge.grid.openadr.settings import OpenAdrSettings
from smartcharge.model import GridSource, Site
from smartcharge.ports import Emit, Snapshot

_log = logging.getLogger(__name__)

Token = Annotated[str | None, Header(alias="Authorization")]

SUBSCRIBE_S = 60.0
"""Pause before a subscription that failed is tried again [s]."""
LEAST_S = 0.2
"""Least time between two polls, however many notifications come [s]."""


class OpenAdrRoom:
    """A Source of limits and prices, and an Observer that reports what became of them: one server."""

    def __init__(self, site: Site, settings: OpenAdrSettings) -> None:
        self.name = f"openadr {settings.operator}"
        self._settings = settings
        self._client = OpenAdrClient.to(settings)
        self._source: GridSource = next(source for source in site.grid if source.id == self.name)
        reading = Reading(
            source=self.name,
            circuit=self._source.circuit,
            scope=self._source.scope,
            seed=site.id,
            simple_w=settings.simple_w,
            is_zero_endless=settings.version == "3.0.1",
            is_gac=settings.profile == "gac",
        )
        self._reader = Reader(reading, settings.targets, naive_is_utc=settings.naive_is_utc)
        self._programs: dict[str, str] = {}
        self._said = Said()
        self._line: str | None = "not polled yet"
        self._reporter = Reporter(self._source, settings.ven_name)
        self._hinted = asyncio.Event()
        self._token = token_urlsafe(32)
        """What the server's notifications are known by."""
        self._subscribe_s = -inf
        """When a subscription may be tried next; infinite once it stands."""
        self.router = self._router()
        """The routes on which the server notifies us."""

    @property
    def trouble(self) -> str | None:
        """Return why the server is not heard, what of it was refused, or that its clock is off; None if all is well."""
        skew_s = self._client.skew_s
        off = None if skew_s is None or abs(skew_s) <= TRUSTED_SKEW_S else f"its clock is {skew_s:+.0f} s off ours"
        words = (self._line, self._unsafe, *self._reader.refused.values(), off)
        return "; ".join(word for word in words if word is not None) or None

    @property
    def _unsafe(self) -> str | None:
        is_missing = self._settings.profile == "gac" and self._line is None and not self._reader.has_safe_mode
        return "it has no safe mode event, as the GAC profile asks for" if is_missing else None

    async def run(self, emit: Emit) -> None:
        """Poll until cancelled."""
        self._said, self._subscribe_s = Said(), -inf
        self._client = OpenAdrClient.to(self._settings)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._poll(emit), name=f"{self.name} polls")
                if self._settings.mqtt_hints:
                    group.create_task(self._listen(), name=f"{self.name} hints")
        finally:
            await self._client.close()

    def observe(self, snapshot: Snapshot) -> None:
        """Queue what there is to report."""
        self._reporter.observe(snapshot)

    async def _poll(self, emit: Emit) -> None:
        while True:
            self._hinted.clear()
            await self._turn(emit)
            await asyncio.sleep(LEAST_S)
            await self._wait_for_hint()

    async def _listen(self) -> None:
        """Take hints from the server's broker; without them polling goes on as ever."""
        while True:
            try:
                broker = await self._client.broker(await self._program())
                await listen(broker, self._settings.tls_ca, self._hinted.set)
            except SourceError as error:
                _log.warning("%s: no notifications over MQTT: %s", self.name, error)
            await asyncio.sleep(SUBSCRIBE_S)

    async def _wait_for_hint(self) -> None:
        try:
            async with asyncio.timeout(max(self._settings.poll_s - LEAST_S, 0.0)):
                await self._hinted.wait()
        except TimeoutError:
            pass

    def _router(self) -> APIRouter:
        router = APIRouter(prefix=f"/openadr/{self._settings.operator}")
        for path in ("/callback", "/callback/echo"):  # where the specification has it, and where a server asks
            router.add_api_route(path, self._hear_echo, methods=["GET"], response_class=PlainTextResponse)
        router.add_api_route("/callback", self._hear_hint, methods=["POST"], status_code=204)
        return router

    async def _hear_echo(self, echo: str) -> str:
        """Show that we are there."""
        return echo

    async def _hear_hint(self, token: Token = None) -> None:
        """Poll soon: what a notification says is not read, since the list is the truth."""
        if not compare_digest((token or "").removeprefix("Bearer ").encode(), self._token.encode()):
            raise HTTPException(401, "the token is not the one that was given out")
        self._hinted.set()

    async def _subscribe(self) -> None:
        """Ask for notifications once; without them polling goes on as ever."""
        if self._settings.our_url is None or now_s() < self._subscribe_s:
            return
        callback_url = f"{self._settings.our_url}/openadr/{self._settings.operator}/callback"
        try:
            await self._client.subscribe(callback_url, self._token, await self._program())
            self._subscribe_s = inf
        except SourceError as error:
            self._subscribe_s = now_s() + SUBSCRIBE_S
            _log.warning("%s: no notifications: %s", self.name, error)

    async def _turn(self, emit: Emit) -> None:
        try:
            program = await self._program()
            events = await self._client.events(program)
        except SourceError as error:
            # It never means that there is no limit: what is known stays, and time tells whether the line is lost.
            self._line, self._said = str(error), Said()
            _log.warning("%s: %s", self.name, error)
            return
        self._line = None
        # In a thread: ten thousand events take a good part of a second.
        found = await asyncio.to_thread(self._reader.read, events, program, now_s())
        await self._tell(emit, found)
        self._reporter.tell((wanted for one in found for wanted in one.wanted), now_s())
        await self._send_reports()
        await self._subscribe()

    async def _program(self) -> str | None:
        name = self._settings.program
        if name is None:
            return None
        if name not in self._programs:
            self._programs[name] = await self._client.program_id(name)
        return self._programs[name]

    async def _tell(self, emit: Emit, found: list[Understood]) -> None:
        """Say that the server is there, and what is new since it was said last."""
        at_s = now_s()
        await emit(SourceHeard(at_s=at_s, source=self.name, skew_s=self._client.skew_s))
        for fact in self._said.news(found, self.name, at_s):
            await emit(fact)

    async def _send_reports(self) -> None:
        program = self._programs.get(self._settings.program or "")
        while self._reporter.waiting:
            report = self._reporter.waiting.popleft()
            try:
                await self._client.report(report if program is None else {"programID": program, **report})
            except SourceError as error:
                _log.warning("%s: a report was not taken: %s", self.name, error)
                return
