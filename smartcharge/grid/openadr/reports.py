"""What goes back to an OpenADR 3 server: what became of limits, and the energy that events want to be told."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from smartcharge.control.compliance import power_of
from smartcharge.control.records import Key, Record
from smartcharge.grid.openadr.intervals import Span
from smartcharge.grid.openadr.wanted import Wanted, due
from smartcharge.grid.usage import Usage
from smartcharge.model import GridSource
from smartcharge.ports import Snapshot
from smartcharge.words.base import utc

_log = logging.getLogger(__name__)

MOST_REPORTS = 100
"""Reports that wait at most for the server; beyond, the oldest is dropped and logged."""


class Reporter:
    """The reports for one server, in the order in which they are to be sent."""

    def __init__(self, source: GridSource, ven_name: str) -> None:
        self._source = source
        self._ven_name = ven_name
        self._usage = Usage()
        self._reported: dict[Key, str] = {}
        self._told_until_s: dict[tuple[str, str], float] = {}
        """By event and type, up to when its intervals were told; from when it was seen, for what nobody measured."""
        self.waiting: deque[dict[str, Any]] = deque()

    def observe(self, snapshot: Snapshot) -> None:
        """Queue a report for each limit that was applied, or cannot be met, since the last cycle; and measure."""
        for key, record in snapshot.state.records.items():
            status = _status(record)
            if record.limit.source == self._source.id and status is not None and self._reported.get(key) != status:
                self._reported[key] = status
                if record.ended_s is None:
                    self._queue(self._compliance(record, status))
        self._reported = {key: status for key, status in self._reported.items() if key in snapshot.state.records}
        measured = power_of(snapshot.state, self._source.circuit, self._source.scope, snapshot.at_s)
        if measured is not None:
            self._usage.measured(*measured)

    def tell(self, wanted: Iterable[Wanted], now_s: float) -> None:
        """Queue a report for each event whose intervals have ended since the last one."""
        told: dict[tuple[str, str], float] = {}
        for one in wanted:
            key = (one.event_id, one.kind)
            told[key] = self._told_until_s.get(key, now_s)
            while spans := due(one, told[key], now_s):
                told[key] = spans[-1].end_s
                self._tell(one, spans)
        self._told_until_s = told

    def _tell(self, wanted: Wanted, spans: Sequence[Span]) -> None:
        energies = [(span, self._usage.energy_wh(span.start_s, span.end_s)) for span in spans]
        intervals = [_interval(wanted, span, energy_wh) for span, energy_wh in energies if energy_wh is not None]
        if intervals:
            report = self._report(wanted.event_id, f"{wanted.kind.lower()} {wanted.event_id}", intervals)
            self._queue({**report, "programID": wanted.program_id})

    def _queue(self, report: dict[str, Any]) -> None:
        self.waiting.append(report)
        if len(self.waiting) > MOST_REPORTS:
            _log.warning("%s: too many reports wait; dropped %s", self._source.id, self.waiting.popleft())

    def _compliance(self, record: Record, status: str) -> dict[str, Any]:
        """Return a report on one limit: its status, how long it took and the energy over it."""
        seconds = None if record.applied_s is None else round(record.applied_s - record.due_s, 1)
        payloads: list[dict[str, Any]] = [
            {"type": "OPERATING_STATE", "values": [status]},
            {"type": "LIMIT_APPLIED_AFTER_S", "values": [] if seconds is None else [seconds]},
            {"type": "LIMIT_EXCEEDED_KWH", "values": [round(record.over_wh / 1000.0, 3)]},
        ]
        event_id = record.limit.version.rpartition("@")[0] or record.limit.version
        return self._report(event_id, f"compliance {event_id}", [{"id": 0, "payloads": payloads}])

    def _report(self, event_id: str, name: str, intervals: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {
            "eventID": event_id,
            "clientName": self._ven_name,
            "reportName": name,
            "resources": [{"resourceName": "AGGREGATED_REPORT", "intervals": list(intervals)}],
        }


def _interval(wanted: Wanted, span: Span, energy_wh: float) -> dict[str, Any]:
    length_s = span.end_s - span.start_s
    amount = energy_wh if wanted.kind == "USAGE" else energy_wh * 3600.0 / length_s
    return {
        "id": span.interval.id,
        "intervalPeriod": {"start": utc(span.start_s).isoformat(), "duration": _written(length_s)},
        "payloads": [{"type": wanted.kind, "values": [round(amount * wanted.factor, 3)]}],
    }


def _written(length_s: float) -> str:
    """Return a length as ISO 8601 has it, e.g. PT900S."""
    return f"PT{timedelta(seconds=length_s).total_seconds():g}S"


def _status(record: Record) -> str | None:
    """Return the operating state of OpenADR 3 (after CTA-2045) that a record amounts to."""
    if record.applied_s is not None:
        return "RUNNING_CURTAILED"
    return None if record.unmet is None else "SGD_ERROR_CONDITION"
