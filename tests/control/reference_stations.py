"""Reference stations without I/O: the merge rules of charging profiles, and the moods of the field."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from smartcharge.events import Commanded, ProfileKind
from smartcharge.model import Control, Evse, EvseId, Station, Wiring

NEVER = float("inf")


class Mood(Enum):
    """What a station does with the next command."""

    OBEYS = "obeys"
    SLOW = "obeys after nobody waits for its answer any more"
    REFUSES = "refuses"
    HEARS_NOTHING = "hears nothing"
    LOSES_ANSWER = "obeys, but its answer is lost"


@dataclass(kw_only=True)
class Bay:
    """The truth of one EVSE: a transaction profile lies over the default until it ends or the transaction does."""

    evse: Evse
    control: Control
    default_a: float
    profile_a: float = 0.0
    profile_transaction: str | None = None
    ends_s: float = 0.0
    transaction: str | None = None
    is_plugged: bool = False
    phases: int = 3
    share: float = 1.0
    """What the car draws of what it may."""
    register_wh: float = 0.0
    offers: list[tuple[float, float]] = field(default_factory=list)
    """Time and offer [A] at each change, oldest first."""

    def offered_a(self, now_s: float) -> float:
        is_current = self.control is Control.MQTT or (
            self.transaction is not None and self.transaction == self.profile_transaction
        )
        return self.profile_a if is_current and now_s < self.ends_s else self.default_a

    def follow(self, now_s: float) -> None:
        """Write down the offer if it changed, and when: a profile that ended did so at its end."""
        offered_a = self.offered_a(now_s)
        last_s, last_a = self.offers[-1] if self.offers else (0.0, None)
        if offered_a != last_a:
            self.offers.append((self.ends_s if last_s < self.ends_s <= now_s else now_s, offered_a))

    def worst_a(self, now_s: float, settle_s: float) -> float:
        """The most that a car may draw now: the highest offer that it may still be following."""
        self.follow(now_s)
        ends_s = [start_s for start_s, _ in self.offers[1:]] + [NEVER]
        recent = [amps for (_, amps), end_s in zip(self.offers, ends_s, strict=True) if end_s + settle_s > now_s]
        return max(recent) if self.is_plugged else 0.0

    def own_a(self, amps: float) -> tuple[float, float, float]:
        """A draw on the EVSE's own L1, L2 and L3."""
        used = self.phases if self.evse.wiring is Wiring.THREE_PHASE else 1
        return amps, amps if used > 1 else 0.0, amps if used > 2 else 0.0

    def obey(self, command: Commanded, clock_off_s: float, now_s: float) -> bool:
        """Take a command; False if it is for a transaction that is not there."""
        self.follow(now_s)
        if command.kind is ProfileKind.DEFAULT:
            self.default_a = command.limit_a
        elif self.control is Control.OCPP and command.transaction_id != self.transaction:
            return False
        else:
            assert command.expires_s is not None
            self.profile_a, self.profile_transaction = command.limit_a, self.transaction
            self.ends_s = command.expires_s + clock_off_s
        self.follow(now_s)
        return True

    def forget(self, now_s: float) -> None:
        """Lose every profile, as some firmware does when it reboots (go-e #155)."""
        self.default_a, self.ends_s = _own_default_a(self.evse, self.control), 0.0
        self.follow(now_s)


@dataclass(kw_only=True)
class Peer:
    """The truth of one station and of its connection."""

    station: Station
    bays: list[Bay]
    clock_off_s: float
    mood: Mood = Mood.OBEYS
    is_online: bool = False
    is_on: bool = True
    """False while it reboots: nothing is drawn."""
    mailbox: dict[tuple[EvseId, ProfileKind], Commanded] = field(default_factory=dict)
    outstanding: Commanded | None = None
    busy_until_s: float = 0.0
    """When it has taken the commands that lie before it; it takes them in order."""
    connection: int = 0
    """Counts connections and power-ups: what is on its way through an old one is lost."""
    told: dict[EvseId, str | None] = field(default_factory=dict)
    """The transaction that it last told of each EVSE."""

    @classmethod
    def of(cls, station: Station, clock_off_s: float) -> Peer:
        bays = [
            Bay(evse=e, control=station.control, default_a=_own_default_a(e, station.control)) for e in station.evses
        ]
        return cls(station=station, bays=bays, clock_off_s=clock_off_s)


def _own_default_a(evse: Evse, control: Control) -> float:
    return evse.max_a if control is Control.OCPP else evse.default_a
