"""The coordinator's word to the sites of a group: shares that answer their needs, renewed, and lapsed in the end."""

from __future__ import annotations

import asyncio

from smartcharge.clock import now_s
from smartcharge.control.terms import Terms
from smartcharge.events import ShareLapsed
from smartcharge.model import Group
from smartcharge.mqtt.outbox import Outbox
from smartcharge.mqtt.topics import Topics
from smartcharge.ports import Emit, Snapshot
from smartcharge.words.shares import Share


class Lessor:
    """Says every share that the controller gives, and again to each need; tells when one has lapsed."""

    def __init__(self, group: Group, topics: Topics, outbox: Outbox) -> None:
        self._group = group
        self._topics = topics
        self._outbox = outbox
        self._terms = Terms()
        self._changed = asyncio.Event()

    def observe(self, snapshot: Snapshot) -> None:
        """Answer what was asked since the last cycle, and tell what changed."""
        at_s = asyncio.get_running_loop().time()
        self._terms, answers = self._terms.told(self._group, snapshot.state.members, at_s)
        for answer in answers:
            share = Share(
                number=answer.number, limit_w=answer.limit_w, duration_s=self._group.lease_s, answers=answer.token
            )
            self._outbox.say(self._topics.written("share", member=answer.member), share.model_dump_json())
        self._changed.set()

    async def run(self, emit: Emit) -> None:
        """Emit each lapse when its time has come, until cancelled."""
        while True:
            self._changed.clear()
            self._terms, gone = self._terms.over(asyncio.get_running_loop().time())
            for name, number in gone:
                await emit(ShareLapsed(at_s=now_s(), member=name, number=number))
            try:
                async with asyncio.timeout_at(min(self._terms.lapse_s.values(), default=None)):
                    await self._changed.wait()
            except TimeoutError:
                pass
