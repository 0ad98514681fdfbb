"""What cars really do, measured over sockets: phases, the current that keeps them charging, how they wake up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from smartcharge.clock import now_s
from smartcharge.csms.schemas import Version
from smartcharge.errors import ConfigError
from smartcharge.events import CarMeasured, OperatorOrder
from smartcharge.maintenance.behaviour import UNNAMED, behaviour, pairs, read_cars
from smartcharge.maintenance.makes import Make
from smartcharge.maintenance.meaning import COMMON
from smartcharge.maintenance.observation import Observation
from smartcharge.model import EvseId, Timing, Wiring
from smartcharge.ports import Kept
from smartcharge.sim.ailments import AILMENTS, SOUND
from smartcharge.sim.cars import Car
from smartcharge.sim.scenario import FaultKind
from tests.builders import row_of
from tests.maintenance.ocpp_site import Live, play

A, B = EvseId("a/1"), EvseId("b/1")
SITE = replace(row_of(2, 200.0, Wiring.THREE_PHASE), solver="greedy", timing=Timing(slow_s=600.0, meter_interval_s=20))
PLAIN = Car.ideal(energy_wh=60_000.0, max_w=11_040.0)
CARS = {"zoe": "Renault Zoe", "leaf": "Nissan Leaf"}


def watched(act: Callable[[Live], Awaitable[None]], version: Version = Version.V16) -> None:
    seen = Observation()
    play(act, upkeep=lambda *_: [seen], observers=[seen], versions=(version,), site=SITE)


async def cap(live: Live, evse: EvseId, limit_a: float | None, for_s: float = 300.0) -> None:
    order = OperatorOrder(at_s=now_s(), evse=evse, limit_a=limit_a, author="kim", reason="test")
    await live.controller.emit(order)
    await live.until(now_s() + for_s - live.began_s)


async def measured(live: Live) -> dict[str, CarMeasured]:
    return {e.id_token or "": e for e in await live.of(CarMeasured) if isinstance(e, CarMeasured)}


@pytest.mark.parametrize("version", [Version.V16, Version.V201], ids=lambda version: version.value)
class TestOneCar:
    def test_that_uses_one_phase_and_stops_below_eight_amperes(self, version: Version) -> None:
        async def act(live: Live) -> None:
            live.fleet.plug(A, replace(PLAIN, phases=1, min_a=8.0, max_a=16.0), "leaf")
            await live.until(300.0)
            for limit_a in (12.0, 8.0, 0.0, 16.0, 7.0):
                await cap(live, A, limit_a)
            live.fleet.unplug(A)
            await live.until(now_s() + 60.0 - live.began_s)
            found = (await measured(live))["leaf"]
            assert (found.evse, found.phases, found.of_phases) == (A, 1, 3)
            assert found.best_a == pytest.approx(16.0, abs=0.2)
            assert found.kept_at_a == pytest.approx(8.0)
            assert found.lost_at_a == pytest.approx(7.0)
            assert not found.slept
            assert found.woke_s is not None
            assert found.woke_s <= 60.0

        watched(act, version)

    def test_that_sleeps_after_a_pause(self, version: Version) -> None:
        async def act(live: Live) -> None:
            live.fleet.plug(A, replace(PLAIN, sleeps=True), "zoe")
            await live.until(300.0)
            await cap(live, A, 0.0)
            await cap(live, A, None, 600.0)
            live.fleet.unplug(A)
            await live.until(now_s() + 60.0 - live.began_s)
            found = (await measured(live))["zoe"]
            assert found.slept
            assert found.woke_s is None
            assert found.phases == 3

        watched(act, version)


class TestTheRegister:
    def test_by_model_and_by_pair(self) -> None:
        async def act(live: Live) -> None:
            live.fleet.plug(A, replace(PLAIN, phases=1, max_a=16.0), "leaf")
            live.fleet.plug(B, PLAIN, "stranger")
            await live.until(600.0)
            live.fleet.set_ailment(A, AILMENTS[FaultKind.EV_COMMUNICATION])
            await live.until(700.0)
            live.fleet.set_ailment(A, SOUND)
            await live.until(800.0)
            live.fleet.unplug(A)
            live.fleet.unplug(B)
            await live.until(900.0)
            facts = await live.facts()
            found = behaviour(facts, CARS)
            assert set(found) == {"Nissan Leaf", UNNAMED}
            assert (found["Nissan Leaf"].phases, found[UNNAMED].phases) == (1, 3)
            both = pairs(live.place, facts, CARS, COMMON)
            make = Make("smartcharge", "simulated", "1")
            assert list(both) == [("Nissan Leaf", make), (UNNAMED, make)], "the most trouble first"
            assert both["Nissan Leaf", make].vehicle_faults == 1
            assert both["Nissan Leaf", make].success.starts == 1
            assert both[UNNAMED, make].vehicle_faults == 0

        watched(act)

    def test_a_one_phase_outlet_tells_nothing_of_phases(self) -> None:
        one = CarMeasured(
            at_s=1.0, evse=A, transaction_id="t", id_token="leaf", phases=1, of_phases=1, best_a=16.0, kept_at_a=None,
            lost_at_a=None, woke_s=None, slept=False,
        )  # fmt: skip
        assert behaviour([Kept(1, one)], CARS)["Nissan Leaf"].phases is None
        three = replace(one, of_phases=3, kept_at_a=6.0)
        both = behaviour([Kept(1, one), Kept(2, three)], CARS)["Nissan Leaf"]
        assert (both.phases, both.kept_at_a, both.transactions) == (1, 6.0, 2)


class TestTheTable:
    def test_is_read(self, tmp_path: Path) -> None:
        table = tmp_path / "cars.csv"
        table.write_text("token,model\n04A2,Renault Zoe\n04A3,Nissan Leaf\n")
        assert read_cars(table) == {"04A2": "Renault Zoe", "04A3": "Nissan Leaf"}

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("id,model\n", "the columns must be token,model"),
            ("token,model\n04A2,\n", ":2: must have two cells"),
            ("token,model\n04A2,Zoe\n04A2,Leaf\n", ":3: token: '04A2' is a Zoe already"),
        ],
    )
    def test_what_is_wrong_is_named(self, tmp_path: Path, text: str, reason: str) -> None:
        table = tmp_path / "cars.csv"
        table.write_text(text)
        with pytest.raises(ConfigError, match=reason):
            read_cars(table)
