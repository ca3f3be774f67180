"""SQLite files in the state directory, and their failures in one line."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from myha.errors import MyhaError

BUSY_SECONDS = 2.0

Change = Callable[[sqlite3.Connection], None]


def _only_marked(_connection: sqlite3.Connection) -> None:
    """Files had no number before there were formats; their tables are those of format 1."""


# What makes a file of format N one of N + 1: added to, never changed. A file is brought up to date
# by whoever opens it to write. Fields that records got later are the codec's affair.
CHANGES: tuple[Change, ...] = (_only_marked,)
FORMAT = len(CHANGES)


def bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    """All changes that the file has not seen, together or not at all. Raises MyhaError when it is
    of a newer format."""
    found = _format_of(connection, path)
    if found == FORMAT:
        return
    changing = [one for one in CHANGES[found:] if one is not _only_marked]
    try:
        connection.execute("BEGIN IMMEDIATE")
        for change in changing:
            change(connection)
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("COMMIT")
    except sqlite3.OperationalError:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if changing:
            raise
        # The disk is full: only the number is missing, and the next one writes it.


def _format_of(connection: sqlite3.Connection, path: Path) -> int:
    """0: from before there were numbers. Raises MyhaError for one that this version cannot read."""
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if found > FORMAT:
        raise MyhaError(
            f"{path} is of format {found}, and this version of myha knows formats up to {FORMAT}: "
            "install the version that wrote it, or a newer one"
        )
    return found


def connect(path: Path, *, durable: bool) -> sqlite3.Connection:
    """A connection that several threads may use in turn; `durable`: a commit is on disk."""
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        bring_up_to_date(connection, path)
    except BaseException:
        connection.close()
        raise
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'OFF'}")
    path.chmod(0o600)
    return connection


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a file that exists, which changes nothing there and makes no file beside it.

    SQLite makes the write-ahead log's two files for a reader as well, unless it is told that nobody
    writes: that is so while there is no log.
    """
    nobody_writes = not path.with_name(f"{path.name}-wal").exists()
    how = "immutable=1" if nobody_writes else "mode=ro"
    opened = sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True, timeout=BUSY_SECONDS)
    with contextlib.closing(opened) as connection:
        _format_of(connection, path)
        yield connection


@contextmanager
def explained(directory: Path) -> Iterator[None]:
    """SQLite's and the system's errors as a MyhaError of one line that names the place."""
    try:
        yield
    except sqlite3.Error as error:
        raise MyhaError(
            f"the store in {directory} failed: {error}; check its disk space and permissions"
        ) from error
    except OSError as error:
        raise MyhaError(f"the state directory {directory}: {error.strerror or error}") from error
