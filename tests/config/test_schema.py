from __future__ import annotations

import json
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

from smartcharge.config import OcppSettings, StoreSettings, site_schema
from smartcharge.config import keys as keys_module
from smartcharge.config.schema import UNITS, group_schema, schema_texts, unit_of, with_key_tables
from smartcharge.grid.settings import HttpSettings
from smartcharge.model import Charging, Money, Timing
from smartcharge.mqtt.settings import MqttSettings

SITES = Path(__file__).parents[2] / "sites"
REMAKE = "run: python -m smartcharge.config sites"


def tables() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = site_schema()["$defs"] | group_schema()["$defs"]
    return found


class TestSchema:
    def test_file_is_current(self) -> None:
        assert {name: (SITES / name).read_text() for name in schema_texts()} == schema_texts(), REMAKE

    def test_every_key_has_a_title_and_a_description(self) -> None:
        bare = [
            f"{table}.{name}"
            for table, schema in tables().items()
            for name, key in schema["properties"].items()
            if not key.get("description") or ("title" not in key and "$ref" not in key)
        ]
        assert bare == []

    def test_every_physical_key_has_its_unit(self) -> None:
        for table, schema in tables().items():
            for name, key in schema["properties"].items():
                assert key.get("unit") == unit_of(name), f"{table}.{name}"
        assert {key.get("unit") for schema in tables().values() for key in schema["properties"].values()} == {
            None,
            *UNITS.values(),
        }

    @pytest.mark.parametrize("file", sorted(SITES.glob("*.toml")), ids=lambda path: path.name)
    def test_accepts_the_shipped_sites(self, file: Path) -> None:
        fastjsonschema.compile(site_schema())(tomllib.loads(file.read_text()))

    def test_accepts_the_shipped_group(self) -> None:
        group, *sites = sorted((SITES / "group").glob("*.toml"))
        fastjsonschema.compile(group_schema())(tomllib.loads(group.read_text()))
        for file in sites:
            fastjsonschema.compile(site_schema())(tomllib.loads(file.read_text()))

    @pytest.mark.parametrize(
        "change",
        [{"colour": 1}, {"site": {}}, {"circuits": [{"id": "a", "rating_a": -1}]}, {"stations": [{"ids": ["a"]}]}],
    )
    def test_refuses_what_the_reader_refuses(self, change: dict[str, Any]) -> None:
        sound = tomllib.loads((SITES / "hub.toml").read_text())
        with pytest.raises(fastjsonschema.JsonSchemaValueException):
            fastjsonschema.compile(site_schema())(sound | change)


class TestReadme:
    def test_tables_are_current(self) -> None:
        text = (SITES / "README.md").read_text()
        assert with_key_tables(text) == text, REMAKE

    def test_has_a_row_for_every_key(self) -> None:
        rows = [line.split("|") for line in (SITES / "README.md").read_text().splitlines() if line.startswith("| `")]
        described = [(row[1].strip().strip("`"), row[2].strip()) for row in rows]
        for schema in tables().values():
            for name, key in schema["properties"].items():
                assert (name, key.get("unit", "")) in described

    def test_names_every_shipped_site(self) -> None:
        text = (SITES / "README.md").read_text()
        assert all(f"(`{file.name}`)" in text or f"[`{file.name}`]" in text for file in SITES.glob("*.toml"))


class TestKeys:
    """The keys of a section are the fields of what they become, so that none is forgotten."""

    @pytest.mark.parametrize(
        ("section", "noun", "in_file_only", "in_memory_only"),
        [
            (keys_module.TimingKeys, Timing, set[str](), set[str]()),
            (keys_module.MoneyKeys, Money, {"tariff"}, {"tariff"}),
            (keys_module.ChargingKeys, Charging, set[str](), set[str]()),
            (
                keys_module.OcppKeys,
                OcppSettings,
                {"upstream", "upstream_password_file", "tokens", "unknown_tokens", "away_tokens", "send_tokens"},
                {"backends", "token_policy"},
            ),
            (keys_module.StoreKeys, StoreSettings, set[str](), set[str]()),
            (keys_module.HttpKeys, HttpSettings, set[str](), {"tokens"}),
            (keys_module.MqttKeys, MqttSettings, {"password_file", "password_env"}, {"password"}),
        ],
    )
    def test_match(
        self, section: type[keys_module.Keys], noun: type[Any], in_file_only: set[str], in_memory_only: set[str]
    ) -> None:
        names = {field.name for field in fields(noun)}
        assert set(section.model_fields) - in_file_only == names - in_memory_only
        defaults = {field.name: field.default for field in fields(noun)}
        for name in set(section.model_fields) - in_file_only:
            assert section.model_fields[name].default == getattr(defaults[name], "value", defaults[name])

    def test_schema_text_is_json(self) -> None:
        assert json.loads(schema_texts()["site.schema.json"]) == site_schema()
