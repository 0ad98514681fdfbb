"""Plugs and sockets by the names of OCPP and OCPI, and which inlet of a car takes which.

OCPP: 2.0.1 ConnectorEnumType with the additions of 2.1.  OCPI: 2.2.1 ConnectorType with those of 2.3.
``c`` is a cable of the station, ``s`` a socket for the driver's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

OCPI_OF: Final[Mapping[str, str]] = {
    "cCCS1": "IEC_62196_T1_COMBO",
    "cCCS2": "IEC_62196_T2_COMBO",
    "cChaoJi": "CHAOJI",
    "cG105": "CHADEMO",
    "cMCS": "MCS",
    "cNACS": "SAE_J3400",
    "cTesla": "TESLA_S",
    "cType1": "IEC_62196_T1",
    "cType2": "IEC_62196_T2",
    "s309-1P-16A": "IEC_60309_2_single_16",
    "s309-3P-16A": "IEC_60309_2_three_16",
    "s309-3P-32A": "IEC_60309_2_three_32",
    "sBS1361": "DOMESTIC_G",
    "sCEE-7-7": "DOMESTIC_F",
    "sType2": "IEC_62196_T2",
    "sType3": "IEC_62196_T3C",
}
"""What OCPI calls a connector of OCPP; it does not tell a cable from a socket."""

_TAKES: Final[Mapping[str, frozenset[str]]] = {
    # Every car comes with, or can buy, a cable from a Type 2 socket to its own inlet.
    "cType1": frozenset({"cType1", "sType2"}),
    "cType2": frozenset({"cType2", "sType2"}),
    "cTesla": frozenset({"cTesla"}),
}


def takes(inlet: str, connector: str) -> bool:
    """Tell whether a car with an inlet, by the name of the plug that fits it, can use a connector; no adapters."""
    return connector in _TAKES.get(inlet, frozenset({inlet}))
