"""All events of a server, read: who is meant, what each asks for, and which are refused and why."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from smartcharge.errors import SourceError
from smartcharge.grid.openadr.limits import Reading, Understood, understood
from smartcharge.grid.openadr.messages import NAIVE_IS_UTC, Event

_log = logging.getLogger(__name__)

AGAIN_S: Final = 3600.0
"""How long an event that stays the same is not resolved again [s]; it was resolved for weeks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    raw: Mapping[str, Any]
    """As it came."""
    at_s: float
    seen_s: float
    """When it was seen first."""
    asks: Understood | None
    """None where it is for somebody else."""


class Reader:
    """What the events of one server ask for; one that is refused stays as it was understood before."""

    def __init__(self, reading: Reading, targets: Iterable[str] = (), *, naive_is_utc: bool = False) -> None:
        self._reading = reading
        self._targets = frozenset(targets)
        self._context = NAIVE_IS_UTC if naive_is_utc else None
        self._known: dict[str, _Read] = {}
        self.refused: dict[str, str] = {}
        """Why events are refused, in words, by id."""
        self.has_safe_mode = False
        """Whether the event that the GAC profile asks for is among them."""

    def read(self, events: Iterable[Mapping[str, Any]], program_id: str | None, at_s: float) -> list[Understood]:
        """Return what every event for us asks for, of a program or of all."""
        with _uncollected():
            self._read_all(events, program_id, at_s)
        found = [one.asks for one in self._known.values() if one.asks is not None]
        self.has_safe_mode = any(asks.is_safe_mode for asks in found)
        return found

    def _read_all(self, events: Iterable[Mapping[str, Any]], program_id: str | None, at_s: float) -> None:
        known: dict[str, _Read] = {}
        refused: dict[str, str] = {}
        for raw in events:
            name = str(raw.get("id"))
            before = self._known.get(name)
            try:
                known[name] = self._read(raw, before, program_id, at_s)
            except (SourceError, ValidationError) as error:
                refused[name] = _words(name, error)
                if refused[name] != self.refused.get(name):
                    _log.warning("%s: refused: %s", self._reading.source, refused[name])
                if before is not None:
                    known[name] = before
        self._known, self.refused = known, refused

    def _read(self, raw: Mapping[str, Any], before: _Read | None, program_id: str | None, at_s: float) -> _Read:
        if before is not None and at_s - before.at_s < AGAIN_S and before.raw == raw:
            return before
        event = Event.model_validate(raw, context=self._context)
        seen_s = at_s if before is None or before.asks is None else before.seen_s
        asks = understood(event, self._reading, at_s, seen_s) if self._is_ours(event, program_id) else None
        return _Read(raw=raw, at_s=at_s, seen_s=seen_s, asks=asks)

    def _is_ours(self, event: Event, program_id: str | None) -> bool:
        targeted = event.targeted()
        is_program = program_id is None or event.program_id == program_id
        return is_program and (not targeted or not self._targets or bool(self._targets & targeted))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector away: all that ten thousand events become stays, and looking takes as long again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _words(name: str, error: SourceError | ValidationError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        return f"event {name}: {where}: {first['msg'].removeprefix('Value error, ')}"
    return str(error)
