"""What is known of a site: the fold of its events (I5), and the only place where state changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

from smartcharge.control import beliefs, beside, demand, liveness, records, sessions, shares
from smartcharge.control.beside import MeterState
from smartcharge.control.demand import Demand
from smartcharge.control.evse import DRAWS_A, EvseState, drawn_a, worst_a
from smartcharge.control.health import fold
from smartcharge.control.health import sessions as conduct
from smartcharge.control.health.sessions import CarSeen
from smartcharge.control.health.vocabulary import cause_of
from smartcharge.control.liveness import SourceState
from smartcharge.control.prediction import History
from smartcharge.control.records import Record
from smartcharge.control.shares import MemberState
from smartcharge.control.topology import Topology
from smartcharge.events import (
    Accepted,
    AlertsSet,
    BackendLimited,
    BillingPeriodBegan,
    CarMeasured,
    ChargingChanged,
    CircuitMetered,
    ClockStepped,
    Commanded,
    ControllerStarted,
    Derated,
    Event,
    FailsafeSet,
    FaultCleared,
    FaultOrder,
    FaultRaised,
    FirmwareReported,
    Followed,
    IntensitySet,
    LimitFollowed,
    LimitLifted,
    LimitSet,
    LimitsReplaced,
    LogReported,
    Metered,
    NeedStated,
    OperatorOrder,
    Plugged,
    PricesSet,
    ProfilesCleared,
    Rejected,
    ReservationUpdated,
    ResetOrdered,
    Restored,
    SecurityReported,
    SelfTested,
    ServiceNeeded,
    ShareLapsed,
    ShareLeased,
    ShareWanted,
    SiteFaultCleared,
    SiteFaultRaised,
    SourceHeard,
    StationBooted,
    StationHeld,
    StationLearnt,
    StationOffline,
    StationOnline,
    TransactionEnded,
    TransactionStarted,
    Unanswered,
    Unplugged,
    Watched,
)
from smartcharge.faults import Cause, Priority
from smartcharge.frozen import replace
from smartcharge.model import CircuitId, EvseId, Phases, Site, Station, StationId

CAME_S = 3600.0
"""How long a connection of a station is remembered [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StationState:
    """What is known of one station."""

    online: bool = False
    boot: StationBooted | None = None
    learnt: StationLearnt | None = None
    offline_since_s: float | None = None
    """Since when it is away; None while it is here, or was never."""
    came_s: tuple[float, ...] = ()
    """When it connected within the last hour."""
    reset_s: float | None = None
    """When it was last ordered to restart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything the controller knows."""

    site: Site
    at_s: float
    evses: Mapping[EvseId, EvseState]
    stations: Mapping[StationId, StationState]
    sources: Mapping[str, SourceState]
    """Grid operators: those that the site waits for, and whoever else limits it."""
    meters: Mapping[CircuitId, MeterState]
    prices: PricesSet | None
    intensity: IntensitySet | None = None
    """Carbon intensity of the grid, where somebody tells."""
    last_command_id: int
    demand: Demand = field(default_factory=Demand)
    """What was drawn, as far as it is charged for: what is paid for is free until the billing period ends."""
    history: History = field(default_factory=History)
    """What the sessions that ended have taught."""
    station_of: Mapping[EvseId, Station]
    records: Mapping[tuple[str, CircuitId, str, float], Record] = field(default_factory=dict)
    """What became of grid limits, newest last."""
    site_faults: Mapping[tuple[str, Cause], SiteFaultRaised] = field(default_factory=dict)
    """What is wrong with more than one EVSE, by subject and cause."""
    site_reported: Mapping[tuple[str, Cause], Priority] = field(default_factory=dict)
    """What of it maintenance knows."""
    cars: Mapping[str, CarSeen] = field(default_factory=dict)
    """What is known of cars, by token."""
    members: Mapping[str, MemberState] = field(default_factory=dict)
    """Sites that share our limit; only a group has any."""
    topology: Topology = field(compare=False)
    """Rows of the network with the phases that each car was found to use; derived, so it is not compared."""

    @classmethod
    def initial(cls, site: Site) -> State:
        """Return what is known before anything was heard: nothing, so every station may do its worst."""
        return cls(
            site=site,
            at_s=0.0,
            evses={
                evse.id: EvseState(evse=evse, defaults=beliefs.unheard(evse, station))
                for station in site.stations
                for evse in station.evses
            },
            stations={station.id: StationState() for station in site.stations},
            sources={source.id: liveness.expected(source) for source in site.grid},
            meters={},
            prices=None,
            last_command_id=0,
            station_of={evse.id: station for station in site.stations for evse in station.evses},
            members={} if site.group is None else shares.unheard(site.group),
            topology=Topology.of(site),
        )

    def is_online(self, evse: EvseId) -> bool:
        """Tell whether the station of an EVSE can be reached."""
        return self.stations[self.evses[evse].evse.station].online

    def reserved_a(self, evse: EvseId, now_s: float) -> float:
        """Return the current [A] to keep free for an EVSE: the worst that it may do right now.

        One that is online and says that no car is connected needs nothing, unless its meter tells otherwise;
        silence is no such word (I4).
        """
        known = self.evses[evse]
        if known.occupied is False and self.is_online(evse):
            is_idle = (drawn_a(known.evse, known.reading) or 0.0) < DRAWS_A
            if is_idle:
                return 0.0
        return worst_a(known, now_s)


def apply(state: State, event: Event) -> State:  # noqa: C901, PLR0911 - one return a kind of fact
    """Return the state after an event; what the site does not have changes nothing but the time."""
    state = replace(state, at_s=max(state.at_s, event.at_s))
    match event:
        case StationBooted() | StationLearnt() | StationOnline() | StationOffline() | ResetOrdered():
            return _station(state, event) if event.station in state.stations else state
        case SiteFaultRaised() | SiteFaultCleared() | ServiceNeeded():
            return _site_fault(state, event)
        case CircuitMetered():
            return _circuit_metered(state, event)
        case LimitSet() | LimitLifted() | LimitsReplaced() | SourceHeard() | FailsafeSet() | AlertsSet():
            return _grid(state, event)
        case ShareWanted() | ShareLeased() | ShareLapsed():
            return _shared(state, event)
        case LimitFollowed():
            return replace(state, records=records.followed(state.records, state.sources, event))
        case ClockStepped() | ControllerStarted():
            return replace(state, sources={n: liveness.disturbed(k, event) for n, k in state.sources.items()})
        case PricesSet():
            return replace(state, prices=event)
        case IntensitySet():
            return replace(state, intensity=event)
        case BillingPeriodBegan():
            return replace(state, demand=demand.billed(state.demand, event.at_s))
        case (
            StationHeld()
            | Followed()
            | FirmwareReported()
            | LogReported()
            | SecurityReported()
            | ReservationUpdated()
            | Watched()
            | SelfTested()
            | CarMeasured()
        ):
            return state  # facts for people: no limit follows from them
        case _:
            return _evse(state, event) if event.evse in state.evses else state


_GridEvent: TypeAlias = LimitSet | LimitLifted | LimitsReplaced | SourceHeard | FailsafeSet | AlertsSet
_StationEvent: TypeAlias = StationBooted | StationLearnt | StationOnline | StationOffline | ResetOrdered
_EvseEvent: TypeAlias = (
    Plugged | Unplugged | TransactionStarted | TransactionEnded | ChargingChanged | Metered | NeedStated
    | FaultRaised | FaultCleared | Commanded | Accepted | Rejected | Unanswered | ProfilesCleared | OperatorOrder
    | BackendLimited | Derated | Restored | FaultOrder
)  # fmt: skip


def _station(state: State, event: _StationEvent) -> State:
    known = state.stations[event.station]
    evses: dict[EvseId, EvseState] = {}
    mine = [e for e in state.evses.values() if e.evse.station == event.station]
    match event:
        case StationBooted():
            known = replace(known, boot=event)
            station = next(s for s in state.site.stations if s.id == event.station)
            evses = {e.evse.id: beliefs.rebooted(e, station) for e in mine}
        case StationLearnt():
            known = replace(known, learnt=event)
        case StationOnline():
            # Whether a car came while it was away is unknown until it says so.
            recent = tuple(at_s for at_s in known.came_s if at_s > event.at_s - CAME_S)
            known = replace(known, online=True, offline_since_s=None, came_s=(*recent, event.at_s))
            evses = {e.evse.id: replace(e, occupied=e.occupied or None) for e in mine}
        case StationOffline():
            known = replace(known, online=False, offline_since_s=known.offline_since_s or event.at_s)
            evses = {e.evse.id: beliefs.cut_off(e) for e in mine}
        case ResetOrdered():
            known = replace(known, reset_s=event.at_s)
        case _:
            assert_never(event)
    after = replace(state, stations={**state.stations, event.station: known}, evses={**state.evses, **evses})
    return _with_phases(after) if any(_phases(e) != _phases(state.evses[name]) for name, e in evses.items()) else after


def _grid(state: State, event: _GridEvent) -> State:
    """Return the state after a word of a grid operator; nobody waits for one that the site file does not tell of."""
    if isinstance(event, LimitSet | LimitLifted) and event.circuit not in state.topology.of_circuit:
        return state
    known = state.sources.get(event.source)
    if isinstance(event, LimitSet) and known is None:
        known = liveness.unexpected(event.source, event.circuit)
    if known is None:
        return state
    after = _source(state, known, event)
    others = {name: other for name, other in state.sources.items() if name != event.source}
    is_over = not after.limits and not after.released and after.source not in state.site.grid
    return replace(state, sources=others if is_over else {**others, event.source: after})


def _shared(state: State, event: ShareWanted | ShareLeased | ShareLapsed) -> State:
    known = state.members.get(event.member)
    if known is None:
        return state
    after = replace(state, members={**state.members, event.member: shares.after(known, event)})
    if isinstance(event, ShareWanted):  # it says what it took
        after = replace(after, records=records.accepted(state.records, event.at_s))
    return after


def _source(state: State, known: SourceState, event: _GridEvent) -> SourceState:
    match event:
        case LimitSet():
            return liveness.limited(known, event, state.site.grid_limit)
        case LimitLifted():
            return liveness.lifted(known, event)
        case LimitsReplaced():
            here = tuple(limit for limit in event.limits if limit.circuit in state.topology.of_circuit)
            return liveness.replaced(known, replace(event, limits=here))
        case SourceHeard():
            return liveness.heard(known, event)
        case FailsafeSet():
            return liveness.told(known, event)
        case AlertsSet(alerts=alerts):
            return replace(known, alerts=alerts)
        case _:
            assert_never(event)


def _circuit_metered(state: State, event: CircuitMetered) -> State:
    if event.circuit not in state.topology.of_circuit:
        return state
    stale_s = 2.0 * state.site.timing.meter_interval_s
    meter = beside.metered(state.meters.get(event.circuit), event, _cars_a(state, event), stale_s)
    after = replace(state, meters={**state.meters, event.circuit: meter})
    root = state.site.circuits[0]
    return _demanding(after, root.voltage_v * sum(event.current_a), event.at_s) if event.circuit == root.id else after


def _cars_a(state: State, event: CircuitMetered) -> Phases:
    evses = (state.evses[name] for name in state.topology.evses)
    return beside.cars_a(evses, state.topology, event, 2.0 * state.site.timing.meter_interval_s)


def _evse(state: State, event: _EvseEvent) -> State:
    evse = _evse_after(state, state.evses[event.evse], event)
    last = max(state.last_command_id, event.command_id) if isinstance(event, Commanded) else state.last_command_id
    after = replace(state, evses={**state.evses, event.evse: evse}, last_command_id=last)
    visit = state.evses[event.evse].health.history.visit
    if isinstance(event, TransactionEnded):
        after = replace(after, cars=conduct.seen(state.cars, visit))
    if isinstance(event, FaultRaised) and _cause(state, evse, event) is Cause.VEHICLE:
        after = replace(after, cars=conduct.complained(state.cars, visit))
    if isinstance(event, Metered) and state.site.circuits[0].meter is None:
        after = _demanding(after, _measured_w(after), event.at_s)
    if isinstance(event, Accepted):
        after = replace(after, records=records.accepted(state.records, event.at_s))
    if isinstance(event, Unplugged):
        after = replace(after, history=sessions.taught(state.history, state.evses[event.evse], event.at_s))
    return after if _phases(evse) == _phases(state.evses[event.evse]) else _with_phases(after)


def _demanding(state: State, power_w: float, at_s: float) -> State:
    """Return the state after it was measured what flows through the grid connection [W]."""
    money = state.site.money
    if money.peak_per_kw <= 0.0:
        return state
    return replace(state, demand=demand.measured(state.demand, power_w, at_s, money.peak_period_s))


def _measured_w(state: State) -> float:
    """Return what the cars were last measured to draw together [W]."""
    oldest_s = state.at_s - 2.0 * state.site.timing.meter_interval_s
    fresh = (e.reading for e in state.evses.values() if e.reading is not None and e.reading.at_s > oldest_s)
    return sum(reading.power_w for reading in fresh if reading.power_w is not None)


def _phases(evse: EvseState) -> tuple[int | None, int | None]:
    """Return how many phases the car was found to use, and how many the EVSE has left; None where it may be all."""
    if Cause.PHASE_LOST in evse.health.deratings:
        return None, max(1, evse.health.watch.dead.count(False))
    used = evse.session.vehicle.phases_used if evse.session is not None else None
    # A car that uses all of them loads the network as one of which nothing is known: nothing to work out anew.
    return (used if used is not None and used < evse.evse.phase_count else None), None


def topology_of(site: Site, evses: Mapping[EvseId, EvseState]) -> Topology:
    """Return the network with what is known of the phases that cars use and EVSEs have left."""
    phases = {name: _phases(evse) for name, evse in evses.items()}
    used = {name: count for name, (count, _) in phases.items() if count is not None}
    live = {name: count for name, (_, count) in phases.items() if count is not None}
    return Topology.of(site, used, live)


def _with_phases(state: State) -> State:
    """Return the state with the network as it is once a car's phases are known or in doubt again."""
    state = replace(state, topology=topology_of(state.site, state.evses))
    meters = {c: beside.again(meter, _cars_a(state, meter.reading)) for c, meter in state.meters.items()}
    return replace(state, meters=meters)


def _limits_end(state: State, evse: EvseState) -> bool:
    learnt = state.stations[evse.evse.station].learnt
    return learnt is None or learnt.limits_end


def _evse_after(state: State, evse: EvseState, event: _EvseEvent) -> EvseState:  # noqa: C901, PLR0911, PLR0912 - a line a fact
    match event:
        case Plugged():
            return sessions.plugged(evse, event)
        case Unplugged():
            return sessions.unplugged(evse)
        case TransactionStarted():
            return sessions.transaction_started(evse, event)
        case TransactionEnded():
            ended = sessions.transaction_ended(evse, event)
            if ended is evse:
                return evse
            return replace(ended, health=conduct.ended(replace(evse, session=ended.session), event, state.cars))
        case ChargingChanged():
            return replace(sessions.plugged(evse, event), charging=event.state)
        case Metered():
            return sessions.metered(evse, event)
        case NeedStated():
            return sessions.need_stated(evse, event)
        case FaultRaised():
            last, cause = evse.faults.get(event.code), _cause(state, evse, event)
            is_new = last is None or _cause(state, evse, last) is not cause
            return fold.raised(evse, event, cause, is_new=is_new)
        case FaultCleared():
            known = evse.faults.get(event.code)
            return fold.cleared(evse, event, None if known is None else _cause(state, evse, known))
        case BackendLimited():
            return replace(evse, backend_a=event.limit_a)
        case OperatorOrder():
            return replace(evse, order=None if event.limit_a is None else event)
        case Commanded():
            return beliefs.commanded(evse, event, state.site.timing, ends=_limits_end(state, evse))
        case Accepted():
            return beliefs.accepted(_with_refusals(evse, 0), event, state.site.timing, ends=_limits_end(state, evse))
        case Rejected():
            return beliefs.rejected(_with_refusals(evse, evse.health.history.refusals + 1), event)
        case Unanswered():
            return beliefs.unanswered(evse, event)
        case ProfilesCleared():
            return beliefs.cleared(evse, state.station_of[evse.evse.id])
        case Derated():
            return fold.derated(evse, event)
        case Restored():
            return fold.restored(evse, event)
        case FaultOrder():
            is_there = any(_cause(state, evse, fault) is event.cause for fault in evse.faults.values())
            return fold.ordered(evse, event, is_there=is_there)
        case _:
            assert_never(event)


def _cause(state: State, evse: EvseState, fault: FaultRaised) -> Cause:
    boot = state.stations[evse.evse.station].boot
    return cause_of(fault, state.site.vendor_codes, None if boot is None else boot.vendor)


def _with_refusals(evse: EvseState, count: int) -> EvseState:
    history = evse.health.history
    if history.refusals == count:
        return evse
    return replace(evse, health=replace(evse.health, history=replace(history, refusals=count)))


def _site_fault(state: State, event: SiteFaultRaised | SiteFaultCleared | ServiceNeeded) -> State:
    key = (event.subject, event.cause)
    match event:
        case SiteFaultRaised():
            return replace(state, site_faults={**state.site_faults, key: event})
        case SiteFaultCleared():
            faults = {k: fault for k, fault in state.site_faults.items() if k != key}
            told = {k: priority for k, priority in state.site_reported.items() if k != key}
            return replace(state, site_faults=faults, site_reported=told)
        case ServiceNeeded():
            kind, _, name = event.subject.partition(" ")
            evse = state.evses.get(EvseId(name)) if kind == "evse" else None
            if evse is None:
                return replace(state, site_reported={**state.site_reported, key: event.priority})
            return replace(state, evses={**state.evses, evse.evse.id: fold.reported(evse, event)})
