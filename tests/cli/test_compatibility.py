from __future__ import annotations

import csv
from pathlib import Path

from smartcharge.config.load import shipped
from tests.cli.command_line import Typed
from tests.shared_data import SHARED, needs_shared


class TestCars:
    def test_a_site_without_connectors_says_so(self, typed: Typed, site_file: Path) -> None:
        said = typed("compatibility", "cars", site_file)
        assert said.code == 0
        assert "have no `connectors` in the site file" in said.err
        assert "0 of 6 models can charge here" in said.out

    def test_a_site_with_connectors(self, typed: Typed, site_file: Path) -> None:
        site_file.write_text(site_file.read_text() + 'connectors = ["cType2"]\n')
        said = typed("compatibility", "cars", site_file)
        assert "5 of 6 models can charge here" in said.out
        assert "IEC_62196_T1" in said.out, "the gap: a plug for the one that cannot"

    @needs_shared
    def test_of_open_ev_data(self, typed: Typed, tmp_path: Path) -> None:
        table, out = tmp_path / "cars.csv", tmp_path / "here.csv"
        said = typed("compatibility", "import", SHARED / "vehicles" / "ev-data.json", table)
        assert (said.code, said.out) == (0, "293 cars written\n"), said.err
        said = typed("compatibility", "cars", shipped("depot.toml"), "--vehicles", table, "--csv", out)
        assert said.code == 0, said.err
        assert len(list(csv.DictReader(out.read_text().splitlines()))) == 293
