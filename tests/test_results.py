"""Results that are read with what is known of their columns are those that PyMySQL reads."""

from __future__ import annotations

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
    return b"\xfb" if value is None else bytes([len(value)]) + value


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


def read(kind: type[Any], data: bytes) -> Any:
    connection = kind(defer_connect=True, charset="utf8mb4")
    connection._rfile = io.BytesIO(data)
    connection._sock = Socket()
    connection._current_timeout = connection._read_timeout
    connection._next_seq_id = 1
    connection._read_query_result()
    return connection._result


ROWS = ((b"7", "Ärger".encode(), b"\xff\x00", b"1.50"), (None, b"", None, b"-2"))


@pytest.fixture(autouse=True)
def unknown() -> None:
    results._known.clear()


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


@pytest.mark.parametrize("kind", [pymysql.Connection, ReadingConnection])
def test_an_answer_that_is_cut_off_or_mixed_up_is_an_error(kind: type[Any]) -> None:
    data = answer((b"a", b"b"), (b"1", b"2"))
    for length in range(len(data)):
        with pytest.raises(OperationalError):
            read(kind, data[:length])
    mixed = bytearray(data)
    mixed[5 + 3] = 9  # the number of the first column's packet
    with pytest.raises(pymysql.err.MySQLError):
        read(kind, bytes(mixed))
    assert not results._known or kind is ReadingConnection
