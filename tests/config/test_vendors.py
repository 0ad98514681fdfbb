"""Mapping files of vendors' own error codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from smartcharge.config import shipped
from smartcharge.config.vendors import vendor_codes
from smartcharge.control.health.upkeep import UPKEEP
from smartcharge.control.limits import effective_limits
from smartcharge.control.state import State
from smartcharge.events import FaultRaised, StationBooted
from smartcharge.faults import Cause, Effect
from smartcharge.model import EvseId, StationId
from tests.builders import NOON_S, fold, ready
from tests.config.test_load import BOX, MAIN, SITE, report, settled

ACME = 'vendors = ["org.acme", "Acme"]\n[codes]\n"F-7" = "fan"\n"E-1" = "harmless"\n"GroundFailure" = "vehicle"\n'
BOLT = 'vendors = ["Bolt"]\n[codes]\n"F-7" = "contactor-welded"\n'
FAULTS = '[faults]\nvendors = ["acme.toml", "bolt.toml"]\n'


@pytest.fixture
def state(tmp_path: Path) -> State:
    (tmp_path / "acme.toml").write_text(ACME)
    (tmp_path / "bolt.toml").write_text(BOLT)
    site = settled(tmp_path, SITE, FAULTS, MAIN, BOX).site
    return fold(site, ready(site))


def left_a(state: State, fault: FaultRaised) -> float:
    """What the EVSE may have once the fault is answered [A]."""
    state = fold(state, fault)
    for upkeep in UPKEEP:
        state = fold(state, list(upkeep(state, NOON_S)))
    return effective_limits(state, NOON_S).caps[fault.evse].limit_a


def said(code: str, vendor: str | None, vendor_code: str | None = None) -> FaultRaised:
    return FaultRaised(at_s=NOON_S, evse=EvseId("box"), code=code, vendor=vendor, vendor_code=vendor_code,
                       effect=Effect.WARNING)  # fmt: skip


class TestMeaning:
    def test_one_file_a_vendor_and_each_has_its_own_words(self, state: State) -> None:
        assert left_a(state, said("OtherError", "org.acme", "F-7")) == 12.0
        assert left_a(state, said("OtherError", "Bolt", "F-7")) == 0.0

    def test_a_vendor_may_be_the_one_that_the_station_named_at_boot(self, state: State) -> None:
        booted = fold(state, StationBooted(at_s=NOON_S - 5.0, station=StationId("box"), vendor="Acme"))
        assert left_a(booted, said("OtherError", None, "F-7")) == 12.0

    def test_it_comes_before_every_common_vocabulary(self, state: State) -> None:
        assert left_a(state, said("GroundFailure", "org.acme")) == 16.0
        assert left_a(state, said("GroundFailure", "somebody")) == 0.0

    def test_a_code_that_it_does_not_have_is_read_as_if_there_were_none(self, state: State) -> None:
        assert left_a(state, said("OtherError", "org.acme", "CX002")) == 0.0

    def test_the_shipped_file_knows_only_causes_that_there_are(self) -> None:
        folder = shipped("depot.toml").parent
        codes = vendor_codes(["vendors/everest.toml"], folder)
        assert codes["EVerest", "MREC17EVSEContactorFault"] is Cause.CONTACTOR_WELDED
        assert codes["Pionix", "DiodeFault"] is Cause.VEHICLE


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (None, "acme.toml: cannot be read: No such file or directory"),
            ("vendors = [", "acme.toml: is not TOML"),
            ('vendors = ["Acme"]\n[codes]\n"F-7" = "broken"\n', "acme.toml: codes.F-7: Input should be"),
            ("vendors = []\n[codes]\n", "acme.toml: vendors: List should have at least 1 item"),
            (ACME.replace("[codes]", "[words]"), "acme.toml: codes: Field required"),
            ("colour = 1\n" + ACME, "acme.toml: colour: Extra inputs are not permitted"),
        ],
    )
    def test_are_told_with_file_field_and_reason(self, tmp_path: Path, text: str | None, words: str) -> None:
        if text is not None:
            (tmp_path / "acme.toml").write_text(text)
        (tmp_path / "bolt.toml").write_text(BOLT)
        (line,) = report(tmp_path, SITE, FAULTS, MAIN, BOX)
        assert line.startswith("faults.vendors[0]")
        assert words in line
