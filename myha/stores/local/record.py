"""The record in a SQLite file: on disk when `compare_and_set` returns."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

from myha.core.record import Record
from myha.core.record_codec import record_from_dict, record_to_dict
from myha.stores.local.sqlite import explained
from myha.stores.local.versioned import VersionedTable, read_table

CHECKPOINT_PAGES = 16
RESERVED_PAGES = 64
FILE = "record.sqlite"
_TABLE = (FILE, "record", "one INTEGER PRIMARY KEY CHECK (one = 1)")
_ONE = 1  # the key of the only row


def read_record(directory: Path) -> Record | None:
    """The record as it is now, for another process than the supervisor; changes nothing.

    None when there is none. Raises `MyhaError` when it cannot be read.
    """
    rows = read_table(directory, *_TABLE)
    return record_from_dict(json.loads(rows[0][1])) if rows else None


class LocalRecordStore:
    """Implements `myha.ports.RecordStore` in a directory. Safe for use by several threads."""

    def __init__(self, directory: Path) -> None:
        """Raises `MyhaError` when the directory cannot be made or written."""
        self._rows = VersionedTable(directory, *_TABLE)
        self.close = self._rows.close
        self._cached: Record | None = None
        with explained(directory):
            _reserve(self._rows.connection)

    def read(self) -> Record | None:
        found = self._rows.read(_ONE)
        if found is None:
            return None
        version, body = found
        known = self._cached
        if known is None or known.version != version:
            known = self._cached = record_from_dict(json.loads(body))
        return known

    def compare_and_set(self, expected_version: int, record: Record) -> None:
        body = json.dumps(record_to_dict(record))
        self._rows.compare_and_set(_ONE, expected_version, record.version, body)


def _reserve(connection: sqlite3.Connection) -> None:
    """Grow the write-ahead log once, so that a disk that fills up later stops no failover.

    SQLite goes on from the start of the log after a checkpoint and never shrinks it, and the record
    is one page: from here on no change of it needs new space. On a disk that is full already there
    is nothing to reserve, and a record that exists can still be read.
    """
    connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    connection.execute("CREATE TABLE IF NOT EXISTS reserve (body BLOB)")
    page = 4096
    with contextlib.suppress(sqlite3.OperationalError):
        connection.execute("INSERT INTO reserve VALUES (zeroblob(?))", (RESERVED_PAGES * page,))
        connection.execute("DELETE FROM reserve")
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
