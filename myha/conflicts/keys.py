"""What a server says of a table, as the reader of conflicts needs it: its keys by column number."""

from __future__ import annotations

from myha.binlog.columns import (
    ColumnFact,
    KeyFact,
    KeyPart,
    Query,
    cascading_keys,
    column_facts,
    key_facts,
)
from myha.conflicts.folding import Collations, Fold, cut, fold_zero
from myha.core.values import value
from myha.errors import ServerError

ATTEMPTS = 3  # to read a table that is being altered


@value(frozen=True, slots=True)
class Part:
    """One part of a key: column number from 0, and what its bytes become before they are compared.

    `collated`: values of different bytes can be equal, by `fact`'s collation.
    """

    column: int
    fold: Fold | None
    collated: bool
    fact: ColumnFact
    prefix_length: int | None


@value(frozen=True, slots=True)
class TableKey:
    """A unique key. The row key is the one that names the row: touched by every change of it."""

    name: str
    parts: tuple[Part, ...]
    is_row_key: bool


@value(frozen=True, slots=True)
class Facts:
    """A table as the server has it now. `out_of_reach`: keys that no row image tells."""

    columns: tuple[ColumnFact, ...]
    keys: tuple[TableKey, ...]
    out_of_reach: tuple[str, ...]
    auto_increment: int | None  # column number
    cascades: bool  # a change of its rows may change rows of other tables, which is not logged

    @property
    def has_row_key(self) -> bool:
        return any(key.is_row_key for key in self.keys)


def read_facts(
    query: Query, collations: Collations, schema: str, table: str, *, cascades_logged: bool
) -> Facts | None:
    """Ask a server. None when the table is not there, or not to be seen by this account.

    ServerError when it is altered all the while: its columns and keys come from two statements.
    """
    for _ in range(ATTEMPTS):
        columns = column_facts(query, schema, table)
        if not columns:
            return None
        numbers = {column.name: number for number, column in enumerate(columns)}
        found = key_facts(query, schema, table)
        if all(
            part.column is None or part.column in numbers for one in found for part in one.parts
        ):
            break
    else:
        raise ServerError(f"{schema}.{table}: altered while it was read")
    keys: list[TableKey] = []
    beyond: list[str] = []
    for fact in found:
        parts = tuple(_part(part, columns, numbers, collations) for part in fact.parts)
        known = tuple(part for part in parts if part is not None)
        if len(known) != len(parts):
            beyond.append(fact.name)
            continue
        names_row = not any(key.is_row_key for key in keys) and _names_row(fact, known)
        keys.append(TableKey(fact.name, known, names_row))
    return Facts(
        columns=columns,
        keys=tuple(keys),
        out_of_reach=tuple(beyond),
        auto_increment=_auto_increment(query, schema, table, numbers),
        cascades=not cascades_logged and bool(cascading_keys(query, schema, table)),
    )


def _names_row(fact: KeyFact, parts: tuple[Part, ...]) -> bool:
    return fact.primary or not any(part.fact.nullable for part in parts)


def _part(
    part: KeyPart,
    columns: tuple[ColumnFact, ...],
    numbers: dict[str, int],
    collations: Collations,
) -> Part | None:
    """None for an expression, and for a text in a character set that is not known here."""
    if part.column is None:
        return None
    number = numbers[part.column]
    fact = columns[number]
    prefix = part.prefix_length
    charset, collation = fact.charset, fact.collation
    if charset is None or collation is None or fact.data_type in {"enum", "set", "json"}:
        fold = cut(prefix) if prefix is not None else None
        if fact.data_type in {"float", "double"}:
            fold = fold_zero
        return Part(number, fold, False, fact, prefix)
    text_fold = collations.fold(charset, collation, prefix)
    return None if text_fold is None else Part(number, text_fold, True, fact, prefix)


def _auto_increment(query: Query, schema: str, table: str, numbers: dict[str, int]) -> int | None:
    rows = query(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = %s"
        " AND table_name = %s AND extra LIKE %s AND data_type LIKE %s",
        (schema, table, "%auto_increment%", "%int"),
    )
    return numbers.get(str(rows[0][0])) if rows else None
