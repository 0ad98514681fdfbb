"""Grid operators over HTTP, through a real socket, in simulated time."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import sleep
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from smartcharge.control.liveness import Liveness
from smartcharge.errors import ConfigError
from smartcharge.grid.http import MOST_BYTES, HttpRoom
from smartcharge.grid.settings import HttpSettings
from smartcharge.sim import loop
from tests.grid.rig import EPOCH_S, Rig, iso, rig, settings_of
from tests.mqtt.test_mqtt_out import make_certificates

HTTP = 'id = "dso"\nprotocol = "http"\ntoken_file = "token"\nfailsafe_w = 9000'
LPC = 'id = "dso"\nprotocol = "lpc"\nscope = "site"\ntoken_file = "token"\nfailsafe_w = 9000'
RATING_W = 69_000.0


def play(tmp_path: Path, operator: str, story: Callable[[Rig, httpx.AsyncClient], Awaitable[None]]) -> None:
    async def main() -> None:
        async with rig(settings_of(tmp_path, operator, "[http]\n")) as r:
            assert r.web is not None
            await story(r, r.web)

    loop.run(main(), epoch_s=EPOCH_S)


async def put(web: httpx.AsyncClient, path: str, payload: dict[str, Any]) -> httpx.Response:
    return await web.put(path, json=payload)


class TestLimits:
    def test_from_failsafe_to_a_limit_with_its_record_and_back(self, tmp_path: Path) -> None:
        async def story(r: Rig, web: httpx.AsyncClient) -> None:
            assert (r.limit_w(), r.liveness("http dso")) == (9000.0, Liveness.INIT)
            assert (await put(web, "/heartbeat", {"sent_at": iso()})).status_code == 204
            until = {"valid_until": iso(100.0)}
            answer = await put(web, "/limits/main", {"id": "L1", "issued_at": iso(), "power_w": 15_000, **until})
            assert answer.status_code == 200
            assert (answer.json()["id"], answer.json()["status"]) == ("L1", "received")
            assert r.limit_w() == 15_000.0
            await sleep(30.0)
            (record,) = (await web.get("/limits")).json()
            assert (record["id"], record["power_w"], record["ended_at"]) == ("L1", 15_000.0, None)
            assert record["received_at"] <= record["applied_at"] <= record["measured_at"]
            await put(web, "/heartbeat", {"sent_at": iso()})
            await sleep(75.0)
            assert r.limit_w() == RATING_W
            await sleep(100.0)
            assert (r.limit_w(), r.liveness("http dso")) == (9000.0, Liveness.FAILSAFE)

        play(tmp_path, HTTP, story)

    def test_of_lpc_and_its_failsafe_value(self, tmp_path: Path) -> None:
        async def story(r: Rig, web: httpx.AsyncClient) -> None:
            assert (await put(web, "/failsafe", {"power_w": 6000, "duration_s": 7200})).status_code == 204
            assert r.limit_w() == 6000.0
            await put(web, "/heartbeat", {"sent_at": iso()})
            answer = await put(web, "/lpc", {"issued_at": iso(), "is_limit_active": False, "value_w": 0})
            assert answer.json()["status"] == "received"
            assert r.limit_w() == RATING_W

        play(tmp_path, LPC, story)


class TestRefusals:
    def test_who_has_not_the_token_learns_nothing_and_changes_nothing(self, tmp_path: Path) -> None:
        async def story(r: Rig, web: httpx.AsyncClient) -> None:
            beat = {"sent_at": iso()}
            for token in ("", "Bearer", "Bearer wrong", "Bearer long-and-random2"):
                answer = await web.put("/heartbeat", json=beat, headers={"Authorization": token})
                assert answer.status_code == 401
            assert (await web.get("/limits", headers={"Authorization": "x"})).status_code == 401
            nobody = str(web.base_url).replace("dso", "tso")
            assert (await web.put(f"{nobody}heartbeat", json=beat)).status_code == 401
            assert r.state.sources["http dso"].heard_s is None

        play(tmp_path, HTTP, story)

    @pytest.mark.parametrize(
        ("body", "field", "reason"),
        [
            (b'{"issued_at": "2023-11-14T22:13:20Z", "power_w": -1}', "power_w", "greater than"),
            (b'{"issued_at": "2023-11-14T22:13:20Z", "power_w": NaN}', "power_w", "finite"),
            (b'{"issued_at": "2023-11-14T22:13:20", "power_w": 1}', "issued_at", "offset"),
            (b'{"issued_at": "2023-11-14T22:13:20Z", "power_kw": 1}', "power_kw", "not permitted"),
            (b'{"issued_at": "2023-11-14T22:13:20Z"}', "", "give current_a"),
            (b"{", "1", "JSON"),
        ],
        ids=["negative", "NaN", "naive", "unit", "nothing", "no JSON"],
    )
    def test_what_is_wrong_is_named_and_the_last_limit_stays(
        self, tmp_path: Path, body: bytes, field: str, reason: str
    ) -> None:
        async def story(r: Rig, web: httpx.AsyncClient) -> None:
            await put(web, "/heartbeat", {"sent_at": iso()})
            await put(web, "/limits/main", {"issued_at": iso(), "power_w": 15_000})
            headers = {"Content-Type": "application/json"}
            answer = await web.put("/limits/main", content=body, headers=headers)
            assert answer.status_code == 422
            (fault,) = answer.json()["faults"]
            assert fault["field"] == field
            assert reason in fault["reason"]
            assert r.limit_w() == 15_000.0

        play(tmp_path, HTTP, story)

    def test_what_it_does_not_speak_is_too_much_or_is_nowhere(self, tmp_path: Path) -> None:
        async def story(r: Rig, web: httpx.AsyncClient) -> None:
            lpc = await put(web, "/lpc", {"issued_at": iso(), "is_limit_active": False, "value_w": 0})
            assert (lpc.status_code, "speaks lpc" in lpc.text) == (422, True)
            cellar = await put(web, "/limits/cellar", {"issued_at": iso(), "power_w": 1})
            assert cellar.status_code == 404
            assert (await web.put("/heartbeat", content=b" " * (MOST_BYTES + 1))).status_code == 413

            async def endless() -> Any:
                yield b"{"

            assert (await web.put("/heartbeat", content=endless())).status_code == 413
            late = await put(web, "/heartbeat", {"sent_at": iso(-121.0)})
            assert (late.status_code, late.json()["faults"][0]["field"]) == (422, "sent_at")
            assert r.liveness("http dso") is Liveness.INIT

        play(tmp_path, HTTP, story)


def test_it_serves_tls_in_real_time(tmp_path: Path) -> None:
    authority, cert, key = make_certificates(tmp_path)
    settings = settings_of(tmp_path, HTTP, "[http]\n")
    tls = replace(HttpSettings(tokens={"dso": "t"}), port=0, tls_cert=cert, tls_key=key)

    async def main() -> None:
        room = HttpRoom(settings.site, tls)

        async def emit(event: object) -> None:
            heard.append(event)

        heard: list[object] = []
        serving = asyncio.create_task(room.run(emit))
        trusting = ssl.create_default_context(cafile=str(authority))
        base = f"https://localhost:{await room.ready()}"
        async with httpx.AsyncClient(base_url=base, verify=trusting, headers={"Authorization": "Bearer t"}) as web:
            assert (await web.put("/grid/dso/heartbeat", json={"sent_at": iso()})).status_code == 204
        assert len(heard) == 1
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        assert room.trouble == "not listening"

    asyncio.run(main())


def test_a_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, HTTP, "[http]\n")
    with pytest.raises(ConfigError, match=r"none\.pem"):
        HttpRoom(settings.site, HttpSettings(tls_cert=tmp_path / "none.pem"))
