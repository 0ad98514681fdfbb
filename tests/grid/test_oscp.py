"""OSCP 2.0 with a capacity provider, both ways over real sockets, in simulated time."""

from __future__ import annotations

import asyncio
import socket
from asyncio import sleep
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request, Response

from smartcharge.clock import now_s
from smartcharge.control.limits import effective_limits
from smartcharge.control.liveness import Liveness
from smartcharge.grid.http import QuietServer
from smartcharge.sim import loop
from tests.grid.rig import EPOCH_S, Rig, iso, rig, settings_of

RATING_W = 69_000.0
FAILSAFE_W = 9000.0


@dataclass(kw_only=True)
class Provider:
    """A capacity provider."""

    port: int = 0
    heard: list[tuple[str, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    """Action, body and headers of everything that the site said."""
    is_down: bool = False
    clock_off_s: float = 0.0
    answers_registration: bool = True
    http: httpx.AsyncClient | None = None
    site_url: str = ""
    site_token: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/oscp/cp/2.0"

    def of(self, action: str) -> list[dict[str, Any]]:
        return [body for said, body, _ in self.heard if said == action]

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/oscp/cp/2.0/{action}")
        async def hear(action: str, request: Request) -> Response:
            if self.is_down:
                return Response(status_code=503)
            token = request.headers["Authorization"]
            if token != ("Token first" if action == "register" else "Token theirs"):
                return Response(status_code=401)
            body = await request.json()
            self.heard.append((action, body, dict(request.headers)))
            if action == "register":
                self.site_token, self.site_url = body["token"], body["version_url"][0]["base_url"]
                if self.answers_registration:
                    self._later = asyncio.create_task(self.register())
            return Response(status_code=204, headers={"Date": formatdate(now_s() + self.clock_off_s, usegmt=True)})

        return app

    async def register(self, token: str | None = None) -> None:
        theirs = {"token": "theirs", "version_url": [{"version": "2.0", "base_url": self.url}]}
        await self.say("register", theirs, token=token)

    async def say(self, action: str, body: dict[str, Any], token: str | None = None) -> int:
        assert self.http is not None
        headers = {"Authorization": f"Token {token or self.site_token}", "X-Request-ID": f"request of {action}"}
        answer = await self.http.post(f"{self.site_url}/{action}", json=body, headers=headers)
        await sleep(0.5)
        return answer.status_code

    async def beat(self, for_s: float = 180.0) -> int:
        return await self.say("heartbeat", {"offline_mode_at": iso(for_s)})

    async def forecast(self, *blocks: dict[str, Any], kind: str = "CONSUMPTION", group: str = "g1") -> int:
        body = {"group_id": group, "type": kind, "forecasted_blocks": list(blocks)}
        return await self.say("update_group_capacity_forecast", body)


def block(kw: float, start_s: float = 0.0, end_s: float = 3600.0) -> dict[str, Any]:
    return {"capacity": kw, "phase": "ALL", "unit": "KW", "start_time": iso(start_s), "end_time": iso(end_s)}


@asynccontextmanager
async def providing(there: Provider) -> AsyncIterator[str]:
    """Let a provider listen; yields the keys of a site's or a group's operator up to its own URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        there.port = listener.getsockname()[1]
        config = uvicorn.Config(there.app(), log_config=None, lifespan="off", date_header=False)
        serving = asyncio.create_task(QuietServer(config).serve(sockets=[listener]))
        async with httpx.AsyncClient(timeout=30.0) as there.http:
            yield f'[grid.oscp]\nurl = "{there.url}"\ntoken_file = "first"\ngroup_id = "g1"\n'
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


Story = Callable[[Rig, Provider], Awaitable[None]]


def play(tmp_path: Path, story: Story, *, provider: Provider | None = None, cars: int = 0) -> None:
    there = provider or Provider()
    (tmp_path / "first").write_text("first")

    async def main() -> None:
        async with providing(there) as line:
            port = free_port()
            operator = (
                f'id = "dso"\nprotocol = "oscp"\nfailsafe_w = {FAILSAFE_W}\n{line}our_url = "http://127.0.0.1:{port}"\n'
            )
            settings = settings_of(tmp_path, operator, "[http]\n")
            async with rig(settings, cars=cars, http_port=port) as r:
                await story(r, there)

    loop.run(main(), epoch_s=EPOCH_S)


class TestRegistration:
    def test_the_site_registers_and_agrees_on_behaviour(self, tmp_path: Path) -> None:
        async def story(r: Rig, there: Provider) -> None:
            assert len(there.of("register")) == 1
            (asked,) = there.of("handshake")
            assert asked["required_behaviour"] == {
                "heartbeat_interval": 60.0,
                "measurement_configuration": ["CONTINUOUS"],
            }
            wish = {"required_behaviour": {"heartbeat_interval": 30, "measurement_configuration": ["CONTINUOUS"]}}
            assert await there.say("handshake", wish) == 204
            (headers,) = [headers for action, _, headers in there.heard if action == "handshake_acknowledge"]
            assert headers["x-correlation-id"] == "request of handshake"
            assert headers["x-request-id"]
            await sleep(130.0)
            assert len(there.of("heartbeat")) >= 2
            assert there.of("heartbeat")[0]["offline_mode_at"] > iso()[:10]
            assert r.limit_w() == FAILSAFE_W

        play(tmp_path, story)

    def test_it_goes_on_trying_while_the_provider_is_down(self, tmp_path: Path) -> None:
        async def story(r: Rig, there: Provider) -> None:
            assert there.of("register") == []
            there.is_down = False
            await sleep(70.0)
            assert len(there.of("register")) == 1
            assert r.liveness("oscp dso") is Liveness.INIT

        play(tmp_path, story, provider=Provider(is_down=True))

    def test_the_provider_may_begin_with_the_agreed_token(self, tmp_path: Path) -> None:
        async def story(r: Rig, there: Provider) -> None:
            there.is_down = False
            there.site_url = str(r.web.base_url).replace("/grid/dso/", "/oscp/dso/fp/2.0")  # type: ignore[union-attr]
            await there.register("first")
            await sleep(1.0)
            assert there.site_token
            assert await there.beat() == 204

        play(tmp_path, story, provider=Provider(is_down=True))

    def test_who_has_no_token_or_calls_from_elsewhere_is_refused(self, tmp_path: Path) -> None:
        async def story(r: Rig, there: Provider) -> None:
            assert await there.say("heartbeat", {"offline_mode_at": iso(60.0)}, token="first") == 401
            assert await there.say("register", {"token": "x", "version_url": []}, token="wrong") == 401
            elsewhere = [{"version": "2.0", "base_url": "https://elsewhere.example"}]
            assert await there.say("register", {"token": "x", "version_url": elsewhere}) == 422
            assert r.state.sources["oscp dso"].heard_s is None

        play(tmp_path, story)


class TestForecasts:
    def test_a_forecast_limits_and_is_replaced(self, tmp_path: Path) -> None:
        async def story(r: Rig, there: Provider) -> None:
            assert await there.beat(4000.0) == 204
            assert await there.forecast(block(20, 0.0, 600.0), block(12, 600.0, 1200.0)) == 204
            assert (r.limit_w(), r.liveness("oscp dso")) == (20_000.0, Liveness.LIMITED)
            await sleep(600.0)
            assert r.limit_w() == 12_000.0
            await there.forecast(block(30))
            assert r.limit_w() == 30_000.0
            await there.forecast(block(5), kind="GENERATION")
            await there.forecast(block(5), kind="OPTIMUM")
            assert r.limit_w() == 30_000.0

        play(tmp_path, story)

    @pytest.mark.parametrize("wrong", [{"capacity": -5}, {"unit": "KWH"}, {"start_time": "2023-11-14T22:00:00"}])
    def test_what_is_wrong_is_refused_and_the_last_one_stays(self, tmp_path: Path, wrong: dict[str, Any]) -> None:
        async def story(r: Rig, there: Provider) -> None:
            await there.beat()
            await there.forecast(block(20))
            assert await there.forecast(block(5) | wrong) == 422
            assert await there.forecast(block(1), group="g2") == 404
            assert r.limit_w() == 20_000.0

        play(tmp_path, story)

    def test_what_cannot_be_met_is_told(self, tmp_path: Path) -> None:
        async def story(r: Rig, there: Provider) -> None:
            await there.beat(4000.0)
            await there.forecast(block(60))
            await r.until(lambda: r.drawn_w() > 12_000.0)
            r.plant.chargers[0].set_silent("box-2", on=True)  # type: ignore[attr-defined]
            await there.forecast(block(4))
            await sleep(60.0)
            (error,) = there.of("group_capacity_compliance_error")
            assert "box-2" in error["message"]
            (unmet,) = error["forecasted_blocks"]
            assert (unmet["capacity"], unmet["unit"], unmet["phase"]) == (4000.0, "W", "ALL")

        play(tmp_path, story, cars=3)

    def test_a_forecast_of_one_type_leaves_those_of_others_also_after_a_restart(self, tmp_path: Path) -> None:
        async def story(r: Rig, there: Provider) -> None:
            await there.beat(4000.0)
            await there.forecast(block(20))
            await r.restart()
            await there.register()
            await there.beat(4000.0)
            await there.forecast(block(5), kind="GENERATION")
            assert (r.limit_w(), len(r.state.sources["oscp dso"].limits)) == (20_000.0, 2)
            assert effective_limits(r.state, now_s()).export_w == {"main": 5000.0}

        play(tmp_path, story)

    def test_more_is_asked_for_while_cars_go_without_and_taken_back_when_they_do_not(self, tmp_path: Path) -> None:
        async def story(_: Rig, there: Provider) -> None:
            await there.beat(40_000.0)
            await there.forecast(block(60, 0.0, 30_000.0))
            await sleep(400.0)
            assert there.of("adjust_group_capacity_forecast") == []
            await there.forecast(block(5, 0.0, 30_000.0))
            await sleep(400.0)
            (asked,) = there.of("adjust_group_capacity_forecast")
            assert (asked["group_id"], asked["type"]) == ("g1", "CONSUMPTION")
            (wanted,) = asked["forecasted_blocks"]
            assert wanted["capacity"] == 66_000.0, "three cars with 22 kW each"
            await there.forecast(block(60, 0.0, 30_000.0))
            await sleep(400.0)
            assert len(there.of("adjust_group_capacity_forecast")) == 2
            back = there.of("adjust_group_capacity_forecast")[1]
            assert [b["capacity"] for b in back["forecasted_blocks"]] == [60_000.0]

        play(tmp_path, story, cars=3)


class TestLostLine:
    def test_past_offline_mode_at_the_fallback_holds(self, tmp_path: Path) -> None:
        async def story(r: Rig, there: Provider) -> None:
            await there.beat(100.0)
            await there.forecast(block(20, 0.0, 300.0))
            await there.forecast(block(7, 0.0, 1000.0), block(6, 1000.0, 2000.0), kind="FALLBACK_CONSUMPTION")
            assert r.limit_w() == 20_000.0
            await sleep(200.0)
            assert r.limit_w() == 20_000.0, "the forecast is good until it ends"
            await sleep(120.0)
            assert (r.limit_w(), r.liveness("oscp dso")) == (7000.0, Liveness.FAILSAFE)
            await sleep(700.0)
            assert r.limit_w() == 6000.0
            await sleep(1000.0)
            assert r.limit_w() == FAILSAFE_W, "without a block that of the site file"
            await there.beat()
            assert r.limit_w() == FAILSAFE_W
            await there.forecast(block(25))
            assert r.limit_w() == 25_000.0

        play(tmp_path, story)

    def test_the_fallback_is_known_after_a_restart(self, tmp_path: Path) -> None:
        async def story(r: Rig, there: Provider) -> None:
            await there.beat(100.0)
            await there.forecast(block(20, 0.0, 300.0))
            await there.forecast(block(7, 0.0, 1000.0), block(6, 1000.0, 2000.0), kind="FALLBACK_CONSUMPTION")
            await r.restart()
            assert r.limit_w() == 7000.0
            await sleep(1000.0)
            assert r.limit_w() == 6000.0
            await sleep(1000.0)
            assert r.limit_w() == FAILSAFE_W

        play(tmp_path, story)

    def test_a_restart_registers_again_and_begins_in_failsafe(self, tmp_path: Path) -> None:
        async def story(r: Rig, there: Provider) -> None:
            await there.beat(4000.0)
            await there.forecast(block(20))
            await r.restart()
            assert (r.limit_w(), r.liveness("oscp dso")) == (FAILSAFE_W, Liveness.INIT)

        play(tmp_path, story)
