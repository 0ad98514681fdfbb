"""Decision -> charging profiles to send: only what changed or must be renewed, lowering first."""

from __future__ import annotations

from collections.abc import Iterator

from smartcharge.control.evse import EvseState
from smartcharge.control.plan import Decision
from smartcharge.control.reach import is_commandable
from smartcharge.control.state import State
from smartcharge.events import Commanded, ProfileKind
from smartcharge.faults import Cause

RETRY_S = 30.0
"""How long a station that refused or did not answer is left alone before it is told the same again [s]."""
_ROUNDING_A = 1e-6


def changes(state: State, decision: Decision, now_s: float) -> tuple[Commanded, ...]:
    """Return the commands that make the decision true, numbered after the last one given.

    A command that waits for its answer is not repeated; one that expires is renewed at half its life,
    so that every setpoint ends by itself when nobody stands behind it any more (I3).
    """
    wanted = [*_default_profiles(state, now_s), *_lowering_first(_setpoints(state, decision, now_s))]
    return tuple(
        Commanded(
            at_s=now_s, command_id=state.last_command_id + number, evse=evse.evse.id, kind=kind, limit_a=limit_a,
            expires_s=now_s + state.site.timing.profile_s if kind is ProfileKind.TRANSACTION else None,
            transaction_id=evse.session.transaction_id if evse.session is not None else None,
        )
        for number, (evse, kind, limit_a) in enumerate(wanted, start=1)
    )  # fmt: skip


_Wanted = tuple[EvseState, ProfileKind, float]


def _default_profiles(state: State, now_s: float) -> Iterator[_Wanted]:
    """Yield the default profiles that stations in reach have not confirmed yet."""
    for name, evse in state.evses.items():
        if evse.has_our_default or not state.is_online(name):
            continue
        rests = evse.default_commanded_s is not None and now_s - evse.default_commanded_s < RETRY_S
        if not rests:
            yield evse, ProfileKind.DEFAULT, evse.evse.default_a


def _setpoints(state: State, decision: Decision, now_s: float) -> Iterator[_Wanted]:
    for name, setpoint in decision.setpoints.items():
        evse = state.evses[name]
        if is_commandable(state, name) and _is_news(state, evse, setpoint.limit_a, now_s):
            yield evse, ProfileKind.TRANSACTION, setpoint.limit_a


def _is_news(state: State, evse: EvseState, limit_a: float, now_s: float) -> bool:
    told = evse.commanded
    if told is None:
        is_default = evse.has_our_default and not evse.setpoints and limit_a == evse.evse.default_a
        return not is_default and not _rests(evse, limit_a, now_s)
    assert told.expires_s is not None
    is_due = told.expires_s - now_s <= state.site.timing.profile_s / 2.0
    caught = evse.health.deratings.get(Cause.OVER_LIMIT)
    if caught is not None and told.at_s < caught.said.at_s:
        return True  # it does not follow what it was told: it is told again
    return is_due or abs(limit_a - told.limit_a) > _ROUNDING_A


def _rests(evse: EvseState, limit_a: float, now_s: float) -> bool:
    """Tell whether the station refused as much a moment ago: hammering it helps nobody, but lowering never waits."""
    is_recent = evse.deaf_at_s is not None and now_s - evse.deaf_at_s < RETRY_S
    return is_recent and limit_a >= evse.deaf_to_a


def _lowering_first(wanted: Iterator[_Wanted]) -> list[_Wanted]:
    def is_raise(item: _Wanted) -> bool:
        evse, _, limit_a = item
        return limit_a > (evse.commanded.limit_a if evse.commanded is not None else evse.evse.default_a)

    return sorted(wanted, key=is_raise)
