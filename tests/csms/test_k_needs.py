"""OCPP 2.x K15 to K18: what ISO 15118 cars need and can take, and whether their own schedules keep to the limit."""

from __future__ import annotations

from typing import Any

import pytest

from smartcharge.control.requests import offer_cap_a
from smartcharge.control.state import State, apply
from smartcharge.events import Accepted, NeedStated, Plugged
from smartcharge.model import Wiring
from tests.csms.ocpp_peers import AC, DC, EPOCH_S, V21, V201, World, evse, in_world, site, station

BOTH = pytest.mark.parametrize("version", [V201, V21])
AT = "2023-11-14T22:13:20Z"
CHARGER = evse(DC, 3, Wiring.DC, max_a=100.0, efficiency=0.95)
AC_MAX = {"energyAmount": 20_000, "evMinCurrent": 6, "evMaxCurrent": 16, "evMaxVoltage": 400}


class TestK15Needs:
    @BOTH
    @pytest.mark.parametrize(
        ("number", "asked", "max_a"),
        [
            (1, {"acChargingParameters": AC_MAX}, 16.0),
            (3, {"dcChargingParameters": {"evMaxCurrent": 200, "evMaxVoltage": 400}}, 80_000 / (3 * 230.0 * 0.95)),
            (3, {"dcChargingParameters": {"evMaxCurrent": 200, "evMaxVoltage": 400, "evMaxPower": 6555}}, 10.0),
            (1, {}, None),
        ],
    )
    def test_the_most_that_a_car_can_take_is_heard(
        self, version: str, number: int, asked: dict[str, Any], max_a: float | None
    ) -> None:
        needs = {"evseId": number, "chargingNeeds": {"requestedEnergyTransfer": "DC", **asked}}

        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                assert (await peer.say("NotifyEVChargingNeeds", needs))[2]["status"] == "Accepted"
                stated = world.ear.of(NeedStated)[0].max_a
                assert stated == (None if max_a is None else pytest.approx(max_a))

        in_world(test, station(evse(AC, 1), CHARGER))

    def test_of_a_car_that_can_give_its_charging_power_counts(self) -> None:
        v2x = {"maxChargePower": 6900.0, "maxDischargePower": 6900.0, "evTargetEnergyRequest": 5000.0}
        needs = {"evseId": 1, "chargingNeeds": {"requestedEnergyTransfer": "AC_BPT", "v2xChargingParameters": v2x}}

        async def test(world: World) -> None:
            async with world.peer(V21) as peer:
                await peer.say("NotifyEVChargingNeeds", needs)
                stated = world.ear.of(NeedStated)[0]
                assert (stated.max_a, stated.energy_wh) == (10.0, 5000.0)

        in_world(test, station(evse(AC, 1)))

    @pytest.mark.parametrize(("max_a", "cap_a"), [(None, 32.0), (16.0, 16.0), (3.0, 6.0), (99.0, 32.0)])
    def test_no_more_than_that_is_worth_offering(self, max_a: float | None, cap_a: float) -> None:
        state = State.initial(site(station(evse(AC, 1))))
        state = apply(state, Plugged(at_s=EPOCH_S, evse=AC))
        state = apply(state, NeedStated(at_s=EPOCH_S, evse=AC, energy_wh=5000.0, max_a=max_a))
        assert offer_cap_a(state.evses[AC]) == cap_a


class TestK17OwnSchedules:
    """K17: a car tells how it means to charge; one that begins above its limit is refused."""

    @staticmethod
    def schedule(unit: str, limit: float) -> dict[str, Any]:
        periods = [{"startPeriod": 0, "limit": limit}]
        return {
            "timeBase": AT,
            "evseId": 1,
            "chargingSchedule": {"id": 1, "chargingRateUnit": unit, "chargingSchedulePeriod": periods},
        }

    @BOTH
    @pytest.mark.parametrize(
        ("unit", "limit", "status"),
        [("A", 10.0, "Accepted"), ("A", 12.0, "Rejected"), ("W", 6900.0, "Accepted"), ("W", 8000.0, "Rejected")],
    )
    def test_against_the_limit_that_was_accepted(self, version: str, unit: str, limit: float, status: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                await peer.provisioned()
                command = world.command(10.0)
                assert isinstance(await world.ear.outcome(command.command_id), Accepted)
                answer = await peer.say("NotifyEVChargingSchedule", self.schedule(unit, limit))
                assert answer[2]["status"] == status

        in_world(test, station(evse(AC, 1)))

    @BOTH
    def test_without_a_limit_any_is_accepted(self, version: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                answer = await peer.say("NotifyEVChargingSchedule", self.schedule("A", 32.0))
                assert answer[2]["status"] == "Accepted"

        in_world(test, station(evse(AC, 1)))
