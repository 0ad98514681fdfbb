"""A firmware campaign over a network: sites are its rings, and each site runs its own campaign when it is its turn.

The network's database has a logbook of its own, in which people begin and stop rollouts.  A site reads it together with
what the other sites have delivered, and decides for itself; while the network cannot be reached nothing new begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, Protocol, TypeAlias

from smartcharge.clock import now_s
from smartcharge.codec import Codec
from smartcharge.errors import StoreError
from smartcharge.maintenance import updater
from smartcharge.maintenance.campaign_file import Wanted, started
from smartcharge.maintenance.desk import ITSELF
from smartcharge.maintenance.firmware import Campaign, CampaignStopped, Entry, campaigns, entries
from smartcharge.maintenance.ports import Place
from smartcharge.ports import Chronicle, Emit, Logbook, Written

ROUND_S: Final = 300.0
"""How often a site looks whether it is its turn [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    at_s: float
    rollout: str
    author: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStarted(_Entry):
    """Sites are to run a campaign of this name, ring after ring."""

    wanted: Wanted
    rings: tuple[tuple[str, ...], ...]
    """Ids of sites; the next ring begins when every site of this one has finished."""
    most_stopped: float
    """Share of the sites that came to an end whose campaigns may have been stopped; beyond it all are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStopped(_Entry):
    """No site begins any more, and those that have begun stop."""

    reason: str


RolloutEntry: TypeAlias = RolloutStarted | RolloutStopped
ROLLOUTS: Final[Codec[RolloutEntry]] = Codec(RolloutEntry, "an entry of a rollout")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A rollout as it stands in the network's logbook."""

    started: RolloutStarted
    stopped: RolloutStopped | None = None

    @property
    def sites(self) -> tuple[str, ...]:
        """Return all sites, in the order of their rings."""
        return tuple(site for ring in self.started.rings for site in ring)


def rollouts(written: Sequence[Written]) -> dict[str, Rollout]:
    """Return all rollouts by name, in the order of their starts; raises StoreError."""
    known: dict[str, Rollout] = {}
    for line in written:
        if ROLLOUTS.knows(line.kind):
            entry = ROLLOUTS.decode(line.kind, line.body)
            if isinstance(entry, RolloutStarted):
                known[entry.rollout] = Rollout(started=entry)
            else:
                known[entry.rollout] = replace(known[entry.rollout], stopped=entry)
    return known


class Turn(Enum):
    """How far a site is."""

    WAITING = "waiting"
    GOING = "going on"
    FINISHED = "finished"
    STOPPED = "stopped"


def turn(campaign: Campaign | None) -> Turn:
    """Return how far a site is by its campaign; None has not begun."""
    if campaign is None:
        return Turn.WAITING
    if campaign.stopped is not None:
        return Turn.STOPPED
    return Turn.GOING if campaign.finished is None else Turn.FINISHED


def trouble(rollout: Rollout, turns: Mapping[str, Turn]) -> str | None:
    """Return why nobody is to go on; None while all is well."""
    if rollout.stopped is not None:
        return f"stopped by {rollout.stopped.author}: {rollout.stopped.reason}"
    stopped = [site for site in rollout.sites if turns[site] is Turn.STOPPED]
    ended = len(stopped) + sum(one is Turn.FINISHED for one in turns.values())
    if len(stopped) <= rollout.started.most_stopped * ended:
        return None
    return f"{len(stopped)} of {ended} sites stopped: {', '.join(stopped)}"


def may_begin(rollout: Rollout, turns: Mapping[str, Turn], site: str) -> bool:
    """Tell whether it is a site's turn: every ring before its own has come to an end."""
    for ring in rollout.started.rings:
        if site in ring:
            return turns[site] is Turn.WAITING
        if any(turns[other] in (Turn.WAITING, Turn.GOING) for other in ring):
            return False
    return False


class Board(Protocol):
    """What the network's database tells."""

    async def notices(self) -> list[Written]:
        """Return the network's own logbook, oldest first; raises StoreError."""

    async def lines(self, site: str) -> list[Written]:
        """Return what a site's logbook has delivered, oldest first; raises StoreError."""


class Follower:
    """A `ports.Source` that yields no facts: it begins and stops this site's part of each rollout."""

    name = "rollouts"

    def __init__(
        self,
        place: Place,
        chronicle: Chronicle,
        logbook: Logbook,
        board: Callable[[], AbstractAsyncContextManager[Board]],
    ) -> None:
        self._place = place
        self._chronicle = chronicle
        self._logbook = logbook
        self._board = board
        self.trouble: str | None = None

    async def run(self, emit: Emit) -> None:
        """Look now and then until cancelled; a network that cannot be reached is asked again."""
        while True:
            try:
                await self.round()
                self.trouble = None
            except StoreError as error:
                self.trouble = str(error)
            await asyncio.sleep(ROUND_S)

    async def round(self) -> None:
        """Begin or stop what is to be; raises StoreError."""
        async with self._board() as board:
            for name, rollout in rollouts(await board.notices()).items():
                if self._place.id in rollout.sites:
                    await self._follow(name, rollout, board)

    async def _follow(self, name: str, rollout: Rollout, board: Board) -> None:
        mine = campaigns(entries(await self._logbook.lines()))
        turns = {self._place.id: turn(mine.get(name))}
        for site in rollout.sites:
            if site not in turns:
                turns[site] = turn(campaigns(entries(await board.lines(site))).get(name))
        why = trouble(rollout, turns)
        if why is not None and turns[self._place.id] is Turn.GOING:
            stopped = CampaignStopped(at_s=now_s(), campaign=name, author=ITSELF, reason=f"in the network: {why}")
            await updater.write(self._logbook, lambda _: [stopped])
        elif why is None and may_begin(rollout, turns, self._place.id):
            begun = started(name, rollout.started.wanted, self._place, await self._chronicle.facts(), now_s())
            begun = replace(begun, author=rollout.started.author)

            def decide(before: Sequence[Entry]) -> list[Entry]:
                known = campaigns(before)
                is_free = all(turn(one) in (Turn.FINISHED, Turn.STOPPED) for one in known.values())
                return [begun] if name not in known and is_free else []

            await updater.write(self._logbook, decide)
