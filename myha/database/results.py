"""Reading results as PyMySQL does, but for what it finds out about their columns again each time.

A supervisor asks the same few questions all the time, and an answer has up to a hundred columns and
one row: most of what it costs PyMySQL to read one is to take the columns' descriptions apart. Here
descriptions that have come before, byte by byte, are known.
"""

from __future__ import annotations

from typing import Any

from pymysql import connections
from pymysql.constants import CR
from pymysql.err import OperationalError
from pymysql.protocol import MysqlPacket

KNOWN_LIMIT = 256  # statements; those of a supervisor are some dozens

_Columns = tuple[Any, Any, Any]  # PyMySQL's own: fields, converters, description
_known: dict[bytes, _Columns] = {}  # for all connections: nobody changes a value


# Any: their stubs leave out the parts that are needed here.
_Connection: Any = connections.Connection
_MySQLResult: Any = connections.MySQLResult


class ReadingConnection(_Connection):  # type: ignore[misc]
    """A connection whose buffered results know the columns that have come before."""

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


class _Result(_MySQLResult):  # type: ignore[misc]
    connection: Any

    def _get_descriptions(self) -> None:
        packets = [self._packet() for _ in range(self.field_count)]
        if not self.connection._read_packet().is_eof_packet():
            raise OperationalError(CR.CR_MALFORMED_PACKET, "the columns of a result do not end")
        key = b"".join(packets)
        columns = _known.get(key)
        if columns is None:
            columns = self._understood(packets)
            if len(_known) >= KNOWN_LIMIT:
                _known.clear()
            _known[key] = columns
        self.fields, self.converters, self.description = columns

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

    def _understood(self, packets: list[bytes]) -> _Columns:
        """What PyMySQL makes of them."""
        connection = self.connection
        self.connection = _Again(connection, packets)
        try:
            super()._get_descriptions()
        finally:
            self.connection = connection
        return self.fields, self.converters, self.description


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
