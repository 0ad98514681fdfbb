"""Every fault that a scenario can switch on and off, at a simulated station in both versions."""

from __future__ import annotations

import asyncio

import pytest

from smartcharge.csms.profile_store import Abilities
from smartcharge.csms.schemas import Version
from smartcharge.sim.station_parts import StationOptions
from tests.sim.station_peers import FIRST, Stage, car, play
from tests.sim.test_station import BOTH, billed, metered, statuses


async def charging(stage: Stage) -> None:
    """Bring a car to charge at 8 A by default."""
    await stage.until(6.0)
    await stage.set_default(8.0)
    stage.station.plug(FIRST, car(), "abc")
    await stage.until(20.0)


@BOTH
class TestSilent:
    def test_it_says_and_hears_nothing_but_goes_on(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await charging(stage)
            await stage.set_profile(16.0)
            await stage.until(30.0)
            stage.station.is_silent = True
            assert await stage.set_profile(10.0) is None
            assert stage.offered_a() == 16.0
            await stage.until(400.0)
            assert stage.offered_a() == 8.0
            assert stage.server.actions(since_s=30.0) == []
            assert stage.server.ws is not None

        play(version, act)

    def test_afterwards_it_tells_what_happened_meanwhile(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await charging(stage)
            stage.station.is_silent = True
            await stage.until(200.0)
            stage.station.unplug(FIRST)
            await stage.until(210.0)
            stage.station.is_silent = False
            await stage.until(300.0)
            assert billed(stage) == [("Start", 9.0), ("Stop", 200.0)]
            assert [at_s for at_s, _ in metered(stage, "Current.Import")] == [69.0, 129.0, 189.0]
            assert statuses(stage, since_s=210.0) == ["Available"]
            assert await stage.server.call("TriggerMessage", {"requestedMessage": "Heartbeat"}) == {
                "status": "Accepted"
            }

        play(version, act)

    def test_when_the_server_hangs_up_it_stays_away_until_it_speaks_again(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await charging(stage)
            stage.station.is_silent = True
            await stage.server.hang_up()
            await stage.until(1000.0)
            assert len(stage.server.requests) == 1
            stage.station.is_silent = False
            await stage.until(1200.0)
            assert len(stage.server.requests) == 2

        play(version, act)

    def test_a_call_that_was_under_way_is_made_again_if_billed(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            stage.station.plug(FIRST, car(), "abc")
            await stage.until(13.5)
            stage.station.unplug(FIRST)
            stage.station.is_silent = True
            await stage.until(300.0)
            stage.station.is_silent = False
            await stage.until(500.0)
            assert [name for name, _ in dict.fromkeys(billed(stage))] == ["Start", "Stop"]
            assert stage.station.link.waiting == 0

        play(version, act)


@BOTH
class TestIgnoresProfile:
    def test_it_agrees_and_offers_its_maximum(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await charging(stage)
            stage.station.ignores_profile = True
            assert await stage.set_profile(10.0) == {"status": "Accepted"}
            await stage.until(30.0)
            assert (stage.offered_a(), stage.world.ordered_a()[0]) == (32.0, 10.0)
            stage.station.ignores_profile = False
            assert stage.offered_a() == 10.0

        play(version, act)

    def test_without_a_car_it_offers_nothing(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            stage.station.ignores_profile = True
            assert stage.offered_a() == 0.0

        play(version, act)


@BOTH
class TestLosesAnswers:
    def test_it_obeys_but_nobody_knows(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await charging(stage)
            stage.station.loses_answers = 1.0
            assert await stage.set_profile(10.0) is None
            assert stage.offered_a() == 10.0
            stage.station.loses_answers = 0.0
            assert await stage.set_profile(12.0) == {"status": "Accepted"}

        play(version, act)

    @pytest.mark.parametrize(("share", "lost"), [(0.5, [2, 4, 6]), (0.4, [3, 5])])
    def test_a_share_of_them_evenly(self, version: Version, share: float, lost: list[int]) -> None:
        async def act(stage: Stage) -> None:
            await charging(stage)
            stage.station.loses_answers = share
            answers = [await stage.set_profile(10.0 + i) for i in range(6)]
            assert [i for i, answer in enumerate(answers, start=1) if answer is None] == lost

        play(version, act)


@BOTH
class TestMeterFrozen:
    def test_it_repeats_its_last_figures_under_new_times(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await charging(stage)
            await stage.until(80.0)
            stage.station.is_meter_frozen = True
            await stage.set_profile(16.0)
            await stage.until(200.0)
            assert metered(stage, "Current.Import") == [(69.0 + 60.0 * i, [8.0] * 3) for i in range(3)]
            stage.station.is_meter_frozen = False
            await stage.until(260.0)
            assert metered(stage, "Current.Import")[-1] == (249.0, [16.0] * 3)

        play(version, act)


@BOTH
class TestPowerLoss:
    def test_it_dies_without_a_word_and_charges_nobody(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await charging(stage)
            stage.station.power_off()
            assert stage.offered_a() == 0.0
            assert stage.world.power_w(FIRST) == 0.0
            await stage.until(1000.0)
            assert stage.server.ws is None
            assert stage.server.actions(since_s=21.0) == []

        play(version, act)

    def test_it_boots_anew_ends_the_transaction_and_begins_another(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await charging(stage)
            await stage.until(100.0)
            stage.station.power_off()
            taken_wh = stage.world.register_wh(FIRST)
            await stage.until(500.0)
            stage.station.power_on()
            await stage.until(520.0)
            assert stage.server.actions(since_s=100.0)[0] == "BootNotification"
            assert billed(stage) == [("Start", 9.0), ("Stop", 100.0), ("Start", 508.0)]
            assert stage.offered_a() == 8.0
            end = stage.server.said("StopTransaction", "TransactionEvent")
            if version is Version.V16:
                assert end[0]["reason"] == "PowerLoss"
                assert end[0]["meterStop"] == round(taken_wh)
            else:
                reasons = [payload["transactionInfo"].get("stoppedReason") for payload in end]
                assert reasons.count("PowerLoss") == 1

        play(version, act)

    def test_or_resumes_it(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await charging(stage)
            stage.station.power_off()
            await stage.until(500.0)
            stage.station.power_on()
            await stage.until(600.0)
            assert billed(stage) == [("Start", 9.0)]
            assert stage.offered_a() == 8.0
            assert len([at_s for at_s, _ in metered(stage, "Current.Import") if at_s > 500.0]) == 1

        play(version, act, options=StationOptions(resumes_after_power_loss=True))

    def test_a_car_that_left_meanwhile_is_not_charged_for_more(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await charging(stage)
            stage.station.power_off()
            await stage.until(100.0)
            stage.station.unplug(FIRST)
            await stage.until(500.0)
            stage.station.power_on()
            await stage.until(600.0)
            assert billed(stage) == [("Start", 9.0), ("Stop", 20.0)]
            assert statuses(stage)[-1] == "Available"

        play(version, act, options=StationOptions(resumes_after_power_loss=True))

    def test_a_car_that_came_meanwhile_is_served(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            stage.station.power_off()
            await stage.until(100.0)
            stage.station.plug(FIRST, car(), "abc")
            await stage.until(200.0)
            stage.station.power_on()
            await stage.until(300.0)
            assert billed(stage) == [("Start", 208.0)]

        play(version, act)

    @pytest.mark.parametrize(("forgets", "expected_a"), [(False, 8.0), (True, 32.0)])
    def test_its_default_survives_unless_it_forgets(
        self, version: Version, expected_a: float, *, forgets: bool
    ) -> None:
        async def act(stage: Stage) -> None:
            await charging(stage)
            stage.station.power_off()
            stage.station.power_on()
            await stage.until(60.0)
            assert stage.offered_a() == expected_a

        play(version, act, options=StationOptions(abilities=Abilities(forgets_on_reboot=forgets)))

    def test_off_again_while_it_boots(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await charging(stage)
            stage.station.power_off()
            stage.station.power_on()
            await stage.until(22.0)
            stage.station.power_off()
            await stage.until(500.0)
            assert stage.offered_a() == 0.0
            assert stage.server.ws is None

        play(version, act)

    def test_before_the_server_knew_the_transaction(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            stage.server.is_away = True
            await stage.until(6.0)
            stage.station.plug(FIRST, car(), "abc")
            await stage.until(100.0)
            stage.station.power_off()
            await stage.until(200.0)
            stage.server.is_away = False
            stage.station.power_on()
            await stage.until(400.0)
            assert billed(stage) == [("Start", 9.0), ("Stop", 100.0), ("Start", 208.0)]

        play(version, act)


@BOTH
class TestConnectionDropped:
    def test_it_comes_back_without_a_boot_and_says_how_things_are(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await charging(stage)
            stage.station.drop_connection()
            await stage.until(22.0)
            assert stage.server.ws is None
            await stage.until(60.0)
            assert stage.server.actions().count("BootNotification") == 1
            expected = "Charging" if version is Version.V16 else "Occupied"
            assert statuses(stage, since_s=22.0) == [expected]
            assert await stage.set_profile(10.0) == {"status": "Accepted"}

        play(version, act)

    def test_whoever_was_being_asked_about_may_charge(self, version: Version) -> None:
        async def act(stage: Stage) -> None:
            await stage.until(6.0)
            stage.station.plug(FIRST, car(), "abc")
            await asyncio.sleep(3.0)
            stage.station.drop_connection()
            assert stage.station.bays[1].transaction is not None

        play(version, act)
