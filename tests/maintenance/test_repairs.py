"""A repair from the fault to the signature: the latch opens with its work order only, and only to a probation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from smartcharge.clock import now_s
from smartcharge.control.state import apply
from smartcharge.errors import MaintenanceError
from smartcharge.events import Event, FaultOrder
from smartcharge.faults import Cause, DeratingStage, OrderKind
from smartcharge.maintenance import foreman
from smartcharge.maintenance.clerk import Clerk
from smartcharge.maintenance.foreman import Foreman
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.timeline import timelines
from smartcharge.maintenance.work_orders import Status, WorkOrder, orders
from smartcharge.ports import WorkKind, WorkWord
from smartcharge.sim.loop import run
from smartcharge.store import Store, open_store
from tests.builders import NOON_S
from tests.control.sick import FOUR, A, Sick

WELDED = Cause.CONTACTOR_WELDED


class Bench:
    """A site whose facts go into a store, with its foreman and somebody who says things of work orders."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.sick = Sick()
        self.place = Place.of(FOUR)
        self.clerk = Clerk(store.chronicle, store.logbook, store.journal)
        self.foreman = Foreman(self.place, store.chronicle, store.logbook, journal=store.journal)
        self.ordered: list[FaultOrder] = []
        take = self.sick.take

        def taken(*events: Event) -> None:
            before = len(self.sick.followed)
            take(*events)
            for event in (*events, *self.sick.followed[before:]):
                store.journal.append(event)

        self.sick.take = taken  # type: ignore[method-assign]

    async def emit(self, event: Event) -> None:
        assert isinstance(event, FaultOrder)
        self.ordered.append(event)
        self.sick.take(event)

    async def round(self) -> None:
        """What the foreman does every minute."""
        await self.store.journal.flush()
        await foreman.answer_faults(self.place, self.store.chronicle, self.store.logbook, self.sick.now_s)
        await self.foreman._release(self.emit)
        await self.store.journal.flush()

    async def say(self, kind: WorkKind, text: str = "", **more: object) -> None:
        await asyncio.sleep(max(self.sick.now_s - now_s(), 0.0))
        word = WorkWord(order=1, kind=kind, author="bo", text=text, **more)  # type: ignore[arg-type]
        await self.clerk.take(word)

    async def order(self) -> WorkOrder:
        return orders(await foreman.read(self.store.logbook))[1]


def play(act: Callable[[Bench], Awaitable[None]]) -> None:
    async def main() -> None:
        async with open_store("sqlite://") as store:
            await act(Bench(store))

    run(main(), epoch_s=NOON_S)


async def broken(bench: Bench, *, cleared: bool = True) -> None:
    bench.sick.raised("PowerSwitchFailure")
    bench.sick.wait(61.0)
    await bench.round()
    if cleared:
        bench.sick.cleared("PowerSwitchFailure")
    await bench.round()


class TestTheLatch:
    def test_opens_with_its_work_order_to_a_probation_and_the_test_charge_ends_it(self) -> None:
        async def act(bench: Bench) -> None:
            await broken(bench)
            with pytest.raises(MaintenanceError, match="is latched"):
                await bench.say(WorkKind.COMPLETE, signature="B. Vos")
            await bench.say(WorkKind.REPAIRED, "contactor replaced", parts=("contactor 40 A",))
            await bench.round()
            (said,) = bench.ordered
            assert (said.evse, said.cause, said.work_order, said.author) == (A, WELDED, 1, "bo")
            assert said.reason == "work order 1: contactor replaced"
            assert (bench.sick.stage(WELDED), bench.sick.cap_a()) == (DeratingStage.PROBATION, 16.0)
            with pytest.raises(MaintenanceError, match="no car has charged"):
                await bench.say(WorkKind.COMPLETE, signature="B. Vos")
            bench.sick.session(1800.0)
            bench.sick.wait(2.0)
            assert (bench.sick.stage(WELDED), bench.sick.cap_a()) == (None, 32.0)
            await bench.say(WorkKind.COMPLETE, "tested", signature="B. Vos")
            done = await bench.order()
            assert done.status is Status.COMPLETE
            assert done.parts == ("contactor 40 A",)
            assert done.completed is not None
            kept = dict(await bench.store.chronicle.facts())
            kinds = [type(kept[seq]).__name__ for seq in done.completed.evidence]
            assert kinds == ["FaultCleared", "TransactionStarted", "Restored"]

        play(act)

    def test_stays_shut_however_long_one_waits(self) -> None:
        async def act(bench: Bench) -> None:
            await broken(bench)
            bench.sick.wait(3 * 86_400.0, 3600.0)
            await bench.round()
            assert bench.ordered == []
            assert bench.sick.stage(WELDED) is DeratingStage.LATCHED

        play(act)

    def test_is_asked_for_once_over_restarts(self) -> None:
        async def act(bench: Bench) -> None:
            await broken(bench)
            await bench.say(WorkKind.REPAIRED, "contactor replaced")
            await bench.round()
            bench.foreman = Foreman(
                bench.place, bench.store.chronicle, bench.store.logbook, journal=bench.store.journal
            )
            await bench.round()
            assert len(bench.ordered) == 1

        play(act)

    def test_stays_shut_if_it_broke_again_before_anybody_tried(self) -> None:
        async def act(bench: Bench) -> None:
            await broken(bench)
            await bench.say(WorkKind.REPAIRED, "contactor replaced")
            bench.sick.wait(100.0)
            await broken(bench)
            assert bench.ordered == [], "it is not mended any more"
            assert bench.sick.stage(WELDED) is DeratingStage.LATCHED

        play(act)

    def test_a_port_on_probation_is_in_service(self) -> None:
        async def act(bench: Bench) -> None:
            await broken(bench)
            await bench.say(WorkKind.REPAIRED, "contactor replaced")
            await bench.round()
            known = timelines(bench.place.ports, await bench.store.chronicle.facts())[A]
            (hold,) = [hold for hold in known.holds if hold.cause.startswith("stopped for")]
            assert hold.until_s == bench.sick.now_s

        play(act)


class TestWhatMayBeSaid:
    def test_not_repaired_while_the_station_says_that_it_is_not(self) -> None:
        async def act(bench: Bench) -> None:
            await broken(bench, cleared=False)
            with pytest.raises(MaintenanceError, match="still says PowerSwitchFailure"):
                await bench.say(WorkKind.REPAIRED, "looked at it")

        play(act)

    def test_notes_times_and_people(self) -> None:
        async def act(bench: Bench) -> None:
            await broken(bench)
            await bench.say(WorkKind.TAKE)
            await bench.say(WorkKind.START, "on site")
            await bench.say(WorkKind.NOTE, "contacts burnt", parts=("contactor 40 A",))
            await bench.say(WorkKind.HOLD, "a part is missing")
            order = await bench.order()
            assert (order.assignees, order.status, order.parts) == (("bo",), Status.ON_HOLD, ("contactor 40 A",))
            assert all(line.at_s == now_s() for line in order.lines[-4:])
            with pytest.raises(MaintenanceError, match="no work order 9"):
                await bench.clerk.take(WorkWord(order=9, kind=WorkKind.TAKE, author="bo"))

        play(act)

    def test_two_who_complete_at_once_do_it_once(self) -> None:
        async def act(bench: Bench) -> None:
            await broken(bench)
            await bench.say(WorkKind.REPAIRED, "contactor replaced")
            await bench.round()
            bench.sick.session(1800.0)
            bench.sick.wait(2.0)
            await asyncio.sleep(bench.sick.now_s - now_s())
            said = [bench.say(WorkKind.COMPLETE, signature="B. Vos") for _ in range(2)]
            found = await asyncio.gather(*said, return_exceptions=True)
            assert [str(one) for one in found if one is not None] == ["work order 1 is complete already"]

        play(act)

    def test_a_latch_that_a_person_only_lets_go_does_not_open(self) -> None:
        sick = Sick()
        sick.raised("PowerSwitchFailure")
        sick.cleared("PowerSwitchFailure")
        order = FaultOrder(at_s=sick.now_s, evse=A, cause=WELDED, kind=OrderKind.RELEASE, author="Ada", reason="hurry")
        assert apply(sick.state, order).evses[A].health.deratings[WELDED].said.stage is DeratingStage.LATCHED
