"""The optimisation problem and its answer, as arrays and enums only.

Symbols: ``T`` slots of the time grid, ``R`` rows (one line current each), ``E`` EVs (one charging
session each).  All times are relative to the start of slot 0; nothing here knows a clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Complexes: TypeAlias = NDArray[np.complex128]

_ANY_NUMBER = frozenset({"limit_a"})
"""Fields in which infinity has a meaning."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """One look ahead over a site: who wants how much by when, and what the wires allow.

    The current of row ``r`` in slot ``t`` is the length of the phasor
    ``coupling[r] @ current_a[t]``.  Rows that bound every way in which cars may draw less than
    their setpoint are ordinary rows: the solvers need not know why a row exists.
    """

    slot_s: Floats
    """Length of each slot [s], shape (T,)."""
    coupling: Complexes
    """Phasor of row r per ampere of EV e [A/A], shape (R, E)."""
    limit_a: Floats
    """Largest allowed row current [A], shape (T, R), 0 or more; ``inf`` where a row does not bind."""
    watts_per_amp: Floats
    """Power of EV e per ampere of setpoint [W/A], shape (E,)."""
    min_a: Floats
    """Lowest current at which EV e charges [A], shape (E,): in a binary slot 0 or at least this."""
    max_a: Floats
    """Highest current of EV e in slot t [A], shape (T, E); 0 where it cannot charge."""
    demand_wh: Floats
    """Energy EV e still wants [Wh], shape (E,); never exceeded."""
    shortfall_price: Floats
    """Price of energy not delivered to EV e [money/Wh], shape (E,); a slack, so never infeasible."""
    price: Floats
    """Price of energy in slot t [money/Wh], shape (T,)."""
    early_price: Floats
    """Price of EV e's waiting, per hour [money/(Wh h)], shape (E,), counted from the start of slot 0 to mid-slot."""
    peak_price: float
    """Price of every watt by which the highest slot power exceeds ``peak_w`` [money/W]."""
    peak_w: float
    """Power already reached in the billing period [W]; below it the peak is free."""
    present_a: Floats
    """What EV e is set to just before slot 0 [A], shape (E,)."""
    change_price: float
    """Price of every ampere by which a setpoint of slot 0 differs from ``present_a`` [money/A]."""
    gap: float = 0.0
    """How much dearer than the best a schedule may be and still count as optimal [money]."""
    binary_slots: int
    """Number of leading slots in which ``min_a`` holds as "0 or at least"; later slots are continuous.

    An EV whose ``max_a`` lies below its ``min_a`` gets nothing in such a slot.
    """

    def __post_init__(self) -> None:
        """Refuse arrays that no solver could give a meaning to; raises ValueError naming the field."""
        for name, (array, shape) in self._expected_shapes().items():
            if array.shape != shape:
                raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
            if np.isnan(array).any() or (name not in _ANY_NUMBER and np.isinf(array).any()):
                raise ValueError(f"{name} holds a number that is not finite")
        for name in ("limit_a", "min_a", "max_a", "demand_wh", "shortfall_price", "present_a"):
            if (getattr(self, name) < 0.0).any():
                raise ValueError(f"{name} holds a negative number")
        if not np.isfinite([self.peak_price, self.peak_w, self.change_price, self.gap]).all():
            raise ValueError("peak_price, peak_w, change_price and gap must be finite")
        if not self.slots or (self.slot_s <= 0.0).any() or (self.watts_per_amp <= 0.0).any():
            raise ValueError("slot_s, of at least one slot, and watts_per_amp must be positive")
        if min(self.peak_price, self.change_price, self.gap, self.binary_slots) < 0:
            raise ValueError("peak_price, change_price, gap and binary_slots must not be negative")

    def _expected_shapes(self) -> dict[str, tuple[Floats | Complexes, tuple[int, ...]]]:
        slots, evs, rows = self.slots, self.evs, len(self.coupling)
        return {
            "slot_s": (self.slot_s, (slots,)),
            "price": (self.price, (slots,)),
            "coupling": (self.coupling, (rows, evs)),
            "limit_a": (self.limit_a, (slots, rows)),
            "max_a": (self.max_a, (slots, evs)),
            "watts_per_amp": (self.watts_per_amp, (evs,)),
            "min_a": (self.min_a, (evs,)),
            "demand_wh": (self.demand_wh, (evs,)),
            "shortfall_price": (self.shortfall_price, (evs,)),
            "early_price": (self.early_price, (evs,)),
            "present_a": (self.present_a, (evs,)),
        }

    @property
    def slots(self) -> int:
        """Number of slots T."""
        return int(self.slot_s.shape[0])

    @property
    def evs(self) -> int:
        """Number of EVs E."""
        return int(self.watts_per_amp.shape[0])

    @property
    def wh_per_amp(self) -> Floats:
        """Energy that one ampere brings EV e in slot t [Wh/A], shape (T, E)."""
        return np.outer(self.slot_s / 3600.0, self.watts_per_amp)

    @property
    def price_per_wh(self) -> Floats:
        """Price of energy and waiting that EV e pays in slot t [money/Wh], shape (T, E)."""
        middle_h = (np.cumsum(self.slot_s) - self.slot_s / 2.0) / 3600.0
        price: Floats = self.price[:, None] + np.outer(middle_h, self.early_price)
        return price


class Outcome(Enum):
    """How a solver ended; every outcome but FAILED and TIMED_OUT carries a schedule to verify."""

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"
    TIMED_OUT = "timed-out"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Schedule:
    """An answer to a Problem: a current for every EV in every slot."""

    outcome: Outcome
    current_a: Floats
    """Setpoint of EV e in slot t [A], shape (T, E)."""
    shortfall_wh: Floats
    """Energy demanded but not scheduled [Wh], shape (E,)."""
    objective: float
    """Value of the Problem's objective [money], computed from ``current_a``, not reported by the solver."""
    solver: str
    """Name of the solver that made it."""
    solve_s: float
    """Wall time from call to answer [s]."""


Solver: TypeAlias = Callable[[Problem, float], Schedule]
"""``solve(problem, deadline_s) -> Schedule``: always answers, by the deadline [s] as closely as it can."""


def shortfall_wh(problem: Problem, current_a: Floats) -> Floats:
    """Return the energy that ``current_a`` (T, E) leaves undelivered [Wh], shape (E,)."""
    delivered: Floats = (problem.wh_per_amp * current_a).sum(axis=0)
    return np.maximum(problem.demand_wh - delivered, 0.0)


def objective(problem: Problem, current_a: Floats) -> float:
    """Return what ``current_a`` (T, E) costs [money]: energy, waiting, shortfall, peak and change."""
    peak_w = float((current_a @ problem.watts_per_amp).max(initial=problem.peak_w))
    return float(
        (problem.wh_per_amp * current_a * problem.price_per_wh).sum()
        + shortfall_wh(problem, current_a) @ problem.shortfall_price
        + problem.peak_price * (peak_w - problem.peak_w)
        + problem.change_price * abs(current_a[0] - problem.present_a).sum()
    )
