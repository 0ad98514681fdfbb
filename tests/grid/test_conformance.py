"""What every source must do, whatever its protocol: a table of sources and cases, each a story in simulated time."""

from __future__ import annotations

from asyncio import sleep
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from smartcharge.clock import now_s
from smartcharge.control.limits import effective_limits
from smartcharge.control.liveness import Liveness
from smartcharge.events import LimitLifted, LimitSet
from smartcharge.model import CircuitId
from smartcharge.sim import loop
from tests.grid.lines import FAILSAFE_W, LINES, Line, RelayLine
from tests.grid.rig import Rig, rig

pytestmark = pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")

EPOCH_S = 2_000_000_000.0
"""18 May 2033: openleadr's server leaves out what ended by the machine's own clock."""
WINTER_S = 2_014_246_200.0
"""Ten minutes to three on 30 October 2033 in Berlin; twenty minutes later it is ten past two."""
RATING_W = 69_000.0
LOW_W = 7000.0
WEEKS_S = 21 * 86400.0


def held_w(line: Line, watts: float) -> float:
    """What a limit comes to: a contact knows one value only."""
    return FAILSAFE_W if isinstance(line, RelayLine) else watts


async def lost_heartbeat(r: Rig, line: Line) -> None:
    assert (r.limit_w(), r.liveness(line.source)) == (RATING_W, Liveness.CONTROLLED)
    await line.keep(300.0)
    assert r.limit_w() == RATING_W
    await line.stop()
    await sleep(line.lost_s + 35.0)
    assert (r.limit_w(), r.liveness(line.source)) == (FAILSAFE_W, Liveness.FAILSAFE)
    await line.start()


async def late(r: Rig, line: Line) -> None:
    """A limit that began before it came applies at once, and ends when it said."""
    await line.limit(LOW_W, start_s=-60.0, end_s=240.0)
    assert r.limit_w() == held_w(line, LOW_W)
    await line.keep(245.0)
    if not line.has_ends:
        await line.lift()
    assert r.limit_w() == RATING_W


async def past(r: Rig, line: Line) -> None:
    """A limit that ended before it came is none."""
    if not line.has_ends:
        await line.limit(LOW_W)
        await line.lift()
    else:
        await line.limit(LOW_W, start_s=-100.0, end_s=-10.0)
    assert r.limit_w() == RATING_W
    assert r.liveness(line.source) is Liveness.CONTROLLED


async def overlapping(r: Rig, line: Line) -> None:
    """The newest replaces, or the strictest of those that overlap counts."""
    await line.limit(20_000.0, end_s=3600.0)
    await line.limit(LOW_W, end_s=300.0)
    assert r.limit_w() == held_w(line, LOW_W)
    await line.keep(305.0)
    if not line.has_ends:
        await line.lift()
    assert r.limit_w() == (RATING_W if line.replaces else 20_000.0)


async def equal_priority(r: Rig, line: Line) -> None:
    """Of limits of one rank the strictest holds, in one source and across sources."""
    assert r.plant.controller is not None
    other = LimitSet(at_s=now_s(), source="tso", circuit=CircuitId("main"), power_w=5000.0, valid_until_s=now_s() + 9e3)
    await line.limit(20_000.0)
    await line.limit(LOW_W)
    assert r.limit_w() == held_w(line, LOW_W)
    await r.plant.controller.emit(other)
    assert r.limit_w() == 5000.0
    await r.plant.controller.emit(LimitLifted(at_s=now_s(), source="tso", circuit=CircuitId("main")))
    assert r.limit_w() == held_w(line, LOW_W)


async def _mistake(r: Rig, line: Line, kind: str) -> None:
    await line.limit(20_000.0)
    assert await line.mistake(kind), "it is refused in so many words"
    assert r.limit_w() == held_w(line, 20_000.0), "what was good before stays"


async def unit_mistakes(r: Rig, line: Line) -> None:
    await _mistake(r, line, "unit")


async def negative(r: Rig, line: Line) -> None:
    await _mistake(r, line, "negative")


async def nan(r: Rig, line: Line) -> None:
    await _mistake(r, line, "nan")


async def naive_time_stamps(r: Rig, line: Line) -> None:
    await _mistake(r, line, "naive")


async def clock_skew(r: Rig, line: Line) -> None:
    """With a clock that is a minute off a limit holds a minute longer; a contact has none."""
    line.skew_s = 60.0
    await line.prove()
    await line.limit(LOW_W, end_s=300.0)
    await line.keep(300.0)
    assert r.limit_w() == held_w(line, LOW_W)
    await line.keep(70.0)
    if not line.has_ends:
        assert r.state.sources[line.source].skew_s == 0.0
        await line.lift()
    assert r.limit_w() == RATING_W


async def daylight_saving(r: Rig, line: Line) -> None:
    """From ten to three until ten past two, in the night in which these are twenty minutes."""
    await line.limit(LOW_W, end_s=1200.0)
    await line.keep(1100.0)
    assert r.limit_w() == held_w(line, LOW_W)
    await line.keep(110.0)
    if not line.has_ends:
        await line.lift()
    assert r.limit_w() == RATING_W


async def restart_in_the_middle(r: Rig, line: Line) -> None:
    await line.limit(LOW_W)
    await line.stop()
    await r.restart()
    assert (r.limit_w(), r.liveness(line.source)) == (held_w(line, LOW_W), Liveness.INIT)
    await line.start()
    await sleep(130.0)
    await line.prove()
    assert (r.limit_w(), r.liveness(line.source)) == (RATING_W, Liveness.CONTROLLED)


async def three_weeks_offline(r: Rig, line: Line) -> None:
    """The operator is gone, then the site too; neither loosens anything, and what is over is over."""
    await line.limit(20_000.0, end_s=600.0)
    await line.stop()
    await sleep(line.lost_s + 600.0)
    for day in range(22):
        found = effective_limits(r.state, now_s() + 86400.0 * day)
        assert round(min(found.limit_a) * 690.0) == FAILSAFE_W, f"day {day}"
    await r.plant.kill()
    await sleep(WEEKS_S)
    await r.plant.start()
    await sleep(1.0)
    assert (r.limit_w(), r.liveness(line.source)) == (FAILSAFE_W, Liveness.INIT)
    await line.start()
    await sleep(130.0)
    await line.prove()
    assert (r.limit_w(), r.liveness(line.source)) == (RATING_W, Liveness.CONTROLLED)


Case = Callable[[Rig, Line], Awaitable[None]]
CASES: tuple[Case, ...] = (
    lost_heartbeat, late, past, overlapping, equal_priority, unit_mistakes, negative, nan, naive_time_stamps,
    clock_skew, daylight_saving, restart_in_the_middle, three_weeks_offline,
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("kind", LINES, ids=lambda kind: kind.source.partition(" ")[0])
def test_conformance(tmp_path: Path, kind: type[Line], case: Case) -> None:
    line = kind(tmp_path)

    async def main() -> None:
        await line.start()
        try:
            async with rig(line.settings(), cars=0, http_port=line.http_port) as line.rig:
                await line.prove()
                assert (line.rig.limit_w(), line.rig.liveness(line.source)) == (RATING_W, Liveness.CONTROLLED)
                await case(line.rig, line)
        finally:
            await line.stop()

    loop.run(main(), epoch_s=WINTER_S if case is daylight_saving else EPOCH_S)


def test_the_table_has_every_source_and_every_case() -> None:
    assert len(LINES) * len(CASES) == 7 * 13
