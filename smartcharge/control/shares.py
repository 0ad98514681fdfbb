"""What each site of a group may be drawing: the set of believed limits, one level above a station's.

A site that was given a share may have heard of it or not, so each carries every share that it may be holding itself
to, and whoever hands out room must reserve the highest (`worst_w`).  A share that lapsed counts as the site's safe
share, or as itself where it was lower: silence never loosens.  No clock is read here: that a share lapsed is a fact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from smartcharge.events import ShareLapsed, ShareLeased, ShareWanted
from smartcharge.frozen import replace
from smartcharge.model import Group, Member

ANY = -1
"""Number of the share that a site may hold of a coordinator that was forgotten: no word of the site ends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A share that a site may be holding itself to."""

    number: int
    limit_w: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberState:
    """What is known of one site of a group."""

    member: Member
    leases: tuple[Lease, ...]
    """Never empty; the first is the last that the site said it took, once it said something."""
    newest: Lease | None = None
    """What it was given last and may still be told again; None before the first, and once it lapsed."""
    number: int = 0
    """The highest number that was ever given out."""
    heard: ShareWanted | None = None

    @property
    def safe_w(self) -> float:
        """Return its safe share [W]: the higher of what our file and its own say."""
        return self.member.safe_w if self.heard is None else max(self.member.safe_w, self.heard.safe_w)

    @property
    def linger_s(self) -> float:
        """Return how long its stations may go on when its controller dies [s]."""
        return self.member.linger_s if self.heard is None else max(self.member.linger_s, self.heard.linger_s)


def unheard(group: Group) -> dict[str, MemberState]:
    """Return what is known of sites of which nothing was heard: each may hold all that there is."""
    anything = Lease(number=ANY, limit_w=group.limit_w)
    return {member.id: MemberState(member=member, leases=(anything,)) for member in group.members}


def worst_w(known: MemberState) -> float:
    """Return the most that a site may be drawing [W]."""
    return max(lease.limit_w for lease in known.leases)


def after(known: MemberState, event: ShareWanted | ShareLeased | ShareLapsed) -> MemberState:
    """Return what is known of a site after a fact about it."""
    match event:
        case ShareWanted():
            return _wanted(known, event)
        case ShareLeased(number=number, limit_w=limit_w):
            lease = Lease(number=number, limit_w=limit_w)
            return replace(known, leases=(*known.leases, lease), newest=lease, number=number)
        case ShareLapsed(number=number):
            return _lapsed(known, number)
        case _:
            assert_never(event)


def _wanted(known: MemberState, event: ShareWanted) -> MemberState:
    """Return a site that said what it took: older shares are over, newer ones may be on their way.

    What it may still draw above that, while its stations follow, counts as if it had been given.  A word that comes
    late or twice names an older share, which is believed beside the newer ones until they are confirmed again.
    """
    held = Lease(number=event.number, limit_w=max(event.limit_w, event.reserved_w))
    is_over = event.is_lapsed and known.newest is not None and event.number >= known.newest.number
    is_unknown = event.number > known.number  # of a coordinator that was forgotten
    return replace(
        known,
        leases=(held, *(lease for lease in known.leases if lease.number > event.number or lease.number == ANY)),
        newest=None if is_over or is_unknown else known.newest,
        number=max(known.number, event.number),
        heard=event,
    )


def _lapsed(known: MemberState, number: int) -> MemberState:
    leases = tuple(
        replace(lease, limit_w=min(lease.limit_w, known.safe_w)) if lease.number == number else lease
        for lease in known.leases
        if number != ANY or lease.number != ANY
    )
    is_newest = known.newest is not None and known.newest.number == number
    nothing = (Lease(number=0, limit_w=known.safe_w),)
    return replace(known, leases=leases or nothing, newest=None if is_newest else known.newest)
