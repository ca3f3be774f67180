"""The exact inverse of row-logged transactions: pure, from events to events.

A write becomes a delete and a delete a write by the type byte, an update swaps its images, and all
comes in reverse order: the transactions, their events, and the rows of an event. Values are not
decoded, so nothing can be lost between decoding and encoding.

Refused, with the reason: everything that is not a plain row change (DDL, statement format, XA,
compressed payloads, partial JSON updates, partial row images). What a binary log does not tell (an
engine without transactions, cascades that the engine does by itself) is for the caller to check.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from myha.binlog import events
from myha.binlog.errors import RewindRefusedError
from myha.binlog.events import (
    NO_FOREIGN_KEY_CHECKS,
    ROWS,
    STATEMENT_END,
    UPDATES,
    WRITES,
    EventType,
    RawEvent,
    RowChanges,
    TableMap,
)
from myha.binlog.transactions import Transaction

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


@dataclass(slots=True)
class Change:
    """One row event of one transaction, split into rows."""

    transaction: Transaction
    rows: RowChanges


@dataclass(frozen=True, slots=True)
class Inverse:
    """What undoes the transactions: each step is a table map with one row event, in this order."""

    steps: tuple[bytes, ...]
    tables: dict[str, TableCounts] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return sum(counts.rows for counts in self.tables.values())


def changes(transaction: Transaction) -> Iterator[Change]:
    """Its row events, oldest first; raises RewindRefusedError for anything else that it holds."""
    if transaction.gtid.is_ddl:
        raise _refusal(transaction, "it is DDL or another statement that cannot be rolled back")
    maps: dict[int, TableMap] = {}
    ended = False
    for event in transaction.events[1:]:
        if event.type == EventType.TABLE_MAP:
            table = events.table_map(event)
            maps[table.table_id] = table
        elif event.type in ROWS:
            found = maps.get(events.rows_table_id(event))
            if found is None:
                raise _refusal(transaction, "a row event has no table map")
            yield Change(transaction, events.row_changes(event, found))
        else:
            _check_other(transaction, event)
            ended = ended or event.type == EventType.XID or _is_commit(event)
    if not ended:
        raise _refusal(transaction, "its end is not in the binary log")


def _check_other(transaction: Transaction, event: RawEvent) -> None:
    if event.type in _IGNORED:
        return
    if event.type == EventType.QUERY:
        if not events.is_harmless_query(event):
            raise _refusal(transaction, "it has a statement, not only row changes")
        return
    reason = _REFUSED.get(event.type)
    if reason is None and event.flags & events.IGNORABLE_FLAG:
        return
    raise _refusal(transaction, reason or f"it has an event of type {event.type}")


def _is_commit(event: RawEvent) -> bool:
    return event.type == EventType.QUERY and events.query_text(event).strip().upper() == b"COMMIT"


def _refusal(transaction: Transaction, why: str) -> RewindRefusedError:
    return RewindRefusedError(f"transaction {transaction.gtid} cannot be undone: {why}")


def inverse(errant: Sequence[Transaction], *, checksum: bool) -> Inverse:
    """What undoes all of them, last one first. `checksum`: as the format description says."""
    steps: list[bytes] = []
    tables: dict[str, TableCounts] = {}
    for transaction in reversed(errant):
        for change in reversed(list(changes(transaction))):
            count(tables, change.rows)
            steps.append(_step(change.rows, checksum))
    return Inverse(tuple(steps), tables)


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


def forward(transaction: Transaction, *, checksum: bool) -> Iterator[bytes]:
    """The transaction's own changes as such steps, to do it again."""
    for change in changes(transaction):
        event, table = change.rows.event, change.rows.table
        yield _with_map(table, event, event.type, change.rows.images, checksum)


def _step(rows: RowChanges, checksum: bool) -> bytes:
    swapped = [(after, before) for before, after in reversed(rows.images)]
    kind = _INVERSE_TYPE[EventType(rows.event.type)]
    return _with_map(rows.table, rows.event, kind, swapped, checksum)


def _with_map(
    table: TableMap,
    event: RawEvent,
    kind: int,
    images: Iterable[tuple[bytes | None, bytes | None]],
    checksum: bool,
) -> bytes:
    """A table map and one row event, complete as a statement of its own.

    Foreign keys are not checked: the rows were consistent before, and a check would also cascade.
    Extra data (partition numbers) is left out: the server finds the partition from the row.
    """
    flags = STATEMENT_END | NO_FOREIGN_KEY_CHECKS
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


class LaterTouches:
    """Finds a kept transaction that built on a row which an errant one had written.

    The first later change of such a row has, byte for byte, the errant row as its before image.
    Undoing the errant change under it would silently destroy the later one, since a server looks a
    row up by its key alone.
    """

    def __init__(self) -> None:
        self._written: set[tuple[str, bytes]] = set()
        self.any_errant = False

    def errant(self, transaction: Transaction) -> None:
        """Remember what an errant transaction wrote."""
        self.any_errant = True
        for change in changes(transaction):
            name = change.rows.table.name
            self._written.update((name, after) for _, after in change.rows.images if after)

    def kept(self, transaction: Transaction) -> None:
        """Raises RewindRefusedError when this kept transaction built on an errant row."""
        if not self.any_errant:
            return
        try:
            touched = self._touched_table(transaction)
        except RewindRefusedError as error:
            raise RewindRefusedError(f"after the transactions to undo: {error.reason}") from error
        if touched is not None:
            raise RewindRefusedError(
                f"transaction {transaction.gtid}, which stays, changed a row of {touched} that a"
                " transaction to be undone had written before"
            )

    def _touched_table(self, transaction: Transaction) -> str | None:
        for change in changes(transaction):
            name = change.rows.table.name
            if any(before and (name, before) in self._written for before, _ in change.rows.images):
                return name
        return None


__all__ = [
    "Change",
    "Inverse",
    "LaterTouches",
    "TableCounts",
    "changes",
    "count",
    "forward",
    "inverse",
]
