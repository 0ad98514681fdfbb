"""The file of a group of sites: read, checked, and made into what runs their coordinator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from smartcharge.config import build, checks
from smartcharge.config.draft import Draft, Fault, key_faults
from smartcharge.config.keys import GroupFile
from smartcharge.config.operators import operators
from smartcharge.config.settings import Settings
from smartcharge.model import Circuit, CircuitId, Group, Member, Phases, Site

VOLTAGE_V = 230.0
"""What amperes are counted with where an operator limits the group in them; a group itself is limited in watts."""
ALL = CircuitId("group")
"""The circuit on which operators limit a group."""


def is_group(raw: Mapping[str, Any]) -> bool:
    """Tell whether a parsed file describes a group of sites."""
    return "group" in raw


def faults(raw: Mapping[str, Any], folder: Path) -> Iterator[Fault]:
    """Yield everything that is wrong in the file of a group."""
    yield from key_faults(raw, GroupFile)
    draft = Draft.of(raw)
    yield from checks.faults(draft, folder)
    members = raw.get("members")
    named = [table.get("id") for table in members if isinstance(table, dict)] if isinstance(members, list) else []
    yield from checks.repeated((f"members[{i}].id", name) for i, name in enumerate(named) if isinstance(name, str))
    for i, operator in draft.grid.items():
        if operator.protocol in ("group", "lpc", "relay"):
            yield Fault(f"grid[{i}].protocol", f"is {operator.protocol}, which limits one site and not a group")
        if operator.circuit is not None:
            yield Fault(f"grid[{i}].circuit", "a group has no circuits")
        if operator.scope == "loads":
            yield Fault(f"grid[{i}].scope", "a group is limited as a whole")
        if operator.failsafe_w is None:
            yield Fault(f"grid[{i}].failsafe_w", "is missing")


def settings(file: GroupFile, folder: Path) -> Settings:
    """Return the settings of a file without faults; paths in it are relative to ``folder``."""
    keys = file.group
    all_a = Phases.all(keys.limit_w / (3.0 * VOLTAGE_V))
    circuit = Circuit(id=ALL, parent=None, rating_a=all_a, failsafe_a=all_a, voltage_v=VOLTAGE_V)
    site = Site(
        id=keys.id,
        name=keys.name,
        timezone=keys.timezone,
        circuits=(circuit,),
        stations=(),
        grid=tuple(replace(o, failsafe_a=None) for o in operators(file.grid, keys.id, (circuit,), ())),
        group=Group(
            limit_w=keys.limit_w,
            members=tuple(Member(**member.model_dump()) for member in file.members),
            lease_s=keys.lease_s,
            margin_s=keys.margin_s,
        ),
    )
    return build.with_adapters(site, file, folder)
