"""The reader of conflicts: its speed beside mysql-replication, and its delay under load.

The speed is that of the whole reader: both nodes' binary logs over their connections, keys, index
and comparison. Beside it mysql-replication reads one of the two logs in the same minute, GTIDs and
rows, and does nothing with them. Every row change stands in both logs, so the ratio is of row
changes as they stand in the logs that were read: two for each new one in our case. The load is of
sysbench's table: id, k, c CHAR(120), pad CHAR(60).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks import delay
from benchmarks.load import met, server
from benchmarks.pair import DEADLINE_SECONDS, Pair
from benchmarks.parts import Say
from myha.config import load
from myha.conflicts.watch import Watch
from myha.errors import MyhaError
from myha.sandbox.cluster import Cluster
from tests.reporters import ListReporter

TRANSACTIONS = 20_000  # of one row, on each node
STATEMENTS, STATEMENT_ROWS = 100, 1_000  # of many rows, on each node
JUDGED_ROWS = {
    "one row": 20_000,
    "1,000 rows": 100_000,
}  # how much of the same log mysql-replication reads
SPEED_ROUNDS = 3
RATE_TARGET, RATIO_TARGET = 50_000, 20

TABLE = (
    "id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, k INT NOT NULL DEFAULT 0,"
    " c CHAR(120) NOT NULL DEFAULT '', pad CHAR(60) NOT NULL DEFAULT '', KEY (k)"
)
ROW = f"(1, '{'c' * 119}', '{'p' * 59}')"
PROCEDURE = f"""CREATE PROCEDURE fill(n INT) BEGIN
    DECLARE i INT DEFAULT 0;
    WHILE i < n DO INSERT INTO t (k, c, pad) VALUES {ROW}; SET i = i + 1; END WHILE;
END"""


@contextmanager
def _pair(flavour: str) -> Iterator[Pair]:
    cluster = Cluster.create(flavour=flavour, mode="dual-writer", durability="async")
    try:
        cluster.up(output=lambda _line: None)
        cluster.supervisor.stop(30.0)
        yield Pair(cluster, flavour)
    finally:
        if cluster.directory.exists():
            cluster.down()


def measure(flavour: str, say: Say) -> dict[str, Any]:
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
        delay.prepare(pair)
        delays = {}
        for number, (name, durable) in enumerate((("default", True), ("relaxed", False))):
            pair.commit_durably(durable)
            delays[name] = delay.measure(pair, number * delay.PROBES)
            say(f"conflicts {flavour}, delay, {name} durability: {delays[name]}")
        return {
            "server_version": str(pair.run("a", "SELECT VERSION()")[0][0]),
            "speed": speed,
            "delay": delays,
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


def _our_rate(pair: Pair, since: str, rows: int) -> float:
    """Rows of both nodes a second of this process's CPU, until all are read and compared."""
    reporter = ListReporter(lambda now: now.done >= rows)
    watch = Watch(load(pair.cluster.config_path), reporter, since=since)
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
                f" | {RATE_TARGET:,} and {RATIO_TARGET} times: {met(good)} |"
            )
    return "\n".join([*lines, *delay.section(reports), ""])
