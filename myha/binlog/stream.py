"""Reading a server's binary log over its replication protocol, up to its present end.

The account needs REPLICATION SLAVE. The connection is used up by a dump: close it afterwards.
Every wait has the deadline that the caller gives; errors are those of `myha.errors`.
"""

import struct
import time
from collections.abc import Iterator
from typing import Any

import pymysql

from myha.binlog import events
from myha.binlog.events import EventType, RawEvent
from myha.core.gtid import MysqlGtidSet
from myha.errors import ServerError, ServerSilentError

POSITION_LOST = 1236  # what a server answers to a position that it cannot send from
TORN_LOG = "truncated in the middle of event"  # the same, at half an event

_COM_BINLOG_DUMP = 0x12
_COM_BINLOG_DUMP_GTID = 0x1E
_NON_BLOCK = 0x01
_THROUGH_GTID = 0x04
_LEAST_WAIT_SECONDS = 0.05


class TornLogError(ServerError):
    """A file of the binary log ends in the middle of an event."""


def refused(message: str, code: int, text: str) -> ServerError:
    """The error for a stream that the server ended; `text` is what it said."""
    kind = TornLogError if code == POSITION_LOST and TORN_LOG in text else ServerError
    return kind(message, code)


def dump_after_mysql_gtids(
    connection: "pymysql.Connection[Any]",
    excluded: MysqlGtidSet,
    *,
    server_id: int,
    deadline_seconds: float,
) -> Iterator[RawEvent]:
    """All events of a MySQL server's transactions that are not in `excluded`, oldest first."""
    gtids = encode_gtid_set(excluded)
    request = struct.pack("<HIIQI", _NON_BLOCK | _THROUGH_GTID, server_id, 0, 4, len(gtids)) + gtids
    setup = ("SET @source_binlog_checksum=@@global.binlog_checksum",)
    return _dump(connection, setup, _COM_BINLOG_DUMP_GTID, request, deadline_seconds)


def dump_after_mariadb_position(
    connection: "pymysql.Connection[Any]", position: str, *, server_id: int, deadline_seconds: float
) -> Iterator[RawEvent]:
    """All events of a MariaDB server after a GTID position, oldest first."""
    setup = (
        *_MARIADB_SETUP,
        f"SET @slave_connect_state='{position}'",
        "SET @slave_gtid_strict_mode=0",
        "SET @slave_gtid_ignore_duplicates=0",
    )
    request = struct.pack("<IHI", 4, _NON_BLOCK, server_id)
    return _dump(connection, setup, _COM_BINLOG_DUMP, request, deadline_seconds)


def dump_from_file(
    connection: "pymysql.Connection[Any]",
    flavour: str,
    file: str,
    offset: int,
    *,
    server_id: int,
    deadline_seconds: float,
) -> Iterator[RawEvent]:
    """All events from a byte offset of a binary log file to the end of the last file."""
    setup = (
        _MARIADB_SETUP
        if flavour == "mariadb"
        else ("SET @source_binlog_checksum=@@global.binlog_checksum",)
    )
    request = struct.pack("<IHI", offset, _NON_BLOCK, server_id)
    name = file.encode("utf-8", "surrogateescape")
    return _dump(connection, setup, _COM_BINLOG_DUMP, request + name, deadline_seconds)


_MARIADB_SETUP = (
    "SET @master_binlog_checksum=@@global.binlog_checksum",
    "SET @mariadb_slave_capability=4",
)


_PATIENCE = "SET SESSION net_write_timeout = 3600"  # we write to disk between two reads


def encode_gtid_set(gtids: MysqlGtidSet) -> bytes:
    """The set as the dump command takes it; with tags in the format of 8.3 and newer."""
    origins = list(gtids.origins())
    tagged = any(":" in origin for origin, _ in origins)
    count = len(origins)
    parts = [struct.pack("<Q", 1 << 56 | count << 8 | 1 if tagged else count)]
    for origin, intervals in origins:
        uuid, _, tag = origin.partition(":")
        parts.append(bytes.fromhex(uuid.replace("-", "")))
        if tagged:
            parts.append(bytes([len(tag) << 1]) + tag.encode("ascii"))
        parts.append(struct.pack("<Q", len(intervals)))
        parts.extend(struct.pack("<QQ", first, last + 1) for first, last in intervals)
    return b"".join(parts)


def _dump(
    connection: "pymysql.Connection[Any]",
    setup: tuple[str, ...],
    command: int,
    request: bytes,
    deadline_seconds: float,
) -> Iterator[RawEvent]:
    # PyMySQL has no public call for a replication stream; these three names are what it has.
    wire: Any = connection
    ends = time.monotonic() + deadline_seconds
    try:
        with connection.cursor() as cursor:
            for statement in (_PATIENCE, *setup):
                wire._read_timeout = _left(ends)
                cursor.execute(statement)
        wire._execute_command(command, request)
        checksum = False
        while True:
            wire._read_timeout = _left(ends)
            data: bytes = wire._read_packet().get_all_data()
            if data[0] == 0xFE and len(data) < 9:
                return
            event, checksum = _event(data[1:], checksum)
            yield event
    except pymysql.err.MySQLError as error:
        code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        if time.monotonic() >= ends:
            raise ServerSilentError(
                f"the binary log was not read to its end within {deadline_seconds:g} s", code
            ) from error
        text = " ".join(str(error.args[-1] if error.args else error).split())
        raise refused(f"the binary log cannot be read: {text}", code, text) from error


def _event(raw: bytes, checksum: bool) -> tuple[RawEvent, bool]:
    """Parse, and tell whether the next events carry a checksum."""
    kind = raw[4] if len(raw) > 4 else 0
    if kind == EventType.FORMAT_DESCRIPTION:
        return events.parse(raw, checksum=True), events.format_has_checksum(raw)
    if kind == EventType.ROTATE:  # the first one comes before the format description
        return events.parse(raw, checksum=events.has_valid_checksum(raw)), checksum
    return events.parse(raw, checksum=checksum), checksum


def _left(ends: float) -> float:
    return max(_LEAST_WAIT_SECONDS, ends - time.monotonic())
