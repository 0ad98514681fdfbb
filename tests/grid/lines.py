"""Every way in which a grid operator reaches a site, behind one face: what is the same of all can be asked of all."""

from __future__ import annotations

import asyncio
import socket
from asyncio import sleep
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from math import nan
from pathlib import Path
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import httpx
import uvicorn

from smartcharge.clock import now_s
from smartcharge.config import Settings
from smartcharge.grid.http import QuietServer
from tests.grid import test_openadr2b as openadr2b
from tests.grid import vtn as openadr3
from tests.grid.rig import Rig, settings_of
from tests.grid.test_oscp import Provider

FAILSAFE_W = 9000.0
LIMIT = "IMPORT_CAPACITY_LIMIT"


def stamp(offset_s: float = 0.0) -> str:
    """A time so many seconds from now, as a clock in Berlin shows it, with its offset."""
    return datetime.fromtimestamp(now_s() + offset_s, ZoneInfo("Europe/Berlin")).isoformat()


def naive(offset_s: float = 0.0) -> str:
    return stamp(offset_s)[:19]


class Line:
    """An operator called ``dso``, its line to the site, and what may be said over it."""

    source: ClassVar[str]
    grid: ClassVar[str]
    """Its table in the site file."""
    tables: ClassVar[str] = ""
    lost_s: ClassVar[float] = 120.0
    replaces: ClassVar[bool] = True
    """Whether a limit replaces the one before; else the strictest of those that overlap counts."""
    has_ends: ClassVar[bool] = True
    """Whether a limit says when it ends."""
    http_port = 0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rig: Rig
        self.skew_s = 0.0
        """How far its clock is ahead of ours."""

    def settings(self) -> Settings:
        return settings_of(self.folder, self.grid, self.tables)

    async def start(self) -> None:
        """Start what it runs itself."""

    async def stop(self) -> None:
        """Stop what it runs itself: nothing more is heard of it."""

    async def prove(self) -> None:
        """Show that the line stands, and that there is no limit."""
        await self.beat()
        await self.lift()

    async def beat(self) -> None:
        """Give a sign of life."""

    async def keep(self, for_s: float) -> None:
        """Stay alive for so long."""
        end_s = now_s() + for_s
        while now_s() < end_s:
            await sleep(min(30.0, end_s - now_s()))
            await self.beat()

    async def limit(self, watts: float, start_s: float = 0.0, end_s: float = 3600.0) -> None:
        raise NotImplementedError

    async def lift(self) -> None:
        raise NotImplementedError

    async def mistake(self, kind: str) -> bool:
        """Say something that is wrong; return whether it was refused in so many words."""
        raise NotImplementedError


class MqttLine(Line):
    source = "mqtt dso"
    grid = f'id = "dso"\nprotocol = "mqtt"\nfailsafe_w = {FAILSAFE_W}'
    tables = "[mqtt]\n"
    TOPIC = "limit/main/dso/set"

    async def say(self, topic: str, payload: object) -> None:
        await self.rig.say(topic, payload)

    async def beat(self) -> None:
        await self.say("grid/dso/heartbeat", {"sent_at": stamp(self.skew_s)})

    async def limit(self, watts: float, start_s: float = 0.0, end_s: float = 3600.0) -> None:
        times = {"issued_at": stamp(min(start_s, 0.0)), "start_at": stamp(start_s), "valid_until": stamp(end_s)}
        await self.say(self.TOPIC, {"power_w": watts, **times})

    async def lift(self) -> None:
        await self.say(self.TOPIC, {"issued_at": stamp(), "lifted": True})

    WRONG: ClassVar[dict[str, dict[str, Any]]] = {
        "unit": {"power_kw": 5}, "negative": {"power_w": -5}, "nan": {"power_w": nan}, "naive": {"power_w": 5},
    }  # fmt: skip

    async def mistake(self, kind: str) -> bool:
        before = self.rig.answers("dso").count((None, "refused"))
        issued = naive() if kind == "naive" else stamp()
        await self.say(self.TOPIC, {"issued_at": issued, **self.WRONG[kind]})
        return self.rig.answers("dso").count((None, "refused")) == before + 1


class LpcLine(MqttLine):
    source = "lpc dso"
    grid = f'id = "dso"\nprotocol = "lpc"\nscope = "site"\nfailsafe_w = {FAILSAFE_W}'
    TOPIC = "grid/dso/lpc"
    WRONG: ClassVar[dict[str, dict[str, Any]]] = {
        "unit": {"value_kw": 5}, "negative": {"value_w": -5}, "nan": {"value_w": nan}, "naive": {"value_w": 5},
    }  # fmt: skip

    async def limit(self, watts: float, start_s: float = 0.0, end_s: float = 3600.0) -> None:
        assert start_s <= 0.0, "it holds from when it is said"
        active = {"is_limit_active": True, "value_w": watts, "duration_s": end_s - start_s}
        await self.say(self.TOPIC, {"issued_at": stamp(start_s), **active})

    async def lift(self) -> None:
        await self.say(self.TOPIC, {"issued_at": stamp(), "is_limit_active": False, "value_w": 0})

    async def mistake(self, kind: str) -> bool:
        before = self.rig.answers("dso").count((None, "refused"))
        issued = naive() if kind == "naive" else stamp()
        await self.say(self.TOPIC, {"issued_at": issued, "is_limit_active": True, **self.WRONG[kind]})
        return self.rig.answers("dso").count((None, "refused")) == before + 1


class RelayLine(MqttLine):
    """A contact knows neither watts nor times: closed, the failsafe value holds until it opens."""

    source = "relay dso"
    grid = f'id = "dso"\nprotocol = "relay"\nscope = "site"\nfailsafe_w = {FAILSAFE_W}'
    TOPIC = "grid/dso/relay"
    has_ends = False
    WRONG: ClassVar[dict[str, dict[str, Any]]] = {
        "unit": {"closed": "4.2 kW"}, "negative": {"closed": -1}, "nan": {"closed": nan},
        "naive": {"closed": False, "at": "2033-05-18T05:00:00"},
    }  # fmt: skip

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.is_closed = False

    async def beat(self) -> None:
        await self.say(self.TOPIC, {"closed": self.is_closed})

    async def limit(self, watts: float, start_s: float = 0.0, end_s: float = 3600.0) -> None:
        del watts, start_s, end_s
        self.is_closed = True
        await self.beat()

    async def lift(self) -> None:
        self.is_closed = False
        await self.beat()

    async def mistake(self, kind: str) -> bool:
        before = self.rig.answers("dso").count((None, "refused"))
        await self.say(self.TOPIC, self.WRONG[kind])
        return self.rig.answers("dso").count((None, "refused")) == before + 1


class HttpLine(MqttLine):
    source = "http dso"
    grid = f'id = "dso"\nprotocol = "http"\ntoken_file = "token"\nfailsafe_w = {FAILSAFE_W}'
    tables = "[http]\n"
    TOPIC = "/limits/main"

    async def start(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.http_port = free.getsockname()[1]

    async def say(self, topic: str, payload: object) -> None:
        assert self.rig.web is not None
        path = "/heartbeat" if topic == "grid/dso/heartbeat" else topic
        content = str(payload).replace("'", '"').replace("nan", "NaN").replace("True", "true")
        self.answer = await self.rig.web.put(path, content=content, headers={"Content-Type": "application/json"})
        await sleep(0.5)

    async def mistake(self, kind: str) -> bool:
        issued = naive() if kind == "naive" else stamp()
        await self.say(self.TOPIC, {"issued_at": issued, **self.WRONG[kind]})
        return self.answer.status_code == 422


class OpenAdrLine(Line):
    source = "openadr dso"
    replaces = False
    lost_s = 120.0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.vtn = openadr3.Vtn()
        self._serving = AsyncExitStack()
        (folder / "secret").write_text("s3cret")

    def settings(self) -> Settings:
        server = f'url = "{self.vtn.url}"\nclient_id = "yard"\nsecret_file = "secret"\n'
        operator = f'id = "dso"\nprotocol = "openadr"\nfailsafe_w = {FAILSAFE_W}\n[grid.openadr]\n{server}'
        return settings_of(self.folder, operator, "")

    async def start(self) -> None:
        self.vtn.clock_off_s = self.skew_s
        await self._serving.enter_async_context(openadr3.serving(self.vtn))

    async def stop(self) -> None:
        await self._serving.aclose()

    async def beat(self) -> None:
        await sleep(1.0)

    async def prove(self) -> None:
        self.vtn.events = []
        self.vtn.clock_off_s = self.skew_s
        await sleep(31.0)

    def event(self, watts: float, start: str, length_s: float, unit: str = "KW") -> dict[str, Any]:
        return {
            "id": f"e{len(self.vtn.events)}", "programID": "p1", "priority": 1,
            "payloadDescriptors": [{"payloadType": LIMIT, "units": unit}],
            "intervalPeriod": {"start": start, "duration": f"PT{length_s:g}S"},
            "intervals": [{"id": 0, "payloads": [{"type": LIMIT, "values": [watts / 1e3]}]}],
        }  # fmt: skip

    async def limit(self, watts: float, start_s: float = 0.0, end_s: float = 3600.0) -> None:
        self.vtn.events.append(self.event(watts, stamp(start_s), end_s - start_s))
        await sleep(31.0)

    async def lift(self) -> None:
        self.vtn.events = []
        await sleep(31.0)

    async def mistake(self, kind: str) -> bool:
        wrong = self.event(-5e3 if kind == "negative" else 5e3, stamp(), 600.0)
        match kind:
            case "unit":
                wrong["payloadDescriptors"][0]["units"] = "KWH"
            case "nan":
                wrong["intervals"][0]["payloads"][0]["values"] = ["NaN"]
            case "naive":
                wrong["intervalPeriod"]["start"] = naive()
        self.vtn.events.append(wrong)
        await sleep(31.0)
        return wrong["id"] in self._trouble()

    def _trouble(self) -> str:
        assert self.rig.plant.controller is not None
        return next(s.trouble for s in self.rig.plant.controller._sources if s.name == self.source) or ""


class OpenAdr2bLine(OpenAdrLine):
    source = "openadr2b dso"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.old = openadr2b.Vtn()
        self._said: list[str] = []

    def settings(self) -> Settings:
        server = f'url = "http://127.0.0.1:{self.old.port}/OpenADR2/Simple/2.0b"\nven_name = "yard"\n'
        operator = f'id = "dso"\nprotocol = "openadr2b"\nfailsafe_w = {FAILSAFE_W}\n[grid.openadr2b]\n{server}'
        return settings_of(self.folder, operator, "")

    async def start(self) -> None:
        self._said = []
        await self.old.start()

    async def stop(self) -> None:
        await self.old.stop()

    async def prove(self) -> None:
        self.old.clock_off_s = self.skew_s
        await self.lift()

    async def limit(self, watts: float, start_s: float = 0.0, end_s: float = 3600.0) -> None:
        event = self._say(watts / 1e3, start_s, end_s - start_s)
        event.event_descriptor.priority = 1
        await sleep(11.0)

    def _say(self, kw: float, start_s: float, length_s: float) -> Any:
        name = f"e{len(self._said)}"
        self._said.append(name)
        return self.old.say(name, kw, start_s=start_s, length_s=length_s)

    async def lift(self) -> None:
        for name in self._said:
            self.old.forget(name)
        await sleep(11.0)

    async def mistake(self, kind: str) -> bool:
        event = self._say({"negative": -5.0, "nan": nan}.get(kind, 5.0), 0.0, 600.0)
        signal = event.event_signals[0]
        match kind:
            case "unit":
                signal.measurement = None
            case "naive":
                signal.intervals[0]["dtstart"] = naive()
        await sleep(11.0)
        return self._trouble() != ""


class OscpLine(Line):
    source = "oscp dso"
    tables = "[http]\n"
    replaces = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.there = Provider()
        self.blocks: list[dict[str, Any]] = []
        (folder / "first").write_text("first")
        self._serving = AsyncExitStack()

    def settings(self) -> Settings:
        operator = (
            f'id = "dso"\nprotocol = "oscp"\nfailsafe_w = {FAILSAFE_W}\n[grid.oscp]\nurl = "{self.there.url}"\n'
            f'our_url = "http://127.0.0.1:{self.http_port}"\ntoken_file = "first"\ngroup_id = "g1"\n'
        )
        return settings_of(self.folder, operator, self.tables)

    async def start(self) -> None:
        if not self.http_port:
            with socket.create_server(("127.0.0.1", 0)) as free:
                self.http_port = free.getsockname()[1]
        await self._serving.enter_async_context(_serving(self.there))

    async def stop(self) -> None:
        await self._serving.aclose()

    async def beat(self) -> None:
        assert await self.there.beat(self.lost_s) == 204

    async def prove(self) -> None:
        self.blocks = []
        if self.there.clock_off_s != self.skew_s:
            self.there.clock_off_s = self.skew_s
            await self.there.say("handshake", {"required_behaviour": {}})
            await sleep(1.0)  # the site's answer was answered, so it has seen the clock
        await super().prove()

    async def limit(self, watts: float, start_s: float = 0.0, end_s: float = 3600.0) -> None:
        times = {"start_time": stamp(start_s), "end_time": stamp(end_s)}
        self.blocks.append({"capacity": watts, "phase": "ALL", "unit": "W", **times})
        await self.there.forecast(*self.blocks)

    async def lift(self) -> None:
        self.blocks = []
        await self.there.forecast()

    async def mistake(self, kind: str) -> bool:
        wrong: dict[str, Any] = {
            "capacity": 5,
            "phase": "ALL",
            "unit": "KW",
            "start_time": stamp(),
            "end_time": stamp(600.0),
        }
        mistakes: dict[str, dict[str, Any]] = {
            "unit": {"unit": "KWH"}, "negative": {"capacity": -5}, "nan": {"capacity": "NaN"},
            "naive": {"start_time": naive()},
        }  # fmt: skip
        return await self.there.forecast(wrong | mistakes[kind]) == 422


@asynccontextmanager
async def _serving(there: Provider) -> AsyncIterator[None]:
    """Serve on a free port, or on the one it had before."""
    with socket.create_server(("127.0.0.1", there.port)) as listener:
        there.port = listener.getsockname()[1]
        config = uvicorn.Config(
            there.app(), log_config=None, lifespan="off", date_header=False, timeout_graceful_shutdown=1
        )
        server = QuietServer(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        async with httpx.AsyncClient(timeout=30.0) as there.http:
            try:
                yield
            finally:
                # Cancelled, it would leave its socket with the loop, and the next of that number would hear nothing.
                server.should_exit = server.force_exit = True
                await serving


LINES: tuple[type[Line], ...] = (MqttLine, HttpLine, LpcLine, RelayLine, OpenAdrLine, OscpLine, OpenAdr2bLine)
