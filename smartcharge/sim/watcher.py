"""The watcher: knows the truth of the simulated world and nothing of what the controller believes.

It looks at every instant at which something changed and, while anything is too high, at every second.
Currents only fall between changes, so this finds all that a look at every second would find.

An overload is the controller's unless it would not be there without another's doing: a station that was
planted to ignore its orders (what it draws above them is set aside), or an uncontrolled load that has
just risen (its rise is set aside for the declared reaction time).  Those are listed apart, never dropped.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from enum import Enum
from math import inf
from typing import TYPE_CHECKING, NamedTuple, assert_never

import numpy as np

from smartcharge.model import CircuitId, EvseId, Phases

if TYPE_CHECKING:
    from collections.abc import Iterable

    from smartcharge.sim.wires import Floats
    from smartcharge.sim.world import World

MILLIAMP = 1e-3
"""Less than this above a limit [A] is rounding."""
TIME_ROUNDING_S = 1e-3
"""Two instants nearer than this are the same: POSIX seconds carry no more than a quarter of a microsecond."""
PHASES = ("L1", "L2", "L3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """Something that must not happen, and did."""

    at_s: float
    until_s: float
    """End [s since 1970]; equal to ``at_s`` for a broken invariant."""
    circuit: str | None
    """Circuit, or ``"station X"`` for a supply that EVSEs share; None for a broken invariant."""
    phase: str | None
    """``"L1"``, ``"L2"``, ``"L3"``, or ``"total"`` for a limit of power; None for a broken invariant."""
    amount_a: float
    """Most that the current was above the limit [A]; of power, as balanced amperes per phase."""
    limit_a: float
    cause: str
    """``"rating"``, ``"limit SOURCE"`` or the invariant, with whoever else took part."""


class Blame(Enum):
    """Whose doing an overload is."""

    CONTROLLER = "controller"
    STATION = "station"
    LOAD = "load"


class _Where(NamedTuple):
    """What is too high: a line or a circuit's total, and what it should keep."""

    node: int
    phase: str
    cause: str


class _Excess(NamedTuple):
    """How much too high it is."""

    amount_a: float
    limit_a: float
    binds_s: float


@dataclass(slots=True, kw_only=True)
class _Open:
    """An overload that has not ended."""

    at_s: float
    tolerated_s: float
    amount_a: float
    limit_a: float
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limit:
    """A grid limit: from `binds_s` to `until_s` the truth must be within it."""

    source: str
    circuit: CircuitId
    amps: Phases
    power_w: float
    binds_s: float
    until_s: float


@dataclass(slots=True, kw_only=True)
class Record:
    """What the watcher saw, sorted by whose doing it was."""

    violations: list[Violation] = field(default_factory=list)
    """The controller's: there must be none."""
    misbehaviour: list[Violation] = field(default_factory=list)
    """Overloads that would not be there had the misbehaving stations obeyed."""
    load_rises: list[Violation] = field(default_factory=list)
    """Overloads by a rise of uncontrolled load, within the time allowed to react to it."""
    worst_share: float = 0.0
    """Highest true current on any line as a share of its rating [A/A]."""


class Watcher:
    """Compares the true currents with the ratings and the limits in force.

    Args:
        world: the truth; the watcher observes it from now on.
        obey_s: how long a station and its car may take to obey [s].
        load_reaction_s: how long a rise of uncontrolled load is not held against the controller [s].
        look_s: how often it looks while anything is too high [s]; where nobody controls, a minute will do.
    """

    def __init__(self, world: World, *, obey_s: float = 1.0, load_reaction_s: float = 0.0, look_s: float = 1.0) -> None:
        self.record = Record()
        self._world = world
        self._obey_s = obey_s
        self._load_reaction_s = load_reaction_s
        self._look_s = look_s
        self._limits: list[_Limit] = []
        self._open: dict[tuple[_Where, Blame], _Open] = {}
        self._misbehaving: set[EvseId] = set()
        self._loads: deque[tuple[float, Floats]] = deque()
        self._rating_a = world.wires.rating_a
        self._voltage_v = {circuit.id: circuit.voltage_v for circuit in world.site.circuits}
        self._index = {evse.id: i for i, evse in enumerate(world.site.evses)}
        world.observe(self.look)

    def limit(
        self,
        source: str,
        circuit: CircuitId,
        limit: Phases | float,
        *,
        reaction_s: float,
        valid_until_s: float = inf,
    ) -> None:
        """Tell it of a grid limit set now: amperes per phase, or watts in all; it replaces the source's last.

        The new limit is demanded after `reaction_s`; until then the looser of the last one and the new one.
        """
        amps, power_w = (limit, inf) if isinstance(limit, Phases) else (Phases.all(inf), limit)
        now_s = self._world.now_s
        binds_s = now_s + reaction_s
        self._limits = [
            replace(
                last,
                amps=Phases(*map(max, last.amps, amps)),
                power_w=max(last.power_w, power_w),
                until_s=min(last.until_s, binds_s),
            )
            if (last.source, last.circuit) == (source, circuit)
            else last
            for last in self._limits
        ]
        new = _Limit(source=source, circuit=circuit, amps=amps, power_w=power_w, binds_s=binds_s, until_s=valid_until_s)
        self._limits.append(new)
        for at_s in (now_s, binds_s, valid_until_s):
            if at_s < inf:
                self._world.look_at(at_s)

    def lift(self, source: str, circuit: CircuitId) -> None:
        """Tell it that a source's limit on a circuit is no longer in force."""
        self._limits = [last for last in self._limits if (last.source, last.circuit) != (source, circuit)]
        self._world.look_at(self._world.now_s)

    def misbehaves(self, evse: EvseId) -> None:
        """Tell it that an EVSE is planted to ignore its orders from now on."""
        self._misbehaving.add(evse)
        self._world.look_at(self._world.now_s)

    def behaves(self, evse: EvseId) -> None:
        """Tell it that an EVSE obeys again."""
        self._misbehaving.discard(evse)
        self._world.look_at(self._world.now_s)

    def note(self, invariant: str, detail: str) -> None:
        """Write down that an invariant (``"I1"`` to ``"I8"``) is broken now."""
        now_s = self._world.now_s
        self.record.violations.append(
            Violation(
                at_s=now_s,
                until_s=now_s,
                circuit=None,
                phase=None,
                amount_a=0.0,
                limit_a=0.0,
                cause=f"{invariant}: {detail}",
            )
        )

    def finish(self) -> Record:
        """End the watch now and return what it saw; an overload that goes on is counted up to here."""
        self.look()
        for key in list(self._open):
            self._close(key)
        return self.record

    def look(self) -> None:
        """Compare the instant with all that must hold."""
        world = self._world
        self._remember_load()
        self._limits = [limit for limit in self._limits if limit.until_s > world.now_s]
        drawn_a, load_a = world.drawn_a(), world.load_a
        lines_a = world.line_currents(drawn_a, load_a)
        shares = np.divide(lines_a, self._rating_a, out=np.zeros_like(lines_a), where=self._rating_a > 0.0)
        self.record.worst_share = max(self.record.worst_share, float(shares.max()))
        too_high = self._too_high(drawn_a, load_a)
        blamed = self._blame(too_high, drawn_a, load_a) if too_high else {}
        for key in [key for key in self._open if blamed.get(key[0]) is not key[1]]:
            self._close(key)
        for where, blame in blamed.items():
            self._keep_open(where, blame, too_high[where])
        if self._open:
            world.look_at(world.now_s + self._look_s)

    def _too_high(self, drawn_a: Floats, load_a: Floats) -> dict[_Where, _Excess]:
        """Return everything that is above its rating or limit if cars and loads draw this."""
        found: dict[_Where, _Excess] = {}
        lines_a = self._world.line_currents(drawn_a, load_a)
        for node, phase in zip(*np.nonzero(lines_a > self._rating_a + MILLIAMP), strict=True):
            rating_a = float(self._rating_a[node, phase])
            where = _Where(int(node), PHASES[phase], "rating")
            found[where] = _Excess(float(lines_a[node, phase]) - rating_a, rating_a, -inf)
        binding = [limit for limit in self._limits if limit.binds_s <= self._world.now_s]
        if not binding:
            return found
        powers_w = self._world.line_powers(drawn_a, load_a)
        for limit in binding:
            node = self._world.wires.circuits.index(limit.circuit)
            per_amp = 3.0 * self._voltage_v[limit.circuit]
            flows = [*zip(PHASES, map(float, lines_a[node]), limit.amps, strict=True)]
            flows.append(("total", float(powers_w[node]) / per_amp, limit.power_w / per_amp))
            for name, flow_a, limit_a in flows:
                if flow_a > limit_a + MILLIAMP:
                    found[_Where(node, name, f"limit {limit.source}")] = _Excess(
                        flow_a - limit_a, limit_a, limit.binds_s
                    )
        return found

    def _blame(self, where: Iterable[_Where], drawn_a: Floats, load_a: Floats) -> dict[_Where, Blame]:
        """Return whose doing each is: of the first whose doing set aside would make it fit."""
        obeyed_a = drawn_a.copy()
        for i in self._disobeying(drawn_a):
            obeyed_a[i] = self._world.ordered_a()[i]
        calm_a = np.min([load_a, *(load for _, load in self._loads)], axis=0)
        accounts = [
            (Blame.STATION, self._too_high(obeyed_a, load_a)),
            (Blame.LOAD, self._too_high(drawn_a, calm_a)),
            (Blame.STATION, self._too_high(obeyed_a, calm_a)),
        ]
        return {
            at: next((blame for blame, remaining in accounts if at not in remaining), Blame.CONTROLLER) for at in where
        }

    def _disobeying(self, drawn_a: Floats) -> list[int]:
        """Return the misbehaving EVSEs that draw more than they were ordered to."""
        ordered_a = self._world.ordered_a()
        return [i for i in sorted(self._index[evse] for evse in self._misbehaving) if drawn_a[i] > ordered_a[i]]

    def _remember_load(self) -> None:
        """Keep every load of the last `load_reaction_s`, and the one that was in force when they began."""
        now_s = self._world.now_s
        self._loads.append((now_s, self._world.load_a.copy()))
        while len(self._loads) > 1 and self._loads[1][0] <= now_s - self._load_reaction_s:
            self._loads.popleft()

    # -- how long it lasts

    def _keep_open(self, where: _Where, blame: Blame, excess: _Excess) -> None:
        now_s = self._world.now_s
        going_on = self._open.get((where, blame))
        if going_on is None:
            is_late = excess.binds_s >= now_s
            names = [self._world.site.evses[i].id for i in self._disobeying(self._world.drawn_a())]
            self._open[where, blame] = _Open(
                at_s=now_s,
                tolerated_s=0.0 if is_late else self._obey_s,
                amount_a=excess.amount_a,
                limit_a=excess.limit_a,
                detail=", ".join(names) if blame is Blame.STATION else "",
            )
        elif excess.amount_a > going_on.amount_a:
            going_on.amount_a, going_on.limit_a = excess.amount_a, excess.limit_a

    def _close(self, key: tuple[_Where, Blame]) -> None:
        """Write down an overload that ended, unless it was shorter than a station may take to obey."""
        (node, phase, cause), blame = key
        ended = self._open.pop(key)
        if self._world.now_s - ended.at_s <= ended.tolerated_s + TIME_ROUNDING_S:
            return
        violation = Violation(
            at_s=ended.at_s,
            until_s=self._world.now_s,
            circuit=self._world.wires.nodes[node],
            phase=phase,
            amount_a=ended.amount_a,
            limit_a=ended.limit_a,
            cause=f"{cause}: {ended.detail} above its orders" if ended.detail else cause,
        )
        match blame:
            case Blame.CONTROLLER:
                self.record.violations.append(violation)
            case Blame.STATION:
                self.record.misbehaviour.append(violation)
            case Blame.LOAD:
                self.record.load_rises.append(violation)
            case _:
                assert_never(blame)
