"""Stations in the field: what each refuses, and the limit that it follows all the same.  References in the data.

The station at the other end is one of flesh and wire as far as the server knows: it answers what such a
station answers, and what it accepted is what it follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pytest

from smartcharge.clock import now_s
from smartcharge.control.state import State, apply
from smartcharge.csms.following import scheduled_a
from smartcharge.csms.requests import GetSchedule
from smartcharge.csms.schemas import Version, format_time, parse_time_s
from smartcharge.csms.strategy import REFUSALS, Forms, Proven, ladder
from smartcharge.events import (
    Accepted,
    Commanded,
    Followed,
    Metered,
    Obedience,
    ProfileKind,
    ProfilesCleared,
    Rejected,
    StationBooted,
    StationLearnt,
)
from smartcharge.model import Charging, Form, Pause, ScheduleKind, Station, Way
from tests.csms.ocpp_peers import AC, STATION, V16, V21, V201, Answers, Peer, World, configuration, evse, in_world, site
from tests.csms.ocpp_peers import station as two_sockets

EVERY = pytest.mark.parametrize("version", [V16, V201, V21])
Refuses = Callable[[int, dict[str, Any], dict[str, Any]], bool]
"""By place (connector or EVSE), profile and schedule: whether it is refused."""


@dataclass
class Quirky:
    """A station that refuses some profiles, and follows those that it accepted."""

    refuses: Refuses
    answer: Any = field(default_factory=lambda: {"status": "Rejected"})
    followed: dict[tuple[int, str], dict[str, Any]] = field(default_factory=dict)
    refused: int = 0

    def set_profile(self, payload: dict[str, Any]) -> Any:
        profile = payload.get("csChargingProfiles") or payload["chargingProfile"]
        schedule = profile["chargingSchedule"]
        schedule = schedule[0] if isinstance(schedule, list) else schedule
        place = int(payload["connectorId"] if "connectorId" in payload else payload["evseId"])
        if self.refuses(place, profile, schedule):
            self.refused += 1
            return self.answer
        self.followed[place, profile["chargingProfilePurpose"]] = profile
        return {"status": "Accepted"}

    @property
    def answers(self) -> Answers:
        return {
            "SetChargingProfile": self.set_profile,
            "RemoteStopTransaction": lambda _: {"status": "Accepted"},
            "RequestStopTransaction": lambda _: {"status": "Accepted"},
            "DataTransfer": lambda _: {"status": "Accepted"},
        }

    def current_a(self, place: int = 1) -> tuple[float, str]:
        """What it follows now, and in which unit."""
        for key in ((place, "TxProfile"), (place, "TxDefaultProfile"), (0, "TxDefaultProfile")):
            if key in self.followed:
                return self._now(self.followed[key])
        most = [p for (_, purpose), p in self.followed.items() if "Max" in purpose]
        return self._now(most[0])

    @staticmethod
    def _now(profile: dict[str, Any]) -> tuple[float, str]:
        schedule = profile["chargingSchedule"]
        schedule = schedule[0] if isinstance(schedule, list) else schedule
        start_s = parse_time_s(schedule["startSchedule"]) if "startSchedule" in schedule else now_s()
        assert start_s is not None
        periods = [p for p in schedule["chargingSchedulePeriod"] if start_s + p["startPeriod"] <= now_s()]
        return periods[-1]["limit"], schedule["chargingRateUnit"]


def socket(**stated: Any) -> Station:
    """A station with one three-phase socket."""
    return replace(two_sockets(evse(AC, 1)), charging=Charging(**stated))


def only(*, purpose: str = "", kind: str = "", unit: str = "") -> Refuses:
    def refuses(_: int, profile: dict[str, Any], schedule: dict[str, Any]) -> bool:
        return not (
            profile["chargingProfilePurpose"].startswith(purpose)
            and profile["chargingProfileKind"].startswith(kind)
            and schedule["chargingRateUnit"].startswith(unit)
        )

    return refuses


def settings(unit: str | None) -> Answers:
    values = {} if unit is None else {"ChargingScheduleAllowedChargingRateUnit": unit}
    return {"GetConfiguration": lambda _: configuration(values)}


def drawing(amps: float) -> dict[str, Any]:
    """MeterValues of 1.6 on three phases, as of now."""
    values = [
        {"value": str(amps), "measurand": "Current.Import", "unit": "A", "phase": line} for line in ("L1", "L2", "L3")
    ]
    return {"connectorId": 1, "meterValue": [{"timestamp": format_time(now_s()), "sampledValue": values}]}


async def told(world: World, limit_a: float, **changes: Any) -> Accepted | Rejected:
    """What becomes of a limit."""
    command = world.command(limit_a, **changes)
    outcome = await world.ear.outcome(command.command_id)
    assert isinstance(outcome, Accepted | Rejected)
    return outcome


REFUSING: dict[str, tuple[Refuses, tuple[float, str]]] = {
    "stack level 0 only (evcc #15493, #4957)": (lambda _, p, __: p["stackLevel"] != 0, (16.0, "A")),
    "Relative only (evcc #15581, #15864)": (only(kind="Relative"), (16.0, "A")),
    "Absolute only (lbbrhzn/ocpp #1703)": (only(kind="Absolute"), (16.0, "A")),
    "no ChargePointMax (lbbrhzn/ocpp #2158)": (
        lambda _, p, __: "Max" in p["chargingProfilePurpose"],
        (16.0, "A"),
    ),
    "TxProfile refused (evcc #14888)": (only(purpose="TxDefault"), (16.0, "A")),
    "transactionId needed (SteVe #367, #1083)": (
        lambda _, p, __: p["chargingProfilePurpose"] == "TxProfile" and "transactionId" not in p,
        (16.0, "A"),
    ),
    "connector 1, not 0 (lbbrhzn/ocpp #1851)": (lambda place, _, __: place == 0, (16.0, "A")),
    "connector 0 only (lbbrhzn/ocpp #1851 the other way)": (
        lambda place, p, _: place != 0 or p["chargingProfilePurpose"] == "TxProfile",
        (16.0, "A"),
    ),
    "ChargePointMax on 0 only (SteVe #462)": (
        lambda place, p, _: place != 0 or "Max" not in p["chargingProfilePurpose"],
        (16.0, "A"),
    ),
    "power only (lbbrhzn/ocpp #1635, #2084, #2134; evcc #9838)": (only(unit="W"), (11_040.0, "W")),
    "power only, TxDefault only, Relative only": (
        only(unit="W", purpose="TxDefault", kind="Relative"),
        (11_040.0, "W"),
    ),
}


class TestK01Refusals:
    @EVERY
    @pytest.mark.parametrize(("refuses", "expected"), REFUSING.values(), ids=REFUSING)
    def test_the_limit_is_followed_in_the_form_that_it_takes(
        self, version: str, refuses: Refuses, expected: tuple[float, str]
    ) -> None:
        quirky = Quirky(refuses)

        async def test(world: World) -> None:
            async with world.peer(version, quirky.answers) as peer:
                await peer.provisioned()
                assert isinstance(await told(world, 16.0), Accepted)
                assert quirky.current_a() == expected
                before = quirky.refused
                assert isinstance(await told(world, 10.0), Accepted)
                assert quirky.refused == before, "what it takes was learnt"
                assert quirky.current_a()[0] == pytest.approx(expected[0] * 10.0 / 16.0)
                assert peer.calls("ClearChargingProfile") == [], "never cleared first (lbbrhzn/ocpp #1718)"

        in_world(test, socket())

    @EVERY
    @pytest.mark.parametrize("answer", ["NotImplemented", {"status": "Rejected"}], ids=str)
    def test_one_that_refuses_every_profile_stays_and_is_counted(self, version: str, answer: Any) -> None:
        """lbbrhzn/ocpp #2050: 2.0.1 firmware that says that it can, and cannot."""
        quirky = Quirky(lambda *_: True, answer)

        async def test(world: World) -> None:
            async with world.peer(version, quirky.answers) as peer:
                await peer.provisioned()
                assert isinstance(await told(world, 16.0), Rejected)
                assert (await peer.say("Heartbeat", {}))[0] == 3

        in_world(test, socket())

    def test_a_form_that_worked_is_kept_through_a_single_refusal(self) -> None:
        proven = Proven()
        assert proven.accepted(Form(way=Way.DEFAULT))
        for _ in range(REFUSALS - 1):
            proven.refused()
        assert proven.form == Form(way=Way.DEFAULT)
        assert not proven.accepted(Form(way=Way.DEFAULT))
        for _ in range(REFUSALS):
            proven.refused()
        assert proven.form is None


class TestK01TheEndOfALimit:
    """The failsafe that works in the field: by duration or by a second low period, not by validTo alone."""

    @EVERY
    def test_a_tx_default_falls_to_the_low_default_in_the_same_profile(self, version: str) -> None:
        quirky = Quirky(only(purpose="TxDefault"))

        async def test(world: World) -> None:
            async with world.peer(version, quirky.answers) as peer:
                await peer.provisioned()
                await told(world, 16.0)
                assert quirky.current_a() == (16.0, "A")
                assert len([key for key in quirky.followed if key[1] == "TxDefaultProfile"]) == 1
                await asyncio.sleep(301.0)
                assert quirky.current_a() == (6.0, "A")

        in_world(test, socket())

    @EVERY
    def test_a_relative_limit_is_told_to_the_controller_as_one_without_end(self, version: str) -> None:
        quirky = Quirky(only(kind="Relative"))

        async def test(world: World) -> None:
            async with world.peer(version, quirky.answers) as peer:
                await peer.provisioned()
                await told(world, 16.0)
                learnt = world.ear.of(StationLearnt)[-1]
                assert learnt.form == Form(kind=ScheduleKind.RELATIVE)
                assert not learnt.limits_end
                profile = quirky.followed[1, "TxProfile"]
                assert "validTo" in profile
                assert world.ear.events.index(learnt) < world.ear.events.index(world.ear.of(Accepted)[-1])

        in_world(test, socket())

    @pytest.mark.parametrize(("ends", "expected_a"), [(True, 6.0), (False, 16.0)])
    def test_which_reserves_it_until_another_is_accepted(self, ends: bool, expected_a: float) -> None:
        state = State.initial(site(socket()))
        default = Commanded(at_s=0.0, command_id=1, evse=AC, kind=ProfileKind.DEFAULT, limit_a=6.0, expires_s=None)
        limit = Commanded(at_s=1.0, command_id=2, evse=AC, kind=ProfileKind.TRANSACTION, limit_a=16.0, expires_s=301.0)
        for event in (
            StationLearnt(at_s=0.0, station=STATION, limits_end=ends),
            default,
            Accepted(at_s=0.5, evse=AC, command_id=1),
            limit,
            Accepted(at_s=1.5, evse=AC, command_id=2),
        ):
            state = apply(state, event)
        assert state.reserved_a(AC, 100.0) == 16.0
        assert state.reserved_a(AC, 1000.0) == expected_a


class TestK28DynamicProfiles:
    """2.1 K28: installed once a transaction, then only updated; it spares the flash."""

    @staticmethod
    def dynamic() -> tuple[Quirky, Answers, list[float]]:
        quirky, updated = Quirky(only(kind="Dynamic")), list[float]()

        def update(payload: dict[str, Any]) -> dict[str, Any]:
            updated.append(payload["scheduleUpdate"]["limit"])
            return {"status": "Accepted"}

        return quirky, {**quirky.answers, "UpdateDynamicSchedule": update}, updated

    def test_a_station_that_takes_no_other_is_updated_and_the_end_is_told_to_be_none(self) -> None:
        quirky, answers, updated = self.dynamic()

        async def test(world: World) -> None:
            async with world.peer(V21, answers) as peer:
                await peer.provisioned()
                for limit_a in (16.0, 10.0, 12.0):
                    assert isinstance(await told(world, limit_a), Accepted)
                profile = quirky.followed[1, "TxProfile"]
                assert profile["maxOfflineDuration"] == 300
                assert profile["invalidAfterOfflineDuration"]
                assert quirky.current_a() == (16.0, "A"), "installed once"
                assert updated == [10.0, 12.0]
                assert not world.ear.of(StationLearnt)[-1].limits_end

        in_world(test, socket())

    def test_it_may_be_stated(self) -> None:
        quirky, answers, updated = self.dynamic()
        quirky.refuses = lambda *_: False

        async def test(world: World) -> None:
            async with world.peer(V21, answers) as peer:
                await peer.provisioned()
                await told(world, 16.0)
                await told(world, 8.0)
                assert quirky.followed[1, "TxProfile"]["chargingProfileKind"] == "Dynamic"
                assert quirky.followed[1, "TxDefaultProfile"]["chargingProfileKind"] == "Absolute"
                assert updated == [8.0]

        in_world(test, socket(kind=ScheduleKind.DYNAMIC))

    def test_it_is_installed_anew_for_another_transaction_after_a_boot_and_when_an_update_is_refused(self) -> None:
        quirky, answers, updated = self.dynamic()
        quirky.refuses = lambda *_: False

        async def test(world: World) -> None:
            async with world.peer(V21, answers) as peer:
                await peer.provisioned()
                await told(world, 16.0)
                await told(world, 10.0, transaction_id="8")
                assert quirky.current_a() == (10.0, "A")
                await peer.boot()
                await told(world, 9.0, transaction_id="8")
                assert quirky.current_a() == (9.0, "A")
                peer.answers["UpdateDynamicSchedule"] = lambda _: {"status": "Rejected"}
                await told(world, 7.0, transaction_id="8")
                assert quirky.current_a() == (7.0, "A")
                assert updated == []

        in_world(test, socket(kind=ScheduleKind.DYNAMIC))

    def test_a_station_that_asks_is_given_the_limit_that_holds(self) -> None:
        quirky, answers, _ = self.dynamic()

        async def test(world: World) -> None:
            async with world.peer(V21, answers) as peer:
                await peer.provisioned()
                pull = {"chargingProfileId": 12}
                assert (await peer.say("PullDynamicScheduleUpdate", pull))[2] == {"status": "Rejected"}
                await told(world, 16.0)
                await told(world, 10.0)
                assert quirky.followed[1, "TxProfile"]["id"] == 12
                answer = (await peer.say("PullDynamicScheduleUpdate", pull))[2]
                assert answer == {"status": "Accepted", "scheduleUpdate": {"limit": 10.0}}
                other = (await peer.say("PullDynamicScheduleUpdate", {"chargingProfileId": 99}))[2]
                assert other == {"status": "Rejected"}

        in_world(test, socket())


class TestK01Units:
    @pytest.mark.parametrize("said", ["Power", "power", "W", "w"])
    def test_a_station_that_says_power_gets_watts_at_once(self, said: str) -> None:
        quirky = Quirky(only(unit="W"))

        async def test(world: World) -> None:
            async with world.peer(V16, {**quirky.answers, **settings(said)}) as peer:
                await peer.provisioned()
                await told(world, 16.0)
                assert quirky.current_a() == (11_040.0, "W")
                assert quirky.refused == 0

        in_world(test, socket())

    def test_a_station_that_does_not_say_gets_amperes(self) -> None:
        """lbbrhzn/ocpp #1837."""
        quirky = Quirky(only(unit="A"))

        async def test(world: World) -> None:
            async with world.peer(V16, {**quirky.answers, **settings(None)}) as peer:
                await peer.provisioned()
                await told(world, 16.0)
                assert quirky.current_a() == (16.0, "A")
                assert quirky.refused == 0

        in_world(test, socket())


class TestK01WattsPerPhase:
    """A station that shares watts among the phases in use would give a one-phase car three times the amperes."""

    @staticmethod
    def metered(*amps: float) -> dict[str, Any]:
        lines = zip(("L1", "L2", "L3"), amps, strict=True)
        values = [{"value": str(a), "measurand": "Current.Import", "unit": "A", "phase": line} for line, a in lines]
        return {"connectorId": 1, "meterValue": [{"timestamp": "2023-11-14T22:13:20Z", "sampledValue": values}]}

    @pytest.mark.parametrize(("drawn", "phases"), [((10.0, 0.1, 0.0), 1), ((10.0, 9.9, 0.0), 2), ((9.0, 9.0, 9.0), 3)])
    def test_watts_are_those_of_the_phases_that_the_car_was_measured_to_use(
        self, drawn: tuple[float, ...], phases: int
    ) -> None:
        quirky = Quirky(only(unit="W"))

        async def test(world: World) -> None:
            async with world.peer(V16, {**quirky.answers, **settings("Power")}) as peer:
                await peer.provisioned()
                await peer.say("MeterValues", self.metered(*drawn))
                await told(world, 10.0)
                assert quirky.current_a() == (10.0 * 230.0 * phases, "W")
                period = quirky.followed[1, "TxProfile"]["chargingSchedule"]["chargingSchedulePeriod"][0]
                assert period["numberPhases"] == phases

        in_world(test, socket())

    def test_another_car_is_not_taken_for_the_last(self) -> None:
        quirky = Quirky(only(unit="W"))
        start = {"connectorId": 1, "idTag": "T", "meterStart": 5, "timestamp": "2023-11-14T22:13:20Z"}

        async def test(world: World) -> None:
            async with world.peer(V16, {**quirky.answers, **settings("Power")}) as peer:
                await peer.provisioned()
                await peer.say("MeterValues", self.metered(10.0, 0.0, 0.0))
                number = (await peer.say("StartTransaction", start))[2]["transactionId"]
                await told(world, 10.0, transaction_id=str(number))
                assert quirky.current_a() == (6900.0, "W")

        in_world(test, socket())

    def test_a_station_that_ignores_number_phases_can_be_stated(self) -> None:
        """evcc #19735."""
        quirky = Quirky(only(unit="W"))

        async def test(world: World) -> None:
            async with world.peer(V16, {**quirky.answers, **settings("Power")}) as peer:
                await peer.provisioned()
                await peer.say("MeterValues", self.metered(10.0, 0.0, 0.0))
                await told(world, 10.0)
                assert quirky.current_a() == (6900.0, "W")

        in_world(test, socket(watts_phases=3))


class TestK01Steps:
    """evcc #16768: only 6, 8, 10, 13 and 16 A are accepted."""

    @staticmethod
    def steps(*taken: float) -> Quirky:
        return Quirky(lambda _, __, s: s["chargingSchedulePeriod"][0]["limit"] not in (0.0, *taken))

    @EVERY
    def test_a_current_between_them_falls_to_the_one_below_and_this_is_learnt(self, version: str) -> None:
        quirky = self.steps(6.0, 8.0, 10.0, 13.0, 16.0)

        async def test(world: World) -> None:
            async with world.peer(version, quirky.answers) as peer:
                await peer.provisioned()
                assert isinstance(await told(world, 16.0), Accepted)
                assert isinstance(await told(world, 12.0), Accepted)
                assert quirky.current_a() == (10.0, "A")
                assert world.ear.of(StationLearnt)[-1].refused_a == (12.0,)
                refused = quirky.refused
                assert isinstance(await told(world, 9.5), Accepted)
                assert quirky.current_a() == (8.0, "A")
                assert isinstance(await told(world, 13.0), Accepted)
                assert quirky.current_a() == (13.0, "A")
                assert quirky.refused == refused, "once it is known, no other is tried"

        in_world(test, socket())

    def test_steps_of_its_own_are_found_one_by_one(self) -> None:
        quirky = self.steps(6.0, 10.0, 16.0)

        async def test(world: World) -> None:
            async with world.peer(V16, quirky.answers) as peer:
                await peer.provisioned()
                assert isinstance(await told(world, 14.0), Accepted)
                assert quirky.current_a() == (10.0, "A"), "13 A was refused too"

        in_world(test, socket())

    def test_they_are_kept_over_a_restart_and_for_others_of_the_make(self) -> None:
        learnt = StationLearnt(at_s=1.0, station=STATION, form=Form(), steps_a=(10.0,), refused_a=(12.0,))
        quirky = self.steps(6.0, 10.0, 16.0)

        async def test(world: World) -> None:
            world.csms.resume(apply(State.initial(site(socket())), learnt))
            async with world.peer(V16, quirky.answers) as peer:
                await peer.provisioned()
                await told(world, 12.0)
                assert quirky.current_a() == (10.0, "A")

        in_world(test, socket())
        other = Forms.hinted(Forms.of_learnt(learnt))
        assert other.steps.snapped_a(12.0) == 10.0

    def test_one_that_takes_any_is_never_rounded(self) -> None:
        quirky = self.steps(7.3)

        async def test(world: World) -> None:
            async with world.peer(V16, quirky.answers) as peer:
                await peer.provisioned()
                await told(world, 7.3)
                assert quirky.current_a() == (7.3, "A")

        in_world(test, socket())


class TestK01Room:
    """At MaxChargingProfilesInstalled some firmware refuses even replacements."""

    @staticmethod
    def full_at(most: int, foreign: int = 0) -> tuple[Quirky, Answers]:
        held: set[Any] = {f"foreign {n}" for n in range(foreign)}

        def refuses(_: int, profile: dict[str, Any], __: dict[str, Any]) -> bool:
            if len(held) >= most:
                return True
            held.add(profile["chargingProfileId"])
            return False

        def clear(_: dict[str, Any]) -> dict[str, Any]:
            held.clear()
            return {"status": "Accepted"}

        quirky = Quirky(refuses)
        values = configuration({"MaxChargingProfilesInstalled": str(most)})
        return quirky, {
            **quirky.answers, "ClearChargingProfile": clear, "GetConfiguration": lambda _: values,
        }  # fmt: skip

    def test_one_that_would_be_full_gets_default_and_setpoint_in_one_profile(self) -> None:
        quirky, answers = self.full_at(2)

        async def test(world: World) -> None:
            async with world.peer(V16, answers) as peer:
                await peer.provisioned()
                for limit_a in (16.0, 10.0, 12.0):
                    assert isinstance(await told(world, limit_a), Accepted)
                    assert quirky.current_a() == (limit_a, "A")
                assert {purpose for _, purpose in quirky.followed} == {"TxDefaultProfile"}
                assert world.ear.of(StationLearnt)[0].max_profiles == 2
                assert peer.calls("ClearChargingProfile") == []

        in_world(test, socket())

    def test_one_that_is_full_of_others_is_cleared_once_as_the_last_resort(self) -> None:
        quirky, answers = self.full_at(20, foreign=20)

        async def test(world: World) -> None:
            async with world.peer(V16, answers) as peer:
                await peer.provisioned()
                assert isinstance(await told(world, 16.0), Accepted)
                assert quirky.current_a() == (16.0, "A")
                assert len(peer.calls("ClearChargingProfile")) == 1
                assert (1, "TxDefaultProfile") in quirky.followed, "the default is installed again"
                told_of = [type(event) for event in world.ear.events if isinstance(event, ProfilesCleared | Accepted)]
                assert told_of == [ProfilesCleared, Accepted], "until then it is counted with all that it can"

        in_world(test, socket())

    def test_one_that_refuses_all_the_same_is_not_cleared_again_and_again(self) -> None:
        _, answers = self.full_at(0)

        async def test(world: World) -> None:
            async with world.peer(V16, answers) as peer:
                await peer.provisioned()
                for _ in range(3):
                    assert isinstance(await told(world, 16.0), Rejected)
                assert len(peer.calls("ClearChargingProfile")) == 1
                assert len(world.ear.of(ProfilesCleared)) == 1

        in_world(test, socket())


class TestK01Spikes:
    """lbbrhzn/ocpp #2152: full current right after every SetChargingProfile, for some seconds."""

    @staticmethod
    async def live(peer: Peer, seconds: int) -> None:
        """Let a station spike for 6 s after each profile, and tell what it draws every 2 s."""
        count, since_s = len(peer.setpoints()), now_s()
        for _ in range(seconds // 2):
            if len(peer.setpoints()) != count:
                count, since_s = len(peer.setpoints()), now_s()
            last = peer.setpoints()[-1]["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"]
            await peer.say("MeterValues", drawing(32.0 if now_s() - since_s < 6.0 else last))
            await asyncio.sleep(2.0)

    def test_a_spike_condemns_nobody_and_makes_no_more_profiles(self) -> None:
        quirky = Quirky(lambda *_: False)

        async def test(world: World) -> None:
            async with world.peer(V16, quirky.answers) as peer:
                await peer.provisioned()
                for limit_a in (10.0, 11.0, 12.0):
                    await told(world, limit_a)
                    await self.live(peer, 40)
                assert Obedience.IGNORING not in {e.verdict for e in world.ear.of(Followed)}
                assert len(peer.setpoints()) == 3, "every remedy would be one more spike"

        in_world(test, socket())

    def test_once_it_is_clear_raises_wait_and_lowering_does_not(self) -> None:
        quirky = Quirky(lambda *_: False)

        async def test(world: World) -> None:
            async with world.peer(V16, quirky.answers) as peer:
                await peer.provisioned()
                for limit_a in (10.0, 11.0, 12.0):
                    await told(world, limit_a)
                    await self.live(peer, 40)
                assert "jumps up for a moment after each charging profile" in " ".join(
                    e.detail for e in world.ear.of(Followed)
                )
                before_s = now_s()
                await told(world, 14.0)
                assert now_s() - before_s > 200.0
                before_s = now_s()
                await told(world, 8.0)
                assert now_s() - before_s < 1.0

        in_world(test, socket())

    def test_one_that_stays_up_is_condemned_all_the_same(self) -> None:
        quirky = Quirky(lambda *_: False)

        async def test(world: World) -> None:
            async with world.peer(V16, quirky.answers) as peer:
                await peer.provisioned()
                await told(world, 10.0)
                for _ in range(20):
                    await asyncio.sleep(4.0)
                    await peer.say("MeterValues", drawing(32.0))
                assert Obedience.IGNORING in {e.verdict for e in world.ear.of(Followed)}

        in_world(test, socket())


class TestK01SleepingCars:
    """evcc #14348, #21293: a car sleeps during a pause and does not wake when it is offered current again."""

    @staticmethod
    async def paused(world: World, peer: Peer) -> None:
        await told(world, 16.0)
        await peer.say("MeterValues", drawing(16.0))
        await told(world, 0.0)
        await peer.say("MeterValues", drawing(0.0))
        await asyncio.sleep(120.0)
        await told(world, 10.0, life_s=3000.0)

    @staticmethod
    def limits(peer: Peer) -> list[float]:
        return [p["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"] for p in peer.setpoints()]

    def test_it_is_nudged_and_wakes(self) -> None:
        quirky = Quirky(lambda *_: False)

        async def test(world: World) -> None:
            async with world.peer(V16, quirky.answers) as peer:
                await peer.provisioned()
                await self.paused(world, peer)
                before = len(self.limits(peer))
                for _ in range(10):
                    await asyncio.sleep(20.0)
                    is_awake = 0.0 in self.limits(peer)[before:] and quirky.current_a()[0] > 0.0
                    await peer.say("MeterValues", drawing(10.0 if is_awake else 0.0))
                assert self.limits(peer)[before:] == [0.0, 10.0]

        in_world(test, socket())

    def test_one_that_does_not_wake_is_left_after_two_nudges_and_told_of(self) -> None:
        quirky = Quirky(lambda *_: False)

        async def test(world: World) -> None:
            async with world.peer(V16, quirky.answers) as peer:
                await peer.provisioned()
                await self.paused(world, peer)
                before = len(self.limits(peer))
                for _ in range(20):
                    await asyncio.sleep(30.0)
                    await peer.say("MeterValues", drawing(0.0))
                assert self.limits(peer)[before:] == [0.0, 10.0, 0.0, 10.0]
                assert "it is full, or does not wake" in world.ear.of(Followed)[-1].detail

        in_world(test, socket())

    def test_one_that_takes_up_charging_is_left_in_peace(self) -> None:
        quirky = Quirky(lambda *_: False)

        async def test(world: World) -> None:
            async with world.peer(V16, quirky.answers) as peer:
                await peer.provisioned()
                await self.paused(world, peer)
                before = len(self.limits(peer))
                for _ in range(6):
                    await asyncio.sleep(30.0)
                    await peer.say("MeterValues", drawing(10.0))
                assert self.limits(peer)[before:] == []

        in_world(test, socket())


class TestJ02SilentMeters:
    """No MeterValues at all, and triggers refused."""

    START: ClassVar[dict[str, Any]] = {
        "connectorId": 1, "idTag": "T", "meterStart": 5, "timestamp": "2023-11-14T22:13:20Z",
    }  # fmt: skip

    @staticmethod
    def asked(peer: Peer) -> int:
        return len([t for t in peer.calls("TriggerMessage") if t["requestedMessage"] == "MeterValues"])

    def test_a_station_that_sends_none_is_asked(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.provisioned()
                await peer.say("StartTransaction", self.START)
                await asyncio.sleep(500.0)
                assert self.asked(peer) == 3

        in_world(test, socket())

    def test_one_that_refuses_is_not_asked_again(self) -> None:
        answers: Answers = {
            "TriggerMessage": lambda p: {"status": "Rejected" if p["requestedMessage"] == "MeterValues" else "Accepted"}
        }

        async def test(world: World) -> None:
            async with world.peer(V16, answers) as peer:
                await peer.provisioned()
                await peer.say("StartTransaction", self.START)
                await asyncio.sleep(500.0)
                assert self.asked(peer) == 1

        in_world(test, socket())

    def test_one_that_sends_them_is_not(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.provisioned()
                await peer.say("StartTransaction", self.START)
                for _ in range(8):
                    await asyncio.sleep(60.0)
                    await peer.say("MeterValues", drawing(10.0))
                assert self.asked(peer) == 0

        in_world(test, socket())


class TestK08Times:
    """evcc #17836: ``startSchedule`` is "0"."""

    def test_a_schedule_without_a_start_is_understood(self) -> None:
        periods = [{"startPeriod": 0, "limit": 32.0}]
        schedule = {"chargingRateUnit": "A", "startSchedule": "0", "chargingSchedulePeriod": periods}
        answer = {"status": "Accepted", "connectorId": 1, "scheduleStart": "", "chargingSchedule": schedule}

        async def test(world: World) -> None:
            async with world.peer(V16, {"GetCompositeSchedule": lambda _: answer}) as peer:
                await peer.provisioned()
                found = await world.csms.ask(STATION, GetSchedule(evse=socket().evses[0], duration_s=60))
                assert scheduled_a(found, socket().evses[0]) == 32.0

        in_world(test, socket())

    @pytest.mark.parametrize("unknown", ["0", ""])
    def test_a_reading_without_a_time_is_of_now(self, unknown: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.provisioned()
                reading = drawing(10.0)
                reading["meterValue"][0]["timestamp"] = unknown
                assert (await peer.say("MeterValues", reading))[0] == 3
                assert max(world.ear.of(Metered)[-1].current_a or ()) == 10.0

        in_world(test, socket())


class TestK01Pause:
    @EVERY
    def test_a_station_that_refuses_0_a_is_stopped(self, version: str) -> None:
        """evcc #16768; the transaction ends, nothing is drawn."""
        quirky = Quirky(lambda _, __, s: s["chargingSchedulePeriod"][0]["limit"] == 0.0)
        stop = "RemoteStopTransaction" if version == V16 else "RequestStopTransaction"

        async def test(world: World) -> None:
            async with world.peer(version, quirky.answers) as peer:
                await peer.provisioned()
                assert isinstance(await told(world, 16.0), Accepted)
                assert isinstance(await told(world, 0.0), Accepted)
                assert str(peer.calls(stop)[0]["transactionId"]) == "7"

        in_world(test, socket())

    def test_unless_the_site_file_says_never(self) -> None:
        quirky = Quirky(lambda _, __, s: s["chargingSchedulePeriod"][0]["limit"] == 0.0)

        async def test(world: World) -> None:
            async with world.peer(V16, quirky.answers) as peer:
                await peer.provisioned()
                assert isinstance(await told(world, 0.0), Rejected)
                assert peer.calls("RemoteStopTransaction") == []

        in_world(test, socket(pause=Pause.NEVER_STOP))

    def test_a_station_that_keeps_0_a_for_ever_is_never_told_it(self) -> None:
        """A persisted 0 A blocked later sessions; the site file says so."""
        quirky = Quirky(lambda *_: False)

        async def test(world: World) -> None:
            async with world.peer(V16, quirky.answers) as peer:
                await peer.provisioned()
                assert isinstance(await told(world, 0.0), Accepted)
                assert len(peer.calls("RemoteStopTransaction")) == 1
                assert (1, "TxProfile") not in quirky.followed

        in_world(test, socket(pause=Pause.STOP))


class TestP02Vendors:
    def test_a_data_transfer_such_as_set_limit_of_abl(self) -> None:
        stated = {"way": Way.TRANSFER, "command": "ABL/SetLimit", "value": "logicalid=1;value={a}"}
        quirky = Quirky(lambda *_: True)

        async def test(world: World) -> None:
            async with world.peer(V16, quirky.answers) as peer:
                await peer.provisioned()
                assert isinstance(await told(world, 13.9), Accepted)
                assert peer.calls("DataTransfer") == [
                    {"vendorId": "ABL", "messageId": "SetLimit", "data": "logicalid=1;value=13"}
                ]
                assert not world.ear.of(StationLearnt)[-1].limits_end

        in_world(test, socket(**stated))

    def test_a_configuration_key_such_as_power_limit_of_keywatt(self) -> None:
        quirky = Quirky(lambda *_: True)

        async def test(world: World) -> None:
            async with world.peer(V16, quirky.answers) as peer:
                await peer.provisioned()
                assert isinstance(await told(world, 10.0), Accepted)
                assert {"key": "PowerLimit", "value": "6900"} in peer.calls("ChangeConfiguration")

        in_world(test, socket(way=Way.KEY, command="PowerLimit", value="{w}"))

    @staticmethod
    async def booted(peer: Peer, vendor: str, model: str) -> None:
        await peer.provisioned()
        await peer.say("BootNotification", {"chargePointVendor": vendor, "chargePointModel": model})
        await asyncio.sleep(5.0)

    def test_after_every_profile_was_refused_the_vendor_s_own_command_is_tried_and_learnt(self) -> None:
        quirky = Quirky(lambda *_: True)

        async def test(world: World) -> None:
            async with world.peer(V16, quirky.answers) as peer:
                await self.booted(peer, "ABL", "eMH3")
                assert isinstance(await told(world, 13.9), Accepted)
                transfer = {"vendorId": "ABL", "messageId": "SetLimit", "data": "logicalid=1;value=13"}
                assert peer.calls("DataTransfer") == [transfer]
                learnt = world.ear.of(StationLearnt)[-1]
                assert learnt.form is not None
                assert learnt.form.way is Way.TRANSFER
                assert not learnt.limits_end
                refused = quirky.refused
                assert isinstance(await told(world, 10.0), Accepted)
                assert quirky.refused == refused, "no profile is tried any more"

        in_world(test, socket())

    def test_then_the_configuration_key(self) -> None:
        quirky = Quirky(lambda *_: True)

        async def test(world: World) -> None:
            async with world.peer(V16, quirky.answers) as peer:
                await self.booted(peer, "IES", "Keywatt 24")
                assert isinstance(await told(world, 10.0), Accepted)
                assert {"key": "PowerLimit", "value": "6900"} in peer.calls("ChangeConfiguration")

        in_world(test, socket())

    def test_and_at_last_the_transaction_is_stopped(self) -> None:
        quirky = Quirky(lambda *_: True)
        answers: Answers = {**quirky.answers, "DataTransfer": lambda _: {"status": "UnknownVendorId"}}

        async def test(world: World) -> None:
            async with world.peer(V16, answers) as peer:
                await self.booted(peer, "ABL", "eMH1")
                assert isinstance(await told(world, 10.0), Rejected)
                assert isinstance(await told(world, 0.0), Accepted)
                assert len(peer.calls("RemoteStopTransaction")) == 1

        in_world(test, socket())

    def test_another_make_is_never_told_a_vendor_s_command(self) -> None:
        quirky = Quirky(lambda *_: True)

        async def test(world: World) -> None:
            async with world.peer(V16, quirky.answers) as peer:
                await self.booted(peer, "Parables", "Series 1")
                assert isinstance(await told(world, 10.0), Rejected)
                assert peer.calls("DataTransfer") == []
                assert "PowerLimit" not in {p["key"] for p in peer.calls("ChangeConfiguration")}

        in_world(test, socket())

    def test_a_vendor_message_that_is_refused_is_a_refusal(self) -> None:
        quirky = Quirky(lambda *_: True)
        answers: Answers = {**quirky.answers, "DataTransfer": lambda _: {"status": "UnknownMessageId"}}

        async def test(world: World) -> None:
            async with world.peer(V16, answers) as peer:
                await peer.provisioned()
                assert "UnknownMessageId" in getattr(await told(world, 10.0), "reason", "")

        in_world(test, socket(way=Way.TRANSFER, command="ABL/SetLimit", value="{a}"))

    def test_a_station_that_can_only_stop(self) -> None:
        quirky = Quirky(lambda *_: True)

        async def test(world: World) -> None:
            async with world.peer(V16, quirky.answers) as peer:
                await peer.provisioned()
                assert isinstance(await told(world, 32.0), Accepted)
                assert isinstance(await told(world, 16.0), Rejected)
                assert peer.calls("RemoteStopTransaction") == []
                assert isinstance(await told(world, 0.0), Accepted)
                assert len(peer.calls("RemoteStopTransaction")) == 1

        in_world(test, socket(way=Way.STOP))


class TestK01Flash:
    """libocpp #543: profiles are written to flash."""

    def test_a_raise_waits_and_lowering_does_not(self) -> None:
        quirky = Quirky(lambda *_: False)

        async def test(world: World) -> None:
            async with world.peer(V16, quirky.answers) as peer:
                await peer.provisioned()
                await told(world, 10.0)
                first_s = now_s()
                await told(world, 8.0)
                assert now_s() - first_s < 1.0
                await told(world, 9.0)
                assert now_s() - first_s >= 60.0

        in_world(test, socket(interval_s=60.0))

    def test_only_the_newest_raise_is_written(self) -> None:
        quirky = Quirky(lambda *_: False)

        async def test(world: World) -> None:
            async with world.peer(V16, quirky.answers) as peer:
                await peer.provisioned()
                await told(world, 8.0)
                before = len(peer.setpoints())
                for limit_a in (9.0, 10.0, 11.0):
                    world.command(limit_a)
                    await asyncio.sleep(10.0)
                await told(world, 12.0)
                assert len(peer.setpoints()) == before + 1
                assert quirky.current_a() == (12.0, "A")

        in_world(test, socket(interval_s=60.0))


class TestK01Memory:
    """What a station can do is kept by vendor, model and firmware."""

    def test_a_station_of_the_same_make_is_not_tried_again(self) -> None:
        quirky = Quirky(only(purpose="TxDefault", unit="W"))

        async def test(world: World) -> None:
            async with world.peer(V16, quirky.answers) as peer:
                await peer.provisioned()
                await told(world, 16.0)
            refused = quirky.refused
            async with world.peer(V16, quirky.answers) as peer:
                await peer.provisioned()
                await told(world, 10.0)
                assert quirky.refused == refused

        in_world(test, socket())

    def test_it_is_kept_in_the_journal_and_taken_up_from_it(self) -> None:
        quirky = Quirky(only(purpose="TxDefault"))
        boot = StationBooted(at_s=0.0, station=STATION, vendor="V", model="M")
        learnt = StationLearnt(
            at_s=1.0, station=STATION, form=Form(way=Way.DEFAULT), default_form=Form(way=Way.DEFAULT)
        )

        async def test(world: World) -> None:
            world.csms.resume(apply(apply(State.initial(site(socket())), boot), learnt))
            async with world.peer(V16, quirky.answers) as peer:
                await peer.provisioned()
                await told(world, 16.0)
                assert quirky.refused == 0

        in_world(test, socket())

    def test_new_firmware_is_tried_anew(self) -> None:
        quirky = Quirky(only(purpose="TxDefault"))

        async def test(world: World) -> None:
            async with world.peer(V16, quirky.answers) as peer:
                await peer.provisioned()
                await told(world, 16.0)
                quirky.refuses = only(purpose="TxProfile")
                boot = {"chargePointVendor": "V", "chargePointModel": "M", "firmwareVersion": "2"}
                await peer.say("BootNotification", boot)
                await asyncio.sleep(1.0)
                await told(world, 10.0)
                assert quirky.followed[1, "TxProfile"]

        in_world(test, socket())

    def test_what_the_site_file_states_is_not_tried_otherwise(self) -> None:
        stated = socket(way=Way.DEFAULT, unit="W", kind=ScheduleKind.ABSOLUTE, stack_level=3)
        forms = ladder(stated, stated.evses[0], ProfileKind.TRANSACTION, Version.V16, None)
        assert {(f.way, f.unit, f.kind, f.stack_level) for f in forms} == {(Way.DEFAULT, "W", ScheduleKind.ABSOLUTE, 3)}

    def test_a_station_with_several_sockets_is_not_limited_as_a_whole(self) -> None:
        """The maximum of a station is shared by its sockets: no way to limit one of them."""
        both = two_sockets()
        forms = ladder(both, both.evses[0], ProfileKind.TRANSACTION, Version.V16, None)
        assert not any(f.is_on_station or f.way is Way.MAXIMUM for f in forms)


class TestB01Protocol:
    def test_a_station_that_never_booted_is_asked_who_it_is(self) -> None:
        """evcc #28540: no spontaneous BootNotification."""

        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.say("Heartbeat", {})
                assert (await peer.asked_for("TriggerMessage", 2))["requestedMessage"] == "BootNotification"

        in_world(test, socket())

    def test_one_that_did_is_not(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.provisioned()
                asked = [t["requestedMessage"] for t in peer.calls("TriggerMessage")]
                assert "BootNotification" not in asked

        in_world(test, socket())

    def test_a_short_1_6_probe_before_2_0_1_harms_nothing(self) -> None:
        """lbbrhzn/ocpp #2012."""

        async def probe(world: World) -> None:
            async with world.connection(V16):
                pass

        async def test(world: World) -> None:
            await probe(world)
            async with world.peer(V201) as peer:
                await peer.provisioned()
                quirky = Quirky(lambda *_: False)
                peer.answers.update(quirky.answers)
                assert isinstance(await told(world, 16.0), Accepted)

        in_world(test, socket())

    def test_after_a_reset_without_a_second_boot_the_limits_are_installed_again(self) -> None:
        quirky = Quirky(lambda *_: False)

        async def defaults(peer: Peer) -> list[Any]:
            await peer.asked_for("TriggerMessage")
            return [k for k in quirky.followed if k[1] == "TxDefaultProfile"]

        async def test(world: World) -> None:
            async with world.peer(V16, quirky.answers) as peer:
                await peer.provisioned()
            quirky.followed.clear()  # it forgot everything, and says nothing of it
            async with world.peer(V16, quirky.answers) as peer:
                await peer.say("Heartbeat", {})
                assert await defaults(peer) == [(1, "TxDefaultProfile")]

        in_world(test, socket())
