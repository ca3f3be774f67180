"""Decoded values and their SQL against both servers: found again, made again, and judged.

Three judges, none of them ours: the server, whether a predicate finds the row that it logged; its
CHECKSUM TABLE, whether a copy made of literals is the same; its own program for binary logs.
"""

from __future__ import annotations

import calendar
import itertools
import re
import struct
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Context, Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from myha.binlog import events, literals, row_events, stream
from myha.binlog.columns import ColumnFact, column_facts, key_facts
from myha.binlog.errors import DecodeError
from myha.binlog.events import ROWS, EventType, RawEvent
from myha.binlog.literals import collides, key_predicate, literal, matches, row_predicate, show
from myha.binlog.values import Row, RowDecoder
from myha.database.flavours import FLAVOURS
from myha.sandbox import programs
from tests.real.bare import BareServer, bare_server

pytestmark = pytest.mark.real

DEADLINE_SECONDS = 30.0
DIGITS = Context(prec=80)
EXAMPLES = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    phases=(Phase.explicit, Phase.generate),  # shrinking asks the servers for minutes
)
UTF8, LATIN1, UTF16 = "utf8mb4", "latin1", "utf16"


# ---- reading what a server logged


@dataclass
class Logged:
    """The images of one table's row events, decoded, in the order of the binary log."""

    before: list[Row | None]
    after: list[Row | None]
    events: list[RawEvent]


class Subject:
    """One server, with a session that is set up as the literals want it."""

    def __init__(self, server: BareServer) -> None:
        self.server = server
        self.flavour = server.flavour
        self.connection = server.connect(charset="utf8mb4")
        self.numbers = itertools.count(1)
        self.run(*literals.SESSION, "CREATE DATABASE v")

    def run(self, *statements: str) -> tuple[tuple[Any, ...], ...]:
        with self.connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return tuple(cursor.fetchall())

    def query(self, sql: str, values: Any) -> tuple[tuple[Any, ...], ...]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values)
            return tuple(cursor.fetchall())

    def facts(self, table: str) -> tuple[ColumnFact, ...]:
        return column_facts(self.query, "v", table)

    def place(self) -> tuple[str, int]:
        status = "BINARY LOG" if self.flavour == "mysql" else "MASTER"
        row = self.run(f"SHOW {status} STATUS")[0]
        return str(row[0]), int(row[1])

    def events_since(self, place: tuple[str, int]) -> list[RawEvent]:
        connection = self.server.connect()
        try:
            return list(
                stream.dump(
                    connection,
                    FLAVOURS[self.flavour].dump_from(*place, 999),
                    DEADLINE_SECONDS,
                )
            )
        finally:
            connection.close()

    def logged_since(self, place: tuple[str, int], table: str) -> Logged:
        found = self.events_since(place)
        facts = self.facts(table)
        logged = Logged([], [], found)
        maps: dict[int, row_events.TableMap] = {}
        for event in found:
            if event.type == EventType.TABLE_MAP:
                one = row_events.table_map(event)
                maps[one.table_id] = one
            elif event.type in ROWS:
                mapped = maps[row_events.rows_table_id(event)]
                if mapped.table != table:
                    continue
                decode = RowDecoder(mapped, facts)
                for before, after in row_events.row_changes(event, mapped).images:
                    logged.before.append(None if before is None else decode(before))
                    logged.after.append(None if after is None else decode(after))
        return logged


@pytest.fixture(scope="module", params=["mysql", "mariadb"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    with bare_server(request.param, 1) as server:
        yield Subject(server)


# ---- columns and what is written to them, as SQL that owes nothing to the code under test


@dataclass(frozen=True)
class Kind:
    """A column type, expressions to write to it, and one that tells its values apart."""

    type: str
    values: st.SearchStrategy[str]
    identity: str = "HEX({0})"
    exact_checksum: bool = True


def whole(low: int, high: int) -> st.SearchStrategy[str]:
    return st.one_of(st.sampled_from([low, high]), st.integers(low, high)).map(str)


def packed_text(charset: str, codec: str, alphabet: st.SearchStrategy[str]) -> Any:
    def given(text: str) -> str:
        return f"_{charset} X'{text.encode(codec).hex()}'"

    return st.text(alphabet, max_size=20).map(given)


def raw(max_size: int) -> st.SearchStrategy[str]:
    return st.binary(max_size=max_size).map(lambda data: f"X'{data.hex()}'")


def decimals(digits: int, scale: int) -> st.SearchStrategy[str]:
    top = 10**digits - 1
    numbers = st.one_of(st.sampled_from([-top, 0, top]), st.integers(-top, top))
    return numbers.map(lambda number: f"{Decimal(number).scaleb(-scale, DIGITS):f}")


def exponent(number: float) -> str:
    return repr(number) if "e" in repr(number) else f"{number!r}e0"


def fraction(digits: int) -> st.SearchStrategy[str]:
    if not digits:
        return st.just("")
    return st.integers(0, 10**digits - 1).map(lambda number: f".{number:0{digits}d}")


def dates() -> st.SearchStrategy[str]:
    real = st.dates().map(str)
    odd = st.sampled_from(["0000-00-00", "2024-00-15", "2023-12-00", "2023-02-31", "9999-12-31"])
    return real | odd


def moments(digits: int) -> st.SearchStrategy[str]:
    clock = st.times().map(lambda one: f"{one:%H:%M:%S}")
    return st.tuples(dates(), clock, fraction(digits)).map(lambda p: f"'{p[0]} {p[1]}{p[2]}'")


def stamps(digits: int) -> st.SearchStrategy[str]:
    real = st.integers(1, 2**31 - 2)
    given = st.tuples(real, fraction(digits)).map(lambda p: f"FROM_UNIXTIME('{p[0]}{p[1]}')")
    return given | st.just("'0000-00-00 00:00:00'")


def clocks(digits: int) -> st.SearchStrategy[str]:
    def given(parts: tuple[bool, int, int, int, str]) -> str:
        sign, hours, minutes, seconds, rest = parts
        return f"'{'-' * sign}{hours:02d}:{minutes:02d}:{seconds:02d}{rest}'"

    smaller = st.tuples(
        st.booleans(),
        st.integers(0, 837),
        st.integers(0, 59),
        st.integers(0, 59),
        fraction(digits),
    ).map(given)
    return smaller | st.sampled_from(["'838:59:59'", "'-838:59:59'", "'00:00:00'", "'-00:00:01'"])


def numbers_of(width: Literal[32, 64]) -> st.SearchStrategy[str]:
    finite = st.floats(allow_nan=False, allow_infinity=False, width=width)
    return (finite | st.sampled_from([0.0, -0.0, 1.5])).map(exponent)


def documents() -> st.SearchStrategy[str]:
    """JSON of every kind that MySQL tells apart, as the functions that make it."""
    scalar = st.one_of(
        st.sampled_from(
            ["NULL", "CAST('true' AS JSON)", "CAST('false' AS JSON)", "CAST(5 AS UNSIGNED)"]
        ),
        st.integers(-(2**63), 2**63 - 1).map(str),
        st.integers(2**63, 2**64 - 1).map(str),
        st.integers(0, 70000).map(lambda number: f"CAST({number} AS UNSIGNED)"),
        st.floats(allow_nan=False, allow_infinity=False).map(exponent),
        decimals(20, 5),
        packed_text(UTF8, "utf-8", st.characters(exclude_categories=["Cs"])),
        clocks(6).map(lambda text: f"CAST({text} AS TIME(6))"),
        st.dates().map(lambda one: f"CAST('{one}' AS DATE)"),
        st.datetimes().map(lambda one: f"CAST('{one:%Y-%m-%d %H:%M:%S.%f}' AS DATETIME(6))"),
    )

    def several(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        keys = st.text('abcäß"\\ \n', max_size=5).map(lambda k: f"_utf8mb4 X'{k.encode().hex()}'")
        pairs = st.lists(st.tuples(keys, inner), max_size=4)
        return st.lists(inner, max_size=5).map(lambda o: f"JSON_ARRAY({','.join(o)})") | pairs.map(
            lambda found: f"JSON_OBJECT({','.join(f'{k},{v}' for k, v in found)})"
        )

    return several(st.recursive(scalar, several, max_leaves=12))


def uuid_of(parts: tuple[int, int]) -> str:
    """Of any version, with the one variant that MariaDB takes."""
    version, number = parts
    number = number & ~(0xF << 76) | version << 76
    return f"'{uuid.UUID(int=number & ~(3 << 62) | 2 << 62)}'"


ANY = st.characters(exclude_categories=["Cs"])
BASIC = st.characters(exclude_categories=["Cs"], max_codepoint=0xFFFF)
WESTERN = st.characters(max_codepoint=0xFF, exclude_categories=["Cc"])
AS_TEXT = "CAST({0} AS CHAR)"
EXACT_FLOAT = "CAST({0} + 0e0 AS CHAR), CAST({0} AS CHAR) LIKE '-%'"

BOTH = (
    Kind("TINYINT", whole(-128, 127), AS_TEXT),
    Kind("TINYINT UNSIGNED", whole(0, 255), AS_TEXT),
    Kind("SMALLINT", whole(-32768, 32767), AS_TEXT),
    Kind("SMALLINT UNSIGNED", whole(0, 65535), AS_TEXT),
    Kind("MEDIUMINT", whole(-(2**23), 2**23 - 1), AS_TEXT),
    Kind("MEDIUMINT UNSIGNED", whole(0, 2**24 - 1), AS_TEXT),
    Kind("INT", whole(-(2**31), 2**31 - 1), AS_TEXT),
    Kind("INT UNSIGNED ZEROFILL", whole(0, 2**32 - 1), AS_TEXT),
    Kind("BIGINT", whole(-(2**63), 2**63 - 1), AS_TEXT),
    Kind("BIGINT UNSIGNED", whole(0, 2**64 - 1), AS_TEXT),
    Kind("DECIMAL(65,30)", decimals(65, 30), AS_TEXT),
    Kind("DECIMAL(10,0)", decimals(10, 0), AS_TEXT),
    Kind("DECIMAL(7,7)", decimals(7, 7), AS_TEXT),
    Kind("FLOAT", numbers_of(32), EXACT_FLOAT),
    Kind("DOUBLE", numbers_of(64), EXACT_FLOAT),
    Kind("BIT(1)", whole(0, 1), "{0} + 0"),
    Kind("BIT(13)", whole(0, 2**13 - 1), "{0} + 0"),
    Kind("BIT(64)", whole(0, 2**64 - 1), "{0} + 0"),
    Kind("YEAR", st.one_of(st.just("'0000'"), st.integers(1901, 2155).map(str)), AS_TEXT),
    Kind("DATE", dates().map(lambda text: f"'{text}'"), AS_TEXT),
    *(Kind(f"TIME({n})", clocks(n), AS_TEXT) for n in (0, 1, 4, 6)),
    *(Kind(f"DATETIME({n})", moments(n), AS_TEXT) for n in (0, 2, 3, 6)),
    *(Kind(f"TIMESTAMP({n}) NULL", stamps(n), AS_TEXT) for n in (0, 1, 5, 6)),
    Kind("CHAR(20) CHARACTER SET utf8mb4", packed_text(UTF8, "utf-8", ANY)),
    Kind("CHAR(255) CHARACTER SET utf8mb4", packed_text(UTF8, "utf-8", ANY)),
    Kind("CHAR(20) CHARACTER SET latin1", packed_text(LATIN1, "latin-1", WESTERN)),
    Kind("CHAR(20) CHARACTER SET utf16", packed_text(UTF16, "utf-16-be", ANY)),
    Kind("CHAR(20) CHARACTER SET ucs2", packed_text("ucs2", "utf-16-be", BASIC)),
    Kind("VARCHAR(40) CHARACTER SET utf8mb4", packed_text(UTF8, "utf-8", ANY)),
    Kind("VARCHAR(300) CHARACTER SET latin1", packed_text(LATIN1, "latin-1", WESTERN)),
    Kind("VARCHAR(40) CHARACTER SET utf16le", packed_text("utf16le", "utf-16-le", ANY)),
    Kind(
        "VARCHAR(40) CHARACTER SET sjis", packed_text("sjis", "shift-jis", st.sampled_from("aあア"))
    ),
    Kind("BINARY(16)", raw(16)),
    Kind("VARBINARY(300)", raw(300)),
    Kind("TINYTEXT CHARACTER SET utf8mb4", packed_text(UTF8, "utf-8", ANY)),
    Kind("TEXT CHARACTER SET utf8mb3", packed_text("utf8mb3", "utf-8", BASIC)),
    Kind("LONGTEXT CHARACTER SET utf32", packed_text("utf32", "utf-32-be", ANY)),
    Kind("TINYBLOB", raw(255)),
    Kind("BLOB", raw(400)),
    Kind("MEDIUMBLOB", raw(400)),
    Kind("LONGBLOB", raw(400)),
    Kind("ENUM('a','it''s','ü','b\\\\c')", whole(1, 4), "{0} + 0"),
    Kind(f"SET({','.join(repr(f'm{n}') for n in range(64))})", whole(0, 2**64 - 1), AS_TEXT),
    Kind("SET('x','y','z')", whole(0, 7), AS_TEXT),
    Kind(
        "GEOMETRY",
        st.sampled_from(
            ["ST_GeomFromText('POINT(1 2)')", "ST_GeomFromText('LINESTRING(0 0,1 1.5)')"]
        )
        | st.sampled_from(["ST_GeomFromText('POINT(10 20)', 4326)"]),
        exact_checksum=False,
    ),
)
OWN = {
    "mysql": (
        Kind("JSON", documents(), "CAST({0} AS CHAR), JSON_TYPE({0})"),
        Kind(
            "VECTOR(3)",
            st.lists(
                st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3
            ).map(lambda found: f"X'{struct.pack('<3f', *found).hex()}'"),
        ),
    ),
    "mariadb": (
        Kind("JSON", st.sampled_from(["'{}'", "'[1, 2.0]'", '\'{"a": "ü"}\''])),
        Kind("VARCHAR(200) COMPRESSED", packed_text(UTF8, "utf-8", st.sampled_from("aab"))),
        Kind("VARCHAR(2000) COMPRESSED", st.integers(0, 2000).map(lambda n: f"REPEAT('x', {n})")),
        Kind("BLOB COMPRESSED", st.integers(0, 60000).map(lambda n: f"REPEAT('xyz', {n} / 3)")),
        Kind("INET6", st.ip_addresses(v=6).map(lambda one: f"'{one}'"), AS_TEXT),
        Kind("INET4", st.ip_addresses(v=4).map(lambda one: f"'{one}'"), AS_TEXT),
        Kind(
            "UUID",
            st.tuples(st.integers(1, 7), st.integers(0, 2**128 - 1)).map(uuid_of),
            AS_TEXT,
        ),
    ),
}


@st.composite
def tables(draw: st.DrawFn, flavour: str) -> tuple[list[Kind], list[list[str]]]:
    """Columns, and rows of expressions for them."""
    kinds = draw(st.lists(st.sampled_from(BOTH + OWN[flavour]), min_size=1, max_size=9))
    row = st.tuples(*(st.one_of(kind.values, kind.values, st.just("NULL")) for kind in kinds))
    return kinds, [list(one) for one in draw(st.lists(row, min_size=1, max_size=5))]


def make_table(subject: Subject, kinds: list[Kind]) -> tuple[str, list[str]]:
    name = f"t{next(subject.numbers)}"
    names = [f"c{number}" for number in range(len(kinds))]
    columns = ", ".join(f"{n} {kind.type}" for n, kind in zip(names, kinds, strict=True))
    subject.run(f"CREATE TABLE v.{name} (id INT PRIMARY KEY, {columns})")
    return name, names


def assert_found_and_made_again(subject: Subject, kinds: list[Kind], rows: list[list[str]]) -> None:
    name, names = make_table(subject, kinds)
    place = subject.place()
    for number, written in enumerate(rows, 1):
        subject.run(f"INSERT INTO v.{name} VALUES ({number}, {', '.join(written)})")
    logged = subject.logged_since(place, name)
    facts = subject.facts(name)
    decoded = [row for row in logged.after if row is not None]
    assert len(decoded) == len(rows)
    for number, row in enumerate(decoded, 1):
        found = subject.run(f"SELECT id FROM v.{name} WHERE {row_predicate(facts, row)}")
        assert found == ((number,),), [
            matches(fact, value)
            for fact, value in zip(facts, row, strict=True)
            if not subject.run(
                f"SELECT 1 FROM v.{name} WHERE id = {number} AND {matches(fact, value)}"
            )
        ]
    for index, (column, kind) in enumerate(zip(names, kinds, strict=True), 1):
        identity = kind.identity.format(column)
        _assert_tells_apart(subject, name, identity, facts[index], [row[index] for row in decoded])
    subject.run(f"CREATE TABLE v.{name}_copy LIKE v.{name}")
    for row in decoded:
        made = ", ".join(map(literal, row, facts))
        subject.run(f"INSERT INTO v.{name}_copy VALUES ({made})")
    wanted = ", ".join(kind.identity.format(c) for c, kind in zip(names, kinds, strict=True))
    both = [
        subject.run(f"SELECT {wanted} FROM v.{one} ORDER BY id") for one in (name, f"{name}_copy")
    ]
    assert both[0] == both[1]
    if all(kind.exact_checksum for kind in kinds):
        sums = subject.run(f"CHECKSUM TABLE v.{name}, v.{name}_copy")
        assert sums[0][1] == sums[1][1], decoded
    subject.run(f"DROP TABLE v.{name}, v.{name}_copy")


def _assert_tells_apart(
    subject: Subject, table: str, identity: str, fact: ColumnFact, values: list[Any]
) -> None:
    """A column's predicate is true in those rows whose value the server calls the same."""
    same: dict[int, Any] = {
        found[0]: found[1:] for found in subject.run(f"SELECT id, {identity} FROM v.{table}")
    }
    for number, value in enumerate(values, 1):
        predicate = matches(fact, value)
        found = {one for (one,) in subject.run(f"SELECT id FROM v.{table} WHERE {predicate}")}
        assert found == {one for one in same if same[one] == same[number]}, (predicate, same)
        collided = {
            one for (one,) in subject.run(f"SELECT id FROM v.{table} WHERE {collides(fact, value)}")
        }
        assert collided >= found or value is None


@settings(EXAMPLES, max_examples=40)
@given(data=st.data())
def test_any_table_is_found_by_its_values_and_made_again_from_them(
    subject: Subject, data: st.DataObject
) -> None:
    kinds, rows = data.draw(tables(subject.flavour))
    assert_found_and_made_again(subject, kinds, rows)


@settings(EXAMPLES, max_examples=3)
@given(data=st.data())
def test_every_type_at_once(subject: Subject, data: st.DataObject) -> None:
    kinds = list(BOTH + OWN[subject.flavour])
    rows = [[data.draw(kind.values) for kind in kinds] for _ in range(4)]
    rows.append(["NULL"] * len(kinds))
    assert_found_and_made_again(subject, kinds, rows)


def test_what_a_collation_or_a_number_calls_equal_is_told_apart(subject: Subject) -> None:
    """Equal by collation, by padding, by the sign of a zero or in another type: not the same."""
    text = "VARCHAR(20) CHARACTER SET {} COLLATE {}"
    zeros = ["-0e0", "0e0"] if subject.flavour == "mysql" else ["0e0"]  # MariaDB has one zero
    kinds = [
        (text.format("utf8mb4", "utf8mb4_general_ci"), ["'a'", "'A'", "'a '", "'ä'", "''", "' '"]),
        (text.format("latin1", "latin1_swedish_ci"), ["'a'", "'A'", "'a '", "''"]),
        ("TEXT CHARACTER SET utf8mb4", ["'a'", "'A'", "'a '", "REPEAT('a',5000)"]),
        ("CHAR(5) CHARACTER SET utf8mb4", ["'a'", "'A'", "''"]),
        ("VARBINARY(20)", ["'a'", "'A'", "'a '", "X'6100'", "''"]),
        ("DOUBLE", [*zeros, "1e0", "1.0000000000000002e0"]),
        ("FLOAT", [*zeros, "16777216", "16777215"]),
        ("DECIMAL(40,20)", ["0.1", "0.10000000000000000001"]),
        ("BIGINT", ["9223372036854775807", "9223372036854775806"]),
        ("BIGINT UNSIGNED", ["18446744073709551615", "18446744073709551614"]),
        (f"SET({','.join(repr(f'm{n}') for n in range(64))})", [f"{2**64 - n}" for n in (1, 2, 9)]),
        ("TIME(6)", ["'-00:00:00.000001'", "'00:00:00.000001'", "'00:00:00'"]),
        ("DATE", ["'0000-00-00'", "'2024-00-00'", "'2024-01-00'", "NULL"]),
    ]
    if subject.flavour == "mysql":
        given: tuple[str, ...] = (
            "1",
            "1e0",
            "'1'",
            "CAST('2020-01-01' AS DATE)",
        )
        given += ("'2020-01-01'", "CAST('2020-01-01' AS DATETIME(6))", "NULL", "JSON_ARRAY(1)")
        kinds.append(("JSON", [f"JSON_ARRAY({one})" for one in given]))
    for kind, values in kinds:
        subject.run(
            f"CREATE TABLE v.apart (id INT AUTO_INCREMENT PRIMARY KEY, c {kind}, KEY (c(3)))"
            if "CHAR" in kind or "TEXT" in kind
            else f"CREATE TABLE v.apart (id INT AUTO_INCREMENT PRIMARY KEY, c {kind})"
        )
        place = subject.place()
        subject.run(*(f"INSERT INTO v.apart (c) VALUES ({one})" for one in values))
        column = subject.facts("apart")[1]
        for number, row in enumerate(subject.logged_since(place, "apart").after, 1):
            assert row is not None
            predicate = matches(column, row[1])
            found = subject.run(f"SELECT id FROM v.apart WHERE {predicate}")
            assert found == ((number,),), (kind, predicate)
        subject.run("DROP TABLE v.apart")


# ---- the servers' own programs for binary logs as the judge

JUDGED = """
    id INT PRIMARY KEY, ti TINYINT, tu TINYINT UNSIGNED, si SMALLINT, mi MEDIUMINT,
    mu MEDIUMINT UNSIGNED, i INT, u INT UNSIGNED, bi BIGINT, bu BIGINT UNSIGNED, d DECIMAL(20,4),
    f FLOAT, db DOUBLE, bt BIT(13), y YEAR, da DATE, t0 TIME, t4 TIME(4), dt0 DATETIME,
    dt6 DATETIME(6), ts TIMESTAMP NULL, ts3 TIMESTAMP(3) NULL, c CHAR(20), vc VARCHAR(300),
    vb VARBINARY(20), te TEXT, bl BLOB, e ENUM('a','b','c'), s SET('x','y','z')
"""
JUDGED_ROWS = (
    "-1, 255, -32768, -8388608, 16777215, -2147483648, 4294967295, -9223372036854775808,"
    " 18446744073709551615, -1234567890123456.7891, -1.5, 2.25e100, 4097, 1999, '2024-02-29',"
    " '-838:59:59', '-00:00:00.0001', '1000-01-01 00:00:00', '9999-12-31 23:59:59.999999',"
    " '1970-01-01 00:00:01', '2038-01-19 03:14:07.999', 'abc', 'varchar', X'414243', 'text',"
    " X'424c4f42', 2, 5",
    "0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '0000', '0000-00-00', '00:00:00', '12:30:45.5',"
    " '0000-00-00 00:00:00', '2023-00-10 01:02:03.000004', '0000-00-00 00:00:00',"
    " '2020-06-15 12:00:00.123', '', '', X'', '', X'', 1, 0",
    "127, 1, 32767, 8388607, 1, 2147483647, 1, 9223372036854775807, 1, 0.0001, 1e-10, -1e-300, 1,"
    " 2155, '9999-12-31', '838:59:59', '-01:02:03.0405', '2024-12-31 23:59:59',"
    " '2023-02-31 00:00:00', '2001-09-09 01:46:40', NULL, 'x y', 'v', X'7a', 't', X'62', 3, 7",
)
INTEGERS = {"tinyint", "smallint", "mediumint", "int", "bigint"}
_VALUE = re.compile(r"^###   @(\d+)=(.*?)(?: /\* .*\*/)?$")


def as_the_program_says(value: Any, column: ColumnFact, bits: int) -> str:
    """A value in the words of mysqlbinlog -vv."""
    kind = column.data_type
    if value is None:
        return "NULL"
    if kind == "bit":
        return f"b'{value:0{bits}b}'"
    if kind == "set":
        return f"b'{value:08b}'"
    if kind == "year":
        return f"{value or 1900}"  # the program adds 1900 to the zero value, which has no year
    if kind == "date":
        return f"'{value.replace('-', ':')}'"
    if kind == "timestamp":
        return str(value)  # compared as seconds
    if isinstance(value, bytes):
        return f"'{value.decode('latin-1')}'"
    if isinstance(value, str):
        return f"'{value}'"
    return str(value)


def program_text(subject: Subject, found: list[RawEvent], path: Path) -> list[dict[int, str]]:
    """Each row image that the program shows: column number to its text."""
    kept = [e.raw for e in found if e.type not in {EventType.ROTATE, EventType.HEARTBEAT}]
    path.write_bytes(events.MAGIC + b"".join(kept))
    tool = "mysqlbinlog" if subject.flavour == "mysql" else "mariadb-binlog"
    argv = programs.fetch(subject.flavour).companion(tool)
    assert argv is not None
    shown = subprocess.run(
        [*argv, "--no-defaults", "-vv", "--base64-output=decode-rows", str(path)],
        check=True,
        capture_output=True,
        env={"TZ": "UTC"},
    ).stdout.decode("utf-8", "replace")
    images: list[dict[int, str]] = []
    for line in shown.splitlines():
        if line in {"### SET", "### WHERE"}:
            images.append({})
        elif (match := _VALUE.match(line)) and images:
            images[-1][int(match[1])] = match[2]
    return images


def test_the_servers_own_program_reads_the_same(subject: Subject, tmp_path: Path) -> None:
    subject.run(f"CREATE TABLE v.judged ({JUDGED})")
    place = subject.place()
    for number, written in enumerate(JUDGED_ROWS, 1):
        subject.run(f"INSERT INTO v.judged VALUES ({number}, {written})")
    subject.run("UPDATE v.judged SET i = 7, te = 'new' WHERE id = 2", "DELETE FROM v.judged")
    logged = subject.logged_since(place, "judged")
    ours: list[Row] = []
    for before, after in zip(logged.before, logged.after, strict=True):
        ours += [image for image in (before, after) if image is not None]
    theirs = program_text(subject, logged.events, tmp_path / "events.binlog")
    assert len(ours) == len(theirs) == 8
    facts = subject.facts("judged")
    for row, shown in zip(ours, theirs, strict=True):
        for number, (column, value) in enumerate(zip(facts, row, strict=True), 1):
            _assert_the_same(column, value, shown[number])


def _assert_the_same(column: ColumnFact, value: Any, shown: str) -> None:
    if isinstance(value, float):
        assert float(shown) == pytest.approx(value, rel=1e-5)
        return
    if column.data_type in INTEGERS and value is not None:
        signed, _, unsigned = shown.partition(" (")
        assert value in {int(signed), int(unsigned.rstrip(")") or signed)}, column
        return
    if column.data_type == "timestamp" and value is not None:
        assert _seconds(value) == Decimal(shown), column
        return
    assert as_the_program_says(value, column, 13) == shown, column


def _seconds(text: str) -> Decimal:
    """A time in UTC as seconds since the epoch, by a way of its own."""
    if text.startswith("0000"):
        return Decimal(0)
    whole, _, rest = text.partition(".")
    seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%d %H:%M:%S"))
    return Decimal(f"{seconds}.{rest or 0}")


# ---- what else a table may have


def test_generated_columns_and_keys_are_told_from_others(subject: Subject) -> None:
    functional = ", UNIQUE KEY fk ((a + 1), b)" if subject.flavour == "mysql" else ""
    subject.run(
        "CREATE TABLE v.made (id INT, a INT, b VARCHAR(20) CHARACTER SET latin1, t TEXT,"
        " gv INT GENERATED ALWAYS AS (a + 1) VIRTUAL, gs INT GENERATED ALWAYS AS (a + 2) STORED,"
        " PRIMARY KEY (id, b), UNIQUE KEY ua (a), UNIQUE KEY up (t(5)), UNIQUE KEY ug (gs),"
        f" KEY n (b){functional})"
    )
    facts = subject.facts("made")
    assert [one.name for one in facts] == ["id", "a", "b", "t", "gv", "gs"]
    assert [one.name for one in facts if one.generated] == ["gv", "gs"]
    assert [one.name for one in facts if one.virtual] == ["gv"]
    keys = key_facts(subject.query, "v", "made")
    assert keys[0].primary
    assert keys[0].columns == ("id", "b")
    by_name = {key.name: key for key in keys}
    assert set(by_name) == {"PRIMARY", "ua", "up", "ug"} | ({"fk"} if functional else set())
    assert {name for name, key in by_name.items() if key.plain} == {"PRIMARY", "ua"}
    assert by_name["up"].parts[0].prefix_length == 5
    assert by_name["ug"].parts[0].generated
    place = subject.place()
    subject.run("INSERT INTO v.made (id, a, b, t) VALUES (1, 5, 'é', 'hello world')")
    (row,) = subject.logged_since(place, "made").after
    assert row is not None
    assert row[:4] == (1, 5, b"\xe9", b"hello world")
    assert subject.run(f"SELECT id FROM v.made WHERE {row_predicate(facts, row)}") == ((1,),)
    other = (2, 5, b"E", b"hello again", row[4], row[5])
    for name, hits in {"PRIMARY": 0, "ua": 1, "up": 1, "ug": 1}.items():
        predicate = key_predicate(by_name[name], facts, other)
        assert predicate is not None
        assert len(subject.run(f"SELECT id FROM v.made WHERE {predicate}")) == hits, name
    same_key = key_predicate(by_name["PRIMARY"], facts, (1, None, b"E", None, None, None))
    assert subject.run(f"SELECT id FROM v.made WHERE {same_key}") == ((1,),), "by collation"
    assert key_predicate(by_name["ua"], facts, (1, None, b"", None, None, None)) is None
    if functional:
        assert key_predicate(by_name["fk"], facts, other) is None


def test_what_a_server_adds_to_a_table_by_itself(subject: Subject) -> None:
    """Hidden columns are passed over, and an invisible primary key is a column like any other."""
    tables: dict[str, Row]
    if subject.flavour == "mysql":
        subject.run("SET sql_generate_invisible_primary_key = 1", "CREATE TABLE v.own (t TEXT)")
        subject.run("ALTER TABLE v.own ADD UNIQUE ((LEFT(t, 3)))")
        subject.run("SET sql_generate_invisible_primary_key = 0")
        tables = {"own": (1, b"abc")}
    else:
        subject.run(
            "CREATE TABLE v.own (t TEXT, UNIQUE (t))",
            "CREATE TABLE v.versions (t TEXT) WITH SYSTEM VERSIONING",
        )
        tables = {"own": (b"abc",), "versions": (b"abc",)}
    place = subject.place()
    for name, row in tables.items():
        subject.run(f"INSERT INTO v.{name} (t) VALUES ('abc')", f"INSERT INTO v.{name} VALUES ()")
        logged = subject.logged_since(place, name)
        assert logged.after[0] == row
        predicate = row_predicate(subject.facts(name), row)
        assert subject.run(f"SELECT t FROM v.{name} WHERE {predicate}") == (("abc",),)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("ADD COLUMN b INT", "3 columns now and had 2"),
        ("CHANGE a x INT", "other names"),
        ("MODIFY a VARCHAR(20)", "is varchar"),
    ],
)
def test_an_altered_table_is_not_guessed_at(subject: Subject, change: str, why: str) -> None:
    subject.run("DROP TABLE IF EXISTS v.altered", "CREATE TABLE v.altered (id INT, a INT)")
    place = subject.place()
    subject.run("INSERT INTO v.altered VALUES (1, 2)", f"ALTER TABLE v.altered {change}")
    with pytest.raises(DecodeError, match=why):
        subject.logged_since(place, "altered")


def test_values_are_shown_for_people(subject: Subject) -> None:
    subject.run(
        "CREATE TABLE v.shown (id INT PRIMARY KEY, c VARCHAR(500) CHARACTER SET latin1, b BLOB,"
        " e ENUM('a','it''s'), s SET('x','y'), bt BIT(4), y YEAR, d DECIMAL(5,2), t TIMESTAMP NULL)"
    )
    place = subject.place()
    subject.run(
        "INSERT INTO v.shown VALUES (1, _latin1 X'e9', X'00ff', 2, 3, 5, '0000', -1.5, NULL),"
        " (2, REPEAT('x', 400), REPEAT('y', 400), NULL, 0, 0, 2024, 0, '2020-01-01 00:00:00')"
    )
    facts = subject.facts("shown")
    texts = [
        [show(value, column) for value, column in zip(row or (), facts, strict=True)]
        for row in subject.logged_since(place, "shown").after
    ]
    assert texts[0] == ["1", "'é'", "0x00ff", "'it's'", "'x,y'", "b'101'", "0000", "-1.50", "NULL"]
    assert texts[1][1].endswith("... (400 characters)")
    assert texts[1][2].endswith("... (400 bytes)")
    assert texts[1][3:] == ["NULL", "''", "b'0'", "2024", "0.00", "'2020-01-01 00:00:00'"]
