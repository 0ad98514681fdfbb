"""What the energy of the cars costs at the prices of each moment."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from smartcharge.clock import now_s
from smartcharge.control.tariff import Course
from smartcharge.sim.world import World


@dataclass(slots=True, kw_only=True)
class Bill:
    """Reads every EVSE's register whenever the price changes; a rectifier's losses are paid for too."""

    world: World
    prices: Course
    cost: float = 0.0
    """What was paid so far [money]."""
    _drawn_wh: float = 0.0

    async def run(self) -> None:
        """Read at every change of the price until cancelled."""
        # Plain numbers: what one sleeps by becomes the simulated time.
        for per_kwh, until_s in zip(self.prices.per_kwh.tolist(), self.prices.edges_s[1:].tolist(), strict=True):
            try:
                await asyncio.sleep(max(0.0, until_s - now_s()))
            finally:  # cancelled or not: what was drawn up to here is paid
                self._pay(per_kwh)

    def _pay(self, per_kwh: float) -> None:
        self.world.advance(now_s())
        drawn_wh = sum(self.world.register_wh(evse.id) / evse.efficiency for evse in self.world.site.evses)
        self.cost += (drawn_wh - self._drawn_wh) / 1000.0 * per_kwh
        self._drawn_wh = drawn_wh
