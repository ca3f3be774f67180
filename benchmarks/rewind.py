"""What a rewind takes: 1,000 errant transactions of 10 rows, on a small and on a large data set."""

from __future__ import annotations

import io
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pymysql

from benchmarks.load import server
from benchmarks.parts import Say
from myha.core.gtid import GtidSet, MariadbGtidSet, MysqlGtidSet
from myha.database.flavours import FLAVOURS
from myha.errors import MyhaError
from myha.progress import JsonReporter
from myha.sandbox.cluster import Cluster
from myha.sandbox.servers import ADMIN_USER
from myha.undo.rewind import rewind_node

MB = 10**6
SMALL_BYTES, LARGE_BYTES = 10 * MB, 5_000 * MB
# Beside the data: redo and undo logs, and as much again while a chunk is copied.
FREE_TIMES = 3
ROW_BYTES = 1_000
CHUNK_ROWS = 200_000
BUFFER_POOL_BYTES = 512 * 1024 * 1024
TRANSACTIONS, UPDATED, DELETED, INSERTED = 1_000, 4, 3, 3
ROUNDS = 3
TARGET_SECONDS = 5.0
SETTLE_DEADLINE_SECONDS = 180.0
DIRTY_PAGES_LEFT = 200

Connection: TypeAlias = "pymysql.Connection[Any]"


def measure(flavour: str, say: Say) -> dict[str, Any]:
    """Three rewinds on each data set; the rows of the table are compared by CHECKSUM TABLE."""
    found = []
    with _server(flavour) as node:
        for wanted in (SMALL_BYTES, _affordable(node.directory)):
            say(f"rewind {flavour}: filling a table of {wanted / MB:,.0f} MB")
            node.fill(wanted // ROW_BYTES)
            rounds = [node.rewind(seed) for seed in range(1, ROUNDS + 1)]
            found.append({"data_bytes": node.data_bytes(), "rounds": rounds})
            times = [one["seconds"] for one in rounds]
            say(f"rewind {flavour}, {node.data_bytes() / MB:,.0f} MB: {times} s")
        version = node.value("SELECT VERSION()")
    return {"server_version": version, "buffer_pool_bytes": BUFFER_POOL_BYTES, "sizes": found}


def _affordable(directory: Path) -> int:
    return min(LARGE_BYTES, shutil.disk_usage(directory).free // FREE_TIMES)


class Node:
    """One bare server with one table, which is written to and rewound."""

    def __init__(self, flavour: str, cluster: Cluster, quarantine: Path) -> None:
        self.flavour = flavour
        self.directory = cluster.directory
        self._port = cluster.nodes["a"].port
        self._password = cluster.secret("admin")
        self._quarantine = quarantine
        self._rows = 0
        self.run(
            f"SET GLOBAL innodb_buffer_pool_size = {BUFFER_POOL_BYTES}",
            "CREATE DATABASE IF NOT EXISTS app",
        )

    def connect(self) -> Connection:
        return pymysql.connect(
            host="127.0.0.1",
            port=self._port,
            user=ADMIN_USER,
            password=self._password,
            autocommit=True,
        )

    def run(self, *statements: str) -> tuple[tuple[Any, ...], ...]:
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return tuple(cursor.fetchall())

    def value(self, statement: str) -> Any:
        return self.run(statement)[0][0]

    def fill(self, rows: int) -> None:
        """A table of so many rows, out of the binary log, made of copies of its first ones."""
        pad = f"RPAD(SHA2(seq.n, 512), {ROW_BYTES - 40}, 'x')"
        seq = "WITH RECURSIVE seq (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM seq WHERE n < 1000)"
        self._rows = 1_000
        self.run(
            "USE app",
            "SET sql_log_bin = 0",
            "DROP TABLE IF EXISTS app.data",
            "CREATE TABLE app.data (id BIGINT PRIMARY KEY, k INT NOT NULL,"
            f" pad VARBINARY({ROW_BYTES}) NOT NULL) ENGINE = InnoDB",
            f"INSERT INTO app.data {seq} SELECT n, n, {pad} FROM seq",
        )
        while self._rows < rows:
            more = min(self._rows, rows - self._rows, CHUNK_ROWS)
            self.run(
                "SET sql_log_bin = 0",
                f"INSERT INTO app.data SELECT id + {self._rows}, k, pad FROM app.data"
                f" WHERE id <= {more}",
            )
            self._rows += more
        self._settle()

    def _settle(self) -> None:
        """Until the pages of the new table are on disk: writing them is no part of a rewind."""
        percent = self.value("SELECT @@GLOBAL.innodb_max_dirty_pages_pct")
        low = self.value("SELECT @@GLOBAL.innodb_max_dirty_pages_pct_lwm")
        self.run(
            "SET GLOBAL innodb_max_dirty_pages_pct_lwm = 0",
            "SET GLOBAL innodb_max_dirty_pages_pct = 0",
        )
        ends = time.monotonic() + SETTLE_DEADLINE_SECONDS
        while self._dirty_pages() > DIRTY_PAGES_LEFT:
            if time.monotonic() > ends:
                raise MyhaError(f"the pages were not written in {SETTLE_DEADLINE_SECONDS:.0f} s")
            time.sleep(0.5)
        self.run(
            f"SET GLOBAL innodb_max_dirty_pages_pct = {percent}",
            f"SET GLOBAL innodb_max_dirty_pages_pct_lwm = {low}",
        )

    def _dirty_pages(self) -> int:
        rows = self.run("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'")
        return int(rows[0][1])

    def data_bytes(self) -> int:
        self.run("ANALYZE NO_WRITE_TO_BINLOG TABLE app.data")
        analysed = ("SET SESSION information_schema_stats_expiry = 0",)
        before = analysed if self.flavour == "mysql" else ()
        rows = self.run(
            *before,
            "SELECT data_length FROM information_schema.tables"
            " WHERE table_schema = 'app' AND table_name = 'data'",
        )
        return int(rows[0][0])

    def executed(self) -> GtidSet:
        if self.flavour == "mysql":
            return MysqlGtidSet.parse(self.value("SELECT @@GLOBAL.gtid_executed"))
        logged = MariadbGtidSet.parse(self.value("SELECT @@GLOBAL.gtid_binlog_pos"))
        return logged.union(MariadbGtidSet.parse(self.value("SELECT @@GLOBAL.gtid_slave_pos")))

    def checksum(self) -> Any:
        return self.run("CHECKSUM TABLE app.data")[0][1]

    def rewind(self, seed: int) -> dict[str, Any]:
        """Write what is errant, close the server, and undo it."""
        before, keep = self.checksum(), self.executed()
        wrote = self._write_errant(random.Random(seed))
        close = "super_read_only" if self.flavour == "mysql" else "read_only"
        self.run(f"SET GLOBAL {close} = ON")
        began = time.monotonic()
        report = rewind_node(
            self.connect,
            FLAVOURS[self.flavour],
            self.executed(),
            keep,
            quarantine_dir=self._quarantine,
            incident={"node": "a", "why": "a benchmark"},
            reporter=JsonReporter(io.StringIO()),
        )
        seconds = time.monotonic() - began
        rows = TRANSACTIONS * (UPDATED + DELETED + INSERTED)
        if (report.undone_transactions, report.rows) != (TRANSACTIONS, rows):
            raise MyhaError(f"the rewind undid something else: {report}")
        if self.checksum() != before or self.executed() != keep:
            raise MyhaError("after the rewind the table is not what it was")
        self.run("SET GLOBAL read_only = OFF")
        return {"seconds": round(seconds, 3), "writing_seconds": round(wrote, 3)}

    def _write_errant(self, choice: random.Random) -> float:
        """Transactions of ten rows each, all over the table; how long they took."""
        ids = choice.sample(range(1, self._rows + 1), TRANSACTIONS * (UPDATED + DELETED))
        began = time.monotonic()
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            for number in range(TRANSACTIONS):
                first = number * (UPDATED + DELETED)
                updated = ids[first : first + UPDATED]
                deleted = ids[first + UPDATED : first + UPDATED + DELETED]
                fresh = range(
                    self._rows + 1 + number * INSERTED, self._rows + 1 + (number + 1) * INSERTED
                )
                connection.begin()
                cursor.execute(
                    "UPDATE app.data SET k = k + 1, pad = REVERSE(pad) WHERE id IN %s", (updated,)
                )
                cursor.execute("DELETE FROM app.data WHERE id IN %s", (deleted,))
                cursor.executemany(
                    "INSERT INTO app.data (id, k, pad) VALUES (%s, %s, %s)",
                    [(one, number, b"errant" * (ROW_BYTES // 6)) for one in fresh],
                )
                connection.commit()
        return time.monotonic() - began


@contextmanager
def _server(flavour: str) -> Iterator[Node]:
    cluster = Cluster.create(flavour=flavour)
    try:
        cluster.start_servers()
        with tempfile.TemporaryDirectory(dir=cluster.directory) as folder:
            yield Node(flavour, cluster, Path(folder))
    finally:
        cluster.down()


def section(reports: list[dict[str, Any]]) -> str:
    """The part's section of RESULTS.md."""
    rows = UPDATED + DELETED + INSERTED
    lines = [
        "## Rewind",
        "",
        f"{TRANSACTIONS:,} errant transactions of {rows} rows each ({UPDATED} updates,"
        f" {DELETED} deletions, {INSERTED} inserts, at random places of one table with rows of"
        f" {ROW_BYTES} bytes) are undone on a closed server: read from its binary log, written to"
        " quarantine and synced, undone in one transaction, its GTID state set. The table's"
        " CHECKSUM TABLE is the same as before, each time. The comparison with the writer that"
        " follows a heal is not part of it: its time does grow with the data."
        f" innodb_buffer_pool_size is {BUFFER_POOL_BYTES // 2**20} MB.",
        "",
        "| server | data, MB | seconds: min | median | max | target |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for one in reports:
        for size in one["sizes"]:
            times = [done["seconds"] for done in size["rounds"]]
            met = "met" if max(times) <= TARGET_SECONDS else "**not met**"
            lines.append(
                f"| {server(one)} | {size['data_bytes'] / MB:,.0f} | {min(times):.2f}"
                f" | {statistics.median(times):.2f} | {max(times):.2f}"
                f" | at most {TARGET_SECONDS:.0f}: {met} |"
            )
        ratio = _slowness(one)
        lines.append(f"| {server(one)} | large : small, medians | | {ratio:.2f} | | 1, about |")
    return "\n".join([*lines, ""])


def _slowness(report: dict[str, Any]) -> float:
    """What the large data set's median is of the small one's."""
    small, large = (
        statistics.median(float(done["seconds"]) for done in size["rounds"])
        for size in report["sizes"]
    )
    return large / small
