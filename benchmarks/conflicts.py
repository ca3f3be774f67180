"""The reader of conflicts: its speed beside mysql-replication, and its delay under load.

The speed is that of the whole reader: both nodes' binary logs over their connections, keys, index
and comparison. Beside it mysql-replication reads one of the two logs in the same minute, GTIDs and
rows, and does nothing with them. Every row change stands in both logs, so the ratio is of row
changes as they stand in the logs that were read: two for each new one in our case. The load is of
sysbench's table: id, k, c CHAR(120), pad CHAR(60).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql

from benchmarks.load import server
from benchmarks.parts import Say
from myha.config import load
from myha.conflicts.watch import Watch
from myha.errors import MyhaError
from myha.operations.progress import ListReporter
from myha.sandbox import programs
from myha.sandbox.cluster import Cluster
from myha.sandbox.servers import Flavour

TRANSACTIONS = 20_000  # of one row, on each node
STATEMENTS, STATEMENT_ROWS = 100, 1_000  # of many rows, on each node
JUDGED_ROWS = {
    "one row": 20_000,
    "1,000 rows": 100_000,
}  # how much of the same log mysql-replication reads
SPEED_ROUNDS = 3
LOAD_SECONDS = 30
LOAD_THREADS = 4
PROBE_EVERY_SECONDS = 0.1
PROBES = int(LOAD_SECONDS / PROBE_EVERY_SECONDS)
DEADLINE_SECONDS = 300.0
RATE_TARGET, RATIO_TARGET, DELAY_TARGET_MS = 50_000, 20, 100

TABLE = (
    "id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, k INT NOT NULL DEFAULT 0,"
    " c CHAR(120) NOT NULL DEFAULT '', pad CHAR(60) NOT NULL DEFAULT '', KEY (k)"
)
ROW = f"(1, '{'c' * 119}', '{'p' * 59}')"
PROCEDURE = f"""CREATE PROCEDURE fill(n INT) BEGIN
    DECLARE i INT DEFAULT 0;
    WHILE i < n DO INSERT INTO t (k, c, pad) VALUES {ROW}; SET i = i + 1; END WHILE;
END"""


class Pair:
    """Two writers without a supervisor, so that nothing but the load and the reader runs."""

    def __init__(self, cluster: Cluster, flavour: Flavour) -> None:
        self.cluster = cluster
        self.flavour = flavour

    def connect(self, node: str, **options: Any) -> pymysql.Connection[Any]:
        return pymysql.connect(
            host="127.0.0.1",
            port=self.cluster.nodes[node].port,
            user="admin",
            password=self.cluster.secret("admin"),
            autocommit=True,
            **options,
        )

    def run(self, node: str, *statements: str, **options: Any) -> tuple[tuple[Any, ...], ...]:
        with self.connect(node, **options) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return tuple(cursor.fetchall())

    def executed(self, node: str) -> str:
        what = "gtid_executed" if self.flavour == "mysql" else "gtid_binlog_pos"
        return str(self.run(node, f"SELECT @@GLOBAL.{what}")[0][0]).replace("\n", "")

    def commit_durably(self, durable: bool) -> None:
        """With the servers' defaults each commit is on disk; without, once a second."""
        values = (1, 1) if durable else (0, 2)
        for node in "ab":
            self.run(
                node,
                "SET GLOBAL sync_binlog = {}, innodb_flush_log_at_trx_commit = {}".format(*values),
            )

    def await_same(self) -> None:
        ends = time.monotonic() + DEADLINE_SECONDS
        while self.executed("a") != self.executed("b"):
            if time.monotonic() > ends:
                raise MyhaError("the two nodes' histories are not the same at the deadline")
            time.sleep(0.05)

    def end_of_log(self, node: str) -> tuple[str, int]:
        words = "BINARY LOG" if self.flavour == "mysql" else "MASTER"
        file, position = self.run(node, f"SHOW {words} STATUS")[0][:2]
        return str(file), int(position)


@contextmanager
def _pair(flavour: Flavour) -> Iterator[Pair]:
    cluster = Cluster.create(flavour=flavour, mode="dual-writer", durability="async")
    try:
        cluster.up(output=lambda _line: None)
        cluster.supervisor.stop(30.0)
        yield Pair(cluster, flavour)
    finally:
        if cluster.directory.exists():
            cluster.down()


def measure(flavour: Flavour, say: Say) -> dict[str, Any]:
    """Single rows, many rows, and the delay under sysbench."""
    with _pair(flavour) as pair:
        pair.commit_durably(False)
        for node in "ab":
            base = f"bench_{node}"
            pair.run("a", f"CREATE DATABASE {base}", f"CREATE TABLE {base}.t ({TABLE})")
        pair.run("a", "USE bench_a", PROCEDURE)
        pair.await_same()
        pair.run("b", "USE bench_b", PROCEDURE)
        pair.await_same()
        speed = {}
        for kind in ("one row", "1,000 rows"):
            speed[kind] = _speed(pair, kind)
            say(f"conflicts {flavour}, {kind} a transaction: {speed[kind]}")
        _prepare_delay(pair)
        delay = {}
        for number, (name, durable) in enumerate((("default", True), ("relaxed", False))):
            pair.commit_durably(durable)
            delay[name] = _delay(pair, number * PROBES)
            say(f"conflicts {flavour}, delay, {name} durability: {delay[name]}")
        return {
            "server_version": str(pair.run("a", "SELECT VERSION()")[0][0]),
            "speed": speed,
            "delay": delay,
        }


# ---- speed


def _speed(pair: Pair, kind: str) -> dict[str, Any]:
    since, place = pair.executed("a"), pair.end_of_log("a")
    rows = 2 * (TRANSACTIONS if kind == "one row" else STATEMENTS * STATEMENT_ROWS)
    threads = [threading.Thread(target=_fill, args=(pair, node, kind)) for node in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pair.await_same()
    ours, theirs = [], []
    for _ in range(SPEED_ROUNDS):
        ours.append(_our_rate(pair, since, rows))
        theirs.append(_their_rate(pair, place, JUDGED_ROWS[kind]))
    own, judge = sorted(ours)[len(ours) // 2], sorted(theirs)[len(theirs) // 2]
    return {
        "rows": rows,
        "ours": [round(one) for one in ours],
        "mysql_replication": [round(one) for one in theirs],
        "rows_per_cpu_second": round(own),
        "mysql_replication_rows_per_cpu_second": round(judge),
        "ratio": round(2 * own / judge, 1),
    }


def _fill(pair: Pair, node: str, kind: str) -> None:
    with pair.connect(node, database=f"bench_{node}") as connection, connection.cursor() as cursor:
        if kind == "one row":
            cursor.execute(f"CALL fill({TRANSACTIONS})")
            return
        values = ", ".join([ROW] * STATEMENT_ROWS)
        for _ in range(STATEMENTS):
            cursor.execute(f"INSERT INTO t (k, c, pad) VALUES {values}")


class _Until(ListReporter):
    """Cancels once so many rows are read."""

    watch: Watch

    def __init__(self, rows: int) -> None:
        super().__init__()
        self._rows = rows

    def cancelled(self) -> bool:
        return self.watch.rows >= self._rows


def _our_rate(pair: Pair, since: str, rows: int) -> float:
    """Rows of both nodes a second of this process's CPU, until all are read and compared."""
    reporter = _Until(rows)
    watch = reporter.watch = Watch(load(pair.cluster.config_path), reporter, since=since)
    begun = time.process_time()
    watch.run(DEADLINE_SECONDS)
    seconds = time.process_time() - begun
    if watch.rows != rows:
        raise MyhaError(f"the reader saw {watch.rows} row changes of {rows}")
    if watch.findings.conflicts:
        raise MyhaError(f"the reader told {watch.findings.conflicts} conflicts, and there are none")
    return watch.rows / seconds


def _their_rate(pair: Pair, place: tuple[str, int], wanted: int) -> float:
    """Rows of node a's log a second of this process's CPU, decoded by mysql-replication."""
    from pymysqlreplication import BinLogStreamReader  # noqa: PLC0415  # of the dev extra only
    from pymysqlreplication.event import GtidEvent, MariadbGtidEvent  # noqa: PLC0415
    from pymysqlreplication.row_event import WriteRowsEvent  # noqa: PLC0415

    stream = BinLogStreamReader(
        connection_settings={
            "host": "127.0.0.1",
            "port": pair.cluster.nodes["a"].port,
            "user": "admin",
            "password": pair.cluster.secret("admin"),
        },
        server_id=4_190_000_002,
        log_file=place[0],
        log_pos=place[1],
        resume_stream=True,
        blocking=True,
        is_mariadb=pair.flavour == "mariadb",
        only_events=[GtidEvent, MariadbGtidEvent, WriteRowsEvent],
    )
    begun, rows = time.process_time(), 0
    for event in stream:
        if isinstance(event, WriteRowsEvent):
            rows += len(event.rows)
        if rows >= wanted:
            break
    seconds = time.process_time() - begun
    stream.close()
    return rows / seconds


# ---- delay


def _prepare_delay(pair: Pair) -> None:
    """The load's tables, and a row for each conflict."""
    pair.run("a", "CREATE USER bench IDENTIFIED BY ''", "GRANT ALL ON `bench%`.* TO bench")
    pair.await_same()
    for node in "ab":
        _sysbench(pair, node, "prepare").communicate(timeout=DEADLINE_SECONDS)
    pair.run("a", "CREATE DATABASE probe", "CREATE TABLE probe.t (id INT PRIMARY KEY, n INT)")
    values = ", ".join(f"({number}, 0)" for number in range(2 * PROBES))
    pair.run("a", f"INSERT INTO probe.t VALUES {values}")
    pair.await_same()


def _delay(pair: Pair, first: int) -> dict[str, Any]:
    """Conflicts made one after the other while sysbench writes on both nodes as fast as it can.

    Between the OK of the second of two writes and the event; both clocks are this machine's
    monotonic one. The two writes are made at once on both nodes, each in a row that no other
    conflict uses, from `first` on.
    """
    reader = _Reading(pair)
    try:
        reader.await_begun()
        loads = [_sysbench(pair, node, "run") for node in "ab"]
        try:
            written = _probe(pair, first, loads)
        finally:
            outputs = [one.communicate(timeout=DEADLINE_SECONDS)[0] for one in loads]
        pair.await_same()
        time.sleep(1.0)
    finally:
        metrics = reader.end()
    crossed = {number: at for number, at in reader.crossed.items() if number in written}
    delays = sorted((at - written[number]) * 1000 for number, at in crossed.items())
    if not delays:
        raise MyhaError("no probe crossed: the delay cannot be told")
    return {
        "conflicts": len(delays),
        "median_ms": round(max(0.0, delays[len(delays) // 2]), 1),
        "p99_ms": round(delays[int(len(delays) * 0.99)], 1),
        "max_ms": round(delays[-1], 1),
        "rows_per_second": round(metrics["rows"] / LOAD_SECONDS),
        "transactions_per_second": [_transactions(text) for text in outputs],
        "foreign_conflicts": metrics["conflicts"] - len(reader.crossed),
    }


class _Reading:
    """The reader as the daemon runs it: a job in a session of its own, at the daemon's niceness.

    Where that is not permitted (only root may), it runs like all else.
    """

    def __init__(self, pair: Pair) -> None:
        self.crossed: dict[int, float] = {}  # when each probe's conflict was told, monotonic
        self._pair = pair
        self._metrics: dict[str, Any] = {}
        path = pair.cluster.config_path
        niceness = str(load(path).timing.niceness)
        self._process = subprocess.Popen(
            ("nice", "-n", niceness, sys.executable, "-m", "myha.operations.job"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        order = {"kind": "conflicts", "node": "", "config": str(path), "parent": os.getpid()}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            now = time.monotonic()
            said = json.loads(line)
            self._metrics = said.get("done", self._metrics)
            told = said.get("event", {}).get("fields", {})
            if told.get("table") == "probe.t" and "values" in told:
                self.crossed.setdefault(int(json.loads(told["values"])["id"]), now)

    def await_begun(self) -> None:
        """Until both nodes send their logs to two: the peer, and the reader."""
        sql = (
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'"
        )
        ends = time.monotonic() + DEADLINE_SECONDS
        while any(self._pair.run(node, sql)[0][0] < 2 for node in "ab"):
            if time.monotonic() > ends or self._process.poll() is not None:
                raise MyhaError("the reader of conflicts has not begun to read")
            time.sleep(0.05)

    def end(self) -> dict[str, Any]:
        """Its counts; MyhaError when it gave none."""
        self._process.terminate()
        self._process.wait(30)
        self._thread.join(30)
        if not self._metrics:
            raise MyhaError("the reader of conflicts ended without a summary")
        return self._metrics


def _probe(pair: Pair, first: int, loads: list[subprocess.Popen[str]]) -> dict[int, float]:
    """Cross one row after the other; when the later of the two writes was acknowledged."""
    numbers = range(first, first + PROBES)
    written: dict[int, dict[str, float]] = {number: {} for number in numbers}
    barrier = threading.Barrier(2)

    def write(node: str) -> None:
        with pair.connect(node) as connection, connection.cursor() as cursor:
            for number in numbers:
                if any(one.poll() is not None for one in loads):
                    barrier.abort()
                try:
                    barrier.wait(DEADLINE_SECONDS)
                except threading.BrokenBarrierError:
                    return
                cursor.execute(f"UPDATE probe.t SET n = {ord(node)} WHERE id = {number}")
                written[number][node] = time.monotonic()
                time.sleep(PROBE_EVERY_SECONDS)

    threads = [threading.Thread(target=write, args=(node,)) for node in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {number: max(times.values()) for number, times in written.items() if len(times) == 2}


def _sysbench(pair: Pair, node: str, action: str) -> subprocess.Popen[str]:
    program = programs.fetch("sysbench")
    script = "oltp_write_only"
    if program.prefix is not None:
        script = str(Path(program.prefix) / "usr/share/sysbench/oltp_write_only.lua")
    command = [
        *program.argv,
        script,
        "--db-driver=mysql",
        f"--mysql-host={pair.cluster.nodes[node].host}",
        f"--mysql-port={pair.cluster.nodes[node].port}",
        "--mysql-user=bench",
        f"--mysql-db=bench_{node}",
        "--tables=2",
        "--table-size=20000",
        f"--threads={LOAD_THREADS if action == 'run' else 1}",
        f"--time={LOAD_SECONDS}",
        action,
    ]
    return subprocess.Popen(
        command,
        env={**os.environ, **program.environment()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _transactions(output: str) -> float:
    for line in output.splitlines():
        if line.strip().startswith("transactions:"):
            return float(line.split("(")[1].split()[0])
    raise MyhaError(f"sysbench did not run: {output.strip()[-300:]}")


# ---- report


def section(reports: list[dict[str, Any]]) -> str:
    """Speed beside mysql-replication, and the delay."""
    lines = [
        "## Conflict reader",
        "",
        f"Row changes a second of CPU, median of {SPEED_ROUNDS} runs. New: the whole reader, from"
        " both nodes' logs to the comparison, with TLS where the server offers it. Each new change"
        " stands in both logs, so twice as many are read. mysql-replication reads one of these"
        " logs, GTIDs and rows, and compares nothing. The ratio is of changes read.",
        "",
        "| server | rows a transaction | new | read | mysql-replication | ratio | target |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    for one in reports:
        for kind, found in one["speed"].items():
            good = found["rows_per_cpu_second"] >= RATE_TARGET and found["ratio"] >= RATIO_TARGET
            lines.append(
                f"| {server(one)} | {kind.split()[0]} | {found['rows_per_cpu_second']:,}"
                f" | {2 * found['rows_per_cpu_second']:,}"
                f" | {found['mysql_replication_rows_per_cpu_second']:,} | {found['ratio']:.1f}"
                f" | {RATE_TARGET:,} and {RATIO_TARGET} times: {_met(good)} |"
            )
    lines += [
        "",
        "From the OK of the later of two crossing writes to the report, while sysbench"
        f" (oltp_write_only, {LOAD_THREADS} threads a node) writes on both as fast as it can. The"
        " reader runs as the daemon's job does, at its niceness. default: each"
        " commit is on disk, as docs/guarantees.md asks for; relaxed (sync_binlog = 0,"
        " innodb_flush_log_at_trx_commit = 2) they use up the cores; on MySQL the server's own"
        " thread that sends the binary log was then seen to send nothing for 300 ms.",
        "",
        "| server | durability | transactions/s | row changes/s | conflicts | median, ms | 99 %, ms"
        " | max, ms | target |",
        "|---|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    for one in reports:
        for durability, found in one["delay"].items():
            lines.append(
                f"| {server(one)} | {durability}"
                f" | {sum(found['transactions_per_second']):,.0f}"
                f" | {found['rows_per_second']:,} | {found['conflicts']}"
                f" | {found['median_ms']:.1f} | {found['p99_ms']:.1f} | {found['max_ms']:.1f}"
                f" | max {DELAY_TARGET_MS}: {_met(found['max_ms'] <= DELAY_TARGET_MS)} |"
            )
    return "\n".join([*lines, ""])


def _met(good: bool) -> str:
    return "met" if good else "**not met**"
