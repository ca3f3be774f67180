"""What is asked of the two servers to compare their histories, in each flavour's own words."""

import re
from typing import Any, ClassVar

from myha.binlog.node import MariadbNode, MysqlNode, Node
from myha.binlog.session import Connect
from myha.core.gtid import MysqlGtidSet

_OWNER = re.compile(r"#\d+")


class _MysqlSide(MysqlNode):
    errand: ClassVar[str] = "inspection of the server"


class _MariadbSide(MariadbNode):
    errand: ClassVar[str] = "inspection of the server"


def open_node(connect: Connect, flavour: str, deadline_seconds: float) -> Node[Any]:
    """A session that only looks; close it. Raises what `connect` does."""
    if flavour == "mysql":
        return _MysqlSide(connect, deadline_seconds)
    return _MariadbSide(connect, deadline_seconds)


def executed_or_under_way(side: Node[Any]) -> Any:
    """Every transaction that this server has, those included that it is just committing.

    A MySQL writer that waits for its replica's acknowledgement has sent the transaction before it
    counts as executed. It is owned by its session until then, so that is asked for first: a
    transaction passes from the one set to the other and never back. MariaDB counts what is in its
    binary log, which is where a replica gets it from.
    """
    if side.flavour == "mysql":
        owned = _OWNER.sub("", str(side.value("SELECT @@GLOBAL.gtid_owned") or ""))
        try:
            under_way = MysqlGtidSet.parse(owned)
        except ValueError:
            under_way = MysqlGtidSet()
        return side.executed().union(under_way)
    return side.executed()


def replicates(side: Node[Any]) -> bool:
    """Whether its receiver is connected and its applier runs: what the peer has is on its way."""
    if side.flavour == "mysql":
        rows = side.rows(
            "SELECT r.service_state, a.service_state"
            " FROM performance_schema.replication_connection_status r"
            " JOIN performance_schema.replication_applier_status a USING (channel_name)"
            " WHERE channel_name = ''"
        )
        return any(row == ("ON", "ON") for row in rows)
    return any(
        (row["Slave_IO_Running"], row["Slave_SQL_Running"]) == ("Yes", "Yes")
        for row in side.named_rows("SHOW ALL SLAVES STATUS")
    )
