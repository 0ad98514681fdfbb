"""What the readings of one EVSE add up to: the fold behind the detectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from smartcharge.control.health.memory import Slope, Watch
from smartcharge.events import Charging, Metered
from smartcharge.faults import Cause
from smartcharge.frozen import replace
from smartcharge.model import Evse, Phases, Wiring

if TYPE_CHECKING:
    from smartcharge.control.evse import EvseState

VOLTAGE_BAND: Final = 0.10
"""Share by which a supply voltage may be off (EN 50160: 10 % in 95 % of a week)."""
LEAST_A: Final = 1.0
"""Below this [A] nothing flows."""
DRAWS_ALL_A: Final = 5.0
"""A car that draws this much on the other phases would draw on a third that it used before [A]."""
HOT_C: Final = {Cause.ENCLOSURE_HOT: 65.0, Cause.CONNECTOR_HOT: 78.0}
"""Temperature from which it is too hot [C] (OpenEVSE, SmartEVSE; Tesla's handle)."""
COOL_C: Final = {Cause.ENCLOSURE_HOT: 55.0, Cause.CONNECTOR_HOT: 58.0}
"""Temperature below which it is cool again [C]."""
IMPLAUSIBLE: Final = 1.5
"""Ratio from which power and current contradict each other."""
_FORGETS: Final = 0.995
"""What a reading leaves of the weight of those before it in the line of temperature over current."""
_PAUSED: Final = frozenset({Charging.SUSPENDED_EVSE, Charging.IDLE, Charging.EV_CONNECTED})


def temperature_c(watch: Watch, cause: Cause) -> float | None:
    """Return the temperature that a cause is about [C]."""
    return watch.body_c if cause is Cause.ENCLOSURE_HOT else watch.outlet_c


def is_hot(watch: Watch, cause: Cause) -> bool:
    """Tell whether what a cause is about is too hot by measurement."""
    measured_c = temperature_c(watch, cause)
    return measured_c is not None and measured_c >= HOT_C[cause]


def watched(evse: EvseState, event: Metered, limit_a: float, *, is_frozen: bool) -> Watch:
    """Return what the readings add up to after one more; ``limit_a`` is the most that the station may be following."""
    watch = evse.health.watch
    is_plausible = _is_plausible(evse.evse, event)
    is_welded = not is_frozen and _flows_unasked(evse, event, limit_a)
    is_whole = event.current_a is not None and event.energy_wh is not None and not is_frozen
    return replace(
        watch,
        **_warmth(watch, event),
        **_electric(evse, watch, event),
        welded_since_s=_since(watch.welded_since_s, event.at_s) if is_welded else None,
        implausible=0 if is_plausible else watch.implausible + 1,
        good=watch.good + 1 if is_plausible and is_whole else 0,
    )


def warmer(watch: Watch, event: Metered) -> Watch:
    """Return the watch after a reading that tells temperatures and nothing else."""
    return replace(watch, **_warmth(watch, event))


def _warmth(watch: Watch, event: Metered) -> dict[str, Any]:
    """Return the temperatures that are known after a reading."""
    return {
        "body_c": watch.body_c if event.body_c is None else event.body_c,
        "outlet_c": watch.outlet_c if event.outlet_c is None else event.outlet_c,
    }


def _electric(evse: EvseState, watch: Watch, event: Metered) -> dict[str, Any]:
    """Return what voltages and currents tell of the supply, as changes of the watch."""
    dead = _dead(evse, watch, event)
    is_any, now_s = any(dead), event.at_s
    used = evse.evse.wiring is Wiring.THREE_PHASE and event.current_a is not None and min(event.current_a) >= LEAST_A
    changes: dict[str, Any] = {
        "dead": dead,
        "dead_since_s": _since(watch.dead_since_s, now_s) if is_any else None,
        "live_since_s": None if is_any else _since(watch.live_since_s, now_s),
        "used_all": watch.used_all or used,
    }
    if event.voltage_v is None or evse.evse.wiring is Wiring.DC:
        return changes
    is_out = _is_out(evse.evse, event.voltage_v, dead)
    return {
        **changes,
        "volts_out_since_s": _since(watch.volts_out_since_s, now_s) if is_out else None,
        "volts_in_since_s": None if is_out else _since(watch.volts_in_since_s, now_s),
    }


def _is_out(evse: Evse, voltage_v: Phases, dead: tuple[bool, bool, bool]) -> bool:
    off = (abs(v / evse.voltage_v - 1.0) for v, is_dead in zip(voltage_v, dead, strict=True) if not is_dead)
    return any(share > VOLTAGE_BAND for share in off)


def _dead(evse: EvseState, watch: Watch, event: Metered) -> tuple[bool, bool, bool]:
    """Return the own phases that are lost; all of them low is a voltage, not a phase."""
    if evse.evse.wiring is not Wiring.THREE_PHASE:
        return (False, False, False)
    low = [False] * 3
    if event.voltage_v is not None:
        low = [v < (1.0 - VOLTAGE_BAND) * evse.evse.voltage_v for v in event.voltage_v]
    elif event.current_a is not None and watch.used_all:
        # Without voltages only one phase of three is told from a car that changed to a single phase.
        high = sorted(event.current_a)
        low = [a < LEAST_A and high[1] >= DRAWS_ALL_A for a in event.current_a]
    return (False, False, False) if all(low) else (low[0], low[1], low[2])


def _is_plausible(evse: Evse, event: Metered) -> bool:
    """Tell whether current and power can be of the same car, on one phase or on all."""
    if event.current_a is None or event.power_w is None or evse.wiring is Wiring.DC:
        return True
    one_phase_w = max(event.current_a) * evse.voltage_v
    if max(one_phase_w, event.power_w) < 3.0 * LEAST_A * evse.voltage_v:
        return True
    return one_phase_w / IMPLAUSIBLE <= event.power_w <= IMPLAUSIBLE * evse.phase_count * one_phase_w


def _flows_unasked(evse: EvseState, event: Metered, limit_a: float) -> bool:
    """Tell whether a current flows that was told to be 0 and that the station itself says is paused."""
    if event.current_a is None or max(event.current_a) < LEAST_A:
        return False
    has_transaction = evse.session is not None and evse.session.transaction_id is not None
    is_told = has_transaction and limit_a > 0.0
    return not is_told and (evse.charging in _PAUSED or evse.occupied is False)


def warmed(heat: Slope, event: Metered) -> Slope:
    """Return the line of temperature over current with one more reading on it."""
    measured_c = event.outlet_c if event.outlet_c is not None else event.body_c
    if measured_c is None or event.current_a is None:
        return heat
    amps = max(event.current_a)
    return Slope(
        count=heat.count * _FORGETS + 1.0,
        x=heat.x * _FORGETS + amps,
        y=heat.y * _FORGETS + measured_c,
        xx=heat.xx * _FORGETS + amps * amps,
        xy=heat.xy * _FORGETS + amps * measured_c,
    )


def _since(since_s: float | None, now_s: float) -> float:
    return now_s if since_s is None else since_s
