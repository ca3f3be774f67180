"""Records as JSON in one table of a SQLite file, each changed by compare-and-set on its version."""

from __future__ import annotations

import threading
from pathlib import Path

from myha.errors import StoreConflictError
from myha.stores.local.sqlite import connect, explained, reading


class VersionedTable:
    """On disk when a change returns. Safe for use by several threads.

    `file` is the file's name and `table` the table's, with `key` as the definition of its key.
    """

    def __init__(self, directory: Path, file: str, table: str, key: str) -> None:
        """Raises `MyhaError` when the directory cannot be made or written."""
        self._directory, self._table, self._key = directory, table, key.split(maxsplit=1)[0]
        self.lock = threading.Lock()
        with explained(directory):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.connection = connect(directory / file, durable=True)
            self.connection.execute(
                f"CREATE TABLE IF NOT EXISTS {table} "
                f"({key}, version INTEGER NOT NULL, body TEXT NOT NULL)"
            )

    def read(self, key: object) -> tuple[int, str] | None:
        """Its version and body; None when there is none."""
        statement = f"SELECT version, body FROM {self._table} WHERE {self._key} = ?"
        with self.lock, explained(self._directory):
            row = self.connection.execute(statement, (key,)).fetchone()
            return None if row is None else (int(row[0]), str(row[1]))

    def all(self) -> list[tuple[str, str]]:
        """Every key with its body."""
        statement = f"SELECT {self._key}, body FROM {self._table} ORDER BY {self._key}"
        with self.lock, explained(self._directory):
            return self.connection.execute(statement).fetchall()

    def compare_and_set(self, key: object, expected: int, version: int, body: str) -> None:
        """`expected` 0: there is none yet. StoreConflictError when that is not so any more."""
        with self.lock, explained(self._directory):
            if expected == 0:
                cursor = self.connection.execute(
                    f"INSERT OR IGNORE INTO {self._table} VALUES (?, ?, ?)", (key, version, body)
                )
            else:
                cursor = self.connection.execute(
                    f"UPDATE {self._table} SET version = ?, body = ? "
                    f"WHERE {self._key} = ? AND version = ?",
                    (version, body, key, expected),
                )
        if cursor.rowcount != 1:
            whose = f" of {key}" if isinstance(key, str) else ""
            raise StoreConflictError(
                f"the record{whose} is no longer at version {expected}: somebody changed it"
            )

    def remove(self, key: object) -> None:
        with self.lock, explained(self._directory):
            self.connection.execute(f"DELETE FROM {self._table} WHERE {self._key} = ?", (key,))

    def close(self) -> None:
        with self.lock:
            self.connection.close()


def read_table(directory: Path, file: str, table: str, key: str) -> list[tuple[str, str]]:
    """Every key with its body, for another process than the supervisor; changes nothing.

    Empty where there is no such file yet, or nothing in it: whoever made it may not have come to
    make the table. Raises `MyhaError` when it cannot be read.
    """
    path, name = directory / file, key.split(maxsplit=1)[0]
    if not path.exists():
        return []
    with explained(directory), reading(path) as connection:
        known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        if connection.execute(known, (table,)).fetchone() is None:
            return []
        return connection.execute(f"SELECT {name}, body FROM {table} ORDER BY {name}").fetchall()
