"""What can be saved of a metering message that breaks its schema: one sampled value must not cost all of them.

Stations send units that do not exist ("Hz" for a current), text for numbers, and phases of their own making.
What is billed stands in the same message, so each sampled value is judged alone and the rest is kept.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from smartcharge.csms.schemas import Payload, Version, Violation, actions, check_call

_LISTS = {
    "MeterValues": "meterValue",
    "StopTransaction": "transactionData",
    "TransactionEvent": "meterValue",
}
"""Where meter values stand in the messages that carry them."""
METERING = frozenset(_LISTS)


class Relieved(NamedTuple):
    """A payload without the sampled values that broke its schema, and how many there were."""

    payload: Payload
    dropped: int


def relieve(version: Version, action: str, payload: Payload) -> Relieved | Violation | None:
    """Return what is left of a METERING payload that breaks its schema, a violation, or None if it has no values."""
    key = _LISTS[action]
    values = payload.get(key)
    if not isinstance(values, list) or action not in actions(version):
        return None
    kept = [left for value in values if (left := _sound(version, value)) is not None]
    rest = {name: item for name, item in payload.items() if name != key}
    trial = {**rest, key: kept or [_example(version)]}
    if (violation := check_call(version, action, trial)) is not None:
        return violation
    return Relieved(payload={**rest, key: kept}, dropped=_count(values) - _count(kept))


def _sound(version: Version, value: object) -> Payload | None:
    """Return a meter value with its sound sampled values, or None if nothing is left of it."""
    if not isinstance(value, dict) or not isinstance(value.get("sampledValue"), list):
        return None
    kept = [sample for sample in value["sampledValue"] if _is_sound(version, {**value, "sampledValue": [sample]})]
    return {**value, "sampledValue": kept} if kept else None


def _is_sound(version: Version, value: Payload) -> bool:
    place = "connectorId" if version is Version.V16 else "evseId"
    return check_call(version, "MeterValues", {place: 1, "meterValue": [value]}) is None


def _example(version: Version) -> Payload:
    number = "0" if version is Version.V16 else 0
    return {"timestamp": "2000-01-01T00:00:00Z", "sampledValue": [{"value": number}]}


def _count(values: list[Any]) -> int:
    lists = (value.get("sampledValue") for value in values if isinstance(value, dict))
    return sum(len(samples) if isinstance(samples, list) else 1 for samples in lists)
