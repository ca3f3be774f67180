"""Rows as a server has them now, beside the values that a binary log says they should have."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from myha.binlog.columns import ColumnFact, KeyFact
from myha.binlog.literals import key_predicate, matches, show
from myha.binlog.node import Node
from myha.binlog.readable import TableFacts
from myha.binlog.types import BLOBS, HEX_ONLY, TEXTS
from myha.binlog.values import Row
from myha.database.statements import quoted

_RAW = TEXTS | BLOBS | HEX_ONLY | {"char", "varchar", "binary", "varbinary"}


@dataclass(frozen=True, slots=True)
class LiveRow:
    """A row that was found, as text, and where it is not what was expected."""

    table: str
    key: str  # by which it was found
    values: dict[str, str]
    differs: tuple[str, ...]  # the columns whose values are others than the binary log's

    @property
    def text(self) -> str:
        pairs = ", ".join(f"{name}={value}" for name, value in self.values.items())
        return f"{self.table}: {pairs}"


def find(
    node: Node, table: str, facts: TableFacts, where: str, *, key: str, row: Row | None
) -> LiveRow | None:
    """One row for which the predicate holds; `row` is what its values are compared with."""
    columns = facts.columns
    wanted = [_as_text(column) for column in columns]
    if row is not None:
        wanted += [matches(column, value) for column, value in zip(columns, row, strict=True)]
    name = quoted(*table.split(".", 1))
    found = node.query(f"SELECT {', '.join(wanted)} FROM {name} WHERE {where} LIMIT 1")
    if not found:
        return None
    values = found[0][: len(columns)]
    same: Sequence[Any] = found[0][len(columns) :] or [1] * len(columns)
    return LiveRow(
        table,
        key,
        {column.name: _text(column, value) for column, value in zip(columns, values, strict=True)},
        tuple(
            column.name
            for column, agrees in zip(columns, same, strict=True)
            if not agrees and not column.generated
        ),
    )


def in_the_way(
    node: Node, table: str, facts: TableFacts, row: Row, *, only_key: str = ""
) -> list[LiveRow]:
    """The rows that unique keys do not allow beside this one, by key."""
    found = []
    for key in facts.keys:
        where = key_predicate(key, facts.columns, row)
        if where is None or (only_key and key.name != only_key):
            continue
        one = find(node, table, facts, where, key=key.name, row=row)
        if one is not None:
            found.append(one)
    return found


def lookup_key(facts: TableFacts) -> KeyFact | None:
    """The key by which a row is looked up: the primary one, else the first of stored columns."""
    return next((key for key in facts.keys if key.primary or key.plain), None)


def _as_text(column: ColumnFact) -> str:
    name = quoted(column.name)
    if column.data_type in _RAW:
        return f"HEX({name})"
    return f"CAST({name} + 0 AS CHAR)" if column.data_type == "bit" else f"CAST({name} AS CHAR)"


def _text(column: ColumnFact, value: Any) -> str:
    if value is None:
        return "NULL"
    if column.data_type in _RAW:
        return show(bytes.fromhex(str(value)), column)
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    if column.data_type == "bit":
        return f"b'{int(text):b}'"
    quotes = column.data_type in {"enum", "set", "date", "time", "datetime", "timestamp"}
    return f"'{text}'" if quotes or column.data_type in {"uuid", "inet4", "inet6"} else text
