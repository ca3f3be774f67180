"""The journal in a SQLite file of its own: a line may reach the disk a moment later."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

from myha.stores.local.sqlite import connect, explained, reading

JOURNAL_FILE = "journal.sqlite"
LINES_KEPT = 100_000


def read_journal(directory: Path, limit: int) -> list[dict[str, Any]]:
    """Its last lines, oldest first, for another process; changes nothing. Raises `MyhaError`."""
    path = directory / JOURNAL_FILE
    if not path.exists():
        return []
    with explained(directory), reading(path) as connection:
        return _lines(connection, limit, 0)


def _lines(connection: sqlite3.Connection, limit: int, after: int) -> list[dict[str, Any]]:
    rows = connection.execute(
        "SELECT id, at, wall, kind, text, fields FROM journal WHERE id > ? "
        "ORDER BY id DESC LIMIT ?",
        (after, limit),
    ).fetchall()
    return [
        {"id": i, "at": at, "wall": wall, "kind": kind, "text": text, **json.loads(fields)}
        for i, at, wall, kind, text, fields in reversed(rows)
    ]


class LocalJournal:
    """Implements `myha.ports.Journal` in a directory, which is made. Safe for several threads."""

    def __init__(self, directory: Path, pair: str) -> None:
        """Every line carries the name of the pair.

        Raises `MyhaError` when the file cannot be made or written.
        """
        self._directory = directory
        self._pair = pair
        self._lock = threading.Lock()
        with explained(directory):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._connection = connect(directory / JOURNAL_FILE, durable=False)
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS journal (id INTEGER PRIMARY KEY, at REAL NOT NULL, "
                "wall REAL NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL, fields TEXT NOT NULL)"
            )

    def note(self, kind: str, text: str, fields: dict[str, str]) -> None:
        """Raises `MyhaError` when it cannot be written."""
        at, wall = time.monotonic(), time.time()
        with self._lock, explained(self._directory):
            cursor = self._connection.execute(
                "INSERT INTO journal (at, wall, kind, text, fields) VALUES (?, ?, ?, ?, ?)",
                (at, wall, kind, text, json.dumps({**fields, "pair": self._pair})),
            )
            row_id = cursor.lastrowid or 0
            if row_id % 1000 == 0:
                self._connection.execute(
                    "DELETE FROM journal WHERE id <= ?", (row_id - LINES_KEPT,)
                )

    def events(self, limit: int = 50, after: int = 0) -> list[dict[str, Any]]:
        """The last lines, oldest first; only those with an id above `after`."""
        with self._lock, explained(self._directory):
            return _lines(self._connection, limit, after)

    def close(self) -> None:
        with self._lock:
            self._connection.close()
