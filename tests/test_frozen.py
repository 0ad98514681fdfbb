"""Copies of frozen dataclasses are what `dataclasses.replace` would make."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import pytest

from smartcharge.control.state import State
from smartcharge.frozen import replace
from tests.builders import tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    x: float
    y: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    x: float
    squared: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "squared", self.x**2)


class TestReplace:
    @pytest.mark.parametrize("changes", [{}, {"x": 5.0}, {"x": 5.0, "y": None}])
    def test_changes_what_is_named_and_leaves_the_original(self, changes: dict[str, Any]) -> None:
        point = Point(x=1.0)
        assert replace(point, **changes) == dataclasses.replace(point, **changes)
        assert point == Point(x=1.0, y=2.0)

    def test_copies_what_the_state_is_made_of(self) -> None:
        state = State.initial(tree())
        evse = next(iter(state.evses.values()))
        assert replace(state, at_s=5.0) == dataclasses.replace(state, at_s=5.0)
        assert replace(evse, occupied=True) == dataclasses.replace(evse, occupied=True)

    def test_refuses_a_field_that_is_not_there(self) -> None:
        with pytest.raises(TypeError, match=r"Point has no field \['z'\]"):
            replace(Point(x=1.0), z=3.0)  # type: ignore[call-arg]

    def test_refuses_a_class_whose_fields_hang_together(self) -> None:
        with pytest.raises(TypeError, match="Length works something out"):
            replace(Length(x=2.0), x=3.0)
