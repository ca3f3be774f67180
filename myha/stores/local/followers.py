"""The records of read replicas in a SQLite file of their own.

Apart from the pair's: SQLite lets one write at a time into a file, and a failover must not wait for
a replica's.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path

from myha.core.followers.record import FollowerRecord, follower_from_dict, follower_to_dict
from myha.errors import StoreConflictError
from myha.stores.local.sqlite import connect, explained, reading

FOLLOWERS_FILE = "followers.sqlite"


def read_followers(directory: Path) -> dict[str, FollowerRecord]:
    """Every replica's record by name, for another process than the supervisor; changes nothing.

    Raises `MyhaError` when it cannot be read.
    """
    path = directory / FOLLOWERS_FILE
    if not path.exists():
        return {}
    with explained(directory), reading(path) as connection:
        # Whoever made the file may not have come to make the table.
        known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'followers'"
        if connection.execute(known).fetchone() is None:
            return {}
        rows = connection.execute("SELECT name, body FROM followers ORDER BY name").fetchall()
    return {name: follower_from_dict(json.loads(body)) for name, body in rows}


class LocalFollowerStore:
    """Implements `myha.ports.FollowerStore` in a directory. Safe for use by several threads."""

    def __init__(self, directory: Path) -> None:
        """Raises `MyhaError` when the directory cannot be made or written."""
        self._directory = directory
        self._lock = threading.Lock()
        with explained(directory):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._connection = connect(directory / FOLLOWERS_FILE, durable=True)
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS followers "
                "(name TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL)"
            )

    def all(self) -> dict[str, FollowerRecord]:
        with self._lock, explained(self._directory):
            rows = self._connection.execute("SELECT name, body FROM followers ORDER BY name")
            return {name: follower_from_dict(json.loads(body)) for name, body in rows.fetchall()}

    def read(self, name: str) -> FollowerRecord | None:
        with self._lock, explained(self._directory):
            known = "SELECT body FROM followers WHERE name = ?"
            row = self._connection.execute(known, (name,)).fetchone()
            return None if row is None else follower_from_dict(json.loads(row[0]))

    def compare_and_set(self, name: str, expected_version: int, record: FollowerRecord) -> None:
        body = json.dumps(follower_to_dict(record))
        with self._lock, explained(self._directory):
            if expected_version == 0:
                cursor = self._connection.execute(
                    "INSERT OR IGNORE INTO followers VALUES (?, ?, ?)", (name, record.version, body)
                )
            else:
                cursor = self._connection.execute(
                    "UPDATE followers SET version = ?, body = ? WHERE name = ? AND version = ?",
                    (record.version, body, name, expected_version),
                )
            if cursor.rowcount != 1:
                raise StoreConflictError(
                    f"the record of {name} is no longer at version {expected_version}: somebody "
                    "changed it"
                )

    def remove(self, name: str) -> None:
        with self._lock, explained(self._directory):
            self._connection.execute("DELETE FROM followers WHERE name = ?", (name,))

    def close(self) -> None:
        with self._lock:
            self._connection.close()
