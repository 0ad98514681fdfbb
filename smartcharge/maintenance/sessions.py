"""Which charges worked: AFIREV's session success, and whether energy flowed at all.

A session succeeded if it took over 2 min and over 0.5 kWh, or if the customer ended it (AFIREV).  The
denominator is every transaction that was authorised and began.  What was never heard to end, or has
no meter at one of its ends, is unknown and in neither.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from smartcharge.events import TransactionEnded, TransactionStarted
from smartcharge.maintenance.spans import Span
from smartcharge.model import EvseId
from smartcharge.ports import Kept

LEAST_S: Final = 120.0
LEAST_WH: Final = 500.0
BY_CUSTOMER: Final = frozenset({"Local", "Remote"})
"""OCPP reasons by which the customer ended it, at the station or by a remote stop.  No reason means Local (1.6
StopTransaction.req, 2.0.1 stoppedReason).  A plug that was pulled may be despair, so time and energy judge it."""


class Outcome(Enum):
    """How a session went."""

    SUCCESS = "success"
    FAILURE = "failure"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One transaction, as far as it is known."""

    started: TransactionStarted
    seq: int
    """Number of the fact that began it."""
    ended: TransactionEnded | None = None

    @property
    def energy_wh(self) -> float | None:
        """Return what flowed [Wh]; None where a register is missing or ran backwards."""
        if self.ended is None or self.started.meter_wh is None or self.ended.meter_wh is None:
            return None
        energy_wh = self.ended.meter_wh - self.started.meter_wh
        return energy_wh if energy_wh >= 0.0 else None

    @property
    def outcome(self) -> Outcome:
        """Return AFIREV's verdict."""
        if self.ended is None:
            return Outcome.UNKNOWN
        if (self.ended.reason or "Local") in BY_CUSTOMER:
            return Outcome.SUCCESS
        if self.ended.at_s - self.started.at_s <= LEAST_S:
            return Outcome.FAILURE
        if self.energy_wh is None:
            return Outcome.UNKNOWN
        return Outcome.SUCCESS if self.energy_wh > LEAST_WH else Outcome.FAILURE

    @property
    def has_begun_to_charge(self) -> bool | None:
        """Tell whether energy flowed at all; None where no meter tells."""
        return None if self.energy_wh is None else self.energy_wh > 0.0


def charges(facts: Iterable[Kept]) -> list[Charge]:
    """Return every transaction whose start is known, in the order of their starts; the first word on each stands.

    A name that comes again after its transaction ended is another one: some stations count from 1 again after a boot.
    """
    past: list[Charge] = []
    begun: dict[tuple[EvseId, str], Charge] = {}
    for seq, event in facts:
        match event:
            case TransactionStarted(evse=evse, transaction_id=name, at_s=at_s):
                last = begun.get((evse, name))
                if last is not None and last.ended is not None and at_s > last.ended.at_s:
                    past.append(begun.pop((evse, name)))
                begun.setdefault((evse, name), Charge(started=event, seq=seq))
            case TransactionEnded(evse=evse, transaction_id=name):
                charge = begun.get((evse, name))
                if charge is not None and charge.ended is None:
                    begun[evse, name] = Charge(started=charge.started, seq=charge.seq, ended=event)
            case _:
                pass
    return sorted((*past, *begun.values()), key=lambda charge: charge.seq)


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """How many charges worked."""

    starts: int
    successes: int
    failures: int
    began_to_charge: int
    did_not_begin: int

    @property
    def session_share(self) -> float | None:
        """Return the share of sessions that succeeded; None if none is known."""
        return _share(self.successes, self.failures)

    @property
    def start_share(self) -> float | None:
        """Return the share of starts after which energy flowed; None if none is known."""
        return _share(self.began_to_charge, self.did_not_begin)


def success(of: Iterable[Charge], span: Span) -> Success:
    """Return how the charges that began in a stretch of time went."""
    mine = [charge for charge in of if span.since_s <= charge.started.at_s < span.until_s]
    outcomes = [charge.outcome for charge in mine]
    begun = [charge.has_begun_to_charge for charge in mine]
    return Success(
        starts=len(mine),
        successes=outcomes.count(Outcome.SUCCESS),
        failures=outcomes.count(Outcome.FAILURE),
        began_to_charge=begun.count(True),
        did_not_begin=begun.count(False),
    )


def _share(good: int, bad: int) -> float | None:
    return good / (good + bad) if good + bad else None
