from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartcharge.control.budget import Breach, Rule, broken
from smartcharge.control.topology import Topology
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

MAIN, SUB = CircuitId("main"), CircuitId("sub")


def circuit(name: CircuitId = MAIN, parent: CircuitId | None = None, failsafe_a: Phases | None = None) -> Circuit:
    rating = Phases.all(100.0)
    return Circuit(id=name, parent=parent, rating_a=rating, failsafe_a=failsafe_a or rating, voltage_v=230.0)


def station(name: str, rotation: Rotation, *default_a: float, on: CircuitId = MAIN) -> Station:
    evses = tuple(
        Evse(
            id=EvseId(f"{name}/{number}"),
            station=StationId(name),
            number=number,
            wiring=Wiring.ONE_PHASE,
            rotation=rotation,
            voltage_v=230.0,
            min_a=6.0,
            max_a=32.0,
            default_a=amps,
        )
        for number, amps in enumerate(default_a, 1)
    )
    return Station(id=StationId(name), circuit=on, evses=evses)


def site(circuits: tuple[Circuit, ...], *stations: Station) -> Site:
    return Site(id="s", name="S", timezone="UTC", circuits=circuits, stations=stations)


def breaches(one: Site) -> tuple[Breach, ...]:
    return broken(one, Topology.of(one))


class TestFallbackBudget:
    """I3: the default profiles and all other load fit the failsafe limit of every circuit on every phase."""

    def test_holds_to_the_last_ampere(self) -> None:
        one = site((circuit(failsafe_a=Phases(12.0, 0.0, 0.0)),), station("a", Rotation.RST, 6.0, 6.0))
        assert breaches(one) == ()

    def test_names_circuit_and_phase(self) -> None:
        one = site(
            (circuit(), circuit(SUB, MAIN, Phases(50.0, 11.0, 50.0))),
            station("a", Rotation.STR, 6.0, 6.0, on=SUB),
        )
        (breach,) = breaches(one)
        assert (breach.rule, breach.circuit, breach.station, breach.phase) == (Rule.DEFAULTS, SUB, None, 1)
        assert [breach.load_a, breach.limit_a] == pytest.approx([12.0, 11.0])
        assert str(breach) == (
            "circuit sub L2: default profiles and uncontrolled load exceed the failsafe limit: 12.0 A > 11.0 A"
        )

    def test_uncontrolled_load_counts_on_every_circuit_above_it(self) -> None:
        sub = replace(circuit(SUB, MAIN), uncontrolled_a=Phases(0.0, 0.0, 60.0))
        one = site((replace(circuit(), uncontrolled_a=Phases(0.0, 0.0, 60.0)), sub))
        (breach,) = breaches(one)
        assert (breach.circuit, breach.phase, breach.load_a) == (MAIN, 2, 120.0)

    def test_shared_supply_of_a_station(self) -> None:
        one = site((circuit(),), replace(station("hub", Rotation.TRS, 16.0, 16.0), rating_a=20.0))
        (breach,) = breaches(one)
        assert (breach.rule, breach.station, breach.phase) == (Rule.SUPPLY, "hub", 2)
        assert str(breach).startswith("station hub L3: ")

    def test_failsafe_above_the_rating(self) -> None:
        one = site((circuit(failsafe_a=Phases(90.0, 101.0, 90.0)),))
        (breach,) = breaches(one)
        assert (breach.rule, breach.phase, breach.load_a, breach.limit_a) == (Rule.FAILSAFE, 1, 101.0, 100.0)

    def test_counts_the_worst_way_of_drawing_less(self) -> None:
        """All defaults together load primary L1 by 6.9 A, but one of the two cars alone by 8 A."""
        below = station("a", Rotation.RST, 32.0, 16.0)
        wired = tuple(
            replace(evse, wiring=Wiring.LINE_TO_LINE, rotation=rotation)
            for evse, rotation in zip(below.evses, (Rotation.RST, Rotation.STR), strict=True)
        )
        trunk = replace(
            circuit(failsafe_a=Phases(7.9, 90.0, 90.0)),
            transformer=Transformer(primary_v=480.0, secondary_v=120.0 * 3.0**0.5),
        )
        one = site((trunk,), replace(below, evses=wired))
        (breach,) = breaches(one)
        assert breach.phase == 0
        assert breach.load_a == pytest.approx(8.0)

    @settings(max_examples=100, deadline=None)
    @given(
        st.lists(st.tuples(st.sampled_from(Rotation), st.floats(0.0, 32.0), st.sampled_from((MAIN, SUB))), max_size=6),
        st.tuples(*[st.floats(0.0, 100.0)] * 3),
    )
    def test_agrees_with_plain_sums(
        self, loads: list[tuple[Rotation, float, CircuitId]], failsafe: tuple[float, float, float]
    ) -> None:
        stations = [station(f"s{i}", rotation, amps, on=on) for i, (rotation, amps, on) in enumerate(loads)]
        one = site((circuit(failsafe_a=Phases(*failsafe)), circuit(SUB, MAIN)), *stations)
        sums = np.zeros(3)
        for rotation, amps, _ in loads:
            sums[rotation.grid_phases[0]] += amps
        expected = {phase for phase in range(3) if sums[phase] > failsafe[phase] + 1e-6}
        assert {breach.phase for breach in breaches(one) if breach.circuit == MAIN} == expected
