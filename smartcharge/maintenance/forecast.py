"""Who will come: the days of the last weeks, as they were, stand for the days to come.

Each visit of the last weeks comes back on the same weekday at the same hour.  So a forecast is not one figure but a
few whole days that did happen, with everybody who was there.  What is not known of a visit (an energy that no meter
told, the end of one that goes on) is what `control.prediction` learnt from the site's own sessions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Final

from smartcharge.control import prediction
from smartcharge.control.prediction import Ended, History, Quantity, Visitor, quantile
from smartcharge.errors import MaintenanceError
from smartcharge.events import Plugged, TransactionStarted, Unplugged
from smartcharge.maintenance.sessions import charges
from smartcharge.maintenance.spans import Span
from smartcharge.model import EvseId
from smartcharge.ports import Kept

DAY_S: Final = 86400.0
WEEK_S: Final = 7 * DAY_S
WEEKS: Final = 4
"""How many weeks back a forecast looks: it knows habits, and forgets holidays."""
LIKELY: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A car at an EVSE, and what it took."""

    evse: EvseId
    span: Span
    energy_wh: float

    def later(self, by_s: float) -> Visit:
        """Return the same visit at another time."""
        return replace(self, span=Span(self.span.since_s + by_s, self.span.until_s + by_s))


def visits(facts: Sequence[Kept]) -> list[Visit]:
    """Return every visit that facts tell of, in the order of their beginnings."""
    begun: dict[EvseId, float] = {}
    tokens: dict[EvseId, str | None] = {}
    found: list[tuple[Visitor, float | None]] = []
    for _, event in facts:
        match event:
            case Plugged(evse=evse):
                begun.setdefault(evse, event.at_s)
            case TransactionStarted(evse=evse):
                begun.setdefault(evse, event.at_s)
                tokens.setdefault(evse, event.id_token)
            case Unplugged(evse=evse) if evse in begun:
                visitor = Visitor(evse=evse, plugged_at_s=begun.pop(evse), id_token=tokens.pop(evse, None))
                found.append((visitor, event.at_s))
            case _:
                pass
    found += [(Visitor(evse=evse, plugged_at_s=at_s, id_token=tokens.get(evse)), None) for evse, at_s in begun.items()]
    return _whole(sorted(found, key=lambda pair: pair[0].plugged_at_s), _taken(facts))


def _taken(facts: Sequence[Kept]) -> Mapping[EvseId, list[tuple[float, float | None]]]:
    """Return the start of each charge at an EVSE, and what it took [Wh] if a meter told."""
    taken: dict[EvseId, list[tuple[float, float | None]]] = {}
    for charge in charges(facts):
        taken.setdefault(charge.started.evse, []).append((charge.started.at_s, charge.energy_wh))
    return taken


def _whole(
    found: Iterable[tuple[Visitor, float | None]], taken: Mapping[EvseId, list[tuple[float, float | None]]]
) -> list[Visit]:
    """Return visits with an end and an energy; what is missing is what the site had learnt by then."""
    history, whole = History(), []
    for visitor, end_s in found:
        stay_s = quantile(history, visitor, Quantity.STAY, LIKELY)
        span = Span(visitor.plugged_at_s, visitor.plugged_at_s + stay_s if end_s is None else end_s)
        told = [wh for at_s, wh in taken.get(visitor.evse, ()) if span.since_s <= at_s < span.until_s]
        known = [wh for wh in told if wh is not None]
        if told and not known:
            energy_wh = quantile(history, visitor, Quantity.ENERGY, LIKELY)
        else:
            energy_wh = sum(known)
            history = prediction.after(history, visitor, Ended(at_s=span.until_s, energy_wh=energy_wh, is_full=True))
        whole.append(Visit(evse=visitor.evse, span=span, energy_wh=energy_wh))
    return whole


def days(known: Sequence[Visit], span: Span, since_s: float, now_s: float) -> list[list[Visit]]:
    """Return what may happen in a stretch of time to come: as many days as there are weeks to look back on.

    ``since_s`` is when the site was first watched [s since 1970].  Raises MaintenanceError where that is less than a
    week ago.
    """
    latest = max(ceil((span.until_s - now_s) / WEEK_S), 1)
    found = []
    for week in range(latest, latest + WEEKS):
        then = Span(span.since_s - week * WEEK_S, span.until_s - week * WEEK_S)
        if then.since_s >= since_s:
            there = (v for v in known if v.span.since_s < then.until_s and v.span.until_s > then.since_s)
            found.append([visit.later(week * WEEK_S) for visit in there])
    if not found:
        raise MaintenanceError("nobody knows yet who comes: a forecast takes the facts of a week at least")
    return found
