"""Carries campaigns out: writes an order down, gives it to the station, and writes down what did not work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from smartcharge.clock import now_s
from smartcharge.codec import Encoded
from smartcharge.errors import Refused, Unreachable
from smartcharge.maintenance.desk import ITSELF
from smartcharge.maintenance.firmware import (
    ENTRIES,
    Campaign,
    CampaignFinished,
    CampaignStopped,
    Entry,
    Finish,
    Give,
    Step,
    Stop,
    UpdateOrdered,
    UpdateRefused,
    UpdateUnsent,
    campaigns,
    entries,
    steps,
)
from smartcharge.maintenance.ports import Place
from smartcharge.orders import UpdateFirmware
from smartcharge.ports import Chronicle, Emit, Logbook, Orderly, Written

ROUND_S: Final = 60.0
"""How often it looks at campaigns [s]."""
LOOKBACK_S: Final = 30 * 86400.0
"""How long before a campaign facts tell whether a port is free [s]; at one that said nothing a car may be."""


async def write(logbook: Logbook, decide: Callable[[Sequence[Entry]], Sequence[Entry]]) -> list[Entry]:
    """Add what ``decide`` makes of all that is written of campaigns, as one transaction; StoreError."""
    decided: list[Entry] = []

    def encoded(written: Sequence[Written]) -> list[tuple[float, Encoded]]:
        decided[:] = decide(entries(written))
        return [(entry.at_s, ENTRIES.encode(entry)) for entry in decided]

    await logbook.write(encoded)
    return decided


class Updater:
    """A `ports.Source` that yields no facts of its own: stations report what becomes of their orders."""

    name = "firmware"
    trouble: str | None = None

    def __init__(self, place: Place, chronicle: Chronicle, logbook: Logbook, stations: Orderly) -> None:
        self._place = place
        self._chronicle = chronicle
        self._logbook = logbook
        self._stations = stations

    async def run(self, emit: Emit) -> None:
        """Go round until cancelled."""
        while True:
            await self.round()
            await asyncio.sleep(ROUND_S)

    async def round(self) -> None:
        """Take the next steps of every campaign; raises StoreError."""
        known = campaigns(entries(await self._logbook.lines()))
        going = [one for one in known.values() if one.finished is None and (not one.stopped or one.started.rollback)]
        if not going:
            return
        facts = await self._chronicle.facts(min(one.started.at_s for one in going) - LOOKBACK_S)
        for campaign in going:
            for step in steps(campaign, self._place, facts, now_s()):
                await self._take(campaign, step)

    async def _take(self, campaign: Campaign, step: Step) -> None:
        name, at_s = campaign.id, now_s()
        match step:
            case Stop(reason=reason):
                stopped = CampaignStopped(at_s=at_s, campaign=name, author=ITSELF, reason=reason)
                await write(self._logbook, lambda _: [stopped])
            case Finish():
                finished = CampaignFinished(at_s=at_s, campaign=name, author=ITSELF)
                await write(self._logbook, lambda _: [finished])
            case Give():
                await self._give(name, step)

    async def _give(self, campaign: str, step: Give) -> None:
        """Write an order down before it is given: after a crash its answer is still known to be ours."""
        at_s, station = now_s(), step.station

        def order(before: Sequence[Entry]) -> list[Entry]:
            number = 1 + sum(isinstance(entry, UpdateOrdered) for entry in before)
            return [
                UpdateOrdered(
                    at_s=at_s, campaign=campaign, author=ITSELF, station=station, request_id=number,
                    is_rollback=step.is_rollback,
                )
            ]  # fmt: skip

        (ordered,) = await write(self._logbook, order)
        assert isinstance(ordered, UpdateOrdered)
        number = ordered.request_id
        failure: Entry
        try:
            await self._stations.ask(station, _firmware(step, number, at_s))
        except Refused as error:
            failure = UpdateRefused(
                at_s=now_s(), campaign=campaign, author=ITSELF, station=station, request_id=number, reason=str(error)
            )
        except Unreachable:
            failure = UpdateUnsent(at_s=now_s(), campaign=campaign, author=ITSELF, station=station, request_id=number)
        else:
            return
        await write(self._logbook, lambda _: [failure])


def _firmware(step: Give, number: int, at_s: float) -> UpdateFirmware:
    image = step.image
    return UpdateFirmware(
        request_id=number,
        location=image.location,
        retrieve_at_s=at_s,
        signing_certificate=image.signing_certificate,
        signature=image.signature,
    )
