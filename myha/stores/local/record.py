"""The record in a SQLite file: on disk when `compare_and_set` returns."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from pathlib import Path

from myha.core.record import Record
from myha.core.record_codec import record_from_dict, record_to_dict
from myha.errors import StoreConflictError
from myha.stores.local.sqlite import connect, explained, reading

RECORD_FILE = "record.sqlite"
CHECKPOINT_PAGES = 16
RESERVED_PAGES = 64


def read_record(directory: Path) -> Record | None:
    """The record as it is now, for another process than the supervisor; changes nothing.

    None when there is none. Raises `MyhaError` when it cannot be read.
    """
    path = directory / RECORD_FILE
    if not path.exists():
        return None
    with explained(directory), reading(path) as connection:
        # A setup that was interrupted may have left a file and nothing in it.
        known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'record'"
        if connection.execute(known).fetchone() is None:
            return None
        row = connection.execute("SELECT body FROM record").fetchone()
    return None if row is None else record_from_dict(json.loads(row[0]))


class LocalRecordStore:
    """Implements `myha.ports.RecordStore` in a directory. Safe for use by several threads."""

    def __init__(self, directory: Path) -> None:
        """Raises `MyhaError` when the directory cannot be made or written."""
        self._directory = directory
        self._lock = threading.Lock()
        self._cached: Record | None = None
        with explained(directory):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._connection = connect(directory / RECORD_FILE, durable=True)
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS record (one INTEGER PRIMARY KEY CHECK (one = 1), "
                "version INTEGER NOT NULL, body TEXT NOT NULL)"
            )
            self._reserve()

    def _reserve(self) -> None:
        """Grow the write-ahead log once, so that a disk that fills up later stops no failover.

        SQLite goes on from the start of the log after a checkpoint and never shrinks it, and the
        record is one page: from here on no change of it needs new space. On a disk that is full
        already there is nothing to reserve, and a record that exists can still be read.
        """
        self._connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        self._connection.execute("CREATE TABLE IF NOT EXISTS reserve (body BLOB)")
        page = 4096
        with contextlib.suppress(sqlite3.OperationalError):
            self._connection.execute(
                "INSERT INTO reserve VALUES (zeroblob(?))", (RESERVED_PAGES * page,)
            )
            self._connection.execute("DELETE FROM reserve")
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def read(self) -> Record | None:
        with self._lock, explained(self._directory):
            row = self._connection.execute("SELECT version, body FROM record").fetchone()
            if row is None:
                return None
            if self._cached is None or self._cached.version != row[0]:
                self._cached = record_from_dict(json.loads(row[1]))
            return self._cached

    def compare_and_set(self, expected_version: int, record: Record) -> None:
        body = json.dumps(record_to_dict(record))
        with self._lock, explained(self._directory):
            if expected_version == 0:
                cursor = self._connection.execute(
                    "INSERT OR IGNORE INTO record VALUES (1, ?, ?)", (record.version, body)
                )
            else:
                cursor = self._connection.execute(
                    "UPDATE record SET version = ?, body = ? WHERE version = ?",
                    (record.version, body, expected_version),
                )
            if cursor.rowcount != 1:
                raise StoreConflictError(
                    f"the record is no longer at version {expected_version}: somebody changed it"
                )
            self._cached = record

    def close(self) -> None:
        with self._lock:
            self._connection.close()
