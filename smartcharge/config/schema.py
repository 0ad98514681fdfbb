"""The site file for editors and readers: JSON Schema and the table of keys, both made from `keys`.

``python -m smartcharge.config sites`` writes both into the folder of the site files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from smartcharge.config.keys import GroupFile, Keys, SiteFile

UNITS = {
    "_a": "A",
    "_v": "V",
    "_va": "VA",
    "_w": "W",
    "_s": "s",
    "_days": "d",
    "_per_kwh": "money/kWh",
    "_per_kw": "money/kW",
    "_per_kwh_h": "money/(kWh h)",
    "efficiency": "W/W",
}
"""Unit by the end of a key's name."""
_GROUPS = """## Groups of sites

The file of a group has these tables, and `[[grid]]`, `[mqtt]`, `[http]` and `[store]` as a site's.
"""
_BEGIN, _END = "<!-- keys: begin -->\n", "<!-- keys: end -->\n"


class _WithoutNull(GenerateJsonSchema):
    """TOML has no null: a key that may be absent is of its own type all the same."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def site_schema() -> dict[str, Any]:
    """Return the JSON Schema of a site file; ``unit`` beside each description is the key's unit."""
    return _schema(SiteFile)


def group_schema() -> dict[str, Any]:
    """Return the JSON Schema of the file of a group of sites."""
    return _schema(GroupFile)


def _schema(file: type[Keys]) -> dict[str, Any]:
    schema = file.model_json_schema(schema_generator=_WithoutNull)
    for table in (schema, *schema["$defs"].values()):
        for name, key in table["properties"].items():
            if key.get("default", ...) is None:
                del key["default"]
            unit = unit_of(name)
            if unit is not None:
                key["unit"] = unit
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_texts() -> dict[str, str]:
    """Return the JSON Schemas as they stand in their files, by the name of the file."""
    schemas = {"site.schema.json": site_schema(), "group.schema.json": group_schema()}
    return {name: json.dumps(schema, indent=2) + "\n" for name, schema in schemas.items()}


def unit_of(key: str) -> str | None:
    """Return the unit of a key by its name, None if it has none."""
    return next((unit for ending, unit in UNITS.items() if key.endswith(ending)), None)


def key_tables() -> str:
    """Return all keys with unit, default and meaning as Markdown, one table for each table of the files."""
    site, group = site_schema(), group_schema()
    own = {name: key for name, key in group["properties"].items() if name not in site["properties"]}
    return "\n".join([*_tables(site), _GROUPS, *_tables(group | {"properties": own})])


def with_key_tables(readme: str) -> str:
    """Return a README with the tables between its marks made anew."""
    before, _, rest = readme.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{key_tables()}\n{_END}{after}"


def _tables(schema: dict[str, Any]) -> Iterator[str]:
    for name, key in schema["properties"].items():
        title = f"[[{name}]]" if key.get("type") == "array" else f"[{name}]"
        yield from _table(title, _definition(schema, key), schema)


def _definition(schema: dict[str, Any], key: dict[str, Any]) -> dict[str, Any]:
    """Return the table that a key of the schema refers to, itself or as the item of an array."""
    reference: str = key.get("items", key)["$ref"]
    found: dict[str, Any] = schema["$defs"][reference.rpartition("/")[2]]
    return found


def _table(title: str, table: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    yield f"### `{title}`\n\n{table['description']}\n\n| key | unit | default | meaning |\n|---|---|---|---|"
    inner: list[tuple[str, dict[str, Any]]] = []
    for name, key in table["properties"].items():
        yield _row(name, key, is_required=name in table.get("required", ()))
        if "$ref" in key or "$ref" in key.get("items", {}):
            inner.append((name, _definition(schema, key)))
    yield ""
    for name, definition in inner:
        yield from _table(f"{title.strip('[]')}.{name}", definition, schema)


def _row(name: str, key: dict[str, Any], *, is_required: bool) -> str:
    default = f"`{json.dumps(key['default'])}`" if "default" in key else "required" if is_required else ""
    return f"| `{name}` | {key.get('unit', '')} | {default} | {_choices(key)}{key['description']} |"


def _choices(key: dict[str, Any]) -> str:
    return " \\| ".join(f"`{choice}`" for choice in key["enum"]) + ": " if "enum" in key else ""
