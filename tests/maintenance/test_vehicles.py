from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from smartcharge.errors import ConfigError
from smartcharge.events import (
    Event,
    FaultRaised,
    SelfTest,
    SelfTested,
    StationBooted,
    StationOffline,
    StationOnline,
)
from smartcharge.faults import Effect
from smartcharge.maintenance.connectors import OCPI_OF, takes
from smartcharge.maintenance.makes import Make, makes
from smartcharge.maintenance.ports import Place, Port
from smartcharge.maintenance.vehicles import COLUMNS, CarModel, fits, from_open_ev_data, gaps, read_vehicles
from smartcharge.model import EvseId, StationId
from tests.builders import row_of
from tests.maintenance.month import B, at, charge, told
from tests.shared_data import SHARED, needs_shared

AC = Port(
    evse=EvseId("a"), station=StationId("a"), min_a=6.0, max_a=32.0, phases=3, max_w=22080.0, connectors=("sType2",)
)
DC = replace(AC, evse=EvseId("d"), is_dc=True, max_w=150e3, connectors=("cCCS2", "cG105"))
ZOE = CarModel(
    name="Zoe", ac_inlet="cType2", ac_phases=3, ac_max_w=22000.0, dc_inlets=("cCCS2",), dc_max_w=46e3, source="x"
)


class TestWhoCanCharge:
    def test_power_is_the_least_of_car_and_port(self) -> None:
        assert ZOE.power_at(AC) == pytest.approx(22000.0)
        assert ZOE.power_at(replace(AC, max_a=16.0)) == pytest.approx(3 * 230 * 16)
        assert ZOE.power_at(replace(AC, phases=1)) == pytest.approx(22000.0 / 3)
        assert replace(ZOE, ac_phases=1, ac_max_w=3680.0).power_at(AC) == pytest.approx(3680.0)
        assert ZOE.power_at(DC) == 46e3

    def test_what_does_not_fit_gets_nothing(self) -> None:
        assert ZOE.power_at(replace(AC, connectors=("cType1",))) is None
        assert ZOE.power_at(replace(AC, connectors=())) is None
        assert replace(ZOE, dc_inlets=()).power_at(DC) is None
        assert replace(ZOE, ac_inlet=None).power_at(AC) is None

    def test_a_cable_of_the_drivers_own_fits_a_socket_only(self) -> None:
        assert takes("cType1", "sType2")
        assert not takes("cType1", "cType2")
        assert takes("cCCS2", "cCCS2")
        assert not takes("cCCS2", "cCCS1")

    def test_gaps_name_what_would_add_most(self) -> None:
        nacs = replace(ZOE, ac_inlet="cNACS", dc_inlets=("cNACS",))
        leaf = replace(ZOE, ac_inlet="cType1", dc_inlets=("cG105",))
        tethered = replace(AC, connectors=("cType2",))
        found = fits([ZOE, nacs, replace(nacs, name="other"), leaf], [tethered])
        assert [fit.ports for fit in found] == [1, 0, 0, 0]
        assert gaps(found) == {"cNACS": 2, "cG105": 1, "cType1": 1}

    def test_current_is_derived_from_power_and_phases(self) -> None:
        assert replace(ZOE, ac_max_w=11040.0).ac_max_a == pytest.approx(16.0)
        assert replace(ZOE, ac_phases=0).ac_max_a == 0.0


class TestTables:
    def test_ours_is_sound_and_names_its_sources(self) -> None:
        cars = read_vehicles()
        assert len({car.name for car in cars}) == len(cars) > 0
        assert all(car.source and car.ac_inlet in OCPI_OF for car in cars)

    def test_every_wrong_row_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "cars.csv"
        rows = ("A,B,cTypo,3,1,,0,s", "A,B,cType2,three,1,,0,s", "A,B,cType2,3,-1,,0,s", "A,B,cType2,3,1,,0,")
        path.write_text("\n".join([",".join(COLUMNS), *rows]))
        with pytest.raises(ConfigError) as caught:
            read_vehicles(path)
        says = ("'cTypo' is no connector", "'three' is no number", "-1 is out of range", "source: is missing")
        for number, (line, words) in enumerate(zip(str(caught.value).splitlines(), says, strict=True), 2):
            assert f"cars.csv:{number}: " in line
            assert words in line


class TestOpenEvData:
    CAR: ClassVar[dict[str, Any]] = {
        "brand": "Kia", "model": "EV6", "variant": "", "release_year": 2021,
        "ac_charger": {"usable_phases": 3, "ports": ["type2"], "max_power": 11.0},
        "dc_charger": {"ports": ["ccs", "tesla_ccs"], "max_power": 250.0},
    }  # fmt: skip

    def read(self, tmp_path: Path, *cars: object) -> tuple[list[dict[str, str]], list[str]]:
        path = tmp_path / "ev-data.json"
        path.write_text(json.dumps({"data": cars, "meta": {"updated_at": "2021-09-09T08:27:25Z"}}))
        return from_open_ev_data(path)

    def test_a_car_becomes_a_row(self, tmp_path: Path) -> None:
        rows, left_out = self.read(tmp_path, self.CAR, {**self.CAR, "dc_charger": None, "release_year": None})
        assert left_out == []
        assert rows[0] == {
            "brand": "Kia", "model": "EV6 (2021)", "ac_inlet": "cType2", "ac_phases": "3", "ac_max_w": "11000",
            "dc_inlets": "cCCS2", "dc_max_w": "250000", "source": "open-ev-data, 2021-09-09",
        }  # fmt: skip
        assert (rows[1]["model"], rows[1]["dc_inlets"]) == ("EV6", "")

    def test_what_does_not_fit_is_left_out_and_named(self, tmp_path: Path) -> None:
        odd = {**self.CAR, "ac_charger": {"usable_phases": 3, "ports": ["type9"], "max_power": 11.0}}
        rows, (line,) = self.read(tmp_path, self.CAR, odd, self.CAR)
        assert len(rows) == 2
        assert "data[1]" in line
        assert "type9" in line

    def test_another_format_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "x.json").write_text("[]")
        with pytest.raises(ConfigError, match="is not open-ev-data"):
            from_open_ev_data(tmp_path / "x.json")

    @needs_shared
    def test_all_of_it(self, tmp_path: Path) -> None:
        rows, left_out = from_open_ev_data(SHARED / "vehicles" / "ev-data.json")
        assert (len(rows), left_out) == (293, [])


class TestMakes:
    def test_charges_count_for_the_version_that_ran_then(self) -> None:
        def booted(at_s: float, firmware: str) -> StationBooted:
            return StationBooted(at_s=at_s, station=StationId("b"), vendor="V", model="M", firmware=firmware)

        events: list[Event] = [
            booted(at(1), "1"),
            *charge("1", at(2), 10.0, 2000.0, "Local"),
            booted(at(3), "2"),
            *charge("2", at(4), 1.0, 0.0, "Other"),
            *charge("3", at(5), 10.0, 900.0, "Other"),
            FaultRaised(at_s=at(6), evse=B, code="EVCommunicationError"),
        ]
        found = makes(Place.of(row_of(2)), told(events))
        old, new = found[Make("V", "M", "1")], found[Make("V", "M", "2")]
        assert (old.success.starts, old.success.session_share, old.ev_errors) == (1, 1.0, 0)
        assert (new.success.starts, new.success.session_share, new.ev_errors) == (2, 0.5, 1)

    def test_what_it_has_and_speaks_and_how_it_fails(self) -> None:
        b = StationId("b")
        events: list[Event] = [
            StationOnline(at_s=at(1), station=b, standard="ocpp2.0.1"),
            StationBooted(at_s=at(1), station=b, vendor="V", model="M", firmware="1"),
            FaultRaised(at_s=at(2), evse=B, code="GroundFailure", effect=Effect.FAULTED),
            StationOffline(at_s=at(3), station=b),
            StationOnline(at_s=at(4), station=b, standard="ocpp2.1"),
            SelfTested(at_s=at(5), subject="evse b/1", test=SelfTest.SETPOINT, passed=False, detail="x"),
            SelfTested(at_s=at(6), subject="station b", test=SelfTest.CONNECTION, passed=True, detail="x"),
        ]
        place = Place.of(row_of(2))
        ports = tuple(replace(port, connectors=("sType2",)) for port in place.ports)
        found = makes(replace(place, ports=ports), told(events))[Make("V", "M", "1")]
        assert (found.connectors, found.standards) == (("sType2",), ("ocpp2.0.1", "ocpp2.1"))
        assert (found.faults, found.offline, found.failed_tests, found.ev_errors) == (1, 1, 1, 0)
