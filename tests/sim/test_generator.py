from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from datetime import date, datetime, timedelta
from math import sqrt
from zoneinfo import ZoneInfo

import pytest

from smartcharge.model import Circuit, CircuitId, Evse, EvseId, Phases, Rotation, Site, Station, StationId, Wiring
from smartcharge.sim.cars import recorded
from smartcharge.sim.fitting import features, fit_day, fit_stated, ks_distance
from smartcharge.sim.generator import HABITS, Kind, generate
from smartcharge.sim.habits import LEVELS, PUBLIC, WORKPLACE, DayHabits, Habits
from smartcharge.sim.recordings import Visit, read, window
from tests.shared_data import ACN, needs_shared

ZONE = "America/Los_Angeles"
MONDAY = date(2024, 3, 4)


def site(wiring: Wiring, *names: str) -> Site:
    top = Circuit(
        id=CircuitId("main"), parent=None, rating_a=Phases.all(100.0), failsafe_a=Phases.all(10.0), voltage_v=120.0
    )
    evses = [
        Evse(
            id=EvseId(name),
            station=StationId(name),
            number=1,
            wiring=wiring,
            rotation=Rotation.RST,
            voltage_v=208.0 if wiring is Wiring.LINE_TO_LINE else 230.0,
            min_a=6.0,
            max_a=200.0 if wiring is Wiring.DC else 32.0,
            default_a=6.0,
        )
        for name in names
    ]
    stations = tuple(Station(id=evse.station, circuit=top.id, evses=(evse,)) for evse in evses)
    return Site(id="s", name="S", timezone=ZONE, circuits=(top,), stations=stations)


GARAGE = site(Wiring.LINE_TO_LINE, *(f"E{i}" for i in range(52)))
YARD = site(Wiring.THREE_PHASE, *(f"Y{i}" for i in range(20)))


class TestDays:
    def test_the_same_seed_gives_the_same_days(self) -> None:
        first, again, other = (
            generate(GARAGE, start=MONDAY, days=3, seed=seed, kind=Kind.WORKPLACE) for seed in (1, 1, 2)
        )
        assert first == again
        assert first != other

    @pytest.mark.parametrize("kind", list(Kind))
    @pytest.mark.parametrize("at", [GARAGE, YARD, site(Wiring.DC, "D1", "D2")])
    def test_visits_could_have_happened(self, kind: Kind, at: Site) -> None:
        visits = generate(at, start=MONDAY, days=21, seed=5, kind=kind)
        units = {evse.id: evse for evse in at.evses}
        free_s: dict[EvseId, float] = defaultdict(float)
        assert len(visits) > 21
        for visit in visits:
            unit = units[visit.evse]
            assert free_s[unit.id] <= visit.arrive_s < visit.depart_s
            free_s[unit.id] = visit.depart_s
            car = recorded(visit, unit)
            stay_s = visit.depart_s - visit.arrive_s
            assert visit.energy_wh > 0.0
            assert car.charge(car.cap_w(unit, unit.max_a), 0.0, stay_s) == pytest.approx(visit.energy_wh, rel=1e-3)
        assert len({visit.session_id for visit in visits}) == len(visits)

    def test_arrivals_are_local_over_a_change_of_the_clock(self) -> None:
        """The clocks of Los Angeles go forward on 10 March 2024; nobody comes an hour later for it."""

        def wall_times(timezone: str) -> list[datetime]:
            at = replace(GARAGE, timezone=timezone)
            visits = generate(at, start=date(2024, 3, 10), days=1, seed=3, kind=Kind.PUBLIC)
            return [datetime.fromtimestamp(v.arrive_s, ZoneInfo(timezone)).replace(tzinfo=None) for v in visits]

        assert len(wall_times(ZONE)) > 5
        assert wall_times(ZONE) == wall_times("UTC")

    def test_what_is_stated_is_not_what_happens(self) -> None:
        visits = generate(GARAGE, start=MONDAY, days=14, seed=3, kind=Kind.PUBLIC)
        said = [v for v in visits if v.stated_energy_wh is not None and v.stated_depart_s is not None]
        assert 0.75 < len(said) / len(visits) < 0.95
        ratio = sorted((v.stated_energy_wh or 0.0) / v.energy_wh for v in said)[len(said) // 2]
        assert 1.2 < ratio < 3.0
        assert all((v.stated_depart_s or 0.0) > v.arrive_s for v in said)


class TestTables:
    @pytest.mark.parametrize("habits", HABITS.values())
    def test_they_are_quantiles(self, habits: Habits) -> None:
        for day in (habits.weekday, habits.weekend):
            assert len(day.energy_kwh) == len(day.stay_edges_h) + 1
            assert 0.0 <= day.arrival_h[0] <= day.arrival_h[-1] < 24.0
            for row in (day.arrival_h, *day.stay_h, *day.energy_kwh, day.stay_edges_h):
                assert list(row) == sorted(row)
                assert row is day.stay_edges_h or len(row) in LEVELS
            assert all(row[0] > 0.0 for row in (*day.stay_h, *day.energy_kwh))


def recording(name: str, network: str) -> tuple[Visit, ...]:
    stations = json.loads((ACN / "networks" / f"{network}.json").read_text())["station_ids"]
    return read(ACN / name, site(Wiring.LINE_TO_LINE, *stations)).visits


def split(visits: tuple[Visit, ...], start: date, days: int) -> dict[bool, tuple[list[Visit], int]]:
    """Return visits and number of days, for weekdays (True) and weekends."""
    found: dict[bool, tuple[list[Visit], int]] = {True: ([], 0), False: ([], 0)}
    for day in (start + timedelta(days=number) for number in range(days)):
        some, count = found[day.weekday() < 5]
        some.extend(window(visits, start=day, days=1, timezone=ZONE))
        found[day.weekday() < 5] = some, count + 1
    return found


CALTECH = ("caltech/2019-05_2019-08.csv.gz", "caltech")
JPL = ("jpl_2020-02_2020-05.csv.gz", "jpl")


@needs_shared
class TestFit:
    @pytest.mark.parametrize(
        ("habits", "source", "span", "evses", "weekend_parts"),
        [(PUBLIC, CALTECH, (date(2019, 5, 1), 92), 54, 4), (WORKPLACE, JPL, (date(2020, 2, 1), 29), 52, 2)],
    )
    def test_the_tables_are_what_the_fit_makes_of_the_recordings(
        self, habits: Habits, source: tuple[str, str], span: tuple[date, int], evses: int, weekend_parts: int
    ) -> None:
        found = split(recording(*source), *span)

        def fitted(*, is_weekday: bool, parts: int) -> DayHabits:
            visits, count = found[is_weekday]
            return fit_day(visits, timezone=ZONE, evse_days=evses * count, parts=parts)

        assert habits.weekday == fitted(is_weekday=True, parts=4)
        assert habits.weekend == fitted(is_weekday=False, parts=weekend_parts)
        assert habits.stated == fit_stated(found[True][0] + found[False][0])

    @pytest.mark.parametrize(
        ("kind", "source", "start", "days", "most"),
        [
            (Kind.PUBLIC, CALTECH, date(2019, 8, 1), 30, (0.07, 0.07, 0.07)),
            (Kind.PUBLIC, ("caltech/2019-03_sessions_5min.csv", "caltech"), date(2019, 3, 1), 31, (0.12, 0.12, 0.13)),
            (Kind.WORKPLACE, JPL, date(2020, 3, 1), 11, (0.13, 0.09, 0.09)),
        ],
    )
    def test_weekdays_never_shown_to_the_fit_look_alike(
        self, kind: Kind, source: tuple[str, str], start: date, days: int, most: tuple[float, ...]
    ) -> None:
        """Arrival, stay and energy of held-out weekdays; the other kind's habits are far from them."""
        visits, count = split(recording(*source), start, days)[True]
        held_out = features(visits, ZONE)

        def distances(of: Kind) -> tuple[list[float], float]:
            generated, weekdays = split(generate(GARAGE, start=MONDAY, days=140, seed=1, kind=of), MONDAY, 140)[True]
            made = features(generated, ZONE)
            return [ks_distance(held_out[:, i], made[:, i]) for i in range(3)], len(generated) / weekdays

        found, per_day = distances(kind)
        assert all(distance < limit for distance, limit in zip(found, most, strict=True)), found
        assert per_day == pytest.approx(len(visits) / count, abs=2 * sqrt(len(visits)) / count + 0.1 * per_day)
        wrong, _ = distances(Kind.PUBLIC if kind is Kind.WORKPLACE else Kind.WORKPLACE)
        assert max(wrong) > 3 * max(most)

    def test_stays_depend_on_arrivals_and_energies_on_stays(self) -> None:
        visits, _ = split(generate(GARAGE, start=MONDAY, days=140, seed=1, kind=Kind.PUBLIC), MONDAY, 140)[True]
        real, _ = split(recording(*CALTECH), date(2019, 8, 1), 30)[True]
        for early, late in ((0.0, 9.0), (9.0, 11.0), (11.0, 24.0)):
            made_h, real_h = (
                sorted(stay for hour, stay, _ in features(some, ZONE) if early <= hour < late)
                for some in (visits, real)
            )
            assert made_h[len(made_h) // 2] == pytest.approx(real_h[len(real_h) // 2], rel=0.2)


def test_distance_of_a_sample_to_itself_and_to_a_stranger() -> None:
    some = features(generate(YARD, start=MONDAY, days=2, seed=1, kind=Kind.DEPOT), ZONE)[:, 0]
    assert ks_distance(some, some) == 0.0
    assert ks_distance(some, some + 100.0) == 1.0
