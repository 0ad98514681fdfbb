from __future__ import annotations

from pathlib import Path

import pytest

from smartcharge.config import load, with_capacity
from smartcharge.control.budget import broken
from smartcharge.control.topology import Topology
from smartcharge.errors import ConfigError
from smartcharge.model import Circuit, Phases, Site

SITES = Path(__file__).parents[2] / "sites"


def site(name: str) -> Site:
    return load(SITES / f"{name}.toml").site


class TestTrunk:
    def test_is_limited_on_both_sides_of_the_transformer(self) -> None:
        limited = with_capacity(site("caltech"), 60_000.0)
        by_id: dict[str, Circuit] = {circuit.id: circuit for circuit in limited.circuits}
        for name, volts in (("transformer", 277.0), ("secondary", 120.0)):
            assert by_id[name].rating_a == pytest.approx(Phases.all(60_000.0 / (3.0 * volts)))
            assert by_id[name].failsafe_a == pytest.approx(Phases.all(60_000.0 / (3.0 * volts)))
        assert by_id["cc-pod"].rating_a == Phases.all(80.0)

    def test_ends_where_it_branches(self) -> None:
        limited = with_capacity(site("depot"), 172_500.0 / 1.02)
        assert limited.circuits[0].rating_a == pytest.approx(Phases.all(250.0 / 1.02))
        assert limited.circuits[1:] == site("depot").circuits[1:]

    def test_is_never_raised(self) -> None:
        assert with_capacity(site("depot"), 1e9) == site("depot")


class TestDefaults:
    @pytest.mark.parametrize("capacity_w", [20_000.0, 50_000.0, 70_000.0, 100_000.0, 150_000.0])
    @pytest.mark.parametrize("name", ["caltech", "jpl"])
    def test_fit_again(self, name: str, capacity_w: float) -> None:
        limited = with_capacity(site(name), capacity_w)
        assert broken(limited, Topology.of(limited)) == ()

    def test_are_lowered_to_an_allowed_value_and_no_further(self) -> None:
        """70 kW hold 54 x 6 A at 208 V, which is 67 kW, but not the 8 A that is the least of the CC pod."""
        limited = with_capacity(site("caltech"), 70_000.0)
        assert {station.circuit: station.evses[0].default_a for station in limited.stations} == {
            "secondary": 6.0,
            "av-pod": 6.0,
            "cc-pod": 0.0,
        }
        assert {evse.default_a for evse in with_capacity(site("caltech"), 50_000.0).evses} == {0.0}

    def test_stay_where_they_fit(self) -> None:
        assert with_capacity(site("caltech"), 140_000.0).stations == site("caltech").stations

    def test_cannot_make_room_for_other_load(self) -> None:
        with pytest.raises(
            ConfigError, match=r"depot cannot be run with 30000 W: circuit main L1: .* 60\.0 A > 43\.5 A"
        ):
            with_capacity(site("depot"), 30_000.0)
