"""A pair of writers for the parts that measure beside no supervisor."""

from __future__ import annotations

import time
from typing import Any

import pymysql

from myha.errors import MyhaError
from myha.sandbox.cluster import Cluster

DEADLINE_SECONDS = 300.0


class Pair:
    """Two writers without a supervisor, so that nothing but the load and the reader runs."""

    def __init__(self, cluster: Cluster, flavour: str) -> None:
        self.cluster = cluster
        self.flavour = flavour

    def login(self, node: str) -> dict[str, Any]:
        """What `pymysql.connect` needs."""
        return {
            "host": "127.0.0.1",
            "port": self.cluster.nodes[node].port,
            "user": "admin",
            "password": self.cluster.secret("admin"),
        }

    def connect(self, node: str, **options: Any) -> pymysql.Connection[Any]:
        return pymysql.connect(**self.login(node), autocommit=True, **options)

    def senders(self, node: str) -> list[int]:
        """The kernel's numbers of the server's threads that send its binary log."""
        sql = {
            "mysql": "SELECT THREAD_OS_ID FROM performance_schema.threads"
            " WHERE PROCESSLIST_COMMAND LIKE 'Binlog Dump%'",
            "mariadb": "SELECT TID FROM information_schema.PROCESSLIST"
            " WHERE COMMAND LIKE 'Binlog Dump%'",
        }[self.flavour]
        return [int(row[0]) for row in self.run(node, sql)]

    def pid(self, node: str) -> int:
        """The server's process."""
        pid = self.cluster.servers[node].pid()
        if pid is None:
            raise MyhaError(f"the server {node} does not run")
        return pid

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
