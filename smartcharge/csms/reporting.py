"""What 2.x stations report of themselves becomes facts: events, monitors, streams, the device model (B07, N, O).

A component with a problem is a fault, and so is a monitor that alerts: thresholds and deltas that somebody set, or the
maker, by their severity (N07).  A temperature is a reading, however it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from smartcharge.csms.dialect import Answer, Memory
from smartcharge.csms.metering import LARGEST_C, finite
from smartcharge.events import Event, FaultCleared, FaultRaised, Metered
from smartcharge.faults import Effect

if TYPE_CHECKING:
    from smartcharge.csms.schemas import Payload
    from smartcharge.model import Evse, EvseId

_PROBLEMS = frozenset({"Problem", "Active", "Fault", "Overload", "Tripped"})
"""Variables of a component that are true while something is wrong with it (appendix 3)."""
WORTH_KNOWING = 6
"""Severity of a warning: what is less is no fault (0 danger, 5 alert, 7 notice, 9 debug)."""
_MONITORED = frozenset({"HardWiredMonitor", "PreconfiguredMonitor", "CustomMonitor"})


class Reporting:
    """The reports of one station."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._problems: dict[tuple[EvseId, str], str] = {}
        """Codes of what is wrong, by EVSE and component: their end may come without the code."""

    @property
    def handlers(self) -> dict[str, Callable[[Payload, float], Answer]]:
        """Return what is handled here, by action."""
        return {
            "NotifyDisplayMessages": self._displayed,
            "NotifyEvent": self._notified,
            "NotifyMonitoringReport": self._monitored,
            "NotifyReport": self._reported,
        }

    @property
    def handlers_21(self) -> dict[str, Callable[[Payload, float], Answer]]:
        """Return what 2.1 has beside them."""
        return {
            "ClosePeriodicEventStream": self._closed,
            "NotifyPeriodicEventStream": self._streamed,
            "OpenPeriodicEventStream": self._opened,
        }

    def _reported(self, payload: Payload, now_s: float) -> Answer:
        self._memory.model.reported(payload)
        is_last = not payload.get("tbc", False)
        max_profiles = self._memory.model.max_profiles()
        if not is_last or max_profiles is None:
            return Answer(reply={})
        return Answer(reply={}, events=tuple(self._memory.can_hold(max_profiles, now_s)))

    def _monitored(self, payload: Payload, _: float) -> Answer:
        self._memory.model.monitored(payload)
        return Answer(reply={})

    def _displayed(self, payload: Payload, _: float) -> Answer:
        self._memory.model.displayed(payload)
        return Answer(reply={})

    def _opened(self, payload: Payload, _: float) -> Answer:
        stream = payload["constantStreamData"]
        is_known = self._memory.model.opened(stream["id"], stream["variableMonitoringId"])
        return Answer(reply={"status": "Accepted" if is_known else "Rejected"})

    def _closed(self, payload: Payload, _: float) -> Answer:
        self._memory.model.streams.pop(payload["id"], None)
        return Answer(reply={})

    def _streamed(self, payload: Payload, now_s: float) -> Answer:
        """Take the newest value of a stream (2.1 N13), as if an event had told it."""
        monitor = self._memory.model.streams.get(payload["id"])
        if monitor is None or not payload["data"]:
            return Answer(reply={})
        newest = max(payload["data"], key=lambda element: float(element["t"]))
        data = {"component": monitor.component, "variable": monitor.variable, "actualValue": newest["v"]}
        return Answer(reply={}, events=tuple(self._measured(data, now_s)))

    def _notified(self, payload: Payload, now_s: float) -> Answer:
        events: list[Event] = []
        for data in payload["eventData"]:
            events += self._measured(data, now_s)
            if data["variable"]["name"] in _PROBLEMS:
                is_there = not data.get("cleared", False) and data["actualValue"].lower() == "true"
                events += self._problem(data, now_s, is_there=is_there)
            elif data["eventNotificationType"] in _MONITORED and self._severity(data) <= WORTH_KNOWING:
                events += self._alerted(data, now_s)
        return Answer(reply={}, events=tuple(events))

    def _alerted(self, data: Payload, now_s: float) -> Iterator[Event]:
        """Yield the fault of a monitor that alerts, or its end; what is told periodically is neither."""
        if data.get("cleared", False):
            yield from self._problem(data, now_s, is_there=False)
        elif data["trigger"] == "Alerting":
            yield from self._problem(data, now_s, is_there=True)

    def _severity(self, data: Payload) -> int:
        """Return how bad an event is: as it says (2.1), as its monitor was reported, or a warning."""
        if "severity" in data:
            return int(data["severity"])
        monitor = self._memory.model.monitors.get(data.get("variableMonitoringId", -1))
        return WORTH_KNOWING if monitor is None else monitor.severity

    def _measured(self, data: Payload, now_s: float) -> Iterator[Event]:
        """Yield a temperature [C]; 2.x has no such measurand.  A sensor at a connector is the outlet's."""
        component = data["component"]
        if component["name"] != "TemperatureSensor" or data["variable"]["name"] != "Temperature":
            return
        measured_c = finite(data["actualValue"])
        evse = self._memory.evse(int(component["evse"]["id"])) if "evse" in component else None
        if evse is None or measured_c is None or abs(measured_c) > LARGEST_C:
            return
        is_outlet = "connectorId" in component["evse"]
        yield Metered(
            at_s=now_s,
            evse=evse.id,
            outlet_c=measured_c if is_outlet else None,
            body_c=None if is_outlet else measured_c,
        )

    def _problem(self, data: Payload, now_s: float, *, is_there: bool) -> Iterator[Event]:
        """Yield the fault of a component on each EVSE that it belongs to: what belongs to none is every EVSE's."""
        component = data["component"]
        number = int(component["evse"]["id"]) if "evse" in component else 0
        evse = self._memory.evse(number)
        whose = self._memory.station.evses if number == 0 else () if evse is None else (evse,)
        for one in whose:
            yield self._fault(one, _component(data), data, now_s) if is_there else self._end(one, data, now_s)

    def _fault(self, evse: Evse, component: str, data: Payload, now_s: float) -> Event:
        _, hash_, instance = component.partition("#")
        code = f"{data['techCode']}{hash_}{instance}" if data.get("techCode") else component
        self._problems[evse.id, component] = code
        is_monitor = data["variable"]["name"] not in _PROBLEMS
        told = f"{data['actualValue']}" if is_monitor else ""
        detail = ": ".join(word for word in (component, told, data.get("techInfo", "")) if word)
        effect = Effect.WARNING if is_monitor else None
        return FaultRaised(at_s=now_s, evse=evse.id, code=code, detail=detail, effect=effect)

    def _end(self, evse: Evse, data: Payload, now_s: float) -> Event:
        """Return the end of a fault; it may come without the code of its beginning."""
        component = _component(data)
        known = self._problems.pop((evse.id, component), None)
        return FaultCleared(at_s=now_s, evse=evse.id, code=known or data.get("techCode") or component)


def _component(data: dict[str, Any]) -> str:
    """Return the name of what is wrong: the component, its variable where that is not Problem, its instance."""
    component, variable = data["component"], data["variable"]["name"]
    name = component["name"] if variable == "Problem" else f"{component['name']}.{variable}"
    return f"{name}#{component['instance']}" if "instance" in component else str(name)
