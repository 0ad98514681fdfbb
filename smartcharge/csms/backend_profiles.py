"""The charging profiles of the operator's back-end, kept and composed as a station would keep them.  Pure.

What they allow becomes one more limit on each EVSE: the lowest of all limits wins, so the back-end can only
lower what the site gives.
"""

from __future__ import annotations

from smartcharge.csms.profile_store import STATION, Filter, ProfileStore
from smartcharge.csms.profiles import Profile, Purpose, Unit
from smartcharge.csms.schemas import Payload, Version, format_time
from smartcharge.model import EvseId, Station

_MAX_16 = "ChargePointMaxProfile"
_ACCEPTED: Payload = {"status": "Accepted"}
_REJECTED: Payload = {"status": "Rejected"}


class BackendProfiles:
    """The back-end's profiles for one station."""

    def __init__(self, station: Station, version: Version) -> None:
        self._station = station
        self._version = version
        self._store = ProfileStore(station, version=version)

    def started(self, number: int, at_s: float, transaction_id: str | None) -> None:
        """Note that a transaction runs; the back-end's name of it may come later (1.6)."""
        self._store.transaction_started(number, at_s, transaction_id)

    def named(self, number: int, transaction_id: str) -> None:
        """Note what the back-end calls the transaction that runs, if one does."""
        if self._store.is_running(number):
            self._store.transaction_named(number, transaction_id)

    def ended(self, number: int) -> None:
        """Note that it is over; its profiles go with it."""
        self._store.transaction_ended(number)

    def limits_a(self, now_s: float) -> dict[EvseId, float | None]:
        """Return what the profiles allow on each EVSE [A]; None where they do not limit it."""
        found = {evse.id: (evse, self._store.limit_a(evse.number, now_s)) for evse in self._station.evses}
        return {name: None if limit_a >= evse.max_a else limit_a for name, (evse, limit_a) in found.items()}

    def next_change_s(self, now_s: float) -> float | None:
        """Return when they allow something else by themselves [s since 1970]; None if never."""
        return self._store.next_change_s(now_s)

    def set(self, payload: Payload, now_s: float) -> Payload:
        """Answer SetChargingProfile."""
        number = _number(payload)
        try:
            profile = self._read(payload)
        except (ValueError, KeyError):  # a purpose or kind that 2.1 has and a limit cannot be made of
            return _REJECTED
        return _ACCEPTED if self._store.install(number, profile, now_s) is None else _REJECTED

    def _read(self, payload: Payload) -> Profile:
        if self._version is not Version.V16:
            profile: Payload = payload["chargingProfile"]
            return Profile.read(profile, profile["chargingSchedule"][0], id_=profile["id"])
        profile = payload["csChargingProfiles"]
        if profile["chargingProfilePurpose"] == _MAX_16:
            profile = {**profile, "chargingProfilePurpose": Purpose.MAX.value}
        return Profile.read(profile, profile["chargingSchedule"], id_=profile["chargingProfileId"])

    def clear(self, payload: Payload) -> Payload:
        """Answer ClearChargingProfile."""
        criteria = payload.get("chargingProfileCriteria", payload)
        purpose = criteria.get("chargingProfilePurpose")
        which = Filter(
            id=payload.get("chargingProfileId", payload.get("id")),
            evse=criteria.get("evseId", criteria.get("connectorId")),
            purpose=None if purpose is None else Purpose.MAX if purpose == _MAX_16 else Purpose(purpose),
            stack_level=criteria.get("stackLevel"),
        )
        return {"status": "Accepted" if self._store.clear(which) else "Unknown"}

    def composite(self, payload: Payload, now_s: float) -> Payload:
        """Answer GetCompositeSchedule with what the back-end's own profiles come to."""
        number = _number(payload)
        if number not in (STATION, *(evse.number for evse in self._station.evses)):
            return _REJECTED
        unit = Unit(payload.get("chargingRateUnit", Unit.AMPS.value))
        periods = [
            {"startPeriod": round(period.start_s), "limit": round(period.limit, 1)}
            for period in self._store.composite(number, now_s, payload["duration"], unit)
        ]
        start = format_time(now_s)
        schedule = {"duration": payload["duration"], "chargingRateUnit": unit.value, "chargingSchedulePeriod": periods}
        if self._version is Version.V16:
            whole = {**schedule, "startSchedule": start}
            return {**_ACCEPTED, "connectorId": number, "scheduleStart": start, "chargingSchedule": whole}
        return {**_ACCEPTED, "schedule": {**schedule, "evseId": number, "scheduleStart": start}}


def _number(payload: Payload) -> int:
    return int(payload["connectorId"] if "connectorId" in payload else payload["evseId"])
