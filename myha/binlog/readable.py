"""Row changes as people read them: SQL statements, and named values for JSON.

The facts about the tables are those of the moment at which they were asked for. Where they do not
fit the row images (the table was altered since, or is gone), the text says so and has no values.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from myha.binlog import events
from myha.binlog.columns import ColumnFact, KeyFact, Query, column_facts, key_facts
from myha.binlog.errors import DecodeError
from myha.binlog.events import EventType, RawEvent
from myha.binlog.literals import literal, matches, row_predicate, show
from myha.binlog.row_events import RowChanges, TableMap
from myha.binlog.values import Row, RowDecoder
from myha.core.values import value
from myha.database.statements import quoted
from myha.errors import MyhaError
from myha.words import one_line

Images = tuple[bytes | None, bytes | None]
MAX_TABLES = 10_000  # decoders that are held


@value(frozen=True, slots=True)
class TableFacts:
    """A table as a server describes it: columns in order, the primary key before the others."""

    columns: tuple[ColumnFact, ...]
    keys: tuple[KeyFact, ...]

    @property
    def primary(self) -> KeyFact | None:
        return next((key for key in self.keys if key.primary), None)

    @classmethod
    def ask(cls, query: Query, table: str) -> "TableFacts":
        """Of a `schema.table`; without columns when it is not there or not to be seen."""
        schema, _, name = table.partition(".")
        return cls(column_facts(query, schema, name), key_facts(query, schema, name))

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Decoders:
    """Finds the decoder of a table map; the facts are asked for once for each table."""

    def __init__(self, facts: Callable[[str], TableFacts]) -> None:
        self._ask = facts
        self.facts: dict[str, TableFacts] = {}
        self._made: dict[tuple[str, bytes, bytes], RowDecoder | DecodeError] = {}

    def of(self, table: TableMap) -> RowDecoder:
        """Raises DecodeError when the facts are not those that the table map was written for."""
        key = (table.name, table.types, table.metadata)
        found = self._made.get(key)
        if found is None:
            try:
                found = RowDecoder(table, self.facts_of(table.name).columns)
            except DecodeError as error:
                found = error
            if len(self._made) < MAX_TABLES:
                self._made[key] = found
        if isinstance(found, DecodeError):
            raise found
        return found

    def facts_of(self, name: str) -> TableFacts:
        if name not in self.facts:
            self.facts[name] = self._ask(name)
        return self.facts[name]

    def row(self, table: TableMap, image: bytes | None) -> Row | None:
        return None if image is None else self.of(table)(image)


def named(columns: tuple[ColumnFact, ...], row: Row | None) -> dict[str, Any] | None:
    """The row for JSON: numbers as they are, text as text, the rest as `show` has it.

    Only long binary values are cut.
    """
    if row is None:
        return None
    return {column.name: _plain(column, value) for column, value in zip(columns, row, strict=True)}


def _plain(column: ColumnFact, value: Any) -> Any:
    if value is None or (isinstance(value, int) and column.data_type not in _BY_NAME):
        return value
    if isinstance(value, float) and value - value == 0:
        return value
    if isinstance(value, bytes) and column.charset in _CODECS:
        try:
            return value.decode(_CODECS[column.charset])
        except UnicodeDecodeError:
            pass
    if isinstance(value, bytes):
        more = f"... ({len(value)} bytes)" if len(value) > _BINARY_BYTES else ""
        return f"0x{value[:_BINARY_BYTES].hex()}{more}"
    if isinstance(value, str):
        return value
    return show(value, column, characters=1 << 30)


_CODECS = {**dict.fromkeys(("utf8mb4", "utf8mb3", "utf8", "ascii"), "utf-8"), "latin1": "cp1252"}
_BINARY_BYTES = 1024  # the image beside has it whole
_BY_NAME = {"enum", "set", "bit", "year"}


def statement(facts: TableFacts, name: str, before: Row | None, after: Row | None) -> str:
    """One INSERT, UPDATE or DELETE, without a semicolon. Raises DecodeError.

    A row is found by its primary key; where there is none by all of its values, and then only one
    of several equal rows is meant. Generated columns follow from the others and are left out.
    """
    table = quoted(*name.split(".", 1))
    if before is None:
        assert after is not None
        pairs = [(c, v) for c, v in zip(facts.columns, after, strict=True) if not c.generated]
        names = ", ".join(quoted(column.name) for column, _ in pairs)
        values = ", ".join(literal(value, column) for column, value in pairs)
        return f"INSERT INTO {table} ({names}) VALUES ({values})"
    where = _where(facts, before)
    if after is None:
        return f"DELETE FROM {table} WHERE {where}"
    changed = ", ".join(
        f"{quoted(column.name)} = {literal(new, column)}"
        for column, old, new in zip(facts.columns, before, after, strict=True)
        if repr(old) != repr(new) and not column.generated
    )
    if not changed:
        return f"-- UPDATE {table} changed nothing"
    return f"UPDATE {table} SET {changed} WHERE {where}"


def _where(facts: TableFacts, row: Row) -> str:
    primary = facts.primary
    if primary is None or not primary.plain:
        return f"{row_predicate(facts.columns, row)} LIMIT 1"
    by_name = {column.name: (column, v) for column, v in zip(facts.columns, row, strict=True)}
    return " AND ".join(matches(*by_name[name]) for name in primary.columns)


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """What goes wrong in making text of a row is a DecodeError: the exact row is kept anyway."""
    try:
        yield
    except MyhaError:
        raise
    except Exception as error:
        raise DecodeError(f"{name}: {one_line(error)}") from error


def statements(decoders: Decoders, rows: RowChanges) -> Iterator[str]:
    """Each row of an event as a statement, or one comment that says why there is none."""
    name = rows.table.name
    for before, after in rows.images:
        try:
            with decoding(name):
                decoded = decoders.row(rows.table, before), decoders.row(rows.table, after)
                text = statement(decoders.facts_of(name), name, *decoded)
            yield text
        except DecodeError as error:
            yield f"-- {len(rows.images)} rows of {name}: {one_line(error)}"
            return


def query_statement(event: RawEvent) -> str:
    """A statement that the binary log has as text, with the schema that it was run in."""
    schema = event.body[13 + int.from_bytes(event.body[11:13], "little") :]
    used = schema[: event.body[8]].decode("utf-8", "replace")
    text = events.query_text(event).decode("utf-8", "backslashreplace")
    return f"USE {quoted(used)};\n{text}" if used else text


def described(event: RawEvent) -> str:
    """What an event is that is neither rows nor text, for a comment."""
    try:
        name = EventType(event.type).name.lower().replace("_", " ")
    except ValueError:
        name = f"event of type {event.type}"
    return f"{name}, {len(event.raw)} bytes; see mysqlbinlog -vv events.binlog"
