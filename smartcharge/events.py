"""Everything that can happen at a site: one closed union of frozen dataclasses.

Events are facts.  The state of a site is the fold of its events (I5), so an event carries all that
`control.state.apply` needs.  ``at_s`` is when it became known here, in POSIX seconds (UTC).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from smartcharge.faults import Cause, DeratingStage, Effect, OrderKind, Priority
from smartcharge.model import CircuitId, Direction, EvseId, Form, GridLimit, Phases, Scope, StationId


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """What every event has: the time it became known [s since 1970, UTC]."""

    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StationBooted(Happening):
    """A station said hello after power-up; what it was told before may be lost."""

    station: StationId
    vendor: str | None = None
    model: str | None = None
    firmware: str | None = None
    serial: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StationLearnt(Happening):
    """A station told what it can do with charging profiles (OCPP SmartChargingCtrlr and 1.6 keys)."""

    station: StationId
    rate_unit: str | None = None
    """"A" or "W": the unit in which it takes limits; None when it did not say."""
    max_stack_level: int | None = None
    max_periods: int | None = None
    max_profiles: int | None = None
    """How many charging profiles it can hold; None when it did not say."""
    phases: int | None = None
    steps_a: tuple[float, ...] = ()
    """Currents that it took where it refused others [A]; empty while it takes any."""
    refused_a: tuple[float, ...] = ()
    """Currents that it refused [A]."""
    form: Form | None = None
    """The form of setpoints that it accepted."""
    default_form: Form | None = None
    """The form of default profiles that it accepted."""
    limits_end: bool = True
    """Whether it drops a setpoint by itself when it expires."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StationOnline(Happening):
    """A station's connection stands."""

    station: StationId
    standard: str | None = None
    """What it speaks, by its WebSocket subprotocol, e.g. ``ocpp2.0.1``; None where that is not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StationOffline(Happening):
    """A station's connection is gone, or it has been silent too long."""

    station: StationId
    reason: str = "connection closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class StationHeld(Happening):
    """A station that the site file does not have asks to be served; foreign words are quoted and cut short."""

    identity: str
    address: str
    vendor: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareReported(Happening):
    """A station told how far a firmware update is (OCPP FirmwareStatusNotification)."""

    station: StationId
    status: str
    """OCPP 2.0.1 FirmwareStatusEnumType, e.g. ``Downloading``, ``Installed``, ``InvalidSignature``."""
    request_id: int | None = None
    """The order that it belongs to; None where the version does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogReported(Happening):
    """A station told how far the upload of a log is (OCPP LogStatusNotification, DiagnosticsStatusNotification)."""

    station: StationId
    status: str
    """OCPP 2.0.1 UploadLogStatusEnumType, e.g. ``Uploading``, ``Uploaded``, ``UploadFailure``."""
    request_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityReported(Happening):
    """A station told of something that concerns its security (OCPP SecurityEventNotification)."""

    station: StationId
    kind: str
    """OCPP security event, e.g. ``InvalidFirmwareSignature``, ``TamperDetectionActivated``."""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationUpdated(Happening):
    """A station told that a reservation ended without being used (OCPP 2.x ReservationStatusUpdate)."""

    station: StationId
    reservation_id: int
    status: str
    """``Expired``, ``Removed``, or ``NoTransaction``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugged(Happening):
    """A car is connected."""

    evse: EvseId


@dataclass(frozen=True, slots=True, kw_only=True)
class Unplugged(Happening):
    """The EVSE is free: no car is connected."""

    evse: EvseId


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionStarted(Happening):
    """A transaction began; from here on the station follows transaction profiles."""

    evse: EvseId
    transaction_id: str
    id_token: str | None = None
    meter_wh: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionEnded(Happening):
    """A transaction ended; the car may still be connected."""

    evse: EvseId
    transaction_id: str
    meter_wh: float | None = None
    reason: str | None = None


class Charging(Enum):
    """Charging state of a transaction (OCPP 2.0.1 ChargingStateEnumType)."""

    CHARGING = "Charging"
    SUSPENDED_EV = "SuspendedEV"
    SUSPENDED_EVSE = "SuspendedEVSE"
    IDLE = "Idle"
    EV_CONNECTED = "EVConnected"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargingChanged(Happening):
    """A connected car began, paused or resumed drawing, and who paused it."""

    evse: EvseId
    state: Charging


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered(Happening):
    """A station measured one of its EVSEs.  Every value may be missing."""

    evse: EvseId
    current_a: Phases | None = None
    """On the EVSE's own L1, L2, L3; a line-to-line EVSE reports on L1."""
    power_w: float | None = None
    energy_wh: float | None = None
    """The meter's register, not the session's energy."""
    soc: float | None = None
    """State of charge, 0 to 1."""
    voltage_v: Phases | None = None
    """On the EVSE's own L1, L2, L3; a phase that it does not have repeats one that it has."""
    body_c: float | None = None
    """Temperature inside the enclosure [C]."""
    outlet_c: float | None = None
    """Temperature of connector and cable [C]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitMetered(Happening):
    """A meter on a circuit measured everything that flows through it."""

    circuit: CircuitId
    current_a: Phases


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedStated(Happening):
    """Somebody said what the car at an EVSE needs; a None field says nothing about it."""

    evse: EvseId
    energy_wh: float | None = None
    depart_at_s: float | None = None
    priority: int | None = None
    max_a: float | None = None
    """The most that the car says it can take [A] (ISO 15118)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSet(Happening):
    """A grid operator limits a circuit; the newest from one source on one circuit and direction replaces its last."""

    source: str
    circuit: CircuitId
    current_a: Phases | None = None
    power_w: float | None = None
    """Total of all phases [W]; with ``current_a`` both hold."""
    valid_until_s: float | None = None
    """End of validity; None falls under the site's staleness policy for grid limits, or the source's heartbeat."""
    scope: Scope = Scope.SITE
    direction: Direction = Direction.IMPORT
    start_s: float | None = None
    priority: int | None = None
    version: str = ""
    """What its operator calls it: id and version."""
    issued_at_s: float | None = None
    """When it was said, if that may lie back: a broker kept it; None for just now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitLifted(Happening):
    """A grid operator said in so many words that its limit no longer applies."""

    source: str
    circuit: CircuitId
    issued_at_s: float | None = None
    """When it was said, if that may lie back: a broker kept it; None for just now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsReplaced(Happening):
    """Everything that a grid operator asks for, now and later; it replaces all that the source said before."""

    source: str
    limits: tuple[GridLimit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceHeard(Happening):
    """A grid operator gave a sign of life: a heartbeat, or the answer to a poll."""

    source: str
    skew_s: float | None = None
    """How far its clock is ahead of ours [s]; None where it does not tell."""
    until_s: float | None = None
    """Until when it wants to count as there (OSCP ``offline_mode_at``); None goes by the site file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailsafeStep:
    """What holds from a time to another while an operator is not heard."""

    start_s: float
    end_s: float | None
    """None: for ever."""
    power_w: float
    """Total of all phases [W]."""
    direction: Direction = Direction.IMPORT


@dataclass(frozen=True, slots=True, kw_only=True)
class FailsafeSet(Happening):
    """A grid operator said what holds while it is not heard (LPC failsafe, OpenADR subscription, OSCP fallback)."""

    source: str
    power_w: float | None = None
    """Total of all phases [W] where no step says otherwise; None leaves what the site file says."""
    steps: tuple[FailsafeStep, ...] = ()
    """What it said for certain times; of those that overlap the strictest counts."""
    duration_s: float | None = None
    """Least stay in failsafe; None leaves what the site file says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GridAlert:
    """Something that a grid operator wants people to know (OpenADR 3, ALERT_*)."""

    kind: str
    """What it is about, e.g. ``ALERT_GRID_EMERGENCY``."""
    text: str
    start_s: float
    end_s: float | None
    """None: until it is taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsSet(Happening):
    """All that a grid operator warns of, now and later; it replaces what the source warned of before."""

    source: str
    alerts: tuple[GridAlert, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareWanted(Happening):
    """A site of a group said what it needs, and what it holds itself to."""

    member: str
    token: str
    """Names this very word: the share that answers it counts from when it was sent."""
    wanted_w: float
    """What it would draw if nobody limited it but itself [W]."""
    reserved_w: float
    """The most that it may be drawing now, whatever its stations do [W]."""
    measured_w: float | None
    """What flows now [W]; None if nothing tells."""
    limit_w: float
    """What it holds itself to now [W]."""
    number: int
    """The newest share that it took; 0 for none."""
    is_lapsed: bool
    """Whether that share is over for it, so that it takes only a newer one."""
    safe_w: float
    """Its safe share by its own site file [W]."""
    linger_s: float
    """How long its stations may go on as they were told when its controller dies [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareLeased(Happening):
    """A site of a group is given a share of the group's limit; the next number replaces it."""

    member: str
    number: int
    limit_w: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareLapsed(Happening):
    """A share was not renewed for so long that its site surely is down to its safe share, whatever died there."""

    member: str
    number: int


class Stage(Enum):
    """What becomes of a grid limit, in this order."""

    BINDS = "binds"
    """It is understood and its time has come."""
    APPLIED = "applied"
    """Whatever stations may be following now fits it: the last one has confirmed."""
    UNMET = "cannot comply"
    """It could not be applied within the declared time."""
    MEASURED = "measured"
    """The meters show that it is kept."""
    EXCEEDED = "exceeded"
    """The meters show that it is not kept."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitFollowed(Happening):
    """One step in the life of a grid limit, found by the controller: the proof of compliance is made of these."""

    source: str
    circuit: CircuitId
    version: str
    """What tells it apart from others of its source: what its operator calls it, and its direction."""
    since_s: float
    """Start of the limit, or its arrival."""
    stage: Stage
    seen_s: float
    """When it came about: the last confirmation, the measurement."""
    over_w: float = 0.0
    """How far over the limit [W]."""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStepped(Happening):
    """The machine's clock was set: what was measured by it before lies elsewhere now."""

    step_s: float
    """Forward if positive [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerStarted(Happening):
    """The controller starts: what it knew of lines to grid operators is of another life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PricesSet(Happening):
    """Prices of energy from ``start_s`` on, one every ``step_s`` [money/kWh]."""

    start_s: float
    step_s: float
    per_kwh: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IntensitySet(Happening):
    """Carbon intensity of energy from ``start_s`` on, one every ``step_s`` [g CO2 equivalent/kWh]."""

    start_s: float
    step_s: float
    g_per_kwh: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingPeriodBegan(Happening):
    """A month began where the site is: its highest power so far is paid for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRaised(Happening):
    """Hardware reported a fault, or one was derived from what it does."""

    evse: EvseId
    code: str
    """A word of `faults.Cause` where we found it; else what the station said: an OCPP 1.6 ChargePointErrorCode, a
    2.x techCode, or a component."""
    detail: str = ""
    vendor: str | None = None
    """Whose vocabulary ``vendor_code`` is of (OCPP 1.6 vendorId)."""
    vendor_code: str | None = None
    effect: Effect | None = None
    """Whether the station goes on; None where it did not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultCleared(Happening):
    """A fault is gone."""

    evse: EvseId
    code: str


class ProfileKind(Enum):
    """The two profiles we install, by the OCPP purposes they use."""

    DEFAULT = "TxDefaultProfile"
    """Low and never ending: the station's own failsafe."""
    TRANSACTION = "TxProfile"
    """Short and renewed: the setpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commanded(Happening):
    """A limit is about to be sent; from now on the station may be following it."""

    command_id: int
    evse: EvseId
    kind: ProfileKind
    limit_a: float
    expires_s: float | None
    """When the station drops back to its default profile; None for the default profile itself."""
    transaction_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted(Happening):
    """The station confirmed a command."""

    command_id: int
    evse: EvseId


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected(Happening):
    """The station refused a command: it goes on as before."""

    command_id: int
    evse: EvseId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered(Happening):
    """A command was not answered in time, or the link broke: it may or may not be in force."""

    command_id: int
    evse: EvseId


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfilesCleared(Happening):
    """An EVSE is about to be told to forget all its profiles: until others are confirmed it may do what it can."""

    evse: EvseId


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendLimited(Happening):
    """The operator's back-end limits an EVSE by its charging profiles; ``limit_a`` None lifts it."""

    evse: EvseId
    limit_a: float | None


class Obedience(Enum):
    """How a station follows the limit that it accepted, by its own meter."""

    OBEYING = "obeying"
    LAGGING = "lagging"
    """Above a lower limit that it was told a moment ago."""
    IGNORING = "ignoring"
    CAR_LIMITED = "car-limited"
    """The car takes less than it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed(Happening):
    """How a station follows its limit changed, or something is done about one that does not."""

    evse: EvseId
    verdict: Obedience
    detail: str
    """One sentence for the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorOrder(Happening):
    """A person caps an EVSE, or lifts the cap with ``limit_a`` None."""

    evse: EvseId
    limit_a: float | None
    author: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched(Happening):
    """The controller has been at work without a break; what was not heard in that time did not happen."""

    since_s: float
    """When it was started [s since 1970]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Derated(Happening):
    """A fault holds an EVSE down from now on, or lets it up by a step; the newest of a cause replaces its last."""

    evse: EvseId
    cause: Cause
    stage: DeratingStage
    limit_a: float
    """What it may have at most [A]; below its minimum it is stopped."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored(Happening):
    """A cause holds an EVSE down no more."""

    evse: EvseId
    cause: Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFaultRaised(Happening):
    """Something is wrong that is more than one EVSE's: with a circuit's meter, a station's link, or many ports."""

    subject: str
    """``circuit ID``, ``station ID`` or ``site``."""
    cause: Cause
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFaultCleared(Happening):
    """It is gone."""

    subject: str
    cause: Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceNeeded(Happening):
    """Somebody has to come: what maintenance makes a work order of; a higher priority replaces a lower."""

    subject: str
    """``evse ID``, ``circuit ID``, ``station ID`` or ``site``."""
    cause: Cause
    priority: Priority
    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetOrdered(Happening):
    """A station is to be restarted softly: transactions end first."""

    station: StationId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultOrder(Happening):
    """A person decides about a fault of an EVSE."""

    evse: EvseId
    cause: Cause
    kind: OrderKind
    author: str
    reason: str
    limit_a: float | None = None
    """Of a forced derate [A]; None is 0."""
    until_s: float | None = None
    """End of a mute [s since 1970]."""
    work_order: int | None = None
    """Number of the work order under which it was repaired: without one no latch opens."""


class SelfTest(Enum):
    """What a site tries by itself, now and then."""

    CONNECTION = "connection"
    """A station answers a question, and soon."""
    METER = "meter"
    """What a station measures fits together: register, power, current."""
    SETPOINT = "setpoint"
    """A car that charges follows a lower limit, and comes back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTested(Happening):
    """A self-test came to an end; one that could not be judged is none."""

    subject: str
    """``evse ID`` or ``station ID``."""
    test: SelfTest
    passed: bool
    detail: str
    """What was seen, in figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CarMeasured(Happening):
    """How a car behaved in a transaction that ended; a None says that nothing showed it."""

    evse: EvseId
    transaction_id: str
    id_token: str | None
    phases: int | None
    """Phases that it drew from."""
    of_phases: int
    """Phases that were there."""
    best_a: float
    """The most that it drew [A per phase]."""
    kept_at_a: float | None
    """The lowest offer at which it went on [A]."""
    lost_at_a: float | None
    """The highest offer, not below the EVSE's minimum, to which it was lowered and at which it stopped [A]."""
    woke_s: float | None
    """After a pause of ours, how long until it drew again [s]; the longest of several."""
    slept: bool
    """Whether it did not wake after one."""


Event: TypeAlias = (
    StationBooted
    | StationLearnt
    | StationOnline
    | StationOffline
    | StationHeld
    | FirmwareReported
    | LogReported
    | SecurityReported
    | ReservationUpdated
    | Plugged
    | Unplugged
    | TransactionStarted
    | TransactionEnded
    | ChargingChanged
    | Metered
    | CircuitMetered
    | NeedStated
    | LimitSet
    | LimitLifted
    | LimitsReplaced
    | SourceHeard
    | FailsafeSet
    | AlertsSet
    | ShareWanted
    | ShareLeased
    | ShareLapsed
    | LimitFollowed
    | ClockStepped
    | ControllerStarted
    | PricesSet
    | IntensitySet
    | BillingPeriodBegan
    | FaultRaised
    | FaultCleared
    | Commanded
    | Accepted
    | Rejected
    | Unanswered
    | ProfilesCleared
    | Followed
    | BackendLimited
    | OperatorOrder
    | Watched
    | Derated
    | Restored
    | SiteFaultRaised
    | SiteFaultCleared
    | ServiceNeeded
    | ResetOrdered
    | FaultOrder
    | SelfTested
    | CarMeasured
)
