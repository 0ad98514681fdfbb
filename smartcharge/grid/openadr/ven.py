"""The site as an OpenADR 3 client (VEN): polling is the truth, a failed poll says nothing, a list says all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import inf
from secrets import compare_digest, token_urlsafe
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException
from fastapi.responses import PlainTextResponse
from pydantic import ValidationError

from smartcharge.clock import now_s
from smartcharge.control.liveness import TRUSTED_SKEW_S
from smartcharge.control.records import Key, Record
from smartcharge.errors import SourceError
from smartcharge.events import FailsafeSet, LimitsReplaced, PricesSet, SourceHeard
from smartcharge.grid.openadr.client import OpenAdrClient
from smartcharge.grid.openadr.limits import Reading, Understood, price_steps, understood
from smartcharge.grid.openadr.messages import NAIVE_IS_UTC, Event
from smartcharge.grid.openadr.settings import OpenAdrSettings
from smartcharge.model import GridLimit, GridSource, Site
from smartcharge.ports import Emit, Snapshot

_log = logging.getLogger(__name__)

Token = Annotated[str | None, Header(alias="Authorization")]

SUBSCRIBE_S = 60.0
"""Pause before a subscription that failed is tried again [s]."""
LEAST_S = 1.0
"""Least time between two polls, however many notifications come [s]."""
MOST_REPORTS = 100
"""Reports that wait at most for the server; beyond, the oldest is dropped and logged."""


class OpenAdrRoom:
    """A Source of limits and prices, and an Observer that reports what became of them: one server."""

    def __init__(self, site: Site, settings: OpenAdrSettings) -> None:
        self.name = f"openadr {settings.operator}"
        self._settings = settings
        self._client = OpenAdrClient.to(settings)
        self._source: GridSource = next(source for source in site.grid if source.id == self.name)
        self._reading = Reading(
            source=self.name,
            circuit=self._source.circuit,
            scope=self._source.scope,
            seed=site.id,
            simple_w=settings.simple_w,
            is_zero_endless=settings.version == "3.0.1",
            is_gac=settings.profile == "gac",
        )
        self._good: dict[str, Understood] = {}
        """What each event that the server has was last understood to ask for."""
        self._seen_s: dict[str, float] = {}
        """When each of them was seen first."""
        self._programs: dict[str, str] = {}
        self._said: frozenset[GridLimit] | None = None
        self._subscription_w: float | None = None
        self._prices: tuple[float, float, tuple[float, ...]] | None = None
        self._refused: dict[str, str] = {}
        self._line: str | None = "not polled yet"
        self._reported: dict[Key, str] = {}
        self._reports: list[dict[str, Any]] = []
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
        words = [word for word in (self._line, *self._refused.values(), off) if word is not None]
        return "; ".join(words) or None

    async def run(self, emit: Emit) -> None:
        """Poll until cancelled."""
        self._said, self._subscribe_s = None, -inf
        self._client = OpenAdrClient.to(self._settings)
        try:
            while True:
                self._hinted.clear()
                await self._turn(emit)
                await asyncio.sleep(LEAST_S)
                await self._wait_for_hint()
        finally:
            await self._client.close()

    def observe(self, snapshot: Snapshot) -> None:
        """Queue a report for each limit that was applied, or cannot be met, since the last cycle."""
        for key, record in snapshot.state.records.items():
            status = _status(record)
            if record.limit.source == self.name and status is not None and self._reported.get(key) != status:
                self._reported[key] = status
                if record.ended_s is None:
                    self._reports.append(self._report(record, status))
        self._reported = {key: status for key, status in self._reported.items() if key in snapshot.state.records}
        while len(self._reports) > MOST_REPORTS:
            _log.warning("%s: too many reports wait; dropped %s", self.name, self._reports.pop(0))

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
            events = await self._client.events(await self._program())
        except SourceError as error:
            # It never means that there is no limit: what is known stays, and time tells whether the line is lost.
            self._line, self._said = str(error), None
            _log.warning("%s: %s", self.name, error)
            return
        self._line = None
        # In a thread: ten thousand events take most of a second.
        await self._tell(emit, await asyncio.to_thread(self._understood, events, now_s()))
        await self._send_reports()
        await self._subscribe()

    async def _program(self) -> str | None:
        name = self._settings.program
        if name is None:
            return None
        if name not in self._programs:
            self._programs[name] = await self._client.program_id(name)
        return self._programs[name]

    def _understood(self, events: Iterable[Mapping[str, Any]], at_s: float) -> list[Understood]:
        """Return what every event for us asks for; one that is refused stays as it was understood before."""
        good: dict[str, Understood] = {}
        refused: dict[str, str] = {}
        for raw in events:
            name = str(raw.get("id"))
            try:
                event = Event.model_validate(raw, context=NAIVE_IS_UTC if self._settings.naive_is_utc else None)
                if self._is_ours(event):
                    self._seen_s.setdefault(name, at_s)
                    good[name] = understood(event, self._reading, at_s, self._seen_s[name])
            except (SourceError, ValidationError) as error:
                refused[name] = _words(name, error)
                if refused[name] != self._refused.get(name):
                    _log.warning("%s: refused: %s", self.name, refused[name])
                if name in self._good:
                    good[name] = self._good[name]
        self._good, self._refused = good, refused
        self._seen_s = {name: seen_s for name, seen_s in self._seen_s.items() if name in good}
        return list(good.values())

    def _is_ours(self, event: Event) -> bool:
        wanted, targeted = frozenset(self._settings.targets), event.targeted()
        program = self._programs.get(self._settings.program or "")
        is_program = program is None or event.program_id == program
        return is_program and (not targeted or not wanted or bool(wanted & targeted))

    async def _tell(self, emit: Emit, found: list[Understood]) -> None:
        """Say that the server is there, and what is new since it was said last."""
        at_s = now_s()
        await emit(SourceHeard(at_s=at_s, source=self.name, skew_s=self._client.skew_s))
        limits = tuple(replace(limit, received_at_s=at_s) for one in found for limit in one.limits)
        timeless = frozenset(replace(limit, received_at_s=0.0) for limit in limits)
        if self._said is None or not _is_rest(timeless, self._said, at_s):
            await emit(LimitsReplaced(at_s=at_s, source=self.name, limits=limits))
        self._said = timeless
        subscribed = [(s, w) for one in found for s, end, w in one.subscriptions if s <= at_s < end]
        subscription_w = max(subscribed, default=(0.0, None))[1]
        if subscription_w is not None and subscription_w != self._subscription_w:
            self._subscription_w = subscription_w
            await emit(FailsafeSet(at_s=at_s, source=self.name, power_w=subscription_w))
        prices = price_steps([price for one in found for price in one.prices])
        if prices is not None and prices != self._prices:
            self._prices = prices
            start_s, step_s, per_kwh = prices
            await emit(PricesSet(at_s=at_s, start_s=start_s, step_s=step_s, per_kwh=per_kwh))

    async def _send_reports(self) -> None:
        while self._reports:
            try:
                await self._client.report(self._reports[0])
            except SourceError as error:
                _log.warning("%s: a report was not taken: %s", self.name, error)
                self._reports.pop(0)
                return
            self._reports.pop(0)

    def _report(self, record: Record, status: str) -> dict[str, Any]:
        """Return a report on one limit: its status, how long it took and the energy over it."""
        seconds = None if record.applied_s is None else round(record.applied_s - record.due_s, 1)
        payloads: list[dict[str, Any]] = [
            {"type": "OPERATING_STATE", "values": [status]},
            {"type": "LIMIT_APPLIED_AFTER_S", "values": [] if seconds is None else [seconds]},
            {"type": "LIMIT_EXCEEDED_KWH", "values": [round(record.over_wh / 1000.0, 3)]},
        ]
        event_id = record.limit.version.rpartition("@")[0] or record.limit.version
        body: dict[str, Any] = {
            "eventID": event_id,
            "clientName": self._settings.ven_name,
            "reportName": f"compliance {event_id}",
            "resources": [{"resourceName": "AGGREGATED_REPORT", "intervals": [{"id": 0, "payloads": payloads}]}],
        }
        program = self._programs.get(self._settings.program or "")
        return body if program is None else {**body, "programID": program}


def _is_rest(now: frozenset[GridLimit], before: frozenset[GridLimit], at_s: float) -> bool:
    """Tell whether nothing has changed but that some limits ended."""
    return now <= before and all(limit.end_s is not None and limit.end_s <= at_s for limit in before - now)


def _status(record: Record) -> str | None:
    """Return the operating state of OpenADR 3 (after CTA-2045) that a record amounts to."""
    if record.applied_s is not None:
        return "RUNNING_CURTAILED"
    return None if record.unmet is None else "SGD_ERROR_CONDITION"


def _words(name: str, error: SourceError | ValidationError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        return f"event {name}: {where}: {first['msg'].removeprefix('Value error, ')}"
    return str(error)
