"""What can be wrong with hardware: one vocabulary for all protocols, and the words for what is done about it."""

from __future__ import annotations

from enum import Enum


class Cause(Enum):
    """A kind of fault, whoever told of it: a station in any of its vocabularies, or a detector of ours."""

    ENCLOSURE_HOT = "enclosure-hot"
    CONNECTOR_HOT = "connector-hot"
    CABLE_OVERHEATED = "cable-overheated"
    CONTACTOR_WELDED = "contactor-welded"
    GROUND_FAULT = "ground-fault"
    EMERGENCY_STOP = "emergency-stop"
    CABLE_CUT = "cable-cut"
    WATER = "water"
    CONNECTOR_LOCK = "connector-lock"
    LATCH_BROKEN = "latch-broken"
    VOLTAGE_OUT = "voltage-out-of-band"
    PHASE_LOST = "phase-lost"
    MODULES_LOST = "modules-lost"
    DC_SUPPLY = "dc-supply"
    OVERCURRENT_TRIP = "overcurrent-trip"
    FAN = "fan"
    METER_FAILED = "meter-failed"
    SITE_METER_LOST = "site-meter-lost"
    OFFLINE = "offline"
    OVER_LIMIT = "over-limit"
    DRAWS_UNDER = "draws-under"
    SESSIONS_FAIL = "sessions-fail"
    VEHICLE = "vehicle"
    """What the station says of the car: its communication, pilot, proximity or plug."""
    RECONNECTS = "reconnects"
    REFUSES = "refuses"
    HARMLESS = "harmless"
    """Concerns no power: a card reader, a display, a weak signal."""
    UNKNOWN = "unknown"
    """A code that no vocabulary has; it counts as the worst that it may mean."""


class Effect(Enum):
    """What a station says of itself together with a fault."""

    FAULTED = "Faulted"
    """It delivers nothing (OCPP 1.6 status Faulted)."""
    WARNING = "warning"
    """It goes on (any other status)."""


class DeratingStage(Enum):
    """How far a derate has come."""

    ACTIVE = "active"
    """The fault is there."""
    HOLD = "hold"
    """It is gone, and must stay so for a while."""
    RAMP = "ramp"
    """Up, a step at a time."""
    PROBATION = "probation"
    """At a share, until sessions prove it well."""
    LATCHED = "latched"
    """Until a person releases it."""


class Priority(Enum):
    """How soon somebody must come."""

    P1 = "P1"
    P2 = "P2"
    P3 = "P3"


class Response(Enum):
    """How faults are answered; a site derates, simulations compare that with doing nothing."""

    DERATE = "derate"
    IGNORE = "ignore"
    """Nothing is done."""


class OrderKind(Enum):
    """What a person may order about a fault."""

    RELEASE = "release"
    """End the derate or open the latch; what is still wrong is found again at once."""
    FORCE = "force"
    """Derate by hand, until released."""
    MUTE = "mute"
    """Do nothing about a fault for a while; refused for what concerns safety."""
    ACKNOWLEDGE = "acknowledge"
    """Somebody knows of it."""
