"""The tables of a node, how two definitions of one table differ, and the key to walk along.

Reads information_schema only; nothing of the rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from myha.database.schemas import OF_SYSTEM, SYSTEM_SCHEMAS
from myha.errors import ConfigError
from myha.operations.verify.columns import Column

Query = Callable[[str], Sequence[tuple[Any, ...]]]

TRANSACTIONAL = {"innodb", "rocksdb", "tokudb"}


@dataclass(frozen=True, slots=True)
class Key:
    """A unique key of whole columns. `walkable`: so many of its first ones can be walked along."""

    name: str
    columns: tuple[str, ...]
    walkable: int


@dataclass(frozen=True, slots=True)
class Table:
    """One base table. `keys` are unique and of NOT NULL columns, the primary key first."""

    schema: str
    name: str
    kind: str
    engine: str
    rows: int  # the server's estimate
    columns: tuple[Column, ...]
    keys: tuple[Key, ...]
    all_keys: tuple[str, ...] = ()  # every index as text, for comparison

    @property
    def full_name(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def compared(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.compared)

    @property
    def transactional(self) -> bool:
        return self.engine.lower() in TRANSACTIONAL

    @property
    def walk(self) -> Key | None:
        """The key to walk along; None when no key serves."""
        return next((key for key in self.keys if key.walkable), None)

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    @property
    def identity(self) -> tuple[Column, ...]:
        """The columns that name one row: those of the key that is walked."""
        key = self.walk
        return tuple(self.column(name) for name in key.columns) if key else ()

    @property
    def definition(self) -> str:
        """A hash of all that a comparison of the rows depends on."""
        facts = [self.kind, self.engine, [astuple(c) for c in self.columns], self.all_keys]
        return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()


def read_tables(query: Query, only: Iterable[str] | None = None) -> dict[str, Table]:
    """Every table of the users by `schema.name`, or those of `only` that are there."""
    wanted = None if only is None else set(only)
    found = query(
        "SELECT table_schema, table_name, table_type, COALESCE(engine, ''),"
        " COALESCE(table_rows, 0) FROM information_schema.tables"
        f" WHERE table_schema NOT IN {OF_SYSTEM}"
        " AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED', 'SEQUENCE')"
        " ORDER BY table_schema, table_name"
    )
    columns = _columns(query)
    indexes = _indexes(query)
    tables = {}
    for schema, name, kind, engine, rows in found:
        at = (str(schema), str(name))
        full = ".".join(at)
        if wanted is not None and full not in wanted:
            continue
        of_table = tuple(columns.get(at, ()))
        tables[full] = Table(
            *at,
            str(kind),
            str(engine),
            int(rows),
            of_table,
            _usable_keys(of_table, indexes.get(at, {})),
            tuple(sorted(_key_text(index, parts) for index, parts in indexes.get(at, {}).items())),
        )
    return tables


def _columns(query: Query) -> dict[tuple[str, str], list[Column]]:
    rows = query(
        "SELECT table_schema, table_name, column_name, data_type, column_type, is_nullable,"
        " COALESCE(character_set_name, ''), COALESCE(collation_name, ''),"
        " COALESCE(character_octet_length, 0), COALESCE(extra, ''),"
        " COALESCE(generation_expression, '')"
        f" FROM information_schema.columns WHERE table_schema NOT IN {OF_SYSTEM}"
        " ORDER BY table_schema, table_name, ordinal_position"
    )
    found: dict[tuple[str, str], list[Column]] = {}
    for schema, table, name, data_type, column_type, nullable, *rest in rows:
        charset, collation, octets, extra, expression = rest
        found.setdefault((str(schema), str(table)), []).append(
            Column(
                str(name),
                _text(data_type),
                _text(column_type),
                nullable == "YES",
                str(charset),
                str(collation),
                int(octets),
                str(extra),
                _text(expression),
            )
        )
    return found


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@dataclass(frozen=True, slots=True)
class _Part:
    column: str  # empty for an expression
    unique: bool
    prefix: int  # 0: the whole column
    descending: bool


def _indexes(query: Query) -> dict[tuple[str, str], dict[str, list[_Part]]]:
    rows = query(
        "SELECT table_schema, table_name, index_name, column_name, non_unique, sub_part,"
        f" collation FROM information_schema.statistics WHERE table_schema NOT IN {OF_SYSTEM}"
        " ORDER BY table_schema, table_name, index_name, seq_in_index"
    )
    found: dict[tuple[str, str], dict[str, list[_Part]]] = {}
    for schema, table, index, column, non_unique, prefix, order in rows:
        parts = found.setdefault((str(schema), str(table)), {}).setdefault(str(index), [])
        parts.append(_Part(str(column or ""), not int(non_unique), int(prefix or 0), order == "D"))
    return found


def _key_text(index: str, parts: list[_Part]) -> str:
    shown = ", ".join(
        (part.column or "(expression)")
        + (f"({part.prefix})" if part.prefix else "")
        + (" DESC" if part.descending else "")
        for part in parts
    )
    return f"{'unique ' if parts[0].unique else ''}key {index} ({shown})"


def _usable_keys(columns: Sequence[Column], indexes: dict[str, list[_Part]]) -> tuple[Key, ...]:
    by_name = {column.name: column for column in columns}
    keys = []
    for index, parts in indexes.items():
        whole = all(part.unique and not part.prefix and part.column in by_name for part in parts)
        if not whole:
            continue
        of_key = [by_name[part.column] for part in parts]
        if any(column.nullable or not column.compared for column in of_key):
            continue
        walkable = 0
        for part, column in zip(parts, of_key, strict=True):
            if not column.walkable or part.descending != parts[0].descending:
                break
            walkable += 1
        keys.append(Key(index, tuple(part.column for part in parts), walkable))
    return tuple(sorted(keys, key=lambda key: (key.name != "PRIMARY", len(key.columns), key.name)))


def schema_differences(
    ours: dict[str, Table], theirs: dict[str, Table], names: tuple[str, str]
) -> dict[str, list[str]]:
    """For each table whose definitions differ, how, a line each. `names` are the two nodes'."""
    first, second = names
    found: dict[str, list[str]] = {}
    for full in sorted({*ours, *theirs}):
        if full not in theirs:
            found[full] = [f"{full}: only on {first}"]
        elif full not in ours:
            found[full] = [f"{full}: only on {second}"]
        else:
            lines = _table_differences(ours[full], theirs[full], names)
            if lines:
                found[full] = lines
    return found


def _table_differences(one: Table, other: Table, names: tuple[str, str]) -> list[str]:
    first, second = names
    lines = [
        f"{one.full_name}: {what} is {a} on {first}, {b} on {second}"
        for what, a, b in (("its kind", one.kind, other.kind), ("engine", one.engine, other.engine))
        if a != b
    ]
    ours = {column.name: column for column in one.columns}
    theirs = {column.name: column for column in other.columns}
    for name in dict.fromkeys([*ours, *theirs]):
        a, b = ours.get(name), theirs.get(name)
        if a != b:
            lines.append(
                f"{one.full_name}: column {name} is {_column_text(a)} on {first},"
                f" {_column_text(b)} on {second}"
            )
    if not lines and list(ours) != list(theirs):
        lines.append(
            f"{one.full_name}: columns stand as {', '.join(ours)} on {first},"
            f" {', '.join(theirs)} on {second}"
        )
    for text in sorted({*one.all_keys} ^ {*other.all_keys}):
        where = first if text in one.all_keys else second
        lines.append(f"{one.full_name}: {text} only on {where}")
    return lines


def _column_text(column: Column | None) -> str:
    if column is None:
        return "missing"
    words = [column.column_type]
    if column.collation:
        words.append(column.collation)
    words.append("null" if column.nullable else "not null")
    if column.extra:
        words.append(column.extra.lower())
    if column.expression:
        words.append(f"as ({column.expression})")
    return " ".join(words)


def same_rows_possible(one: Table, other: Table) -> bool:
    """Whether the rows of two definitions can be compared: columns alike, and a key of both."""
    return (
        [astuple(c) for c in one.columns] == [astuple(c) for c in other.columns]
        and one.kind == other.kind
        and one.walk == other.walk
    )


def split_names(text: str) -> tuple[str, ...]:
    """The tables of `--tables db.t,db.u`. ConfigError when one is no `schema.table`."""
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    for name in names:
        schema, dot, table = name.partition(".")
        if not dot or not schema or not table:
            raise ConfigError(f"--tables {name!r} is not a table: say schema.table")
        if schema.lower() in SYSTEM_SCHEMAS:
            raise ConfigError(f"--tables {name!r}: the server's and myha's own are not compared")
    if not names:
        raise ConfigError("--tables names no table: say schema.table,schema.other")
    return names
