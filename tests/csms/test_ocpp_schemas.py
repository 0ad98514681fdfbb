"""The bundled schemas: what is right must pass, what is wrong must be named."""

from __future__ import annotations

import time

import pytest

from smartcharge.csms.schemas import Version, check_call, check_result, format_time, parse_time_s


def profile(limit: float) -> dict[str, object]:
    return {
        "connectorId": 1,
        "csChargingProfiles": {
            "chargingProfileId": 1,
            "stackLevel": 0,
            "chargingProfilePurpose": "TxDefaultProfile",
            "chargingProfileKind": "Absolute",
            "chargingSchedule": {
                "chargingRateUnit": "A",
                "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}],
            },
        },
    }


class TestTenthsOfAnAmpere:
    def test_every_tenth_is_accepted(self) -> None:
        refused = [n / 10 for n in range(10_000) if check_call(Version.V16, "SetChargingProfile", profile(n / 10))]
        assert refused == []

    def test_an_absurd_limit_in_an_answer_does_not_raise(self) -> None:
        schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 1e308}]}
        answer = {"status": "Accepted", "connectorId": 1, "chargingSchedule": schedule}
        assert check_result(Version.V16, "GetCompositeSchedule", answer) is None


class TestTimes:
    @pytest.mark.parametrize("text", ["2024-02-29T12:00:00Z", "2024-02-29T12:00:00.123+01:00", "2024-02-29T12:00:00"])
    def test_iso_times_pass_even_without_a_zone(self, text: str) -> None:
        assert check_result(Version.V16, "Heartbeat", {"currentTime": text}) is None

    @pytest.mark.parametrize("text", ["yesterday", "2023-02-29T12:00:00Z", "00"])
    def test_what_is_no_time_is_named(self, text: str) -> None:
        violation = check_result(Version.V16, "Heartbeat", {"currentTime": text})
        assert violation is not None
        assert violation.rule == "format"
        assert "currentTime" in violation.message

    def test_round_trip(self) -> None:
        assert format_time(1_700_000_000.25) == "2023-11-14T22:13:20.250Z"
        assert parse_time_s("2023-11-14T22:13:20.250Z") == 1_700_000_000.25

    def test_a_time_without_a_zone_is_utc_wherever_we_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TZ", "America/Los_Angeles")
        time.tzset()
        try:
            assert parse_time_s("2023-11-14T22:13:20") == 1_700_000_000.0
        finally:
            monkeypatch.undo()
            time.tzset()
