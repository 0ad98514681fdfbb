"""OCPP 2.1 block Q: set-points of cars that can give, inside the limit that the site gives them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from smartcharge.clock import now_s
from smartcharge.errors import Refused
from smartcharge.events import Accepted
from smartcharge.orders import SetPoint
from tests.csms.ocpp_peers import AC, STATION, V16, V21, V201, Answers, Peer, World, evse, in_world, station, variables

ALONE = station(evse(AC, 1))
WATTS: Answers = {"GetVariables": variables({"SmartChargingCtrlr.RateUnit": "W"})}


def order(power_w: float, seconds: float = 600.0, **more: Any) -> SetPoint:
    return SetPoint(evse=AC, power_w=power_w, until_s=now_s() + seconds, **more)


async def told(world: World, limit_a: float) -> None:
    assert isinstance(await world.ear.outcome(world.command(limit_a).command_id), Accepted)


def period(peer: Peer) -> dict[str, Any]:
    return dict(peer.setpoints()[-1]["chargingSchedule"][0]["chargingSchedulePeriod"][0])


class TestQ01CentralSetpoint:
    @pytest.mark.parametrize(
        ("aim", "setpoint", "discharge"),
        [
            ({"power_w": -3450.0}, -5.0, -5.0),
            ({"power_w": -3450.0, "discharge_limit_w": 2070.0}, -3.0, -3.0),
            ({"power_w": 3450.0}, 5.0, 0.0),
            ({"power_w": 9000.0}, 10.0, 0.0),
        ],
    )
    def test_it_rides_in_the_profile_and_never_draws_more_than_the_limit(
        self, aim: dict[str, float], setpoint: float, discharge: float
    ) -> None:
        async def test(world: World) -> None:
            async with world.peer(V21) as peer:
                await peer.provisioned()
                await told(world, 10.0)
                assert "setpoint" not in period(peer)
                await world.csms.ask(STATION, order(**aim))
                sent = period(peer)
                assert (sent["limit"], sent["setpoint"], sent["dischargeLimit"]) == (10.0, setpoint, discharge)
                assert sent["operationMode"] == "CentralSetpoint"

        in_world(test, ALONE)

    def test_in_watts_where_the_station_takes_watts(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V21, WATTS) as peer:
                await peer.provisioned()
                await told(world, 10.0)
                await world.csms.ask(STATION, order(-3450.0))
                assert (period(peer)["limit"], period(peer)["setpoint"]) == (6900.0, -3450.0)

        in_world(test, ALONE)

    def test_it_is_renewed_with_the_limit_until_its_end(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V21) as peer:
                await peer.provisioned()
                await told(world, 10.0)
                await world.csms.ask(STATION, order(-3450.0, seconds=0.5))
                await told(world, 8.0)
                assert (period(peer)["limit"], period(peer)["setpoint"]) == (8.0, -5.0)
                await peer.say("Heartbeat", {})
                await asyncio.sleep(1.0)
                await told(world, 9.0)
                assert "setpoint" not in period(peer)

        in_world(test, ALONE)

    def test_a_station_that_refuses_it_keeps_its_limit(self) -> None:
        def answer(payload: dict[str, Any]) -> dict[str, Any]:
            first = payload["chargingProfile"]["chargingSchedule"][0]["chargingSchedulePeriod"][0]
            return {"status": "Rejected" if "setpoint" in first else "Accepted"}

        async def test(world: World) -> None:
            async with world.peer(V21, {"SetChargingProfile": answer}) as peer:
                await peer.provisioned()
                await told(world, 10.0)
                with pytest.raises(Refused):
                    await world.csms.ask(STATION, order(-3450.0))
                assert "setpoint" not in period(peer)
                assert period(peer)["limit"] == 10.0
                await told(world, 9.0)
                assert period(peer)["limit"] == 9.0

        in_world(test, ALONE)

    @pytest.mark.parametrize("version", [V16, V201])
    def test_versions_before_have_none(self, version: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                await peer.provisioned()
                await told(world, 10.0)
                with pytest.raises(Refused, match="has no SetPoint"):
                    await world.csms.ask(STATION, order(-3450.0))

        in_world(test, ALONE)

    def test_without_a_limit_that_runs_there_is_nothing_to_ride_in(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V21) as peer:
                await peer.provisioned()
                with pytest.raises(Refused, match="no transaction with a limit"):
                    await world.csms.ask(STATION, order(-3450.0))

        in_world(test, ALONE)
