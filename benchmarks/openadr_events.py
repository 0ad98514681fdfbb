"""How long it takes to understand a whole program of OpenADR 3 events, from JSON to grid limits."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.figures import Row, spread
from smartcharge.grid.openadr.limits import IMPORT, Reading, understood
from smartcharge.grid.openadr.messages import Event
from smartcharge.model import CircuitId, Scope

START = datetime(2025, 6, 1, 12, tzinfo=UTC)


def measure(*, events: int = 10_000, repeats: int = 5) -> list[Row]:
    """Return one row: the times for all events together [s]."""
    text = json.dumps([_event(n) for n in range(events)])
    reading = Reading(source="openadr dso", circuit=CircuitId("main"), scope=Scope.SITE, seed="benchmark")
    times_s = []
    for _ in range(repeats):
        began_s = time.perf_counter()
        found = [understood(Event.model_validate(raw), reading, START.timestamp()) for raw in json.loads(text)]
        times_s.append(time.perf_counter() - began_s)
        assert all(len(one.limits) == 1 for one in found)
    return [{"benchmark": "openadr_events", "events": events, **spread(times_s)}]


def _event(number: int) -> dict[str, Any]:
    start = START + timedelta(seconds=36 * number)
    return {
        "id": f"event-{number}",
        "programID": "program",
        "objectType": "EVENT",
        "modificationDateTime": START.isoformat(),
        "payloadDescriptors": [{"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": IMPORT, "units": "KW"}],
        "intervalPeriod": {"start": start.isoformat(), "duration": "PT15M"},
        "intervals": [{"id": 0, "payloads": [{"type": IMPORT, "values": [40.0]}]}],
    }
