"""What each fault costs an EVSE and how it comes back: the table of the faults, as data.

Where a row has no source in a standard or in code that works in the field, it is our own inference.  Sources of the
thresholds: OpenEVSE, Tesla and SmartEVSE firmware (heat), EVerest (soft overcurrent, silent modules), EN 50160
(voltage band), AFIREV (what a failed session is).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from smartcharge.faults import Cause, Priority

P1, P2, P3 = Priority.P1, Priority.P2, Priority.P3

WINDOW_S: Final = 86_400.0
"""Faults of the same cause within this time are repeats [s]."""
RAMP: Final = 0.25
"""Share of its maximum by which an EVSE comes back at a time."""
LONGEST_HOLD_S: Final = 6 * 3600.0
"""However often it doubled, a hold is no longer [s]."""
LOWEST: Final = -1.0
"""Stands in a ladder for the lowest current at which a car charges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row: what is done about a cause, and what takes it back."""

    cause: Cause
    fault: str
    signals: str
    """How it is known, in words."""
    action: str
    clear: str
    steps: tuple[float, ...] = ()
    """Shares of the maximum, each lower than the last; one after the other while the fault stays.  None: no derate."""
    step_s: float = 300.0
    """How long a step is given before the next [s]."""
    delay_s: float = 0.0
    """How long after the fault the derate begins [s]: until then the hardware may still do more."""
    hold_s: float = 0.0
    """How long it must be gone before anything comes back [s]."""
    ramp_s: float | None = None
    """Time between two steps up of `RAMP` [s]; None is all at once."""
    probation: float | None = None
    """Share of the maximum until ``proofs`` clean sessions; None has none."""
    proofs: int = 1
    is_on_trial: bool = False
    """Whether the first time begins with the probation; a relapse in it goes down the ladder."""
    backs_off: bool = False
    """Whether the hold doubles with each repeat within `WINDOW_S`."""
    latch_at: int | None = None
    """How many times within `WINDOW_S` it may come before only a person releases it; None is never."""
    is_safety: bool = False
    """Whether it may not be muted."""
    priority: Priority | None = None
    """Of the visit; None asks for none."""
    on_repeat: Priority | None = None
    """Priority from the third time within `WINDOW_S` on; the only visit where ``priority`` is None."""
    task: str = ""


TABLE: Final[tuple[Rule, ...]] = (
    Rule(
        cause=Cause.ENCLOSURE_HOT, fault="enclosure hot",
        signals="HighTemperature, CX003, TemperatureSensor.Active; Temperature at the body from 65 C",
        action="75, 50, 25 %, a step every 5 min while it lasts, then stop",
        clear="gone, or below 55 C, for 5 min; then 25 % every 5 min",
        steps=(0.75, 0.5, 0.25, 0.0), hold_s=300.0, ramp_s=300.0,
        priority=P3, on_repeat=P2, task="clean filter and fan",
    ),
    Rule(
        cause=Cause.CONNECTOR_HOT, fault="connector or cable hot",
        signals="CX018; Temperature at the outlet from 78 C",
        action="75, 50, 25 %, a step every 2 min while it lasts, then stop",
        clear="gone, or below 58 C, for 5 min; then 25 % every 5 min",
        steps=(0.75, 0.5, 0.25, 0.0), step_s=120.0, hold_s=300.0, ramp_s=300.0,
        priority=P2, task="check the contacts of the connector",
    ),
    Rule(
        cause=Cause.CABLE_OVERHEATED, fault="cable over-temperature stop", signals="CX019", action="block",
        clear="gone for 10 min; then 50 % until 1 new clean session",
        steps=(0.0,), hold_s=600.0, probation=0.5, backs_off=True, is_safety=True,
        priority=P1, task="replace the cable or its contacts",
    ),
    Rule(
        cause=Cause.CONTACTOR_WELDED, fault="contactor welded",
        signals="PowerSwitchFailure, CX017, CX024, ContactorPosition, PowerContactor; a current while told 0 A and "
        "said to be paused",
        action="block, latch; what it draws stays in the budget", clear="the work order of its repair only",
        steps=(0.0,), latch_at=1, is_safety=True, priority=P1, task="replace the contactor",
    ),
    Rule(
        cause=Cause.GROUND_FAULT, fault="ground or insulation fault",
        signals="GroundFailure, CX002, CX011, CX022, GroundIsolationProtection, RCD",
        action="block; the server never tries again by itself",
        # What leaks is driven by the voltage: less current would prove nothing.
        clear="the station says so; then on probation at 100 % until 1 clean session; a latch at the third in 24 h",
        steps=(0.0,), probation=1.0, latch_at=3, is_safety=True,
        priority=P1, task="measure insulation and test the RCD",
    ),
    Rule(
        cause=Cause.EMERGENCY_STOP, fault="emergency stop", signals="CX008, EmergencyStopSensor", action="block",
        clear="the station says so for 60 s", steps=(0.0,), hold_s=60.0, is_safety=True,
        priority=P1, task="find out why it was pressed, reset it",
    ),
    Rule(
        cause=Cause.CABLE_CUT, fault="cable cut", signals="CX026, CableBreakawaySensor", action="block",
        clear="the station says so for 60 s", steps=(0.0,), hold_s=60.0, is_safety=True,
        priority=P1, task="replace the cable",
    ),
    Rule(
        cause=Cause.WATER, fault="water in the enclosure", signals="FloodSensor", action="block",
        clear="the station says so for 60 s", steps=(0.0,), hold_s=60.0, is_safety=True,
        priority=P1, task="dry it, find the leak",
    ),
    Rule(
        cause=Cause.CONNECTOR_LOCK, fault="connector lock failed",
        signals="ConnectorLockFailure, CX001, ConnectorPlugRetentionLock", action="block",
        clear="the station says so for 60 s", steps=(0.0,), hold_s=60.0, is_safety=True,
        priority=P2, task="repair the lock",
    ),
    Rule(
        cause=Cause.LATCH_BROKEN, fault="latch broken", signals="CX025", action="block",
        clear="the station says so for 60 s", steps=(0.0,), hold_s=60.0, is_safety=True,
        priority=P2, task="replace the connector",
    ),
    Rule(
        cause=Cause.VOLTAGE_OUT, fault="voltage out of its band",
        signals="OverVoltage, UnderVoltage, CX005, CX006, CX015, GridPowerLoss, ElectricalFeed; Voltage beyond +-10 %",
        action="block the port; many ports at once are one site event and one work order",
        clear="2 s inside the band", steps=(0.0,), hold_s=2.0,
        on_repeat=P2, task="measure the supply voltage under load",
    ),
    Rule(
        cause=Cause.PHASE_LOST, fault="phase lost",
        signals="one phase below 90 % of its voltage while another is not",
        action="down to the phases that live; the plan counts on them only",
        clear="all phases back for 5 min", steps=(1.0,), hold_s=300.0,
        priority=P2, task="check fuses and terminals of the supply",
    ),
    Rule(
        cause=Cause.MODULES_LOST, fault="k of n DC modules lost",
        signals="PowerModuleFault, AcDcConverter, a vendor's code",
        action="(n - k)/n, 15 s after the event: a module takes 10 s to switch itself off",
        clear="reported again", steps=(1.0,), delay_s=15.0,
        priority=P3, on_repeat=P2, task="replace the module",
    ),
    Rule(
        cause=Cause.DC_SUPPLY, fault="DC supply fault", signals="ELVSupply, a vendor's code", action="block",
        clear="gone; then 50 % until 1 clean session", steps=(0.0,), probation=0.5, backs_off=True, hold_s=60.0,
        priority=P1, task="check the power supply",
    ),
    Rule(
        cause=Cause.OVERCURRENT_TRIP, fault="overcurrent protection tripped",
        signals="OverCurrentFailure, CX004, OverCurrent, OverCurrentProtection", action="block",
        clear="gone for 60 s; then 50 % until 1 clean session; a latch at the third in 24 h",
        steps=(0.0,), hold_s=60.0, probation=0.5, backs_off=True, latch_at=3, is_safety=True,
        priority=P1, task="find the short circuit or overload",
    ),
    Rule(
        cause=Cause.FAN, fault="fan fault", signals="AirCoolingSystem, LiquidCoolingSystem, a vendor's warning",
        action="goes on at 75 %", clear="gone", steps=(0.75,), priority=P3, task="replace the fan",
    ),
    Rule(
        cause=Cause.METER_FAILED, fault="station meter failed",
        signals="PowerMeterFailure, FiscalMetering; no reading for 3 intervals while charging, a register that stands "
        "still, figures that contradict each other",
        action="its full allocation is budgeted; block if it bills", clear="3 good samples",
        steps=(1.0,), priority=P2, task="replace the meter",
    ),
    Rule(
        cause=Cause.SITE_METER_LOST, fault="site meter lost",
        signals="no sample within its `age_s` and `hold_s`, or frozen",
        action="the failsafe limit of its circuit, and the declared worst of the load beside the cars",
        clear="fresh data", priority=P1, task="look at the meter and at who publishes it",
    ),
    Rule(
        cause=Cause.OFFLINE, fault="offline", signals="connection lost, or silent for 2.5 heartbeats",
        action="the last confirmed limit is reserved until it expires, then the default profile",
        clear="connected, and its status told", priority=P2, task="look at its power and network",
    ),
    Rule(
        cause=Cause.OVER_LIMIT, fault="draws over its limit", signals="current over 1.1 x (limit + 0.5 A) for 7 s",
        action="told again, then the lowest current, then stop; its maximum is reserved, the others make room",
        clear="10 min of obedience; then 50 % until 3 compliant sessions",
        steps=(1.0, LOWEST, 0.0), step_s=0.0, probation=0.5, proofs=3, is_safety=True,
        priority=P1, task="it ignores charging profiles: firmware, or replace",
    ),
    Rule(
        cause=Cause.DRAWS_UNDER, fault="draws under its limit",
        signals="4 or more different cars that took more elsewhere fall short (CUSUM, h = 5 sigma)",
        action="none: what the car limits is no fault", clear="one car that gets all it is known to take",
        priority=P3, task="find out why it delivers less",
    ),
    Rule(
        cause=Cause.SESSIONS_FAIL, fault="sessions fail repeatedly",
        signals="3 failed sessions in a row of different cars (AFIREV)",
        action="soft reset and 50 %, then block", clear="3 successes; the block lasts 30 min, twice as long each time",
        steps=(0.0,), hold_s=1800.0, probation=0.5, proofs=3, is_on_trial=True, backs_off=True,
        priority=P2, task="find out why sessions fail",
    ),
    Rule(
        cause=Cause.VEHICLE, fault="the car's communication, pilot or plug",
        signals="EVCommunicationError, CX010, CX014, CX020, CX023, EVShiftPosition, ConnectedEV",
        action="none; counted by car", clear="-",
    ),
    Rule(
        cause=Cause.RECONNECTS, fault="the connection comes and goes",
        signals="6 connections within an hour", action="none",
        clear="an hour with less", priority=P3, task="check signal and network",
    ),
    Rule(
        cause=Cause.REFUSES, fault="refuses commands", signals="5 refusals in a row",
        action="what it may be following stays reserved", clear="one accepted", priority=P2,
        task="check its smart charging settings",
    ),
    Rule(
        cause=Cause.HARMLESS, fault="concerns no power",
        signals="ReaderFailure, WeakSignal, LocalListConflict, ResetFailure, CX009, Display, TokenReader and the like",
        action="none", clear="-", priority=P3, task="look at it with the next visit",
    ),
    Rule(
        cause=Cause.UNKNOWN, fault="a code that nobody knows",
        signals="InternalError, OtherError, any other code; a warning is none", action="block",
        clear="gone for 60 s", steps=(0.0,), hold_s=60.0, priority=P2, task="ask the maker what it means",
    ),
)  # fmt: skip
"""Every cause, in the order in which it is shown."""

RULES: Final[Mapping[Cause, Rule]] = MappingProxyType({rule.cause: rule for rule in TABLE})
