"""The journal in a SQLite file of its own: a line may reach the disk a moment later."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from pathlib import Path

from myha.core.events import ALL, KINDS, Kind, Wanted, severity_of
from myha.core.journal_line import Line
from myha.core.severity import Severity
from myha.stores.local.sqlite import connect, explained, reading

JOURNAL_FILE = "journal.sqlite"
BATCH_LINES = 500  # are removed at a time: whoever has a line to write waits for no more
_MB = 1_000_000


def read_journal(directory: Path, limit: int, after: int = 0, wanted: Wanted = ALL) -> list[Line]:
    """Its last lines, oldest first, for another process; changes nothing. Raises `MyhaError`."""
    path = directory / JOURNAL_FILE
    if not path.exists():
        return []
    with explained(directory), reading(path) as connection:
        return _lines(connection, limit, after, wanted)


def last_line(directory: Path) -> int:
    """The id of the last line, 0 before the first. Raises `MyhaError`."""
    lines = read_journal(directory, 1)
    return lines[-1].id if lines else 0


def _lines(connection: sqlite3.Connection, limit: int, after: int, wanted: Wanted) -> list[Line]:
    condition, values = _condition(wanted)
    rows = connection.execute(
        "SELECT id, at, wall, kind, text, fields FROM journal "
        f"WHERE id > ?{condition} ORDER BY id DESC LIMIT ?",
        (after, *values, limit),
    ).fetchall()
    return [
        Line(i, at, wall, kind, text, json.loads(fields))
        for i, at, wall, kind, text, fields in reversed(rows)
    ]


def _condition(wanted: Wanted) -> tuple[str, list[object]]:
    """What they have to fulfil, in SQL, and its values."""
    parts, values = [""], list[object]()
    if wanted.since_wall:
        parts.append("wall >= ?")
        values.append(wanted.since_wall)
    if wanted.least is not Severity.INFO:
        enough = [str(one) for one in Severity if one.reaches(wanted.least)]
        parts.append(f"json_extract(fields, '$.severity') IN ({', '.join('?' * len(enough))})")
        values += enough
    kinds = []
    for one in wanted.kinds:
        values.append(str(one.kind))
        if not one.subject:
            kinds.append("kind = ?")
            continue
        kinds.append("(kind = ? AND json_extract(fields, ?) = ?)")
        values += [f"$.{KINDS[one.kind].subject}", one.subject]
    if kinds:
        parts.append(f"({' OR '.join(kinds)})")
    return " AND ".join(parts), values


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

    def note(self, kind: Kind, text: str, fields: dict[str, str]) -> None:
        """Raises `MyhaError` when it cannot be written."""
        at, wall = time.monotonic(), time.time()
        more = {"severity": severity_of(kind, fields), **fields, "pair": self._pair}
        with self._lock, explained(self._directory):
            self._connection.execute(
                "INSERT INTO journal (at, wall, kind, text, fields) VALUES (?, ?, ?, ?, ?)",
                (at, wall, kind, text, json.dumps(more)),
            )

    def events(self, limit: int = 50, after: int = 0, wanted: Wanted = ALL) -> list[Line]:
        """The last lines, oldest first; only those with an id above `after`."""
        with explained(self._directory):
            if wanted == ALL:
                with self._lock:
                    return _lines(self._connection, limit, after, wanted)
            # Looks through many lines: a line that is to be written does not wait for that.
            with reading(self._directory / JOURNAL_FILE) as connection:
                return _lines(connection, limit, after, wanted)

    def prune(self, before_wall: float, limit_mb: float) -> bool:
        """Remove some of the oldest lines: those from before, and while there is more than the
        limit any but the last. Whether there is more to remove. The file does not shrink; what is
        removed makes room for new lines. Raises `MyhaError`.
        """
        with self._lock, explained(self._directory):
            too_large = self._used_bytes() > limit_mb * _MB
            oldest = self._connection.execute(
                "SELECT id, wall FROM journal WHERE id < (SELECT MAX(id) FROM journal) "
                "ORDER BY id LIMIT ?",
                (BATCH_LINES,),
            ).fetchall()
            going = [i for i, wall in oldest if too_large or wall < before_wall]
            if going:
                self._connection.execute("DELETE FROM journal WHERE id <= ?", (going[-1],))
            return len(going) == BATCH_LINES

    def _used_bytes(self) -> int:
        """Without the pages that are free for new lines."""
        values = [
            self._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        ]
        return int((values[0] - values[1]) * values[2])

    def close(self) -> None:
        with self._lock:
            self._connection.close()
