"""The records of read replicas in a SQLite file of their own.

Apart from the pair's: SQLite lets one write at a time into a file, and a failover must not wait for
a replica's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from myha.core.followers.record import FollowerRecord, follower_from_dict, follower_to_dict
from myha.stores.local.versioned import VersionedTable, read_table

FILE = "followers.sqlite"
_TABLE = (FILE, "followers", "name TEXT PRIMARY KEY")


def read_followers(directory: Path) -> dict[str, FollowerRecord]:
    """Every replica's record by name, for another process than the supervisor; see `read_table`."""
    return _by_name(read_table(directory, *_TABLE))


class LocalFollowerStore:
    """Implements `myha.ports.FollowerStore` in a directory. Safe for use by several threads."""

    def __init__(self, directory: Path) -> None:
        """Raises `MyhaError` when the directory cannot be made or written."""
        self._rows = VersionedTable(directory, *_TABLE)
        self.remove = self._rows.remove
        self.close = self._rows.close

    def all(self) -> dict[str, FollowerRecord]:
        return _by_name(self._rows.all())

    def read(self, name: str) -> FollowerRecord | None:
        found = self._rows.read(name)
        return None if found is None else follower_from_dict(json.loads(found[1]))

    def compare_and_set(self, name: str, expected_version: int, record: FollowerRecord) -> None:
        body = json.dumps(follower_to_dict(record))
        self._rows.compare_and_set(name, expected_version, record.version, body)


def _by_name(rows: Iterable[tuple[str, str]]) -> dict[str, FollowerRecord]:
    return {name: follower_from_dict(json.loads(body)) for name, body in rows}
