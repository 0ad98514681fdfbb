"""From sampled values to a reading of an EVSE, with a sanity filter before every figure.

What stations send in the field includes empty values, NaN, watt-hours labelled kWh, and false zeros;
a figure that cannot be true becomes None, which the controller counts as the worst case.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from smartcharge.events import Metered
from smartcharge.model import Evse, EvseId, Phases, Wiring

logger = logging.getLogger(__name__)

CURRENT = "Current.Import"
POWER = "Power.Active.Import"
ENERGY = "Energy.Active.Import.Register"
SOC = "SoC"
VOLTAGE = "Voltage"
TEMPERATURE = "Temperature"

ABSURD_RATIO = 3.0
"""A current or power above this many times the EVSE's maximum is an error of unit, not a measurement."""
ENERGY_RATIO = 1.25
ENERGY_SLACK_WH = 1000.0
"""A register may rise by ENERGY_RATIO times the maximum power, plus this much for coarse registers."""
MAX_REGISTER_WH = 1e12

_SCALES: Mapping[str, Mapping[str, float]] = {
    CURRENT: {"A": 1.0},
    POWER: {"W": 1.0, "kW": 1e3},
    ENERGY: {"Wh": 1.0, "kWh": 1e3},
    SOC: {"Percent": 1.0},
    VOLTAGE: {"V": 1.0},
    TEMPERATURE: {"Celsius": 1.0, "Celcius": 1.0},  # 1.6 took the typing error into its list
}
_BODY, _OUTLET = (None, "Body"), ("Outlet", "Cable")
"""Where a temperature is taken; one without a place counts as the enclosure's, whose limit is the lower."""
LARGEST_V, LARGEST_C = 2000.0, 200.0
_LINES = {"L1": 0, "L2": 1, "L3": 2, "L1-N": 0, "L2-N": 1, "L3-N": 2, "L1-L2": 0, "L2-L3": 1, "L3-L1": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One sampled value, as both OCPP versions have it."""

    measurand: str
    value: float | None
    """None where the station sent something that is no finite number."""
    unit: str | None = None
    phase: str | None = None
    location: str | None = None
    is_triggered: bool = False
    """Whether it was asked for; some stations answer with a zero that was never measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Register:
    """An energy register when it was last seen, believed or not."""

    energy_wh: float
    taken_s: float


def finite(value: float | str | None, largest: float = 1e15) -> float | None:
    """Return a number or numeric text as a float, or None if it is none or beyond any meter."""
    try:
        number = float("nan" if value is None else value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) and abs(number) <= largest else None


class Meters:
    """The meters of one station's EVSEs; remembers registers, to know an impossible jump."""

    def __init__(self) -> None:
        self._registers: dict[EvseId, _Register] = {}

    def read(
        self, evse: Evse, samples: Sequence[Sample], *, taken_s: float, now_s: float, is_live: bool
    ) -> Metered | None:
        """Return what the samples of one moment say of an EVSE, or None if they say nothing.

        Currents are on the EVSE's own lines.  Of a DC EVSE current and power are converted to the AC side.
        Samples that are not live, such as those queued while offline, only tell the register.
        """
        scaled = [s for sample in samples if (s := _scaled(evse, sample)) is not None]
        power_w = _power_w(evse, scaled)
        reading = Metered(
            at_s=now_s,
            evse=evse.id,
            current_a=_current_a(evse, scaled, power_w) if is_live else None,
            power_w=power_w if is_live else None,
            energy_wh=self._plausible_wh(evse, _total(evse, _of(scaled, ENERGY)), min(taken_s, now_s)),
            soc=_soc(scaled) if is_live else None,
            voltage_v=_voltage_v(evse, scaled) if is_live else None,
            body_c=_temperature_c(scaled, _BODY) if is_live else None,
            outlet_c=_temperature_c(scaled, _OUTLET) if is_live else None,
        )
        return None if reading == Metered(at_s=now_s, evse=evse.id) else reading

    def _plausible_wh(self, evse: Evse, energy_wh: float | None, taken_s: float) -> float | None:
        """Return a register value unless it fell or rose faster than the EVSE can deliver.

        The next value is compared with the one refused, so a replaced meter is believed from its second on.
        """
        if energy_wh is None or not 0.0 <= energy_wh <= MAX_REGISTER_WH:
            return None
        last = self._registers.get(evse.id)
        self._registers[evse.id] = _Register(energy_wh=energy_wh, taken_s=taken_s)
        if last is None:
            return energy_wh
        if taken_s < last.taken_s:  # out of order, or repeated: a newer one is known
            self._registers[evse.id] = last
            return None
        hours = max(0.0, taken_s - last.taken_s) / 3600.0
        rise_wh = energy_wh - last.energy_wh
        if 0.0 <= rise_wh <= ENERGY_RATIO * evse.max_w * hours + ENERGY_SLACK_WH:
            return energy_wh
        logger.warning("%s: energy register went from %g to %g Wh: refused", evse.id, last.energy_wh, energy_wh)
        return None


def _scaled(evse: Evse, sample: Sample) -> Sample | None:
    """Return a sample in A, W, Wh or percent, its value None if it cannot be true; None if of no interest."""
    scales = _SCALES.get(sample.measurand)
    if scales is None or sample.phase == "N":
        return None
    scale = 1.0 if sample.unit is None else scales.get(sample.unit)
    value = None if sample.value is None or scale is None else sample.value * scale
    if sample.is_triggered and sample.value == 0.0 and sample.measurand in (CURRENT, POWER):
        return None
    largest = {
        CURRENT: ABSURD_RATIO * evse.max_a, POWER: ABSURD_RATIO * evse.max_w, SOC: 100.0, VOLTAGE: LARGEST_V,
        TEMPERATURE: LARGEST_C,
    }  # fmt: skip
    lowest = -LARGEST_C if sample.measurand == TEMPERATURE else 0.0
    if value is None or not lowest <= value <= largest.get(sample.measurand, MAX_REGISTER_WH):
        logger.warning("%s: %s of %s %s: refused", evse.id, sample.measurand, sample.value, sample.unit)
        value = None
    return Sample(measurand=sample.measurand, value=value, phase=sample.phase, location=sample.location)


def _of(samples: Iterable[Sample], measurand: str) -> list[Sample]:
    """Return the samples of a measurand taken where the car hangs; the station's inlet only if there are none."""
    mine = [s for s in samples if s.measurand == measurand]
    return [s for s in mine if s.location in (None, "Outlet")] or [s for s in mine if s.location == "Inlet"]


def _by_line(samples: Iterable[Sample]) -> dict[int, float | None]:
    return {_LINES[s.phase]: s.value for s in samples if s.phase in _LINES}


def _total(evse: Evse, samples: list[Sample]) -> float | None:
    """Return the value of all phases together: as sent, or summed if every phase was sent."""
    for sample in samples:
        if sample.phase is None:
            return sample.value
    values = [value for value in _by_line(samples).values() if value is not None]
    return sum(values) if len(values) == 3 or (values and evse.phase_count == 1) else None


def _power_w(evse: Evse, samples: list[Sample]) -> float | None:
    total_w = _total(evse, _of(samples, POWER))
    return None if total_w is None else total_w / evse.efficiency


def _current_a(evse: Evse, samples: list[Sample], power_w: float | None) -> Phases | None:
    if evse.wiring is Wiring.DC:  # its amperes are those of the battery
        return None if power_w is None else Phases.all(power_w / evse.watts_per_amp)
    currents = _of(samples, CURRENT)
    values = [s.value for s in currents if s.value is not None]
    if not values or len(values) < len(currents):
        return None
    if evse.wiring is not Wiring.THREE_PHASE:
        return Phases(max(values), 0.0, 0.0)
    lines = {line: value for line, value in _by_line(currents).items() if value is not None}
    # A phase that nobody speaks of may carry as much as the highest that was named.
    worst = max(lines.values()) if lines else max(values)
    return Phases(lines.get(0, worst), lines.get(1, worst), lines.get(2, worst))


def _voltage_v(evse: Evse, samples: list[Sample]) -> Phases | None:
    """Return the supply voltages on the EVSE's own lines; of a rectifier they are the battery's, so None."""
    across = {"L1-L2", "L2-L3", "L3-L1"}
    found = [s for s in samples if s.measurand == VOLTAGE and s.value is not None]
    if evse.wiring is not Wiring.LINE_TO_LINE:
        found = [s for s in found if s.phase not in across]
    values = [s.value for s in found if s.value is not None]
    if not values or evse.wiring is Wiring.DC:
        return None
    lines = {line: value for line, value in _by_line(found).items() if value is not None}
    return Phases(*(lines.get(line, values[0]) for line in range(3)))


def _temperature_c(samples: list[Sample], places: tuple[str | None, ...]) -> float | None:
    """Return the highest temperature taken at places [C]: any sensor speaks for all."""
    found = [s.value for s in samples if s.measurand == TEMPERATURE and s.location in places and s.value is not None]
    return max(found, default=None)


def sampled(measurands: list[str], *more: str) -> tuple[str, str]:
    """Return the lists of measurands to ask for: what every station has, then more, which it may refuse whole."""
    return ",".join(measurands), ",".join([*measurands, *more])


def _soc(samples: list[Sample]) -> float | None:
    return next((s.value / 100.0 for s in samples if s.measurand == SOC and s.value is not None), None)
