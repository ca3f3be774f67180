"""Table maps and row changes of both flavours: what is needed to name, count and invert them.

Pure: bytes in, values out. A value of a column is never decoded; only the length of each row image
matters, and it follows from the table map for every column type. Whatever is not understood raises
`RewindRefusedError`, since a guess here would change data.
"""

from myha.binlog.errors import RewindRefusedError
from myha.binlog.events import UPDATES, WRITES, EventType, RawEvent
from myha.core.values import value

_ROWS_V2 = frozenset({EventType.WRITE_ROWS, EventType.UPDATE_ROWS, EventType.DELETE_ROWS})


@value(frozen=True, slots=True)
class TableMap:
    """A table as the row events after it mean it.

    `sizes` has one number per column: bytes of a value, or minus the bytes of a length prefix.
    `columns` are the names, where the server logs them (binlog_row_metadata=FULL), else empty.
    """

    table_id: int
    schema: str
    table: str
    sizes: tuple[int, ...]
    columns: tuple[str, ...]
    event: RawEvent
    types: bytes = b""  # the type of each column, and what it says about it, as they were logged
    metadata: bytes = b""

    @property
    def name(self) -> str:
        return f"{self.schema}.{self.table}"

    def image_end(self, data: bytes, at: int) -> int:
        """Where the row image that begins at `at` ends."""
        null_bytes = (len(self.sizes) + 7) // 8
        nulls = int.from_bytes(data[at : at + null_bytes], "little")
        at += null_bytes
        for size in self.sizes:
            if not nulls & 1:
                at += size if size >= 0 else int.from_bytes(data[at : at - size], "little") - size
            nulls >>= 1
        return at


def table_map(event: RawEvent) -> TableMap:
    """Read a table map; raises RewindRefusedError for a column whose length is not known."""
    body = event.body
    table_id = int.from_bytes(body[:6], "little")
    at = 8
    schema = body[at + 1 : at + 1 + body[at]]
    at += len(schema) + 2
    table = body[at + 1 : at + 1 + body[at]]
    at += len(table) + 2
    columns, at = packed_integer(body, at)
    types = body[at : at + columns]
    length, at = packed_integer(body, at + columns)
    name = f"{schema.decode()}.{table.decode()}"
    metadata = body[at : at + length]
    sizes = _sizes(name, types, metadata)
    names = _column_names(body, at + length + (columns + 7) // 8)
    return TableMap(table_id, schema.decode(), table.decode(), sizes, names, event, types, metadata)


def _column_names(body: bytes, at: int) -> tuple[str, ...]:
    """From the optional metadata: type, length, value, and so on to the end."""
    while at < len(body):
        kind = body[at]
        length, at = packed_integer(body, at + 1)
        if kind == _COLUMN_NAMES:
            names = []
            end = at + length
            while at < end:
                size, at = packed_integer(body, at)
                names.append(body[at : at + size].decode("utf-8", "replace"))
                at += size
            return tuple(names)
        at += length
    return ()


def packed_integer(data: bytes, at: int) -> tuple[int, int]:
    """A length-encoded integer and where it ends."""
    first = data[at]
    if first < 251:
        return first, at + 1
    width = {252: 2, 253: 3, 254: 8}.get(first, 0)
    if not width:
        raise RewindRefusedError(f"the byte {first} in an event is no length")
    return int.from_bytes(data[at + 1 : at + 1 + width], "little"), at + 1 + width


_FIXED = {1: 1, 2: 2, 3: 4, 6: 0, 8: 8, 9: 3, 10: 3, 13: 1, 14: 3}
"""TINY, SHORT, LONG, NULL, LONGLONG, INT24, DATE, YEAR, NEWDATE: bytes, without metadata."""

_TIMES = {17: 4, 18: 5, 19: 3}
"""TIMESTAMP2, DATETIME2, TIME2: bytes without the fraction, whose digits are the metadata."""

_PREFIXED = frozenset({140, 242, 245, 249, 250, 251, 252, 255})
"""MariaDB's compressed BLOB, VECTOR, JSON, BLOBs, GEOMETRY: the metadata is the prefix's bytes."""

_COLUMN_NAMES = 4  # in the optional metadata of a table map

_OLD_TIMES = frozenset({7, 11, 12})
_DECIMAL_BYTES = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)


def _sizes(name: str, types: bytes, meta: bytes) -> tuple[int, ...]:
    sizes = []
    at = 0
    for number, kind in enumerate(types, 1):
        if kind in _FIXED:
            sizes.append(_FIXED[kind])
        elif kind in _PREFIXED:
            sizes.append(-meta[at])
            at += 1
        elif kind in _TIMES:
            sizes.append(_TIMES[kind] + (meta[at] + 1) // 2)
            at += 1
        elif kind in (4, 5):  # FLOAT, DOUBLE
            sizes.append(meta[at])
            at += 1
        elif kind in (15, 16, 141, 246, 247, 248, 253, 254):
            sizes.append(_size_by_two_bytes(kind, meta[at], meta[at + 1]))
            at += 2
        elif kind in _OLD_TIMES:  # without metadata, and with a fraction in old MariaDB tables
            raise RewindRefusedError(
                f"column {number} of {name} is in the old temporal format, whose length the binary"
                " log does not tell"
            )
        else:
            raise RewindRefusedError(f"column {number} of {name} has the unknown type {kind}")
    if at != len(meta):
        raise RewindRefusedError(f"the table map of {name} has metadata that was not understood")
    return tuple(sizes)


def _size_by_two_bytes(kind: int, low: int, high: int) -> int:
    if kind in (15, 141, 253):  # VARCHAR, compressed VARCHAR, VAR_STRING
        return -1 if low + 256 * high < 256 else -2
    if kind == 16:  # BIT
        return high + (1 if low else 0)
    if kind == 246:  # DECIMAL
        return _decimal_bytes(low - high) + _decimal_bytes(high)
    if kind in (247, 248) or low in (247, 248):  # ENUM, SET
        return high
    length = high  # CHAR, BINARY: two bits of the length hide in the type
    if low & 0x30 != 0x30:
        length |= ((low & 0x30) ^ 0x30) << 4
    return -1 if length < 256 else -2


def _decimal_bytes(digits: int) -> int:
    return digits // 9 * 4 + _DECIMAL_BYTES[digits % 9]


@value(frozen=True, slots=True)
class RowChanges:
    """The rows of one event: (before, after) images, None where there is none."""

    table: TableMap
    images: tuple[tuple[bytes | None, bytes | None], ...]
    event: RawEvent


def rows_table_id(event: RawEvent) -> int:
    return int.from_bytes(event.body[:6], "little")


def row_changes(event: RawEvent, table: TableMap) -> RowChanges:
    """Split a row event into its images; raises RewindRefusedError when one is not complete."""
    body = event.body
    at = 8
    if event.type in _ROWS_V2:  # extra data: partitions, or of another engine
        at += int.from_bytes(body[8:10], "little")
    columns, at = packed_integer(body, at)
    if columns != len(table.sizes):
        raise RewindRefusedError(
            f"{table.name}: {columns} columns where its map has another number"
        )
    width = (columns + 7) // 8
    all_columns = (1 << columns) - 1
    for _ in range(2 if event.type in UPDATES else 1):
        if int.from_bytes(body[at : at + width], "little") & all_columns != all_columns:
            raise RewindRefusedError(
                f"{table.name}: the binary log has partial row images (binlog_row_image is not"
                " FULL, or MariaDB of 11 or newer leaves out generated columns)"
            )
        at += width
    images: list[tuple[bytes | None, bytes | None]] = []
    while at < len(body):
        middle = table.image_end(body, at)
        first, end = body[at:middle], middle
        if event.type in UPDATES:
            end = table.image_end(body, middle)
            images.append((first, body[middle:end]))
        else:
            images.append((None, first) if event.type in WRITES else (first, None))
        at = end
    if at != len(body):
        raise RewindRefusedError(f"{table.name}: a row event could not be split into its rows")
    return RowChanges(table, tuple(images), event)
