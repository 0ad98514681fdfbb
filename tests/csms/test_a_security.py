"""OCPP 2.0.1 A00 and part 4: security profiles, admission, bounds; each class is a threat."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import ssl
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.typing import Subprotocol

from smartcharge.clock import now_s
from smartcharge.csms.admission import names_of
from smartcharge.csms.attempts import FAILURES, WINDOW_S, Attempts
from smartcharge.csms.frames import MAX_DEPTH
from smartcharge.csms.held import MAX_HELD
from smartcharge.csms.pace import BURST, RATE_PER_S, Pace
from smartcharge.csms.secrets import Verifier, is_secret, make_secret, matches
from smartcharge.csms.server import Options
from smartcharge.csms.settings import OcppSettings
from smartcharge.errors import ConfigError
from smartcharge.events import SecurityReported, StationBooted, StationHeld, StationOnline
from tests.csms.ocpp_peers import STATION, V16, V21, V201, World, in_world, served, station

CLOSED = Options(ping_interval_s=None)
HOLDING = Options(ping_interval_s=None, holds_unknown=True)


def basic(credentials: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(credentials.encode()).decode()}


async def status_of(world: World, password: str, **options: Any) -> int:
    try:
        async with world.connection(V16, additional_headers=basic(f"CP 1:{password}"), **options):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


class TestA01SecretsAtRest:
    def test_a_secret_is_checked_without_holding_the_password(self) -> None:
        secret = make_secret("correct horse battery")
        assert "correct" not in secret
        assert matches(secret, b"correct horse battery")
        assert not matches(secret, b"correct horse batterz")
        assert make_secret("correct horse battery") != secret

    @given(st.text())
    def test_what_is_no_secret_matches_nothing(self, line: str) -> None:
        assert not is_secret(line)
        assert not matches(line, line.encode("utf-8", "replace"))

    def test_a_cost_that_would_stop_the_controller_is_no_secret(self) -> None:
        parts = make_secret("x").split("$")
        assert not is_secret("$".join([parts[0], "40", *parts[2:]]))

    def test_one_that_was_right_is_known_again_and_a_wrong_one_is_not(self) -> None:
        async def test() -> list[bool]:
            verifier, secret = Verifier(), make_secret("right")
            return [await verifier.is_right(secret, word) for word in (b"right", b"right", b"wrong", b"")]

        assert asyncio.run(test()) == [True, True, False, False]


class TestA00Guessing:
    """No rate limit on authentication: CISA ICSA-26-062-08."""

    def test_too_many_failures_are_refused_unheard_for_a_while(self) -> None:
        async def test(world: World) -> None:
            found = [await status_of(world, "wrong") for _ in range(FAILURES + 2)]
            assert found == [401] * FAILURES + [429] * 2
            assert await status_of(world, "secret") == 429
            await asyncio.sleep(WINDOW_S)
            assert await status_of(world, "secret") == 101

        in_world(test, station(password="secret"))

    def test_the_station_itself_is_not_locked_out_by_others_who_guess(self) -> None:
        attempts = Attempts()
        attempts.succeeded("home", "CP 1")
        for _ in range(FAILURES):
            attempts.failed("away", "CP 1", 0.0)
            attempts.failed("home", "CP 2", 0.0)
        assert not attempts.are_too_many("home", "CP 1", 1.0)
        assert attempts.are_too_many("elsewhere", "CP 1", 1.0)
        assert attempts.are_too_many("home", "CP 3", 1.0)

    def test_made_up_identities_do_not_fill_the_memory(self) -> None:
        attempts = Attempts()
        for number in range(20_000):
            attempts.failed("away", f"CP {number}", 0.0)
            attempts.succeeded("away", f"CP {number}")
        assert len(attempts._failures) + len(attempts._proven) < 10_000

    def test_the_operator_is_told(self) -> None:
        async def test(world: World) -> None:
            await status_of(world, "wrong")
            assert [(e.station, e.kind) for e in world.ear.of(SecurityReported)] == [
                (STATION, "FailedToAuthenticateAtCsms")
            ]

        in_world(test, station(password="secret"))


class TestA00Takeover:
    """A second connection under the same id must not take the session over."""

    def test_it_must_authenticate_before_anything_else(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16, additional_headers=basic("CP 1:secret")) as peer:
                await peer.provisioned()
                assert await status_of(world, "wrong") == 401
                assert (await peer.say("Heartbeat", {}))[0] == 3

        in_world(test, station(password="secret"))

    def test_one_that_does_is_refused_while_the_first_lives_and_alarmed(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.provisioned()
                with pytest.raises(InvalidStatus, match="409"):
                    await world.connection(V16)
                assert [e.kind for e in world.ear.of(SecurityReported)] == ["SecondConnection"]
                assert (await peer.say("Heartbeat", {}))[0] == 3

        in_world(test)


class TestB02Strangers:
    @pytest.mark.parametrize("version", [V16, V201, V21])
    def test_held_it_is_told_to_wait_and_shown_to_the_operator(self, version: str) -> None:
        async def test(world: World) -> None:
            async with world.peer(version, path="/ocpp/stranger") as peer:
                assert (await peer.boot())[2]["status"] == "Pending"
                await peer.boot()
                (held,) = world.ear.of(StationHeld)
                assert (held.identity, held.vendor, held.model) == ("'stranger'", "'V'", "'M'")
                assert (await peer.say("Heartbeat", {}))[2] == "NotSupported"
                assert world.ear.of(StationBooted) == []
                assert world.ear.of(StationOnline) == []

        in_world(test, options=HOLDING)

    def test_it_is_not_held_for_ever(self) -> None:
        async def test(world: World) -> None:
            async with world.connection(V16, path="/stranger") as ws:
                with pytest.raises(ConnectionClosed):
                    await ws.recv()
                assert ws.close_code == 1008

        in_world(test, options=HOLDING)

    def test_only_so_many_are_held(self) -> None:
        async def test(world: World) -> None:
            open_ones = [await world.connection(V16, path=f"/stranger{number}") for number in range(FAILURES)]
            with pytest.raises(InvalidStatus, match="429"):
                await world.connection(V16, path="/one-more")
            for ws in open_ones:
                await ws.close()

        in_world(test, options=HOLDING)
        assert FAILURES < MAX_HELD


class TestA00Bombs:
    def test_compression_is_not_negotiated_and_a_compressed_frame_ends_the_connection(self) -> None:
        async def test(world: World) -> None:
            uri = f"ws://127.0.0.1:{world.csms.port}/CP%201"
            async with connect(
                uri, subprotocols=[Subprotocol(V16)], compression="deflate", ping_interval=None, proxy=None
            ) as ws:
                assert ws.protocol.extensions == []
                ws.transport.write(b"\xc1\x85\x00\x00\x00\x00hello")  # FIN, RSV1, text, masked
                with pytest.raises(ConnectionClosed):
                    await ws.recv()
                assert ws.close_code == 1002

        in_world(test)

    def test_fragments_without_end_are_cut_at_the_transport_bound(self) -> None:
        async def endless(total: int) -> Any:
            for _ in range(total):
                yield "x" * 10_000

        async def test(world: World) -> None:
            async with world.connection(V16) as ws:
                with pytest.raises(ConnectionClosed):
                    await ws.send(endless(1_000))
                await ws.wait_closed()
                assert ws.close_code == 1009

        in_world(test, options=CLOSED)

    @pytest.mark.parametrize("version", [V16, V201, V21])
    def test_nesting_is_bounded(self, version: str) -> None:
        deep = '{"x":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH

        async def test(world: World) -> None:
            async with world.peer(version) as peer:
                error = await peer.send_raw(f'[2,"d","DataTransfer",{{"vendorId":"v","data":{deep}}}]')
                assert error[:2] == [4, "d"]
                assert "nested too deeply" in error[3]

        in_world(test)

    def test_a_vendor_string_of_any_size_is_not_stored(self) -> None:
        boot = {"chargePointVendor": "v" * 400_000, "chargePointModel": "m"}

        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                assert (await peer.send_raw(json.dumps([2, "b", "BootNotification", boot])))[0] == 4
                assert world.ear.of(StationBooted) == []

        in_world(test)


class TestA00Flood:
    def test_a_station_that_talks_too_fast_is_read_at_its_pace_and_loses_nothing(self) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.provisioned()
                start_s = now_s()
                answers = [await peer.say("Heartbeat", {}) for _ in range(2 * BURST)]
                assert all(answer[0] == 3 for answer in answers)
                assert now_s() - start_s > 0.8 * BURST / RATE_PER_S

        in_world(test)

    def test_a_queue_of_an_hour_offline_is_not_held_up(self) -> None:
        pace = Pace(0.0)
        assert [pace.wait_s(0.0) for _ in range(BURST)] == [0.0] * BURST
        assert pace.wait_s(0.0) > 0.0
        assert pace.wait_s(3600.0) == 0.0

    def test_rubbish_fills_a_line_of_the_log_not_one_a_message(self, caplog: pytest.LogCaptureFixture) -> None:
        async def test(world: World) -> None:
            async with world.peer(V16) as peer:
                await peer.provisioned()
                for _ in range(100):
                    await peer.ws.send("rubbish")
                await peer.say("Heartbeat", {})

        with caplog.at_level(logging.WARNING, logger="smartcharge"):
            in_world(test)
        assert 1 <= len([r for r in caplog.records if "not JSON" in r.message]) <= 3

    def test_other_stations_do_not_wait_for_it(self) -> None:
        """What is slowed is the one connection: the rest of the server is not asked."""
        slow, other = Pace(0.0), Pace(0.0)
        for _ in range(10 * BURST):
            slow.wait_s(0.0)
        assert other.wait_s(0.0) == 0.0


class TestA04LogInjection:
    @pytest.mark.parametrize("foreign", ["CP\n2026-01-01 INFO all is well", "\x1b[2J", "\u2028x", "\r\r"])
    def test_nothing_foreign_starts_a_line(self, caplog: pytest.LogCaptureFixture, foreign: str) -> None:
        async def test(world: World) -> None:
            with pytest.raises(InvalidStatus):
                await world.connection(V16, path="/" + "".join(f"%{b:02x}" for b in foreign.encode()))
            with pytest.raises(InvalidStatus):
                async with world.connection("x" + ascii(foreign).encode().hex()):
                    pass
            async with world.peer(V16, {"ChangeConfiguration": lambda _: {"status": "Rejected"}}) as peer:
                await peer.send_raw(json.dumps([2, "i", foreign, {}]))
                await peer.provisioned()

        with caplog.at_level(logging.DEBUG, logger="smartcharge"):
            in_world(test)
        assert all(c.isprintable() for record in caplog.records for c in record.getMessage())


class TestA00Certificates:
    """Profile 3: the certificate names the station (A00.FR.415)."""

    def test_names_are_common_names_and_dns_names(self) -> None:
        subject = ((("countryName", "NL"),), (("commonName", "CP 1"),))
        assert names_of({"subject": subject, "subjectAltName": (("DNS", "cp1"), ("URI", "x"))}) == {"CP 1", "cp1"}
        assert names_of(None) == frozenset()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, the server's certificate, and those of stations ``CP 1`` and ``CP 2``."""
    made = tmp_path_factory.mktemp("pki")
    _openssl(made, "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem")
    for name, subject in (("server", "/CN=localhost"), ("one", "/CN=CP 1"), ("two", "/CN=CP 2")):
        (made / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1" if name == "server" else "")
        request = ["req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", f"{name}.key", "-out", "csr"]
        _openssl(made, *request)
        _openssl(
            made, f"x509 -req -in csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out {name}.pem"
        )
    return made


def _openssl(folder: Path, *words: str) -> None:
    arguments = words[0].split() if len(words) == 1 else list(words)
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


class TestA00Encrypted:
    """Profiles 2 and 3 over real TLS, in real time."""

    @staticmethod
    def options(folder: Path, profile: int) -> Options:
        settings = OcppSettings(
            security_profile=profile,
            tls_cert=folder / "server.pem",
            tls_key=folder / "server.key",
            tls_client_ca=folder / "ca.pem",
        )
        return Options(ping_interval_s=None, ssl=settings.tls_context(), security_profile=profile)

    @staticmethod
    def client(folder: Path, name: str | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=folder / "ca.pem")
        if name is not None:
            context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
        return context

    async def status(self, world: World, context: ssl.SSLContext | None, **headers: Any) -> int | str:
        uri = f"{'ws' if context is None else 'wss'}://127.0.0.1:{world.csms.port}/CP%201"
        try:
            async with connect(
                uri, subprotocols=[Subprotocol(V16)], ssl=context, proxy=None, additional_headers=headers
            ) as ws:
                await ws.send('[2,"1","Heartbeat",{}]')
                return "answered" if json.loads(await ws.recv())[0] == 3 else "error"
        except InvalidStatus as refused:
            return refused.response.status_code
        except (OSError, ConnectionClosed, InvalidMessage) as error:
            return type(error).__name__

    def test_profile_2_wants_tls_and_the_password(self, folder: Path) -> None:
        async def test(world: World) -> None:
            anonymous = self.client(folder, None)
            right = basic("CP 1:secret")
            assert await self.status(world, anonymous, **right) == "answered"
            assert await self.status(world, anonymous) == 401
            assert await self.status(world, None, **right) not in ("answered", 101)

        asyncio.run(served(test, station(password="secret"), self.options(folder, 2)))

    def test_profile_3_wants_the_certificate_of_this_very_station(self, folder: Path) -> None:
        async def test(world: World) -> None:
            assert await self.status(world, self.client(folder, "one")) == "answered"
            assert await self.status(world, self.client(folder, "two")) == 403
            assert await self.status(world, self.client(folder, None)) not in ("answered", 403)
            assert [e.kind for e in world.ear.of(SecurityReported)] == ["InvalidChargingStationCertificate"]

        asyncio.run(served(test, options=self.options(folder, 3)))

    def test_tls_before_1_2_is_refused(self, folder: Path) -> None:
        context = self.options(folder, 2).ssl
        assert context is not None
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2

    def test_files_that_cannot_be_used_are_named(self, folder: Path) -> None:
        settings = OcppSettings(security_profile=2, tls_cert=folder / "names")
        with pytest.raises(ConfigError, match="names"):
            settings.tls_context()
        assert replace(settings, security_profile=1).tls_context() is None
