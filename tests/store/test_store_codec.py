from __future__ import annotations

import json
import re
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcharge.errors import StoreError
from smartcharge.events import (
    Charging,
    ChargingChanged,
    Commanded,
    Event,
    Happening,
    Metered,
    PricesSet,
    ProfileKind,
    StationOffline,
)
from smartcharge.model import EvseId, Phases, StationId
from smartcharge.store.codec import decode, encode

EVENTS: tuple[type[Event], ...] = get_args(Event)
METERED = Metered(at_s=1.5, evse=EvseId("A"), current_a=Phases(1.0, 2.0, 3.0), power_w=690.0)


class TestWhatIsWrittenIsRead:
    @pytest.mark.parametrize("cls", EVENTS, ids=lambda cls: cls.__name__)
    def test_every_event_comes_back_equal(self, cls: type[Event]) -> None:
        @given(st.from_type(cls))
        def comes_back(event: Event) -> None:
            # By repr, since NaN is not equal to itself and a tuple is not a Phases.
            assert repr(decode(*encode(event))) == repr(event)

        comes_back()

    def test_a_row_is_ascii_json_of_every_field(self) -> None:
        kind, body = encode(METERED)
        assert kind == "Metered"
        assert json.loads(body) == {
            "at_s": 1.5, "evse": "A", "current_a": [1.0, 2.0, 3.0], "power_w": 690.0, "energy_wh": None, "soc": None,
            "voltage_v": None, "body_c": None, "outlet_c": None,
        }  # fmt: skip

    @pytest.mark.parametrize("name", ["Ladesäule", "\ud800", "a\0b", '"', "充电"])
    def test_any_name_survives(self, name: str) -> None:
        event = StationOffline(at_s=0.0, station=StationId(name), reason=name)
        _, body = encode(event)
        assert body.isascii()
        assert decode("StationOffline", body) == event

    def test_enums_and_tuples_come_back_as_such(self) -> None:
        changed = ChargingChanged(at_s=0.0, evse=EvseId("A"), state=Charging.SUSPENDED_EV)
        assert decode(*encode(changed)) == changed
        prices = PricesSet(at_s=0.0, start_s=0.0, step_s=900.0, per_kwh=(0.1, -0.05))
        assert decode(*encode(prices)) == prices


class TestOldRows:
    def test_a_field_that_is_missing_takes_its_default(self) -> None:
        assert decode("StationOffline", '{"at_s":1.0,"station":"S"}') == StationOffline(
            at_s=1.0, station=StationId("S"), reason="connection closed"
        )

    def test_a_missing_field_without_default_is_named(self) -> None:
        with pytest.raises(StoreError, match=r"Commanded\.expires_s is missing"):
            decode("Commanded", '{"at_s":1.0,"command_id":1,"evse":"A","kind":"TxProfile","limit_a":6.0}')


class TestStrict:
    @pytest.mark.parametrize(
        ("kind", "body", "says"),
        [
            ("Teleported", {}, "'Teleported' is not a known kind"),
            ("Plugged", {"at_s": 1.0, "evse": "A", "colour": "red"}, "Plugged has no field 'colour'"),
            ("Plugged", {"at_s": "1.0", "evse": "A"}, "Plugged.at_s: expected a number, got '1.0'"),
            ("Plugged", {"at_s": True, "evse": "A"}, "Plugged.at_s: expected a number, got True"),
            ("Plugged", {"at_s": 10**400, "evse": "A"}, "Plugged.at_s: a number too large"),
            ("Plugged", {"at_s": 1.0, "evse": 7}, "Plugged.evse: expected text, got 7"),
            ("Plugged", {"at_s": 1.0, "evse": None}, "Plugged.evse: expected text, got None"),
            ("Plugged", [], "Plugged: expected an object, got []"),
            ("Accepted", {"at_s": 1.0, "command_id": 1.5, "evse": "A"}, "Accepted.command_id: expected an integer"),
            (
                "ChargingChanged",
                {"at_s": 1.0, "evse": "A", "state": "Flying"},
                "ChargingChanged.state: expected one of",
            ),
            ("ChargingChanged", {"at_s": 1.0, "evse": "A", "state": []}, "ChargingChanged.state: expected one of"),
            (
                "CircuitMetered",
                {"at_s": 1.0, "circuit": "C", "current_a": [1.0, 2.0]},
                "current_a: expected a list of 3",
            ),
            (
                "CircuitMetered",
                {"at_s": 1.0, "circuit": "C", "current_a": [1, 2, "x"]},
                "current_a.l3: expected a number",
            ),
            ("PricesSet", {"at_s": 1.0, "start_s": 0.0, "step_s": 1.0, "per_kwh": 1.0}, "per_kwh: expected a list"),
        ],
    )
    def test_what_does_not_fit_is_named(self, kind: str, body: object, says: str) -> None:
        with pytest.raises(StoreError, match=re.escape(says)):
            decode(kind, json.dumps(body))

    def test_what_is_not_json_is_named(self) -> None:
        with pytest.raises(StoreError, match="Plugged: not JSON"):
            decode("Plugged", "{")

    def test_only_members_of_the_union_are_written(self) -> None:
        class Plugged(Happening):
            pass

        for stranger in (Happening(at_s=0.0), Plugged(at_s=0.0), "Plugged"):
            with pytest.raises(StoreError, match="is not an event"):
                encode(stranger)  # type: ignore[arg-type]

    def test_a_value_without_json_form_is_named(self) -> None:
        event = Commanded(
            at_s=0.0, command_id=1, evse=EvseId("A"), kind=ProfileKind.DEFAULT, limit_a=1j, expires_s=None  # type: ignore[arg-type]
        )  # fmt: skip
        with pytest.raises(StoreError, match=r"Commanded.*complex is not JSON serializable"):
            encode(event)
