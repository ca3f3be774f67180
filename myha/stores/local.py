"""The store of a single supervisor: one SQLite file for the record, one for the journal.

Two files since their duties differ: the record is on disk when `compare_and_set` returns; a line of
the journal may be a moment late, and must never hold up a failover.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from myha.core.model import Cause, Heal, Membership, NodeRecord, Record, Sync
from myha.errors import MyhaError, StoreConflictError

RECORD_FILE = "record.sqlite"
LOCK_FILE = "supervisor.lock"  # holds the process id, and its time is the last sign of life
BUSY_SECONDS = 2.0
CHECKPOINT_PAGES = 16
RESERVED_PAGES = 64
JOURNAL_LINES_KEPT = 100_000


def record_to_json(record: Record) -> str:
    return json.dumps(asdict(record))


def record_from_json(text: str) -> Record:
    raw: dict[str, Any] = json.loads(text)
    nodes = tuple(
        (
            name,
            NodeRecord(
                Membership(entry["membership"]),
                Cause(entry["cause"]),
                entry["reason"],
                entry["boot_id"],
                _heal_from(entry.get("heal")),  # records from before there were heals have none
            ),
        )
        for name, entry in raw["nodes"]
    )
    return Record(
        version=raw["version"],
        epoch=raw["epoch"],
        writer=raw["writer"],
        sync=Sync(raw["sync"]),
        nodes=nodes,
        maintenance=raw["maintenance"],
        failover_walls=tuple(raw["failover_walls"]),
        writer_since_wall=raw["writer_since_wall"],
    )


def _heal_from(raw: dict[str, Any] | None) -> Heal | None:
    if raw is None:
        return None
    return Heal(
        id=raw["id"],
        methods=tuple(raw["methods"]),
        cause=Cause(raw["cause"]),
        reason=raw["reason"],
        refused=tuple(raw["refused"]),
        accept_loss=raw["accept_loss"],
    )


def read_record(directory: Path) -> Record | None:
    """The record as it is now, for another process than the supervisor; changes nothing.

    None when there is none. Raises `MyhaError` when it cannot be read.
    """
    path = directory / RECORD_FILE
    if not path.exists():
        return None
    with (
        said(directory),
        contextlib.closing(
            sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=BUSY_SECONDS)
        ) as connection,
    ):
        # A setup that was interrupted may have left a file and nothing in it.
        known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'record'"
        if connection.execute(known).fetchone() is None:
            return None
        row = connection.execute("SELECT body FROM record").fetchone()
    return None if row is None else record_from_json(row[0])


@contextmanager
def said(directory: Path) -> Iterator[None]:
    """SQLite's and the system's errors as one line that names the place."""
    try:
        yield
    except sqlite3.Error as error:
        raise MyhaError(
            f"the store in {directory} failed: {error}; check its disk space and permissions"
        ) from error
    except OSError as error:
        raise MyhaError(f"the state directory {directory}: {error.strerror or error}") from error


class LocalStore:
    """Implements `myha.ports.Store` in a directory. Safe for use by several threads."""

    def __init__(self, directory: Path) -> None:
        """Raises `MyhaError` when the directory cannot be made or written."""
        self.directory = directory
        self._lock = threading.Lock()
        self._cached: Record | None = None
        with said(directory):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._records = self._connect(RECORD_FILE, durable=True)
            self._records.execute(
                "CREATE TABLE IF NOT EXISTS record (one INTEGER PRIMARY KEY CHECK (one = 1), "
                "version INTEGER NOT NULL, body TEXT NOT NULL)"
            )
            self._reserve()
            self._journal = self._connect("journal.sqlite", durable=False)
            self._journal.execute(
                "CREATE TABLE IF NOT EXISTS journal (id INTEGER PRIMARY KEY, at REAL NOT NULL, "
                "wall REAL NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL, fields TEXT NOT NULL)"
            )

    def _connect(self, name: str, *, durable: bool) -> sqlite3.Connection:
        path = self.directory / name
        connection = sqlite3.connect(
            path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'OFF'}")
        path.chmod(0o600)
        return connection

    def _reserve(self) -> None:
        """Grow the write-ahead log once, so that a disk that fills up later stops no failover.

        SQLite goes on from the start of the log after a checkpoint and never shrinks it, and the
        record is one page: from here on no change of it needs new space. On a disk that is full
        already there is nothing to reserve, and a record that exists can still be read.
        """
        self._records.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        self._records.execute("CREATE TABLE IF NOT EXISTS reserve (body BLOB)")
        page = 4096
        with contextlib.suppress(sqlite3.OperationalError):
            self._records.execute(
                "INSERT INTO reserve VALUES (zeroblob(?))", (RESERVED_PAGES * page,)
            )
            self._records.execute("DELETE FROM reserve")
            self._records.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def read(self) -> Record | None:
        with self._lock, said(self.directory):
            row = self._records.execute("SELECT version, body FROM record").fetchone()
            if row is None:
                return None
            if self._cached is None or self._cached.version != row[0]:
                self._cached = record_from_json(row[1])
            return self._cached

    def compare_and_set(self, expected_version: int, record: Record) -> None:
        body = record_to_json(record)
        with self._lock, said(self.directory):
            if expected_version == 0:
                cursor = self._records.execute(
                    "INSERT OR IGNORE INTO record VALUES (1, ?, ?)", (record.version, body)
                )
            else:
                cursor = self._records.execute(
                    "UPDATE record SET version = ?, body = ? WHERE version = ?",
                    (record.version, body, expected_version),
                )
            if cursor.rowcount != 1:
                raise StoreConflictError(
                    f"the record is no longer at version {expected_version}: somebody changed it"
                )
            self._cached = record

    def note(self, at: float, wall: float, kind: str, text: str, fields: dict[str, str]) -> None:
        with self._lock, said(self.directory):
            cursor = self._journal.execute(
                "INSERT INTO journal (at, wall, kind, text, fields) VALUES (?, ?, ?, ?, ?)",
                (at, wall, kind, text, json.dumps(fields)),
            )
            row_id = cursor.lastrowid or 0
            if row_id % 1000 == 0:
                self._journal.execute(
                    "DELETE FROM journal WHERE id <= ?", (row_id - JOURNAL_LINES_KEPT,)
                )

    def events(self, limit: int = 50, after: int = 0) -> list[dict[str, Any]]:
        """The last lines of the journal, oldest first; only those with an id above `after`."""
        with self._lock, said(self.directory):
            rows = self._journal.execute(
                "SELECT id, at, wall, kind, text, fields FROM journal WHERE id > ? "
                "ORDER BY id DESC LIMIT ?",
                (after, limit),
            ).fetchall()
        return [
            {"id": i, "at": at, "wall": wall, "kind": kind, "text": text, **json.loads(fields)}
            for i, at, wall, kind, text, fields in reversed(rows)
        ]

    def close(self) -> None:
        with self._lock:
            self._records.close()
            self._journal.close()


class SupervisorLock:
    """One supervisor at a time in a state directory, for as long as its process lives."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / LOCK_FILE
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Raises `MyhaError` with the holder's process id when another supervisor has it."""
        with said(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise MyhaError(
                f"another supervisor (process {holder}) runs this cluster: {self.path} is locked; "
                "stop it first, or ask it with `myha status`"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
