"""What was taken out of the live data, and where both nodes wrote: files and the journal, read."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import islice
from typing import Any

from myha.api.journal import lines_of
from myha.config import Config
from myha.core.events import Kind, Selector, Wanted
from myha.core.journal_line import Line
from myha.operations.quarantine.incidents import Incident, incidents, row_of
from myha.undo.quarantine import FOLDER

CONFLICT_KINDS = tuple(
    Selector(kind) for kind in (Kind.CONFLICT, Kind.WRONG_ID, Kind.OUT_OF_REACH, Kind.CONFLICTS_GAP)
)
TRANSACTIONS_SHOWN = 500
ROWS_LIMIT_BYTES = 1_000_000

Data = dict[str, Any]


def quarantine_of(config: Config) -> list[Data]:
    """All incidents, newest first; checksums are not computed here. Raises MyhaError."""
    return [_incident(one) for one in reversed(_incidents(config))]


def _incidents(config: Config) -> list[Incident]:
    return incidents(config.cluster.state_dir / FOLDER)


def _incident(one: Incident) -> Data:
    return {**one.outline(), "merged": len(one.merged)}


def incident_of(config: Config, incident_id: str, limit: int, offset: int) -> Data | None:
    """One with its transactions and rows from `offset` on; None when there is none of that id.

    Of a row, `before` and `after` are its values by column, None where there was no row. Raises
    MyhaError when its files cannot be read.
    """
    found = next((one for one in _incidents(config) if one.id == incident_id), None)
    if found is None:
        return None
    rows: list[Data] = []
    size = 0
    for line in islice(found.row_lines(), offset, offset + limit):
        changed = row_of(line)
        row = {**asdict(changed), "change": changed.change}
        size += len(json.dumps(row))
        if size > ROWS_LIMIT_BYTES and rows:
            break
        rows.append(row)
    return {
        **_incident(found),
        "about": {key: str(value) for key, value in found.about.items()},
        "merged_gtids": sorted(found.merged),
        "of_transactions": [dict(one) for one in found.transactions[:TRANSACTIONS_SHOWN]],
        "of_rows": rows,
        "next_offset": offset + len(rows) if offset + len(rows) < found.rows else None,
    }


def conflicts_of(config: Config, limit: int, after: int) -> list[Data]:
    """The last lines about conflicts, oldest first, with the rows of both sides as objects."""
    lines = lines_of(config, limit, after, Wanted(CONFLICT_KINDS))
    return [_conflict(one) if one.kind == Kind.CONFLICT else one.as_json() for one in lines]


def _conflict(one: Line) -> Data:
    line = one.as_json()
    sides: Data = {}
    for side in ("first", "second"):
        taken = {what: line.pop(f"{side}_{what}", None) for what in ("node", "gtid", "change")}
        images = {what: _parsed(line.pop(f"{side}_{what}", None)) for what in ("before", "after")}
        sides[side] = {**taken, **images}
    return {**line, "values": _parsed(line.get("values")), **sides}


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text
