"""Grid operators over MQTT, in simulated time: limit messages, EEBUS LPC by topics, a relay contact."""

from __future__ import annotations

from asyncio import sleep
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from smartcharge.clock import now_s
from smartcharge.control import liveness
from smartcharge.control.liveness import Liveness
from smartcharge.control.section14a import pmin_w
from smartcharge.sim import loop
from tests.grid.rig import EPOCH_S, Rig, iso, rig, settings_of

MQTT = 'id = "dso"\nprotocol = "mqtt"\nfailsafe_w = 9000'
LPC = 'id = "dso"\nprotocol = "lpc"\nscope = "site"\nfailsafe_w = 9000'
RELAY = 'id = "dso"\nprotocol = "relay"'
RATING_W = 69_000.0
SET = "limit/main/dso/set"


def play(tmp_path: Path, grid: str, story: Callable[[Rig], Awaitable[None]], cars: int = 3) -> None:
    async def main() -> None:
        async with rig(settings_of(tmp_path, grid), cars=cars) as r:
            await story(r)

    loop.run(main(), epoch_s=EPOCH_S)


class TestASiteThatWaitsForItsOperator:
    """It starts at its failsafe value, and leaves it when the line is proven."""

    def test_is_held_until_the_operator_is_heard(self, tmp_path: Path) -> None:
        async def story(r: Rig) -> None:
            await sleep(3600.0)
            assert (r.limit_w(), r.liveness("mqtt dso")) == (9000.0, Liveness.INIT)
            assert 4000.0 < r.drawn_w() <= 9000.0
            async with r.pulse("dso"):
                await r.say(SET, {"id": "1", "issued_at": iso(), "lifted": True})
                assert (r.limit_w(), r.liveness("mqtt dso")) == (RATING_W, Liveness.CONTROLLED)
                await r.until(lambda: r.drawn_w() > 12_000.0)

        play(tmp_path, MQTT, story)

    def test_is_held_again_after_a_restart_and_keeps_the_limit(self, tmp_path: Path) -> None:
        async def story(r: Rig) -> None:
            await r.beat("dso")
            await r.say(SET, {"id": "1", "issued_at": iso(), "power_w": 7000, "valid_until": iso(1000.0)})
            await r.restart()
            assert (r.limit_w(), r.liveness("mqtt dso")) == (7000.0, Liveness.INIT)
            await sleep(1000.0)
            assert r.limit_w() == 9000.0
            await r.beat("dso")
            await r.say(SET, {"id": "2", "issued_at": iso(), "power_w": 20_000})
            assert r.limit_w() == 20_000.0

        play(tmp_path, MQTT, story)

    def test_whom_nobody_waits_for_may_still_limit_it(self, tmp_path: Path) -> None:
        async def story(r: Rig) -> None:
            await r.beat("dso")
            await r.say(SET, {"issued_at": iso(), "lifted": True})
            await r.say("limit/main/tso/set", {"issued_at": iso(), "power_w": 12_000})
            assert r.limit_w() == 12_000.0

        play(tmp_path, MQTT, story)


class TestLimitMessages:
    def test_a_limit_is_received_applied_and_ends(self, tmp_path: Path) -> None:
        async def story(r: Rig) -> None:
            await r.beat("dso")
            await r.say(SET, {"id": "L1", "issued_at": iso(), "power_w": 20_000, "valid_until": iso(100.0)})
            await sleep(20.0)
            assert r.answers("dso") == [("L1", "received"), ("L1", "applied")]
            assert r.drawn_w() <= 20_000.0
            await r.beat("dso")
            await sleep(85.0)
            assert (r.limit_w(), r.liveness("mqtt dso")) == (RATING_W, Liveness.CONTROLLED)
            (record,) = r.state.records.values()
            assert record.measured_s is not None
            assert record.ended_s is not None

        play(tmp_path, MQTT, story)

    def test_a_limit_may_begin_later(self, tmp_path: Path) -> None:
        async def story(r: Rig) -> None:
            await r.beat("dso")
            await r.say(SET, {"issued_at": iso(), "power_w": 20_000, "start_at": iso(60.0), "valid_until": iso(90.0)})
            assert r.limit_w() == RATING_W
            await sleep(60.0)
            assert r.limit_w() == 20_000.0

        play(tmp_path, MQTT, story)

    def test_cannot_comply_is_said_with_the_reason(self, tmp_path: Path) -> None:
        async def story(r: Rig) -> None:
            async with r.pulse("dso"):
                await r.say(SET, {"issued_at": iso(), "lifted": True})
                await r.until(lambda: r.drawn_w() > 12_000.0)
                r.plant.chargers[0].set_silent("box-2", on=True)  # type: ignore[attr-defined]
                await r.say(SET, {"id": "L2", "issued_at": iso(), "power_w": 4000})
                await sleep(60.0)
            topic = "grid/dso/answer"
            said = [payload for where, payload in r.heard if where == topic and payload["status"] == "cannot comply"]
            assert [payload["id"] for payload in said] == ["L2"]
            assert "box-2" in said[0]["reason"]

        play(tmp_path, MQTT, story)

    @pytest.mark.parametrize(
        ("payload", "reason"),
        [
            ({"power_w": -5}, "greater than"),
            ({"power_w": "5000"}, "valid number"),
            ({"power_kw": 5}, "not permitted"),
            ({"power_w": 5000, "valid_until": "2023-11-15T00:00:00"}, "offset"),
            ({"power_w": 5000, "start_at": "2023-11-15T02:00:00Z", "valid_until": "2023-11-15T01:00:00Z"}, "after"),
        ],
        ids=["negative", "text", "unit", "naive", "ends before it starts"],
    )
    def test_what_is_wrong_is_refused_and_the_last_limit_stays(
        self, tmp_path: Path, payload: dict[str, object], reason: str
    ) -> None:
        async def story(r: Rig) -> None:
            await r.beat("dso")
            await r.say(SET, {"issued_at": iso(), "power_w": 15_000})
            await r.say(SET, {"issued_at": iso(), **payload})
            assert r.limit_w() == 15_000.0
            refused = [p for _, p in r.heard if p["status"] == "refused"]
            assert len(refused) == 1
            assert reason in refused[0]["reason"]

        play(tmp_path, MQTT, story, cars=0)

    def test_zero_is_zero(self, tmp_path: Path) -> None:
        async def story(r: Rig) -> None:
            await r.beat("dso")
            await r.say(SET, {"issued_at": iso(), "power_w": 0})
            await r.until(lambda: r.drawn_w() == 0.0, 20.0)

        play(tmp_path, MQTT, story)

    def test_across_the_change_to_winter_time_an_end_is_an_instant(self, tmp_path: Path) -> None:
        """02:30 comes twice on 29 October 2023 in Berlin; the offset tells which one."""

        async def story(r: Rig) -> None:
            await r.beat("dso")
            ends = {"valid_until": "2023-10-29T02:30:00+01:00", "start_at": "2023-10-29T02:30:00+02:00"}
            await r.say(SET, {"issued_at": iso(), "power_w": 5000, **ends})
            await r.beat("dso")
            (limit,) = r.state.sources["mqtt dso"].limits
            assert (limit.end_s or 0.0) - (limit.start_s or 0.0) == 3600.0

        play(tmp_path, MQTT, story, cars=0)


class TestLostLine:
    def test_a_lost_heartbeat_leads_to_failsafe_for_hours_and_back_by_heartbeat_and_limit(self, tmp_path: Path) -> None:
        async def story(r: Rig) -> None:
            await r.beat("dso")
            await r.say(SET, {"issued_at": iso(), "power_w": 20_000})
            await r.beat("dso", times=5)
            assert r.limit_w() == 20_000.0
            await sleep(125.0)
            assert r.liveness("mqtt dso") is Liveness.FAILSAFE
            assert r.drawn_w() <= 9000.0
            await sleep(10 * 3600.0)
            assert (r.limit_w(), r.drawn_w() <= 9000.0) == (9000.0, True)
            await r.beat("dso")
            assert r.limit_w() == 9000.0
            await r.say(SET, {"issued_at": iso(), "power_w": 20_000})
            assert r.limit_w() == 20_000.0

        play(tmp_path, MQTT, story, cars=1)

    def test_a_limit_from_before_the_heartbeat_returned_does_not_end_failsafe(self, tmp_path: Path) -> None:
        async def story(r: Rig) -> None:
            await r.beat("dso")
            await r.say(SET, {"issued_at": iso(), "power_w": 20_000})
            await sleep(300.0)
            await r.beat("dso")
            await r.say(SET, {"issued_at": iso(-200.0), "power_w": 20_000})
            assert (r.limit_w(), r.liveness("mqtt dso")) == (9000.0, Liveness.FAILSAFE)
            await r.say(SET, {"issued_at": iso(), "power_w": 20_000})
            assert r.limit_w() == 20_000.0

        play(tmp_path, MQTT, story, cars=0)

    def test_a_heartbeat_that_lay_somewhere_is_refused(self, tmp_path: Path) -> None:
        async def story(r: Rig) -> None:
            await r.say("grid/dso/heartbeat", {"sent_at": iso(-121.0)})
            await r.say("grid/dso/heartbeat", {"sent_at": iso()}, retain=True)
            assert [status for _, status in r.answers("dso")] == ["refused"]
            assert r.state.sources["mqtt dso"].heard_s is not None, "said just now, whatever the broker keeps"
            await r.say("grid/nobody/heartbeat", {"sent_at": iso()})
            assert set(r.state.sources) == {"mqtt dso"}

        play(tmp_path, MQTT, story, cars=0)

    def test_clocks_apart_widen_a_limit(self, tmp_path: Path) -> None:
        async def story(r: Rig) -> None:
            await r.say("grid/dso/heartbeat", {"sent_at": iso(30.0)})
            await r.say(SET, {"issued_at": iso(), "power_w": 5000, "start_at": iso(60.0), "valid_until": iso(70.0)})
            await sleep(35.0)
            assert r.limit_w() == 5000.0
            await sleep(50.0)
            assert r.limit_w() == 5000.0
            await r.say("grid/dso/heartbeat", {"sent_at": iso(30.0)})
            await sleep(20.0)
            assert r.limit_w() == RATING_W

        play(tmp_path, MQTT, story, cars=0)


class TestClock:
    @pytest.mark.parametrize("step_s", [7200.0, -7200.0])
    def test_a_clock_that_is_set_neither_loses_a_line_nor_keeps_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_s: float
    ) -> None:
        async def story(r: Rig) -> None:
            await r.beat("dso")
            await r.say(SET, {"issued_at": iso(), "lifted": True})
            monkeypatch.setattr("smartcharge.controller.now_s", lambda: now_s() + step_s)
            await sleep(62.0)
            known = r.state.sources["mqtt dso"]
            assert liveness.at(known, now_s() + step_s).liveness is Liveness.CONTROLLED
            await sleep(62.0)
            assert liveness.at(known, now_s() + step_s).liveness is Liveness.FAILSAFE

        play(tmp_path, MQTT, story, cars=0)


class TestLpc:
    """The pair of topics, with the rules of the controllable system."""

    def test_limit_with_a_duration_and_deactivation(self, tmp_path: Path) -> None:
        async def story(r: Rig) -> None:
            await r.beat("dso")
            active = {"id": "1", "issued_at": iso(), "is_limit_active": True, "value_w": 8000, "duration_s": 60}
            await r.say("grid/dso/lpc", active)
            assert (r.limit_w(), r.liveness("lpc dso")) == (8000.0, Liveness.LIMITED)
            await sleep(60.0)
            assert (r.limit_w(), r.liveness("lpc dso")) == (RATING_W, Liveness.CONTROLLED)
            await r.beat("dso")
            await r.say("grid/dso/lpc", {**active, "issued_at": iso(), "duration_s": None})
            await sleep(100.0)
            assert r.limit_w() == 8000.0, "without a duration it holds until it is replaced"
            await r.say("grid/dso/lpc", {"issued_at": iso(), "is_limit_active": False, "value_w": 8000})
            assert r.limit_w() == RATING_W

        play(tmp_path, LPC, story)

    def test_a_duration_counts_from_when_it_was_issued(self, tmp_path: Path) -> None:
        async def story(r: Rig) -> None:
            await r.beat("dso")
            late = {"issued_at": iso(-50.0), "is_limit_active": True, "value_w": 8000, "duration_s": 60}
            await r.say("grid/dso/lpc", late)
            assert r.limit_w() == 8000.0
            await sleep(10.0)
            assert r.limit_w() == RATING_W
            await r.say("grid/dso/lpc", {**late, "issued_at": iso(-100.0)})
            assert r.limit_w() == RATING_W, "it had ended before it came"

        play(tmp_path, LPC, story, cars=0)

    def test_a_negative_value_is_denied(self, tmp_path: Path) -> None:
        async def story(r: Rig) -> None:
            await r.beat("dso")
            await r.say("grid/dso/lpc", {"issued_at": iso(), "is_limit_active": True, "value_w": -1})
            assert [status for _, status in r.answers("dso")] == ["refused"]

        play(tmp_path, LPC, story, cars=0)

    def test_the_failsafe_value_and_duration_are_the_operators(self, tmp_path: Path) -> None:
        async def story(r: Rig) -> None:
            await r.say("grid/dso/failsafe", {"power_w": 6000, "duration_s": 7200})
            assert r.limit_w() == 6000.0
            await r.say("grid/dso/failsafe", {"power_w": 6000, "duration_s": 60})
            assert [status for _, status in r.answers("dso")] == ["refused"]
            await sleep(7100.0)
            assert r.liveness("lpc dso") is Liveness.AUTONOMOUS
            await r.restart()
            assert r.limit_w() == 6000.0

        play(tmp_path, LPC + "\nautonomous = true", story, cars=0)

    def test_a_limit_that_the_broker_kept_does_not_end_failsafe(self, tmp_path: Path) -> None:
        async def story(r: Rig) -> None:
            await r.beat("dso")
            kept = {"issued_at": iso(), "is_limit_active": True, "value_w": 20_000}
            await r.say("grid/dso/lpc", kept, retain=True)
            assert r.limit_w() == 20_000.0
            await sleep(600.0)
            await r.beat("dso")
            await r.plant.kill()
            await sleep(200.0)
            await r.plant.start()
            await sleep(1.0)
            assert r.limit_w() == 9000.0
            await r.beat("dso")
            assert r.limit_w() == 20_000.0, "a start needs a heartbeat and the limit that is kept"

        play(tmp_path, LPC, story, cars=0)

    def test_section_14a_limits_the_loads_and_flags_less_than_pmin(self, tmp_path: Path) -> None:
        async def story(r: Rig) -> None:
            await r.beat("dso")
            await r.say("grid/dso/lpc", {"id": "x", "issued_at": iso(), "is_limit_active": True, "value_w": 4200})
            await sleep(30.0)
            said = [payload for _, payload in r.heard if payload["status"] == "applied"]
            assert said[0]["is_below_floor"] is True
            assert r.drawn_w() <= 4200.0

        play(tmp_path, 'id = "dso"\nprotocol = "lpc"', story)


class TestRelay:
    """A ripple control contact: closed, Pmin holds for the stations."""

    def test_closed_and_open(self, tmp_path: Path) -> None:
        async def story(r: Rig) -> None:
            assert r.limit_w() == pytest.approx(pmin_w(3)), "not heard yet"
            for _ in range(5):
                await r.say("grid/dso/relay", {"closed": False})
                assert r.limit_w() == RATING_W
                await sleep(60.0)
            assert r.drawn_w() > 12_000.0
            await r.say("grid/dso/relay", {"closed": True})
            await sleep(15.0)
            assert 4200.0 <= r.drawn_w() <= pmin_w(3)
            await sleep(120.0)
            assert r.liveness("relay dso") is Liveness.FAILSAFE
            await r.say("grid/dso/relay", {"closed": False})
            assert r.limit_w() == RATING_W, "each message is heartbeat and word"

        play(tmp_path, RELAY, story)

    def test_other_words_are_not_its_own(self, tmp_path: Path) -> None:
        async def story(r: Rig) -> None:
            await r.say("grid/dso/lpc", {"issued_at": iso(), "is_limit_active": False, "value_w": 0})
            await r.say(SET, {"issued_at": iso(), "lifted": True})
            assert [status for _, status in r.answers("dso")] == ["refused", "refused"]
            assert r.liveness("relay dso") is Liveness.INIT

        play(tmp_path, RELAY, story, cars=0)


@pytest.mark.parametrize(
    ("devices", "watts"), [(0, 0.0), (1, 4200.0), (2, 7560.0), (3, 10_500.0), (9, 19_320.0), (20, 40_110.0)]
)
def test_pmin_by_the_formula_of_section_14a(devices: int, watts: float) -> None:
    assert pmin_w(devices) == pytest.approx(watts)
