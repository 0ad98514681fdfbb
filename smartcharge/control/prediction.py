"""How long a car stays and how much it wants when its driver says nothing, learnt from the site's own sessions.

Every session that ends is counted in a few cells: all of the site, those that began in the same hour of the day, in
the same hour of the week, at the same EVSE in the same part of the day, and by the same id token.  A cell is a
histogram on a logarithmic scale.  What is expected of a car is the mixture of its cells, from the general to the
particular: each counts by its own sessions, against a few imagined ones that are distributed as the cells before it
say.  So a stranger is judged by the hour, a regular by himself, and the first car of a new site by ``PRIORS``.

Hours are UTC: a week has 168 of them wherever it begins, and a change of daylight saving time moves habits by one
hour, which is forgotten within weeks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from math import sqrt

import numpy as np

from smartcharge.model import EvseId
from solvers.problem import Floats

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
WEEK_S = 7 * DAY_S
PART_S = 4 * HOUR_S
"""Length of a part of the day, by which the sessions of one EVSE are told apart [s]."""
STEP = 2.0**0.25
"""Each bin of a histogram ends at this multiple of where it begins."""
BINS = 42
REGULAR = 4.5
"""An id token is a regular's from this many sessions on, of which it has forgotten a little [sessions]."""
MEMORY = 200.0
"""A cell forgets this share of itself with every session it gains, so that habits may change."""
KEEP_S = 365 * DAY_S
"""A cell that gained nothing for so long is dropped: whoever it stands for is gone [s]."""
MOST_CELLS = 20_000
"""Cells kept at most; the one that gained nothing for longest goes first."""


class Quantity(Enum):
    """What is predicted of a session."""

    STAY = "stay"
    """From plug to unplug [s]."""
    ENERGY = "energy"
    """What the car takes if it may [Wh]."""
    TAIL = "tail"
    """Time constant with which it takes ever less in the end [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """What is taken for granted of a site without history: evenly spread on a logarithmic scale."""

    low: float
    high: float

    @property
    def median(self) -> float:
        """Return the middle of it."""
        return sqrt(self.low * self.high)


PRIORS: Mapping[Quantity, Prior] = {
    Quantity.STAY: Prior(low=1 * HOUR_S, high=9 * HOUR_S),
    Quantity.ENERGY: Prior(low=4_000.0, high=37_500.0),
    Quantity.TAIL: Prior(low=600.0, high=2 * HOUR_S),
}
"""Three hours in the middle; 30 kWh, near a full charge of a common commute car, above nine in ten.  Tails from that of
a car whose charger is small for its battery to that of one that takes ever less from 80 % on (acnportal)."""
_EDGES: Mapping[Quantity, Floats] = {
    # A bin ends at the median of the prior; the bins reach from eleven minutes to nine days, from 0.4 to 460 kWh, and
    # from a minute to 22 hours.
    Quantity.STAY: np.append(0.0, PRIORS[Quantity.STAY].median * STEP ** np.arange(-16.0, BINS - 16.0)),
    Quantity.ENERGY: np.append(0.0, PRIORS[Quantity.ENERGY].median * STEP ** np.arange(-20.0, BINS - 20.0)),
    Quantity.TAIL: np.append(0.0, PRIORS[Quantity.TAIL].median * STEP ** np.arange(-20.0, BINS - 20.0)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """What is known of a car when it is plugged in."""

    evse: EvseId
    plugged_at_s: float
    id_token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a session came to."""

    at_s: float
    energy_wh: float
    is_full: bool
    """Whether the car wanted no more; else it would have taken more than that, nobody knows how much."""
    tail_s: float | None = None
    """Time constant of its end [s]; None where nobody saw it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Sessions that have something in common."""

    at_s: float
    """When the last of them ended."""
    stay: tuple[float, ...]
    """How many stayed how long: the weight of each bin, shape (BINS,)."""
    energy: tuple[float, ...]
    tail: tuple[float, ...] = (0.0,) * BINS

    def weights(self, quantity: Quantity) -> tuple[float, ...]:
        """Return the histogram of a quantity."""
        match quantity:
            case Quantity.STAY:
                return self.stay
            case Quantity.ENERGY:
                return self.energy
            case Quantity.TAIL:
                return self.tail


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What the sessions of a site have taught so far."""

    cells: Mapping[str, Cell] = field(default_factory=dict)


def after(history: History, visitor: Visitor, ended: Ended) -> History:
    """Return the history with one more session."""
    stay = _counted(_EDGES[Quantity.STAY], ended.at_s - visitor.plugged_at_s)
    energy = _counted(_EDGES[Quantity.ENERGY], ended.energy_wh)
    if not ended.is_full:
        energy = _beyond(_expected(history, visitor, Quantity.ENERGY), Quantity.ENERGY, ended.energy_wh)
    cells = dict(history.cells)
    for name, _ in _names(visitor):
        known = cells.get(name, _EMPTY)
        cells[name] = Cell(
            at_s=max(known.at_s, ended.at_s),
            stay=_gained(known.stay, stay),
            energy=_gained(known.energy, energy),
            tail=known.tail
            if ended.tail_s is None
            else _gained(known.tail, _counted(_EDGES[Quantity.TAIL], ended.tail_s)),
        )
    return History(cells=_kept(cells, ended.at_s))


def quantile(history: History, visitor: Visitor, quantity: Quantity, share: float, *, beyond: float = 0.0) -> float:
    """Return what a quantity stays below with a probability of ``share``, given that it is above ``beyond`` [s or Wh].

    Beyond all that was ever seen there is nothing to expect: then it is ``beyond`` itself.
    """
    expected = _beyond(_expected(history, visitor, quantity), quantity, beyond)
    edges = _EDGES[quantity]
    reached = np.append(0.0, np.cumsum(expected))
    return max(float(np.interp(share * reached[-1], reached, np.maximum(edges, beyond))), beyond)


def is_regular(history: History, visitor: Visitor) -> bool:
    """Tell whether enough sessions of this very id token were seen to go by."""
    cell = history.cells.get(f"token {visitor.id_token}")
    return cell is not None and sum(cell.stay) >= REGULAR


def _names(visitor: Visitor) -> Iterator[tuple[str, float]]:
    """Yield the cells of a visitor, the most general first, with the sessions that count against those of each."""
    at_s = visitor.plugged_at_s
    yield "site", 5.0
    yield f"hour {int(at_s % DAY_S // HOUR_S)}", 10.0
    yield f"week {int(at_s % WEEK_S // HOUR_S)}", 10.0
    yield f"evse {int(at_s % DAY_S // PART_S)} {visitor.evse}", 20.0
    if visitor.id_token is not None:
        yield f"token {visitor.id_token}", 3.0


def _expected(history: History, visitor: Visitor, quantity: Quantity) -> Floats:
    """Return the distribution of a quantity: the probability of each bin, shape (BINS,)."""
    expected = _PRIOR_SHARES[quantity]
    for name, against in _names(visitor):
        if (cell := history.cells.get(name)) is not None:
            weights = np.array(cell.weights(quantity))
            expected = (weights + against * expected) / (weights.sum() + against)
    return expected


def _beyond(expected: Floats, quantity: Quantity, value: float) -> Floats:
    """Return the distribution given that the quantity is above ``value``; the part of a bin counts by its length."""
    edges = _EDGES[quantity]
    share = np.clip((edges[1:] - value) / np.diff(edges), 0.0, 1.0)
    left = expected * share
    total = float(left.sum())
    return left / total if total > 0.0 else _counted(edges, value)


def _counted(edges: Floats, value: float) -> Floats:
    """Return one session in the bin of its value; what is beyond the last edge is in the last bin."""
    counted = np.zeros(BINS)
    counted[min(int(np.searchsorted(edges, value, side="right")) - 1, BINS - 1)] = 1.0
    return counted


def _gained(weights: tuple[float, ...], session: Floats) -> tuple[float, ...]:
    kept = np.array(weights) * (1.0 - 1.0 / MEMORY) + session
    return tuple(map(float, kept))


def _kept(cells: Mapping[str, Cell], now_s: float) -> Mapping[str, Cell]:
    """Return the cells that are worth keeping."""
    kept = {name: cell for name, cell in cells.items() if cell.at_s > now_s - KEEP_S}
    for name in sorted(kept, key=lambda name: (kept[name].at_s, name))[: max(len(kept) - MOST_CELLS, 0)]:
        del kept[name]
    return kept


def _spread(prior: Prior, edges: Floats) -> Floats:
    below = np.clip(np.log(np.maximum(edges, 1.0) / prior.low) / np.log(prior.high / prior.low), 0.0, 1.0)
    return np.diff(below)


_PRIOR_SHARES: Mapping[Quantity, Floats] = {q: _spread(prior, _EDGES[q]) for q, prior in PRIORS.items()}
_EMPTY = Cell(at_s=0.0, stay=(0.0,) * BINS, energy=(0.0,) * BINS)
