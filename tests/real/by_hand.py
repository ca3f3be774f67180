"""Pairs as people make them by hand, after the manuals, from the two servers of a sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql

from myha.database.statements import load
from myha.drill.ledger import read_attempts
from myha.drill.worker import Order
from myha.drill.workload import Workload
from myha.sandbox.cluster import Cluster
from tests.waiting import until

DEADLINE_SECONDS = 60.0
SEMI_SYNC_TIMEOUT_SECONDS = 60.0
# What the sandbox's own option files have better than an old pair's.
MYSQL_BY_FILE = ("gtid_mode = OFF", "enforce_gtid_consistency = OFF")
MARIADB_BY_FILE = ("gtid_strict_mode = OFF", "gtid_domain_id = 0")


def ask(cluster: Cluster, name: str, *statements: str) -> list[tuple[Any, ...]]:
    """Statements on a node, as its administrator; the rows of the last one."""
    node = cluster.machines[name]
    connection = pymysql.connect(
        host=node.host,
        port=node.port,
        user="admin",
        password=cluster.secret("admin"),
        autocommit=True,
        read_timeout=30,
    )
    with connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall())


def has_rows(cluster: Cluster, name: str, table: str) -> bool:
    """Whether a table of `app` has arrived on a node, with something in it."""
    there = ask(cluster, name, f"SHOW TABLES FROM app LIKE '{table}'")
    return bool(there and ask(cluster, name, f"SELECT 1 FROM app.{table}"))


def options(cluster: Cluster, *lines: str) -> None:
    """More lines for both nodes' option files, before they are started; their last word counts."""
    for node in cluster.nodes.values():
        extra = node.fragment.parent / "aa-by-hand.cnf"
        extra.write_text("\n".join(["[mysqld]", *lines, ""]))


def replicate(cluster: Cluster, name: str, source: str, *, by_gtid: bool) -> None:
    """As MySQL's manual and MariaDB's knowledge base have it: an account, the place, the start.

    The account and all else is as on the source: both are new.
    """
    mysql = cluster.state.flavour == "mysql"
    account = ("CREATE USER IF NOT EXISTS repl@'%' IDENTIFIED BY 'Slave-1pass'",)
    grant = ("GRANT REPLICATION SLAVE ON *.* TO repl@'%'",)
    ask(cluster, source, "SET SESSION sql_log_bin = 0", *account, *grant)
    port = cluster.nodes[source].port
    file, size = ask(cluster, source, "SHOW BINARY LOGS")[-1][:2]
    if mysql:
        place = "SOURCE_AUTO_POSITION = 1"
        if not by_gtid:
            place = f"SOURCE_LOG_FILE = '{file}', SOURCE_LOG_POS = {size}"
        change = (
            f"CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, "
            f"SOURCE_USER = 'repl', SOURCE_PASSWORD = 'Slave-1pass', GET_SOURCE_PUBLIC_KEY = 1, "
            + place
        )
        ask(cluster, name, change, "START REPLICA")
        return
    place = "MASTER_USE_GTID = slave_pos"
    if not by_gtid:
        place = f"MASTER_LOG_FILE = '{file}', MASTER_LOG_POS = {size}, MASTER_USE_GTID = no"
    change = (
        f"CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = 'repl', "
        f"MASTER_PASSWORD = 'Slave-1pass', {place}"
    )
    ask(cluster, name, change, "START SLAVE")


def make(cluster: Cluster, *, by_gtid: bool, standby: str = "b", one_way: bool = False) -> None:
    """A master-master pair of two servers that run, `standby` read-only as an ordinary one is."""
    writer = "a" if standby == "b" else "b"
    replicate(cluster, standby, writer, by_gtid=by_gtid)
    if not one_way:
        replicate(cluster, writer, standby, by_gtid=by_gtid)
    ask(cluster, standby, "SET GLOBAL read_only = ON")
    ask(cluster, writer, "CREATE DATABASE app", "USE app", *tables(cluster))
    until(lambda: ask(cluster, standby, "SHOW TABLES FROM app"), "it replicates")


def wait_for_acknowledgements(cluster: Cluster, writer: str, standby: str) -> None:
    """Semi-sync as the manuals have it, with a timeout that a test would notice."""
    milliseconds = int(SEMI_SYNC_TIMEOUT_SECONDS * 1000)
    if cluster.state.flavour == "mysql":
        for side, name in (("source", writer), ("replica", standby)):
            plugin = f"INSTALL PLUGIN rpl_semi_sync_{side} SONAME 'semisync_{side}.so'"
            ask(cluster, name, plugin, f"SET GLOBAL rpl_semi_sync_{side}_enabled = ON")
        ask(cluster, standby, "STOP REPLICA", "START REPLICA")
        ask(cluster, writer, f"SET GLOBAL rpl_semi_sync_source_timeout = {milliseconds}")
        return
    ask(
        cluster, standby, "SET GLOBAL rpl_semi_sync_slave_enabled = ON", "STOP SLAVE", "START SLAVE"
    )
    ask(
        cluster,
        writer,
        f"SET GLOBAL rpl_semi_sync_master_timeout = {milliseconds}",
        "SET GLOBAL rpl_semi_sync_master_enabled = ON",
    )


def tables(cluster: Cluster) -> tuple[str, ...]:
    return load(cluster.state.flavour, "drill").all("drill_tables")


@contextmanager
def writing(cluster: Cluster, node: str, folder: Path, first: int = 1) -> Iterator[Workload]:
    """Two clients that write on a node itself, one small transaction after the other.

    `first`: the number of the first of them; no two write the same rows.
    """
    order = Order(
        host="127.0.0.1",
        port=cluster.nodes[node].port,
        user="app",
        password=cluster.secret("app"),
        database="app",
        flavour=cluster.state.flavour,
        directory=str(folder),
        clients=2,
        first_client=first,
        seed=1,
        pause_ms=20.0,
    )
    with Workload(order) as workload:
        workload.await_acknowledged(20, DEADLINE_SECONDS)
        yield workload


def acknowledged(folder: Path) -> set[tuple[int, int]]:
    """What the clients were told OK for, as (client, number)."""
    return {(one.client, one.number) for one in read_attempts(folder) if one.acknowledged}


def rows(cluster: Cluster, node: str) -> set[tuple[int, int]]:
    found = ask(cluster, node, "SELECT client, number FROM app.myha_drill")
    return {(int(client), int(number)) for client, number in found}
