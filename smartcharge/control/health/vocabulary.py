"""From what a station said to what it means: one cause for the codes of every vocabulary.

Sources: Open Charge Alliance, OCPP 1.6 edition 2, ChargePointErrorCode; OCPP 2.0.1 part 2 appendix 3, standardised
components; ChargeX consortium, Minimum Required Error Codes (CX001 and on); CharIN Unified Error Codes, draft of 2026.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from smartcharge.control.evse import METER_FROZEN, METER_IMPLAUSIBLE, METER_STALE
from smartcharge.events import FaultRaised
from smartcharge.faults import Cause

OCPP16: Final[Mapping[str, Cause]] = MappingProxyType({
    "ConnectorLockFailure": Cause.CONNECTOR_LOCK,
    "EVCommunicationError": Cause.VEHICLE,
    "GroundFailure": Cause.GROUND_FAULT,
    "HighTemperature": Cause.ENCLOSURE_HOT,
    "InternalError": Cause.UNKNOWN,
    "LocalListConflict": Cause.HARMLESS,
    "NoError": Cause.HARMLESS,
    "OtherError": Cause.UNKNOWN,
    "OverCurrentFailure": Cause.OVERCURRENT_TRIP,
    "OverVoltage": Cause.VOLTAGE_OUT,
    "PowerMeterFailure": Cause.METER_FAILED,
    "PowerSwitchFailure": Cause.CONTACTOR_WELDED,
    "ReaderFailure": Cause.HARMLESS,
    "ResetFailure": Cause.HARMLESS,
    "UnderVoltage": Cause.VOLTAGE_OUT,
    "WeakSignal": Cause.HARMLESS,
})  # fmt: skip
"""OCPP 1.6 ChargePointErrorCode."""
CHARGEX: Final[Mapping[str, Cause]] = MappingProxyType({
    "CX001": Cause.CONNECTOR_LOCK,
    "CX002": Cause.GROUND_FAULT,
    "CX003": Cause.ENCLOSURE_HOT,
    "CX004": Cause.OVERCURRENT_TRIP,
    "CX005": Cause.VOLTAGE_OUT,
    "CX006": Cause.VOLTAGE_OUT,
    "CX008": Cause.EMERGENCY_STOP,
    "CX009": Cause.HARMLESS,  # authorisation timed out
    "CX010": Cause.VEHICLE,
    "CX011": Cause.GROUND_FAULT,  # cable check
    "CX014": Cause.VEHICLE,  # pilot
    "CX015": Cause.VOLTAGE_OUT,  # power loss
    "CX017": Cause.CONTACTOR_WELDED,
    "CX018": Cause.CONNECTOR_HOT,
    "CX019": Cause.CABLE_OVERHEATED,
    "CX020": Cause.VEHICLE,  # partial insertion
    "CX022": Cause.GROUND_FAULT,  # resistance
    "CX023": Cause.VEHICLE,  # proximity
    "CX024": Cause.CONTACTOR_WELDED,  # voltage at the connector when there must be none
    "CX025": Cause.LATCH_BROKEN,
    "CX026": Cause.CABLE_CUT,
})  # fmt: skip
"""ChargeX Minimum Required Error Codes, vendorId https://chargex.inl.gov."""
CHARIN: Final[Mapping[str, Cause]] = MappingProxyType({
    "ConnectorLockFailure": Cause.CONNECTOR_LOCK,
    "ContactorPosition": Cause.CONTACTOR_WELDED,
    "EVShiftPosition": Cause.VEHICLE,
    "GridPowerLoss": Cause.VOLTAGE_OUT,
    "HighTemperature": Cause.ENCLOSURE_HOT,
    "OverCurrent": Cause.OVERCURRENT_TRIP,
    "Overvoltage": Cause.VOLTAGE_OUT,
    "PowerModuleFault": Cause.MODULES_LOST,
})  # fmt: skip
"""CharIN Unified Error Codes, vendorId org.charin.uec.v1 (1.6), techCode (2.x)."""
COMPONENTS: Final[Mapping[str, Cause]] = MappingProxyType({
    "AcDcConverter": Cause.MODULES_LOST,
    "AirCoolingSystem": Cause.FAN,
    "CPPWMController": Cause.VEHICLE,
    "CableBreakawaySensor": Cause.CABLE_CUT,
    "CaseAccessSensor": Cause.HARMLESS,
    "ConnectedEV": Cause.VEHICLE,
    "Connector": Cause.UNKNOWN,
    "ConnectorPlugRetentionLock": Cause.CONNECTOR_LOCK,
    "DataLink": Cause.HARMLESS,
    "Display": Cause.HARMLESS,
    "ELVSupply": Cause.DC_SUPPLY,
    "EVRetentionLock": Cause.VEHICLE,
    "EVSE.Overload": Cause.OVERCURRENT_TRIP,
    "ElectricalFeed": Cause.VOLTAGE_OUT,
    "EmergencyStopSensor": Cause.EMERGENCY_STOP,
    "FiscalMetering": Cause.METER_FAILED,
    "FloodSensor": Cause.WATER,
    "GroundIsolationProtection": Cause.GROUND_FAULT,
    "ISO15118Ctrlr": Cause.VEHICLE,
    "LiquidCoolingSystem": Cause.FAN,
    "OverCurrentProtection": Cause.OVERCURRENT_TRIP,
    "PowerContactor": Cause.CONTACTOR_WELDED,
    "RCD": Cause.GROUND_FAULT,
    "TemperatureSensor": Cause.HARMLESS,  # its Problem is the sensor's own
    "TemperatureSensor.Active": Cause.ENCLOSURE_HOT,
    "TokenReader": Cause.HARMLESS,
    "UIInput": Cause.HARMLESS,
})  # fmt: skip
"""OCPP 2.x components whose Problem or Active is true; ``component.variable`` where the variable matters."""

_OURS: Final = {cause.value: cause for cause in Cause} | dict.fromkeys(
    (METER_FROZEN, METER_STALE, METER_IMPLAUSIBLE), Cause.METER_FAILED
)
_CX: Final = re.compile(r"\bCX\d{3}\b")

VendorCodes = Mapping[tuple[str, str], Cause]
"""Cause by vendor (its vendorId, or how it boots) and code, from the mapping files of a site."""


def cause_of(fault: FaultRaised, vendor_codes: VendorCodes, boots_as: str | None) -> Cause:
    """Return what a fault means; the most particular vocabulary that knows it wins.

    ``boots_as`` is the vendor that the station named at boot.
    """
    code = fault.code.partition("#")[0]  # 2.x: the instance of a component
    said = [word for word in (fault.vendor_code, code) if word]
    for vendor in (fault.vendor, boots_as):
        for word in said:
            if vendor is not None and (vendor, word) in vendor_codes:
                return vendor_codes[vendor, word]
    if code in _OURS:
        return _OURS[code]
    for word in said:
        chargex = _CX.search(word)
        if chargex is not None:
            return CHARGEX.get(chargex.group(), Cause.UNKNOWN)
    vocabularies = (CHARIN, OCPP16, COMPONENTS)
    found = (names.get(word) for word in said for names in vocabularies)
    return next((cause for cause in found if cause is not None), COMPONENTS.get(code.split(".")[0], Cause.UNKNOWN))
