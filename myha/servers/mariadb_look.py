"""What a look at a MariaDB server reads of its replication, and what that says."""

from __future__ import annotations

from typing import Any

from myha.core.node import Acknowledger, ReplicationThread, ThreadState
from myha.database.session import WarmSession
from myha.words import one_line

_STATES = {
    "Yes": ThreadState.RUNNING,
    "Connecting": ThreadState.CONNECTING,
    "Preparing": ThreadState.CONNECTING,
    "No": ThreadState.STOPPED,
}
DUMPS = (
    "SELECT p.ID, p.USER, p.HOST FROM information_schema.PROCESSLIST p"
    " WHERE p.COMMAND = 'Binlog Dump'"
)
# The same as an expression: "session user host" of each, tabs between the lines.
DUMPS_LISTED = (
    "(SELECT COALESCE(GROUP_CONCAT(CONCAT_WS(' ', p.ID, COALESCE(p.HOST, ''),"
    " p.USER) SEPARATOR '\t'), '') FROM information_schema.PROCESSLIST p"
    " WHERE p.COMMAND = 'Binlog Dump')"
)
_REPLICAS = "SHOW SLAVE HOSTS"
# The threads of receivers: at the first connect, later, and killed and not ended yet.
RECEIVERS = (
    "SELECT p.ID, p.STATE FROM information_schema.PROCESSLIST p"
    " WHERE p.USER = 'system user' AND p.COMMAND IN ('Connect', 'Slave_IO', 'Killed')"
)
QUEUEING = "Queueing"  # the stage from an event's reading to the end of its acknowledgement
Status = dict[str, Any]


def acknowledgers_of(session: WarmSession) -> tuple[Acknowledger, ...]:
    """The connections that may acknowledge. Which of several do, the server does not tell; and of
    a connection not which server is at its other end, but where there is one only."""
    dumps = session.query(DUMPS)
    identity = only_replica(session)
    return tuple(Acknowledger(int(n), user, host or "", identity) for n, user, host in dumps)


def only_replica(session: WarmSession) -> str:
    """The identity of the replica that has registered; empty where it is not one only."""
    replicas = session.query(_REPLICAS)
    return str(replicas[0][0]) if len(replicas) == 1 else ""


def acknowledgers_listed(text: str, identity: str) -> tuple[Acknowledger, ...]:
    """Of what `DUMPS_LISTED` says."""
    found = []
    for line in text.split("\t"):
        if line:
            number, host, user = line.split(" ", 2)
            found.append(Acknowledger(int(number), user, host, identity))
    return tuple(found)


def receiver_of(channel: Status | None) -> ReplicationThread:
    if channel is None:
        return ReplicationThread()
    return ReplicationThread(
        _STATES.get(channel["Slave_IO_Running"], ThreadState.STOPPED),
        int(channel["Last_IO_Errno"]),
        one_line(channel["Last_IO_Error"]),
    )


def applier_of(channel: Status | None) -> ReplicationThread:
    if channel is None:
        return ReplicationThread()
    return ReplicationThread(
        _STATES.get(channel["Slave_SQL_Running"], ThreadState.STOPPED),
        int(channel["Last_SQL_Errno"]),
        one_line(channel["Last_SQL_Error"]),
    )


def sources_of(channels: list[Status]) -> str:
    """`host:port` of each channel, the default one first."""
    ordered = sorted(channels, key=lambda c: c["Connection_name"])
    return ",".join(f"{c['Master_Host']}:{c['Master_Port']}" for c in ordered if c["Master_Host"])


def progress_of(channel: Status | None) -> str:
    if channel is None:
        return ""
    names = ("Slave_received_heartbeats", "Master_Log_File", "Read_Master_Log_Pos", "Gtid_IO_Pos")
    return "/".join(str(channel[name]) for name in names)


def lag_bytes_of(channel: Status | None) -> int | None:
    """Bytes received and not yet applied. What the source has not sent yet is not in it."""
    if channel is None:
        return None
    if channel["Master_Log_File"] == channel["Relay_Master_Log_File"]:
        return max(0, int(channel["Read_Master_Log_Pos"]) - int(channel["Exec_Master_Log_Pos"]))
    return max(0, int(channel["Relay_Log_Space"]) - int(channel["Relay_Log_Pos"]))
