"""Self-tests over real sockets: stations answer, meters are plausible, a car that agreed follows a lower limit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcharge.csms.schemas import Version
from smartcharge.csms.server import Csms
from smartcharge.errors import MaintenanceError
from smartcharge.events import Metered, OperatorOrder, SelfTest, SelfTested
from smartcharge.maintenance import desk, foreman, trials
from smartcharge.maintenance.desk import Report
from smartcharge.maintenance.plausibility import judged
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.trials import AUTHOR, Agreed, Trials
from smartcharge.maintenance.work_orders import orders
from smartcharge.model import EvseId, Phases
from smartcharge.ports import Kept, Source
from smartcharge.store import Store
from tests.builders import NOON_S, evse
from tests.maintenance.ocpp_site import HOUR_S, Live, play, small

A = EvseId("a/1")
WEEK_S = 7 * 86400.0
TOKENS = frozenset({"abc"})


def trial(act: Callable[[Live], Awaitable[None]], version: Version = Version.V16, every_s: float = WEEK_S) -> None:
    found: list[Trials] = []

    def upkeep(_: Place, store: Store, csms: Csms) -> Sequence[Source]:
        agreed = Agreed(every_s=every_s, tokens=TOKENS)
        found.append(Trials(agreed=agreed, chronicle=store.chronicle, stations=dict.fromkeys(csms.stations(), csms)))
        return found

    play(act, upkeep=upkeep, observers=found, versions=(version,), site=small(2))


async def results(live: Live) -> dict[tuple[str, str], SelfTested]:
    return {(e.subject, e.test.value): e for e in await live.of(SelfTested) if isinstance(e, SelfTested)}


@pytest.mark.parametrize("version", list(Version), ids=lambda version: version.value)
class TestAStationInOrder:
    def test_passes_all_three_and_the_limit_is_lifted_again(self, version: Version) -> None:
        async def act(live: Live) -> None:
            live.plug("a/1", 60_000.0)
            await live.until(0.75 * HOUR_S)
            found = await results(live)
            connected = {(f"station {name}", "connection") for name in "ab"}
            charged = {("evse a/1", "setpoint"), ("evse a/1", "meter")}
            assert {key for key, one in found.items() if one.passed} == connected | charged
            assert len(found) == 4, "nobody charges at b"
            caps = [(e.limit_a, e.author) for e in await live.of(OperatorOrder) if isinstance(e, OperatorOrder)]
            assert [author for _, author in caps] == [AUTHOR, AUTHOR]
            assert caps[0][0] is not None
            assert caps[1][0] is None
            assert live.world.offered_a(A) > caps[0][0] + 1.0, "it charges as before"

        trial(act, version)


class TestSchedule:
    def test_again_when_it_is_due_also_after_a_restart(self) -> None:
        async def act(live: Live) -> None:
            await live.until(3.9 * HOUR_S)
            facts = [e for e in await live.of(SelfTested) if isinstance(e, SelfTested) and e.subject == "station a"]
            assert len(facts) == 4
            again = Trials(agreed=Agreed(every_s=HOUR_S), chronicle=live.store.chronicle, stations={})
            await again._recall(_nobody)
            assert again._last_s["station a", SelfTest.CONNECTION] == facts[-1].at_s

        trial(act, every_s=HOUR_S)

    def test_a_limit_that_a_crash_left_behind_is_lifted(self) -> None:
        async def act(live: Live) -> None:
            cap = OperatorOrder(at_s=NOON_S, evse=A, limit_a=8.0, author=AUTHOR, reason="follows?")
            await live.controller.emit(cap)
            lifted: list[object] = []

            async def emit(event: object) -> None:
                lifted.append(event)

            await Trials(agreed=Agreed(every_s=WEEK_S), chronicle=live.store.chronicle, stations={})._recall(emit)
            (order,) = lifted
            assert isinstance(order, OperatorOrder)
            assert (order.evse, order.limit_a) == (A, None)

        trial(act)


async def _nobody(_: object) -> None:
    raise AssertionError("nothing is left behind")


class TestWhoIsAsked:
    def test_only_drivers_who_agreed_notice_anything(self) -> None:
        async def act(live: Live) -> None:
            live.plug("a/1", 60_000.0, token="stranger")
            await live.until(0.75 * HOUR_S)
            assert await live.of(OperatorOrder) == []
            assert all(test == "connection" for _, test in await results(live))

        trial(act)

    def test_an_order_of_a_person_stays(self) -> None:
        async def act(live: Live) -> None:
            live.plug("a/1", 60_000.0)
            await live.until(400.0)
            assert await live.of(OperatorOrder) != []
            await live.controller.emit(
                OperatorOrder(at_s=NOON_S + 1.0, evse=A, limit_a=7.0, author="Ada", reason="smell")
            )
            await live.until(0.75 * HOUR_S)
            order = live.controller.state.evses[A].order
            assert order is not None
            assert order.author == "Ada"
            assert ("evse a/1", "setpoint") not in await results(live)

        trial(act)


class TestWhatFails:
    def test_a_station_that_ignores_its_limit_gets_a_work_order_that_a_passed_test_closes(self) -> None:
        async def act(live: Live) -> None:
            live.plug("a/1", 200_000.0)
            await live.until(380.0)
            assert await live.of(OperatorOrder) != []
            live.fleet.set_ignoring(live.site.stations[0].id, on=True)
            await live.until(0.7 * HOUR_S)
            failed = (await results(live))["evse a/1", "setpoint"]
            assert not failed.passed
            store, place = live.store, live.place
            await foreman.answer_faults(place, store.chronicle, store.logbook, NOON_S + HOUR_S)
            known = {o.raised.cause: o for o in orders(await foreman.read(store.logbook)).values()}
            order = known["self-test setpoint"]
            assert order.raised.asset == "a/1"
            report, facts = Report(author="bo", signature="B. Vos"), await live.facts()
            with pytest.raises(MaintenanceError, match="still stands"):
                desk.completed(list(order.lines), order.number, report, facts, NOON_S + HOUR_S)
            passed = SelfTested(
                at_s=NOON_S + HOUR_S, subject="evse a/1", test=SelfTest.SETPOINT, passed=True, detail="well"
            )
            later = [*facts, Kept(facts[-1].seq + 1, passed)]
            done = desk.completed(list(order.lines), order.number, report, later, NOON_S + HOUR_S)
            assert done.evidence == (later[-1].seq,)

        trial(act)

    def test_a_station_that_does_not_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def act(live: Live) -> None:
            live.fleet.set_losing_answers(live.site.stations[0].id, on=True)
            await live.until(600.0)
            found = await results(live)
            assert not found["station a", "connection"].passed
            assert found["station b", "connection"].passed

        monkeypatch.setattr(trials, "FIRST_S", 200.0)
        trial(act)


def readings(*, amps: float = 16.0, power_w: float = 11_040.0, register: float = 1.0) -> list[Metered]:
    """Six minutes of a car that charges; ``register`` is how fast its register runs."""
    return [
        Metered(at_s=60.0 * i, evse=A, current_a=Phases.all(amps), power_w=power_w,
                energy_wh=register * power_w * i / 60.0)
        for i in range(7)
    ]  # fmt: skip


class TestPlausibility:
    @given(st.floats(6.0, 32.0))
    def test_what_fits_together_passes(self, amps: float) -> None:
        verdict = judged(evse("a/1"), readings(amps=amps, power_w=amps * 690.0))
        assert verdict is not None
        assert verdict.passed

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            (readings(register=0.5), "the register gained"),
            (readings(register=0.0), "the register gained"),
            (readings(amps=8.0), "power 11040 W, by its currents 5520 W"),
        ],
    )
    def test_what_does_not_fails_with_both_figures(self, wrong: list[Metered], words: str) -> None:
        verdict = judged(evse("a/1"), wrong)
        assert verdict is not None
        assert not verdict.passed
        assert words in verdict.detail

    def test_what_tells_too_little_is_not_judged(self) -> None:
        assert judged(evse("a/1"), readings()[:3]) is None
        bare = [replace(one, power_w=None) for one in readings()]
        assert judged(evse("a/1"), bare) is None
