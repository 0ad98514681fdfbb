"""How long a share lasts, by two clocks that need not agree: each side counts durations, and on the safe side.

The site counts from when it sent the need that a share answers; the coordinator from when it said the share, which was
later, and for as long again as the site's stations may go on by themselves.  So the room of a share that was not
renewed is free for the site first, and for the others after.  Times here are those of a clock that is never set; what a
start finds in the journal counts from the start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import NamedTuple

from smartcharge.control.needs import Need, in_steps
from smartcharge.control.shares import MemberState
from smartcharge.model import Group

USED = 0.9
"""From this part on a share counts as used."""
PATIENCE_S = 120.0
"""How long a site may leave some of its share before it asks for less [s]: its plans and stations need time."""
REMEMBERED = 32
"""Needs that an answer may still come to."""


class Answer(NamedTuple):
    """A share as it is said to a site."""

    member: str
    number: int
    limit_w: float
    token: str
    """Of the need that it answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the coordinator has said to each site, and when each share will surely be over."""

    answered: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """Token and number of what was said to each site last."""
    lapse_s: Mapping[tuple[str, int], float] = field(default_factory=dict)
    """When each share of a site lapses unless it is renewed."""

    def told(self, group: Group, members: Mapping[str, MemberState], at_s: float) -> tuple[Terms, tuple[Answer, ...]]:
        """Return the terms after a cycle, and what is to be said: every new share, and the newest to every need."""
        answers = tuple(self._answers(members))
        lapse_s = dict(self.lapse_s)
        for name, known in members.items():
            term_s = at_s + group.lease_s + known.linger_s + group.margin_s
            for number in self._counted(known):
                lapse_s[name, number] = term_s
        for answer in answers:
            known = members[answer.member]
            lapse_s[answer.member, answer.number] = at_s + group.lease_s + known.linger_s + group.margin_s
        answered = {**self.answered, **{a.member: (a.token, a.number) for a in answers}}
        return replace(self, answered=answered, lapse_s=lapse_s), answers

    def over(self, at_s: float) -> tuple[Terms, tuple[tuple[str, int], ...]]:
        """Return the terms that are left, and the shares, by site and number, that have lapsed."""
        gone = tuple(key for key, lapse_s in self.lapse_s.items() if lapse_s <= at_s)
        return replace(self, lapse_s={key: s for key, s in self.lapse_s.items() if key not in gone}), gone

    def _answers(self, members: Mapping[str, MemberState]) -> Iterator[Answer]:
        for name, known in members.items():
            if known.newest is None or known.heard is None:
                continue
            if self.answered.get(name) != (known.heard.token, known.newest.number):
                yield Answer(name, known.newest.number, known.newest.limit_w, known.heard.token)

    def _counted(self, known: MemberState) -> Iterator[int]:
        """Yield shares to be counted from now on: new ones, and the one that a site has just said to be drawing."""
        name = known.member.id
        is_news = known.heard is not None and self.answered.get(name, ("", 0))[0] != known.heard.token
        for lease in known.leases:
            is_said = is_news and lease is known.leases[0]
            if lease.limit_w > known.safe_w and (is_said or (name, lease.number) not in self.lapse_s):
                yield lease.number


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenancy:
    """What a site has asked, and the newest share that it took."""

    taken: int
    """Number of the share; 0 for none."""
    said: Need | None = None
    """Its newest need."""
    asked_s: Mapping[str, float] = field(default_factory=dict)
    """By token, when each need was sent."""
    used_s: float = -inf
    """When it last used its share, or was given a larger one."""

    def after(self, need: Need, at_s: float) -> tuple[Tenancy, Need]:
        """Return it after a look at what the site needs, and what it should say.

        A site that leaves some of its share for long, because its plan is to charge later, asks for what it may be
        drawing and a little to show more.
        """
        is_larger = self.said is None or need.limit_w > self.said.limit_w
        used_s = at_s if is_larger or need.reserved_w >= USED * need.limit_w else self.used_s
        seen = replace(self, used_s=used_s)
        if at_s - used_s <= PATIENCE_S:
            return seen, need
        enough_w = in_steps(need.reserved_w / USED**2)
        return seen, replace(need, wanted_w=min(need.wanted_w, enough_w))

    def asking(self, need: Need, token: str, at_s: float) -> Tenancy:
        """Return it after a need was sent."""
        asked = [*self.asked_s.items(), (token, at_s)]
        return replace(self, said=need, asked_s=dict(asked[-REMEMBERED:]))

    def left_s(self, number: int, duration_s: float, token: str, at_s: float) -> float | None:
        """Return how long a share may be followed from now on; None if it must not be taken.

        One that answers no need of this life, comes too late, or was followed by a newer one is not taken; nor is a
        renewal once the site has said that the share is over: others may have its room by now.
        """
        asked_s = self.asked_s.get(token)
        if asked_s is None or self.said is None:
            return None
        is_over = self.said.is_lapsed and self.said.number == self.taken
        is_wanted = number > self.taken or (number == self.taken and not is_over)
        left_s = duration_s - (at_s - asked_s)
        return left_s if is_wanted and left_s > 0.0 else None
