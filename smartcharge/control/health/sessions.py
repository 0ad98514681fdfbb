"""How the sessions of an EVSE go: failures in a row, cars that fall short, proofs of good conduct."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from smartcharge.control.health.memory import Derating, Health, History, Visit
from smartcharge.events import Charging, Metered, TransactionEnded, TransactionStarted
from smartcharge.faults import Cause, DeratingStage
from smartcharge.frozen import replace

if TYPE_CHECKING:
    from smartcharge.control.evse import EvseState

LEAST_S: Final = 120.0
LEAST_WH: Final = 500.0
"""A session that lasts longer and takes more than this succeeded (AFIREV)."""
VOLUNTARY: Final = frozenset({"Local", "Remote", "EVDisconnected", "DeAuthorized", "StoppedByEV", "SOCLimitReached",
                              "EnergyLimitReached", "TimeLimitReached", "LocalOutOfCredit", "MasterPass"})  # fmt: skip
"""Reasons by which the customer or the car ends a session (OCPP 1.6 Reason, 2.x ReasonEnumType)."""
LEAST_A: Final = 1.0
"""Least current from which a car can be said to fall short of anything [A]: the noise of a meter is less."""
SIGMA: Final = 0.10
"""Spread of what a car takes of what it took at its best, as a share."""
SLACK: Final = 0.5
"""What the CUSUM forgives each session, in standard deviations."""
MOST: Final = 2.0
"""The most that one session adds, in standard deviations: three cars that came almost full never make a fault."""
MOST_CARS: Final = 2_000
"""Cars that are remembered: at a public site new ones come every day."""
_FORGETS: Final = 0.98
"""What a session leaves of the weight of those before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CarSeen:
    """What is remembered of a car by its token, over all EVSEs."""

    best_a: float = 0.0
    """The most that it ever drew [A]."""
    errors: int = 0
    """How often a station complained of it."""


def started(history: History, event: TransactionStarted) -> History:
    """Return the history with a new transaction under way."""
    return replace(history, visit=Visit(began_s=event.at_s, token=event.id_token))


def metered(history: History, event: Metered, offered_a: float) -> History:
    """Return the history with the most that the car drew and was offered."""
    visit = history.visit
    if visit is None or event.current_a is None:
        return history
    peak_a, offer_a = max(visit.peak_a, *event.current_a), max(visit.offer_a, offered_a)
    if (peak_a, offer_a) == (visit.peak_a, visit.offer_a):
        return history
    return replace(history, visit=replace(visit, peak_a=peak_a, offer_a=offer_a))


def ended(evse: EvseState, event: TransactionEnded, cars: Mapping[str, CarSeen]) -> Health:
    """Return the health after a transaction; called before what it delivered is forgotten."""
    health, visit = evse.health, evse.health.history.visit
    if visit is None or evse.session is None:
        return health
    delivered_wh = evse.session.delivered_wh
    is_success = event.at_s - visit.began_s > LEAST_S and delivered_wh > LEAST_WH
    history = _judged(evse, health.history, visit, event, is_success=is_success)
    history = _compared(history, visit, cars.get(visit.token or ""), evse.evse.min_a)
    deratings = {cause: _proven(known, visit, is_clean=is_success and _obeyed(evse, cause))
                 for cause, known in health.deratings.items()}  # fmt: skip
    return replace(health, history=replace(history, visit=None), deratings=deratings)


def seen(cars: Mapping[str, CarSeen], visit: Visit | None) -> Mapping[str, CarSeen]:
    """Return what is known of cars after a visit."""
    if visit is None or visit.token is None:
        return cars
    known = cars.get(visit.token, CarSeen())
    return _with(cars, visit.token, replace(known, best_a=max(known.best_a, visit.peak_a)))


def complained(cars: Mapping[str, CarSeen], visit: Visit | None) -> Mapping[str, CarSeen]:
    """Return what is known of cars after a station complained of the one at it."""
    if visit is None or visit.token is None:
        return cars
    known = cars.get(visit.token, CarSeen())
    return _with(cars, visit.token, replace(known, errors=known.errors + 1))


def _with(cars: Mapping[str, CarSeen], token: str, car: CarSeen) -> Mapping[str, CarSeen]:
    """Return what is known of cars, the newest last; who was not there for longest is forgotten first."""
    others = {name: known for name, known in cars.items() if name != token}
    while len(others) >= MOST_CARS:
        del others[next(iter(others))]
    return {**others, token: car}


def _judged(evse: EvseState, history: History, visit: Visit, event: TransactionEnded, *, is_success: bool) -> History:
    """Count a success or a failure; what was never offered a current, or ended as its customer wished, is neither."""
    if is_success:
        return replace(
            history, failed=(), sessions=history.sessions * _FORGETS + 1.0, failures=history.failures * _FORGETS
        )
    was_offered = visit.offer_a >= evse.evse.min_a or evse.evse.default_a >= evse.evse.min_a
    if event.reason in VOLUNTARY or not was_offered or evse.charging is Charging.SUSPENDED_EV:
        return history
    return replace(
        history, failed=(*history.failed, visit.token), sessions=history.sessions * _FORGETS + 1.0,
        failures=history.failures * _FORGETS + 1.0,
    )  # fmt: skip


def _compared(history: History, visit: Visit, car: CarSeen | None, min_a: float) -> History:
    """Move the CUSUM by how far a car fell short of what it takes elsewhere; an unknown car tells nothing.

    A tapering car falls short now and then, a small car never does of its own best; and a car that draws
    more than those that fell short shows that the EVSE can.
    """
    if visit.peak_a > 1.1 * history.short_peak_a and history.short_cars:
        return replace(history, short=0.0, short_cars=(), short_peak_a=0.0)
    expected_a = 0.0 if car is None else min(visit.offer_a, car.best_a)
    if visit.token is None or expected_a < max(min_a, LEAST_A):
        return history
    deviation = min((1.0 - visit.peak_a / expected_a) / SIGMA, MOST)
    short = max(0.0, history.short + deviation - SLACK)
    if short == 0.0:
        return replace(history, short=0.0, short_cars=(), short_peak_a=0.0)
    if deviation <= SLACK:
        return replace(history, short=short)
    return replace(
        history, short=short, short_cars=tuple(dict.fromkeys((*history.short_cars, visit.token))),
        short_peak_a=max(history.short_peak_a, visit.peak_a),
    )  # fmt: skip


def _proven(known: Derating, visit: Visit, *, is_clean: bool) -> Derating:
    """Count a clean session that began in the probation."""
    is_new = known.said.stage is DeratingStage.PROBATION and visit.began_s >= known.said.at_s
    return replace(known, proofs=known.proofs + 1) if is_clean and is_new else known


def _obeyed(evse: EvseState, cause: Cause) -> bool:
    return cause is not Cause.OVER_LIMIT or evse.over_a is None
