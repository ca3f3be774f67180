"""Binary log events of both flavours: what is needed to name, count and invert row changes.

Pure: bytes in, values out. A value of a column is never decoded; only the length of each row image
matters, and it follows from the table map for every column type. Whatever is not understood raises
`RewindRefusedError`, since a guess here would change data.
"""

import re
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from myha.binlog.errors import RewindRefusedError
from myha.database.flavours.base import Gtid

HEADER = struct.Struct("<IBIIIH")
HEADER_BYTES = HEADER.size
CHECKSUM_BYTES = 4
MAGIC = b"\xfebin"
IGNORABLE_FLAG = 0x80

STATEMENT_END = 0x01
NO_FOREIGN_KEY_CHECKS = 0x02


class EventType(IntEnum):
    """The event types that are told apart; the rest are refused inside a transaction."""

    QUERY = 2
    STOP = 3
    ROTATE = 4
    FORMAT_DESCRIPTION = 15
    XID = 16
    TABLE_MAP = 19
    WRITE_ROWS_V1 = 23
    UPDATE_ROWS_V1 = 24
    DELETE_ROWS_V1 = 25
    HEARTBEAT = 27
    ROWS_QUERY = 29
    WRITE_ROWS = 30
    UPDATE_ROWS = 31
    DELETE_ROWS = 32
    GTID = 33
    ANONYMOUS_GTID = 34
    PREVIOUS_GTIDS = 35
    XA_PREPARE = 38
    PARTIAL_UPDATE_ROWS = 39
    TRANSACTION_PAYLOAD = 40
    HEARTBEAT_V2 = 41
    GTID_TAGGED = 42
    MARIADB_ANNOTATE_ROWS = 160
    MARIADB_BINLOG_CHECKPOINT = 161
    MARIADB_GTID = 162
    MARIADB_GTID_LIST = 163
    MARIADB_START_ENCRYPTION = 164
    MARIADB_QUERY_COMPRESSED = 165


WRITES = frozenset({EventType.WRITE_ROWS_V1, EventType.WRITE_ROWS})
UPDATES = frozenset({EventType.UPDATE_ROWS_V1, EventType.UPDATE_ROWS})
DELETES = frozenset({EventType.DELETE_ROWS_V1, EventType.DELETE_ROWS})
ROWS = WRITES | UPDATES | DELETES
GTIDS = frozenset({EventType.GTID, EventType.GTID_TAGGED, EventType.MARIADB_GTID})
MARIADB_COMPRESSED = frozenset(range(165, 172))
_ROWS_V2 = frozenset({EventType.WRITE_ROWS, EventType.UPDATE_ROWS, EventType.DELETE_ROWS})


class RawEvent(NamedTuple):
    """One event as it came: `body` is without header and checksum, `raw` is all of it."""

    type: int
    timestamp: int  # seconds since the epoch, by the clock of the server that wrote it
    server_id: int
    log_pos: int  # the position after the event in its file, in bytes
    flags: int
    body: bytes
    raw: bytes


def parse(raw: bytes, *, checksum: bool) -> RawEvent:
    """Split an event; raises RewindRefusedError when its length or its CRC32 is wrong."""
    if len(raw) < HEADER_BYTES:
        raise RewindRefusedError(f"an event of {len(raw)} bytes in the binary log is too short")
    timestamp, kind, server_id, size, log_pos, flags = HEADER.unpack_from(raw)
    if size != len(raw):
        raise RewindRefusedError(f"an event at {log_pos} states {size} bytes and has {len(raw)}")
    end = len(raw)
    if checksum:
        end -= CHECKSUM_BYTES
        if not has_valid_checksum(raw):
            raise RewindRefusedError(f"the event that ends at {log_pos} has a wrong checksum")
    return RawEvent(kind, timestamp, server_id, log_pos, flags, raw[HEADER_BYTES:end], raw)


def has_valid_checksum(raw: bytes) -> bool:
    end = len(raw) - CHECKSUM_BYTES
    return end >= HEADER_BYTES and zlib.crc32(raw[:end]) == int.from_bytes(raw[end:], "little")


def build(event: RawEvent, *, kind: int, body: bytes, checksum: bool) -> bytes:
    """The bytes of an event with the header of `event`, another type and another body."""
    size = HEADER_BYTES + len(body) + (CHECKSUM_BYTES if checksum else 0)
    head = HEADER.pack(event.timestamp, kind, event.server_id, size, event.log_pos, event.flags)
    data = head + body
    return data + zlib.crc32(data).to_bytes(4, "little") if checksum else data


def format_has_checksum(raw: bytes) -> bool:
    """Whether the events after this format description carry a CRC32.

    The description itself always ends with the algorithm and a checksum.
    """
    return raw[-CHECKSUM_BYTES - 1] == 1


def rotate_target(event: RawEvent) -> tuple[str, int]:
    """File and position that a rotate event names, whether or not it carries a checksum."""
    body = event.raw[HEADER_BYTES:]
    if has_valid_checksum(event.raw):
        body = body[:-CHECKSUM_BYTES]
    return body[8:].decode("utf-8", "surrogateescape"), int.from_bytes(body[:8], "little")


def query_text(event: RawEvent) -> bytes:
    """The statement of a query event."""
    schema_length = event.body[8]
    status_length = int.from_bytes(event.body[11:13], "little")
    return event.body[13 + status_length + schema_length + 1 :]


def gtid(event: RawEvent) -> Gtid:
    """The name of the transaction that this event begins."""
    body = event.body
    if event.type == EventType.MARIADB_GTID:
        number, domain, flags = struct.unpack_from("<QIB", body)
        standalone, ddl, prepared, completed = flags & 1, flags & 32, flags & 64, flags & 128
        return Gtid(domain, number, event.server_id, bool(standalone | ddl | prepared | completed))
    if event.type == EventType.GTID:
        return Gtid(
            _uuid(body[1:17]), int.from_bytes(body[17:25], "little"), event.server_id, False
        )
    if event.type == EventType.GTID_TAGGED:
        return _tagged_gtid(event)
    raise RewindRefusedError(f"event type {event.type} does not begin a transaction")


def gtid_list(event: RawEvent) -> dict[tuple[int, int], int]:
    """The last number of each domain and server id before a file of a MariaDB binary log."""
    count = int.from_bytes(event.body[:4], "little") & 0x0FFFFFFF  # above it there are flags
    entries = struct.iter_unpack("<IIQ", event.body[4 : 4 + 16 * count])
    return {(domain, server): number for domain, server, number in entries}


def _uuid(data: bytes) -> str:
    text = data.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _tagged_gtid(event: RawEvent) -> Gtid:
    """The serialized form: version, size, last known field, then numbered fields, all varlen."""
    data = event.body
    at = 0
    for _ in range(3):
        _, at = _varlen(data, at)
    uuid = bytearray()
    number, tag = 0, ""
    while at < len(data):
        field, at = _varlen(data, at)
        value, at = _varlen(data, at)
        if field == 1:  # the first byte of the UUID is read already
            uuid.append(value)
            for _ in range(15):
                value, at = _varlen(data, at)
                uuid.append(value)
        elif field == 2:  # signed, but never negative: the sign is the lowest bit
            number = value >> 1
        elif field == 3:
            tag = data[at : at + value].decode("ascii")
            break
    if len(uuid) != 16 or number < 1:
        raise RewindRefusedError(f"the tagged GTID event at {event.log_pos} cannot be read")
    origin = _uuid(bytes(uuid))
    return Gtid(f"{origin}:{tag}" if tag else origin, number, event.server_id, False)


def _varlen(data: bytes, at: int) -> tuple[int, int]:
    """A number whose first byte says by its trailing one bits how many bytes follow."""
    first = data[at]
    more = 0
    while more < 8 and first >> more & 1:
        more += 1
    following = int.from_bytes(data[at + 1 : at + 1 + more], "little")
    low_bits = max(0, 7 - more)
    return first >> (more + 1) | following << low_bits, at + 1 + more


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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


_HARMLESS = re.compile(rb"\s*(BEGIN|COMMIT|SAVEPOINT\s.*)\s*", re.IGNORECASE | re.DOTALL)


def is_harmless_query(event: RawEvent) -> bool:
    """True for the queries that frame a transaction; every other one may change data."""
    return _HARMLESS.fullmatch(query_text(event)) is not None


_OPENING = re.compile(rb"\s*(BEGIN\s*$|XA\s+(START|BEGIN)\b)", re.IGNORECASE)


def opens_group(first: RawEvent, second: RawEvent) -> bool:
    """Whether a transaction that begins with these two events goes on until an event that ends it.

    Otherwise it is a single statement. MariaDB says so in its GTID event and leaves BEGIN out.
    """
    if first.type == EventType.MARIADB_GTID:
        standalone = first.body[12] & 1
        return not standalone
    return second.type == EventType.QUERY and _OPENING.match(query_text(second)) is not None
