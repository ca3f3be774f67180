"""What a server says about a table's columns and unique keys: what a binary log leaves out.

Signedness, character sets and names are read here and not taken from the optional metadata of a
table map, which a server logs only in part by default.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from myha.core.values import value

Query: TypeAlias = Callable[[str, Sequence[object]], Sequence[Sequence[Any]]]
"""Runs one statement with its values and returns its rows, as `Node.rows` does."""

_GENERATED = re.compile(r"\b(VIRTUAL|STORED|PERSISTENT) GENERATED\b")
_MEMBER = re.compile(r"'((?:[^'\\]|''|\\.)*)'", re.DOTALL)
_ESCAPED = re.compile(r"''|\\(.)", re.DOTALL)
_ESCAPES = {"0": "\0", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a"}


@value(frozen=True, slots=True)
class ColumnFact:
    """One column, as information_schema has it now."""

    name: str
    type: str  # as a definition has it: "int unsigned", "enum('a','b')"
    data_type: str  # its first word: "int", "enum"
    charset: str | None = None  # of its text; None for what is not text
    collation: str | None = None
    unsigned: bool = False
    nullable: bool = True
    generated: bool = False
    virtual: bool = False  # generated, and computed when it is read
    members: tuple[str, ...] = ()  # the names of an ENUM or a SET, the first one is number 1


@value(frozen=True, slots=True)
class KeyPart:
    """One part of a unique key: a column, the beginning of one, or an expression."""

    column: str | None  # None: an expression
    prefix_length: int | None = None  # characters, of binary columns bytes; None for all of it
    generated: bool = False  # the column is a generated one


@value(frozen=True, slots=True)
class KeyFact:
    """The primary key or a unique one."""

    name: str
    primary: bool
    parts: tuple[KeyPart, ...]

    @property
    def plain(self) -> bool:
        """Whether it is made of whole columns that are stored, and of nothing else."""
        return all(
            part.column is not None and part.prefix_length is None and not part.generated
            for part in self.parts
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it names; fewer than parts where one is an expression."""
        return tuple(part.column for part in self.parts if part.column is not None)


def column_facts(query: Query, schema: str, table: str) -> tuple[ColumnFact, ...]:
    """The table's columns in order; none when the table is not there or not to be seen."""
    rows = query(
        "SELECT column_name, column_type, data_type, character_set_name, collation_name,"
        " is_nullable, extra FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
        (schema, table),
    )
    return tuple(map(_column, rows))


def _column(row: Sequence[Any]) -> ColumnFact:
    name, kind, data, charset, collation, nullable, extra = row
    full, first = _text(kind), _text(data).lower()
    generated = _GENERATED.search(_text(extra).upper())
    members = first in {"enum", "set"}
    words = () if members else full.lower().split()
    return ColumnFact(
        name=_text(name),
        type=full,
        data_type=first,
        charset=None if charset is None else _text(charset),
        collation=None if collation is None else _text(collation),
        unsigned="unsigned" in words or "zerofill" in words,
        nullable=_text(nullable).upper() == "YES",
        generated=generated is not None,
        virtual=generated is not None and generated[1] == "VIRTUAL",
        members=tuple(map(_unescaped, _MEMBER.findall(full))) if members else (),
    )


def key_facts(query: Query, schema: str, table: str) -> tuple[KeyFact, ...]:
    """The primary key, if there is one, and then the unique keys by name."""
    rows = query(
        "SELECT index_name, column_name, sub_part FROM information_schema.statistics"
        " WHERE table_schema = %s AND table_name = %s AND non_unique = 0"
        " ORDER BY index_name <> 'PRIMARY', index_name, seq_in_index",
        (schema, table),
    )
    generated = {fact.name for fact in column_facts(query, schema, table) if fact.generated}
    parts: dict[str, list[KeyPart]] = {}
    for index, column, prefix in rows:
        name = None if column is None else _text(column)
        parts.setdefault(_text(index), []).append(
            KeyPart(
                column=name,
                prefix_length=None if prefix is None else int(prefix),
                generated=name in generated,
            )
        )
    return tuple(KeyFact(name, name == "PRIMARY", tuple(own)) for name, own in parts.items())


def cascading_keys(query: Query, schema: str, table: str) -> tuple[str, ...]:
    """The foreign keys by which a change of this table changes another one."""
    rows = query(
        "SELECT constraint_schema, table_name, constraint_name"
        " FROM information_schema.referential_constraints"
        " WHERE unique_constraint_schema = %s AND referenced_table_name = %s"
        " AND NOT (delete_rule IN ('NO ACTION', 'RESTRICT')"
        " AND update_rule IN ('NO ACTION', 'RESTRICT'))",
        (schema, table),
    )
    return tuple(".".join(map(str, row)) for row in rows)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _unescaped(member: str) -> str:
    return _ESCAPED.sub(
        lambda found: "'" if found[1] is None else _ESCAPES.get(found[1], found[1]), member
    )
