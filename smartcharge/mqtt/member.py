"""A site in a group: it tells the coordinator what it needs, and holds itself to the share that it is given."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict, replace
from secrets import token_hex

from aiomqtt import Message
from pydantic import ValidationError

from smartcharge.clock import now_s
from smartcharge.control.needs import Need, need
from smartcharge.control.terms import Tenancy
from smartcharge.events import LimitSet, SourceHeard
from smartcharge.model import Site
from smartcharge.mqtt.connection import Connection
from smartcharge.mqtt.outbox import Outbox
from smartcharge.mqtt.settings import GroupSettings
from smartcharge.mqtt.topics import Topics
from smartcharge.ports import Emit, Snapshot
from smartcharge.words.shares import Share, ShareNeed

_log = logging.getLogger(__name__)

ASK_S = 10.0
"""Time between two needs while nothing changes, until the first share says how long it lasts [s]."""
ASKS = 4
"""How often a share is asked for in its life."""
LEAST_S = 1.0
"""Least time between two needs [s]."""


class GroupRoom:
    """A Source of the group's limit, and an Observer that tells the coordinator what the site needs."""

    def __init__(self, site: Site, settings: GroupSettings) -> None:
        self.name = f"group {settings.operator}"
        self._source = next(source for source in site.grid if source.id == self.name)
        timing = site.timing
        self._linger_s = timing.profile_s + timing.margin_s + timing.settle_s
        topics = Topics(settings.broker.prefix, settings.group)
        self._need_topic = topics.read("share need", member=site.id)
        self._outbox = Outbox()
        client_id = settings.broker.client_id or f"smartcharge-{site.id}-{settings.group}"
        share_topic = topics.written("share", member=site.id)
        self._connection = Connection(settings.broker, client_id, [share_topic], None, self._outbox)
        self._snapshot: Snapshot | None = None
        self._has_snapshot = asyncio.Event()
        self._tenancy: Tenancy | None = None
        """Times in it are those of the event loop, which are never set; None before the first cycle."""
        self._ask_s = ASK_S
        self._taking = asyncio.Lock()

    @property
    def trouble(self) -> str | None:
        """Return why there is no connection to the coordinator's broker, or None while there is one."""
        return self._connection.trouble

    def observe(self, snapshot: Snapshot) -> None:
        """Tell the coordinator soon if something changed that matters to it."""
        if self._tenancy is None:
            self._tenancy = Tenancy(taken=need(snapshot.state, self._source, snapshot.at_s).number)
        self._snapshot = snapshot
        self._has_snapshot.set()

    async def run(self, emit: Emit) -> None:
        """Ask for shares and take them until cancelled."""

        async def hear(message: Message) -> None:
            await self._hear(message, emit)

        async with asyncio.TaskGroup() as group:
            group.create_task(self._connection.run(hear, _nothing), name=f"{self.name} connection")
            group.create_task(self._ask(), name=f"{self.name} needs")

    async def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            await self._wait_for_news(due_s)
            async with self._taking:  # what it says it took must be written down
                if self._snapshot is not None and self._tenancy is not None:
                    # As of the cycle: what it decided is what stations are told.
                    now = need(self._snapshot.state, self._source, self._snapshot.at_s)
                    self._tenancy, now = self._tenancy.after(now, loop.time())
                    said = self._tenancy.said
                    if loop.time() >= due_s or said is None or _matters(said, now):
                        self._tenancy = self._say(self._tenancy, now)
                        due_s = loop.time() + self._ask_s
            await asyncio.sleep(LEAST_S)

    def _say(self, tenancy: Tenancy, now: Need) -> Tenancy:
        token = token_hex(8)
        assert self._source.failsafe_w is not None
        word = ShareNeed(token=token, safe_w=self._source.failsafe_w, linger_s=self._linger_s, **asdict(now))
        self._outbox.say(self._need_topic, word.model_dump_json())
        return tenancy.asking(now, token, asyncio.get_running_loop().time())

    async def _wait_for_news(self, due_s: float) -> None:
        try:
            async with asyncio.timeout_at(due_s):
                await self._has_snapshot.wait()
        except TimeoutError:
            pass
        self._has_snapshot.clear()

    async def _hear(self, message: Message, emit: Emit) -> None:
        try:
            share = Share.model_validate_json(bytes(message.payload))
        except ValidationError as error:
            _log.warning("%s: refused a share: %s", self.name, error)
            return
        async with self._taking:
            await self._take(share, emit)

    async def _take(self, share: Share, emit: Emit) -> None:
        """Hold the site to a share that answers one of our needs in time, unless it took a newer one."""
        if self._tenancy is None:
            return
        left_s = self._tenancy.left_s(share.number, share.duration_s, share.answers, asyncio.get_running_loop().time())
        if left_s is None:
            return
        self._ask_s = share.duration_s / ASKS
        at_s = now_s()
        await emit(SourceHeard(at_s=at_s, source=self.name, until_s=at_s + left_s))
        if share.number > self._tenancy.taken:
            await emit(
                LimitSet(
                    at_s=at_s, source=self.name, circuit=self._source.circuit, power_w=share.limit_w,
                    scope=self._source.scope, version=str(share.number),
                )
            )  # fmt: skip
            self._tenancy = replace(self._tenancy, taken=share.number)


def _matters(said: Need, now: Need) -> bool:
    """Tell whether the coordinator should hear at once: what is wanted or held changed, or room became free."""
    is_held = (said.number, said.limit_w, said.is_lapsed) == (now.number, now.limit_w, now.is_lapsed)
    above = max(said.reserved_w, said.limit_w) - max(now.reserved_w, now.limit_w)
    return not is_held or said.wanted_w != now.wanted_w or above != 0.0


async def _nothing() -> None:
    """Do nothing when the broker is gone: the share lapses by itself."""
