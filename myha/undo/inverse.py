"""Row changes of transactions, done again or undone exactly: pure, from events to events.

To undo, a write becomes a delete and a delete a write by the type byte, an update swaps its images,
and all comes in reverse order: the transactions and their events (which the caller sees to), and
the rows of an event. Values are not decoded, so nothing can be lost between decoding and encoding.

Refused, with the reason: everything that is not a plain row change (DDL, statement format, XA,
compressed payloads, partial JSON updates, partial row images). What a binary log does not tell (an
engine without transactions, cascades that the engine does by itself) is for the caller to check.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from myha.binlog import events, row_events
from myha.binlog.errors import RewindRefusedError
from myha.binlog.events import (
    NO_FOREIGN_KEY_CHECKS,
    ROWS,
    STATEMENT_END,
    UPDATES,
    WRITES,
    EventType,
    RawEvent,
)
from myha.binlog.row_events import RowChanges, TableMap
from myha.binlog.transactions import Logged

_INVERSE_TYPE = {
    EventType.WRITE_ROWS: EventType.DELETE_ROWS,
    EventType.DELETE_ROWS: EventType.WRITE_ROWS,
    EventType.UPDATE_ROWS: EventType.UPDATE_ROWS,
    EventType.WRITE_ROWS_V1: EventType.DELETE_ROWS_V1,
    EventType.DELETE_ROWS_V1: EventType.WRITE_ROWS_V1,
    EventType.UPDATE_ROWS_V1: EventType.UPDATE_ROWS_V1,
}

_REFUSED: dict[int, str] = {
    EventType.TRANSACTION_PAYLOAD: "its events are compressed (binlog_transaction_compression)",
    EventType.PARTIAL_UPDATE_ROWS: "it has partial JSON updates (binlog_row_value_options)",
    EventType.XA_PREPARE: "it is an XA transaction",
    **dict.fromkeys(events.MARIADB_COMPRESSED, "its events are compressed (log_bin_compress)"),
}
_IGNORED = frozenset({EventType.XID, EventType.ROWS_QUERY, EventType.MARIADB_ANNOTATE_ROWS})


@dataclass(slots=True)
class TableCounts:
    """Rows that were inserted, updated and deleted; the columns' names where they are known."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    columns: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        return self.inserted + self.updated + self.deleted


def changes(transaction: Logged) -> Iterator[RowChanges]:
    """Its row events, oldest first; raises RewindRefusedError for anything else that it holds."""
    if transaction.gtid.is_ddl:
        raise _refusal(transaction, "it is DDL or another statement that cannot be rolled back")
    maps: dict[int, TableMap] = {}
    ended = False
    following = iter(transaction.events)
    next(following, None)  # its GTID
    for event in following:
        if event.type == EventType.TABLE_MAP:
            table = row_events.table_map(event)
            maps[table.table_id] = table
        elif event.type in ROWS:
            found = maps.get(row_events.rows_table_id(event))
            if found is None:
                raise _refusal(transaction, "a row event has no table map")
            yield row_events.row_changes(event, found)
        else:
            _check_other(transaction, event)
            ended = ended or event.type == EventType.XID or _is_commit(event)
    if not ended:
        raise _refusal(transaction, "its end is not in the binary log")


def _check_other(transaction: Logged, event: RawEvent) -> None:
    if event.type in _IGNORED:
        return
    if event.type == EventType.QUERY:
        if events.query_text(event).lstrip()[:3].upper() == b"XA ":
            raise _refusal(transaction, _REFUSED[EventType.XA_PREPARE])
        if not events.is_harmless_query(event):
            raise _refusal(transaction, "it has a statement, not only row changes")
        return
    reason = _REFUSED.get(event.type)
    if reason is None and event.flags & events.IGNORABLE_FLAG:
        return
    raise _refusal(transaction, reason or f"it has an event of type {event.type}")


def _is_commit(event: RawEvent) -> bool:
    return event.type == EventType.QUERY and events.query_text(event).strip().upper() == b"COMMIT"


def _refusal(transaction: Logged, why: str) -> RewindRefusedError:
    return RewindRefusedError(f"transaction {transaction.gtid} cannot be undone: {why}")


def count(tables: dict[str, TableCounts], rows: RowChanges) -> None:
    """Add the rows of one event to the counts of its table."""
    counts = tables.setdefault(rows.table.name, TableCounts())
    counts.columns = rows.table.columns
    number = len(rows.images)
    if rows.event.type in WRITES:
        counts.inserted += number
    elif rows.event.type in UPDATES:
        counts.updated += number
    else:
        counts.deleted += number


def undo_step(rows: RowChanges, *, checksum: bool) -> bytes:
    """What undoes one row event, when all that came after it is undone.

    Foreign keys are not checked: the rows were consistent before, and a check would also cascade.
    `checksum`: as the format description says that events have one.
    """
    swapped = [(after, before) for before, after in reversed(rows.images)]
    kind = _INVERSE_TYPE[EventType(rows.event.type)]
    flags = STATEMENT_END | NO_FOREIGN_KEY_CHECKS
    return _with_map(rows, kind, swapped, flags, checksum)


def redo_step(
    rows: RowChanges,
    *,
    checksum: bool,
    images: Iterable[tuple[bytes | None, bytes | None]] | None = None,
    check_foreign_keys: bool = False,
) -> bytes:
    """What does one row event again, or only some of its rows (`images`)."""
    flags = STATEMENT_END if check_foreign_keys else STATEMENT_END | NO_FOREIGN_KEY_CHECKS
    some = rows.images if images is None else images
    return _with_map(rows, rows.event.type, some, flags, checksum)


def _with_map(
    rows: RowChanges,
    kind: int,
    images: Iterable[tuple[bytes | None, bytes | None]],
    flags: int,
    checksum: bool,
) -> bytes:
    """A table map and one row event, complete as a statement of its own.

    Extra data (partition numbers) is left out: the server finds the partition from the row.
    """
    event, table = rows.event, rows.table
    head = event.body[:6] + flags.to_bytes(2, "little")
    if kind in (EventType.WRITE_ROWS, EventType.UPDATE_ROWS, EventType.DELETE_ROWS):
        head += (2).to_bytes(2, "little")
    columns = len(table.sizes)
    bitmap = b"\xff" * ((columns + 7) // 8)
    head += _packed(columns) + bitmap * (2 if kind in UPDATES else 1)
    body = head + b"".join((before or b"") + (after or b"") for before, after in images)
    mapped = events.build(
        table.event, kind=EventType.TABLE_MAP, body=table.event.body, checksum=checksum
    )
    return mapped + events.build(event, kind=kind, body=body, checksum=checksum)


def _packed(number: int) -> bytes:
    return bytes([number]) if number < 251 else b"\xfc" + number.to_bytes(2, "little")
