"""A running sandbox as tests see it: status, events, SQL on a node, waiting with deadlines."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymysql

from myha.sandbox.cluster import Cluster
from myha.supervisor.client import ask
from myha.supervisor.control import socket_path
from tests.real.conftest import create
from tests.waiting import until

DEADLINE_SECONDS = 120.0
# On a closed MySQL, for administrators: without the lock (see sql/mysql/control.sql) a supervisor
# switches it on again as soon as it looks, which may be between two statements.
LIFTED = "SET GLOBAL super_read_only = GET_LOCK('myha.lift', 0) * 0"
Data = dict[str, Any]


class Pair:
    """Wraps a `Cluster` that is up."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.control = socket_path(cluster.state_dir)

    def ask(self, **request: Any) -> Data:
        return ask(self.control, request)

    def status(self) -> Data:
        """As the supervisor answers: while one begins anew, after a reload, that it is away."""
        return self.ask(do="status")

    def events(self, kind: str = "") -> list[Data]:
        found: list[Data] = self.ask(do="events", limit=1000)["events"]
        return [one for one in found if not kind or one["kind"] == kind]

    def await_event(self, kind: str, text: str, count: int = 1) -> Data:
        def seen() -> Data | None:
            matching = [one for one in self.events(kind) if text in one["text"]]
            return matching[-1] if len(matching) >= count else None

        try:
            found: Data = until(seen, f"an event {kind} with {text!r}")
        except AssertionError as error:
            lines = "\n".join(f"{one['kind']}: {one['text']}" for one in self.events()[-25:])
            raise AssertionError(f"{error}; the last events:\n{lines}") from None
        return found

    def await_verdict(self, name: str, seconds: float = DEADLINE_SECONDS) -> Data:
        status: Data = {}

        def reached() -> bool:
            nonlocal status
            status = self.status()
            return status.get("verdict") == name and not status["running"]

        try:
            until(reached, f"verdict {name}", seconds)
        except AssertionError:
            lines = "\n".join(f"{one['kind']}: {one['text']}" for one in self.events()[-25:])
            raise AssertionError(
                f"{status.get('verdict', status)}, not {name}; the last events:\n{lines}"
            ) from None
        return status

    def await_healthy(self, writer: str | None = None) -> Data:
        status = self.await_verdict("healthy")
        if writer is not None:
            assert status["writer"] == writer
        return status

    def myha(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command as a user would."""
        return subprocess.run(
            [sys.executable, "-m", "myha", "--config", str(self.cluster.config_path), *words],
            capture_output=True,
            text=True,
            timeout=240,
            env={**os.environ, **environment},
            check=False,
        )

    def connect(self, port: int, user: str = "app", **options: Any) -> Any:
        return pymysql.connect(
            host="127.0.0.1",
            port=port,
            user=user,
            password=self.cluster.secret(user),
            autocommit=True,
            connect_timeout=20,
            read_timeout=options.pop("read_timeout", 20),
            **options,
        )

    def admin(self, node: str, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements on a node itself, as the administrator; the rows of the last one."""
        connection = self.connect(self.cluster.machines[node].port, "admin")
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def write(self, *statements: str) -> None:
        """As a client, through the balancer."""
        connection = self.connect(self.cluster.writer_address[1])
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def routes(self, pool: str) -> set[str]:
        routes = self.status()["balancers"]["lb1"]["routes"]
        return {one["node"] for one in routes if one["pool"] == pool and one["takes_traffic"]}


@contextmanager
def running_pair(*statements: str, **options: Any) -> Iterator[Pair]:
    """A pair with its daemon, healthy and with these statements written; taken down at the end."""
    cluster = create(**options)
    try:
        cluster.up()
        pair = Pair(cluster)
        pair.await_healthy()
        if statements:
            pair.write(*statements)
        yield pair
    finally:
        cluster.down()


def without(pair: Pair, name: str) -> None:
    """Take a replica's table out of the file."""
    text = pair.cluster.config_path.read_text()
    head, _, rest = text.partition(f"[replicas.{name}]")
    pair.cluster.config_path.write_text(head + rest[rest.index("\n[") + 1 :])
