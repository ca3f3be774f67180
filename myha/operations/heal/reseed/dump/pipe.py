"""Rows from one connection into another, as the bytes that they arrive in.

Each row arrives as a packet: four bytes of header, the length of the string, the string. All of it
is passed on, and LOAD DATA skips what stands before the mark of a line's beginning. Only where each
packet ends has to be known here, to find the end of the result and to cut at whole rows.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pymysql
from pymysql.constants import COMMAND

from myha.database.connection import translate
from myha.errors import MyhaError, ServerError, ServerGoneError
from myha.operations.heal.reseed.dump.tables import LEAST_ROW_BYTES, Table, load_words, select
from myha.operations.heal.reseed.session import ReseedSession

READ_BYTES = 1 << 20
PACKET_BYTES = 1 << 18  # less than any sensible max_allowed_packet
STATEMENT_BYTES = 1 << 26  # one transaction on the node
SILENCE_SECONDS = 3600.0  # a commit of a statement's rows on a slow disk
_FULL_PACKET = 0xFFFFFF
_LENGTH = struct.Struct("<I")
_ERROR = 0xFF
_NULL = 0xFB
_LOCAL_FILE = 0xFB
_COUNTS = re.compile(r"Records: (\d+)\s+Deleted: \d+\s+Skipped: (\d+)\s+Warnings: (\d+)")
_TRUNCATED = 1265


@dataclass(slots=True)
class Copied:
    """What has passed so far."""

    rows: int = 0
    bytes: int = 0


def copy_table(
    source: ReseedSession,
    target: ReseedSession,
    table: Table,
    advance: Callable[[int], None],
    where: str = "",
) -> Copied:
    """Copy the rows of a table; `advance` is first the bytes, and may raise to stop it.

    Raises MyhaError when a row cannot pass, and the sessions are not to be used again then.
    """
    copied = Copied()
    rows = _Rows(source, table, select(table, where))
    loader = _Loader(target, table)
    while True:
        part, count = rows.next_part()
        if part:
            loader.write(part, count)
            copied.rows += count
            copied.bytes += len(part)
            advance(len(part))
        if rows.ended:
            break
    loader.finish()
    return copied


class _Rows:
    """The packets of a result, in parts of whole rows."""

    def __init__(self, source: ReseedSession, table: Table, sql: str) -> None:
        self.ended = False
        self._name = f"{source.name}: {table}"
        self._rest = b""
        wire = source.wire
        source.limit = SILENCE_SECONDS
        try:
            wire._execute_command(COMMAND.COM_QUERY, sql)
            for _ in range(3):  # the number of columns, the column, the end of the columns
                wire._read_packet()
        except (pymysql.MySQLError, OSError) as error:
            raise translate(error, self._name, SILENCE_SECONDS) from None
        self._file: Any = wire._rfile

    def next_part(self) -> tuple[bytes, int]:
        """Whole rows as they came, and how many; `ended` is set with the last ones."""
        data = self._rest + self._read()
        part, count, self._rest = self._walk(data)
        return part, count

    def _read(self) -> bytes:
        """What has arrived; all that is missing of a packet that is long."""
        missing = 0
        if len(self._rest) >= 4:
            missing = 4 + _length(self._rest, 0) - len(self._rest)
        try:
            more: bytes = (
                self._file.read(missing) if missing > READ_BYTES else self._file.read1(READ_BYTES)
            )
        except OSError as error:
            raise translate(error, self._name, SILENCE_SECONDS) from None
        if not more:
            raise self._broken()
        return more

    def _broken(self) -> ServerGoneError:
        return ServerGoneError(f"{self._name}: the connection broke while its rows were read")

    def _walk(self, data: bytes) -> tuple[bytes, int, bytes]:
        """The whole rows in `data`, how many they are, and what is left over."""
        at = count = 0
        size = len(data)
        unpack = _LENGTH.unpack_from
        while size - at >= 5:
            length = unpack(data, at)[0] & _FULL_PACKET
            if length == _FULL_PACKET:
                row, rest = self._large_row(data[at:])
                return data[:at] + row, count + 1, rest
            following = at + 4 + length
            if following > size:
                break
            if length < LEAST_ROW_BYTES or data[at + 4] == _ERROR:
                self._end(data[at + 4 : following])
                break
            count += 1
            at = following
        return data[:at], count, data[at:]

    def _large_row(self, data: bytes) -> tuple[bytes, bytes]:
        """A row of several packets, without the headers between, and what came after it."""
        parts = []
        while True:
            data = self._at_least(data, 4)
            length = _length(data, 0)
            data = self._at_least(data, 4 + length)
            parts.append(data[4 : 4 + length])
            data = data[4 + length :]
            if length < _FULL_PACKET:
                return b"".join(parts), data

    def _at_least(self, data: bytes, size: int) -> bytes:
        if len(data) >= size:
            return data
        try:
            more: bytes = self._file.read(size - len(data))
        except OSError as error:
            raise translate(error, self._name, SILENCE_SECONDS) from None
        if len(more) < size - len(data):
            raise self._broken()
        return data + more

    def _end(self, packet: bytes) -> None:
        """What is no row: the result's end, an error, or a row that the server could not make."""
        if packet[0] == _ERROR:
            code = int.from_bytes(packet[1:3], "little")
            text = packet[9:].decode("utf-8", "replace")
            raise ServerError(f"{self._name}: {text} (error {code})", code)
        if packet[0] == _NULL:
            raise MyhaError(
                f"{self._name}: a row does not fit into max_allowed_packet; raise that on both"
                " servers"
            )
        self.ended = True


def _length(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")


class _Loader:
    """LOAD DATA on the node, a new statement whenever one has enough rows for one transaction."""

    def __init__(self, target: ReseedSession, table: Table) -> None:
        self._target = target
        self._name = f"{target.name}: {table}"
        self._coarse = any(column.type in {"enum", "set"} for column in table.columns)
        words = load_words(target.flavour, table)
        (self._sql,) = target.flavour.statements("reseed").all("load", **words)
        self._rows = self._bytes = 0
        target.limit = SILENCE_SECONDS

    def write(self, part: bytes, count: int) -> None:
        wire = self._target.wire
        try:
            if not self._rows:
                self._begin()
            view = memoryview(part)
            for at in range(0, len(part), PACKET_BYTES):
                piece = view[at : at + PACKET_BYTES]
                head = len(piece).to_bytes(3, "little") + bytes((wire._next_seq_id,))
                wire._next_seq_id = (wire._next_seq_id + 1) % 256
                wire._sock.sendall(head)
                wire._sock.sendall(piece)
        except (pymysql.MySQLError, OSError) as error:
            raise self._reason(error) from None
        self._rows += count
        self._bytes += len(part)
        if self._bytes >= STATEMENT_BYTES:
            self.finish()

    def _begin(self) -> None:
        wire = self._target.wire
        wire._execute_command(COMMAND.COM_QUERY, self._sql)
        if wire._read_packet().get_all_data()[:1] != bytes((_LOCAL_FILE,)):
            raise MyhaError(f"{self._name}: the server refuses LOAD DATA LOCAL")
        wire._sock.settimeout(SILENCE_SECONDS)

    def _reason(self, error: Exception) -> MyhaError:
        """A server that ends a connection in the middle of rows may have said why."""
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            try:
                self._target.wire._read_packet()
            except (pymysql.MySQLError, OSError) as said:
                return translate(said, self._name, SILENCE_SECONDS)
        return translate(error, self._name, SILENCE_SECONDS)

    def finish(self) -> None:
        """End the statement and see that the server has taken each row as it is."""
        if not self._rows:
            return
        wire = self._target.wire
        try:
            wire.write_packet(b"")
            said = wire._read_packet().get_all_data().decode("latin-1")
        except (pymysql.MySQLError, OSError) as error:
            raise translate(error, self._name, SILENCE_SECONDS) from None
        counts = _COUNTS.search(said)
        taken, skipped, warnings = map(int, counts.groups()) if counts else (-1, 0, 0)
        if taken != self._rows or skipped:
            raise MyhaError(
                f"{self._name}: the server stored {taken - skipped} of {self._rows} rows"
                f"{self._first_warning()}"
            )
        if warnings and (first := self._first_warning()):
            raise MyhaError(f"{self._name}: the server stored a row changed{first}")
        self._rows = self._bytes = 0

    def _first_warning(self) -> str:
        """The first one that matters. An ENUM without a value is taken as such, with a warning."""
        for row in self._target.query_named("SHOW WARNINGS"):
            if not (self._coarse and int(row["Code"]) == _TRUNCATED):
                return f": {row['Message']} ({row['Code']})"
        return ""
