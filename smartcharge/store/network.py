"""Many sites in one database: copies of their chronicles and logbooks, in order, each line once.

Both logs are only ever added to, in the order of their numbers.  So the copy of a site is always a
beginning of what the site has, and its end says where to go on: after a week without a connection as
after a second.  Nothing is lost because nothing is skipped, nothing doubled because (site, number) is
the key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Final, NamedTuple, Self

from sqlalchemy import Connection, Engine, Table, func, insert, select, text

from smartcharge.codec import Encoded
from smartcharge.errors import StoreError
from smartcharge.ports import Emit, Kept, Written
from smartcharge.store import schema
from smartcharge.store.codec import decode
from smartcharge.store.engine import connect, reading, writing

ROUND_S: Final = 60.0
"""How often a site delivers what is new [s]."""
ITSELF: Final = ""
"""Under this name, which no site has, stand the lines of the network itself."""
BATCH_ROWS: Final = 1000
"""Lines that are delivered in one transaction at most."""

_DESCRIBE = text(
    "INSERT INTO network_sites (site, body) VALUES (:site, :body) ON CONFLICT (site) DO UPDATE SET body = excluded.body"
)


class _Log(NamedTuple):
    """A log of a site, and its copy in the network."""

    source: Table
    number: str
    copy: Table


_LOGS: Final = (
    _Log(schema.chronicle, "seq", schema.network_facts),
    _Log(schema.logbook, "number", schema.network_lines),
)


class Mirror:
    """A `ports.Source` that yields no facts: it copies those of its site to the network, sooner or later."""

    name = "network"

    def __init__(self, engine: Engine, site: str, description: str, url: str) -> None:
        """Copy from a site's database to that at a URL; ``description`` is what the network is told of the site."""
        self._engine = engine
        self._site = site
        self._description = description
        self._url = url
        self._trouble: str | None = "has not delivered yet"
        # One that was cancelled goes on in its thread for a moment.
        self._delivering = Lock()

    @property
    def trouble(self) -> str | None:
        """Return why nothing can be delivered, None while it can."""
        return self._trouble

    async def run(self, emit: Emit) -> None:
        """Deliver what is new until cancelled; a network that cannot be reached is tried again."""
        while True:
            try:
                await self.deliver()
                self._trouble = None
            except StoreError as error:
                self._trouble = str(error)
            await asyncio.sleep(ROUND_S)

    async def deliver(self) -> int:
        """Copy everything that the network does not have; return how many lines.  Raises StoreError."""
        return await asyncio.to_thread(self._deliver)

    def _deliver(self) -> int:
        with self._delivering:
            return self._deliver_all()

    def _deliver_all(self) -> int:
        engine = connect(self._url)
        try:
            schema.upgrade(engine)
            with writing(engine) as there:
                there.execute(_DESCRIBE, {"site": self._site, "body": self._description})
            return sum(self._copy(log, engine) for log in _LOGS)
        finally:
            engine.dispose()

    def _copy(self, log: _Log, network: Engine) -> int:
        copied = 0
        while True:
            with writing(network) as there:
                last = there.scalar(select(func.max(log.copy.c.seq)).where(log.copy.c.site == self._site)) or 0
                rows = self._after(log, there, last)
                if rows:
                    there.execute(insert(log.copy), rows)
            copied += len(rows)
            if len(rows) < BATCH_ROWS:
                return copied

    def _after(self, log: _Log, there: Connection, last: int) -> list[dict[str, object]]:
        """Return the lines after the last one that the network has, having made sure that it is ours."""
        seq = log.source.c[log.number]
        columns = (seq.label("seq"), log.source.c.at_s, log.source.c.kind, log.source.c.body)
        with reading(self._engine) as here:
            if last:
                ours = here.scalar(select(log.source.c.body).where(seq == last))
                theirs = there.scalar(
                    select(log.copy.c.body).where(log.copy.c.site == self._site, log.copy.c.seq == last)
                )
                if ours != theirs:
                    raise StoreError(
                        f"the network has another {log.source.name} of {self._site}: line {last} differs; a site that"
                        " begins anew needs a new id"
                    )
            rows = here.execute(select(*columns).where(seq > last).order_by(seq).limit(BATCH_ROWS)).all()
        return [{"site": self._site, **row._asdict()} for row in rows]


class Network:
    """What all sites have delivered; reads only.  All methods raise StoreError."""

    def __init__(self, url: str) -> None:
        """Open the network's database."""
        self._engine = connect(url)
        schema.upgrade(self._engine)

    async def __aenter__(self) -> Self:
        """Return the network itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let the database go."""
        self._engine.dispose()

    async def sites(self) -> dict[str, str]:
        """Return how each site describes itself, by its id."""

        def read() -> dict[str, str]:
            with reading(self._engine) as connection:
                rows = connection.execute(schema.network_sites.select().order_by(schema.network_sites.c.site))
                return {row.site: row.body for row in rows}

        return await asyncio.to_thread(read)

    async def notices(self) -> list[Written]:
        """Return the network's own logbook, oldest first."""
        return await self.lines(ITSELF)

    async def notice(self, decide: Callable[[Sequence[Written]], tuple[float, Encoded]]) -> None:
        """Add a line to the network's own logbook, decided on all that stands there; raises what ``decide`` raises."""
        before = await self.notices()
        at_s, entry = decide(before)
        row = {"site": ITSELF, "seq": len(before) + 1, "at_s": at_s, "kind": entry.kind, "body": entry.body}

        def write() -> None:
            with writing(self._engine) as connection:  # of two who write at once, one hears that the number is taken
                connection.execute(insert(schema.network_lines), row)

        await asyncio.to_thread(write)

    async def facts(self, site: str) -> list[Kept]:
        """Return a site's facts in the order in which they became known."""

        def read() -> list[Kept]:
            copy = schema.network_facts.c
            rows = select(copy.seq, copy.kind, copy.body).where(copy.site == site)
            with reading(self._engine) as connection:
                return [
                    Kept(seq, decode(kind, body)) for seq, kind, body in connection.execute(rows.order_by(copy.seq))
                ]

        return await asyncio.to_thread(read)

    async def lines(self, site: str) -> list[Written]:
        """Return a site's logbook, oldest first."""

        def read() -> list[Written]:
            copy = schema.network_lines.c
            rows = select(copy.seq, copy.at_s, copy.kind, copy.body).where(copy.site == site).order_by(copy.seq)
            with reading(self._engine) as connection:
                return [Written(*row) for row in connection.execute(rows)]

        return await asyncio.to_thread(read)
