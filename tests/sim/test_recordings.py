from __future__ import annotations

import gzip
import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from smartcharge.control.prediction import History, Quantity, Visitor, quantile
from smartcharge.errors import ConfigError
from smartcharge.model import Circuit, CircuitId, Evse, EvseId, Phases, Rotation, Site, Station, StationId, Wiring
from smartcharge.sim.recordings import Visit, history, read, window
from tests.builders import row_of
from tests.shared_data import ACN, needs_shared

DAY_S = 24 * 3600.0


def evse(name: str, station: str) -> Evse:
    return Evse(
        id=EvseId(name),
        station=StationId(station),
        number=1,
        wiring=Wiring.LINE_TO_LINE,
        rotation=Rotation.RST,
        voltage_v=208.0,
        min_a=6.0,
        max_a=32.0,
        default_a=6.0,
    )


def site(*names: str) -> Site:
    top = Circuit(
        id=CircuitId("main"),
        parent=None,
        rating_a=Phases.all(100.0),
        failsafe_a=Phases.all(10.0),
        voltage_v=120.0,
    )
    stations = tuple(Station(id=StationId(name), circuit=top.id, evses=(evse(f"{name}/1", name),)) for name in names)
    return Site(id="s", name="Somewhere", timezone="America/Los_Angeles", circuits=(top,), stations=stations)


CALTECH = site("CA-315", "CA-321")
NUMERIC = "session_id,station_id,arrival_period,departure_period,requested_kWh,battery_max_kW\n"
GYM = (
    "arrival,departure,requested_energy (kWh),delivered_energy (kWh),"
    "station_id,session_id,estimated_departure,claimed\n"
)
PLAIN = "arrival,departure,energy_wh,evse\n"


def file(folder: Path, text: str, name: str = "2019-03_x.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


class TestNumericFormat:
    def test_a_row(self, tmp_path: Path) -> None:
        (visit,) = read(file(tmp_path, NUMERIC + "s1,CA-315,76,92,4.216,6.6\n"), CALTECH).visits
        assert visit == Visit(
            evse=EvseId("CA-315/1"),
            session_id="s1",
            arrive_s=utc("2019-03-01 14:20"),
            depart_s=utc("2019-03-01 15:40"),
            energy_wh=4216.0,
            max_w=6600.0,
        )

    def test_the_epoch_can_be_given(self, tmp_path: Path) -> None:
        path = file(tmp_path, NUMERIC + "s1,CA-315,76,92,4.216,6.6\n", "sessions.csv")
        with pytest.raises(ConfigError, match="YYYY-MM"):
            read(path, CALTECH)
        assert read(path, CALTECH, epoch_s=1000.0).visits[0].arrive_s == 1000.0 + 76 * 300


class TestSustaingymFormat:
    ROW = "2019-05-01 01:18:45-07:00,2019-05-01 15:52:36-07:00,60.0,44.069,CA-321,s1,2019-05-01 09:20:45-07:00,"

    def test_what_was_claimed_is_stated(self, tmp_path: Path) -> None:
        path = tmp_path / "x.csv.gz"
        path.write_bytes(gzip.compress((GYM + self.ROW + "True\n").encode()))
        (visit,) = read(path, CALTECH).visits
        assert (visit.arrive_s, visit.depart_s) == (utc("2019-05-01 08:18:45"), utc("2019-05-01 22:52:36"))
        assert (visit.energy_wh, visit.stated_energy_wh) == pytest.approx((44_069.0, 60_000.0))
        assert visit.stated_depart_s == utc("2019-05-01 16:20:45")

    def test_what_was_not_claimed_is_hindsight(self, tmp_path: Path) -> None:
        (visit,) = read(file(tmp_path, GYM + self.ROW + "False\n"), CALTECH).visits
        assert visit.stated_energy_wh is None
        assert visit.stated_depart_s is None


class TestAcnApiFormat:
    SESSION: dict[str, object] = {  # noqa: RUF012  never changed
        "connectionTime": "Wed, 25 Apr 2018 11:08:04 GMT",
        "disconnectTime": "Wed, 25 Apr 2018 13:20:10 GMT",
        "doneChargingTime": "Wed, 25 Apr 2018 13:21:10 GMT",
        "kWhDelivered": 7.932,
        "sessionID": "2_39_78_362_x",
        "spaceID": "CA-315",
        "stationID": "2-39-78-362",
        "userInputs": None,
    }

    def page(self, folder: Path, **changes: object) -> Path:
        return file(folder, json.dumps({"_items": [self.SESSION | changes], "_meta": {}}), "page.json")

    def test_a_session(self, tmp_path: Path) -> None:
        (visit,) = read(self.page(tmp_path), CALTECH).visits
        assert (visit.arrive_s, visit.depart_s) == (utc("2018-04-25 11:08:04"), utc("2018-04-25 13:20:10"))
        assert visit.energy_wh == pytest.approx(7932.0)
        assert (visit.stated_energy_wh, visit.power_series) == (None, None)

    def test_the_first_input_counts(self, tmp_path: Path) -> None:
        late = {"modifiedAt": "Wed, 25 Apr 2018 12:00:00 GMT", "kWhRequested": 5}
        early = {
            "modifiedAt": "Wed, 25 Apr 2018 11:10:00 GMT",
            "kWhRequested": 20,
            "requestedDeparture": "Wed, 25 Apr 2018 18:00:00 GMT",
        }
        (visit,) = read(self.page(tmp_path, userInputs=[late, early]), CALTECH).visits
        assert visit.stated_energy_wh == 20_000.0
        assert visit.stated_depart_s == utc("2018-04-25 18:00")

    def test_a_station_id_will_do(self, tmp_path: Path) -> None:
        (visit,) = read(self.page(tmp_path, spaceID=None), site("2-39-78-362")).visits
        assert visit.evse == "2-39-78-362/1"

    def test_currents_become_power_at_the_evses_voltage(self, tmp_path: Path) -> None:
        series = {
            "current": [32.0, 16.0, 0.0],
            "timestamps": [f"Wed, 25 Apr 2018 {at} GMT" for at in ("11:09:04", "11:39:04", "12:09:04")],
        }
        (visit,) = read(self.page(tmp_path, chargingCurrent=series), CALTECH).visits
        assert visit.power_series == ((60.0, 6656.0), (1860.0, 3328.0), (3660.0, 0.0))

    @pytest.mark.parametrize("text", ["[1]", "{}", "{", '{"_items": 3}'])
    def test_something_else_is_refused(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(ConfigError, match=r"x\.json"):
            read(file(tmp_path, text, "x.json"), CALTECH)


class TestPlainFormat:
    def test_every_column(self, tmp_path: Path) -> None:
        text = (
            "evse,arrival,departure,energy_wh,session_id,stated_energy_wh,stated_departure,max_w,phases,power_w\n"
            "CA-315/1,2024-03-31T01:30+01:00,2024-03-31T09:00+02:00,20000,mine,25000,2024-03-31T08:00+02:00,11000,1,"
            "0:7400;3600:0\n"
        )
        (visit,) = read(file(tmp_path, text), CALTECH).visits
        assert visit == Visit(
            evse=EvseId("CA-315/1"),
            session_id="mine",
            arrive_s=utc("2024-03-31 00:30"),
            depart_s=utc("2024-03-31 07:00"),
            energy_wh=20_000.0,
            stated_energy_wh=25_000.0,
            stated_depart_s=utc("2024-03-31 06:00"),
            max_w=11_000.0,
            phases=1,
            power_series=((0.0, 7400.0), (3600.0, 0.0)),
        )

    def test_optional_cells_may_be_empty(self, tmp_path: Path) -> None:
        text = "arrival,departure,energy_wh,evse,max_w,phases\n2024-01-01T10:00Z,2024-01-01T12:00Z,5000,CA-315,,\n"
        (visit,) = read(file(tmp_path, text), CALTECH).visits
        assert (visit.max_w, visit.phases, visit.session_id) == (None, None, "CA-315 2024-01-01T10:00Z")

    def test_an_unknown_column_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"unknown column\(s\): max_kw"):
            read(file(tmp_path, "arrival,departure,energy_wh,evse,max_kw\n"), CALTECH)


class TestErrors:
    def test_all_of_them_at_once_with_row_field_and_reason(self, tmp_path: Path) -> None:
        bad = [
            ("2024-01-01T10:00,2024-01-01T12:00Z,5000,CA-315", "row 2: arrival: has no offset"),
            ("2024-01-01T10:00Z,noon,5000,CA-315", "row 3: departure: is no time"),
            ("2024-01-01T10:00Z,2024-01-01T12:00Z,-5,CA-315", "row 4: energy_wh: must be finite and not negative"),
            ("2024-01-01T10:00Z,2024-01-01T12:00Z,nan,CA-315", "row 5: energy_wh: must be finite"),
            ("2024-01-01T10:00Z,2024-01-01T12:00Z,lots,CA-315", "row 6: energy_wh: is not a number: 'lots'"),
            ("2024-01-01T10:00Z,2024-01-01T12:00Z,5000", "row 7: evse: is missing"),
            ("2024-01-01T12:00Z,2024-01-01T12:00Z,5000,CA-315", "row 8: departure: is not after the arrival"),
            (
                "2024-01-01T10:00Z,2024-01-01T12:00Z,5000,CA-999",
                "row 9: evse: Somewhere has no EVSE of this name: CA-999",
            ),
            ("2024-01-01T10:00Z,2024-01-01T12:00Z,5000,CA-315,1", "row 10: row: has more cells"),
        ]
        path = file(tmp_path, PLAIN + "".join(f"{row}\n" for row, _ in bad))
        with pytest.raises(ConfigError) as caught:
            read(path, CALTECH)
        message = str(caught.value)
        assert message.startswith("9 problem(s)")
        for _, reason in bad:
            assert f"{path}: {reason}" in message

    def test_a_session_twice(self, tmp_path: Path) -> None:
        row = "s1,CA-315,76,92,4.216,6.6\n"
        with pytest.raises(ConfigError, match="row 3: session_id: 's1' was already in row 2"):
            read(file(tmp_path, NUMERIC + row + row), CALTECH)

    @pytest.mark.parametrize("cell", ["0", "0:1", "0:5;0:3", "a:5;10:3", "0:-5;10:3", "0:0;10:5"])
    def test_a_power_series_that_is_none(self, tmp_path: Path, cell: str) -> None:
        text = f"arrival,departure,energy_wh,evse,power_w\n2024-01-01T10:00Z,2024-01-01T12:00Z,1,CA-315,{cell}\n"
        with pytest.raises(ConfigError, match="row 2: power_w"):
            read(file(tmp_path, text), CALTECH)

    @pytest.mark.parametrize("data", [b"", b"a,b\n1,2\n", b"\x1f\x8bbroken", b"\xff\xfe\x00", b'arrival,"dep'])
    def test_no_recording_at_all(self, tmp_path: Path, data: bytes) -> None:
        path = tmp_path / "x.csv"
        path.write_bytes(data)
        with pytest.raises(ConfigError, match=re.escape("x.csv")):
            read(path, CALTECH)

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read"):
            read(tmp_path / "none.csv", CALTECH)


class TestStrangers:
    def test_they_are_left_out_only_when_told_and_counted(self, tmp_path: Path) -> None:
        rows = "s1,CA-315,76,92,4,6.6\ns2,CA-999,1,9,4,6.6\ns3,CA-999,11,19,4,6.6\ns4,CA-998,1,9,4,6.6\n"
        recording = read(file(tmp_path, NUMERIC + rows), CALTECH, unknown="skip")
        assert [visit.session_id for visit in recording.visits] == ["s1"]
        assert recording.notes == (
            "3 visit(s) left out, at EVSEs that Somewhere does not have: CA-998 (1), CA-999 (2)",
        )


class TestOverlaps:
    def test_the_later_one_waits(self, tmp_path: Path) -> None:
        rows = "s1,CA-315,10,20,4,6.6\ns2,CA-315,18,30,4,6.6\ns3,CA-321,15,30,4,6.6\ns4,CA-315,29,40,4,6.6\n"
        recording = read(file(tmp_path, NUMERIC + rows), CALTECH, epoch_s=0.0)
        periods = {v.session_id: (v.arrive_s / 300, v.depart_s / 300) for v in recording.visits}
        assert periods == {"s1": (10, 20), "s2": (20, 30), "s3": (15, 30), "s4": (30, 40)}
        assert recording.notes == ("2 visit(s) wait for a taken EVSE, 10 min at most",)

    def test_waiting_in_vain_is_an_error(self, tmp_path: Path) -> None:
        rows = "s1,CA-315,10,20,4,6.6\ns2,CA-315,12,20,4,6.6\n"
        with pytest.raises(ConfigError, match="row 3: departure: CA-315/1 is taken by others"):
            read(file(tmp_path, NUMERIC + rows), CALTECH)


class TestWindow:
    def test_days_are_local_and_may_have_23_hours(self) -> None:
        visit = Visit(evse=EvseId("A"), session_id="", arrive_s=0.0, depart_s=0.0, energy_wh=1.0)
        times = ["2019-03-10 07:59", "2019-03-10 08:00", "2019-03-11 06:59", "2019-03-11 07:00"]
        visits = [replace(visit, session_id=text, arrive_s=utc(text)) for text in times]
        kept = window(visits, start=date(2019, 3, 10), days=1, timezone="America/Los_Angeles")
        assert [v.session_id for v in kept] == times[1:3]


@needs_shared
class TestSharedRecordings:
    @pytest.mark.parametrize(
        ("name", "network", "count"),
        [
            ("caltech/2019-03_sessions_5min.csv", "caltech", 954),
            ("caltech/2019-05_2019-08.csv.gz", "caltech", 3527),
            ("jpl_2020-02_2020-05.csv.gz", "jpl", 2689),
        ],
    )
    def test_every_session_is_read(self, name: str, network: str, count: int) -> None:
        stations = json.loads((ACN / "networks" / f"{network}.json").read_text())["station_ids"]
        recording = read(ACN / name, site(*stations))
        assert len(recording.visits) == count
        assert recording.notes == ()


class TestSeating:
    def test_strangers_sit_where_there_is_room_and_the_rest_is_told(self, tmp_path: Path) -> None:
        site = row_of(2)
        file = tmp_path / "elsewhere.csv"
        stays = (("01", "12"), ("02", "03"), ("04", "12"), ("05", "06"))
        rows = [f"2026-01-05T{a}:00:00Z,2026-01-05T{b}:00:00Z,5000,X-{a}" for a, b in stays]
        file.write_text("\n".join(["arrival,departure,energy_wh,evse", *rows]))
        found = read(file, site, unknown="seat")
        assert [visit.evse for visit in found.visits] == [site.evses[0].id, site.evses[1].id, site.evses[1].id]
        assert found.notes == (f"1 visit(s) left out, and {site.name} has none free: X-05 (1)",)


class TestHistory:
    def test_only_what_had_ended_teaches(self) -> None:
        visits = [
            Visit(evse=EvseId("a/1"), session_id=str(n), arrive_s=s, depart_s=s + 7200.0, energy_wh=9000.0)
            for n, s in enumerate(DAY_S * day for day in range(40))
        ]
        known = history(visits, before_s=30 * DAY_S + 7200.0)
        assert sum(known.cells["site"].stay) == pytest.approx(30.0, rel=0.1)
        newcomer = Visitor(evse=EvseId("a/1"), plugged_at_s=50 * DAY_S)
        assert quantile(known, newcomer, Quantity.STAY, 0.5) == pytest.approx(7200.0, rel=0.2)
        assert history(visits, before_s=0.0) == History()
