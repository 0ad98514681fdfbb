"""Grid operators in the site file."""

from __future__ import annotations

from pathlib import Path

import pytest

from smartcharge.control.section14a import pmin_w
from smartcharge.model import CircuitId, GridSource, Phases, Release, Scope
from tests.config.test_load import BOX, MAIN, SITE, report, settled

DSO = '[[grid]]\nid = "dso"\nprotocol = "mqtt"\n'
BROKER = "[mqtt]\n"


def operator(tmp_path: Path, text: str) -> GridSource:
    (found,) = settled(tmp_path, SITE, BROKER, text, MAIN + "failsafe_a = 20\n", BOX).site.grid
    return found


class TestOperator:
    def test_takes_the_defaults_of_the_model_and_the_failsafe_of_its_circuit(self, tmp_path: Path) -> None:
        expected = GridSource(
            id="mqtt dso",
            circuit=CircuitId("main"),
            failsafe_a=Phases.all(20.0),
            release=Release(seed="s"),
        )
        assert operator(tmp_path, DSO) == expected

    def test_of_loads_has_pmin_as_its_floor_and_failsafe_value(self, tmp_path: Path) -> None:
        lpc = operator(tmp_path, '[[grid]]\nid = "dso"\nprotocol = "lpc"\nautonomous = true\nbelow_floor = "hold"\n')
        assert (lpc.id, lpc.scope, lpc.failsafe_a) == ("lpc dso", Scope.LOADS, None)
        assert lpc.failsafe_w == lpc.floor_w == pmin_w(1)
        assert (lpc.may_go_autonomous, lpc.holds_floor) == (True, True)
        assert operator(tmp_path, DSO + 'scope = "loads"\nfailsafe_w = 0\n').failsafe_w == 0.0

    @pytest.mark.parametrize(
        ("keys", "release"),
        [
            ('release = "uk-2021"\n', Release(delay_s=600.0, seed="s")),
            ('release = "uk-2021"\nrelease_delay_s = 1800\n', Release(delay_s=1800.0, seed="s")),
            ("release_delay_s = 60\nrelease_ramp_s = 30\n", Release(delay_s=60.0, ramp_s=30.0, seed="s")),
        ],
    )
    def test_lets_go_by_rules_or_numbers(self, tmp_path: Path, keys: str, release: Release) -> None:
        assert operator(tmp_path, DSO + keys).release == release


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (DSO + 'circuit = "cellar"\n', "grid[0].circuit: there is no circuit 'cellar'"),
        (DSO + DSO, "grid[1].id: 'dso' is the same as grid[0].id"),
        (DSO + "release_delay_s = 1801\n", "grid[0].release_delay_s: should be less than or equal to 1800, not 1801"),
        (
            DSO.replace("mqtt", "telex"),
            (
                "grid[0].protocol: should be 'mqtt', 'http', 'lpc', 'relay', 'openadr', 'openadr2b', 'oscp' or 'group',"
                " not 'telex'"
            ),
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, line: str) -> None:
    assert report(tmp_path, SITE, BROKER, text, MAIN, BOX) == [line]


def test_without_a_broker_nobody_speaks_mqtt(tmp_path: Path) -> None:
    assert report(tmp_path, SITE, DSO, MAIN, BOX) == ["grid[0].protocol: is mqtt, but the file has no [mqtt]"]


class TestOverHttp:
    HTTP = '[[grid]]\nid = "dso"\nprotocol = "http"\ntoken_file = "token"\n'

    def test_each_operator_has_its_token(self, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("t0ken\n")
        settings = settled(tmp_path, SITE, "[http]\nport = 8500\n", self.HTTP, MAIN, BOX)
        assert settings.http is not None
        assert (settings.http.port, dict(settings.http.tokens)) == (8500, {"dso": "t0ken"})
        assert "t0ken" not in repr(settings)
        assert settings.site.grid[0].id == "http dso"

    def test_what_is_missing_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("t0ken\n")
        line = "grid[0].protocol: is http over HTTP, but the file has no [http]"
        assert report(tmp_path, SITE, self.HTTP, MAIN, BOX) == [line]
        bare = self.HTTP.replace('token_file = "token"\n', "")
        line = "grid[0].token_file: is missing: protocol http needs it"
        assert report(tmp_path, SITE, "[http]\n", bare, MAIN, BOX) == [line]
        relay = self.HTTP.replace('"http"', '"relay"')
        line = "grid[0].token_file: is not used with protocol relay"
        assert report(tmp_path, SITE, BROKER, relay, MAIN, BOX) == [line]
        (tmp_path / "token").unlink()
        (line,) = report(tmp_path, SITE, "[http]\n", self.HTTP, MAIN, BOX)
        assert line.startswith("grid[0].token_file: ")
        assert "cannot be read" in line

    def test_a_token_does_not_cross_a_network_in_the_clear(self, tmp_path: Path) -> None:
        line = "http.tls_cert: is missing: on 0.0.0.0 tokens would be sent in the clear"
        assert report(tmp_path, SITE, '[http]\nhost = "0.0.0.0"\n', MAIN, BOX) == [line]
        assert report(tmp_path, SITE, '[http]\ntls_cert = "x.pem"\n', MAIN, BOX) == [
            f"http.tls_cert: there is no file {tmp_path / 'x.pem'}"
        ]


class TestOpenAdr:
    OPENADR = '[[grid]]\nid = "dso"\nprotocol = "openadr"\n'
    SERVER = '[grid.openadr]\nurl = "https://vtn.example/3"\nclient_id = "yard"\nsecret_file = "secret"\n'

    def test_its_server_arrives_with_the_secret_out_of_sight(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("s3cret\n")
        settings = settled(tmp_path, SITE, self.OPENADR, self.SERVER, "simple_w = [9, 5]\n", MAIN, BOX)
        (openadr,) = settings.openadr
        assert (openadr.operator, openadr.url, openadr.client_secret) == ("dso", "https://vtn.example/3", "s3cret")
        assert openadr.simple_w == (9.0, 5.0)
        assert "s3cret" not in repr(settings)
        assert settings.site.grid[0].keeps_schedule

    @pytest.mark.parametrize(
        ("old", "new", "line"),
        [
            ("https", "http", "grid[0].openadr.url: must begin with https://: secrets would be sent in the clear"),
            ('"openadr"', '"relay"', "grid[0].openadr: is not used with protocol relay"),
            ("client_id", "poll_s = 120\nclient_id", "grid[0].openadr.poll_s: 120 s must be below heartbeat_s, 120 s"),
        ],
    )
    def test_what_is_wrong_is_named(self, tmp_path: Path, old: str, new: str, line: str) -> None:
        (tmp_path / "secret").write_text("s3cret\n")
        text = (self.OPENADR + self.SERVER).replace(old, new, 1)
        assert line in report(tmp_path, SITE, BROKER, text, MAIN, BOX)

    def test_a_server_that_is_missing_is_named(self, tmp_path: Path) -> None:
        assert report(tmp_path, SITE, self.OPENADR, MAIN, BOX) == ["grid[0].openadr: is missing"]


class TestOpenAdr2b:
    TABLES = (
        '[[grid]]\nid = "dso"\nprotocol = "openadr2b"\n[grid.openadr2b]\nven_name = "yard"\n'
        'url = "https://vtn.example/2.0b"\nsimple_w = [9000]\n'
    )

    def test_its_server_arrives(self, tmp_path: Path) -> None:
        (found,) = settled(tmp_path, SITE, self.TABLES, MAIN, BOX).openadr2b
        assert (found.operator, found.ven_name, found.simple_w) == ("dso", "yard", (9000.0,))

    @pytest.mark.parametrize(
        ("old", "new", "line"),
        [
            ("https", "http", "grid[0].openadr2b.url: must begin with https://"),
            ("simple_w", 'tls_cert = "x"\nsimple_w', "grid[0].openadr2b.tls_key: is missing"),
            ("simple_w", 'tls_cert = "x"\nsimple_w', "grid[0].openadr2b.tls_cert: there is no file"),
            ("simple_w", "poll_s = 120\nsimple_w", "grid[0].openadr2b.poll_s: 120 s must be below"),
            ('"openadr2b"', '"openadr"', "grid[0].openadr2b: is not used with protocol openadr"),
        ],
    )
    def test_what_is_wrong_is_named(self, tmp_path: Path, old: str, new: str, line: str) -> None:
        found = report(tmp_path, SITE, self.TABLES.replace(old, new, 1), MAIN, BOX)
        assert any(each.startswith(line) for each in found), found

    def test_without_the_extra_it_is_said_what_to_install(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("smartcharge.config.checks.find_spec", lambda _: None)
        assert report(tmp_path, SITE, self.TABLES, MAIN, BOX) == [
            "grid[0].protocol: needs openleadr: pip install 'smartcharge[openadr2b]'"
        ]


class TestOscp:
    OSCP = '[[grid]]\nid = "dso"\nprotocol = "oscp"\n'
    PROVIDER = (
        '[grid.oscp]\nurl = "https://cp.example/oscp/cp/2.0"\nour_url = "https://yard.example"\n'
        'token_file = "first"\ngroup_id = "g1"\n'
    )

    def test_the_provider_arrives_with_the_token_out_of_sight(self, tmp_path: Path) -> None:
        (tmp_path / "first").write_text("t0ken\n")
        settings = settled(tmp_path, SITE, "[http]\n", self.OSCP, self.PROVIDER, MAIN, BOX)
        (oscp,) = settings.oscp
        assert (oscp.operator, oscp.url, oscp.token, oscp.group_id) == (
            "dso", "https://cp.example/oscp/cp/2.0", "t0ken", "g1"
        )  # fmt: skip
        assert "t0ken" not in repr(settings)
        assert settings.site.grid[0].keeps_schedule

    def test_what_is_wrong_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "first").write_text("t0ken\n")
        wrong = self.PROVIDER.replace("https://yard", "http://yard")
        assert report(tmp_path, SITE, self.OSCP, wrong, MAIN, BOX) == [
            "grid[0].oscp.our_url: must begin with https://: secrets would be sent in the clear",
            "grid[0].protocol: is oscp, but the file has no [http] for the provider to call",
        ]
