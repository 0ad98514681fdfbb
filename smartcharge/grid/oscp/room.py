"""The site as an OSCP 2.0 flexibility provider: a Source, an Observer, and routes of the HTTP server."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from secrets import compare_digest, token_urlsafe
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
from fastapi import APIRouter, Header, HTTPException

from smartcharge.clock import now_s
from smartcharge.control.compliance import power_of
from smartcharge.control.liveness import TRUSTED_SKEW_S
from smartcharge.control.records import Key
from smartcharge.control.state import State
from smartcharge.errors import SourceError
from smartcharge.events import FailsafeSet, FailsafeStep, LimitsReplaced, SourceHeard
from smartcharge.grid.oscp.asks import blocks_of, open_blocks, wanted_blocks
from smartcharge.grid.oscp.limits import FALLBACKS, LIMITS, limits_of, steps_of
from smartcharge.grid.oscp.messages import Forecast, Handshake, Heartbeat, Register
from smartcharge.grid.oscp.settings import OscpSettings
from smartcharge.grid.skew import skew_s
from smartcharge.model import Direction, GridLimit, Site
from smartcharge.ports import Emit, Snapshot
from smartcharge.words.base import utc

_log = logging.getLogger(__name__)

VERSION = "2.0"
AGAIN_S = 60.0
"""Pause before a registration that failed is tried again, and between measurements [s]."""
ASK_S = 300.0
"""How often it is looked whether more capacity is wanted [s]."""
TIMEOUT_S = 15.0
LONGEST_S = 86400.0
"""Longest time for which a heartbeat is believed [s]."""

Token = Annotated[str | None, Header(alias="Authorization")]
RequestId = Annotated[str | None, Header(alias="X-Request-ID")]


class OscpRoom:
    """One capacity provider."""

    def __init__(self, site: Site, settings: OscpSettings) -> None:
        self.name = f"oscp {settings.operator}"
        self._settings = settings
        self._source = next(source for source in site.grid if source.id == self.name)
        self._circuit = next(circuit for circuit in site.circuits if circuit.id == self._source.circuit)
        self._ours = token_urlsafe(32)
        """The token that we give out; a new one with each start."""
        self._theirs: str | None = None
        self._their_url = settings.url
        self._heartbeat_s: float | None = None
        self._measures = False
        self._skew_s: float | None = None
        """How far the provider's clock is ahead of ours [s], by its last answer."""
        self._snapshot: Snapshot | None = None
        self._limits: dict[Direction, tuple[GridLimit, ...]] | None = None
        self._steps: dict[Direction, tuple[FailsafeStep, ...]] | None = None
        """What each type of forecast said last; None until one came since the start."""
        self._told: set[Key] = set()
        self._asked: list[dict[str, Any]] = []
        """The blocks of more capacity that we asked for last; none where we want no more."""
        self._outgoing: asyncio.Queue[tuple[str, dict[str, Any], str | None]] = asyncio.Queue(maxsize=100)
        self._registered = asyncio.Event()
        self._emit: Emit | None = None
        self._trouble: str | None = "not registered yet"
        self.router = self._router()
        """The routes on which the provider reaches us."""

    @property
    def trouble(self) -> str | None:
        """Return why nothing can be exchanged, or that the provider's clock is off; None if all is well."""
        skew = self._skew_s
        off = None if skew is None or abs(skew) <= TRUSTED_SKEW_S else f"its clock is {skew:+.0f} s off ours"
        return self._trouble or off

    async def run(self, emit: Emit) -> None:
        """Register, then exchange heartbeats and measurements until cancelled."""
        self._emit = emit
        verify = ssl.create_default_context(cafile=self._settings.tls_ca)
        async with httpx.AsyncClient(verify=verify, timeout=TIMEOUT_S) as http, asyncio.TaskGroup() as group:
            group.create_task(self._register(http), name=f"{self.name} register")
            group.create_task(self._speak(http), name=f"{self.name} out")
            group.create_task(self._beat(), name=f"{self.name} heartbeat")
            group.create_task(self._measure(), name=f"{self.name} measurements")
            group.create_task(self._ask(), name=f"{self.name} asks")

    def observe(self, snapshot: Snapshot) -> None:
        """Keep what is measured, and say what cannot be met."""
        self._snapshot = snapshot
        for key, record in snapshot.state.records.items():
            if record.limit.source == self.name and record.unmet is not None and key not in self._told:
                self._told.add(key)
                blocks = blocks_of(record.limit, self._circuit)
                self._say("group_capacity_compliance_error", {"message": record.unmet, "forecasted_blocks": blocks})
        self._told &= snapshot.state.records.keys()

    # -- what the provider says

    def _router(self) -> APIRouter:
        router = APIRouter(prefix=f"/oscp/{self._settings.operator}/fp/{VERSION}")
        for path, endpoint in (
            ("/register", self._hear_register),
            ("/handshake", self._hear_handshake),
            ("/handshake_acknowledge", self._hear_acknowledge),
            ("/heartbeat", self._hear_heartbeat),
            ("/update_group_capacity_forecast", self._hear_forecast),
            ("/adjust_group_capacity_forecast", self._hear_forecast),
        ):
            router.add_api_route(path, endpoint, methods=["POST"], status_code=204)
        return router

    async def _hear_register(self, word: Register, token: Token = None) -> None:
        """Take the token and the place that the provider wants to be called with; answer with ours if it began."""
        self._admit(token, first=True)
        url = next((v.base_url for v in word.version_url if v.version == VERSION), None)
        if url is None or urlsplit(url)[:2] != urlsplit(self._settings.url)[:2]:
            raise HTTPException(422, f"version_url has no {VERSION} at the server of the site file")
        self._theirs, self._their_url = word.token, url.rstrip("/")
        if not self._registered.is_set():
            self._registered.set()
            self._say("register", self._own_register())
        self._say("handshake", self._own_behaviour())

    async def _hear_handshake(self, word: Handshake, token: Token = None, request_id: RequestId = None) -> None:
        """Agree to what the provider asks for."""
        self._admit(token)
        self._take(word)
        self._say("handshake_acknowledge", self._own_behaviour(), request_id)

    async def _hear_acknowledge(self, word: Handshake, token: Token = None) -> None:
        """Take what the provider asks for in turn."""
        self._admit(token)
        self._take(word)

    async def _hear_heartbeat(self, word: Heartbeat, token: Token = None) -> None:
        """Count the provider as there until it says."""
        self._admit(token)
        at_s = now_s()
        until_s = min(word.offline_mode_at.timestamp(), at_s + LONGEST_S)
        assert self._emit is not None
        await self._emit(SourceHeard(at_s=at_s, source=self.name, until_s=until_s, skew_s=self._skew_s))

    async def _hear_forecast(self, word: Forecast, token: Token = None) -> None:
        """Take a forecast; it replaces the last of its type."""
        self._admit(token)
        if word.group_id != self._settings.group_id:
            raise HTTPException(404, f"group {word.group_id!r} is not this site's")
        at_s = now_s()
        assert self._emit is not None
        if word.type in FALLBACKS:
            self._steps = {**self._known_steps(), FALLBACKS[word.type]: steps_of(word, self._circuit, at_s)}
            steps = tuple(step for each in self._steps.values() for step in each)
            await self._emit(FailsafeSet(at_s=at_s, source=self.name, steps=steps))
        elif word.type in LIMITS:
            mine = limits_of(word, self._source, self._circuit, at_s)
            self._limits = {**self._known_limits(), LIMITS[word.type]: mine}
            limits = tuple(limit for each in self._limits.values() for limit in each)
            await self._emit(LimitsReplaced(at_s=at_s, source=self.name, limits=limits))

    def _known_limits(self) -> dict[Direction, tuple[GridLimit, ...]]:
        """Return the blocks in force, also those that an earlier life of ours was told."""
        if self._limits is not None or self._snapshot is None:
            return self._limits or {}
        known = self._snapshot.state.sources[self.name].limits
        return {way: tuple(limit for limit in known if limit.direction is way) for way in Direction}

    def _known_steps(self) -> dict[Direction, tuple[FailsafeStep, ...]]:
        if self._steps is not None or self._snapshot is None:
            return self._steps or {}
        told = self._snapshot.state.sources[self.name].told
        steps = () if told is None else told.steps
        return {way: tuple(step for step in steps if step.direction is way) for way in Direction}

    def _take(self, word: Handshake) -> None:
        self._heartbeat_s = word.required_behaviour.heartbeat_interval or self._heartbeat_s
        self._measures = bool(word.required_behaviour.measurement_configuration)

    def _admit(self, token: str | None, *, first: bool = False) -> None:
        """Raise 401 unless the token is ours, or that agreed on for the first registration."""
        given = (token or "").removeprefix("Token ").encode()
        known = [self._ours, self._settings.token] if first else [self._ours]
        if not any(compare_digest(given, each.encode()) for each in known):
            raise HTTPException(401, "the token is not the one that was given out")

    # -- what we say

    def _say(self, action: str, body: Mapping[str, Any], correlation: str | None = None) -> None:
        if self._outgoing.full():
            _log.warning("%s: too much waits; dropped %s", self.name, self._outgoing.get_nowait()[0])
        self._outgoing.put_nowait((action, dict(body), correlation))

    def _own_register(self) -> dict[str, Any]:
        base = f"{self._settings.our_url}/oscp/{self._settings.operator}/fp/{VERSION}"
        return {"token": self._ours, "version_url": [{"version": VERSION, "base_url": base}]}

    def _own_behaviour(self) -> dict[str, Any]:
        behaviour = {"heartbeat_interval": self._settings.heartbeat_s, "measurement_configuration": ["CONTINUOUS"]}
        return {"required_behaviour": behaviour}

    async def _register(self, http: httpx.AsyncClient) -> None:
        """Register with the token that was agreed on, until the provider has registered with us."""
        while not self._registered.is_set():
            try:
                await self._post(http, "register", self._own_register(), None, self._settings.token)
                self._registered.set()
            except SourceError as error:
                self._trouble = str(error)
                _log.warning("%s: %s", self.name, error)
                await asyncio.sleep(AGAIN_S)

    async def _speak(self, http: httpx.AsyncClient) -> None:
        while True:
            action, body, correlation = await self._outgoing.get()
            if self._theirs is None:
                continue  # nobody to say it to yet; what matters is said again
            try:
                await self._post(http, action, body, correlation, self._theirs)
                self._trouble = None
            except SourceError as error:
                self._trouble = str(error)
                _log.warning("%s: %s", self.name, error)

    async def _post(
        self, http: httpx.AsyncClient, action: str, body: Mapping[str, Any], correlation: str | None, token: str
    ) -> None:
        headers = {"Authorization": f"Token {token}", "X-Request-ID": str(uuid4())}
        if correlation is not None:
            headers["X-Correlation-ID"] = correlation
        try:
            answer = await http.post(f"{self._their_url}/{action}", json=body, headers=headers)
        except httpx.HTTPError as error:
            raise SourceError(f"{action}: {type(error).__name__}: {error}") from error
        self._skew_s = skew_s(answer.headers)
        if not answer.is_success:
            raise SourceError(f"{action}: {answer.status_code}")

    async def _beat(self) -> None:
        while True:
            interval_s = self._heartbeat_s or AGAIN_S
            await asyncio.sleep(interval_s)
            if self._heartbeat_s is not None:
                self._say("heartbeat", {"offline_mode_at": utc(now_s() + 3.0 * interval_s).isoformat()})

    async def _measure(self) -> None:
        while True:
            await asyncio.sleep(AGAIN_S)
            power_w = None if self._snapshot is None else self._measured_w(self._snapshot.state)
            if self._measures and power_w is not None:
                measurement = {
                    "value": round(power_w, 1), "phase": "ALL", "unit": "W", "direction": "NET",
                    "measure_time": utc(now_s()).isoformat(),
                }  # fmt: skip
                body = {"group_id": self._settings.group_id, "measurements": [measurement]}
                self._say("update_group_measurements", body)

    def _measured_w(self, state: State) -> float | None:
        """Return what was drawn lately [W]; None where nobody can tell."""
        measured = power_of(state, self._circuit.id, self._source.scope, now_s())
        return None if measured is None else measured[0]

    async def _ask(self) -> None:
        """Ask for more capacity while cars will go without, and take that back when they will not."""
        while True:
            await asyncio.sleep(ASK_S)
            if self._snapshot is None or not self._registered.is_set():
                continue
            wanted = wanted_blocks(self._snapshot, self.name, self._circuit)
            blocks = wanted or (open_blocks(self._snapshot, self.name, self._circuit) if self._asked else [])
            if blocks and blocks != self._asked:
                body = {"group_id": self._settings.group_id, "type": "CONSUMPTION", "forecasted_blocks": blocks}
                self._say("adjust_group_capacity_forecast", body)
            self._asked = wanted
