"""Whether a station does what it accepted: the limit it was told against the current it was measured to draw.  Pure.

"Accepted" proves nothing (evcc #31597, SteVe #1192: accepted 7 A, draws 12 A); only the meter does.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from smartcharge.events import Obedience
from smartcharge.model import Evse, Wiring

if TYPE_CHECKING:
    from smartcharge.csms.schemas import Payload

LAG_S = 20.0
"""How long after a lower limit a car may still be on its way to it."""
SLACK_A, SLACK = 1.0, 0.05
"""What a meter may show above a limit that is kept."""
SPIKE_S = 10.0
"""How long a station may jump up after a charging profile that it accepted (lbbrhzn/ocpp #2152)."""
SPIKE_READINGS = 4
"""So many readings in a row may be a spike; one that is told something before each is not excused for ever."""
SPIKES = 2
"""So many spikes, each followed by obedience, show that every profile costs one."""
SPIKING_S = 300.0
"""How long raises wait on such a station."""
PROOF = 2
"""So many readings in a row condemn a station."""
REMEDY_S = 45.0
"""Least time between two remedies: each must have time to be seen in a reading."""
_DRAWS_A = 1.0
_TAKES_ALL = 0.9


class Remedy(Enum):
    """What is done about a station that ignores its limit, one after the other."""

    AGAIN = "told again"
    OTHERWISE = "told in another form"
    LOWER = "told its minimum"
    STOP = "its transaction is stopped"
    NONE = "nothing is left to try, it counts with its maximum"


_STEPS = tuple(Remedy)


@dataclass(slots=True)
class Following:
    """One EVSE: what it was told last, and how it follows."""

    limit_a: float | None = None
    expires_s: float = 0.0
    lowered_s: float = 0.0
    over: int = 0
    verdict: Obedience | None = None
    steps: int = 0
    remedied_s: float = 0.0
    told_s: float = 0.0
    spikes: int = 0
    has_jumped: bool = False
    """Whether the last reading was above the limit, just after a profile."""
    jumps: int = 0
    """How many readings in a row were."""
    has_begun_to_spike: bool = False
    """Whether the last reading made it clear."""

    @property
    def is_spiking(self) -> bool:
        """Tell whether it jumps up after every profile."""
        return self.spikes >= SPIKES

    def told(self, limit_a: float, expires_s: float, now_s: float) -> None:
        """Note a limit that was accepted."""
        if self.limit_a is None or limit_a < self.limit_a or now_s >= self.expires_s:
            self.lowered_s, self.over = now_s, 0
        self.limit_a, self.expires_s, self.told_s = limit_a, expires_s, now_s

    def ended(self) -> None:
        """Forget the car: the next one is another matter, and so is what its station was told."""
        self.limit_a, self.over, self.verdict, self.steps = None, 0, None, 0

    def measured(self, drawn_a: float, now_s: float) -> Obedience | None:
        """Return how the limit is followed by a reading of the highest phase; None while there is no limit."""
        if self.limit_a is None or now_s >= self.expires_s:
            return None
        was_spiking, has_jumped = self.is_spiking, self.has_jumped
        self.has_jumped = False
        self.verdict = self._judged(drawn_a, self.limit_a, now_s)
        if self.verdict in (Obedience.OBEYING, Obedience.CAR_LIMITED):
            self.steps = 0
            self.spikes += has_jumped
        self.has_begun_to_spike = self.is_spiking and not was_spiking
        return self.verdict

    def _judged(self, drawn_a: float, limit_a: float, now_s: float) -> Obedience:
        if drawn_a > limit_a * (1.0 + SLACK) + SLACK_A:
            self.has_jumped = self.over == 0 and now_s - self.told_s < SPIKE_S <= now_s - self.lowered_s
            self.jumps = self.jumps + 1 if self.has_jumped else 0
            self.over += now_s - self.lowered_s >= LAG_S and (not self.has_jumped or self.jumps > SPIKE_READINGS)
            return Obedience.IGNORING if self.over >= PROOF else Obedience.LAGGING
        self.over = self.jumps = 0
        return Obedience.CAR_LIMITED if _DRAWS_A <= drawn_a < _TAKES_ALL * limit_a else Obedience.OBEYING

    def remedy(self, now_s: float) -> Remedy | None:
        """Return what to do next about a station that ignores its limit; None while the last remedy may still work."""
        if self.verdict is not Obedience.IGNORING or now_s - self.remedied_s < REMEDY_S:
            return None
        step = _STEPS[min(self.steps, len(_STEPS) - 1)]
        if step is Remedy.NONE and self.steps > len(_STEPS) - 1:
            return None
        self.steps += 1
        self.remedied_s = now_s
        return step


def scheduled_a(answer: Payload, evse: Evse) -> float | None:
    """Return the limit [A] that a station says it follows now (GetCompositeSchedule), or None if it does not say.

    Some answer without periods, some without a unit that they keep to, so it explains and never condemns.
    """
    schedule: Payload = answer.get("schedule") or answer.get("chargingSchedule") or {}
    periods = schedule.get("chargingSchedulePeriod") or [{}]
    limit = periods[0].get("limit")
    if limit is None or evse.wiring is Wiring.DC:
        return None
    phases = periods[0].get("numberPhases") or evse.phase_count
    return float(limit) / (phases * evse.voltage_v) if schedule.get("chargingRateUnit") == "W" else float(limit)
