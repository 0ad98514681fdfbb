"""Down at once, up slowly (I6): how each cause moves an EVSE from step to step.

Pure steps: what a fault demands now, given what was demanded before.  Whoever runs the controller writes the answers
down as `Derated` and `Restored`, so the state of a derate is the fold of the journal too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from smartcharge.control.evse import EvseState
from smartcharge.control.health.memory import Derating
from smartcharge.control.health.rules import LONGEST_HOLD_S, LOWEST, RAMP, RULES, WINDOW_S, Rule
from smartcharge.control.health.vocabulary import cause_of
from smartcharge.control.health.watch import is_hot
from smartcharge.control.state import State
from smartcharge.events import Derated, FaultOrder, FaultRaised, Restored
from smartcharge.faults import Cause, DeratingStage, Effect, Response
from smartcharge.frozen import replace
from smartcharge.model import EvseId

Faults: TypeAlias = Mapping[Cause, Sequence[FaultRaised]]
"""The faults of an EVSE that are there now, by cause."""

_ROUNDING_A = 1e-6
BARE: Final = frozenset({"Faulted"})
"""Codes that say that an EVSE delivers nothing, and not why."""
BARE_S: Final = 5.0
"""How long the reason of such a word is waited for [s]: what delivers nothing needs no haste."""
TRIAL: Final = 0.5
"""Share of its maximum that an EVSE has after a person let it go, until a session went well."""
UNSTATED_MODULES = 2
"""Modules a DC EVSE is taken to have where the site file does not say: the fewest of which one can be lost."""


def causes(state: State, name: EvseId, now_s: float) -> Faults:
    """Return what is wrong with an EVSE now, by cause; what is muted is left out."""
    evse = state.evses[name]
    if not evse.faults:
        return {}
    boot = state.stations[evse.evse.station].boot
    found: dict[Cause, list[FaultRaised]] = {}
    is_named = any(fault.code not in BARE for fault in evse.faults.values())
    for fault in evse.faults.values():
        if is_named and fault.code in BARE:
            continue  # another fault says what it is
        cause = cause_of(fault, state.site.vendor_codes, None if boot is None else boot.vendor)
        cause = _as_told(cause, fault)
        if evse.health.muted.get(cause, 0.0) <= now_s:
            found.setdefault(cause, []).append(fault)
    return found


def _as_told(cause: Cause, fault: FaultRaised) -> Cause:
    """Return the cause in the light of what the station says of itself: a warning stops nobody, Faulted does."""
    if cause is Cause.UNKNOWN and fault.effect is Effect.WARNING:
        return Cause.HARMLESS
    return Cause.UNKNOWN if cause is Cause.HARMLESS and fault.effect is Effect.FAULTED else cause


def due(state: State, now_s: float) -> Iterator[Derated | Restored]:
    """Yield every step of a derate, down or up, that is due by now."""
    for name, evse in state.evses.items():
        if evse.faults or evse.health.deratings:
            faults = causes(state, name, now_s)
            for cause in {**faults, **evse.health.deratings}:
                rule = _answered(RULES[cause], state.site.response)
                known = evse.health.deratings.get(cause)
                step = _Case(rule=rule, evse=evse, faults=faults.get(cause, ()), known=known, now_s=now_s).step()
                if step is not None:
                    yield step


def _answered(rule: Rule, response: Response) -> Rule:
    """Return a rule as a site answers faults: as it is, or without a derate."""
    return rule if response is Response.DERATE else replace(rule, steps=())


def next_s(evse: EvseState) -> Iterator[float]:
    """Yield when time alone may move a derate of an EVSE [s since 1970]."""
    for cause, derating in evse.health.deratings.items():
        rule, at_s = RULES[cause], derating.said.at_s
        match derating.said.stage:
            case DeratingStage.ACTIVE:
                yield at_s + rule.step_s
            case DeratingStage.HOLD:
                yield at_s + _hold_s(rule, evse)
            case DeratingStage.RAMP if rule.ramp_s is not None:
                yield at_s + rule.ramp_s
            case _:
                pass
    yield from evse.health.muted.values()
    for fault in evse.faults.values():
        yield fault.at_s + (BARE_S if fault.code in BARE else RULES[Cause.MODULES_LOST].delay_s)


def repeats(evse: EvseState, cause: Cause, now_s: float) -> int:
    """Return how often a cause came within the window, this time included."""
    return sum(at_s > now_s - WINDOW_S for at_s in evse.health.history.raised_s.get(cause, ()))


def _hold_s(rule: Rule, evse: EvseState) -> float:
    times = len(evse.health.history.raised_s.get(rule.cause, ()))
    doubled = 2.0 ** max(times - 1, 0) if rule.backs_off else 1.0
    return min(rule.hold_s * doubled, LONGEST_HOLD_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One cause at one EVSE at one moment."""

    rule: Rule
    evse: EvseState
    faults: Sequence[FaultRaised]
    known: Derating | None
    now_s: float

    def step(self) -> Derated | Restored | None:
        """Return the step that is due, if any."""
        if not self.rule.steps and self.known is None:
            return None
        if self.faults:
            return self._down()
        assert self.known is not None
        return self._up(self.known) if self.known.released is None else self._on_trial(self.known.released)

    # -- down

    def _down(self) -> Derated | None:
        known = self.known
        if known is not None and known.said.stage is DeratingStage.LATCHED:
            return None
        is_latched = (
            self.rule.latch_at is not None and repeats(self.evse, self.rule.cause, self.now_s) >= self.rule.latch_at
        )
        if is_latched:
            return self._say(DeratingStage.LATCHED, 0.0, f"latched: {self._words()}, until somebody releases it")
        if known is None or known.said.stage is not DeratingStage.ACTIVE:
            return self._begin(known)
        return self._deeper(known)

    def _begin(self, known: Derating | None) -> Derated | None:
        delay_s = BARE_S if all(fault.code in BARE for fault in self.faults) else self.rule.delay_s
        if self.now_s < max(fault.at_s for fault in self.faults) + delay_s:
            return None
        return self._on_probation() if known is None and self.rule.is_on_trial else self._to(self._first_a(known))

    def _deeper(self, known: Derating) -> Derated | None:
        limit_a = self._worth_a()
        if limit_a < known.said.limit_a - _ROUNDING_A:
            return self._to(limit_a)
        if self._is_pressing(known) and self.now_s >= known.said.at_s + self.rule.step_s:
            lower = [a for a in self._ladder_a() if a < known.said.limit_a - _ROUNDING_A]
            return self._to(lower[0]) if lower else None
        return self._rises(known, limit_a)

    def _rises(self, known: Derating, limit_a: float) -> Derated | None:
        """Return more where part of a fault went, such as one of two modules; the ladder never climbs by itself."""
        is_part = self.rule.cause is Cause.MODULES_LOST and limit_a > known.said.limit_a + _ROUNDING_A
        return self._to(limit_a) if is_part else None

    def _first_a(self, known: Derating | None) -> float:
        """Return where the ladder is entered: its top, below what a relapse was allowed, or its foot in probation."""
        ladder, worth_a = self._ladder_a(), self._worth_a()
        if known is None:
            return worth_a
        if known.said.stage is DeratingStage.PROBATION:
            return min(ladder)
        if known.said.stage is DeratingStage.HOLD:
            return min(known.said.limit_a, worth_a)
        return min(worth_a, max((a for a in ladder if a < known.said.limit_a), default=min(ladder)))

    def _worth_a(self) -> float:
        """Return what the fault leaves at its mildest [A]."""
        if BARE & self.evse.faults.keys() or any(fault.effect is Effect.FAULTED for fault in self.faults):
            return 0.0
        return self._ladder_a()[0]

    def _ladder_a(self) -> tuple[float, ...]:
        """Return the steps as currents [A]; what is below the minimum is a stop."""
        evse = self.evse.evse
        match self.rule.cause:
            case Cause.MODULES_LOST:
                count = evse.modules or UNSTATED_MODULES
                shares: tuple[float, ...] = (max(0.0, 1.0 - len(self.faults) / count),)
            case Cause.METER_FAILED if evse.bills:
                shares = (0.0,)
            case _:
                shares = self.rule.steps
        return tuple(floor_to_min(evse.min_a, evse.min_a if s == LOWEST else s * evse.max_a) for s in shares)

    def _is_pressing(self, known: Derating) -> bool:
        """Tell whether the fault goes on although the last step was taken."""
        match self.rule.cause:
            case Cause.OVER_LIMIT:
                reading = self.evse.reading
                has_seen = reading is not None and reading.at_s > known.said.at_s + _FOLLOW_S
                return self.evse.over_a is not None and has_seen
            case Cause.ENCLOSURE_HOT | Cause.CONNECTOR_HOT:
                is_told = any(fault.code != self.rule.cause.value for fault in self.faults)
                return is_told or is_hot(self.evse.health.watch, self.rule.cause)
            case _:
                return True

    def _to(self, limit_a: float) -> Derated | None:
        known = self.known
        is_same = known is not None and known.said.stage is DeratingStage.ACTIVE and known.said.limit_a == limit_a
        if is_same:
            return None
        share = limit_a / self.evse.evse.max_a
        words = "stopped" if limit_a <= 0.0 else f"derated to {100.0 * share:.0f} %" if share < 1.0 else "noted"
        return self._say(DeratingStage.ACTIVE, limit_a, f"{words}: {self._words()}")

    def _words(self) -> str:
        newest = max(self.faults, key=lambda fault: fault.at_s)
        detail = f" ({newest.detail})" if newest.detail else ""
        code = newest.vendor_code or newest.code
        return f"{self.rule.fault}{detail}" if code == self.rule.cause.value else f"{self.rule.fault}: {code}{detail}"

    # -- up

    def _up(self, known: Derating) -> Derated | Restored | None:
        said, waited_s = known.said, self.now_s - known.said.at_s
        match said.stage:
            case DeratingStage.LATCHED:
                return None
            case DeratingStage.ACTIVE:
                if self.rule.hold_s > 0.0:
                    gone = f"{self.rule.fault}: gone, for {_hold_s(self.rule, self.evse):.0f} s"
                    return self._say(
                        DeratingStage.HOLD,
                        said.limit_a,
                        gone,
                    )
                return self._after_hold(said.limit_a)
            case DeratingStage.HOLD:
                return self._after_hold(said.limit_a) if waited_s >= _hold_s(self.rule, self.evse) else None
            case DeratingStage.RAMP:
                assert self.rule.ramp_s is not None
                return self._ramp(said.limit_a) if waited_s >= self.rule.ramp_s else None
            case DeratingStage.PROBATION:
                return self._restore() if known.proofs >= self.rule.proofs else None

    def _after_hold(self, limit_a: float) -> Derated | Restored:
        if self.rule.probation is not None:
            return self._on_probation()
        return self._restore() if self.rule.ramp_s is None else self._ramp(limit_a)

    def _on_probation(self) -> Derated:
        assert self.rule.probation is not None
        probation_a = max(self.rule.probation * self.evse.evse.max_a, self.evse.evse.min_a)
        words = f"{self.rule.fault}: on probation for {self.rule.proofs} clean session(s)"
        return self._say(DeratingStage.PROBATION, probation_a, words)

    def _on_trial(self, order: FaultOrder) -> Derated:
        trial_a = max(TRIAL * self.evse.evse.max_a, self.evse.evse.min_a)
        reason = f"{self.rule.fault}: released by {order.author}, on probation: {order.reason}"
        return self._say(DeratingStage.PROBATION, trial_a, reason)

    def _ramp(self, limit_a: float) -> Derated | Restored:
        max_a, min_a = self.evse.evse.max_a, self.evse.evse.min_a
        higher_a = limit_a + RAMP * max_a
        if higher_a >= max_a - _ROUNDING_A:
            return self._restore()
        return self._say(DeratingStage.RAMP, max(higher_a, min_a), f"{self.rule.fault}: gone, coming back step by step")

    def _say(self, stage: DeratingStage, limit_a: float, reason: str) -> Derated:
        name, cause = self.evse.evse.id, self.rule.cause
        return Derated(at_s=self.now_s, evse=name, cause=cause, stage=stage, limit_a=limit_a, reason=reason)

    def _restore(self) -> Restored:
        return Restored(at_s=self.now_s, evse=self.evse.evse.id, cause=self.rule.cause)


_FOLLOW_S = 10.0
"""How long after a step a reading may still show what was before [s]."""


def floor_to_min(min_a: float, limit_a: float) -> float:
    """Return a derate [A]: below the lowest current at which a car charges it is a stop."""
    return limit_a if limit_a >= min_a - _ROUNDING_A else 0.0
