"""OpenADR 3 against a server that misbehaves, in simulated time."""

from __future__ import annotations

import socket
from asyncio import sleep
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from smartcharge.clock import now_s
from smartcharge.control.liveness import Liveness
from smartcharge.events import AlertsSet
from smartcharge.grid.openadr.ven import OpenAdrRoom
from smartcharge.mqtt.quiet import QuietClient
from smartcharge.sim import loop
from tests.grid.rig import EPOCH_S, Rig, iso, rig, settings_of
from tests.grid.vtn import Vtn, serving

RATING_W = 69_000.0
FAILSAFE_W = 9000.0
LIMIT = "IMPORT_CAPACITY_LIMIT"
Story = Callable[[Rig, Vtn], Awaitable[None]]


def event(
    name: str, kw: Any, *, start_s: float = 0.0, duration: str = "PT1H", kind: str = LIMIT, **more: Any
) -> dict[str, Any]:
    """An event of one interval that begins so many seconds from now."""
    return {
        "id": name, "objectType": "EVENT", "programID": "p1", "modificationDateTime": iso(-1.0),
        "payloadDescriptors": [
            {"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": kind, "units": "KWH" if kind == "PRICE" else "KW"}
        ],
        "intervalPeriod": {"start": iso(start_s), "duration": duration},
        "intervals": [{"id": 0, "payloads": [{"type": kind, "values": [kw]}]}], **more,
    }  # fmt: skip


def play(
    tmp_path: Path,
    story: Story,
    *,
    vtn: Vtn | None = None,
    keys: str = "",
    cars: int = 0,
    secret: str = "secret",
    notified: bool = False,
) -> None:
    server = vtn or Vtn()
    (tmp_path / "secret").write_text("s3cret")

    async def main() -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(serving(server))
            operator = (
                f'id = "dso"\nprotocol = "openadr"\nfailsafe_w = {FAILSAFE_W}\n[grid.openadr]\nurl = "{server.url}"\n'
                f'client_id = "yard"\nsecret_file = "{secret}"\nversion = "{server.version}"\n{keys}'
            )
            tables, port = "", 0
            if notified:
                with socket.create_server(("127.0.0.1", 0)) as free:
                    port = free.getsockname()[1]
                operator, tables = f'{operator}our_url = "http://127.0.0.1:{port}"\n', "[http]\n"
            settings = settings_of(tmp_path, operator, tables)
            r = await stack.enter_async_context(rig(settings, cars=cars, http_port=port))
            await story(r, server)

    loop.run(main(), epoch_s=EPOCH_S)


def trouble(r: Rig) -> str:
    (room,) = (source for source in r.plant.controller._sources if isinstance(source, OpenAdrRoom))  # type: ignore[union-attr]
    return room.trouble or ""


async def polled() -> None:
    await sleep(31.0)


class TestPolling:
    def test_a_good_poll_frees_the_site_and_a_limit_binds_until_it_ends_or_is_deleted(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            assert (r.limit_w(), r.liveness("openadr dso")) == (RATING_W, Liveness.CONTROLLED)
            vtn.events = [event("a", 20, duration="PT10M"), event("b", 15, start_s=300.0, duration="PT1H")]
            await polled()
            assert r.limit_w() == 20_000.0
            await sleep(300.0)
            assert r.limit_w() == 15_000.0
            vtn.events = vtn.events[:1]
            await polled()
            assert r.limit_w() == 20_000.0
            await sleep(300.0)
            assert r.limit_w() == RATING_W

        play(tmp_path, story)

    def test_priorities_within_and_the_minimum_across(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            vtn.events = [event("a", 20, priority=1), event("b", 25, priority=0), event("c", 5)]
            await polled()
            assert r.limit_w() == 25_000.0
            vtn.events.append(event("d", 12, priority=0))
            await polled()
            assert r.limit_w() == 12_000.0

        play(tmp_path, story)

    def test_many_pages_also_of_a_server_that_does_not_know_what_a_page_is(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            vtn.events = [event(f"e{n}", 30 - n / 10) for n in range(130)]
            await polled()
            assert r.limit_w() == pytest.approx(17_100.0)
            pages = [line for line in vtn.asked if "skip=100" in line]
            assert len(pages) == 1
            vtn.knows_pages = False
            vtn.events.append(event("last", 10))
            await polled()
            assert r.limit_w() == 10_000.0

        play(tmp_path, story)

    def test_the_cars_follow_and_the_server_is_told(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            vtn.events = [event("a", 5)]
            await r.until(lambda: bool(vtn.reports), 200.0)
            assert r.drawn_w() <= 5000.0
            (report,) = vtn.reports
            assert (report["eventID"], report["programID"], report["clientName"]) == ("a", "p1", "smartcharge")
            values = {p["type"]: p["values"] for p in report["resources"][0]["intervals"][0]["payloads"]}
            assert values["OPERATING_STATE"] == ["RUNNING_CURTAILED"]
            assert 0.0 <= values["LIMIT_APPLIED_AFTER_S"][0] < 15.0

        play(tmp_path, story, keys='program = "limits"\n', cars=3)

    def test_another_program_and_others_targets_are_left_alone(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            vtn.events = [
                event("a", 1, programID="p2"),
                event("b", 2, targets=["feeder-7"]),
                event("c", 3, targets=[{"type": "VEN_NAME", "values": ["other"]}]),
                event("d", 30, targets=["yard"]),
                event("e", 31, targets=[{"type": "VEN_NAME", "values": ["yard"]}]),
            ]
            await polled()
            assert r.limit_w() == 30_000.0

        play(tmp_path, story, keys='program = "limits"\ntargets = ["yard"]\n')

    def test_subscription_is_the_failsafe_value_and_prices_are_the_tariff(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            price = event("p", 0.3, kind="PRICE")
            price["intervals"][0]["payloads"][0]["values"] = [0.3, 0.2, 0.1, -0.1]
            vtn.events = [event("s", 7.5, kind="IMPORT_CAPACITY_SUBSCRIPTION", duration="P9999Y"), price]
            await polled()
            assert r.limit_w() == RATING_W
            assert r.state.prices is not None
            assert (r.state.prices.step_s, r.state.prices.per_kwh) == (900.0, (0.3, 0.2, 0.1, -0.1))
            vtn.broken = 503
            await sleep(200.0)
            assert r.limit_w() == 7500.0

        play(tmp_path, story)

    def test_a_reservation_holds_in_its_time_also_when_the_line_is_lost_and_after_a_restart(
        self, tmp_path: Path
    ) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            vtn.events = [
                event("s", 7.5, kind="IMPORT_CAPACITY_SUBSCRIPTION", duration="P9999Y"),
                event("r", 4, kind="IMPORT_CAPACITY_RESERVATION", start_s=1000.0, duration="PT30M"),
            ]
            await polled()
            assert r.limit_w() == RATING_W
            vtn.broken = 503
            await sleep(900.0)
            assert r.limit_w() == 7500.0
            await r.restart()
            await sleep(100.0)
            assert r.limit_w() == 11_500.0
            await sleep(1800.0)
            assert r.limit_w() == 7500.0

        play(tmp_path, story)

    def test_carbon_intensity_and_alerts_are_kept_and_shown(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            ghg = event("g", 300, kind="GHG", duration="P1D")
            vtn.events = [ghg, event("w", "all cars off", kind="ALERT_GRID_EMERGENCY", duration="PT10M")]
            await polled()
            assert r.state.intensity is not None
            assert (r.state.intensity.step_s, r.state.intensity.g_per_kwh) == (86400.0, (300.0,))
            (alert,) = r.state.sources["openadr dso"].alerts
            assert (alert.kind, alert.text) == ("ALERT_GRID_EMERGENCY", "all cars off")
            assert r.limit_w() == RATING_W, "an alert is for people"
            facts = len(list(r.plant.journal.load()))
            await sleep(700.0)
            since = list(r.plant.journal.load())[facts:]
            assert not any(isinstance(fact, AlertsSet) for fact in since), "it ended by itself"
            vtn.events = [ghg, event("x", "again", kind="ALERT_OTHER")]
            await polled()
            assert [alert.text for alert in r.state.sources["openadr dso"].alerts] == ["again"]

        play(tmp_path, story)

    def test_usage_is_reported_for_each_interval_as_the_event_asks(self, tmp_path: Path) -> None:
        async def story(_: Rig, vtn: Vtn) -> None:
            wants = [{"payloadType": "USAGE", "units": "KWH", "frequency": 1}]
            asks = event("a", 60, start_s=60.0, duration="PT10M", reportDescriptors=wants)
            asks["intervals"].append({"id": 1, "payloads": [{"type": LIMIT, "values": [6]}]})
            vtn.events = [asks]
            await sleep(1400.0)
            usage = [report for report in vtn.reports if report["reportName"] == "usage a"]
            assert [(u["eventID"], u["programID"]) for u in usage] == [("a", "p1")] * 2
            told = [u["resources"][0]["intervals"][0] for u in usage]
            assert [(i["id"], i["intervalPeriod"]["duration"]) for i in told] == [(0, "PT600S"), (1, "PT600S")]
            first_kwh, second_kwh = (i["payloads"][0]["values"][0] for i in told)
            assert 2.0 < first_kwh <= 1.01 * 60.0 / 6.0, "the limit, but for the seconds until it was followed"
            assert 0.8 < second_kwh <= 6.0 / 6.0 * 1.1, "a reading counts until the next, a minute later"

        play(tmp_path, story, cars=3)

    def test_3_0_1(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            vtn.events = [event("a", 20, duration="PT0S")]
            await polled()
            assert r.limit_w() == 20_000.0, "PT0S is for ever"
            assert any(line.startswith("POST /vtn/auth/token") for line in vtn.asked)
            assert any("targetType=VEN_NAME&targetValues=yard" in line for line in vtn.asked)
            assert all("limit=50" in line for line in vtn.asked if "/events" in line)

        play(tmp_path, story, vtn=Vtn(version="3.0.1"), keys='targets = ["yard"]\n')

    def test_the_gac_profile_refuses_what_breaks_it(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            vtn.events = [event("a", 20), event("b", 5, priority=0)]
            await polled()
            assert r.limit_w() == 20_000.0
            assert "event b: breaks the GAC profile" in trouble(r)

        play(tmp_path, story, keys='profile = "gac"\n')

    def test_the_gac_profile_has_a_safe_mode_for_a_lost_line(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            vtn.events = [event("a", 20, duration="PT10M")]
            await polled()
            assert "no safe mode event" in trouble(r)
            vtn.events.append(event("b", 6, eventName="safe mode", duration="P9999Y"))
            await polled()
            assert (r.limit_w(), trouble(r)) == (20_000.0, ""), "it holds when the line is lost, and not before"
            vtn.broken = 500
            await sleep(600.0)
            assert (r.limit_w(), r.liveness("openadr dso")) == (6000.0, Liveness.FAILSAFE)

        play(tmp_path, story, keys='profile = "gac"\n')


class TestMisbehaviour:
    """Seen in the wild, all of it."""

    @pytest.mark.parametrize("says_life", [True, False])
    def test_tokens_that_end_early_or_do_not_say_when(self, tmp_path: Path, *, says_life: bool) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            for _ in range(5):
                vtn.revoke()
                await polled()
                assert r.liveness("openadr dso") is Liveness.CONTROLLED
            assert trouble(r) == ""

        play(tmp_path, story, vtn=Vtn(says_token_life=says_life, token_life_s=40.0))

    def test_an_event_that_ended_weeks_ago_is_no_limit(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            vtn.events = [event("old", 1, start_s=-14 * 86400.0)]
            await polled()
            assert r.limit_w() == RATING_W

        play(tmp_path, story)

    def test_an_event_that_began_applies_its_current_interval(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            late = event("a", 30, start_s=-1000.0, duration="PT15M")
            late["intervals"].append({"id": 1, "payloads": [{"type": LIMIT, "values": [12]}]})
            vtn.events = [late]
            await polled()
            assert r.limit_w() == 12_000.0

        play(tmp_path, story)

    def test_a_negative_limit_is_refused_and_the_one_before_stays(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            vtn.events = [event("a", 20)]
            await polled()
            vtn.events = [event("a", -5)]
            await polled()
            assert r.limit_w() == 20_000.0
            assert "event a" in trouble(r)
            assert "negative" in trouble(r)
            vtn.events = [event("a", 18)]
            await polled()
            assert (r.limit_w(), trouble(r)) == (18_000.0, "")

        play(tmp_path, story)

    def test_a_time_without_an_offset_is_refused_but_the_others_hold(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            naive = datetime.fromtimestamp(now_s(), UTC).replace(tzinfo=None).isoformat()
            vtn.events = [event("a", 5, intervalPeriod={"start": naive, "duration": "PT1H"}), event("b", 20)]
            await polled()
            assert r.limit_w() == 20_000.0
            assert "has no offset" in trouble(r)

        play(tmp_path, story)

    def test_or_is_utc_by_agreement(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            naive = datetime.fromtimestamp(now_s(), UTC).replace(tzinfo=None).isoformat()
            vtn.events = [event("a", 5, intervalPeriod={"start": naive, "duration": "PT1H"})]
            await polled()
            assert r.limit_w() == 5000.0

        play(tmp_path, story, keys="naive_is_utc = true\n")

    def test_an_event_without_a_period_holds_until_it_is_gone(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            bare = event("a", 20)
            del bare["intervalPeriod"], bare["modificationDateTime"]
            vtn.events = [bare]
            await polled()
            assert r.limit_w() == 20_000.0
            await sleep(600.0)
            assert len(r.state.records) == 1, "it is one limit, not a new one with each poll"
            vtn.events = []
            await polled()
            assert r.limit_w() == RATING_W

        play(tmp_path, story)

    @pytest.mark.parametrize("garbage", [b"{", b'{"events": []}', b"[1]", b""])
    def test_a_list_that_is_none_is_no_word(self, tmp_path: Path, garbage: bytes) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            vtn.events = [event("a", 20)]
            await polled()
            vtn.garbage = garbage
            await polled()
            assert r.limit_w() == 20_000.0
            assert "/events" in trouble(r)

        play(tmp_path, story)

    def test_clocks_apart_are_told_and_widen_a_limit(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            vtn.clock_off_s = 60.0
            vtn.events = [event("a", 20, start_s=80.0)]
            await polled()
            assert r.limit_w() == 20_000.0
            assert "its clock is +60 s off ours" in trouble(r)

        play(tmp_path, story)


class TestNotification:
    """Polling is the truth, a notification is a hint."""

    def test_a_hint_is_followed_at_once_by_a_poll(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            (wanted,) = (body["objectOperations"][0] for body in vtn.subscriptions.values())
            assert wanted["operations"] == ["CREATE", "UPDATE", "DELETE"]
            vtn.events = [event("a", 20)]
            assert r.limit_w() == RATING_W
            assert await vtn.notify() == 204
            await sleep(1.5)
            assert r.limit_w() == 20_000.0

        play(tmp_path, story, keys="poll_s = 100\n", notified=True)

    def test_without_its_token_it_is_refused(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            vtn.events = [event("a", 20)]
            assert await vtn.notify("wrong") == 401
            await sleep(1.5)
            assert r.limit_w() == RATING_W

        play(tmp_path, story, keys="poll_s = 100\n", notified=True)

    def test_many_hints_do_not_make_many_polls(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            before = len([line for line in vtn.asked if "/events" in line])
            for _ in range(20):
                await vtn.notify()
            await sleep(5.0)
            assert len([line for line in vtn.asked if "/events" in line]) - before <= 4
            assert r.liveness("openadr dso") is Liveness.CONTROLLED

        play(tmp_path, story, keys="poll_s = 100\n", notified=True)

    def test_after_a_restart_the_old_subscription_is_taken_back(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            (old,) = vtn.subscriptions
            await r.restart()
            await sleep(100.0)  # our server may have listened too late for the first attempt
            (new,) = vtn.subscriptions
            assert new != old

        play(tmp_path, story, notified=True)

    def test_a_server_that_takes_none_is_polled_as_ever(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            vtn.events = [event("a", 20)]
            await polled()
            assert r.limit_w() == 20_000.0
            assert len([line for line in vtn.asked if line.startswith("POST /vtn/subscriptions")]) <= 3

        play(tmp_path, story, vtn=Vtn(takes_subscriptions=False), notified=True)

    def test_of_3_0_1(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            (wanted,) = (body["objectOperations"][0] for body in vtn.subscriptions.values())
            assert wanted["operations"] == ["POST", "PUT", "DELETE"]
            assert r.liveness("openadr dso") is Liveness.CONTROLLED

        play(tmp_path, story, vtn=Vtn(version="3.0.1"), notified=True)


class TestNotificationOverMqtt:
    """The server's own broker (3.1.0): a hint, too."""

    @pytest.mark.parametrize("topics", [{"ALL": "oadr/events/+"}, {"CREATE": "oadr/events/new", "DELETE": "oadr/x"}])
    @pytest.mark.parametrize("method", ["ANONYMOUS", "OAUTH2_BEARER_TOKEN"])
    def test_a_hint_is_followed_at_once_by_a_poll(self, tmp_path: Path, topics: dict[str, str], method: str) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            vtn.events = [event("a", 20)]
            assert r.limit_w() == RATING_W
            async with QuietClient("127.0.0.1", vtn.broker_port, identifier="vtn") as broker:
                await broker.publish("oadr/events/new", b"what it says is not read", qos=1)
                await sleep(1.0)
            assert r.limit_w() == 20_000.0

        vtn = Vtn(has_broker=True, topics=topics, broker_method=method)
        play(tmp_path, story, vtn=vtn, keys="poll_s = 100\nmqtt_hints = true\n")

    @pytest.mark.parametrize(
        "more",
        [{}, {"has_broker": True, "broker_scheme": "mqtt://elsewhere.example"}, {"has_broker": True, "topics": {}},
         {"has_broker": True, "broker_method": "CERTIFICATE"}, {"has_broker": True, "broker_scheme": "mqtt://127.0.0.1:1"}],
    )  # fmt: skip
    def test_without_a_broker_that_can_be_used_it_polls_as_ever(
        self, tmp_path: Path, more: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            vtn.events = [event("a", 20)]
            await polled()
            assert r.limit_w() == 20_000.0
            assert "no notifications over MQTT" in caplog.text

        play(tmp_path, story, vtn=Vtn(**more), keys="mqtt_hints = true\n")

    def test_a_broker_that_disappears_is_looked_for_again(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            await vtn.restart_broker()
            await sleep(70.0)
            vtn.events = [event("a", 20)]
            async with QuietClient("127.0.0.1", vtn.broker_port, identifier="vtn") as broker:
                await broker.publish("oadr/events/new", b"", qos=1)
                await sleep(1.0)
            assert r.limit_w() == 20_000.0

        play(tmp_path, story, vtn=Vtn(has_broker=True), keys="poll_s = 100\nmqtt_hints = true\n")


class TestLostLine:
    @pytest.mark.parametrize("how", ["500", "hangs"])
    def test_a_failed_poll_never_means_that_there_is_no_limit(self, tmp_path: Path, how: str) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            vtn.events = [event("a", 20, duration="PT1H"), event("b", 6, start_s=3600.0, duration="PT30M")]
            await polled()
            vtn.broken, vtn.hangs = (500, False) if how == "500" else (None, True)
            await sleep(3500.0)
            assert (r.limit_w(), r.liveness("openadr dso")) == (20_000.0, Liveness.LIMITED), "cached, it stays good"
            await sleep(200.0)
            assert r.limit_w() == 6000.0
            await sleep(1800.0)
            assert (r.limit_w(), r.liveness("openadr dso")) == (FAILSAFE_W, Liveness.FAILSAFE), "exhausted"
            vtn.broken, vtn.hangs, vtn.events = None, False, []
            await sleep(60.0)
            assert (r.limit_w(), r.liveness("openadr dso")) == (RATING_W, Liveness.CONTROLLED)

        play(tmp_path, story)

    def test_a_restart_begins_in_failsafe_until_the_first_poll(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            vtn.events = [event("a", 20, duration="P9999Y")]
            await polled()
            vtn.broken = 500
            await r.restart()
            assert r.limit_w() == FAILSAFE_W
            vtn.broken = None
            await polled()
            assert r.limit_w() == 20_000.0

        play(tmp_path, story)

    def test_a_wrong_secret_is_named_and_not_shown(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            assert len(vtn.asked) >= 2
            assert r.limit_w() == FAILSAFE_W
            assert "no token from" in trouble(r)
            assert "wr0ng" not in caplog.text + trouble(r) + repr(r.plant.settings)

        (tmp_path / "other").write_text("wr0ng")
        play(tmp_path, story, secret="other")
