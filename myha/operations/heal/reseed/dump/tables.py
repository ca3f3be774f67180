"""How a table's rows are asked for and loaded so that they pass as bytes. Pure.

The donor makes one binary string of each row: every value as exact text, or as the bytes that it is
stored in, between separators that no data holds by accident, with NULL and the escape character
escaped. LOAD DATA on the other server takes that apart again. No value passes through this program.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from myha.database.flavours import Flavour
from myha.database.statements import quoted

# Random, of seven bits as the server wants them; the first byte of each is not in it again, so that
# no line or value can begin anywhere but where we say so.
START = bytes.fromhex("01 57 4e 1a 60 33 2f 48 55 61 1c 06 7a 73 39 2d")
SEPARATOR = bytes.fromhex("02 0b 74 36 49 5d 27 10")
END = bytes.fromhex("03 68 6a 3d 47 12 0f 51 7c 25 78 1e")
ESCAPE = b"\x1b"
LEAST_ROW_BYTES = len(START) + len(END) + 1

# Stored as bytes: taken as they are, without a conversion between character sets.
_BYTES = frozenset(
    {
        *("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "json"),
        *("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "bit", "vector"),
        *("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring"),
        *("multipolygon", "geomcollection", "geometrycollection", "inet4", "inet6", "uuid"),
    }
)
_INEXACT = frozenset({"float", "double", "real"})


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str  # information_schema's DATA_TYPE, lower case


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose rows are to be copied; generated columns are not among `columns`."""

    schema: str
    name: str
    columns: tuple[Column, ...]
    has_key: bool
    size_bytes: int

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def select(table: Table, where: str = "") -> str:
    """The query that gives each row as one string; in the order in which the rows are stored."""
    separator = f",{_hex(SEPARATOR)},"
    values = separator.join(_value(column) for column in table.columns)
    index = " FORCE INDEX (PRIMARY)" if table.has_key else ""
    condition = f" WHERE {where}" if where else ""
    return (
        f"SELECT CONCAT({_hex(START)},{values},{_hex(END)}) "
        f"FROM {quoted(table.schema, table.name)}{index}{condition}"
    )


def load_words(flavour: Flavour, table: Table) -> dict[str, str]:
    """What fills in the statement `load` of sql/<flavour>/reseed.sql."""
    targets, settings = _targets(flavour, table.columns)
    return {
        "table": quoted(table.schema, table.name),
        "separator": _hex(SEPARATOR),
        "escape": _hex(ESCAPE),
        "start": _hex(START),
        "end": _hex(END),
        "columns": ", ".join(targets),
        "settings": f" SET {', '.join(settings)}" if settings else "",
    }


def _value(column: Column) -> str:
    name = quoted(column.name)
    if column.type in _BYTES:
        # A byte string that holds the escape character or not is compared byte by byte: cheap.
        text = f"REPLACE(CAST({name} AS BINARY),{_hex(ESCAPE)},{_hex(ESCAPE * 2)})"
    elif column.type in _INEXACT:
        text = f"CAST(CAST({name} AS DOUBLE) AS CHAR)"  # a FLOAT as such has six digits only
    else:
        text = f"CAST({name} AS CHAR)"
    # Not IFNULL: a value that is too long for the server becomes NULL, and so must the whole row,
    # which is noticed.
    return f"IF({name} IS NULL,{_hex(ESCAPE + b'N')},{text})"


def _targets(flavour: Flavour, columns: Sequence[Column]) -> tuple[list[str], list[str]]:
    targets, settings = [], []
    for number, column in enumerate(columns):
        if flavour.has_json_type and column.type == "json":
            # The server takes no JSON from a binary string.
            targets.append(f"@json{number}")
            settings.append(f"{quoted(column.name)} = CONVERT(@json{number} USING utf8mb4)")
        else:
            targets.append(quoted(column.name))
    return targets, settings


def _hex(content: bytes) -> str:
    return f"0x{content.hex()}"
