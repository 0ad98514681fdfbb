"""The charging profiles a station has installed, and the limit that follows from them.  Pure.

Merge rules (OCPP 1.6 section 3.13, OCPP 2.0.1 part 2 block K):

- within a purpose the highest stack level that applies now wins;
- a TxProfile overrides a TxDefaultProfile; an EVSE's own default precedes that of EVSE 0;
- the result is the minimum of that, the station's maximum and external constraints;
- where nothing applies, the hardware's maximum does.

EVSE 0 is the station (1.6: connector 0).  A limit on the station as a whole is shared among the EVSEs
with a transaction, the modest first; amperes are added up as if all EVSEs were on the same phases.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf

from smartcharge.csms.profiles import Kind, Period, Profile, Purpose, Unit, either
from smartcharge.csms.schemas import Payload, Version
from smartcharge.model import Evse, Station, Wiring

STATION = 0
"""The number that means the station as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What a station's smart charging can do, as it also tells."""

    units: tuple[Unit, ...] = (Unit.AMPS, Unit.WATTS)
    max_stack_level: int = 9
    max_periods: int = 24
    max_profiles: int = 20
    forgets_on_reboot: bool = False
    purposes: tuple[Purpose, ...] = tuple(Purpose)
    kinds: tuple[Kind, ...] = tuple(Kind)
    ignores_valid_to: bool = False
    """Whether it keeps a profile beyond its validTo, as some firmware does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which profiles to clear: all fields given must match."""

    id: int | None = None
    evse: int | None = None
    purpose: Purpose | None = None
    stack_level: int | None = None


@dataclass(frozen=True, slots=True)
class _Installed:
    evse: int
    profile: Profile


@dataclass(slots=True)
class _Running:
    started_s: float
    transaction_id: str | None


class ProfileStore:
    """The profiles of one station, and the transactions they apply to."""

    def __init__(self, station: Station, *, version: Version, abilities: Abilities | None = None) -> None:
        self.abilities = abilities or Abilities()
        self._version = version
        self._station = station
        self._evses = {evse.number: evse for evse in station.evses}
        self._installed: dict[int, _Installed] = {}
        self._running: dict[int, _Running] = {}

    @property
    def installed(self) -> tuple[tuple[int, Profile], ...]:
        """Return every profile with the EVSE number it is on, oldest first."""
        return tuple((entry.evse, entry.profile) for entry in self._installed.values())

    # -- what happens to it

    def transaction_started(self, evse: int, started_s: float, transaction_id: str | None = None) -> None:
        """Begin a transaction; its id may become known later (1.6)."""
        self._running[evse] = _Running(started_s, transaction_id)

    def is_running(self, evse: int) -> bool:
        """Tell whether a transaction runs on an EVSE."""
        return evse in self._running

    def transaction_named(self, evse: int, transaction_id: str) -> None:
        """Note the id that the server gave to the running transaction."""
        self._running[evse].transaction_id = transaction_id

    def transaction_ended(self, evse: int) -> None:
        """End the transaction and drop its profiles."""
        self._running.pop(evse, None)
        self.clear(Filter(evse=evse, purpose=Purpose.TX))

    def reboot(self) -> None:
        """Lose what does not survive a reboot."""
        if self.abilities.forgets_on_reboot:
            self._installed.clear()

    def install(self, evse: int, profile: Profile, now_s: float) -> str | None:
        """Install a profile, or return why not: an OCPP 2.0.1 reason code."""
        if profile.kind is Kind.DYNAMIC and profile.start_s is None:  # its duration counts from now
            profile = replace(profile, start_s=now_s)
        if self.abilities.ignores_valid_to:
            profile = replace(profile, valid_to_s=inf)
        objection = self.objection(evse, profile) or self._transaction_objection(evse, profile)
        if objection is not None:
            return objection
        others = {i: entry for i, entry in self._installed.items() if i != profile.id}
        rivals = {i for i, entry in others.items() if self._is_rival(entry, evse, profile)}
        if (rivals and self._version is not Version.V16) or self._is_taken_outside(profile):
            return "DuplicateProfile"
        kept = {i: e for i, e in others.items() if i not in rivals and not e.profile.is_over(now_s)}
        if len(kept) >= self.abilities.max_profiles:
            return "OutOfStorage"
        self._installed = {**kept, profile.id: _Installed(evse, profile)}
        return None

    def update(self, id_: int, update: Payload) -> bool:
        """Change the limit of a Dynamic profile; return whether there is such a one and a limit in the update."""
        entry = self._installed.get(id_)
        if entry is None or entry.profile.kind is not Kind.DYNAMIC:
            return False
        try:
            self._installed[id_] = _Installed(entry.evse, entry.profile.updated(update))
        except KeyError:
            return False
        return True

    def offline_ends_s(self) -> frozenset[float]:
        """Return after how long offline profiles become invalid [s]."""
        ends_s = (entry.profile.max_offline_s for entry in self._installed.values())
        return frozenset(end_s for end_s in ends_s if end_s is not None)

    def been_offline(self, for_s: float) -> None:
        """Drop the profiles that do not outlive so long offline [s] (2.1 invalidAfterOfflineDuration)."""
        self._installed = {
            i: entry for i, entry in self._installed.items() if either(entry.profile.max_offline_s, inf) > for_s
        }

    def clear(self, which: Filter) -> bool:
        """Remove the profiles that match, except external constraints; return whether there were any."""
        doomed = [i for i, entry in self._installed.items() if _matches(entry, which)]
        for i in doomed:
            del self._installed[i]
        return bool(doomed)

    # -- what follows from it

    def limit_a(self, evse: int, now_s: float) -> float:
        """Return the current the profiles allow on each phase [A]; without a transaction, a new one's."""
        allowed = {n: self._own_a(n, now_s) for n in sorted({*self._running, evse})}
        if self._station.rating_a is not None:
            allowed = _shared(allowed, self._station.rating_a, dict.fromkeys(allowed, 1.0))
        for purpose in (Purpose.MAX, Purpose.EXTERNAL):
            if (entry := self._winner(STATION, purpose, now_s, None)) is not None:
                unit, period = entry
                per_amp = {n: _per_amp(self._evses[n], unit) for n in allowed}
                allowed = _shared(allowed, period.limit, per_amp)
        return allowed[evse]

    def next_change_s(self, now_s: float) -> float | None:
        """Return the next time at which the limit of any EVSE may change by itself; None if never."""
        times_s = (
            time_s
            for entry in self._installed.values()
            for started_s in self._starts_s(entry.evse)
            for time_s in entry.profile.changes_s(now_s, started_s)
        )
        next_s = min((time_s for time_s in times_s if time_s > now_s), default=inf)
        return None if next_s == inf else next_s

    def composite(self, evse: int, now_s: float, duration_s: float, unit: Unit) -> tuple[Period, ...]:
        """Return the limits to expect, as periods from now on; of EVSE 0, what the running ones sum up to."""
        numbers = [evse] if evse != STATION else sorted(self._running)
        periods: list[Period] = []
        at_s: float | None = now_s
        while at_s is not None and at_s < now_s + duration_s:
            limit = sum(self.limit_a(n, at_s) * _per_amp(self._evses[n], unit) for n in numbers)
            if not periods or periods[-1].limit != limit:
                periods.append(Period(start_s=at_s - now_s, limit=limit))
            at_s = self.next_change_s(at_s)
        return tuple(periods)

    def _starts_s(self, evse: int) -> list[float | None]:
        if evse != STATION:
            return [self._started_s(evse)]
        return [None, *(running.started_s for running in self._running.values())]

    def _started_s(self, evse: int) -> float | None:
        return self._running[evse].started_s if evse in self._running else None

    def _own_a(self, number: int, now_s: float) -> float:
        """Return what an EVSE may take if it were alone on the station [A]."""
        evse, started_s = self._evses[number], self._started_s(number)
        places = ((number, Purpose.TX), (number, Purpose.TX_DEFAULT), (STATION, Purpose.TX_DEFAULT))
        winners = (self._winner(place, purpose, now_s, started_s) for place, purpose in places)
        external = self._winner(number, Purpose.EXTERNAL, now_s, started_s)
        found = (next((w for w in winners if w is not None), None), external)
        return min([evse.max_a, *(_amps(evse, *winner) for winner in found if winner is not None)])

    def _winner(self, place: int, purpose: Purpose, at_s: float, started_s: float | None) -> tuple[Unit, Period] | None:
        """Return the limit of the highest stack level that applies."""
        best: tuple[Unit, Period] | None = None
        level = -1
        for entry in self._installed.values():
            profile = entry.profile
            if entry.evse != place or profile.purpose is not purpose or profile.stack_level <= level:
                continue
            if (period := profile.period_at(at_s, started_s)) is not None:
                best, level = (profile.unit, period), profile.stack_level
        return best

    # -- what it refuses

    def objection(self, evse: int, profile: Profile) -> str | None:
        """Return what is wrong with a profile in itself, as a reason code; None if nothing is."""
        if evse != STATION and evse not in self._evses:
            return "UnknownEvse"
        if not 0 <= profile.stack_level <= self.abilities.max_stack_level:
            return "InvalidStackLevel"
        if profile.unit not in self.abilities.units:
            return "UnsupportedRateUnit"
        if not self._is_able(profile) or not self._fits_place(evse, profile):
            return "InvalidProfile"
        return None if self._is_schedule_sound(evse, profile) else "InvalidSchedule"

    def _transaction_objection(self, evse: int, profile: Profile) -> str | None:
        if profile.purpose is not Purpose.TX:
            return None
        running = self._running.get(evse)
        is_unnamed = profile.transaction_id is None
        if is_unnamed and self._version is not Version.V16:
            return "MissingParam"
        if running is None or not (is_unnamed or running.transaction_id == profile.transaction_id):
            return "TxNotFound"
        return None

    def _is_able(self, profile: Profile) -> bool:
        return profile.purpose in self.abilities.purposes and profile.kind in self.abilities.kinds

    def _fits_place(self, evse: int, profile: Profile) -> bool:
        match profile.purpose:
            case Purpose.TX:
                return evse != STATION
            case Purpose.MAX:
                return evse == STATION and profile.kind is not Kind.RELATIVE
            case Purpose.TX_DEFAULT:
                return True
            case Purpose.EXTERNAL:
                return profile.kind is not Kind.RELATIVE

    def _is_schedule_sound(self, evse: int, profile: Profile) -> bool:
        periods = profile.periods
        is_ordered = (
            bool(periods) and periods[0].start_s == 0 and all(a.start_s < b.start_s for a, b in pairwise(periods))
        )
        is_dc = evse != STATION and self._evses[evse].wiring is Wiring.DC
        has_no_phases = all(period.phases is None for period in periods)
        return (
            is_ordered
            and len(periods) <= self.abilities.max_periods
            and all(period.limit >= 0.0 for period in periods)
            and (profile.start_s is None) == (profile.kind is Kind.RELATIVE)
            and (profile.kind is not Kind.DYNAMIC or (self._version is Version.V21 and len(periods) == 1))
            and (profile.recurs_s is None) == (profile.kind is not Kind.RECURRING)
            and (profile.recurs_s is None or either(profile.duration_s, profile.recurs_s) <= profile.recurs_s)
            and (has_no_phases or not is_dc or self._version is Version.V16)
        )

    def _is_taken_outside(self, profile: Profile) -> bool:
        """Tell whether an external constraint has this id: the server may not replace it (K01.FR.05)."""
        entry = self._installed.get(profile.id)
        is_external = entry is not None and entry.profile.purpose is Purpose.EXTERNAL
        return is_external and profile.purpose is not Purpose.EXTERNAL

    def _is_rival(self, entry: _Installed, evse: int, profile: Profile) -> bool:
        """Tell whether both claim the same place: 1.6 drops the older, 2.0.1 refuses the newer (K01.FR.06, 39, 52)."""
        other = entry.profile
        if (other.purpose, other.stack_level) != (profile.purpose, profile.stack_level):
            return False
        if entry.evse != evse:
            is_newer = self._version is not Version.V16
            return is_newer and profile.purpose is Purpose.TX_DEFAULT and STATION in (evse, entry.evse)
        if self._version is Version.V16 or profile.purpose is Purpose.TX:
            return True
        return other.valid_from_s < profile.valid_to_s and profile.valid_from_s < other.valid_to_s


def _amps(evse: Evse, unit: Unit, period: Period) -> float:
    """Return a limit as AC-side current on each phase; phases default to 3 on AC (2.0.1 K01.FR.49)."""
    if unit is Unit.AMPS:
        return period.limit
    if evse.wiring is Wiring.DC:
        return period.limit / _per_amp(evse, unit)
    return period.limit / (min(either(period.phases, 3), evse.phase_count) * evse.voltage_v)


def _per_amp(evse: Evse, unit: Unit) -> float:
    """Return what an ampere per phase counts in a unit; watts of a DC EVSE are those at its outlet."""
    efficiency = evse.efficiency if evse.wiring is Wiring.DC else 1.0
    return 1.0 if unit is Unit.AMPS else evse.watts_per_amp * efficiency


def _shared(wanted_a: dict[int, float], total: float, per_amp: dict[int, float]) -> dict[int, float]:
    """Return currents that sum up to a total at most: equal shares, what the modest leave goes to the others."""
    shares_a, left = {}, total
    for count, n in enumerate(sorted(wanted_a, key=lambda n: wanted_a[n] * per_amp[n])):
        share = min(wanted_a[n] * per_amp[n], left / (len(wanted_a) - count))
        shares_a[n] = share / per_amp[n]
        left -= share
    return shares_a


def _matches(entry: _Installed, which: Filter) -> bool:
    profile = entry.profile
    return profile.purpose is not Purpose.EXTERNAL and (
        which.id in (None, profile.id)
        and which.evse in (None, entry.evse)
        and which.purpose in (None, profile.purpose)
        and which.stack_level in (None, profile.stack_level)
    )
