"""The nouns of a site, frozen.

Currents are AC-side amperes per phase, times are POSIX seconds (UTC), a missing value is ``None``.
Phase names follow IEC 60445: L1, L2, L3.  Rotation names follow OCPP 1.6 ``ConnectorPhaseRotation``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from math import sqrt
from typing import NamedTuple, NewType, Self

from smartcharge.faults import Cause, Response

CircuitId = NewType("CircuitId", str)
StationId = NewType("StationId", str)
EvseId = NewType("EvseId", str)
"""Unique in the site, e.g. ``"CA-315"`` or ``"yard-07/1"``."""


class Phases(NamedTuple):
    """One value for each phase, usually a current [A]."""

    l1: float
    l2: float
    l3: float

    @classmethod
    def all(cls, value: float) -> Self:
        """Return the same value on every phase."""
        return cls(value, value, value)

    def min(self, other: Phases) -> Phases:
        """Return the lower value of each phase."""
        return Phases(min(self.l1, other.l1), min(self.l2, other.l2), min(self.l3, other.l3))

    def max(self, other: Phases) -> Phases:
        """Return the higher value of each phase."""
        return Phases(max(self.l1, other.l1), max(self.l2, other.l2), max(self.l3, other.l3))


NOTHING = Phases(0.0, 0.0, 0.0)


class Wiring(Enum):
    """How an EVSE hangs on its circuit."""

    ONE_PHASE = "1-phase"
    """Between the first phase of its rotation and neutral."""
    THREE_PHASE = "3-phase"
    """Between all three phases and neutral; a car may use fewer."""
    LINE_TO_LINE = "line-to-line"
    """Between the first two phases of its rotation (208 V delta in North America)."""
    DC = "dc"
    """A rectifier, balanced on three phases; setpoints are AC-side amperes per phase."""


class Rotation(Enum):
    """Which grid phases an EVSE's own L1, L2, L3 are wired to (R = L1, S = L2, T = L3)."""

    RST = "RST"
    RTS = "RTS"
    SRT = "SRT"
    STR = "STR"
    TRS = "TRS"
    TSR = "TSR"

    @property
    def grid_phases(self) -> tuple[int, int, int]:
        """Return the grid phase index (0, 1, 2) behind the EVSE's own L1, L2 and L3."""
        first, second, third = ("RST".index(letter) for letter in self.value)
        return first, second, third


@dataclass(frozen=True, slots=True, kw_only=True)
class Staleness:
    """What to do with an input that went quiet: declared for each, never implied.

    Up to ``age_s`` after its last sample a value is fresh; for ``hold_s`` more it is held; then
    the value on expiry, the worst case that the site file declares, takes its place.
    """

    age_s: float
    hold_s: float

    @property
    def expires_s(self) -> float:
        """Return the seconds after the last sample at which the value on expiry takes over."""
        return self.age_s + self.hold_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """A meter on a circuit: measures everything that flows through it, per phase."""

    id: str
    staleness: Staleness
    frozen_s: float = 120.0
    """How long it may repeat the very same figures while cars draw before it counts as lost [s]; real ones flicker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformer:
    """A three-phase transformer, delta primary and wye secondary (Dy)."""

    primary_v: float
    """Line-to-line voltage of the side towards the grid [V]."""
    secondary_v: float
    """Line-to-line voltage of the side towards the cars [V]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """A node of the tree: what flows to everything below it must fit its rating on every phase."""

    id: CircuitId
    parent: CircuitId | None
    rating_a: Phases
    """Continuous rating [A]; of a transformer, on its primary side."""
    failsafe_a: Phases
    """Limit [A] in force when no grid limit is known; the fallback budget must fit it."""
    voltage_v: float
    """Line-to-neutral voltage [V] at which ``rating_a`` and the loads directly on it are counted."""
    transformer: Transformer | None = None
    """If set, everything below hangs on the secondary side of this transformer."""
    meter: Meter | None = None
    uncontrolled_a: Phases = NOTHING
    """Largest load [A] on this very node that is not ours to control; the value when its meter is lost."""

    @property
    def secondary_v(self) -> float:
        """Return the line-to-neutral voltage [V] offered to what hangs below."""
        return self.transformer.secondary_v / sqrt(3.0) if self.transformer else self.voltage_v


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """A plug or socket of an EVSE; one at a time is in use."""

    id: int
    type: str
    """OCPP 2.0.1 ``ConnectorEnumType``, e.g. ``sType2``, ``cType1``, ``cCCS2``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evse:
    """The unit that charges one car at a time and takes one setpoint."""

    id: EvseId
    station: StationId
    number: int
    """OCPP 2.x evseId; OCPP 1.6 connectorId."""
    wiring: Wiring
    rotation: Rotation
    voltage_v: float
    """Voltage across the load [V]: line to neutral, or line to line where so wired."""
    min_a: float
    """Lowest current [A] at which a car charges (IEC 61851: 6 A)."""
    max_a: float
    default_a: float
    """Current [A] of the default profile that the station keeps for itself; part of the fallback budget."""
    steps_a: tuple[float, ...] = ()
    """The only allowed setpoints [A], ascending from 0; empty means any in {0} and [min_a, max_a]."""
    efficiency: float = 1.0
    """DC output per AC input of a rectifier [W/W]."""
    connectors: tuple[Connector, ...] = ()
    modules: int | None = None
    """Power modules of a rectifier; None where nobody said."""
    bills: bool = False
    """Whether its own meter is what customers are billed by."""

    @property
    def phase_count(self) -> int:
        """Return the number of phases that carry the setpoint: 1 (also line to line) or 3."""
        return 3 if self.wiring in (Wiring.THREE_PHASE, Wiring.DC) else 1

    @property
    def watts_per_amp(self) -> float:
        """Return the AC power per ampere of setpoint when all phases are used [W/A]."""
        return self.phase_count * self.voltage_v

    @property
    def max_w(self) -> float:
        """Return the highest AC power [W]."""
        return self.max_a * self.watts_per_amp


class Control(Enum):
    """The way a station takes setpoints."""

    OCPP = "ocpp"
    MQTT = "mqtt"


class Way(Enum):
    """By what an OCPP station is told a limit, best first."""

    TRANSACTION = "TxProfile"
    DEFAULT = "TxDefaultProfile"
    """A default profile of two periods: the limit, and from its expiry on the low default."""
    MAXIMUM = "ChargePointMaxProfile"
    """The same as maximum of a station with one EVSE (2.x: ChargingStationMaxProfile)."""
    TRANSFER = "DataTransfer"
    """A message of the vendor, e.g. ABL SetLimit."""
    KEY = "key"
    """A configuration key, e.g. PowerLimit of IES Keywatt."""
    STOP = "stop"
    """Nothing between all and nothing: its transaction is stopped."""


class ScheduleKind(Enum):
    """OCPP chargingProfileKind, as far as it is used."""

    ABSOLUTE = "Absolute"
    RELATIVE = "Relative"
    DYNAMIC = "Dynamic"
    """2.1: installed once a transaction, then updated; it ends when the station has been offline for a while."""


class Pause(Enum):
    """How a station makes a car pause."""

    ZERO = "zero"
    """By a limit of 0 A; one that refuses it has its transaction stopped."""
    STOP = "stop"
    """By stopping its transaction: 0 A is kept by it and blocks later cars, or never resumes."""
    NEVER_STOP = "never-stop"
    """By a limit of 0 A only; a refused one stays refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The form in which a station takes a limit."""

    way: Way = Way.TRANSACTION
    unit: str = "A"
    kind: ScheduleKind = ScheduleKind.ABSOLUTE
    is_on_station: bool = False
    """Whether it is set on connector or EVSE 0."""
    names_transaction: bool = True
    stack_level: int = 0
    command: str | None = None
    """DataTransfer: vendorId/messageId; key: its name."""
    value: str | None = None
    """What is sent with it: {a} stands for whole amperes, {w} for watts, {evse} for the number of the EVSE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charging:
    """What the site file states of how an OCPP station takes limits; None is learnt by trying."""

    way: Way | None = None
    unit: str | None = None
    kind: ScheduleKind | None = None
    stack_level: int = 0
    """Some stations take no other than 0 (evcc #15493), and within a purpose one is enough."""
    pause: Pause = Pause.ZERO
    interval_s: float = 0.0
    """Least time between two raises: each profile wears a station's flash.  Lowering never waits."""
    watts_phases: int | None = None
    """By how many phases the station divides watts; None is as many as the car was measured to use."""
    command: str | None = None
    """DataTransfer: vendorId/messageId; key: its name."""
    value: str | None = None
    """What is sent, with {a} for whole amperes, {w} for watts or {evse} for the number of the EVSE in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """A charging station: one connection, one supply, one or more EVSEs."""

    id: StationId
    circuit: CircuitId
    evses: tuple[Evse, ...]
    control: Control = Control.OCPP
    rating_a: float | None = None
    """Rating [A per phase] of the supply that its EVSEs share; None where each has its own."""
    charging: Charging = Charging()
    secret: str | None = field(default=None, repr=False)
    """Hash of the Basic password (OCPP security profiles 1 and 2); None accepts any station of this identity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How fast the site acts and how long its commands live; all in seconds."""

    fast_s: float = 5.0
    """Period of the fast loop; urgent events do not wait for it."""
    slow_s: float = 300.0
    """Longest time between two plans."""
    solve_s: float = 2.0
    """Deadline of one optimisation."""
    horizon_s: float = 12 * 3600.0
    """How far a plan looks ahead."""
    first_share_s: float = 1800.0
    """How long a car may wait for its first share while others charge."""
    profile_s: float = 300.0
    """Life of a charging profile; it is renewed before half of it has passed."""
    command_s: float = 10.0
    """How long a station may take to answer a command."""
    settle_s: float = 3.0
    """How long a station and its car may take to follow an accepted limit (IEC 61851-1 Annex A: 5 s at most)."""
    margin_s: float = 5.0
    """How far a station's clock may be off when a profile expires."""
    reaction_s: float = 15.0
    """Declared time from a limit's arrival to compliance while every station answers."""
    meter_interval_s: int = 60
    """Period at which stations are told to send meter values."""
    heartbeat_s: int = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A price of energy that holds at some hours of some days, by the clock of the site."""

    per_kwh: float
    starts_s: int = 0
    """When it begins [s since midnight]."""
    ends_s: int = 0
    """When it ends; at ``starts_s`` or before it: on the next day."""
    weekdays: frozenset[int] = frozenset(range(7))
    """Days on which it holds, 0 is Monday; after midnight it is the next day."""
    months: frozenset[int] = frozenset(range(1, 13))


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """What the plan weighs: prices in the site's currency."""

    currency: str = "EUR"
    energy_per_kwh: float = 0.25
    """Price of energy when no other is known [money/kWh]."""
    tariff: tuple[Rate, ...] = ()
    """Prices by the clock; of those that hold the first counts, and prices that were sent go before them."""
    co2_per_kg: float = 0.0
    """What a kilogram of CO2 is worth, where somebody tells the intensity of the grid [money/kg]."""
    peak_per_kw: float = 0.0
    """Demand charge on the highest power of the month [money/kW]."""
    peak_period_s: float = 900.0
    """Length of the metering periods whose highest mean power that is [s]."""
    shortfall_per_kwh: float = 10.0
    """What a promised kilowatt-hour that is not delivered is worth [money/kWh]."""
    early_per_kwh_h: float = 0.01
    """What one hour of earlier delivery is worth [money/(kWh h)]."""


class Scope(Enum):
    """What a grid limit counts."""

    SITE = "site"
    """Everything that flows through the circuit."""
    LOADS = "loads"
    """What the stations below the circuit draw together (section 14a EnWG: controllable loads, not the household)."""


class Direction(Enum):
    """Which way the power goes that a grid limit counts, seen from the site."""

    IMPORT = "import"
    EXPORT = "export"
    """What the site feeds into the grid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GridLimit:
    """One limit of a grid operator: how much, on what, from when to when."""

    source: str
    """Who set it, e.g. ``"openadr dso"``."""
    circuit: CircuitId
    received_at_s: float
    current_a: Phases | None = None
    power_w: float | None = None
    """Total of all phases [W]; with ``current_a`` both hold."""
    scope: Scope = Scope.SITE
    direction: Direction = Direction.IMPORT
    start_s: float | None = None
    """None: from its arrival on."""
    end_s: float | None = None
    """None: until it is replaced."""
    priority: int | None = None
    """Among limits of one source that overlap the lowest number counts (OpenADR); None comes last."""
    version: str = ""
    """What its operator calls it: id and version; the same again is the same limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """How slowly a limit that ended lets go: a delay drawn once for each limit, then a ramp up to the rating."""

    delay_s: float = 0.0
    """Longest delay; the one that is drawn lies between 0 and this."""
    ramp_s: float = 0.0
    """How long the rise to the rating of the circuit takes."""
    seed: str = ""
    """Tells sites apart, so that they do not return together; the site's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GridSource:
    """Somebody who may limit the site, and what holds while nothing is heard of them (EEBUS LPC, extended)."""

    id: str
    """Name in facts and records, e.g. ``"lpc dso"``."""
    circuit: CircuitId
    """Where the failsafe value holds."""
    scope: Scope = Scope.SITE
    failsafe_a: Phases | None = None
    """Failsafe limit [A] on the lines of the circuit."""
    failsafe_w: float | None = None
    """Failsafe limit on the total power [W] (LPC ``failsafeConsumptionActivePowerLimit``)."""
    heartbeat_s: float | None = 120.0
    """Silence after which the line counts as lost (LPC: 120 s); None: no heartbeat, a limit lives until its end."""
    grace_s: float = 120.0
    """How long a limit is waited for, after the start and after the heartbeat came back (LPC-921: 120 s)."""
    failsafe_s: float = 7200.0
    """Least stay in failsafe (LPC ``failsafeDurationMinimum``: 2 to 24 h)."""
    keeps_schedule: bool = False
    """Whether limits that were known before the line was lost stay good until they end (OpenADR, OSCP)."""
    floor_w: float | None = None
    """What may be asked for at least (section 14a EnWG, Pmin); less is followed too, but flagged."""
    holds_floor: bool = False
    """Whether a limit below ``floor_w`` is raised to it instead."""
    may_go_autonomous: bool = False
    """Whether silence may free the site in the end, as LPC allows; else the failsafe value holds for ever (I4)."""
    release: Release = Release()


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A site of a group."""

    id: str
    """Id of its own site file."""
    safe_w: float
    """Its safe share [W]: what it may draw when the coordinator is not heard; never lent to others."""
    weight: float = 1.0
    """Its part where not all that is wanted is there, relative to the others."""
    linger_s: float = Timing().profile_s + Timing().margin_s + Timing().settle_s
    """How long its stations may go on as they were told when its controller dies [s]; what it says itself if longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Sites that share one limit."""

    limit_w: float
    """What they may draw together where no operator asks for less [W]."""
    members: tuple[Member, ...]
    lease_s: float = 60.0
    """Life of a share; it is renewed well before [s]."""
    margin_s: float = 5.0
    """How much slower than ours a member's clock may run within that time, and how late we look [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One location: the tree, the stations on it, and how it is to be run."""

    id: str
    name: str
    timezone: str
    circuits: tuple[Circuit, ...]
    """Parents before children; the first is the grid connection."""
    stations: tuple[Station, ...]
    timing: Timing = Timing()
    money: Money = Money()
    grid_limit: Staleness = Staleness(age_s=900.0, hold_s=0.0)
    """Staleness of a grid limit without an end of its own; on expiry the failsafe limit applies."""
    grid: tuple[GridSource, ...] = ()
    """Grid operators that must be heard; others may limit the site too, but nobody waits for them."""
    solver: str = "optimal"
    deadband_a: float = 0.5
    """A raise smaller than this [A] is not sent: each profile wears a station's flash."""
    vendor_codes: Mapping[tuple[str, str], Cause] = field(default_factory=dict, repr=False)
    """What vendors' own error codes mean, by vendor and code."""
    response: Response = Response.DERATE
    """How faults are answered; no key of a site file."""
    group: Group | None = None
    """Set where the controller shares a limit among other sites; then it has no stations of its own."""

    @property
    def evses(self) -> tuple[Evse, ...]:
        """Return every EVSE, in the order of the site file."""
        return tuple(evse for station in self.stations for evse in station.evses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The end of charging, when a car takes ever less of what it is offered."""

    highest_w: float
    """Most that it took of itself [W]."""
    since_wh: float
    """Energy of the session when it last took nearly that much [Wh]."""
    power_w: float
    """What it takes now [W]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vehicle:
    """What is known of a car, measured or told."""

    phases_used: int | None = None
    """Phases it was measured to draw from; None while unknown, counted as all."""
    draw_a: float | None = None
    """The most it was seen to draw lately although offered more [A]; None while it takes all."""
    most_a: float = 0.0
    """Most that it drew in this session [A per phase]."""
    tail: Tail | None = None
    """None while it takes all that it is offered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A car at an EVSE, from plug to unplug (OCPI Session)."""

    evse: EvseId
    plugged_at_s: float
    transaction_id: str | None = None
    """OCPP transaction; None before the station starts one and after it ended."""
    id_token: str | None = None
    """Who started it (OCPP 1.6 idTag); None while nobody did."""
    was_full: bool = False
    """Whether the car had paused of itself when its last transaction ended."""
    energy_wh: float | None = None
    """Energy wanted in all [Wh]; None while nobody said."""
    depart_at_s: float | None = None
    priority: int = 0
    """Higher goes first."""
    max_a: float | None = None
    """The most that its car says it can take [A]; None while it says nothing."""
    meter_start_wh: float | None = None
    delivered_wh: float = 0.0
    vehicle: Vehicle = Vehicle()
