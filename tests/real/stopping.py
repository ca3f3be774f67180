"""Servers that are shut down as administrators do it who want to be quick."""

from __future__ import annotations

from contextlib import suppress

import pymysql

from myha.sandbox.cluster import Cluster
from tests.real.by_hand import ask

DEADLINE_SECONDS = 60.0
# A MySQL that shuts down keeps its replicas connected for 8 s, and its event scheduler turns in a
# loop meanwhile, at the cost of a whole processor.
_REST = "SET GLOBAL event_scheduler = OFF"
_DUMPS = "SELECT ID FROM performance_schema.processlist WHERE COMMAND LIKE 'Binlog Dump%'"


def shut_down(cluster: Cluster, name: str) -> None:
    """Shut a server down cleanly, and return when it is gone.

    Of a test whose subject is the shutdown itself, `cluster.servers[name].stop` is the whole of it.
    """
    if cluster.state.flavour == "mysql":
        _leave_nobody_to_wait_for(cluster, name)
    cluster.servers[name].stop(DEADLINE_SECONDS)


def _leave_nobody_to_wait_for(cluster: Cluster, name: str) -> None:
    for (number,) in ask(cluster, name, _REST, _DUMPS):
        with suppress(pymysql.MySQLError):  # it has gone by itself
            ask(cluster, name, f"KILL {number}")
