"""Columns as a comparison needs them: renderings that lose nothing, and literals that give it back.

A rendering is an expression that the server turns into text: two values have the same one exactly
when the stored values are the same, whatever the collation, the time zone or the number of digits
that the server likes to print. Pure: no server is asked here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from myha.binlog.types import BLOBS, HEX_ONLY, TEXTS, codec_of
from myha.database.flavours import Flavour
from myha.database.statements import quoted

# Values of a column that may be longer than this are digested by themselves: a row that is put
# together must stay below max_allowed_packet, above which the server makes it NULL.
PLAIN_OCTETS = 65_535

_NUMBERS = {"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "year"}
_FLOATS = {"float", "double"}
_TEMPORAL = {"date", "time", "datetime", "timestamp"}
_TEXTS = TEXTS | {"char", "varchar"}
_BYTES = BLOBS | {"binary", "varbinary"}
_TOKENS = {"uuid", "inet6", "inet4"}
_PLAIN_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_FLOAT_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?")
_HEX = re.compile(r"([0-9A-F]{2})*")
SHOWN_LIMIT = 200


class Kind(Enum):
    """How a column's values are rendered."""

    NUMBER = "number"
    FLOAT = "float"
    INDEX = "index"  # ENUM and SET, by number: their names are part of the definition
    BITS = "bits"
    TEMPORAL = "temporal"
    TOKEN = "token"  # types that print one value in one way
    TEXT = "text"
    BYTES = "bytes"
    RAW = "raw"  # types that only HEX() shows as they are stored
    JSON = "json"


# Rendered as hexadecimal of the bytes when a row is read.
_HEXED = {Kind.TEXT, Kind.BYTES, Kind.RAW, Kind.JSON}
# Values compare and sort in the server as their literals do, so that a key may be walked by them.
_WALKABLE = {Kind.NUMBER, Kind.TEMPORAL, Kind.TOKEN, Kind.TEXT, Kind.BYTES}


@dataclass(frozen=True, slots=True)
class Column:
    """One column as information_schema has it. `octets` is the greatest length of a string."""

    name: str
    data_type: str
    column_type: str
    nullable: bool
    charset: str = ""
    collation: str = ""
    octets: int = 0
    extra: str = ""
    expression: str = ""  # of a generated column

    @property
    def kind(self) -> Kind | None:
        """None for a type that is not known, which nobody can promise to render exactly."""
        one = self.data_type.lower()
        if one in _TEXTS:
            return Kind.TEXT if self.charset else Kind.BYTES
        for names, kind in (
            (_NUMBERS, Kind.NUMBER),
            (_FLOATS, Kind.FLOAT),
            ({"enum", "set"}, Kind.INDEX),
            ({"bit"}, Kind.BITS),
            (_TEMPORAL, Kind.TEMPORAL),
            (_TOKENS, Kind.TOKEN),
            (_BYTES, Kind.BYTES),
            (HEX_ONLY, Kind.RAW),
            ({"json"}, Kind.JSON),
        ):
            if one in names:
                return kind
        return None

    @property
    def virtual(self) -> bool:
        """Computed when it is read: it holds no data, its expression is part of the definition."""
        return "VIRTUAL" in self.extra.upper()

    @property
    def generated(self) -> bool:
        return bool(self.expression) and "DEFAULT_GENERATED" not in self.extra.upper()

    @property
    def versioning(self) -> bool:
        """The start or the end of a row's life in a system-versioned table."""
        return self.expression.upper() in {"ROW START", "ROW END"}

    @property
    def compared(self) -> bool:
        return not self.virtual and not self.versioning

    @property
    def walkable(self) -> bool:
        return self.kind in _WALKABLE

    @property
    def long(self) -> bool:
        """Whether a value may be too long to stand in a row that is put together."""
        return self.kind in {Kind.RAW, Kind.JSON} or self.octets > PLAIN_OCTETS


def tokens(column: Column, flavour: Flavour, *, digest: bool) -> list[str]:
    """What stands for the column in the row that is hashed, as arguments of CONCAT_WS(',', ...).

    Together they can be taken apart again in one way only: a token without a comma, 'N' for NULL
    (CONCAT_WS leaves a NULL itself out), or the length of what follows. `digest` puts the digest of
    the value in its place.
    """
    name = quoted(column.name)
    kind = column.kind
    if digest:
        one = f"SHA2({_as_bytes(column, flavour)}, 256)"
        return [f"IFNULL({one}, 'N')" if column.nullable else one]
    if kind in _HEXED and kind is not Kind.RAW:
        length = f"LENGTH({name})" if kind is not Kind.JSON else f"LENGTH(CAST({name} AS CHAR))"
        first = f"IFNULL({length}, 'N')" if column.nullable else length
        return [first, _as_bytes(column, flavour)]
    shown = {
        Kind.FLOAT: f"CAST({name} AS DOUBLE)",
        Kind.INDEX: f"{name}+0",
        Kind.BITS: f"{name}+0",
        Kind.RAW: f"HEX({name})",
    }.get(kind or Kind.NUMBER, name)
    return [f"IFNULL({shown}, 'N')" if column.nullable else shown]


def _as_bytes(column: Column, flavour: Flavour) -> str:
    """The stored bytes, as an argument of a CONCAT_WS with the flavour's comma, or of SHA2."""
    name = quoted(column.name)
    if column.kind is Kind.TEXT:
        return flavour.text_bytes(name)
    if column.kind is Kind.JSON:
        return f"CAST({name} AS CHAR)"
    if column.kind is Kind.RAW:
        return flavour.raw_bytes(name)
    return name


def as_text(column: Column) -> str:
    """An expression that gives the value as text (strings in hexadecimal), NULL for NULL."""
    name = quoted(column.name)
    if column.kind is Kind.FLOAT:
        return f"CAST(CAST({name} AS DOUBLE) AS CHAR)"
    if column.kind in {Kind.INDEX, Kind.BITS}:
        return f"CAST({name}+0 AS CHAR)"
    if column.kind is Kind.TEXT:
        return f"HEX(CAST({name} AS BINARY))"
    if column.kind is Kind.JSON:
        return f"HEX(CAST(CAST({name} AS CHAR) AS BINARY))"
    if column.kind in {Kind.BYTES, Kind.RAW}:
        return f"HEX({name})"
    return f"CAST({name} AS CHAR)"


def literal(column: Column, value: str | None) -> str:
    """SQL that gives back the value that `as_text` gave. ValueError when it is no such value."""
    if value is None:
        return "NULL"
    kind = column.kind
    if kind in _HEXED:
        if not _HEX.fullmatch(value):
            raise ValueError(f"{column.name}: not hexadecimal")
        if kind in {Kind.TEXT, Kind.JSON}:
            return f"_{column.charset or 'utf8mb4'} X'{value}'"
        return f"X'{value}'"
    if kind is Kind.FLOAT:
        if not _FLOAT_NUMBER.fullmatch(value):
            raise ValueError(f"{column.name}: not a number: {value}")
        return value if "e" in value else f"{value}e0"
    if kind in {Kind.NUMBER, Kind.INDEX, Kind.BITS}:
        if not _PLAIN_NUMBER.fullmatch(value):
            raise ValueError(f"{column.name}: not a number: {value}")
        return value
    if "'" in value or "\\" in value:
        raise ValueError(f"{column.name}: not a plain value: {value}")
    return f"'{value}'"


def equals(column: Column, value: str | None) -> str:
    """A predicate that finds the value by an index where the server can."""
    name = quoted(column.name)
    if column.kind is Kind.FLOAT:
        return f"CAST({name} AS DOUBLE) = {literal(column, value)}"
    return f"{name} = {literal(column, value)}"


def readable(column: Column, value: str | None) -> str:
    """The value for people: text as text, bytes in hexadecimal, long ones cut short."""
    if value is None:
        return "NULL"
    kind = column.kind
    if kind is Kind.INDEX:
        return _labels(column, int(value))
    if kind in {Kind.TEXT, Kind.JSON}:
        text = _decoded(bytes.fromhex(value), column.charset or "utf8mb4")
        if text is not None:
            return _cut(repr(text)) if kind is Kind.TEXT else _cut(text)
    if kind in _HEXED:
        return _cut(f"0x{value}")
    return value


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_LIMIT else f"{text[:SHOWN_LIMIT]}... ({len(text)} long)"


def _decoded(raw: bytes, charset: str) -> str | None:
    codec = codec_of(charset)
    try:
        return raw.decode(codec) if codec else None
    except UnicodeDecodeError:
        return None


def _labels(column: Column, number: int) -> str:
    names = [one.replace("''", "'") for one in re.findall(r"'((?:[^']|'')*)'", column.column_type)]
    if column.data_type.lower() == "enum":
        return repr(names[number - 1]) if 0 < number <= len(names) else "''"
    chosen = [name for bit, name in enumerate(names) if number >> bit & 1]
    return repr(",".join(chosen))


# --- ranges of a key ---------------------------------------------------------------------------

Bound = tuple[str, ...]  # a key's values as `shown` gives them


def key_range(columns: tuple[Column, ...], low: Bound | None, high: Bound | None) -> str:
    """The rows with low < key <= high; None is open. Written so that an index serves it.

    No row constructors: servers of both flavours have scanned whole indexes for `(a, b) > (1, 2)`.
    """
    parts = []
    lead = quoted(columns[0].name)
    if low is not None:
        parts.append(_beyond(columns, low, ">", last=">"))
        if len(columns) > 1:
            parts.append(f"{lead} >= {literal(columns[0], low[0])}")
    if high is not None:
        parts.append(_beyond(columns, high, "<", last="<="))
        if len(columns) > 1:
            parts.append(f"{lead} <= {literal(columns[0], high[0])}")
    return " AND ".join(f"({part})" for part in parts) if parts else "TRUE"


def _beyond(columns: tuple[Column, ...], bound: Bound, strict: str, *, last: str) -> str:
    """`a > 1 OR (a = 1 AND (b > 2 OR ...))`."""
    name, value = quoted(columns[0].name), literal(columns[0], bound[0])
    if len(columns) == 1:
        return f"{name} {last} {value}"
    rest = _beyond(columns[1:], bound[1:], strict, last=last)
    return f"{name} {strict} {value} OR ({name} = {value} AND ({rest}))"
