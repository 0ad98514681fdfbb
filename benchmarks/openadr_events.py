"""How long it takes to understand a whole program of OpenADR 3 events, from JSON to grid limits: first, and again."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.figures import Row, spread
from smartcharge.grid.openadr.limits import IMPORT, Reading
from smartcharge.grid.openadr.reader import Reader
from smartcharge.model import CircuitId, Scope

START = datetime(2025, 6, 1, 12, tzinfo=UTC)


def measure(*, events: int = 10_000, repeats: int = 5) -> list[Row]:
    """Return a row for events that were never seen and one for the next poll, in which one is new [s]."""
    text = json.dumps([_event(n) for n in range(events)])
    changed = json.dumps([_event(n) for n in range(1, events + 1)])
    reading = Reading(source="openadr dso", circuit=CircuitId("main"), scope=Scope.SITE, seed="benchmark")
    first_s, again_s = [], []
    for _ in range(repeats):
        reader = Reader(reading)
        first_s.append(_timed(reader, text, events))
        again_s.append(_timed(reader, changed, events))
    rows = {"first": first_s, "again": again_s}
    return [{"benchmark": "openadr_events", "poll": poll, "events": events, **spread(t)} for poll, t in rows.items()]


def _timed(reader: Reader, text: str, events: int) -> float:
    began_s = time.perf_counter()
    found = reader.read(json.loads(text), None, START.timestamp())
    assert sum(len(one.limits) for one in found) == events
    return time.perf_counter() - began_s


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
