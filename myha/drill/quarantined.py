"""What is in quarantine, as the judge reads it: the files themselves, and their checksums."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from myha.drill.errant import IDS_TABLE, ROWS_TABLE, DrillRow, Quarantined, QuarantinedRow
from myha.drill.rows import IdRow, Row

SUMS = "SHA256SUMS"


def incidents(root: Path) -> frozenset[str]:
    """The names of the complete directories below a quarantine's root."""
    if not root.is_dir():
        return frozenset()
    complete = (one for one in root.iterdir() if (one / SUMS).is_file())
    return frozenset(one.name for one in complete if not one.name.startswith("."))


def read_quarantined(root: Path, before: frozenset[str] = frozenset()) -> Quarantined:
    """Everything that came into quarantine since; `before`: the directories of earlier rounds."""
    binlogs: list[bytes] = []
    rows: set[QuarantinedRow] = set()
    overwritten: set[DrillRow] = set()
    problems: list[str] = []
    for name in sorted(incidents(root) - before):
        folder = root / name
        problems += list(_damaged(folder))
        binlog, listed = folder / "events.binlog", folder / "rows.jsonl"
        if binlog.is_file():
            binlogs.append(binlog.read_bytes())
            rows.update(_logged(listed))
        else:  # of a repair, which has no events
            overwritten.update(_overwritten(listed))
    return Quarantined(
        b"\n".join(binlogs), frozenset(rows), frozenset(overwritten), tuple(problems)
    )


def _damaged(folder: Path) -> Iterator[str]:
    """Files that are not there, or not what was written."""
    for line in (folder / SUMS).read_text().splitlines():
        expected, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file():
            yield f"the quarantine {folder.name} lacks its file {name}"
        elif hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            yield f"the quarantine's file {folder.name}/{name} is not what its checksum says"


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if path.is_file():
        with path.open("rb") as lines:  # not as text, which has more kinds of line ends
            yield from map(json.loads, lines)


def _logged(path: Path) -> Iterator[QuarantinedRow]:
    for one in _lines(path):
        yield QuarantinedRow(str(one["table"]), one["before"], one["after"])


def _overwritten(path: Path) -> Iterator[DrillRow]:
    """Rows of the drill's own; a repair gives numbers as text and text in hexadecimal."""
    for one in _lines(path):
        if one["before"] is None:
            continue
        values = {name: value["value"] for name, value in one["before"].items()}
        table = str(one["table"]).rpartition(".")[2]
        if table == ROWS_TABLE:
            text = bytes.fromhex(values.pop("payload")).decode()
            yield Row(payload=text, **{name: int(value) for name, value in values.items()})
        elif table == IDS_TABLE:
            yield IdRow(**{name: int(value) for name, value in values.items()})
