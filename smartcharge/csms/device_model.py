"""What a 2.x station tells of itself: its components and variables, its monitors, what it displays (blocks B, N, O).

All of it is kept as the station told it last; it is asked anew after every boot with another firmware.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from smartcharge.csms.metering import finite

if TYPE_CHECKING:
    from smartcharge.csms.schemas import Payload

MAX_VARIABLES = 20_000
"""More than any station has; what is beyond is not kept."""
MAX_OTHERS = 1_000
"""Bound on monitors, streams and messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One variable of a component."""

    value: str | None = None
    """Actual value; None if it cannot be read."""
    is_writable: bool = False
    max_limit: float | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """What a station watches of itself."""

    component: Payload
    variable: Payload
    severity: int
    """0 danger to 9 debug."""
    kind: str
    """MonitorEnumType."""
    value: float


@dataclass(slots=True)
class DeviceModel:
    """The device model of one station."""

    variables: dict[str, Variable] = field(default_factory=dict)
    """By `name`."""
    monitors: dict[int, Monitor] = field(default_factory=dict)
    streams: dict[int, Monitor] = field(default_factory=dict)
    """Monitors whose values are streamed (2.1), by the id of the stream."""
    messages: dict[int, Payload] = field(default_factory=dict)
    """What it displays: MessageInfoType, by id."""

    def anew(self) -> Self:
        """Return what is known of a station that changed its firmware: nothing."""
        return type(self)()

    def reported(self, payload: Payload) -> None:
        """Take in a NotifyReport."""
        for data in payload.get("reportData", ()):
            if len(self.variables) < MAX_VARIABLES:
                self.variables[name(data["component"], data["variable"])] = _variable(data)

    def monitored(self, payload: Payload) -> None:
        """Take in a NotifyMonitoringReport."""
        if payload["seqNo"] == 0:
            self.monitors.clear()
        for data in payload.get("monitor", ()):
            for monitor in data["variableMonitoring"]:
                if len(self.monitors) < MAX_OTHERS:
                    self.monitors[monitor["id"]] = Monitor(
                        component=data["component"],
                        variable=data["variable"],
                        severity=monitor["severity"],
                        kind=monitor["type"],
                        value=float(monitor["value"]),
                    )

    def displayed(self, payload: Payload) -> None:
        """Take in a NotifyDisplayMessages."""
        for message in payload.get("messageInfo", ()):
            if len(self.messages) < MAX_OTHERS:
                self.messages[message["id"]] = message

    def opened(self, stream: int, monitor: int) -> bool:
        """Note a stream of a monitor's values; return whether the monitor is known."""
        if monitor not in self.monitors or len(self.streams) >= MAX_OTHERS:
            return False
        self.streams[stream] = self.monitors[monitor]
        return True

    def max_profiles(self) -> int | None:
        """Return how many charging profiles the station can hold; None if it did not tell."""
        entries = self.variables.get("SmartChargingCtrlr.Entries[ChargingProfiles]")
        return None if entries is None or entries.max_limit is None else int(entries.max_limit)


def name(component: Payload, variable: Payload) -> str:
    """Return the name of a variable, e.g. ``Connector@1.2.AvailabilityState``."""
    place = component.get("evse", {})
    where = ".".join(str(place[key]) for key in ("id", "connectorId") if key in place)
    return f"{_instance(component)}{'@' if where else ''}{where}.{_instance(variable)}"


def _instance(named: Payload) -> str:
    return f"{named['name']}[{named['instance']}]" if "instance" in named else str(named["name"])


def _variable(data: Payload) -> Variable:
    attributes = data["variableAttribute"]
    actual = next((a for a in attributes if a.get("type", "Actual") == "Actual"), attributes[0])
    characteristics = data.get("variableCharacteristics", {})
    return Variable(
        value=actual.get("value"),
        is_writable=actual.get("mutability", "ReadWrite") != "ReadOnly",
        max_limit=finite(characteristics.get("maxLimit")),
        unit=characteristics.get("unit"),
    )
