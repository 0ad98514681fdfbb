"""What ISO 15118 cars say: what they need, what they can take, and how they mean to charge (2.x K15 to K18)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smartcharge.csms.dialect import Answer, Memory
from smartcharge.csms.metering import finite
from smartcharge.csms.schemas import parse_time_s
from smartcharge.events import NeedStated
from smartcharge.model import Wiring

if TYPE_CHECKING:
    from smartcharge.csms.schemas import Payload
    from smartcharge.model import Evse

SLACK = 1.01
"""A car's own schedule may be over its limit by its rounding."""


def needed(memory: Memory, payload: Payload, now_s: float) -> Answer:
    """Take a NotifyEVChargingNeeds; a schedule follows with the controller's next cycle.

    Raises CannotHandle for an EVSE that the site does not have.
    """
    evse = memory.needed_evse(int(payload["evseId"]))
    needs = payload["chargingNeeds"]
    departure = needs.get("departureTime")
    stated = NeedStated(
        at_s=now_s,
        evse=evse.id,
        energy_wh=_energy_wh(needs),
        depart_at_s=None if departure is None else parse_time_s(departure),
        max_a=_max_a(evse, needs),
    )
    return Answer(reply={"status": "Accepted"}, events=(stated,))


def scheduled(memory: Memory, payload: Payload) -> Answer:
    """Judge a NotifyEVChargingSchedule: a car that means to take more than its limit is refused (K17.FR.06).

    A refused one is sent its profile again by the station, and negotiates anew.  Raises as `needed`.
    """
    evse = memory.needed_evse(int(payload["evseId"]))
    limit_a = memory.limits_a.get(evse.id)
    schedule = payload["chargingSchedule"]
    wanted_a = [_amps(evse, schedule["chargingRateUnit"], period) for period in schedule["chargingSchedulePeriod"]]
    first_a = wanted_a[0] if wanted_a else None
    is_within = limit_a is None or first_a is None or first_a <= limit_a * SLACK
    return Answer(reply={"status": "Accepted" if is_within else "Rejected"})


def _amps(evse: Evse, unit: str, period: Payload) -> float | None:
    limit = finite(period.get("limit", period.get("setpoint")))
    if limit is None:
        return None
    if unit == "A":
        return limit
    return _amps_of_power(evse, limit, period.get("numberPhases"))


def _amps_of_power(evse: Evse, power_w: float, phases: int | None = None) -> float:
    """Return AC-side amperes per phase; watts of a DC EVSE are those at its outlet."""
    if evse.wiring is Wiring.DC:
        return power_w / (evse.watts_per_amp * evse.efficiency)
    return power_w / (min(phases or evse.phase_count, evse.phase_count) * evse.voltage_v)


def _energy_wh(needs: Payload) -> float | None:
    """Return the energy that is wanted: of a car that can give, its target, or the least it needs."""
    if (v2x := needs.get("v2xChargingParameters")) is not None:
        wanted_wh = finite(v2x.get("evTargetEnergyRequest", v2x.get("evMinEnergyRequest")))
        return None if wanted_wh is None else max(wanted_wh, 0.0)
    asked = needs.get("acChargingParameters") or needs.get("dcChargingParameters") or {}
    return finite(asked.get("energyAmount"))


def _max_a(evse: Evse, needs: Payload) -> float | None:
    """Return the most that the car says it can take [AC-side A per phase]; None if it does not say."""
    v2x, ac, dc = (needs.get(f"{kind}ChargingParameters", {}) for kind in ("v2x", "ac", "dc"))
    found = [
        finite(ac.get("evMaxCurrent")),
        finite(v2x.get("maxChargeCurrent")) if evse.wiring is not Wiring.DC else None,
    ]
    power_w = finite(dc.get("evMaxPower", v2x.get("maxChargePower")))
    if power_w is None and "evMaxVoltage" in dc:
        current_a, voltage_v = finite(dc.get("evMaxCurrent")), finite(dc["evMaxVoltage"])
        power_w = None if current_a is None or voltage_v is None else current_a * voltage_v
    if power_w is not None:
        found.append(_amps_of_power(evse, power_w))
    return min((a for a in found if a is not None and a > 0.0), default=None)
