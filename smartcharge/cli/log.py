"""What a running site says on stderr: one line an event, whatever the event holds."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from smartcharge.cli.console import LogLevel
from smartcharge.model import EvseId
from smartcharge.ports import Snapshot

_log = logging.getLogger("smartcharge.site")


class OneLine(logging.Formatter):
    """Time (UTC), level, who, and what in one line: a traceback too, and whatever a station makes up."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - its name there
        """Return the time as ISO 8601 has it."""
        del datefmt
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return " | ".join(line.strip() for line in super().format(record).splitlines() if line.strip())


def log_to_stderr(level: LogLevel) -> None:
    """Send everything that is logged from a level on to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine())
    logging.basicConfig(level=level.value.upper(), handlers=[handler], force=True)


class Narrator:
    """A `ports.Observer` that logs what changed: setpoints with their reason, and sources that fail or recover."""

    def __init__(self) -> None:
        self._limits_a: dict[EvseId, float] = {}
        self._troubles: dict[str, str] = {}

    def observe(self, snapshot: Snapshot) -> None:
        """Log the news of a cycle."""
        for evse, setpoint in snapshot.decision.setpoints.items():
            if self._limits_a.get(evse) != setpoint.limit_a:
                self._limits_a[evse] = setpoint.limit_a
                _log.info("%s: %.1f A: %s", evse, setpoint.limit_a, setpoint.reason)
        for name, trouble in snapshot.troubles.items():
            if self._troubles.get(name) != trouble:
                _log.warning("%s: %s", name, trouble)
        for name in self._troubles.keys() - snapshot.troubles.keys():
            _log.info("%s: works again", name)
        self._troubles = dict(snapshot.troubles)
