"""Who may charge: the site's own list, what the operator's back-end said before, and what holds for everybody else.

While a back-end is there, its answer is the one that a station gets; it is remembered for when it is away.  Tokens
are compared without regard to case (OCPP 2.0.1 part 2, C01.FR.20; 1.6 CiString).  Source: OCPP 2.0.1 blocks C and D,
OCPP 1.6 sections 3.5 and 4.1.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal
from zlib import crc32

from smartcharge.csms.schemas import parse_time_s
from smartcharge.orders import ListEntry

if TYPE_CHECKING:
    from smartcharge.csms.schemas import Payload

ACCEPTED, BLOCKED, EXPIRED, INVALID = "Accepted", "Blocked", "Expired", "Invalid"
_REMEMBERED = 10_000
"""Tokens of the back-end that are remembered; the oldest are forgotten first."""
_ISSUED_HERE = "Central"
"""Kind of a token by which a server itself started a transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPolicy:
    """What a site file says about who may charge."""

    tokens: tuple[ListEntry, ...] = ()
    """The site's own list."""
    unknown: Literal["accept", "refuse"] = "accept"
    """Those who are on no list, where there is no back-end."""
    away: Literal["accept", "known", "refuse"] = "accept"
    """While the back-end is away: everybody that it did not refuse before, those known, or nobody."""
    sends_list: bool = False
    """Whether stations are given the list, for when this controller is away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a token may charge, by AuthorizationStatusEnumType."""

    status: str = ACCEPTED
    expires_s: float | None = None
    group: str | None = None
    """Those of one group may end each other's transactions (1.6 parentIdTag, 2.x groupIdToken)."""


class Authority:
    """The site's judgement of tokens, and its memory of the back-end's."""

    def __init__(self, policy: TokenPolicy | None = None) -> None:
        self.policy = policy or TokenPolicy()
        self._own = {entry.id_token.lower(): entry for entry in self.policy.tokens}
        self._heard: OrderedDict[str, ListEntry] = OrderedDict()

    def judge(self, token: str, at_s: float, *, kind: str | None = None, has_backend: bool = False) -> Verdict:
        """Return our own answer about a token: the one that counts unless a back-end gives another."""
        known = self._own.get(token.lower()) or (self._heard.get(token.lower()) if has_backend else None)
        may_be_anybody = self.policy.away == "accept" if has_backend else self.policy.unknown == "accept"
        if has_backend and self.policy.away == "refuse" and token.lower() not in self._own:
            return Verdict(status=INVALID)
        if known is None:
            return Verdict(status=ACCEPTED if may_be_anybody or kind == _ISSUED_HERE else INVALID)
        if known.expires_s is not None and known.expires_s <= at_s:
            return Verdict(status=EXPIRED, group=known.group)
        return Verdict(status=known.status or INVALID, expires_s=known.expires_s, group=known.group)

    def heard(self, token: str, info: Payload) -> ListEntry | None:
        """Remember the back-end's idTagInfo (1.6) or idTokenInfo (2.x) of a token; None if it is no news."""
        expires = info.get("expiryDate", info.get("cacheExpiryDateTime"))
        group = info.get("parentIdTag") or info.get("groupIdToken", {}).get("idToken")
        expires_s = None if expires is None else parse_time_s(expires)
        if info["status"] == "ConcurrentTx":  # of this moment only
            return None
        entry = ListEntry(id_token=token, status=info["status"], expires_s=expires_s, group=group)
        is_news = self._heard.get(token.lower()) != entry
        self.remember(entry)
        return entry if is_news else None

    def remember(self, entry: ListEntry) -> None:
        """Take up what was heard, now or before a restart."""
        self._heard[entry.id_token.lower()] = entry
        self._heard.move_to_end(entry.id_token.lower())
        if len(self._heard) > _REMEMBERED:
            self._heard.popitem(last=False)

    @property
    def version(self) -> int:
        """Return the version of the list that stations are given: another one whenever an entry changes."""
        words = json.dumps([asdict(entry) for entry in self.policy.tokens], sort_keys=True)
        return crc32(words.encode()) % 2**31 or 1
