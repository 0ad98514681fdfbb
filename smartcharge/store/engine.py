"""The database behind the store: how it is opened, what SQLite needs, and its errors in plain words.

SQLite's own settings stand here and nowhere else.  The write-ahead log lets readers go on while a
commit is written; ``synchronous=FULL`` syncs the log to disk with every commit, so that what was
acknowledged survives a power cut and not only a killed process.  It costs one disk sync a commit,
which group commit shares among all who wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from smartcharge.errors import StoreError

_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")

_SQLITE_ERRORS = {
    "SQLITE_NOTADB": "is not a database",
    "SQLITE_CORRUPT": "is damaged",
    "SQLITE_BUSY": "is held by another process",
    "SQLITE_LOCKED": "is held by another process",
    "SQLITE_FULL": "cannot grow: the disk is full",
    "SQLITE_CANTOPEN": "cannot be opened: its folder must exist and be ours to write",
    "SQLITE_READONLY": "is read-only",
    "SQLITE_IOERR": "cannot be read or written: the disk reports an error",
}


def connect(url: str) -> Engine:
    """Return the engine of a database URL, e.g. ``sqlite:///site.db``; ``sqlite://`` lives in memory only.

    How long to wait for another process's lock is sqlite3's own ``?timeout=`` [s], 5 when not said.
    PostgreSQL is ``postgresql://user:password@host/database`` and needs the extra ``postgresql``.
    Raises StoreError for a URL that names no database we can drive.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(parsed)
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        # A connection that died with its server is replaced and not handed out.
        return create_engine(parsed, pool_pre_ping=True)
    except (SQLAlchemyError, ImportError) as error:
        raise StoreError(f"no database to be had from the store's URL: {error}") from error


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open one transaction that is durable when the block is left; raises StoreError and then nothing is written."""
    with _explained(engine), engine.begin() as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a connection that only reads, and so waits for no writer; raises StoreError."""
    with _explained(engine), engine.connect() as connection:
        yield connection.execution_options(sqlite_begin="DEFERRED")


@contextmanager
def _explained(engine: Engine) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(_in_words(engine.url, error)) from error


def _in_words(url: URL, error: SQLAlchemyError) -> str:
    place = url.render_as_string(hide_password=True)
    cause = error.orig if isinstance(error, DBAPIError) else error
    name = getattr(cause, "sqlite_errorname", "")
    # Extended names such as SQLITE_IOERR_WRITE begin with their family's.
    known = [words for code, words in _SQLITE_ERRORS.items() if name.startswith(code)]
    return f"{place} {known[0]}" if known else f"{place}: {' '.join(str(cause).split())}"


def _sqlite(url: URL) -> Engine:
    # A database in memory is its one connection: whoever wants it waits for the other to be done.
    in_memory = url.database in (None, "", ":memory:")
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=1 if in_memory else 5,
        max_overflow=0 if in_memory else 10,
        # sqlite3 would begin transactions on its own, and only before some statements: we say BEGIN.
        connect_args={"isolation_level": None, "check_same_thread": False},
    )
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    return engine


def _set_pragmas(connection: DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    # Taking the write lock at once: a reader that turns writer halfway is refused instead of made to wait.
    mode = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
    connection.exec_driver_sql(f"BEGIN {mode}")
