from __future__ import annotations

from pathlib import Path

import pytest

from smartcharge.config import OcppSettings, Settings, StoreSettings, load
from smartcharge.csms.secrets import make_secret
from smartcharge.errors import ConfigError
from smartcharge.model import (
    Charging,
    Control,
    Meter,
    Money,
    Pause,
    Phases,
    Rate,
    Rotation,
    Staleness,
    Timing,
    Transformer,
    Way,
    Wiring,
)

SITE = '[site]\nid = "s"\nname = "S"\ntimezone = "UTC"\n'
MAIN = '[[circuits]]\nid = "main"\nvoltage_v = 230\nrating_a = 100\n'
BOX = """\
[[stations]]
ids = ["box"]
circuit = "main"
wiring = "3-phase"
min_a = 6
max_a = 16
default_a = 6
"""
DUAL = BOX + "evses = [{}, { max_a = 32, number = 5 }]\n"
SUB = '[[circuits]]\nid = "sub"\nparent = "main"\nrating_a = 50\n'


def settled(tmp_path: Path, *parts: str) -> Settings:
    file = tmp_path / "site.toml"
    file.write_text("".join(parts))
    return load(file)


def report(tmp_path: Path, *parts: str) -> list[str]:
    """The lines of the error report, without the file that each must name."""
    with pytest.raises(ConfigError) as caught:
        settled(tmp_path, *parts)
    lines = str(caught.value).splitlines()
    prefix = f"{tmp_path / 'site.toml'}: "
    assert all(line.startswith(prefix) for line in lines)
    return [line.removeprefix(prefix) for line in lines]


class TestSite:
    def test_least_file_takes_the_defaults_of_the_model(self, tmp_path: Path) -> None:
        settings = settled(tmp_path, SITE, MAIN, BOX)
        assert settings.mqtt is None
        assert settings.ocpp == OcppSettings()
        assert settings.store == StoreSettings()
        site = settings.site
        assert (site.id, site.name, site.timezone, site.solver, site.deadband_a) == ("s", "S", "UTC", "optimal", 0.5)
        assert (site.timing, site.money, site.grid_limit) == (Timing(), Money(), Staleness(age_s=900.0, hold_s=0.0))
        (main,) = site.circuits
        assert (main.rating_a, main.failsafe_a) == (Phases.all(100.0), Phases.all(100.0))
        assert (main.voltage_v, main.uncontrolled_a, main.meter) == (230.0, Phases.all(0.0), None)
        (box,) = site.evses
        assert (box.id, box.station, box.number, box.rotation) == ("box", "box", 1, Rotation.RST)
        assert (box.min_a, box.max_a, box.default_a, box.voltage_v) == (6.0, 16.0, 6.0, 230.0)

    def test_every_section_arrives(self, tmp_path: Path) -> None:
        sections = (
            "solver = 'greedy'\ndeadband_a = 1\n[timing]\nfast_s = 2\n[money]\ncurrency = 'USD'\n"
            "[limits]\ngrid_age_s = 60\ngrid_hold_s = 30\n[ocpp]\nhost = '127.0.0.1'\nport = 9100\n"
            "[store]\nurl = 'sqlite:///other.db'\n[mqtt]\nhost = 'broker'\nport = 8883\ntls = true\ntls_ca = 'ca.pem'\n"
        )
        settings = settled(tmp_path, SITE, sections, MAIN, BOX)
        assert settings.site.solver == "greedy"
        assert settings.site.timing == Timing(fast_s=2.0)
        assert settings.site.money == Money(currency="USD")
        assert settings.site.grid_limit == Staleness(age_s=60.0, hold_s=30.0)
        assert settings.ocpp == OcppSettings(host="127.0.0.1", port=9100)
        assert settings.store == StoreSettings(url="sqlite:///other.db")
        assert settings.mqtt is not None
        assert (settings.mqtt.host, settings.mqtt.port, settings.mqtt.tls) == ("broker", 8883, True)
        assert settings.mqtt.tls_ca == tmp_path / "ca.pem"


class TestTariff:
    RATES = (
        "[money]\ntariff = [{ per_kwh = 0.4, starts = 17:00:00, ends = 21:30:00, weekdays = ['mon', 'sun'] },"
        " { per_kwh = -0.1, months = [6, 7] }]\n"
    )

    def test_rates_arrive_in_their_order(self, tmp_path: Path) -> None:
        assert settled(tmp_path, SITE, self.RATES, MAIN, BOX).site.money.tariff == (
            Rate(per_kwh=0.4, starts_s=17 * 3600, ends_s=21 * 3600 + 1800, weekdays=frozenset({0, 6})),
            Rate(per_kwh=-0.1, months=frozenset({6, 7})),
        )

    @pytest.mark.parametrize(
        ("wrong", "path"),
        [
            ("per_kwh = 'dear'", "money.tariff[0].per_kwh"),
            ("starts = 17:00:00", "money.tariff[0].per_kwh"),
            ("per_kwh = 1, weekdays = ['someday']", "money.tariff[0].weekdays[0]"),
            ("per_kwh = 1, months = [13]", "money.tariff[0].months[0]"),
            ("per_kwh = 1, starts = '17:00'", "money.tariff[0].starts"),
        ],
    )
    def test_what_is_wrong_is_named(self, tmp_path: Path, wrong: str, path: str) -> None:
        found = report(tmp_path, SITE, f"[money]\ntariff = [{{ {wrong} }}]\n", MAIN, BOX)
        assert any(path in line for line in found), found


class TestCircuits:
    def test_parents_come_before_children(self, tmp_path: Path) -> None:
        site = settled(tmp_path, SITE, SUB, MAIN, BOX).site
        assert [(circuit.id, circuit.parent) for circuit in site.circuits] == [("main", None), ("sub", "main")]

    def test_voltage_follows_from_the_transformers_above(self, tmp_path: Path) -> None:
        trunk = MAIN.replace("230", "277") + "transformer = { primary_v = 480, secondary_v = 208 }\n"
        delta = BOX.replace('"3-phase"', '"line-to-line"').replace('"main"', '"sub"')
        site = settled(tmp_path, SITE, trunk, SUB, delta).site
        assert site.circuits[0].transformer == Transformer(primary_v=480.0, secondary_v=208.0)
        assert [circuit.voltage_v for circuit in site.circuits] == pytest.approx([277.0, 208.0 / 3.0**0.5])
        assert site.evses[0].voltage_v == pytest.approx(208.0)

    def test_ratings_in_volt_amperes_are_of_all_three_phases(self, tmp_path: Path) -> None:
        main = MAIN.replace("rating_a = 100", "rating_va = 69_000\nfailsafe_va = 34_500")
        (circuit,) = settled(tmp_path, SITE, main, BOX).site.circuits
        assert circuit.rating_a == pytest.approx(Phases.all(100.0))
        assert circuit.failsafe_a == pytest.approx(Phases.all(50.0))

    def test_phases_may_differ(self, tmp_path: Path) -> None:
        main = MAIN + "failsafe_a = [0, 2.5, 3]\nuncontrolled_a = 7\nmeter = { id = 'm', age_s = 5, hold_s = 9 }\n"
        (circuit,) = settled(tmp_path, SITE, main, BOX).site.circuits
        assert circuit.failsafe_a == Phases(0.0, 2.5, 3.0)
        assert circuit.uncontrolled_a == Phases.all(7.0)
        assert circuit.meter == Meter(id="m", staleness=Staleness(age_s=5.0, hold_s=9.0))


class TestStations:
    def test_one_table_stands_for_many_and_rotations_take_turns(self, tmp_path: Path) -> None:
        many = BOX.replace('"box"', '"yard-{08..11}", "gate"') + 'rotation = ["RST", "STR", "TRS"]\n'
        evses = settled(tmp_path, SITE, MAIN, many).site.evses
        assert [(evse.id, evse.rotation.value) for evse in evses] == [
            ("yard-08", "RST"),
            ("yard-09", "STR"),
            ("yard-10", "TRS"),
            ("yard-11", "RST"),
            ("gate", "STR"),
        ]

    def test_evses_of_one_station_are_numbered_and_inherit(self, tmp_path: Path) -> None:
        (station,) = settled(tmp_path, SITE, MAIN, DUAL + "rating_a = 40\n").site.stations
        assert station.rating_a == 40.0
        assert [(evse.id, evse.number, evse.max_a) for evse in station.evses] == [
            ("box/1", 1, 16.0),
            ("box/5", 5, 32.0),
        ]

    def test_rectifier_steps_connectors_and_control(self, tmp_path: Path) -> None:
        more = 'efficiency = 0.9\nsteps_a = [0, 6, 16]\nconnectors = ["cCCS2", "cG105"]\ncontrol = "mqtt"\n'
        (station,) = settled(tmp_path, SITE, "[mqtt]\n", MAIN, BOX.replace("3-phase", "dc") + more).site.stations
        (evse,) = station.evses
        assert station.control is Control.MQTT
        assert (evse.wiring, evse.efficiency, evse.steps_a) == (Wiring.DC, 0.9, (0.0, 6.0, 16.0))
        assert [(connector.id, connector.type) for connector in evse.connectors] == [(1, "cCCS2"), (2, "cG105")]


class TestSecrets:
    def test_are_read_from_files_beside_the_site_file(self, tmp_path: Path) -> None:
        secret = make_secret("open sesame, please")
        (tmp_path / "a.key").write_text(secret + "\n")
        (tmp_path / "broker.key").write_text("hush\n")
        mqtt = "[mqtt]\nusername = 'u'\npassword_file = 'broker.key'\n"
        keyed = BOX.replace('"box"', '"a"') + "password_file = '{id}.key'\n"
        settings = settled(tmp_path, SITE, mqtt, MAIN, keyed)
        assert settings.site.stations[0].secret == secret
        assert settings.mqtt is not None
        assert settings.mqtt.password == "hush"
        assert "hush" not in repr(settings)
        assert secret not in repr(settings)

    def test_or_from_the_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SITE_BROKER", "hush")
        settings = settled(tmp_path, SITE, "[mqtt]\npassword_env = 'SITE_BROKER'\n", MAIN, BOX)
        assert settings.mqtt is not None
        assert settings.mqtt.password == "hush"

    def test_missing_ones_are_errors_like_any_other(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SITE_BROKER", raising=False)
        (tmp_path / "b.key").write_text("\n")
        keyed = BOX.replace('"box"', '"a", "b"') + "password_file = '{id}.key'\n"
        lines = report(tmp_path, SITE, "[mqtt]\npassword_env = 'SITE_BROKER'\n", MAIN, keyed)
        assert lines[0] == "mqtt.password_env: the environment variable SITE_BROKER is not set"
        assert lines[1].startswith(f"stations[0].password_file: {tmp_path / 'a.key'} cannot be read: ")
        assert lines[2] == f"stations[0].password_file: {tmp_path / 'b.key'} is empty"

    def test_a_password_that_is_not_hashed_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.key").write_text("sesame\n")
        keyed = BOX.replace('"box"', '"a"') + "password_file = '{id}.key'\n"
        (line,) = report(tmp_path, SITE, MAIN, keyed)
        assert "holds no hash of a password" in line
        assert "sesame" not in line


class TestCharging:
    def test_what_is_stated_is_kept_and_the_rest_is_learnt(self, tmp_path: Path) -> None:
        stated = BOX + "charging = { way = 'TxDefaultProfile', unit = 'W', pause = 'stop', interval_s = 10 }\n"
        charging = settled(tmp_path, SITE, MAIN, stated).site.stations[0].charging
        assert charging == Charging(way=Way.DEFAULT, unit="W", pause=Pause.STOP, interval_s=10.0)
        assert settled(tmp_path, SITE, MAIN, BOX).site.stations[0].charging == Charging()


class TestSecurityProfile:
    @pytest.mark.parametrize(
        ("ocpp", "expected"),
        [
            ("security_profile = 4", ["ocpp.security_profile: should be less than or equal to 3, not 4"]),
            ("security_profile = 1", ["stations[0].password_file: is missing: security profile 1 needs it"]),
            ("security_profile = 3", ["ocpp.tls_cert: is missing", "ocpp.tls_client_ca: is missing"]),
            ("tls_cert = 'a.pem'", ["ocpp.tls_cert: is not used with security profile 0"]),
            (
                "security_profile = 3\ntls_cert = 'a'\ntls_client_ca = 'b'",
                ["ocpp.tls_cert: there is no", "ocpp.tls_cl"],
            ),
            ("unknown = 'maybe'", ["ocpp.unknown: should be 'refuse' or 'hold', not 'maybe'"]),
        ],
    )
    def test_what_it_needs_is_there_and_nothing_else(self, tmp_path: Path, ocpp: str, expected: list[str]) -> None:
        lines = report(tmp_path, SITE, f"[ocpp]\n{ocpp}\n", MAIN, BOX)
        assert len(lines) == len(expected)
        assert all(line.startswith(start) for line, start in zip(lines, expected, strict=True)), lines


class TestWhoMayCharge:
    def test_the_list_and_the_policy_are_read(self, tmp_path: Path) -> None:
        (tmp_path / "tokens.toml").write_text('[[tokens]]\nid = "04A1"\n')
        keys = "tokens = 'tokens.toml'\nunknown_tokens = 'refuse'\naway_tokens = 'known'\nsend_tokens = true\n"
        policy = settled(tmp_path, SITE, f"[ocpp]\n{keys}", MAIN, BOX).ocpp.token_policy
        assert [entry.id_token for entry in policy.tokens] == ["04A1"]
        assert (policy.unknown, policy.away, policy.sends_list) == ("refuse", "known", True)

    @pytest.mark.parametrize(
        ("ocpp", "expected"),
        [
            ("send_tokens = true", "ocpp.send_tokens: has no list to send: state tokens"),
            ("tokens = 'none.toml'", "ocpp.tokens: "),
            ("unknown_tokens = 'maybe'", "ocpp.unknown_tokens: should be 'accept' or 'refuse', not 'maybe'"),
            ("ca_cert = 'ca.pem'", "ocpp.ca_cert: there is no file"),
            ("ca_days = 0", "ocpp.ca_days: should be greater than or equal to 1, not 0"),
        ],
    )
    def test_what_is_wrong_is_named(self, tmp_path: Path, ocpp: str, expected: str) -> None:
        assert report(tmp_path, SITE, f"[ocpp]\n{ocpp}\n", MAIN, BOX)[0].startswith(expected)

    def test_an_authority_needs_its_key(self, tmp_path: Path) -> None:
        (tmp_path / "ca.pem").write_text("x")
        lines = report(tmp_path, SITE, "[ocpp]\nca_cert = 'ca.pem'\n", MAIN, BOX)
        assert lines == ["ocpp.ca_key: is missing: ca_cert needs it"]


class TestOneReport:
    """Every error of a file stands in one report, each with file, key and reason."""

    def test_five_different_errors_at_once(self, tmp_path: Path) -> None:
        wrong = (
            BOX.replace("max_a = 16", "max_a = -16").replace('"box"', '"one"'),
            BOX.replace("default_a = 6", "default_a = 3").replace('"main"', '"attic"'),
            BOX.replace("wiring", "wirring"),
            SUB.replace('parent = "main"', 'parent = "mane"'),
        )
        assert report(tmp_path, SITE, MAIN, *wrong) == [
            "stations[0].max_a: should be greater than 0, not -16",
            "stations[2].wirring: unknown key; did you mean wiring?",
            "circuits[1].parent: there is no circuit 'mane'",
            "stations[1].circuit: there is no circuit 'attic'",
            "stations[1].default_a: 3 A must be 0, or from min_a to max_a: 6 to 16 A",
        ]

    def test_a_faulty_circuit_makes_no_orphans(self, tmp_path: Path) -> None:
        assert report(tmp_path, SITE, MAIN.replace("100", "'x'"), SUB, BOX) == [
            "circuits[0].rating_a: must be one number, or an array of three: L1, L2, L3"
        ]

    def test_syntax_names_the_line(self, tmp_path: Path) -> None:
        (line,) = report(tmp_path, SITE, "name = = 3\n")
        assert line.startswith("is not TOML: ")
        assert "line 5" in line

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read: No such file"):
            load(tmp_path / "nowhere.toml")

    def test_no_text(self, tmp_path: Path) -> None:
        (tmp_path / "site.toml").write_bytes(b"\xff\xfe")
        with pytest.raises(ConfigError, match=r"site\.toml: is not text in UTF-8"):
            load(tmp_path / "site.toml")

    def test_empty_file(self, tmp_path: Path) -> None:
        assert report(tmp_path) == ["site: is missing", "circuits: is missing", "stations: is missing"]

    def test_tables_of_another_shape(self, tmp_path: Path) -> None:
        lines = report(tmp_path, "circuits = 3\nstations = [1]\nmqtt = 'yes'\n", SITE)
        assert [line.split(": ")[0] for line in lines] == ["mqtt", "circuits", "stations[0]"]


REFUSED = {
    # what one key shows
    "nan": (MAIN.replace("100", "nan"), BOX, "circuits[0].rating_a: must be finite and not negative"),
    "inf": (MAIN, BOX.replace("16", "inf"), "stations[0].max_a: should be a finite number, not inf"),
    "negative": (MAIN, BOX.replace("min_a = 6", "min_a = -6"), "stations[0].min_a: should be greater than or equal to"),
    "negative phase": (MAIN.replace("100", "[1, -1, 1]"), BOX, "circuits[0].rating_a: must be finite and not negative"),
    "two phases": (MAIN.replace("100", "[1, 1]"), BOX, "circuits[0].rating_a: must be one number, or an array"),
    "text": (MAIN, BOX.replace("16", '"16"'), "stations[0].max_a: should be a valid number, not '16'"),
    "boolean": (MAIN, BOX.replace("16", "true"), "stations[0].max_a: should be a valid number, not True"),
    "boolean phase": (MAIN.replace("100", "true"), BOX, "circuits[0].rating_a: must be one number, or an array"),
    "unknown key": (MAIN + "fuse = 3\n", BOX, "circuits[0].fuse: unknown key"),
    "unknown table": (MAIN, BOX + "[colour]\n", "colour: unknown key"),
    "unknown wiring": (MAIN, BOX.replace("3-phase", "2-phase"), "stations[0].wiring: should be '1-phase', '3-phase'"),
    "unknown rotation": (MAIN, BOX + 'rotation = "RSS"\n', "stations[0].rotation: must be one of RST, RTS"),
    "no rotation": (MAIN, BOX + "rotation = []\n", "stations[0].rotation: must be one of RST, RTS"),
    "time zone": (SITE.replace("UTC", "Mars/Base"), MAIN + BOX, "site.timezone: 'Mars/Base' is no time zone"),
    "folder as time zone": (SITE.replace("UTC", "Europe"), MAIN + BOX, "site.timezone: 'Europe' is no time zone"),
    "id": (MAIN, BOX.replace('"box"', '"a b"'), "stations[0].ids: 'a b' is no id"),
    "backwards": (MAIN, BOX.replace('"box"', '"b{3..1}"'), "stations[0].ids: 'b{3..1}' must count upwards"),
    "no ids": (MAIN, BOX.replace('"box"', ""), "stations[0].ids: list should have at least 1 item"),
    "no evses": (MAIN, BOX + "evses = []\n", "stations[0].evses: list should have at least 1 item"),
    "port": (MAIN, BOX + "[ocpp]\nport = 0\n", "ocpp.port: should be greater than or equal to 1"),
    "prefix": (MAIN, BOX + "[mqtt]\nprefix = 'a/#'\n", "mqtt.prefix: string should match pattern"),
    # what keys show together
    "no rating": (MAIN.replace("rating_a = 100", ""), BOX, "circuits[0].rating_a: is missing, and so is rating_va"),
    "two ratings": (MAIN + "rating_va = 9\n", BOX, "circuits[0].rating_va: is given beside rating_a"),
    "two failsafes": (MAIN + "failsafe_a = 1\nfailsafe_va = 9\n", BOX, "circuits[0].failsafe_va: is given beside"),
    "rating of 0": (MAIN.replace("100", "[1, 0, 1]"), BOX, "circuits[0].rating_a: must be above 0 on every phase"),
    "no voltage": (MAIN.replace("voltage_v = 230", ""), BOX, "circuits[0].voltage_v: is missing"),
    "second voltage": (MAIN + SUB + "voltage_v = 230\n", BOX, "circuits[1].voltage_v: only the grid connection"),
    "primary": (
        MAIN + "transformer = { primary_v = 230, secondary_v = 400 }\n",
        BOX,
        "circuits[0].transformer.primary_v: is line to line, which is 398 V on this circuit",
    ),
    "two roots": (MAIN + MAIN.replace('"main"', '"b"'), BOX, "circuits[1].parent: is missing: main is the grid"),
    "cycle": (
        MAIN + SUB.replace('"main"', '"c"') + SUB.replace('"sub"', '"c"').replace('"main"', '"sub"'),
        BOX,
        "circuits[2].parent: feeds itself: c <- sub <- c",
    ),
    "own parent": (MAIN + SUB.replace('"main"', '"sub"'), BOX, "circuits[1].parent: feeds itself: sub <- sub"),
    "same circuit": (MAIN + SUB + SUB, BOX, "circuits[2].id: 'sub' is the same as circuits[1].id"),
    "same meter": (
        MAIN + "meter = { id = 'm', age_s = 1 }\n" + SUB + "meter = { id = 'm', age_s = 1 }\n",
        BOX,
        "circuits[1].meter.id: 'm' is the same as circuits[0].meter.id",
    ),
    "same station": (MAIN, BOX + BOX.replace('"box"', '"a", "box"'), "stations[1].ids: 'box' is the same as"),
    "same number": (MAIN, BOX + "evses = [{}, { number = 1 }]\n", "stations[0].evses[1].number: '1' is the same as"),
    "no maximum": (MAIN, BOX.replace("max_a = 16", ""), "stations[0].max_a: is missing"),
    "no maximum of one": (
        MAIN,
        BOX.replace("max_a = 16", "") + "evses = [{ max_a = 9 }, {}]\n",
        "stations[0].evses[1].max_a: is missing",
    ),
    "maximum below minimum": (MAIN, BOX.replace("16", "5"), "stations[0].max_a: 5 A is below min_a, 6 A"),
    "default above": (MAIN, BOX.replace("default_a = 6", "default_a = 17"), "stations[0].default_a: 17 A must be 0"),
    "default between steps": (
        MAIN,
        BOX.replace("default_a = 6", "default_a = 7") + "steps_a = [0, 6, 16]\n",
        "stations[0].default_a: 7 A is none of steps_a",
    ),
    "steps from 6": (MAIN, BOX + "steps_a = [6, 16]\n", "stations[0].steps_a: must start at 0"),
    "steps down": (MAIN, BOX + "steps_a = [0, 16, 6]\n", "stations[0].steps_a: must ascend"),
    "steps beyond": (MAIN, BOX + "steps_a = [0, 6, 32]\n", "stations[0].steps_a: must go, above 0, from min_a"),
    "AC efficiency": (MAIN, BOX + "efficiency = 0.9\n", 'stations[0].efficiency: only an EVSE with wiring = "dc"'),
    "MQTT without broker": (MAIN, BOX + 'control = "mqtt"\n', "stations[0].control: is mqtt, but the file has no"),
    "command without value": (
        MAIN,
        BOX.replace("default_a = 6", "default_a = 16") + "charging = { way = 'key', command = 'PowerLimit' }\n",
        "stations[0].charging.value: is missing: way key needs it",
    ),
    "command without way": (
        MAIN,
        BOX + "charging = { command = 'PowerLimit' }\n",
        "stations[0].charging.command: is used with way DataTransfer or key only",
    ),
    "limit without end": (
        MAIN,
        BOX + "charging = { kind = 'Relative' }\n",
        "stations[0].default_a: must be max_a: limits that these stations take do not end by themselves",
    ),
    "two passwords": (
        MAIN,
        BOX + "[mqtt]\npassword_file = 'f'\npassword_env = 'E'\n",
        "mqtt.password_env: is given beside password_file",
    ),
}  # fmt: skip


class TestRefused:
    @pytest.mark.parametrize(("first", "second", "expected"), REFUSED.values(), ids=REFUSED)
    def test_is_the_only_error_and_names_its_key(self, tmp_path: Path, first: str, second: str, expected: str) -> None:
        (line,) = report(tmp_path, "" if first.startswith("[site]") else SITE, first, second)
        assert line.startswith(expected)

    def test_a_child_may_be_rated_higher_than_its_parent(self, tmp_path: Path) -> None:
        site = settled(tmp_path, SITE, MAIN, SUB.replace("50", "500"), BOX).site
        assert site.circuits[1].rating_a == Phases.all(500.0)
