"""Whom a setpoint can reach, and on whose obedience others may rely."""

from __future__ import annotations

from smartcharge.control.evse import OVER_LIMIT
from smartcharge.control.state import State
from smartcharge.model import Control, EvseId


def is_commandable(state: State, evse: EvseId) -> bool:
    """Tell whether a setpoint can be sent to an EVSE now: an OCPP station takes them only within a transaction."""
    known = state.evses[evse]
    if known.session is None or not known.occupied or not state.is_online(evse):
        return False
    return state.station_of[evse].control is Control.MQTT or known.session.transaction_id is not None


def is_reliable(state: State, evse: EvseId) -> bool:
    """Tell whether a setpoint sent to an EVSE may be counted on: it hears, and was not caught ignoring one."""
    known = state.evses[evse]
    return is_commandable(state, evse) and known.deaf_at_s is None and OVER_LIMIT not in known.faults
