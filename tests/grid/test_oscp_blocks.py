"""From blocks of capacity of OSCP 2.0 to limits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from smartcharge.grid.oscp.limits import fallback_w, limits_of, next_edge_s
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
        (limit,) = limits_of([forecast(one)], SOURCE, HERE, T0_S)
        assert (limit.current_a, limit.power_w, limit.direction) == (amps, watts, Direction.IMPORT)
        assert (limit.start_s, limit.end_s) == (T0_S, T0_S + 3600.0)

    def test_generation_is_export_and_the_others_limit_nothing(self) -> None:
        kinds = [forecast(block(1), kind=k) for k in ("GENERATION", "FALLBACK_CONSUMPTION", "OPTIMUM")]
        (limit,) = limits_of(kinds, SOURCE, HERE, T0_S)
        assert limit.direction is Direction.EXPORT

    def test_what_ended_is_left_out(self) -> None:
        assert limits_of([forecast(block(1, start=-20.0, end=-10.0))], SOURCE, HERE, T0_S) == ()

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
    def test_the_strictest_block_of_now(self) -> None:
        one = forecast(
            block(8), block(16, "A", "ONE"), block(9, "A"), block(1, start=100.0), kind="FALLBACK_CONSUMPTION"
        )
        assert fallback_w(one, HERE, T0_S) == pytest.approx(9 * 690.0)
        assert fallback_w(one, HERE, T0_S + 100.0) == 1000.0
        assert fallback_w(one, HERE, T0_S + 3600.0) is None
        assert fallback_w(None, HERE, T0_S) is None

    def test_the_next_edge(self) -> None:
        one = forecast(block(8), block(1, start=100.0))
        assert [next_edge_s(one, T0_S + s) for s in (-1.0, 0.0, 100.0)] == [T0_S, T0_S + 100.0, T0_S + 3600.0]
        assert next_edge_s(one, T0_S + 3600.0) is None
