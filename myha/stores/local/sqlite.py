"""SQLite files in the state directory, and their failures in one line."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from myha.errors import MyhaError

BUSY_SECONDS = 2.0


def connect(path: Path, *, durable: bool) -> sqlite3.Connection:
    """A connection that several threads may use in turn; `durable`: a commit is on disk."""
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
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
