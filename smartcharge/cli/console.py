"""Where words go: answers to stdout, everything else to stderr; and what options have in common."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import NoReturn

import typer
from rich.console import Console

from smartcharge.errors import ConfigError

REFUSED = 1
"""Exit code when the answer is no."""
FAILED = 2
"""Exit code when it could not be done."""


def answers() -> Console:
    """Return the console for what was asked for; wide enough for a table where nobody looks at it."""
    return Console() if sys.stdout.isatty() else Console(width=160)


def remarks() -> Console:
    """Return the console for progress and remarks."""
    return Console(stderr=True, highlight=False)


def fail(error: BaseException) -> NoReturn:
    """Say on stderr what went wrong, one line for each reason, and exit."""
    for line in _lines(error):
        typer.echo(f"smartcharge: {line}", err=True)
    raise SystemExit(FAILED)


def _lines(error: BaseException) -> Iterator[str]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _lines(inner)
    elif isinstance(error, OSError) and error.filename is not None:
        yield f"{error.filename}: {error.strerror}"
    else:
        yield from str(error).splitlines() or [type(error).__name__]


def writable(path: Path | None) -> Path | None:
    """Return a file that is to be written in the end, refusing at once what cannot work (a typer callback)."""
    if path is not None and path.is_dir():
        raise typer.BadParameter(f"{path} is a folder")
    if path is not None and not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"the folder {path.absolute().parent} does not exist")
    return path


def stored(journal: str) -> str:
    """Return the URL of a database that is there; opening another would make an empty one."""
    path = Path(journal.removeprefix("sqlite:///").partition("?")[0])
    if "://" not in journal or journal.startswith("sqlite:///"):
        if not path.is_file():
            raise ConfigError(f"{path}: there is no such journal")
        return journal if "://" in journal else f"sqlite:///{journal}"
    return journal


class LogLevel(Enum):
    """From which level on the log is shown."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
