"""Results that are read with what is known of their columns are those that PyMySQL reads."""

from __future__ import annotations

import gc
import io
import struct
from typing import Any

import pymysql
import pytest
from pymysql.constants import FIELD_TYPE
from pymysql.err import OperationalError

from myha.database import results
from myha.database.results import ReadingConnection

TYPES = (FIELD_TYPE.LONGLONG, FIELD_TYPE.VAR_STRING, FIELD_TYPE.BLOB, FIELD_TYPE.NEWDECIMAL)
EOF = b"\xfe\0\0\x02\0"


def text(value: bytes | None) -> bytes:
    if value is None:
        return b"\xfb"
    size = len(value)
    if size < 0xFB:
        return bytes([size]) + value
    if size < 1 << 16:
        return b"\xfc" + struct.pack("<H", size) + value
    return b"\xfd" + struct.pack("<I", size)[:3] + value


def column(name: bytes, kind: int, charset: int) -> bytes:
    names = b"".join(map(text, (b"def", b"s", b"t", b"t", name, name)))
    return names + b"\x0c" + struct.pack("<HLBHBH", charset, 20, kind, 0, 0, 0)


def answer(names: tuple[bytes, ...], *rows: tuple[bytes | None, ...]) -> bytes:
    """A result set as a server sends it."""
    kinds = zip(names, TYPES, (63, 45, 63, 63), strict=False)
    packets = [bytes([len(names)]), *(column(*one) for one in kinds), EOF]
    packets += [b"".join(map(text, row)) for row in rows] + [EOF]
    return b"".join(
        struct.pack("<I", len(packet))[:3] + bytes([number % 256]) + packet
        for number, packet in enumerate(packets, start=1)
    )


class Socket:
    def close(self) -> None: ...


class Pieces(io.RawIOBase):
    """A socket on which bytes come in pieces of this size, each when the one before is taken."""

    def __init__(self, data: bytes, size: int) -> None:
        self.left = data
        self.size = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self.left[: min(self.size, len(buffer))]
        buffer[: len(piece)] = piece
        self.left = self.left[len(piece) :]
        return len(piece)


def read(kind: type[Any], data: bytes, *, asked: bytes = b"SELECT 1", size: int = 1 << 16) -> Any:
    connection = kind(defer_connect=True, charset="utf8mb4", ssl_disabled=True)
    connection._rfile = io.BufferedReader(Pieces(data, size))
    connection.asked = asked
    connection._sock = Socket()
    connection._current_timeout = connection._read_timeout
    connection._next_seq_id = 1
    connection._read_query_result()
    assert not connection._rfile.read(), "something was left for the next one"
    return connection._result


ROWS = ((b"7", "Ärger".encode(), b"\xff\x00", b"1.50"), (None, b"", None, b"-2"))


@pytest.fixture(autouse=True)
def unknown() -> None:
    results._known.clear()
    results._heads.clear()


def test_a_result_is_what_pymysql_reads_the_first_time_and_later() -> None:
    data = answer((b"a", b"b", b"c", b"d"), *ROWS)
    expected = read(pymysql.Connection, data)
    for _ in range(3):
        found = read(ReadingConnection, data)
        assert found.rows == expected.rows
        assert found.description == expected.description
        assert [one.name for one in found.fields] == ["a", "b", "c", "d"]
    assert len(results._known) == 1


def test_columns_of_another_name_type_or_number_are_others() -> None:
    for names in ((b"a",), (b"b",), (b"a", b"b"), (b"a",)):
        found = read(ReadingConnection, answer(names, (b"7",) * len(names)))
        assert [one.name.encode() for one in found.fields] == list(names)
        assert found.rows == ((7, "7")[: len(names)],)
    assert len(results._known) == 3


def test_what_is_known_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "KNOWN_LIMIT", 2)
    for name in (b"a", b"b", b"c", b"d", b"e"):
        read(ReadingConnection, answer((name,)))
        assert len(results._known) <= 2


def test_what_statements_are_answered_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "STATEMENTS_LIMIT", 2)
    for number in range(5):
        read(ReadingConnection, answer((b"a",)), asked=b"SELECT %d" % number)
        assert len(results._heads) <= 2
    read(ReadingConnection, answer((b"a",)), asked=b"x" * (results.STATEMENT_BYTES + 1))
    assert all(len(one) <= results.STATEMENT_BYTES for one in results._heads)


@pytest.mark.parametrize("size", [7, 100, 250, 1 << 16])
@pytest.mark.parametrize(
    "rows",
    [
        (),
        ROWS,
        ROWS * 40,  # more packets than there are numbers for at once
        ((b"7", b"s" * 250, b"b" * 251, b"1"),) * 3,
        ((b"7", b"s" * 70_000, b"", b"1"),),  # its length takes three bytes
        ((b"7", b"", b"b" * 9_000, b"1"),),  # more than is read at once
    ],
)
def test_a_known_statement_is_read_as_pymysql_does_however_it_comes(
    rows: tuple[Any, ...], size: int
) -> None:
    data = answer((b"a", b"b", b"c", b"d"), *rows)
    expected = read(pymysql.Connection, data)
    for _ in range(3):
        found = read(ReadingConnection, data, size=size)
        assert found.rows == expected.rows
        assert (found.affected_rows, found.field_count) == (len(rows), 4)
        assert (found.warning_count, found.has_next) == (0, expected.has_next)


def test_a_known_statement_may_be_answered_by_something_else() -> None:
    first = answer((b"a", b"b"), (b"1", b"2"))
    read(ReadingConnection, first)
    other = read(ReadingConnection, answer((b"x",), (b"5",)))
    assert (other.rows, other.fields[0].name) == (((5,),), "x")
    ok = read(ReadingConnection, b"\x07\0\0\x01\0\x03\0\x02\0\0\0")
    assert (ok.affected_rows, ok.rows) == (3, None)
    said = b"\xff\x28\x04#42000no"
    failed = struct.pack("<I", len(said))[:3] + b"\x01" + said
    with pytest.raises(pymysql.err.ProgrammingError):
        read(ReadingConnection, failed)
    assert read(ReadingConnection, first).rows == ((1, "2"),)


@pytest.mark.parametrize("kind", [pymysql.Connection, ReadingConnection])
def test_an_answer_that_is_cut_off_or_mixed_up_is_an_error(kind: type[Any]) -> None:
    data = answer((b"a", b"b"), (b"1", b"2"))
    read(kind, data)
    for length in range(len(data)):
        with pytest.raises(OperationalError):
            read(kind, data[:length])
    mixed = bytearray(data)
    mixed[5 + 3] = 9  # the number of the first column's packet
    with pytest.raises(pymysql.err.MySQLError):
        read(kind, bytes(mixed))
    assert read(kind, data).rows == ((1, "2"),)


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_one_that_was_interrupted_before_it_began_is_finalized_without_a_word() -> None:
    """Ctrl-C that arrives between its making and its __init__; PyMySQL's own has a traceback."""
    results._Result.__new__(results._Result)
    gc.collect()
