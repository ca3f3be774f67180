"""Binary log events of both flavours: their headers, and those that name and frame transactions.

Pure: bytes in, values out. Whatever is not understood raises `RewindRefusedError`, since a guess
here would change data. Row changes are read in `row_events`.
"""

import re
import struct
import zlib
from enum import IntEnum
from typing import NamedTuple

from myha.binlog.errors import RewindRefusedError
from myha.core.gtid import uuid_text
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
            uuid_text(body[1:17]), int.from_bytes(body[17:25], "little"), event.server_id, False
        )
    if event.type == EventType.GTID_TAGGED:
        return _tagged_gtid(event)
    raise RewindRefusedError(f"event type {event.type} does not begin a transaction")


def gtid_list(event: RawEvent) -> dict[tuple[int, int], int]:
    """The last number of each domain and server id before a file of a MariaDB binary log."""
    count = int.from_bytes(event.body[:4], "little") & 0x0FFFFFFF  # above it there are flags
    entries = struct.iter_unpack("<IIQ", event.body[4 : 4 + 16 * count])
    return {(domain, server): number for domain, server, number in entries}


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
    origin = uuid_text(bytes(uuid))
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
