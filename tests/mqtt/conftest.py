from __future__ import annotations

from pathlib import Path

import pytest

from tests.mqtt.peers import Broker, embedded, mosquitto_of


@pytest.fixture(params=["embedded", "mosquitto"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Broker:
    return embedded if request.param == "embedded" else mosquitto_of(tmp_path)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Come back to the broker quickly: what is tested is that it happens, not how long it takes."""
    monkeypatch.setattr("smartcharge.mqtt.connection.SHORTEST_WAIT_S", 0.02)
    monkeypatch.setattr("smartcharge.mqtt.connection.LONGEST_WAIT_S", 0.2)
