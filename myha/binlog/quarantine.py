"""The files that keep every transaction that a rewind takes out of the live data.

One directory per incident, complete or absent, on disk before anything on the server changes:

- `events.binlog`: the transactions as the server wrote them; `mysqlbinlog -vv` reads it
- `redo.sql`: does them again, on any server whose rows are as they were
- `undo.sql`: what the rewind runs
- `rows.jsonl`: one line per row, with its images in hexadecimal as the binary log has them
- `summary.json`: who, when, why, which transactions, which tables, how many rows
- `SHA256SUMS`: of the other files, as `sha256sum -c` takes them

Directories have mode 0700 and files 0600: they hold the users' data.
"""

import base64
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from myha.binlog import events
from myha.binlog.inverse import Inverse, TableCounts, changes, count, forward
from myha.binlog.transactions import Transaction
from myha.errors import MyhaError

_SUMS = "SHA256SUMS"


def write(
    root: Path,
    *,
    flavour: str,
    errant: Sequence[Transaction],
    undo: Inverse,
    incident: Mapping[str, object],
) -> Path:
    """Write the incident's directory below `root` and return it; MyhaError when that fails.

    The same transactions always get the same directory name, so that a rewind that is run again
    finds what it wrote and writes it once.
    """
    began = datetime.fromtimestamp(errant[0].timestamp, UTC)
    digest = hashlib.sha256()
    for transaction in errant:
        digest.update(f"{transaction.gtid}\n".encode())
        for event in transaction.events:
            digest.update(event.raw)
    final = root / f"rewind-{began:%Y%m%dT%H%M%SZ}-{digest.hexdigest()[:12]}"
    try:
        _make_private(root)
        if final.is_dir():
            verify(final)
            return final
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=root))
        try:
            _write_files(
                partial,
                flavour=flavour,
                errant=errant,
                undo=undo,
                incident=incident,
            )
            partial.rename(final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        _sync_directory(root)
    except OSError as error:
        raise MyhaError(
            f"cannot write the quarantine below {root}: {error.strerror or error};"
            " nothing was undone"
        ) from error
    return final


def verify(directory: Path) -> None:
    """Raises MyhaError unless every file is what SHA256SUMS says."""
    for line in (directory / _SUMS).read_text().splitlines():
        expected, name = line.split("  ", 1)
        if hashlib.sha256((directory / name).read_bytes()).hexdigest() != expected:
            raise MyhaError(f"{directory / name} is not what was written: its checksum differs")


def _write_files(
    directory: Path,
    *,
    flavour: str,
    errant: Sequence[Transaction],
    undo: Inverse,
    incident: Mapping[str, object],
) -> None:
    summary = {
        "incident": dict(incident),
        "quarantined_at": datetime.now(UTC).isoformat(timespec="microseconds"),
        "flavour": flavour,
        "transactions": [_described(transaction) for transaction in errant],
        "tables": {name: asdict(counts) for name, counts in sorted(undo.tables.items())},
        "rows": undo.rows,
        "read_with": "mysqlbinlog -vv --base64-output=decode-rows events.binlog",
        "replay_with": "redo.sql, on the writer, once somebody has looked at it",
    }
    parts: dict[str, Iterable[bytes]] = {
        "events.binlog": _binary_log(errant),
        "redo.sql": _redo(flavour, errant),
        "undo.sql": _undo(flavour, errant, undo),
        "rows.jsonl": _rows(errant),
        "summary.json": [json.dumps(summary, indent=1, default=str).encode(), b"\n"],
    }
    sums = {name: _write_file(directory / name, content) for name, content in parts.items()}
    _write_file(
        directory / _SUMS, (f"{digest}  {name}\n".encode() for name, digest in sums.items())
    )
    _sync_directory(directory)


def _described(transaction: Transaction) -> dict[str, object]:
    tables: dict[str, TableCounts] = {}
    for change in changes(transaction):
        count(tables, change.rows)
    return {
        "gtid": str(transaction.gtid),
        "at": datetime.fromtimestamp(transaction.timestamp, UTC).isoformat(),
        "file": transaction.file,
        "offset": transaction.offset,
        "tables": {name: asdict(counts) for name, counts in tables.items()},
    }


def _binary_log(errant: Sequence[Transaction]) -> Iterator[bytes]:
    yield events.MAGIC
    before = b""
    for transaction in errant:
        if transaction.format_event.raw != before:
            before = transaction.format_event.raw
            yield before
        yield from (event.raw for event in transaction.events)


def _redo(flavour: str, errant: Sequence[Transaction]) -> Iterator[bytes]:
    format_event = errant[-1].format_event.raw
    yield b"-- Does again what a rewind has undone. Look first: mysqlbinlog -vv events.binlog\n"
    yield from _opening(flavour, format_event)
    for transaction in errant:
        at = datetime.fromtimestamp(transaction.timestamp, UTC).isoformat()
        yield f"\n-- {transaction.gtid}, {at}\nSTART TRANSACTION;\n".encode()
        for step in forward(transaction, checksum=events.format_has_checksum(format_event)):
            yield b"BINLOG '" + base64.b64encode(step) + b"';\n"
        yield b"COMMIT;\n"


def _undo(flavour: str, errant: Sequence[Transaction], undo: Inverse) -> Iterator[bytes]:
    yield b"-- What the rewind ran, as one transaction. Its GTID state is not part of this file.\n"
    yield b"SET SESSION sql_log_bin=0;\n"
    yield from _opening(flavour, errant[-1].format_event.raw)
    yield b"START TRANSACTION;\n"
    for step in undo.steps:
        yield b"BINLOG '" + base64.b64encode(step) + b"';\n"
    yield b"COMMIT;\n"


def _opening(flavour: str, format_event: bytes) -> Iterator[bytes]:
    yield b"BINLOG '" + base64.b64encode(format_event) + b"';\n"
    if flavour == "mysql":
        yield b"SET SESSION gtid_next='AUTOMATIC';\n"


def _rows(errant: Sequence[Transaction]) -> Iterator[bytes]:
    for transaction in errant:
        for change in changes(transaction):
            for before, after in change.rows.images:
                line = {
                    "gtid": str(transaction.gtid),
                    "table": change.rows.table.name,
                    "before": None if before is None else before.hex(),
                    "after": None if after is None else after.hex(),
                }
                yield json.dumps(line).encode() + b"\n"


def _make_private(root: Path) -> None:
    if not root.is_dir():
        root.mkdir(parents=True, mode=0o700)
        _sync_directory(root.parent)


def _write_file(path: Path, content: Iterable[bytes]) -> str:
    """Write and sync a new file; its SHA-256."""
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for part in content:
            digest.update(part)
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
