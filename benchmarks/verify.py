"""What a comparison takes: a million rows on a pair, beside pt-table-checksum on the same table."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pymysql

from benchmarks.load import server
from benchmarks.parts import Say
from myha.errors import MyhaError
from myha.sandbox import programs
from myha.sandbox.cluster import Cluster
from myha.sandbox.servers import ADMIN_USER

ROWS = 1_000_000
CHANGED = 10
ROUNDS = 3
CHUNK_ROWS = 50_000
BUFFER_POOL_BYTES = 1024 * 1024 * 1024
DEADLINE_SECONDS = 600.0
TABLE = "bench.data"
# What pt-table-checksum 3.2 asks in words that MySQL 8.4 and newer no longer know.
NEW_WORDS = {
    "SHOW SLAVE STATUS": "SHOW REPLICA STATUS",
    "SHOW MASTER STATUS": "SHOW BINARY LOG STATUS",
    "SELECT MASTER_POS_WAIT(": "SELECT SOURCE_POS_WAIT(",
    "{seconds_behind_master}": "{seconds_behind_source}",
    "{relay_master_log_file}": "{relay_source_log_file}",
    "{exec_master_log_pos}": "{exec_source_log_pos}",
    "{master_log_file}": "{source_log_file}",
    "{slave_io_state}": "{replica_io_state}",
}


def measure(flavour: str, say: Say) -> dict[str, Any]:
    """Both programs in turns on equal nodes, then with ten rows changed on the standby."""
    with _pair(flavour) as pair:
        say(f"verify {flavour}: filling a table of {ROWS:,} rows")
        pair.fill()
        equal = [{"pt": pair.checksum_by_pt(), "myha": pair.verify()} for _ in range(ROUNDS)]
        say(f"verify {flavour}, equal: {equal}")
        changed = pair.change_rows()
        different = [{"pt": pair.checksum_by_pt(), "myha": pair.verify()} for _ in range(ROUNDS)]
        say(f"verify {flavour}, {CHANGED} rows changed: {different}")
        for one in different:
            found = {int(key) for key in one["myha"]["keys"]}
            one["myha"]["exact"] = found == changed
        return {
            "server_version": pair.value("SELECT VERSION()"),
            "rows": ROWS,
            "data_bytes": pair.data_bytes(),
            "equal": equal,
            "different": different,
            "pt_version": pair.pt_version,
            "pt_words_replaced": flavour == "mysql",
        }


class Pair:
    """A sandbox's pair, written to by its administrator."""

    def __init__(self, cluster: Cluster, writer: str) -> None:
        self.cluster = cluster
        self.flavour = cluster.state.flavour
        self.writer = writer
        self.standby = next(name for name in cluster.nodes if name != writer)
        self._program = programs.fetch("percona-toolkit")
        self.pt_version = self._program.version
        self._login = cluster.directory / "pt.cnf"
        self._login.touch(0o600)
        password = cluster.secret("admin")
        self._login.write_text(f"[client]\nuser={ADMIN_USER}\npassword={password}\n")

    def run(self, *statements: str, node: str = "") -> tuple[tuple[Any, ...], ...]:
        connection = pymysql.connect(
            host="127.0.0.1",
            port=self.cluster.nodes[node or self.writer].port,
            user=ADMIN_USER,
            password=self.cluster.secret("admin"),
            autocommit=True,
        )
        with closing(connection), connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return tuple(cursor.fetchall())

    def value(self, statement: str, node: str = "") -> Any:
        return self.run(statement, node=node)[0][0]

    def fill(self) -> None:
        """As sysbench's tables are: two numbers and two strings of digits."""
        for node in self.cluster.nodes:
            self.run(f"SET GLOBAL innodb_buffer_pool_size = {BUFFER_POOL_BYTES}", node=node)
        depth = "cte_max_recursion_depth" if self.flavour == "mysql" else "max_recursive_iterations"
        sequence = (
            "WITH RECURSIVE seq (n) AS"
            f" (SELECT 1 UNION ALL SELECT n + 1 FROM seq WHERE n < {CHUNK_ROWS})"
        )
        self.run(
            "CREATE DATABASE bench",
            f"CREATE TABLE {TABLE} (id INT AUTO_INCREMENT PRIMARY KEY, k INT NOT NULL,"
            " c CHAR(120) NOT NULL, pad CHAR(60) NOT NULL, KEY k (k))",
            "CREATE DATABASE percona",
            "CREATE TABLE percona.dsns (id INT AUTO_INCREMENT PRIMARY KEY, parent_id INT,"
            " dsn VARCHAR(255) NOT NULL)",
            "INSERT INTO percona.dsns (dsn) VALUES"
            f" ('h=127.0.0.1,P={self.cluster.nodes[self.standby].port}')",
        )
        for first in range(0, ROWS, CHUNK_ROWS):
            self.run(
                f"SET SESSION {depth} = {CHUNK_ROWS + 1}",
                f"INSERT INTO {TABLE} (id, k, c, pad) {sequence}"
                f" SELECT {first} + n, FLOOR(RAND() * {ROWS}),"
                " REPEAT(LPAD(FLOOR(RAND() * 1e11), 11, '-'), 10),"
                " REPEAT(LPAD(FLOOR(RAND() * 1e11), 11, '-'), 5) FROM seq",
            )
        self._await_level()
        self.run(f"ANALYZE NO_WRITE_TO_BINLOG TABLE {TABLE}")
        for node in self.cluster.nodes:
            self.run(f"CHECKSUM TABLE {TABLE}", node=node)  # into memory

    def _await_level(self) -> None:
        ends = time.monotonic() + DEADLINE_SECONDS
        while self.value(f"SELECT COUNT(*) FROM {TABLE}", self.standby) != ROWS:
            if time.monotonic() > ends:
                raise MyhaError("the standby does not get the rows")
            time.sleep(0.5)

    def data_bytes(self) -> int:
        return int(
            self.value(
                "SELECT data_length FROM information_schema.tables"
                " WHERE table_schema = 'bench' AND table_name = 'data'"
            )
        )

    def change_rows(self) -> set[int]:
        """Ten rows, one value each, on the standby, behind replication's back; their ids."""
        chosen = random.Random(1).sample(range(1, ROWS + 1), CHANGED)
        opened = ["SET GLOBAL super_read_only = OFF"] if self.flavour == "mysql" else []
        closed = ["SET GLOBAL super_read_only = ON"] if self.flavour == "mysql" else []
        self.run(
            "SET sql_log_bin = 0",
            *opened,
            *(f"UPDATE {TABLE} SET k = k + 1 WHERE id = {number}" for number in chosen),
            *closed,
            node=self.standby,
        )
        return set(chosen)

    def verify(self) -> dict[str, Any]:
        """`myha verify` as a user calls it."""
        command = (sys.executable, "-m", "myha", "--config", str(self.cluster.config_path))
        began = time.monotonic()
        done = subprocess.run(
            (*command, "verify", "--tables", TABLE, "--json"),
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_SECONDS,
        )
        seconds = time.monotonic() - began
        try:
            report = json.loads(done.stdout)
        except ValueError:
            raise MyhaError(f"myha verify: {done.stderr.strip()}") from None
        keys = [one["key"][0] for one in report["differences"]]
        return {"seconds": round(seconds, 2), "differs": not report["equal"], "keys": keys}

    def checksum_by_pt(self) -> dict[str, Any]:
        """pt-table-checksum with its defaults; where the standby is comes from a table of it."""
        schema, _, table = TABLE.partition(".")
        address = f"h=127.0.0.1,P={self.cluster.nodes[self.writer].port}"
        command = [*self._pt(), f"{address},F={self._login}", "--databases", schema]
        command += ["--tables", table, "--no-version-check", "--no-check-binlog-format"]
        command += ["--no-check-replication-filters", "--recursion-method"]
        command += [f"dsn={address},F={self._login},D=percona,t=dsns"]
        began = time.monotonic()
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_SECONDS,
            env={**os.environ, **self._program.environment()},
        )
        seconds = time.monotonic() - began
        # TS ERRORS DIFFS ROWS DIFF_ROWS CHUNKS SKIPPED TIME TABLE
        lines = [line.split() for line in done.stdout.splitlines() if line.endswith(TABLE)]
        if len(lines) != 1 or lines[0][1] != "0" or int(lines[0][3]) != ROWS:
            raise MyhaError(f"pt-table-checksum: {done.stdout} {done.stderr}")
        return {"seconds": round(seconds, 2), "differs": lines[0][2] != "0"}

    def _pt(self) -> tuple[str, ...]:
        """How to start it: on MySQL a copy that speaks of sources and replicas."""
        argv = self._program.argv
        if self.flavour == "mariadb":
            return argv
        copy = self.cluster.directory / "pt-table-checksum"
        if not copy.exists():
            text = Path(argv[-1]).read_text()
            for old, new in NEW_WORDS.items():
                text = text.replace(old, new)
            copy.write_text(text)
        perl = argv[:-1] if len(argv) > 1 else ("perl",)
        return (*perl, str(copy))


@contextmanager
def _pair(flavour: str) -> Iterator[Pair]:
    cluster = Cluster.create(flavour=flavour)
    try:
        cluster.up()
        yield Pair(cluster, _writer(cluster))
    finally:
        cluster.down()


def _writer(cluster: Cluster) -> str:
    """The node that takes writes, once one does."""
    ends = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < ends:
        for name, node in cluster.nodes.items():
            connection = pymysql.connect(
                host="127.0.0.1", port=node.port, user=ADMIN_USER, password=cluster.secret("admin")
            )
            with closing(connection), connection.cursor() as cursor:
                cursor.execute("SELECT @@GLOBAL.read_only")
                row = cursor.fetchone()
                if row and not row[0]:
                    return name
        time.sleep(0.2)
    raise MyhaError("no node of the sandbox takes writes")


def section(reports: list[dict[str, Any]]) -> str:
    """The part's section of RESULTS.md."""
    lines = [
        "## Verify",
        "",
        f"`myha verify` and pt-table-checksum on the same idle pair, in turns, {ROUNDS} times: one"
        f" table of {ROWS:,} rows as sysbench makes them, in memory on both nodes; then again with"
        f" {CHANGED} rows changed on the standby behind replication's back. Wall clock of the whole"
        " command, median. pt-table-checksum says which chunks differ; myha names the rows, each"
        " proven to differ, and `exact` says that they are the changed ones and no other. Its"
        " version 3.2 does not know MySQL 9: there a copy is measured in which the words that"
        " MySQL has removed (SHOW SLAVE STATUS and the like) are replaced by the present ones.",
        "",
        "| server | rows | data, MB | nodes | pt, s | myha, s | myha : pt | verdicts agree | exact"
        " | target |",
        "|---|--:|--:|---|--:|--:|--:|---|---|---|",
    ]
    for one in reports:
        for name, title in (("equal", "equal"), ("different", f"{CHANGED} rows differ")):
            rounds = one[name]
            theirs = statistics.median(r["pt"]["seconds"] for r in rounds)
            ours = statistics.median(r["myha"]["seconds"] for r in rounds)
            agree = all(r["pt"]["differs"] == r["myha"]["differs"] for r in rounds)
            right = all(r["myha"]["differs"] == (name == "different") for r in rounds)
            exact = "-" if name == "equal" else _yes(all(r["myha"]["exact"] for r in rounds))
            met = "met" if ours <= theirs and agree and right else "**not met**"
            lines.append(
                f"| {server(one)} | {one['rows']:,} | {one['data_bytes'] / 1e6:,.0f} | {title}"
                f" | {theirs:.2f} | {ours:.2f} | {ours / theirs:.2f} | {_yes(agree)} | {exact}"
                f" | at most 1.00: {met} |"
            )
    return "\n".join([*lines, ""])


def _yes(value: bool) -> str:
    return "yes" if value else "**no**"
