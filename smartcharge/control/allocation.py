"""The safety gate: the plan proposes, this disposes.

Three steps.  *Fit*: scale the wishes of the plan down until they fit every row beside all that cannot
be relied on.  *Lower*: whoever has more than its target is told so at once.  *Raise*: only into room
that is free while everybody else does the worst that is believed of it (I1, I2).

Rows bound every way in which cars draw less (see `topology`), so what fits at the setpoints fits
below them: feasibility is monotone, and everything here leans on that.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from smartcharge.control.evse import EvseState
from smartcharge.control.flow import Flow
from smartcharge.control.health.score import scores
from smartcharge.control.limits import Limits
from smartcharge.control.plan import Decision, Plan, Setpoint
from smartcharge.control.planning import beside_w
from smartcharge.control.reach import is_commandable, is_reliable
from smartcharge.control.requests import offer_cap_a, wants_more
from smartcharge.control.state import State
from smartcharge.model import Evse, EvseId
from solvers.problem import Floats

_ROUNDING_A = 1e-6
_NO_CAR = Setpoint(limit_a=0.0, reason="no car")


def allocate(state: State, limits: Limits, plan: Plan | None, now_s: float) -> Decision:
    """Return a setpoint for every EVSE that keeps every limit while every station does its believed worst."""
    site = _Site.of(state, limits, now_s)
    order = _order(site)
    wishes = {e: _wish(state, limits, plan, site.names[e], now_s) for e in order}
    targets = _fit(site, order, wishes, inf if plan is None else plan.peak_w)
    granted = _raise(site, order, targets)
    setpoints = {
        name: Setpoint(limit_a=granted[e], reason=_reason(site, e, granted[e], targets[e], wishes[e]))
        if e in granted
        else _untouched(state, name, float(site.reserved_a[e]))
        for e, name in enumerate(site.names)
    }
    return Decision(at_s=now_s, setpoints=setpoints)


def floor_to_step(evse: Evse, amps: float) -> float:
    """Return the highest allowed setpoint [A] not above ``amps``: a step, or 0 below the minimum."""
    amps = min(amps, evse.max_a)
    if evse.steps_a:
        at = bisect_right(evse.steps_a, amps + _ROUNDING_A)
        return evse.steps_a[at - 1] if at else 0.0
    return amps if amps >= evse.min_a - _ROUNDING_A else 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Site:
    """The numbers of one cycle, by column e of the topology."""

    state: State
    limits: Limits
    names: tuple[EvseId, ...]
    evses: tuple[EvseState, ...]
    available_a: Floats
    """What is left for the cars on each row [A], shape (R,)."""
    commandable: tuple[int, ...]
    """The EVSEs to which a setpoint can be sent now."""
    reliable: frozenset[int]
    """Those of them with which it may be counted on."""
    reserved_a: Floats
    """The worst that each EVSE may do now [A], shape (E,)."""
    fixed_a: Floats
    """The part of it that no command can be relied on to change [A], shape (E,)."""
    worst: Flow
    """What flows if everybody does its worst; to be looked at only."""

    @classmethod
    def of(cls, state: State, limits: Limits, now_s: float) -> _Site:
        names = state.topology.evses
        available_a = limits.available_a
        reserved_a = np.array([state.reserved_a(name, now_s) for name in names], dtype=np.float64)
        commandable = tuple([e for e, name in enumerate(names) if is_commandable(state, name)])
        reliable = frozenset([e for e in commandable if is_reliable(state, names[e])])
        fixed_a = reserved_a.copy()
        fixed_a[list(reliable)] = 0.0
        return cls(
            state=state, limits=limits, names=names, evses=tuple([state.evses[name] for name in names]),
            available_a=available_a, commandable=commandable, reliable=reliable, reserved_a=reserved_a, fixed_a=fixed_a,
            worst=Flow(topology=state.topology, available_a=available_a, current_a=reserved_a),
        )  # fmt: skip

    def flow(self, current_a: Floats) -> Flow:
        return Flow(topology=self.state.topology, available_a=self.available_a, current_a=current_a)

    def told_a(self, e: int) -> float:
        """Return the setpoint that an EVSE stays at if nothing is said [A]: never above its worst.

        What it was told last may have expired meanwhile; room that it left is not its own any more.
        """
        told, worst_a = self.evses[e].commanded, float(self.reserved_a[e])
        return floor_to_step(self.evses[e].evse, worst_a if told is None else min(told.limit_a, worst_a))


def _order(site: _Site) -> tuple[int, ...]:
    """Return the columns that can be commanded: by priority, then who charges already, then who came first.

    All else equal, the healthier EVSE goes first.
    """

    def rank(e: int) -> tuple[int, bool, float]:
        evse = site.evses[e]
        assert evse.session is not None
        return -evse.session.priority, not _is_charging(evse), evse.session.plugged_at_s

    ranks = {e: rank(e) for e in site.commandable}
    has_ties = len(set(ranks.values())) < len(ranks)
    health = scores(site.state) if has_ties else {}
    return tuple(sorted(ranks, key=lambda e: (ranks[e], -health.get(site.names[e], 0.0), site.names[e])))


def _is_charging(evse: EvseState) -> bool:
    return evse.commanded is not None and evse.commanded.limit_a >= evse.evse.min_a


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish(Setpoint):
    """What an EVSE should have if there were room, and why it is not more."""

    is_comfort: bool = False
    """Whether it only keeps a car from being switched off: it yields to every other wish."""


def _wish(state: State, limits: Limits, plan: Plan | None, name: EvseId, now_s: float) -> _Wish:
    evse, cap = state.evses[name], limits.caps[name]
    if cap.limit_a < evse.evse.min_a:
        return _Wish(limit_a=0.0, reason=cap.source)
    if not wants_more(evse):
        return _comfort(evse, "has what it asked for")
    planned_a = plan.setpoint_a(name, now_s) if plan is not None else None
    if planned_a is None:
        return _Wish(limit_a=evse.evse.min_a, reason="waiting for the plan")
    if planned_a < evse.evse.min_a - _ROUNDING_A:
        is_dear = plan is not None and plan.is_cheaper_later(name, now_s)
        return (
            _comfort(evse, "the plan: not now") if not is_dear else _Wish(limit_a=0.0, reason="the plan: cheaper later")
        )
    highest_a, reason = min((cap.limit_a, cap.source), (offer_cap_a(evse), "the car takes no more"))
    return _Wish(limit_a=min(planned_a, highest_a), reason=reason if planned_a >= highest_a else "the plan")


def _comfort(evse: EvseState, reason: str) -> _Wish:
    """Return the lowest current for a car that charges: switching off wears contactors, and some cars sleep on it."""
    return _Wish(limit_a=evse.evse.min_a if _is_charging(evse) else 0.0, reason=reason, is_comfort=True)


def _fit(site: _Site, order: Sequence[int], wishes: Mapping[int, _Wish], peak_w: float) -> dict[int, float]:
    """Return targets that fit beside what is fixed: those that need energy first, comfort in what remains.

    Comfort is the least of all: it raises no power above ``peak_w``, that which is paid for anyway.
    """
    reliable = [e for e in order if e in site.reliable]
    needs = [e for e in reliable if not wishes[e].is_comfort]
    flow = site.flow(site.fixed_a)
    _share(site, flow, needs, {e: wishes[e].limit_a for e in needs})
    watts_per_amp = site.state.topology.watts_per_amp
    paid_w = peak_w - beside_w(site.state) - float(watts_per_amp @ flow.current_a)
    for e in reliable:
        comfort_a = wishes[e].limit_a if wishes[e].is_comfort else 0.0
        if comfort_a > 0.0 and watts_per_amp[e] * comfort_a <= paid_w and flow.fits_with(e, comfort_a):
            paid_w -= float(watts_per_amp[e]) * comfort_a
            flow.set(e, comfort_a)
    targets = {e: floor_to_step(site.evses[e].evse, float(flow.current_a[e])) for e in reliable}
    for e in order:
        if e not in targets:
            # Its worst is reserved whatever it is told; it is told the least only if even that is too much.
            keeps = flow.fits_with(e, float(flow.current_a[e]))
            wished_a = floor_to_step(site.evses[e].evse, wishes[e].limit_a)
            targets[e] = min(wished_a, site.told_a(e)) if keeps else 0.0
    return targets


def _share(site: _Site, flow: Flow, needs: Sequence[int], wishes: Mapping[int, float]) -> None:
    """Give everybody its wish if all fit; else floors in order, the same share of the rest, then what is left."""
    wished = flow.current_a.copy()
    wished[list(needs)] = [wishes[e] for e in needs]
    if flow.fits_all(wished, needs):
        flow.set_all(wished)
        return
    for e in needs:
        floor_a = min(wishes[e], floor_to_step(site.evses[e].evse, site.evses[e].evse.min_a))
        if floor_a > 0.0 and flow.fits_with(e, floor_a):
            flow.set(e, floor_a)
    served = [e for e in needs if flow.current_a[e] > 0.0]
    flow.set_all(flow.towards(wished, served))
    for e in served:
        flow.set(e, flow.highest(e, wishes[e]))


def _raise(site: _Site, order: Sequence[int], targets: Mapping[int, float]) -> dict[int, float]:
    """Return what may be said now: every lowering, and of the raises what fits beside everybody's worst."""
    granted: dict[int, float] = {}
    worst = site.flow(site.reserved_a)
    deadband_a = site.state.site.deadband_a
    crowded = worst.crowded()  # whom raises cannot change: they stay within every row
    for e in order:
        evse, told_a = site.evses[e].evse, site.told_a(e)
        is_full = e in crowded
        if targets[e] <= told_a:
            is_allowed = not is_full and told_a <= site.limits.caps[site.names[e]].limit_a
            is_tiny = is_allowed and told_a - targets[e] < deadband_a and targets[e] > 0.0
            granted[e] = told_a if is_tiny else targets[e]
            continue
        room_a = told_a if is_full else floor_to_step(evse, worst.highest(e, targets[e]))
        is_worth_it = room_a - told_a >= deadband_a or (told_a < evse.min_a <= room_a)
        granted[e] = room_a if is_worth_it else told_a
        worst.set(e, max(float(worst.current_a[e]), granted[e]))
    return granted


def _untouched(state: State, name: EvseId, reserved_a: float) -> Setpoint:
    evse = state.evses[name]
    if not state.is_online(name):
        return Setpoint(limit_a=reserved_a, reason="station offline: its last limit, then its default, is reserved")
    if evse.occupied is False:
        return _NO_CAR
    return Setpoint(limit_a=reserved_a, reason="no transaction: its default profile is reserved")


def _reason(site: _Site, e: int, granted_a: float, target_a: float, wish: _Wish) -> str:
    """Return what binds: the wish itself, a full row, or room that is not free yet."""
    if granted_a >= floor_to_step(site.evses[e].evse, wish.limit_a) - site.state.site.deadband_a:
        return wish.reason
    if site.evses[e].deaf_at_s is not None:
        return "the station does not follow commands"
    if granted_a <= target_a - site.state.site.deadband_a:
        return f"waiting for room: {_tightest(site, e)}"
    return _tightest(site, e)


def _tightest(site: _Site, e: int) -> str:
    """Return the source of the row above an EVSE that has the least room left."""
    return site.limits.source[site.worst.tightest(e)]
