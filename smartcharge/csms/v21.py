"""OCPP 2.1, translation only: 2.0.1 and what 2.1 added to it."""

from __future__ import annotations

from collections.abc import Mapping

from smartcharge.csms.dialect import Answer, Memory
from smartcharge.csms.schemas import Payload, Version, format_time
from smartcharge.csms.v201 import Dialect201

DAY_S = 86_400.0

_STATIC_21: Mapping[str, Payload] = {
    "BatterySwap": {},
    "NotifyDERAlarm": {},
    "NotifyDERStartStop": {},
    "NotifyPriorityCharging": {},
    "NotifySettlement": {},
    "PullDynamicScheduleUpdate": {"status": "Rejected"},  # no profile of ours is Dynamic: each ends by itself (I3)
    "ReportDERControl": {},
}
"""Calls with nothing in them for the controller."""


class Dialect21(Dialect201):
    """OCPP 2.1, seen from the server."""

    version = Version.V21

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self._static = {**self._static, **_STATIC_21}
        self._handlers |= self._reporting.handlers_21
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
