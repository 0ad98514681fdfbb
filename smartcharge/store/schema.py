"""The tables, and the numbered steps by which an older database becomes the newest.

A step that was released is never edited: databases in the field were made by it.  Statements are
the SQL that SQLite and PostgreSQL share.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Connection, Double, Engine, MetaData, Table, Text, inspect, text

from smartcharge.errors import StoreError
from smartcharge.store.engine import writing

_TABLES = """
CREATE TABLE journal (
    seq BIGINT PRIMARY KEY, at_s DOUBLE PRECISION NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL
);
CREATE TABLE transaction_numbers (
    number BIGINT PRIMARY KEY,
    station TEXT NOT NULL, connector BIGINT NOT NULL, started_at_s DOUBLE PRECISION NOT NULL, id_token TEXT NOT NULL,
    UNIQUE (station, connector, started_at_s, id_token)
);
CREATE TABLE transactions (
    evse TEXT NOT NULL, transaction_id TEXT NOT NULL,
    started_seq BIGINT, started_at_s DOUBLE PRECISION, ended_at_s DOUBLE PRECISION, id_token TEXT,
    meter_start_wh DOUBLE PRECISION, meter_wh DOUBLE PRECISION, reason TEXT,
    PRIMARY KEY (evse, transaction_id)
);
CREATE INDEX transactions_by_start ON transactions (evse, started_seq);
CREATE TABLE readings (
    seq BIGINT PRIMARY KEY, evse TEXT NOT NULL, at_s DOUBLE PRECISION NOT NULL,
    l1_a DOUBLE PRECISION, l2_a DOUBLE PRECISION, l3_a DOUBLE PRECISION,
    power_w DOUBLE PRECISION, energy_wh DOUBLE PRECISION, soc DOUBLE PRECISION
);
CREATE INDEX readings_by_time ON readings (evse, at_s)
"""

# No version wrote snapshots while they had no time.
_CHRONICLE = """
DROP TABLE snapshots;
CREATE TABLE snapshots (seq BIGINT PRIMARY KEY, at_s DOUBLE PRECISION NOT NULL, body TEXT NOT NULL);
CREATE TABLE chronicle (
    seq BIGINT PRIMARY KEY, at_s DOUBLE PRECISION NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL
);
INSERT INTO chronicle SELECT seq, at_s, kind, body FROM journal WHERE kind IN (
    'StationBooted', 'StationOnline', 'StationOffline', 'Plugged', 'Unplugged', 'TransactionStarted',
    'TransactionEnded', 'FaultRaised', 'FaultCleared', 'OperatorOrder'
)
"""

_LOGBOOK = """
CREATE TABLE logbook (
    number BIGINT PRIMARY KEY, at_s DOUBLE PRECISION NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL
);
CREATE TABLE told (listener TEXT PRIMARY KEY, number BIGINT NOT NULL)
"""

_NETWORK = """
CREATE TABLE network_sites (site TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE network_facts (
    site TEXT NOT NULL, seq BIGINT NOT NULL, at_s DOUBLE PRECISION NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (site, seq)
);
CREATE TABLE network_lines (
    site TEXT NOT NULL, seq BIGINT NOT NULL, at_s DOUBLE PRECISION NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (site, seq)
)
"""

_OUTBOX = """
CREATE TABLE outbox (number BIGINT PRIMARY KEY, station TEXT NOT NULL, action TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE backend_transactions (
    station TEXT NOT NULL, ours BIGINT NOT NULL, theirs BIGINT NOT NULL, PRIMARY KEY (station, ours)
)
"""

_BACKEND_MEMORY = """
CREATE TABLE backend_memory (
    owner TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (owner, name)
)
"""

MIGRATIONS: tuple[tuple[int, tuple[str, ...]], ...] = (
    (1, tuple(_TABLES.split(";"))),
    (2, ("CREATE TABLE snapshots (seq BIGINT PRIMARY KEY, body TEXT NOT NULL)",)),
    (3, tuple(_CHRONICLE.split(";"))),
    (4, tuple(_LOGBOOK.split(";"))),
    (5, tuple(_NETWORK.split(";"))),
    (6, tuple(_OUTBOX.split(";"))),
    (7, (_BACKEND_MEMORY,)),
)
"""(number, statements) of each step, in order."""

_LOCK = 0x736D6368
"""Names the lock that lets one process at a time bring a PostgreSQL database up to date."""

_metadata = MetaData()
_version = Table("schema_version", _metadata, Column("number", BigInteger, primary_key=True))

journal = Table(
    "journal",
    _metadata,
    Column("seq", BigInteger, primary_key=True),
    Column("at_s", Double),
    Column("kind", Text),
    Column("body", Text),
)
"""Every fact, in the order in which the controller applied it."""

snapshots = Table(
    "snapshots",
    _metadata,
    Column("seq", BigInteger, primary_key=True),
    Column("at_s", Double),
    Column("body", Text),
)
"""States, each standing for all facts up to its ``seq``."""

chronicle = Table(
    "chronicle",
    _metadata,
    Column("seq", BigInteger, primary_key=True),
    Column("at_s", Double),
    Column("kind", Text),
    Column("body", Text),
)
"""The facts of `chronicle.KEPT`, each with its number in the journal; outlives the journal's own rows."""

transactions = Table(
    "transactions",
    _metadata,
    Column("evse", Text, primary_key=True),
    Column("transaction_id", Text, primary_key=True),
    Column("started_seq", BigInteger),
    Column("started_at_s", Double),
    Column("ended_at_s", Double),
    Column("id_token", Text),
    Column("meter_start_wh", Double),
    Column("meter_wh", Double),
    Column("reason", Text),
)
"""One row a transaction, kept up to date in the very commits that write the journal."""

readings = Table(
    "readings",
    _metadata,
    Column("seq", BigInteger, primary_key=True),
    Column("evse", Text),
    Column("at_s", Double),
    Column("l1_a", Double),
    Column("l2_a", Double),
    Column("l3_a", Double),
    Column("power_w", Double),
    Column("energy_wh", Double),
    Column("soc", Double),
)
"""What the EVSEs measured, for history; it reaches back as far as the journal."""

logbook = Table(
    "logbook",
    _metadata,
    Column("number", BigInteger, primary_key=True),
    Column("at_s", Double),
    Column("kind", Text),
    Column("body", Text),
)
"""What maintenance wrote down, oldest first, without a gap in the numbers."""

outbox = Table(
    "outbox",
    _metadata,
    Column("number", BigInteger, primary_key=True),
    Column("station", Text),
    Column("action", Text),
    Column("body", Text),
)
"""What waits for the operator's back-end, in order."""

backend_transactions = Table(
    "backend_transactions",
    _metadata,
    Column("station", Text, primary_key=True),
    Column("ours", BigInteger, primary_key=True),
    Column("theirs", BigInteger),
)
"""What the operator's back-end calls the transactions that we numbered."""

backend_memory = Table(
    "backend_memory",
    _metadata,
    Column("owner", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("body", Text),
)
"""What operators' back-ends said that must outlive a restart: profiles by station, tokens of no station."""

network_sites = Table("network_sites", _metadata, Column("site", Text, primary_key=True), Column("body", Text))
"""What each site of a network is, as it described itself last."""


def _copied(name: str) -> Table:
    return Table(
        name,
        _metadata,
        Column("site", Text, primary_key=True),
        Column("seq", BigInteger, primary_key=True),
        Column("at_s", Double),
        Column("kind", Text),
        Column("body", Text),
    )


network_facts = _copied("network_facts")
"""The chronicles of all sites of a network."""

network_lines = _copied("network_lines")
"""The logbooks of all sites of a network."""

told = Table("told", _metadata, Column("listener", Text, primary_key=True), Column("number", BigInteger))
"""Up to which number of a log each listener was told."""


def upgrade(engine: Engine) -> None:
    """Bring a database to the newest schema, all steps or none.

    Raises StoreError if it comes from a newer version of smartcharge or belongs to something else.
    """
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":  # SQLite locked the whole file when the transaction began
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        place = connection.engine.url.render_as_string()
        current = _current(connection)
        newest = MIGRATIONS[-1][0]
        if current > newest:
            raise StoreError(
                f"{place} was written by a newer smartcharge: it has schema {current}, this one knows up to {newest}"
            )
        for number, statements in MIGRATIONS:
            if number > current:
                _step(connection, number, statements)


def _current(connection: Connection) -> int:
    tables = set(inspect(connection).get_table_names())
    if _version.name in tables:
        return int(connection.scalar(_version.select()) or 0)
    if tables:
        place = connection.engine.url.render_as_string()
        raise StoreError(f"{place} belongs to something else: it has a table {min(tables)!r} and no schema version")
    connection.execute(text(_portable(connection, "CREATE TABLE schema_version (number BIGINT PRIMARY KEY)")))
    connection.execute(_version.insert().values(number=0))
    return 0


def _step(connection: Connection, number: int, statements: tuple[str, ...]) -> None:
    for statement in statements:
        connection.execute(text(_portable(connection, statement)))
    connection.execute(_version.update().values(number=number))


def _portable(connection: Connection, statement: str) -> str:
    # SQLite makes a primary key its row id only where it is spelt INTEGER; its integers have 64 bits anyway.
    return statement.replace("BIGINT", "INTEGER") if connection.dialect.name == "sqlite" else statement
