from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from smartcharge.config import load
from smartcharge.control.budget import broken
from smartcharge.control.topology import Topology
from smartcharge.model import Control, Phases, Site, Wiring

SITES = Path(__file__).parents[2] / "sites"
FILES = sorted(SITES.glob("*.toml"))


def site(name: str) -> Site:
    return load(SITES / f"{name}.toml").site


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
class TestEverySite:
    def test_is_named_as_its_file(self, file: Path) -> None:
        assert load(file).site.id == file.stem

    def test_holds_its_fallback_budget(self, file: Path) -> None:
        one = load(file).site
        assert broken(one, Topology.of(one)) == ()

    def test_points_editors_to_the_schema(self, file: Path) -> None:
        assert file.read_text().startswith("#:schema ./site.schema.json\n")


class TestPlantedOverrun:
    def test_check_names_the_circuit_and_the_phase(self) -> None:
        """One more ampere in the house than the depot's failsafe allows, and only on L2."""
        depot = site("depot")
        main = replace(depot.circuits[0], uncontrolled_a=Phases(60.0, 65.0, 60.0))
        over = replace(depot, circuits=(main, *depot.circuits[1:]))
        (breach,) = broken(over, Topology.of(over))
        assert str(breach).startswith(
            "circuit main L2: default profiles and uncontrolled load exceed the failsafe limit"
        )
        assert [breach.load_a, breach.limit_a] == pytest.approx([241.0, 240.0])


class TestWhatTheyShow:
    def test_caltech(self) -> None:
        evses = site("caltech").evses
        assert len(evses) == 54
        assert {evse.wiring for evse in evses} == {Wiring.LINE_TO_LINE}
        assert all(evse.voltage_v == pytest.approx(208.0, rel=1e-3) for evse in evses)

    def test_jpl(self) -> None:
        jpl = site("jpl")
        assert len(jpl.evses) == 52
        ratings = {circuit.id: circuit.rating_a.l1 for circuit in jpl.circuits if circuit.transformer}
        assert ratings == pytest.approx({"first-transformer": 54.15, "upper-transformer": 180.5}, rel=1e-3)

    def test_depot(self) -> None:
        depot = site("depot")
        assert Counter(evse.wiring for evse in depot.evses) == {Wiring.THREE_PHASE: 24, Wiring.DC: 4}
        assert len({evse.rotation for evse in depot.evses if evse.wiring is Wiring.THREE_PHASE}) == 3
        assert sum(circuit.parent == "main" for circuit in depot.circuits) == 2
        assert load(SITES / "depot.toml").mqtt is not None
        powers_kw = {round(evse.max_w / 1000.0) for evse in depot.evses if evse.wiring is Wiring.THREE_PHASE}
        assert powers_kw == {11, 22}
        dc_kw = sorted({round(e.max_w * e.efficiency / 1000.0) for e in depot.evses if e.wiring is Wiring.DC})
        assert dc_kw == pytest.approx([60, 150], abs=1)

    def test_apartment(self) -> None:
        apartment = site("apartment")
        assert Counter(evse.wiring for evse in apartment.evses) == {Wiring.ONE_PHASE: 8, Wiring.THREE_PHASE: 4}
        assert apartment.circuits[0].meter is not None
        assert [station.id for station in apartment.stations if station.control is Control.MQTT] == ["bay-12"]

    def test_hub(self) -> None:
        hub = site("hub")
        assert [len(station.evses) for station in hub.stations] == [2] * 6
        for station in hub.stations:
            assert station.rating_a is not None
            assert sum(evse.max_a for evse in station.evses) > station.rating_a
