"""What both dialects of a simulated station speak about: its EVSEs, their transactions and meters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol

from smartcharge.csms.frames import CallReceived
from smartcharge.csms.profile_store import Abilities
from smartcharge.csms.profiles import Profile
from smartcharge.csms.schemas import Payload
from smartcharge.model import Evse, Phases, Wiring
from smartcharge.sim.ailments import AMBIENT_C, SOUND, VENDOR, Ailment
from smartcharge.sim.station_firmware import Release
from smartcharge.sim.station_link import Message, Patience

CURRENT = "Current.Import"
POWER = "Power.Active.Import"
ENERGY = "Energy.Active.Import.Register"
VOLTAGE = "Voltage"
SOC = "SoC"
TEMPERATURE = "Temperature"
MEASURANDS = (CURRENT, POWER, ENERGY, VOLTAGE, SOC, TEMPERATURE)
"""What a station can measure; the state of charge of cars at DC EVSEs only."""
DC_VOLTAGE_V = 400.0
"""Battery voltage that DC EVSEs report [V]: a 400 V car; its real course matters to nobody here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StationOptions:
    """What a station is like."""

    abilities: Abilities = field(default_factory=Abilities)
    patience: Patience = field(default_factory=Patience)
    obey_s: float = 1.0
    """From a change of its profiles to offering what they allow."""
    start_s: float = 3.0
    """From plug to the driver having shown a card."""
    boot_s: float = 5.0
    """From power on to connecting."""
    heartbeat_s: float = 300.0
    """Until the server says otherwise."""
    meter_interval_s: float = 60.0
    """Until the server says otherwise; 0 sends none."""
    measurands: tuple[str, ...] = (CURRENT, POWER, ENERGY, VOLTAGE)
    """Until the server says otherwise."""
    measures_phases: bool = True
    """Whether currents are told phase by phase; else the highest."""
    resumes_after_power_loss: bool = False
    """Whether a transaction goes on after a power loss; else it ends with PowerLoss, and another begins."""
    password: str | None = None
    """Its OCPP Basic password, if it has one."""
    vendor: str = VENDOR
    model: str = "simulated"
    firmware: str = "1"
    releases: Mapping[str, Release] = field(default_factory=dict)
    """What it finds at each URL from which it may be told to fetch firmware."""
    takes_older_firmware: bool = True
    """Whether it goes back to a version that it ran before."""


class Status(Enum):
    """What an EVSE is doing, in the words of OCPP 1.6."""

    AVAILABLE = "Available"
    PREPARING = "Preparing"
    CHARGING = "Charging"
    SUSPENDED_EV = "SuspendedEV"
    SUSPENDED_EVSE = "SuspendedEVSE"
    FINISHING = "Finishing"
    UNAVAILABLE = "Unavailable"
    FAULTED = "Faulted"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """A transaction that the server asked for."""

    id_token: str
    remote_start_id: int | None = None
    profile: Profile | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Transaction:
    """A transaction, from its start message on."""

    id: str | None
    """2.0.1: the station's own; 1.6: the server's number, None until it told."""
    id_token: str
    started_s: float
    remote_start_id: int | None = None
    sequence: int = 0
    """Number of its last message (2.0.1 seqNo)."""
    unnumbered: list[Payload] = field(default_factory=list)
    """Messages that wait for the server's number (1.6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What the meter of an EVSE shows."""

    at_s: float
    current_a: Phases
    """On the EVSE's own lines, AC side."""
    power_w: float
    """At the outlet; of a DC EVSE, DC."""
    energy_wh: float
    """The register."""
    soc: float | None
    voltage_v: Phases | None = None
    """On the EVSE's own lines; line to line it counts on L1."""
    outlet_c: float | None = None
    """Temperature of the connector [C]."""


@dataclass(slots=True, kw_only=True, eq=False)
class Bay:
    """An EVSE as its station sees it."""

    evse: Evse
    status: Status = Status.AVAILABLE
    is_operative: bool = True
    id_token: str | None = None
    """Who wants to charge the car that is plugged."""
    visit: int = 0
    """Counts the cars, so that an answer that comes too late finds nobody."""
    transaction: Transaction | None = None
    has_finished: bool = False
    """The car's transaction is over."""
    sample: Sample | None = None
    """What the meter showed last."""
    told_c: float = AMBIENT_C
    """The temperature of its connector that was told last [C]."""
    ailment: Ailment = SOUND
    """What is wrong with it."""
    on_change: Callable[[], None] = lambda: None
    """Called when what is offered may have changed."""

    @property
    def number(self) -> int:
        """Return the OCPP 2.x evseId, the OCPP 1.6 connectorId."""
        return self.evse.number

    @property
    def connector(self) -> int:
        """Return the OCPP 2.x connectorId."""
        return self.evse.connectors[0].id if self.evse.connectors else 1


class Reading(NamedTuple):
    """One sampled value."""

    measurand: str
    value: float
    unit: str
    phase: str | None = None
    location: str | None = None


def readings(evse: Evse, sample: Sample, measurands: tuple[str, ...], *, by_phase: bool = True) -> Iterator[Reading]:
    """Yield the values of the measurands asked for, in their order."""
    for measurand in measurands:
        match measurand:
            case "Current.Import":
                yield from _currents(evse, sample, by_phase=by_phase)
            case "Power.Active.Import":
                yield Reading(POWER, sample.power_w, "W")
            case "Energy.Active.Import.Register":
                yield Reading(ENERGY, sample.energy_wh, "Wh")
            case "Voltage":
                yield from _voltages(evse, sample)
            case "Temperature" if sample.outlet_c is not None:
                yield Reading(TEMPERATURE, sample.outlet_c, "Celsius", location="Outlet")
            case "SoC" if evse.wiring is Wiring.DC and sample.soc is not None:
                yield Reading(SOC, 100.0 * sample.soc, "Percent")


def _currents(evse: Evse, sample: Sample, *, by_phase: bool) -> Iterator[Reading]:
    if evse.wiring is Wiring.DC:
        yield Reading(CURRENT, sample.power_w / DC_VOLTAGE_V, "A")
    elif by_phase:
        yield from (
            Reading(CURRENT, amps, "A", line) for amps, line in zip(sample.current_a, _lines(evse), strict=False)
        )
    else:
        yield Reading(CURRENT, max(sample.current_a), "A")


def _voltages(evse: Evse, sample: Sample) -> Iterator[Reading]:
    volts = sample.voltage_v or Phases.all(evse.voltage_v)
    match evse.wiring:
        case Wiring.DC:
            yield Reading(VOLTAGE, DC_VOLTAGE_V, "V")
        case Wiring.LINE_TO_LINE:
            yield Reading(VOLTAGE, volts.l1, "V", "L1-L2")
        case Wiring.ONE_PHASE | Wiring.THREE_PHASE:
            lines = zip(volts, _lines(evse), strict=False)
            yield from (Reading(VOLTAGE, v, "V", f"{line}-N") for v, line in lines)


def _lines(evse: Evse) -> tuple[str, ...]:
    return ("L1", "L2", "L3")[: evse.phase_count]


class Dialect(Protocol):
    """One OCPP version, seen from a station: translation only."""

    handles: frozenset[str]
    """The actions of the server that are answered."""

    def answer(self, call: CallReceived) -> Payload:
        """Act on a call of the server and return the answer."""

    def boot(self, reason: str) -> Message:
        """Return a BootNotification; `reason` in the words of 2.0.1."""

    def firmware_status(self, status: str, request_id: int | None) -> Message:
        """Return how far an update is; plain 1.6 has no number."""

    def heartbeat(self) -> Message:
        """Return a Heartbeat."""

    def authorize(self, id_token: str) -> Message:
        """Return the question whether somebody may charge."""

    def may_charge(self, answer: Payload) -> bool:
        """Return the answer to that question."""

    def transaction_id(self, own_id: str) -> str | None:
        """Return the id of a new transaction, None if the server has to give it."""

    def statuses(self, whose: list[Bay]) -> list[Message]:
        """Return the StatusNotification of every connector, as it is now."""

    def status_changed(self, bay: Bay, before: Status) -> list[Message]:
        """Return what a change of status makes worth saying."""

    def ailing(self, bay: Bay, ailment: Ailment, *, is_there: bool) -> list[Message]:
        """Return what is said when something goes wrong with an EVSE, or is right again."""

    def started(self, bay: Bay, transaction: Transaction, sample: Sample) -> Message:
        """Return the start of a transaction."""

    def metered(self, bay: Bay, sample: Sample, *, is_triggered: bool) -> Message:
        """Return the meter values of an EVSE."""

    def warmth(self, bay: Bay, sample: Sample) -> list[Message]:
        """Return what is said of temperatures beside the meter values."""

    def ended(self, bay: Bay, transaction: Transaction, sample: Sample, reason: str) -> Message:
        """Return the end of a transaction."""
