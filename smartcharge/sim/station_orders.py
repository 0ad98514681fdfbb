"""What a server asks of a simulated station in either OCPP version, below the wording."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from smartcharge.clock import now_s
from smartcharge.csms.profile_store import STATION
from smartcharge.csms.profiles import Unit
from smartcharge.csms.schemas import Payload, parse_time_s
from smartcharge.sim.station_firmware import FirmwareOrder
from smartcharge.sim.station_parts import MEASURANDS, Bay

if TYPE_CHECKING:
    from smartcharge.sim.station import SimulatedStation


def bays(station: SimulatedStation, number: int) -> list[Bay]:
    """Return the EVSE of a number, all of them for the station, none if there is no such."""
    return [bay for bay in station.bays.values() if number in (STATION, bay.number)]


def trigger(station: SimulatedStation, message: str, whose: Iterable[Bay]) -> str:
    """Send a message because the server wants it; return the status of the answer."""
    match message:
        case "BootNotification":
            station.send_boot()
        case "Heartbeat":
            station.send_heartbeat()
        case "StatusNotification":
            station.send_statuses(whose)
        case "MeterValues":
            station.send_meter_values(whose)
        case _:
            return "NotImplemented"
    return "Accepted"


def firmware_order(payload: Payload) -> FirmwareOrder:
    """Return an order to update as 2.x and the security extension of 1.6 word it."""
    image = payload["firmware"]
    return FirmwareOrder(
        location=image["location"],
        retrieve_at_s=parse_time_s(image["retrieveDateTime"]) or now_s(),
        request_id=payload["requestId"],
        signature=image.get("signature"),
    )


def unit_asked(station: SimulatedStation, payload: Payload) -> Unit | None:
    """Return the unit of a GetCompositeSchedule, the station's first if it names none; None if it cannot do it."""
    units = station.options.abilities.units
    unit = Unit(payload.get("chargingRateUnit", units[0].value))
    return unit if unit in units else None


def periods(station: SimulatedStation, number: int, duration_s: float, unit: Unit) -> list[Payload]:
    """Return the chargingSchedulePeriod of a GetCompositeSchedule that begins now."""
    composite = station.supply.profiles.composite(number, now_s(), duration_s, unit)
    return [{"startPeriod": round(period.start_s), "limit": round(period.limit, 1)} for period in composite]


def set_heartbeat(station: SimulatedStation, value: str) -> bool:
    """Set the time between heartbeats [s]; return whether it can be."""
    if not value.isdecimal() or int(value) == 0:
        return False
    station.heartbeat_s = float(value)
    return True


def set_meter_interval(station: SimulatedStation, value: str) -> bool:
    """Set the time between meter values [s]; return whether it can be."""
    if not value.isdecimal():
        return False
    station.meter_interval_s = float(value)
    return True


def set_measurands(station: SimulatedStation, value: str) -> bool:
    """Set what is measured; return whether all of it can be."""
    measurands = tuple(name.strip() for name in value.split(",") if name.strip())
    if not set(measurands) <= set(MEASURANDS):
        return False
    station.measurands = measurands
    return True
