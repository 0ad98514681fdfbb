"""OCPP 1.6 section 3.13 and OCPP 2.0.1 part 2 block K: which profiles are taken, and what follows from them."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcharge.csms.profile_store import Abilities, Filter, ProfileStore
from smartcharge.csms.profiles import Kind, Period, Profile, Purpose, Unit
from smartcharge.csms.schemas import Version
from smartcharge.model import CircuitId, Evse, EvseId, Rotation, Station, StationId, Wiring

NOW_S = 1_700_000_000.0
DAY_S = 86_400.0
BOTH = pytest.mark.parametrize("version", list(Version), ids=lambda version: version.value)


def evse(number: int, wiring: Wiring = Wiring.THREE_PHASE, **more: Any) -> Evse:
    known = Evse(
        id=EvseId(f"E{number}"),
        station=StationId("S"),
        number=number,
        wiring=wiring,
        rotation=Rotation.RST,
        voltage_v=230.0,
        min_a=6.0,
        max_a=32.0,
        default_a=6.0,
    )
    return replace(known, **more)


def store(version: Version = Version.V16, *, evses: tuple[Evse, ...] = (), **more: Any) -> ProfileStore:
    """Return the store of a station with two EVSEs, a transaction "7" running on the first."""
    abilities = more.pop("abilities", None)
    station = Station(id=StationId("S"), circuit=CircuitId("C"), evses=evses or (evse(1), evse(2)), **more)
    made = ProfileStore(station, version=version, abilities=abilities)
    made.transaction_started(1, NOW_S - 600.0, "7")
    return made


def profile(limit: float = 10.0, purpose: Purpose = Purpose.TX_DEFAULT, **more: Any) -> Profile:
    known = Profile(
        id=1,
        stack_level=0,
        purpose=purpose,
        kind=Kind.ABSOLUTE,
        unit=Unit.AMPS,
        periods=(Period(start_s=0, limit=limit),),
        start_s=NOW_S - 3600.0,
        transaction_id="7" if purpose is Purpose.TX else None,
    )
    if more.get("kind") is Kind.RELATIVE:
        more.setdefault("start_s", None)
    return replace(known, **more)


def install(made: ProfileStore, *entries: tuple[int, Profile]) -> ProfileStore:
    for number, one in entries:
        assert made.install(number, one, NOW_S) is None
    return made


@BOTH
class TestK01Purposes:
    """OCPP 1.6 section 3.13.1."""

    def test_without_a_profile_the_hardware_is_the_limit(self, version: Version) -> None:
        assert store(version).limit_a(1, NOW_S) == 32.0

    def test_default_applies_without_transaction_profile(self, version: Version) -> None:
        assert install(store(version), (1, profile(8.0))).limit_a(1, NOW_S) == 8.0

    def test_default_of_connector_0_applies_to_each(self, version: Version) -> None:
        made = install(store(version), (0, profile(8.0)))
        assert [made.limit_a(n, NOW_S) for n in (1, 2)] == [8.0, 8.0]

    def test_a_connectors_own_default_precedes_connector_0s_whatever_its_level(self, version: Version) -> None:
        made = install(store(version), (0, profile(8.0, stack_level=5)), (1, profile(20.0, id=2)))
        assert [made.limit_a(n, NOW_S) for n in (1, 2)] == [20.0, 8.0]

    def test_transaction_profile_overrides_the_default_even_upwards(self, version: Version) -> None:
        made = install(store(version), (1, profile(8.0, stack_level=5)), (1, profile(16.0, Purpose.TX, id=2)))
        assert made.limit_a(1, NOW_S) == 16.0

    def test_station_maximum_caps_what_is_above_it(self, version: Version) -> None:
        made = install(store(version), (0, profile(12.0, Purpose.MAX)), (1, profile(16.0, Purpose.TX, id=2)))
        assert made.limit_a(1, NOW_S) == 12.0

    def test_external_constraints_cap_too(self, version: Version) -> None:
        outside = profile(9.0, Purpose.EXTERNAL, id=3)
        made = install(store(version), (1, outside), (1, profile(16.0, Purpose.TX, id=2)))
        assert [made.limit_a(n, NOW_S) for n in (1, 2)] == [9.0, 32.0]

    def test_external_constraints_of_the_station_cap_the_sum(self, version: Version) -> None:
        made = install(store(version), (0, profile(20.0, Purpose.EXTERNAL)))
        made.transaction_started(2, NOW_S)
        assert [made.limit_a(n, NOW_S) for n in (1, 2)] == [10.0, 10.0]

    def test_transaction_profile_ends_with_its_transaction(self, version: Version) -> None:
        made = install(store(version), (1, profile(16.0, Purpose.TX)))
        made.transaction_ended(1)
        assert made.installed == ()


@BOTH
class TestK01Stacking:
    """OCPP 1.6 section 3.13.2."""

    def test_highest_level_wins_though_lower_in_amps_or_higher(self, version: Version) -> None:
        made = install(store(version), (1, profile(8.0, stack_level=1)), (1, profile(20.0, id=2)))
        assert made.limit_a(1, NOW_S) == 8.0
        install(made, (1, profile(25.0, id=3, stack_level=2)))
        assert made.limit_a(1, NOW_S) == 25.0

    def test_what_is_not_valid_yet_or_any_more_does_not_count(self, version: Version) -> None:
        later = profile(8.0, id=2, stack_level=2, valid_from_s=NOW_S + 10.0, valid_to_s=NOW_S + 20.0)
        made = install(store(version), (1, profile(20.0)), (1, later))
        times = [NOW_S, NOW_S + 10.0, NOW_S + 20.0]
        assert [made.limit_a(1, t) for t in times] == [20.0, 8.0, 20.0]
        assert [made.next_change_s(t) for t in times] == [NOW_S + 10.0, NOW_S + 20.0, None]

    def test_after_its_duration_the_next_lower_applies(self, version: Version) -> None:
        short = profile(16.0, Purpose.TX, id=2, stack_level=3, start_s=NOW_S, duration_s=300.0)
        made = install(store(version), (1, profile(6.0)), (1, profile(9.0, Purpose.TX, id=3)), (1, short))
        assert made.limit_a(1, NOW_S + 299.999) == 16.0
        assert made.next_change_s(NOW_S) == NOW_S + 300.0
        assert made.limit_a(1, NOW_S + 300.0) == 9.0

    def test_before_its_start_it_does_not_apply(self, version: Version) -> None:
        made = install(store(version), (1, profile(6.0)), (1, profile(16.0, Purpose.TX, id=2, start_s=NOW_S + 5.0)))
        assert (made.limit_a(1, NOW_S), made.limit_a(1, NOW_S + 5.0)) == (6.0, 16.0)


class TestK01Kinds:
    def test_relative_counts_from_the_start_of_each_transaction(self) -> None:
        steps = (Period(start_s=0, limit=6.0), Period(start_s=900, limit=16.0))
        made = install(store(), (0, profile(kind=Kind.RELATIVE, periods=steps)))
        made.transaction_started(2, NOW_S)
        assert [made.limit_a(n, NOW_S) for n in (1, 2)] == [6.0, 6.0]
        assert [made.limit_a(n, NOW_S + 300.0) for n in (1, 2)] == [16.0, 6.0]
        assert [made.next_change_s(t) for t in (NOW_S, NOW_S + 300.0)] == [NOW_S + 300.0, NOW_S + 900.0]

    @pytest.mark.parametrize("recurs_s", [DAY_S, 7 * DAY_S])
    def test_recurring_starts_anew_every_day_or_week(self, recurs_s: float) -> None:
        steps = (Period(start_s=0, limit=6.0), Period(start_s=3600, limit=16.0))
        again = profile(
            kind=Kind.RECURRING, periods=steps, start_s=NOW_S - 3 * recurs_s, recurs_s=recurs_s, duration_s=7200.0
        )
        made = install(store(), (1, again))
        times = [NOW_S, NOW_S + 3600.0, NOW_S + 7200.0, NOW_S + recurs_s]
        assert [made.limit_a(1, t) for t in times] == [6.0, 16.0, 32.0, 6.0]
        assert [made.next_change_s(t) for t in times[:3]] == times[1:]
        assert made.limit_a(1, NOW_S - 3 * recurs_s - 1.0) == 32.0

    @given(st.floats(NOW_S - 400 * DAY_S, NOW_S), st.integers(0, 500))
    def test_recurring_starts_anew_at_the_very_instant(self, start_s: float, run: int) -> None:
        steps = (Period(start_s=0, limit=6.0), Period(start_s=3600, limit=16.0))
        again = profile(kind=Kind.RECURRING, periods=steps, start_s=start_s, recurs_s=DAY_S)
        begin_s = start_s + run * DAY_S
        assert again.period_at(begin_s, None) == steps[0]
        assert again.period_at(begin_s + 3600.0, None) == steps[1]


class TestK01UnitsOfTheStore:
    def test_watts_are_shared_by_the_phases_named_or_three(self) -> None:
        three = profile(unit=Unit.WATTS, periods=(Period(start_s=0, limit=6900.0),))
        one = profile(unit=Unit.WATTS, periods=(Period(start_s=0, limit=2300.0, phases=1),))
        for watts in (three, one):
            assert install(store(), (1, watts)).limit_a(1, NOW_S) == pytest.approx(10.0)

    def test_an_evse_has_no_more_phases_than_it_has(self) -> None:
        single = (evse(1, Wiring.LINE_TO_LINE, voltage_v=208.0),)
        watts = profile(unit=Unit.WATTS, periods=(Period(start_s=0, limit=2080.0, phases=3),))
        assert install(store(evses=single), (1, watts)).limit_a(1, NOW_S) == pytest.approx(10.0)

    def test_watts_of_a_dc_evse_are_those_at_its_outlet(self) -> None:
        fast = (evse(1, Wiring.DC, max_a=200.0, efficiency=0.95),)
        watts = profile(unit=Unit.WATTS, periods=(Period(start_s=0, limit=65_550.0),))
        assert install(store(evses=fast), (1, watts)).limit_a(1, NOW_S) == pytest.approx(100.0)

    def test_a_station_that_takes_one_unit_refuses_the_other(self) -> None:
        made = store(abilities=Abilities(units=(Unit.WATTS,)))
        assert made.install(1, profile(), NOW_S) == "UnsupportedRateUnit"


class TestK03Sharing:
    """What limits the station as a whole limits the sum of its EVSEs."""

    def test_equal_shares_and_what_the_modest_leave(self) -> None:
        made = install(store(), (0, profile(30.0, Purpose.MAX)))
        assert made.limit_a(1, NOW_S) == 30.0
        made.transaction_started(2, NOW_S)
        assert [made.limit_a(n, NOW_S) for n in (1, 2)] == [15.0, 15.0]
        install(made, (2, profile(6.0, id=2)))
        assert [made.limit_a(n, NOW_S) for n in (1, 2)] == [24.0, 6.0]

    def test_a_shared_supply_is_never_exceeded(self) -> None:
        made = store(rating_a=40.0)
        made.transaction_started(2, NOW_S)
        assert [made.limit_a(n, NOW_S) for n in (1, 2)] == [20.0, 20.0]

    def test_watts_of_the_station_count_phases_of_each(self) -> None:
        mixed = (evse(1), evse(2, Wiring.ONE_PHASE))
        made = install(
            store(evses=mixed),
            (0, profile(unit=Unit.WATTS, purpose=Purpose.MAX, periods=(Period(start_s=0, limit=9200.0),))),
        )
        made.transaction_started(2, NOW_S)
        assert [made.limit_a(n, NOW_S) for n in (1, 2)] == pytest.approx([4600.0 / 690.0, 20.0])


class TestK01Replacing:
    @BOTH
    def test_same_id_replaces_and_moves(self, version: Version) -> None:
        made = install(store(version), (1, profile(8.0)), (2, profile(9.0, stack_level=4)))
        assert [(n, one.stack_level) for n, one in made.installed] == [(2, 4)]

    def test_1_6_same_level_and_purpose_replaces_on_the_same_connector_only(self) -> None:
        made = install(store(), (1, profile(8.0)), (1, profile(9.0, id=2)), (2, profile(7.0, id=3)))
        assert {one.id for _, one in made.installed} == {2, 3}

    @pytest.mark.parametrize("purpose", [Purpose.TX, Purpose.TX_DEFAULT])
    def test_k01_fr_06_and_39_same_level_and_purpose_under_another_id_is_refused(self, purpose: Purpose) -> None:
        made = install(store(Version.V201), (1, profile(8.0, purpose)))
        assert made.install(1, profile(9.0, purpose, id=2), NOW_S) == "DuplicateProfile"
        assert made.limit_a(1, NOW_S) == 8.0

    def test_k01_fr_06_but_not_when_their_validity_does_not_overlap(self) -> None:
        made = install(store(Version.V201), (1, profile(8.0, valid_to_s=NOW_S + 10.0)))
        install(made, (1, profile(9.0, id=2, valid_from_s=NOW_S + 10.0)))
        assert [made.limit_a(1, t) for t in (NOW_S, NOW_S + 10.0)] == [8.0, 9.0]

    @pytest.mark.parametrize("places", [(0, 1), (1, 0)])
    def test_k01_fr_52_and_53_default_of_the_station_and_of_an_evse_at_one_level(self, places: tuple[int, int]) -> None:
        made = install(store(Version.V201), (places[0], profile(8.0)))
        assert made.install(places[1], profile(9.0, id=2), NOW_S) == "DuplicateProfile"

    @BOTH
    def test_k01_fr_05_an_external_constraint_is_not_replaced_by_its_id(self, version: Version) -> None:
        made = install(store(version), (0, profile(8.0, Purpose.EXTERNAL)))
        assert made.install(1, profile(9.0), NOW_S) == "DuplicateProfile"

    def test_what_is_over_leaves_room(self) -> None:
        made = store(abilities=Abilities(max_profiles=1))
        install(made, (1, profile(8.0, start_s=NOW_S - 100.0, duration_s=50.0)), (1, profile(9.0, id=2, stack_level=1)))
        assert made.install(1, profile(7.0, id=3, stack_level=2), NOW_S) == "OutOfStorage"
        assert made.install(1, profile(7.0, id=2, stack_level=2), NOW_S) is None


class TestK01RefusalsOfTheStore:
    @BOTH
    @pytest.mark.parametrize(
        ("number", "refused", "reason"),
        [
            (3, profile(), "UnknownEvse"),
            (1, profile(stack_level=10), "InvalidStackLevel"),
            (1, profile(purpose=Purpose.MAX), "InvalidProfile"),
            (0, profile(purpose=Purpose.MAX, kind=Kind.RELATIVE), "InvalidProfile"),
            (0, profile(purpose=Purpose.TX), "InvalidProfile"),
            (2, profile(purpose=Purpose.TX), "TxNotFound"),
            (1, profile(purpose=Purpose.TX, transaction_id="8"), "TxNotFound"),
            (1, profile(start_s=None), "InvalidSchedule"),
            (1, profile(kind=Kind.RELATIVE, start_s=NOW_S), "InvalidSchedule"),
            (1, profile(kind=Kind.RECURRING), "InvalidSchedule"),
            (1, profile(kind=Kind.RECURRING, recurs_s=DAY_S, duration_s=DAY_S + 1.0), "InvalidSchedule"),
            (1, profile(periods=()), "InvalidSchedule"),
            (1, profile(periods=(Period(start_s=1, limit=6.0),)), "InvalidSchedule"),
            (1, profile(periods=(Period(start_s=0, limit=6.0), Period(start_s=0, limit=7.0))), "InvalidSchedule"),
            (1, profile(periods=tuple(Period(start_s=i, limit=6.0) for i in range(25))), "InvalidSchedule"),
            (1, profile(-1.0), "InvalidSchedule"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_refused(self, version: Version, number: int, refused: Profile, reason: str) -> None:
        made = store(version)
        assert made.install(number, refused, NOW_S) == reason
        assert made.installed == ()

    def test_k01_fr_03_2_0_1_needs_the_transaction_id_and_1_6_does_not(self) -> None:
        unnamed = profile(purpose=Purpose.TX, transaction_id=None)
        assert store(Version.V201).install(1, unnamed, NOW_S) == "MissingParam"
        assert store(Version.V16).install(1, unnamed, NOW_S) is None

    def test_1_6_transaction_is_known_by_the_servers_number(self) -> None:
        made = store()
        made.transaction_started(2, NOW_S)
        assert made.install(2, profile(purpose=Purpose.TX, transaction_id="9"), NOW_S) == "TxNotFound"
        made.transaction_named(2, "9")
        assert made.install(2, profile(purpose=Purpose.TX, transaction_id="9"), NOW_S) is None

    def test_k01_fr_44_phases_of_a_dc_evse(self) -> None:
        fast = (evse(1, Wiring.DC),)
        with_phases = profile(periods=(Period(start_s=0, limit=6.0, phases=3),))
        assert store(Version.V201, evses=fast).install(1, with_phases, NOW_S) == "InvalidSchedule"


class TestK10Clearing:
    @pytest.mark.parametrize(
        ("which", "left"),
        [
            (Filter(), {4}),
            (Filter(id=2), {1, 3, 4}),
            (Filter(evse=1), {3, 4}),
            (Filter(purpose=Purpose.TX_DEFAULT), {2, 4}),
            (Filter(evse=1, stack_level=0), {2, 3, 4}),
            (Filter(evse=2, purpose=Purpose.TX), {1, 2, 3, 4}),
        ],
    )
    def test_all_criteria_must_match_and_external_constraints_stay(self, which: Filter, left: set[int]) -> None:
        made = install(
            store(),
            (1, profile()),
            (1, profile(purpose=Purpose.TX, id=2, stack_level=2)),
            (2, profile(id=3)),
            (0, profile(purpose=Purpose.EXTERNAL, id=4)),
        )
        assert made.clear(which) == (left != {1, 2, 3, 4})
        assert {one.id for _, one in made.installed} == left


class TestReboot:
    @pytest.mark.parametrize("forgets", [False, True])
    def test_defaults_survive_unless_it_forgets(self, *, forgets: bool) -> None:
        made = install(store(abilities=Abilities(forgets_on_reboot=forgets)), (1, profile(8.0)))
        made.reboot()
        assert made.limit_a(1, NOW_S) == (32.0 if forgets else 8.0)


class TestK08CompositeSchedule:
    def test_periods_from_now_on_in_either_unit(self) -> None:
        short = profile(16.0, Purpose.TX, id=2, start_s=NOW_S - 10.0, duration_s=70.0)
        made = install(store(), (1, profile(6.0)), (1, short))
        assert made.composite(1, NOW_S, 300.0, Unit.AMPS) == (
            Period(start_s=0.0, limit=16.0),
            Period(start_s=60.0, limit=6.0),
        )
        assert [period.limit for period in made.composite(1, NOW_S, 300.0, Unit.WATTS)] == [11_040.0, 4140.0]
        assert len(made.composite(1, NOW_S, 60.0, Unit.AMPS)) == 1

    def test_of_the_station_is_the_sum_of_what_runs(self) -> None:
        made = install(store(), (0, profile(10.0)))
        made.transaction_started(2, NOW_S)
        assert [p.limit for p in made.composite(0, NOW_S, 60.0, Unit.AMPS)] == [20.0]


@st.composite
def profiles(draw: st.DrawFn) -> tuple[int, Profile]:
    purpose = draw(st.sampled_from(list(Purpose)))
    kinds = [Kind.ABSOLUTE, Kind.RECURRING, *([Kind.RELATIVE] if purpose in (Purpose.TX, Purpose.TX_DEFAULT) else [])]
    kind = draw(st.sampled_from(kinds))
    starts = [0, *sorted(draw(st.sets(st.integers(1, 5000), max_size=3)))]
    offset_s = st.floats(-5000.0, 5000.0).map(lambda s: NOW_S + round(s, 3))
    recurs_s = DAY_S if kind is Kind.RECURRING else None
    start_s = None if kind is Kind.RELATIVE else draw(offset_s) - (3 * DAY_S if recurs_s else 0.0)
    made = Profile(
        id=draw(st.integers(1, 50)),
        stack_level=draw(st.integers(0, 9)),
        purpose=purpose,
        kind=kind,
        unit=draw(st.sampled_from(list(Unit))),
        periods=tuple(
            Period(start_s=s, limit=draw(st.floats(0.0, 20_000.0).map(lambda w: round(w, 1)))) for s in starts
        ),
        start_s=start_s,
        duration_s=draw(st.none() | st.integers(1, 6000)),
        recurs_s=recurs_s,
        transaction_id="7" if purpose is Purpose.TX else None,
        valid_from_s=draw(st.just(-inf) | offset_s),
        valid_to_s=draw(st.just(inf) | offset_s),
    )
    if made.unit is Unit.AMPS:
        periods = tuple(replace(period, limit=period.limit / 400.0) for period in made.periods)
        made = replace(made, periods=periods)
    place = 0 if purpose is Purpose.MAX else 1 if purpose is Purpose.TX else draw(st.integers(0, 2))
    return place, made


def filled(version: Version, entries: list[tuple[int, Profile]], **more: Any) -> ProfileStore:
    made = store(version, **more)
    made.transaction_started(2, NOW_S - 77.7, "8")
    for number, one in entries:
        made.install(number, one, NOW_S)
    return made


MANY = st.lists(profiles(), max_size=6)
OFFSETS = st.floats(0.0, 90_000.0)


class TestProperties:
    @given(st.sampled_from(list(Version)), MANY, OFFSETS, st.floats(0.0, 1.0))
    def test_nothing_changes_before_the_next_change(
        self, version: Version, entries: list[tuple[int, Profile]], offset_s: float, share: float
    ) -> None:
        made, at_s = filled(version, entries), NOW_S + offset_s
        next_s = made.next_change_s(at_s)
        assert next_s is None or next_s > at_s
        until_s = at_s + 10 * DAY_S if next_s is None else next_s
        between_s = at_s + share * (until_s - at_s)
        if between_s < until_s:
            assert [made.limit_a(n, between_s) for n in (1, 2)] == [made.limit_a(n, at_s) for n in (1, 2)]

    @given(st.sampled_from(list(Version)), MANY, OFFSETS)
    def test_hardware_and_shared_supply_are_never_exceeded(
        self, version: Version, entries: list[tuple[int, Profile]], offset_s: float
    ) -> None:
        made = filled(version, entries, rating_a=40.0)
        limits = [made.limit_a(n, NOW_S + offset_s) for n in (1, 2)]
        assert all(0.0 <= limit <= 32.0 for limit in limits)
        assert sum(limits) <= 40.0 + 1e-9

    @given(MANY, st.floats(0.0, 70.0), OFFSETS)
    def test_a_station_maximum_caps_the_sum_and_raises_no_sum(
        self, entries: list[tuple[int, Profile]], cap_a: float, offset_s: float
    ) -> None:
        at_s = NOW_S + offset_s
        without = filled(Version.V16, [entry for entry in entries if entry[1].purpose is not Purpose.MAX])
        before = sum(without.limit_a(n, at_s) for n in (1, 2))
        install(without, (0, profile(cap_a, Purpose.MAX, id=99, start_s=NOW_S - 10 * DAY_S)))
        after = sum(without.limit_a(n, at_s) for n in (1, 2))
        assert after <= min(before, cap_a) + 1e-9

    @given(st.lists(profiles(), max_size=4, unique_by=lambda entry: entry[1].id), OFFSETS)
    def test_the_order_of_installing_does_not_matter_where_none_replaces_another(
        self, entries: list[tuple[int, Profile]], offset_s: float
    ) -> None:
        distinct = list({(number, one.purpose, one.stack_level): (number, one) for number, one in entries}.values())
        limits = {
            tuple(filled(Version.V16, list(order)).limit_a(n, NOW_S + offset_s) for n in (1, 2))
            for order in permutations(distinct)
        }
        assert len(limits) == 1

    @given(profiles(), OFFSETS)
    def test_a_period_applies_as_a_search_through_all_runs_says(
        self, entry: tuple[int, Profile], offset_s: float
    ) -> None:
        one, at_s, started_s = entry[1], NOW_S + offset_s, NOW_S - 50.0
        first_s = started_s if one.start_s is None else one.start_s
        runs = [first_s + run * one.recurs_s for run in range(20)] if one.recurs_s else [first_s]
        expected = None
        for begin_s, end_s in zip(runs, [*runs[1:], inf], strict=True):
            for period in one.periods:
                is_running = begin_s + period.start_s <= at_s < min(end_s, begin_s + (one.duration_s or inf))
                if is_running and one.valid_from_s <= at_s < one.valid_to_s:
                    expected = period
        assert one.period_at(at_s, started_s) == expected

    @given(st.sampled_from(list(Version)), MANY, st.floats(0.0, 5000.0))
    def test_the_composite_schedule_says_what_will_be_offered(
        self, version: Version, entries: list[tuple[int, Profile]], offset_s: float
    ) -> None:
        made = filled(version, entries)
        periods = made.composite(1, NOW_S, 6000.0, Unit.AMPS)
        said = next(period for period in reversed(periods) if NOW_S + period.start_s <= NOW_S + offset_s)
        assert said.limit == made.limit_a(1, NOW_S + offset_s)
