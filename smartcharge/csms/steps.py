"""The only currents that some stations take (6, 8, 10, 13, 16 A: evcc #16768), found out by what they refuse.  Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

COMMON_A = (6.0, 8.0, 10.0, 13.0, 16.0, 20.0, 25.0, 32.0, 40.0, 50.0, 63.0, 80.0)
"""The currents of cables, fuses and adapters: the steps that stations have."""
TRIES = 4
"""So many lower currents are tried in place of one that was refused."""


@dataclass(slots=True)
class Steps:
    """What is known of the currents that a station takes; while nothing was refused it takes any."""

    taken_a: set[float] = field(default_factory=set)
    refused_a: set[float] = field(default_factory=set)

    def snapped_a(self, limit_a: float) -> float:
        """Return the highest current that it surely takes, or may take, up to a limit; 0 if there is none."""
        if not self.refused_a:
            return limit_a
        known = (*self.taken_a, *(step for step in COMMON_A if step not in self.refused_a))
        return max((step for step in known if step <= limit_a), default=0.0)

    def lower_a(self, limit_a: float, least_a: float) -> tuple[float, ...]:
        """Return the currents to try in place of one that was refused, highest first."""
        known = {*self.taken_a, *COMMON_A} - self.refused_a
        return tuple(sorted((step for step in known if least_a <= step < limit_a), reverse=True)[:TRIES])

    def found(self, refused_a: float, taken_a: float) -> None:
        """Note that one current was refused where a lower one was taken."""
        self.refused_a.add(refused_a)
        self.taken_a.add(taken_a)
