"""The optimisation problem and its answer, as arrays and enums only.

Symbols: ``T`` slots of the time grid, ``R`` rows (one line current each), ``E`` EVs (one charging
session each).  All times are relative to the start of slot 0; nothing here knows a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Complexes: TypeAlias = NDArray[np.complex128]

_ANY_NUMBER = frozenset({"limit_a", "steps_a", "battery_wh"})
"""Fields in which infinity has a meaning."""
_STRETCHED = ("steps_a", "pause_price", "battery_wh", "taper_s", "late_price", "base_w", "peak_base_w")
"""Fields of which one line may stand for all."""
_NOT_NEGATIVE = (
    "limit_a", "min_a", "max_a", "demand_wh", "shortfall_price", "present_a", "steps_a", "pause_price", "battery_wh",
    "taper_s", "late_price", "peak_price", "change_price", "gap", "binary_slots", "fair_price",
)  # fmt: skip
FAIR_PARTS = 4
"""Pieces of equal length in which the price of unfairness rises with the share that is missing."""


def _zero() -> Floats:
    return np.zeros(1)


def _zeros() -> Floats:
    return np.zeros((1, 1))


def _boundless() -> Floats:
    return np.full(1, np.inf)


def _none() -> Floats:
    return np.zeros(0)


def _none_ever() -> Floats:
    return np.zeros((1, 0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Storage:
    """S batteries that can also give: on the site, or in cars that can discharge (V2G).

    Power is that on the site's side of the converter.  Of what goes in ``efficiency`` is stored, of
    what is taken out of store ``efficiency`` comes out.
    """

    charge_w: Floats = field(default_factory=_none_ever)
    """Highest power in slot t into battery s [W], shape (T, S); 0 where it is not there."""
    discharge_w: Floats = field(default_factory=_none_ever)
    """Highest power out of it [W], shape (T, S)."""
    level_wh: Floats = field(default_factory=_none)
    """Energy in store at the start of slot 0 [Wh], shape (S,)."""
    reserve_wh: Floats = field(default_factory=_none)
    """Energy below which it is not discharged [Wh], shape (S,); not above ``level_wh``."""
    capacity_wh: Floats = field(default_factory=_none)
    """Energy above which it is not charged [Wh], shape (S,); not below ``level_wh``."""
    efficiency: Floats = field(default_factory=_none)
    """Of one way [Wh/Wh], shape (S,), above 0 and at most 1."""
    wear_price: Floats = field(default_factory=_none)
    """Price of taking a watt-hour out [money/Wh], shape (S,)."""
    worth: Floats = field(default_factory=_none)
    """What a watt-hour in store after the last slot is worth [money/Wh], shape (S,)."""
    target_wh: Floats = field(default_factory=_none)
    """Energy to be in store when a car leaves [Wh], shape (S,)."""
    due_slot: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, dtype=np.intp))
    """The slot at whose end that is wanted, shape (S,)."""
    target_price: Floats = field(default_factory=_none)
    """Price of what is missing then [money/Wh], shape (S,); 0 for a battery of the site."""
    coupling: Complexes = field(default_factory=lambda: np.zeros((0, 0), dtype=np.complex128))
    """Phasor of row r per watt into battery s [A/W], shape (R, S)."""

    @property
    def count(self) -> int:
        """Number of batteries S."""
        return len(self.level_wh)

    def levels_wh(self, slot_s: Floats, power_w: Floats) -> Floats:
        """Return the energy in store after each slot [Wh], shape (T, S), for power into it [W], shape (T, S)."""
        stored = np.where(power_w > 0.0, power_w * self.efficiency, power_w / np.maximum(self.efficiency, 1e-9))
        levels: Floats = self.level_wh + np.cumsum(slot_s[:, None] / 3600.0 * stored, axis=0)
        return levels


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

    names: tuple[str, ...] = ()
    """What each EV is called, so that a solver that keeps its last answer knows it again; empty: by its column."""
    steps_a: Floats = field(default_factory=_none_ever)
    """The only currents above 0 allowed in binary slots [A], shape (E, K), ascending, padded with ``inf``.

    No step may lie below ``min_a``.  A line of ``inf`` only allows any current.
    """
    pause_price: Floats = field(default_factory=_zero)
    """Price of giving nothing in a binary slot to an EV that has a ``min_a`` [money], shape (E,)."""
    battery_wh: Floats = field(default_factory=_boundless)
    """Energy until the battery of EV e is full [Wh], shape (E,), not below ``demand_wh``."""
    taper_s: Floats = field(default_factory=_zero)
    """Time constant of the tail of charging [s], shape (E,); 0: no tail.

    After the binary slots, an EV takes within a slot of length h no more than a share
    ``1 - exp(-h / taper_s)`` of what its battery lacked at the start of the slot.
    """
    late_price: Floats = field(default_factory=_zeros)
    """Price of delivering to EV e in slot t besides ``price`` [money/Wh], shape (T, E), 0 or more."""
    fair_price: float = 0.0
    """Price of unfairness [money/Wh]: of missing the last quarter of a demand; that of the first is a seventh of it."""
    base_w: Floats = field(default_factory=_zero)
    """What flows through the grid meter besides [W], shape (T,): load less photovoltaics; below 0 is a surplus."""
    export_price: Floats | None = None
    """What a watt-hour of surplus earns in slot t [money/Wh], shape (T,), at most ``price``; None: as ``price``."""
    peak_share: Floats | None = None
    """Weight of slot t in the mean power of metering period m, shape (M, T), 0 or more; None: each slot is one."""
    peak_base_w: Floats = field(default_factory=_zero)
    """What the past adds to the mean power of metering period m [W], shape (M,)."""
    storage: Storage = field(default_factory=Storage)
    """Batteries that can give."""

    def __post_init__(self) -> None:
        """Refuse arrays that no solver could give a meaning to; raises ValueError naming the field."""
        _refuse_arrays(self, self._shapes(), stretched=frozenset(_STRETCHED))
        _refuse_arrays(self.storage, self._storage_shapes(), stretched=frozenset({"charge_w", "discharge_w"}))
        for name in _NOT_NEGATIVE:
            if np.asarray(getattr(self, name)).min(initial=0.0) < 0.0:
                raise ValueError(f"{name} holds a negative number")
        for name in ("peak_price", "peak_w", "change_price", "gap", "fair_price"):
            if not np.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be finite")
        if not self.slots or (self.slot_s <= 0.0).any() or (self.watts_per_amp <= 0.0).any():
            raise ValueError("slot_s, of at least one slot, and watts_per_amp must be positive")
        for is_wrong, what in self._contradictions():
            if is_wrong:
                raise ValueError(what)

    def _contradictions(self) -> Iterator[tuple[bool, str]]:
        store = self.storage
        yield len(self.names) not in (0, self.evs), "names must be empty or one for each EV"
        yield bool((self.steps_a < self.min_a[:, None]).any()), "steps_a holds a step below min_a"
        yield bool((self.steps_a[:, 1:] < self.steps_a[:, :-1]).any()), "steps_a does not ascend"
        yield bool((self.battery_wh < self.demand_wh).any()), "battery_wh is below demand_wh"
        yield (
            self.export_price is not None and bool((self.export_price > self.price).any()),
            ("export_price is above price: energy would be bought to be sold"),
        )
        yield self.peak_share is not None and bool((self.peak_share < 0.0).any()), "peak_share holds a negative number"
        yield bool(((store.efficiency <= 0.0) | (store.efficiency > 1.0)).any()), "storage efficiency is not in (0, 1]"
        yield (
            bool((store.reserve_wh > store.level_wh).any() or (store.level_wh > store.capacity_wh).any()),
            ("storage level_wh is not between reserve_wh and capacity_wh"),
        )
        yield bool(((store.due_slot < 0) | (store.due_slot >= self.slots)).any()), "storage due_slot is no slot"

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        slots, evs, rows = self.slots, self.evs, len(self.coupling)
        periods = len(self.peak_share) if self.peak_share is not None else slots
        return {
            "slot_s": (slots,),
            "price": (slots,),
            "coupling": (rows, evs),
            "limit_a": (slots, rows),
            "max_a": (slots, evs),
            "watts_per_amp": (evs,),
            "min_a": (evs,),
            "demand_wh": (evs,),
            "shortfall_price": (evs,),
            "early_price": (evs,),
            "present_a": (evs,),
            "steps_a": (evs, self.steps_a.shape[-1]),
            "pause_price": (evs,),
            "battery_wh": (evs,),
            "taper_s": (evs,),
            "late_price": (slots, evs),
            "base_w": (slots,),
            "peak_base_w": (periods,),
            **({"export_price": (slots,)} if self.export_price is not None else {}),
            **({"peak_share": (periods, slots)} if self.peak_share is not None else {}),
        }

    def _storage_shapes(self) -> dict[str, tuple[int, ...]]:
        count = self.storage.count
        per_slot: dict[str, tuple[int, ...]] = {"charge_w": (self.slots, count), "discharge_w": (self.slots, count)}
        names = ("level_wh", "reserve_wh", "capacity_wh", "efficiency", "wear_price", "worth", "target_wh", "due_slot")
        shapes = per_slot | dict.fromkeys((*names, "target_price"), (count,))
        return shapes | {"coupling": (len(self.coupling), count)} if count else shapes

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
        """Price of energy, waiting and lateness for EV e in slot t [money/Wh], shape (T, E)."""
        return self.price[:, None] + self.delay_price

    @property
    def delay_price(self) -> Floats:
        """Price of waiting and lateness alone for EV e in slot t [money/Wh], shape (T, E)."""
        middle_h = (np.cumsum(self.slot_s) - self.slot_s / 2.0) / 3600.0
        price: Floats = np.outer(middle_h, self.early_price) + self.late_price
        return price

    @property
    def is_stepped(self) -> NDArray[np.bool_]:
        """Whether EV e has steps, shape (E,)."""
        found: NDArray[np.bool_] = np.broadcast_to(np.isfinite(self.steps_a).any(axis=1), (self.evs,))
        return found

    @property
    def is_pausable(self) -> NDArray[np.bool_]:
        """Whether giving EV e nothing in a binary slot is a pause, shape (E,)."""
        found: NDArray[np.bool_] = (self.min_a > 0.0) | self.is_stepped
        return found


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
    """Value of the Problem's objective [money], computed from the schedule, not reported by the solver."""
    solver: str
    """Name of the solver that made it."""
    solve_s: float
    """Wall time from call to answer [s]."""
    storage_w: Floats = field(default_factory=_none_ever)
    """Power into battery s in slot t [W], shape (T, S); below 0 out of it."""


Solver: TypeAlias = Callable[[Problem, float], Schedule]
"""``solve(problem, deadline_s) -> Schedule``: always answers, by the deadline [s] as closely as it can."""


def _refuse_arrays(holder: object, shapes: dict[str, tuple[int, ...]], *, stretched: frozenset[str]) -> None:
    """Raise ValueError for the first array of another shape, or with a number that has no meaning."""
    for name, shape in shapes.items():
        array = getattr(holder, name)
        is_right = array.shape == shape or (name in stretched and _stretches(array.shape, shape))
        if not is_right:
            raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
        if np.isnan(array).any() or (name not in _ANY_NUMBER and np.isinf(array).any()):
            raise ValueError(f"{name} holds a number that is not finite")


def _stretches(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(has in (1, wants) for has, wants in zip(shape, wanted, strict=True))
