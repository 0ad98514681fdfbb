"""What can be wrong with simulated hardware, in truth, and what its station says of it in either OCPP version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from smartcharge.events import FaultRaised
from smartcharge.faults import Cause, Effect
from smartcharge.frozen import replace
from smartcharge.model import Evse, EvseId
from smartcharge.sim.scenario import FaultKind

AMBIENT_C: Final = 25.0
HEALTHY_C: Final = 20.0
"""How much warmer a sound connector is at the highest current of its EVSE [C]."""
CHARGEX: Final = "https://chargex.inl.gov"
CHARIN: Final = "org.charin.uec.v1"
OURS: Final = "org.smartcharge.simulated"
"""Whose codes a simulated station uses where no common vocabulary has a word."""
UNMAPPED: Final = "org.example.unmapped"
"""A vendor whose codes are in no vocabulary and in no mapping file."""
VENDOR: Final = "smartcharge"
"""Whom a simulated station names as its vendor at boot."""
SIMULATED_CODES: Final[Mapping[tuple[str, str], Cause]] = MappingProxyType({
    (vendor, code): cause
    for vendor in (OURS, VENDOR)
    for code, cause in {"DcSupply": Cause.DC_SUPPLY, "Fan": Cause.FAN, "Water": Cause.WATER}.items()
})  # fmt: skip
"""What those mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ailment:
    """What is wrong with one EVSE."""

    code: str | None = None
    """OCPP 1.6 errorCode; None where the station notices nothing."""
    vendor: str | None = None
    vendor_code: str | None = None
    """OCPP 1.6 vendorErrorCode, 2.x techCode."""
    component: str = "EVSE"
    """OCPP 2.x component and variable of its NotifyEvent."""
    variable: str = "Problem"
    instance: str | None = None
    is_faulted: bool = False
    """Whether it says Faulted and delivers nothing."""
    share: float = 1.0
    """Share of its maximum that it can deliver."""
    is_welded: bool = False
    """Whether it goes on offering its maximum once it offered something, whatever it is told."""
    dead_phase: int | None = None
    """Own phase without voltage: 0, 1, 2."""
    volts: float = 1.0
    """Supply voltage as a share of the nominal one."""
    heat_c: float = HEALTHY_C
    """How much warmer the connector is at the highest current of its EVSE [C]."""
    is_meter_silent: bool = False
    ends_sessions_s: float | None = None
    """How long sessions last before they end by an error [s]."""
    warms_c: float | None = None
    """How much warmer its enclosure gets at the highest current of its EVSE [C]; its warning comes and goes with it."""
    safe_share: float | None = None
    """Share of its maximum that it can bear; beyond it the hardware switches itself off after `trip_s`."""
    trip_s: float = 1200.0

    def event(self, evse: EvseId, at_s: float) -> FaultRaised | None:
        """Return what its station says of it as a fact, as OCPP 1.6 words it; None where it notices nothing."""
        if self.code is None:
            return None
        return FaultRaised(
            at_s=at_s,
            evse=evse,
            code=self.code,
            vendor=self.vendor,
            vendor_code=self.vendor_code,
            effect=Effect.FAULTED if self.is_faulted else Effect.WARNING,
        )

    def unnoticed(self) -> Ailment:
        """Return it while nothing shows."""
        return replace(self, code=None)

    def tripped(self) -> Ailment:
        """Return it once the hardware protected itself."""
        return replace(self, is_faulted=True)

    def outlet_c(self, evse: Evse, current_a: float) -> float:
        """Return the temperature of the connector at a current [C]; it settles within a reading's time."""
        return AMBIENT_C + self.heat_c * current_a / evse.max_a

    def offered_a(self, evse: Evse, ordered_a: float, was_a: float) -> float:
        """Return what the EVSE really offers [A] of what its profiles allow, given what it offered before."""
        if self.is_welded and max(was_a, ordered_a) > 0.0:
            return max(was_a, ordered_a)
        if self.is_faulted:
            return 0.0
        return min(ordered_a, self.share * evse.max_a)


def _chargex(code: str, component: str, variable: str = "Problem") -> Ailment:
    """Return an ailment that stops an EVSE and that a station names by its ChargeX code."""
    return Ailment(
        code="OtherError", vendor=CHARGEX, vendor_code=code, component=component, variable=variable, is_faulted=True
    )


AILMENTS: Final[Mapping[FaultKind, Ailment]] = MappingProxyType({
    FaultKind.ENCLOSURE_HOT: Ailment(
        code="HighTemperature", vendor=CHARGEX, vendor_code="CX003", component="TemperatureSensor", variable="Active",
        safe_share=0.5,
    ),
    FaultKind.FILTER_CLOGGED: Ailment(
        code="HighTemperature", vendor=CHARGEX, vendor_code="CX003", component="TemperatureSensor", variable="Active",
        warms_c=60.0,
    ),
    FaultKind.CONNECTOR_HOT: Ailment(heat_c=64.0, safe_share=0.8, trip_s=900.0),
    FaultKind.CABLE_OVERHEATED: _chargex("CX019", "Connector"),
    FaultKind.CONTACTOR_WELDED: Ailment(
        code="PowerSwitchFailure", vendor=CHARIN, vendor_code="ContactorPosition", component="PowerContactor",
        is_welded=True,
    ),
    FaultKind.CONTACTOR_STUCK: Ailment(is_welded=True),
    FaultKind.GROUND_FAULT: Ailment(code="GroundFailure", component="GroundIsolationProtection", variable="Active",
                                    is_faulted=True),
    FaultKind.EMERGENCY_STOP: _chargex("CX008", "EmergencyStopSensor", "Active"),
    FaultKind.CABLE_CUT: _chargex("CX026", "CableBreakawaySensor", "Active"),
    FaultKind.WATER: Ailment(code="OtherError", vendor=OURS, vendor_code="Water", component="FloodSensor",
                             variable="Active", is_faulted=True),
    FaultKind.CONNECTOR_LOCK: Ailment(code="ConnectorLockFailure", component="ConnectorPlugRetentionLock",
                                      is_faulted=True),
    FaultKind.LATCH_BROKEN: _chargex("CX025", "Connector"),
    FaultKind.OVER_VOLTAGE: Ailment(code="OverVoltage", vendor=CHARIN, vendor_code="Overvoltage",
                                    component="ElectricalFeed", volts=1.15),
    FaultKind.UNDER_VOLTAGE: Ailment(volts=0.85),
    FaultKind.PHASE_LOST: Ailment(dead_phase=1),
    FaultKind.MODULES_LOST: Ailment(code="InternalError", vendor=CHARIN, vendor_code="PowerModuleFault",
                                    component="AcDcConverter", instance="1", share=0.75),
    FaultKind.DC_SUPPLY: Ailment(code="InternalError", vendor=OURS, vendor_code="DcSupply", component="ELVSupply",
                                 is_faulted=True),
    FaultKind.OVERCURRENT_TRIP: Ailment(code="OverCurrentFailure", component="OverCurrentProtection",
                                        variable="Active", is_faulted=True),
    FaultKind.FAN: Ailment(code="OtherError", vendor=OURS, vendor_code="Fan", component="AirCoolingSystem",
                           safe_share=0.8, trip_s=3600.0),
    FaultKind.METER_FAILED: Ailment(code="PowerMeterFailure", component="FiscalMetering", is_meter_silent=True),
    FaultKind.METER_SILENT: Ailment(is_meter_silent=True),
    FaultKind.DRAWS_UNDER: Ailment(share=0.4),
    FaultKind.SESSIONS_FAIL: Ailment(ends_sessions_s=60.0),
    FaultKind.EV_COMMUNICATION: Ailment(code="EVCommunicationError", component="ISO15118Ctrlr"),
    FaultKind.UNKNOWN_CODE: Ailment(code="OtherError", vendor=UNMAPPED, vendor_code="E-42", component="Connector",
                                    is_faulted=True),
    FaultKind.READER: Ailment(code="ReaderFailure", component="TokenReader"),
})  # fmt: skip
"""The ailment of each kind of fault that is an EVSE's hardware."""
SOUND: Final = Ailment()

CAUSES: Final[Mapping[FaultKind, Cause]] = MappingProxyType({
    **{kind: Cause(kind.value) for kind in AILMENTS if kind.value in {cause.value for cause in Cause}},
    FaultKind.FILTER_CLOGGED: Cause.ENCLOSURE_HOT,
    FaultKind.CONTACTOR_STUCK: Cause.CONTACTOR_WELDED,
    FaultKind.OVER_VOLTAGE: Cause.VOLTAGE_OUT,
    FaultKind.UNDER_VOLTAGE: Cause.VOLTAGE_OUT,
    FaultKind.METER_SILENT: Cause.METER_FAILED,
    FaultKind.EV_COMMUNICATION: Cause.VEHICLE,
    FaultKind.READER: Cause.HARMLESS,
    FaultKind.UNKNOWN_CODE: Cause.UNKNOWN,
    FaultKind.STATION_REFUSES: Cause.REFUSES,
    FaultKind.STATION_IGNORES_PROFILE: Cause.OVER_LIMIT,
    FaultKind.METER_FROZEN: Cause.METER_FAILED,
})  # fmt: skip
"""What a controller should find behind each kind of fault of an EVSE."""
