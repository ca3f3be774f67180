"""Two bare servers that replicate from each other, and one of them with errant transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pymysql
import pytest

from myha.core.gtid import GtidSet, MariadbGtidSet, MysqlGtidSet
from myha.database.flavours import FLAVOURS, Flavour
from myha.undo.rewind import RewindReport, rewind_node
from tests.real.bare import BareServer, bare_server
from tests.reporters import ListReporter
from tests.waiting import until

DEADLINE_SECONDS = 60.0

Connection: TypeAlias = "pymysql.Connection[Any]"


@dataclass
class Pair:
    """W is the node that comes back, P the writer by now."""

    flavour: str
    w: BareServer
    p: BareServer
    databases: list[str] = field(default_factory=list)

    @property
    def kind(self) -> Flavour:
        return FLAVOURS[self.flavour]

    @property
    def is_mysql(self) -> bool:
        return self.flavour == "mysql"

    def executed(self, server: BareServer) -> GtidSet:
        if self.is_mysql:
            return MysqlGtidSet.parse(server.value("SELECT @@gtid_executed"))
        return MariadbGtidSet.parse(server.value("SELECT @@gtid_binlog_pos")).union(
            MariadbGtidSet.parse(server.value("SELECT @@gtid_slave_pos"))
        )

    def point(self, server: BareServer, source: BareServer) -> None:
        if self.is_mysql:
            server.run(
                f"CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={source.port},"
                " SOURCE_USER='root', SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1,"
                " SOURCE_CONNECT_RETRY=1"
            )
        else:
            server.run(
                f"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={source.port},"
                " MASTER_USER='root', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1"
            )

    def start(self, server: BareServer) -> None:
        """Start replication; on MariaDB with the own writes in the position that is asked for.

        Events of a server's own come back to it in a circle, so it need not have seen all of them
        return, and a peer whose binary log begins anew has none of them to send.
        """
        if not self.is_mysql:
            with suppress(pymysql.err.OperationalError):  # 1198: it is running already
                position = self.executed(server)
                assert isinstance(position, MariadbGtidSet)
                server.run(f"SET GLOBAL gtid_slave_pos='{position.position()}'")
        server.run("START REPLICA")

    def stop(self, *servers: BareServer) -> None:
        for server in servers or (self.w, self.p):
            server.run("STOP REPLICA")

    def errors(self) -> str:
        """What replication says on either side, for a failure's message."""
        found = []
        for server in (self.p, self.w):
            with server.connect(cursorclass=pymysql.cursors.DictCursor) as connection:
                cursor = connection.cursor()
                cursor.execute("SHOW REPLICA STATUS")
                for row in cursor.fetchall():
                    found += [f"{k}: {v}" for k, v in row.items() if "Error" in k and v]
        return "; ".join(found)

    def has_all(self, server: BareServer, source: BareServer) -> bool:
        return self.executed(server).contains(self.executed(source))

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        try:
            until(condition, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.errors()}") from error

    def whole(self) -> None:
        """Replication runs both ways and each has what the other has."""
        self.start(self.w)
        self._until(lambda: self.has_all(self.w, self.p), "W caught up")
        self.start(self.p)
        self._until(lambda: self.has_all(self.p, self.w), "P caught up")

    def fence(self) -> None:
        self.w.run("SET GLOBAL read_only=ON")
        if self.is_mysql:
            self.w.run("SET GLOBAL super_read_only=ON")

    def open(self) -> None:
        self.w.run("SET GLOBAL read_only=OFF")

    def sup(
        self, kind: type[Connection] = pymysql.Connection, server: BareServer | None = None
    ) -> Callable[[], Connection]:
        """How the least-privileged account connects, to W where no other is named."""
        port = (server or self.w).port
        return lambda: kind(host="127.0.0.1", port=port, user="sup", password="pw", autocommit=True)

    def rewind(
        self,
        directory: Path,
        connect: Callable[[], Connection] | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> RewindReport:
        return rewind_node(
            connect or self.sup(),
            self.kind,
            self.executed(self.w),
            self.executed(self.p),
            quarantine_dir=directory,
            incident={"node": "w", "why": "a test"},
            reporter=ListReporter(),
            deadline_seconds=deadline_seconds,
        )

    def snapshot(self, server: BareServer, database: str) -> dict[str, Any]:
        """Every value of every table. (MySQL's CHECKSUM TABLE is not stable with GEOMETRY.)"""
        found: dict[str, Any] = {}
        for (table,) in server.run(
            "SELECT table_name FROM information_schema.tables"
            f" WHERE table_schema='{database}' ORDER BY 1"
        ):
            names = server.run(
                "SELECT column_name FROM information_schema.columns"
                f" WHERE table_schema='{database}' AND table_name='{table}'"
                " ORDER BY ordinal_position"
            )
            wanted = ",".join(f"HEX({name}), {name} IS NULL" for (name,) in names)
            found[table] = sorted(server.run(f"SELECT {wanted} FROM {database}.{table}"), key=repr)
        return found

    def proves_both_ways(self, database: str) -> None:
        """Rows written on each side arrive on the other; all tables are equal then."""
        self.whole()
        self.p.run(f"CREATE TABLE {database}.proof (id INT PRIMARY KEY)")
        self.p.run(f"INSERT INTO {database}.proof VALUES (1)")
        self._until(lambda: self.has_all(self.w, self.p), "W has P's row")
        self.open()
        self.w.run(f"INSERT INTO {database}.proof VALUES (2)")
        self._until(lambda: self.has_all(self.p, self.w), "P has W's row")
        assert self.p.run(f"SELECT id FROM {database}.proof") == ((1,), (2,))
        assert self.snapshot(self.w, database) == self.snapshot(self.p, database)


def flavours(group: str) -> list[Any]:
    """Parameters of a fixture: all tests of a flavour on one worker, with one pair of servers."""
    return [
        pytest.param(flavour, marks=pytest.mark.xdist_group(f"{group}-{flavour}"))
        for flavour in ("mysql", "mariadb")
    ]


@contextmanager
def bare_pair(flavour: str) -> Iterator[Pair]:
    """Two servers that know each other, with the supervisor's account on both."""
    with bare_server(flavour, 1) as w, bare_server(flavour, 2) as p:
        pair = Pair(flavour, w, p)
        for server, source in ((w, p), (p, w)):
            _make_accounts(server)
            pair.point(server, source)
        yield pair


@contextmanager
def replicating(pair: Pair) -> Iterator[Pair]:
    """The pair, replicating both ways; whatever a test left on W alone is taken over from P."""
    pair.open()
    pair.whole()
    yield pair
    with suppress(pymysql.Error):
        pair.stop()
    pair.open()
    if not pair.has_all(pair.p, pair.w):
        _begin_anew(pair)


def _make_accounts(server: BareServer) -> None:
    """The supervisor's account, with exactly the privileges that setup grants it."""
    grants = FLAVOURS[server.flavour].statements("setup_grants").all("grant_supervisor")
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET sql_log_bin=0")
        cursor.execute("CREATE USER sup@'%' IDENTIFIED BY 'pw'")
        for grant in grants:
            cursor.execute(grant, {"user": "sup"})


def _begin_anew(pair: Pair) -> None:
    """Let errant transactions flow to P where they can, else drop all and begin anew."""
    for server in (pair.w, pair.p):
        server.run("SET sql_log_bin=0", *(f"DROP DATABASE IF EXISTS {n}" for n in pair.databases))
        if pair.is_mysql:
            server.run("RESET REPLICA", "RESET BINARY LOGS AND GTIDS")
        else:
            server.run("RESET REPLICA", "RESET MASTER", "SET GLOBAL gtid_slave_pos=''")
        with suppress(pymysql.Error):
            server.run("SET sql_log_bin=0", "DROP TABLE IF EXISTS myha.rewind")
    pair.databases.clear()


def make_database(pair: Pair, name: str, *tables: str) -> None:
    pair.databases.append(name)
    pair.w.run(f"CREATE DATABASE {name}", *(f"CREATE TABLE {name}.{table}" for table in tables))
    until(lambda: pair.has_all(pair.p, pair.w), "P has the database")


def come_back_with(pair: Pair, *errant: str) -> None:
    """Cut W off, let it write, let P go on, and leave W fenced."""
    pair.stop()
    pair.w.run(*errant)
    pair.fence()
