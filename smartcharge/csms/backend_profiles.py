"""The charging profiles of the operator's back-end, kept and composed as a station would keep them.  Pure.

What they allow becomes one more limit on each EVSE: the lowest of all limits wins, so the back-end can only
lower what the site gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from smartcharge.csms.profile_store import STATION, Filter, ProfileStore
from smartcharge.csms.profiles import Kind, Profile, Purpose, Unit
from smartcharge.csms.schemas import Payload, Version, format_time
from smartcharge.model import EvseId, Station

START_S = 300.0
"""How long the profile of a remote start waits for its transaction."""
_MAX_16 = "ChargePointMaxProfile"
_ACCEPTED: Payload = {"status": "Accepted"}
_REJECTED: Payload = {"status": "Rejected"}
_SOURCE = "CSO"
"""Who set them (ChargingLimitSourceEnumType)."""


class BackendProfiles:
    """The back-end's profiles for one station."""

    def __init__(self, station: Station, version: Version) -> None:
        self._station = station
        self._version = version
        self._store = ProfileStore(station, version=version)
        self._payloads: dict[int, Payload] = {}
        """What was sent, by id: SetChargingProfile word for word."""
        self._starts: dict[int | None, tuple[Payload, float]] = {}
        """Profiles of remote starts by EVSE, None for any, and when they came."""
        self._pulled_s: dict[int, float] = {}
        """When each Dynamic profile was updated last."""

    def started(self, number: int, at_s: float, transaction_id: str | None) -> None:
        """Note that a transaction runs; the back-end's name of it may come later (1.6)."""
        self._store.transaction_started(number, at_s, transaction_id)
        for place in (number, None):
            profile, came_s = self._starts.pop(place, (None, 0.0))
            if profile is not None and at_s - came_s <= START_S:
                named = profile if transaction_id is None else {**profile, "transactionId": transaction_id}
                self.set(self._wrapped(number, named), at_s)
                return

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

    def kept(self) -> Mapping[str, Payload]:
        """Return what must outlive a restart, by name: the SetChargingProfile of every profile that is installed."""
        there = {profile.id for _, profile in self._store.installed}
        self._payloads = {id_: payload for id_, payload in self._payloads.items() if id_ in there}
        return {f"profile {id_}": payload for id_, payload in self._payloads.items()}

    def set(self, payload: Payload, now_s: float) -> Payload:
        """Answer SetChargingProfile."""
        profile = self._read(payload)
        if profile is None or self._store.install(_number(payload), profile, now_s) is not None:
            return _REJECTED
        self._payloads[profile.id] = payload
        self._pulled_s[profile.id] = now_s
        return _ACCEPTED

    def may_start(self, payload: Payload, now_s: float) -> bool:
        """Keep the profile of a remote start for its transaction; return whether a station would take it.

        It is a TxProfile without a transaction (1.6 5.11, 2.0.1 F01.FR.08 and FR.11).
        """
        place = payload.get("connectorId", payload.get("evseId"))
        number = self._station.evses[0].number if place is None else int(place)
        profile = self._read(self._wrapped(number, payload["chargingProfile"]))
        if profile is None or profile.purpose is not Purpose.TX or profile.transaction_id is not None:
            return False
        if self._store.objection(number, profile) is not None:
            return False
        self._starts[place] = (payload["chargingProfile"], now_s)
        return True

    def not_started(self, payload: Payload) -> None:
        """Forget the profile of a remote start that the station refused."""
        self._starts.pop(payload.get("connectorId", payload.get("evseId")), None)

    def update(self, payload: Payload, now_s: float) -> Payload:
        """Answer UpdateDynamicSchedule, or take in what PullDynamicScheduleUpdate was answered (2.1 K28)."""
        id_ = payload["chargingProfileId"]
        if not self._store.update(id_, payload["scheduleUpdate"]):
            return _REJECTED
        self._pulled_s[id_] = now_s
        known = self._payloads[id_]
        schedule = known["chargingProfile"]["chargingSchedule"][0]
        period = {**schedule["chargingSchedulePeriod"][0], **payload["scheduleUpdate"]}
        profile = {**known["chargingProfile"], "chargingSchedule": [{**schedule, "chargingSchedulePeriod": [period]}]}
        self._payloads[id_] = {**known, "chargingProfile": profile}
        return _ACCEPTED

    def pulls_s(self) -> dict[int, float]:
        """Return when the update of each Dynamic profile must be asked for [s since 1970], by profile id."""
        found: dict[int, float] = {}
        for _, profile in self._store.installed:
            every_s = self._payloads[profile.id].get("chargingProfile", {}).get("dynUpdateInterval", 0)
            if profile.kind is Kind.DYNAMIC and every_s > 0:
                found[profile.id] = self._pulled_s[profile.id] + every_s
        return found

    def asked_for_update(self, id_: int, now_s: float) -> None:
        """Note that the update of a Dynamic profile was asked for."""
        self._pulled_s[id_] = now_s

    def clear(self, payload: Payload) -> Payload:
        """Answer ClearChargingProfile."""
        criteria = payload.get("chargingProfileCriteria", payload)
        purpose = criteria.get("chargingProfilePurpose")
        which = Filter(
            id=payload.get("chargingProfileId", payload.get("id")),
            evse=criteria.get("evseId", criteria.get("connectorId")),
            purpose=None if purpose is None else _purpose(purpose),
            stack_level=criteria.get("stackLevel"),
        )
        return {"status": "Accepted" if self._store.clear(which) else "Unknown"}

    def reports(self, payload: Payload) -> Iterator[Payload]:
        """Yield the ReportChargingProfiles by which GetChargingProfiles is answered (2.0.1 K09), one an EVSE."""
        asked = payload["chargingProfile"]
        found: dict[int, list[Payload]] = {}
        for number, profile in self._store.installed:
            is_asked = (
                payload.get("evseId") in (None, number)
                and profile.id in asked.get("chargingProfileId", [profile.id])
                and asked.get("stackLevel") in (None, profile.stack_level)
                and asked.get("chargingProfilePurpose") in (None, profile.purpose.value)
                and _SOURCE in asked.get("chargingLimitSource", [_SOURCE])
            )
            if is_asked:
                found.setdefault(number, []).append(self._payloads[profile.id]["chargingProfile"])
        for count, (number, profiles) in enumerate(found.items(), 1):
            yield {
                "requestId": payload["requestId"],
                "chargingLimitSource": _SOURCE,
                "evseId": number,
                "chargingProfile": profiles,
                "tbc": count < len(found),
            }

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

    def _read(self, payload: Payload) -> Profile | None:
        """Return a profile, or None for a purpose or kind that 2.1 has and no limit can be made of."""
        try:
            if self._version is not Version.V16:
                profile: Payload = payload["chargingProfile"]
                return Profile.read(profile, profile["chargingSchedule"][0], id_=profile["id"])
            profile = payload["csChargingProfiles"]
            named = {**profile, "chargingProfilePurpose": _purpose(profile["chargingProfilePurpose"]).value}
            return Profile.read(named, profile["chargingSchedule"], id_=profile["chargingProfileId"])
        except (ValueError, KeyError):
            return None

    def _wrapped(self, number: int, profile: Payload) -> Payload:
        """Return a profile as the SetChargingProfile that would set it."""
        if self._version is Version.V16:
            return {"connectorId": number, "csChargingProfiles": profile}
        return {"evseId": number, "chargingProfile": profile}


def _purpose(text: str) -> Purpose:
    """Return a purpose by the name of any version; raises ValueError for those of 2.1 that limit nothing here."""
    return Purpose.MAX if text == _MAX_16 else Purpose(text)


def _number(payload: Payload) -> int:
    return int(payload["connectorId"] if "connectorId" in payload else payload["evseId"])
