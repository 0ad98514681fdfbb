from __future__ import annotations

from datetime import time
from pathlib import Path

import pytest

from smartcharge.errors import ConfigError
from smartcharge.sim.scenario import Fault, FaultKind, GridStep, load_scenario


def written(folder: Path, text: str) -> Path:
    file = folder / "faults.toml"
    file.write_text(text)
    return file


def test_what_a_file_says(tmp_path: Path) -> None:
    text = """
    [[limits]]
    at = 12:00:00
    share = 0.5
    [[faults]]
    kind = "station-dead"
    target = "van-01"
    day = 2
    at = "18:15"
    duration_s = 600
    """
    found = load_scenario(written(tmp_path, text))
    assert found.limits == (GridStep(at=time(12), share=0.5),)
    dead = Fault(kind=FaultKind.STATION_DEAD, target="van-01", day=2, at=time(18, 15), duration_s=600.0)
    assert found.faults == (dead,)
    assert found.faults[0].after_s == 86400.0 + 18.25 * 3600.0


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("[[faults]]\nkind = 'gremlins'\nat = 12:00:00", ("faults.0.kind", "faults.0.duration_s")),
        ("[[limits]]\nat = 12:00:00", ("share or power_w",)),
        ("[[limits]]\nat = 12:00:00\nshare = 0.5\npower_w = 3", ("share or power_w",)),
        ("[[limits]]\nat = 12:00:00\nshare = -0.5", ("limits.0.share",)),
        ("fault = 3", ("fault",)),
        ("[[limits]", ("faults.toml",)),
    ],
)
def test_every_error_names_file_and_key(tmp_path: Path, text: str, places: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as error:
        load_scenario(written(tmp_path, text))
    assert all(place in str(error.value) for place in places)
    assert all("faults.toml" in line for line in str(error.value).splitlines())


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_scenario(tmp_path / "none.toml")
