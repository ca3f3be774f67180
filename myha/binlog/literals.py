"""Decoded values as SQL: literals, and predicates that hold exactly where a column has the value.

A session that runs them first runs every statement of `SESSION`: literals of TIMESTAMP are in UTC,
and zero dates, dates that do not exist and the number 0 in an AUTO_INCREMENT column are values like
any other. The texts hold `%` signs in names only; run them without arguments.

Out of reach: a table of MariaDB before 10.10.6 or 10.11.5 keeps UUIDs of versions 6 and newer in
another order of bytes, which nothing tells.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from myha.binlog.columns import ColumnFact, KeyFact
from myha.binlog.errors import DecodeError
from myha.binlog.mysql_json import DATE, DECIMAL, TEMPORAL, TIME, Json, Opaque, Unsigned
from myha.binlog.mysql_json import text as json_text
from myha.binlog.types import HEX_ONLY, codec_of
from myha.binlog.values import Row, Value
from myha.database.statements import quoted

SESSION = (
    "SET NAMES utf8mb4",
    "SET SESSION time_zone = '+00:00', sql_auto_is_null = 0,"
    " sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,STRICT_ALL_TABLES'",
)
"""What a session runs before it uses the literals and predicates of this module."""

_SHOWN_CHARACTERS = 200
_INDEXED_BYTES = 3072  # no key of either flavour is longer


def literal(value: Value, column: ColumnFact) -> str:
    """An SQL expression that gives exactly this value when it is stored in the column.

    Raises DecodeError for a value that no expression gives: an opaque binary in a JSON document.
    """
    if value is None:
        return "NULL"
    if isinstance(value, Json):
        return _json(value.tree(), top=True)
    if isinstance(value, bytes):
        introducer = f"_{column.charset} " if column.charset else ""
        return f"{introducer}X'{value.hex()}'"
    if isinstance(value, str):
        return f"'{value}'"  # temporal values and addresses: digits and separators
    if isinstance(value, float):
        return _float(value)
    if column.data_type == "year":
        return f"'{value:04d}'"
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def matches(column: ColumnFact, value: Value) -> str:
    """A predicate that is true exactly where the live column holds this value, NULL included.

    Text is compared by its bytes, whatever the collation, and by the collation as well, so that an
    index can be used. JSON is equal when the documents are and print alike: a 1.0 that is a DOUBLE
    is the same as one that is a DECIMAL.
    """
    name = quoted(column.name)
    if value is None:
        return f"{name} IS NULL"
    if isinstance(value, Json):
        wanted = _json(value.tree(), top=True)
        live, given = (f"CAST({one} AS CHAR CHARACTER SET utf8mb4)" for one in (name, wanted))
        return f"({name} = {wanted} AND {live} COLLATE utf8mb4_bin = {given})"
    if isinstance(value, bytes):
        return _matches_bytes(column, name, value)
    if isinstance(value, float) and value == 0:
        # Not `= 0`, which lets the server put 0 in place of the column on the right.
        sign = "LIKE" if str(value).startswith("-") else "NOT LIKE"
        return f"({name} BETWEEN 0 AND 0 AND CAST({name} AS CHAR) {sign} '-%')"
    if column.data_type == "set" or (column.data_type == "year" and not value):
        return f"CAST({name} AS UNSIGNED) = {value}"  # a SET is else compared as a DOUBLE
    if column.data_type == "year":
        return f"{name} = {value}"
    return f"{name} = {literal(value, column)}"


def _matches_bytes(column: ColumnFact, name: str, value: bytes) -> str:
    if column.data_type in HEX_ONLY:
        return f"HEX({name}) = '{value.hex().upper()}'"
    if column.charset is None:
        return f"{name} = X'{value.hex()}'"
    exact = f"CAST({name} AS BINARY) = X'{value.hex()}'"
    if len(value) > _INDEXED_BYTES or not _is_text(value, column.charset):
        return exact
    return f"({name} = {literal(value, column)} AND {exact})"


def collides(column: ColumnFact, value: Value, prefix_length: int | None = None) -> str:
    """A predicate that is true where a unique key takes the live value for equal to this one.

    Unlike `matches` it goes by the column's collation. A NULL never collides.
    """
    name = quoted(column.name)
    if value is None:
        return "FALSE"
    if isinstance(value, float) and value == 0:
        return f"{name} = 0"
    if isinstance(value, bytes) and column.data_type not in HEX_ONLY:
        given = literal(value, column)
        if prefix_length is not None:
            return f"LEFT({name}, {prefix_length}) = LEFT({given}, {prefix_length})"
        return f"{name} = {given}"
    return matches(column, value)


def row_predicate(columns: Sequence[ColumnFact], row: Row) -> str:
    """True exactly for live rows with these values; generated columns follow from the others."""
    parts = (
        matches(column, value)
        for column, value in zip(columns, row, strict=True)
        if not column.generated
    )
    return " AND ".join(parts)


def key_predicate(key: KeyFact, columns: Sequence[ColumnFact], row: Row) -> str | None:
    """True for live rows that this unique key does not allow beside the row.

    None when there cannot be one (a part is NULL) or nothing can be said (a part is an expression).
    """
    values = {column.name: (column, one) for column, one in zip(columns, row, strict=True)}
    parts = []
    for part in key.parts:
        if part.column is None or part.column not in values:
            return None
        column, value = values[part.column]
        if value is None:
            return None
        parts.append(collides(column, value, part.prefix_length))
    return " AND ".join(parts)


def _float(value: float) -> str:
    """Always with an exponent: without one it would be a DECIMAL."""
    text = repr(value)
    return text if "e" in text else f"{text}e0"


def _is_text(value: bytes, charset: str) -> bool:
    """Whether it is sure that the server takes the bytes for text in this character set."""
    codec = codec_of(charset)
    try:
        return codec is not None and value.decode(codec) is not None
    except UnicodeDecodeError:
        return False


def _json(tree: Any, *, top: bool = False) -> str:
    """An expression for a document: text where text says it all, else built from typed values."""
    if _is_plain(tree):
        text = json_text(tree).encode().hex()
        return f"CAST(_utf8mb4 X'{text}' AS JSON)"
    if isinstance(tree, dict):
        pairs = (f"_utf8mb4 X'{key.encode().hex()}', {_json(one)}" for key, one in tree.items())
        return f"JSON_OBJECT({', '.join(pairs)})"
    if isinstance(tree, list):
        return f"JSON_ARRAY({', '.join(map(_json, tree))})"
    if top:
        return f"JSON_EXTRACT(JSON_ARRAY({_json(tree)}), '$[0]')"
    if isinstance(tree, float):
        return _float(tree)
    if isinstance(tree, Unsigned):
        return f"CAST({tree} AS UNSIGNED)"
    return _json_opaque(tree)


def _json_opaque(value: Opaque) -> str:
    if value.kind == DECIMAL:
        number, precision, scale = value.decimal()
        return f"CAST({number:f} AS DECIMAL({precision},{scale}))"
    if value.kind in TEMPORAL:
        name = {DATE: "DATE", TIME: "TIME(6)"}.get(value.kind, "DATETIME(6)")
        return f"CAST('{value.temporal()}' AS {name})"
    if value.kind == 253:
        return f"CAST(X'{value.data.hex()}' AS BINARY)"
    raise DecodeError(f"a JSON document holds binary data of type {value.kind}")


def _is_plain(tree: Any) -> bool:
    """Whether JSON text of it, parsed, gives the same types again."""
    if isinstance(tree, dict):
        return all(map(_is_plain, tree.values()))
    if isinstance(tree, list):
        return all(map(_is_plain, tree))
    if isinstance(tree, Unsigned):
        return tree >= 1 << 63
    return not isinstance(tree, float | Opaque)


def show(value: Value, column: ColumnFact, *, characters: int = _SHOWN_CHARACTERS) -> str:
    """The value for people: text in quotes, names of ENUM and SET, the rest as the server has it.

    What is longer than `characters` is cut, with its whole length.
    """
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return _show_bytes(value, column.charset, characters)
    if column.data_type == "enum" and isinstance(value, int):
        return _names(column.members[value - 1 : value] if value else ("",), value)
    if column.data_type == "set" and isinstance(value, int):
        chosen = tuple(name for bit, name in enumerate(column.members) if value >> bit & 1)
        return _names(chosen, value)
    if column.data_type == "bit" and isinstance(value, int):
        return f"b'{value:b}'"
    if column.data_type == "year":
        return f"{value:04d}"
    if isinstance(value, str):
        return f"'{value}'"
    return _cut(format(value, "f") if isinstance(value, Decimal) else str(value), characters)


def _names(names: Sequence[str], number: int) -> str:
    return f"'{','.join(names)}'" if names or not number else f"number {number}"


def _show_bytes(value: bytes, charset: str | None, characters: int) -> str:
    if charset is not None:
        with_errors = value.decode(codec_of(charset) or "latin-1", "backslashreplace")
        if len(with_errors) > characters:
            return f"{with_errors[:characters]!r}... ({len(with_errors)} characters)"
        return repr(with_errors)
    if len(value) * 2 > characters:
        return f"0x{value[: characters // 2].hex()}... ({len(value)} bytes)"
    return f"0x{value.hex()}"


def _cut(text: str, characters: int) -> str:
    if len(text) <= characters:
        return text
    return f"{text[:characters]}... ({len(text)} characters)"
