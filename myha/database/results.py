"""Reading results as PyMySQL does, but for what it finds out about their columns again each time.

A supervisor asks the same few questions all the time, and an answer has up to a hundred columns and
one row: most of what it costs PyMySQL to read one is to take the columns' descriptions apart. Here
descriptions that have come before, byte by byte, are known; and where a statement is answered by
the same ones as the last time they are compared as a whole, and the rows taken from what has come
with them. Whatever does not look so is left to PyMySQL.
"""

from __future__ import annotations

from typing import Any

from pymysql import connections
from pymysql.constants import COMMAND, CR, SERVER_STATUS
from pymysql.err import OperationalError
from pymysql.protocol import MysqlPacket

from myha.core.values import value

KNOWN_LIMIT = 256  # kinds of results; those of a supervisor are some dozens
# Statements of no more bytes: each pair's account is part of some, and there are hundreds of pairs.
STATEMENTS_LIMIT, STATEMENT_BYTES = 2048, 4096
# What the connection's reader holds at most; a longer answer is read packet by packet.
BUFFER_BYTES = 8192
EOF, NULL, TWO_BYTES = 0xFE, 0xFB, 0xFC


@value(frozen=True, slots=True)
class _Head:
    """What comes before the rows. `packets` with the first of all, unless there are hundreds."""

    packets: bytes
    fields: Any  # this one and the next two as PyMySQL has them
    converters: Any
    description: Any


# For all connections: nobody changes a value.
_known: dict[bytes, _Head] = {}  # by the packets
_heads: dict[bytes, _Head] = {}  # by the statement that was answered so the last time


# Any: their stubs leave out the parts that are needed here.
_Connection: Any = connections.Connection
_MySQLResult: Any = connections.MySQLResult


class ReadingConnection(_Connection):  # type: ignore[misc]
    """A connection whose buffered results know the columns that have come before."""

    _current_timeout: Any  # PyMySQL's
    asked = b""  # the statement whose result comes next; empty for another command

    def _execute_command(self, command: int, sql: Any) -> None:
        statement = sql.encode(self.encoding) if isinstance(sql, str) else bytes(sql)
        self.asked = statement if command == COMMAND.COM_QUERY else b""
        super()._execute_command(command, statement)

    def _read_query_result(self, unbuffered: bool = False) -> Any:  # PyMySQL's
        if unbuffered:
            return super()._read_query_result(unbuffered=True)
        self._result: Any = None
        result = _Result(self)
        result.read()
        self._result = result
        if result.server_status is not None:
            self.server_status = result.server_status
        return result.affected_rows

    def peeked(self, least: int) -> bytes:
        """What has come, or comes first, without taking it. Raises as reading does."""
        if self._current_timeout != self._read_timeout:
            self._sock.settimeout(self._read_timeout)
            self._current_timeout = self._read_timeout
        try:
            found: bytes = self._rfile.peek(least)
        except OSError as error:
            self._force_close()
            raise OperationalError(
                CR.CR_SERVER_LOST, f"Lost connection to MySQL server during query ({error})"
            ) from error
        return found


class _Result(_MySQLResult):  # type: ignore[misc]
    connection: Any
    # PyMySQL's finalizer reads it, also where Ctrl-C came before __init__.
    unbuffered_active = False

    def read(self) -> None:
        if not self._read_known():
            super().read()

    def _read_known(self) -> bool:
        """Take it as a whole where all of it has come, and its columns are those of the last time.

        Else nothing has been taken, and it is for PyMySQL to read.
        """
        connection = self.connection
        head = _heads.get(connection.asked)
        if head is None or connection._next_seq_id != 1:
            return False
        size = len(head.packets)
        data = connection.peeked(size)
        if not data.startswith(head.packets):
            return False
        number = (len(head.fields) + 3) % 256  # after the first, one for each column, and the end
        rows, at, number = _rows(data, size, number, head.converters)
        if rows is None:
            return False
        connection._read_bytes(at)
        connection._next_seq_id = number
        self._take(head)
        self.field_count = len(head.fields)
        self.rows, self.affected_rows = rows, len(rows)
        self.warning_count = int.from_bytes(data[at - 4 : at - 2], "little")
        self.has_next = False
        self.connection = None
        return True

    def _get_descriptions(self) -> None:
        connection = self.connection
        packets = [self._packet() for _ in range(self.field_count)]
        end = self._packet()
        if end[4] != EOF:
            raise OperationalError(CR.CR_MALFORMED_PACKET, "the columns of a result do not end")
        count = _counted(self.field_count)
        key = b"".join((count, *packets, end))
        head = _known.get(key)
        if head is None:
            head = _Head(key, *self._understood(packets))
            if len(_known) >= KNOWN_LIMIT:
                _known.clear()
            _known[key] = head
        if count and len(key) < BUFFER_BYTES and 0 < len(connection.asked) <= STATEMENT_BYTES:
            if len(_heads) >= STATEMENTS_LIMIT:
                _heads.clear()
            _heads[connection.asked] = head
        self._take(head)

    def _take(self, head: _Head) -> None:
        self.fields, self.converters, self.description = (
            head.fields,
            head.converters,
            head.description,
        )

    def _packet(self) -> bytes:
        """The next one, header included. Raises as PyMySQL does."""
        connection = self.connection
        header: bytes = connection._read_bytes(4)
        if header[3] != connection._next_seq_id:
            connection._force_close()
            raise OperationalError(CR.CR_SERVER_LOST, "packets of a result are missing")
        connection._next_seq_id = (header[3] + 1) % 256
        body: bytes = connection._read_bytes(int.from_bytes(header[:3], "little"))
        return header + body

    def _understood(self, packets: list[bytes]) -> tuple[Any, Any, Any]:
        """What PyMySQL makes of them."""
        connection = self.connection
        self.connection = _Again(connection, packets)
        try:
            super()._get_descriptions()
        finally:
            self.connection = connection
        return self.fields, self.converters, self.description


def _counted(columns: int) -> bytes:
    """The packet that says how many columns there are, the first of a result; empty for hundreds,
    whose packets are counted from 0 again."""
    return bytes((1, 0, 0, 1, columns)) if columns < 200 else b""


def _rows(
    data: bytes, at: int, number: int, converters: Any
) -> tuple[tuple[tuple[Any, ...], ...] | None, int, int]:
    """The rows that begin there, where their end is, and the number of the packet after it; None
    when not all of them are in the data, or something else is."""
    rows: list[tuple[Any, ...]] = []
    total = len(data)
    while at + 5 <= total:
        size = int.from_bytes(data[at : at + 3], "little")
        end = at + 4 + size
        if end > total or data[at + 3] != number:
            break
        number = (number + 1) % 256
        if data[at + 4] == EOF and size == 5:
            status = int.from_bytes(data[end - 2 : end], "little")
            more = status & SERVER_STATUS.SERVER_MORE_RESULTS_EXISTS
            return (None if more else tuple(rows)), end, number
        row = _row(data, at + 4, end, converters)
        if row is None:
            break
        rows.append(row)
        at = end
    return None, at, number


def _row(data: bytes, at: int, end: int, converters: Any) -> tuple[Any, ...] | None:
    """The values of one row, converted; None when it is none, or has one of 64 KiB and more."""
    row: list[Any] = []
    for encoding, converter in converters:
        if at >= end:
            return None
        size = data[at]
        at += 1
        if size == NULL:
            row.append(None)
            continue
        if size > NULL:
            if size != TWO_BYTES:
                return None
            size = int.from_bytes(data[at : at + 2], "little")
            at += 2
        value: Any = data[at : at + size]
        at += size
        if encoding is not None:
            value = value.decode(encoding)
        row.append(value if converter is None else converter(value))
    return tuple(row) if at == end else None


class _Again:
    """What PyMySQL asks a connection for, of packets that have been read already."""

    def __init__(self, connection: ReadingConnection, packets: list[bytes]) -> None:
        self.use_unicode = connection.use_unicode
        self.encoding = connection.encoding
        self.decoders = connection.decoders
        self._left = iter(packets)

    def _read_packet(self, kind: Any = MysqlPacket) -> Any:
        packet = next(self._left, None)
        return _END if packet is None else kind(packet[4:], self.encoding)


_END = MysqlPacket(b"\xfe\0\0\0\0", "ascii")
