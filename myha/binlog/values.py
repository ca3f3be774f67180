"""The columns of a raw row image as exact Python values, for every column type of both flavours.

Python values by column type:

- integers, BIT, YEAR (the year itself, 0 for 0000), ENUM (the member's number, 0 for the error
  value) and SET (one bit for each member): int
- DECIMAL: Decimal with all its digits; FLOAT and DOUBLE: the float that is stored
- DATE, TIME, DATETIME: text as the server prints it, zero dates included; TIMESTAMP: such text in
  UTC; MariaDB's UUID, INET4, INET6: their text
- CHAR, VARCHAR, TEXT: bytes in the column's character set; BINARY, VARBINARY, BLOB, GEOMETRY (SRID
  and WKB), VECTOR: bytes; MariaDB's JSON is such text
- MySQL's JSON: `myha.binlog.mysql_json.Json`
- NULL: None

The meaning of the bytes is the table's as it is now (`ColumnFact`) with the table map's own types:
where the two do not fit, DecodeError says that the table was altered since.
"""

import ipaddress
import re
import struct
import uuid
import zlib
from collections.abc import Callable, Sequence, Set
from decimal import Decimal
from typing import TypeAlias

from myha.binlog import packed
from myha.binlog.columns import ColumnFact
from myha.binlog.errors import DecodeError
from myha.binlog.mysql_json import Json
from myha.binlog.row_events import TableMap
from myha.binlog.types import BLOBS, GEOMETRIES, TEXTS

Value: TypeAlias = int | float | Decimal | str | bytes | Json | None
Row: TypeAlias = tuple[Value, ...]
_Convert: TypeAlias = Callable[[bytes], Value]

_STRINGS = {"char", "binary", "inet4", "inet6", "uuid"}
_TYPES: dict[int, Set[str]] = {
    1: {"tinyint"},
    2: {"smallint"},
    3: {"int"},
    4: {"float"},
    5: {"double"},
    8: {"bigint"},
    9: {"mediumint"},
    10: {"date"},
    13: {"year"},
    14: {"date"},
    15: {"varchar", "varbinary", "vector"},
    16: {"bit"},
    17: {"timestamp"},
    18: {"datetime"},
    19: {"time"},
    140: TEXTS | BLOBS,
    141: {"varchar", "varbinary"},
    242: {"vector"},
    245: {"json"},
    246: {"decimal"},
    247: {"enum"},
    248: {"set"},
    249: TEXTS | BLOBS,
    250: TEXTS | BLOBS,
    251: TEXTS | BLOBS,
    252: TEXTS | BLOBS | {"vector"},
    253: {"varchar", "varbinary"},
    254: _STRINGS,
    255: GEOMETRIES,
}
"""A type in a table map, and what information_schema calls a column of it."""

_HIDDEN = re.compile(r"DB_ROW_HASH_\d+|row_start|row_end")
_NO_METADATA = frozenset({1, 2, 3, 6, 8, 9, 10, 13, 14})
_TWO_BYTES = frozenset({15, 16, 141, 246, 247, 248, 253, 254})
_INTEGERS = frozenset({1, 2, 3, 8, 9})


class RowDecoder:
    """Decodes row images of one table: made once, called for every image."""

    def __init__(self, table: TableMap, columns: Sequence[ColumnFact]) -> None:
        """Raises DecodeError when the columns are not those that the table map was written for.

        What MariaDB hides behind the last column (the hash of a long unique key, the period of a
        versioned table) is passed over.
        """
        logged = len(table.types)
        self.table = table
        self.columns = tuple(columns)
        names = tuple(column.name for column in columns)
        hidden = table.columns[len(columns) :]
        if len(columns) > logged or (
            len(columns) < logged and not (hidden and all(map(_HIDDEN.fullmatch, hidden)))
        ):
            raise DecodeError(
                f"{table.name} has {len(columns)} columns now and had {logged} when the binary log"
                " was written: it was altered since, or has hidden columns"
            )
        if table.columns and table.columns[: len(columns)] != names:
            raise DecodeError(
                f"the columns of {table.name} had other names when the binary log was written:"
                " it was altered since"
            )
        self._null_bytes = (logged + 7) // 8
        shown = map(_converter, _types(table), columns)
        self._readers = tuple(zip(table.sizes, (*shown, *[_same] * len(hidden)), strict=True))

    def __call__(self, image: bytes) -> Row:
        """The values in the order of the columns; raises DecodeError for an image that is cut."""
        at = self._null_bytes
        nulls = int.from_bytes(image[:at], "little")
        values: list[Value] = []
        try:
            for size, convert in self._readers:
                if nulls & 1:
                    values.append(None)
                else:
                    end = at + size
                    if size < 0:
                        at -= size
                        end = at + int.from_bytes(image[at + size : at], "little")
                    values.append(convert(image[at:end]))
                    at = end
                nulls >>= 1
        except (IndexError, ValueError, struct.error, zlib.error, ArithmeticError) as error:
            column = [*(one.name for one in self.columns), *self.table.columns][len(values)]
            raise DecodeError(f"{self.table.name}.{column}: {error}") from error
        if at != len(image):
            raise DecodeError(f"a row image of {self.table.name} is not as long as its values")
        return tuple(values[: len(self.columns)])


def _types(table: TableMap) -> list[tuple[int, int, int]]:
    """Each column's type and its metadata as (low, high); ENUM and SET as types of their own."""
    found = []
    at = 0
    for kind in table.types:
        width = 0 if kind in _NO_METADATA else 2 if kind in _TWO_BYTES else 1
        low, high = (*table.metadata[at : at + width], 0, 0)[:2]
        at += width
        found.append((low, 0, high) if kind == 254 and low in {247, 248} else (kind, low, high))
    return found


def _converter(typed: tuple[int, int, int], column: ColumnFact) -> _Convert:
    kind, low, high = typed
    if column.data_type not in _TYPES.get(kind, set()):
        raise DecodeError(
            f"column {column.name} is {column.type} now and was of type {kind} when the binary log"
            " was written: it was altered since"
        )
    if kind in _INTEGERS:
        return _unsigned if column.unsigned else _signed
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind in {15, 242, 249, 250, 251, 252, 253, 255}:
        return _same
    if kind == 246:
        return lambda data: packed.decimal(data, low, high)
    if kind in _TIMES:
        convert = _TIMES[kind]
        return lambda data: convert(data, low)
    return _string(column, low, high)


def _string(column: ColumnFact, low: int, high: int) -> _Convert:
    """A type 254: what is logged has lost its trailing zero bytes or spaces."""
    if column.data_type == "char":
        return _same
    if column.data_type == "binary":
        length = high | ((low & 0x30) ^ 0x30) << 4
        return lambda data: data.ljust(length, b"\0")
    return {"inet4": _inet4, "inet6": _inet6, "uuid": _uuid}[column.data_type]


def _same(data: bytes) -> Value:
    return data


def _signed(data: bytes) -> Value:
    return int.from_bytes(data, "little", signed=True)


def _unsigned(data: bytes) -> Value:
    return int.from_bytes(data, "little")


def _big_endian(data: bytes) -> Value:
    return int.from_bytes(data, "big")


def _year(data: bytes) -> Value:
    return 1900 + data[0] if data[0] else 0


def _float(data: bytes) -> Value:
    (number,) = struct.unpack("<f", data)
    return float(number)


def _double(data: bytes) -> Value:
    (number,) = struct.unpack("<d", data)
    return float(number)


def _inet4(data: bytes) -> Value:
    return str(ipaddress.IPv4Address(data.ljust(4, b"\0")))


def _inet6(data: bytes) -> Value:
    return str(ipaddress.IPv6Address(data.ljust(16, b"\0")))


def _uuid(data: bytes) -> Value:
    """MariaDB stores the time part of versions 1 to 5 last, so that they sort by their node."""
    data = data.ljust(16, b"\0")
    if data[6] & 0x80 and 0 < data[8] < 0x60:
        data = data[12:16] + data[10:12] + data[8:10] + data[6:8] + data[0:6]
    return str(uuid.UUID(bytes=data))


def _uncompressed(data: bytes) -> Value:
    """MariaDB's COMPRESSED: method, whether bare, and length's length; the length; the deflate."""
    if not data:
        return b""
    method = data[0]
    if method == 0:
        return data[1:]
    if method >> 4 != 8:
        raise DecodeError(f"a compressed column has the unknown method {method >> 4}")
    start = 1 + (method & 7)
    wanted = int.from_bytes(data[1:start], "big")
    plain = zlib.decompressobj(-15 if method & 8 else 15).decompress(data[start:], wanted + 1)
    if len(plain) != wanted:
        raise DecodeError(f"a compressed column holds {len(plain)} bytes and not {wanted}")
    return plain


_PLAIN: dict[int, _Convert] = {
    4: _float,
    5: _double,
    10: packed.date,
    13: _year,
    14: packed.date,
    16: _big_endian,
    140: _uncompressed,
    141: _uncompressed,
    245: Json,
    247: _unsigned,
    248: _unsigned,
}
_TIMES: dict[int, Callable[[bytes, int], Value]] = {
    17: packed.timestamp2,
    18: packed.datetime2,
    19: packed.time2,
}
