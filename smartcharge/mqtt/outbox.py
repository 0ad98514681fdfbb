"""What is still to be said: the newest word on each topic, and a bounded number of single notices.

It neither blocks nor grows while the broker is down, and it can say everything that holds again when
the broker comes back with an empty memory.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from itertools import islice

_log = logging.getLogger(__name__)

MOST_NOTICES = 200
"""Notices (errors, acknowledgements) that wait at most; beyond, the oldest is dropped and logged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One message to be published."""

    topic: str
    payload: str
    is_retained: bool
    number: int | None = None
    """Tells notices on one topic apart; None where only the newest on the topic counts."""


class Outbox:
    """Words that wait for the broker to confirm them."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, int | None], Word] = {}
        self._holding: dict[str, Word] = {}
        self._delivered: dict[Word, asyncio.Event] = {}
        self._number = 0
        self._has_some = asyncio.Event()

    def hold(self, topic: str, payload: str) -> None:
        """Say something that holds until it is replaced (retained)."""
        self._holding[topic] = Word(topic=topic, payload=payload, is_retained=True)
        self._put(self._holding[topic])

    async def deliver(self, topic: str, payload: str) -> None:
        """Say something that holds, and return once the broker has it."""
        self.hold(topic, payload)
        word = self._holding[topic]
        has_it = self._delivered.setdefault(word, asyncio.Event())
        try:
            await has_it.wait()
        finally:
            self._delivered.pop(word, None)

    def say(self, topic: str, payload: str) -> Word:
        """Say something once; the newest on a topic replaces one that still waits."""
        word = Word(topic=topic, payload=payload, is_retained=False)
        self._put(word)
        return word

    def notify(self, topic: str, payload: str) -> None:
        """Say something once that does not replace what else waits on its topic."""
        notices = [key for key in self._waiting if key[1] is not None]
        if len(notices) >= MOST_NOTICES:
            dropped = self._waiting.pop(notices[0])
            _log.warning(
                "mqtt: too many notices wait for the broker; dropped on %s: %s", dropped.topic, dropped.payload
            )
        self._number += 1
        self._put(Word(topic=topic, payload=payload, is_retained=False, number=self._number))

    def withdraw(self, word: Word) -> None:
        """Forget a word, because it was confirmed or is too late, unless a newer one has taken its place."""
        key = (word.topic, word.number)
        if (has_it := self._delivered.get(word)) is not None:
            has_it.set()
        if self._waiting.get(key) is word:
            del self._waiting[key]

    def restate(self) -> None:
        """Say everything that holds once more: the broker may have lost it."""
        for word in self._holding.values():
            self._put(word)

    async def newest(self, most: int) -> list[Word]:
        """Wait for something to say and return up to ``most`` of it; it stays until withdrawn."""
        while not self._waiting:
            self._has_some.clear()
            await self._has_some.wait()
        return list(islice(self._waiting.values(), most))

    def _put(self, word: Word) -> None:
        self._waiting[word.topic, word.number] = word
        self._has_some.set()
