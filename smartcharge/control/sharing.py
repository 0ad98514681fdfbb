"""How a group's limit is shared among its sites: by need, lowered before it is raised (I1, I2).

Each site keeps its safe share.  What is above them is shared by weighted max-min fairness: nobody gets more while one
who wants more has less for its weight, and what a site does not want goes to the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import floor

from smartcharge.control.limits import grid_bounds, power_w
from smartcharge.control.shares import MemberState, worst_w
from smartcharge.control.state import State
from smartcharge.events import ShareLeased
from smartcharge.model import Group

RAISE_W = 100.0
"""A raise by less than this is not worth a message [W]."""
HEARD_SHARE = 0.5
"""A site counts as there for this share of a lease after it was heard: it asks four times in each."""


def limit_of(state: State, now_s: float) -> tuple[float, str]:
    """Return what a group may draw now [W], and who says so."""
    assert state.site.group is not None
    circuit = state.site.circuits[0]
    found = [(state.site.group.limit_w, "the group's own limit")]
    found += [(power_w(circuit, bound), bound.source) for _, bound in grid_bounds(state, now_s)]
    return min(found)


def believed_w(state: State) -> float:
    """Return the most that the sites of a group may be drawing together [W]."""
    return sum(map(worst_w, state.members.values()))


def measured_w(state: State) -> tuple[float, float] | None:
    """Return what the sites of a group measured together [W], and when the first of them did; None if one is silent."""
    heard = [known.heard for known in state.members.values()]
    measured = [(said.measured_w, said.at_s) for said in heard if said is not None and said.measured_w is not None]
    if len(measured) < len(heard):
        return None
    return sum(w for w, _ in measured), min(at_s for _, at_s in measured)


def leases(state: State, now_s: float) -> Iterator[ShareLeased]:
    """Yield what is to be said to sites that are there: every lowering, and what fits of the raises."""
    group = state.site.group
    if group is None:
        return
    limit_w, _ = limit_of(state, now_s)
    targets = fair_shares(state, limit_w, now_s)
    worst = {name: _held_w(known, is_there=name in targets) for name, known in state.members.items()}
    for name, target_w in targets.items():
        known = state.members[name]
        room_w = limit_w - sum(worst.values()) + worst[name]
        granted_w = float(floor(_granted_w(known, target_w, room_w)))
        if known.newest is None or granted_w != known.newest.limit_w:
            worst[name] = max(worst[name], granted_w)
            yield ShareLeased(at_s=now_s, member=name, number=known.number + 1, limit_w=granted_w)


def fair_shares(state: State, limit_w: float, now_s: float) -> dict[str, float]:
    """Return what each site that is there should have [W]: its safe share as far as there is room, then by need.

    Beside a site that was never heard of, others keep their safe shares: no coordinator ever lent them.
    """
    assert state.site.group is not None
    there = [known for known in state.members.values() if _is_there(known, state.site.group, now_s)]
    away = [known for known in state.members.values() if known not in there]
    weights = [known.member.weight for known in there]
    away_w = sum(known.safe_w if known.heard is None else _held_w(known, is_there=False) for known in away)
    safe_w = max_min(limit_w - away_w, weights, [known.safe_w for known in there])
    more_w = [max(_wanted_w(known) - w, 0.0) for known, w in zip(there, safe_w, strict=True)]
    held_w = sum(_held_w(known, is_there=False) for known in away)
    above_w = max_min(limit_w - held_w - sum(safe_w), weights, more_w)
    return {k.member.id: safe + above for k, safe, above in zip(there, safe_w, above_w, strict=True)}


def max_min(room_w: float, weights: Sequence[float], wishes_w: Sequence[float]) -> list[float]:
    """Return the weighted max-min fair division of some room [W] among wishes [W]."""
    given = [0.0] * len(wishes_w)
    waiting = sorted(range(len(wishes_w)), key=lambda i: wishes_w[i] / weights[i])
    while waiting:
        level = max(room_w, 0.0) / sum(weights[i] for i in waiting)
        i = waiting.pop(0)
        given[i] = min(wishes_w[i], level * weights[i])
        room_w -= given[i]
    return given


def _granted_w(known: MemberState, target_w: float, room_w: float) -> float:
    told_w = min(known.leases[0].limit_w, known.safe_w) if known.newest is None else known.newest.limit_w
    if target_w < told_w + RAISE_W:
        return min(target_w, told_w)
    return max(told_w, min(target_w, room_w))


def _held_w(known: MemberState, *, is_there: bool) -> float:
    """Return what must be kept for a site [W]: one that is not heard may be falling to its safe share, up or down."""
    return worst_w(known) if is_there else max(worst_w(known), known.safe_w)


def _wanted_w(known: MemberState) -> float:
    return 0.0 if known.heard is None else known.heard.wanted_w


def _is_there(known: MemberState, group: Group, now_s: float) -> bool:
    return known.heard is not None and now_s - known.heard.at_s < HEARD_SHARE * group.lease_s
