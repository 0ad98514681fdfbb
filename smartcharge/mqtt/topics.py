"""The topic tree: where everything is said, as functions of the names in it.

Every id is one level of a topic: what MQTT gives a meaning (``/ + #``) and everything else that is
not a letter, a digit or one of ``_.-~`` is percent-encoded (RFC 3986), so ``yard-07/1`` is ``yard-07%2F1``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, unquote

READ = {
    "limit": "limit/{circuit}/{source}/set",
    "grid heartbeat": "grid/{operator}/heartbeat",
    "grid failsafe": "grid/{operator}/failsafe",
    "lpc limit": "grid/{operator}/lpc",
    "relay": "grid/{operator}/relay",
    "circuit meter": "circuit/{circuit}/meter",
    "need": "evse/{evse}/need",
    "order": "evse/{evse}/order",
    "fault order": "evse/{evse}/fault/order",
    "work": "work/{order}/say",
    "prices": "prices",
    "station availability": "station/{station}/availability",
    "boot": "station/{station}/boot",
    "status": "evse/{evse}/status",
    "evse meter": "evse/{evse}/meter",
    "ack": "evse/{evse}/ack",
    "share need": "member/{member}/need",
}
"""What others say, by kind."""

WRITTEN = {
    "availability": "availability",
    "state": "state",
    "plan": "plan",
    "errors": "errors",
    "setpoint": "evse/{evse}/setpoint",
    "command": "evse/{evse}/command",
    "fault order received": "evse/{evse}/fault/received",
    "work order": "work/{order}",
    "work received": "work/{order}/received",
    "limit received": "limit/{circuit}/{source}/received",
    "limit answer": "grid/{operator}/answer",
    "share": "member/{member}/share",
}
"""What we say, by kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """What a topic is about: its kind, and the names in it by their roles."""

    kind: str
    names: dict[str, str]


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one site under one prefix."""

    prefix: str
    site: str

    @property
    def root(self) -> str:
        """Return what every topic of the site starts with."""
        return f"{self.prefix}/{quote(self.site, safe='')}"

    def written(self, kind: str, **names: str) -> str:
        """Return the topic on which we say something of a kind, e.g. ``written("setpoint", evse="A/1")``."""
        return f"{self.root}/{_filled(WRITTEN[kind], lambda role: quote(names[role], safe=''))}"

    def read(self, kind: str, **names: str) -> str:
        """Return the topic on which others say something of a kind, for whoever simulates them."""
        return f"{self.root}/{_filled(READ[kind], lambda role: quote(names[role], safe=''))}"

    def subscriptions(self) -> list[str]:
        """Return the filters that together match everything we listen to."""
        return [f"{self.root}/{_filled(pattern, lambda _: '+')}" for pattern in READ.values()]

    def address(self, topic: str) -> Address | None:
        """Return what a topic is about, or None if it is not one that we listen to."""
        levels = topic.removeprefix(f"{self.root}/").split("/")
        for kind, pattern in READ.items():
            names = _matched(pattern.split("/"), levels)
            if names is not None:
                return Address(kind=kind, names=names)
        return None


def _filled(pattern: str, fill: Callable[[str], str]) -> str:
    levels = (fill(level[1:-1]) if level.startswith("{") else level for level in pattern.split("/"))
    return "/".join(levels)


def _matched(pattern: list[str], levels: list[str]) -> dict[str, str] | None:
    if len(pattern) != len(levels):
        return None
    names: dict[str, str] = {}
    for wanted, level in zip(pattern, levels, strict=True):
        if wanted.startswith("{"):
            names[wanted[1:-1]] = unquote(level)
        elif wanted != level:
            return None
    return names
