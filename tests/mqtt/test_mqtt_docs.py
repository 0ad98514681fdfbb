"""The page for integrators and the schemas say what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import fastjsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcharge.mqtt.payloads import PAYLOADS
from smartcharge.mqtt.schemas import schemas
from smartcharge.mqtt.topics import READ, WRITTEN, Topics

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "mqtt.md").read_text(encoding="utf-8")


def models_for(example: str) -> list[str]:
    return [kind for kind in PAYLOADS if _fits(kind, example)]


def _fits(kind: str, example: str) -> bool:
    try:
        PAYLOADS[kind].model_validate_json(example)
    except ValueError:
        return False
    return True


EXAMPLES = re.findall(r"```json\n(.*?)```", PAGE, flags=re.DOTALL)


class TestPage:
    def test_every_topic_stands_on_it(self) -> None:
        missing = [pattern for pattern in (READ | WRITTEN).values() if f"`{pattern}`" not in PAGE]
        assert missing == []

    def test_every_payload_has_an_example_that_is_accepted(self) -> None:
        assert {kind for example in EXAMPLES for kind in models_for(example)} == set(PAYLOADS)

    @pytest.mark.parametrize("example", EXAMPLES)
    def test_every_example_is_accepted_by_its_schema(self, example: str) -> None:
        fitting = models_for(example)
        assert fitting
        for kind in fitting:
            schema = json.loads((DOCS / "mqtt" / f"{kind.replace(' ', '-')}.schema.json").read_text(encoding="utf-8"))
            # fastjsonschema knows draft 7 and older, and takes a newer name for an unknown one.
            schema["$schema"] = "http://json-schema.org/draft-07/schema#"
            fastjsonschema.compile(schema)(json.loads(example))


class TestSchemas:
    def test_files_are_current(self) -> None:
        """If this fails: python -m smartcharge.mqtt.schemas docs/mqtt."""
        on_disk = {path.name: path.read_text(encoding="utf-8") for path in (DOCS / "mqtt").glob("*.schema.json")}
        assert on_disk == schemas()


class TestTopics:
    @given(site=st.text(min_size=1), evse=st.text(min_size=1))
    def test_any_name_is_one_level_and_comes_back(self, site: str, evse: str) -> None:
        topics = Topics("smartcharge", site)
        try:
            topic = topics.read("need", evse=evse)
        except UnicodeEncodeError:
            return
        assert topic.count("/") == 4
        assert "+" not in topic
        assert "#" not in topic
        address = topics.address(topic)
        assert address is not None
        assert (address.kind, address.names) == ("need", {"evse": evse})

    def test_what_we_write_is_not_what_we_read(self) -> None:
        topics = Topics("smartcharge", "depot")
        for kind in WRITTEN:
            names = {"evse": "e", "circuit": "c", "source": "s", "operator": "o", "order": "7", "member": "m"}
            assert topics.address(topics.written(kind, **names)) is None
