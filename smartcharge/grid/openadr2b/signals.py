"""From an event of OpenADR 2.0b to one of OpenADR 3, which is then read as any other.

The names are those that openleadr gives to what the XML says (OpenADR 2.0b profile specification, EiEvent).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from smartcharge.grid.openadr.limits import PRICE, SETPOINT, SIMPLE

_TYPES: Final = {
    ("SIMPLE", "level"): SIMPLE, ("LOAD_DISPATCH", "setpoint"): SETPOINT, ("ELECTRICITY_PRICE", "price"): PRICE,
}  # fmt: skip
"""Signals that say something to us, by name and type; the others are left alone."""
_SCALES: Final = {"none": "", "k": "K", "M": "M"}
_PRICES: Final = {"currencyPerKWh": "KWH"}
FOREVER: Final = "P9999Y"


def is_over(event: Mapping[str, Any]) -> bool:
    """Tell whether an event asks for nothing: taken back, or a test."""
    descriptor = event["event_descriptor"]
    return descriptor.get("event_status") == "cancelled" or descriptor.get("test_event") in (True, "true")


def translated(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event as OpenADR 3 has it; of one that lacks something only its id, so that it is refused by name."""
    try:
        return _translated(event)
    except (KeyError, TypeError, AttributeError):
        return {"id": str(event["event_descriptor"]["event_id"])}


def _translated(event: Mapping[str, Any]) -> dict[str, Any]:
    descriptor, period = event["event_descriptor"], event["active_period"]
    signals = [signal for signal in event["event_signals"] if _kind(signal) is not None]
    return {
        "id": str(descriptor["event_id"]),
        "programID": str(descriptor.get("market_context")),
        "modificationDateTime": _written(descriptor.get("modification_date_time")),
        "priority": descriptor.get("priority") or None,  # 0 is none, 1 the first
        "payloadDescriptors": [{"payloadType": _kind(signal), "units": _unit(signal)} for signal in signals],
        "intervals": [interval for signal in signals for interval in _intervals(signal, period)],
    }


def _intervals(signal: Mapping[str, Any], period: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the intervals of a signal: without starts they follow each other from the event's own start on."""
    for n, interval in enumerate(signal["intervals"]):
        start = interval.get("dtstart", period["dtstart"] if n == 0 else None)
        yield {
            "id": n,
            "intervalPeriod": {"start": _written(start), "duration": _span(interval.get("duration"))},
            "payloads": [{"type": _kind(signal), "values": [interval["signal_payload"]]}],
        }


def _kind(signal: Mapping[str, Any]) -> str | None:
    return _TYPES.get((str(signal["signal_name"]), str(signal["signal_type"])))


def _unit(signal: Mapping[str, Any]) -> str | None:
    """Return the unit of a signal as OpenADR 3 writes it; one that is missing or unknown is refused there by name."""
    kind, measured = _kind(signal), signal.get("measurement") or {}
    if kind == SIMPLE:
        return None
    if kind == PRICE:
        return _PRICES.get(measured.get("name", "currencyPerKWh"), str(measured.get("name")))
    scale = measured.get("scale", "none")
    return f"{_SCALES.get(scale, scale)}{measured.get('unit', 'a unit that is not stated')}"


def _span(duration: object) -> str:
    """Return a duration; none, or no time at all, is for ever (2.0b)."""
    if isinstance(duration, timedelta):
        return f"PT{duration.total_seconds():.0f}S" if duration else FOREVER
    return FOREVER if duration is None else str(duration)


def _written(time: object) -> str | None:
    return time.isoformat() if isinstance(time, datetime) else None if time is None else str(time)
