"""Firmware campaigns: one version, ring after ring, and stopped before a bad one reaches everybody.

A campaign is the fold of its lines in the logbook and of the facts since: what a station was ordered is
a line, what became of it is what the station said.  `steps` decides what to do next and does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import Enum
from math import inf
from typing import Final, TypeAlias, assert_never

from smartcharge.codec import Codec
from smartcharge.events import (
    Derated,
    Event,
    FaultRaised,
    FirmwareReported,
    Plugged,
    StationBooted,
    TransactionStarted,
    Unplugged,
)
from smartcharge.faults import Effect
from smartcharge.maintenance.ports import Place
from smartcharge.maintenance.timeline import timelines
from smartcharge.model import EvseId, StationId
from smartcharge.ports import Kept, Written

FAILED: Final = frozenset({"DownloadFailed", "InstallationFailed", "InstallVerificationFailed", "InvalidSignature"})
"""OCPP firmware statuses after which nothing more comes of an order (1.6 has the first two)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A firmware file that stations fetch."""

    version: str
    """As stations name it when they boot."""
    location: str
    """URL."""
    signing_certificate: str | None = None
    """PEM; given together with ``signature``."""
    signature: str | None = None
    """Base64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a campaign may risk."""

    soak_s: float = 86400.0
    """How long a ring must run well before the next one begins [s]."""
    patience_s: float = 7200.0
    """How long one update may take before it counts as failed [s]."""
    most_failed: float = 0.1
    """Share of the stations updated so far that may fail; beyond it the campaign stops."""
    least_available: float = 0.5
    """Share of the site's ports that must stay in service while stations update."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    at_s: float
    campaign: str
    author: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignStarted(_Entry):
    """Stations of one make are to get a version, ring by ring."""

    image: Image
    rings: tuple[tuple[StationId, ...], ...]
    rules: Rules
    rollback: Image | None = None
    """What stations get back if the campaign stops; None leaves them as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateOrdered(_Entry):
    """A station is about to be ordered to update, or to go back."""

    station: StationId
    request_id: int
    is_rollback: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateUnsent(_Entry):
    """The order did not reach the station; it is ordered again later."""

    station: StationId
    request_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateRefused(_Entry):
    """The station said no."""

    station: StationId
    request_id: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignStopped(_Entry):
    """No station is updated any more."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignFinished(_Entry):
    """Every ring has soaked; or, after a stop, whoever ran the version was told to go back."""


Entry: TypeAlias = CampaignStarted | UpdateOrdered | UpdateUnsent | UpdateRefused | CampaignStopped | CampaignFinished
ENTRIES: Final[Codec[Entry]] = Codec(Entry, "an entry of a campaign")


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A campaign as it stands in the logbook."""

    started: CampaignStarted
    ordered: Mapping[StationId, UpdateOrdered]
    """The last order to each station that reached it, or may have."""
    refused: frozenset[StationId] = frozenset()
    stopped: CampaignStopped | None = None
    finished: CampaignFinished | None = None

    @property
    def id(self) -> str:
        """Return its name."""
        return self.started.campaign


def entries(written: Sequence[Written]) -> list[Entry]:
    """Return what a logbook says of campaigns; raises StoreError."""
    return [ENTRIES.decode(line.kind, line.body) for line in written if ENTRIES.knows(line.kind)]


def campaigns(lines: Sequence[Entry]) -> Mapping[str, Campaign]:
    """Return all campaigns by name, in the order of their starts."""
    known: dict[str, Campaign] = {}
    for line in lines:
        if isinstance(line, CampaignStarted):
            known[line.campaign] = Campaign(started=line, ordered={})
        else:
            known[line.campaign] = _after(known[line.campaign], line)
    return known


def _after(
    campaign: Campaign, line: UpdateOrdered | UpdateUnsent | UpdateRefused | CampaignStopped | CampaignFinished
) -> Campaign:
    match line:
        case UpdateOrdered():
            refused = campaign.refused - {line.station}
            return replace(campaign, ordered={**campaign.ordered, line.station: line}, refused=refused)
        case UpdateUnsent():
            return replace(campaign, ordered={s: o for s, o in campaign.ordered.items() if s != line.station})
        case UpdateRefused():
            return replace(campaign, refused=campaign.refused | {line.station})
        case CampaignStopped():
            return replace(campaign, stopped=line)
        case CampaignFinished():
            return replace(campaign, finished=line)
        case _:
            assert_never(line)


class Progress(Enum):
    """What became of a station."""

    WAITING = "waiting"
    UPDATING = "updating"
    UPDATED = "updated"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a station, since when, and why."""

    progress: Progress
    since_s: float
    reason: str = ""


def outcomes(campaign: Campaign, place: Place, facts: Sequence[Kept], now_s: float) -> dict[StationId, Outcome]:
    """Return what became of each station of a campaign by now."""
    station_of = {port.evse: port.station for port in place.ports}
    since: dict[StationId, list[Event]] = {station: [] for ring in campaign.started.rings for station in ring}
    for _, event in facts:
        if event.at_s >= campaign.started.at_s:
            station = getattr(event, "station", None) or station_of.get(getattr(event, "evse", EvseId("")))
            if station in since:
                since[station].append(event)
    return {station: _outcome(campaign, station, events, now_s) for station, events in since.items()}


def _outcome(campaign: Campaign, station: StationId, events: Sequence[Event], now_s: float) -> Outcome:
    order = campaign.ordered.get(station)
    if order is None:
        return Outcome(progress=Progress.WAITING, since_s=campaign.started.at_s)
    if station in campaign.refused:
        return Outcome(progress=Progress.FAILED, since_s=order.at_s, reason="refused")
    image = campaign.started.rollback if order.is_rollback else campaign.started.image
    assert image is not None
    rules = campaign.started.rules
    booted_s: float | None = None
    for event in events:
        if event.at_s < order.at_s:
            continue
        if (reason := _failure(event, order, booted_s, rules)) is not None:
            return Outcome(progress=Progress.FAILED, since_s=event.at_s, reason=reason)
        if isinstance(event, StationBooted) and event.firmware == image.version and booted_s is None:
            booted_s = event.at_s
    if booted_s is not None:
        return Outcome(progress=Progress.UPDATED, since_s=booted_s)
    if now_s - order.at_s > rules.patience_s:
        reason = f"does not run {image.version}"
        return Outcome(progress=Progress.FAILED, since_s=order.at_s + rules.patience_s, reason=reason)
    return Outcome(progress=Progress.UPDATING, since_s=order.at_s)


def _failure(event: Event, order: UpdateOrdered, booted_s: float | None, rules: Rules) -> str | None:
    """Return why an update failed by an event: the station says so, or a fault stops it while its ring soaks."""
    match event:
        case FirmwareReported(status=status, request_id=number) if status in FAILED:
            return status if number in (None, order.request_id) else None
        case FaultRaised(code=code, effect=Effect.FAULTED) if booted_s is not None:
            return f"{code} after the update" if event.at_s - booted_s <= rules.soak_s else None
        case Derated(cause=cause, limit_a=0.0) if booted_s is not None:
            return f"{cause.value} after the update" if event.at_s - booted_s <= rules.soak_s else None
        case _:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Give:
    """Order a station to fetch an image."""

    station: StationId
    image: Image
    is_rollback: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Stop the campaign."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """Every ring has soaked."""


Step: TypeAlias = Give | Stop | Finish


def steps(campaign: Campaign, place: Place, facts: Sequence[Kept], now_s: float) -> list[Step]:
    """Return what to do now: updates to order, or the end of the campaign; nothing while a ring soaks."""
    known = outcomes(campaign, place, facts, now_s)
    updating = {station for station, one in known.items() if one.progress is Progress.UPDATING}
    if campaign.stopped is not None:
        # What the new version broke is out of service: that is no reason to leave it there.
        room = _Room.of(place, facts, updating, campaign.started.rules, is_repair=True)
        told = {station for station, order in campaign.ordered.items() if order.is_rollback}
        left = [station for station in _running(campaign, facts) if station not in told]
        return list(_rollbacks(campaign, left, room)) if left or updating else [Finish()]
    room = _Room.of(place, facts, updating, campaign.started.rules)
    reason = _too_many_failures(campaign, known)
    return [Stop(reason=reason)] if reason is not None else _next(campaign, known, room, now_s)


def _too_many_failures(campaign: Campaign, known: Mapping[StationId, Outcome]) -> str | None:
    ended = [one for one in known.values() if one.progress in (Progress.UPDATED, Progress.FAILED)]
    failed = [f"{station}: {one.reason}" for station, one in known.items() if one.progress is Progress.FAILED]
    if len(failed) <= campaign.started.rules.most_failed * len(ended):
        return None
    return f"{len(failed)} of {len(ended)} failed: {'; '.join(failed)}"


def _next(campaign: Campaign, known: Mapping[StationId, Outcome], room: _Room, now_s: float) -> list[Step]:
    started = campaign.started
    for ring in started.rings:
        waiting = [station for station in ring if known[station].progress is Progress.WAITING]
        if waiting:
            return [Give(station=station, image=started.image) for station in waiting if room.take(station)]
        is_soaking = now_s < max(known[station].since_s for station in ring) + started.rules.soak_s
        if is_soaking or any(known[station].progress is Progress.UPDATING for station in ring):
            return []
    return [Finish()]


def _running(campaign: Campaign, facts: Sequence[Kept]) -> list[StationId]:
    """Return the stations that were ordered to update and run the version now."""
    runs = firmware(facts)
    version = campaign.started.image.version
    return [s for s in campaign.ordered if (boot := runs.get(s)) is not None and boot.firmware == version]


def _rollbacks(campaign: Campaign, left: Sequence[StationId], room: _Room) -> Iterator[Give]:
    image = campaign.started.rollback
    for station in left:
        if image is not None and room.take(station):
            yield Give(station=station, image=image, is_rollback=True)


def firmware(facts: Sequence[Kept]) -> dict[StationId, StationBooted]:
    """Return what each station said when it booted last: vendor, model, firmware."""
    return {event.station: event for _, event in facts if isinstance(event, StationBooted)}


@dataclass(slots=True, kw_only=True)
class _Room:
    """Which stations are idle, and how many ports may still go out of service."""

    ports_of: Mapping[StationId, int]
    """Ports that a station takes out of service if it updates now."""
    idle: set[StationId]
    spare: int

    @classmethod
    def of(
        cls,
        place: Place,
        facts: Sequence[Kept],
        updating: AbstractSet[StationId],
        rules: Rules,
        *,
        is_repair: bool = False,
    ) -> _Room:
        lines = timelines(place.ports, facts).values()
        held = {line.port.evse for line in lines if any(hold.until_s == inf for hold in line.holds)}
        out = held | {port.evse for port in place.ports if port.station in updating}
        busy = {port.evse for port in place.ports if port.station in updating} if is_repair else out
        free = _free(facts) - busy
        stations = {port.station for port in place.ports}
        return cls(
            ports_of={s: sum(port.station == s and port.evse not in out for port in place.ports) for s in stations},
            idle={s for s in stations if all(port.evse in free for port in place.ports if port.station == s)},
            spare=int(len(place.ports) * (1.0 - rules.least_available) + 1e-9) - len(out),
        )

    def take(self, station: StationId) -> bool:
        """Tell whether a station may update now, and count its ports out if so."""
        if station not in self.idle or self.ports_of[station] > self.spare:
            return False
        self.idle.discard(station)
        self.spare -= self.ports_of[station]
        return True


def _free(facts: Sequence[Kept]) -> set[EvseId]:
    """Return the EVSEs whose last word is that no car is there; of the others one may be."""
    free: set[EvseId] = set()
    for _, event in facts:
        match event:
            case Unplugged(evse=evse):
                free.add(evse)
            case Plugged(evse=evse) | TransactionStarted(evse=evse):
                free.discard(evse)
            case _:
                pass
    return free
