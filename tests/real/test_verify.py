"""Comparing and repairing the rows of real pairs, while the daemon runs and clients write."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql
import pytest

from myha.core.gtid import GtidSet, MariadbGtidSet, MysqlGtidSet
from myha.database.flavours import FLAVOURS
from myha.errors import MyhaError
from myha.operations.verify import Throttle, VerifyReport, verify
from myha.operations.verify.compared_node import ComparedNode
from myha.operations.verify.hashing import Looks
from myha.operations.verify.repair import Repair
from myha.operations.verify.state import FILE
from myha.operations.verify.tables import read_tables
from myha.progress import Progress
from myha.undo import summed_files
from tests.real.pair import LIFTED, Pair, running_pair
from tests.real.test_rewind import (
    COLUMNS,
    NAMES,
    OWN_COLUMNS,
    OWN_NAMES,
    OWN_VALUES,
    VALUES,
)
from tests.reporters import ListReporter
from tests.waiting import until

pytestmark = pytest.mark.real

ROWS = 4000
DIGITS = "(SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5"
DIGITS += " UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)"
NUMBERS = f"(SELECT a.n + 10*b.n + 100*c.n + 1000*d.n AS i FROM {DIGITS} a, {DIGITS} b, {DIGITS} c,"
NUMBERS += f" {DIGITS} d) numbers WHERE i < {ROWS}"

TABLES = {
    "plain": (
        "id INT PRIMARY KEY, v VARCHAR(40), n INT NOT NULL",
        "i + 1, CONCAT('v', i), i",
    ),
    "pairs": (
        "a INT, b VARCHAR(20) CHARACTER SET utf8mb4, d DATE, v INT, PRIMARY KEY (a, b, d)",
        "i DIV 500, CONCAT('ü', i MOD 50), DATE '2020-01-01' + INTERVAL i DIV 50 DAY, i",
    ),
    "names": (
        "name VARCHAR(30) CHARACTER SET latin1 PRIMARY KEY, v FLOAT, w DOUBLE",
        "CONCAT('Näme ', i), i / 7, i / 7",
    ),
    "bytes": ("id BINARY(16) PRIMARY KEY, v BLOB", "UNHEX(MD5_OF_I), REPEAT(CHAR(i MOD 256), 20)"),
    "moments": (
        "at DATETIME(3) NOT NULL, ts TIMESTAMP(6) NULL, UNIQUE KEY at (at)",
        "TIMESTAMP '2020-01-01 00:00:00.5' + INTERVAL i * 7 SECOND,"
        " TIMESTAMP '2021-03-28 00:00:00.123456' + INTERVAL i HOUR",
    ),
    "kinds": (
        "e ENUM('x','y','z'), n DECIMAL(20,5), s SET('p','q'), PRIMARY KEY (n, e)",
        "1 + i MOD 3, i / 3, i MOD 4",
    ),
    "heap": ("v VARCHAR(20), n INT", "CONCAT('h', i MOD 10), i MOD 10"),
}
HEAP_ROWS = 100


def digest_of_i(flavour: str) -> str:
    return "LEFT(SHA2(i, 256), 32)" if flavour == "mysql" else "MD5(i)"


class Standing:
    """The nodes of a pair by role, for the tests here."""

    def __init__(self, pair: Pair, flavour: str) -> None:
        self.pair = pair
        self.flavour: str = flavour
        self.writer = str(pair.status()["writer"])
        self.standby = "b" if self.writer == "a" else "a"

    def connect(self, node: str) -> Callable[[], Any]:
        port = self.pair.cluster.nodes[node].port
        return lambda: self.pair.connect(port, "admin", charset="utf8mb4")

    def compare(self, *tables: str, **options: Any) -> VerifyReport:
        return verify(
            self.connect(self.writer),
            self.connect(self.standby),
            FLAVOURS[self.flavour],
            reporter=options.pop("reporter", None) or ListReporter(),
            tables=tables or None,
            names=(self.writer, self.standby),
            **options,
        )

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """On the writer, replicated."""
        return self.pair.admin(self.writer, *statements)

    def behind(self, *statements: str, node: str = "") -> None:
        """On the standby (or another node), behind replication's back."""
        before, after = [], []
        if self.flavour == "mysql" and node in {"", self.standby}:
            before, after = (
                [LIFTED],
                ["SET GLOBAL super_read_only = ON"],
            )
        self.pair.admin(node or self.standby, "SET sql_log_bin = 0", *before, *statements, *after)

    def level(self) -> None:
        """Until the standby has all that the writer has."""
        self.run("CREATE DATABASE IF NOT EXISTS app")
        self.run("CREATE TABLE IF NOT EXISTS app.level (n INT PRIMARY KEY AUTO_INCREMENT)")
        mark = self.run("INSERT INTO app.level VALUES (NULL)", "SELECT MAX(n) FROM app.level")[0][0]

        def there() -> bool:
            try:
                here = self.pair.admin(self.standby, "SELECT MAX(n) FROM app.level")[0][0]
                return bool(here == mark)
            except pymysql.MySQLError:  # the table, or its database, is not there yet
                return False

        until(there, "the standby is level")

    def checksums(self, *tables: str) -> tuple[Any, Any]:
        """The server's own, of both nodes: the judge of equality."""
        sql = "CHECKSUM TABLE " + ", ".join(tables)
        return self.pair.admin(self.writer, sql), self.pair.admin(self.standby, sql)

    def executed(self, node: str) -> GtidSet:
        if self.flavour == "mysql":
            return MysqlGtidSet.parse(self.pair.admin(node, "SELECT @@GLOBAL.gtid_executed")[0][0])
        positions = self.pair.admin(node, "SELECT @@gtid_binlog_pos, @@gtid_slave_pos")[0]
        first, second = map(MariadbGtidSet.parse, positions)
        return first.union(second)

    def closed(self, node: str) -> bool:
        name = "super_read_only" if self.flavour == "mysql" else "read_only"
        return bool(self.pair.admin(node, f"SELECT @@GLOBAL.{name}")[0][0])

    def last_quarantine(self) -> Path:
        folder = self.pair.cluster.state_dir / "quarantine"
        return max(folder.glob("repair-*"), key=lambda path: path.stat().st_mtime)

    def contents(self, columns: list[str]) -> tuple[Any, Any]:
        """All of `d2.kinds`, of both nodes, as a client reads it.

        MySQL's CHECKSUM TABLE gives another number at each call for a table with JSON or geometry.
        """
        names = ", ".join(f"HEX({name})" if name == "v" else name for name in columns)
        sql = f"SELECT id, {names} FROM d2.kinds ORDER BY id"
        return self.pair.admin(self.writer, sql), self.pair.admin(self.standby, sql)

    def make(self, database: str) -> None:
        """A database with tables of several kinds of keys."""
        statements = [f"DROP DATABASE IF EXISTS {database}", f"CREATE DATABASE {database}"]
        for name, (columns, template) in TABLES.items():
            values = template.replace("MD5_OF_I", digest_of_i(self.flavour))
            rows = f"{NUMBERS} AND i < {HEAP_ROWS}" if name == "heap" else NUMBERS
            statements += [
                f"CREATE TABLE {database}.{name} ({columns})",
                f"INSERT INTO {database}.{name} SELECT {values} FROM {rows}",
            ]
        self.run("SET sql_mode = ''", *statements)
        self.level()


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(one, marks=pytest.mark.xdist_group(f"verify-{one}")) for one in [*FLAVOURS]
    ],
)
def standing(request: pytest.FixtureRequest) -> Iterator[Standing]:
    with running_pair(flavour=request.param) as pair:
        yield Standing(pair, request.param)


def found(report: VerifyReport) -> set[tuple[str, str, str]]:
    return {
        (one.table.partition(".")[2], ",".join(one.shown_key.values()), one.kind)
        for one in report.differences
    }


def test_exactly_the_rows_changed_behind_replication_are_found(standing: Standing) -> None:
    standing.make("d1")
    tables = [f"d1.{name}" for name in TABLES]
    report = standing.compare(*tables)
    assert report.equal, report.lines()
    assert report.complete, report.lines()
    assert report.rows == ROWS * (len(TABLES) - 1) + HEAP_ROWS
    ours, theirs = standing.checksums(*tables)
    assert ours == theirs

    key = "LEFT(SHA2(77, 256), 32)" if standing.flavour == "mysql" else "MD5(77)"
    standing.behind(
        "SET sql_mode = ''",
        "SET time_zone = '+00:00'",
        "UPDATE d1.plain SET n = 12 WHERE id = 12",  # these two have exchanged their values:
        "UPDATE d1.plain SET n = 11 WHERE id = 13",  # the XOR of their CRC32s is as it was
        "DELETE FROM d1.plain WHERE id = 4000",
        "INSERT INTO d1.plain VALUES (-5, NULL, 1)",
        "UPDATE d1.pairs SET v = v + 1 WHERE a = 3 AND b = 'ü7' ORDER BY d LIMIT 1",
        "UPDATE d1.names SET v = v * 1.0000002 WHERE name = 'Näme 700'",
        "UPDATE d1.names SET w = w + 1e-13 WHERE name = 'Näme 701'",
        "UPDATE d1.names SET name = 'näme 702' WHERE name = 'Näme 702'",
        f"UPDATE d1.bytes SET v = CONCAT(v, ' ') WHERE id = UNHEX({key})",
        "UPDATE d1.moments SET ts = ts + INTERVAL 1 MICROSECOND"
        " WHERE at = '2020-01-01 00:00:07.500'",
        "UPDATE d1.kinds SET s = '' WHERE n = 3 AND e = 1",
        "UPDATE d1.heap SET v = 'H3' WHERE v = 'h3' LIMIT 1",
    )
    report = standing.compare(*tables)
    assert not report.equal
    expected = {
        ("plain", "12", "different"),
        ("plain", "13", "different"),
        ("plain", "4000", "missing"),
        ("plain", "-5", "extra"),
        ("pairs", "3,'ü7',2020-01-31", "different"),
        ("names", "'Näme 700'", "different"),
        ("names", "'Näme 701'", "different"),
        ("names", "'Näme 702'", "missing"),
        ("names", "'näme 702'", "extra"),
        ("bytes", "0x" + standing.run(f"SELECT UPPER({key})")[0][0], "different"),
        ("moments", "2020-01-01 00:00:07.500", "different"),
        ("kinds", "3.00000,'x'", "different"),
        ("heap", "", "missing"),
        ("heap", "", "extra"),
    }
    assert found(report) == expected
    assert len(report.differences) == len(expected)
    row = next(one for one in report.differences if one.shown_key == {"id": "12"})
    assert (row.writer, row.standby) == ({"n": "11"}, {"n": "12"})


def test_the_digest_of_a_row_is_of_the_stored_bytes(standing: Standing) -> None:
    """Whatever character sets meet in a row: computed here again from what is stored."""
    codecs = {"latin1": "cp1252", "utf16": "utf-16-be", "utf8mb4": "utf-8", "utf32": "utf-32-be"}
    columns = [f"c_{name} VARCHAR(20) CHARACTER SET {name}" for name in codecs]
    text = "äß, €"
    standing.run(
        "DROP DATABASE IF EXISTS d6",
        "CREATE DATABASE d6",
        f"CREATE TABLE d6.t (id INT PRIMARY KEY, n INT, {', '.join(columns)}, b BLOB, l LONGTEXT)"
        " CHARACTER SET utf8mb4",
        "INSERT INTO d6.t VALUES"
        f" (7, NULL, '{text}', '{text}', '{text}', '{text}', x'ff002c', NULL),"
        f" (8, -1, NULL, '', '{text}', '', NULL, '{text}')",
    )

    def parts(*values: bytes | None) -> Iterator[bytes]:
        for value in values:
            yield from [b"N"] if value is None else [str(len(value)).encode(), value]

    encoded = [text.encode(codec) for codec in codecs.values()]
    long = hashlib.sha256(text.encode()).hexdigest().encode()
    rows = {
        "7": [b"7", b"N", *parts(*encoded, b"\xff\x00,"), b"N"],
        "8": [b"8", b"-1", *parts(None, b"", text.encode(), b"", None), long],
    }
    side = ComparedNode("a", standing.connect(standing.writer), FLAVOURS[standing.flavour])
    try:
        table = read_tables(side.query, ["d6.t"])["d6.t"]
        found = side.query(
            Looks(table, FLAVOURS[standing.flavour], 1 << 20).digests(None, None, 10)
        )
    finally:
        side.close()
    assert dict(found) == {
        number: hashlib.sha256(b",".join(row)).hexdigest() for number, row in rows.items()
    }


def types_table(standing: Standing) -> list[str]:
    """`d2.kinds` with a row for each column, all alike, and one of NULLs; the columns."""
    names = [*NAMES.split(","), *OWN_NAMES[standing.flavour].split(",")]
    values = f"{VALUES}, {OWN_VALUES[standing.flavour]}"
    standing.run(
        "SET sql_mode = ''",
        "SET time_zone = '+00:00'",
        "DROP DATABASE IF EXISTS d2",
        "CREATE DATABASE d2",
        f"CREATE TABLE d2.kinds ({COLUMNS}, {OWN_COLUMNS[standing.flavour]})",
        "BEGIN",
        *(
            f"INSERT INTO d2.kinds (id, {','.join(names)}) VALUES ({number}, {values})"
            for number in range(1, len(names) + 1)
        ),
        f"INSERT INTO d2.kinds (id) VALUES ({len(names) + 1})",
        "COMMIT",
    )
    standing.level()
    return names


def test_every_type_is_compared_shown_repaired_and_put_back(standing: Standing) -> None:
    names = types_table(standing)
    assert standing.compare("d2.kinds").equal
    standing.behind(
        "SET sql_mode = ''",
        "BEGIN",
        *(
            f"UPDATE d2.kinds SET {name} = NULL WHERE id = {number}"
            for number, name in enumerate(names, 1)
        ),
        f"UPDATE d2.kinds SET vc = '' WHERE id = {len(names) + 1}",
        "COMMIT",
    )
    report = standing.compare("d2.kinds")
    shown = {one.shown_key["id"]: one for one in report.differences}
    for number, name in enumerate(names, 1):
        changed = shown[str(number)].writer
        assert changed is not None, name
        # `gs` is generated from `i`.
        assert set(changed) == ({"i", "gs"} if name == "i" else {name})
    assert shown[str(len(names) + 1)].writer == {"vc": "NULL"}
    assert len(shown) == len(names) + 1
    broken = standing.contents(names)
    assert broken[0] != broken[1]

    done = standing.pair.myha("repair", "--from", standing.writer, "--tables", "d2.kinds")
    assert done.returncode == 1, done.stderr
    assert standing.contents(names) == broken, "a dry run"

    executed = standing.executed(standing.standby)
    done = standing.pair.myha(
        "repair", "--from", standing.writer, "--tables", "d2.kinds", "--apply", "--yes"
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    ours, theirs = standing.contents(names)
    assert ours == theirs == broken[0]
    if standing.flavour == "mariadb":
        ours, theirs = standing.checksums("d2.kinds")
        assert ours == theirs
    assert standing.compare("d2.kinds").equal
    assert standing.closed(standing.standby)
    assert standing.executed(standing.standby).contains(executed)
    standing.pair.await_healthy()  # nothing of it is errant

    directory = standing.last_quarantine()
    lines = [json.loads(line) for line in (directory / "rows.jsonl").read_text().splitlines()]
    assert len(lines) == len(names) + 1
    summed_files.verify(directory)
    sql = (directory / "put_back.sql").read_text()
    standing.behind(*(one for one in sql.split(";\n") if one.strip()))
    assert standing.contents(names) == broken


UNTOUCHED = (17, 3000)


def test_a_busy_pair_gives_no_false_difference(standing: Standing) -> None:
    standing.run(
        "DROP DATABASE IF EXISTS d3",
        "CREATE DATABASE d3",
        "CREATE TABLE d3.hot (id INT PRIMARY KEY, v INT NOT NULL, w VARCHAR(40))",
        f"INSERT INTO d3.hot SELECT i + 1, 0, 'x' FROM {NUMBERS}",
        "CREATE TABLE d3.log (id BIGINT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(100))",
        "CREATE TABLE d3.heap (v INT)",
        "INSERT INTO d3.heap VALUES (1), (2), (2)",
    )
    standing.level()
    # An update of the row would bring the writer's whole row with it, and so mend it.
    standing.behind(f"UPDATE d3.hot SET w = 'y' WHERE id IN {UNTOUCHED}")
    with writers(standing, hot_writer, hot_writer, tail_writer) as written:
        ends = time.monotonic() + 6
        rounds = 0
        while time.monotonic() < ends or rounds < 2:
            report = standing.compare(
                "d3.hot", "d3.log", "d3.heap", throttle=Throttle(chunk_seconds=0.05)
            )
            assert {one.shown_key.get("id") for one in report.differences} <= {"17", "3000"}, (
                report.lines()
            )
            unsettled = sum(one.unsettled for one in report.tables)
            assert len(report.differences) + unsettled == 2, report.lines()
            rounds += 1
        until(lambda: written() > 200, "the clients have written many times")
    standing.level()
    report = standing.compare("d3.hot", "d3.log", "d3.heap")
    assert {one.shown_key["id"] for one in report.differences} == {"17", "3000"}
    assert report.complete


def hot_writer(cursor: Any, dice: random.Random, ended: threading.Event) -> None:
    """Rows that go back and forth between two values, move, and come and go."""
    while not ended.is_set():
        row = dice.choice((7, 8, 9, 3001, dice.randrange(1, ROWS)))
        if row in UNTOUCHED:
            continue
        cursor.execute("UPDATE d3.hot SET v = 1 - v WHERE id = %s", (row,))
        other = ROWS + dice.randrange(1, 20)
        cursor.execute("REPLACE INTO d3.hot VALUES (%s, 0, 'new')", (other,))
        cursor.execute("DELETE FROM d3.hot WHERE id = %s", (other,))
        cursor.execute("UPDATE d3.heap SET v = 1 - v WHERE v < 2")


def tail_writer(cursor: Any, dice: random.Random, ended: threading.Event) -> None:
    while not ended.is_set():
        cursor.execute("INSERT INTO d3.log (v) VALUES (REPEAT('t', 100)), ('u'), ('w')")
        cursor.execute("DELETE FROM d3.log WHERE id < %s LIMIT 2", (dice.randrange(1, 10000),))


class Counted:
    """A cursor that counts the statements it had an OK for, and rests a little after each."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self.count = 0

    def execute(self, *words: Any) -> None:
        self._cursor.execute(*words)
        self.count += 1
        time.sleep(0.001)  # clients that never rest outrun the appliers, ever further


Work = Callable[[Any, random.Random, threading.Event], None]


@contextmanager
def writers(
    standing: Standing, *works: Work, nodes: tuple[str, ...] = ()
) -> Iterator[Callable[[], int]]:
    """Clients that write until the block ends; gives how many statements they had an OK for."""
    ended = threading.Event()
    cursors: list[Counted] = []
    errors: list[BaseException] = []

    def run(work: Work, node: str, seed: int) -> None:
        try:
            connection = standing.connect(node)()
            with connection, connection.cursor() as cursor:
                cursor.execute("SET SESSION innodb_lock_wait_timeout = 20")
                counted = Counted(cursor)
                cursors.append(counted)
                while not ended.is_set():
                    try:
                        work(counted, random.Random(seed), ended)
                    except pymysql.err.OperationalError as error:
                        if error.args[0] != 1213:  # a deadlock is an application's daily bread
                            raise
        except BaseException as error:  # noqa: BLE001  # told by the test
            errors.append(error)

    threads = [
        threading.Thread(
            target=run, args=(work, nodes[n] if nodes else standing.writer, n), daemon=True
        )
        for n, work in enumerate(works)
    ]
    for thread in threads:
        thread.start()
    try:
        yield lambda: sum(one.count for one in cursors)
    finally:
        ended.set()
        for thread in threads:
            thread.join(90)
    assert not errors


def test_a_run_that_was_stopped_goes_on(standing: Standing) -> None:
    standing.make("d1")
    standing.behind("UPDATE d1.bytes SET v = 'x' LIMIT 1")
    tables = ",".join(f"d1.{name}" for name in TABLES)
    state = standing.pair.cluster.state_dir / FILE
    command = [sys.executable, "-m", "myha", "--config", str(standing.pair.cluster.config_path)]
    command += ["verify", "--tables", tables, "--throttle", "1", "--restart"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:

        def begun() -> bool:
            assert process.poll() is None, process.stderr
            try:
                known = json.loads(state.read_text())["tables"]
            except (OSError, ValueError):
                return False
            return bool(known.get("d1.bytes", {}).get("done"))

        until(begun, "the first table is done")
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=90)
    assert process.returncode == 130, told
    assert "`myha verify` continues" in told
    assert state.exists()
    kept = json.loads(state.read_text())["tables"]
    assert len([one for one in kept.values() if one["done"]]) < len(TABLES)

    standing.behind("UPDATE d1.bytes SET v = 'z' ORDER BY id DESC LIMIT 1")  # not looked at again
    done = standing.pair.myha("verify", "--tables", tables, "--json")
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert report["resumed"]
    assert report["rows"] == ROWS * (len(TABLES) - 1) + HEAP_ROWS
    assert [one["table"] for one in report["differences"]] == ["d1.bytes"]
    assert not state.exists()
    report = json.loads(standing.pair.myha("verify", "--tables", tables, "--json").stdout)
    assert len(report["differences"]) == 2


def test_it_backs_off_while_the_standby_lags(standing: Standing) -> None:
    standing.make("d1")
    held = standing.connect(standing.standby)()
    released = threading.Event()
    seen: list[Progress] = []

    def watch(one: Progress) -> bool:
        seen.append(one)
        if one.phase == "verify" and one.done > 0 and not holding.is_set():
            holding.set()
            with held.cursor() as cursor:
                cursor.execute("BEGIN")
                cursor.execute("SELECT * FROM d1.names WHERE w = 0 LOCK IN SHARE MODE")
            standing.run("UPDATE d1.names SET v = 1 WHERE w = 0")  # the applier waits for us
        if one.phase == "waiting" and one.done > 1 and not released.is_set():
            released.set()
            held.rollback()
        return False

    holding = threading.Event()
    throttle = Throttle(busy_percent=10, chunk_seconds=0.001, lag_limit_seconds=0.2)
    tables = [f"d1.{name}" for name in TABLES if name not in {"names", "heap"}]
    report = standing.compare(*tables, reporter=ListReporter(watch), throttle=throttle)
    held.close()
    assert released.is_set()
    assert any("is above the limit" in one.text for one in seen)
    assert report.backed_off >= 1
    assert report.paused_seconds > 1
    assert report.equal


def test_definitions_and_tables_on_one_side_are_told_first(standing: Standing) -> None:
    standing.run(
        "DROP DATABASE IF EXISTS d4",
        "CREATE DATABASE d4",
        "CREATE TABLE d4.t (id INT PRIMARY KEY, v VARCHAR(10), w INT)",
        "CREATE TABLE d4.k (id INT PRIMARY KEY, v INT)",
        "CREATE TABLE d4.gone (id INT PRIMARY KEY)",
        "CREATE TABLE d4.noted (id INT PRIMARY KEY, v INT)",
        "INSERT INTO d4.k VALUES (1, 1)",
        "INSERT INTO d4.t VALUES (1, 'a', 1)",
    )
    standing.level()
    standing.behind(
        "ALTER TABLE d4.t MODIFY v VARCHAR(20), DROP w",
        "ALTER TABLE d4.k ADD KEY extra (v)",
        "UPDATE d4.k SET v = 2",
        "DROP TABLE d4.gone",
        "CREATE TABLE d4.new (id INT PRIMARY KEY)",
    )
    try:
        report = standing.compare("d4.t", "d4.k", "d4.gone", "d4.new", "d4.noted")
        a, b = standing.writer, standing.standby
        told = "\n".join(report.schema)
        assert f"d4.gone: only on {a}" in told
        assert f"d4.new: only on {b}" in told
        assert "column v is varchar(10)" in told
        assert f"missing on {b}" in told
        assert f"d4.k: key extra (v) only on {b}" in told
        assert [(one.table, one.kind) for one in report.differences] == [("d4.k", "different")]
        notes = {one.table: one.note for one in report.tables}
        assert "definitions differ" in notes["d4.t"]
        assert not notes["d4.noted"]
        assert not report.equal
        with pytest.raises(MyhaError, match=r"no such table on either node: d4\.nowhere"):
            standing.compare("d4.nowhere")
    finally:
        standing.behind("CREATE TABLE d4.gone (id INT PRIMARY KEY)")
        standing.run("DROP DATABASE d4")
        standing.level()


def test_what_cannot_be_compared_is_said(standing: Standing) -> None:
    standing.make("d1")
    ten_digits = f"{DIGITS} x"
    standing.run(
        "CREATE TABLE d1.large_heap (v INT, w INT)",
        f"INSERT INTO d1.large_heap SELECT x.n, i FROM {ten_digits}, {NUMBERS}",
        "CREATE TABLE d1.by_float (f FLOAT PRIMARY KEY, v INT)",
        "INSERT INTO d1.by_float VALUES (1.1, 1), (2.2, 2)",
        "ANALYZE TABLE d1.large_heap",
    )
    standing.level()
    standing.behind("UPDATE d1.by_float SET v = 9 WHERE v = 2")
    dropped = threading.Event()

    def drop(one: Progress) -> bool:
        if one.done > 0 and not dropped.is_set():
            dropped.set()
            standing.run("DROP TABLE d1.plain")
        return False

    report = standing.compare(
        "d1.bytes", "d1.large_heap", "d1.by_float", "d1.plain",
        reporter=ListReporter(drop), throttle=Throttle(busy_percent=2, chunk_seconds=0.01),
    )  # fmt: skip
    notes = {one.table: one.note for one in report.tables}
    assert "no usable key and more" in notes["d1.large_heap"]
    assert "changed or dropped meanwhile" in notes["d1.plain"]
    assert not notes["d1.bytes"]
    assert not report.complete
    assert [(one.table, one.kind) for one in report.differences] == [
        ("d1.by_float", "missing"),
        ("d1.by_float", "extra"),
    ]


def test_a_missing_grant_is_one_line(standing: Standing) -> None:
    standing.make("d1")
    standing.behind("REVOKE SELECT ON *.* FROM myha@'%'")
    try:
        done = standing.pair.myha("verify", "--tables", "d1.plain", "--restart")
    finally:
        standing.behind("GRANT SELECT ON *.* TO myha@'%'")
    assert done.returncode == 1
    assert "comparing needs SELECT on all data: run `myha setup` again" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_repair_writes_what_was_shown_and_nothing_else(
    standing: Standing, tmp_path: Path
) -> None:
    standing.make("d1")
    trigger = "CREATE TRIGGER d1.fires BEFORE INSERT ON d1.kinds FOR EACH ROW SET NEW.s = ''"
    standing.run(trigger, "CREATE UNIQUE INDEX n ON d1.plain (n)")
    standing.level()
    standing.behind(
        "UPDATE d1.plain SET n = -1 WHERE id = 12",  # exchanged under a unique key
        "UPDATE d1.plain SET n = 11 WHERE id = 13",
        "UPDATE d1.plain SET n = 12 WHERE id = 12",
        "UPDATE d1.plain SET v = 'standby' WHERE id IN (20, 21)",
        "DELETE FROM d1.pairs WHERE a = 1 LIMIT 1",
        "UPDATE d1.kinds SET s = 'p,q' WHERE n = 0",
        "UPDATE d1.heap SET n = 100 LIMIT 1",
    )
    names = (standing.writer, standing.standby)
    tables = [f"d1.{name}" for name in TABLES]
    with Repair(
        standing.connect(names[0]),
        standing.connect(names[1]),
        FLAVOURS[standing.flavour],
        names=names,
        source=standing.writer,
        reporter=ListReporter(),
    ) as repair:
        plan = repair.plan(tables)
        assert len(plan.changes) == 5
        assert any(
            "1 rows differ and are not repaired: it has triggers" in x for x in plan.left_out
        )
        assert any("d1.heap: 2 rows differ and are not repaired" in x for x in plan.left_out)
        standing.behind("UPDATE d1.plain SET v = 'someone else' WHERE id = 21")
        unwritable = tmp_path / "file"
        unwritable.write_text("no directory")
        with pytest.raises(MyhaError, match="nothing was repaired"):
            repair.carry_out(plan, unwritable, {})
        report = repair.carry_out(plan, tmp_path / "quarantine", {"who": "test"})
    assert report.repaired == 4
    assert [line for line in report.skipped if "id = 21" in line] == list(report.skipped)
    assert standing.closed(standing.standby)
    left = standing.compare(*tables)
    assert {(one.table, one.shown_key.get("id")) for one in left.differences} == {
        ("d1.plain", "21"),
        ("d1.kinds", None),
        ("d1.heap", None),
    }


def test_the_writer_is_repaired_from_the_standby_under_load(
    standing: Standing, tmp_path: Path
) -> None:
    standing.make("d1")
    standing.behind("UPDATE d1.plain SET v = 'wrong' WHERE id <= 60", node=standing.writer)
    names = (standing.writer, standing.standby)

    def touch(cursor: Any, dice: random.Random, ended: threading.Event) -> None:
        while not ended.is_set():
            cursor.execute(
                "UPDATE d1.plain SET n = n + 1 WHERE id = %s", (dice.randrange(100, ROWS),)
            )

    with (
        writers(standing, touch, touch),
        Repair(
            standing.connect(names[0]),
            standing.connect(names[1]),
            FLAVOURS[standing.flavour],
            names=names,
            source=standing.standby,
            reporter=ListReporter(),
        ) as repair,
    ):
        plan = repair.plan(["d1.plain"])
        assert len(plan.changes) == 60
        report = repair.carry_out(plan, tmp_path / "quarantine", {})
        assert report.whole, report
    standing.level()
    ours, theirs = standing.checksums("d1.plain")
    assert ours == theirs
    assert not standing.run("SELECT 1 FROM d1.plain WHERE v = 'wrong'")
    assert not standing.closed(standing.writer)


@pytest.mark.parametrize("dual", [*FLAVOURS])
def test_two_writers_are_compared_in_both_directions(dual: str) -> None:
    with running_pair(flavour=dual, mode="dual-writer") as pair:
        both = Standing(pair, dual)
        both.run(
            "CREATE DATABASE d5",
            "CREATE TABLE d5.t (id INT PRIMARY KEY, v INT NOT NULL)",
            f"INSERT INTO d5.t SELECT i + 1, 0 FROM {NUMBERS}",
        )
        both.level()
        pair.admin(
            both.standby, "SET sql_log_bin = 0", "UPDATE d5.t SET v = -1000000 WHERE id = 11"
        )

        def counts(first: int) -> Work:
            def work(cursor: Any, dice: random.Random, ended: threading.Event) -> None:
                while not ended.is_set():
                    row = first + 2 * dice.choice((0, 1, 2, dice.randrange(6, ROWS // 2)))
                    cursor.execute("UPDATE d5.t SET v = v + 1 WHERE id = %s", (row,))

            return work

        with writers(both, counts(1), counts(2), nodes=(both.writer, both.standby)) as written:
            for _ in range(3):
                report = both.compare("d5.t", both_ways=True, throttle=Throttle(chunk_seconds=0.05))
                # On a busy machine a row that changes all the time may not settle; but what is
                # called different is.
                unsettled = sum(one.unsettled for one in report.tables)
                assert {one.shown_key["id"] for one in report.differences} <= {"11"}, report.lines()
                assert len(report.differences) + unsettled >= 1, report.lines()
            until(lambda: written() > 50, "both have written many times")
        both.level()
        report = both.compare("d5.t", both_ways=True)
        assert [one.shown_key["id"] for one in report.differences] == ["11"], report.lines()
        assert sum(one.unsettled for one in report.tables) == 0
