"""Small sites, states and random sites: what every test of the control room starts from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import inf

import numpy as np
from hypothesis import strategies as st

from smartcharge.control.budget import broken
from smartcharge.control.health.upkeep import UPKEEP
from smartcharge.control.plan import Plan
from smartcharge.control.state import State, apply
from smartcharge.control.topology import Topology
from smartcharge.events import (
    Accepted,
    Commanded,
    Event,
    Plugged,
    ProfileKind,
    Rejected,
    StationBooted,
    StationOnline,
    TransactionStarted,
    Unanswered,
)
from smartcharge.model import (
    Circuit,
    CircuitId,
    Control,
    Evse,
    EvseId,
    Meter,
    Phases,
    Rotation,
    Site,
    Staleness,
    Station,
    StationId,
    Transformer,
    Wiring,
)
from solvers.problem import Outcome

MAIN, NORTH, SOUTH = CircuitId("main"), CircuitId("north"), CircuitId("south")
DELTA_WYE = Transformer(primary_v=480.0, secondary_v=208.0)
NOON_S = 1_700_000_000.0
"""When most stories begin [s since 1970]."""


def circuit(name: CircuitId = MAIN, rating_a: float = 32.0, *, parent: CircuitId | None = None) -> Circuit:
    limit = Phases.all(rating_a)
    return Circuit(id=name, parent=parent, rating_a=limit, failsafe_a=limit, voltage_v=230.0)


def meter(age_s: float = 10.0, hold_s: float = 20.0) -> Meter:
    return Meter(id="m", staleness=Staleness(age_s=age_s, hold_s=hold_s))


def evse(name: str, wiring: Wiring = Wiring.THREE_PHASE, rotation: Rotation = Rotation.RST) -> Evse:
    """An EVSE named ``station/number``, 6 to 32 A, with a default profile of 6 A."""
    station, number = name.split("/")
    return Evse(
        id=EvseId(name),
        station=StationId(station),
        number=int(number),
        wiring=wiring,
        rotation=rotation,
        voltage_v=208.0 if wiring is Wiring.LINE_TO_LINE else 230.0,
        min_a=6.0,
        max_a=32.0,
        default_a=6.0,
    )


def station(*evses: Evse, on: CircuitId = MAIN, rating_a: float | None = None) -> Station:
    return Station(id=evses[0].station, circuit=on, evses=evses, rating_a=rating_a)


def site(circuits: Circuit | tuple[Circuit, ...], *stations: Station) -> Site:
    every = circuits if isinstance(circuits, tuple) else (circuits,)
    return Site(id="site", name="Site", timezone="UTC", circuits=every, stations=stations)


def row_of(count: int, rating_a: float = 32.0, wiring: Wiring = Wiring.ONE_PHASE) -> Site:
    """Stations a, b, c... with one EVSE each, all on one circuit and on L1 first."""
    return site(circuit(rating_a=rating_a), *(station(evse(f"{letter}/1", wiring)) for letter in "abcdefgh"[:count]))


def tree() -> Site:
    """A three-phase tree: two sub-panels that together are more than the main."""
    circuits = (circuit(rating_a=60.0), circuit(NORTH, 40.0, parent=MAIN), circuit(SOUTH, 32.0, parent=MAIN))
    north = [station(evse(f"n{i}/1"), on=NORTH) for i in range(3)]
    south = [station(evse(f"s{i}/1"), on=SOUTH) for i in range(2)]
    return site(circuits, *north, *south)


def mixed() -> Site:
    """A garage with single- and three-phase EVSEs, rotated."""
    wirings = (Wiring.ONE_PHASE, Wiring.THREE_PHASE, Wiring.ONE_PHASE, Wiring.THREE_PHASE)
    rotations = (Rotation.RST, Rotation.STR, Rotation.STR, Rotation.TRS)
    evses = [evse(f"g{i}/1", w, r) for i, (w, r) in enumerate(zip(wirings, rotations, strict=True))]
    return site(circuit(rating_a=35.0), *(station(e) for e in evses))


def delta() -> Site:
    """Line-to-line EVSEs behind a delta-wye transformer: a car that stops can raise a primary line."""
    trunk = replace(circuit(rating_a=12.0), voltage_v=480.0 / 3.0**0.5, transformer=DELTA_WYE)
    panel = replace(circuit(NORTH, 36.0, parent=MAIN), voltage_v=120.0)
    rotations = (Rotation.RST, Rotation.STR, Rotation.TRS, Rotation.RST)
    loads = [evse(f"d{i}/1", Wiring.LINE_TO_LINE, r) for i, r in enumerate(rotations)]
    return site((trunk, panel), *(station(e, on=NORTH) for e in loads))


def hub() -> Site:
    """DC posts that share the supply of their station."""
    posts = [evse("hub/1", Wiring.DC), evse("hub/2", Wiring.DC)]
    other = evse("solo/1", Wiring.DC)
    return site(circuit(rating_a=70.0), station(*posts, rating_a=40.0), station(other))


STEPS_A = (0.0, 8.0, 16.0, 24.0, 32.0)


@st.composite
def random_sites(draw: st.DrawFn) -> Site:
    """A tree with any wiring, steps, shared supplies and transformers, whose fallback budget holds."""
    trafo = draw(st.sampled_from((None, DELTA_WYE)))
    circuits = (
        circuit(rating_a=draw(st.sampled_from((20.0, 40.0, 80.0)))),
        replace(circuit(NORTH, draw(st.sampled_from((18.0, 40.0))), parent=MAIN), transformer=trafo),
        circuit(SOUTH, draw(st.sampled_from((16.0, 40.0))), parent=draw(st.sampled_from((MAIN, NORTH)))),
    )
    stations = [_random_station(draw, i) for i in range(draw(st.integers(1, 3)))]
    return _within_budget(site(circuits, *stations))


def _random_station(draw: st.DrawFn, index: int) -> Station:
    wiring = draw(st.sampled_from(Wiring))
    evses = [evse(f"r{index}/{n}", wiring, draw(st.sampled_from(Rotation))) for n in range(1, draw(st.integers(2, 3)))]
    if draw(st.booleans()):
        evses = [replace(e, steps_a=STEPS_A, min_a=8.0, default_a=8.0) for e in evses]
    on = draw(st.sampled_from((MAIN, NORTH, SOUTH)))
    built = station(*evses, on=on, rating_a=draw(st.sampled_from((None, 24.0))))
    return replace(built, control=draw(st.sampled_from(Control)))


def _within_budget(one: Site) -> Site:
    """The same site with default profiles of nothing where its budget would break."""
    if not broken(one, Topology.of(one)):
        return one
    none = tuple(
        replace(s, evses=tuple(replace(e, default_a=0.0) for e in s.evses), rating_a=s.rating_a) for s in one.stations
    )
    return replace(one, stations=none)


SITES = st.sampled_from((tree(), mixed(), delta(), hub())) | random_sites()


def fold(start: Site | State, *events: Event | Iterable[Event]) -> State:
    """The state after events."""
    state = start if isinstance(start, State) else State.initial(start)
    for item in events:
        for event in [item] if isinstance(item, Event) else item:
            state = apply(state, event)
    return state


def kept(state: State, now_s: float) -> State:
    """The state after the upkeep of one cycle."""
    for upkeep in UPKEEP:
        state = fold(state, list(upkeep(state, now_s)))
    return state


def ready(one: Site, at_s: float = NOON_S - 60.0) -> list[Event]:
    """Every station online, with our default profile confirmed a minute ago."""
    events: list[Event] = []
    for number, each in enumerate(one.evses, start=1):
        events.append(StationOnline(at_s=at_s, station=each.station))
        events += told(each.id, each.default_a, at_s, command_id=number, kind=ProfileKind.DEFAULT)
    return events


def booted(name: str, at_s: float) -> StationBooted:
    return StationBooted(at_s=at_s, station=StationId(name))


def charging(name: str, at_s: float = NOON_S, *, transaction: str = "t1") -> list[Event]:
    """A car plugged in, with a transaction."""
    started = TransactionStarted(at_s=at_s, evse=EvseId(name), transaction_id=transaction, meter_wh=0.0)
    return [Plugged(at_s=at_s, evse=EvseId(name)), started]


def told(
    name: str, limit_a: float, at_s: float, *, command_id: int, kind: ProfileKind = ProfileKind.TRANSACTION
) -> list[Event]:
    """A limit that was sent and accepted at once."""
    command = commanded(name, limit_a, at_s, command_id=command_id, kind=kind)
    return [command, accepted(command, at_s)]


def commanded(
    name: str, limit_a: float, at_s: float, *, command_id: int, kind: ProfileKind = ProfileKind.TRANSACTION
) -> Commanded:
    expires_s = at_s + 300.0 if kind is ProfileKind.TRANSACTION else None
    return Commanded(
        at_s=at_s, evse=EvseId(name), command_id=command_id, kind=kind, limit_a=limit_a, expires_s=expires_s
    )


def accepted(command: Commanded, at_s: float) -> Accepted:
    return Accepted(at_s=at_s, evse=command.evse, command_id=command.command_id)


def rejected(command: Commanded, at_s: float, reason: str = "NotSupported") -> Rejected:
    return Rejected(at_s=at_s, evse=command.evse, command_id=command.command_id, reason=reason)


def unanswered(command: Commanded, at_s: float) -> Unanswered:
    return Unanswered(at_s=at_s, evse=command.evse, command_id=command.command_id)


def plan(at_s: float = NOON_S, **current_a: float) -> Plan:
    """A plan of one hour: the current [A] of EVSE number 1 of each named station."""
    return Plan(
        made_at_s=at_s,
        edges_s=(at_s, at_s + 3600.0),
        current_a={EvseId(f"{name}/1"): (amps,) for name, amps in current_a.items()},
        shortfall_wh={},
        per_kwh=(0.25,),
        peak_w=inf,
        outcome=Outcome.FEASIBLE,
        solver="by hand",
        solve_s=0.0,
    )


def line_currents(one: Site, own_a: np.ndarray) -> dict[tuple[str, int], float]:
    """True line currents of draws [A], shape (E, 3 own phases), from node voltages alone: shares no code with Topology.

    Keys are (circuit, phase) and (``"station NAME"``, phase) for a shared supply.
    """
    volts = np.exp(1j * np.radians([0.0, -120.0, 120.0]))
    lines = {c.id: np.zeros(3, dtype=complex) for c in one.circuits}
    found: dict[tuple[str, int], float] = {}
    for each in one.stations:
        columns = [i for i, e in enumerate(one.evses) if e.station == each.id]
        phasors = sum((_phasors(one.evses[i], own_a[i], volts) for i in columns), np.zeros(3, dtype=complex))
        lines[each.circuit] += phasors
        if each.rating_a is not None:
            found |= {(f"station {each.id}", p): float(abs(phasors[p])) for p in range(3)}
    for node in reversed(one.circuits):
        if node.transformer is not None:
            a, b, c = lines[node.id]
            turns = node.transformer.secondary_v / 3.0**0.5 / node.transformer.primary_v
            lines[node.id] = turns * np.array([a - c, b - a, c - b]) * np.exp(1j * np.pi / 6.0)
        if node.parent is not None:
            lines[node.parent] = lines[node.parent] + lines[node.id]
    return found | {(name, p): float(abs(amps[p])) for name, amps in lines.items() for p in range(3)}


def _phasors(each: Evse, own_a: np.ndarray, volts: np.ndarray) -> np.ndarray:
    first, second, _ = grid = each.rotation.grid_phases
    on = np.zeros(3, dtype=complex)
    if each.wiring is Wiring.LINE_TO_LINE:
        across = (volts[first] - volts[second]) / 3.0**0.5
        on[first], on[second] = own_a[0] * across, -own_a[0] * across
    elif each.wiring is Wiring.DC:
        on[:] = own_a[0] * volts
    else:
        for phase, amps in zip(grid, own_a, strict=True):
            on[phase] += amps * volts[phase]
    return on
