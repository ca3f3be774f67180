"""The quarantine of a repair: the rows that it will overwrite or remove, on disk before it does.

A directory beside those of heals, complete or absent, with the same privacy and checksums:

- `rows.jsonl`: one line per row: table, key, the row as it was (`before`) and will be (`after`)
- `put_back.sql`: makes the rows what they were, on the node that was repaired
- `summary.json`: who, when, why, which tables, how many rows
- `SHA256SUMS`: of the other files, as `sha256sum -c` takes them
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from myha.database.flavours import Flavour
from myha.database.statements import quoted
from myha.errors import MyhaError
from myha.files import sync_directory
from myha.operations.verify.columns import equals, literal, readable
from myha.operations.verify.compare import Row
from myha.operations.verify.hashing import Looks
from myha.undo.quarantine import SUMMARY
from myha.undo.summed_files import SummedFile, write_sums

_PARTIAL = ".repair-"


@dataclass(frozen=True, slots=True)
class Change:
    """One row to make equal: what it is on the target, and on the source; None: not there."""

    looks: Looks
    key: tuple[str, ...]
    before: Row | None
    after: Row | None


def table_name(looks: Looks) -> str:
    return f"{quoted(looks.table.schema)}.{quoted(looks.table.name)}"


def row_predicate(looks: Looks, key: Sequence[str]) -> str:
    """The row with this key."""
    pairs = zip(looks.table.identity, key, strict=True)
    return " AND ".join(equals(column, value) for column, value in pairs)


def row_values(looks: Looks, row: Row) -> tuple[str, str]:
    """Names and values for an INSERT that makes exactly this row."""
    kept = [
        (quoted(column.name), literal(column, value))
        for column, value in zip(looks.table.compared, row.values, strict=True)
        if not column.generated
    ]
    return ", ".join(name for name, _ in kept), ", ".join(value for _, value in kept)


def write(
    root: Path, *, flavour: Flavour, changes: Sequence[Change], incident: Mapping[str, object]
) -> Path:
    """Write the directory below `root` and return it; MyhaError when that fails."""
    at = datetime.now(UTC)
    parts = {
        "rows.jsonl": b"".join(map(_json_line, changes)),
        "put_back.sql": b"".join(_put_back(changes)),
    }
    digest = hashlib.sha256(parts["rows.jsonl"]).hexdigest()[:12]
    name = f"repair-{at:%Y%m%dT%H%M%S%fZ}-{digest}"
    summary = {
        "id": name,
        "kind": "repair",
        "incident": dict(incident),
        "quarantined_at": at.isoformat(timespec="microseconds"),
        "flavour": flavour.name,
        "tables": {table: dict(counts) for table, counts in sorted(_counts(changes).items())},
        "rows": len(changes),
        "replay_with": "put_back.sql, on the node that was repaired, as an administrator",
        "transactions": [],
    }
    parts[SUMMARY] = json.dumps(summary, indent=1, default=str).encode() + b"\n"
    try:
        root.mkdir(parents=True, mode=0o700, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=root))
        try:
            sums: dict[str, str] = {}
            for part, content in parts.items():
                with SummedFile(partial / part, sums) as file:
                    file.write(content)
            write_sums(partial, sums)
            partial.rename(root / name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        sync_directory(root)
    except OSError as error:
        raise MyhaError(
            f"cannot write the quarantine below {root}: {error.strerror or error};"
            " nothing was repaired"
        ) from error
    return root / name


def _counts(changes: Iterable[Change]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for change in changes:
        kind = "updated" if change.before and change.after else "deleted"
        kind = kind if change.before else "inserted"
        found.setdefault(change.looks.table.full_name, Counter())[kind] += 1
    return found


def _json_line(change: Change) -> bytes:
    columns = change.looks.table.compared

    def shown(row: Row | None) -> dict[str, dict[str, str | None]] | None:
        """Each value as the server gives it (strings in hexadecimal) and as people read it."""
        if row is None:
            return None
        return {
            column.name: {"value": value, "text": readable(column, value)}
            for column, value in zip(columns, row.values, strict=True)
        }

    line = {
        "table": change.looks.table.full_name,
        "key": change.key,
        "before": shown(change.before),
        "after": shown(change.after),
    }
    return json.dumps(line).encode() + b"\n"


def _put_back(changes: Sequence[Change]) -> Iterator[bytes]:
    yield (
        b"-- Makes the rows what they were before the repair. Not replicated. Look first.\n"
        b"SET SESSION sql_log_bin = 0, foreign_key_checks = 0, time_zone = '+00:00',\n"
        b"  sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';\n"
        b"START TRANSACTION;\n"
    )
    for change in changes:
        if change.after is not None:
            where = row_predicate(change.looks, change.key)
            yield f"DELETE FROM {table_name(change.looks)} WHERE {where};\n".encode()
    for change in changes:
        if change.before is not None:
            names, values = row_values(change.looks, change.before)
            yield (
                f"INSERT INTO {table_name(change.looks)} ({names}) VALUES ({values});\n"
            ).encode()
    yield b"COMMIT;\n"
