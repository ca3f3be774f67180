"""What a reseed takes beside the bare tool: CLONE, mariabackup in a pipe, the servers' clients."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pymysql

from benchmarks.parts import Say
from myha import config as configuration
from myha.errors import MyhaError
from myha.operations.heal.reseed import Method, ReseedOrder, reseed_node
from myha.operations.heal.reseed.backup import streamer_words
from myha.sandbox.cluster import Cluster
from myha.sandbox.servers import ADMIN_USER
from tests.reporters import ListReporter

MB = 1_000_000
WANTED_BYTES = int(os.environ.get("MYHA_BENCH_RESEED_MB", "2000")) * MB
FREE_TIMES = 6  # two servers, a copy beside one of them, redo logs
TABLES = 8
ROW_BYTES = 200
# A dump takes minutes. A server that a clone ends does so at once or after two seconds, by chance,
# whoever had it cloned.
ROUNDS = {Method.CLONE: 7, Method.BACKUP: 3, Method.DUMP: 2}
BUFFER_POOL_BYTES = 256 * 1024 * 1024
RESTART_DEADLINE_SECONDS = 120.0
TARGETS = {Method.CLONE: 1.15, Method.BACKUP: 1.15, Method.DUMP: 1.2}
WAYS: dict[str, tuple[Method, ...]] = {
    "mysql": (Method.CLONE, Method.DUMP),
    "mariadb": (Method.BACKUP, Method.DUMP),
}
TOOLS = {
    Method.CLONE: "CLONE INSTANCE FROM, and the server's start",
    Method.BACKUP: "mariabackup, mbstream, --prepare, and the server's start",
    Method.DUMP: "the dump program in a pipe to the client",
}

Connection: TypeAlias = "pymysql.Connection[Any]"


def measure(flavour: str, say: Say) -> dict[str, Any]:
    """Tool and reseed in turns, so that both meet the same machine; each copy is compared."""
    with _pair(flavour) as pair:
        rows = min(WANTED_BYTES, shutil.disk_usage(pair.directory).free // FREE_TIMES) // ROW_BYTES
        say(f"reseed {flavour}: filling {TABLES} tables with {rows:,} rows")
        pair.fill(rows)
        ways = {}
        for method in WAYS[flavour]:
            rounds = []
            for number in range(ROUNDS[method]):
                order = (pair.tool, pair.reseed) if number % 2 == 0 else (pair.reseed, pair.tool)
                one = dict(run(method) for run in order)
                say(f"reseed {flavour}, {method}: {one}")
                rounds.append(one)
            ways[str(method)] = rounds
        return {
            "server_version": pair.value("a", "SELECT VERSION()"),
            "data_bytes": pair.data_bytes(),
            "ways": ways,
        }


class Pair:
    """Two bare servers: a has the data, b gets it. Nobody else is there."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.directory = cluster.directory
        self.config = configuration.load(cluster.config_path)
        self._checksums: list[Any] = []

    def connect(self, node: str, **options: Any) -> Connection:
        return pymysql.connect(
            host="127.0.0.1",
            port=self.cluster.nodes[node].port,
            user=ADMIN_USER,
            password=self.cluster.secret("admin"),
            autocommit=True,
            **options,
        )

    def run(self, node: str, *statements: str) -> list[Any]:
        with closing(self.connect(node)) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def value(self, node: str, sql: str) -> Any:
        return self.run(node, sql)[0][0]

    def fill(self, rows: int) -> None:
        """Rows as sysbench has them: a number with an index, and digits that do not compress."""
        self.run("a", f"SET GLOBAL innodb_buffer_pool_size = {BUFFER_POOL_BYTES}")
        self.run("b", f"SET GLOBAL innodb_buffer_pool_size = {BUFFER_POOL_BYTES}")
        self.run("a", "SET SESSION sql_log_bin = 0", "CREATE DATABASE app")
        threads = [
            threading.Thread(target=self._fill, args=(number, rows // TABLES))
            for number in range(TABLES)
        ]
        for pair in zip(threads[::2], threads[1::2], strict=True):
            for thread in pair:
                thread.start()
            for thread in pair:
                thread.join()
        self._checksums = self._sums("a")

    def _fill(self, number: int, rows: int) -> None:
        table = f"app.t{number}"
        digits = ", '-', ".join(["LPAD(FLOOR(RAND() * 1e11), 11, '0')"] * 10)
        self.run(
            "a",
            "SET SESSION sql_log_bin = 0",
            f"CREATE TABLE {table} (id INT AUTO_INCREMENT PRIMARY KEY, k INT NOT NULL,"
            " c CHAR(120) NOT NULL, pad CHAR(60) NOT NULL, KEY (k))",
            f"INSERT INTO {table} (k, c, pad) VALUES (1, CONCAT({digits}), 'a pad')",
        )
        have = 1
        while have < rows:
            more = min(have, rows - have, 100_000)
            self.run(
                "a",
                "SET SESSION sql_log_bin = 0",
                f"INSERT INTO {table} (k, c, pad) SELECT FLOOR(RAND() * 1e9), CONCAT({digits}),"
                f" REPEAT(LPAD(FLOOR(RAND() * 1e11), 11, '0'), 5) FROM {table} LIMIT {more}",
            )
            have += more

    def data_bytes(self) -> int:
        sql = "SELECT SUM(DATA_LENGTH + INDEX_LENGTH) FROM information_schema.TABLES"
        self.run("a", "ANALYZE TABLE " + ", ".join(f"app.t{n}" for n in range(TABLES)))
        return int(self.value("a", f"{sql} WHERE TABLE_SCHEMA = 'app'"))

    def _sums(self, node: str) -> list[Any]:
        return self.run(node, "CHECKSUM TABLE " + ", ".join(f"app.t{n}" for n in range(TABLES)))

    def _compare(self) -> None:
        if self._sums("b") != self._checksums:
            raise MyhaError("the copy is not what was copied")

    def reseed(self, method: Method) -> tuple[str, float]:
        self._forget()
        began = time.monotonic()
        reseed_node(
            ReseedOrder(self.config, "b", "a", methods=(method,), seed=True), ListReporter()
        )
        taken = time.monotonic() - began
        self._compare()
        return "reseed_seconds", round(taken, 2)

    def tool(self, method: Method) -> tuple[str, float]:
        self._forget()
        run = {Method.CLONE: self._clone, Method.BACKUP: self._backup, Method.DUMP: self._dump}
        began = time.monotonic()
        run[method]()
        taken = time.monotonic() - began
        self._compare()
        return "tool_seconds", round(taken, 2)

    def _forget(self) -> None:
        """b has no data, and is open: both begin alike."""
        if self.cluster.state.flavour == "mysql":
            self.run("b", "SET GLOBAL super_read_only = OFF", "SET GLOBAL read_only = OFF")
        else:
            self.run("b", "SET GLOBAL read_only = OFF")
        self.run("b", "SET SESSION sql_log_bin = 0", "DROP DATABASE IF EXISTS app")
        time.sleep(2)

    # --- the bare tools

    def _clone(self) -> None:
        for node in "ab":
            if not self.run(
                node, "SELECT 1 FROM information_schema.PLUGINS WHERE PLUGIN_NAME = 'clone'"
            ):
                self.run(node, "INSTALL PLUGIN clone SONAME 'mysql_clone.so'")
        port = self.cluster.nodes["a"].port
        self.run("b", f"SET GLOBAL clone_valid_donor_list = '127.0.0.1:{port}'")
        try:
            self.run(
                "b",
                f"CLONE INSTANCE FROM '{ADMIN_USER}'@'127.0.0.1':{port}"
                f" IDENTIFIED BY '{self.cluster.secret('admin')}'",
            )
        except pymysql.err.Error as error:
            if error.args[0] != 3707:
                raise MyhaError(f"CLONE: {error}") from error
        server = self.cluster.servers["b"]
        server.await_gone(RESTART_DEADLINE_SECONDS)
        server.start(RESTART_DEADLINE_SECONDS)

    def _backup(self) -> None:
        node, donor = self.cluster.nodes["b"], self.cluster.nodes["a"]
        words = node.program.companion("mariabackup")
        if words is None:
            raise MyhaError("mariabackup is not there")
        new = node.data_dir.with_name("bare")
        new.mkdir()
        with self._login("a") as login:
            login_words = (*words, f"--defaults-file={login}", "--backup", "--stream=mbstream")
            backup = (*login_words, f"--datadir={donor.data_dir}", f"--target-dir={new}")
            _pipe(backup, (*streamer_words(words), "-x", "-C", str(new)))
        _end(
            subprocess.run(
                (*words, "--no-defaults", "--prepare", "--use-memory=256M", f"--target-dir={new}"),
                capture_output=True,
                check=False,
            ),
            "mariabackup --prepare",
        )
        server = self.cluster.servers["b"]
        server.stop(RESTART_DEADLINE_SECONDS)
        shutil.rmtree(node.data_dir)
        new.rename(node.data_dir)
        server.start(RESTART_DEADLINE_SECONDS)

    def _dump(self) -> None:
        program = self.cluster.nodes["a"].program
        mysql = self.cluster.state.flavour == "mysql"
        dump = program.companion("mysqldump" if mysql else "mariadb-dump")
        client = program.companion("mysql" if mysql else "mariadb")
        if dump is None or client is None:
            raise MyhaError("the clients are not there")
        more = ("--set-gtid-purged=OFF",) if mysql else ()
        with self._login("a") as source, self._login("b") as target:
            _pipe(
                (
                    *dump,
                    f"--defaults-file={source}",
                    "--single-transaction",
                    "--quick",
                    *more,
                    "--routines",
                    "--events",
                    "--databases",
                    "app",
                ),
                (*client, f"--defaults-file={target}", "--init-command=SET sql_log_bin = 0"),
            )

    @contextmanager
    def _login(self, node: str) -> Iterator[Path]:
        port = self.cluster.nodes[node].port
        with tempfile.NamedTemporaryFile("w", suffix=".cnf") as file:
            for section in ("client", "mariadb-backup"):
                file.write(
                    f"[{section}]\nuser={ADMIN_USER}\nhost=127.0.0.1\nport={port}\n"
                    f"protocol=tcp\npassword={self.cluster.secret('admin')}\n"
                )
            file.flush()
            yield Path(file.name)


def _pipe(source: tuple[str, ...], target: tuple[str, ...]) -> None:
    """As a shell does it, without anything in between."""
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(source, stdout=subprocess.PIPE, stderr=said) as reader,
    ):
        done = subprocess.run(target, stdin=reader.stdout, stderr=subprocess.PIPE, check=False)
        if reader.stdout is not None:
            reader.stdout.close()
        reader.wait()
        _end(done, target[-1])
        if reader.returncode != 0:
            said.seek(0)
            raise MyhaError(f"{source[-1]}: {said.read()[-300:]!r}")


def _end(done: subprocess.CompletedProcess[bytes], name: str) -> None:
    if done.returncode != 0:
        raise MyhaError(f"{name}: {(done.stderr or b'')[-300:]!r}")


@contextmanager
def _pair(flavour: str) -> Iterator[Pair]:
    cluster = Cluster.create(flavour=flavour)
    try:
        cluster.start_servers()
        yield Pair(cluster)
    finally:
        cluster.down()


def section(reports: list[dict[str, Any]]) -> str:
    lines = [
        "## Reseed",
        "",
        "A node without data gets that of its peer, on one machine, with nobody else there. The"
        " bare tool and the reseed take turns; the ratio is the median of the rounds'. A reseed's"
        " time is all of it: plan, checks, accounts, the copy, the server's start, settings and"
        f" history. After each copy CHECKSUM TABLE is equal. {TABLES} tables of rows of {ROW_BYTES}"
        " bytes with one index.",
        "",
        "| server | data, MB | method | the bare tool | tool, s | reseed, s | ratio | target |",
        "|---|--:|---|---|--:|--:|--:|---|",
    ]
    for one in reports:
        name = "MySQL" if one["flavour"] == "mysql" else "MariaDB"
        version = str(one["server_version"]).partition("-")[0]
        for method, rounds in one["ways"].items():
            tool = statistics.median(r["tool_seconds"] for r in rounds)
            reseed = statistics.median(r["reseed_seconds"] for r in rounds)
            ratio = statistics.median(r["reseed_seconds"] / r["tool_seconds"] for r in rounds)
            target = TARGETS[Method(method)]
            met = "met" if ratio <= target else "**not met**"
            lines.append(
                f"| {name} {version} | {one['data_bytes'] / MB:,.0f} | {method}"
                f" | {TOOLS[Method(method)]} | {tool:.1f} | {reseed:.1f} | {ratio:.2f}"
                f" | at most {target}: {met} |"
            )
    return "\n".join([*lines, ""])
