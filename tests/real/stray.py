"""A replica outside the pair, as reporting replicas of real pairs are: connected to one node, with
semi-synchronous replication on. Its receiver is all that acknowledges need, so nothing is applied.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.real.bare import BareServer, bare_server
from tests.real.pair import Pair

USER, PASSWORD = "report", "report-secret"
_OPTIONS = {"mysql": ("--plugin-load-add=semisync_replica.so",), "mariadb": ()}
_CONNECT = {
    "mysql": (
        "SET GLOBAL rpl_semi_sync_replica_enabled = ON",
        "SET GLOBAL gtid_purged = '{position}'",
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port},"
        " SOURCE_USER = '{user}', SOURCE_PASSWORD = '{password}', SOURCE_AUTO_POSITION = 1,"
        " GET_SOURCE_PUBLIC_KEY = 1, SOURCE_CONNECT_RETRY = 1",
        "START REPLICA IO_THREAD",
    ),
    "mariadb": (
        "SET GLOBAL rpl_semi_sync_slave_enabled = ON",
        "SET GLOBAL gtid_slave_pos = '{position}'",
        "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port},"
        " MASTER_USER = '{user}', MASTER_PASSWORD = '{password}', MASTER_USE_GTID = slave_pos,"
        " MASTER_CONNECT_RETRY = 1",
        "START SLAVE IO_THREAD",
    ),
}
_POSITION = {"mysql": "SELECT @@GLOBAL.gtid_executed", "mariadb": "SELECT @@GLOBAL.gtid_binlog_pos"}
_STOP = {"mysql": "STOP REPLICA", "mariadb": "STOP SLAVE"}


@contextmanager
def stray_replica(pair: Pair, node: str) -> Iterator[BareServer]:
    """One that replicates from `node` with an account of its own; gone at the end."""
    flavour = pair.cluster.state.flavour
    pair.admin(
        node,
        f"CREATE USER IF NOT EXISTS {USER}@'%' IDENTIFIED BY '{PASSWORD}'",
        f"GRANT REPLICATION SLAVE ON *.* TO {USER}@'%'",
    )
    ((position,),) = pair.admin(node, _POSITION[flavour])
    values = {
        "position": position.replace("\n", ""),
        "port": pair.cluster.nodes[node].port,
        "user": USER,
        "password": PASSWORD,
    }
    with bare_server(flavour, 77, *_OPTIONS[flavour]) as server:
        server.run(*(one.format(**values) for one in _CONNECT[flavour]))
        yield server


def leave(stray: BareServer) -> None:
    """As whoever runs it should: it stops replicating."""
    stray.run(_STOP[stray.flavour])
