"""Applying row changes to a server that takes writes, each row checked first, under its lock.

A server that is given row events finds a row by its primary key alone and overwrites whatever it
has become meanwhile. So each row that is to be updated or deleted is looked up, with a lock, by all
of its values; keys in the way and foreign keys are the server's own to refuse. All of it happens in
the caller's transaction.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from myha.binlog.errors import DecodeError, HealRefusedError
from myha.binlog.literals import SESSION, key_predicate, row_predicate, show
from myha.binlog.readable import Decoders, TableFacts
from myha.binlog.row_events import RowChanges
from myha.binlog.session import HealSession
from myha.binlog.values import Row
from myha.database.connection import Connect
from myha.database.flavours import Flavour
from myha.database.statements import quoted
from myha.errors import ServerError
from myha.undo.inverse import redo_step
from myha.undo.spool import SpooledTransaction
from myha.words import one_line

_DUPLICATE = frozenset({1062, 1022, 1586, 1859})
_MISSING = frozenset({1032})
_FOREIGN_KEY = frozenset({1216, 1217, 1451, 1452, 1761})
_CHECK = frozenset({3819, 4025, 1526, 1591, 1748})  # CHECK constraints; no partition for a row
_CONFLICTS = _DUPLICATE | _MISSING | _FOREIGN_KEY | _CHECK
_ROWS_AT_ONCE = 50
_ENVELOPE_BYTES = 4096
_BASE64_GROWTH = 4 / 3
_SHOWN_CHARACTERS = 60
_SHOWN_COLUMNS = 20

Images = tuple[bytes | None, bytes | None]


class ConflictError(HealRefusedError):
    """A row is not as the change expects it; `table`, `wanted` and `found` say it in parts."""

    def __init__(self, table: str, why: str, *, wanted: str = "", found: str = "") -> None:
        text = f"{table}: {why}"
        if wanted:
            text += f"; the change is for {wanted}"
        if found:
            text += f"; the conflicting row is {found}"
        super().__init__(text)
        self.table = table
        self.why = why
        self.wanted = wanted
        self.found = found


class Writer(HealSession):
    """A session on the server that takes writes; it begins no transaction by itself."""

    subject: ClassVar[str] = "apply"

    def __init__(self, connect: Connect, flavour: Flavour, deadline_seconds: float) -> None:
        super().__init__(connect, flavour, deadline_seconds)
        self.packet_bytes = 0
        self._format = b""

    def prepare(self) -> None:
        """Set the session up. Raises HealRefusedError when the server would not be exact."""
        self.run(SESSION)
        self.do("session")
        self.packet_bytes = int(self.value("SELECT @@GLOBAL.max_allowed_packet"))
        if self.variable("read_only") != "OFF":
            raise HealRefusedError("the writer is read-only: nothing can be applied there")
        if why := self.flavour.inexact(self):
            raise HealRefusedError(f"on the writer {why}")

    def cascading_columns(self, name: str) -> tuple[tuple[str, str], ...]:
        """The columns whose change, or whose row's end, reaches other rows; each with the key."""
        schema, _, table = name.partition(".")
        rows = self.query(
            "SELECT k.referenced_column_name, c.constraint_schema, c.table_name, c.constraint_name"
            " FROM information_schema.referential_constraints c"
            " JOIN information_schema.key_column_usage k"
            " ON k.constraint_schema = c.constraint_schema AND k.table_name = c.table_name"
            " AND k.constraint_name = c.constraint_name"
            " WHERE c.unique_constraint_schema = %s AND c.referenced_table_name = %s"
            " AND NOT (c.delete_rule IN ('NO ACTION', 'RESTRICT')"
            " AND c.update_rule IN ('NO ACTION', 'RESTRICT'))",
            (schema, table),
        )
        return tuple((str(column), ".".join(map(str, key))) for column, *key in rows)

    def describe(self, format_event: bytes) -> None:
        """Tell the server how the events that follow are made; outside of a transaction."""
        if format_event != self._format:
            self.apply([format_event])
            self.do("name_new")
            self._format = format_event


class CheckedRows:
    """Applies row events to the writer in the transaction that is open there.

    Raises ConflictError for the first row that is not as the change expects it: then the event is
    not applied, and the caller has to roll back. HealRefusedError says that a table cannot be
    checked at all, ServerError that the server could not do it.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._decoders = Decoders(lambda name: TableFacts.ask(writer.query, name))
        self._suitable: set[str] = set()
        self._cascading: dict[str, tuple[tuple[str, str], ...]] = {}

    def check_table(self, name: str) -> None:
        """Raises HealRefusedError unless changes of this table can be checked and rolled back."""
        if name in self._suitable:
            return
        storage = self._writer.storage(name)
        if storage is None:
            raise HealRefusedError(
                f"{name} is not on the writer, or this account may not read it (GRANT SELECT)"
            )
        if not storage.can_be_undone:
            raise HealRefusedError(
                f"{name} is a {storage.kind} of engine {storage.engine} on the writer, and only"
                " plain InnoDB tables can be checked and rolled back"
            )
        self._suitable.add(name)

    def _check_cascade(self, name: str, facts: TableFacts, before: Row, after: Row | None) -> None:
        """Raises ConflictError where a change would reach rows that no event names."""
        if name not in self._cascading:
            self._cascading[name] = self._writer.cascading_columns(name)
        for column, constraint in self._cascading[name]:
            at = next((i for i, fact in enumerate(facts.columns) if fact.name == column), None)
            if at is None or after is None or before[at] != after[at]:
                raise ConflictError(
                    name,
                    f"{constraint} would cascade the change to rows that the errant transaction"
                    " may never have seen",
                    wanted=shown(facts, before),
                )

    def apply(self, transaction: SpooledTransaction, rows: RowChanges) -> None:
        """Check and apply one row event."""
        self.check_table(rows.table.name)
        checksum = transaction.has_checksum
        decoder = self._decoders.of(rows.table)
        images = rows.images
        for first in range(0, len(images), _ROWS_AT_ONCE):
            some = images[first : first + _ROWS_AT_ONCE]
            decoded = [
                (
                    None if before is None else decoder(before),
                    None if after is None else decoder(after),
                )
                for before, after in some
            ]
            for before, after in decoded:
                if before is not None:
                    facts = self._decoders.facts_of(rows.table.name)
                    self._check_cascade(rows.table.name, facts, before, after)
            if len(some) > 1 and self._all_there(rows, decoded):
                self._give(rows, some, decoded, checksum)
                continue
            for image, row in zip(some, decoded, strict=True):
                self._expect(rows, row[0])
                self._give(rows, [image], [row], checksum)

    # ---- the rows that are replaced

    def _all_there(self, rows: RowChanges, decoded: Sequence[tuple[Row | None, ...]]) -> bool:
        """Whether each row to be replaced is there once; False also where it cannot be told so."""
        wanted = [before for before, _ in decoded if before is not None]
        if not wanted:
            return True
        facts = self._decoders.facts_of(rows.table.name)
        if facts.primary is None:
            return False
        return self._count(rows, facts, wanted) == len(wanted)

    def _expect(self, rows: RowChanges, before: Row | None) -> None:
        if before is None:
            return
        facts = self._decoders.facts_of(rows.table.name)
        if self._count(rows, facts, [before]) >= 1:
            return
        found = self._present(rows.table.name, facts, before)
        why = "the row has changed since" if found else "the row does not exist any more"
        raise ConflictError(rows.table.name, why, wanted=shown(facts, before), found=found)

    def _count(self, rows: RowChanges, facts: TableFacts, wanted: Sequence[Row]) -> int:
        predicates = " OR ".join(f"({row_predicate(facts.columns, row)})" for row in wanted)
        table = quoted(rows.table.schema, rows.table.table)
        sql = f"SELECT COUNT(*) FROM {table} WHERE {predicates} FOR UPDATE"
        return int(self._asked(sql)[0][0])

    def _asked(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a statement that fits into a packet; a bigger one would end the connection."""
        size = len(sql.encode("utf-8", "surrogateescape"))
        if size + _ENVELOPE_BYTES > self._writer.packet_bytes:
            raise HealRefusedError(
                f"a row takes {size} bytes as SQL, more than max_allowed_packet on the writer"
                f" ({self._writer.packet_bytes}): it cannot be checked"
            )
        return self._writer.query(sql)

    # ---- giving them to the server

    def _give(
        self,
        rows: RowChanges,
        images: Sequence[Images],
        decoded: Sequence[tuple[Row | None, ...]],
        checksum: bool,
    ) -> None:
        step = redo_step(rows, checksum=checksum, images=images, check_foreign_keys=True)
        if len(step) * _BASE64_GROWTH + _ENVELOPE_BYTES > self._writer.packet_bytes:
            raise HealRefusedError(
                f"a row change of {len(step)} bytes does not fit into max_allowed_packet on the"
                f" writer ({self._writer.packet_bytes})"
            )
        try:
            self._writer.apply([step])
        except ServerError as error:
            if error.code not in _CONFLICTS:
                raise
            raise self._conflict(rows, decoded, error) from error

    def _conflict(
        self, rows: RowChanges, decoded: Sequence[tuple[Row | None, ...]], error: ServerError
    ) -> ConflictError:
        name = rows.table.name
        facts = self._decoders.facts_of(name)
        if error.code in _DUPLICATE:
            for before, after in decoded:
                found = self._in_the_way(name, facts, before, after)
                if found is not None and after is not None:
                    key, row = found
                    return ConflictError(
                        name,
                        f"another row has the same value in key {key}",
                        wanted=shown(facts, after),
                        found=row,
                    )
        wanted = next((after or before for before, after in decoded if after or before), None)
        why = "a foreign key does not allow it" if error.code in _FOREIGN_KEY else "refused"
        return ConflictError(
            name, f"{why} ({error})", wanted=shown(facts, wanted) if len(decoded) == 1 else ""
        )

    def _in_the_way(
        self, name: str, facts: TableFacts, before: Row | None, after: Row | None
    ) -> tuple[str, str] | None:
        """The key and the live row that has this row's place in it."""
        if after is None:
            return None
        itself = "" if before is None else f" AND NOT ({row_predicate(facts.columns, before)})"
        for key in facts.keys:
            predicate = key_predicate(key, facts.columns, after)
            if predicate is not None:
                found = self._shown_row(name, facts, f"{predicate}{itself}")
                if found:
                    return key.name, found
        return None

    def _present(self, name: str, facts: TableFacts, row: Row) -> str:
        """The live row with this row's primary key, for people; empty when there is none."""
        primary = facts.primary
        predicate = None if primary is None else key_predicate(primary, facts.columns, row)
        return "" if predicate is None else self._shown_row(name, facts, predicate)

    def _shown_row(self, name: str, facts: TableFacts, predicate: str) -> str:
        columns = facts.columns[:_SHOWN_COLUMNS]
        wanted = ", ".join(quoted(column.name) for column in columns)
        table = quoted(*name.split(".", 1))
        rows = self._asked(f"SELECT {wanted} FROM {table} WHERE {predicate} LIMIT 1")
        if not rows:
            return ""
        pairs = (
            f"{column.name}={_live(value)}" for column, value in zip(columns, rows[0], strict=True)
        )
        return _joined(pairs, len(facts.columns))


def shown(facts: TableFacts, row: Row | None) -> str:
    """A row in a few words, for one line of a message."""
    if row is None:
        return ""
    pairs = (
        f"{column.name}={show(value, column, characters=_SHOWN_CHARACTERS)}"
        for column, value in list(zip(facts.columns, row, strict=True))[:_SHOWN_COLUMNS]
    )
    return _joined(pairs, len(facts.columns))


def _joined(pairs: Any, columns: int) -> str:
    more = f", and {columns - _SHOWN_COLUMNS} more" if columns > _SHOWN_COLUMNS else ""
    return one_line(f"({', '.join(pairs)}{more})")


def _live(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        text = f"0x{value.hex()}"
    elif isinstance(value, int | float):
        text = str(value)
    else:
        text = repr(str(value))
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


__all__ = ["CheckedRows", "ConflictError", "DecodeError", "Writer", "shown"]
