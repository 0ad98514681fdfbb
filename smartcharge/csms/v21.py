"""OCPP 2.1, translation only: 2.0.1 and what 2.1 added to it."""

from __future__ import annotations

from collections.abc import Mapping

from smartcharge.csms.dialect import Answer, Memory
from smartcharge.csms.metering import finite
from smartcharge.csms.schemas import Payload, Version, format_time, parse_time_s
from smartcharge.csms.v201 import Dialect201
from smartcharge.events import NeedStated

DAY_S = 86_400.0

_STATIC_21: Mapping[str, Payload] = {
    "BatterySwap": {},
    "ClosePeriodicEventStream": {},
    "NotifyDERAlarm": {},
    "NotifyDERStartStop": {},
    "NotifyPeriodicEventStream": {},
    "NotifyPriorityCharging": {},
    "NotifySettlement": {},
    "OpenPeriodicEventStream": {"status": "Rejected"},  # no monitor here asks for one
    "PullDynamicScheduleUpdate": {"status": "Rejected"},  # no profile of ours is Dynamic: each ends by itself (I3)
    "ReportDERControl": {},
}
"""Calls, and one SEND, with nothing in them for the controller."""


class Dialect21(Dialect201):
    """OCPP 2.1, seen from the server."""

    version = Version.V21

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self._static = {**self._static, **_STATIC_21}
        self._handlers |= {
            "GetCertificateChainStatus": self._certificate_chain,
            "VatNumberValidation": self._vat_number,
        }

    def _certificate_chain(self, payload: Payload, now_s: float) -> Answer:
        """Answer that no status could be had: nobody here asks an OCSP responder (M06)."""
        statuses = [
            {
                "certificateHashData": asked["certificateHashData"],
                "source": asked["source"],
                "status": "Failed",
                "nextUpdate": format_time(now_s + DAY_S),
            }
            for asked in payload["certificateStatusRequests"]
        ]
        return Answer(reply={"certificateStatus": statuses})

    def _vat_number(self, payload: Payload, _: float) -> Answer:
        """Answer that it was not validated: nobody here knows tax numbers."""
        return Answer(reply={"vatNumber": payload["vatNumber"], "status": "Rejected"})

    def _needs(self, payload: Payload, now_s: float) -> Answer:
        """Take what an ISO 15118-20 car asks for too (K18): its target, or the least it needs."""
        wanted = payload["chargingNeeds"].get("v2xChargingParameters")
        if wanted is None:
            return super()._needs(payload, now_s)
        departure = payload["chargingNeeds"].get("departureTime")
        energy_wh = finite(wanted.get("evTargetEnergyRequest", wanted.get("evMinEnergyRequest")))
        stated = NeedStated(
            at_s=now_s,
            evse=self._memory.needed_evse(int(payload["evseId"])).id,
            energy_wh=None if energy_wh is None else max(energy_wh, 0.0),
            depart_at_s=None if departure is None else parse_time_s(departure),
        )
        return Answer(reply={"status": "Accepted"}, events=(stated,))
