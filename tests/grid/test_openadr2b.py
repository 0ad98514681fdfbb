"""OpenADR 2.0b with openleadr's own server, over real sockets, in simulated time."""

from __future__ import annotations

from asyncio import sleep
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from openleadr import OpenADRServer, objects

from smartcharge.clock import now_s
from smartcharge.control.liveness import Liveness
from smartcharge.grid.openadr.limits import SETPOINT
from smartcharge.grid.openadr2b.room import OpenAdr2bRoom
from smartcharge.grid.openadr2b.signals import is_over, translated
from smartcharge.sim import loop
from tests.grid.rig import Rig, rig, settings_of

pytestmark = pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")

EPOCH_S = 2_000_000_000.0
"""When every story begins [s since 1970]: openleadr's server leaves out what ended by the machine's own clock."""
RATING_W = 69_000.0
FAILSAFE_W = 9000.0
KW = objects.Measurement(
    name="powerReal", description="RealPower", unit="W", scale="k",
    power_attributes=objects.PowerAttributes(hertz=50, voltage=230, ac=True),
)  # fmt: skip


@dataclass(kw_only=True)
class Vtn:
    """A server, and what it was answered."""

    server: Any = None
    port: int = 0
    clock_off_s: float = 0.0
    opted: list[tuple[str, str]] = field(default_factory=list)
    """Event and answer."""

    async def start(self) -> None:
        self.server = OpenADRServer(
            vtn_id="vtn", http_host="127.0.0.1", http_port=self.port, show_server_cert_domain=False,
            ven_lookup=lambda ven_id: {"ven_id": ven_id, "ven_name": "yard", "registration_id": "r1"},
        )  # fmt: skip
        self.server.add_handler("on_create_party_registration", self._register)
        self.server.app.on_response_prepare.append(self._date)
        await self.server.run()
        self.port = self.server.app_runner.addresses[0][1]

    async def _date(self, _request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = formatdate(now_s() + self.clock_off_s, usegmt=True)

    async def stop(self) -> None:
        await self.server.stop()

    async def _register(self, _info: dict[str, Any]) -> tuple[str, str]:
        return "ven1", "r1"

    def say(
        self, name: str, *values: float, start_s: float = 0.0, length_s: float = 3600.0,
        signal: tuple[str, str] = ("LOAD_DISPATCH", "setpoint"), measurement: Any = KW, **more: Any,
    ) -> Any:  # fmt: skip
        """Add an event whose intervals follow each other."""
        start = datetime.fromtimestamp(now_s() + start_s, UTC)
        intervals = [
            {"dtstart": start + n * timedelta(seconds=length_s), "duration": timedelta(seconds=length_s),
             "signal_payload": value}
            for n, value in enumerate(values)
        ]  # fmt: skip
        self.server.add_event("ven1", *signal, intervals, event_id=name, callback=self._hear_opt)
        event = self.server.events["ven1"][-1]
        event.event_signals[0].measurement = measurement
        for key, value in more.items():
            setattr(event.event_descriptor, key, value)
        return event

    def forget(self, name: str) -> None:
        """Have no such event any more, as if it had never been."""
        events = self.server.events["ven1"]
        events[:] = [event for event in events if event.event_descriptor.event_id != name]

    def _hear_opt(self, ven_id: str, event_id: str, opt_type: str) -> None:
        del ven_id
        self.opted.append((event_id, opt_type))


@asynccontextmanager
async def serving(vtn: Vtn) -> AsyncIterator[Vtn]:
    await vtn.start()
    try:
        yield vtn
    finally:
        await vtn.stop()


Story = Callable[[Rig, Vtn], Awaitable[None]]


def play(tmp_path: Path, story: Story, *, keys: str = "", cars: int = 0) -> None:
    async def main() -> None:
        async with serving(Vtn()) as vtn:
            operator = (
                f'id = "dso"\nprotocol = "openadr2b"\nfailsafe_w = {FAILSAFE_W}\n[grid.openadr2b]\n'
                f'url = "http://127.0.0.1:{vtn.port}/OpenADR2/Simple/2.0b"\nven_name = "yard"\n{keys}'
            )
            async with rig(settings_of(tmp_path, operator, ""), cars=cars) as r:
                await story(r, vtn)

    loop.run(main(), epoch_s=EPOCH_S)


def trouble(r: Rig) -> str:
    assert r.plant.controller is not None
    (room,) = (source for source in r.plant.controller._sources if isinstance(source, OpenAdr2bRoom))
    return room.trouble or ""


async def polled() -> None:
    await sleep(11.0)


class TestEvents:
    def test_a_setpoint_limits_in_its_intervals_until_it_is_taken_back(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            assert (r.limit_w(), r.liveness("openadr2b dso")) == (RATING_W, Liveness.CONTROLLED)
            vtn.say("a", 20.0, 12.0, length_s=600.0)
            await polled()
            assert (r.limit_w(), vtn.opted) == (20_000.0, [("a", "optIn")])
            await sleep(600.0)
            assert r.limit_w() == 12_000.0
            vtn.server.cancel_event("ven1", "a")
            await polled()
            assert r.limit_w() == RATING_W

        play(tmp_path, story)

    def test_simple_levels_and_prices(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            vtn.say("a", 2.0, signal=("SIMPLE", "level"), measurement=None)
            vtn.say("p", 0.3, 0.2, length_s=900.0, signal=("ELECTRICITY_PRICE", "price"), measurement=None)
            await polled()
            assert r.limit_w() == 8000.0
            assert r.state.prices is not None
            assert (r.state.prices.step_s, r.state.prices.per_kwh) == (900.0, (0.3, 0.2))

        play(tmp_path, story, keys="simple_w = [60000, 30000, 8000]\n")

    def test_what_cannot_be_met_is_opted_out_of(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            await r.until(lambda: r.drawn_w() > 12_000.0)
            r.plant.chargers[0].set_silent("box-2", on=True)  # type: ignore[attr-defined]
            event = vtn.say("a", 4.0)
            await polled()
            assert vtn.opted == [("a", "optIn")]
            vtn.server.event_callbacks["a"] = (event, vtn._hear_opt)
            await sleep(60.0)
            assert vtn.opted == [("a", "optIn"), ("a", "optOut")]

        play(tmp_path, story, cars=3)

    def test_a_server_that_forgot_us_is_told_again(self, tmp_path: Path) -> None:
        async def story(r: Rig, vtn: Vtn) -> None:
            await vtn.stop()
            await sleep(15.0)
            assert "no answer" in trouble(r)
            await vtn.start()
            vtn.say("a", 20.0)
            await sleep(25.0)
            assert (r.limit_w(), trouble(r)) == (20_000.0, "")

        play(tmp_path, story)


class TestTranslation:
    """Events as openleadr gives them."""

    EVENT: dict[str, Any] = {  # noqa: RUF012
        "event_descriptor": {"event_id": "e", "priority": 0, "market_context": "m"},
        "active_period": {"dtstart": datetime(2033, 1, 1, tzinfo=UTC), "duration": timedelta(hours=1)},
        "event_signals": [
            {
                "signal_name": "LOAD_DISPATCH", "signal_type": "setpoint",
                "measurement": {"unit": "W", "scale": "k"},
                "intervals": [{"duration": timedelta(0), "uid": 0, "signal_payload": 5.0}],
            },
            {"signal_name": "CHARGE_STATE", "signal_type": "level", "intervals": []},
        ],
    }  # fmt: skip

    def test_without_a_start_it_is_the_events_and_no_duration_is_for_ever(self) -> None:
        found = translated(self.EVENT)
        assert found["priority"] is None
        assert found["payloadDescriptors"] == [{"payloadType": SETPOINT, "units": "KW"}]
        (interval,) = found["intervals"]
        assert interval["intervalPeriod"] == {"start": "2033-01-01T00:00:00+00:00", "duration": "P9999Y"}

    def test_what_lacks_something_is_refused_by_its_id_alone(self) -> None:
        assert translated({"event_descriptor": {"event_id": "e"}}) == {"id": "e"}

    @pytest.mark.parametrize(
        ("more", "over"), [({}, False), ({"test_event": True}, True), ({"event_status": "cancelled"}, True)]
    )
    def test_tests_and_what_was_taken_back_ask_for_nothing(self, more: dict[str, Any], *, over: bool) -> None:
        assert is_over({"event_descriptor": {"event_id": "e", **more}}) is over
