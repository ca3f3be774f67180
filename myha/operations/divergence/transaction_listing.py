"""Transactions as an operator reads them: when, which tables, each row before and after.

All of it is streamed: a transaction of any size passes through as one event after the other.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from myha.binlog import events, row_events
from myha.binlog.columns import ColumnFact
from myha.binlog.errant import read_errant, refusal_of
from myha.binlog.errors import DecodeError, RewindRefusedError
from myha.binlog.events import ROWS, UPDATES, WRITES, EventType, RawEvent
from myha.binlog.literals import show
from myha.binlog.node import Node
from myha.binlog.readable import Decoders, TableFacts, named, query_statement
from myha.binlog.row_events import TableMap
from myha.binlog.values import Row
from myha.errors import MyhaError, ServerError
from myha.operations.divergence.errant import ErrantLook
from myha.undo.inverse import TableCounts, count
from myha.words import one_line

_SECRET = re.compile(r"\b(IDENTIFIED|PASSWORD)\b", re.IGNORECASE)
_QUOTED = re.compile(r"'(?:[^'\\]|''|\\.)*'|\"(?:[^\"\\]|\"\"|\\.)*\"|0x[0-9A-Fa-f]+")
_STATEMENT_CHARACTERS = 2000
_UNREAD = {
    EventType.TRANSACTION_PAYLOAD: "compressed events (binlog_transaction_compression)",
    EventType.PARTIAL_UPDATE_ROWS: "partial JSON updates (binlog_row_value_options)",
    EventType.XA_PREPARE: "an XA PREPARE",
}


@dataclass(frozen=True, slots=True)
class Head:
    """A transaction begins."""

    gtid: str
    at: str  # UTC, by the clock of the server that wrote it
    file: str
    offset: int  # bytes

    def lines(self) -> list[str]:
        return [f"{self.gtid}, {self.at}, {self.file} at {self.offset}"]


@dataclass(frozen=True, slots=True)
class Change:
    """One row: `before` and `after` as far as there are any."""

    table: str
    columns: tuple[ColumnFact, ...]
    before: Row | None
    after: Row | None

    @property
    def kind(self) -> str:
        if self.before is None:
            return "insert"
        return "delete" if self.after is None else "update"

    def lines(self) -> list[str]:
        if self.before is not None and self.after is not None:
            return [
                f"  update {self.table}",
                f"    before: {self._text(self.before)}",
                f"    after:  {self._text(self.after)}",
            ]
        return [f"  {self.kind} {self.table}: {self._text(self.before or self.after or ())}"]

    def _text(self, row: Row) -> str:
        pairs = zip(self.columns, row, strict=True)
        return ", ".join(f"{column.name}={show(value, column)}" for column, value in pairs)

    def as_json(self) -> dict[str, Any]:
        return {
            "table": self.table,
            "change": self.kind,
            "before": named(self.columns, self.before),
            "after": named(self.columns, self.after),
        }


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that is in the binary log as text, such as DDL."""

    text: str

    def lines(self) -> list[str]:
        return [f"  statement: {self.text}"]

    def as_json(self) -> dict[str, Any]:
        return {"statement": self.text}


@dataclass(frozen=True, slots=True)
class Note:
    """Something that is there and cannot be shown, and why."""

    text: str

    def lines(self) -> list[str]:
        return [f"  not shown: {self.text}"]

    def as_json(self) -> dict[str, Any]:
        return {"not_shown": self.text}


@dataclass(frozen=True, slots=True)
class Tail:
    """A transaction has ended; the counts are of all of it."""

    tables: dict[str, TableCounts]

    def lines(self) -> list[str]:
        changes = (
            f"{name} ({counts.inserted} inserted, {counts.updated} updated,"
            f" {counts.deleted} deleted)"
            for name, counts in sorted(self.tables.items())
        )
        return [f"  in all: {', '.join(changes)}"] if self.tables else []

    def as_json(self) -> dict[str, Any]:
        return {
            name: {key: value for key, value in asdict(counts).items() if key != "columns"}
            for name, counts in sorted(self.tables.items())
        }


Detail: TypeAlias = Change | Statement | Note
Item: TypeAlias = Head | Detail | Tail


def errant_items(node: Node, look: ErrantLook, decoders: Decoders) -> Iterator[Item]:
    """Each errant transaction from the node's binary log, oldest first.

    Raises RewindRefusedError when the binary log no longer holds them, ServerError when it cannot
    be read.
    """
    try:
        for transaction in read_errant(node, look.errant, look.kept):
            yield Head(
                str(transaction.gtid),
                at_text(transaction.timestamp),
                transaction.file,
                transaction.offset,
            )
            yield from details(transaction.events, decoders)
    except ServerError as error:
        raise refusal_of(error) from error
    except ValueError as error:
        raise MyhaError(f"cannot find where {look.errant} is in its binary log: {error}") from error


def at_text(timestamp: int) -> str:
    """Seconds since the epoch as `2026-01-31 12:00:00Z`."""
    return f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%d %H:%M:%S}Z"


def details(stream: Iterable[RawEvent], decoders: Decoders) -> Iterator[Detail | Tail]:
    """What the events of one transaction say, and its counts at the end."""
    maps: dict[int, TableMap] = {}
    counts: dict[str, TableCounts] = {}
    noted: set[str] = set()
    for event in stream:
        if event.type == EventType.TABLE_MAP:
            try:
                table = row_events.table_map(event)
            except RewindRefusedError as error:
                yield Note(error.reason)
                continue
            maps[table.table_id] = table
        elif event.type in ROWS:
            found = maps.get(row_events.rows_table_id(event))
            if found is not None:
                yield from _rows(event, found, decoders, counts, noted)
        elif event.type == EventType.QUERY:
            if not events.is_harmless_query(event):
                yield Statement(statement_text(event))
        elif event.type in _UNREAD or event.type in events.MARIADB_COMPRESSED:
            yield Note(_UNREAD.get(EventType(event.type), "") if event.type in _UNREAD else _PACKED)
    yield Tail(counts)


_PACKED = "compressed events (log_bin_compress)"


def _rows(
    event: RawEvent,
    table: TableMap,
    decoders: Decoders,
    counts: dict[str, TableCounts],
    noted: set[str],
) -> Iterator[Detail]:
    """The rows of one event; a reason why they cannot be shown is given once for each table."""
    try:
        rows = row_events.row_changes(event, table)
        count(counts, rows)
        decode = decoders.of(table)
        for before, after in rows.images:
            yield Change(
                table.name,
                decode.columns,
                None if before is None else decode(before),
                None if after is None else decode(after),
            )
    except (DecodeError, RewindRefusedError) as error:
        if table.name not in noted:
            noted.add(table.name)
            yield Note(f"{_KINDS[_kind(event)]} rows of {table.name}: {error.reason}")


_KINDS = ("inserted", "updated", "deleted")


def _kind(event: RawEvent) -> int:
    return 0 if event.type in WRITES else 1 if event.type in UPDATES else 2


def statement_text(event: RawEvent) -> str:
    """In one line, cut where it is long, without what may be a password or its hash."""
    text = one_line(query_statement(event))
    if _SECRET.search(text):
        text = _QUOTED.sub("'...'", text)
    if len(text) > _STATEMENT_CHARACTERS:
        text = f"{text[:_STATEMENT_CHARACTERS]}... ({len(text)} characters)"
    return text


def decoders_of(node: Node) -> Decoders:
    """Decoders by the tables as this server has them now."""
    return Decoders(lambda name: TableFacts.ask(node.query, name))
