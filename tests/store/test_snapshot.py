"""A state as text: there and back on the same site, carefully on another."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from smartcharge.control import liveness
from smartcharge.control.evse import believed_a
from smartcharge.control.liveness import Liveness
from smartcharge.control.state import State
from smartcharge.errors import StoreError
from smartcharge.events import CircuitMetered, FaultRaised, LimitSet, Metered, OperatorOrder, PricesSet, Unplugged
from smartcharge.model import CircuitId, EvseId, GridSource, Phases, Site
from smartcharge.store.codec import decode_state, encode_state
from tests.builders import MAIN, NOON_S, booted, charging, circuit, evse, fold, meter, ready, site, station, told

OLD = Path(__file__).parent / "snapshots"
A = EvseId("a/1")


def place(count: int = 2, max_a: float = 32.0) -> Site:
    stations = [station(replace(evse(f"{letter}/1"), max_a=max_a)) for letter in "abc"[:count]]
    return site(replace(circuit(), meter=meter()), *stations)


def known(one: Site) -> State:
    """Something in every field."""
    return fold(
        one,
        ready(one),
        charging("a/1", NOON_S - 9000.0),
        Metered(at_s=NOON_S - 6000.0, evse=A, energy_wh=7000.0),
        Unplugged(at_s=NOON_S - 3600.0, evse=A),
        booted("b", NOON_S - 30.0),
        charging("a/1"),
        told("a/1", 13.0, NOON_S + 5.0, command_id=9),
        Metered(at_s=NOON_S + 60.0, evse=A, current_a=Phases(12.0, 0.0, 0.0), power_w=2760.0, energy_wh=40.0, soc=0.5),
        Metered(at_s=NOON_S + 90.0, evse=A, current_a=Phases(12.0, 0.0, 0.0), power_w=2760.0, energy_wh=63.0),
        CircuitMetered(at_s=NOON_S + 61.0, circuit=MAIN, current_a=Phases(14.0, 3.0, 2.0)),
        LimitSet(at_s=NOON_S + 70.0, source="dso", circuit=MAIN, current_a=Phases(20.0, 20.0, 20.0), power_w=9e3),
        PricesSet(at_s=NOON_S + 71.0, start_s=NOON_S, step_s=900.0, per_kwh=(0.1, -0.05)),
        FaultRaised(at_s=NOON_S + 80.0, evse=EvseId("b/1"), code="HighTemperature", detail="\ud800"),
        OperatorOrder(at_s=NOON_S + 90.0, evse=A, limit_a=7.0, author="me", reason="works"),
    )


class TestOnTheSameSite:
    def test_it_comes_back_equal(self) -> None:
        state = known(place())
        assert state.history.cells
        assert decode_state(encode_state(state), place()) == state

    def test_no_password_is_written(self) -> None:
        one = place()
        secret = replace(one, stations=tuple(replace(s, secret="hush") for s in one.stations))
        written = encode_state(known(secret))
        assert "hush" not in written
        assert decode_state(written, one) == known(one)


class TestOnAnotherSite:
    def test_an_evse_that_was_added_is_unheard_of_and_one_that_is_gone_is_forgotten(self) -> None:
        grown = decode_state(encode_state(known(place(2))), place(3))
        assert grown.evses[EvseId("c/1")] == State.initial(place(3)).evses[EvseId("c/1")]
        assert grown.evses[A] == known(place(2)).evses[A]
        shrunk = decode_state(encode_state(known(place(3))), place(1))
        assert set(shrunk.evses) == {A}
        assert set(shrunk.stations) == {"a"}

    def test_a_station_described_otherwise_counts_as_after_a_reboot(self) -> None:
        larger = place(max_a=63.0)
        state = decode_state(encode_state(known(place())), larger)
        assert max(believed_a(state.evses[A], NOON_S + 100.0)) == 63.0
        assert state.evses[A].evse.max_a == 63.0
        assert state.evses[A].session is not None

    def test_a_circuit_that_is_gone_has_no_meter_and_no_limit(self) -> None:
        one = place()
        renamed = site(circuit(CircuitId("other")), *(station(s.evses[0], on=CircuitId("other")) for s in one.stations))
        state = decode_state(encode_state(known(one)), renamed)
        assert state.meters == {}
        assert state.sources == {}

    def test_a_grid_operator_that_is_waited_for_from_now_on_keeps_its_limit_and_must_prove_its_line(self) -> None:
        dso = GridSource(id="dso", circuit=MAIN, failsafe_w=5e3)
        awaited = replace(place(), grid=(dso,))
        state = decode_state(encode_state(known(place())), awaited)
        assert state.sources["dso"].liveness is Liveness.INIT
        assert state.sources["dso"].limits == known(place()).sources["dso"].limits
        stricter = replace(awaited, grid=(replace(dso, failsafe_w=3e3),))
        assert liveness.failsafe_w(decode_state(encode_state(state), stricter).sources["dso"], NOON_S) == 3e3
        assert decode_state(encode_state(state), place()).sources == {}


class TestOldSnapshots:
    @pytest.mark.parametrize("path", sorted(OLD.glob("v*.json")), ids=lambda path: path.stem)
    def test_are_read(self, path: Path) -> None:
        """A field that a state gets later needs a default, or sites could not be updated."""
        state = decode_state(path.read_text(), place())
        assert state.evses[A].order == known(place()).evses[A].order
        assert state.sources == known(place()).sources

    def test_of_a_time_without_a_grid_limit_are_read(self) -> None:
        value = json.loads((OLD / "v3.json").read_text())
        value["state"]["grid_limits"] = []
        assert decode_state(json.dumps(value), place()).sources == {}

    @pytest.mark.parametrize(
        ("body", "says"),
        [
            ("{", "snapshot: not JSON"),
            ("[]", "snapshot: expected an object"),
            ('{"state":{"at_s":1.0},"stations":{}}', r"State\.\w+ is missing"),
        ],
    )
    def test_what_does_not_fit_is_named(self, body: str, says: str) -> None:
        with pytest.raises(StoreError, match=says):
            decode_state(body, place())

    def test_a_field_that_is_not_known_is_named(self) -> None:
        value = json.loads(encode_state(known(place())))
        value["state"]["mood"] = "fair"
        with pytest.raises(StoreError, match="State has no field 'mood'"):
            decode_state(json.dumps(value), place())
