"""From blocks of capacity of OSCP 2.0 to limits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from smartcharge.control.records import key_of
from smartcharge.grid.oscp.asks import blocks_of
from smartcharge.grid.oscp.limits import limits_of, steps_of
from smartcharge.grid.oscp.messages import Forecast
from smartcharge.model import Direction, GridSource, Phases
from tests.builders import MAIN, circuit

T0_S = datetime(2025, 6, 1, 12, tzinfo=UTC).timestamp()
SOURCE = GridSource(id="oscp dso", circuit=MAIN)
HERE = circuit(rating_a=50.0)


def at(s: float) -> str:
    return datetime.fromtimestamp(T0_S + s, UTC).isoformat()


def block(
    capacity: Any, unit: str = "KW", phase: str = "ALL", start: float = 0.0, end: float = 3600.0
) -> dict[str, Any]:
    return {"capacity": capacity, "unit": unit, "phase": phase, "start_time": at(start), "end_time": at(end)}


def forecast(*blocks: dict[str, Any], kind: str = "CONSUMPTION") -> Forecast:
    return Forecast.model_validate({"group_id": "g", "type": kind, "forecasted_blocks": blocks})


class TestLimits:
    @pytest.mark.parametrize(
        ("one", "amps", "watts"),
        [
            (block(10, "KW"), None, 10_000.0),
            (block(10_000, "W", "UNKNOWN"), None, 10_000.0),
            (block(16, "A"), Phases.all(16.0), None),
            (block(16, "A", "TWO"), Phases(50.0, 16.0, 50.0), None),
            (block(2.3, "KW", "THREE"), Phases(50.0, 50.0, 10.0), None),
            (block(0, "KW"), None, 0.0),
        ],
    )
    def test_units_and_phases(self, one: dict[str, Any], amps: Phases | None, watts: float | None) -> None:
        (limit,) = limits_of(forecast(one), SOURCE, HERE, T0_S)
        assert (limit.current_a, limit.power_w, limit.direction) == (amps, watts, Direction.IMPORT)
        assert (limit.start_s, limit.end_s) == (T0_S, T0_S + 3600.0)

    def test_generation_is_export(self) -> None:
        (limit,) = limits_of(forecast(block(1), kind="GENERATION"), SOURCE, HERE, T0_S)
        assert limit.direction is Direction.EXPORT

    def test_blocks_on_single_phases_are_told_apart(self) -> None:
        found = limits_of(forecast(block(9, "A", "ONE"), block(8, "A", "TWO")), SOURCE, HERE, T0_S)
        assert len({key_of(limit) for limit in found}) == 2

    @pytest.mark.parametrize(
        "one", [block(10_000, "W"), block(16, "A"), block(16, "A", "TWO"), block(0, "W")], ids=lambda b: b["phase"]
    )
    def test_goes_back_as_the_block_that_it_came_in(self, one: dict[str, Any]) -> None:
        (limit,) = limits_of(forecast(one), SOURCE, HERE, T0_S)
        assert blocks_of(limit, HERE) == [one]

    def test_what_ended_is_left_out(self) -> None:
        assert limits_of(forecast(block(1, start=-20.0, end=-10.0)), SOURCE, HERE, T0_S) == ()

    @pytest.mark.parametrize(
        "wrong",
        [
            block(-1), block(float("nan")), block(5, "KWH"), block(5, "MW"), block(5, phase="FOUR"),
            block(5, end=0.0), block(5) | {"start_time": "2025-06-01T12:00:00"}, {"capacity": 5},
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            forecast(wrong)


class TestFallback:
    def test_blocks_are_steps_in_watts_of_all_phases(self) -> None:
        one = forecast(
            block(8), block(16, "A", "ONE"), block(2, "KW", "TWO"), block(1, end=0.5, start=-1.0),
            kind="FALLBACK_CONSUMPTION",
        )  # fmt: skip
        found = steps_of(one, HERE, T0_S)
        assert [s.power_w for s in found] == [8000.0, pytest.approx(16 * 690.0), 6000.0, 1000.0]
        assert {s.direction for s in found} == {Direction.IMPORT}
        assert steps_of(one, HERE, T0_S + 3600.0) == ()

    def test_of_generation_is_export(self) -> None:
        (step,) = steps_of(forecast(block(8), kind="FALLBACK_GENERATION"), HERE, T0_S)
        assert (step.direction, step.end_s) == (Direction.EXPORT, T0_S + 3600.0)
