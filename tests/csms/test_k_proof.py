"""What a station accepts is not what it does (evcc #31597, go-e #105, SteVe #1192): only its meter proves it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from smartcharge.clock import now_s
from smartcharge.csms.following import LAG_S, PROOF, REMEDY_S, Following, Remedy, scheduled_a
from smartcharge.csms.schemas import format_time
from smartcharge.events import Accepted, Followed, Obedience
from tests.csms.ocpp_peers import AC, V16, V21, V201, Peer, World, evse, in_world, station

EVERY = pytest.mark.parametrize("version", [V16, V201, V21])


def reading(version: str, amps: float) -> dict[str, Any]:
    value: Any = str(amps) if version == V16 else amps
    unit = {"unit": "A"} if version == V16 else {"unitOfMeasure": {"unit": "A"}}
    samples = [{"value": value, "measurand": "Current.Import", "phase": p, **unit} for p in ("L1", "L2", "L3")]
    place = {"connectorId" if version == V16 else "evseId": 1}
    return {**place, "meterValue": [{"timestamp": format_time(now_s()), "sampledValue": samples}]}


class TestK05Verdicts:
    @pytest.mark.parametrize(
        ("told_a", "drawn_a", "after_s", "expected"),
        [
            (10.0, 10.0, 5.0, Obedience.OBEYING),
            (10.0, 10.4, 60.0, Obedience.OBEYING),  # a meter's noise
            (10.0, 0.2, 60.0, Obedience.OBEYING),  # a car that does not charge
            (10.0, 6.0, 60.0, Obedience.CAR_LIMITED),
            (10.0, 16.0, 5.0, Obedience.LAGGING),
            (10.0, 16.0, LAG_S + 1.0, Obedience.IGNORING),
        ],
    )
    def test_each(self, told_a: float, drawn_a: float, after_s: float, expected: Obedience) -> None:
        following = Following()
        following.told(told_a, 1000.0, 0.0)
        assert [following.measured(drawn_a, after_s) for _ in range(PROOF)][-1] is expected

    def test_one_reading_condemns_nobody(self) -> None:
        following = Following()
        following.told(10.0, 1000.0, 0.0)
        assert following.measured(16.0, 60.0) is Obedience.LAGGING
        assert following.measured(10.0, 61.0) is Obedience.OBEYING
        assert following.measured(16.0, 62.0) is Obedience.LAGGING

    def test_a_raise_gives_no_time_to_lag(self) -> None:
        following = Following()
        following.told(6.0, 1000.0, 0.0)
        following.measured(16.0, 60.0)
        following.told(10.0, 1000.0, 61.0)
        assert following.measured(16.0, 62.0) is Obedience.IGNORING

    def test_a_station_told_something_before_every_reading_is_not_excused_for_ever(self) -> None:
        following = Following()
        following.told(8.0, 1000.0, 0.0)
        verdicts = []
        for k in range(10):
            following.told(10.0, 1000.0, 60.0 + 10.0 * k)
            verdicts.append(following.measured(16.0, 62.0 + 10.0 * k))
        assert verdicts[3] is Obedience.LAGGING
        assert verdicts[-1] is Obedience.IGNORING

    def test_without_a_limit_in_force_there_is_no_verdict(self) -> None:
        following = Following()
        assert following.measured(32.0, 0.0) is None
        following.told(10.0, 100.0, 0.0)
        assert following.measured(32.0, 100.0) is None
        following.told(10.0, 300.0, 150.0)
        following.ended()
        assert following.measured(32.0, 200.0) is None

    def test_remedies_follow_one_another_and_begin_anew_once_it_obeys(self) -> None:
        following = Following()
        following.told(10.0, 10_000.0, 0.0)
        found = []
        for i in range(20):
            following.measured(16.0, 100.0 + i * REMEDY_S / 2)
            found += [remedy] if (remedy := following.remedy(100.0 + i * REMEDY_S / 2)) else []
        assert found == list(Remedy)
        following.measured(10.0, 2000.0)
        assert following.remedy(2000.0) is None
        for at_s in (2001.0, 2100.0):
            following.measured(16.0, at_s)
        assert following.remedy(2100.0) is Remedy.AGAIN


class TestK08WhatItsScheduleSays:
    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            ({"chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"limit": 9.0}]}}, 9.0),
            ({"schedule": {"chargingRateUnit": "W", "chargingSchedulePeriod": [{"limit": 6900.0}]}}, 10.0),
            (
                {"schedule": {"chargingRateUnit": "W", "chargingSchedulePeriod": [{"limit": 2300, "numberPhases": 1}]}},
                10.0,
            ),
            ({"chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": []}}, None),
            ({"status": "Accepted"}, None),
        ],
    )
    def test_in_amperes_if_it_says_anything(self, answer: dict[str, Any], expected: float | None) -> None:
        assert scheduled_a(answer, evse(AC, 1)) == expected


class TestK05AStationThatIgnores:
    @EVERY
    def test_is_told_again_told_otherwise_lowered_stopped_and_the_operator_told_each_time(self, version: str) -> None:
        stop = "RemoteStopTransaction" if version == V16 else "RequestStopTransaction"
        answers: Any = {
            stop: lambda _: {"status": "Accepted"},
            "GetCompositeSchedule": lambda _: "NotImplemented",
        }

        async def test(world: World) -> None:
            async with world.peer(version, answers) as peer:
                await peer.provisioned()
                command = world.command(10.0, life_s=3000.0)
                assert isinstance(await world.ear.outcome(command.command_id), Accepted)
                for _ in range(8):
                    await asyncio.sleep(60.0)
                    await peer.say("MeterValues", reading(version, 16.0))
                await asyncio.sleep(1.0)
                told = [e.detail for e in world.ear.of(Followed)]
                assert told[0] == "was told 10 A and draws 16.0 A"
                steps = [detail.partition(": ")[2] for detail in told[1:]]
                assert steps == [remedy.value for remedy in Remedy]
                assert all(detail.startswith("ignores the 10 A that it accepted: ") for detail in told[1:])
                assert len(peer.calls(stop)) == 1
                limits = [limit_of(profile) for profile in profiles(peer)]
                assert limits[-1] == 6.0, "lowered to its minimum"

        in_world(test, station(evse(AC, 1)))

    def test_one_that_follows_another_form_is_left_in_peace(self) -> None:
        """It accepts a TxProfile and follows its TxDefaultProfile only."""

        async def test(world: World) -> None:
            async with world.peer(V16, {"GetCompositeSchedule": lambda _: {"status": "Rejected"}}) as peer:
                await peer.provisioned()
                command = world.command(10.0, life_s=3000.0)
                await world.ear.outcome(command.command_id)
                for _ in range(8):
                    await asyncio.sleep(60.0)
                    follows = [p for p in profiles(peer) if p["chargingProfilePurpose"] == "TxDefaultProfile"]
                    await peer.say("MeterValues", reading(V16, limit_of(follows[-1]) if len(follows) > 1 else 16.0))
                assert world.ear.of(Followed)[-1].verdict is Obedience.OBEYING
                assert peer.calls("RemoteStopTransaction") == []
                assert limit_of(profiles(peer)[-1]) == 10.0

        in_world(test, station(evse(AC, 1)))

    def test_a_car_on_its_way_is_looked_at_again(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.provisioned()
                await world.ear.outcome(world.command(10.0).command_id)
                before = len(peer.calls("TriggerMessage"))
                await peer.say("MeterValues", reading(V16, 16.0))
                await peer.asked_for("TriggerMessage", before + 1)
                assert peer.calls("TriggerMessage")[-1] == {"requestedMessage": "MeterValues", "connectorId": 1}
                assert world.ear.of(Followed)[0].verdict is Obedience.LAGGING

        in_world(test, station(evse(AC, 1)))

    def test_what_it_says_itself_is_in_the_sentence(self) -> None:
        says = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 32.0}]}
        answer = {"status": "Accepted", "connectorId": 1, "chargingSchedule": says}

        async def test(world: World) -> None:
            async with world.peer(V16, {"GetCompositeSchedule": lambda _: answer}) as peer:
                await peer.provisioned()
                await world.ear.outcome(world.command(10.0).command_id)
                for _ in range(3):
                    await asyncio.sleep(60.0)
                    await peer.say("MeterValues", reading(V16, 32.0))
                assert "(its own schedule says 32.0 A): told again" in world.ear.of(Followed)[-1].detail

        in_world(test, station(evse(AC, 1)))


def profiles(peer: Peer) -> list[dict[str, Any]]:
    return [p.get("csChargingProfiles") or p["chargingProfile"] for p in peer.calls("SetChargingProfile")]


def limit_of(profile: dict[str, Any]) -> float:
    schedule = profile["chargingSchedule"]
    first = schedule[0] if isinstance(schedule, list) else schedule
    return float(first["chargingSchedulePeriod"][0]["limit"])
