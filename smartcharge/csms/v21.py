"""OCPP 2.1, translation only: 2.0.1 and what 2.1 added to it."""

from __future__ import annotations

from collections.abc import Mapping

from smartcharge.csms.dialect import Answer, Call, Memory
from smartcharge.csms.requests import Request, SetProfile, UpdateProfile, profile_id, update
from smartcharge.csms.schemas import Payload, Version, format_time
from smartcharge.csms.v201 import Dialect201
from smartcharge.events import ProfileKind
from smartcharge.model import ScheduleKind

DAY_S = 86_400.0

_STATIC_21: Mapping[str, Payload] = {
    "BatterySwap": {},
    "NotifyDERAlarm": {},
    "NotifyDERStartStop": {},
    "NotifyPriorityCharging": {},
    "NotifySettlement": {},
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
            "PullDynamicScheduleUpdate": self._pulled,
            "VatNumberValidation": self._vat_number,
        }

    def call(self, request: Request, now_s: float) -> Call:
        """Return a request as 2.1 words it when sent now."""
        if isinstance(request, UpdateProfile):
            known = request.profile
            payload: Payload = {"chargingProfileId": profile_id(known), "scheduleUpdate": update(known)}
            return Call(action="UpdateDynamicSchedule", payload=payload)
        return super().call(request, now_s)

    def _pulled(self, payload: Payload, _: float) -> Answer:
        """Answer with the limit that holds now, where a Dynamic profile of ours is installed (K28)."""
        memory, form = self._memory, self._memory.forms.setpoint.form
        if form is not None and form.kind is ScheduleKind.DYNAMIC:
            for evse in memory.station.evses:
                limit_a = memory.limits_a.get(evse.id)
                if limit_a is None:
                    continue
                phases = memory.station.charging.watts_phases or memory.phases.get(evse.id)
                wanted = SetProfile(
                    evse=evse, kind=ProfileKind.TRANSACTION, limit_a=limit_a, form=form, watts_phases=phases
                )
                if profile_id(wanted) == payload["chargingProfileId"]:
                    return Answer(reply={"status": "Accepted", "scheduleUpdate": update(wanted)})
        return Answer(reply={"status": "Rejected"})

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
