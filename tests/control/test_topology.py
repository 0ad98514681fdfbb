from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartcharge.control.topology import Topology, uncontrolled_a
from smartcharge.model import (
    Circuit,
    CircuitId,
    Evse,
    EvseId,
    Phases,
    Rotation,
    Site,
    Station,
    StationId,
    Transformer,
    Wiring,
)

MAIN = CircuitId("main")
SUB = CircuitId("sub")
DEEP = CircuitId("deep")
DELTA_WYE = Transformer(primary_v=480.0, secondary_v=120.0 * 3.0**0.5)


def circuit(name: CircuitId = MAIN, parent: CircuitId | None = None, transformer: Transformer | None = None) -> Circuit:
    limit = Phases.all(100.0)
    return Circuit(
        id=name,
        parent=parent,
        rating_a=limit,
        failsafe_a=limit,
        voltage_v=277.0 if transformer else 120.0,
        transformer=transformer,
    )


def station(
    name: str, *loads: tuple[Wiring, Rotation], circuit_id: CircuitId = MAIN, rating_a: float | None = None
) -> Station:
    evses = tuple(
        Evse(
            id=EvseId(f"{name}/{number}"),
            station=StationId(name),
            number=number,
            wiring=wiring,
            rotation=rotation,
            voltage_v=120.0,
            min_a=6.0,
            max_a=32.0,
            default_a=6.0,
        )
        for number, (wiring, rotation) in enumerate(loads, 1)
    )
    return Station(id=StationId(name), circuit=circuit_id, evses=evses, rating_a=rating_a)


def site(circuits: tuple[Circuit, ...], *stations: Station) -> Site:
    return Site(id="s", name="S", timezone="UTC", circuits=circuits, stations=stations)


def line_currents(site: Site, wiring: Wiring, rotation: Rotation, current_a: float = 1.0) -> list[float]:
    """Line currents of one EVSE alone on the main circuit, computed by the topology."""
    topology = Topology.of(site)
    loads = topology.loads(np.array([current_a]))
    assert (wiring, rotation) == (site.evses[0].wiring, site.evses[0].rotation)
    return [
        max((loads[i] for i in topology.of_circuit[MAIN] if topology.rows[i].phase == p), default=0.0) for p in range(3)
    ]


class TestWiring:
    @pytest.mark.parametrize(
        ("wiring", "rotation", "expected"),
        [
            (Wiring.ONE_PHASE, Rotation.RST, [1, 0, 0]),
            (Wiring.ONE_PHASE, Rotation.STR, [0, 1, 0]),
            (Wiring.ONE_PHASE, Rotation.TRS, [0, 0, 1]),
            (Wiring.THREE_PHASE, Rotation.STR, [1, 1, 1]),
            (Wiring.DC, Rotation.RST, [1, 1, 1]),
            (Wiring.LINE_TO_LINE, Rotation.RST, [1, 1, 0]),
            (Wiring.LINE_TO_LINE, Rotation.STR, [0, 1, 1]),
            (Wiring.LINE_TO_LINE, Rotation.TRS, [1, 0, 1]),
        ],
    )
    def test_load_falls_on_the_rotated_phases(self, wiring: Wiring, rotation: Rotation, expected: list[float]) -> None:
        one = site((circuit(),), station("a", (wiring, rotation)))
        assert line_currents(one, wiring, rotation) == pytest.approx(expected)

    @pytest.mark.parametrize(
        ("rotation", "angle"), [(Rotation.RST, 30.0), (Rotation.STR, -90.0), (Rotation.TRS, 150.0)]
    )
    def test_line_to_line_current_lies_along_its_own_voltage(self, rotation: Rotation, angle: float) -> None:
        topology = Topology.of(site((circuit(),), station("a", (Wiring.LINE_TO_LINE, rotation))))
        first = next(i for i, row in enumerate(topology.rows) if row.phase == rotation.grid_phases[0])
        assert topology.coupling[first, 0] == pytest.approx(np.exp(1j * np.radians(angle)))

    def test_three_equal_line_to_line_loads_make_root_three(self) -> None:
        loads = [(Wiring.LINE_TO_LINE, rotation) for rotation in (Rotation.RST, Rotation.STR, Rotation.TRS)]
        topology = Topology.of(site((circuit(),), station("a", *loads)))
        currents = topology.loads(np.full(3, 10.0))
        assert [currents[i] for i, row in enumerate(topology.rows) if row.phase is not None] == pytest.approx(
            [10.0 * 3.0**0.5] * 3
        )


class TestTree:
    def test_parent_carries_what_its_children_carry(self) -> None:
        two = site(
            (circuit(), circuit(SUB, MAIN)),
            station("a", (Wiring.ONE_PHASE, Rotation.RST), circuit_id=SUB),
            station("b", (Wiring.ONE_PHASE, Rotation.RST)),
        )
        topology = Topology.of(two)
        labels = {topology.rows[i].label: load for i, load in enumerate(topology.loads(np.array([10.0, 5.0])))}
        assert labels == pytest.approx({"main L1": 15.0, "main total": 5.0, "sub L1": 10.0, "sub total": 10.0 / 3.0})

    def test_lines_without_an_evse_have_no_row(self) -> None:
        topology = Topology.of(site((circuit(), circuit(SUB, MAIN)), station("a", (Wiring.ONE_PHASE, Rotation.RST))))
        assert [row.label for row in topology.rows] == ["main L1", "main total"]
        assert topology.of_circuit == {MAIN: (0, 1), SUB: ()}

    def test_station_with_a_shared_supply_has_rows_of_its_own(self) -> None:
        dual = station("hub", (Wiring.DC, Rotation.RST), (Wiring.DC, Rotation.RST), rating_a=100.0)
        topology = Topology.of(site((circuit(),), dual))
        shared = [i for i, row in enumerate(topology.rows) if row.station == "hub"]
        assert [topology.rows[i].label for i in shared] == [f"station hub L{n}" for n in (1, 2, 3)]
        assert topology.loads(np.array([60.0, 50.0]))[shared] == pytest.approx([110.0] * 3)
        assert set(shared).isdisjoint(topology.of_circuit[MAIN])

    def test_site_without_evses_has_no_rows(self) -> None:
        topology = Topology.of(site((circuit(),)))
        assert topology.rows == ()
        assert topology.loads(np.zeros(0)).shape == (0,)


class TestTransformer:
    def test_balanced_load_scales_by_the_voltages(self) -> None:
        topology = Topology.of(site((circuit(transformer=DELTA_WYE),), station("a", (Wiring.DC, Rotation.RST))))
        lines = [abs(topology.coupling[i, 0]) for i in topology.of_circuit[MAIN] if topology.rows[i].phase is not None]
        assert lines == pytest.approx([120.0 * 3.0**0.5 / 480.0] * 3)

    def test_loads_on_both_sides_add_up(self) -> None:
        """A balanced load is in phase with its voltage on either side of the transformer."""
        both = site(
            (circuit(), circuit(SUB, MAIN, DELTA_WYE)),
            station("above", (Wiring.DC, Rotation.RST)),
            station("below", (Wiring.DC, Rotation.RST), circuit_id=SUB),
        )
        topology = Topology.of(both)
        lines = [i for i in topology.of_circuit[MAIN] if topology.rows[i].phase is not None]
        assert topology.loads(np.array([10.0, 10.0]))[lines] == pytest.approx(
            [10.0 + 10.0 * 120.0 * 3.0**0.5 / 480.0] * 3
        )

    def test_total_counts_watts_at_the_circuits_voltage(self) -> None:
        topology = Topology.of(site((circuit(transformer=DELTA_WYE),), station("a", (Wiring.DC, Rotation.RST))))
        total = next(i for i, row in enumerate(topology.rows) if row.phase is None)
        assert topology.loads(np.array([10.0]))[total] * 3.0 * 277.0 == pytest.approx(10.0 * 3.0 * 120.0)


class TestPhasesUsed:
    def test_a_car_that_uses_one_phase_loads_the_first_of_its_rotation(self) -> None:
        one = site((circuit(),), station("a", (Wiring.THREE_PHASE, Rotation.STR)))
        topology = Topology.of(one, {EvseId("a/1"): 1})
        assert [row.label for row in topology.rows] == ["main L2", "main total"]
        assert topology.watts_per_amp == pytest.approx([120.0])
        assert topology.loads(np.array([9.0])) == pytest.approx([9.0, 3.0])

    def test_unknown_is_all(self) -> None:
        one = site((circuit(),), station("a", (Wiring.THREE_PHASE, Rotation.STR), (Wiring.THREE_PHASE, Rotation.RST)))
        topology = Topology.of(one, {EvseId("a/1"): 2})
        assert topology.watts_per_amp == pytest.approx([240.0, 360.0])
        assert topology.loads(np.array([9.0, 1.0])) == pytest.approx([1.0, 10.0, 10.0, 7.0])

    @pytest.mark.parametrize("wiring", [Wiring.DC, Wiring.LINE_TO_LINE, Wiring.ONE_PHASE])
    def test_means_nothing_where_the_car_has_no_choice(self, wiring: Wiring) -> None:
        one = site((circuit(),), station("a", (wiring, Rotation.RST)))
        free, told = Topology.of(one), Topology.of(one, {EvseId("a/1"): 1})
        assert free.rows == told.rows
        assert free.coupling == pytest.approx(told.coupling)
        assert free.watts_per_amp == pytest.approx(told.watts_per_amp)


class TestUncontrolledLoad:
    def test_adds_up_the_tree(self) -> None:
        main = Circuit(
            id=MAIN,
            parent=None,
            rating_a=Phases.all(100.0),
            failsafe_a=Phases.all(100.0),
            voltage_v=230.0,
            uncontrolled_a=Phases(1.0, 2.0, 3.0),
        )
        sub = Circuit(
            id=SUB,
            parent=MAIN,
            rating_a=Phases.all(100.0),
            failsafe_a=Phases.all(100.0),
            voltage_v=230.0,
            uncontrolled_a=Phases(10.0, 20.0, 30.0),
        )
        assert uncontrolled_a(site((main, sub))) == {MAIN: Phases(11.0, 22.0, 33.0), SUB: Phases(10.0, 20.0, 30.0)}

    def test_is_spread_and_scaled_by_a_transformer(self) -> None:
        sub = Circuit(
            id=SUB,
            parent=MAIN,
            rating_a=Phases.all(100.0),
            failsafe_a=Phases.all(100.0),
            voltage_v=120.0,
            uncontrolled_a=Phases(40.0, 0.0, 0.0),
        )
        above = uncontrolled_a(site((circuit(transformer=DELTA_WYE), sub)))[MAIN]
        assert above == pytest.approx(Phases(10.0, 10.0, 0.0))


LOADS = st.tuples(st.sampled_from(Wiring), st.sampled_from(Rotation))


@st.composite
def mixed_sites(draw: st.DrawFn, max_loads: int = 6) -> Site:
    """A main circuit, a delta-wye transformer under it, another below that, and any loads anywhere."""
    circuits = (circuit(), circuit(SUB, MAIN, DELTA_WYE), circuit(DEEP, SUB, DELTA_WYE))
    stations = [
        station(f"s{i}", load, circuit_id=draw(st.sampled_from((MAIN, SUB, DEEP))))
        for i, load in enumerate(draw(st.lists(LOADS, min_size=1, max_size=max_loads)))
    ]
    return site(circuits, *stations)


def physical(one: Site, drawn_a: np.ndarray) -> dict[tuple[str, int], float]:
    """Line currents of draws [A], shape (E, 3 own phases), worked out from node voltages alone."""
    volts = np.exp(1j * np.radians([0.0, -120.0, 120.0]))
    lines = {name: np.zeros(3, dtype=complex) for name in (MAIN, SUB, DEEP)}
    for evse, own in zip(one.evses, drawn_a, strict=True):
        on = lines[next(s.circuit for s in one.stations if s.id == evse.station)]
        grid = evse.rotation.grid_phases
        if evse.wiring is Wiring.LINE_TO_LINE:
            across = volts[grid[0]] - volts[grid[1]]
            on[grid[0]] += own[0] * across / abs(across)
            on[grid[1]] -= own[0] * across / abs(across)
        else:
            per_phase = {Wiring.ONE_PHASE: [own[0], 0.0, 0.0], Wiring.DC: [own[0]] * 3}.get(evse.wiring, list(own))
            for phase, amps in zip(grid, per_phase, strict=True):
                on[phase] += amps * volts[phase]
    for name, parent in ((DEEP, SUB), (SUB, MAIN)):
        a, b, c = lines[name]
        lines[name] = 0.25 * np.array([a - c, b - a, c - b]) * np.exp(1j * np.pi / 6.0)
        lines[parent] = lines[parent] + lines[name]
    return {(name, phase): abs(amps[phase]) for name, amps in lines.items() for phase in range(3)}


def worst(topology: Topology, setpoints_a: np.ndarray) -> dict[tuple[str, int], float]:
    found: dict[tuple[str, int], float] = {(name, phase): 0.0 for name in (MAIN, SUB, DEEP) for phase in range(3)}
    for row, load in zip(topology.rows, topology.loads(setpoints_a), strict=True):
        if row.phase is not None:
            found[row.circuit, row.phase] = max(found[row.circuit, row.phase], float(load))
    return found


class TestDrawingLess:
    """No car, by drawing less than its setpoint, raises a line above the rows that bound it."""

    @settings(max_examples=200, deadline=None)
    @given(mixed_sites(), st.data())
    def test_rows_bound_every_draw(self, one: Site, data: st.DataObject) -> None:
        count = len(one.evses)
        unit = st.floats(0.0, 1.0) | st.sampled_from((0.0, 1.0))
        setpoints = np.array(data.draw(st.lists(st.floats(0.0, 80.0), min_size=count, max_size=count)))
        shares = np.array(data.draw(st.lists(unit, min_size=3 * count, max_size=3 * count))).reshape(count, 3)
        bounds = worst(Topology.of(one), setpoints)
        for line, load in physical(one, shares * setpoints[:, None]).items():
            assert load <= bounds[line] + 1e-9

    @settings(max_examples=50, deadline=None)
    @given(mixed_sites(max_loads=3), st.data())
    def test_bound_is_reached_by_some_draw(self, one: Site, data: st.DataObject) -> None:
        count = len(one.evses)
        setpoints = np.array(data.draw(st.lists(st.floats(0.0, 80.0), min_size=count, max_size=count)))
        reached = dict.fromkeys(worst(Topology.of(one), setpoints), 0.0)
        for bits in range(2 ** (3 * count)):
            switches = np.array([(bits >> i) & 1 for i in range(3 * count)], dtype=float).reshape(count, 3)
            for line, load in physical(one, switches * setpoints[:, None]).items():
                reached[line] = max(reached[line], load)
        assert worst(Topology.of(one), setpoints) == pytest.approx(reached)

    def test_a_car_that_stops_can_raise_a_primary_line(self) -> None:
        """The planted case: on primary L1, the L2-L3 load pulls against the L1-L2 one."""
        below = station("a", (Wiring.LINE_TO_LINE, Rotation.RST), (Wiring.LINE_TO_LINE, Rotation.STR))
        one = site((circuit(transformer=DELTA_WYE),), below)
        assert worst(Topology.of(one), np.array([32.0, 16.0]))[MAIN, 0] == pytest.approx(0.25 * 32.0)
        assert abs(0.25 * (32.0 * np.exp(1j * np.pi / 6) + 16.0 * np.exp(-1j * np.pi / 2))) < 0.25 * 32.0

    def test_a_three_phase_car_on_one_phase_can_raise_a_line_two_transformers_above(self) -> None:
        circuits = (circuit(transformer=DELTA_WYE), circuit(SUB, MAIN, DELTA_WYE), circuit(DEEP, SUB))
        below = station("a", (Wiring.THREE_PHASE, Rotation.RST), (Wiring.ONE_PHASE, Rotation.RST), circuit_id=DEEP)
        free = worst(Topology.of(site(circuits, below)), np.array([8.0, 32.0]))
        balanced = station("a", (Wiring.DC, Rotation.RST), (Wiring.ONE_PHASE, Rotation.RST), circuit_id=DEEP)
        tied = worst(Topology.of(site(circuits, balanced)), np.array([8.0, 32.0]))
        assert max(free[MAIN, phase] - tied[MAIN, phase] for phase in range(3)) > 0.05

    def test_lines_whose_loads_never_oppose_stay_single_rows(self) -> None:
        loads = [(Wiring.LINE_TO_LINE, r) for r in Rotation] + [(Wiring.THREE_PHASE, r) for r in Rotation]
        rows = Topology.of(site((circuit(),), station("a", *loads))).rows
        assert [row.phase for row in rows] == [0, 1, 2, None]
